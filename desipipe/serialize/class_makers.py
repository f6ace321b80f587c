"""Make classes again in the process that loads a payload, one class for each key.

A class is made from its metaclass and its bases without running what the user wrote for the making
of classes (``__init_subclass__``, ``__set_name__``, metaclasses): what these did is in the
attributes that come with it. Payloads refer to the functions here by name, as to those of
:mod:`~.makers`.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
import types
from _abc import _abc_init  # type: ignore[import-not-found]
from abc import ABCMeta
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType
from typing import Any

from . import carried, modules, static_modules
from .class_keys import has_key
from .class_registry import class_of, in_slot, keep_classes, lock, record_of, register

__all__ = ['fill_class', 'fill_member', 'make_class', 'make_member', 'make_object', 'set_methods']


# --------------------------------------------------------------------------------------------------
# Classes


def make_class(
    key: str,
    meta: type | None,
    name: str,
    bases: tuple[type, ...],
    layout: dict[str, Any],
    origin: bytes = b'',
) -> type:
    """Return the class that has this key here, or make it.

    :func:`fill_class` completes it.

    Parameters
    ----------
    key : str
    meta : type, default=None
        Its class; by default that of its bases.
    name : str
    bases : tuple of type
    layout : dict
        Attributes that must be there from the beginning: ``__slots__``, ``__module__`` and the
        like.
    origin : bytes, default=b''
        Digest of the text of its module, where that may be imported here to find it.

    Returns
    -------
    cls : type
    """
    existing = _named(key, layout['__module__'], layout['__qualname__'], origin)
    if existing is not None:
        return existing
    with lock:
        same = class_of(key)
        if same is not None:
            return same
        if meta is None:
            meta = types.prepare_class(name, bases)[0]
        with _hooks_silenced(bases):
            cls: type = builtin_of(meta, '__new__')(meta, name, bases, dict(layout))
            builtin_of(meta, '__init__')(cls, name, bases, dict(layout))
        if issubclass(meta, ABCMeta):
            _abc_init(cls)
            cls.__abstractmethods__ = frozenset()  # type: ignore[attr-defined] # until its methods are there
        register(cls, key, is_made=True)
        return cls


def _named(key: str, module: Any, qualname: str, origin: bytes) -> type | None:
    """Return what this process finds under the name of a class, if it is that class."""
    if not isinstance(module, str):
        return None
    if module not in sys.modules and _may_import(module, origin):
        with contextlib.suppress(
            Exception
        ):  # who needs the module itself will be told what is wrong with it
            importlib.import_module(module)
    resolved = modules.resolve(module, qualname)
    return resolved if isinstance(resolved, type) and has_key(resolved, key) else None


def _may_import(module: str, origin: bytes) -> bool:
    """Return True if a class may be taken from the module of this name.

    The module was carried for this task, or has the same text here.
    """
    if module in carried.finder.modules:
        return True
    if not origin or in_slot():
        return False
    static = static_modules.static(module)
    return static is not None and static.digest == origin


def builtin_of(meta: type, name: str) -> Callable[..., Any]:
    """Return a metaclass's method from Python or a compiled module, not a Python one."""
    for cls in meta.__mro__:
        method = vars(cls).get(name)
        if method is not None and not isinstance(getattr(method, '__func__', method), FunctionType):
            return getattr(cls, name)  # type: ignore[no-any-return]
    raise TypeError(f'{meta.__name__} is no metaclass.')


@contextlib.contextmanager
def _hooks_silenced(bases: Iterable[type]) -> Iterator[None]:
    """Make a class without running ``__init_subclass__`` of its bases in this thread."""
    here = threading.get_ident()
    replaced: list[tuple[type, Any]] = []
    try:
        for owner in dict.fromkeys(cls for base in bases for cls in base.__mro__):
            hook = vars(owner).get('__init_subclass__')
            if hook is not None and owner is not object:
                with contextlib.suppress(
                    TypeError
                ):  # compiled classes can't be changed; theirs do no harm
                    _set(owner, '__init_subclass__', classmethod(_silenced(hook, here)))
                    replaced.append((owner, hook))
        yield
    finally:
        for owner, hook in replaced:
            _set(owner, '__init_subclass__', hook)


def _silenced(hook: Any, thread: int) -> Callable[..., None]:
    def __init_subclass__(cls: type, **keywords: Any) -> None:
        if threading.get_ident() != thread:
            hook.__get__(None, cls)(**keywords)

    return __init_subclass__


def _set(cls: type, name: str, value: Any) -> None:
    builtin_of(type(cls), '__setattr__')(cls, name, value)


def set_methods(cls: type, methods: dict[str, Any], cells: list[types.CellType]) -> None:
    """Set the methods of a new class.

    Objects of the class may be made before its other attributes are set.

    Parameters
    ----------
    cls : type
    methods : dict
    cells : list of cell
        Variables of methods that hold the class itself.
    """
    for cell in cells:
        cell.cell_contents = cls
    record = record_of(cls)
    if record is None or record.is_complete:
        return
    set_attribute = builtin_of(type(cls), '__setattr__')
    for name, method in methods.items():
        set_attribute(cls, name, method)


def fill_class(cls: type, state: tuple[Any, ...]) -> None:
    """Complete a class that was just made; one that was here already stays as it is.

    Parameters
    ----------
    cls : type
    state : tuple
        Its attributes, the classes that are registered as its subclasses, and what the names in its
        annotations stand for. Its first two members are there for what making them does.
    """
    record = record_of(cls)
    if record is None or record.is_complete:
        return
    _, _, attributes, registered, hints = state
    with lock:
        set_attribute, delete = (
            builtin_of(type(cls), '__setattr__'),
            builtin_of(type(cls), '__delattr__'),
        )
        for name in vars(cls).keys() - attributes.keys() - record.names:
            delete(cls, name)
        for name, value in attributes.items():
            set_attribute(cls, name, value)
        for other in registered:
            ABCMeta.register(cls, other)  # type: ignore[arg-type]
        for name, member in record.members.items():
            if isinstance(name, tuple):
                cls._value2member_map_.setdefault(name[0], member)  # type: ignore[attr-defined]
        record.members.clear()
        record.hints = hints
        keep_classes([cls])


def make_object(
    cls: Any,
    args: tuple[Any, ...],
    keywords: dict[str, Any],
    parts: tuple[type, tuple[Any, ...]] | None,
) -> Any:
    """Make an object, which its state completes.

    Parameters
    ----------
    cls : type
    args, keywords
        For its ``__new__``.
    parts : tuple
        The innermost class and what that makes it of: while the class itself is being made, its own
        ``__new__`` could miss what it needs. None if the class said what to give to ``__new__``.
    """
    record = record_of(cls)
    if parts is not None and record is not None and not record.is_complete:
        return parts[0].__new__(cls, *parts[1])
    return cls.__new__(cls, *args, **keywords)


# --------------------------------------------------------------------------------------------------
# Members of enumerations


def make_member(cls: Any, name: Any, base: type, args: tuple[Any, ...]) -> Any:
    """Return a member of an enumeration; make it if the enumeration is incomplete.

    Parameters
    ----------
    cls : type
    name : str or tuple
        Its name; of a combination of flags a tuple that holds its value.
    base : type
        What makes it: :class:`object`, or the type of the data that its members are.
    args : tuple
        For ``base.__new__``.
    """
    record = record_of(cls)
    if record is None or record.is_complete:
        return cls(name[0]) if isinstance(name, tuple) else cls._member_map_[name]
    if name not in record.members:
        # A class that is filled again, for another task, keeps its members.
        member = vars(cls).get('_member_map_', {}).get(name)
        record.members[name] = base.__new__(cls, *args) if member is None else member
    return record.members[name]


def fill_member(member: Any, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Set the attributes and slots of a member of an enumeration that is being made."""
    record = record_of(type(member))
    if record is None or record.is_complete:
        return
    attributes, slots = state
    member.__dict__.clear()
    member.__dict__.update(attributes)
    for name, value in slots.items():
        object.__setattr__(member, name, value)
