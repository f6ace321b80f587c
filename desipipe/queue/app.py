"""Apps: functions and commands whose calls are tasks. Knows nothing of queues."""

from __future__ import annotations

import functools
import inspect
import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import repeat
from operator import is_
from typing import Any, NamedTuple

import orjson

from ..config.option_owners import refuse
from ..errors import NotSerializableError
from ..provenance import software
from ..serialize import (
    Code,
    Payload,
    current,
    describe,
    dumps_arguments,
    encode,
    refuse_text_of_futures,
    task_identities,
    task_identity,
    text,
)
from ..serialize.identity import SMALL
from ..serialize.plain import ATOMS
from ..settings.carried import carried_settings
from ..terminal import visible
from ..utils import BaseClass
from .adding import Batch
from .app_options import check_inputs, check_options, own_folders
from .binding import Binder
from .events import Group

KINDS = ('python', 'bash', 'cell')
_MISSING = object()
_OPTIONS = ('timeout', 'retries', 'retry_on', 'priority', 'save_attrs', 'save_dir')


class App(BaseClass):
    """A function whose calls are tasks.

    Parameters
    ----------
    func : callable
        For kinds ``'python'`` and ``'cell'`` (of a notebook: what it displays is kept) what runs;
        for ``'bash'`` what returns the command: a list of arguments, or one string for the shell.
    kind : str, default='python'
    name : str, default=None
        Name of the tasks; the function's by default.
    timeout : float, default=None
        Seconds that one attempt may take.
    retries : int, default=0
        Number of times that a failed attempt is followed by another.
    retry_on : str or sequence of str, default=()
        Exception names, ``'FAILED'``, ``'KILLED'``, ``'UNKNOWN'``: what is retried; empty:
        everything.
    priority : int, default=0
        Larger goes first.
    save_attrs : str or sequence of str, default=('code', 'versions')
        What is saved in a folder ``.desipipe`` with the files that its tasks save: the code, the
        versions of packages, ``'cwd'``: a copy of the folder of the call. Other attributes of a
        task (``'kwargs'``, ``'out'``, …), with a ``save_dir``: all of them are saved as a file in
        it when the task succeeded. Empty: neither code nor versions.
    save_dir : str, default=None
        Folder that holds ``.desipipe``; by default that of each file.
    inputs : str, default='path'
        ``'content'``: what is in the files among the arguments counts for the identity of a task,
        too, except in those that this app wrote itself. Every file is read once, in the process
        that calls the app, and again when its size or time differ.
    """

    inputs = 'path'

    def __init__(
        self,
        func: Callable[..., Any],
        kind: str = 'python',
        name: str | None = None,
        **options: Any,
    ) -> None:
        if not callable(func):
            raise NotSerializableError(
                f'An app is made of a function, not of {type(func).__name__} {func!r}. '
                'Nothing was made of it. Decorate a function.'
            )
        if (
            inspect.iscoroutinefunction(func)
            or inspect.isgeneratorfunction(func)
            or inspect.isasyncgenfunction(func)
        ):
            raise TypeError(
                f'{func.__name__} is a coroutine or generator function: its call returns before '
                'anything is computed. Make it an ordinary function.'
            )
        self.inputs = check_inputs(options.pop('inputs', 'path'))
        refuse('An app', options, (*_OPTIONS, 'inputs', 'skip', 'name', 'state'))
        self.func = func
        self.kind = kind
        self.name = name or str(getattr(func, '__name__', type(func).__name__))
        self.options = check_options(options)
        self._described: Code | None = None
        self._binder: Binder | None = None
        self._group: tuple[tuple[Any, ...], Group] | None = None
        self._pieces: dict[tuple[Any, ...], tuple[bytes, bytes]] = {}

    def loaded(self) -> App:
        """Return the app itself, which can be added to any queue."""
        return self

    @property
    def description(self) -> Code:
        """Identity and bytes of the function as it is now.

        Helpers and globals may have changed since the last call.
        """
        if self._described is None or not current(self._described):
            self._described = describe(self.func, self.kind)
        return self._described

    @property
    def last_description(self) -> Code:
        """The description as it was last looked at."""
        return self.description if self._described is None else self._described

    @property
    def code(self) -> str:
        """The source of the function and of its helpers."""
        return self.description.source

    @property
    def signature(self) -> inspect.Signature:
        """The function's."""
        return self._bound().signature

    def _bound(self) -> Binder:
        if self._binder is None:
            self._binder = Binder(self.func)
        return self._binder

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return all arguments by name, defaults included.

        So ``f(1)``, ``f(seed=1)`` and the default are the same call.

        What ``*args`` takes is under ``'*args'``; what ``**kwargs`` takes under its own names, or
        under ``'**kwargs'`` where a positional-only parameter has that name.

        Raises
        ------
        TypeError
            As the call itself would.
        """
        return self._bound().bind(args, kwargs, self.name)

    def bind_all(
        self, calls: Sequence[tuple[tuple[Any, ...], dict[str, Any]]]
    ) -> list[dict[str, Any]]:
        """Bind many calls with equal names and numbers of arguments; see :meth:`bind`."""
        return self._bound().bind_all(calls, self.name)

    def group(self, mid: str) -> Group:
        """Return the settings that this app's tasks share for task manager ``mid``."""
        settings = '' if self.kind == 'bash' else carried_settings()
        key = (self.description.digest, mid, os.getcwd(), own_folders(), settings)
        if self._group is None or self._group[0] != key:
            group = Group(
                app=key[0].hex(),
                mid=mid,
                name=self.name,
                kind=self.kind,
                cwd=key[2],
                path=key[3],
                settings=settings,
                **self.options,
            )
            self._group = (key, group)
        return self._group[1]

    def identity(self, arguments: Mapping[str, Any]) -> bytes:
        """The identity of the call with ``arguments``."""
        return task_identity(
            self.description.digest,
            [(name, self._encode(name, value)[0]) for name, value in arguments.items()],
        )

    def share(self, arguments: Mapping[str, Any]) -> Shared:
        """Prepare the arguments that many calls have in common."""
        encoded_items = [(name, *self._piece(name, value)) for name, value in arguments.items()]
        pieces = [(name, encoded) for name, encoded, _ in encoded_items]
        return Shared(
            task_identity(b'', pieces).hex(),
            pieces,
            [word for _, _, word in encoded_items],
            *dumps_arguments(arguments),
        )

    def pack(
        self,
        batch: Batch,
        arguments: Mapping[str, Any],
        digest: bytes,
        shared: Shared | None = None,
    ) -> bytes:
        """Append the call with ``arguments``, and those that the batch shares, to a batch.

        Returns
        -------
        tid : bytes
            The task's identity: the same whether arguments are shared or not.
        """
        pieces = list(shared.pieces) if shared else []
        texts = list(shared.words) if shared else []
        for name, value in arguments.items():
            encoded, word = self._piece(name, value)
            pieces.append((name, encoded))
            texts.append(word)
        tid = task_identity(digest, pieces)
        payload, requires = dumps_arguments(arguments)
        if shared and shared.requires:
            requires = list(dict.fromkeys([*shared.requires, *requires]))
        batch.append(tid, b'{' + b','.join(texts) + b'}', payload, requires)
        return tid

    def pack_all(
        self,
        batch: Batch,
        calls: Sequence[dict[str, Any]],
        digest: bytes,
        shared: Shared | None = None,
    ) -> None:
        """Append many calls to a batch, with plain arguments in columns; see :meth:`pack`."""
        if len(calls) == 1:
            self.pack(batch, calls[0], digest, shared)
            return
        names = list(calls[0]) if calls else []
        columns = {name: [arguments.get(name, _MISSING) for arguments in calls] for name in names}
        kinds = {name: set(map(type, column)) for name, column in columns.items()}
        is_plain = all(types <= ATOMS for types in kinds.values()) and set(map(len, calls)) == {
            len(names)
        }
        if self.inputs == 'content' or not is_plain:
            for arguments in calls:
                self.pack(batch, arguments, digest, shared)
            return
        common = shared.pieces if shared else []
        encoded = {name: [piece] * len(calls) for name, piece in common}
        rows = [[word] * len(calls) for word in shared.words] if shared else []
        for name, column in columns.items():
            encoded[name], texts = self._pieces_of(name, column, kinds[name])
            rows.append(texts)
        texts = [b'{' + b','.join(row) + b'}' for row in zip(*rows, strict=True)]
        texts = texts or [b'{}'] * len(calls)
        pickles = [pickle.dumps(arguments, 5) for arguments in calls]
        if any(str in types for types in kinds.values()):
            for arguments, pickled in zip(calls, pickles, strict=True):
                refuse_text_of_futures(arguments, pickled)
        ids = task_identities(digest, encoded, len(calls))
        batch.extend(ids, texts, pickles, shared.requires if shared else ())

    def _pieces_of(
        self, name: str, column: list[Any], kinds: set[type]
    ) -> tuple[list[bytes], list[bytes]]:
        """Encode the values of an argument in many calls, as :meth:`_piece` does each."""
        first = column[0]
        if all(map(is_, column, repeat(first))):
            piece = self._piece(name, first)
            return [piece[0]] * len(column), [piece[1]] * len(column)
        if kinds == {int} and -SMALL < min(column) and max(column) < SMALL:
            label = _label(name)
            encoded = [b'=%d' % value for value in column]
            return encoded, [b'%b%b"' % (label, data[1:]) for data in encoded]
        pieces = [self._piece(name, value) for value in column]
        return [piece[0] for piece in pieces], [piece[1] for piece in pieces]

    def _piece(self, name: str, value: Any) -> tuple[bytes, bytes]:
        # What is passed again and again (the constants of a sweep) is encoded once. By type as
        # well: 1 == 1.0 == True.
        kind = type(value)
        if kind is int and -SMALL < value < SMALL:
            return b'=%d' % value, b'%b%d"' % (_label(name), value)
        if kind is int or kind is str or kind is bool or kind is float or value is None:
            key: tuple[Any, ...] = (
                (name, kind, value, str(value)) if kind is float else (name, kind, value)
            )
            piece = self._pieces.get(key)
            if piece is None:
                if len(self._pieces) > 4096:
                    self._pieces.clear()
                piece = self._pieces[key] = self._encode(name, value)
            return piece
        return self._encode(name, value)

    def _encode(self, name: str, value: Any) -> tuple[bytes, bytes]:
        encoded, shown = encode(value, name), text(value)
        if self.inputs == 'content' and (contents := list(_contents(value, self.name))):
            encoded = encode((encoded, contents), name)
            shown += f' holding #{encoded.hex()[-16:]}'
        return encoded, orjson.dumps(name) + b':' + orjson.dumps(shown)

    def versions(self) -> dict[str, str]:
        """Return versions of the packages the function uses in this process, if Python."""
        return {} if self.kind == 'bash' else software.versions(self.description.packages)

    def __repr__(self) -> str:
        return visible(f'<{self.kind} app {self.name}>', lines=False)


class Shared(NamedTuple):
    """Arguments that are the same in many calls: encoded, and stored, once."""

    digest: str
    """Hexadecimal."""
    pieces: list[tuple[str, bytes]]
    words: list[bytes]
    payload: Payload
    requires: list[bytes]


@functools.cache
def _label(name: str) -> bytes:
    """Return what stands before the text of an argument."""
    return orjson.dumps(name) + b':"'


def _contents(value: Any, app: str) -> Iterator[str]:
    """Return what the files among an argument hold.

    Objects of upper layers say it themselves.
    """
    content = getattr(type(value), '__desipipe_content__', None)
    if content is not None:
        digest = content(value, app)
        if digest:
            yield digest
    elif type(value) is dict:
        for item in value.items():
            yield from _contents(item, app)
    elif type(value) in (list, tuple):
        for item in value:
            yield from _contents(item, app)
    elif type(value) in (set, frozenset):
        yield from sorted(content for item in value for content in _contents(item, app))
