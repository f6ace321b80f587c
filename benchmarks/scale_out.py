"""A thousand nodes on one queue, simulated: the code that claims, reports and judges is desipipe's
own.

Nothing here waits: time is virtual. A worker is made of the duties of
:class:`desipipe.execution.worker.Worker` and of slots that only count, all workers write to one
real journal on this machine, and each call of the filesystem that desipipe makes is charged what it
takes on a shared one. Who waits for the lock, waits in virtual time. Between two looks a node knows
the queue as it was at its last one, and what another node wrote becomes visible late there.

``python -m benchmarks.scale_out`` prints the tables of the page "Scaling".
"""

from __future__ import annotations

import argparse
import bisect
import fcntl
import heapq
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from desipipe import Queue, TaskManager
from desipipe.execution.duties.choice import TaskChoice
from desipipe.execution.duties.claiming import Claiming
from desipipe.execution.duties.durations import Durations
from desipipe.execution.duties.exchange import Exchange
from desipipe.execution.duties.held import HeldTasks
from desipipe.execution.duties.nested import NestedTasks
from desipipe.execution.duties.notes import Notes
from desipipe.execution.duties.pace import Pace
from desipipe.execution.duties.parts import WorkerParts
from desipipe.execution.duties.pool import SlotPool
from desipipe.execution.duties.report import Report
from desipipe.execution.duties.stopping import Stopping
from desipipe.execution.duties.time_limit import TimeLimit
from desipipe.execution.sent_tasks import Sent
from desipipe.execution.worker import LOOK_S
from desipipe.queue.ends import Successes
from desipipe.queue.events import PENDING, RUNNING, SUCCEEDED
from desipipe.queue.ledger import Ledger
from desipipe.store.journal import Journal
from desipipe.store.lease import Lease, Observer
from desipipe.store.pacing import LEASE_READS_PER_S, LOOK_OPERATIONS, look_spacing_s

from .harness import Figure, Outcome, at_most, column

FOLD_S_PER_BYTE = 4e-8  # of reading what others wrote to the journal, measured
SECONDS = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0)


class Filesystem(NamedTuple):
    """Durations of calls on a shared filesystem, in seconds."""

    name: str
    metadata: float
    """Open, close, look at a name."""
    lock: float
    data: float
    """A read or write of some kilobytes."""
    sync: float
    wake: float
    """From a release of the lock until who waits for it has it."""
    stale: float
    """From a write until another host sees it that opens the file without the lock."""


FILESYSTEMS = {
    'nfs': Filesystem('NFS', 0.8e-3, 1e-3, 0.6e-3, 4e-3, 8e-3, 0.2),
    'lustre': Filesystem('Lustre', 0.4e-3, 0.8e-3, 0.3e-3, 2e-3, 1e-3, 0.0),
}


class Clock:
    """Stands for the module `time`: a second passes when someone says so."""

    def __init__(self) -> None:
        self.now = 1e6

    def monotonic(self) -> float:
        """Return the virtual time, seconds."""
        return self.now

    time = monotonic

    def sleep(self, seconds: float) -> None:
        """Advance the clock."""
        self.now += seconds


class Meter:
    """Counts the calls of the filesystem, and what they take: before the lock, and under it."""

    def __init__(self, filesystem: Filesystem) -> None:
        self.filesystem = filesystem
        self.operations = 0
        """Operations on metadata so far."""
        self.reset()

    def reset(self) -> None:
        """Begin to add up what calls take."""
        self.taken = {False: 0.0, True: 0.0}
        self.is_locked = False

    def charge(self, seconds: float, operations: int = 0) -> None:
        """Note a call."""
        self.operations += operations
        self.taken[self.is_locked] += seconds

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count the calls made within; nothing is put on disk."""
        costs, real_open, real_flock = self.filesystem, os.open, fcntl.flock

        def open_(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            if not flags & os.O_DIRECTORY:  # a folder's entries are known already
                self.charge(2 * costs.metadata, 2)  # it will be closed, too
            return real_open(path, flags, *args, **kwargs)

        def flock(fd: int, how: int) -> None:
            self.is_locked |= not how & fcntl.LOCK_UN
            self.charge(costs.lock, 1)
            self.is_locked &= not how & fcntl.LOCK_UN
            real_flock(fd, how)

        def counted(
            call: Callable[..., Any], seconds: float, operations: int
        ) -> Callable[..., Any]:
            def counting(*args: Any, **kwargs: Any) -> Any:
                self.charge(seconds, operations)
                return call(*args, **kwargs)

            return counting

        with mock.patch.multiple(
            os,
            open=open_,
            lstat=counted(os.lstat, costs.metadata, 1),
            stat=counted(os.stat, costs.metadata, 1),
            unlink=counted(os.unlink, costs.metadata, 1),
            write=counted(os.write, costs.data, 0),
            pwrite=counted(os.pwrite, costs.data, 0),
            fsync=counted(lambda fd: None, costs.sync, 0),
            fdatasync=counted(lambda fd: None, costs.sync, 0),
        ):
            with mock.patch.object(fcntl, 'flock', flock):
                yield


class Lock:
    """The queue's lock, in virtual time; whoever comes first has it first."""

    def __init__(self) -> None:
        self.free_at = 0.0
        self.waited = 0.0


class History:
    """The journal's length, and the numbers of tasks by state, over time."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._times: list[float] = []
        self._values: list[tuple[int, dict[str, list[int]]]] = []
        self.note(0.0)

    def note(self, at: float) -> None:
        """Note how the journal is from now on."""
        counts = {mid: list(table) for mid, table in self._ledger.state.counts.items()}
        self._times.append(at)
        self._values.append((self._ledger.journal.offset, counts))

    def at(self, time: float) -> tuple[int, dict[str, list[int]]]:
        """Return the journal's length, and the numbers of tasks, at some time."""
        return self._values[max(0, bisect.bisect_right(self._times, time) - 1)]


class KnownState:
    """The state as far as a node has read it: its numbers of tasks are those of the last look."""

    def __init__(self, state: Any, counts: dict[str, list[int]]) -> None:
        self._state = state
        self.counts = counts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def total(self, *states: int) -> int:
        """Count the tasks in one of ``states``."""
        return sum(table[state] for table in self.counts.values() for state in states)


class Node:
    """The ledger that all workers share, as one of them sees it: its exchanges take time."""

    def __init__(
        self, ledger: Ledger, clock: Clock, meter: Meter, lock: Lock, history: History
    ) -> None:
        self._ledger, self._clock, self._meter, self._lock = ledger, clock, meter, lock
        self._history, self._looked_at = history, clock.now
        self._read, counts = history.at(clock.now)
        self.state = KnownState(ledger.state, counts)
        self.exchanges = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def look(self, pause: float) -> None:
        """Take the looks at the journal that were due, one after each ``pause``."""
        n = int((self._clock.now - self._looked_at) / pause)
        if n > 0:
            self._meter.operations += n * LOOK_OPERATIONS
            self._looked_at += n * pause
            read, counts = self._history.at(self._looked_at - self._meter.filesystem.stale)
            if read > self._read:  # not before its own last exchange
                self._read, self.state.counts = read, counts

    def exchange(self, *args: Any) -> list[tuple[int, int]]:
        """Report and claim, as the ledger does, and let the time pass that it takes."""
        meter, clock, lock = self._meter, self._clock, self._lock
        meter.reset()
        offset = self._ledger.journal.offset
        visible = max(self._read, self._history.at(clock.now - meter.filesystem.stale)[0])
        claimed = self._ledger.exchange(*args)
        self.exchanges += 1
        arrival = clock.now + meter.taken[False] + FOLD_S_PER_BYTE * (visible - self._read)
        granted = max(
            arrival, lock.free_at + meter.filesystem.wake if lock.free_at > arrival else 0.0
        )
        # What was not visible before is read under the lock.
        lock.free_at = granted + meter.taken[True] + FOLD_S_PER_BYTE * (offset - visible)
        lock.waited += granted - arrival
        clock.now = self._looked_at = lock.free_at
        self._history.note(clock.now)
        self._read, self.state.counts = self._history.at(clock.now)
        return claimed


class CountingSlot:
    """A slot whose tasks take their time and do nothing."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.since = 0.0
        self.waits_for = ()


class CountingPool(SlotPool):
    """Slots that only count."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.processes = [CountingSlot() for _ in range(slots)]  # type: ignore[misc]

    is_mpi = False

    def n_places(self) -> int:
        """Return the number of slots."""
        return self.slots


class SimulatedFeeding:
    """Gives tasks at hand to the slots that are free, in virtual time."""

    def __init__(self, pool: CountingPool, held: HeldTasks, seconds: float, clock: Clock) -> None:
        self._pool, self._held = pool, held
        self._seconds, self._clock = seconds, clock
        # When a slot's task ends, and which slot that is.
        self.running: list[tuple[float, int]] = []

    def feed(self) -> None:
        """Give tasks at hand to the slots that are free."""
        if not self._held.backlog or len(self.running) >= self._pool.slots:
            return
        for i, slot in enumerate(self._pool.processes):
            if not slot.sent and self._held.backlog:
                self.begin_task(i, self._clock.now)

    def begin_task(self, i: int, at: float) -> None:
        """Give the next task, if there is one, to a slot."""
        slot, backlog = self._pool.processes[i], self._held.backlog
        slot.sent[:] = [backlog.popleft()] if backlog else []  # type: ignore[index]
        slot.since = at
        if slot.sent:
            heapq.heappush(self.running, (at + self._seconds, i))


class SimulatedWorker:
    """The worker's own decisions about what to claim and when to report, with slots that count."""

    def __init__(self, node: Any, name: str, slots: int, seconds: float, clock: Clock) -> None:
        self.ledger, self.seconds, self.clock = node, seconds, clock
        faults = mock.Mock(failing=lambda action: False)
        faults.attempt = lambda action, call: call() or True
        self._pool, self._pace = CountingPool(slots), Pace(node)
        self._durations, self._report = Durations(), Report(node, 0)
        choice, notes = TaskChoice(node, None, None), Notes(node, name, faults)
        held = HeldTasks(self._pool)
        stopping = Stopping(name, self._pool, held)
        time_limit = TimeLimit(node, None, None, self._durations)
        nested = NestedTasks(node, choice, self._pool, held, notes)
        pool: Any = self._pool
        parts = WorkerParts(name, None, node, pool, held, self._report, stopping)
        self.claiming = claiming = Claiming(
            parts, choice, self._durations, self._pace, nested, time_limit
        )
        self._feeding: Any = SimulatedFeeding(self._pool, held, seconds, clock)
        self._exchange = Exchange(parts, faults, choice, notes, self._pace, claiming, self._feeding)
        self._exchange.begin(node.journal.header['id'])
        node.begin_worker(name, mid=None, host=name, pid=1, slots=slots, job='')

    @property
    def has_work(self) -> bool:
        """True while tasks run, or are to be reported."""
        return bool(self._feeding.running or len(self._report))

    def finish(self) -> None:
        """End the tasks whose time is over, and begin those that are at hand."""
        ended: list[Sent] = []
        running = self._feeding.running
        first_at = self.clock.now
        while running and running[0][0] <= self.clock.now:
            at, i = heapq.heappop(running)
            first_at = first_at if ended else at
            ended += self._pool.processes[i].sent
            self._feeding.begin_task(i, at)
        if ended:
            n, microseconds = len(ended), round(self.seconds * 1e6)
            rows, attempts = [task.row for task in ended], [task.attempt for task in ended]
            zeros = [0] * n
            batch = Successes(
                rows, attempts, zeros, [microseconds] * n, zeros, [4] * n, bytes(4 * n)
            )
            self._report.add_successes(batch, first_at)
            self._durations.mean.update({task.group: self.seconds for task in ended})

    def turn(self) -> float:
        """Do what the worker's loop does; return when it is to be done again."""
        self.finish()
        self.ledger.look(self._pace.look_pause())
        self._exchange.trade(self.clock.now)
        self.finish()
        now, running = self.clock.now, self._feeding.running
        wake = running[0][0] if running else now + self._pace.look_pause()
        if len(self._report):
            wake = min(wake, self._report.first_at + self._pace.report_after())
        if len(running) < self._pool.slots and self.ledger.state.total(PENDING):
            wake = min(wake, now + LOOK_S)  # it got less than it has room for
        return max(wake, self._pace.next_exchange, now + 1e-3)


@contextmanager
def simulated(filesystem: Filesystem) -> Iterator[tuple[Clock, Meter]]:
    """Run desipipe's code on a virtual clock and a shared filesystem's latencies."""
    clock, meter = Clock(), Meter(filesystem)
    duties = ('claiming', 'exchange', 'notes', 'stopping', 'time_limit')
    modules = (
        *(f'execution.duties.{name}' for name in duties),
        'queue.ledger',
        'queue.worker_ends',
        'store.journal_file',
    )
    patches = [mock.patch(f'desipipe.{module}.time', clock) for module in modules]
    patches.append(mock.patch.object(Journal, 'shared', property(lambda journal: True)))
    for patch in patches:
        patch.start()
    try:
        with meter.watching():
            yield clock, meter
    finally:
        for patch in patches:
            patch.stop()


def add_tasks(folder: Path, n: int) -> Ledger:
    """Make a queue of tasks that no one calls."""
    queue = Queue('scale', base_dir=folder, create=True)
    TaskManager(queue).python_app(_nothing).map(i=range(n))
    return queue.ledger


def _nothing(i: int) -> None: ...


def measure(
    folder: Path, workers: int, slots: int, seconds: float, tasks: int, filesystem: str = 'nfs'
) -> dict[str, float]:
    """Run a bag of equal tasks.

    Parameters
    ----------
    folder : Path
        Empty folder on this machine.
    workers, slots : int
        Nodes, and slots of each.
    seconds : float
        What a task takes.
    tasks : int
        How many there are.
    filesystem : str, default='nfs'
        A key of :data:`FILESYSTEMS`.

    Returns
    -------
    values : dict
        ``rate`` (tasks a second), ``efficiency`` (part of the slots' time that tasks took),
        ``waits`` (part of the workers' time for which they waited for the lock), ``operations`` (of
        metadata, a second, of all workers), ``spacing`` (seconds between two exchanges of a
        worker).
    """
    n = tasks
    ledger = add_tasks(folder, n)
    with simulated(FILESYSTEMS[filesystem]) as (clock, meter):
        lock, history = Lock(), History(ledger)
        nodes = [Node(ledger, clock, meter, lock, history) for _ in range(workers)]
        pool = [
            SimulatedWorker(node, f'w{i}', slots, seconds, clock) for i, node in enumerate(nodes)
        ]
        begun = clock.now
        meter.operations, lock.free_at = 0, 0.0
        spread = look_spacing_s(workers, True)  # they do not look at the same moment
        turns = [(begun + spread * i / workers, i) for i in range(workers)]
        done = begun
        while turns and ledger.state.total(SUCCEEDED) < n:
            at, i = heapq.heappop(turns)
            clock.now = at
            next_turn = pool[i].turn()
            done = max(done, clock.now)
            if pool[i].has_work or ledger.state.total(PENDING):
                heapq.heappush(turns, (next_turn, i))
        assert ledger.state.total(SUCCEEDED) == n and not ledger.state.total(RUNNING)
        taken = done - begun
        leases = LOOK_OPERATIONS * min(LEASE_READS_PER_S, workers)
        exchanges = sum(node.exchanges for node in nodes)
        ledger.close()
    return {
        'rate': n / taken,
        'efficiency': n * seconds / (taken * workers * slots),
        'waits': lock.waited / (taken * workers),
        'operations': meter.operations / taken + leases,
        'spacing': taken * workers / exchanges,
    }


def notice(folder: Path, workers: int) -> float:
    """Return the seconds after which the manager of many workers knows that one is dead."""
    ledger = add_tasks(folder, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * workers + 100)), hard))
    with simulated(FILESYSTEMS['nfs']) as (clock, meter):
        names = [f'w{i:04d}' for i in range(workers)]
        leases = [Lease(ledger.folder, name, True) for name in names]
        for name in names:
            ledger.begin_worker(name, mid=None, host=name, pid=1, slots=1, job='')
        observer, begun, victim = Observer(ledger.folder), clock.now, workers // 2
        while clock.now < begun + 3600:
            second = round(clock.now - begun)
            # It looks first: what is written in this second it does not see before the next one.
            if names[victim] in ledger.end_lost_workers(observer):
                break
            for i in range(second % 10, workers, 10):  # each beats every third of its lease
                if i != victim or clock.now < begun + 100:
                    leases[i].beat()
            clock.now += 1.0
        assert set(names) - {names[victim]} == set(ledger.state.alive), (
            'who lives was taken for dead'
        )
        for lease in leases:
            lease.close()
        ledger.close()
        return clock.now - begun - 100


def figures(outcomes: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of the report."""
    text = 'metadata operations a second of 1,000 nodes together, simulated'
    return [
        Figure('scale_out.operations', text, column(outcomes, 'operations'), '/s', at_most(200))
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables of the page "Scaling"."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.scale_out', description=(__doc__ or '').split('\n')[0]
    )
    parser.add_argument('--workers', type=int, nargs='+', default=[8, 30, 100, 1000], help='nodes')
    parser.add_argument('--slots', type=int, default=128, help='slots of a node')
    parser.add_argument(
        '--seconds', type=float, nargs='+', default=SECONDS, help='what a task takes'
    )
    parser.add_argument(
        '--hours', type=float, default=0.5, help='of work for all slots, if that is'
    )
    parser.add_argument('--tasks', type=int, default=256_000, help='not more than so many')
    parser.add_argument('--filesystem', nargs='+', choices=FILESYSTEMS, default=list(FILESYSTEMS))
    args = parser.parse_args(argv)
    print(
        '| filesystem | nodes | task | tasks | tasks/s | slots busy | waits for the lock | '
        'metadata operations/s | s between exchanges of a node |'
    )
    print('|---|---|---|---|---|---|---|---|---|')
    for kind in args.filesystem:
        for workers in args.workers:
            for seconds in args.seconds:
                n_rounds = max(4, round(args.hours * 3600 / seconds))  # tasks for each slot
                tasks = min(args.tasks, workers * args.slots * n_rounds)
                with tempfile.TemporaryDirectory(prefix='desipipe-scale-') as folder:
                    found = measure(Path(folder), workers, args.slots, seconds, tasks, kind)
                print(
                    f'| {FILESYSTEMS[kind].name} | {workers:,d} | {seconds:g} s | {tasks:,d} | '
                    f'{found["rate"]:,.0f} | {found["efficiency"]:.0%} '
                    f'| {found["waits"]:.1%} | {found["operations"]:.0f} | {found["spacing"]:.2g} '
                    '|',
                    flush=True,
                )
    for workers in args.workers:
        with tempfile.TemporaryDirectory(prefix='desipipe-scale-') as folder:
            print(
                f'{workers:,d} nodes: a death is noticed after {notice(Path(folder), workers):.0f} '
                's'
            )
    return 0


if __name__ == '__main__':
    sys.exit(main())
