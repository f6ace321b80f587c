"""Copy what tasks print to the worker's own output, such as `slurm-%j.out`."""

from __future__ import annotations

import logging
import os
import time

from ..outputs.notebook import Stripper

logger = logging.getLogger('desipipe')

LINE_MAX_BYTES = 1 << 16
"""Length from which on a line is written before its end came."""
PAUSE_AFTER_ERROR_S = 10.0
CUT = b'[desipipe: more of this task is not copied here; see: desipipe logs]\n'


class Output:
    """A file that several slots write to, a whole number of lines at a time.

    Parameters
    ----------
    fd : int
        Descriptor of the file.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._silent_until = 0.0

    def write(self, data: bytes) -> None:
        """Write bytes; after an error pause writing, as tasks matter more."""
        if time.monotonic() < self._silent_until:
            return
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as exc:
            self._silent_until = time.monotonic() + PAUSE_AFTER_ERROR_S
            logger.warning('What tasks print is not copied for a while: %s', exc.strerror)


class StreamCopy:
    """Passes on what the tasks of one slot print to one stream.

    Parameters
    ----------
    output : Output
    label : str
        Beginning of each line; if empty, the slot is the only one, and nothing is held back.
    limit : int
        Bytes of a task that are copied.
    """

    def __init__(self, output: Output, label: str, limit: int) -> None:
        self._output = output
        self._label = f'[{label}] '.encode() if label else b''
        self._limit = limit
        self._begin()

    def _begin(self) -> None:
        self._stripper = Stripper()
        self._line = b''
        self._room = self._limit
        self._at_start = True

    def write(self, data: bytes) -> None:
        """Copy what the slot's task printed."""
        if self._room <= 0:
            return
        text = self._stripper.feed(data)[: self._room]
        self._room -= len(text)
        if self._label:
            self._write_lines(text)
        else:
            self._put(text)
        if self._room <= 0:
            self._end_line()
            self._put(self._label + CUT)

    def end(self) -> None:
        """End the task's part: the next one begins at a new line."""
        self._end_line()
        self._begin()

    def _end_line(self) -> None:
        if self._line:
            self._put(self._label + _settled(self._line) + b'\n')
            self._line = b''
        elif not self._at_start:
            self._put(b'\n')

    def _write_lines(self, text: bytes) -> None:
        *lines, self._line = (self._line + text).split(b'\n')
        whole = b''.join(self._label + _settled(line) + b'\n' for line in lines)
        if b'\r' in self._line:  # What a progress bar wrote over is not held.
            end = b'\r' if self._line.endswith(b'\r') else b''
            self._line = _settled(self._line) + end
        if len(self._line) > LINE_MAX_BYTES:
            whole += self._label + self._line + b'\n'
            self._line = b''
        self._put(whole)

    def _put(self, data: bytes) -> None:
        if data:
            self._output.write(data)
            self._at_start = data.endswith(b'\n')


def _settled(line: bytes) -> bytes:
    """Return what a progress bar left of a line."""
    return next((part for part in reversed(line.split(b'\r')) if part), b'')


class SlotCopies:
    """Makes the copies of slots.

    Parameters
    ----------
    streams : iterable of str
        Of ``'out'``, ``'err'``.
    several : bool
        True if other slots write to the same files.
    limit : int
        Bytes of a task and stream that are copied.
    """

    def __init__(self, streams: frozenset[str], several: bool, limit: int) -> None:
        self._outputs = {
            name: Output(fd) for fd, name in ((1, 'out'), (2, 'err')) if name in streams
        }
        self._several = several
        self._limit = limit

    def of(self, name: str, slot: str) -> StreamCopy | None:
        """Return the copy of a slot's stream (``'out'``, ``'err'``); None if it has none."""
        output = self._outputs.get(name)
        return None if output is None else StreamCopy(output, slot * self._several, self._limit)
