"""Many short tasks through a few one-core jobs of a real Slurm, beside others; how soon the first
one runs; how often Slurm is asked.

The cluster is that of the tests: two nodes of four processors, all on this machine, so that
everything shares its processors.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ..harness import Figure, Outcome, at_most, below, column
from .cluster import STEP, Calls, left_out, running
from .peers import JOBS, PEERS

OPTIONS = {'provider': 'slurm', 'time': '10'}
TURNS = 5


def _spawn(folder: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, '-m', 'desipipe', 'spawn', '-q', folder], stderr=subprocess.DEVNULL
    )


def _accepted(calls: Calls) -> float:
    return min(call.ended for call in calls() if call.name == 'sbatch')


def _true(folder: Path, calls: Calls) -> float:
    """Seconds from `sbatch` accepted to the first line of a job that does nothing."""
    script, mark = folder / 'true.sh', folder / 'true'
    mark.unlink(missing_ok=True)
    script.write_text(
        f'#!/bin/bash\n#SBATCH --output=/dev/null --time=1\necho $EPOCHREALTIME > {mark}.new\nmv '
        f'{mark}.new {mark}\n'
    )
    calls()
    subprocess.run(['sbatch', str(script)], check=True, stdout=subprocess.DEVNULL)
    accepted = _accepted(calls)
    while not mark.exists():
        time.sleep(0.01)
    return float(mark.read_text()) - accepted


def _first(folder: Path, calls: Calls, jobs: int, turn: int) -> tuple[float, float]:
    """Seconds to the first task: from the first line of the first job's script on, and from
    `sbatch` accepted on.
    """
    from desipipe import Queue, TaskManager

    queue = Queue(f'first-{jobs:d}-{turn:d}', base_dir=folder)
    begun = folder / f'begun-{jobs:d}-{turn:d}'
    tm = TaskManager(
        queue,
        environ={'command': f'echo $EPOCHREALTIME >> {begun}'},
        scheduler={'max_workers': jobs},
        provider=OPTIONS,
    )

    @tm.python_app
    def look(i: int) -> float:
        import time

        return time.time()

    futures = look.map(i=range(jobs))
    calls()
    with _spawn(queue.folder) as process:
        when = min(future.result(timeout=60) for future in futures)
        process.wait(60)
    return when - min(map(float, begun.read_text().split())), when - _accepted(calls)


def _desipipe(folder: Path, tasks: int, calls: Calls) -> dict[str, float]:
    from desipipe import Queue, TaskManager

    queue = Queue('short', base_dir=folder)
    tm = TaskManager(queue, scheduler={'max_workers': JOBS}, provider=OPTIONS)

    @tm.python_app
    def short(i: int) -> float:
        import time

        return time.time()

    futures = short.map(i=range(tasks))
    calls()
    began = time.time()
    with _spawn(queue.folder) as process:
        for future in futures:
            future.result(timeout=200)
        took = time.time() - began
        process.wait(60)
    ran = time.time() - began
    names = [call.name for call in calls()]
    return {
        'rate': tasks / took,
        'took': took,
        'submissions': names.count('sbatch'),
        'questions_a_step': names.count('squeue') / (1 + ran // STEP),
    }


def measure(folder: Path, tasks: int) -> dict[str, float]:
    """Return rates in tasks per second, seconds, and numbers of calls."""
    values: dict[str, float] = {}
    with running(folder) as calls:
        # Slurm begins jobs once a second or so, and each waits for another part of that: in turns,
        # and the median.
        idle = statistics.median(_true(folder, calls) for _ in range(TURNS))
        for name, jobs in (('first', 1), ('first_of_all', JOBS)):
            turns = [_first(folder, calls, jobs, turn) for turn in range(TURNS)]
            values[name] = statistics.median(begun for begun, _ in turns)
            values[f'{name}_over_true'] = (
                statistics.median(accepted for _, accepted in turns) - idle
            )
        values |= _desipipe(folder, tasks, calls)
        for name, peer in PEERS.items():
            calls()
            try:
                values[name] = peer.run(folder, tasks)
            except ModuleNotFoundError as exc:
                print(f'not installed: pip install "{peer.distribution}" ({exc})', file=sys.stderr)
                continue
            values[f'{name}_calls'] = len(calls())
    return values


def figures(outcomes: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of these rounds."""
    note = left_out()
    found = [
        Figure(
            'slurm.rate',
            f'Slurm: short tasks through {JOBS} one-core jobs, from spawn to the last result',
            column(outcomes, 'rate'),
            'tasks/s',
            note=note,
        ),
        Figure(
            'slurm.first',
            'Slurm: from the begin of a job to its first task',
            column(outcomes, 'first'),
            's',
            at_most(0.5),
            note,
        ),
        Figure(
            'slurm.first_over_true',
            'Slurm: sbatch to the first task, over sbatch of true',
            column(outcomes, 'first_over_true'),
            's',
            at_most(0.5),
            note,
        ),
    ]
    crowd = f'{JOBS} jobs at once on {len(os.sched_getaffinity(0))} processors'
    for key, words in (
        ('first_of_all', 'from the first job’s begin to the first task'),
        ('first_of_all_over_true', 'sbatch to the first task, over sbatch of true'),
    ):
        found.append(
            Figure(
                f'slurm.{key}', f'Slurm: {words}, {crowd}', column(outcomes, key), 's', note=note
            )
        )
    found += [
        Figure(
            'slurm.questions',
            'Slurm: squeue a time step of 10 s',
            column(outcomes, 'questions_a_step'),
            '',
            at_most(1.0),
            note,
        ),
        Figure(
            'slurm.submissions',
            'Slurm: calls of sbatch',
            column(outcomes, 'submissions'),
            '',
            note=note,
        ),
    ]
    for name, peer in PEERS.items():
        there = [outcome for outcome in outcomes if name in outcome.values]
        slower = [outcome.values[name] / outcome.values['rate'] for outcome in there]
        how = (
            (
                f'{statistics.median(column(there, name)):.1f} tasks/s, '
                f'{statistics.median(column(there, f"{name}_calls")):.0f} calls of Slurm'
            )
            if there
            else ''
        )
        found.append(
            Figure(
                f'slurm.vs.{name}',
                f'{peer.words}: its rate in units of ours',
                slower,
                'x',
                below(1.0),
                how or note or f'pip install {peer.distribution}',
            )
        )
    return found
