"""Events of processes and of absent rows that a new journal carries over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .repair import plain
from .state import State
from .task_columns import BYTES_PER_ROW, ROWS_FREE
from .transactions.decisions import drop_event, pause_event
from .transactions.processes import (
    job_event,
    manager_end_event,
    resize_event,
    stop_event,
    submit_event,
    versions_event,
    worker_begin_event,
    worker_end_event,
)
from .transactions.tasks import drain_event, fill_event
from .workers import Worker

if TYPE_CHECKING:
    from .event_types import JournalEvent
    from .process_events import JobLine, WorkerInfo

ROWS_LEFT_OUT = 1 << 18  # by one line


def worker_events(state: State, used: set[str]) -> Iterator[JournalEvent]:
    """Yield the begin, the stop and the end of workers, and their versions."""
    for name in used:
        worker = state.workers.get(name)
        if worker is None:
            continue
        info: WorkerInfo = {
            'mid': worker.mid,
            'host': worker.host,
            'pid': worker.pid,
            'slots': worker.slots,
            'job': worker.job,
        }
        if worker.user:
            info['user'] = worker.user
        yield worker_begin_event(name, info, worker.time)
        if worker.stop is not None:
            yield stop_event([name], worker.stop, False, worker.time)
        if name not in state.alive:
            yield worker_end_event(name, worker.ended, worker.time, worker.kind)
    for (name, app), versions in state.versions.items():
        if name in used:
            yield versions_event(name, app, versions)


def draining_events(state: State, rows: dict[int, Worker | None]) -> Iterator[JournalEvent]:
    """Yield that rows which were cleared run, or ran, in workers."""
    for row, worker in rows.items():
        draining = state.draining.get(state.ids[row])
        yield drain_event(
            '' if worker is None else worker.name,
            row,
            state.attempt[row],
            state.group[row],
            state.ids[row],
            state.running.start_of(row) if draining is None else draining.started,
        )


def left_out_events(start: int, end: int) -> Iterator[JournalEvent]:
    """Yield what leaves out the numbers of rows from ``start`` to before ``end``."""
    # Numbers of rows that are no tasks are not given to others. A journal may leave out as many as
    # its length allows: where there are very many of them, it is made that long.
    for row in [*range(start + ROWS_LEFT_OUT - 1, end - 1, ROWS_LEFT_OUT), end - 1]:
        if row >= start:
            if row >= ROWS_FREE:
                yield fill_event(BYTES_PER_ROW * ROWS_LEFT_OUT)
            yield drop_event([row])


def surrounding_events(state: State, now: float) -> Iterator[JournalEvent]:
    """Yield what is known of the manager, of jobs, and of the queue itself."""
    if state.manager is not None:
        yield plain(state.manager)
    elif state.last_manager:
        # What it said last is shown as long as no other one comes.
        yield plain(state.last_manager)
        yield manager_end_event(state.last_manager['w'], '', now)
    jobs: dict[str, list[JobLine]] = defaultdict(list)
    for jobid, job in state.jobs.items():
        jobs[job['mid']].append(
            (
                *(jobid, job['slots'], job['state'], job['reason'], job['node'], job['ends']),
                job.get('cluster', ''),
            )
        )
    yield from (job_event(mid, rows, (), now) for mid, rows in jobs.items())
    yield from (
        submit_event(submission['mid'], name, submission['slots'], submission['t'])
        for name, submission in state.submissions.items()
    )
    for mid in sorted(state.resized):  # the one for all first
        yield resize_event(mid, state.resized[mid], now)
    yield from (plain(event) for event in state.processes.values())
    if state.paused:
        yield pause_event(True, now)
