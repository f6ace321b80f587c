"""Tasks as a record has them, a sealed line each, with their attempts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ...errors import PayloadError
from ...queue.ends import End, end_at
from ...queue.events import ENDED, STATES, SUCCEEDED, EventKind
from ...queue.ledger import Ledger
from ...view.journal_events import event_time, events_at
from ...view.task_summary import state_name
from ..model_types import AttemptEntry, CauseEntry, FileEntry, TaskEntry
from ..pieces import seal
from ..privacy import Privacy
from .payloads import Payloads
from .shared import SharedEntries
from .values import Values

if TYPE_CHECKING:
    from ...queue.attempt_events import EndEvent
    from ...queue.event_types import JournalEvent
    from ...queue.task_events import Cause


class Attempt(NamedTuple):
    """An attempt, or a decision that a person made in the place of one."""

    entry: AttemptEntry
    """Entry in the record."""
    end: End
    """End that the journal has of it."""
    worker: str = ''
    """Name of its worker; a decision has none."""

    @property
    def counts(self) -> bool:
        """True if no later attempt took its place."""
        return 'past' not in self.entry


class Attempts:
    """Reads when tasks were added, and how their attempts ended."""

    def __init__(self, ledger: Ledger, privacy: Privacy, payloads: Payloads) -> None:
        self._ledger = ledger
        self._state = ledger.state
        self._privacy = privacy
        self._payloads = payloads
        self.as_of = float(self._state.header.get('t', 0.0))
        """Time of the last event that was read, in seconds since the epoch."""

    def added(self, rows: Sequence[int]) -> dict[int, float]:
        """Return the times of the additions of tasks, by the offsets of their events."""
        offsets = sorted({self._state.added_at[row] for row in rows})
        times: dict[int, float] = {}
        for offset, event in events_at(self._ledger, offsets):
            times[offset] = event_time(event)
            self.as_of = max(self.as_of, times[offset])
        return times

    def of_tasks(self, rows: Sequence[int]) -> dict[int, list[Attempt]]:
        """Collect how the attempts of tasks ended; each line of the journal is read once."""
        wanted: dict[int, list[int]] = {}
        for row in rows:
            for offset in self._state.attempts_at(row):
                wanted.setdefault(offset, []).append(row)
        attempts: dict[int, list[Attempt]] = {}
        for offset, event in events_at(self._ledger, sorted(wanted)):
            if event is None:
                self._privacy.notes['some attempts: their lines of the journal are damaged'] = None
                continue
            if event['e'] != EventKind.END or not event['w']:
                for row in wanted[offset]:
                    if self._state.ended_at[row] == offset:
                        attempts.setdefault(row, []).append(self._decided(event, row))
                continue
            places = {row: i for i, row in enumerate(event['rows'])}
            for row in wanted[offset]:
                if row in places:
                    end = end_at(event, places[row])
                    current = offset == self._state.ended_at[row]
                    attempts.setdefault(row, []).append(self._attempt(event, end, current))
        return attempts

    def _decided(self, event: JournalEvent, row: int) -> Attempt:
        # A person set the state, or took the result of another task.
        entry: AttemptEntry = {'n': 0, 'state': state_name(self._state.status[row]), 'hand': 'set'}
        entry['t'] = event_time(event)
        if event['e'] == EventKind.ACCEPT:
            entry['hand'] = 'accepted'
            entry['of'] = self._state.ids[event['old']].hex()
        elif event['e'] == EventKind.SET:
            entry['hand'] = str(event.get('why', 'set'))
            if text := event.get('cause', {}).get('text'):
                entry['cause'] = {'text': self._privacy.text(text)}
        elif event['e'] == EventKind.END:  # compaction writes it down as an end without a worker
            entry['t'] = end_at(event, event['rows'].index(row)).began
        self.as_of = max(self.as_of, entry['t'])
        return Attempt(entry, End(row, 0, 0, 0.0, 0))

    def _attempt(self, event: EndEvent, end: End, current: bool) -> Attempt:
        entry: AttemptEntry = {
            'n': end.attempt,
            'state': STATES[end.state],
            'worker': -1,  # numbered later, in the order of the tasks
            'began': round(end.began, 6),
            'seconds': round(end.duration * 1e-6, 6),
        }
        self.as_of = max(self.as_of, entry['began'] + entry['seconds'])
        if end.memory:
            entry['memory'] = end.memory * 1024  # bytes
        if not current:
            entry['past'] = True
        if end.cause:
            entry['cause'] = self._cause(end.cause)
        if end.out:
            entry['out'] = self._payloads.describe(end.out)
        if end.err:
            entry['err'] = self._payloads.describe(end.err)
        return Attempt(entry, end, event['w'])

    def _cause(self, cause: Cause) -> CauseEntry:
        entry: CauseEntry = {}
        if 'kind' in cause:
            entry['kind'] = cause['kind']
        if 'errno' in cause:
            entry['errno'] = cause['errno']
        if 'kinds' in cause:
            entry['kinds'] = list(cause['kinds'])
        if cause.get('text'):
            entry['text'] = self._privacy.text(str(cause['text']))
        if cause.get('trace'):
            try:
                # The traceback as people read it, not as it lies there: paths are taken out of it.
                entry['trace'] = self._privacy.text(self._ledger.read_text(cause['trace']))[-2000:]
            except PayloadError as exc:
                entry['trace'] = self._privacy.text(str(exc))
        return entry


class Tasks:
    """Reads the tasks of one queue, and numbers what they share."""

    def __init__(
        self, ledger: Ledger, privacy: Privacy, shared: SharedEntries, values: Values
    ) -> None:
        self._ledger = ledger
        self._state = ledger.state
        self._privacy = privacy
        self._shared = shared
        self._values = values
        self._blocked = ledger.blocked()
        self.superseded = 0
        """Number of superseded tasks that were read; the numbers below leave them out."""
        self.counts = dict.fromkeys(STATES, 0)
        """Number of tasks that were read, by state."""
        self.blocked = 0
        """Number of those that are blocked."""
        self.busy = 0.0
        """Time that their attempts took together, in seconds."""
        self.versions_used: dict[str, set[int]] = {}
        """Numbers of the versions that tasks ran with, by the identity of the app."""

    def line(self, row: int, attempts: Iterable[Attempt], added: float) -> str:
        """Return the line of a task.

        Parameters
        ----------
        row : int
        attempts : iterable of Attempt
        added : float
            Time of its addition, in seconds since the epoch.
        """
        state = self._state
        number = state.group[row]
        task: TaskEntry = {
            'id': state.ids[row].hex(),
            'row': row,
            'group': self._shared.number_group(number),
            'index': state.index[row],
            'state': STATES[state.status_shown(row)],
            'added': added,
        }
        is_superseded = row in state.superseded
        if is_superseded:
            task['superseded'] = True
            self.superseded += 1
        else:
            self.counts[task['state']] += 1
        # mypy wants something that may have all members of a task.
        task |= self._values.arguments(row, state.groups[number])  # type: ignore[typeddict-item]
        needs = state.requires.get(row)
        if needs:
            task['needs'] = list(needs)
        if row in self._blocked and not is_superseded:
            task['blocked'] = self._blocked[row]
            self.blocked += 1
        # In the order of tasks, whatever the journal's is: compaction changes that.
        ordered = sorted(attempts, key=lambda item: (item.entry['n'] or 1 << 40, item.counts))
        self._add_attempts(task, ordered)
        self._add_outcome(task, row, ordered)
        return seal(task)

    def _add_attempts(self, task: TaskEntry, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            entry = attempt.entry
            if 'worker' in entry:
                entry['worker'] = self._shared.number_worker(attempt.worker)
                if 'superseded' not in task:
                    self.busy += entry['seconds']
        if attempts:
            task['attempts'] = [attempt.entry for attempt in attempts]
        files = self._files(attempts)
        if files:
            task['files'] = files

    def _files(self, attempts: Sequence[Attempt]) -> list[FileEntry]:
        """Collect what the attempt that counts read and wrote through the file manager."""
        ref = next((attempt.end.files for attempt in reversed(attempts) if attempt.counts), None)
        if ref is None:
            return []
        try:
            entries = self._ledger.files(ref)
        except (PayloadError, ValueError):
            self._privacy.notes['some lists of files that tasks read and wrote: they are lost'] = (
                None
            )
            return []
        return [
            {
                'do': item['do'],
                'path': self._privacy.path(item['path']),
                'size': item['size'],
                'sha256': item['sha256'],
            }
            for item in entries
        ]

    def _add_outcome(self, task: TaskEntry, row: int, attempts: Sequence[Attempt]) -> None:
        """Add the result and the versions of a task that succeeded."""
        status = self._state.status[row]
        if status == SUCCEEDED:
            result = self._values.result(row)
            if result is not None:
                task['result'] = result
            app = self._state.groups[self._state.group[row]].app
            versions = self._state.versions.get((self._worker_of(attempts), app))
            if versions:
                task['versions'] = self._shared.number_versions(versions)
                self.versions_used.setdefault(app, set()).add(task['versions'])
        elif status not in ENDED:
            task['unfinished'] = True

    def _worker_of(self, attempts: Sequence[Attempt]) -> str:
        names = list(self._shared.workers)
        return next(
            (
                names[attempt.entry['worker']]
                for attempt in reversed(attempts)
                if 'worker' in attempt.entry and attempt.counts
            ),
            '',
        )
