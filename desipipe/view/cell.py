"""Summarise the tasks of a notebook cell as one plain dictionary.

It has counts, the first failure, and what the tasks printed and drew.

It is asked for again and again while the tasks go: 10,000 of them in a queue of 100,000 cost
little, because each line of the journal is read once and the columns of the state are looked
through as bytes. As in :mod:`desipipe.view.queue`, nothing is unpickled.
"""

from __future__ import annotations

import os
import re
import threading
import time
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from shlex import quote

from ..errors import DesipipeError, PayloadError, QueueGoneError, UnknownTaskError
from ..outputs.thumbnails import thumbnail
from ..queue.events import (
    DROPPED,
    ENDED,
    FAILED,
    KILLED,
    PENDING,
    RUNNING,
    STATES,
    UNKNOWN,
    WAITING,
)
from ..queue.location import type_queue
from ..queue.output import kept_number, outputs, untrusted_writer
from ..queue.queue import Queue
from ..store.lease import Observer
from ..utils import format_bytes, plural
from .queue import (
    WINDOW,
    Dict,
    blocked_causes,
    condition,
    events_at,
    is_alive,
    job_groups,
    job_summaries,
    state_name,
    task_name,
    task_summary,
    untrusted_owner,
    usual_rate,
)
from .text import advice, one_line, waiting_text

LIMIT = 1_000_000
"""Bytes of outputs that a summary holds at most, if nothing else is asked for."""
MOST = 200
"""Outputs that it holds at most."""
SAVED = 'displays'
"""Folder that advice names for displays to be saved in."""
TEXT_MAX = 2000
"""Characters of the text of a display that is shown small."""
SMALL_MIN = 16_000
"""Bytes that an image may have in any case which is shown small."""
JOBS = 8
"""Jobs of batch systems that it names at most."""
GAP = 60.0
"""Seconds of a pause that still count as time that the cell's tasks took: a longer one, as
between two days, does not.
"""

_guard = threading.Lock()
_KEPT = 64  # cells of a queue of which what was read is kept
_JUDGED = (
    1.0,
    5.0,
)  # s after which the processes' leases are read again: on this machine's disk, on a shared one
_RANGE = re.compile(r'(\d{1,15})(?:-(\d{1,15}))?', re.ASCII)
# Of tracebacks: where the task was in its cell. Cells' files are named by their magic.
_FRAME = re.compile(r'^\s*File "<%%desipipe[^"\n]*", line (\d+)', re.M)


# Rows as text


def parse_rows(text: str) -> list[range]:
    """Rows as they are written for people and addresses: ``'0-19,40'``.

    Parameters
    ----------
    text : str
        Numbers and ranges, both ends included, in any order.

    Returns
    -------
    rows : list of range
        In the order of the text.

    Raises
    ------
    UnknownTaskError
        It is something else.
    """
    rows = []
    for word in text.split(',') if text.strip() else ():
        found = _RANGE.fullmatch(word.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, -1)
        if last < first:
            raise UnknownTaskError(
                f'{one_line(word, 40)!r} is no row of a queue, and no range of them: write rows as '
                '0-19,40'
            )
        rows.append(range(first, last + 1))
    return rows


def format_rows(rows: Iterable[int | range]) -> str:
    """The inverse of :func:`parse_rows`; the order is kept, neighbours become ranges.

    Parameters
    ----------
    rows : iterable of int or range

    Returns
    -------
    text : str
    """
    return ','.join(
        f'{part.start:d}-{part.stop - 1:d}' if len(part) > 1 else f'{part.start:d}'
        for part in _ranges(rows)
    )


def _ranges(rows: Iterable[int | range]) -> list[range]:
    parts: list[range] = []
    start = stop = -1
    for item in rows:
        first, last = (item, item + 1) if isinstance(item, int) else (item.start, item.stop)
        if first == stop:
            stop = last
        elif first < last:
            if stop > start:
                parts.append(range(start, stop))
            start, stop = first, last
    return [*parts, range(start, stop)] if stop > start else parts


# The cell


def _where(queue: Queue) -> str:
    # Kept: it asks the user database, and each cell of a notebook would.
    here = os.getcwd()
    known: tuple[str, str] | None = queue.__dict__.get('_typed')
    if known is None or known[0] != here:
        known = queue.__dict__['_typed'] = here, type_queue(queue.folder, queue.config)
    return known[1]


class Cell:
    """The tasks of one cell, and what was read of them so far.

    Parameters
    ----------
    queue : Queue
    rows : iterable of int or range
        In the order in which they are shown; each counts once.

    Raises
    ------
    UnknownTaskError
        The queue has no such rows.
    """

    def __init__(self, queue: Queue, rows: Iterable[int | range]) -> None:
        self.queue = queue
        self.ledger = queue.ledger
        self.ledger.follow()
        state = self.ledger.state
        parts = _ranges(rows)
        if any(part.stop > len(state.status) for part in parts):
            raise UnknownTaskError(
                f'the queue {self.ledger.folder} has no row '
                f'{max(part.stop for part in parts) - 1:d}: it was cleared since, or these are '
                'rows of another one. '
                f'List what is there with: desipipe tasks -q {quote(self.ledger.folder)}'
            )
        self.rows = list(dict.fromkeys(row for part in parts for row in part))
        self._parts = _ranges(self.rows)
        self._parts_end = max((part.stop for part in self._parts), default=0)
        self._members: Container[int] = (
            self._parts[0] if len(self._parts) == 1 else frozenset(self.rows)
        )
        self.text = format_rows(self._parts)
        self.first = state.ids[self.rows[0]].hex() if self.rows else ''
        self.published: dict[int, int] = {}
        """Rows, with the attempts, whose outputs stand elsewhere and are left out."""
        self.judge: Callable[[str], bool | None] | None = None
        """Says whether a worker or a manager lives, instead of
        :func:`~desipipe.view.queue.is_alive`.
        """
        self.grace = 0.0
        """Until when, on the monotonic clock, a manager that was just started is expected:
        nobody is missed before.
        """
        self._queue = self.ledger.journal.header.get('id')
        self._find_mids()
        self._where = _where(queue)
        self._guard = threading.Lock()
        self._alive: dict[str, tuple[float, bool | None]] = {}
        self._begin()

    def _begin(self) -> None:
        # Of the journal's generation: compaction puts the lines elsewhere.
        self._gen = self.ledger.journal.header.get('gen')
        self._seen: set[int] = {0}
        self._printed: dict[int, int] = {}
        self._took: dict[int, float] = {}  # seconds, of those that printed
        self._spans: list[tuple[float, float]] = []
        self._recent: deque[tuple[float, float, int]] = deque()
        self._workers: set[str] = set()
        self._last = 0.0
        self._failure: tuple[tuple[int, int], Dict] = ((-1, -1), {})
        self._shown: dict[int, tuple[tuple[int, str], list[Dict]]] = {}
        self._swept: dict[int, str] = {}

    def holds(self, row: int) -> bool:
        """Return True for a row of the cell."""
        return row in self._members

    def left(self) -> int:
        """Return the number of tasks that have neither ended nor are blocked, as last followed."""
        self._check()
        status, _ = self._columns()
        self._leave_out(status)
        return sum(map(status.count, (WAITING, PENDING, RUNNING))) - len(self._blocked(status))

    def _leave_out(self, status: bytearray) -> int:
        """Mark superseded rows as dropped, so that they do not count; returns how many there
        are.
        """
        superseded = self.ledger.state.superseded
        if not superseded:
            return 0
        places = [place for place, row in enumerate(self.rows) if row in superseded]
        for place in places:
            status[place] = DROPPED
        return len(places)

    def _leave_pending(self, status: bytearray) -> set[int]:
        """Mark rows that are merely claimed as pending; return these rows."""
        claimed = {row for row in self.ledger.state.claimed_rows() if row in self._members}
        if not claimed:
            return claimed
        places = {row: place for place, row in enumerate(self.rows) if row in claimed}
        claimed = {row for row, place in places.items() if status[place] == RUNNING}
        for row in claimed:
            status[places[row]] = PENDING
        return claimed

    def refused(self) -> str:
        """Why no worker comes for these tasks before someone does something about it, in the
        manager's words; empty if one may come.
        """
        state = self.ledger.state
        manager = state.manager or {}
        if (
            not manager.get('final')
            or manager['of'] not in self._mids
            or any(worker.mid in (None, *self._mids) for worker in list(state.alive.values()))
        ):
            return ''
        return str(manager['says'])

    def summary(
        self,
        title: str = '',
        cached: bool = False,
        observer: Observer | None = None,
        with_outputs: bool = True,
        limit: int = LIMIT,
        most: int = MOST,
    ) -> Dict:
        """See :func:`cell_summary`."""
        with self._guard:
            return self._summary(title, cached, observer, with_outputs, limit, most)

    def _summary(
        self,
        title: str,
        cached: bool,
        observer: Observer | None,
        with_outputs: bool,
        limit: int,
        most: int,
    ) -> Dict:
        ledger, state = self.ledger, self.ledger.state
        ledger.follow()
        self._check()
        status, ended_at = self._columns()
        self._read_ends(ended_at)
        every = bytearray(status)
        n_superseded = self._leave_out(status)
        claimed = self._leave_pending(status)
        numbers = [status.count(code) for code in range(len(STATES))]
        counts = dict(zip(STATES, numbers, strict=True))
        blocked = self._blocked(status)
        left = counts['PENDING'] + counts['RUNNING'] + counts['WAITING'] - len(blocked)
        running = (
            [row for row in list(state.running) if row in self._members and row not in claimed]
            if counts['RUNNING']
            else []
        )
        now = time.time()
        started = [(state.started.get(row, now), now) for row in running]
        self._spans = _merged(self._spans)
        spans = _merged([*self._spans, *started])
        alive = [
            worker
            for worker in list(state.alive.values())
            if worker.mid in self._mids or worker.mid is None
        ]
        alive = [worker for worker in alive if self._is_alive(worker.name, observer) is not False]
        manager = state.manager
        somebody = (
            bool(alive)
            or (manager is not None and self._is_alive(manager['w'], observer) is not False)
            or time.monotonic() < self.grace
        )
        rate = self._rate(now, running) if running else None
        failure = (
            self._first_failure(status, ended_at)
            if any(numbers[code] for code in (FAILED, KILLED, UNKNOWN))
            else None
        )
        shown, truncated = (
            self._outputs(every, ended_at, running, limit, most) if with_outputs else ([], '')
        )
        jobs = job_summaries(ledger, self._mids, self._members) if left and state.jobs else []
        groups = job_groups(jobs)
        found = {
            'version': 1,
            'queue': self.queue.name,
            'folder': ledger.folder,
            'title': title,
            'rows': self.text,
            'first': self.first,
            'time': now,
            'condition': condition(counts, left, state.paused, somebody),
            'total': sum(numbers),
            'counts': counts,
            'claimed': len(claimed),
            'blocked': len(blocked),
            'superseded': n_superseded,
            'left': left,
            'workers': sum(worker.slots for worker in alive) if left else self._slots(sum(numbers)),
            'rate': rate,
            'eta': left / rate if rate and not state.paused else None,
            'elapsed': sum(end - begin for begin, end in spans),
            'began': spans[0][0] if spans else None,
            'ended': self._last or None if not left else None,
            'cached': cached,
            'computed': self._last or None,
            'failure': failure,
            'causes': blocked_causes(ledger, blocked) if blocked else [],
            'jobs': jobs[:JOBS],
            'n_jobs': len(jobs),
            'job_groups': groups,
            'outputs': shown,
            'truncated': truncated,
            'gone': '',
            'refused': self.refused() if left else '',
            'untrusted': untrusted_owner(self.ledger),
        }
        steps = advice(
            {**found, 'failures': [failure] if failure else [], 'damage': []}, self._where
        )
        if not running and (words := waiting_text(groups)):
            steps.append((words, f'desipipe status {self._where}'))
        if (
            counts['PENDING']
            and not alive
            and manager is not None
            and manager.get('says')
            and manager['of'] in ('', *self._mids)
        ):
            steps.append((manager['says'].rstrip('.'), f'desipipe doctor {self._where}'))
        return {**found, 'advice': [list(pair) for pair in steps]}

    def _check(self) -> None:
        header = self.ledger.journal.header
        if header.get('id') != self._queue:
            raise QueueGoneError(
                f'the queue in {self.ledger.folder} was cleared: the tasks of this cell are gone. '
                'Run the cell again to compute them anew'
            )
        if header.get('gen') != self._gen:
            self._begin()
        if self.ledger.state.assigned != self._assigned:
            self._find_mids()

    def _find_mids(self) -> None:
        state = self.ledger.state
        self._assigned = state.assigned
        self._mids = {state.group_of(row).mid for row in self.rows}

    def _blocked(self, status: bytearray) -> list[int]:
        if WAITING not in status:
            return []
        causes = self.ledger.blocked()
        return [
            row
            for row, code in zip(self.rows, status, strict=True)
            if code == WAITING and row in causes
        ]

    def _columns(self) -> tuple[bytearray, array[int]]:
        # Copies, made of parts in one go: another thread may fold events meanwhile. Rows that were
        # deleted may be missing at the end after a compaction.
        state = self.ledger.state
        if len(self._parts) > 100 and self._parts_end <= len(state.status):
            return bytearray(map(state.status.__getitem__, self.rows)), array(
                'Q', map(state.ended_at.__getitem__, self.rows)
            )
        status, ended_at = bytearray(), array('Q')
        n = 0
        for part in self._parts:
            n += len(part)
            status += state.status[part.start : part.stop]
            status += bytes((DROPPED,)) * (n - len(status))
            ended_at += state.ended_at[part.start : part.stop]
            ended_at.extend([0] * (n - len(ended_at)))
        return status, ended_at

    # Times

    def _read_ends(self, ended_at: Iterable[int]) -> None:
        fresh = set(ended_at) - self._seen
        if not fresh:
            return
        members = self._members
        for _, event in events_at(self.ledger, sorted(fresh)):
            if event is None:
                continue  # a damaged line: what it said is lost
            if event['e'] != 'end':
                self._last = max(self._last, event['t'])  # someone set a state
                continue
            extra, begin, length = event.get('x', {}), event['b'], event['d']
            places = [i for i, row in enumerate(event['rows']) if row in members]
            if not places:
                continue
            for i in places:
                detail = extra.get(str(i)) if extra else None
                if detail:
                    self._printed[event['rows'][i]] = event['n'][i]
                    self._took[event['rows'][i]] = length[i] * 1e-6
            if event['w']:
                span = (
                    event['t0'] + min(begin[i] for i in places) * 1e-6,
                    event['t0'] + max(begin[i] + length[i] for i in places) * 1e-6,
                )
                self._spans.append(span)
                self._last = max(self._last, span[1])
                self._workers.add(event['w'])
                if (
                    'kind' not in event
                ):  # else compaction wrote down again what had been long before
                    self._recent.append((event['t'], span[0], len(places)))
        self._seen |= fresh

    def _rate(self, now: float, running: Sequence[int]) -> float | None:
        # For people only: clocks of several hosts are mixed here.
        recent = self._recent
        while recent and recent[0][0] <= now - WINDOW:
            recent.popleft()
        if not recent:
            return usual_rate(self.ledger, running, now)
        now = max(now, recent[-1][0])
        since = max(now - WINDOW, min(began for _, began, _ in recent))
        return sum(n for _, _, n in recent) / max(now - since, 1e-3)

    def _slots(self, total: int) -> int:
        # Of those that did it: when all is over, nobody needs to be there any more.
        workers = [self.ledger.state.workers.get(name) for name in self._workers]
        return min(total, sum(worker.slots for worker in workers if worker is not None))

    def _is_alive(self, name: str, observer: Observer | None) -> bool | None:
        if self.judge is not None:
            return self.judge(name)
        now = time.monotonic()
        when, alive = self._alive.get(name, (float('-inf'), None))
        if now - when > _JUDGED[self.ledger.journal.shared]:
            alive = is_alive(self.ledger.folder, name, observer)
            self._alive[name] = now, alive
        return alive

    # Failures

    def _first_failure(self, status: bytearray, ended_at: Sequence[int]) -> Dict:
        # The first in time, as others may be its consequence; but not what someone cancelled, if
        # there is more to say.
        _, at, row = min(
            (code == KILLED, at, row)
            for row, code, at in zip(self.rows, status, ended_at, strict=True)
            if FAILED <= code <= UNKNOWN
        )
        if self._failure[0] != (row, at):
            task = task_summary(self.ledger, row)
            self._failure = (
                (row, at),
                {
                    **{key: task[key] for key in ('tid', 'name', 'index', 'state', 'cause')},
                    'line': self._line(row),
                },
            )
        return self._failure[1]

    def _line(self, row: int) -> int | None:
        try:
            trace = self.ledger.cause(row).get('trace')
            frames = _FRAME.findall(self.ledger.read_text(trace)) if trace else []
        except DesipipeError:
            return None  # what can't be read of it is said where its output is shown
        return int(frames[-1]) if frames else None

    # Outputs

    def _outputs(
        self,
        status: bytearray,
        ended_at: Sequence[int],
        running: Sequence[int],
        limit: int,
        most: int,
    ) -> tuple[list[Dict], str]:
        state, printed, published = self.ledger.state, self._printed, self.published
        slots = set(running)
        rows = []
        if slots or printed:
            for row, code in zip(self.rows, status, strict=True):
                if row in slots or (
                    row in printed and code in ENDED and printed[row] == state.attempt[row]
                ):
                    rows.append(row)
            rows = [row for row in rows if published.get(row) != state.attempt[row]]
        found: list[Dict] = []
        words: list[str] = []
        small: list[int] = []
        size = n = 0
        for place, row in enumerate(rows):
            if n >= most or size >= 2 * limit:  # small forms of what is beyond the limit
                more = [row for row in rows[place:] if row not in slots]
                if more:
                    logs = f'desipipe logs {self._where} {state.ids[more[0]].hex()[:12]}'
                    words.append(f'figures as files: {logs} --save {SAVED}')
                    words.append(
                        f'what {plural(len(more), "more task")} printed is not shown; the first of '
                        f'them: {logs}'
                    )
                break
            items = self._task_outputs(row, row in slots)
            if not items:
                continue
            if len(self.rows) > 1:
                found.append(self._label(row))
            logs = f'desipipe logs {self._where} {state.ids[row].hex()[:12]}'
            if len(items) > most - n:
                words.append(
                    f'{self._name(row)} has more outputs: {logs}; its figures as files: {logs} '
                    f'--save {SAVED}'
                )
            for output in items[: most - n]:
                n += 1
                cut, length = _bounded(output, limit - size)
                size += length
                if cut['output_type'] == 'display_data' and (
                    cut is not output or kept_number(cut) >= 0
                ):
                    small.append(row)
                elif cut is not output:
                    words.append(
                        f'a large output of {self._name(row)} is not shown whole; all it printed: '
                        f'{logs}'
                    )
                found.append(cut)
        if small:
            whose = (
                self._name(small[0]) if len(set(small)) == 1 else plural(len(set(small)), 'task')
            )
            logs = f'desipipe logs {self._where} {state.ids[small[0]].hex()[:12]} --save {SAVED}'
            words.insert(
                0,
                f'displays of {whose} are shown small; to open '
                f'{"" if len(set(small)) == 1 else "those of the first "}whole: {logs}',
            )
        return found, '; '.join(dict.fromkeys(words))

    def _task_outputs(self, row: int, runs: bool) -> list[Dict]:
        if runs:
            return self._read_outputs(row)
        version = self.ledger.state.attempt[row], untrusted_writer(self.ledger, row)
        known = self._shown.get(row)
        if known is None or known[0] != version:
            known = self._shown[row] = version, self._read_outputs(row)
        return known[1]

    def _read_outputs(self, row: int) -> list[Dict]:
        try:
            return outputs(self.ledger, row)
        except DesipipeError as exc:
            return [{'output_type': 'stream', 'name': 'stderr', 'text': f'desipipe: {exc}\n'}]

    def _name(self, row: int) -> str:
        return f'{task_name(self.ledger, row)}[{self.ledger.state.index[row]:d}]'

    def _label(self, row: int) -> Dict:
        # Whose outputs follow: its place in the sweep, and those of its arguments that differ from
        # task to task.
        from html import escape

        words = self._swept.get(row)
        if words is None:
            words = self._swept[row] = self._sweep(row)
        name, tid = self._name(row), self.ledger.state.ids[row].hex()
        return {
            'output_type': 'display_data',
            'data': {
                'text/plain': f'{name}  {words}'.rstrip(),
                'text/html': (
                    f'<div style="margin-top:.4em;opacity:.7"><b>{escape(name)}</b> '
                    f'<code>{escape(words)}</code></div>'
                ),
            },
            'metadata': {
                'desipipe': {
                    'tid': tid,
                    'label': name,
                    'arguments': words,
                    'state': state_name(self.ledger.state.status_shown(row)),
                    'duration': self._took.get(row),
                }
            },
        }

    def _sweep(self, row: int) -> str:
        try:
            mine, first, last = (
                self.ledger.arguments(other) for other in (row, self.rows[0], self.rows[-1])
            )
        except (PayloadError, IndexError):
            # the arguments are lost, or those of a task beside it that was deleted; its name is
            # left
            return ''
        return ', '.join(
            f'{key}={one_line(text, 40)}'
            for key, text in mine.items()
            if not text == first.get(key) == last.get(key)
        )


def _merged(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    # Spans of time that overlap, or nearly so, as one.
    merged: list[tuple[float, float]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1] + GAP:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((begin, end))
    return merged


def _size(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(len(key) + _size(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    return 8


def _bounded(output: Dict, room: int) -> tuple[Dict, int]:
    """An output as far as there is room for it, and its size."""
    size = _size(output)
    if size <= room:
        return output, size
    if output['output_type'] == 'stream':
        text, half = output['text'], max(room - 100, 2000) // 2
        return {
            **output,
            'text': (
                f'{text[:half]}\n[… {len(text) - 2 * half:,d} characters are not shown '
                f'…]\n{text[-half:]}'
            ),
        }, 2 * half + 100
    if output['output_type'] != 'display_data':
        return {
            'output_type': 'stream',
            'name': 'stderr',
            'text': f'[an output of {size:,d} bytes is not shown here: traceback]\n',
        }, 100
    words = f'[a display of {format_bytes(size)} is not shown here: {", ".join(output["data"])}]'
    text = str(output['data'].get('text/plain', ''))[:TEXT_MAX]
    small = {
        **thumbnail(output['data'], max(room // 4, SMALL_MIN)),
        'text/plain': f'{text}\n{words}'.lstrip(),
    }
    return {
        **output,
        'data': small,
        'metadata': {key: value for key, value in output['metadata'].items() if '/' not in key},
    }, _size(small)


def cell_summary(
    queue: Queue,
    rows: str | Iterable[int | range],
    *,
    title: str = '',
    cached: bool = False,
    observer: Observer | None = None,
    outputs: bool = True,
    limit: int = LIMIT,
) -> Dict:
    """All there is to see of a cell's tasks at one glance.

    Parameters
    ----------
    queue : Queue
    rows : str or iterable of int or range
        The tasks' rows, in the order in which they are shown; see :func:`parse_rows`.
    title : str, default=''
        The cell's name.
    cached : bool, default=False
        Whether all results were there already when the cell was run.
    observer : Observer, default=None
        See :func:`~desipipe.view.queue.is_alive`.
    outputs : bool, default=True
        Whether to tell what the tasks printed and drew.
    limit : int, default=1000000
        Bytes of outputs, at most.

    Returns
    -------
    summary : dict
        - ``version`` (1), ``queue`` (name), ``folder``, ``title``, ``rows`` (text), ``first``:
          identity of the first row's task
        - ``time``: seconds since the epoch; ``condition``: key of
          :data:`~desipipe.view.queue.CONDITIONS`
        - ``total``, ``counts`` (by state), ``blocked``, ``left`` (neither ended nor blocked): of
          the cell's tasks that are not superseded; ``superseded``: how many are
        - ``workers``: slots of the workers that live; when nothing is left, of those that did it
        - ``rate``: the cell's tasks per second lately; ``eta``: seconds that are left at this rate;
          both ``None`` if unknown
        - ``began``, ``ended``: seconds since the epoch, or ``None``; ``elapsed``: seconds that the
          tasks took until now, without the pauses in which none of them ran for more than a minute
        - ``cached``, ``computed`` (when the last task ended, or ``None``)
        - ``failure``: ``None``, or the first that did not succeed (``tid``, ``name``, ``index``,
          ``state``, ``cause``, ``line`` of the cell or ``None``)
        - ``causes``: as of :func:`~desipipe.view.queue.blocked_causes`; ``advice``: list of
          ``[words, command]``
        - ``jobs``: the first :data:`JOBS` of the jobs of batch systems that are there for its task
          managers, as of :func:`~desipipe.view.queue.job_summaries`, while something is left;
          ``n_jobs``: how many there are; ``job_groups``: all of them, by state and reason, as of
          :func:`~desipipe.view.queue.job_groups`
        - ``outputs``: as in nbformat 4, in order of the tasks; before those of each of several
          tasks stands a label (``metadata['desipipe']['label']``); ``truncated``: words about what
          was left out, or empty
        - ``refused``: empty; in the manager's words, why no worker comes before someone does
          something about it
        - ``gone``: empty; what became of the tasks, where it is shown that they are no more

    Raises
    ------
    QueueGoneError
        The queue was deleted, or cleared since the cell was first looked at.
    UnknownTaskError
        It has no such rows.
    """
    parts = _ranges(parse_rows(rows) if isinstance(rows, str) else rows)
    key = format_rows(parts)
    # What was read of the cells that were asked about lately is kept with the view of the queue:
    # who asks again, as a server does, pays for what is new.
    with _guard:
        cells: OrderedDict[str, Cell] = queue.ledger.__dict__.setdefault('_cells', OrderedDict())
        cell = cells.get(key)
        if cell is not None:
            cells.move_to_end(key)
    if cell is None:
        cell = Cell(queue, parts)
        with _guard:
            cells[key] = cell
            while len(cells) > _KEPT:
                cells.popitem(last=False)
    try:
        return cell.summary(title, cached, observer, outputs, limit)
    except QueueGoneError:
        with _guard:
            cells.pop(key, None)
        raise
