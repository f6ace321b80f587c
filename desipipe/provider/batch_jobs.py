"""Jobs that wait and outlive their manager: those of batch systems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from ..config.configurable import Configurable
from ..errors import ConfigError
from .job import Job

__all__ = ['BatchJobs']


def note_nothing(name: str, slots: int) -> None:
    """Note no submission: the provider has no manager that would."""


class BatchJobs(Configurable):
    """Members of a provider that a manager uses for the jobs of a batch system.

    Here they are as for other providers, whose jobs end with the manager: a subclass of
    :class:`.BaseProvider` for a batch system overrides them.
    """

    batch: ClassVar[bool] = False
    """True if jobs are those of a batch system: they wait, outlive the manager, and only the batch
    system knows how they ended.
    """
    timestep: float = 10.0
    """Seconds between two questions to the batch system, at least; set by the manager."""

    note_submission: Callable[[str, int], None] = staticmethod(note_nothing)
    """Called before jobs are submitted, with a name that only they have and their slots; set by
    the manager, which writes it down.
    """

    def adopt(
        self,
        name: str,
        jobs: Iterable[Job] = (),
        look: bool = False,
        submissions: Mapping[str, int] | None = None,
    ) -> None:
        """Take over the jobs of an earlier manager; managers call this before all else.

        Parameters
        ----------
        name : str
            Of queue and task manager, unlike that of any other.
        jobs : iterable of Job
            Jobs that had not ended when they were last heard of.
        look : bool, default=False
            True if there may be others of that name.
        submissions : mapping, default=None
            Slots of submissions of which nobody knows whether the batch system took them, by their
            names.
        """

    @property
    def settled(self) -> bool:
        """Return True once it is known what jobs there are: nothing is launched before."""
        return True

    @property
    def unexplained(self) -> int:
        """Slots of submissions that the batch system may or may not have accepted."""
        return 0

    @property
    def proven(self) -> bool:
        """Return True once the batch system has given an answer that can be believed.

        Until then, one job is submitted at a time.
        """
        return True

    def take_explained(self) -> list[str]:
        """Return the names of submissions whose fate became known since the last call."""
        return []

    @property
    def cancelled(self) -> bool:
        """True once the batch system has received all cancellations by :meth:`cancel`."""
        return True

    @property
    def trouble(self) -> str:
        """Describe what keeps the batch system from answering; empty if nothing does."""
        return ''

    def hopeless(self, job: Job) -> str:
        """Return what to do about a job that will never begin as it is; empty if it may."""
        return ''

    @property
    def pause(self) -> float:
        """Seconds until the next :meth:`poll` makes sense."""
        return self.timestep

    def hurry(self) -> None:
        """Something has happened to a job: look as soon as that is allowed."""

    def withdraw(
        self, name: str, jobs: Iterable[Job], submissions: Iterable[str] = ()
    ) -> list[str]:
        """Cancel jobs that nobody manages any more; returns when it is done.

        Parameters
        ----------
        name : str
            As for :meth:`adopt`; empty for jobs of any name.
        jobs : iterable of Job
            As the queue knows them.
        submissions : iterable of str, default=()
            Names of submissions of which nobody knows whether the batch system took them.

        Returns
        -------
        jobids : list of str
            Of the jobs that were there.

        Raises
        ------
        LaunchError
            The batch system did not do it, and what it said.
        """
        raise ConfigError(
            f'Only the manager of jobs of the {self.kind} {self.label} can withdraw them.'
        )
