"""Independent reader of a queue's journal, which shares no code with desipipe.

It follows the journal while the run goes on, each generation from its first line to its last, and
notes what contradicts the promises of the queue.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

# Codes of states; WAITING stands for PENDING too, since the checker looks at requirements itself.
WAITING, RUNNING, SUCCEEDED, FAILED, KILLED, UNKNOWN, DRAINING = 0, 2, 3, 4, 5, 6, 7
ID_LENGTH = 32  # hexadecimal digits
BY_HAND = ('cancelled', 'killed')
STATE_NAMES = ('WAITING', 'PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'KILLED', 'UNKNOWN')
Event = dict[str, Any]
Place = tuple[str, int, int]  # segment, offset, length


@dataclass
class Row:
    """One task of the journal."""

    tid: str
    group: int
    requires: list[int] = field(default_factory=list)
    state: int = WAITING
    attempt: int = 0
    burned: int = 0
    worker: str = ''
    result: Place | None = None
    accepted: int = 0
    """The attempt whose end counts."""


class Checker:
    """Fold of one journal that notes contradictions.

    Parameters
    ----------
    folder : Path
        The queue.
    clears : bool, default=False
        The queue is cleared meanwhile, so that tasks may vanish.
    """

    def __init__(self, folder: Path, clears: bool = False) -> None:
        self.folder = folder
        self.path = folder / 'journal.jsonl'
        self.clears = clears
        self.faults: list[str] = []
        self.generations = 0
        self.claims = self.ends = self.stale = self.late = 0
        self.workers_seen: set[str] = set()
        self._file: BinaryIO | None = None
        self._reset()

    def _reset(self) -> None:
        self.rows: dict[int, Row] = {}
        self.by_id: dict[str, int] = {}
        self.groups: dict[int, Event] = {}
        self.ended_workers: set[str] = set()
        self.paused = False
        self._offset = 0
        self._fold_line = b''

    def fault(self, text: str) -> None:
        """Note what is wrong, with the line of the journal where it shows."""
        line = self._fold_line[:600].decode(errors='replace').rstrip()
        position = f'generation {self.generations}, offset {self._offset}'
        self.faults.append(f'{self.folder.name}, {position}: {text}\n    {line}')

    # Reading

    def follow(self) -> None:
        """Fold the lines that were appended, also those of the next generation."""
        if self._file is None:
            self._file = self.path.open('rb')
            self.generations += 1
        self._read(self._file)
        current = os.stat(self.path)
        expected = os.fstat(self._file.fileno())
        if (current.st_dev, current.st_ino) == (expected.st_dev, expected.st_ino):
            return
        self._read(self._file)  # nothing is appended once the next generation is there
        self._file.close()
        before = self.rows
        self._reset()
        self._file = self.path.open('rb')
        self.generations += 1
        self._read(self._file)
        if not self.clears:
            self._compare(before)

    def close(self) -> None:
        """Close the journal."""
        if self._file is not None:
            self._file.close()

    def _read(self, file: BinaryIO) -> None:
        file.seek(self._offset)
        for line in file:
            if not line.endswith(b'\n'):
                return  # being written, or cut by a kill: the next writer cuts it
            self._fold_line = line
            event = self._parse(line)
            if event is not None:
                self._fold(event)
            self._offset += len(line)

    def _parse(self, line: bytes) -> Event | None:
        body, separator, tail = line.rstrip(b'\n').rpartition(b',"crc"')
        try:
            event: Event = json.loads(line)
            valid = bool(separator) and tail == b':"%08x"}' % zlib.crc32(body)
        except ValueError:
            valid = False
        if not valid:
            self.fault('a line is damaged')
            return None
        if event['at'] != self._offset:
            self.late += 1
            return None
        return event

    def _compare(self, before: dict[int, Row]) -> None:
        for number, old in before.items():
            new = self.rows.get(number)
            if new is None:
                self.fault(f'compaction lost row {number} ({old.tid})')
            elif new.tid != old.tid:
                self.fault(f'row {number} was {old.tid}, and is {new.tid}')
            elif old.state == SUCCEEDED and (new.state, new.accepted) != (SUCCEEDED, old.accepted):
                now = f'state {new.state}, attempt {new.accepted}'
                self.fault(f'row {number} had succeeded by attempt {old.accepted}: now {now}')
            elif new.attempt < old.attempt:
                self.fault(f'row {number}: {old.attempt} attempts became {new.attempt}')

    # Folding

    def _fold(self, event: Event) -> None:
        apply = getattr(self, '_on_' + event['e'], None)
        if apply is not None:
            apply(event)

    def _known(self, number: int, what: str) -> Row | None:
        row = self.rows.get(number)
        if row is None:
            self.fault(f'{what} of row {number}, which is no task')
        return row

    def _on_group(self, event: Event) -> None:
        self.groups[event['g']] = event

    def _on_add(self, event: Event) -> None:
        requires = dict(event.get('req', ()))
        for i in range(len(event['len'])):
            number, tid = event['first'] + i, event['ids'][ID_LENGTH * i : ID_LENGTH * (i + 1)]
            if number in self.rows:
                self.fault(f'row {number} is used twice')
            if tid in self.by_id:
                self.fault(f'task {tid} is added as row {number}, and is row {self.by_id[tid]}')
            self.rows[number] = Row(tid, event['g'], list(requires.get(i, ())))
            self.by_id[tid] = number

    def _on_link(self, event: Event) -> None:
        for number, requires in event['links']:
            if (row := self._known(number, 'requirements')) is not None:
                row.requires = list(requires)

    def _on_runs(self, event: Event) -> None:
        rows = _rows_in_ranges(event)
        self._on_run({**event, 'rows': rows, 'n': [event['n']] * len(rows)})

    def _on_ends(self, event: Event) -> None:
        rows = _rows_in_ranges(event)
        lengths = _column(event['len'], len(rows))
        refs, offset = [], event['off']
        for length in lengths:
            refs += [0, offset, length]
            offset += length
        attempts = [event['n']] * len(rows)
        plain = {'rows': rows, 'n': attempts, 's': SUCCEEDED, 'seg': [event['seg']], 'ref': refs}
        self._on_end({**event, **plain})

    def _on_run(self, event: Event) -> None:
        if event['w'] in self.ended_workers:
            self.fault(f'worker {event["w"]} claims after its end')
        for number, n in zip(event['rows'], event['n'], strict=True):
            row = self._known(number, 'a claim')
            if row is None:
                continue
            self.claims += 1
            if row.state != WAITING or n != row.attempt + 1:
                now = f'state {row.state}, attempt {row.attempt}'
                self.fault(f'row {number} in {now}, is claimed as attempt {n}')
                continue
            for other in row.requires:
                if other not in self.rows or self.rows[other].state != SUCCEEDED:
                    self.fault(f'row {number} begins before row {other} has succeeded')
            row.state, row.attempt, row.worker = RUNNING, n, event['w']

    def _on_end(self, event: Event) -> None:
        kind = event.get('kind')
        for i, number in enumerate(event['rows']):
            row = self._known(number, 'an end')
            if row is None:
                continue
            n, state = event['n'][i], event['s'] if isinstance(event['s'], int) else event['s'][i]
            segment, offset, length = event['ref'][3 * i : 3 * i + 3]
            result = (event['seg'][segment], offset, length) if segment >= 0 else None
            cause = event.get('x', {}).get(str(i), {}).get('cause') or {}
            if kind in ('past', 'last'):
                row.attempt = max(row.attempt, n)
            elif kind:
                row.state, row.attempt, row.accepted, row.result = state, n, n, result
            elif row.state in (RUNNING, DRAINING) and row.attempt == n and row.worker == event['w']:
                self.ends += 1
                self._accept(row, state, n, result, cause)
            else:
                self.stale += 1

    def _accept(self, row: Row, state: int, n: int, result: Place | None, cause: Event) -> None:
        if row.state == DRAINING:
            row.accepted, row.result = (n, result) if state == SUCCEEDED else (0, None)
            return
        if state != SUCCEEDED and self._again(row, state, cause):
            row.state = WAITING
            return
        row.state, row.accepted, row.result = state, n, result

    def _again(self, row: Row, state: int, cause: Event) -> bool:
        if cause.get('free'):
            return True
        group = self.groups[row.group]
        if cause.get('kind') in BY_HAND or cause.get('final'):
            return False
        if row.burned >= group.get('retries', 0):
            return False
        wanted = set(group.get('retry_on', ()))
        if wanted and not wanted & {STATE_NAMES[state], *cause.get('kinds', ())}:
            return False
        row.burned += 1
        return True

    def _on_back(self, event: Event) -> None:
        for number, n in zip(event['rows'], event['n'], strict=True):
            row = self._known(number, 'a claim given back')
            if row is not None and row.state == RUNNING and row.attempt == n:
                row.state = WAITING

    def _on_attempt(self, event: Event) -> None:
        for number, n, burned in zip(event['rows'], event['n'], event['burned'], strict=True):
            if (row := self._known(number, 'attempts')) is not None:
                row.attempt, row.burned = n, burned

    def _on_set(self, event: Event) -> None:
        for number in event['rows']:
            if (row := self._known(number, 'a state')) is not None:
                if event['s'] in (0, 1):
                    row.state, row.burned = WAITING, 0
                else:
                    row.state = event['s']

    def _on_assign(self, event: Event) -> None:
        for number in event['rows']:
            row = self._known(number, 'a group')
            if row is not None and row.state not in (RUNNING, SUCCEEDED):
                row.group = event['g']

    def _on_drop(self, event: Event) -> None:
        for number in event['rows']:
            row = self.rows.pop(number, None)
            if row is not None:
                self.by_id.pop(row.tid, None)

    def _on_drain(self, event: Event) -> None:
        for i, number in enumerate(event['rows']):
            n, group = event['n'][i], event['g'][i]
            tid = event['ids'][ID_LENGTH * i : ID_LENGTH * (i + 1)]
            self.rows[number] = Row(tid, group, state=DRAINING, attempt=n, worker=event['w'])

    def _on_revive(self, event: Event) -> None:
        row = self._known(event['row'], 'a drained task')
        if row is None:
            return
        if row.state != DRAINING or row.tid in self.by_id:
            self.fault(f'row {event["row"]} in state {row.state} is added again')
        row.state = SUCCEEDED if row.accepted else RUNNING
        row.group, row.requires = event['g'], list(event.get('req', ()))
        self.by_id[row.tid] = event['row']

    def _on_state(self, event: Event) -> None:
        self.paused = event['paused']

    def _on_worker(self, event: Event) -> None:
        if event['do'] == 'begin':
            self.workers_seen.add(event['w'])
            return
        self.ended_workers.add(event['w'])
        for number, row in self.rows.items():
            if row.state == RUNNING and row.worker == event['w']:
                self.fault(f'worker {event["w"]} ended, and row {number} that it ran did not')

    # Questions

    def describe(self) -> str:
        """Return what was read, in numbers."""
        attempts = f'{self.claims} claims, {self.ends} ends, {self.stale} fenced'
        lines = f'{self.late} late lines, {self.generations} generations'
        return f'{len(self.by_id)} tasks, {attempts}, {lines}'

    def unfinished(self) -> int:
        """Count the tasks that have not ended."""
        return sum(row.state in (WAITING, RUNNING) for row in self.rows.values())

    def value(self, tid: str) -> Any:
        """Read the visible result of a task from its segment."""
        row = self.rows[self.by_id[tid]]
        assert row.result is not None, f'{tid} has no result'
        segment, offset, length = row.result
        with (self.folder / 'segments' / f'{segment}.bin').open('rb') as file:
            file.seek(offset)
            return load_payload(file.read(length))

    def check_end(self, expected: dict[str, Any]) -> None:
        """Check after the end that each task has the value it must have.

        Parameters
        ----------
        expected : dict
            Value by identity; ``None`` for a task that fails.
        """
        self._fold_line = b''
        for tid, value in expected.items():
            number = self.by_id.get(tid)
            wanted = FAILED if value is None else SUCCEEDED
            if number is None:
                self.fault(f'task {tid} was added, and is not in the journal')
            elif self.rows[number].state != wanted:
                state = self.rows[number].state
                self.fault(f'row {number} ({tid}) ends in state {state}, not {wanted}')
            elif value is not None and not same_value(actual := self.value(tid), value):
                self.fault(f'row {number} ({tid}) has the result {actual!r}, not {value!r}')
        # Tasks that tasks added are known by their callers' values.
        for tid, number in self.by_id.items():
            if tid not in expected and self.rows[number].state != SUCCEEDED:
                self.fault(f'row {number} ({tid}) ends in state {self.rows[number].state}')


def _rows_in_ranges(event: Event) -> list[int]:
    ranges = event['ranges']
    pairs = zip(ranges[::2], ranges[1::2], strict=True)
    return [row for first, n in pairs for row in range(first, first + n)]


def _column(column: int | str, n: int) -> list[int]:
    if isinstance(column, int):
        return [column] * n
    return list(struct.unpack(f'<{n:d}I', base64.b64decode(column)))


def same_value(value: Any, expected: Any) -> bool:
    """Compare a result with what it must be: a number, or ``['grid', factor, size]``."""
    if isinstance(expected, list):
        _, factor, size = expected
        samples = (0, 1, size // 2, size - 1)
        return len(value) == size and all(int(value[i]) == i * factor for i in samples)
    return type(value) is int and bool(value == expected)


def load_payload(data: bytes) -> Any:
    """Unpickle a payload: a plain pickle, or one with aligned buffers behind it."""
    if data[:1] == b'\x80':
        return pickle.loads(data)
    head = struct.Struct('<8sIIQ')
    _, _, n_buffers, size = head.unpack_from(data)
    lengths = struct.unpack_from(f'<{n_buffers}Q', data, head.size)
    start = head.size + 8 * n_buffers
    buffers, position = [], start + size
    for length in lengths:
        position += -position % 64
        buffers.append(data[position : position + length])
        position += length
    return pickle.loads(data[start : start + size], buffers=buffers)
