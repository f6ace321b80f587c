"""Build the page of one task from all that is known of it; nothing is unpickled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

from ..errors import CorruptJournalError, PayloadError
from ..queue.attempt_reader import Attempt, AttemptReader
from ..queue.events import SUCCEEDED
from .task_summary import state_name, task_label, task_summary, user_of

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
    problems: list[str] = []

    def read(look: Callable[[], T], default: T) -> T:
        try:
            return look()
        except (CorruptJournalError, PayloadError) as exc:
            problems.append(str(exc))
            return default

    def trace() -> str:
        ref = ledger.cause(row).get('trace')
        return ledger.read_text(ref) if ref else ''

    nothing: tuple[list[Attempt], str] = ([], '')
    attempts, trace_text = read(lambda: (ledger.attempts(row), trace()), nothing)
    last = next((attempt for attempt in reversed(attempts) if attempt.counts), None)
    files: list[FileUse] = (
        [] if last is None else read(lambda: cast('list[FileUse]', ledger.files(last.files)), [])
    )
    requires, dependants = list(state.requires.get(row, ())), state.dependants_of(row)
    return {
        **task_summary(ledger, row),
        'kind': group.kind,
        'timeout': group.timeout,
        'retries': group.retries,
        'retry_on': list(group.retry_on),
        'priority': group.priority,
        'cwd': group.cwd,
        'added': read(lambda: ledger.journal.event_at(state.added_at[row]).get('t'), None),
        'code': read(lambda: ledger.read_text(ledger.code(row)['source']), ''),
        'arguments': read(lambda: ledger.arguments(row), {}),
        'versions': {} if last is None else state.versions.get((last.worker, group.app), {}),
        'environment': {} if last is None else state.versions.get((last.worker, ''), {}),
        'files': files[:RELATED],
        'n_files': len(files),
        'attempts': [_attempt(ledger, attempt) for attempt in attempts],
        'out': last.out.length if last and last.out else 0,
        'err': last.err.length if last and last.err else 0,
        'trace': trace_text,
        'result': _result_size(ledger, row),
        'requires': [_relative(ledger, other) for other in requires[:RELATED]],
        'n_requires': len(requires),
        'dependants': [_relative(ledger, other) for other in dependants[:RELATED]],
        'n_dependants': len(dependants),
        'problems': problems,
    }


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
    return ref.length if ref is not None and ledger.state.status[row] == SUCCEEDED else None


def _relative(ledger: AttemptReader, row: int) -> RelativeView:
    state, cause = ledger.state, ledger.blocked().get(row)
    return {
        **task_label(ledger, row),
        'state': state_name(state.status_shown(row)),
        'blocked': '' if cause is None else state.ids[cause].hex(),
        'superseded': row in state.superseded,
    }
