"""The errors of tasks that did not succeed, as their futures raise them."""

from __future__ import annotations

from shlex import quote

from ..errors import (
    TaskCancelledError,
    TaskError,
    TaskFailedError,
    TaskKilledError,
    TaskLostError,
    TaskSupersededError,
)
from ..terminal import visible
from ..utils import plural
from .ends import retry_text
from .events import CANCELLED, DROPPED, ENDED, FAILED, KILLED, PENDING, STATES, UNKNOWN, WAITING
from .ledger import Ledger

ERR_CHARACTERS_MAX = 2000  # of stderr, from its end, that a message has


def task_error(ledger: Ledger, row: int) -> BaseException:
    """Return the error of a task that did not succeed, or that can't run.

    Parameters
    ----------
    ledger : Ledger
    row : int

    Returns
    -------
    error : BaseException
        The exception that the task raised, where it can be loaded here, with a
        :class:`~desipipe.errors.TaskFailedError` as its cause; else an error of desipipe.
    """
    if ledger.state.status[row] in (WAITING, PENDING):
        return _blocked_error(ledger, row)
    error = _ended_error(ledger, row)
    ref = ledger.state.result(row)
    if ledger.state.status[row] == FAILED and ref is not None and ledger.cause(row).get('carried'):
        try:
            raised = ledger.load(ref)
        except Exception as exc:  # its class is absent, or does not load: the text says what it was
            error.add_note(visible(f'(the exception itself could not be loaded here: {exc})'))
            return error
        # SystemExit and its like stay text, too: raised here they would end the session that asks.
        if isinstance(raised, Exception):
            raised.__cause__ = error
            return raised
    return error


def still_waiting_text(ledger: Ledger, row: int, when: str, reason: object = None) -> str:
    """Return that a task goes on while the wait for it ended, and how to see why.

    Parameters
    ----------
    ledger : Ledger
    row : int
    when : str
        As in 'after 3 s'.
    reason : object, default=None
        Reason that the task does not go on; its text is a sentence.
    """
    counts, _ = ledger.state.counts_shown()
    pending, running = counts['PENDING'], counts['RUNNING']
    about = '' if reason is None else f'{reason}\n'
    return visible(
        f'Task {_title(ledger, row)} is {STATES[ledger.state.status_shown(row)]} {when}; it goes '
        f'on, nothing is lost. {plural(pending)} pending, {running:,d} running. {about}'
        f'See why with: desipipe explain -q {quote(ledger.folder)} {_short_id(ledger, row)}'
    )


def _title(ledger: Ledger, row: int) -> str:
    state = ledger.state
    return f'{_short_id(ledger, row)} ({state.groups[state.group[row]].name})'


def _id(ledger: Ledger, row: int) -> str:
    return ledger.state.ids[row].hex()


def _short_id(ledger: Ledger, row: int) -> str:
    return _id(ledger, row)[:12]


def _blocked_error(ledger: Ledger, row: int) -> TaskError:
    """Return the error of a task that can't run."""
    state, tid, folder = ledger.state, _id(ledger, row), quote(ledger.folder)
    task, short_id = f'task {_title(ledger, row)}', _short_id(ledger, row)
    if row in state.superseded:
        return TaskSupersededError(
            f'{task} has not begun, and other code took the place of its own, or of what it needs. '
            'It will not run. Run the notebook or script again, or let it run all the same with: '
            f'desipipe retry -q {folder} --tid {short_id}',
            tid,
            'superseded',
        )
    other = ledger.blocked()[row]
    if state.status[other] == DROPPED:
        return TaskFailedError(
            f'{task} cannot run: a task that it needs was deleted, or its line in the journal was '
            'lost. Call the app of that one again, or run the notebook again. See what it needs: '
            f'desipipe explain -q {folder} {short_id}',
            tid,
            'blocked',
        )
    error = TaskFailedError(
        f'{task} cannot run: it needs task {_title(ledger, other)}, which is '
        f'{STATES[state.status[other]]}. Let both run again with: '
        f'desipipe retry -q {folder} --tid {_short_id(ledger, other)}',
        tid,
        'blocked',
    )
    error.__cause__ = task_error(ledger, other) if state.status[other] in ENDED else None
    return error


def _ended_error(ledger: Ledger, row: int) -> TaskError:
    """Return the error of a task that ended without success, as desipipe tells it."""
    cause = ledger.cause(row)
    status = ledger.state.status[row]
    kind = {FAILED: TaskFailedError, KILLED: TaskKilledError, UNKNOWN: TaskLostError}.get(
        status, TaskFailedError
    )
    if cause.get('kind') == CANCELLED:
        kind = TaskCancelledError
    reason = cause.get('text') or 'no reason is known'
    ending = 'failed' if status == FAILED else 'was ended'
    message = f'task {_title(ledger, row)} {ending}: {reason}'
    if cause.get('trace'):
        message += '\n\n' + ledger.read_text(cause['trace']).rstrip() + '\n'
    elif err := ledger.output_text(row, 'err'):
        message += '\n\n' + err[-ERR_CHARACTERS_MAX:].rstrip() + '\n'
    folder, short_id = quote(ledger.folder), _short_id(ledger, row)
    message += (
        f'\nIts output: desipipe logs -q {folder} {short_id}\n'
        f'{retry_text(status)}: desipipe retry -q {folder} --tid {short_id}'
    )
    return kind(message, _id(ledger, row), reason)
