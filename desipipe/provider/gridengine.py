"""Workers in jobs of Grid Engine."""

from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from ..environment import BaseEnvironment
from ..errors import ConfigError, LaunchError
from .base import BaseProvider, Job, Told
from .batch import BatchProvider
from .batch_commands import SUBMIT_WAIT, run
from .gridengine_jobs import JobList, qstat
from .gridengine_states import hopeless, is_gone, number_of, parse_qstat, parse_submitted
from .job import Fate
from .script_file import save_script
from .slurm_checks import check_time
from .slurm_time import parse_time

__all__ = ['GridEngineProvider']

ARRAY_MOST = 1000  # elements; below the usual max_aj_tasks
_ASK_WAIT_S = 3.0  # for an answer to a worker that is being ended
_FINAL = (
    'unknown', 'invalid', 'no suitable queues', 'not allowed to run in any queue',
    'does not exist', 'illegal', 'error parsing', 'requires an argument', 'denied: host',
)  # fmt: skip
"""Texts, in lower case, of refusals that stay until someone changes the provider's options.

Every other refusal may pass.
"""
_RESERVED = frozenset({'N', 'S', 't', 'terse', 'sync', 'notify', 'r', 'wd', 'cwd', 'o', 'e', 'j'})


class GridEngineProvider(BatchProvider):
    """Workers in jobs of Grid Engine, one slot each; many jobs are one array.

    Parameters
    ----------
    time : str, default='01:00:00'
        Time limit of a job (``h_rt``), as for Slurm: ``'30'`` (minutes), ``'1:30:00'``.
    queue : str, default=None
        Queue, or queues; None: those that fit.
    project : str, default=None
        Project that pays; None: the user's default.
    pe : str, default=None
        Parallel environment, needed where tasks have several MPI processes.
    mpiprocs_per_worker : int, default=1
        Number of MPI processes that run a task together.
    mpiexec : str, default='mpiexec -np {mpiprocs:d} {cmd}'
        Launcher of several MPI processes, see :class:`.BaseProvider`.
    killed_at_timeout : bool, default=None
        As for :class:`.SlurmProvider`.
    stop_after : int, default=None
        Number of tasks after which a slot ends.
    kwargs : dict, default=None
        Further options of ``qsub``: ``{'l': 'h_vmem=4G', 'm': 'n'}``.
    """

    name = 'gridengine'
    defaults: ClassVar[Mapping[str, Any]] = {
        **BaseProvider.defaults,
        'time': '01:00:00',
        **dict.fromkeys(('queue', 'project', 'pe', 'killed_at_timeout', 'kwargs')),
    }
    time: str
    queue: str | None
    project: str | None
    pe: str | None
    kwargs: dict[str, Any] | None
    _tracker: JobList

    def __init__(self, environ: Any = None, **options: Any) -> None:
        super().__init__(environ, **options)
        if self.mpiprocs_per_worker > 1 and self.pe is None:
            raise ConfigError(
                f'The provider {self.label} needs the name of a parallel environment for tasks of '
                f'{self.mpiprocs_per_worker:d} MPI processes: give pe=, one of qconf -spl.'
            )
        self._tracker = JobList(self, self.walltime)

    def check(self, option: str, value: Any) -> Any:
        """Check the options; see :meth:`.Configurable.check`."""
        what = f'{option} of the {self.kind} {self.label}'
        if option == 'time':
            return check_time(value, what)
        if option == 'kwargs':
            reserved = sorted(_RESERVED & {name.lstrip('-') for name in value or {}})
            if reserved:
                raise ConfigError(f'{what} has -{reserved[0]}, which desipipe sets by itself.')
        elif option in ('queue', 'project', 'pe') and value is not None:
            if not isinstance(value, str) or '\n' in value:
                raise ConfigError(f'{what} must be text or None, not {value!r}.')
        return super().check(option, value)

    @property
    def walltime(self) -> int:
        """Time limit of a job, in seconds."""
        return parse_time(self.time)

    @property
    def timeout(self) -> float:
        """Time limit of a job, in seconds, and half a minute."""
        return self.walltime + 30.0

    # Submitting

    def launch(
        self, argv: list[str], slots: int, environ: BaseEnvironment, log: str, cwd: str
    ) -> list[Job]:
        """Submit jobs; see :meth:`.BaseProvider.launch`.

        Raises
        ------
        LaunchError
            Grid Engine accepted nothing, and what it said.
        """
        self._prepare_launch(slots, log, cwd)
        text = self.script(argv, environ, log, cwd)
        script = save_script(text, os.path.dirname(log), self._tracker.name)
        jobs: list[Job] = []
        try:
            while len(jobs) < slots:
                jobs += self._submit(script, min(slots - len(jobs), ARRAY_MOST))
        except LaunchError:
            if not jobs:
                raise
        return jobs

    def script(self, argv: list[str], environ: BaseEnvironment, log: str, cwd: str) -> str:
        """Return the script of a job, with all options of ``qsub`` in it."""
        lines = [
            '#!/bin/bash',
            '# A worker, written by desipipe. To start such a job by hand: '
            f'qsub {shlex.quote(self._tracker.name)}-….sh',
            *(f'#$ -{option}' for option in self._options()),
            # Not by options of qsub, where a colon or a dollar sign of a path would mean something.
            f'exec >>{shlex.quote(log)} 2>&1',
            f'cd {shlex.quote(cwd)} || exit',
            "printf -v desipipe_now '%(%s)T' -1",
            f'export DESIPIPE_JOB_END=$((desipipe_now + {self.walltime:d}))',
            'export DESIPIPE_JOB=sge:$JOB_ID',
            '[[ ! $SGE_TASK_ID =~ ^[0-9]+$ ]] || DESIPIPE_JOB+=.$SGE_TASK_ID',
            environ.to_launch_script().rstrip('\n'),
            f'exec {shlex.join(argv)} --jobid "$DESIPIPE_JOB" --slots 1',
        ]
        return '\n'.join(line for line in lines if line) + '\n'

    def _options(self) -> Iterator[str]:
        yield from ('S /bin/bash', 'V', 'notify', 'r n', 'j y', 'o /dev/null')
        yield f'l h_rt={self.walltime:d}'
        for letter, value in (('q', self.queue), ('P', self.project)):
            if value is not None:
                yield f'{letter} {value}'
        if self.mpiprocs_per_worker > 1:
            yield f'pe {self.pe} {self.mpiprocs_per_worker:d}'
        for option, value in (self.kwargs or {}).items():
            if value is not None and value is not False:
                yield option.lstrip('-') + ('' if value is True else f' {value}')

    def _submit(self, script: str, count: int) -> list[Job]:
        # A name that no other submission has: by it the job is found if qsub does not say.
        name = f'{self._tracker.name}.1.{os.urandom(4).hex()}'
        self.note_submission(name, count)
        array = ['-t', f'1-{count:d}'] if count > 1 else []
        try:
            done = run(['qsub', '-terse', *array, '-N', name, script], SUBMIT_WAIT)
        except subprocess.TimeoutExpired:
            self._tracker.doubt(name, count)
            raise LaunchError(
                f'There was no answer to qsub within {SUBMIT_WAIT:g} s. The job may have been '
                'submitted all the same: it is looked for by its name before another one is '
                'submitted, and the tasks wait.',
                later=True,
            ) from None
        except LaunchError:
            self._tracker.explain(name)  # nothing was started
            raise
        jobs = [Job(jobid, 1, 'pending') for jobid in parse_submitted(done.stdout)]
        self._tracker.explain(name)
        if not jobs:
            raise _refused(' '.join((done.stderr or done.stdout).split()), script)
        for job in jobs:
            self._tracker.track(dataclasses.replace(job))
        return jobs

    # Looking

    def hopeless(self, job: Job) -> str:
        """Return the remedy for a job that never starts; see :meth:`.BatchJobs.hopeless`."""
        return hopeless(self._tracker.flags(job.jobid), job.jobid)

    def withdraw(
        self, name: str, jobs: Iterable[Job], submissions: Iterable[str] = ()
    ) -> list[str]:
        """Delete jobs that nobody manages; see :meth:`.BatchJobs.withdraw`."""
        prefix = JobList.prefix(name) if name else ''
        wanted, names = {job.jobid for job in jobs}, set(submissions)
        rows = parse_qstat(_answer(qstat()))
        present = [
            row.jobid
            for row in (rows or {}).values()
            if row.name in names or (row.jobid in wanted and prefix in row.name)
        ]
        if rows is None or (present and not _delete(present)):
            raise LaunchError(
                'Grid Engine did not delete jobs. They wait, or run, until it does. Try: '
                f'qdel {shlex.join(map(number_of, present or sorted(wanted)))}'
            )
        return present

    # In a worker

    def ends_at(self) -> float | None:
        """Return when this job reaches its time limit; see :meth:`.BaseProvider.ends_at`."""
        text = os.environ.get('DESIPIPE_JOB_END', '')
        return float(text) if text.isdecimal() else None

    def told_to_end(self) -> Told | None:
        """Return why this job is notified; see :meth:`.BaseProvider.told_to_end`."""
        row = (parse_qstat(_answer(qstat(), _ASK_WAIT_S)) or {}).get(
            os.environ.get('DESIPIPE_JOB', '')
        )
        if row is not None and row.is_deleted:
            return Told(Fate.CANCELLED, 'its job was deleted (Grid Engine: qdel)', 0.0)
        ends = self.ends_at()
        if ends is not None and time.time() >= ends:
            return Told(Fate.WALLTIME, 'its job reached its time limit', 0.0)
        return None


def _answer(argv: list[str], timeout: float = SUBMIT_WAIT) -> str:
    """Return what a command prints; empty where it fails or takes too long."""
    try:
        done = run(argv, timeout)
    except (LaunchError, subprocess.TimeoutExpired):
        return ''
    return done.stdout if done.returncode == 0 else ''


def _delete(jobids: list[str]) -> bool:
    """Delete jobs; return True once Grid Engine was told, or knows them no longer."""
    try:
        done = run(['qdel', *map(number_of, jobids)], SUBMIT_WAIT)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 or is_gone(done.stdout + done.stderr)


def _refused(reason: str, script: str) -> LaunchError:
    if not any(text in reason.lower() for text in _FINAL):
        return LaunchError(
            f'Grid Engine did not accept a job now: {reason}. The tasks wait. Trying again.',
            later=True,
        )
    return LaunchError(
        f'Grid Engine refused the job: {reason}. The tasks wait; add them again with other options '
        f'of the provider, or try: qsub {shlex.quote(script)}'
    )
