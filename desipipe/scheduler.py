"""Schedulers: how many tasks of a task manager are to run at the same time."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

from .config import Configurable, inherit_options, whole_number

__all__ = ['BaseScheduler', 'Scheduler', 'SimpleScheduler', 'get_scheduler']


class BaseScheduler(Configurable, abc.ABC):
    """Says how many slots, each of which runs one task at a time, a task manager is to have.

    An own one is a subclass with a ``name``, its options in ``defaults``, and :meth:`wanted`; see :class:`.Configurable` for how it is found.
    """

    kind = 'scheduler'
    key = 'scheduler'
    default = 'simple'
    builtin: ClassVar[Mapping[str, str]] = {'simple': 'desipipe.scheduler:SimpleScheduler'}

    _defaults: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        inherit_options(cls)
        if '__call__' in cls.__dict__ and getattr(cls.wanted, '__isabstractmethod__', False):
            cls.wanted = _wanted_by_calling  # type: ignore[method-assign]

    @abc.abstractmethod
    def wanted(self, pending: int, running: int) -> int:
        """Number of slots wanted now; called whenever one of the two numbers has changed, so it must be quick.

        Parameters
        ----------
        pending : int
            Number of tasks that could begin.
        running : int
            Number of tasks that run.

        Returns
        -------
        slots : int
            Slots to have in all, those there are included; what is missing is asked of the provider. Slots are never taken from a task.
        """


class _Asked:
    """The provider as a scheduler of the original sees it: it counts the workers asked for.

    Parameters
    ----------
    running : int
        Number of workers that run.
    """

    def __init__(self, running: int) -> None:
        self.running = running
        self.asked = 0
        self.timestep = 0.0

    def __call__(self, cmd: str, workers: int = 1) -> None:
        self.asked += workers

    def nworkers(self, of: str = 'workers', state: Any = ('PENDING', 'RUNNING')) -> int:
        """Return the number of workers, none of which is pending."""
        return self.running if 'RUNNING' in state else 0

    def jobids(self, state: Any = ('PENDING', 'RUNNING'), return_nworkers: bool = False) -> list[Any]:
        """Return no jobs: there are none to choose from."""
        return []

    def cost(self, workers: int = 1) -> float:
        """Return the same for any number of workers."""
        return 0.0

    def kill(self, *jobids: Any) -> None:
        """Cancel nothing: workers that are too many end by themselves."""


def _wanted_by_calling(self: Any, pending: int, running: int) -> int:
    """Ask a scheduler written for the original, ``__call__(cmd, ntasks)``, how many workers it starts."""
    provider = _Asked(running)
    self.provider = provider
    if pending:
        self('', ntasks=pending)
    return running + provider.asked


class SimpleScheduler(BaseScheduler):
    """Starts one slot for each task, up to ``max_workers``.

    Parameters
    ----------
    max_workers : int, default=1
        The most tasks that run at the same time; each may use several MPI processes, see the provider.
    """

    name = 'simple'
    defaults: ClassVar[Mapping[str, Any]] = {'max_workers': 1}
    max_workers: int

    def check(self, option: str, value: Any) -> Any:
        """Check ``max_workers``; see :meth:`.Configurable.check`."""
        return whole_number(value, f'{option} of the {self.kind} {self.label}') if option == 'max_workers' else super().check(option, value)

    def wanted(self, pending: int, running: int) -> int:
        """Number of slots wanted now; see :meth:`BaseScheduler.wanted`."""
        return min(self.max_workers, pending + running)


def Scheduler(scheduler: BaseScheduler | Mapping[str, Any] | str | None = None, config: Mapping[str, Any] | None = None, **options: Any) -> BaseScheduler:
    """Make a scheduler from whatever people write.

    Parameters
    ----------
    scheduler : str, dict, BaseScheduler, default=None
        A name, such as 'simple'; a dictionary with ``name`` and options, or with options only; a scheduler, which is returned, or a copy of it if
        there are ``options``. Without name what the configuration says, else 'simple', with these options on top.
    config : Config, default=None
        Configuration to look into; by default the user's.
    **options
        Further options.

    Returns
    -------
    scheduler : BaseScheduler

    Raises
    ------
    UnknownNameError, UnknownOptionError, ConfigError
        Saying what is valid.
    """
    return BaseScheduler.make(scheduler, config, **options)


get_scheduler = Scheduler
