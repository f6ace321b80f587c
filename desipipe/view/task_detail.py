"""Build the page of one task from all that is known of it; nothing is unpickled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

from ..errors import CorruptJournalError, PayloadError
from ..queue.attempt_reader import Attempt, AttemptReader
from ..queue.events import EventKind
from .task_summary import has_result, shown_arguments, state_name, task_label, task_summary, user_of

if TYPE_CHECKING:
    from .schema import AttemptView, FileUse, RelativeView, TaskDetail


RELATED = 100  # requirements and dependants that a task's detail names


T = TypeVar('T')


def task_detail(ledger: AttemptReader, row: int) -> TaskDetail:
    """Read all that is known of a task; nothing is unpickled.

    Parameters
    ----------
    ledger : Ledger
    row : int

    Returns
    -------
    task : TaskDetail
        With :data:`RELATED` files, requirements and dependants at most.
    """
    state = ledger.state
    group = state.groups[state.group[row]]
    reader = _TaskReader(ledger, row)
    last, files = reader.last, reader.files()
    requires = list(state.requires.get(row, ()))
    dependants, superseded = _dependants(ledger, row)
    return {
        **task_summary(ledger, row),
        'kind': group.kind,
        'timeout': group.timeout,
        'retries': group.retries,
        'retry_on': list(group.retry_on),
        'priority': group.priority,
        'cwd': group.cwd,
        'added': reader.added(),
        'code': reader.code(),
        'arguments': reader.arguments(),
        'versions': {} if last is None else dict(state.versions.get((last.worker, group.app), {})),
        'environment': {} if last is None else dict(state.versions.get((last.worker, ''), {})),
        'files': files[:RELATED],
        'n_files': len(files),
        'attempts': [_attempt(ledger, attempt) for attempt in reader.attempts],
        'out': last.out.length if last and last.out else 0,
        'err': last.err.length if last and last.err else 0,
        'trace': reader.trace,
        'result': _result_size(ledger, row),
        'requires': [_relative(ledger, other) for other in requires[:RELATED]],
        'n_requires': len(requires),
        'dependants': [_relative(ledger, other) for other in [*dependants, *superseded][:RELATED]],
        'n_dependants': len(dependants),
        'n_superseded_dependants': len(superseded),
        'problems': reader.problems,
    }


def _dependants(ledger: AttemptReader, row: int) -> tuple[list[int], list[int]]:
    """Return the tasks that need a task: those that count, and superseded ones."""
    old = ledger.state.superseded
    rows = list(ledger.state.dependants_of(row))
    if row in old or old.isdisjoint(rows):
        return rows, []
    return [other for other in rows if other not in old], [other for other in rows if other in old]


class _TaskReader:
    """Reader of what is kept of a task, which notes what could not be read."""

    def __init__(self, ledger: AttemptReader, row: int) -> None:
        self.ledger = ledger
        self.row = row
        self.problems: list[str] = []
        nothing: tuple[list[Attempt], str] = ([], '')
        self.attempts, self.trace = self._read(
            lambda: (ledger.attempts(row), self._trace()), nothing
        )
        self.last = next((attempt for attempt in reversed(self.attempts) if attempt.counts), None)

    def _read(self, look: Callable[[], T], default: T) -> T:
        try:
            return look()
        except (CorruptJournalError, PayloadError) as exc:
            self.problems.append(str(exc))
            return default

    def _trace(self) -> str:
        ref = self.ledger.cause(self.row).get('trace')
        return self.ledger.read_text(ref) if ref else ''

    def files(self) -> list[FileUse]:
        """Return the files that the last attempt read and wrote."""
        last = self.last
        if last is None:
            return []
        return self._read(lambda: cast('list[FileUse]', self.ledger.files(last.files)), [])

    def added(self) -> float | None:
        """Return the time at which the task was added."""
        offset = self.ledger.state.added_at[self.row]
        return self._read(lambda: self._time_at(offset), None)

    def _time_at(self, offset: int) -> float | None:
        event = self.ledger.event_at(offset)
        return event['t'] if event['e'] in (EventKind.ADD, EventKind.REVIVE) else None

    def code(self) -> str:
        """Return the source of the task's app."""
        return self._read(lambda: self.ledger.read_text(self.ledger.code(self.row)['source']), '')

    def arguments(self) -> dict[str, str]:
        """Return the arguments as text."""
        return self._read(lambda: shown_arguments(self.ledger, self.row), {})


def _attempt(ledger: AttemptReader, attempt: Attempt) -> AttemptView:
    view: AttemptView = {
        'attempt': attempt.number,
        'state': state_name(attempt.state),
        'worker': attempt.worker,
        'host': attempt.host,
        'job': attempt.job,
        'began': attempt.began,
        'duration': attempt.duration,
        'memory': attempt.memory or None,
        'cause': attempt.cause.get('text', ''),
        'current': attempt.counts,
        'out': attempt.out.length if attempt.out else 0,
        'err': attempt.err.length if attempt.err else 0,
    }
    if ledger.is_group_queue:
        view['user'] = user_of(ledger, attempt.worker)
    return view


def _result_size(ledger: AttemptReader, row: int) -> int | None:
    ref = ledger.state.result(row)
    return ref.length if ref is not None and has_result(ledger, row) else None


def _relative(ledger: AttemptReader, row: int) -> RelativeView:
    state, cause = ledger.state, ledger.blocked().get(row)
    return {
        **task_label(ledger, row),
        'state': state_name(state.status_shown(row)),
        'blocked': '' if cause is None else state.ids[cause].hex(),
        'superseded': row in state.superseded,
    }
