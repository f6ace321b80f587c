"""Fold of the events of workers, managers and jobs."""

from __future__ import annotations

from collections.abc import Mapping

from .events import Step, StopLevel
from .workers import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..store.header import Header
    from .event_types import ManagerEvent
    from .process_events import (
        JobEvent,
        JobState,
        LendEvent,
        ManagerBeginEvent,
        ProcessEvent,
        ResizeEvent,
        StopEvent,
        Submission,
        SubmitEvent,
        VersionsEvent,
    )
    from .task_events import Mark, MarkEvent, StateEvent, TaskManagerEvent


class Draining:
    """A task that ran when the queue was cleared, and may be added again."""

    __slots__ = ('done', 'row', 'started', 'worker')

    def __init__(self, row: int, worker: Worker | None, started: float) -> None:
        self.row = row
        self.worker = worker
        self.started = started
        self.done = False
        """True once it has succeeded since."""


class ProcessFold:
    """Workers, managers and jobs, as the events so far tell."""

    def _reset_processes(self, header: Header) -> None:
        self.header = header
        self.paused = False
        self.managers: dict[str, TaskManagerEvent] = {}
        self.workers: dict[str, Worker] = {}
        self.alive: dict[str, Worker] = {}
        self.manager: ManagerBeginEvent | None = None
        self.last_manager: ManagerBeginEvent | None = None
        self.manager_names: set[str] = set()
        self.said: dict[str, str] = {}
        """Last message of the last manager, by task manager (empty: of all)."""
        self.jobs: dict[str, JobState] = {}
        """Jobs of batch systems that have not ended, by identity."""
        self.submissions: dict[str, Submission] = {}
        """By name, what was submitted to a batch system without anybody knowing yet whether it
        took it.
        """
        self.resized: dict[str, int] = {}
        """The most tasks at once, by task manager (empty: each of them), where someone has said
        so.
        """
        self.marks: dict[int, Mark] = {}
        """The job, and the time it began, that a person gave a task whose state was set by hand,
        by row.
        """
        self.processes: dict[tuple[str, str], ProcessEvent] = {}
        """Processes that a person added, by number (or job) and provider."""
        self.versions: dict[tuple[str, str], Mapping[str, str]] = {}

    def provider_name(self, mid: str | None) -> str:
        """Return the name of a task manager's provider; empty if it is not known."""
        event = self.managers.get(mid or '')
        return '' if event is None else str(event['provider'].get('name', ''))

    def most(self, mid: str) -> int | None:
        """The most tasks at once of a task manager, if someone has said so."""
        return self.resized.get(mid, self.resized.get(''))

    def _state(self, event: StateEvent, offset: int) -> None:
        self.paused = event['paused']

    def _lend(self, event: LendEvent, offset: int) -> None:
        worker = self.workers.get(event['w'])
        if worker is not None:
            worker.lent = event['n']

    def _versions(self, event: VersionsEvent, offset: int) -> None:
        self.versions[event['w'], event['app']] = event['versions']

    def _manager(self, event: ManagerEvent, offset: int) -> None:
        self._note_words(event)
        if event['do'] == Step.BEGIN:
            self.manager = self.last_manager = event
            self.manager_names.add(event['w'])
        elif event['do'] == Step.SAY:
            if self.manager is not None and self.manager['w'] == event['w']:
                self.manager = {
                    **self.manager,
                    'says': event['text'],
                    'of': event.get('mid', ''),
                    'final': event.get('final', False),
                }
                self.last_manager = self.manager
        elif self.manager is not None and self.manager['w'] == event['w']:
            self.manager = None

    def _note_words(self, event: ManagerEvent) -> None:
        if event['do'] == Step.BEGIN:
            self.said = {}
        elif event['do'] == Step.SAY and event['text']:
            self.said[event.get('mid', '')] = event['text']
        elif event['do'] == Step.SAY:  # what it said last holds no more
            of = '' if self.manager is None else self.manager.get('of', '')
            self.said.pop(event.get('mid') or of, None)

    def _stop(self, event: StopEvent, offset: int) -> None:
        for name in event['workers']:
            if name in self.alive and self.alive[name].stop != StopLevel.NOW:
                self.alive[name].stop = event['how']
        if event.get('manager') and self.manager is not None:
            self.manager = {**self.manager, 'stop': event['how']}

    def _job(self, event: JobEvent, offset: int) -> None:
        here = {worker.job: worker.host for worker in self.alive.values()}
        for name in event.get('of', ()):
            self.submissions.pop(name, None)
        for jobid, slots, state, reason, node, ends, *cluster in event['jobs']:
            if state == 'ended':
                self.jobs.pop(jobid, None)
            else:
                if (
                    state == 'pending' and jobid in here
                    # the answer is older; of a job that was put back, the workers have ended before
                    # this is written
                ):
                    state, reason, node = 'running', '', here[jobid]
                self.jobs[jobid] = {
                    'mid': event['mid'],
                    'slots': slots,
                    'state': state,
                    'reason': reason,
                    'node': node,
                    'ends': ends,
                }
                if cluster and cluster[0]:
                    self.jobs[jobid]['cluster'] = cluster[0]

    def _submit(self, event: SubmitEvent, offset: int) -> None:
        self.submissions[event['name']] = {
            'mid': event['mid'],
            'slots': event['slots'],
            't': event['t'],
        }

    def _mark(self, event: MarkEvent, offset: int) -> None:
        for row in event['rows']:
            mark = self.marks.setdefault(row, {})
            if 'job' in event:
                mark['job'] = event['job']
            if 't0' in event:
                mark['t0'] = event['t0']

    def _process(self, event: ProcessEvent, offset: int) -> None:
        self.processes[event['pid'], event['provider']] = event

    def _resize(self, event: ResizeEvent, offset: int) -> None:
        if not event['mid']:
            self.resized.clear()  # what is said of all holds for each
        if event['max'] is None:
            self.resized.pop(event['mid'], None)
        else:
            self.resized[event['mid']] = event['max']
