"""Find functions that only compute, and reach nothing of the process running them.

Nothing has to be put back after a call of such a function with plain arguments. The analysis
refuses whatever it does not know: a wrong yes would let one task see what another left.
"""

from __future__ import annotations

import builtins
import cmath
import inspect
import itertools
import math
import types
from opcode import opmap
from typing import Any

from .plain import ATOMS

__all__ = ['is_confined']

_BUILTINS = frozenset(
    getattr(builtins, name)
    for name in (
        *(
            'abs',
            'all',
            'any',
            'ascii',
            'bin',
            'bool',
            'bytearray',
            'bytes',
            'callable',
            'chr',
            'complex',
            'dict',
            'divmod',
        ),
        *(
            'enumerate',
            'filter',
            'float',
            'format',
            'frozenset',
            'hash',
            'hex',
            'int',
            'isinstance',
            'issubclass',
            'iter',
            'len',
        ),
        *(
            'list',
            'map',
            'max',
            'min',
            'next',
            'oct',
            'ord',
            'pow',
            'range',
            'repr',
            'reversed',
            'round',
            'set',
            'slice',
            'sorted',
        ),
        *('str', 'sum', 'tuple', 'zip'),
    )
)
_MODULES = (math, cmath, itertools)
_OF_MODULES = frozenset(
    value
    for module in _MODULES
    for name, value in vars(module).items()
    if not name.startswith('_') and callable(value)
)
# Attributes that lead from plain objects to frames, modules and the interpreter.
_LEADING_OUT = ('_', 'ag_', 'co_', 'cr_', 'f_', 'gi_', 'tb_', 'throw')
_FORBIDDEN = frozenset(
    opmap[name]
    for name in (
        *(
            'IMPORT_NAME',
            'IMPORT_FROM',
            'IMPORT_STAR',
            'STORE_GLOBAL',
            'DELETE_GLOBAL',
            'STORE_NAME',
            'DELETE_NAME',
        ),
        *(
            'STORE_ATTR',
            'DELETE_ATTR',
            'LOAD_BUILD_CLASS',
            'LOAD_NAME',
            'LOAD_LOCALS',
            'LOAD_FROM_DICT_OR_GLOBALS',
        ),
        *(
            'LOAD_CLASSDEREF',
            'LOAD_FROM_DICT_OR_DEREF',
            'UNARY_INVERT',
        ),  # the inverse of a bool warns
    )
    if name in opmap
)
_STORE_CELL = opmap['STORE_DEREF']
_COROUTINES = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR  # one that is not awaited warns
_DEPTH = 20  # functions that call functions


def is_confined(func: Any) -> bool:
    """Return True if a function reaches no state of its process, module or itself.

    Parameters
    ----------
    func : callable
        Called with arguments of plain types only.
    """
    return type(func) is types.FunctionType and _is_function_confined(func, set(), _DEPTH)


def _is_function_confined(func: types.FunctionType, seen: set[int], depth: int) -> bool:
    if id(func) in seen:
        return True
    seen.add(id(func))
    if not depth or func.__dict__ or getattr(func, '__builtins__', None) is not vars(builtins):
        return False
    values = [*(func.__defaults__ or ()), *(func.__kwdefaults__ or {}).values()]
    try:
        values += [cell.cell_contents for cell in func.__closure__ or ()]
    except ValueError:  # it is not bound yet
        return False
    names = _names_of(func.__code__)
    if names is None or (func.__closure__ and _STORE_CELL in func.__code__.co_code[::2]):
        return False
    for name in names:
        if name in func.__globals__:
            values.append(func.__globals__[name])
        elif hasattr(builtins, name):
            if getattr(builtins, name) not in _BUILTINS and not _is_exception(
                getattr(builtins, name)
            ):
                return False
        elif name.startswith(_LEADING_OUT):
            return False
    return all(_is_value_confined(value, seen, depth - 1) for value in values)


def _names_of(code: types.CodeType) -> set[str] | None:
    """Return the global names and attributes that code uses; None for forbidden code."""
    if code.co_flags & _COROUTINES or not _FORBIDDEN.isdisjoint(code.co_code[::2]):
        return None
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner = _names_of(constant)
            if inner is None:
                return None
            names |= inner
    return names


def _is_value_confined(value: Any, seen: set[int], depth: int) -> bool:
    kind = type(value)
    if kind is types.FunctionType:
        return _is_function_confined(value, seen, depth)
    if kind in ATOMS:
        return True
    if kind is tuple or kind is frozenset:
        return depth > 0 and all(_is_value_confined(item, seen, depth - 1) for item in value)
    if kind is types.ModuleType:
        return any(value is module for module in _MODULES)
    if kind is types.BuiltinFunctionType or kind is type:
        return value in _BUILTINS or value in _OF_MODULES or _is_exception(value)
    return False


def _is_exception(value: Any) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, BaseException)
        and value.__module__ == 'builtins'
    )
