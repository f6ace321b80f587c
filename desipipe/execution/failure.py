"""Describe what a task raised: cause, traceback, and the exception itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..queue.events import FAILED_ERRNO, CauseKind
from ..security.secrets import hide
from ..serialize import dumps
from ..utils import printable
from .failure_notes import add_note, exit_text
from .shell_process import CommandFailed

if TYPE_CHECKING:
    from ..queue.task_events import Cause

INLINE = 64 * 1024  # bytes; larger results the slot writes itself
_ERRNO_MAX = 1 << 31


def describe(exc: BaseException) -> tuple[Cause, bytes | None, bytes | None]:
    """Return cause, traceback and pickle of what a task raised; never raises."""
    try:
        return _describe(exc)
    except BaseException as why:  # what its own methods do, or its depth
        kind = type(exc).__name__
        text = f'{kind}, which cannot be described: {type(why).__name__} was raised meanwhile'
        return {'kind': kind, 'text': text, 'kinds': [kind], 'errno': FAILED_ERRNO}, None, None


def _describe(exc: BaseException) -> tuple[Cause, bytes | None, bytes | None]:
    """Return the cause, the traceback and the pickle of what a task raised.

    Parameters
    ----------
    exc : BaseException
        It gets a note of what its message leaves out, and loses its traceback.
    """
    if isinstance(exc, CommandFailed):
        return (
            {
                'kind': CauseKind.EXIT,
                'text': f'{exc}{exit_text(exc.status)}',
                'errno': exc.status,
                'kinds': [CauseKind.EXIT],
            },
            None,
            None,
        )
    import traceback

    here = os.path.join(os.path.dirname(os.path.dirname(__file__)), '')
    frames = exc.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(here):
        frames = frames.tb_next  # ours say nothing to the user
    if frames is not None:
        exc.__traceback__ = frames
    message = printable(''.join(traceback.format_exception_only(exc)).strip())
    if isinstance(exc, SyntaxError):  # of which the first lines are the code
        message = printable(f'{type(exc).__name__}: {exc}')
    if note := add_note(exc):
        message = f'{message.rstrip(".")}. {note}'
    trace = ''.join(traceback.format_exception(exc)) if frames is not None else message + '\n'
    message, trace = (
        hide(text.encode(errors='backslashreplace')).decode() for text in (message, trace)
    )
    cause: Cause = {
        'kind': type(exc).__name__,
        'text': message[:500],
        'kinds': [base.__name__ for base in type(exc).__mro__[:-1]],
        'errno': int(exc.code) & 0xFF
        if isinstance(exc, SystemExit) and isinstance(exc.code, int)
        else _errno_of(exc),
    }
    carried = _carry(exc, cause)
    return cause, trace.encode(errors='backslashreplace')[-INLINE:], carried


def _carry(exc: BaseException, cause: Cause) -> bytes | None:
    """Return the pickle of an exception, and note in the cause whether there is one."""
    try:
        payload = dumps(exc.with_traceback(None), 'exception')
        data = b'' if payload.aligned or payload.nbytes > INLINE else bytes(payload.parts[0])
        if not data or hide(data) != data:
            return None  # it is too large, or holds a secret
    except Exception:  # what it holds can't be carried; its text is enough then
        return None
    cause['carried'] = True
    return data


def _errno_of(exc: BaseException) -> int:
    errno = getattr(exc, 'errno', None)
    # A subclass of int may be anything in the journal, `True` for one.
    return int(errno) if isinstance(errno, int) and 0 < abs(errno) < _ERRNO_MAX else FAILED_ERRNO
