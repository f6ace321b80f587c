"""Workers in Slurm jobs."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, ClassVar, NamedTuple

from ..config import number, whole_number
from ..environment import BaseEnvironment, Environment
from ..errors import ConfigError, LaunchError
from ..store.files import open_file, open_log, replace_file
from ..utils import is_sequence, mkdir, username
from .base import BaseProvider, Job, Told
from .original import as_states
from .slurm_commands import in_cluster, is_gone, run, squeue
from .slurm_fates import fate, hopeless
from .slurm_options import check_sbatch_options, default_clusters, ignored_variable
from .slurm_refusals import is_doubtful, refusal
from .slurm_states import (
    ACTIVE,
    ENDED,
    KNOWN,
    SACCT,
    Row,
    has_header,
    job_row,
    parse_job,
    parse_sacct,
    parse_squeue,
    parse_submitted,
)
from .slurm_time import format_time, parse_time
from .slurm_watch import LOST_AFTER, STEP_MOST
from .slurm_watch import Watch as _Watch

__all__ = ['SlurmProvider', 'choices']

SUBMIT_WAIT = 15.0  # s for sbatch; shorter than a lease, as the manager does not beat meanwhile
WITHDRAW_TRIES = 3  # of scancel, until it is said that Slurm did not do it
DOUBT_WAIT_S = 30.0  # s after which a job that Slurm does not show counts as not submitted
CURIOUS_S = 30.0  # s to look for jobs that a manager before submitted and did not note
# s for accounting to say why a job is being ended: Slurm leaves 30 s, as a rule, until it kills
TELL_WAIT = 3.0
ARRAY_MOST = 1000  # elements; below the usual MaxArraySize
_SIGNAL = re.compile(r'(?:([RB]+):)?(SIG)?(\w+)(?:@(\d+))?')


_END_LINES = """\
printf -v desipipe_now '%(%s)T' -1
desipipe_end=${{SLURM_JOB_END_TIME:-0}} desipipe_start=${{SLURM_JOB_START_TIME:-0}}
[[ $desipipe_end =~ ^[0-9]+$ && $desipipe_start =~ ^[0-9]+$ ]] || desipipe_end=0
# These are of the clock of Slurm's controller: that of this node may be another one.
if (( desipipe_start && (desipipe_now < desipipe_start || desipipe_now >= desipipe_end) )); then
    desipipe_end=$((desipipe_now + desipipe_end - desipipe_start))
fi
desipipe_most=$((desipipe_now + {walltime:d}))
if (( desipipe_end <= desipipe_now || (!desipipe_start && desipipe_end > desipipe_most) )); then
    desipipe_end=$desipipe_most
fi
export DESIPIPE_JOB_END=$desipipe_end"""


class _Unclear(NamedTuple):
    """A submission of which it is not known whether Slurm took it."""

    slots: int
    workers: int
    clusters: tuple[str, ...]
    since: float
    answers: dict[str, tuple[int, int]]
    """Numbers of answers and of silences of each cluster at that time."""


class SlurmProvider(BaseProvider):
    """Workers in jobs of Slurm: one worker process a node, serving the node's slots.

    Parameters
    ----------
    account : str, default=None
        Account that pays; None: the user's default.
    constraint : str, default=None
        Features that nodes must have, such as 'cpu' or 'gpu'.
    qos : str, default=None
        Quality of service, such as 'regular' or 'debug'.
    time : str, default='01:00:00'
        Time limit of a job, as Slurm writes it: ``'30'`` (minutes), ``'1:30:00'``,
        ``'1-12:00:00'``.
    nodes_per_worker : float, default=1
        Number of nodes for each task that runs; below 1, tasks share a node; above, rounded up.
    mpiprocs_per_worker : int, default=1
        Number of MPI processes that run a task together.
    output, error : str, default=None
        Files for what jobs and their tasks print, with Slurm's ``%`` patterns:
        ``'slurm-%j.out'``, to follow with ``tail -f``. Without ``error`` both streams go to
        ``output``. What a task prints comes at once, up to the ``output_limit`` of the
        configuration. Where a job runs several tasks at once these are whole lines, which begin
        with the number of the slot. None: the workers' log in the queue's folder, without what
        tasks print. The queue keeps that anyway.
    mpiexec : str, default='srun --unbuffered -N {nodes:d} -n {mpiprocs:d} {cmd}'
        Launcher of several MPI processes, see :class:`.BaseProvider`; ``{nodes:d}`` is
        their number of nodes. Another one than this also starts workers of one process: with
        ``'srun -N {nodes:d} -n {mpiprocs:d} {cmd}'`` they are a step of the job, and have
        ``SLURM_STEP_…`` in their environment.
    signal : str, default='SIGTERM@60'
        Signal that Slurm sends to workers, and how many seconds before the time limit. From then on
        nothing begins that may take longer, and running tasks are told by SIGUSR1.
    killed_at_timeout : bool, default=None
        True if what runs at the time limit is KILLED, False if it begins again in another job.
        None: KILLED if it was the first of its slot, as more time than that it will not get.
    stop_after : int, default=None
        Number of tasks after which a slot ends.
    sqs : str, list of str, default=None
        Command that lists jobs instead of ``squeue``, with identity and state as the first words of
        each line; for clusters that ask for it.
    kwargs : dict or str, default=None
        Further options of ``sbatch``: ``{'cpus-per-task': 2, 'exclusive': True}``, or
        ``'cpus-per-task=2,exclusive'``.
    """

    name = 'slurm'
    batch = True
    defaults: ClassVar[Mapping[str, Any]] = {
        **BaseProvider.defaults,
        **dict.fromkeys(('account', 'constraint', 'qos')),
        'time': '01:00:00',
        'nodes_per_worker': 1.0,
        'output': None,
        'error': None,
        'mpiexec': 'srun --unbuffered -N {nodes:d} -n {mpiprocs:d} {cmd}',
        'signal': 'SIGTERM@60',
        'killed_at_timeout': None,
        'sqs': None,
        'kwargs': None,
    }
    placeholders = ('nodes', 'mpiprocs', 'cmd')

    account: str | None
    constraint: str | None
    qos: str | None
    time: str
    nodes_per_worker: float
    output: str | None
    error: str | None
    signal: str
    sqs: list[str] | None
    kwargs: dict[str, Any]

    def __init__(self, environ: Any = None, **options: Any) -> None:
        super().__init__(environ, **options)
        self.warning = float(_parse_signal(self.signal, 'signal')[2])
        self._name = f'desipipe-{os.urandom(4).hex()}'
        self._jobs: dict[str, Job] = {}
        self._ended: dict[str, int] = {}
        """Slots of the jobs that have ended, or were lost: they may be back."""
        self._unclear: dict[str, _Unclear] = {}
        self._explained: list[str] = []
        self._waits: dict[str, int] = {}
        """Jobs that ran, and are said to wait: the number of the answer that said so first."""
        self._look_after: float | None = None
        """The jobs that were taken over are not settled before an answer to a question asked
        later than this.
        """
        self._curious_until = -math.inf
        """Until when to ask for jobs that nobody noted, though none is known."""

    def check(self, option: str, value: Any) -> Any:
        """Check the options; see :meth:`.Configurable.check`."""
        what = f'{option} of the {self.kind} {self.label}'
        if option == 'time':
            try:
                seconds = parse_time(str(value) if not isinstance(value, bool) else '')
            except ValueError:
                seconds = 0
            if not seconds:
                raise ConfigError(
                    f"{what} is {value!r}, but must be a time span as Slurm writes it: '30' "
                    "(minutes), '1:30:00', '1-12:00:00'"
                )
            return format_time(str(value).strip())
        if option == 'nodes_per_worker':
            value = number(value, what)
            if value <= 0:
                raise ConfigError(
                    f'{what} is {value:g}, but must be more than 0; less than 1 for several '
                    'workers on a node.'
                )
            return value
        if option == 'signal':
            _parse_signal(value, what)
        elif option == 'killed_at_timeout':
            if value not in (None, True, False):
                raise ConfigError(f'{what} must be True, False or None, not {value!r}')
        elif option == 'sqs':
            argv = (
                None
                if value is None
                else shlex.split(value)
                if isinstance(value, str)
                else list(value)
                if is_sequence(value)
                else [value]
            )
            if argv is not None and (not argv or not all(isinstance(word, str) for word in argv)):
                raise ConfigError(
                    f'{what} is {value!r}, but must be a command that lists jobs, such as '
                    '["squeue", "--me"].'
                )
            return argv
        elif option == 'kwargs':
            return check_sbatch_options(value, what)
        elif option in ('output', 'error') and isinstance(value, os.PathLike):
            value = os.fspath(value)
        elif (
            option != 'stop_after'
            and value is not None
            and self.defaults.get(option, '') is None
            and (not isinstance(value, str) or '\n' in value)
        ):
            raise ConfigError(f'{what} must be text, or None for what Slurm chooses, not {value!r}')
        return super().check(option, value)

    # As in the original: by calling it

    @classmethod
    def jobid(cls) -> str:
        """Return the job that this process is part of; empty outside of jobs."""
        return os.environ.get('SLURM_JOB_ID', '')

    @classmethod
    def kill(cls, *jobids: Any) -> None:
        """Cancel jobs."""
        if jobids:
            run(['scancel', *map(str, jobids)], SUBMIT_WAIT)

    def __call__(self, cmd: str, workers: int = 1) -> None:
        """Submit a job that runs a command once per worker; add it to :attr:`processes`.

        Parameters
        ----------
        cmd : str
            Command line of a worker, ``desipipe work …``.
        workers : int, default=1

        Raises
        ------
        LaunchError
            Slurm did not accept it, and what it said.
        """
        nodes, names = (
            self.nodes(workers),
            ('time', 'account', 'constraint', 'qos', 'output', 'error', 'signal'),
        )
        options = {'nodes': nodes, **{name: getattr(self, name) for name in names}, **self.kwargs}
        given = [
            f'--{name}' if value is True else f'--{name}={value}'
            for name, value in options.items()
            if value is not None and value is not False
        ]
        lines = [
            '#!/bin/bash',
            Environment(self.environ).to_launch_script().rstrip('\n'),
            *self._steps(cmd, workers),
        ]
        self._make_outputs(os.getcwd())
        with tempfile.NamedTemporaryFile(
            'w', prefix='desipipe-', suffix='.sh'
        ) as script:  # which Slurm copies
            script.write('\n'.join(lines) + '\n')
            script.flush()
            done = run(['sbatch', '--parsable', *given, script.name], SUBMIT_WAIT)
        jobid = parse_submitted(done.stdout)[0]
        if not jobid:
            raise LaunchError(
                f'Slurm did not accept a job: {_said(done.stderr)}. Nothing was started.'
            )
        self.processes.append((jobid, nodes, workers))

    def _steps(self, cmd: str, workers: int) -> list[str]:
        if self.nodes_per_worker == int(self.nodes_per_worker):
            argv = shlex.split(cmd)
            alone = argv if workers == 1 else ['srun', '-N', str(self.nodes()), '-n', '1', *argv]
            steps = [
                shlex.join(alone if self.mpiprocs_per_worker == 1 else self.mpi_command(argv))
            ] * workers
        elif self.mpiprocs_per_worker == 1:
            steps = [cmd] * workers
        else:
            steps = [
                shlex.join(self.mpi_command(shlex.split(f'{cmd} --mpisplits {workers:d}'), workers))
            ]
        return [*(f'{step} &' for step in steps), 'wait']

    def jobids(
        self, state: Any = ('PENDING', 'RUNNING'), return_nworkers: bool = False
    ) -> list[Any]:
        """Return the jobs in one of the states, oldest first.

        See :meth:`.OriginalInterface.jobids`.
        """
        states = as_states(state)
        jobs = {job.jobid: job.slots for job in self._jobs.values()} | {
            str(one[0]): one[2] for one in self.processes
        }
        if 'ALL' not in states and jobs:
            rows = self._look_once('') or {}
            state_of = {
                _number(jobid): row.state for jobid, row in rows.items() if row.state not in ENDED
            }
            active = {
                jobid: 'RUNNING' if state_of[_number(jobid)] in ACTIVE else 'PENDING'
                for jobid in jobs
                if _number(jobid) in state_of
            }
            jobs = {jobid: slots for jobid, slots in jobs.items() if active.get(jobid) in states}
        return list(jobs.items()) if return_nworkers else list(jobs)

    def nworkers(self, of: str = 'workers', state: Any = ('PENDING', 'RUNNING')) -> int:
        """Return the number of workers, or with ``of='nodes'`` of nodes, in these states."""
        jobs = self.jobids(state=state, return_nworkers=True)
        return sum(workers if of == 'workers' else self.nodes(workers) for _, workers in jobs)

    # How many nodes

    def nodes(self, workers: int = 1) -> int:
        """Return the number of nodes for ``workers``; larger ones share no node."""
        if self.nodes_per_worker > 1:
            return workers * math.ceil(round(self.nodes_per_worker, 6))
        return math.ceil(round(self.nodes_per_worker * workers, 6))

    def cost(self, workers: int = 1) -> float:
        """Return the cost of a job of a number of workers. Only differences count.

        Workers are put into one job as long as it does not get more expensive.
        """
        return self.nodes(workers)

    def sizes(self, workers: int) -> list[int]:
        """Return how workers are divided into jobs.

        Parameters
        ----------
        workers : int
            Number in all.

        Returns
        -------
        sizes : list of int
            Number of workers of each job, the largest first.
        """
        sizes = []
        while workers > 0:
            best = min(range(workers, 0, -1), key=self.cost)
            # The best of more is the best of fewer too, as long as there are so many.
            sizes += [best] * (workers // best)
            workers %= best
        return sizes

    @property
    def timeout(self) -> float:
        """Time limit of a job, in seconds, and half a minute."""
        return self.walltime + 30.0

    @property
    def walltime(self) -> int:
        """Time limit of a job, in seconds."""
        return parse_time(self.time)

    def mpi_values(self) -> dict[str, Any]:
        """Values of the placeholders in ``mpiexec``; see :meth:`.BaseProvider.mpi_values`."""
        return {**super().mpi_values(), 'nodes': self.nodes()}

    def split_values(self, splits: int) -> dict[str, Any]:
        """Return the values for several slots; see :meth:`.BaseProvider.split_values`."""
        return {**super().split_values(splits), 'nodes': self.nodes(splits)}

    def mpi_splits(self, slots: int) -> int:
        """Return all slots where they share nodes; see :meth:`.BaseProvider.mpi_splits`."""
        return slots if self.nodes_per_worker < 1 else 1

    @property
    def remote_ranks(self) -> bool:
        """Return True if MPI processes may run on other nodes.

        See :meth:`.BaseProvider.remote_ranks`.
        """
        return int(os.environ.get('SLURM_JOB_NUM_NODES', '1')) > 1

    # Submitting

    def launch(
        self, argv: list[str], slots: int, environ: BaseEnvironment, log: str, cwd: str
    ) -> list[Job]:
        """Submit jobs; see :meth:`.BaseProvider.launch`. What is alike is one array.

        Raises
        ------
        LaunchError
            Slurm accepted nothing, and what it said. If it accepted a part, that part is returned.
        """
        whole_number(slots, 'the number of slots')
        if not os.path.isdir(cwd):
            raise LaunchError(
                'No job was submitted, because the folder where it should start is not there: '
                f'{cwd}. Tasks wait until it is back.',
                later=True,
            )
        self._make_outputs(cwd)
        # Now, by one: if jobs that begin at once on two nodes made it, there are filesystems where
        # one of them would end before our worker is started.
        open_log(log).close()
        jobs: list[Job] = []
        try:
            for size, same in groupby(self.sizes(slots)):
                script = self._write_script(argv, size, environ, log, cwd)
                left = len(list(same))
                while left:
                    some = self._submit(script, min(left, ARRAY_MOST), size)
                    jobs += some
                    left -= len(some)
        except LaunchError:
            if not jobs:
                raise
        return [dataclasses.replace(job) for job in jobs]

    def _make_outputs(self, cwd: str) -> None:
        # Slurm takes a job whose folder is not there and lets it fail without a word, since there
        # is no file for one.
        for option in ('output', 'error'):
            folder = os.path.dirname(getattr(self, option) or '')
            if not folder or '%' in folder or '\\' in folder:
                continue
            path = os.path.join(cwd, folder)
            try:
                mkdir(path)
            except OSError as exc:
                problem = (
                    'No job was submitted, because the folder of '
                    f'{option}={getattr(self, option)!r} cannot be made: {exc.strerror}.'
                )
                raise LaunchError(
                    f'{problem} The tasks wait. Make it: mkdir -p {shlex.quote(path)}', later=True
                ) from exc

    def _write_script(
        self, argv: list[str], workers: int, environ: BaseEnvironment, log: str, cwd: str
    ) -> str:
        folder = os.path.dirname(log)
        text = self.script(argv, workers, environ, log, cwd)
        name = f'{self._name}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}.sh'
        # Its name holds a digest of what is in it: who finds it there, finds the same. Written
        # aside, so that nobody finds a part.
        temporary = f'{name}.{os.urandom(4).hex()}.tmp'
        fd = open_file(folder, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(fd, 'w') as file:
            file.write(text)
        replace_file(folder, temporary, name)
        return os.path.join(folder, name)

    def script(
        self, argv: list[str], workers: int, environ: BaseEnvironment, log: str, cwd: str
    ) -> str:
        """The script of a job.

        Parameters
        ----------
        argv, environ, log, cwd
            As for :meth:`launch`.
        workers : int
            Number of them in this job.

        Returns
        -------
        text : str
            A bash script with all options of ``sbatch`` in it.
        """
        nodes = self.nodes(workers)
        several = nodes > 1 and self.mpiprocs_per_worker == 1
        lines = [
            '#!/bin/bash',
            (
                f'# {workers:d} worker(s) on {nodes:d} node(s), written by desipipe. To start such '
                f'a job by hand: sbatch {shlex.quote(self._name)}-….sh'
            ),
        ]
        lines += [
            f'#SBATCH {option}'
            for option in self._sbatch_options(workers, nodes, several, log, cwd)
        ]
        lines += [
            *_END_LINES.format(walltime=self.walltime).splitlines(),
            (
                'export '
                f'DESIPIPE_JOB=${{SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}}${{SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}}{self._suffix_in_script()}'
            ),
            # What `--export` asks of sbatch is done when this runs: the steps of the job get all
            # that its environment sets.
            'export SLURM_EXPORT_ENV=ALL',
            *(
                ['export SLURM_OVERLAP=1']
                if self.mpiprocs_per_worker > 1 and self.nodes_per_worker < 1
                else []
            ),  # one step after the other died
            environ.to_launch_script().rstrip('\n'),
        ]
        command = f'{shlex.join(argv)}{self._copied()} --jobid "$DESIPIPE_JOB" --slots'
        if several:
            # One worker a node. The step gets all that the job has on its nodes.
            tasks = min(workers, nodes)
            each = f'{workers // tasks:d}' + (
                f' + (SLURM_PROCID < {workers % tasks:d})' if workers % tasks else ''
            )
            inner = f'exec {command} "$(({each}))"'
            lines.append(
                'unset SLURM_MEM_PER_CPU SLURM_MEM_PER_GPU SLURM_MEM_PER_NODE'
            )  # --mem excludes the first two
            srun = (
                f'srun --export=ALL --nodes={tasks:d} --ntasks={tasks:d} --ntasks-per-node=1 '
                '--mem=0 --cpus-per-task="$SLURM_CPUS_ON_NODE" --mpi=none '
                '--kill-on-bad-exit=0'
            )
            lines.append(f'exec {srun} bash -c {shlex.quote(inner)}')
        else:
            # `exec`, so that Slurm's signals reach the worker.
            inner = f'exec {command} {workers:d}'
            lines.append(
                f'exec {shlex.join(self.launcher_command(["bash", "-c", inner]))}'
                if self._launches_one()
                else inner
            )
        return '\n'.join(line for line in lines if line) + '\n'

    def _copied(self) -> str:
        """Return the worker's option that copies what tasks print to the job's files."""
        paths = {'out': self.output, 'err': self.error or self.output}
        streams = [name for name, path in paths.items() if path not in (None, os.devnull)]
        return f' --copy-output {" ".join(streams)}' if streams else ''

    def _launches_one(self) -> bool:
        """True if ``mpiexec`` also starts workers of one process.

        The user's own launcher may be a container, or make them a step.
        """
        return self.mpiprocs_per_worker == 1 and self.mpiexec != SlurmProvider.defaults['mpiexec']

    def _sbatch_options(
        self, workers: int, nodes: int, several: bool, log: str, cwd: str
    ) -> Iterator[str]:
        log = log.replace('%', '%%')
        flags, name, seconds = _parse_signal(self.signal, 'signal')
        is_step = several or (self._launches_one() and shlex.split(self.mpiexec)[0] == 'srun')
        if not is_step and 'B' not in flags:
            flags += (
                'B'  # the worker is the batch script itself, to which nothing is sent otherwise
            )
        options: dict[str, Any] = {
            'job-name': f'{self._name}.{workers:d}',
            'account': self.account,
            'constraint': self.constraint,
            'qos': self.qos,
            'time': self.time,
            'nodes': nodes,
            'ntasks-per-node': math.ceil(workers * self.mpiprocs_per_worker / nodes),
            'signal': f'{flags}{":" if flags else ""}{name}@{seconds:d}',
            'chdir': cwd,
            'output': self.output or log,
            'error': self.error or (None if self.output else log),
            'open-mode': 'append',
            'clusters': ','.join(self._clusters()) or None,
        }
        if {'ntasks', 'ntasks-per-node', 'exclusive'} & self.kwargs.keys():
            del options['ntasks-per-node']
        for option, value in {**options, **self.kwargs}.items():
            dashes = '--' if len(option) > 1 else '-'
            if value is True:
                yield dashes + option
            elif value is not None and value is not False:
                yield (
                    f'{dashes}{option}={shlex.quote(str(value))}'
                    if len(option) > 1
                    else f'{dashes}{option} {shlex.quote(str(value))}'
                )

    def objection(self) -> str:
        """Return Slurm's objection to a job of one worker, without submitting anything.

        Returns
        -------
        words : str
            Empty if it would take it.

        Raises
        ------
        LaunchError
            There is no ``sbatch`` here.
        """
        options = ''.join(
            f'#SBATCH {option}\n'
            for option in self._sbatch_options(1, self.nodes(), False, os.devnull, '/')
        )
        try:
            done = run(['sbatch', '--test-only'], SUBMIT_WAIT, f'#!/bin/sh\n{options}true\n')
        except subprocess.TimeoutExpired:
            return f'sbatch did not come back within {SUBMIT_WAIT:g} s'
        if done.returncode == 0:
            return ''
        reason = _said(done.stderr)
        why = refusal(reason)
        return (
            f'Slurm does not answer now, or takes no more: {reason}'
            if why in ('away', 'limit')
            else self._words(why, reason)
        )

    def _clusters(self) -> tuple[str, ...]:
        text = self.kwargs.get('clusters') or default_clusters()
        return tuple(name.strip() for name in str(text).split(',') if name.strip())

    def _suffix_in_script(self) -> str:
        clusters = self._clusters()
        return (
            ''
            if not clusters
            else f'@{clusters[0]}'
            if len(clusters) == 1 and clusters[0] != 'all'
            else '@$SLURM_CLUSTER_NAME'
        )

    def _jobid(self, number: str, cluster: str) -> str:
        # Numbers of two clusters may be the same.
        return f'{number}@{cluster}' if cluster and self._clusters() else number

    def _submit(self, script: str, count: int, workers: int) -> list[Job]:
        while True:
            # A name that no other submission has: by it Slurm can be asked whether it took the job.
            name = f'{self._name}.{workers:d}.{os.urandom(4).hex()}'
            argv = [
                'sbatch',
                '--parsable',
                *([f'--array=0-{count - 1:d}'] if count > 1 else []),
                f'--job-name={name}',
                script,
            ]
            self.note_submission(name, count * workers)
            try:
                done = run(argv, SUBMIT_WAIT)
            except subprocess.TimeoutExpired:
                raise self._doubt(
                    name, count, workers, f'sbatch did not come back within {SUBMIT_WAIT:g} s'
                ) from None
            except LaunchError:
                self._explained.append(name)  # nothing was started
                raise
            jobid, cluster = parse_submitted(done.stdout)
            if jobid and (cluster or len(self._clusters()) <= 1):
                break
            reason = _said(done.stderr)
            if done.returncode <= 0 or not reason or is_doubtful(reason):
                text = (
                    reason
                    or done.stdout.strip()[-200:]
                    or f'nothing (exit status {done.returncode:d})'
                )
                raise self._doubt(name, count, workers, f'sbatch said {text!r}')
            self._explained.append(name)
            why = refusal(reason)
            if count > 1 and why in ('array', 'limit'):
                count //= 2  # fewer may be allowed
                continue
            raise self._refused(why, reason, script)
        self._explained.append(name)
        cluster = cluster or ''.join(self._clusters())
        watch = self._watch_of(cluster)
        numbers = [f'{jobid}_{i:d}' if count > 1 else jobid for i in range(count)]
        jobs = [
            Job(self._jobid(number, cluster), workers, 'pending', cluster=cluster)
            for number in numbers
        ]
        for job, each in zip(jobs, numbers, strict=True):
            self._ended.pop(job.jobid, None)  # a number may come again
            self._jobs[job.jobid] = job
            watch.forget(each)
            watch.track(each)
        watch.hurry()
        return jobs

    def _doubt(self, name: str, count: int, workers: int, text: str) -> LaunchError:
        self._expect(name, count * workers, workers)
        return LaunchError(
            f'{text}. The job may have been submitted all the same: it is looked for by its name '
            'before another one is submitted, and the tasks wait.',
            later=True,
        )

    def _expect(self, name: str, slots: int, workers: int) -> None:
        clusters = self._clusters() or ('',)
        answers = {}
        for cluster in clusters:
            watch = self._watch_of(cluster)
            answers[cluster] = watch.answers, watch.silences
            watch.wanted[name] = time.time()
            watch.hurry()
        self._unclear[name] = _Unclear(slots, workers, clusters, time.monotonic(), answers)

    def _refused(self, why: str, reason: str, script: str) -> LaunchError:
        if why in ('array', 'limit', 'away'):
            return LaunchError(
                f'Slurm did not accept a job now: {reason}. The tasks wait. Trying again.',
                later=True,
            )
        return LaunchError(
            f'{self._words(why, reason)}. The tasks wait; add them again with other options of the '
            f'provider, or try: sbatch {shlex.quote(script)}'
        )

    def _words(self, why: str, reason: str) -> str:
        value = getattr(self, why, None) or self.kwargs.get(why)
        subject = f'{why} {value!r}' if value else 'the job'
        valid = choices(why)
        hint = f'; here it may be: {", ".join(valid)}' if valid else ''
        if not value and (variable := ignored_variable(why)):
            hint += f'; {variable} of the shell does not count, give {why}= to the provider'
        return f'Slurm refused {subject}: {reason}{hint}'

    # Looking

    def adopt(
        self,
        name: str,
        jobs: Iterable[Job] = (),
        look: bool = False,
        submissions: Mapping[str, int] | None = None,
    ) -> None:
        """Take over jobs and find others of that name; see :meth:`.BaseProvider.adopt`."""
        self._name = re.sub(r'[^\w.+-]', '_', f'desipipe-{name}')
        for job in jobs:
            self._jobs[job.jobid] = dataclasses.replace(job)
            self._watch_of(job.cluster).track(_number(job.jobid), self._name)
        for each, slots in (submissions or {}).items():
            self._expect(each, slots, self._workers_of(each))
        if self._jobs:
            self._look_after = time.monotonic()
        if look:
            self._curious_until = time.monotonic() + CURIOUS_S
        for watch in self._watches():
            watch.hurry()

    @property
    def settled(self) -> bool:
        """Return True once Slurm has told what jobs there are.

        See :meth:`.BaseProvider.settled`.
        """
        if self._look_after is not None or not all(watch.tried for watch in self._watches()):
            return False
        return all(self._is_silent_about(unclear) for unclear in self._unclear.values())

    def _is_silent_about(self, unclear: _Unclear) -> bool:
        # From a squeue that never showed a thing, nothing is what it says if there are no jobs. It
        # proves nothing: the submission still counts.
        watches = [self._watch_of(cluster) for cluster in unclear.clusters]
        return all(
            not watch.answers and watch.silences - unclear.answers[watch.cluster][1] > LOST_AFTER
            for watch in watches
        )

    @property
    def unexplained(self) -> int:
        """Slots that may have been submitted; see :meth:`.BaseProvider.unexplained`."""
        return sum(unclear.slots for unclear in self._unclear.values())

    @property
    def proven(self) -> bool:
        """Return True once Slurm has shown any job; see :meth:`.BaseProvider.proven`."""
        return any(watch.answers for watch in self._watches())

    @property
    def trouble(self) -> str:
        """Why Slurm does not answer; see :meth:`.BaseProvider.trouble`."""
        return next((watch.trouble for watch in self._watches() if watch.trouble), '')

    def hopeless(self, job: Job) -> str:
        """Return what to do about a job that will never start.

        See :meth:`.BaseProvider.hopeless`.
        """
        return hopeless(job.reason)

    @property
    def pause(self) -> float:
        """Seconds until the next look makes sense; see :meth:`.BaseProvider.pause`."""
        return (
            STEP_MOST
            if self._is_idle()
            else min(watch.pause(self.timestep) for watch in self._watches())
        )

    def hurry(self) -> None:
        """Ask as soon as it is allowed; see :meth:`.BaseProvider.hurry`."""
        for watch in self._watches():
            watch.hurry()

    def _is_idle(self) -> bool:
        return (
            not self._jobs
            and not self._unclear
            and self.settled
            and self.cancelled
            and time.monotonic() >= self._curious_until
        )

    def take_explained(self) -> list[str]:
        """Return submissions of known fate; see :meth:`.BaseProvider.take_explained`."""
        explained, self._explained = self._explained, []
        return explained

    def poll(self) -> list[Job]:
        """State of the jobs; see :meth:`.BaseProvider.poll`.

        Slurm is asked in the background, once for all providers of this process.
        """
        if self._is_idle():
            return []
        watches = {watch.cluster: watch for watch in self._watches()}
        for watch in watches.values():
            watch.look(self.timestep)
        if self._look_after is not None and (
            not self._jobs or all(watch.answered > self._look_after for watch in watches.values())
        ):
            self._look_after = None
        self._explain(watches)
        for watch in watches.values():
            self._find(watch)
        jobs = []
        for jobid, job in list(self._jobs.items()):
            watch, each = self._watch_of(job.cluster), _number(jobid)
            row = watch.rows.get(each)
            if row is not None:
                self._update(job, row, watch)
            if job.state == 'ended' or watch.is_lost(each):
                if job.state != 'ended':
                    job.state, job.reason = 'ended', 'Slurm no longer knows it'
                del self._jobs[jobid]
                self._ended[jobid] = job.slots
                watch.forget(each)
            jobs.append(dataclasses.replace(job))
        return jobs

    def _explain(self, watches: Mapping[str, _Watch]) -> None:
        # A submission that is not clear: its jobs are found by their name, or several answers that
        # can be believed show none.
        for name, unclear in list(self._unclear.items()):
            waiting = [
                (cluster, row)
                for cluster in unclear.clusters
                for row in (*watches[cluster].rows.values(), *watches[cluster].named.values())
            ]
            own = [(cluster, row) for cluster, row in waiting if name in row.name]
            for cluster, row in own:
                self._take(row, cluster, unclear.workers)
            if own:
                self._take_elements(own[0][1], own[0][0], unclear)
            if own or all(
                self._is_absent(name, unclear, watches[cluster]) for cluster in unclear.clusters
            ):
                del self._unclear[name]
                self._explained.append(name)
                for cluster in unclear.clusters:
                    watches[cluster].wanted.pop(name, None)
                    watches[cluster].unlisted.discard(name)

    def _take_elements(self, row: Row, cluster: str, unclear: _Unclear) -> None:
        # An array is taken as a whole: those of its elements that an answer does not show are there
        # too.
        base, _, element = row.jobid.partition('_')
        for i in range(unclear.slots // unclear.workers if element else 0):
            self._take(Row(f'{base}_{i:d}', 'PENDING'), cluster, unclear.workers)

    def _is_absent(self, name: str, unclear: _Unclear, watch: _Watch) -> bool:
        listed = watch.accounts and name not in watch.unlisted
        # One more answer than needed, as the first may be of a question that was asked before; and
        # Slurm may have put the submission aside for a while.
        enough = (
            watch.answers - unclear.answers[watch.cluster][0] > LOST_AFTER
            and watch.answered - unclear.since >= DOUBT_WAIT_S
        )
        return enough and not listed

    def _take(self, row: Row, cluster: str, workers: int) -> None:
        jobid = self._jobid(row.jobid, cluster)
        if jobid in self._jobs or (jobid in self._ended and row.state in ENDED):
            return
        slots = self._ended.pop(jobid, workers)
        self._jobs[jobid] = Job(jobid, slots, 'pending', cluster=cluster)
        watch = self._watch_of(cluster)
        watch.track(row.jobid, self._name)
        if row.name:
            watch.rows[row.jobid] = row

    def _find(self, watch: _Watch) -> None:
        # Jobs of ours that nobody noted: of a manager that died between sbatch and its note; and
        # those that were lost, and show again.
        for row in list(watch.rows.values()):
            is_known = self._jobid(row.jobid, watch.cluster) in self._ended
            if row.state in KNOWN - ENDED and (
                f'{self._name}.' in row.name or (is_known and not row.name)
            ):
                self._take(row, watch.cluster, self._workers_of(row.name))

    def _workers_of(self, name: str) -> int:
        text = name.rpartition(f'{self._name}.')[2].partition('.')[0]
        return int(text) if text.isdecimal() and text.isascii() and 0 < int(text) < 1_000_000 else 1

    def _update(self, job: Job, row: Row, watch: _Watch) -> None:
        if row.state not in KNOWN:
            return
        job.node, job.ends = row.node, row.ends
        if row.state in ENDED:
            if not watch.is_known(row.jobid):
                return  # how it ended is asked for
            began = job.state == 'running' or bool(row.node)
            job.state, job.exitcode = 'ended', row.exitcode
            job.fate, job.reason = fate(row, began)
        elif row.state in ACTIVE:
            self._waits.pop(job.jobid, None)
            job.state, job.reason = 'running', row.state.lower() if row.state != 'RUNNING' else ''
        elif job.state != 'running' or self._is_put_back(job, row, watch):
            job.fate = 'requeued' if job.state == 'running' else job.fate
            job.state, job.reason = (
                'pending',
                row.reason or (row.state if row.state != 'PENDING' else ''),
            )

    def _is_put_back(self, job: Job, row: Row, watch: _Watch) -> bool:
        # What it ran begins again then, so one answer, which may be older than another, is not
        # enough.
        first = self._waits.setdefault(job.jobid, watch.answers)
        if watch.answers <= first and not row.state.startswith('REQUEUE'):
            watch.hurry()
            return False
        del self._waits[job.jobid]
        return True

    def _watch_of(self, cluster: str) -> _Watch:
        return _Watch.of(tuple(self.sqs or ()), cluster)

    def _watches(self) -> list[_Watch]:
        clusters = dict.fromkeys(job.cluster for job in self._jobs.values()) | dict.fromkeys(
            self._clusters() or ('',)
        )
        return [
            self._watch_of(cluster)
            for cluster in clusters
            | dict.fromkeys(name for each in self._unclear.values() for name in each.clusters)
        ]

    def cancel(self, job: Job, force: bool = False) -> None:
        """End a job; see :meth:`.BaseProvider.cancel`.

        Slurm is told in the background, and ends with SIGTERM, then SIGKILL, whatever ``force``
        says.
        """
        self._watch_of(job.cluster).cancel(_number(job.jobid))

    @property
    def cancelled(self) -> bool:
        """Return True once Slurm knows what is to be cancelled.

        See :meth:`.BaseProvider.cancelled`.
        """
        return all(watch.cancelled for watch in self._watches())

    def withdraw(
        self, name: str, jobs: Iterable[Job], submissions: Iterable[str] = ()
    ) -> list[str]:
        """Cancel jobs that nobody manages; see :meth:`.BaseProvider.withdraw`."""
        if name:
            self.adopt(name)
        else:
            self._name = ''
        names = list(submissions)
        by_cluster: dict[str, list[Job]] = {}
        for cluster in [*(self._clusters() or ('',))] if names else []:
            by_cluster[cluster] = []
        for job in jobs:
            by_cluster.setdefault(job.cluster, []).append(job)
        withdrawn = []
        for cluster, some in by_cluster.items():
            withdrawn += self._withdraw_there(cluster, [_number(job.jobid) for job in some], names)
        return withdrawn

    def _withdraw_there(self, cluster: str, numbers: list[str], names: list[str]) -> list[str]:
        rows = self._look_once(cluster)
        here = []
        for each in numbers:
            row = rows.get(each) if rows is not None else None
            # One that Slurm does not show has ended, if it shows others; one with another name has
            # only the number of ours.
            if rows is None or (
                row is not None
                and row.state not in ENDED
                and (not row.name or self._name in row.name)
            ):
                here.append(each)
        here += [
            row.jobid
            for row in (rows or {}).values()
            if row.jobid not in here
            and row.state not in ENDED
            and any(name in row.name for name in names)
        ]
        where = in_cluster(cluster)
        if names and rows is None:
            self._scancel([*where, '-u', username(), *(f'--name={name}' for name in names)])
        if here:
            self._scancel([*where, *here])
        return [self._jobid(each, cluster) for each in here]

    def _look_once(self, cluster: str) -> dict[str, Row] | None:
        # What Slurm shows; None if that can't be believed.
        try:
            done = run(squeue(cluster), SUBMIT_WAIT)
        except (LaunchError, subprocess.TimeoutExpired):
            return None
        rows = parse_squeue(done.stdout)
        return rows if done.returncode == 0 and (rows or has_header(done.stdout)) else None

    def _scancel(self, arguments: list[str]) -> None:
        reason = ''
        for tries in range(WITHDRAW_TRIES):
            if tries:
                time.sleep(min(2.0, self.timestep))
            try:
                done = run(['scancel', *arguments], SUBMIT_WAIT)
            except subprocess.TimeoutExpired:
                reason = f'scancel did not come back within {SUBMIT_WAIT:g} s'
                continue
            reason = ' '.join(done.stderr.split())
            if done.returncode == 0 or is_gone(reason):
                return
        raise LaunchError(
            f'Slurm did not cancel jobs: {reason}. They wait, or run, until it does. Try: scancel '
            f'{shlex.join(arguments)}'
        )

    # In a worker

    def ends_at(self) -> float | None:
        """Return when this job reaches its time limit; see :meth:`.BaseProvider.ends_at`."""
        text = os.environ.get('DESIPIPE_JOB_END') or os.environ.get('SLURM_JOB_END_TIME', '')
        return float(text) if text.isdecimal() else None

    def told_to_end(self) -> Told | None:
        """Ask Slurm why this job was told to end; see :meth:`.BaseProvider.told_to_end`."""
        # Not SLURM_JOB_ID: that of the last element of an array is the whole array's.
        jobid = _number(os.environ.get('DESIPIPE_JOB') or os.environ.get('SLURM_JOB_ID', ''))
        if not jobid:
            return None
        try:
            job = parse_job(run(['scontrol', 'show', 'job', '-o', jobid], 3.0).stdout)
        except (OSError, LaunchError, subprocess.TimeoutExpired):
            job = {}
        row = job_row(jobid, job)
        left = None if row.ends is None else row.ends - time.time()
        if row.state in ENDED:
            return Told(*fate(row), 0.0)
        if row.state == 'RUNNING' and left is not None:
            # Slurm looks at time limits about every half minute, and may send the signal up to a
            # minute early.
            return (
                Told('walltime', 'its job reached its time limit', left)
                if left <= self.warning + 90
                else None
            )
        if row.state == 'COMPLETING' and int(job.get('Restarts', '0')) > int(
            os.environ.get('SLURM_RESTART_COUNT', '0')
        ):
            return Told('requeued', 'its job was put back into the queue of Slurm (REQUEUED)', 0.0)
        if row.state != 'COMPLETING':
            return None
        # Only accounting tells a job that was preempted from one that was cancelled, and it lags.
        deadline = time.monotonic() + TELL_WAIT
        while time.monotonic() < deadline:
            try:
                answer = run(['sacct', '-n', '-X', '-P', '-o', SACCT, '-j', jobid], 3.0)
            except (OSError, LaunchError, subprocess.TimeoutExpired):
                break
            ended = parse_sacct(answer.stdout).get(jobid)
            if ended is not None and ended.state in ENDED:
                return Told(*fate(ended), 0.0)
            if answer.returncode:
                break
            time.sleep(0.2)
        return Told(
            'cancelled',
            'its job was cancelled (no accounts of Slurm say by whom, or whether it was preempted)',
            0.0,
        )


SlurmProvider._defaults = {**SlurmProvider.defaults, 'qos': 'regular'}  # for own ones of 1.0


def _number(jobid: str) -> str:
    """Return the identity that Slurm knows: without the cluster."""
    return jobid.partition('@')[0]


def choices(what: str) -> list[str]:
    """The names that Slurm knows here, for this user.

    Parameters
    ----------
    what : str
        ``'account'``, ``'qos'``, ``'partition'``, ``'constraint'``.

    Returns
    -------
    names : list of str
        Empty where Slurm does not say.
    """
    commands = {
        'account': [
            'sacctmgr',
            '-n',
            '-P',
            'show',
            'assoc',
            f'user={username()}',
            'format=account',
        ],
        'qos': ['sacctmgr', '-n', '-P', 'show', 'assoc', f'user={username()}', 'format=qos'],
        'partition': ['sinfo', '-h', '-o', '%R'],
        'constraint': ['sinfo', '-h', '-o', '%f'],
    }
    if what not in commands:
        return []
    try:
        done = run(commands[what], 10.0)
    except (LaunchError, subprocess.TimeoutExpired):
        return []
    text = (
        {word.strip() for line in done.stdout.splitlines() for word in line.split(',')}
        if done.returncode == 0
        else set()
    )
    return sorted(text - {'', '(null)'})


def _said(stderr: str) -> str:
    return ' '.join(
        line.removeprefix('sbatch: ').removeprefix('error: ')
        for line in stderr.splitlines()
        if line.strip()
    )


def _parse_signal(value: Any, what: str) -> tuple[str, str, int]:
    match = _SIGNAL.fullmatch(value) if isinstance(value, str) else None
    if match is None or not (match[3].isdecimal() or hasattr(signal, f'SIG{match[3]}')):
        raise ConfigError(
            f'{what} is {value!r}, but must be a signal and the seconds before the time limit, '
            "such as 'SIGTERM@60'."
        )
    return match[1] or '', match[3], int(match[4] or 60)
