"""Tasks as a record has them: a sealed line each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...errors import PayloadError
from ...queue.events import ENDED, STATES, SUCCEEDED
from ...queue.ledger import Ledger
from ..model_types import FileEntry, TaskEntry
from ..pieces import seal
from ..privacy import Privacy
from .attempts import Attempt
from .shared import SharedEntries
from .values import Values


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
        self.counts[task['state']] += 1
        # mypy wants something that may have all members of a task.
        task |= self._values.arguments(row, state.groups[number])  # type: ignore[typeddict-item]
        needs = state.requires.get(row)
        if needs:
            task['needs'] = list(needs)
        if row in self._blocked:
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
