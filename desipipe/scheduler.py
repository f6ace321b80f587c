"""Schedulers: how many tasks of a task manager are to run at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from .config.checked_numbers import whole_number
from .config.configurable import Configurable, inherit_options
from .errors import UnknownOptionError, close_names
from .utils import BaseClass

__all__ = ['BaseClass', 'BaseScheduler', 'Scheduler', 'SimpleScheduler', 'get_scheduler']


def whole_part(value: Any) -> Any:
    """Return the whole part of a finite float from 1 on; anything else as it is."""
    return int(value) if isinstance(value, float) and 1 <= value < float('inf') else value


def check_complete(made: object, base: type, *methods: str) -> None:
    """Check that an object's class has methods of its own.

    Parameters
    ----------
    made : object
        An instance of a subclass; one of ``base`` itself may be without.
    base : type
        Class that declares the methods.
    *methods : str
        Their names.

    Raises
    ------
    TypeError
    """
    missing = [name for name in methods if getattr(type(made), name) is getattr(base, name)]
    if missing and type(made) is not base:
        raise TypeError(
            f'The class {type(made).__name__} is abstract: it has no {", ".join(missing)}. '
            'Nothing was made of it. Define them, or __call__ as in desipipe 1.0.'
        )


class BaseScheduler(Configurable):
    """Base of schedulers, which set how many slots a task manager is to have.

    An own one is a subclass with a ``name``, its options in ``defaults``, and :meth:`wanted`; see
    :class:`.Configurable` for how it is found.
    """

    kind = 'scheduler'
    key = 'scheduler'
    default = 'simple'
    builtin: ClassVar[Mapping[str, str]] = {'simple': 'desipipe.scheduler:SimpleScheduler'}

    _defaults: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        inherit_options(cls)
        nearest = next(
            (
                name
                for base in cls.__mro__
                for name in ('wanted', '__call__')
                if name in base.__dict__
            ),
            '',
        )
        if nearest == '__call__':
            cls.wanted = _wanted_by_calling  # type: ignore[method-assign]

    def __init__(self, provider: Any = None, **options: Any) -> None:
        check_complete(self, BaseScheduler, 'wanted')
        self.provider = provider
        updates = type(self).update is not BaseScheduler.update
        super().__init__(**({} if updates else options))
        if updates:  # an own one of the original's, which is told of all options by that
            self.update(provider=provider, **options)

    def update(self, **kwargs: Any) -> None:
        """Change options in place.

        Parameters
        ----------
        **kwargs
            Options by name; ``provider``: what :meth:`__call__` starts workers with.

        Raises
        ------
        UnknownOptionError
            For an option that it does not have.
        """
        if 'provider' in kwargs:
            self.provider = kwargs.pop('provider')
        unknown = next((name for name in kwargs if name not in self.defaults), None)
        if unknown is not None:
            near = close_names(unknown, self.defaults)
            raise UnknownOptionError(
                f'The scheduler {self.label} has no option {unknown!r}: {near}'
            )
        for name, value in kwargs.items():
            setattr(self, name, self.check(name, value))

    def wanted(self, pending: int, running: int) -> int:
        """Return the number of slots wanted now.

        It is called whenever one of the two numbers has changed, so it must be quick.

        Parameters
        ----------
        pending : int
            Number of tasks that could begin.
        running : int
            Number of tasks that run.

        Returns
        -------
        slots : int
            Slots to have in all, those there are included; what is missing is asked of the
            provider. Slots are never taken from a task.
        """
        raise NotImplementedError

    def __call__(self, cmd: str, ntasks: int | None = None) -> int:
        """Start a command with the provider, as often as workers are missing.

        Parameters
        ----------
        cmd : str
            Command line of a worker.
        ntasks : int, default=None
            Number of tasks that wait; by default as many as may run at once.

        Returns
        -------
        workers : int
            Number of workers that were started.
        """
        raise NotImplementedError


class _Asked:
    """Provider as the original's schedulers see it: it counts the workers asked for.

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

    def jobids(
        self, state: Any = ('PENDING', 'RUNNING'), return_nworkers: bool = False
    ) -> list[Any]:
        """Return no jobs: there are none to choose from."""
        return []

    def cost(self, workers: int = 1) -> float:
        """Return the same for any number of workers."""
        return 0.0

    def kill(self, *jobids: Any) -> None:
        """Cancel nothing: workers that are too many end by themselves."""


def _wanted_by_calling(self: Any, pending: int, running: int) -> int:
    """Return how many workers one of the original's schedulers starts when called."""
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
        The most tasks that run at the same time; each may use several MPI processes, see the
        provider.
    """

    name = 'simple'
    defaults: ClassVar[Mapping[str, Any]] = {'max_workers': 1}
    max_workers: int

    def check(self, option: str, value: Any) -> Any:
        """Check ``max_workers``; see :meth:`.Configurable.check`."""
        return (
            whole_number(whole_part(value), f'{option} of the {self.kind} {self.label}')
            if option == 'max_workers'
            else super().check(option, value)
        )

    def wanted(self, pending: int, running: int) -> int:
        """Number of slots wanted now; see :meth:`BaseScheduler.wanted`."""
        return min(self.max_workers, pending + running)

    def __call__(self, cmd: str, ntasks: int | None = None) -> int:
        """Start a command with the provider; see :meth:`BaseScheduler.__call__`."""
        pending = self.provider.nworkers(state='PENDING')
        missing = (self.max_workers if ntasks is None else ntasks) - pending
        workers: int = max(0, min(missing, self.max_workers - self.provider.nworkers()))
        for part in cheapest_parts(workers, self.provider.cost):
            self.provider(cmd, workers=part)
        return workers


def cheapest_parts(workers: int, cost: Callable[[int], float]) -> Iterator[int]:
    """Divide workers into the jobs that cost least, of these the largest.

    Parameters
    ----------
    workers : int
        Number of workers to start.
    cost : callable
        Cost of a job of so many workers, as :meth:`.BaseProvider.cost`.

    Yields
    ------
    part : int
        Number of workers of the next job.
    """
    while workers > 0:
        part = min(range(workers, 0, -1), key=cost)
        yield part
        workers -= part


def Scheduler(
    scheduler: BaseScheduler | Mapping[str, Any] | str | None = None,
    config: Mapping[str, Any] | None = None,
    **options: Any,
) -> BaseScheduler:
    """Make a scheduler from whatever people write.

    Parameters
    ----------
    scheduler : str, dict, BaseScheduler, default=None
        A name, such as 'simple'; a dictionary with ``name`` and options, or with options only; a
        scheduler, which is returned, or a copy of it if there are ``options``. Without name what
        the configuration says, else 'simple', with these options on top.
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
