"""What tasks print goes to a file that people follow, as it comes, in whole lines."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fake_slurm import FakeSlurm
from polling import wait_for
from workers import WORK

from desipipe import Queue, TaskManager
from desipipe.execution.output_copy import CUT, LINE_MAX_BYTES, Output, SlotCopies, StreamCopy
from desipipe.outputs.notebook import mark
from desipipe.provider import Provider

DISPLAY = mark({'d': {'text/plain': 'x'}})
TIMEOUT = 120.0  # s; only what hangs takes so long


class Written(Output):
    """An output in memory."""

    def __init__(self) -> None:
        super().__init__(-1)
        self.data = b''

    def write(self, data: bytes) -> None:
        self.data += data


def copied(*pieces: bytes, label: str = '', limit: int = 10**6) -> bytes:
    output = Written()
    copy = StreamCopy(output, label, limit)
    for piece in pieces:
        copy.write(piece)
    copy.end()
    return output.data


def test_output_of_one_slot_is_copied_as_it_comes() -> None:
    output = Written()
    copy = StreamCopy(output, '', 100)
    copy.write(b'half')
    assert output.data == b'half'
    copy.write(b' and half')
    copy.end()
    copy.write(b'next\n')
    copy.end()
    assert output.data == b'half and half\nnext\n'


def test_lines_of_several_slots_are_whole() -> None:
    output = Written()
    first, second = (StreamCopy(output, label, 100) for label in '01')
    first.write(b'one ')
    second.write(b'two\nthr')
    first.write(b'line\n')
    second.end()
    assert output.data == b'[1] two\n[0] one line\n[1] thr\n'


@pytest.mark.parametrize(
    ('pieces', 'expected'),
    [
        ([b'10%\r', b'20%\r', b'30%\n'], b'[3] 30%\n'),
        ([b'10%\r', b'20%\r'], b'[3] 20%\n'),
        ([b'\n\na\n'], b'[3] \n[3] \n[3] a\n'),
        ([b'a', DISPLAY[:9], DISPLAY[9:], b'b\n'], b'[3] ab\n'),
        ([b'\xff\xfe\n'], b'[3] \xff\xfe\n'),
    ],
)
def test_output_copy_is_as_on_terminal(pieces: list[bytes], expected: bytes) -> None:
    assert copied(*pieces, label='3') == expected


def test_output_copy_is_bounded() -> None:
    bar = copied(*[b'%6d%%\r' % i for i in range(9_000)], b'\n', label='0')
    assert bar == b'[0]   8999%\n'
    long = copied(*[b'x' * 1000] * 200, label='0')
    assert max(len(line) for line in long.split(b'\n')) <= LINE_MAX_BYTES + 1010
    cut = copied(*[b'line\n'] * 100, label='0', limit=12)
    assert cut == b'[0] line\n[0] line\n[0] li\n[0] ' + CUT
    assert copied(*[b'line\n'] * 100, limit=10) == b'line\nline\n' + CUT


def test_errors_of_the_file_are_passed_over(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fd = os.open(tmp_path / 'file', os.O_RDONLY | os.O_CREAT)
    output = Output(fd)
    for _ in range(3):
        output.write(b'x')
    os.close(fd)
    assert len(caplog.records) == 1


def test_streams_that_are_not_asked_for_are_not_copied() -> None:
    copies = SlotCopies(frozenset({'err'}), True, 10)
    assert copies.of('out', '1') is None
    assert copies.of('err', '1') is not None


def test_worker_copies_what_tasks_print(queue: Queue, tm: TaskManager) -> None:
    @tm.python_app
    def speak(i: int) -> None:
        import os
        import sys

        print('said', i)
        print('warned', i, file=sys.stderr)
        os.system(f'echo from a command {i}')
        if i == 2:
            raise ValueError('no')

    futures = [speak(i) for i in range(3)]
    argv = [*WORK, queue.folder, '--slots', '2', '--copy-output', 'out', 'err']
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    lines = sorted(line.partition('] ')[2] for line in done.stdout.splitlines())
    expected = [f'{text} {i}' for text in ('from a command', 'said') for i in range(3)]
    assert lines == expected
    assert all(f'] warned {i}\n' in done.stderr for i in range(3))
    assert '] ValueError: no\n' in done.stderr
    outs = [future.task.out for future in futures]
    assert outs == [f'said {i}\nfrom a command {i}\n' for i in range(3)]


@pytest.mark.parametrize('options', [(), ('--mode', 'no_out'), ('--mode', 'no_stream')])
def test_worker_copies_nothing_else(
    queue: Queue,
    tm: TaskManager,
    options: tuple[str, ...],
) -> None:
    @tm.python_app
    def speak() -> None:
        print('said')

    speak()
    argv = [*WORK, queue.folder, *(('--copy-output', 'out') if options else ()), *options]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    assert 'said' not in done.stdout
    assert queue.counts(state='SUCCEEDED') == 1


def holds(path: Path, text: str) -> bool:
    return path.exists() and text in path.read_text()


@pytest.mark.parametrize('error', [None, 'slurm-%j.err'])
def test_output_of_jobs_can_be_followed(
    queue_dir: Path,
    tmp_path: Path,
    slurm: FakeSlurm,
    error: str | None,
) -> None:
    queue = Queue('q', create=True)
    provider = {'provider': 'slurm', 'time': '10', 'output': 'slurm-%j.out', 'error': error}
    tm = TaskManager(queue, scheduler=dict(max_workers=1), provider=provider)
    go = tmp_path / 'go'

    @tm.python_app
    def speak(path: str) -> None:
        import os
        import sys
        import time

        print('begun')
        print('warned', file=sys.stderr)
        for _ in range(6000):
            if os.path.exists(path):
                break
            time.sleep(0.02)
        print('ended')

    future = speak(str(go))
    argv = [WORK[0], '-m', 'desipipe', 'spawn', '-q', queue.folder, '--timestep', '0.2']
    with open(tmp_path / 'manager.log', 'wb') as log:
        manager = subprocess.Popen(argv, stdout=log, stderr=log, cwd=tmp_path)
    try:
        out = tmp_path / 'slurm-101.out'
        err = tmp_path / (error or 'slurm-%j.out').replace('%j', '101')
        wait_for(lambda: holds(out, 'begun\n') and holds(err, 'warned\n'), 'the output')
        assert future.state == 'RUNNING'
        go.touch()
        manager.wait(TIMEOUT)
    finally:
        manager.kill()
        manager.wait()
    assert out.read_text().count('ended\n') == 1
    assert ('warned' in out.read_text()) == (error is None)
    assert future.out() == 'begun\nended\n'


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        ({}, ''),
        ({'output': 'slurm-%j.out'}, ' --copy-output out err'),
        ({'output': '/dev/null', 'error': 'slurm-%j.err'}, ' --copy-output err'),
        ({'output': '/dev/null', 'error': '/dev/null'}, ''),
    ],
)
def test_jobs_copy_to_files_that_were_asked_for(options: dict[str, Any], expected: str) -> None:
    provider: Any = Provider({'provider': 'slurm', **options})
    script = provider.script(['work'], 1, TaskManager().environ, '/log', '/')
    assert f'exec work{expected} --jobid' in script
