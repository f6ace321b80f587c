"""Single calls on a queue's files that fail: each costs a worker time, and nothing that was
computed.

``fault.c`` is preloaded into a worker and its slots. Each case lets one call fail, once and several
times in a row, with each of the errors that filesystems give now and then, while tasks run.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from polling import TIMEOUT_S, wait_for

from desipipe import Queue, TaskManager
from desipipe.queue.app import App
from desipipe.queue.future import Future
from desipipe.store import probe
from desipipe.view.queue import queue_summary

if shutil.which('gcc') is None or sys.platform != 'linux':
    pytest.skip('needs gcc, and the dynamic linker of Linux', allow_module_level=True)

ERRORS = ('EIO', 'ESTALE', 'ENOLCK', 'EROFS', 'ENOSPC', 'EDQUOT')
# Which calls a worker and its slots make on which files.
CALLS = [
    *(('open', part) for part in ('journal', 'segments', 'live')),
    *(('read', part) for part in ('journal', 'segments')),
    *(('write', part) for part in ('journal', 'segments', 'live', 'workers/')),
    *(('sync', part) for part in ('journal', 'segments', 'workers/')),
    *(('flock', part) for part in ('lock', 'journal')),
    *(('stat', part) for part in ('journal', 'lock')),
    *(('fstat', part) for part in ('journal', 'segments', 'workers/')),
    *(('truncate', part) for part in ('live',)),
    ('mmap', 'segments'),
]
# Calls that a worker makes on shared filesystems only, or not in each round.
PERHAPS_LOCALLY = (
    ('sync', 'workers/'),
    ('flock', 'journal'),
    ('open', 'live'),
    ('open', 'segments'),
)


@pytest.fixture(scope='session')
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('fault') / 'fault.so'
    source = Path(__file__).with_name('fault.c')
    subprocess.run(['gcc', '-shared', '-fPIC', '-o', str(path), str(source), '-ldl'], check=True)
    return path


class Faulty:
    """A queue whose worker's calls can be made to fail."""

    def __init__(self, folder: Path, library: Path, *options: str) -> None:
        self.queue = Queue('faulty', base_dir=folder, create=True)
        self.rules, self.log, self.errors = folder / 'rules', folder / 'log', folder / 'errors'
        self.rules.touch()
        self.log.touch()
        self.manager = TaskManager(self.queue, scheduler=dict(max_workers=2))
        self.turn = 0
        self.environment = {
            **os.environ,
            'LD_PRELOAD': str(library),
            'FAULT_RULES': str(self.rules),
            'FAULT_UNDER': '.queue',
            'FAULT_LOG': str(self.log),
        }
        self.options = options
        self.start(*options)

    def start(self, *options: str) -> None:
        command = [
            sys.executable,
            '-m',
            'desipipe',
            'work',
            '-q',
            self.queue.folder,
            '--slots',
            '2',
            *options,
        ]
        with self.errors.open('w') as errors:
            self.worker = subprocess.Popen(command, env=self.environment, stderr=errors)

    def app(self) -> App:
        @self.manager.python_app
        def double(turn: int, i: int, size: int, pause: float, other: bytes | None = None) -> bytes:
            import time

            print('double', turn, i)
            time.sleep(pause)
            return bytes([2 * i]) * size

        return double

    def fail(self, call: str, part: str, number: int, count: int) -> None:
        """Let the next calls fail; in one step, as the worker reads the file at any time."""
        temporary = self.rules.with_suffix('.new')
        temporary.write_text(f'{call} {part} {number:d} {count:d}\n' if count else '')
        temporary.rename(self.rules)

    def run(self, double: App, pause: float = 0.0) -> list[Future]:
        """Run three tasks, one of which needs the large result of another."""
        self.turn += 1
        small = double(self.turn, 1, 10, 0.0)
        large = double(self.turn, 2, 1_100_000, pause)
        return [small, large, double(self.turn, 3, 100_000, 0.0, large)]

    def check(self, futures: list[Future]) -> None:
        sizes = (10, 1_100_000, 100_000)
        deadline = time.monotonic() + TIMEOUT_S
        while not all(future.done() for future in futures) and time.monotonic() < deadline:
            assert self.worker.poll() is None, self.errors.read_text()
            self.queue.ledger.wait(lambda: all(future.done() for future in futures), 0.5)
        for i, (future, size) in enumerate(zip(futures, sizes, strict=True), 1):
            assert future.result(timeout=0) == bytes([2 * i]) * size
            assert future.out() == f'double {self.turn:d} {i:d}\n'
            assert len(future.task.attempts) == 1
        assert self.worker.poll() is None, self.errors.read_text()

    def end(self) -> None:
        self.worker.kill()
        self.worker.wait()


@pytest.fixture(scope='module', params=['local', 'shared'])
def faulty(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, library: Path
) -> Iterator[Faulty]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == 'shared':
            patch.setattr(probe.Mount, 'shared', property(lambda self: True))
            patch.setattr(probe, '_check_reach', lambda *args: None)
        config = tmp_path_factory.mktemp('config')
        (config / 'config.yaml').write_text('lease: 1.5\n')  # so that heartbeats come often
        patch.setenv('DESIPIPE_CONFIG_DIR', str(config))
        faulty = Faulty(tmp_path_factory.mktemp('queue'), library, '--linger', '600')
    assert faulty.queue.ledger.journal.shared == (request.param == 'shared')
    faulty.check(faulty.run(faulty.app()))
    yield faulty
    faulty.end()


@pytest.mark.parametrize(('call', 'part'), CALLS, ids=lambda value: value.strip('/'))
def test_fault_costs_nothing_that_was_computed(faulty: Faulty, call: str, part: str) -> None:
    double = faulty.app()
    before = faulty.log.read_text().count('\n')
    for i, error in enumerate(
        ERRORS[CALLS.index((call, part)) % 2 :: 2]
    ):  # all of them by every second case
        faulty.fail(call, part, getattr(errno, error), 1 + 2 * (i % 2))
        # Output is followed only while something runs for a while.
        faulty.check(faulty.run(double, 0.5 if part == 'live' else 0.0))
    shared = faulty.queue.ledger.journal.shared
    if (call, part) not in PERHAPS_LOCALLY or (shared and part != 'segments'):

        def has_failed() -> bool:
            if faulty.log.read_text().count('\n') == before:
                # Its adder may have synced what the worker wrote, too; and some files it opens once.
                faulty.end()
                faulty.start(*faulty.options)
                faulty.check(faulty.run(double, 1.5))
            return faulty.log.read_text().count('\n') > before  # hearts beat now and then

        wait_for(has_failed)
    faulty.fail(call, part, 0, 0)


@pytest.fixture
def fresh(tmp_path: Path, queue_dir: Path, library: Path) -> Iterator[Faulty]:
    Path(os.environ['DESIPIPE_CONFIG_DIR'], 'config.yaml').write_text('lease: 1.5\n')
    faulty = Faulty(tmp_path, library, '--linger', '600')
    faulty.check(faulty.run(faulty.app()))
    yield faulty
    faulty.end()


@pytest.mark.parametrize('call', ['open journal', 'stat journal', 'write journal'])
def test_fault_that_lasts_is_told_and_waited_for(fresh: Faulty, call: str) -> None:
    fresh.fail(*call.split(), errno.ESTALE, 10**6)  # type: ignore[arg-type]
    futures = fresh.run(fresh.app())
    wait_for(lambda: 'Stale file handle' in queue_summary(fresh.queue)['workers'][0]['trouble'])
    assert fresh.worker.poll() is None
    fresh.fail('', '', 0, 0)
    fresh.check(futures)
    wait_for(lambda: not queue_summary(fresh.queue)['workers'][0]['trouble'])


def test_lease_that_was_removed_is_written_again(fresh: Faulty) -> None:
    (lease,) = Path(fresh.queue.folder, 'workers').glob('*.lease')
    lease.unlink()
    fresh.fail('write', 'workers/', errno.EIO, 1)  # it does not matter which fault comes first
    wait_for(lease.exists)
    fresh.check(fresh.run(fresh.app()))


@pytest.mark.parametrize(
    'call',
    [
        'open journal',
        'open lock',
        'open segments',
        'open workers/',
        'write workers/',
        'write journal',
        'flock lock',
        'read journal',
    ],
)
def test_worker_begins_although_a_call_fails(
    tmp_path: Path, queue_dir: Path, library: Path, call: str
) -> None:
    faulty = Faulty(tmp_path, library, '--linger', '600')
    faulty.end()
    for i, number in enumerate((errno.EIO, errno.ESTALE), 1):
        faulty.fail(*call.split(), number, 2)  # type: ignore[arg-type]
        faulty.start('--linger', '600')
        faulty.check(faulty.run(faulty.app()))
        wait_for(lambda i=i: faulty.log.read_text().count('\n') >= 2 * i)  # type: ignore[misc]
        faulty.end()
    assert faulty.log.read_text().count('\n') == 4


@pytest.mark.parametrize('call', ['stat journal', 'open journal', 'fstat journal', 'read journal'])
@pytest.mark.parametrize('verb', ['status', 'pause'])
def test_command_opens_a_queue_although_a_call_fails(
    tmp_path: Path, queue_dir: Path, library: Path, call: str, verb: str
) -> None:
    faulty = Faulty(tmp_path, library)
    faulty.end()
    faulty.fail(*call.split(), errno.ESTALE, 2)  # type: ignore[arg-type]
    command = [sys.executable, '-m', 'desipipe', verb, '-q', faulty.queue.folder]
    done = subprocess.run(
        command, env=faulty.environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, '')
    assert faulty.log.read_text().count('\n') == 2


@pytest.mark.parametrize('number', [errno.EAGAIN, errno.ENOMEM])
def test_process_that_cannot_be_made_is_made_later(
    tmp_path: Path, queue_dir: Path, library: Path, number: int
) -> None:
    faulty = Faulty(tmp_path, library, '--linger', '600')
    faulty.end()
    faulty.fail('fork', '*', number, 3)
    faulty.start('--linger', '600')
    faulty.check(faulty.run(faulty.app()))
    assert 'Nothing is lost' in faulty.errors.read_text()
    faulty.end()
