"""Many short tasks through a few one-core jobs of a real Slurm, beside Parsl and submitit; how soon the first one runs; how often Slurm is asked.

The cluster is that of the tests: two nodes of four processors, all on this machine, so that everything shares its processors.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.slurm.cluster import ACCOUNTING, Slurm, missing

from ..harness import Figure, Outcome, at_most, below, column

JOBS = 8
STEP = 10.0  # s, as spawn has it without options
COMMANDS = ('sbatch', 'squeue', 'sacct', 'scancel', 'scontrol', 'sinfo', 'sacctmgr')
PEERS = {'parsl': 'Parsl, HighThroughputExecutor over SlurmProvider', 'submitit': 'submitit, job arrays (a job for each task: fewer tasks)'}


def _count_calls(folder: Path) -> Callable[[], list[tuple[float, float, str]]]:
    """Put commands on the PATH that note when they began and came back; returns who reads the notes."""
    notes = folder / 'calls'
    (folder / 'bin').mkdir()
    for name in COMMANDS:
        path = shutil.which(name)
        words = f'#!/bin/bash\nbegan=$EPOCHREALTIME\n{path} "$@"\nstatus=$?\necho "$began $EPOCHREALTIME {name}" >> {notes}\nexit $status\n'
        (folder / 'bin' / name).write_text(words)
        (folder / 'bin' / name).chmod(0o755)
    os.environ['PATH'] = f'{folder}/bin{os.pathsep}{os.environ["PATH"]}'

    def read() -> list[tuple[float, float, str]]:
        rows = [line.split() for line in notes.read_text().splitlines()] if notes.exists() else []
        notes.unlink(missing_ok=True)
        return [(float(began), float(ended), name) for began, ended, name in rows]

    return read


def _first(folder: Path) -> float:
    """Seconds from the first line of a job's script to its first task: what a job takes longer than one that runs nothing but `true`."""
    from desipipe import Queue, TaskManager

    found = []
    for i in range(5):
        queue = Queue(f'first-{i:d}', base_dir=folder)
        # Not from `sbatch`: Slurm begins jobs once a second or so, and each waits for another part of that.
        environ = {'command': f'echo $EPOCHREALTIME >> {folder}/begun-{i:d}'}
        tm = TaskManager(queue, environ=environ, scheduler={'max_workers': 1}, provider={'provider': 'slurm', 'time': '10'})

        @tm.python_app
        def look() -> float:
            import time

            return time.time()

        future = look()
        with subprocess.Popen([sys.executable, '-m', 'desipipe', 'spawn', '-q', queue.folder], stderr=subprocess.DEVNULL) as process:
            when = future.result(timeout=60)
            process.wait(60)
        found.append(when - max(float(line) for line in (folder / f'begun-{i:d}').read_text().split() if float(line) < when))
    return statistics.median(found)


def _desipipe(folder: Path, tasks: int, calls: Callable[[], list[tuple[float, float, str]]]) -> dict[str, float]:
    from desipipe import Queue, TaskManager

    queue = Queue('short', base_dir=folder)
    tm = TaskManager(queue, scheduler={'max_workers': JOBS}, provider={'provider': 'slurm', 'time': '10'})

    @tm.python_app
    def short(i: int) -> float:
        import time

        return time.time()

    futures = short.map(i=range(tasks))
    calls()
    began = time.time()
    with subprocess.Popen([sys.executable, '-m', 'desipipe', 'spawn', '-q', queue.folder], stderr=subprocess.DEVNULL) as process:
        when = [future.result(timeout=200) for future in futures]
        took = time.time() - began
        process.wait(60)
    ran = time.time() - began
    noted = calls()
    accepted = min(ended for _, ended, name in noted if name == 'sbatch')
    asked = [name for _, _, name in noted if name in ('squeue', 'sacct', 'scontrol', 'sinfo')]
    return {
        'rate': tasks / took,
        'took': took,
        'first_of_all': min(when) - accepted,
        'submissions': sum(name == 'sbatch' for _, _, name in noted),
        'questions': len(asked),
        'questions_a_step': asked.count('squeue') / (1 + ran // STEP),
    }


def _parsl(folder: Path, tasks: int) -> float:
    import parsl
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.launchers import SimpleLauncher
    from parsl.providers import SlurmProvider

    one = {'nodes_per_block': 1, 'cores_per_node': 1, 'init_blocks': JOBS, 'min_blocks': JOBS, 'max_blocks': JOBS}
    provider = SlurmProvider(
        partition='regular', walltime='00:10:00', exclusive=False, launcher=SimpleLauncher(), worker_init=f'export PATH={os.environ["PATH"]}', **one
    )
    executor = HighThroughputExecutor(label='slurm', address='127.0.0.1', max_workers_per_node=1, cores_per_worker=1, provider=provider)

    def short(i: int) -> float:
        import time

        return time.time()

    began = time.time()
    with parsl.load(Config(executors=[executor], run_dir=str(folder / 'parsl'), strategy='none')):
        app = parsl.python_app(short)
        for future in [app(i) for i in range(tasks)]:
            future.result(timeout=200)
        took = time.time() - began
    return tasks / took


def _submitit(folder: Path, tasks: int) -> float:
    import submitit

    executor = submitit.AutoExecutor(folder / 'submitit', cluster='slurm')
    executor.update_parameters(timeout_min=10, slurm_partition='regular', slurm_array_parallelism=JOBS, cpus_per_task=1, slurm_mem='150M')
    began = time.time()
    for job in executor.map_array(float, range(tasks // 20)):
        job.result()
    return tasks // 20 / (time.time() - began)


def measure(folder: Path, tasks: int) -> dict[str, float]:
    """Return rates in tasks per second, seconds, and numbers of calls; nothing where there can be no Slurm."""
    if reason := missing(*ACCOUNTING):
        print(f'no Slurm here, so that nothing was measured: {reason}', file=sys.stderr)
        return {}
    base = folder / 's'
    base.mkdir()
    slurm = Slurm(base, cpus=4)
    try:
        slurm.start()
        os.environ |= slurm.environ
        calls = _count_calls(folder)
        values = {'first': _first(folder), **_desipipe(folder, tasks, calls)}
        for name, peer in (('parsl', _parsl), ('submitit', _submitit)):
            calls()
            try:
                values[name] = peer(folder, tasks)
            except ModuleNotFoundError:
                print(f'not installed: pip install {name}', file=sys.stderr)
                continue
            values[f'{name}_calls'] = len(calls())
        return values
    finally:
        slurm.stop()


def figures(outcomes: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of these rounds."""
    note = missing(*ACCOUNTING)
    found = [
        Figure('slurm.rate', f'Slurm: short tasks through {JOBS} one-core jobs, from spawn to the last result', column(outcomes, 'rate'), 'tasks/s', note=note),
        Figure('slurm.first', 'Slurm: from the begin of a job to its first task', column(outcomes, 'first'), 's', at_most(0.5), note),
        Figure('slurm.first_of_all', f'Slurm: from sbatch accepted to the first task of {JOBS} jobs at once', column(outcomes, 'first_of_all'), 's', note=note),
        Figure('slurm.questions', 'Slurm: squeue a time step of 10 s', column(outcomes, 'questions_a_step'), '', at_most(1.0), note),
        Figure('slurm.submissions', 'Slurm: calls of sbatch', column(outcomes, 'submissions'), '', note=note),
    ]
    for name, words in PEERS.items():
        there = [outcome for outcome in outcomes if name in outcome.values]
        slower = [outcome.values[name] / outcome.values['rate'] for outcome in there]
        how = f'{statistics.median(column(there, name)):.0f} tasks/s, {statistics.median(column(there, f"{name}_calls")):.0f} calls of Slurm' if there else ''
        found.append(Figure(f'slurm.vs.{name}', f'{words}: its rate in units of ours', slower, 'x', below(1.0), how or note or f'pip install {name}'))
    return found
