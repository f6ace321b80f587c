"""Records: what it takes to write and to verify one, how large it is, and whether every flipped
byte is found.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ..harness import Figure, Outcome, at_least, at_most, column
from . import manager, working

COMMAND = [sys.executable, '-m', 'desipipe']


def fraction(seed: int, size: int = 100) -> float:
    """A task as people have them: it prints a line, and returns a number."""
    rng = random.Random(seed)
    print('seed', seed)
    return sum(rng.random() ** 2 + rng.random() ** 2 < 1 for _ in range(size)) / size


def _filled(folder: Path, name: str, tasks: int) -> None:
    tm = manager(folder, name)
    with working(folder, name):
        futures = tm.python_app(fraction).map(seed=range(tasks))
        for future in futures:
            future.result()


def _ran(*words: str) -> tuple[float, float]:
    """Seconds that a command takes, and the most memory of it, in bytes."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [*COMMAND, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise AssertionError(f'{words}: exit status {process.returncode}')
    return time.perf_counter() - start, used.ru_maxrss * 1024.0


def _flips(path: Path, flips: int) -> float:
    """The part of so many flipped bytes that verify finds."""
    from desipipe.errors import RecordError
    from desipipe.record.checks import verdict
    from desipipe.record.files import read_record
    from desipipe.record.verify import verify

    data = path.read_bytes()
    if not verdict(verify(read_record(str(path)))):
        raise AssertionError(
            f'{path.name} is not accepted as it was written: that flips of it are refused says '
            'nothing'
        )
    draw = random.Random(1)
    found = 0
    for _ in range(flips):
        place = draw.randrange(len(data))
        path.write_bytes(
            data[:place] + bytes([data[place] ^ draw.randrange(1, 256)]) + data[place + 1 :]
        )
        try:
            found += not verdict(verify(read_record(str(path))))
        except RecordError:
            found += 1
    path.write_bytes(data)
    return found / flips


def measure(folder: Path, tasks: int, large: int, flips: int) -> dict[str, float]:
    """Return seconds, bytes a task, bytes of memory, and the part of flips that are found in a
    record and in a crate.
    """
    values: dict[str, float] = {}
    for name, n in (('small', 20), ('middle', tasks), ('large', large)):
        _filled(folder, name, n)
        queue, record = str(folder / name), str(folder / f'{name}.ipynb')
        write, memory = _ran(
            'record',
            '-q',
            queue,
            '-o',
            record,
            *(['--crate', str(folder / 'crate.zip')] if name == 'small' else []),
        )
        verify, more = _ran('verify', record, '--queue', queue)
        values |= {
            f'{name}.write': write,
            f'{name}.verify': verify,
            f'{name}.bytes': os.path.getsize(record) / n,
            f'{name}.memory': max(memory, more),
        }
    values['flips'] = _flips(folder / 'small.ipynb', flips)
    values['crate'] = _flips(folder / 'crate.zip', flips)
    return values


def figures(rounds: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of records."""
    return [
        Figure(
            'record.write',
            'a record of 10,000 tasks, written',
            column(rounds, 'middle.write'),
            's',
            at_most(10),
        ),
        Figure(
            'record.verify',
            'the same, verified with its queue',
            column(rounds, 'middle.verify'),
            's',
            at_most(20),
        ),
        Figure(
            'record.bytes',
            'the same, a task',
            column(rounds, 'middle.bytes'),
            'bytes',
            at_most(3000),
        ),
        Figure(
            'record.memory',
            'a record of 100,000 tasks, written and verified: memory',
            column(rounds, 'large.memory', 1e-6),
            'MB',
            at_most(1000),
        ),
        Figure(
            'record.flips',
            'flipped bytes of a record that verify finds',
            column(rounds, 'flips', 100),
            '%',
            at_least(100),
        ),
        Figure(
            'record.crate',
            'flipped bytes of a crate that verify finds',
            column(rounds, 'crate', 100),
            '%',
            at_least(100),
        ),
    ]
