"""The slots that a worker keeps, and the one place where it waits for them."""

from __future__ import annotations

import logging
import selectors
import time
from collections.abc import Callable, Iterator

from ...queue.events import CauseKind
from .. import limits
from ..output_pipe import LateOutput
from ..queue_faults import QueueFaults
from ..sent_tasks import Sent
from ..slot_process import SlotProcess
from .launcher import SlotLauncher

logger = logging.getLogger('desipipe')

START = 'starting a slot'
# For the kernel to end killed slots: one that waits for a dead file server cannot end.
KILL_WAIT_S = 10.0
DESCRIPTORS_A_SLOT = 8
DESCRIPTORS_OWN = 48


class SlotPool:
    """The slots of a worker.

    Parameters
    ----------
    launcher : SlotLauncher
    slots : int
        Number of tasks at once.
    faults : QueueFaults
    """

    def __init__(self, launcher: SlotLauncher, slots: int, faults: QueueFaults) -> None:
        self._launcher = launcher
        self._faults = faults
        self._selector = selectors.DefaultSelector()
        self._listened: set[int] = set()
        self.slots = slots
        """Number of slots that there are to be."""
        self.processes: list[SlotProcess] = []
        """Slots that there are."""
        self.telling: set[SlotProcess] = set()
        """Slots that are about to say with which versions they ran a task."""

    @property
    def is_mpi(self) -> bool:
        """True where slots are MPI processes."""
        return self._launcher.is_mpi

    # What they do

    def is_busy(self) -> bool:
        """Return True if a slot has tasks."""
        return any(process.sent for process in self.processes)

    def is_full(self) -> bool:
        """Return True if every slot has tasks.

        Then nothing new in the journal can make the worker do anything better; with many workers on
        one queue, each waking for every line of all the others would cost more than the work.
        """
        return len(self.processes) >= self.slots and all(
            process.sent and not process.waits_for for process in self.processes
        )

    def n_busy(self) -> int:
        """Return the number of slots that have tasks."""
        return sum(1 for process in self.processes if process.sent)

    def n_computing(self) -> int:
        """Return the number of slots that have tasks and wait for no other task."""
        return sum(1 for process in self.processes if process.sent and not process.waits_for)

    def n_waiting(self) -> int:
        """Return the number of slots whose task waits for other tasks."""
        return sum(1 for process in self.processes if process.waits_for)

    def n_places(self) -> int:
        """Return the number of slots that there are, or can be."""
        return len(self.processes) if self._faults.failing(START) else self.slots

    def n_sent(self) -> int:
        """Return the number of tasks in the hands of slots."""
        return sum(len(process.sent) for process in self.processes)

    def idle_process(self) -> SlotProcess | None:
        """Return a slot that has nothing to do."""
        idle = (process for process in self.processes if not process.sent and process.dying is None)
        return next(idle, None)

    # Begin and end

    def keep_to_descriptors(self) -> None:
        """Raise the limit of open files, or have fewer slots where that is not enough."""
        limit = limits.raise_descriptors(DESCRIPTORS_OWN + DESCRIPTORS_A_SLOT * self.slots)
        n_possible = max(1, (limit - DESCRIPTORS_OWN) // DESCRIPTORS_A_SLOT)
        if n_possible < self.slots and not self.is_mpi:
            text = 'This process may open %d files (ulimit -Hn): it serves %d slots instead of %d.'
            logger.warning(text, limit, n_possible, self.slots)
            self.slots = n_possible

    def start(self) -> SlotProcess | None:
        """Start a slot; None if the system does not let us now (memory, open files, …)."""
        made: list[SlotProcess] = []
        if not self._faults.attempt(START, lambda: made.append(self._launcher.make(self.slots))):
            return None
        process = made[0]
        self.processes.append(process)
        for fd in (*process.sockets, process.out.fd, process.err.fd):
            self._selector.register(fd, selectors.EVENT_READ, process)
        return process

    def take_back(self) -> list[Sent]:
        """Take back what slots have not begun."""
        return [task for process in self.processes for task in process.take_back()]

    def tell(self) -> None:
        """Tell running tasks that the time limit of their job is near."""
        for process in self.processes:
            process.tell()

    def kill(self, kind: str, text: str) -> None:
        """Kill all slots; kind and text are the cause of what they run."""
        for process in self.processes:
            process.kill(kind, text)

    def remove(self, process: SlotProcess) -> None:
        """Forget a slot that has ended; it is not closed yet."""
        for sock in process.sockets:
            self._selector.unregister(sock)
        self._unwatch_streams(process)
        self.processes.remove(process)
        self.telling.discard(process)

    def close(self) -> None:
        """End all slots."""
        self.kill(CauseKind.END, 'the worker ended')
        deadline = time.monotonic() + KILL_WAIT_S
        for process in self.processes:
            while not process.reap() and time.monotonic() < deadline:
                time.sleep(0.001)  # the kernel is ending it; nothing else to wait on
            process.close()
        self._selector.close()

    # Waiting

    def listen(self, fd: int, on_ready: Callable[[], object], wanted: bool = True) -> None:
        """Wake for a descriptor that is no slot's, or no longer."""
        if fd < 0 or wanted == (fd in self._listened):
            return
        if wanted:
            self._listened.add(fd)
            self._selector.register(fd, selectors.EVENT_READ, on_ready)
        else:
            self._listened.discard(fd)
            self._selector.unregister(fd)

    def wait(self, seconds: float) -> Iterator[SlotProcess]:
        """Wait until something comes; yield the slots that have sent packets."""
        for key, _ in self._selector.select(seconds):
            source = key.data
            if isinstance(source, LateOutput):
                if source.drain():
                    self._selector.unregister(source.fd)
                    source.close()
            elif not isinstance(source, SlotProcess):
                source()
            elif key.fd in (source.out.fd, source.err.fd):
                source.drain()
                self._unwatch_ended_streams(source)
            else:
                yield source

    def renew_streams(self, process: SlotProcess) -> None:
        """Take the new pipes of a slot; what still comes through the old ones is logged."""
        process.drain()
        self._unwatch_streams(process)
        for late in process.renew_streams():
            self._selector.register(late.fd, selectors.EVENT_READ, late)
        for stream in (process.out, process.err):
            self._selector.register(stream.fd, selectors.EVENT_READ, process)

    def watch_ranks(self) -> None:
        """Wait for the MPI processes that have come since the last call, too."""
        if not self.is_mpi:
            return
        registered = set(self._selector.get_map())
        # Who shares a launcher takes in the others' processes too.
        for process in self.processes:
            for sock in process.sockets:
                if sock.fileno() not in registered:
                    self._selector.register(sock, selectors.EVENT_READ, process)

    def _unwatch_streams(self, process: SlotProcess) -> None:
        for stream in (process.out, process.err):
            if stream.fd in self._selector.get_map():
                self._selector.unregister(stream.fd)

    def _unwatch_ended_streams(self, process: SlotProcess) -> None:
        for stream in (process.out, process.err):
            if stream.ended and stream.fd in self._selector.get_map():
                self._selector.unregister(stream.fd)
