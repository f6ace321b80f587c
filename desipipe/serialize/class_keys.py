"""Keys of classes: equal classes become one in every process that loads them."""

from __future__ import annotations

import collections
import uuid

from ..errors import NotSerializableError
from .class_registry import ClassRecord, lock, record_of, register
from .modules import MAIN
from .plain import deep, digest

__all__ = ['class_key', 'has_key']

REMEMBERED_MAX = 256  # classes whose content is remembered, which keeps them from being freed
_FORGOTTEN = object()
_remembered: collections.deque[ClassRecord] = collections.deque()


def class_key(cls: type) -> str:
    """Return the key of a class, by its content.

    A class that was made from a payload keeps the key that it came with. One whose content has no
    stable identity has a key of this process: it comes back as itself, but is another class
    elsewhere.
    """
    with lock:
        record = record_of(cls)
        if record is not None and (record.is_made or _holds(record)):
            return record.key
        return _register(cls).key


def has_key(cls: object, key: str) -> bool:
    """Return True for a class that has this key, or has it in another payload."""
    if not isinstance(cls, type):
        return False
    record = record_of(cls)
    # Also one that was changed since it was sent under this key: it is the class that was meant.
    return (record is not None and record.key == key) or class_key(cls) == key


def _holds(record: ClassRecord) -> bool:
    return record.memory is None or (
        record.memory is not _FORGOTTEN and bool(record.memory.unchanged())
    )


def _register(cls: type) -> ClassRecord:
    from .walk.walker import Walker

    walker = Walker()
    try:
        try:
            content = walker.encode(cls)
        except RecursionError:
            walker = Walker()
            content = deep(lambda: walker.encode(cls))
    except (NotSerializableError, RecursionError):
        return register(cls, f'{cls.__qualname__}:{uuid.uuid4().hex}')
    module = '__main__' if cls.__module__ in MAIN else cls.__module__
    key = digest(f'{module}\0{cls.__qualname__}\0'.encode('utf-8', 'surrogatepass') + content).hex()
    record = register(cls, key, memory=walker)
    _remembered.append(record)
    while len(_remembered) > REMEMBERED_MAX:
        _remembered.popleft().memory = _FORGOTTEN
    return record
