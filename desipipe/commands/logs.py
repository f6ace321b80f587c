"""Print the output of tasks.

It comes from the file that the worker copies it to while the task runs, then from the journal.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from ..outputs.notebook import Stripper
from ..queue.live_output import LiveReader
from ..queue.location import type_queue
from ..screen import apply_moves
from ..terminal import VisibleText
from .common import hint_nobody
from .face import hint, on_terminal

if TYPE_CHECKING:
    from ..queue.queue import Queue
    from ..queue.task_events import Cause

_POLL = (0.1, 0.5)  # s between two looks at the file: on this machine's disk, on a shared one
_MATCH = 256  # bytes by which the place where we are is found again in what is kept


class Output:
    """Writes out what one task printed.

    Parameters
    ----------
    queue : Queue
    tid : str
        The task's identity.
    streams : str
        ``'o'``, ``'e'``, or ``'oe'``: standard output, standard error, or both.
    file : binary file
        Target. What would act on a terminal is shown; colours stay on a terminal, if the queue is
        the user's own.
    raw : bool, default=False
        True to write the bytes as they are.
    """

    def __init__(
        self, queue: Queue, tid: str, streams: str, file: BinaryIO, raw: bool = False
    ) -> None:
        self._queue = queue
        self._ledger = queue.ledger
        self._tid = tid
        self._streams = streams
        self._file = file
        self._raw = raw
        self._colours = on_terminal() and os.stat(queue.folder).st_uid == os.geteuid()
        self._live_reader = LiveReader(self._ledger, bytes.fromhex(tid))
        self._begin(0)

    def _begin(self, attempt: int) -> None:
        self._attempt = attempt
        self._written = {'o': 0, 'e': 0}
        self._tail = {'o': b'', 'e': b''}
        self._strippers = {'o': Stripper(), 'e': Stripper()}
        self._visible = {stream: VisibleText(self._colours) for stream in 'oe'}

    @property
    def _row(self) -> int:
        # Looked up again each time: it may be deleted meanwhile.
        return self._ledger.row(bytes.fromhex(self._tid))

    @property
    def _is_cell(self) -> bool:
        state = self._ledger.state
        return state.groups[state.group[self._row]].kind == 'cell'

    @property
    def _status(self) -> str:
        from ..queue.events import STATES

        return STATES[self._ledger.state.status_shown(self._row)]

    def now(self) -> None:
        """Write what there is."""
        self._ledger.follow()
        status = self._status
        if status == 'RUNNING':
            self._live()
            hint(
                'It runs; this is what it printed so far. Follow it with: -f'
                if any(self._written.values())
                else 'It runs, and has printed nothing so far. Follow it with: -f'
            )
        else:
            self._kept(status)

    def follow(self) -> None:
        """Write what comes until the task has ended, or is found to be blocked."""
        from ..view.task_summary import is_left

        ledger = self._ledger
        ledger.follow()
        pause = _POLL[ledger.journal.shared]
        if self._status != 'RUNNING' and is_left(ledger, self._row):
            hint(f'It is {self._status}; waiting for it to begin')
            hint_nobody(self._queue)
        while is_left(ledger, self._row):
            if self._status == 'RUNNING':
                self._live()
            before = (self._status, ledger.state.attempt[self._row])
            ledger.wait(
                lambda before=before: (self._status, ledger.state.attempt[self._row]) != before,  # type: ignore[misc]
                pause,
            )
        self._kept(self._status)

    def _write(self, stream: str, data: bytes) -> None:
        self._written[stream] += len(data)
        self._tail[stream] = (self._tail[stream] + data)[-_MATCH:]
        if stream not in self._streams or not data:
            return
        if self._is_cell:
            data = self._strippers[stream].feed(data)
        self._file.write(data if self._raw else self._visible[stream].feed(data).encode())
        self._file.flush()

    def _finish(self) -> None:
        """Write what was held back of a stream that has ended."""
        for stream, text in self._visible.items():
            if not self._raw and stream in self._streams:
                self._file.write(text.feed(b'', last=True).encode())
        self._file.flush()

    # While it runs

    def _live(self) -> None:
        pieces = self._live_reader.read_all()
        if self._live_reader.attempt != self._attempt:
            if self._attempt:
                hint(f'Attempt {self._live_reader.attempt:d}:')
            self._begin(self._live_reader.attempt)
        for piece in pieces:
            if piece.missed:
                self._strippers[piece.stream].miss()
            self._write(piece.stream, piece.data)

    # When it has ended

    def _kept(self, status: str) -> None:
        ledger = self._ledger
        last = ledger.last_attempt(self._row)
        cause = ledger.cause(self._row)
        kept = {'o': b'', 'e': b''}
        if last is not None:
            if last.number != self._attempt:
                self._begin(last.number)
            for stream, ref in (('o', last.out), ('e', last.err)):
                if ref is not None:
                    kept[stream] = bytes(ledger.read(ref))
        rest = {stream: self._rest(stream, data) for stream, data in kept.items()}
        if (
            self._colours and not self._raw
        ):  # of a bar that is over, what it wrote over says nothing
            rest = {
                stream: data
                if self._written[stream]
                else apply_moves(data.decode(errors='backslashreplace')).encode(
                    errors='backslashreplace'
                )
                for stream, data in rest.items()
            }
        if 'trace' in cause:
            rest['e'] += ledger.read_text(cause['trace']).encode()
        self._write('o', rest['o'])
        if self._streams == 'oe' and rest['e'] and self._written['o'] and not self._written['e']:
            self._write(
                'o', (b'' if self._tail['o'].endswith(b'\n') else b'\n') + b'--- standard error:\n'
            )
        self._write('e', rest['e'])
        self._finish()
        self._say(status, cause)

    def _rest(self, stream: str, kept: bytes) -> bytes:
        """Return the part of the kept output that was not written yet."""
        written, tail = self._written[stream], self._tail[stream]
        if kept[max(0, written - len(tail)) : written] == tail and len(kept) >= written:
            return kept[written:]
        start = kept.rfind(tail)  # the middle was cut, or we missed something
        return kept[start + len(tail) :] if start >= 0 else kept

    def _say(self, status: str, cause: Cause) -> None:
        ledger = self._ledger
        where = type_queue(ledger.folder, self._queue.config)
        if status in ('WAITING', 'PENDING'):
            blocked = self._row in ledger.blocked()
            hint(
                f'It {"cannot run" if blocked else f"is {status}"}; see why with: desipipe explain '
                f'{where} {self._tid[:12]}'
            )
        elif status != 'SUCCEEDED':
            hint(f'{status}: {cause.get("text") or "no reason is known"}')
        elif not any(self._written.values()):
            hint('It printed nothing that is kept')
