"""Workers as processes of this machine."""

from __future__ import annotations

import dataclasses
import os
import shlex
import signal
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ..config.checked_numbers import whole_number
from ..environment import BaseEnvironment, Environment
from ..errors import ConfigError
from ..store.shared_files import open_log
from .base import BaseProvider, Job
from .original import as_states

if TYPE_CHECKING:
    from subprocess import Popen

__all__ = ['LocalProvider']


class LocalProvider(BaseProvider):
    """Provider that starts one worker process on this machine for each :meth:`launch`.

    The worker has a session of its own: it survives the hang-up of the terminal and the end of the
    process that started it.

    Parameters
    ----------
    mpiprocs_per_worker : int, default=1
        Number of MPI processes that run a task together.
    mpiexec : str, default='mpiexec -np {mpiprocs:d} {cmd}'
        Launcher of several MPI processes, see :class:`.BaseProvider`.
    stop_after : int, default=None
        Number of tasks after which a slot ends.
    """

    name = 'local'
    defaults: ClassVar[Mapping[str, Any]] = {**BaseProvider.defaults, 'stop_after': None}
    spare_slots_are_free = True  # a slot is forked when there is a task for it

    def __init__(self, environ: Any = None, **options: Any) -> None:
        super().__init__(environ, **options)
        self._jobs: dict[str, tuple[Job, Popen[bytes]]] = {}

    @classmethod
    def jobid(cls) -> int:
        """Return the number of this process."""
        return os.getpid()

    @classmethod
    def kill(cls, *jobids: Any) -> None:
        """Ask processes to end; those that have ended, or are not ours, are passed over."""
        for jobid in jobids:
            try:
                os.kill(int(jobid), signal.SIGTERM)
            except (ProcessLookupError, PermissionError):
                continue

    def __call__(self, cmd: str, workers: int = 1) -> None:
        """Start a command once per worker, as processes that outlive this one.

        Parameters
        ----------
        cmd : str
            Command line.
        workers : int, default=1
        """
        import subprocess

        environ = Environment(self.environ).to_dict(all=True)
        argv = self.mpi_command(shlex.split(cmd))
        for _ in range(workers):
            self.processes.append(subprocess.Popen(argv, start_new_session=True, env=environ))

    def jobids(
        self, state: Any = ('PENDING', 'RUNNING'), return_nworkers: bool = False
    ) -> list[Any]:
        """Return None for each running process, as processes here have no job identity.

        See :meth:`.OriginalInterface.jobids`.
        """
        states = as_states(state)
        processes = [*self.processes, *(process for _, process in self._jobs.values())]
        if 'ALL' not in states:
            processes = [one for one in processes if 'RUNNING' in states and one.poll() is None]
        return [(None, 1) if return_nworkers else None for _ in processes]

    def cost(self, workers: int = 1) -> float:
        """Return the cost of workers, higher once they use all processors of this machine."""
        processes, processors = workers * self.mpiprocs_per_worker, os.cpu_count() or 1
        return 0.0 if processes < processors else 5.0 if processes == processors else 10.0

    def launch(
        self, argv: list[str], slots: int, environ: BaseEnvironment, log: str, cwd: str
    ) -> list[Job]:
        """Start one worker process with all slots; see :meth:`.BaseProvider.launch`."""
        import subprocess

        whole_number(slots, 'the number of slots')
        # Not the process's number, which it does not know before it begins, and which another host
        # gives to another process.
        jobid = f'local:{os.urandom(4).hex()}'
        argv = [*argv, '--slots', str(slots), '--jobid', jobid]
        if environ.needs_shell():
            # `exec`, so that the process that we know, signal and wait for becomes the worker.
            argv = ['bash', '-c', f'{environ.to_launch_script()}exec "$@"', 'bash', *argv]
            env = dict(os.environ)
        else:
            env = environ.to_dict(all=True)
        if not os.path.isdir(cwd):
            raise ConfigError(
                'No worker was started, because the folder where it should start is not there: '
                f'{cwd}. Tasks wait until it is back.'
            )
        with open_log(log) as file:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
        job = Job(jobid, slots, 'running', node=os.uname().nodename)
        self._jobs[jobid] = job, process
        return [dataclasses.replace(job)]

    @property
    def pause(self) -> float:
        """Seconds between two looks at processes; see :meth:`.BatchJobs.pause`."""
        return 0.25

    def poll(self) -> list[Job]:
        """State of the workers that were started here; see :meth:`.BaseProvider.poll`."""
        jobs = []
        for jobid, (job, process) in list(self._jobs.items()):
            if self._reap(process):
                job.state = 'ended'
                job.exitcode = process.returncode
                job.reason = self.describe_end(job)
                del self._jobs[jobid]
            jobs.append(dataclasses.replace(job))
        return jobs

    def cancel(self, job: Job, force: bool = False) -> None:
        """End a worker; see :meth:`.BaseProvider.cancel`."""
        if job.jobid not in self._jobs:
            return
        process = self._jobs[job.jobid][1]
        if self._reap(process):
            return
        # Not reaped yet: be it alive or a zombie by now, its number can't have been given to
        # somebody else.
        if force:
            _kill_group(process.pid)
        else:
            os.kill(process.pid, signal.SIGTERM)

    def _reap(self, process: Popen[bytes]) -> bool:
        """Tell whether a worker has ended, and take its exit status."""
        if process.returncode is None and hasattr(os, 'waitid'):
            # Look before reaping: as long as the zombie is there its number, which is that of the
            # group, belongs to nobody else.
            try:
                ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except (
                ChildProcessError
            ):  # somebody in this process reaped it: `poll` knows what to make of it
                ended = None
            if ended is not None and (ended.si_code != os.CLD_EXITED or ended.si_status):
                # It did not end by itself and could not stop its slots: what they run is going to
                # be started again elsewhere, and must not run twice.
                _kill_group(process.pid)
        return process.poll() is not None


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # Nobody left; macOS says EPERM for a group in which only zombies are.
        return
