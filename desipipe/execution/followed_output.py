"""Copy the output of a running task to a file, for those who follow it."""

from __future__ import annotations

import os
import secrets
import struct

import orjson

from ..store.file_names import live_file
from ..store.files import open_file, remove
from ..store.shared_files import share
from .capture import Stream
from .sent_tasks import Sent


class FollowedOutput:
    """The copy of what the running task of a slot has printed so far.

    Parameters
    ----------
    folder : str
        The queue's folder.
    name : str
        Of the slot.
    limit : int
        Bytes of each output stream to keep of a task.
    """

    def __init__(self, folder: str, name: str, limit: int) -> None:
        self._folder = folder
        self._name = name
        self._limit = limit
        self._fd = -1
        self._attempt = (-1, -1)
        self._size = 0

    def update(self, task: Sent, tid: str, out: Stream, err: Stream) -> None:
        """Append the new output of the running task."""
        if not (out.fresh or err.fresh):
            return
        try:
            self._append(task, tid, out, err)
        except OSError:
            # A full disk: what there is to see live is less than what there is to lose. The output
            # itself is kept, and reported at the end.
            out.fresh.clear()
            err.fresh.clear()

    def _append(self, task: Sent, tid: str, out: Stream, err: Stream) -> None:
        if self._fd < 0:
            self._fd = open_file(self._folder, live_file(self._name), os.O_RDWR | os.O_CREAT)
            share(self._fd, self._folder)
        is_too_large = self._size > 4 * self._limit
        if self._attempt != (task.row, task.attempt) or is_too_large or out.gap or err.gap:
            self._begin(task, tid, (out.followed, err.followed))
            out.gap = err.gap = False
        for kind, stream in ((b'o', out), (b'e', err)):
            if stream.fresh:
                piece = kind + struct.pack('<I', len(stream.fresh)) + stream.fresh
                self._size += os.pwrite(self._fd, piece, self._size)
                stream.fresh.clear()

    def _begin(self, task: Sent, tid: str, missed: tuple[int, int]) -> None:
        # Another task, or too much: begin again. Who follows sees the file shrink, or its first
        # line change.
        part = secrets.token_hex(4)
        header = {'tid': tid, 'attempt': task.attempt, 'part': part, 'missed': missed}
        os.ftruncate(self._fd, 0)
        self._size = os.pwrite(self._fd, orjson.dumps(header) + b'\n', 0)
        self._attempt = (task.row, task.attempt)

    def close(self) -> None:
        """Remove the file."""
        if self._fd >= 0:
            os.close(self._fd)
            remove(self._folder, live_file(self._name), missing_ok=True)
