"""Make classes again in the process that loads a payload, one class for each key.

A class is made from its metaclass and its bases without running what the user wrote for the making of
classes (``__init_subclass__``, ``__set_name__``, metaclasses): what these did is in the attributes that
come with it. Payloads refer to the functions here by name, as to those of :mod:`~.makers`.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from _abc import _abc_init  # type: ignore[import-not-found]
from abc import ABCMeta
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType
from typing import Any

__all__ = ['ClassRecord', 'fill_class', 'fill_member', 'keep_classes', 'key_of', 'make_class', 'make_member', 'register', 'start_task']

_lock = threading.RLock()
_task = 0  # number of the task that runs in this process; 0 where no slot runs tasks


class ClassRecord:
    """What this process knows of a class that travels by value.

    Parameters
    ----------
    cls : type
    key : str
        Equal for equal classes, in every process.
    is_made : bool
        Whether it was made here from a payload; otherwise it is this program's own.
    """

    __slots__ = ('is_made', 'key', 'members', 'names', 'ref', 'task')

    def __init__(self, cls: type, key: str, is_made: bool) -> None:
        self.key = key
        self.is_made = is_made
        self.task = -1
        """Number of the task that it was filled for."""
        self.names = frozenset(vars(cls))
        """Attributes that it has from the beginning."""
        self.members: dict[Any, Any] = {}
        """Members of an enumeration that is not filled yet, by name, or by value those without."""
        number = id(cls)
        self.ref = weakref.ref(cls, lambda _: _records.pop(number, None))

    @property
    def is_complete(self) -> bool:
        """Whether the class is as it should be: this program's own, or filled for the task that runs."""
        return not self.is_made or self.task == _task


_records: dict[int, ClassRecord] = {}  # by id of the class
_classes: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()  # by key


def register(cls: type, key: str, is_made: bool = False) -> ClassRecord:
    """Note the key of a class."""
    with _lock:
        record = _records[id(cls)] = ClassRecord(cls, key, is_made)
        _classes[key] = cls
    return record


def record_of(cls: type) -> ClassRecord | None:
    """Return what is known of a class; None if it was neither made from a payload nor carried."""
    record = _records.get(id(cls))
    return record if record is not None and record.ref() is cls else None


def key_of(cls: type) -> str:
    """Return the key of a class; empty if it has none yet."""
    record = record_of(cls)
    return '' if record is None else record.key


def start_task() -> None:
    """Begin a task: classes that it loads get the attributes that they came with, whatever tasks before it changed."""
    global _task
    _task += 1


def keep_classes(classes: Iterable[type]) -> None:
    """Keep classes for the task that begins as they are: nothing has changed them."""
    for cls in classes:
        record = record_of(cls)
        if record is not None:
            record.task = _task


# ---------------------------------------------------------------------------------------------------------------------
# Classes


def make_class(key: str, meta: type, name: str, bases: tuple[type, ...], layout: dict[str, Any]) -> type:
    """Return the class that has this key here, or make it; :func:`fill_class` completes it.

    Parameters
    ----------
    key : str
    meta : type
        Its class.
    name : str
    bases : tuple of type
    layout : dict
        Attributes that must be there from the beginning: ``__slots__``, ``__module__`` and the like.

    Returns
    -------
    cls : type
    """
    with _lock:
        known = _classes.get(key)
        if known is not None:
            return known
        with _hooks_silenced(bases):
            cls: type = builtin_of(meta, '__new__')(meta, name, bases, dict(layout))
        if issubclass(meta, ABCMeta):
            _abc_init(cls)
        register(cls, key, is_made=True)
        return cls


def builtin_of(meta: type, name: str) -> Callable[..., Any]:
    """Return the method of a metaclass that Python, or a compiled module, has for it; not one written in Python."""
    for cls in meta.__mro__:
        method = vars(cls).get(name)
        if method is not None and not isinstance(getattr(method, '__func__', method), FunctionType):
            return getattr(cls, name)  # type: ignore[no-any-return]
    raise TypeError(f'{meta.__name__} is no metaclass')


@contextlib.contextmanager
def _hooks_silenced(bases: Iterable[type]) -> Iterator[None]:
    """Make a class without running ``__init_subclass__`` of its bases in this thread."""
    here = threading.get_ident()
    replaced: list[tuple[type, Any]] = []
    try:
        for owner in dict.fromkeys(cls for base in bases for cls in base.__mro__):
            hook = vars(owner).get('__init_subclass__')
            if hook is not None and owner is not object:
                with contextlib.suppress(TypeError):  # compiled classes can't be changed; theirs do no harm
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


def fill_class(cls: type, state: tuple[dict[str, Any], list[type]]) -> None:
    """Complete a class that was just made; one that was here already stays as it is.

    Parameters
    ----------
    cls : type
    state : tuple
        Its attributes, and the classes that are registered as its subclasses.
    """
    record = record_of(cls)
    if record is None or record.is_complete:
        return
    attributes, registered = state
    with _lock:
        set_attribute, delete = builtin_of(type(cls), '__setattr__'), builtin_of(type(cls), '__delattr__')
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
        record.task = _task


# ---------------------------------------------------------------------------------------------------------------------
# Members of enumerations


def make_member(cls: Any, name: Any, base: type, args: tuple[Any, ...]) -> Any:
    """Return a member of an enumeration; one that is still to be filled gets its member from here.

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
        known = vars(cls).get('_member_map_', {}).get(name)
        record.members[name] = base.__new__(cls, *args) if known is None else known
    return record.members[name]


def fill_member(member: Any, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Complete a member of an enumeration that is being made: attributes, and what is in slots."""
    record = record_of(type(member))
    if record is None or record.is_complete:
        return
    attributes, slots = state
    member.__dict__.clear()
    member.__dict__.update(attributes)
    for name, value in slots.items():
        object.__setattr__(member, name, value)
