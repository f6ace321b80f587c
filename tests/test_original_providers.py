"""Providers and schedulers as scripts of the original write them."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from desipipe import Environment, Provider, Queue, Scheduler, TaskManager, spawn
from desipipe.errors import ConfigError, LaunchError
from desipipe.provider import (
    BaseProvider,
    LocalProvider,
    NERSCProvider,
    SlurmProvider,
    decode_slurm_time,
)
from desipipe.provider.slurm_script import make_output_folders
from desipipe.scheduler import BaseScheduler, SimpleScheduler


class Subprocesses(BaseProvider):
    """A provider of the original's interface."""

    name = 'subprocesses'
    _defaults = {**BaseProvider._defaults, 'niceness': 1}
    started: list[subprocess.Popen[bytes]] = []
    niceness: int

    def __call__(self, cmd: str, workers: int = 1) -> None:
        environ = {**os.environ, **self.environ.to_dict(all=True)}  # type: ignore[attr-defined]
        for _ in range(workers):
            self.started.append(
                subprocess.Popen(shlex.split(cmd), env=environ, start_new_session=True)
            )

    def nworkers(self, of: str = 'workers', state: Any = ('PENDING', 'RUNNING')) -> int:
        return sum(process.poll() is None for process in self.started)


class OneByOne(BaseScheduler):
    """A scheduler of the original's interface."""

    name = 'one-by-one'
    _defaults = dict(max_workers=1)

    def __call__(self, cmd: str, ntasks: int | None = None) -> int:
        free = self.max_workers - self.provider.nworkers()  # type: ignore[attr-defined]
        n = min(ntasks or free, free)
        for _ in range(n):
            self.provider(cmd, workers=1)  # type: ignore[attr-defined]
        return n


@pytest.mark.parametrize('named', ['module', 'script'])
def test_own_ones_of_the_original_run_tasks(
    queue_dir: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    provider, scheduler = (
        Provider('subprocesses', niceness=3),
        Scheduler('one-by-one', max_workers=2),
    )
    assert (provider.niceness, scheduler.max_workers) == (3, 2)  # type: ignore[attr-defined]
    assert (
        scheduler.wanted(5, 0),
        scheduler.wanted(1, 1),
        scheduler.wanted(3, 2),
        scheduler.wanted(0, 0),
    ) == (2, 2, 2, 0)
    queue = Queue('test')
    if named == 'module':
        monkeypatch.setenv('PYTHONPATH', os.path.dirname(__file__))
    else:  # as a class of the script itself, which no other process can import
        monkeypatch.setattr(Subprocesses, '__module__', '__main__')
    tm = TaskManager(queue, scheduler=scheduler, provider=provider)

    @tm.python_app
    def double(i: int) -> int:
        return 2 * i

    futures = [double(i) for i in range(3)]
    spawn(queue, timestep=0.3, timeout=60)
    assert [future.result(timeout=60) for future in futures] == [0, 2, 4]
    for process in Subprocesses.started:
        process.wait(timeout=60)


class Counted(BaseProvider):
    """A provider of the original's interface that counts what a test says."""

    name = 'counted'
    visible = 0

    def __call__(self, cmd: str, workers: int = 1) -> None:
        pass

    def nworkers(self, of: str = 'workers', state: Any = ('PENDING', 'RUNNING')) -> int:
        return self.visible


def test_jobs_end_once_they_were_counted_and_are_no_longer() -> None:
    provider = Counted()
    for slots in (2, 1):
        provider.launch(['desipipe', 'work'], slots, Environment('base'), '', '')

    def states(visible: int) -> list[str]:
        provider.visible = visible
        return [job.state for job in provider.poll()]

    assert states(0) == ['running', 'running']  # the batch system does not list them yet
    assert states(2) == states(0) == ['running', 'running']  # one of the two at most
    assert states(3) == states(1) == ['running', 'running']
    assert states(0) == ['ended', 'ended'] and states(0) == []


@pytest.mark.parametrize('constraint', ['gpu', 'gpu&hbm80g', 'gpu&hbm40g'])
def test_gpus_at_nersc(constraint: str) -> None:
    provider = NERSCProvider(constraint=constraint, account='desi')
    assert (provider.account, provider.kwargs['gpus-per-node']) == ('desi_g', 4)
    assert NERSCProvider(
        constraint=constraint, account='desi_g', kwargs={'gpus-per-node': 1}
    ).kwargs == {'gpus-per-node': 1}
    assert NERSCProvider(constraint='cpu').account == 'desi'


def test_numbers_are_converted(tmp_path: Path) -> None:
    provider = SlurmProvider(
        mpiprocs_per_worker='8',
        nodes_per_worker='0.5',
        stop_after=2.0,
        output=tmp_path / 'slurm-%j.out',
        timestep='3',
    )
    assert (
        provider.mpiprocs_per_worker,
        provider.nodes_per_worker,
        provider.stop_after,
        provider.timestep,
    ) == (8, 0.5, 2, 3.0)
    assert provider.output == f'{tmp_path}/slurm-%j.out'
    assert LocalProvider(mpiprocs_per_worker=8.0, stop_after='3', timestep=1).stop_after == 3
    assert Scheduler(max_workers='4').max_workers == 4  # type: ignore[attr-defined]
    for wrong in ('four', '1.5', 0.5, True, 'inf'):
        with pytest.raises(ConfigError, match='must be a whole number'):
            LocalProvider(mpiprocs_per_worker=wrong)


def test_nodes_and_costs() -> None:
    provider = Provider('nersc', time='01:00:00')
    assert (provider.nodes(workers=3), provider.cost(workers=3), provider.timeout) == (3, 2, 3630.0)  # type: ignore[attr-defined]
    assert NERSCProvider(nodes_per_worker=1.5).nodes_per_worker == 1.5
    assert NERSCProvider(mpiprocs_per_worker=200).nodes_per_worker == 1.5625
    assert (
        NERSCProvider(mpiprocs_per_worker=200).nodes(2) == 4
    )  # each of them has its nodes for itself


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('02:51:20', (0, 2, 51, 20)),
        ('30', (0, 0, 30, 0)),
        ('30:10', (0, 0, 30, 10)),
        ('1-12', (1, 12, 0, 0)),
        ('1-12:30', (1, 12, 30, 0)),
        ('0-01:00:00', (0, 1, 0, 0)),
    ],
)
def test_decode_slurm_time(text: str, expected: tuple[int, ...]) -> None:
    assert decode_slurm_time(text) == expected
    with pytest.raises(ValueError, match='is no time span'):
        decode_slurm_time(f'{text}:x')


@pytest.mark.parametrize('base', [SlurmProvider, NERSCProvider, LocalProvider])
def test_own_call_of_a_subclass_starts_workers(base: type[BaseProvider], tmp_path: Path) -> None:
    calls: list[tuple[str, int]] = []

    class Called(base):  # type: ignore[misc, valid-type]
        name = 'called'
        _defaults = {**base._defaults, 'partition': 'short'}

        def __call__(self, cmd: str, workers: int = 1) -> None:
            calls.append((cmd, workers))

        def update(self, **kwargs: Any) -> None:
            super().update(**kwargs)
            self.updated_with = set(kwargs)

        def nworkers(self, of: str = 'workers', state: Any = ('PENDING', 'RUNNING')) -> int:
            return len(calls)

    provider = Called(partition='long', environ={'A': '1'})
    assert (provider.partition, provider.environ['A']) == ('long', '1')
    assert provider.updated_with == {'environ', 'partition'}
    (job,) = provider.launch(
        ['desipipe', 'work'], 3, Environment({'B': '2'}), str(tmp_path / 'log'), str(tmp_path)
    )
    assert calls == [(f'desipipe work --slots 1 --jobid {job.jobid}', 3)] and dict(
        provider.environ
    ) == {'B': '2'}
    assert [expected.jobid for expected in provider.poll()] == [job.jobid]
    assert not provider.batch and provider.settled and provider.to_spec()['partition'] == 'long'


def test_own_call_of_a_scheduler_decides() -> None:
    class Halved(SimpleScheduler):
        name = 'halved'

        def __call__(self, cmd: str, ntasks: int | None = None) -> int:
            return super().__call__(cmd, ntasks=(ntasks or 0) // 2)

    assert [
        Halved(max_workers=4).wanted(*numbers) for numbers in ((6, 0), (10, 0), (2, 3), (0, 1))
    ] == [3, 4, 4, 1]


def test_folders_of_outputs_are_made(tmp_path: Path) -> None:
    provider = SlurmProvider(output='logs/a/slurm-%j.out', error='%u/slurm-%j.err')
    make_output_folders(provider, str(tmp_path))
    assert (tmp_path / 'logs' / 'a').is_dir() and os.listdir(tmp_path) == ['logs']
    (tmp_path / 'file').touch()
    with pytest.raises(
        LaunchError, match='cannot be made: File exists. The tasks wait. Make it: mkdir -p'
    ):
        make_output_folders(SlurmProvider(output='file/slurm-%j.out'), str(tmp_path))
