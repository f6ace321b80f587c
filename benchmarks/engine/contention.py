"""Many workers of one slot on one queue, beside one with as many slots; tasks sleep for a
millisecond, so that more of them than processors run at once.

``python -m benchmarks.engine.contention`` prints how long the lock is held as workers get more.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..harness import MARK, Figure, Outcome, at_least, at_most, column, processor_time, ratios
from . import manager, warm, working

SOURCE = 'benchmarks.engine.contention'  # this module, also where it is the main one
METERS = '{}.waits'  # folder of the workers' notes, beside the queue


def nap(i: int) -> int:
    """Return ``i`` after a millisecond."""
    time.sleep(0.001)
    return i


class Taking(NamedTuple):
    """Lock of a queue taken once by a worker that writes to the journal."""

    began: float
    waited: float
    """Seconds until it had it, without those for which it folded, or was ready to."""
    held: float
    """Processor time for which it held it, seconds."""


def _ready_s() -> float:
    """Return the seconds for which this thread had a processor, or waited for one."""
    # Of 64 workers on a few processors each waits for these most of the time, with or without a
    # lock.
    on_processor, in_line, _ = Path('/proc/thread-self/schedstat').read_text().split()
    return (int(on_processor) + int(in_line)) * 1e-9


def work(path: str, **options: Any) -> None:
    """Run a worker; note how long it waited for the queue's lock each time, and held it."""
    import desipipe
    from desipipe.store.journal import Journal

    takings: list[Taking] = []
    acquire, write = Journal._acquire, Journal._write_locked
    pending = [(0.0, 0.0)]

    def timed(journal: Journal, *args: Any) -> None:
        began, ready = time.monotonic(), _ready_s()
        acquire(journal, *args)
        pending[0] = began, max(0.0, time.monotonic() - began - (_ready_s() - ready))

    def timed_write(journal: Journal, *args: Any) -> Any:
        processor = time.thread_time()
        try:
            return write(journal, *args)
        finally:
            takings.append(Taking(*pending[0], time.thread_time() - processor))

    Journal._acquire, Journal._write_locked = timed, timed_write  # type: ignore[method-assign]
    try:
        desipipe.work(path, **options)
    finally:
        Path(METERS.format(path), f'{os.getpid():d}.json').write_text(json.dumps(takings))


def _bag(folder: Path, key: str, tasks: int, workers: int, slots: int) -> dict[str, float]:
    """Return the rate of a bag, its processor time a task, and the share of lock waits."""
    tm = manager(folder, key)
    meters = Path(METERS.format(folder / key))
    meters.mkdir()
    with working(folder, key, workers=workers, slots=slots, source=SOURCE):
        warm(tm, workers * slots)
        before, start = processor_time(), time.monotonic()
        results = [future.result() for future in tm.python_app(nap).map(i=range(tasks))]
        seconds, processor = time.monotonic() - start, processor_time() - before
    if results != list(range(tasks)):
        raise AssertionError('wrong results')
    notes = [
        Taking(*taking) for file in meters.iterdir() for taking in json.loads(file.read_text())
    ]
    notes = [taking for taking in notes if start <= taking.began <= start + seconds]
    return {
        key: tasks / seconds,
        f'{key}_processor': processor / tasks,
        f'{key}_waits': sum(taking.waited for taking in notes) / (seconds * workers),
        f'{key}_held': sum(taking.held for taking in notes) / max(1, len(notes)),
        f'{key}_locks': len(notes),
    }


def measure(folder: Path, tasks: int, workers: int, turn: int) -> dict[str, float]:
    """Return rates, processor time and lock waits of ``many`` workers, of a quarter of them, and of
    ``one``; which one comes first changes with ``turn``.
    """
    sizes = {'many': (workers, 1), 'one': (1, workers), 'quarter': (workers // 4, 1)}
    values: dict[str, float] = {}
    for key in ('many', 'one', 'quarter') if turn % 2 else ('one', 'many', 'quarter'):
        values |= _bag(folder, key, tasks, *sizes[key])
    return values


def figures(rounds: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of contention."""
    many, one = '64 workers of one slot', 'one worker of 64 slots'
    text = f'{many}: part of the rate of one worker of 64'
    return [
        Figure('contention', text, ratios(rounds, 'many', 'one'), 'x', at_least(0.6)),
        Figure(
            'contention.waits',
            f'{many}: part of their time for which they wait for the lock',
            column(rounds, 'many_waits', 100),
            '%',
            at_most(5),
        ),
        Figure('contention.many', f'{many}, tasks of 1 ms', column(rounds, 'many'), 'tasks/s'),
        Figure('contention.one', f'{one}, tasks of 1 ms', column(rounds, 'one'), 'tasks/s'),
        Figure(
            'contention.processor',
            f'{many}: processor time a task, beside {one}',
            ratios(rounds, 'many_processor', 'one_processor'),
            'x',
        ),
        Figure(
            'contention.held',
            f'{many}: processor time for which one holds the lock, beside 16 workers',
            ratios(rounds, 'many_held', 'quarter_held'),
            'x',
            at_most(2),
        ),
        Figure(
            'contention.locks',
            f'{many}: times that the lock is taken for the bag',
            column(rounds, 'many_locks'),
            'times',
        ),
    ]


def main() -> int:
    """Print what workers of one slot do with the lock, for several numbers of them."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.engine.contention', description=main.__doc__
    )
    parser.add_argument('--workers', type=int, nargs='+', default=[4, 8, 16, 32, 64])
    parser.add_argument('--tasks', type=int, default=20_000)
    args = parser.parse_args()
    os.environ[MARK] = f'contention-{os.getpid():d}'
    print('| workers | tasks/s | µs/task | times locked | held, µs each | µs/task | waits |')
    print('|---|---|---|---|---|---|---|')
    for workers in args.workers:
        with tempfile.TemporaryDirectory(prefix='desipipe-contention-') as folder:
            values = _bag(Path(folder), 'many', args.tasks, workers, 1)
        held, locks = values['many_held'] * 1e6, values['many_locks']
        print(
            f'| {workers:d} | {values["many"]:,.0f} | {values["many_processor"] * 1e6:.0f} '
            f'| {locks:.0f} | {held:.0f} | {held * locks / args.tasks:.1f} '
            f'| {values["many_waits"]:.1%} |',
            flush=True,
        )
    return 0


if __name__ == '__main__':
    sys.exit(main())
