"""Make functions, classes and other code in the process that loads a payload.

Payloads refer to everything here by name: this module must stay importable under its name, and its
functions must go on to take what payloads of earlier versions give them.
"""

from __future__ import annotations

import builtins
import collections
import contextlib
import functools
import importlib.util
import marshal
import sys
from contextvars import Context, ContextVar, copy_context
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, ForwardRef, NamedTuple, TypeVar

__all__ = [
    'BYTECODE',
    'FunctionState',
    'fill_cell',
    'fill_dispatch',
    'fill_function',
    'fill_module',
    'make_cache',
    'make_cached_property',
    'make_cell',
    'make_code',
    'context_values',
    'fill_functions',
    'make_context_variable',
    'make_dispatch',
    'make_forward_reference',
    'make_function',
    'make_method',
    'make_parameters',
    'make_partial_method',
    'make_property',
    'make_type_variable',
    'make_view',
    'view_array',
]

BYTECODE = int.from_bytes(importlib.util.MAGIC_NUMBER[:2], 'little')
"""Version of the bytecode of this Python."""


# --------------------------------------------------------------------------------------------------
# Code


def make_code(bytecode: int, data: bytes, name: str, free: tuple[str, ...]) -> CodeType:
    """Make a code object with all that it had: file name, lines, names.

    Parameters
    ----------
    bytecode : int
        Version of the bytecode (:data:`BYTECODE`).
    data : bytes
        The code, by :mod:`marshal`.
    name : str
        Its qualified name.
    free : tuple of str
        Its free variables.

    Returns
    -------
    code : code
        If the bytecode is that of another version of Python, one that raises an error when it
        runs.
    """
    if bytecode == BYTECODE:
        code: CodeType = marshal.loads(data)
        return code
    why = (
        f'The function {name!r} was compiled by another version of Python than this one, '
        f'{sys.version.split()[0]}. It can be carried about, but not called here. '
        'Run it with the Python that it was written with'
    )
    stub = compile(
        f'def stub(*args, **kwargs):\n    raise RuntimeError({why!r})\n', '<desipipe>', 'exec'
    )
    inner: CodeType = stub.co_consts[0]
    return inner.replace(co_name=name.rpartition('.')[2], co_qualname=name, co_freevars=free)


class FunctionState(NamedTuple):
    """The state given to a function once it is made."""

    names: dict[str, Any]
    """Globals that it reads."""
    cells: list[tuple[CellType, Any]]
    """Variables of enclosing functions, and what they hold; not those that are set elsewhere."""
    attributes: dict[str, Any]
    """Attributes that Python keeps of a function under special names."""
    own: dict[str, Any]
    """Attributes that someone gave it."""
    submodules: list[ModuleType]
    """Modules that it reaches as attributes of packages: to load them is to import them."""


def make_function(
    code: CodeType, namespace: dict[str, Any], cells: tuple[CellType, ...] | None
) -> FunctionType:
    """Make a function that :func:`fill_function` completes."""
    namespace['__builtins__'] = vars(builtins)
    return FunctionType(code, namespace, code.co_name, None, cells)


def fill_function(func: FunctionType, state: tuple[Any, ...]) -> None:
    """Complete a function; ``state`` has the members of :class:`FunctionState`."""
    names, cells, attributes, own, _ = state
    func.__globals__.update(names)
    for cell, content in cells:
        cell.cell_contents = content
    for name, value in attributes.items():
        setattr(func, name, value)
    func.__dict__.update(own)


def fill_functions(functions: list[tuple[FunctionType, tuple[Any, ...]]]) -> None:
    """Complete several functions."""
    for func, state in functions:
        fill_function(func, state)


def make_cell() -> CellType:
    """Make a variable of an enclosing function; functions that share it share one."""
    return CellType()


def fill_cell(cell: CellType, content: Any) -> None:
    """Set a variable of an enclosing function."""
    cell.cell_contents = content


# --------------------------------------------------------------------------------------------------
# What the standard library makes of functions


def make_cache(func: Any, parameters: dict[str, Any]) -> Any:
    """Make an empty cache around a function."""
    return functools.lru_cache(**parameters)(func)


def make_cached_property(func: Any, name: str) -> functools.cached_property[Any]:
    """Make a cached property."""
    made = functools.cached_property(func)
    made.attrname = name
    return made


def make_partial_method(
    func: Any, args: tuple[Any, ...], keywords: dict[str, Any]
) -> functools.partialmethod[Any]:
    """Make a partial method."""
    return functools.partialmethod(func, *args, **keywords)


def make_property(
    kind: type[property], getter: Any, setter: Any, deleter: Any, text: str | None
) -> property:
    """Make a property, or an object derived from it without running its ``__init__``."""
    made: property = property.__new__(kind)
    property.__init__(made, getter, setter, deleter, text)
    return made


def make_method(kind: Any, func: Any) -> Any:
    """Make a static method or a class method, or an object derived from these."""
    base = staticmethod if issubclass(kind, staticmethod) else classmethod
    made = base.__new__(kind)
    base.__init__(made, func)
    return made


def make_dispatch() -> Any:
    """Make a generic function that :func:`fill_dispatch` completes."""
    return functools.singledispatch(lambda *args: None)


def fill_dispatch(dispatch: Any, state: tuple[Any, dict[type, Any]]) -> None:
    """Complete a generic function by what it wraps and its functions by class."""
    wrapped, registry = state
    functools.update_wrapper(dispatch, wrapped)
    for cls, func in registry.items():
        dispatch.register(cls, func)


# --------------------------------------------------------------------------------------------------
# The rest


def context_values(variable: ContextVar[Any]) -> tuple[list[Any], list[Any]]:
    """Return the default and the current value of a context variable.

    Each is in a list, which is empty where there is none.
    """
    result: tuple[list[Any], list[Any]] = ([], [])
    for values, context in zip(result, (Context(), copy_context()), strict=True):
        with contextlib.suppress(LookupError):
            values.append(context.run(variable.get))
    return result


def make_context_variable(name: str, default: list[Any], value: list[Any]) -> ContextVar[Any]:
    """Make a context variable that has a value where it had one."""
    variable: ContextVar[Any] = (
        ContextVar(name, default=default[0]) if default else ContextVar(name)
    )
    if value and not (default and default[0] is value[0]):
        variable.set(value[0])
    return variable


def make_forward_reference(
    text: str, module: str | None, is_argument: bool, is_class: bool
) -> ForwardRef:
    """Make an annotation that is text."""
    return ForwardRef(text, module=module, is_argument=is_argument, is_class=is_class)


def make_type_variable(
    name: str, module: str, constraints: tuple[Any, ...], bound: Any, keywords: dict[str, Any]
) -> TypeVar:
    """Make a type variable."""
    variable = TypeVar(name, *constraints, bound=bound, **keywords)  # type: ignore[misc]
    variable.__module__ = module
    return variable


def fill_module(module: ModuleType, state: dict[str, Any]) -> None:
    """Give a module that was carried by value what is in it."""
    module.__dict__.update(state)


def make_parameters(kind: Any, name: str, module: str) -> Any:
    """Make a :class:`typing.ParamSpec` or a :class:`typing.TypeVarTuple`."""
    variable = kind(name)
    variable.__module__ = module
    return variable


def make_view(kind: str, content: Any) -> Any:
    """Make a view of a dictionary: its keys, values or items.

    Parameters
    ----------
    kind : str
        ``'dict_keys'``, ``'odict_items'`` and so on.
    content : list or dict
    """
    space: Any = collections.OrderedDict() if kind.startswith('o') else {}
    if kind.endswith('items'):
        space.update(content)
        return space.items()
    if kind.endswith('keys'):
        space.update(dict.fromkeys(content))
        return space.keys()
    space.update(enumerate(content))
    return space.values()


def view_array(array: Any, dtype: Any) -> Any:
    """View an array as one of another type: dates have no buffer of their own."""
    return array.view(dtype)
