"""Cancel Slurm's jobs in the background, many with one command."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Collection, Mapping

from .slurm_commands import Question, in_cluster, is_gone
from .slurm_states import WAITING, Row

__all__ = ['Cancellations']

# before a job that still waits, or whose scancel failed, is cancelled again; doubling
CANCEL_AGAIN_S = (5.0, 300.0)


@dataclasses.dataclass(slots=True)
class _Cancel:
    """One job that is to be cancelled."""

    tries: int = 0
    due: float = -math.inf
    told: bool = False


class Cancellations:
    """Jobs of one cluster that are to be cancelled.

    Parameters
    ----------
    cluster : str
        Its name; empty for the one of this machine.
    """

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._cancels: dict[str, _Cancel] = {}
        self._running: Question | None = None

    def add(self, jobid: str) -> None:
        """Cancel a job at the next :meth:`step`, until Slurm reports that it has ended."""
        # Without --state=PENDING: Slurm 22.05 takes all waiting elements of the array for the one
        # that is named then.
        self._cancels[jobid] = _Cancel()

    def forget(self, jobid: str) -> None:
        """Cancel a job no more."""
        self._cancels.pop(jobid, None)

    @property
    def done(self) -> bool:
        """True once Slurm has been told to cancel all that was to be cancelled."""
        return self._running is None and all(cancel.told for cancel in self._cancels.values())

    @property
    def is_running(self) -> bool:
        """True while a command is on its way."""
        return self._running is not None

    def due(self) -> float:
        """Return the monotonic time of the next command; infinity if there is none."""
        return min(
            (cancel.due for cancel in self._cancels.values() if not cancel.told), default=math.inf
        )

    def step(self, now: float) -> None:
        """Take in an answer, run the next command; never waits."""
        if self._running is not None:
            if not self._running.done(now):
                return
            question, self._running = self._running, None
            question.then(question)
        due = [
            jobid
            for jobid, cancel in self._cancels.items()
            if not cancel.told and cancel.due <= now
        ]
        if due:
            argv = ['scancel', *in_cluster(self._cluster), *due]
            self._running = Question(argv, lambda answer: self._take_answer(answer, due))

    def _take_answer(self, answer: Question, jobids: list[str]) -> None:
        is_answered = not answer.trouble or is_gone(answer.trouble)
        now = time.monotonic()
        for jobid in jobids:
            cancel = self._cancels.get(jobid)
            if cancel is not None:
                cancel.told = is_answered
                cancel.due = now + min(CANCEL_AGAIN_S[0] * 2**cancel.tries, CANCEL_AGAIN_S[1])
                cancel.tries += 1

    def review(self, rows: Mapping[str, Row], began: float, tracked: Collection[str]) -> None:
        """Compare with what Slurm shows: a job that still waits is cancelled again.

        Parameters
        ----------
        rows : mapping
            Jobs that Slurm shows.
        began : float
            Monotonic time at which it was asked.
        tracked : collection of str
            Jobs that are still cared for.
        """
        for jobid, cancel in list(self._cancels.items()):
            row = rows.get(jobid)
            if cancel.told and row is not None and row.state in WAITING and began > cancel.due:
                cancel.told = False  # it still waits
            elif cancel.told and jobid not in tracked:
                del self._cancels[jobid]
