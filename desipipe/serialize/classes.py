"""Take classes of the user's own apart, for :mod:`~.class_makers` to make them again elsewhere."""

from __future__ import annotations

import enum
import sys
import uuid
from _abc import _get_dump  # type: ignore[import-not-found]
from abc import ABCMeta
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any

from . import class_makers, modules

__all__ = ['is_by_value', 'is_found', 'member_parts', 'reduce_class', 'reduce_member', 'static_name']

# Python makes these itself when a class is made, or when someone asks for them.
_MADE_AGAIN = frozenset(('__dict__', '__weakref__', '_abc_impl', '__slotnames__', '__annotate_func__', '__annotate__', '__annotations_cache__'))
# Attributes that must be there when a class is made; Python drops the line number when the module is set later.
_LAYOUT = ('__module__', '__firstlineno__')
_HEAP_TYPE = 1 << 9  # flag of classes that are made when a program runs, Py_TPFLAGS_HEAPTYPE
_CANONICAL = '_value2member_map_'


def is_found(obj: Any, by_value: frozenset[str]) -> bool:
    """Return True for functions and classes that another process finds by importing them.

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
    """Return module and name of a class of the interpreter that is not found under its own name."""
    for name, value in vars(sys.modules['types']).items():
        if value is cls:
            return 'types', name
    return None


def is_by_value(cls: type, by_value: frozenset[str]) -> bool:
    """Return True for classes that a payload must hold."""
    return not is_found(cls, by_value) and bool(cls.__flags__ & _HEAP_TYPE)


def reduce_class(cls: type) -> tuple[Any, ...]:
    """Return what makes a class again, as :meth:`object.__reduce__` does for objects."""
    own = dict(vars(cls))
    slots = [name for name, value in own.items() if isinstance(value, MemberDescriptorType) and value.__objclass__ is cls]
    layout = {name: own.pop(name) for name in _LAYOUT if name in own}
    layout['__qualname__'] = cls.__qualname__
    if '__slots__' in own:
        extra = [name for name in ('__dict__', '__weakref__') if isinstance(own.get(name), GetSetDescriptorType)]
        layout['__slots__'] = (*slots, *extra)
    state = {name: value for name, value in own.items() if name not in _MADE_AGAIN and name not in slots}
    if issubclass(cls, enum.Enum) and _CANONICAL in state:
        canonical = cls._member_map_.values()
        state[_CANONICAL] = {value: member for value, member in state[_CANONICAL].items() if any(member is other for other in canonical)}
    registered = []
    if issubclass(type(cls), ABCMeta):
        registered = [other for reference in _get_dump(cls)[0] if (other := reference()) is not None]
    args = (_key(cls), type(cls), cls.__name__, cls.__bases__, layout)
    return class_makers.make_class, args, (state, registered), None, None, class_makers.fill_class


def _key(cls: type) -> str:
    key = class_makers.key_of(cls)
    return key or class_makers.register(cls, uuid.uuid4().hex).key


# ---------------------------------------------------------------------------------------------------------------------
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
    return class_makers.make_member, (cls, name, base, args), (attributes, slots), None, None, class_makers.fill_member


def member_parts(member: Any) -> tuple[type, tuple[Any, ...]]:
    """Return the type of the data that a member of an enumeration is, and what makes it."""
    for base in type(member).__mro__:
        method = vars(base).get('__new__')
        if method is None or isinstance(getattr(method, '__func__', method), FunctionType):
            continue
        if base is object:
            return object, ()
        if hasattr(base, '__getnewargs__'):
            return base, tuple(base.__getnewargs__(member))
        reduced: Any = base.__reduce_ex__(member, 5)  # type: ignore[call-arg]
        return base, tuple(reduced[1])
    raise TypeError(f'{type(member).__name__} has no type of data')
