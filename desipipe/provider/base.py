"""What every provider has: jobs, and how a task of several MPI processes is started."""

from __future__ import annotations

import abc
import shlex
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ..config import Configurable, whole_number
from ..environment import BaseEnvironment
from ..errors import ConfigError

__all__ = ['BaseProvider', 'Job', 'Provider', 'get_provider']


@dataclass(slots=True)
class Job:
    """Worker processes that were started together, as they were when the provider looked last."""

    jobid: str
    """Its identity, unlike that of any other job of the queue."""
    slots: int
    """Number of tasks that it serves at the same time."""
    state: Literal['pending', 'running', 'ended']
    """Whether it waits for a machine, runs, or has ended."""
    reason: str = ''
    """Why it waits, or how it ended, in words."""
    exitcode: int | None = None
    """Exit status of its process, negative for the signal that killed it; None while there is none."""
    node: str = ''
    """Name of the machine."""


class BaseProvider(Configurable, abc.ABC):
    """Starts worker processes, and knows what became of those it started.

    An own one is a subclass with a ``name``, its options in ``defaults`` (``{**BaseProvider.defaults, …}``), and :meth:`launch`, :meth:`poll` and
    :meth:`cancel`; see :class:`.Configurable` for how it is found.

    Parameters
    ----------
    mpiprocs_per_worker : int, default=1
        Number of MPI processes that run a task together; with 1, tasks run without `mpiexec`.
    mpiexec : str, default='mpiexec -n {mpiprocs:d} {cmd}'
        How a command is run by several MPI processes: a template, or a program, with options of its own if need be, that takes ``-n``.
    """

    kind = 'provider'
    key = 'provider'
    default = 'local'
    builtin: ClassVar[Mapping[str, str]] = {'local': 'desipipe.provider.local:LocalProvider'}
    defaults: ClassVar[Mapping[str, Any]] = {'mpiprocs_per_worker': 1, 'mpiexec': 'mpiexec -n {mpiprocs:d} {cmd}'}
    placeholders: ClassVar[tuple[str, ...]] = ('mpiprocs', 'cmd')
    """What a template of ``mpiexec`` may hold; see :meth:`mpi_values`."""

    mpiprocs_per_worker: int
    mpiexec: str
    spare_slots_are_free: ClassVar[bool] = False
    """Whether slots that have nothing to do cost nothing: then workers get all slots that the scheduler may ever want."""

    def check(self, option: str, value: Any) -> Any:
        """Check the options of every provider; see :meth:`.Configurable.check`."""
        what = f'{option} of the {self.kind} {self.label}'
        if option == 'mpiprocs_per_worker':
            return whole_number(value, what)
        value = super().check(option, value)
        if option == 'mpiexec':
            try:
                tried = [word.format(**{**dict.fromkeys(self.placeholders, 1), 'cmd': ''}) for word in shlex.split(value)]
            except (ValueError, LookupError, AttributeError):
                tried = []
            if not tried:
                words = ' and '.join(f'{{{name}}}' for name in self.placeholders)
                raise ConfigError(f'{what} is {value!r}, but must be a program, or a template in which {words} stand for what they say')
        return value

    @abc.abstractmethod
    def launch(self, argv: list[str], slots: int, environ: BaseEnvironment, log: str, cwd: str) -> list[Job]:
        """Start worker processes that together serve a number of slots; returns as soon as they are asked for.

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

    @abc.abstractmethod
    def poll(self) -> list[Job]:
        """State of the jobs that were launched here; never waits.

        Returns
        -------
        jobs : list of Job
            In order of launch. Each that has ended is in the list once, and never again.
        """

    @abc.abstractmethod
    def cancel(self, job: Job, force: bool = False) -> None:
        """End a job. Nothing happens if it has ended.

        Parameters
        ----------
        job : Job
            The job; its ``jobid`` counts.
        force : bool, default=False
            If False, the workers are asked to end (SIGTERM), and settle their tasks. If True, they are killed (SIGKILL) with everything they started.
        """

    def describe_end(self, job: Job) -> str:
        """How a job ended.

        Parameters
        ----------
        job : Job
            A job that has ended.

        Returns
        -------
        words : str
            ``"killed by signal 9 (SIGKILL)"``, ``"exit status 3"``; the job's ``reason`` if it has no exit status.
        """
        if job.exitcode is None:
            return job.reason or 'ended, nobody knows how'
        if job.exitcode >= 0:
            return f'exit status {job.exitcode:d}'
        try:
            return f'killed by signal {-job.exitcode:d} ({signal.Signals(-job.exitcode).name})'
        except ValueError:  # real-time signals have no names
            return f'killed by signal {-job.exitcode:d}'

    def mpi_values(self) -> dict[str, Any]:
        """Values of the :attr:`placeholders` in ``mpiexec``, ``cmd`` apart; to be extended by providers that have more.

        Returns
        -------
        values : dict
        """
        return {'mpiprocs': self.mpiprocs_per_worker}

    def mpi_command(self, argv: list[str]) -> list[str]:
        """Command line that runs a command as ``mpiprocs_per_worker`` MPI processes.

        Parameters
        ----------
        argv : list of str
            Command line of one process.

        Returns
        -------
        argv : list of str
            The same if one process is wanted.
        """
        if self.mpiprocs_per_worker == 1:
            return list(argv)
        values = {**self.mpi_values(), 'cmd': shlex.join(argv)}
        words = shlex.split(self.mpiexec)
        if '{' not in self.mpiexec:
            words += ['-n', '{mpiprocs:d}']
        if '{cmd}' not in self.mpiexec:
            words.append('{cmd}')
        # A word that is nothing but {cmd} becomes the words of the command; inside another word, as in sh -c "…{cmd}", it is one text, quoted for the shell.
        return [part for word in words for part in (argv if word == '{cmd}' else [word.format(**values)])]


def Provider(provider: BaseProvider | Mapping[str, Any] | str | None = None, config: Mapping[str, Any] | None = None, **options: Any) -> BaseProvider:
    """Make a provider from whatever people write.

    Parameters
    ----------
    provider : str, dict, BaseProvider, default=None
        A name, such as 'local'; a dictionary with ``name`` and options, or with options only; a provider, which is returned, or a copy of it if
        there are ``options``. Without name what the configuration says, else 'local', with these options on top.
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
