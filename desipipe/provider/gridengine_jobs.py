"""Follow the jobs of Grid Engine: one query for all, their ends, and deletions."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import time
from collections.abc import Iterable, Mapping

from ..utils import username
from .batch_commands import Question
from .batch_jobs import BatchJobs
from .gridengine_states import Row, fate, is_gone, number_of, parse_qacct, parse_qstat
from .job import Job

__all__ = ['JobList', 'qstat']

BUSY_S = 0.02  # between two looks at a question that is on its way
ACCOUNT_INTERVAL_S = 2.0  # between two looks into the accounts
ACCOUNT_WAIT_S = 30.0  # for accounts to show an end: qmaster writes them every 15 s, as a rule
DOUBT_ANSWERS = 3  # answers that lack a submission until it counts as not submitted
DOUBT_WAIT_S = 30.0  # and for at least so long
CURIOUS_S = 30.0  # to look for jobs that a manager before submitted and did not note
IDLE_S = 60.0  # between two looks where there is no job


def qstat() -> list[str]:
    """Return the command line of the one question."""
    return ['qstat', '-xml', '-g', 'd', '-u', username()]


@dataclasses.dataclass(slots=True)
class _Doubt:
    """A submission of which it is not known whether Grid Engine took it."""

    slots: int
    since: float
    answers: int


@dataclasses.dataclass(slots=True)
class _Absence:
    """A job that ``qstat`` does not show."""

    since: float
    due: float


class JobList:
    """Jobs of a provider, and what is known of its submissions.

    Parameters
    ----------
    provider : BatchJobs
        Its time between two questions counts.
    walltime : float
        Time limit of its jobs, in seconds.
    """

    def __init__(self, provider: BatchJobs, walltime: float) -> None:
        self._provider = provider
        self._walltime = walltime
        self.name = f'desipipe-{os.urandom(4).hex()}'
        """Part of the names of all jobs."""
        self.jobs: dict[str, Job] = {}
        """Jobs that have not ended, by identity."""
        self.trouble = ''
        self.answers = 0
        self._since: dict[str, float] = {}
        self._rows: dict[str, Row] = {}
        self._absent: dict[str, _Absence] = {}
        self._deleted: set[str] = set()  # seen in deletion, or deleted from here
        self._ended: dict[str, Job] = {}  # not yet told to who polls
        self._past: set[str] = set()
        self._doubts: dict[str, _Doubt] = {}
        self._explained: list[str] = []
        self._cancels: dict[str, bool] = {}
        self._question: Question | None = None
        self._began = -math.inf
        self._cancel_due = -math.inf
        self._look_after: float | None = None
        self._curious_until = -math.inf

    # Changes from outside

    def adopt(
        self, name: str, jobs: Iterable[Job], look: bool, submissions: Mapping[str, int]
    ) -> None:
        """Take over jobs and find others of that name; see :meth:`.BatchJobs.adopt`."""
        self.name = self.prefix(name)
        now = time.monotonic()
        for job in jobs:
            self.track(dataclasses.replace(job))
        for each, slots in submissions.items():
            self.doubt(each, slots)
        if self.jobs:
            self._look_after = now
        if look:
            self._curious_until = now + CURIOUS_S

    @staticmethod
    def prefix(name: str) -> str:
        """Return what the names of jobs of a queue and task manager begin with."""
        return re.sub(r'[^\w.+-]', '_', f'desipipe-{name}', flags=re.ASCII)

    def track(self, job: Job) -> None:
        """Follow a job."""
        self.jobs[job.jobid] = job
        self._since[job.jobid] = time.monotonic()

    def doubt(self, name: str, slots: int) -> None:
        """Look for a submission by its name."""
        self._doubts[name] = _Doubt(slots, time.monotonic(), self.answers)

    def explain(self, name: str) -> None:
        """Note that it is known what became of a submission."""
        self._explained.append(name)

    def take_explained(self) -> list[str]:
        """Return the names that were explained since the last call."""
        explained, self._explained = self._explained, []
        return explained

    def cancel(self, job: Job) -> None:
        """Delete a job in the background, many with one command."""
        if job.jobid in self.jobs:
            self._cancels.setdefault(job.jobid, False)
            self._deleted.add(job.jobid)

    # What is known

    @property
    def cancelled(self) -> bool:
        """True once Grid Engine was told of all that is to be deleted."""
        return all(self._cancels.values())

    @property
    def unexplained(self) -> int:
        """Slots of submissions that Grid Engine may or may not have accepted."""
        return sum(doubt.slots for doubt in self._doubts.values())

    @property
    def proven(self) -> bool:
        """True once ``qstat`` has answered."""
        return self.answers > 0

    @property
    def settled(self) -> bool:
        """True once it is known what jobs there are."""
        return self._look_after is None and not self._doubts

    def flags(self, jobid: str) -> str:
        """Return the state of a job in Grid Engine's letters; empty if it was not shown."""
        row = self._rows.get(jobid)
        return '' if row is None else row.flags

    @property
    def pause(self) -> float:
        """Seconds until the next :meth:`poll` makes sense."""
        if self._question is not None:
            return BUSY_S
        now = time.monotonic()
        due = [self._next_look(now), *(each.due for each in self._absent.values())]
        if not self.cancelled:
            due.append(self._cancel_due)
        return max(BUSY_S, min(due) - now)

    def _next_look(self, now: float) -> float:
        is_idle = not self.jobs and self.settled and now >= self._curious_until
        return self._began + (IDLE_S if is_idle else self._provider.timestep)

    # Asking

    def poll(self) -> list[Job]:
        """Take in an answer, ask the next question, and return the jobs; never waits."""
        now = time.monotonic()
        if self._question is not None and self._question.done(now):
            question, self._question = self._question, None
            question.then(question)
        if self._question is None:
            self._question = self._next_question(now)
        ended, self._ended = self._ended, {}
        return [*ended.values(), *(dataclasses.replace(job) for job in self.jobs.values())]

    def _next_question(self, now: float) -> Question | None:
        untold = [jobid for jobid, is_told in self._cancels.items() if not is_told]
        if untold and now >= self._cancel_due:
            self._cancel_due = now + self._provider.timestep
            argv = ['qdel', *map(number_of, untold)]
            return Question(argv, lambda answer: self._take_deletions(answer, untold))
        due = [jobid for jobid, absence in self._absent.items() if now >= absence.due]
        if due:
            job = due[0].partition('.')[0]  # all elements of an array at once
            argv = ['qacct', '-j', number_of(job)]
            return Question(argv, lambda answer: self._take_ends(answer, job))
        if now >= self._next_look(now):
            self._began = now
            return Question(qstat(), self._take_rows)
        return None

    def _take_deletions(self, answer: Question, jobids: list[str]) -> None:
        is_told = not answer.trouble or is_gone(answer.out + answer.trouble)
        for jobid in jobids:
            if jobid in self._cancels:
                self._cancels[jobid] = is_told

    def _take_rows(self, answer: Question) -> None:
        rows = None if answer.trouble else parse_qstat(answer.out)
        if rows is None:
            self.trouble = answer.trouble or 'qstat printed no whole answer'
            return
        self.trouble = ''
        self.answers += 1
        self._rows = rows
        self._deleted |= {jobid for jobid, row in rows.items() if row.is_deleted}
        if self._look_after is not None and answer.began > self._look_after:
            self._look_after = None
        self._resolve_doubts()
        for jobid, row in rows.items():
            if f'{self.name}.' in row.name and jobid not in self.jobs and jobid not in self._past:
                self.track(Job(jobid, 1, 'pending'))
        for jobid, job in self.jobs.items():
            if jobid in rows:
                self._absent.pop(jobid, None)
                self._update(job, rows[jobid])
            elif self._since[jobid] < answer.began and jobid not in self._absent:
                self._absent[jobid] = _Absence(answer.began, answer.began)

    def _update(self, job: Job, row: Row) -> None:
        job.node = row.node or job.node
        if not row.is_pending:
            job.state, job.reason = 'running', '' if row.flags == 'r' else row.flags
        elif job.state == 'pending':
            job.reason = '' if row.flags == 'qw' else row.flags

    def _resolve_doubts(self) -> None:
        now = time.monotonic()
        for name, doubt in list(self._doubts.items()):
            is_shown = any(row.name == name for row in self._rows.values())
            is_absent = (
                self.answers - doubt.answers > DOUBT_ANSWERS and now - doubt.since >= DOUBT_WAIT_S
            )
            if is_shown or is_absent:
                del self._doubts[name]
                self.explain(name)

    def _take_ends(self, answer: Question, array: str) -> None:
        accounts = parse_qacct(answer.out)
        now = time.monotonic()
        for jobid in [jobid for jobid in self._absent if jobid.partition('.')[0] == array]:
            absence, account = self._absent[jobid], accounts.get(jobid)
            job = self.jobs[jobid]
            # One that was deleted before it began is in no accounts.
            is_sure = job.state == 'pending' and jobid in self._deleted
            if account is None and not is_sure and now - absence.since < ACCOUNT_WAIT_S:
                absence.due = now + ACCOUNT_INTERVAL_S
                continue
            job.fate, job.reason = fate(
                account, job.state == 'running', jobid in self._deleted, self._walltime
            )
            job.state = 'ended'
            job.exitcode = None if account is None else account.exitcode
            self._forget(job)

    def _forget(self, job: Job) -> None:
        self._ended[job.jobid] = job
        self._past.add(job.jobid)
        self._deleted.discard(job.jobid)
        for table in (self.jobs, self._since, self._absent, self._cancels):
            table.pop(job.jobid, None)
