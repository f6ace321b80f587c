"""Watch Slurm's jobs: one query for all jobs, cancelling, and trust in answers."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Iterable
from typing import ClassVar

from .slurm_cancelling import Cancellations
from .slurm_commands import Question, in_cluster, squeue
from .slurm_states import ENDED, SACCT, Row, has_header, parse_listing, parse_sacct, parse_squeue

__all__ = ['LAG_MOST', 'Watch']

STEP_MOST = 60.0  # s between two questions when nothing changes
BUSY = 0.02  # s between two looks at a question that is on its way
LOST_AFTER = 3  # answers without a job until it counts as gone
ALL_LOST_AFTER = 6  # the same if all jobs are missing from the answers, which is suspicious
ALL_LOST_WAIT_S = 30.0  # and for at least so long
# empty answers of a command that never showed anything, until it is asked less often
SILENCES_QUICK = 8
# how long accounting is believed that says of a job that it runs, or waits, while the controller
# does not know it
CLAIMED_MOST_S = 1800.0
# answers of accounting that know nothing yet of a job's end, until what the controller said must do
LAG_MOST = 3
# ends of which the exit status, or who it was, says more
_STATUS = ('FAILED', 'CANCELLED', 'LAUNCH_FAILED', 'OUT_OF_MEMORY', 'TIMEOUT', 'DEADLINE')
_SILENT = 'printed nothing, not even its titles'


@dataclasses.dataclass(slots=True)
class _Tracked:
    """The absence of one job, as it is tracked."""

    since: float
    name: str
    missing: int = 0
    missing_since: float = math.inf
    claimed_since: float = math.inf

    def is_other(self, row: Row, began: float) -> bool:
        """Return True if a row is of another job: one before, or of another name."""
        return self.since >= began or bool(
            self.name
            and row.name
            and self.name not in row.name
            and not self.name.startswith(row.name)
        )


class Watch:
    """The one question for all jobs that this process knows of, of one cluster.

    Commands run in the background: while the controller does not answer they may take minutes, in
    which the manager has to show that it lives. An answer counts in full only if it proves that it
    is one: it has the titles, or some job. Else jobs that it does not show are there all the same.

    Parameters
    ----------
    command : tuple of str
        Command line instead of ``squeue``; empty for that.
    cluster : str, default=''
        Its name, for ``-M``; empty for the one of this machine.
    """

    _all: ClassVar[dict[tuple[tuple[str, ...], str], Watch]] = {}

    def __init__(self, command: tuple[str, ...], cluster: str = '') -> None:
        self.command = command
        self.cluster = cluster
        self.rows: dict[str, Row] = {}
        self.trouble = ''
        self.accounts = True
        """True unless the cluster is known to keep no accounts."""
        self.answered = -math.inf
        """Monotonic time of the question to the last answer that could be believed."""
        self.answers = 0
        """Number of answers that could be believed."""
        self.silences = 0
        """Number of empty answers of a command that has never shown anything yet."""
        self.tried = False
        """True once there was an answer of any kind."""
        self.named: dict[str, Row] = {}
        """Jobs that accounting found by the names of :attr:`wanted`."""
        self.wanted: dict[str, float] = {}
        """Names of jobs to look for also in the accounts, and since when (seconds since the
        epoch).
        """
        self.unlisted: set[str] = set()
        """Those of :attr:`wanted` that accounting does not know, or that it can't be asked for."""
        self._tracked: dict[str, _Tracked] = {}
        self._asked: set[str] = set()  # of accounting, with an answer or without hope for one
        self._lags: Counter[str] = Counter()  # answers that accounting did not have yet
        self._step = 0.0
        self._began = -math.inf
        self._urgent = False
        self._silent = 0
        self._running: Question | None = None
        self._cancellations = Cancellations(cluster)

    @classmethod
    def of(cls, command: tuple[str, ...], cluster: str = '') -> Watch:
        """Return the one of this process."""
        return cls._all.setdefault((command, cluster), cls(command, cluster))

    def track(self, jobid: str, name: str = '') -> None:
        """Care for a job.

        Parameters
        ----------
        jobid : str
        name : str, default=''
            Part of its name; empty where that need not be checked.
        """
        if jobid not in self._tracked:
            self.forget(jobid)
            self._tracked[jobid] = _Tracked(time.monotonic(), name)

    def forget(self, jobid: str) -> None:
        """Stop caring for a job."""
        self._tracked.pop(jobid, None)
        self._lags.pop(jobid, None)
        self._asked.discard(jobid)
        self._cancellations.forget(jobid)
        self.rows.pop(jobid, None)

    def is_lost(self, jobid: str) -> bool:
        """Return True if controller and accounting lack a job in several credible answers."""
        job = self._tracked.get(jobid)
        if job is None or job.missing < LOST_AFTER:
            return False
        if all(other.missing for other in self._tracked.values()):
            return (
                job.missing >= ALL_LOST_AFTER
                and time.monotonic() - job.missing_since >= ALL_LOST_WAIT_S
            )
        return True

    def is_known(self, jobid: str) -> bool:
        """Return True if there is nothing more to learn about the end of a job."""
        return not self._worth_asking(self.rows[jobid])

    def _worth_asking(self, row: Row) -> bool:
        return (
            self.accounts
            and row.jobid not in self._asked
            and row.exitcode is None
            and row.state in _STATUS
        )

    def hurry(self) -> None:
        """Ask again as soon as that is allowed: something has changed."""
        self._urgent = True

    def pause(self, timestep: float) -> float:
        """Return the seconds until :meth:`look` has something to do."""
        now = time.monotonic()
        due = self._cancellations.due()
        if self._running is not None or self._cancellations.is_running or due <= now:
            return BUSY
        return max(BUSY, min(due, self._due(timestep)) - now)

    def _due(self, timestep: float) -> float:
        return self._began + (timestep if self._urgent else max(timestep, self._step))

    def look(self, timestep: float) -> None:
        """Take in an answer, ask the next question; never waits."""
        now = time.monotonic()
        self._cancellations.step(now)
        if self._running is not None:
            if not self._running.done(now):
                return
            question, self._running = self._running, None
            question.then(question)
        if self._running is None and now >= self._due(timestep):
            self._began, self._urgent = now, False
            self._step = max(timestep, min(self._step, STEP_MOST))
            self._ask_squeue()

    def _is_other(self, row: Row, began: float) -> bool:
        job = self._tracked.get(row.jobid)
        return job is not None and job.is_other(row, began)

    def _ask_squeue(self) -> None:
        self._running = Question(list(self.command) or squeue(self.cluster), self._take_squeue)

    def _take_squeue(self, answer: Question) -> None:
        # An answer with an error may show jobs all the same: that they are there is true, that
        # others are not is no news.
        rows = (parse_listing if self.command else parse_squeue)(answer.out)
        credible = not answer.trouble and (
            bool(rows) or (bool(answer.out.strip()) if self.command else has_header(answer.out))
        )
        before = {jobid: self.rows.get(jobid) for jobid in self._tracked}
        # A number may be that of another job: of one before ours, or, after years, of one that came
        # later.
        ours = {jobid: row for jobid, row in rows.items() if not self._is_other(row, answer.began)}
        self._merge(ours, credible)
        ask = [
            row.jobid
            for row in self.rows.values()
            if row.jobid in self._tracked and self._worth_asking(row)
        ]
        absent = [
            jobid
            for jobid, job in self._tracked.items()
            if job.since < answer.began and jobid not in ours
        ]
        for jobid in ours.keys() & self._tracked.keys():
            self._tracked[jobid].missing = 0
            self._tracked[jobid].claimed_since = math.inf
        if credible:
            self._take_absences(absent, answer.began)
        self._cancellations.review(ours, answer.began, self._tracked)
        ask += [jobid for jobid in absent if jobid not in ask and not self._has_ended(jobid)]
        changed = any(self.rows.get(jobid) != row for jobid, row in before.items())
        self._note_answer(answer, credible, changed or bool(ask and credible))
        is_worth = ask or (credible and self.wanted.keys() - self.unlisted)
        if self.accounts and not answer.trouble and is_worth:
            self._ask_sacct(ask)

    def _merge(self, ours: dict[str, Row], credible: bool) -> None:
        """Take in what Slurm shows; ends that are known, and what is not gone, stay."""
        own_jobs = {
            jobid: row
            for jobid, row in self.rows.items()
            if jobid in self._tracked and (jobid in self._asked or not credible)
        }
        self.rows = {
            **ours,
            **{
                jobid: row
                for jobid, row in own_jobs.items()
                if row.state in ENDED or jobid not in ours
            },
        }

    def _has_ended(self, jobid: str) -> bool:
        return jobid in self.rows and self.rows[jobid].state in ENDED

    def _take_absences(self, absent: Iterable[str], began: float) -> None:
        for jobid in absent:
            job = self._tracked[jobid]
            if self._has_ended(jobid):
                continue
            self.rows.pop(jobid, None)
            if not job.missing:
                job.missing_since = began
            job.missing += 1

    def _note_answer(self, answer: Question, credible: bool, changed: bool) -> None:
        self.tried = True
        if not self.answers and not answer.trouble:
            self.silences += 1
        if credible:
            self.trouble, self._silent = '', 0
            self.answered = answer.began
            self.answers += 1
            self._step = 0.0 if changed else min(1.5 * self._step, STEP_MOST)
            return
        self._silent += not answer.trouble
        if answer.trouble:
            self.trouble = answer.trouble
        elif self._silent >= 2 and (self._tracked or self.wanted):
            self.trouble = f'{answer.argv[0]} {_SILENT}'
        quick = self.wanted and not self.answers and self.silences <= SILENCES_QUICK
        self._step = 0.0 if quick else min(2 * self._step, STEP_MOST)

    def _ask_sacct(self, ask: list[str]) -> None:
        argv = ['sacct', *in_cluster(self.cluster), '-n', '-X', '-P', '-o', SACCT]
        if ask:
            self._running = Question(
                [*argv, '-j', ','.join(ask)], lambda answer: self._take_sacct(answer, ask)
            )
            return
        names = sorted(self.wanted.keys() - self.unlisted)
        # Clocks differ: a day before.
        start = time.strftime(
            '%Y-%m-%dT%H:%M:%S', time.localtime(min(self.wanted[name] for name in names) - 86400)
        )
        self._running = Question(
            [*argv, f'--name={",".join(names)}', '-S', start],
            lambda answer: self._take_names(answer, names),
        )

    def _take_sacct(self, answer: Question, asked: list[str]) -> None:
        if answer.trouble:
            self._note_accounts(answer.trouble)
            self._asked.update(jobid for jobid in asked if self._has_ended(jobid))
            return
        ended = parse_sacct(answer.out)
        now = time.monotonic()
        for jobid in asked:
            row, old, job = ended.get(jobid), self.rows.get(jobid), self._tracked.get(jobid)
            if row is not None and self._is_other(row, answer.began):
                row = None
            if row is not None and row.state in ENDED:
                self.rows[jobid] = (
                    row
                    if old is None
                    else old._replace(exitcode=row.exitcode, by=row.by, state=row.state)
                )
                if job is not None:
                    job.missing = 0
                self._asked.add(jobid)
            elif old is not None and old.state in ENDED:
                self._lags[jobid] += 1  # accounting lags
                if self._lags[jobid] >= LAG_MOST:
                    self._asked.add(jobid)
            elif row is not None and job is not None:
                self._take_claim(job, row, now)

    def _take_claim(self, job: _Tracked, row: Row, now: float) -> None:
        # The controller did not show it, accounting says that it waits or runs. That is believed,
        # though not for ever: accounts of a cluster that crashed are never closed.
        job.claimed_since = min(job.claimed_since, now)
        if now - job.claimed_since < CLAIMED_MOST_S:
            job.missing = 0
            self.rows.setdefault(row.jobid, row._replace(ends=None))

    def _take_names(self, answer: Question, names: list[str]) -> None:
        if answer.trouble:
            self._note_accounts(answer.trouble)
            self.unlisted.update(names)  # what the controller says must do
            return
        ended = parse_sacct(answer.out)
        self.named |= {jobid: row for jobid, row in ended.items() if row.name in names}
        self.unlisted |= set(names) - {row.name for row in ended.values()}

    def _note_accounts(self, trouble: str) -> None:
        text = trouble.lower()
        if 'disabled' in text or 'no such file' in text:
            # It works without: what squeue shows of a job that has ended must do.
            self.accounts = False

    # Cancelling

    def cancel(self, jobid: str) -> None:
        """Cancel a job soon, many with one command, until Slurm reports that it has ended."""
        self._cancellations.add(jobid)
        self.hurry()

    @property
    def cancelled(self) -> bool:
        """Return True once Slurm has been told to cancel all that was to be cancelled."""
        return self._cancellations.done
