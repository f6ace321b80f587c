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
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import IO, Any, ClassVar

from ..config import number, whole_number
from ..environment import BaseEnvironment
from ..errors import ConfigError, LaunchError
from ..utils import is_sequence, open_log, username
from .base import BaseProvider, Job, Told
from .slurm_states import (
    ACTIVE,
    ENDED,
    FORMAT,
    SACCT,
    Row,
    fate,
    format_time,
    job_row,
    parse_job,
    parse_listing,
    parse_sacct,
    parse_squeue,
    parse_submitted,
    parse_time,
    refusal,
)

__all__ = ['SlurmProvider', 'choices', 'run']

SUBMIT_WAIT = 15.0  # s for sbatch; shorter than a lease, as the manager does not beat meanwhile
ASK_WAIT = 120.0  # s for squeue and sacct, which nobody waits for
STEP_MOST = 60.0  # s between two questions when nothing changes
BUSY = 0.02  # s between two looks at a question that is on its way
TELL_WAIT = 3.0  # s for accounting to say why a job is being ended: Slurm leaves 30 s, as a rule, until it kills
_STATUS = ('FAILED', 'CANCELLED', 'LAUNCH_FAILED', 'OUT_OF_MEMORY', 'TIMEOUT', 'DEADLINE')  # ends of which the exit status, or who it was, says more
LOST_AFTER = 3  # answers without a job until it counts as gone
LAG_MOST = 3  # answers of accounting that know nothing yet of a job's end, until what the controller said must do
ARRAY_MOST = 1000  # elements; below the usual MaxArraySize
_RESERVED = ('array', 'parsable', 'wrap', 'script', 'chdir', 'open-mode', 'wait')
_OWN = ('account', 'constraint', 'qos', 'time', 'output', 'error', 'signal', 'nodes')
_SIGNAL = re.compile(r'(?:([RB]+):)?(SIG)?(\w+)(?:@(\d+))?')


class SlurmProvider(BaseProvider):
    """Workers in jobs of Slurm: one worker process a node, which serves the node's slots.

    Parameters
    ----------
    account : str, default=None
        Account that pays; None: the user's default.
    constraint : str, default=None
        Features that nodes must have, such as 'cpu' or 'gpu'.
    qos : str, default=None
        Quality of service, such as 'regular' or 'debug'.
    time : str, default='01:00:00'
        Time limit of a job, as Slurm writes it: ``'30'`` (minutes), ``'1:30:00'``, ``'1-12:00:00'``.
    nodes_per_worker : float, default=1
        Number of nodes for each task that runs; below 1, tasks share a node.
    mpiprocs_per_worker : int, default=1
        Number of MPI processes that run a task together.
    output, error : str, default=None
        File for what the jobs themselves print, with Slurm's ``%`` patterns; None: the workers' log in the queue's folder. What tasks print is kept anyway.
    mpiexec : str, default='srun --unbuffered -N {nodes:d} -n {mpiprocs:d} {cmd}'
        How a command is run by several MPI processes, see :class:`.BaseProvider`; ``{nodes:d}`` is their number of nodes.
    signal : str, default='SIGTERM@60'
        Signal that Slurm sends to workers, and how many seconds before the time limit. From then on nothing begins that may take longer, and running tasks
        are told by SIGUSR1.
    killed_at_timeout : bool, default=None
        Whether what runs at the time limit is KILLED (True) or begins again in another job (False). None: KILLED if it was the first of its slot, as
        more time than that it will not get.
    stop_after : int, default=None
        Number of tasks after which a slot ends.
    sqs : str, list of str, default=None
        Command that lists jobs instead of ``squeue``, with identity and state as the first words of each line; for clusters that ask for it.
    kwargs : dict or str, default=None
        Further options of ``sbatch``: ``{'cpus-per-task': 2, 'exclusive': True}``, or ``'cpus-per-task=2,exclusive'``.
    """

    name = 'slurm'
    batch = True
    defaults: ClassVar[Mapping[str, Any]] = {
        **BaseProvider.defaults,
        'account': None,
        'constraint': None,
        'qos': None,
        'time': '01:00:00',
        'nodes_per_worker': 1.0,
        'output': None,
        'error': None,
        'mpiexec': 'srun --unbuffered -N {nodes:d} -n {mpiprocs:d} {cmd}',
        'signal': 'SIGTERM@60',
        'killed_at_timeout': None,
        'stop_after': None,
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

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.warning = float(_parse_signal(self.signal, 'signal')[2])
        self._name = f'desipipe-{os.urandom(4).hex()}'
        self._jobs: dict[str, Job] = {}
        self._ended: set[str] = set()
        self._look_after: float | None = None
        self._watch: _Watch | None = None

    def check(self, option: str, value: Any) -> Any:
        """Check the options; see :meth:`.Configurable.check`."""
        what = f'{option} of the {self.kind} {self.label}'
        if option == 'time':
            try:
                seconds = parse_time(str(value) if not isinstance(value, bool) else '')
            except ValueError:
                seconds = 0
            if not seconds:
                raise ConfigError(f"{what} is {value!r}, but must be a time span as Slurm writes it: '30' (minutes), '1:30:00', '1-12:00:00'")
            return format_time(seconds)
        if option == 'nodes_per_worker':
            value = number(value, what)
            if value <= 0 or (value > 1 and value != int(value)):
                raise ConfigError(f'{what} is {value:g}, but must be a whole number, or less than 1 for several workers on a node')
            return value
        if option == 'signal':
            _parse_signal(value, what)
        elif option == 'killed_at_timeout':
            if value not in (None, True, False):
                raise ConfigError(f'{what} must be True, False or None, not {value!r}')
        elif option == 'stop_after':
            return None if value is None else whole_number(value, what)
        elif option == 'sqs':
            words = None if value is None else shlex.split(value) if isinstance(value, str) else list(value) if is_sequence(value) else [value]
            if words is not None and (not words or not all(isinstance(word, str) for word in words)):
                raise ConfigError(f'{what} is {value!r}, but must be a command that lists jobs, such as ["squeue", "--me"]')
            return words
        elif option == 'kwargs':
            return _check_kwargs(value, what)
        elif value is not None and option in self.defaults and self.defaults[option] is None and (not isinstance(value, str) or '\n' in value):
            raise ConfigError(f'{what} must be text, or None for what Slurm chooses, not {value!r}')
        return super().check(option, value)

    # How many nodes

    def nodes(self, workers: int = 1) -> int:
        """Number of nodes for a number of workers."""
        return math.ceil(round(self.nodes_per_worker * workers, 6))

    def cost(self, workers: int = 1) -> float:
        """What a job of a number of workers costs. Only differences count: workers are put into one job as long as it does not get more expensive."""
        return self.nodes(workers)

    def sizes(self, workers: int) -> list[int]:
        """How workers are divided into jobs.

        Parameters
        ----------
        workers : int
            How many in all.

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
    def walltime(self) -> int:
        """Time limit of a job, in seconds."""
        return parse_time(self.time)

    def mpi_values(self) -> dict[str, Any]:
        """Values of the placeholders in ``mpiexec``; see :meth:`.BaseProvider.mpi_values`."""
        return {**super().mpi_values(), 'nodes': self.nodes()}

    def split_values(self, splits: int) -> dict[str, Any]:
        """Those for several slots; see :meth:`.BaseProvider.split_values`."""
        return {**super().split_values(splits), 'nodes': self.nodes(splits)}

    def mpi_splits(self, slots: int) -> int:
        """All slots that share nodes: one launcher gives each of them processors of its own; see :meth:`.BaseProvider.mpi_splits`."""
        return slots if self.nodes_per_worker < 1 else 1

    @property
    def remote_ranks(self) -> bool:
        """Whether MPI processes may run on other nodes than their worker; see :meth:`.BaseProvider.remote_ranks`."""
        return int(os.environ.get('SLURM_JOB_NUM_NODES', '1')) > 1

    # Submitting

    def launch(self, argv: list[str], slots: int, environ: BaseEnvironment, log: str, cwd: str) -> list[Job]:
        """Submit jobs; see :meth:`.BaseProvider.launch`. What is alike is one array.

        Raises
        ------
        LaunchError
            Slurm accepted nothing, and what it said. If it accepted a part, that part is returned.
        """
        whole_number(slots, 'the number of slots')
        if not os.path.isdir(cwd):
            raise LaunchError(f'no job was submitted, because the folder where it should start is not there: {cwd}. Tasks wait until it is back.', later=True)
        # Now, by one: if jobs that begin at once on two nodes made it, there are filesystems where one of them would end before our worker is started.
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

    def _write_script(self, argv: list[str], workers: int, environ: BaseEnvironment, log: str, cwd: str) -> str:
        folder = os.path.dirname(log)
        text = self.script(argv, workers, environ, log, cwd)
        path = os.path.join(folder, f'{self._name}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}.sh')
        # Its name holds a digest of what is in it: who finds it there, finds the same. Written aside, so that nobody finds a part.
        temporary = f'{path}.{os.urandom(4).hex()}.tmp'
        with open(temporary, 'w') as file:
            file.write(text)
        os.replace(temporary, path)
        return path

    def script(self, argv: list[str], workers: int, environ: BaseEnvironment, log: str, cwd: str) -> str:
        """The script of a job.

        Parameters
        ----------
        argv, environ, log, cwd
            As for :meth:`launch`.
        workers : int
            How many of them in this job.

        Returns
        -------
        text : str
            A bash script with all options of ``sbatch`` in it.
        """
        nodes = self.nodes(workers)
        several = nodes > 1 and self.mpiprocs_per_worker == 1
        lines = [
            '#!/bin/bash',
            f'# {workers:d} worker(s) on {nodes:d} node(s), written by desipipe. To start such a job by hand: sbatch {shlex.quote(self._name)}-….sh',
        ]
        lines += [f'#SBATCH {option}' for option in self._sbatch_options(workers, nodes, several, log, cwd)]
        lines += [
            "printf -v DESIPIPE_JOB_END '%(%s)T' -1",
            f'export DESIPIPE_JOB_END=${{SLURM_JOB_END_TIME:-$((DESIPIPE_JOB_END + {self.walltime:d}))}}',
            'export DESIPIPE_JOB=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}',
            *(['export SLURM_OVERLAP=1'] if self.mpiprocs_per_worker > 1 and self.nodes_per_worker < 1 else []),  # one step after the other died
            environ.to_launch_script().rstrip('\n'),
        ]
        command = f'{shlex.join(argv)} --jobid "$DESIPIPE_JOB" --slots'
        if several:
            # One worker a node. The step gets all that the job has on its nodes.
            tasks = min(workers, nodes)
            each = f'{workers // tasks:d}' + (f' + (SLURM_PROCID < {workers % tasks:d})' if workers % tasks else '')
            inner = f'exec {command} "$(({each}))"'
            srun = (
                f'srun --nodes={tasks:d} --ntasks={tasks:d} --ntasks-per-node=1 --mem=0 --cpus-per-task="$SLURM_CPUS_ON_NODE" --mpi=none --kill-on-bad-exit=0'
            )
            lines.append(f'exec {srun} bash -c {shlex.quote(inner)}')
        else:
            # `exec`, so that Slurm's signals reach the worker.
            lines.append(f'exec {command} {workers:d}')
        return '\n'.join(line for line in lines if line) + '\n'

    def _sbatch_options(self, workers: int, nodes: int, several: bool, log: str, cwd: str) -> Iterator[str]:
        log = log.replace('%', '%%')
        flags, name, seconds = _parse_signal(self.signal, 'signal')
        if not several and 'B' not in flags:
            flags += 'B'  # the worker is the batch script itself, to which nothing is sent otherwise
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
        }
        if {'ntasks', 'ntasks-per-node', 'exclusive', 'n'} & self.kwargs.keys():
            del options['ntasks-per-node']
        for option, value in {**options, **self.kwargs}.items():
            dashes = '--' if len(option) > 1 else '-'
            if value is True:
                yield dashes + option
            elif value is not None and value is not False:
                yield f'{dashes}{option}={shlex.quote(str(value))}' if len(option) > 1 else f'{dashes}{option} {shlex.quote(str(value))}'

    def objection(self) -> str:
        """What Slurm would say against a job of one worker: it is asked, nothing is submitted.

        Returns
        -------
        words : str
            Empty if it would take it.

        Raises
        ------
        LaunchError
            There is no ``sbatch`` here.
        """
        options = ''.join(f'#SBATCH {option}\n' for option in self._sbatch_options(1, self.nodes(), False, os.devnull, '/'))
        try:
            done = run(['sbatch', '--test-only'], SUBMIT_WAIT, f'#!/bin/sh\n{options}true\n')
        except subprocess.TimeoutExpired:
            return f'sbatch did not come back within {SUBMIT_WAIT:g} s'
        if done.returncode == 0:
            return ''
        said = _said(done.stderr)
        why = refusal(said)
        return f'Slurm does not answer now, or takes no more: {said}' if why in ('away', 'limit') else self._words(why, said)

    def _submit(self, script: str, count: int, workers: int) -> list[Job]:
        while True:
            argv = ['sbatch', '--parsable', *([f'--array=0-{count - 1:d}'] if count > 1 else []), script]
            try:
                done = run(argv, SUBMIT_WAIT)
            except subprocess.TimeoutExpired:
                # It may have got there all the same: our jobs are found by their name, when Slurm answers again.
                self._look_after = time.monotonic()
                raise LaunchError(f'sbatch did not come back within {SUBMIT_WAIT:g} s: trying again when Slurm answers. The tasks wait', later=True) from None
            if done.returncode == 0:
                break
            said = _said(done.stderr)
            why = refusal(said)
            if count > 1 and why in ('array', 'limit'):
                count //= 2  # fewer may be allowed
                continue
            raise self._refused(why, said, script)
        jobid, cluster = parse_submitted(done.stdout)
        if not jobid:
            self._look_after = time.monotonic()
            raise LaunchError(f'sbatch accepted a job, but did not say which: {done.stdout.strip()[-200:]!r}. It is looked for by its name', later=True)
        watch = self._watching()
        if cluster:
            watch.clusters.add(cluster)
        jobs = [Job(f'{jobid}_{i:d}' if count > 1 else jobid, workers, 'pending') for i in range(count)]
        for job in jobs:
            self._jobs[job.jobid] = job
            watch.track(job.jobid)
        watch.hurry()
        return jobs

    def _refused(self, why: str, said: str, script: str) -> LaunchError:
        if why in ('away', 'limit'):
            return LaunchError(f'Slurm did not accept a job now: {said}. The tasks wait; trying again', later=True)
        return LaunchError(f'{self._words(why, said)}. The tasks wait; add them again with other options of the provider, or try: sbatch {shlex.quote(script)}')

    def _words(self, why: str, said: str) -> str:
        value = getattr(self, why, None) or self.kwargs.get(why)
        words = f'{why} {value!r}' if value else 'the job'
        valid = choices(why)
        hint = f'; here it may be: {", ".join(valid)}' if valid else ''
        return f'Slurm refused {words}: {said}{hint}'

    # Looking

    def adopt(self, name: str, jobs: Iterable[Job] = (), look: bool = False) -> None:
        """Take over jobs, and look for others of that name; see :meth:`.BaseProvider.adopt`."""
        self._name = re.sub(r'[^\w.+-]', '_', f'desipipe-{name}')
        watch = self._watching()
        for job in jobs:
            self._jobs[job.jobid] = dataclasses.replace(job)
            watch.track(job.jobid)
        if look or self._jobs:
            self._look_after = time.monotonic()
            watch.hurry()

    @property
    def settled(self) -> bool:
        """Whether Slurm has said what jobs there are; see :meth:`.BaseProvider.settled`."""
        return self._look_after is None

    @property
    def trouble(self) -> str:
        """Why Slurm does not answer; see :meth:`.BaseProvider.trouble`."""
        return self._watching().trouble

    @property
    def pause(self) -> float:
        """Seconds until the next look makes sense; see :meth:`.BaseProvider.pause`."""
        return self._watching().pause(self.timestep) if self._jobs or not self.settled else STEP_MOST

    def hurry(self) -> None:
        """Ask as soon as it is allowed; see :meth:`.BaseProvider.hurry`."""
        self._watching().hurry()

    def poll(self) -> list[Job]:
        """State of the jobs; see :meth:`.BaseProvider.poll`. Slurm is asked in the background, once for all providers of this process."""
        watch = self._watching()
        if not self._jobs and self.settled:
            return []
        watch.look(self.timestep)
        if self._look_after is not None and watch.answered > self._look_after:
            self._look_after = None
        self._find(watch)
        found = []
        for jobid, job in list(self._jobs.items()):
            row = watch.rows.get(jobid)
            if row is not None:
                self._update(job, row, watch)
            if job.state == 'ended' or watch.is_lost(jobid):
                if job.state != 'ended':
                    job.state, job.reason = 'ended', 'Slurm does not know it any more'
                del self._jobs[jobid]
                self._ended.add(jobid)
                watch.forget(jobid)
            found.append(dataclasses.replace(job))
        return found

    def _find(self, watch: _Watch) -> None:
        # Jobs of ours that nobody noted: of a manager that died between sbatch and its note, or of an sbatch that did not come back.
        for row in watch.rows.values():
            if row.name.startswith(self._name + '.') and row.jobid not in self._jobs and row.jobid not in self._ended and row.state not in ENDED:
                slots = row.name.removeprefix(self._name + '.')
                self._jobs[row.jobid] = Job(row.jobid, int(slots) if slots.isdecimal() else 1, 'pending')
                watch.track(row.jobid)

    def _update(self, job: Job, row: Row, watch: _Watch) -> None:
        job.node, job.ends = row.node, row.ends
        if row.state in ENDED:
            if not watch.is_known(job.jobid):
                return  # how it ended is asked for
            began = job.state == 'running' or bool(row.node)
            job.state, job.exitcode = 'ended', row.exitcode
            job.fate, job.reason = fate(row, began)
        elif row.state in ACTIVE:
            job.state, job.reason = 'running', row.state.lower() if row.state != 'RUNNING' else ''
        else:
            job.fate = 'requeued' if job.state == 'running' else job.fate
            job.state, job.reason = 'pending', row.reason or (row.state if row.state != 'PENDING' else '')

    def _watching(self) -> _Watch:
        if self._watch is None:
            self._watch = _Watch.of(tuple(self.sqs or ()))
        return self._watch

    def cancel(self, job: Job, force: bool = False) -> None:
        """End a job; see :meth:`.BaseProvider.cancel`. Slurm is told in the background, and ends with SIGTERM, then SIGKILL, whatever ``force`` says."""
        self._watching().cancel(job.jobid)

    def withdraw(self, jobids: Iterable[str]) -> None:
        """Cancel jobs that nobody manages; see :meth:`.BaseProvider.withdraw`.

        Raises
        ------
        LaunchError
            Slurm did not do it, and what it said.
        """
        done = run(['scancel', *jobids], SUBMIT_WAIT)
        if done.returncode:
            raise LaunchError(f'Slurm did not cancel {", ".join(jobids)}: {" ".join(done.stderr.split())}. Try: scancel {" ".join(jobids)}')

    # In a worker

    def ends_at(self) -> float | None:
        """When this job reaches its time limit; see :meth:`.BaseProvider.ends_at`."""
        text = os.environ.get('DESIPIPE_JOB_END') or os.environ.get('SLURM_JOB_END_TIME', '')
        return float(text) if text.isdecimal() else None

    def told_to_end(self) -> Told | None:
        """Ask Slurm why this job was told to end; see :meth:`.BaseProvider.told_to_end`."""
        # Not SLURM_JOB_ID: that of the last element of an array is the whole array's.
        jobid = os.environ.get('DESIPIPE_JOB') or os.environ.get('SLURM_JOB_ID', '')
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
            # Slurm looks at time limits about every half minute, and may send the signal up to a minute early.
            return Told('walltime', 'its job reached its time limit', left) if left <= self.warning + 90 else None
        if row.state == 'COMPLETING' and int(job.get('Restarts', '0')) > int(os.environ.get('SLURM_RESTART_COUNT', '0')):
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
        return Told('cancelled', 'its job was cancelled (no accounts of Slurm say by whom, or whether it was preempted)', 0.0)


class _Watch:
    """The one question for all jobs that this process knows of.

    Commands run in the background: while the controller does not answer they may take minutes, in which the manager has to show that it lives.

    Parameters
    ----------
    command : tuple of str
        What to run instead of ``squeue``.
    """

    _all: ClassVar[dict[tuple[str, ...], _Watch]] = {}

    def __init__(self, command: tuple[str, ...]) -> None:
        self.command = command
        self.clusters: set[str] = set()
        self.rows: dict[str, Row] = {}
        self.trouble = ''
        self.answered = -math.inf  # when the question was asked that was answered last
        self._tracked: dict[str, float] = {}  # since when
        self._missing: dict[str, int] = {}  # answers without it
        self._asked: set[str] = set()  # of accounting, with an answer or without hope for one
        self._lags: Counter[str] = Counter()  # answers that accounting did not have yet
        self._to_cancel: list[str] = []
        self._step = 0.0
        self._began = -math.inf
        self._urgent = False
        self._accounts = True
        self._running: _Question | None = None
        self._cancelling: _Question | None = None

    @classmethod
    def of(cls, command: tuple[str, ...]) -> _Watch:
        """The one of this process."""
        return cls._all.setdefault(command, cls(command))

    def track(self, jobid: str) -> None:
        """Care for a job."""
        self._tracked.setdefault(jobid, time.monotonic())

    def forget(self, jobid: str) -> None:
        """Do not any more."""
        self._tracked.pop(jobid, None)
        self._missing.pop(jobid, None)
        self._lags.pop(jobid, None)
        self.rows.pop(jobid, None)

    def is_lost(self, jobid: str) -> bool:
        """Whether neither the controller nor accounting know a job."""
        return self._missing.get(jobid, 0) >= LOST_AFTER or (self._missing.get(jobid, 0) > 0 and not self._accounts)

    def is_known(self, jobid: str) -> bool:
        """Whether there is nothing more to learn about the end of a job."""
        return not self._worth_asking(self.rows[jobid])

    def _worth_asking(self, row: Row) -> bool:
        return self._accounts and row.jobid not in self._asked and row.exitcode is None and row.state in _STATUS

    def hurry(self) -> None:
        """Ask again as soon as that is allowed: something has changed."""
        self._urgent = True

    def pause(self, timestep: float) -> float:
        """Seconds until :meth:`look` has something to do."""
        if self._running is not None or self._cancelling is not None or self._to_cancel:
            return BUSY
        return max(BUSY, self._due(timestep) - time.monotonic())

    def _due(self, timestep: float) -> float:
        return self._began + (timestep if self._urgent else max(timestep, self._step))

    def look(self, timestep: float) -> None:
        """Take in an answer, ask the next question; never waits."""
        now = time.monotonic()
        self._cancel_some()
        if self._running is not None:
            if not self._running.done(now):
                return
            question, self._running = self._running, None
            question.then(question)
        if self._running is None and now >= self._due(timestep):
            self._began, self._urgent = now, False
            self._step = max(timestep, min(self._step, STEP_MOST))
            self._ask_squeue()

    def _ask_squeue(self) -> None:
        where = ['-M', ','.join(sorted(self.clusters))] if self.clusters else []
        argv = list(self.command) or ['squeue', '-h', '--array', '-u', username(), '-t', 'all', '-o', FORMAT, *where]
        self._running = _Question(argv, self._take_squeue)

    def _take_squeue(self, answer: _Question) -> None:
        if answer.trouble:
            if self.trouble != answer.trouble:
                self.trouble = answer.trouble
            self._step = min(2 * self._step, STEP_MOST)
            return
        self.trouble = ''
        rows = (parse_listing if self.command else parse_squeue)(answer.out)
        before = {jobid: self.rows.get(jobid) for jobid in self._tracked}
        known = {jobid: row for jobid, row in self.rows.items() if jobid in self._tracked and jobid in self._asked}
        self.rows = {**rows, **{jobid: row for jobid, row in known.items() if row.state in ENDED}}
        ask = [row.jobid for row in self.rows.values() if row.jobid in self._tracked and self._worth_asking(row)]
        for jobid, since in self._tracked.items():
            if jobid in self.rows:
                self._missing.pop(jobid, None)
            elif since < answer.began:
                self._missing[jobid] = self._missing.get(jobid, 0) + 1
                ask.append(jobid)
        self.answered = answer.began
        changed = any(self.rows.get(jobid) != row for jobid, row in before.items())
        self._step = 0.0 if changed or ask else min(1.5 * self._step, STEP_MOST)
        if ask and self._accounts:
            self._running = _Question(
                ['sacct', '-n', '-X', '-P', '-o', SACCT, '-j', ','.join(jobid for jobid in ask)], lambda answer: self._take_sacct(answer, ask)
            )

    def _take_sacct(self, answer: _Question, asked: list[str]) -> None:
        if answer.trouble:
            text = answer.trouble.lower()
            if 'disabled' in text or 'no such file' in text:
                self._accounts = False  # it works without: what squeue shows of a job that has ended must do
            self._asked.update(jobid for jobid in asked if jobid in self.rows)
            return
        found = parse_sacct(answer.out)
        for jobid in asked:
            row, old = found.get(jobid), self.rows.get(jobid)
            if row is not None and row.state in ENDED:
                self.rows[jobid] = row if old is None else old._replace(exitcode=row.exitcode, by=row.by, state=row.state)
                self._missing.pop(jobid, None)
                self._asked.add(jobid)
            elif old is not None:
                self._lags[jobid] += 1  # accounting lags
                if self._lags[jobid] >= LAG_MOST:
                    self._asked.add(jobid)

    # Cancelling

    def cancel(self, jobid: str) -> None:
        """Cancel a job, soon; many together with one command."""
        # Without --state=PENDING: Slurm 22.05 takes all waiting elements of the array for the one that is named then.
        self._to_cancel.append(jobid)
        self.hurry()

    def _cancel_some(self) -> None:
        if self._cancelling is not None and self._cancelling.done(time.monotonic()):
            self._cancelling = None
        if self._cancelling is None and self._to_cancel:
            where = ['-M', ','.join(sorted(self.clusters))] if self.clusters else []
            self._cancelling = _Question(['scancel', *where, *self._to_cancel], lambda answer: None)
            self._to_cancel = []


class _Question:
    """A command of Slurm that runs in the background.

    Parameters
    ----------
    argv : list of str
    then : callable
        For who has started it: called with this, when it is done.
    """

    def __init__(self, argv: list[str], then: Callable[[_Question], None]) -> None:
        self.argv = argv
        self.then = then
        self.began = time.monotonic()
        self.out = self.trouble = ''
        self._files: tuple[IO[bytes], IO[bytes]] = (tempfile.TemporaryFile(), tempfile.TemporaryFile())  # a pipe would have to be read meanwhile
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self._files[0], stderr=self._files[1], env=_environ())
        except OSError as exc:
            self.trouble = f'{argv[0]}: {exc.strerror}'

    def done(self, now: float) -> bool:
        """Whether there is an answer, or never will be one."""
        if self._process is not None:
            status = self._process.poll()
            if status is None and now - self.began < ASK_WAIT:
                return False
            if status is None:
                self._process.send_signal(signal.SIGKILL)
                self._process.wait()
                self.trouble = f'{self.argv[0]} did not answer within {ASK_WAIT:g} s'
            texts = []
            for file in self._files:
                file.seek(0)
                texts.append(file.read().decode(errors='replace'))
            self.out = texts[0]
            if status:
                self.trouble = ' '.join(texts[1].split()) or f'{self.argv[0]}: exit status {status:d}'
            self._process = None
        for file in self._files:
            file.close()
        return True


def run(argv: list[str], timeout: float, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of Slurm, and wait for it.

    Parameters
    ----------
    argv : list of str
    timeout : float
        Seconds.
    given : str, default=None
        What it reads.

    Raises
    ------
    LaunchError
        There is no such command.
    subprocess.TimeoutExpired
    """
    try:
        return subprocess.run(argv, input=given or '', capture_output=True, text=True, errors='replace', timeout=timeout, env=_environ())
    except FileNotFoundError:
        raise LaunchError(
            f'there is no {argv[0]} on this machine: the manager must run where Slurm can be reached (a login node), or choose another provider. '
            f'PATH is {os.environ.get("PATH", "")}'
        ) from None


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
        'account': ['sacctmgr', '-n', '-P', 'show', 'assoc', f'user={username()}', 'format=account'],
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
    words = {word.strip() for line in done.stdout.splitlines() for word in line.split(',')} if done.returncode == 0 else set()
    return sorted(words - {'', '(null)'})


def _said(stderr: str) -> str:
    return ' '.join(line.removeprefix('sbatch: ').removeprefix('error: ') for line in stderr.splitlines() if line.strip())


def _environ() -> dict[str, str]:
    # A manager that runs in a job itself must not hand that job's settings on, and what we read must look as we expect.
    kept = ('SLURM_CONF', 'SLURM_CLUSTERS')
    environ = {name: value for name, value in os.environ.items() if name in kept or not name.startswith(('SLURM_', 'SQUEUE_', 'SACCT_', 'DESIPIPE_JOB'))}
    return {**environ, 'LC_ALL': 'C.UTF-8' if environ.get('LC_ALL') != 'C' else 'C'}


def _parse_signal(value: Any, what: str) -> tuple[str, str, int]:
    match = _SIGNAL.fullmatch(value) if isinstance(value, str) else None
    if match is None or not (match[3].isdecimal() or hasattr(signal, f'SIG{match[3]}')):
        raise ConfigError(f"{what} is {value!r}, but must be a signal and the seconds before the time limit, such as 'SIGTERM@60'")
    return match[1] or '', match[3], int(match[4] or 60)


def _check_kwargs(value: Any, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, str):
        value = {name.strip(): text.strip() if equals else True for name, equals, text in (word.partition('=') for word in value.split(','))}
    if not isinstance(value, Mapping) or not all(value):
        raise ConfigError(f"{what} must be options of sbatch, such as {{'cpus-per-task': 2}}, or 'cpus-per-task=2,exclusive', not {value!r}")
    found = {}
    for option, given in value.items():
        name = str(option).lstrip('-').replace('_', '-')
        if name in _RESERVED or name in ('job-name', 'J'):
            raise ConfigError(f'{what} holds {option!r}, which desipipe needs for itself: leave it out')
        if name in _OWN:
            raise ConfigError(f'{what} holds {option!r}, which is an option of the provider itself: {name}=')
        if not (given is None or isinstance(given, str | int | float)) or '\n' in str(given):
            raise ConfigError(f'{what}: {option} is {given!r}, but must be text, a number, or True for an option without a value')
        found[name] = given
    return found
