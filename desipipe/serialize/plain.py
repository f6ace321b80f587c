"""References to tasks, canonical text of plain values, digests.

This module is on the path of every task that is added: it imports nothing heavy.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Any, TypeVar

__all__ = ['TaskReference', 'TaskReferences']

DIGEST_SIZE = 16  # bytes; a task's identity is one
OUT_OF_BAND = (
    4096  # bytes; smaller buffers stay in the pickle: apart they would cost more than they save
)
_VERBATIM = (
    64  # bytes; what is shorter is readable in a dump, what is longer only costs more to hash again
)
# levels of containers that are written as text: deeper (or cyclic, or shared many times) ones are
# hashed level by level
_DEPTH = 8

# Exact types whose `ascii` is canonical: equal for equal values of equal type, in every version of
# Python, and for nothing else.
WORDS: frozenset[type] = frozenset((int, float, str, bool, type(None)))
# Exact types, and flat lists of them, that the C pickler carries without help. Long bytes would
# grow fourfold as text.
ATOMS: frozenset[type] = WORDS | {bytes}


class TaskReference:
    """The placeholder of a task's result: the base class of futures.

    Parameters
    ----------
    tid : bytes
        Identity of the task, 16 bytes.
    item : str, default=''
        Key of what is meant, for a task that returns a dictionary; empty: all that it returns.
    """

    __slots__ = ('item', 'tid')
    tid: bytes
    item: str

    def __init__(self, tid: bytes, item: str = '') -> None:
        self.tid = tid
        self.item = item

    def __repr__(self) -> str:
        return (
            f'<{type(self).__name__} {self.tid.hex()[:12]}{"." + self.item if self.item else ""}>'
        )


class TaskReferences:
    """The base class of sequences of placeholders that stand for lists of them."""

    __slots__ = ()


def reference(tid: bytes, item: str = '') -> TaskReference:
    """Return what a reference to a task becomes where nothing resolves it.

    Payloads refer to this function by name.
    """
    return TaskReference(tid, item)


def digest(data: bytes | memoryview) -> bytes:
    """Hash of ``data``, 16 bytes."""
    return blake2b(data, digest_size=DIGEST_SIZE).digest()


def short(data: bytes) -> bytes:
    """Return ``data`` where it is short, else ``b'#'`` and its digest.

    No caller's data begins with ``b'#'``.
    """
    return data if len(data) <= _VERBATIM else b'#' + digest(data)


def pack(tag: bytes, *chunks: bytes) -> bytes:
    """Join a tag and chunks to one :func:`short` piece, each chunk behind its length."""
    return short(tag + b''.join([b'%d:%b' % (len(chunk), chunk) for chunk in chunks]))


def _word(value: Any) -> str:
    try:
        return ascii(value)
    except ValueError:
        # Python refuses to write huge integers (`sys.set_int_max_str_digits`); the text must not
        # depend on that setting.
        from decimal import Decimal

        return format(Decimal(value), 'f')


def plain_text(value: Any, references: bool = True, depth: int = _DEPTH) -> str:
    """Return the canonical text of a plain value.

    Plain are numbers, text, bytes, None, and lists, tuples, dictionaries and sets of such.

    It is a Python expression (in which ``@…`` is a task), with the items of dictionaries and sets
    in the order of their text.

    Parameters
    ----------
    value : object
    references : bool, default=True
        True if references to tasks are plain too.
    depth : int
        Number of levels of containers to enter.

    Returns
    -------
    text : str
        ASCII; empty if the value is not plain.
    """
    kind = type(value)
    if kind in WORDS:
        return _word(value)
    container_text = _CONTAINER_TEXTS.get(kind)
    if container_text is not None:
        return container_text(value, references, depth)
    if kind is bytes:
        return ascii(value) if len(value) <= _VERBATIM else f'b#{digest(value).hex()}'
    if issubclass(kind, TaskReferences):
        return _sequence_text(list(value), references, depth)
    if references and issubclass(kind, TaskReference):
        return f'@{value.tid.hex()}.{value.item}' if value.item else f'@{value.tid.hex()}'
    return ''


def _sequence_text(value: Any, references: bool, depth: int) -> str:
    if WORDS.issuperset(map(type, value)):
        try:
            return ascii(value)
        except ValueError:
            texts = [_word(item) for item in value]
    else:
        texts = _item_texts(value, references, depth)
        if not texts:
            return ''
    if type(value) is list:
        return f'[{", ".join(texts)}]'
    return f'({texts[0]},)' if len(texts) == 1 else f'({", ".join(texts)})'


def _dictionary_text(value: Any, references: bool, depth: int) -> str:
    if WORDS.issuperset(map(type, value)) and WORDS.issuperset(map(type, value.values())):
        pairs = [f'{_word(key)}: {_word(item)}' for key, item in value.items()]
    else:
        keys = _item_texts(value, references, depth)
        texts = _item_texts(value.values(), references, depth) if keys else []
        if not texts:
            return ''
        pairs = [f'{key}: {text}' for key, text in zip(keys, texts, strict=True)]
    return f'{{{", ".join(sorted(pairs))}}}'


def _set_text(value: Any, references: bool, depth: int) -> str:
    texts = _item_texts(value, references, depth)
    if not depth or (value and not texts):
        return ''
    body = f'{{{", ".join(sorted(texts))}}}' if texts else 'set()'
    return f'frozenset({body})' if type(value) is frozenset else body


def _item_texts(items: Iterable[Any], references: bool, depth: int) -> list[str]:
    """Return the texts of items; none unless all are plain."""
    if not depth:
        return []
    texts = []
    for item in items:
        text = _word(item) if type(item) in WORDS else plain_text(item, references, depth - 1)
        if not text:
            return []
        texts.append(text)
    return texts


_CONTAINER_TEXTS: dict[type, Callable[[Any, bool, int], str]] = {
    list: _sequence_text,
    tuple: _sequence_text,
    dict: _dictionary_text,
    set: _set_text,
    frozenset: _set_text,
}


def is_plain(value: Any, depth: int = _DEPTH) -> bool:
    """Return True for a value of exact plain types, which the C pickler carries alone."""
    kind = type(value)
    if kind in ATOMS:
        return True
    if kind is dict:
        return ATOMS.issuperset(map(type, value)) and (
            ATOMS.issuperset(map(type, value.values()))
            or (depth > 0 and all(is_plain(item, depth - 1) for item in value.values()))
        )
    if kind is list or kind is tuple:
        return ATOMS.issuperset(map(type, value)) or (
            depth > 0 and all(is_plain(item, depth - 1) for item in value)
        )
    return False


_LAYERS = 100  # of decorators


def unwrapped(value: Any) -> Iterator[Any]:
    """Yield a callable and what it wraps, by `__wrapped__` and `__func__`.

    A circle of these ends.
    """
    seen: list[Any] = []
    while value is not None and len(seen) < _LAYERS and not any(value is item for item in seen):
        seen.append(value)
        yield value
        inner = attribute(value, '__wrapped__')
        value = attribute(value, '__func__') if inner is None else inner


def attribute(value: Any, name: str) -> Any:
    """Return an attribute, None where there is none or asking for it raises."""
    try:
        return getattr(value, name, None)
    except Exception:
        return None


_T = TypeVar('_T')
_DEEP = (
    30_000  # levels; Python's own limit is 1,000, of which one level of someone's data can take ten
)
_DEEP_NAME = 'desipipe-deep'
_deep_lock = threading.Lock()
_STACK = 1 << 28  # bytes that these may take; only what is used is ever there


def deep(call: Callable[[], _T]) -> _T:
    """Repeat a call that failed with :class:`RecursionError`, in a larger thread.

    Linked lists, trees, and functions that call each other in long chains are nested deeper than
    Python allows for by default.
    """
    result: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            result.append(call())
        except BaseException as exc:
            errors.append(exc)

    if threading.current_thread().name == _DEEP_NAME:
        return call()
    with _deep_lock:  # limit and size are those of all threads
        limit, size = sys.getrecursionlimit(), threading.stack_size(_STACK)
        try:
            sys.setrecursionlimit(max(limit, _DEEP))
            thread = threading.Thread(target=run, name=_DEEP_NAME)
            thread.start()
            thread.join()
        finally:
            threading.stack_size(size)
            sys.setrecursionlimit(limit)
    if errors:
        raise errors[0]
    return result[0]


def standard_stream(value: object) -> str:
    """Return ``'stdout'``, ``'stderr'`` or ``'stdin'`` for these streams, else ``''``."""
    for name in ('stdout', 'stderr', 'stdin'):
        if value is getattr(sys, name) or value is getattr(sys, f'__{name}__'):
            return name
    return ''
