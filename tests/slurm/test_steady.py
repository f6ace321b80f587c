"""Jobs that come and go faster than Slurm is asked: each is submitted once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from desipipe import Queue

from .test_jobs import manager

pytestmark = pytest.mark.slurm


def test_jobs_are_not_submitted_again(queue: Queue, spawn: Any) -> None:
    """A task a job; most have ended before Slurm is asked for the second time, and seem to wait
    until then.
    """
    tasks = 24  # the nodes have 16 processors

    @manager(queue, tasks, nodes_per_worker=1, stop_after=1).python_app
    def short(i: int) -> int:
        return i

    futures = short.map(i=range(tasks))
    spawn(queue, '--timestep', '5')
    assert [future.result(timeout=120) for future in futures] == list(range(tasks))
    events = map(orjson.loads, Path(queue.folder, 'journal.jsonl').read_bytes().splitlines())
    assert (
        len({job[0] for event in events if event['e'] == 'job' for job in event['jobs']}) == tasks
    )
