"""Functions as text, for scripts of the original that take functions apart.

Tasks do not use this: see :mod:`desipipe.serialize`.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..errors import NotSerializableError

__all__ = ['FunctionSource', 'deserialize_function', 'serialize_function']

_CODE = '__desipipecode__'


class FunctionSource(NamedTuple):
    """The text of a function, and what else it is made of again."""

    name: str
    code: str
    """Its definition, without decorators; defaults are names of the parameters that have them."""
    vartypes: dict[str, str]
    """Kinds of its parameters."""
    dlocals: dict[str, Any]
    """Defaults of its parameters."""


def serialize_function(func: Callable[..., Any]) -> FunctionSource:
    """Return the text of a function, and its defaults.

    Parameters
    ----------
    func : function

    Raises
    ------
    NotSerializableError
        If it is no function, has no name (a lambda expression), or its text can't be found.
    """
    name = getattr(func, '__name__', '')
    if not inspect.isfunction(func) or not name.isidentifier():
        raise NotSerializableError(
            f'{func!r} is no function with a name. Write it as: def name(...)'
        )
    try:
        source = textwrap.dedent(getattr(func, _CODE, None) or inspect.getsource(func))
    except (OSError, TypeError) as exc:
        raise NotSerializableError(f'The source of {name} cannot be found: {exc}') from exc
    definition = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    definition.decorator_list.clear()
    arguments = definition.args
    positional = [*arguments.posonlyargs, *arguments.args]
    with_default = positional[len(positional) - len(arguments.defaults) :]
    arguments.defaults = [ast.Name(one.arg, ast.Load()) for one in with_default]
    arguments.kw_defaults = [
        default and ast.Name(one.arg, ast.Load())
        for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    for one in (*positional, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
        if one is not None:
            one.annotation = None  # names in it may be unknown elsewhere
    definition.returns = None
    parameters = inspect.signature(func).parameters.values()
    defaults = {one.name: one.default for one in parameters if one.default is not one.empty}
    kinds = {one.name: one.kind.name for one in parameters}
    return FunctionSource(name, ast.unparse(ast.fix_missing_locations(definition)), kinds, defaults)


def deserialize_function(name: str, code: str, dlocals: Mapping[str, Any]) -> Callable[..., Any]:
    """Make a function of its text; the text is run.

    Parameters
    ----------
    name, code, dlocals
        Of :func:`serialize_function`.
    """
    scope: dict[str, Any] = {}
    exec(code, dict(dlocals), scope)  # noqa: S102 - that is what it is for
    function: Callable[..., Any] = scope[name]
    setattr(function, _CODE, code)
    return function
