"""The pools of a queue, one a task manager, with jobs of a manager before."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import DesipipeError, QueueGoneError
from ..queue.jobs import jobs_name, noted_job
from ..queue.ledger import Ledger
from .manager_messages import Messages, Topic
from .pool import Pool


class Pools:
    """The pools of a queue, made when their task managers have something to run.

    Parameters
    ----------
    ledger : Ledger
    queue : str
        Name of the queue.
    messages : Messages
    timestep : float
        Seconds between two looks at batch jobs, at most.
    """

    def __init__(self, ledger: Ledger, queue: str, messages: Messages, timestep: float) -> None:
        self.next_poll = 0.0
        """The time of the next look at the jobs, on the monotonic clock."""
        self.had_manager = False
        """True if a manager was there before: jobs may be left that it had no time to note."""
        self._ledger = ledger
        self._queue = queue
        self._messages = messages
        self._timestep = timestep
        self._by_mid: dict[str, Pool] = {}
        self._given_up: set[str] = set()

    def __iter__(self) -> Iterator[Pool]:
        return iter(self._by_mid.values())

    def __contains__(self, mid: str) -> bool:
        return mid in self._by_mid

    def __getitem__(self, mid: str) -> Pool:
        return self._by_mid[mid]

    def by_job(self) -> dict[str, Pool]:
        """Return the pool of each job."""
        return {jobid: pool for pool in self for jobid in pool.jobs}

    def jobs_name(self, mid: str) -> str:
        """Return what the jobs of a task manager are called."""
        return jobs_name(self._queue, str(self._ledger.journal.header['id']), mid)

    # Task managers for which no worker can be started

    def is_given_up(self, mid: str) -> bool:
        """Return True if no worker can be started for a task manager."""
        return mid in self._given_up

    def give_up(self, mid: str, text: str) -> None:
        """Start no more workers for a task manager, and say why; the others go on."""
        self._given_up.add(mid)
        self._messages.say(Topic.REFUSED, mid, text, mid, final=True)

    def try_again(self, mid: str) -> None:
        """Forget that no worker could be started: its tasks are others now."""
        self._given_up.discard(mid)
        self._messages.retract(Topic.REFUSED, mid)

    # Making

    def adopt_all(self) -> None:
        """Make the pools of all task managers that have jobs."""
        # Also those of task managers that have nothing left to run: jobs of theirs may be left.
        state = self._ledger.state
        mids = {job['mid'] for job in state.jobs.values()}
        for mid in mids | {submission['mid'] for submission in state.submissions.values()}:
            if mid not in self and not self.is_given_up(mid):
                self.get(mid)

    def get(self, mid: str) -> Pool | None:
        """Return the pool of a task manager; None if there can't be one, which is told."""
        try:
            return self._by_mid.get(mid) or self._make(mid)
        except QueueGoneError:
            raise
        except (DesipipeError, OSError) as exc:
            self.give_up(mid, f'no worker can be started for task manager {mid}: {exc}')
            return None

    def _make(self, mid: str) -> Pool | None:
        ledger, state = self._ledger, self._ledger.state
        spec = state.managers.get(mid)
        if spec is None:
            return None
        ledger.check_manager(mid)
        pool = Pool(mid, spec)
        pool.set_timestep(self._timestep)
        pool.provider.note_submission = lambda name, slots: ledger.note_submission(mid, name, slots)
        self.next_poll = 0.0
        own = {jobid: job for jobid, job in state.jobs.items() if job['mid'] == mid}
        jobs = [noted_job(jobid, job) for jobid, job in own.items()]
        pool.jobs = {job.jobid: job for job in jobs}
        submissions = {
            name: each['slots'] for name, each in state.submissions.items() if each['mid'] == mid
        }
        pool.provider.adopt(self.jobs_name(mid), jobs, self.had_manager, submissions)
        for job in jobs:
            # The manager before had begun to withdraw it, and may have ended before Slurm knew.
            if own[job.jobid]['state'] == 'withdrawn':
                pool.withdrawn.add(job.jobid)
                pool.provider.cancel(job)
        self._by_mid[mid] = pool
        return pool
