"""Read what tasks wrote: from the worker's copy while they run, then the journal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from ..errors import PayloadError
from ..outputs.cell_traceback import mark_failing_lines
from ..outputs.notebook import Output, split
from ..outputs.safe import UNNAMED, safe_output
from ..store import files, folders
from ..utils import username
from .attempt_fold import failure_kind
from .events import FAILED, KILLED, RUNNING, UNKNOWN, Ref
from .ledger import Ledger
from .live_output import LiveReader, live_names


class Written(NamedTuple):
    """Captured output of a task, with the marks of cells.

    See :mod:`desipipe.outputs.notebook`.
    """

    attempt: int
    """Number of the attempt that printed it; 0 if none is known."""
    part: str
    """Tells texts apart of which one is not the beginning of the other."""
    out: bytes
    err: bytes


def written(ledger: Ledger, row: int) -> Written:
    """Return what a task wrote to its two streams: its last attempt, or so far.

    Parameters
    ----------
    ledger : Ledger
        As it was last followed.
    row : int

    Returns
    -------
    written : Written
    """
    if ledger.state.status[row] == RUNNING:
        reader = LiveReader(ledger, ledger.state.ids[row])
        pieces = reader.read_all()
        out, err = (
            b''.join(piece.said for piece in pieces if piece.stream == stream) for stream in 'oe'
        )
        return Written(
            reader.attempt or ledger.state.attempt[row],
            f'{reader.attempt:d}-{reader.part}' if reader.attempt else '',
            out,
            err,
        )
    return ledger.again(lambda: _kept(ledger, row))


def _kept(ledger: Ledger, row: int) -> Written:
    last = ledger.last_attempt(row)
    if last is None:
        return Written(0, '', b'', b'')
    out, err = (b'' if ref is None else bytes(ledger.read(ref)) for ref in (last.out, last.err))
    return Written(last.number, f'{last.number:d}-kept', out, err)


def written_by(ledger: Ledger, row: int, attempt: int) -> Written:
    """Return what an attempt wrote that ended; nothing if there is no such attempt."""

    def look() -> Written:
        ended = next((one for one in ledger.attempts(row) if one.number == attempt), None)
        if ended is None:
            return Written(attempt, f'{attempt:d}-kept', b'', b'')
        out, err = (
            b'' if ref is None else bytes(ledger.read(ref)) for ref in (ended.out, ended.err)
        )
        return Written(attempt, f'{attempt:d}-kept', out, err)

    return ledger.again(look)


def outputs(ledger: Ledger, row: int) -> list[Output]:
    """Return what a task wrote and displayed so far, as a notebook shows it.

    Parameters
    ----------
    ledger : Ledger
        As it was last followed.
    row : int

    Returns
    -------
    outputs : list of dict
        As in nbformat 4: ``stream``, ``display_data``; the last of a task that did not succeed is
        its ``error``.
    """
    user = untrusted_writer(ledger, row)
    return _safe(_outputs(ledger, row, user), user)


def _outputs(ledger: Ledger, row: int, user: str) -> list[Output]:
    now = written(ledger, row)
    # Movements of a cursor can cost any time and memory: those of users who are not trusted are
    # only shown.
    parts = split(
        now.out.decode(errors='replace'), now.err.decode(errors='replace'), moves=not user
    )
    if ledger.state.status[row] in (FAILED, KILLED, UNKNOWN):
        parts.append(ledger.again(lambda: _error(ledger, row)))
    return parts


def _safe(parts: list[Output], user: str) -> list[Output]:
    return [safe_output(output, user) for output in parts] if user else parts


def untrusted_writer(ledger: Ledger, row: int) -> str:
    """Return the untrusted user who may have written a task's outputs; empty if none.

    These are the owners of the queue, of the files that hold the outputs, and who added the task;
    :data:`.UNNAMED` where the outputs are not to be trusted, and no user's name would change that.

    Parameters
    ----------
    ledger : Ledger
        As it was last followed.
    row : int
    """
    error = ledger.use_error()
    uids = (
        {os.stat(path).st_uid for path in (ledger.folder, ledger.journal.path)}
        if error is not None
        else set()
    )
    uids |= {files.status(ledger.folder, f'live/{name}').st_uid for name in live_names(ledger, row)}
    uids.add(ledger.segments.owner(ledger.state.args(row).segment))
    last = (
        ledger.again(lambda: ledger.last_attempt(row))
        if ledger.state.status[row] != RUNNING
        else None
    )
    refs = (
        ()
        if last is None
        else tuple(ref for ref in (last.out, last.err, *last.shown) if ref is not None)
    )
    uids |= {ledger.segments.owner(ref.segment) for ref in refs}
    unknown = sorted(uid for uid in uids if not ledger.trusts(uid))
    if unknown:
        return username(unknown[0])
    authors = ledger.authors
    if authors is not None and not all(map(authors.vouches, refs)):
        uid = authors.user_of(ledger.state, row)
        return username(uid) if uid >= 0 else UNNAMED
    return '' if error is None else UNNAMED


def untrusted_writers(ledger: Ledger) -> set[str]:
    """Return the users who wrote payloads of a queue, and are not trusted."""
    names = folders.list_names(ledger.folder, 'segments')
    uids = {files.status(ledger.folder, f'segments/{name}').st_uid for name in names}
    return {username(uid) for uid in uids if not ledger.trusts(uid)}


def displays(ledger: Ledger, row: int) -> list[Output]:
    """Return all that a task displayed, also what is too large to be in its outputs.

    Parameters
    ----------
    ledger : Ledger
        As it was last followed.
    row : int

    Returns
    -------
    displays : list of dict
        As in nbformat 4, each a ``display_data``; of a task that runs, so far, and large ones as
        they are shown.
    """
    user = untrusted_writer(ledger, row)
    shown = [
        output for output in _outputs(ledger, row, user) if output['output_type'] == 'display_data'
    ]
    kept = ledger.again(lambda: _large_displays(ledger, row))
    return _safe([_whole(ledger, output, kept) for output in shown], user)


def _large_displays(ledger: Ledger, row: int) -> tuple[Ref, ...]:
    last = ledger.last_attempt(row)
    return () if last is None else last.shown


def _whole(ledger: Ledger, output: Output, kept: Sequence[Ref]) -> Output:
    number = kept_number(output)
    if not 0 <= number < len(kept):
        return output
    kept_display: Any = orjson.loads(bytes(ledger.read(kept[number])))
    return {**output, 'data': kept_display['data'], 'metadata': kept_display['metadata']}


def kept_number(output: Mapping[str, Any]) -> int:
    """Return the number of the display that an output shows small; -1 if it is whole.

    Parameters
    ----------
    output : dict
        As in nbformat 4.
    """
    about = output.get('metadata', {}).get('desipipe')
    number = about.get('display') if isinstance(about, dict) else None
    return number if type(number) is int else -1


def _error(ledger: Ledger, row: int) -> Output:
    cause = ledger.cause(row)
    text = str(cause.get('text') or 'no reason is known')
    name = failure_kind(cause, ledger.state.status[row])
    trace = ledger.read_text(cause['trace']) if 'trace' in cause else ''
    if trace:
        with contextlib.suppress(PayloadError):  # the code is lost; the traceback is not
            trace = mark_failing_lines(trace, ledger.read_text(ledger.code(row)['source']))
        # The words begin with the class, qualified by its module where that is not a builtin's.
        head, _, detail = text.partition(': ')
        text = (
            detail
            if head.rpartition('.')[2] == name
            else ''
            if text.rpartition('.')[2] == name
            else text
        )
    return {
        'output_type': 'error',
        'ename': name,
        'evalue': text,
        'traceback': trace.splitlines() or [text],
    }
