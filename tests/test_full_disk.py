"""A real small filesystem that fills up, and a real read-only one: what was there stays, what did not fit is said."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from desipipe import Queue, TaskManager
from desipipe.errors import DiskFullError, PermissionDeniedError
from desipipe.ledger import Ledger

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason='mounting needs root')
SIZE = 2 << 20  # bytes


@pytest.fixture
def small(queue_dir: Path, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / 'small'
    folder.mkdir()
    subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={SIZE:d}', 'tmpfs', str(folder)], check=True)
    yield folder
    subprocess.run(['umount', '-l', str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the space there is."""
    ballast = folder / 'ballast'
    with ballast.open('wb', buffering=0) as file:
        try:
            while True:
                file.write(b'x' * 4096)
        except OSError:
            pass
    return ballast


def fold(folder: str) -> dict[str, int]:
    """What a fresh reader makes of the files."""
    ledger = Ledger(folder)
    assert not ledger.state.damage
    return {task.hex(): ledger.state.status[row] for task, row in ledger.state.rows.items()}


def test_adding_to_a_full_disk(small: Path) -> None:
    queue = Queue('full', base_dir=small, create=True)
    tm = TaskManager(queue)

    @tm.python_app
    def keep(data: bytes) -> int:
        return len(data)

    keep(b'first')
    before = fold(queue.folder)
    ballast = fill(small)
    with pytest.raises(DiskFullError, match='is not in the queue, everything before it is intact') as caught:
        keep(b'x' * 100_000)
    assert 'desipipe compact' in str(caught.value)
    with pytest.raises(DiskFullError):
        keep.map(data=[bytes([i]) * 1000 for i in range(200)])
    assert fold(queue.folder) == before
    assert len(queue) == 1
    ballast.unlink()
    future = keep(b'x' * 100_000)
    subprocess.run([sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder], check=True, timeout=60)
    assert future.result(timeout=0) == 100_000
    assert queue.counts['SUCCEEDED'] == 2


def test_a_worker_on_a_full_disk_keeps_its_results_until_there_is_space(small: Path, tmp_path: Path) -> None:
    queue = Queue('full', base_dir=small, create=True)
    tm = TaskManager(queue)

    @tm.python_app
    def once(path: str, go: str, i: int) -> bytes:
        import os
        import time

        with open(path, 'a') as file:
            file.write('x')
        while not os.path.exists(go):
            time.sleep(0.01)
        return bytes([i]) * 30_000

    futures = [once(str(tmp_path / 'runs'), str(tmp_path / 'go'), i) for i in range(3)]
    worker = subprocess.Popen([sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder, '--slots', '3'], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / 'runs').exists() or (tmp_path / 'runs').read_text() != 'xxx':
            assert time.monotonic() < deadline
            time.sleep(0.01)
        ballast = fill(small)
        (tmp_path / 'go').touch()
        assert worker.stderr is not None
        while 'no space or quota left' not in (line := worker.stderr.readline()):
            assert line, 'the worker ended'
        assert worker.poll() is None
        ballast.unlink()
        assert [future.result(timeout=60) for future in futures] == [bytes([i]) * 30_000 for i in range(3)]
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.communicate()
    assert (tmp_path / 'runs').read_text() == 'xxx'  # nothing was computed twice


def test_read_only(small: Path, tmp_path: Path) -> None:
    queue = Queue('fixed', base_dir=small, create=True)

    @TaskManager(queue).python_app
    def one() -> int:
        return 1

    one()
    before = fold(queue.folder)
    queue.ledger.close()  # what is open for writing holds the mount
    subprocess.run(['mount', '-o', 'remount,ro', str(small)], check=True)
    again = Queue('fixed', base_dir=small)
    assert again.counts['PENDING'] == 1  # looking is possible
    with pytest.raises(PermissionDeniedError, match='nothing was'):
        again.pause()
    with pytest.raises(PermissionDeniedError, match='read-only'):
        Queue('another', base_dir=small)
    assert fold(queue.folder) == before
