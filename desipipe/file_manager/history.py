"""Find which files the tasks of a queue read and wrote, from its journal.

The journal knows it also when the notes beside the files are gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Literal, NamedTuple, TypedDict

from ..errors import PayloadError
from ..provenance import Content
from ..queue.ends import End, end_at
from ..queue.event_checks import decode_event
from ..queue.events import STATES, EventKind
from ..queue.ledger import Ledger
from .note_lists import Source
from .origins import Look

_MARK = b'"files":'

FileState = Literal['missing', 'changed', 'stale', 'current', 'input']
"""State of a file.

``'changed'``: it holds something else than its task wrote; ``'stale'``: something that it was made
of, however far up, does; ``'input'``: no task of the queue wrote it.
"""


class FileTask(TypedDict):
    """A task that read or wrote a file."""

    tid: str
    name: str
    index: int


class FileMaker(FileTask):
    """The attempt that wrote a file last."""

    attempt: int
    state: str
    time: float
    """Seconds since the epoch at which it ended."""
    host: str
    app: str
    """Identity of its code."""
    versions: dict[str, str]


class FileInput(TypedDict):
    """A file of which another one was made, as it was then."""

    path: str
    size: int
    mtime: int
    sha256: str
    same: bool | None
    """True if it still holds that; None if it is gone."""
    stale: bool
    """True if something that it was made of holds something else now."""


class FileSummary(TypedDict):
    """A file that tasks of a queue read or wrote."""

    path: str
    state: FileState
    size: int
    mtime: int
    """Nanoseconds since the epoch; as size and digest when it was written, else last read."""
    sha256: str
    maker: FileMaker | None
    inputs: list[FileInput]
    changed: list[str]
    """Files, however far up, that hold something else now than when something was made of them."""
    readers: list[FileTask]


class Attempt(NamedTuple):
    """One attempt of a task, and its files."""

    row: int
    end: End
    worker: str
    read: dict[str, Content]
    written: dict[str, Content]
    before: dict[str, int]
    """Number of those that it read which each of these was made of: the first so many; all, if
    it is not said.
    """


def attempts(ledger: Ledger) -> list[Attempt]:
    """The attempts that read or wrote files, in the order in which they ended.

    Parameters
    ----------
    ledger : Ledger

    Returns
    -------
    attempts : list of Attempt
    """
    ledger.follow()
    return ledger.again(lambda: list(_attempts(ledger)))


def _attempts(ledger: Ledger) -> Iterator[Attempt]:
    pairs: list[tuple[End, str]] = []
    for offset, line, _ in ledger.journal.scan():
        if _MARK not in line:
            continue
        event = decode_event(line, offset)
        if event is not None and event['e'] == EventKind.END:
            pairs += (
                (end_at(event, int(index)), event['w'])
                for index, detail in (event['x'] if 'x' in event else {}).items()
                if 'files' in detail
            )
    ids = ledger.state.ids
    for end, worker in sorted(pairs, key=lambda pair: pair[0].began + 1e-6 * pair[0].duration):
        if end.row < len(ids) and ledger.state.rows.get(ids[end.row]) == end.row:
            yield _attempt(ledger, end, worker)


def _attempt(ledger: Ledger, end: End, worker: str) -> Attempt:
    files: dict[str, dict[str, Content]] = {'read': {}, 'write': {}}
    before: dict[str, int] = {}
    generation = ledger.journal.header['gen']
    try:
        for line in ledger.files(end.files):
            files[line['do']][line['path']] = Content(line['size'], line['mtime'], line['sha256'])
            if (of := line.get('of')) is not None:
                before[line['path']] = of
    except PayloadError:
        ledger.follow()
        if ledger.journal.header['gen'] != generation:
            raise  # compaction put it elsewhere: all is looked at again
    return Attempt(end.row, end, worker, files['read'], files['write'], before)


class _History(Look):
    """The origins of files, as the journal tells them."""

    def __init__(self, attempts: list[Attempt]) -> None:
        super().__init__()
        self._of = {
            (name, content.sha256): attempt
            for attempt in attempts
            for name, content in attempt.written.items()
        }  # of several, the last one

    def made_of(self, path: str, content: Content) -> list[Source]:
        """See :class:`Look`."""
        attempt = self._of.get((path, content.sha256))
        return [] if attempt is None else sources(attempt, path)


def sources(attempt: Attempt, path: str) -> list[Source]:
    """Return what an attempt had read when it wrote a file, without that file itself."""
    return [
        (name, content)
        for name, content in islice(attempt.read.items(), attempt.before.get(path))
        if name != path
    ]


def file_summaries(ledger: Ledger, path: str | None = None) -> list[FileSummary]:
    """The files that the tasks of a queue read and wrote.

    Parameters
    ----------
    ledger : Ledger
    path : str, default=None
        Only this file, or those in this folder.

    Returns
    -------
    files : list of FileSummary
        By path.
    """
    wanted = None if path is None else os.path.realpath(path)
    makers: dict[str, tuple[Attempt, Content]] = {}
    readers: dict[str, dict[int, Content]] = {}
    attempts_read = attempts(ledger)
    for attempt in attempts_read:
        for name, content in attempt.read.items():
            readers.setdefault(name, {})[attempt.row] = content
        for name, content in attempt.written.items():
            makers[name] = (attempt, content)
    look = _History(attempts_read)
    summaries = []
    for name in sorted(makers.keys() | readers.keys()):
        if wanted is not None and name != wanted and not name.startswith(os.path.join(wanted, '')):
            continue
        maker, content = (
            makers[name] if name in makers else (None, next(reversed(readers[name].values())))
        )
        summaries.append(_summary(ledger, look, name, content, maker, readers.get(name, ())))
    return summaries


def _summary(
    ledger: Ledger,
    look: Look,
    path: str,
    content: Content,
    maker: Attempt | None,
    readers: Iterable[int],
) -> FileSummary:
    of = [] if maker is None else sources(maker, path)
    changed = look.changed(path, of)
    return {
        'path': path,
        'state': _state(look.same(path, content), maker is not None, bool(changed)),
        'size': content.size,
        'mtime': content.mtime,
        'sha256': content.sha256,
        'maker': None if maker is None else _maker(ledger, maker),
        'inputs': [_input(look, other, was) for other, was in of],
        'changed': changed,
        'readers': [_label(ledger, row) for row in readers],
    }


def _state(same: bool | None, made: bool, stale: bool) -> FileState:
    if same is None:
        return 'missing'
    if not made:
        return 'input'
    if not same:
        return 'changed'
    return 'stale' if stale else 'current'


def _input(look: Look, path: str, was: Content) -> FileInput:
    same = look.same(path, was)
    return {
        'path': path,
        'size': was.size,
        'mtime': was.mtime,
        'sha256': was.sha256,
        'same': same,
        'stale': same is not False and bool(look.changed(path, look.above((path, was)))),
    }


def _label(ledger: Ledger, row: int) -> FileTask:
    state = ledger.state
    return {
        'tid': state.ids[row].hex(),
        'name': state.groups[state.group[row]].name,
        'index': state.index[row],
    }


def _maker(ledger: Ledger, attempt: Attempt) -> FileMaker:
    state, end = ledger.state, attempt.end
    app = state.groups[state.group[attempt.row]].app
    worker = state.workers.get(attempt.worker)
    return {
        **_label(ledger, attempt.row),
        'attempt': end.attempt,
        'state': STATES[end.state],
        'time': end.began + 1e-6 * end.duration,
        'host': worker.host if worker else '',
        'app': app,
        'versions': {
            **state.versions.get((attempt.worker, ''), {}),
            **state.versions.get((attempt.worker, app), {}),
        },
    }
