"""Find which files the tasks of a queue read and wrote, from its journal.

The journal knows it also when the notes beside the files are gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from ..errors import PayloadError
from ..provenance import Content
from ..queue.ends import End, end_at
from ..queue.event_checks import decode_event
from ..queue.events import STATES, EventKind
from ..queue.ledger import Ledger
from .note_lists import Source
from .origins import Look

_MARK = b'"files":'


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


def file_summaries(ledger: Ledger, path: str | None = None) -> list[dict[str, Any]]:
    """The files that the tasks of a queue read and wrote.

    Parameters
    ----------
    ledger : Ledger
    path : str, default=None
        Only this file, or those in this folder.

    Returns
    -------
    files : list of dict
        By path: ``path``, ``state``, ``size``, ``sha256`` and ``mtime`` (ns) as it was written,
        else as it was last read; ``maker``: ``None``, or a dictionary with ``tid``, ``name``,
        ``index``, ``attempt``, ``state``, ``time``, ``host``, ``app``, ``versions``; ``inputs``:
        ``path``, ``size``, ``mtime``, ``sha256``, ``same``: whether it still holds that, ``None``
        if it is gone, and ``stale``: whether what that was made of changed; ``changed``: files,
        however far up, that hold something else now than when it, or what it was made of, was made
        of them; ``readers``: ``tid``, ``name``, ``index`` of tasks that read it. ``state`` is
        ``'missing'``; ``'changed'``: it holds something else than the task wrote; ``'stale'``:
        there are such files as of ``changed``; ``'current'``; or ``'input'``: no task of the queue
        wrote it.
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
        of = [] if maker is None else sources(maker, name)
        changed = look.changed(name, of)
        now = look.same(name, content)
        if now is None:
            state = 'missing'
        elif maker is None:
            state = 'input'
        else:
            state = 'changed' if not now else 'stale' if changed else 'current'
        summaries.append(
            {
                'path': name,
                'state': state,
                **content._asdict(),
                'maker': None if maker is None else _maker(ledger, maker),
                'inputs': [_input(look, other, was) for other, was in of],
                'changed': changed,
                'readers': [_label(ledger, row) for row in readers.get(name, ())],
            }
        )
    return summaries


def _input(look: Look, path: str, was: Content) -> dict[str, Any]:
    same = look.same(path, was)
    stale = same is not False and bool(look.changed(path, look.above((path, was))))
    return {'path': path, **was._asdict(), 'same': same, 'stale': stale}


def _label(ledger: Ledger, row: int) -> dict[str, Any]:
    state = ledger.state
    return {
        'tid': state.ids[row].hex(),
        'name': state.groups[state.group[row]].name,
        'index': state.index[row],
    }


def _maker(ledger: Ledger, attempt: Attempt) -> dict[str, Any]:
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
