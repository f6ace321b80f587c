"""Events of workers, managers and jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ..events import EventKind, Step

if TYPE_CHECKING:
    from ..process_events import (
        JobEvent,
        JobLine,
        LendEvent,
        ManagerBeginEvent,
        ManagerEndEvent,
        ManagerSayEvent,
        ProcessEvent,
        ResizeEvent,
        StopEvent,
        SubmitEvent,
        VersionsEvent,
        WorkerBeginEvent,
        WorkerEndEvent,
        WorkerInfo,
    )


def worker_begin_event(worker: str, info: WorkerInfo, time: float) -> WorkerBeginEvent:
    """Begin a worker."""
    return {'e': EventKind.WORKER, 'do': Step.BEGIN, 'w': worker, **info, 't': time}


def worker_end_event(worker: str, why: str | None, time: float, kind: str = '') -> WorkerEndEvent:
    """End a worker; ``kind``: what became of its job, where it knows."""
    event: WorkerEndEvent = {
        'e': EventKind.WORKER,
        'do': Step.END,
        'w': worker,
        'why': why,
        't': time,
    }
    if kind:
        event['kind'] = kind
    return event


def versions_event(worker: str, app: str, versions: Mapping[str, str]) -> VersionsEvent:
    """Note the versions of the packages that an app uses; without an app, of all."""
    return {'e': EventKind.VERSIONS, 'w': worker, 'app': app, 'versions': versions}


def lend_event(worker: str, places: int, time: float) -> LendEvent:
    """Note how many places a worker has besides its slots."""
    return {'e': EventKind.LEND, 'w': worker, 'n': places, 't': time}


def manager_begin_event(name: str, host: str, pid: int, time: float) -> ManagerBeginEvent:
    """Begin a manager."""
    return {
        'e': EventKind.MANAGER,
        'do': Step.BEGIN,
        'w': name,
        'host': host,
        'pid': pid,
        't': time,
    }


def manager_say_event(name: str, text: str, mid: str, final: bool, time: float) -> ManagerSayEvent:
    """Tell people something of a task manager, or (no ``mid``) of the queue."""
    return {
        'e': EventKind.MANAGER,
        'do': Step.SAY,
        'w': name,
        't': time,
        'text': text,
        'mid': mid,
        'final': final,
    }


def manager_end_event(name: str, why: str, time: float) -> ManagerEndEvent:
    """End a manager."""
    return {'e': EventKind.MANAGER, 'do': Step.END, 'w': name, 'why': why, 't': time}


def submit_event(mid: str, name: str, slots: int, time: float) -> SubmitEvent:
    """Note that jobs are about to be submitted under a name."""
    return {'e': EventKind.SUBMIT, 'mid': mid, 'name': name, 'slots': slots, 't': time}


def job_event(mid: str, jobs: Iterable[JobLine], of: Iterable[str], time: float) -> JobEvent:
    """Note what became of jobs of a batch system, and of submissions (``of``)."""
    event: JobEvent = {
        'e': EventKind.JOB,
        'mid': mid,
        'jobs': list(jobs),
        't': time,
    }
    if names := list(of):
        event['of'] = names
    return event


def resize_event(mid: str, most: int | None, time: float) -> ResizeEvent:
    """Set the most tasks at once of a task manager, or (no ``mid``) of each."""
    return {'e': EventKind.RESIZE, 'mid': mid, 'max': most, 't': time}


def stop_event(workers: list[str], level: str, manager: bool, time: float) -> StopEvent:
    """Ask workers, and the manager, to end."""
    return {
        'e': EventKind.STOP,
        'workers': workers,
        'how': level,
        'manager': manager,
        't': time,
    }


def process_event(pid: str, provider: str, time: float) -> ProcessEvent:
    """Note a process, or job, that works for the queue without being a worker of it."""
    return {'e': EventKind.PROCESS, 'pid': pid, 'provider': provider, 't': time}
