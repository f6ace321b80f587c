"""Slots that the kernel kills because their memory ran out, for real: workers in a memory cgroup
with little of it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from desipipe import Queue, TaskManager
from desipipe.errors import TaskKilledError
from desipipe.execution.slot_exit import OOM_AGE
from desipipe.queue.events import KILLED, SUCCEEDED

LIMIT = 256 << 20  # bytes; a worker and its slots need less than half of it
HOG = 512 << 20  # bytes


class Group:
    """A memory cgroup.

    Parameters
    ----------
    folder : Path
        Of the group; it exists.
    v2 : bool
        Whether it is one of version 2.
    """

    def __init__(self, folder: Path, v2: bool) -> None:
        self.folder = folder
        self._v2 = v2

    def limit(self) -> None:
        """Let it have ``LIMIT`` bytes of memory, and no swap."""
        memory, swap, most = (
            ('memory.max', 'memory.swap.max', 0)
            if self._v2
            else ('memory.limit_in_bytes', 'memory.memsw.limit_in_bytes', LIMIT)
        )
        (self.folder / memory).write_text(str(LIMIT))
        if (self.folder / swap).exists():  # else the kernel does not count it
            (self.folder / swap).write_text(str(most))

    def popen(self, *args: str) -> subprocess.Popen[bytes]:
        """Start a program in the group."""
        return subprocess.Popen(
            ['sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(self.folder), *args]
        )

    @property
    def kills(self) -> int:
        """How many of its processes the kernel killed for want of memory."""
        events = (self.folder / ('memory.events' if self._v2 else 'memory.oom_control')).read_text()
        return next(
            int(line.split()[1]) for line in events.splitlines() if line.startswith('oom_kill ')
        )

    def remove(self) -> None:
        """End what is in the group, which are only processes of the test, and remove it."""
        deadline = time.monotonic() + 60
        while True:
            for pid in (self.folder / 'cgroup.procs').read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            try:
                self.folder.rmdir()
                return
            except OSError:  # busy until the last of them is gone
                assert time.monotonic() < deadline
                time.sleep(0.01)


def mount(fstype: str, options: str) -> Path | None:
    """A cgroup hierarchy, as a path; ``None`` where it can't be mounted.

    A mount of our own, because that of the machine may be missing or read-only (in a container);
    and detached at once and reached through a descriptor, because what stays mounted after a killed
    test is in the way of whoever clears temporary folders.
    """
    point = tempfile.mkdtemp()
    try:
        if subprocess.run(
            ['mount', '-t', fstype, '-o', options, 'none', point],
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode:
            return None
        fd = os.open(point, os.O_PATH | os.O_DIRECTORY)
        subprocess.run(['umount', '-l', point], check=True)
        return Path(f'/proc/{os.getpid():d}/fd/{fd:d}')
    finally:
        os.rmdir(point)


def own(root: Path, controller: str) -> Path:
    """The group of this process in a hierarchy (``''`` for version 2)."""
    for line in Path('/proc/self/cgroup').read_text().splitlines():
        _, controllers, path = line.split(':', 2)
        if controller in controllers.split(',') and (root / path[1:]).is_dir():
            return root / path[1:]
    return root


@pytest.fixture
def group() -> Iterator[Group]:
    """A group with ``LIMIT`` bytes of memory, below that of this process where that may be."""
    if os.geteuid() != 0:
        pytest.skip('making a memory cgroup needs root')
    root, v2, enabled = mount('cgroup2', 'rw'), True, False
    try:
        if root is not None and 'memory' in (root / 'cgroup.controllers').read_text().split():
            # A group may have members or controllers for those below it, not both: so the nearest
            # above us that hands memory on to those below it, and where none does, the root, which
            # may have both unless it is that of a container only.
            here = own(root, '')
            processes = [
                folder
                for folder in (here, *here.parents)
                if folder.is_relative_to(root)
                and 'memory' in (folder / 'cgroup.subtree_control').read_text()
            ]
            parent = processes[0] if processes else root
            if not processes:
                try:
                    (root / 'cgroup.subtree_control').write_text('+memory')
                except OSError as exc:
                    pytest.skip(
                        f'no group here may have a memory limit of its own ({exc.strerror}): a '
                        'container without a group to itself?'
                    )
                enabled = True
        else:
            close(root)
            root, v2 = mount('cgroup', 'memory'), False
            if root is None:
                pytest.skip('there is no memory cgroup controller that may be mounted here')
            parent = own(root, 'memory')
        try:
            folder = Path(tempfile.mkdtemp(prefix='desipipe-test-', dir=parent))
        except OSError as exc:
            pytest.skip(f'no memory cgroup may be made here ({exc.strerror})')
        group = Group(folder, v2)
        try:
            group.limit()
            yield group
        finally:
            group.remove()
    finally:
        if enabled and root is not None:
            (root / 'cgroup.subtree_control').write_text('-memory')
        close(root)


def close(root: Path | None) -> None:
    """Let go of what :func:`mount` returned."""
    if root is not None:
        os.close(int(root.name))


@pytest.fixture
def start(queue: Queue, group: Group) -> Iterator[Callable[[int], subprocess.Popen[bytes]]]:
    """Start a worker in the group."""
    started: list[subprocess.Popen[bytes]] = []

    def start(slots: int) -> subprocess.Popen[bytes]:
        started.append(
            group.popen(
                sys.executable,
                '-m',
                'desipipe',
                'work',
                '-q',
                queue.folder,
                '--slots',
                f'{slots:d}',
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def hog(size: int) -> str:
    print('so far', flush=True)
    blocks = [b'x' * (1 << 24) for _ in range(size >> 24)]
    return f'{len(blocks):d} blocks fitted'


def test_out_of_memory_costs_one_attempt_of_one_task(
    queue: Queue, tm: TaskManager, group: Group, start: Callable[[int], subprocess.Popen[bytes]]
) -> None:
    @tm.python_app
    def where(i: int) -> tuple[int, int]:
        import os

        return os.getpid(), os.getppid()

    before = where(0)
    hungry = tm.python_app(hog)(HOG)
    after = where.map(i=range(1, 100))
    worker = start(1)
    assert worker.wait(120) == 0
    assert group.kills == 1
    with pytest.raises(TaskKilledError, match='out of memory: the kernel killed it') as caught:
        hungry.result(timeout=0)
    assert f'desipipe retry -q {queue.folder} --tid' in str(caught.value)
    assert hungry.state == 'KILLED'
    assert [attempt.cause['kind'] for attempt in hungry.task.attempts] == ['oom']
    assert hungry.out() == 'so far\n'
    # The worker lives on, with another slot; that what stood behind it in the queue ran once says
    # that it was not to blame.
    (replacement,) = {future.result(timeout=0) for future in after}
    killed, _ = before.result(timeout=0)
    assert replacement[0] != killed
    assert replacement[1] == worker.pid
    assert {len(future.task.attempts) for future in [before, *after]} == {1}
    assert queue.counts['SUCCEEDED'] == 100


def test_task_whose_memory_ran_out_runs_again(
    queue: Queue,
    tm: TaskManager,
    group: Group,
    start: Callable[[int], subprocess.Popen[bytes]],
    tmp_path: Path,
) -> None:
    @tm.python_app(retries=1, retry_on='KILLED')
    def less_each_time(path: str, size: int) -> int:
        with open(path, 'a') as file:
            file.write('x')
            if file.tell() > 1:
                size >>= 10
        return len(b'x' * size)

    future = less_each_time(str(tmp_path / 'runs'), HOG)
    assert start(1).wait(120) == 0
    assert group.kills == 1
    assert future.result(timeout=0) == HOG >> 10
    first, second = future.task.attempts
    assert (first.state, first.cause['kind'], second.state) == (KILLED, 'oom', SUCCEEDED)


def test_other_kills_are_not_out_of_memory(
    queue: Queue,
    tm: TaskManager,
    group: Group,
    start: Callable[[int], subprocess.Popen[bytes]],
    tmp_path: Path,
) -> None:
    # The kernel counts such kills of the machine as a whole: that one happened does not say that
    # this one was one.
    @tm.python_app
    def killed(path: str) -> None:
        import os
        import signal
        import time

        while not os.path.exists(path):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

    other = killed(str(tmp_path / 'go'))
    hungry = tm.python_app(hog)(HOG)
    worker = start(2)
    with pytest.raises(TaskKilledError, match='out of memory'):
        hungry.result(timeout=120)
    assert other.running()
    (tmp_path / 'go').touch()
    with pytest.raises(TaskKilledError, match=r'signal 9 \(SIGKILL\), from outside'):
        other.result(timeout=120)
    assert worker.wait(120) == 0
    assert group.kills == 1


def test_memory_that_ran_out_before_a_task_began_is_not_its_cause(
    queue: Queue,
    tm: TaskManager,
    group: Group,
    start: Callable[[int], subprocess.Popen[bytes]],
    tmp_path: Path,
) -> None:
    @tm.python_app
    def first(path: str, least: float) -> int:
        import os
        import time

        began = time.monotonic()
        while not os.path.exists(path) or time.monotonic() - began < least:
            time.sleep(0.01)
        return os.getpid()

    @tm.python_app
    def killed(pid: int) -> None:
        import os
        import signal

        assert os.getpid() == pid  # the same slot, which was there when memory ran out
        os.kill(pid, signal.SIGKILL)

    before = first(str(tmp_path / 'go'), 2 * OOM_AGE)
    after = killed(before)
    worker = start(1)
    while not before.running():
        assert worker.poll() is None
        time.sleep(0.01)
    assert group.popen(sys.executable, '-c', f'b"x" * {HOG:d}').wait(120) == -signal.SIGKILL
    assert group.kills == 1
    (tmp_path / 'go').touch()
    with pytest.raises(TaskKilledError, match=r'signal 9 \(SIGKILL\), from outside'):
        after.result(timeout=120)
    assert worker.wait(120) == 0


def test_mpi_process_whose_memory_ran_out(
    queue: Queue, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(
        'mpi4py'
        # not marked so: `make test` promises that tests with that mark are not skipped, and can't
        # promise a cgroup
    )
    monkeypatch.setenv(
        'PATH', os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    )  # the mpich of the environment
    if shutil.which('mpiexec') is None:
        pytest.skip('no mpiexec: pip install "desipipe[mpi]"')
    tm = TaskManager(queue, provider=dict(provider='local', mpiprocs_per_worker=2))

    @tm.python_app
    def one_is_hungry(size: int, mpicomm: Any = None) -> int:
        if mpicomm.rank == 1:
            size = len(b'x' * size)
        total: int = mpicomm.allreduce(size)
        return total

    hungry, modest = one_is_hungry(HOG), one_is_hungry(1)
    worker = group.popen(
        sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder, '--mid', tm.id
    )
    try:
        assert worker.wait(120) == 0
    finally:
        worker.kill()
        worker.wait()
    assert group.kills == 1
    with pytest.raises(TaskKilledError, match='out of memory'):
        hungry.result(timeout=0)
    assert modest.result(timeout=0) == 2
