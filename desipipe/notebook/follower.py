"""Displays that stay true: a thread a queue follows its journal and updates them.

The thread has a view of the queue of its own: what it folds, nobody else changes under its feet,
and the notebook's own view may be busy or locked. It publishes by display id, which front ends
route to where the display is, whichever cell runs at that moment. What a display shows is its own
business (:class:`Display`); when it is asked to look again is that of the thread.
"""

from __future__ import annotations

import atexit
import contextvars
import logging
import math
import os
import select
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import DesipipeError, QueueGoneError
from ..queue.queue import Queue, open_queue
from .liveness import View
from .publishing import current_cell, nothing_waits, shell_publisher

if TYPE_CHECKING:
    from ..view.schema import Mime

logger = logging.getLogger('desipipe')


INTERVAL = 0.25
"""Seconds between two updates of a display, at least."""
SHARE = 0.05
"""The part of a core that updates of a queue's displays may take while its tasks go."""
RATE = 500_000
"""Bytes per second that updates of one display may send: notebook servers drop what is more than
twice as much.
"""
REST = 0.1
"""Seconds between two looks at a journal to which is being written."""
_MANNERS = (
    0.01  # s that the cell that woke the thread has the interpreter for itself, to get to its end
)
_AGAIN = 2.0  # s until a filesystem that did not answer is asked again


# What is followed


class Display(ABC):
    """Something of a queue that is displayed.

    Parameters
    ----------
    queue : Queue
        The notebook's own view of it.
    place : tuple of str, default=None
        What is in the same place when the cell runs again, where front ends don't tell which cell
        that is; none: nothing.
    """

    def __init__(self, queue: Queue, origin: tuple[str, ...] | None = None) -> None:
        self.queue = queue
        self.id = f'desipipe-{uuid.uuid4().hex}'
        self.publisher, self.live = shell_publisher()
        """Place to publish at, kept as a cell with ``%%capture`` puts another one there; and
        whether what was displayed can be replaced.
        """
        self.cell_id, self.run = current_cell()
        self.place = (self.cell_id,) if self.cell_id else origin or (self.id,)
        self.shown: bytes | str = b''
        """Fingerprint of what is displayed: while it is the same, nothing is sent."""
        self.over = threading.Event()
        """Set when nothing is left to do, or nothing more can be known."""
        self.follower: Follower | None = None
        self.dirty = True
        """True if there may be something new."""
        self.due = 0.0
        """Time of its next update at the earliest, on the monotonic clock."""
        self.again = math.inf
        """Time of the next look, though nothing happened."""

    @abstractmethod
    def update(self, view: View) -> tuple[int, bool]:
        """Show the present state, if that is new.

        Return how many bytes were sent, and whether nothing more can come.

        Raises
        ------
        DesipipeError
            What it shows is no more: it has its last words.
        """

    @abstractmethod
    def gone(self, last_text: str) -> None:
        """Show last words."""

    def stirred(self, workers: set[str]) -> bool:
        """Return True if it shows what runs at one of these workers that wrote something."""
        return False

    def put(self, data: Mime, update: bool = True) -> int:
        """Display a bundle of MIME types, or replace what is displayed.

        Return how large that was, in bytes.
        """
        publisher = self.publisher
        if publisher is None:
            print(data['text/plain'])
            return 0
        # Other windows on the notebook, which don't know whose reply this is, learn the cell.
        transient = {'display_id': self.id, 'cell_id': self.cell_id}
        content = {'data': data, 'metadata': {}, 'transient': transient}
        if nothing_waits(publisher):
            kind = 'update_display_data' if update else 'display_data'
            options = {'parent': publisher.parent_header, 'ident': publisher.topic}
            publisher.session.send(publisher.pub_socket, kind, content, **options)
        else:
            publisher.publish(**content, update=update)
        return len(data['text/html']) + len(data['text/plain']) + len(self.shown)

    def follow(self) -> None:
        """Keep it up to date from now on."""
        with _guard:
            follower = _followers.get(self.queue.folder)
            if follower is None:
                follower = _followers[self.queue.folder] = Follower(self.queue.folder)
        self.follower = follower
        follower.add(self)

    def drop(self) -> None:
        """Leave it as it is."""
        if self.follower is not None:
            self.follower.drop(self)

    def replace(self) -> None:
        """Release what an earlier run of the same cell displays: it is not visible now."""
        with _guard:
            followers = list(_followers.values())
        for follower in followers:
            for other in follower.displays():
                if other.place == self.place and other.run != self.run:
                    follower.drop(other)


# Who follows

_followers: dict[str, Follower] = {}
_guard = threading.Lock()


def _forked() -> None:
    # No thread of the parent's is here, and what it displays is the parent's.
    global _guard
    _guard = threading.Lock()
    _followers.clear()


@atexit.register
def _end() -> None:
    # Daemon threads are stopped wherever they are when the interpreter ends: none must be amid a
    # message then.
    with _guard:
        followers = list(_followers.values())
    for follower in followers:
        follower.end()


os.register_at_fork(after_in_child=_forked)


class Follower:
    """Keeps the displays of one queue up to date.

    Its thread lives as long as there are some; its ledger stays, for the next cell.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._displays: dict[str, Display] = {}
        self._guard = (
            threading.RLock()
        )  # also held while a display is updated: after `drop` there is none
        self._thread: threading.Thread | None = None
        self._ending = False
        self._wake_end, self._wake = os.pipe()
        for end in (self._wake_end, self._wake):
            os.set_blocking(end, False)
        self._queue: Queue | None = None

    def add(self, display: Display) -> None:
        """Keep a display up to date from now on."""
        with self._guard:
            display.dirty, display.due = True, 0.0
            self._displays[display.id] = display
            if self._thread is None:
                # A context of its own: with that of the cell that happens to run, ipykernel would
                # take all updates for that cell's.
                self._thread = threading.Thread(
                    target=contextvars.Context().run,
                    args=(self._run,),
                    name='desipipe-live',
                    daemon=True,
                )
                self._thread.start()
        self._rouse()

    def drop(self, display: Display) -> None:
        """Leave a display as it is."""
        with self._guard:
            self._displays.pop(display.id, None)
        display.over.set()
        self._rouse()

    def displays(self) -> list[Display]:
        """Return those that are kept up to date, in the order they were added."""
        with self._guard:
            return list(self._displays.values())

    def end(self) -> None:
        """Stop, and wait until it has."""
        thread = self._thread
        self._ending = True
        self._rouse()
        if thread is not None and thread is not threading.current_thread():
            thread.join(2.0)

    def _rouse(self) -> None:
        try:
            os.write(self._wake, b'.')
        except BlockingIOError:
            return  # full of calls that were not heard yet

    def _run(self) -> None:
        while True:
            try:
                if self._queue is None:
                    self._queue = open_queue(self.folder)
                self._follow(self._queue)
            except QueueGoneError as exc:
                self._queue = None
                if not os.path.isdir(
                    self.folder
                ):  # else another one has its place, for displays that were added since
                    self._last_words(self.displays(), str(exc))
            except DesipipeError as exc:
                self._last_words(self.displays(), str(exc))
            except OSError as exc:
                logger.debug('%s does not answer, and will be asked again: %s', self.folder, exc)
                self._sleep(_AGAIN)
            except Exception as exc:
                self._failed(self.displays(), exc)
            with self._guard:
                if self._ending or not self._displays:
                    self._thread = None
                    return

    def _follow(self, queue: Queue) -> None:
        ledger, view = queue.ledger, View(queue)
        watcher = ledger.watcher()
        for display in self.displays():
            display.dirty = True
        while not self._ending:
            changed = ledger.follow()
            watcher.seen(changed)
            changed |= view.leases()
            workers = view.outputs()
            displays = self.displays()
            if not displays:
                return
            now = time.monotonic()
            for display in displays:
                display.dirty |= (
                    changed or now >= display.again or (bool(workers) and display.stirred(workers))
                )
                if display.dirty and now >= display.due:
                    self._update(display, view)
            if changed:
                self._sleep(
                    REST
                )  # whoever writes, writes more: what comes in a moment is folded at once
            now = time.monotonic()
            waits = [display.due - now for display in self.displays() if display.dirty]
            self._sleep(min([watcher.interval, view.due - now, *waits]), watcher.fileno())
            time.sleep(_MANNERS)
            watcher.drain()

    def _sleep(self, seconds: float, fd: int = -1) -> None:
        poll = select.poll()
        poll.register(self._wake_end, select.POLLIN)
        if fd >= 0:
            poll.register(fd, select.POLLIN)
        poll.poll(max(0.0, seconds) * 1000)
        try:
            os.read(self._wake_end, 4096)
        except BlockingIOError:
            return  # nobody called

    def _update(self, display: Display, view: View) -> None:
        begun = time.monotonic()
        with self._guard:
            if display.id not in self._displays:
                return
            if begun >= display.again:
                display.again = math.inf
            try:
                sent, last = display.update(view)
            except DesipipeError as exc:
                # raises if the queue is no more at all: then all displays end, in one way
                view.queue.ledger.follow()
                self._last_words([display], str(exc))
                return
            except OSError:
                raise
            except Exception as exc:  # a defect of one display, of which the others know nothing
                self._failed([display], exc)
                return
            display.dirty = False
            if last:
                self.drop(display)
            displays = len(self._displays)
        display.due = begun + max(
            INTERVAL, (time.monotonic() - begun) * displays / SHARE, sent / RATE
        )

    def _failed(self, displays: Iterable[Display], exc: Exception) -> None:
        logger.error('Displays of %s are no longer updated.', self.folder, exc_info=exc)
        self._last_words(
            displays, f'this display is no longer updated: {type(exc).__name__}: {exc}'
        )

    def _last_words(self, displays: Iterable[Display], reason: str) -> None:
        with self._guard:
            for display in displays:
                if self._displays.pop(display.id, None) is None:
                    continue
                try:
                    display.gone(reason)
                except Exception:
                    logger.debug(
                        'a display of %s could not be told: %s', self.folder, reason, exc_info=True
                    )
                display.over.set()
