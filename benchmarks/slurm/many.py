"""Minutes of a manager with hundreds of jobs: how often it asks Slurm anything.

Each job runs one task and ends, so that jobs wait, begin and end all the time; as many run at once
as the nodes of the test cluster have processors.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..harness import Figure, Outcome, at_least, at_most, column
from .cluster import STEP, left_out, running

CPUS = 8  # of each of the two nodes


def measure(folder: Path, jobs: int, seconds: float) -> dict[str, float]:
    """Return numbers of calls and seconds.

    Parameters
    ----------
    folder : Path
    jobs : int
        How many, with a task each.
    seconds : float
        How long a task sleeps.
    """
    from desipipe import Queue, TaskManager

    with running(folder, CPUS) as calls:
        queue = Queue('many', base_dir=folder)
        tm = TaskManager(
            queue,
            scheduler={'max_workers': jobs},
            provider={'provider': 'slurm', 'time': '30', 'stop_after': 1},
        )

        @tm.python_app
        def wait(i: int, seconds: float) -> int:
            import time

            time.sleep(seconds)
            return i

        futures = wait.map(i=range(jobs), seconds=[seconds])
        calls()
        began = time.time()
        with subprocess.Popen(
            [sys.executable, '-m', 'desipipe', 'spawn', '-q', queue.folder],
            stderr=subprocess.DEVNULL,
        ) as process:
            wrong = [
                i
                for i, future in enumerate(futures)
                if future.result(timeout=jobs * seconds + 600) != i
            ]
            process.wait(120)
        ran = time.time() - began
        noted = calls()
    if wrong:
        raise RuntimeError(f'{len(wrong):d} of {jobs:d} results are wrong')
    queue.ledger.follow()
    asked = sorted(call.began for call in noted if call.name == 'squeue')
    counts = Counter(call.name for call in noted)
    return {
        'ran': ran,
        'jobs': len({worker.job for worker in queue.ledger.state.workers.values()}),
        'a_step': len(asked) / (1 + ran // STEP),
        'gap': min(
            (later - before for before, later in zip(asked, asked[1:], strict=False)), default=ran
        ),
        'questions': sum(
            counts[name] for name in ('squeue', 'sacct', 'scontrol', 'sinfo', 'sacctmgr')
        ),
        'submissions': counts['sbatch'],
        'cancellations': counts['scancel'],
    }


def figures(outcomes: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of these rounds."""
    note = left_out()
    if outcomes and 'ran' in outcomes[0].values:
        values = outcomes[0].values
        note = f'{values["jobs"]:.0f} jobs in {values["ran"]:.0f} s'
    return [
        Figure(
            'slurm.many.a_step',
            'Slurm, hundreds of jobs: squeue a time step of 10 s',
            column(outcomes, 'a_step'),
            '',
            at_most(1.0),
            note,
        ),
        # Two hundredths are what starting a process may vary by.
        Figure(
            'slurm.many.gap',
            'Slurm, hundreds of jobs: the least time between two squeue',
            column(outcomes, 'gap'),
            's',
            at_least(0.98 * STEP),
            note,
        ),
        Figure(
            'slurm.many.questions',
            'Slurm, hundreds of jobs: all questions (squeue, sacct, scontrol)',
            column(outcomes, 'questions'),
            '',
            note=note,
        ),
        Figure(
            'slurm.many.submissions',
            'Slurm, hundreds of jobs: sbatch',
            column(outcomes, 'submissions'),
            '',
            note=note,
        ),
        Figure(
            'slurm.many.cancellations',
            'Slurm, hundreds of jobs: scancel',
            column(outcomes, 'cancellations'),
            '',
            note=note,
        ),
    ]
