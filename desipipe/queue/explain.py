"""Why a task waits, or would be computed again."""

from __future__ import annotations

from shlex import quote

from ..terminal import visible
from .ends import retry_text
from .events import DROPPED, FAILED, KILLED, PENDING, RUNNING, STATES, SUCCEEDED, UNKNOWN, WAITING
from .ledger import Ledger
from .stored_app import StoredApp
from .task import Task

_NAMED_TASKS_MAX = 5  # tasks to name


def explain(ledger: Ledger, task: Task) -> str:
    """Explain why ``task`` is in its state, and how the nearest known task differs.

    Parameters
    ----------
    ledger : Ledger
    task : Task
        In the queue, or not.

    Returns
    -------
    words : str
    """
    ledger.follow()
    row = ledger.state.rows.get(task.tid)
    lines = (
        [
            (
                f'{task.name} {task.id[:12]} would be computed: no task of the queue has this code '
                'and these arguments.'
            )
        ]
        if row is None
        else [_state(ledger, row)]
    )
    if row in ledger.state.superseded and ledger.state.status[row] not in (WAITING, PENDING):
        lines.append(f'It is superseded, and does not count: {_why_superseded(ledger, row)}.')
    return visible('\n'.join(lines + _nearest(ledger, task, row)))


def _one_line(text: object) -> str:
    return visible(str(text).rstrip('.'), lines=False)


def _label(ledger: Ledger, row: int) -> str:
    state = ledger.state
    if not state.ids[row]:
        return 'a task whose line in the journal was lost'
    if state.status[row] == DROPPED:
        return f'task {state.ids[row].hex()[:12]}, which was deleted'
    name = visible(state.groups[state.group[row]].name, lines=False)
    return f'{name}[{state.index[row]:d}] {state.ids[row].hex()[:12]}'


def _why_superseded(ledger: Ledger, row: int) -> str:
    state = ledger.state
    if state.groups[state.group[row]].app in state.code_versions.superseded:
        return 'its notebook or script was run again with other code'
    needed = next(other for other in state.requires[row] if other in state.superseded)
    return f'it needs {_label(ledger, needed)}, which is superseded'


def _state(ledger: Ledger, row: int) -> str:
    state = ledger.state
    status = state.status[row]
    label = _label(ledger, row)
    if row in state.superseded and status in (WAITING, PENDING):
        return (
            f'{label} is superseded: {_why_superseded(ledger, row)}. It has not begun, and will '
            f'not. Let it run all the same: {_retry(ledger, row)}'
        )
    if status == SUCCEEDED:
        return f'{label} SUCCEEDED: its result is used, nothing is computed.'
    worker = state.running.get(row)
    if worker is not None and state.is_claimed(row):
        where = _one_line(f'worker {worker.job} on {worker.host}')
        return f'{label} is PENDING: {where} has claimed it, and runs it when a slot is free.'
    if status == RUNNING:
        return f'{label} is RUNNING, attempt {state.attempt[row]:d}' + (
            _one_line(f', on {worker.host} ({worker.job})') + '.' if worker else '.'
        )
    if status in (FAILED, KILLED, UNKNOWN):
        cause = _one_line(ledger.cause(row).get('text', 'no reason is known'))
        return (
            f'{label} is {STATES[status]}: {cause.rstrip(".")}. {retry_text(status)}: '
            f'{_retry(ledger, row)}'
        )
    if status == WAITING:
        return label + _waiting(ledger, row)
    return f'{label} is PENDING: ' + _pending(ledger, row)


def _retry(ledger: Ledger, row: int) -> str:
    tid = ledger.state.ids[row].hex()[:12]
    return f'desipipe retry -q {quote(ledger.folder)} --tid {tid}'


def _waiting(ledger: Ledger, row: int) -> str:
    state = ledger.state
    blocked = ledger.blocked().get(row)
    if blocked is not None and state.status[blocked] == DROPPED:
        return (
            f' cannot run: it needs {_label(ledger, blocked)}. To add that again, call its app, or '
            'run the notebook, again.'
        )
    if blocked is not None:
        return (
            f' cannot run: it needs {_label(ledger, blocked)}, which is '
            f'{STATES[state.status[blocked]]}. Let that one run again: {_retry(ledger, blocked)}'
        )
    needs = [other for other in state.requires.get(row, ()) if state.status[other] != SUCCEEDED]
    states = (*STATES, 'not there')
    names = ', '.join(
        f'{_label(ledger, other)} ({states[state.status_shown(other)]})'
        for other in needs[:_NAMED_TASKS_MAX]
    )
    return (
        f' waits for {len(needs):d} of {len(state.requires.get(row, ())):d} tasks that it needs: '
        f'{names}{", …" if len(needs) > _NAMED_TASKS_MAX else ""}.'
    )


def _pending(ledger: Ledger, row: int) -> str:
    state = ledger.state
    group = state.groups[state.group[row]]
    if state.paused:
        return f'the queue is paused. Go on with: desipipe resume -q {quote(ledger.folder)} --spawn'
    if ledger.use_error() is None and not ledger.may_run(row) and ledger.authors is not None:
        return str(ledger.authors.refusal(state, row))
    workers = [worker for worker in state.alive.values() if worker.mid in (None, group.mid)]
    if not workers:
        if state.manager is None:
            before = state.last_manager
            is_of = before is not None and before.get('of') in ('', group.mid)
            message = before.get('says', '') if before is not None and is_of else ''
            last = f'The last manager said: {_one_line(message)}. ' if message else ''
            return f'no worker of its task manager is running. {last}{ledger.how_to_start()}'
        says = state.manager.get('says')
        return _one_line(says or 'the manager has yet to start a worker for its task manager') + '.'
    earlier = sum(1 for other in state.next_pending([group.mid], len(state.status)) if other < row)
    return (
        f'{earlier:d} tasks are before it, for {sum(worker.slots for worker in workers):d} slots.'
    )


def _nearest(ledger: Ledger, task: Task, row: int | None) -> list[str]:
    """Describe how ``task`` differs from the most similar task of its app."""
    state = ledger.state
    names = {number for number, group in enumerate(state.groups) if group.name == task.name}
    others = [
        other
        for other in state.each()
        if state.group[other] in names and other != row and (row is None or other < row)
    ]
    if not others:
        return ['No other task of this app is known.'] if row is None else []
    own = task.arguments
    # Same arguments first, then the fewest differences; of those, the newest.
    scored = [
        (sum(own.get(key) != value for key, value in ledger.arguments(other).items()), -other)
        for other in others[-2000:]
    ]
    differing, other = min(scored)
    other = -other
    lines = [
        f'The nearest known task is {_label(ledger, other)}, {STATES[state.status_shown(other)]}.'
    ]
    app = task.app
    parts = app.parts if isinstance(app, StoredApp) else app.description.parts
    theirs = StoredApp(ledger, other).parts
    for key in sorted(parts.keys() | theirs.keys()):
        if parts.get(key) != theirs.get(key):
            what = 'is new' if key not in theirs else 'is gone' if key not in parts else 'differs'
            lines.append('  ' + _one_line(f'{key} {what}'))
    if differing:
        compared = ledger.arguments(other)
        for key in sorted(own.keys() | compared.keys()):
            if own.get(key) != compared.get(key):
                values = f'{own.get(key, "(none)")}, there {compared.get(key, "(none)")}'
                lines.append('  ' + _one_line(f'argument {key}: {values}'))
    if len(lines) > 1 and state.status[other] == SUCCEEDED and not differing:
        lines.append(
            f'If its result is as good for the new code: desipipe accept -q {quote(ledger.folder)} '
            f'{state.ids[other].hex()[:12]} {task.id[:12]}'
        )
    return lines
