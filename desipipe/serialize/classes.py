"""Take the user's classes apart, for :mod:`~.class_makers` to make them elsewhere."""

from __future__ import annotations

import contextlib
import copyreg
import enum
import sys
import types
from _abc import _get_dump  # type: ignore[import-not-found]
from abc import ABCMeta
from collections.abc import Iterable, Iterator
from types import CellType, FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any, NamedTuple

from . import carried, class_makers, modules, static_modules
from .annotations import annotations_of, hinted_names
from .class_content import member_parts

__all__ = ['is_by_value', 'is_found', 'reduce_class', 'reduce_member', 'static_name']

# Python makes these itself when a class is made, or when someone asks for them.
_MADE_AGAIN = frozenset(
    (
        '__dict__',
        '__weakref__',
        '_abc_impl',
        '__slotnames__',
        '__classdictcell__',
        '__annotate_func__',
        '__annotate__',
        '__annotations_cache__',
        '__annotations__',
    )
)
# Attributes that must be there when a class is made; Python drops the line number when the module
# is set later.
_LAYOUT = ('__module__', '__firstlineno__')
# Of classes of ctypes: their fields are set last, since these may point to the class itself.
_C_LAYOUT = (
    '_pack_',
    '_anonymous_',
    '_layout_',
    '_align_',
    '_type_',
    '_length_',
    '_argtypes_',
    '_restype_',
    '_flags_',
)
_HEAP_TYPE = 1 << 9  # flag of classes that are made when a program runs, Py_TPFLAGS_HEAPTYPE
_BY_VALUE = '_value2member_map_'
_ANNOTATED = frozenset(('__annotations__', '__annotate_func__', '__annotations_cache__'))
_COMPILED = (types.WrapperDescriptorType, types.MethodDescriptorType)


def is_found(obj: Any, by_value: frozenset[str]) -> bool:
    """Return True for functions and classes that another process can import.

    Parameters
    ----------
    obj : function or type
    by_value : frozenset of str
        Installed modules, and packages, that someone wants carried by value.
    """
    module = obj.__module__
    if not isinstance(module, str) or modules.is_user(module):
        return False
    if by_value and any(module == name or module.startswith(f'{name}.') for name in by_value):
        return False
    return modules.resolve(module, obj.__qualname__) is obj


def static_name(cls: type) -> tuple[str, str] | None:
    """Return module and name of an interpreter class not found under its own name."""
    for name, value in vars(sys.modules['types']).items():
        if value is cls:
            return 'types', name
    return None


def is_by_value(cls: type, by_value: frozenset[str]) -> bool:
    """Return True for classes that a payload must hold."""
    return not is_found(cls, by_value) and not _is_compiled(cls)


def _is_compiled(cls: type) -> bool:
    """Return True for classes of the interpreter and of compiled modules."""
    if not cls.__flags__ & _HEAP_TYPE:
        return True
    return any(
        isinstance(value, _COMPILED) and value.__objclass__ is cls for value in vars(cls).values()
    )


def reduce_class(cls: type, key: str) -> tuple[Any, ...]:
    """Return what makes a class again, as :meth:`object.__reduce__` does for objects.

    Parameters
    ----------
    cls : type
    key : str
        Its key in the payload.
    """
    meta: type | None = type(cls)
    if meta is not None and _is_compiled(meta) and not is_found(meta, frozenset()):
        meta = None  # that of its bases
    layout, state = _attributes(cls)
    hints: dict[str, Any] = {}
    if not _ANNOTATED.isdisjoint(vars(cls)):
        state['__annotations__'] = annotations_of(cls)
        hints = hinted_names(state['__annotations__'], vars(sys.modules.get(cls.__module__, types)))
    registered = []
    if issubclass(type(cls), ABCMeta):
        registered = [
            other for reference in _get_dump(cls)[0] if (other := reference()) is not None
        ]
    args: tuple[Any, ...] = (key, meta, cls.__name__, cls.__bases__, layout)
    if origin := _origin(cls.__module__):
        args = (*args, origin)
    methods = {name: value for name, value in state.items() if _is_method(value)}
    steps = Methods(cls, methods, list(_class_cells(cls, methods.values()))), FunctionStates()
    return (
        class_makers.make_class,
        args,
        (*steps, state, registered, hints),
        None,
        None,
        class_makers.fill_class,
    )


def _is_method(value: Any) -> bool:
    if type(value) is property:
        return all(
            part is None or type(part) is FunctionType
            for part in (value.fget, value.fset, value.fdel)
        )
    return (
        type(value.__func__ if type(value) in (staticmethod, classmethod) else value)
        is FunctionType
    )


def _class_cells(cls: type, methods: Iterable[Any]) -> Iterator[CellType]:
    """Yield the variables by which ``super()`` in methods finds the class."""
    for method in methods:
        parts = (
            (method.fget, method.fset, method.fdel)
            if type(method) is property
            else (getattr(method, '__func__', method),)
        )
        for func in parts:
            for name, cell in (
                zip(func.__code__.co_freevars, func.__closure__ or (), strict=True)
                if func is not None
                else ()
            ):
                with contextlib.suppress(ValueError):  # not set yet
                    if name == '__class__' and cell.cell_contents is cls:
                        yield cell


class Methods(NamedTuple):
    """Methods of a class, which are set as soon as they are made."""

    cls: type
    methods: dict[str, Any]
    cells: list[CellType]
    """Variables that hold the class itself."""


class FunctionStates:
    """Marks where functions that were made without what they use get that."""


def _attributes(cls: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the attributes a class needs when it is made, and those set afterwards."""
    own = dict(vars(cls))
    slots = [
        name
        for name, value in own.items()
        if isinstance(value, MemberDescriptorType) and value.__objclass__ is cls
    ]
    layout = {name: own.pop(name) for name in _LAYOUT if name in own}
    layout['__qualname__'] = cls.__qualname__
    if '__slots__' in own:
        extra = [
            name
            for name in ('__dict__', '__weakref__')
            if isinstance(own.get(name), GetSetDescriptorType)
        ]
        layout['__slots__'] = (*slots, *extra)
    if type(cls).__module__ == '_ctypes':
        layout.update((name, own.pop(name)) for name in _C_LAYOUT if name in own)
        own = {name: value for name, value in own.items() if type(value).__name__ != 'CField'}
    state = {
        name: value for name, value in own.items() if name not in _MADE_AGAIN and name not in slots
    }
    if issubclass(cls, enum.Enum) and _BY_VALUE in state:
        # Combinations of flags that are kept there are made again when someone asks for them.
        members = {id(member) for member in cls._member_map_.values()}
        state[_BY_VALUE] = {
            value: member for value, member in state[_BY_VALUE].items() if id(member) in members
        }
    return layout, state


def _origin(module: str) -> bytes:
    """Return the digest of the text of a module that a task imported.

    A process that reads the task's result may import the module, too.
    """
    if getattr(sys.modules.get(module), '__loader__', None) is not carried.finder:
        return b''
    static = static_modules.static(module)
    return b'' if static is None else static.digest


def reduce_object(obj: Any) -> tuple[Any, ...]:
    """Return what makes an object again whose class has a ``__new__`` in Python."""
    func, args, *rest = obj.__reduce_ex__(5)
    has_keywords = func is not copyreg.__newobj__  # type: ignore[attr-defined]
    cls, positional, keywords = args if has_keywords else (args[0], args[1:], {})
    parts = None if hasattr(cls, '__getnewargs__') or has_keywords else member_parts(obj)
    return class_makers.make_object, (cls, tuple(positional), keywords, parts), *rest


# --------------------------------------------------------------------------------------------------
# Enumerations


def reduce_member(member: Any) -> tuple[Any, ...]:
    """Return what finds or makes a member of an enumeration."""
    cls = type(member)
    name = member._name_
    if name is None or cls._member_map_.get(name) is not member:
        name = (member._value_,)
    base, args = member_parts(member)
    attributes = dict(vars(member))
    if '_inverted_' in attributes:
        attributes['_inverted_'] = None  # a cache
    slots = {}
    for owner in cls.__mro__:
        for key, value in vars(owner).items():
            if isinstance(value, MemberDescriptorType) and hasattr(member, key):
                slots[key] = getattr(member, key)
    return (
        class_makers.make_member,
        (cls, name, base, args),
        (attributes, slots),
        None,
        None,
        class_makers.fill_member,
    )
