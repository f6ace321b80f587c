"""Registry of the user's classes in this process: one class for each key.

The key of a class says its content, so that it is the same in every process; see
:mod:`~.class_keys`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable
from typing import Any

__all__ = [
    'ClassRecord',
    'add_key',
    'class_of',
    'classes_of_task',
    'in_slot',
    'keep_classes',
    'lock',
    'record_of',
    'register',
    'rename',
    'start_task',
]

lock = threading.RLock()
_of_task: list[type] = []
_task = 0  # number of the task that runs in this process; 0 where no slot runs tasks


class ClassRecord:
    """A class that travels by value, as this process knows it.

    Parameters
    ----------
    cls : type
    key : str
    is_made : bool
        True if it was made here from a payload; otherwise it is this program's own.
    memory : object
        What tells whether the key of a class of this program's own still holds.
    """

    __slots__ = ('hints', 'is_made', 'key', 'members', 'memory', 'names', 'ref', 'task')

    def __init__(self, cls: type, key: str, is_made: bool, memory: Any = None) -> None:
        self.key = key
        self.is_made = is_made
        self.memory = memory
        self.task = -1
        """Number of the task that it was filled for."""
        self.names = frozenset(vars(cls))
        """Attributes that it has from the beginning."""
        self.members: dict[Any, Any] = {}
        """Members of an enumeration that is not filled yet, by name, or by value those without."""
        self.hints: dict[str, Any] = {}
        """Values of the names in its annotations, where these are text."""
        number = id(cls)
        self.ref = weakref.ref(cls, lambda _: _records.pop(number, None))

    @property
    def is_complete(self) -> bool:
        """True if the class is the program's own, or is filled for the running task."""
        return not self.is_made or self.task == _task


_records: dict[int, ClassRecord] = {}  # by id of the class
_classes: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()  # by key


def register(cls: type, key: str, is_made: bool = False, memory: Any = None) -> ClassRecord:
    """Note the key of a class."""
    with lock:
        record = _records[id(cls)] = ClassRecord(cls, key, is_made, memory)
        _classes[key] = cls
    return record


def add_key(cls: type, key: str) -> None:
    """Note another key under which payloads refer to a class."""
    _classes[key] = cls


def rename(cls: type, key: str) -> str:
    """Give a class a key other than its content's, as the payload has an equal one."""
    record = record_of(cls)
    if record is not None:
        record.key = key
    _classes[key] = cls
    return key


def record_of(cls: type) -> ClassRecord | None:
    """Return the record of a class; None if it was neither loaded nor carried."""
    record = _records.get(id(cls))
    return record if record is not None and record.ref() is cls else None


def class_of(key: str) -> type | None:
    """Return the class that has a key in this process."""
    return _classes.get(key)


def start_task() -> None:
    """Start a task: classes it loads get the attributes that they were sent with.

    Changes that earlier tasks made to these classes are undone.
    """
    global _task
    _task += 1
    _of_task.clear()


def in_slot() -> bool:
    """Return True in processes that run tasks."""
    return _task > 0


def keep_classes(classes: Iterable[type]) -> None:
    """Keep classes for the task that begins as they are: nothing has changed them."""
    for cls in classes:
        record = record_of(cls)
        if record is not None:
            record.task = _task
            _of_task.append(cls)


def has_classes() -> bool:
    """Return True if classes were loaded, or kept, for the task that runs."""
    return bool(_of_task)


def classes_of_task() -> list[type]:
    """Return the classes that were loaded, or kept, for the task that runs."""
    return list(_of_task)
