"""Displays of cells that stay true while their tasks go: one thread a queue follows the journal and updates what has changed.

The thread has a view of the queue of its own: what it folds, nobody else changes under its feet, and the notebook's own view may be busy or locked. It
publishes by display id, which front ends route to where the display is, whichever cell runs at that moment.
"""

from __future__ import annotations

import atexit
import contextvars
import logging
import os
import select
import sys
import threading
import time
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..cell_summary import Cell, parse_rows
from ..errors import DesipipeError, QueueGoneError, UnknownTaskError
from ..queue import Queue, open_queue
from ..store.lease import LEASE, Observer
from ..summary import is_alive
from ..utils import plural
from .bundle import Dict, bundle, lines, outputs_text

if TYPE_CHECKING:
    from ..ledger import Ledger

logger = logging.getLogger('desipipe')

INTERVAL = 0.25
"""Seconds between two updates of a display, at least."""
SHARE = 0.05
"""The part of a core that updates of one display may take while its tasks go."""
RATE = 500_000
"""Bytes per second that updates of one display may send: notebook servers drop what is more than twice as much."""
NATIVE = 2_500_000
"""Bytes of outputs that are published as the cell's own, for the same reason."""
REST = 0.1
"""Seconds between two looks at a journal to which is being written."""

# s between two looks at what raises no event: (on this machine's disk, on a shared one)
_OUTPUTS = (0.3, 1.0)
_LEASES = (2.0, 10.0)
_AGAIN = 2.0  # s until a filesystem that did not answer is asked again
_HINT_AFTER = 10.0  # s
_STARTS = 5.0  # s that a manager may take until it says that it is there
_TICKING = ('time', 'elapsed', 'eta', 'rate')  # what changes by itself, and front ends count


class Handle:
    """One display of a cell's tasks.

    Parameters
    ----------
    queue : Queue
    rows : iterable of int or range
        The tasks' rows, in the order in which they are shown.
    title : str
    cached : bool
        Whether all results were there already.
    """

    def __init__(self, queue: Queue, rows: Iterable[int | range], title: str = '', cached: bool = False) -> None:
        self.id = f'desipipe-{uuid.uuid4().hex}'
        self.cell = Cell(queue, rows)
        """What the notebook's own thread knows; the follower has its own."""
        self.cell.grace = time.monotonic() + _STARTS if queue.spawn else 0.0
        self.title = title
        self.cached = cached
        self.over = threading.Event()
        """Set when nothing is left to do, or nothing more can be known."""
        self.summary: Dict = {}
        """What is shown."""
        self.follower: _Follower | None = None
        self.published = False
        """Whether the outputs stand under the cell as its own."""
        self.publisher, self.live = _publisher()
        """Where to publish, and whether what was displayed can be replaced."""
        self.place, self.run = _place(self.cell, title)
        self.due = 0.0  # the follower's monotonic clock
        self.dirty = True
        self.shown = b''

    def publish(self, summary: Dict, update: bool = True, table: bool = False) -> int:
        """Display a summary, or let it take the place of what is displayed; returns how large that was, in bytes."""
        self.summary = summary
        self.shown = _fingerprint(summary)
        data = bundle(summary, table)
        if self.publisher is None:
            print(data['text/plain'])
            return 0
        self.publisher.publish(data=data, metadata={}, transient={'display_id': self.id}, update=update)
        # The three forms hold the outputs once each; text only as far as it is text.
        return len(data['text/html']) + len(data['text/plain']) + len(self.shown)

    def __repr__(self) -> str:
        return f'<display of {plural(len(self.cell.rows))} of {self.cell.queue.name}>'


def _fingerprint(summary: Dict) -> bytes:
    import orjson

    return orjson.dumps({key: value for key, value in summary.items() if key not in _TICKING}, default=repr, option=orjson.OPT_NON_STR_KEYS)


# Where we are


def _shell() -> Any:
    # Not imported here: a plain Python process has none, and needs none.
    module = sys.modules.get('IPython')
    return None if module is None else module.get_ipython()


def _publisher() -> tuple[Any, bool]:
    """The shell's publisher, ``None`` in a terminal and in plain Python; and whether what it displays can be updated."""
    shell = _shell()
    terminal = getattr(sys.modules.get('IPython.terminal.interactiveshell'), 'TerminalInteractiveShell', ())
    if shell is None or isinstance(shell, terminal):
        return None, False
    # While a cell captures what it displays, the shell has another publisher, which keeps everything.
    capturing = getattr(sys.modules.get('IPython.core.displaypub'), 'CapturingDisplayPublisher', ())
    return shell.display_pub, not isinstance(shell.display_pub, capturing)


def _place(cell: Cell, title: str) -> tuple[tuple[str, ...], str]:
    """Which cell of the notebook runs, and which run of it that is."""
    shell = _shell()
    parent = shell.get_parent() if hasattr(shell, 'get_parent') else {}
    run = str((parent.get('header') or {}).get('msg_id', ''))
    name = (parent.get('metadata') or {}).get('cellId')
    return ((str(name),) if name else (cell.queue.folder, title, cell.text)), run


def noninteractive() -> bool:
    """Whether nobody looks on: the documentation is built, or tests run."""
    return os.environ.get('DESIPIPE_NONINTERACTIVE', '') not in ('', '0')


# What cells call


def show(queue: Queue, rows: Iterable[int | range], title: str = '', cached: bool = False) -> Handle:
    """Show tasks under the cell that runs now, and keep that up to date from another thread until they are over.

    What is over already is shown as if the cell had computed it: its outputs, then one quiet line. With ``DESIPIPE_NONINTERACTIVE=1`` in the environment it
    is waited for, and shown then.

    Parameters
    ----------
    queue : Queue
    rows : iterable of int or range
        The tasks' rows, in the order in which they are shown.
    title : str, default=''
        The cell's name.
    cached : bool, default=False
        Whether all results were there already.

    Returns
    -------
    handle : Handle
        For :func:`wait`.

    Raises
    ------
    QueueGoneError, UnknownTaskError
        There are no such tasks.
    """
    handle = Handle(queue, rows, title, cached)
    _replace(handle)
    if noninteractive():
        _wait_here(handle)
        _publish_outputs(handle, update=False, table=True)
    elif not handle.cell.summary(with_outputs=False)['left']:
        _publish_outputs(handle, update=False)
        _follow(handle)
    else:
        handle.publish(handle.cell.summary(title, cached), update=False)
        _follow(handle)
    return handle


def wait(handle: Handle) -> bool:
    """Wait for the tasks of a display, with the bar live; then their outputs stand under the cell as its own.

    An interrupt ends the wait and nothing else: the tasks go on, and so does the display.

    Parameters
    ----------
    handle : Handle
        Of :func:`show`.

    Returns
    -------
    over : bool
        Whether nothing is left to do.
    """
    try:
        if handle.follower is not None:
            handle.over.wait()
        elif not handle.over.is_set():
            _wait_here(handle)
    except KeyboardInterrupt:
        left = handle.summary.get('left', len(handle.cell.rows))
        print(f'desipipe: the wait was interrupted, and only that: {plural(left)} of {handle.cell.queue.name} {"goes" if left == 1 else "go"} on')
        return False
    if handle.summary.get('gone'):
        return False
    if not handle.published:
        follower = handle.follower
        if follower is not None:
            follower.drop(handle)  # lest it takes our last word for an older state
        _publish_outputs(handle, update=handle.live)
        _follow(handle)
    return True


def _wait_here(handle: Handle) -> None:
    """Wait in this thread: in a terminal with a bar, elsewhere silently."""
    ledger = handle.cell.ledger
    if sys.stdout.isatty() and not noninteractive():
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(highlight=False), transient=True, auto_refresh=False) as bar:
            while True:
                bar.update(_rich(handle), refresh=True)
                begun = time.monotonic()
                if ledger.wait(lambda: not handle.cell.left(), 1.0):
                    return
                time.sleep(max(0.0, INTERVAL - (time.monotonic() - begun)))
    if not ledger.wait(lambda: not handle.cell.left(), _HINT_AFTER):
        if not ledger.state.alive and ledger.state.manager is None:
            logger.warning('nobody works on %s: this waits until someone does. Start workers with: desipipe spawn -q %s --spawn', ledger.folder, ledger.folder)
        ledger.wait(lambda: not handle.cell.left())


def _rich(handle: Handle) -> Any:
    from rich.text import Text

    said = lines(handle.cell.summary(handle.title, handle.cached, with_outputs=False))
    return Text('\n').join(Text.assemble(*line) for line in said)


def _publish_outputs(handle: Handle, update: bool, table: bool = False) -> None:
    """Publish what the tasks printed and drew as the cell's own outputs, and what is said of them without it."""
    cell = handle.cell
    summary = cell.summary(handle.title, handle.cached, limit=NATIVE, most=1000)
    outputs, summary['outputs'] = summary['outputs'], []
    cell.published = {row: cell.ledger.state.attempt[row] for row in cell.rows}
    handle.published = True
    handle.over.set()
    if update:  # the display stands above already
        handle.publish(summary)
    if handle.publisher is not None:
        for output in outputs:
            _publish(handle, output)
    elif outputs:
        print(outputs_text(outputs), end='')
    if not update:
        handle.publish(summary, False, table)


def _publish(handle: Handle, output: Dict) -> None:
    if output['output_type'] == 'display_data':
        handle.publisher.publish(data=output['data'], metadata=output['metadata'])
        return
    # An error is no error of this cell, which did what it should.
    stream = sys.stdout if output.get('name') == 'stdout' else sys.stderr
    stream.write(output['text'] if output['output_type'] == 'stream' else '\n'.join(output['traceback']) + '\n')
    stream.flush()  # the two streams are not in step with each other


# Following

_followers: dict[str, _Follower] = {}
_guard = threading.Lock()


def _follow(handle: Handle) -> None:
    if not handle.live or handle.summary['condition'] in ('done', 'empty'):
        return
    with _guard:
        follower = _followers.get(handle.cell.queue.folder)
        if follower is None:
            follower = _followers[handle.cell.queue.folder] = _Follower(handle.cell.queue.folder)
    handle.follower = follower
    follower.add(handle)


def _replace(handle: Handle) -> None:
    """Let go of what an earlier run of the same cell displays: nobody sees it any more."""
    with _guard:
        followers = list(_followers.values())
    for follower in followers:
        for other in follower.handles():
            if other.place == handle.place and other.run != handle.run:
                follower.drop(other)
                other.over.set()


def _forked() -> None:
    # No thread of the parent's is here, and what it displays is the parent's.
    global _guard
    _guard = threading.Lock()
    _followers.clear()


@atexit.register
def _end() -> None:
    # Daemon threads are stopped wherever they are when the interpreter ends: none must be amid a message then.
    with _guard:
        followers = list(_followers.values())
    for follower in followers:
        follower.end()


os.register_at_fork(after_in_child=_forked)


class _Follower:
    """Keeps the displays of one queue up to date. Its thread lives as long as there are some; its view of the queue stays, for the next cell."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._handles: dict[str, Handle] = {}
        self._guard = threading.RLock()  # also held while a display is updated: after `drop` there is none
        self._thread: threading.Thread | None = None
        self._ending = False
        self._wake_end, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._queue: Queue | None = None

    def add(self, handle: Handle) -> None:
        """Keep a display up to date from now on."""
        with self._guard:
            handle.dirty, handle.due = True, 0.0
            self._handles[handle.id] = handle
            if self._thread is None:
                # A context of its own: with that of the cell that happens to run, ipykernel would take all updates for that cell's.
                self._thread = threading.Thread(target=contextvars.Context().run, args=(self._run,), name='desipipe-live', daemon=True)
                self._thread.start()
        self._rouse()

    def drop(self, handle: Handle) -> None:
        """Leave a display as it is."""
        with self._guard:
            self._handles.pop(handle.id, None)
        self._rouse()

    def handles(self) -> list[Handle]:
        """Those that are kept up to date."""
        with self._guard:
            return list(self._handles.values())

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
                self._follow_view(self._view())
            except QueueGoneError as exc:
                # Deleted; or another one has its place, for displays that were added since.
                self._queue = None
                if not self._reopened():
                    self._last_words(self.handles(), str(exc))
            except DesipipeError as exc:
                self._last_words(self.handles(), str(exc))
            except OSError as exc:
                logger.debug('%s does not answer, and will be asked again: %s', self.folder, exc)
                self._sleep(_AGAIN)
            except Exception as exc:
                logger.exception('the displays of %s are not kept up to date any more', self.folder)
                self._last_words(self.handles(), f'this display is not kept up to date any more: {type(exc).__name__}: {exc}')
            with self._guard:
                if self._ending or not self._handles:
                    self._thread = None
                    return

    def _view(self) -> Queue:
        if self._queue is None:
            try:
                self._queue = open_queue(self.folder)
            except FileNotFoundError as exc:
                raise QueueGoneError(str(exc)) from None
        return self._queue

    def _reopened(self) -> bool:
        try:
            self._view()
        except DesipipeError:
            return False
        return True

    def _follow_view(self, queue: Queue) -> None:
        ledger = queue.ledger
        watcher = ledger.watcher()
        probe = _Probe(ledger)
        cells: dict[str, Cell] = {}
        for handle in self.handles():
            handle.dirty = True
        while not self._ending:
            changed = ledger.follow()
            watcher.seen(changed)
            changed |= probe.leases()
            workers = probe.outputs()
            handles = self.handles()
            if not handles:
                return
            now = time.monotonic()
            for handle in handles:
                cell = cells.get(handle.id)
                if cell is not None and 0 < cell.grace <= now:
                    cell.grace = 0.0
                    handle.dirty = True
                handle.dirty |= changed or (bool(workers) and _runs_at(ledger, cell, workers))
                if handle.dirty and now >= handle.due:
                    self._update(handle, queue, cells, probe)
            for gone in cells.keys() - {handle.id for handle in handles}:
                del cells[gone]
            if changed:
                self._sleep(REST)  # whoever writes, writes more: what comes in a moment is folded at once
            now = time.monotonic()
            waits = [handle.due - now for handle in self.handles() if handle.dirty]
            self._sleep(min([watcher.interval, probe.due - now, *waits]), watcher.fileno())
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

    def _update(self, handle: Handle, queue: Queue, cells: dict[str, Cell], probe: _Probe) -> None:
        begun = time.monotonic()
        sent = 0
        with self._guard:
            if handle.id not in self._handles:
                return
            try:
                cell = cells.get(handle.id)
                if cell is None:
                    cell = Cell(queue, parse_rows(handle.cell.text))
                    if cell.first != handle.cell.first:
                        raise QueueGoneError(f'the queue in {self.folder} was cleared: these tasks are gone. Run the cell again to compute them anew')
                    cell.judge = probe.alive
                    cell.published = handle.cell.published
                    cell.grace = handle.cell.grace
                    cells[handle.id] = cell
                summary = cell.summary(handle.title, handle.cached)
            except (QueueGoneError, UnknownTaskError) as exc:
                queue.ledger.follow()  # raises if it is no more at all: then all displays end, in one way
                self._last_words([handle], str(exc))
                return
            if summary['left']:
                handle.over.clear()  # someone lets them run again
            handle.dirty = False
            if _fingerprint(summary) != handle.shown:
                sent = handle.publish(summary)
            if not summary['left']:
                handle.over.set()
                if summary['condition'] != 'failed':  # else someone may let them run again
                    self._handles.pop(handle.id, None)
        cost = time.monotonic() - begun
        handle.due = begun + max(INTERVAL, cost / SHARE, sent / RATE)

    def _last_words(self, handles: Iterable[Handle], words: str) -> None:
        with self._guard:
            for handle in handles:
                if self._handles.pop(handle.id, None) is None:
                    continue
                try:
                    handle.publish({**handle.summary, 'time': time.time(), 'gone': words})
                except Exception:
                    logger.debug('a display of %s could not be told: %s', self.folder, words, exc_info=True)
                handle.over.set()


class _Probe:
    """Looks now and then at what raises no event: processes that vanish, output of what runs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._observer = Observer(ledger.folder, float(ledger.journal.header.get('lease', LEASE)))
        self._leases_due = self._outputs_due = 0.0
        self._alive: dict[str, bool | None] = {}
        self._sizes: dict[str, tuple[int, int]] = {}

    @property
    def due(self) -> float:
        """When to look again, on the monotonic clock."""
        return min(self._leases_due, self._outputs_due)

    def alive(self, name: str) -> bool | None:
        """Whether a worker or a manager lives, as last seen."""
        if name not in self._alive:
            self._alive[name] = is_alive(self._ledger.folder, name, self._observer)
        return self._alive[name]

    def leases(self) -> bool:
        """Whether some process was found to have vanished, or to be back."""
        now = time.monotonic()
        if now < self._leases_due:
            return False
        self._leases_due = now + _LEASES[self._ledger.journal.shared]
        state = self._ledger.state
        names = [*state.alive, *([state.manager['w']] if state.manager is not None else [])]
        alive = {name: is_alive(self._ledger.folder, name, self._observer) for name in names}
        changed = any(self._alive.get(name, found) != found for name, found in alive.items())
        self._alive = alive
        return changed

    def outputs(self) -> set[str]:
        """The workers whose tasks wrote something since the last look."""
        now = time.monotonic()
        if now < self._outputs_due:
            return set()
        self._outputs_due = now + _OUTPUTS[self._ledger.journal.shared]
        sizes: dict[str, tuple[int, int]] = {}
        if self._ledger.state.running:
            with os.scandir(os.path.join(self._ledger.folder, 'live')) as entries:
                for entry in entries:
                    try:
                        status = entry.stat()
                    except FileNotFoundError:
                        continue  # its worker has just ended
                    sizes[entry.name] = status.st_size, status.st_mtime_ns
        changed = {name.rpartition('-')[0] for name, size in sizes.items() if self._sizes.get(name) != size}
        self._sizes = sizes
        return changed


def _runs_at(ledger: Ledger, cell: Cell | None, workers: set[str]) -> bool:
    if cell is None:
        return False
    return any(worker is not None and worker.name in workers and cell.holds(row) for row, worker in ledger.state.running.items())
