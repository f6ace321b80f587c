"""A worker on a real filesystem that fills up; what adding to one means is in ``test_disk.py``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from polling import wait_for

from desipipe import Queue, TaskManager

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason='mounting needs root')
SIZE = 2 << 20  # bytes


@pytest.fixture
def small(queue_dir: Path, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / 'small'
    folder.mkdir()
    subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', f'size={SIZE:d}', 'tmpfs', str(folder)], check=True
    )
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


def test_worker_on_a_full_disk_keeps_its_results_until_there_is_space(
    small: Path, tmp_path: Path
) -> None:
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
    worker = subprocess.Popen(
        [sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder, '--slots', '3'],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: (tmp_path / 'runs').exists() and (tmp_path / 'runs').read_text() == 'xxx')
        ballast = fill(small)
        (tmp_path / 'go').touch()
        assert worker.stderr is not None
        while 'No space or quota left' not in (line := worker.stderr.readline()):
            assert line, 'the worker ended'
        assert worker.poll() is None
        ballast.unlink()
        assert [future.result(timeout=60) for future in futures] == [
            bytes([i]) * 30_000 for i in range(3)
        ]
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.communicate()
    assert (tmp_path / 'runs').read_text() == 'xxx'  # nothing was computed twice


def test_list_of_files_that_has_no_space_waits_for_it(small: Path, tmp_path: Path) -> None:
    """Lists of files that are too long for a message are stored by the slot."""
    queue = Queue('full', base_dir=small, create=True)
    tm = TaskManager(queue)

    @tm.python_app
    def save(folder: str, n: int, ballast: str) -> int:
        import os

        from desipipe.file_manager import BaseFile

        for i in range(n):
            BaseFile(os.path.join(folder, f'{i:d}_{"long" * 20}.txt'), filetype='text').save('text')
        if ballast:
            with open(ballast, 'wb', buffering=0) as file:
                try:
                    while True:
                        file.write(b'x' * 4096)
                except OSError:
                    pass
        return os.getpid()

    before, many, after = (
        save(str(tmp_path), 1, ''),
        save(str(tmp_path), 300, str(small / 'ballast')),
        save(str(tmp_path), 2, ''),
    )
    worker = subprocess.Popen(
        [sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder, '--slots', '1'],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: (small / 'ballast').exists() and not os.statvfs(small).f_bfree)
        (small / 'ballast').unlink()
        assert (
            before.result(timeout=60) == many.result(timeout=60) == after.result(timeout=60)
        )  # one slot, which lives
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.communicate()
