"""Base of all providers: jobs, and the start of tasks with several MPI processes."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from ..config.checked_numbers import number, whole_number
from ..config.configurable import inherit_options
from ..environment import BaseEnvironment
from ..errors import ConfigError
from ..scheduler import check_complete, whole_part
from .batch_jobs import BatchJobs
from .job import Job
from .original import OriginalInterface, adapt

__all__ = ['BaseProvider', 'Job', 'Provider', 'Told', 'get_provider']


class Told(NamedTuple):
    """Why a worker was told to end, and how long it has."""

    fate: str
    """One of :class:`.Fate`, or ``'terminated'`` if it is unknown."""
    text: str
    seconds: float | None = None
    """Until it is killed; None if unknown."""


class BaseProvider(BatchJobs, OriginalInterface):
    """Starts worker processes, and knows what became of those it started.

    An own one is a subclass with a ``name``, its options in ``defaults``
    (``{**BaseProvider.defaults, …}``), and :meth:`launch`, :meth:`poll` and
    :meth:`cancel`; see :class:`.Configurable` for how it is found. One of a batch system has more
    to say of its jobs: see :class:`.BatchJobs`.

    Parameters
    ----------
    mpiprocs_per_worker : int, default=1
        Number of MPI processes that run a task together; with 1, tasks run without `mpiexec`.
    mpiexec : str, default='mpiexec -np {mpiprocs:d} {cmd}'
        Command run by several MPI processes: a template, or a program, with options of its
        own if need be, that takes ``-n``.
    environ : Environment, default=None
        Environment of commands that are started by calling the provider; a task manager has its
        own.
    """

    kind = 'provider'
    key = 'provider'
    default = 'local'
    builtin: ClassVar[Mapping[str, str]] = {
        'local': 'desipipe.provider.local:LocalProvider',
        'slurm': 'desipipe.provider.slurm:SlurmProvider',
        'nersc': 'desipipe.provider.nersc:NERSCProvider',
        'gridengine': 'desipipe.provider.gridengine:GridEngineProvider',
    }
    defaults: ClassVar[Mapping[str, Any]] = {
        'mpiprocs_per_worker': 1,
        'mpiexec': 'mpiexec -np {mpiprocs:d} {cmd}',
        'stop_after': None,
    }
    placeholders: ClassVar[tuple[str, ...]] = ('mpiprocs', 'cmd')
    """Placeholders that a template of ``mpiexec`` may have; see :meth:`mpi_values`."""

    mpiprocs_per_worker: int
    mpiexec: str
    spare_slots_are_free: ClassVar[bool] = False
    """True if idle slots cost nothing: workers then get all slots that the scheduler may ever want.
    """
    killed_at_timeout: bool | None = None
    """True if what runs at the time limit is KILLED, False if it begins again; None: KILLED if it
    was the first of its slot.
    """
    stop_after: int | None = None
    """Number of tasks after which a slot ends; None: no limit."""
    warning: float = 60.0
    """Seconds before a job's time limit at which running tasks are told; less for short jobs."""
    _defaults: ClassVar[Mapping[str, Any]] = defaults

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        inherit_options(cls)
        adapt(cls)

    @property
    def charge_factor(self) -> float | None:
        """Charge for a node-hour, in node-hours; None where that is not known."""
        return None

    def __init__(self, environ: Any = None, **options: Any) -> None:
        check_complete(self, BaseProvider, 'launch', 'poll', 'cancel')
        timestep = options.pop('timestep', None)
        self.processes = []
        updates = type(self).update is not OriginalInterface.update
        super().__init__(**({} if updates else options))
        if environ is not None and not updates:
            OriginalInterface.update(self, environ=environ)
        if timestep is not None:
            self.timestep = number(timestep, f'timestep of the {self.kind} {self.label}')
        if updates:  # an own one of the original's, which is told of all options by that
            self.update(environ=environ, **options)

    @property
    def timeout(self) -> float:
        """Seconds after which a job of this provider has surely ended."""
        return 1e20

    def check(self, option: str, value: Any) -> Any:
        """Check the options of every provider; see :meth:`.Configurable.check`."""
        what = f'{option} of the {self.kind} {self.label}'
        if option == 'mpiprocs_per_worker' or (option == 'stop_after' and value is not None):
            return whole_number(whole_part(value), what)
        value = super().check(option, value)
        if option == 'mpiexec':
            try:
                tried = [
                    word.format(**{**dict.fromkeys(self.placeholders, 1), 'cmd': ''})
                    for word in shlex.split(value)
                ]
            except (ValueError, LookupError, AttributeError):
                tried = []
            if not tried:
                placeholders = ' and '.join(f'{{{name}}}' for name in self.placeholders)
                raise ConfigError(
                    f'{what} is {value!r}, but must be a program, or a template in which '
                    f'{placeholders} stand for what they say.'
                )
        return value

    def launch(
        self, argv: list[str], slots: int, environ: BaseEnvironment, log: str, cwd: str
    ) -> list[Job]:
        """Start worker processes that together serve ``slots``; return without waiting.

        Parameters
        ----------
        argv : list of str
            Command line of a worker. The provider adds ``--slots N --jobid JOBID`` to it.
        slots : int
            Number of slots, all jobs together.
        environ : BaseEnvironment
            Environment of the workers, on top of that of this process.
        log : str
            File, in a folder that exists, to which what the workers print is appended.
        cwd : str
            Folder in which they start.

        Returns
        -------
        jobs : list of Job

        Raises
        ------
        ConfigError, OSError
            If nothing could be started, and why.
        """
        raise NotImplementedError

    def poll(self) -> list[Job]:
        """State of the jobs that were launched here; never waits.

        Returns
        -------
        jobs : list of Job
            In order of launch. Each that has ended is in the list once, and never again.
        """
        raise NotImplementedError

    def cancel(self, job: Job, force: bool = False) -> None:
        """End a job. Nothing happens if it has ended.

        Parameters
        ----------
        job : Job
            The job; its ``jobid`` counts.
        force : bool, default=False
            If False, the workers are asked to end (SIGTERM), and settle their tasks. If True, they
            are killed (SIGKILL) with everything they started.
        """
        raise NotImplementedError

    def ends_at(self) -> float | None:
        """Return, in a worker, its job's time limit in seconds since the epoch, or None."""
        return None

    def told_to_end(self) -> Told | None:
        """Return, in a worker ended by a signal, the reason; None if it is unknown.

        This may take a few seconds.
        """
        return None

    def begins_again(self, first: bool, again: bool = False) -> bool:
        """Return True if a task begins again that its job's time limit has ended.

        Its retries are left in any case.

        Parameters
        ----------
        first : bool
            True if it was the first of its slot: then it had about all the time there is.
        again : bool, default=False
            True if the mode is ``'retry_at_timeout'``.
        """
        killed = self.killed_at_timeout if not again else False
        return killed is False or (killed is None and not first)

    def describe_end(self, job: Job) -> str:
        """Describe how a job ended.

        Parameters
        ----------
        job : Job
            A job that has ended.

        Returns
        -------
        words : str
            ``"killed by signal 9 (SIGKILL)"``, ``"exit status 3"``; the job's ``reason`` if it has
            no exit status.
        """
        if job.exitcode is None:
            return job.reason or 'ended, for an unknown reason'
        if job.exitcode >= 0:
            return f'exit status {job.exitcode:d}'
        try:
            return f'killed by signal {-job.exitcode:d} ({signal.Signals(-job.exitcode).name})'
        except ValueError:  # real-time signals have no names
            return f'killed by signal {-job.exitcode:d}'

    def mpi_values(self) -> dict[str, int | float]:
        """Return values of the :attr:`placeholders` in ``mpiexec``, except ``cmd``.

        Providers with more of them extend it.

        Returns
        -------
        values : dict
        """
        return {'mpiprocs': self.mpiprocs_per_worker}

    def split_values(self, splits: int) -> dict[str, int | float]:
        """Return the values that differ when one launcher serves several slots."""
        return {'mpiprocs': self.mpiprocs_per_worker * splits}

    def mpi_splits(self, slots: int) -> int:
        """Return among how many slots the processes of one launcher are divided.

        Parameters
        ----------
        slots : int
            Slots of the worker.
        """
        return 1

    @property
    def remote_ranks(self) -> bool:
        """Return True if MPI processes may run on other nodes than their worker."""
        return False

    def mpi_command(self, argv: list[str], splits: int = 1) -> list[str]:
        """Command line that runs a command as ``mpiprocs_per_worker`` MPI processes.

        Parameters
        ----------
        argv : list of str
            Command line of one process.
        splits : int, default=1
            For so many slots together.

        Returns
        -------
        argv : list of str
            The same if one process is wanted.
        """
        return list(argv) if self.mpiprocs_per_worker == 1 else self.launcher_command(argv, splits)

    def launcher_command(self, argv: list[str], splits: int = 1) -> list[str]:
        """Return the command line of the launcher; see :meth:`mpi_command`."""
        values = {
            **self.mpi_values(),
            **(self.split_values(splits) if splits > 1 else {}),
            'cmd': shlex.join(argv),
        }
        arguments = shlex.split(self.mpiexec)
        if '{' not in self.mpiexec:
            arguments += ['-n', '{mpiprocs:d}']
        if '{cmd}' not in self.mpiexec:
            arguments.append('{cmd}')
        # A word that is nothing but {cmd} becomes the words of the command; inside another word, as
        # in sh -c "…{cmd}", it is one text, quoted for the shell.
        return [
            part
            for word in arguments
            for part in (argv if word == '{cmd}' else [word.format(**values)])
        ]


def Provider(
    provider: BaseProvider | Mapping[str, Any] | str | None = None,
    config: Mapping[str, Any] | None = None,
    **options: Any,
) -> BaseProvider:
    """Make a provider from whatever people write.

    Parameters
    ----------
    provider : str, dict, BaseProvider, default=None
        A name, such as 'local'; a dictionary with ``name`` and options, or with options only; a
        provider, which is returned, or a copy of it if there are ``options``. Without name what the
        configuration says, else 'local', with these options on top.
    config : Config, default=None
        Configuration to look into; by default the user's.
    **options
        Further options.

    Returns
    -------
    provider : BaseProvider

    Raises
    ------
    UnknownNameError, UnknownOptionError, ConfigError
        Saying what is valid.
    """
    return BaseProvider.make(provider, config, **options)


get_provider = Provider
