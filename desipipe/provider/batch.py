"""Base of providers whose jobs a batch system keeps."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import ClassVar, Protocol

from ..config.checked_numbers import whole_number
from ..errors import LaunchError
from ..store.shared_files import open_log
from .base import BaseProvider
from .job import Job

__all__ = ['BatchProvider', 'Tracker']


class Tracker(Protocol):
    """Follows the jobs of a provider, and its submissions, in the background.

    Its members are those of :class:`.BatchJobs` and :class:`.BaseProvider` of the same names.
    """

    name: str

    def adopt(
        self, name: str, jobs: Iterable[Job], look: bool, submissions: Mapping[str, int]
    ) -> None:
        """Take over jobs and find others of that name."""

    def cancel(self, job: Job) -> None:
        """Cancel a job in the background."""

    def poll(self) -> list[Job]:
        """Return the jobs, each that has ended once."""

    def take_explained(self) -> list[str]:
        """Return submissions of known fate."""

    @property
    def settled(self) -> bool:
        """True once it is known what jobs there are."""

    @property
    def unexplained(self) -> int:
        """Slots that may have been submitted."""

    @property
    def proven(self) -> bool:
        """True once an answer can be believed."""

    @property
    def trouble(self) -> str:
        """Reason that the batch system does not answer; empty if it does."""

    @property
    def cancelled(self) -> bool:
        """True once the batch system knows what is to be cancelled."""

    @property
    def pause(self) -> float:
        """Seconds until the next look makes sense."""


class BatchProvider(BaseProvider):
    """Provider of jobs of a batch system, which its tracker follows."""

    batch: ClassVar[bool] = True
    _tracker: Tracker

    def _prepare_launch(self, slots: int, log: str, cwd: str) -> None:
        """Check what every job needs, and make the log.

        Raises
        ------
        LaunchError
            The folder where jobs start is not there.
        """
        whole_number(slots, 'the number of slots')
        if not os.path.isdir(cwd):
            raise LaunchError(
                'No job was submitted, because the folder where it should start is not there: '
                f'{cwd}. Tasks wait until it is back.',
                later=True,
            )
        # Now, by one: if jobs that begin at once on two nodes made it, there are filesystems where
        # one of them would end before our worker is started.
        open_log(log).close()

    def adopt(
        self,
        name: str,
        jobs: Iterable[Job] = (),
        look: bool = False,
        submissions: Mapping[str, int] | None = None,
    ) -> None:
        """Take over jobs and find others of that name; see :meth:`.BatchJobs.adopt`."""
        self._tracker.adopt(name, jobs, look, submissions or {})

    @property
    def settled(self) -> bool:
        """Return True once the jobs are known; see :meth:`.BatchJobs.settled`."""
        return self._tracker.settled

    @property
    def unexplained(self) -> int:
        """Slots that may have been submitted; see :meth:`.BatchJobs.unexplained`."""
        return self._tracker.unexplained

    @property
    def proven(self) -> bool:
        """Return True once an answer can be believed; see :meth:`.BatchJobs.proven`."""
        return self._tracker.proven

    @property
    def trouble(self) -> str:
        """Why the batch system does not answer; see :meth:`.BatchJobs.trouble`."""
        return self._tracker.trouble

    @property
    def cancelled(self) -> bool:
        """Return True once it knows what to cancel; see :meth:`.BatchJobs.cancelled`."""
        return self._tracker.cancelled

    @property
    def pause(self) -> float:
        """Seconds until the next look makes sense; see :meth:`.BatchJobs.pause`."""
        return self._tracker.pause

    def take_explained(self) -> list[str]:
        """Return submissions of known fate; see :meth:`.BatchJobs.take_explained`."""
        return self._tracker.take_explained()

    def poll(self) -> list[Job]:
        """State of the jobs, asked in the background; see :meth:`.BaseProvider.poll`."""
        return self._tracker.poll()

    def cancel(self, job: Job, force: bool = False) -> None:
        """End a job; see :meth:`.BaseProvider.cancel`.

        The batch system is told in the background, and warns before it kills, whatever ``force``
        says.
        """
        self._tracker.cancel(job)
