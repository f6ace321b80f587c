"""Write what a cell displays as marks, in order with what it prints."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from .display_forms import DISPLAY_MAX, Bundle, as_json, encoded, small_forms
from .library_displays import Libraries, widget_html, widget_text
from .notebook import mark

KEPT_MAX = 64 << 20  # bytes of one display that is kept


class CellOutput:
    """The output of the running cell, in order.

    Each stream has a ``write`` of its own meanwhile, on the object itself: who took hold of
    ``sys.stderr`` long ago (a log handler) writes through it too. Two threads that print to
    different streams at the same moment may be told in the other order; no mark is ever within
    another, though.
    """

    def __init__(self, flush: Callable[[], object], keep: Callable[[bytes], int]) -> None:
        self._flush = flush
        self._keep = keep
        self._streams: tuple[TextIO, ...] = tuple(
            stream for stream in (sys.__stdout__, sys.__stderr__) if stream is not None
        )
        self._last = self._streams[0]
        self._turns = 0
        self._lock = threading.RLock()
        self._pid: int | None = os.getpid()
        self.libraries = Libraries(self._show_widget)
        for stream in self._streams:
            vars(stream)['write'] = self._ordered(stream)

    def _ordered(self, stream: TextIO) -> Callable[[str], int]:
        plain = stream.write

        def write(text: str, /) -> int:
            if self._last is not stream:
                self._turn(stream)
            return plain(text)

        return write

    def _turn(self, stream: TextIO) -> None:
        # Children that the cell forks share the streams: they don't count. Nor do threads that
        # outlive the cell: it may be another task's output by now.
        if self._pid != os.getpid():
            return
        with self._lock:
            if self._last is not stream:
                self._flush_all()
                self._turns += 1
                self._last = stream
                for fd in (1, 2):
                    _write(fd, mark({'n': self._turns}))

    def _flush_all(self) -> None:
        for stream in self._streams:
            with contextlib.suppress(ValueError, OSError):  # the cell closed it
                stream.flush()
        self._flush()

    def emit(self, message: Mapping[str, Any]) -> None:
        """Write a mark after all that was written so far."""
        data = mark(message)
        if self._last is not self._streams[0]:
            self._turn(self._streams[0])
        with self._lock:
            self._flush_all()
            _write(1, data)

    def add_widget(self, name: str, widget: Any, update: bool) -> None:
        """Write a widget as it looks now, and again whenever it changes."""
        self.libraries.widgets.add(name, widget)
        self._show_widget(name, widget, update)

    def _show_widget(self, name: str, widget: Any, update: bool) -> None:
        data: Bundle = {}  # it was closed
        if widget is not None:
            data = {'text/plain': widget_text(widget)}
            seen = widget_html(widget)
            if seen:
                data['text/html'] = seen
        self.show(data, {}, name, update)

    def show(
        self, data: Mapping[str, Any], metadata: Mapping[str, Any], name: str, update: bool
    ) -> None:
        """Write a display."""
        whole = encoded(data)
        about = {mime: more for mime, more in metadata.items() if mime in data or '/' not in mime}
        sizes = {mime: len(as_json(value)) for mime, value in whole.items()}
        message: Bundle = {'d': whole, 'm': about}
        if sum(sizes.values()) > DISPLAY_MAX:
            number = self._kept(whole, about)
            message['d'] = small_forms(whole, sizes, number >= 0)
            if number >= 0:
                message['m'] = {
                    **about,
                    'desipipe': {'display': number, 'bytes': sum(sizes.values())},
                }
        if name:
            message['i'] = name
        if update:
            message['u'] = True
        self.emit(message)

    def _kept(self, data: Bundle, metadata: Bundle) -> int:
        if self._pid != os.getpid():
            return -1  # a child that the cell forked must not write what its parent writes
        encoded = as_json({'data': data, 'metadata': metadata}).encode()
        return self._keep(encoded) if len(encoded) <= KEPT_MAX else -1

    def close(self) -> None:
        """Streams are as they were."""
        self._pid = None
        for stream in self._streams:
            vars(stream).pop('write', None)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
