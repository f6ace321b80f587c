"""Waiting tells why: once, on stderr, and in the error when the time is over."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from polling import wait_for

from desipipe import Environment, Queue, TaskManager, as_completed, wait
from desipipe.commands.following import follow
from desipipe.queue import waiting
from desipipe.queue.waiting import waiting_reason
from desipipe.store.lease import Lease

BROKEN = (
    'A worker of task manager {mid} died at once: trying again in 2 s. No module named desipipe'
)


@pytest.fixture
def queue(queue_dir: Path) -> Iterator[Queue]:
    queue = Queue('test', create=True)
    yield queue
    queue.kill(manager=True)
    assert queue.wait_stopped(60)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, 'FIRST_S', 0.01)
    monkeypatch.setattr(waiting, 'NOBODY_S', 0.01)
    monkeypatch.setattr(waiting, 'AGAIN_S', 0.01)


def double_app(tm: TaskManager) -> Any:
    @tm.python_app
    def double(x: Any) -> Any:
        return 2 * x

    return double


@contextlib.contextmanager
def manager(queue: Queue, **expected: str) -> Iterator[None]:
    """Stand for a manager that says something of task managers."""
    write, lease = queue.ledger.journal.write, Lease(queue.folder, 'm', False)
    lease.beat()
    common = {'e': 'manager', 'w': 'm', 't': time.time()}
    write(lambda: [{**common, 'do': 'begin', 'host': 'here', 'pid': 1}])
    for mid, text in expected.items():
        write(lambda mid=mid, text=text: [{**common, 'do': 'say', 'text': text, 'mid': mid}])
    yield
    write(lambda: [{**common, 'do': 'end', 'why': 'of a test'}])
    lease.close()


def reason(future: Any) -> str:
    ledger = future._ledger
    ledger.follow()
    cause = waiting_reason(ledger, ledger.row(future.tid))
    return '' if cause is None else str(cause)


def test_reasons(queue: Queue, tm: TaskManager) -> None:
    other = tm.clone(environ={'OTHER': '1'})
    first, second = double_app(tm)(1), double_app(other)(2)
    last = double_app(tm)(second)
    start = f'desipipe spawn -q {queue.folder} --spawn'
    assert reason(first).startswith('No worker and no manager') and start in reason(first)
    broken = BROKEN.format(mid=other.id)
    with manager(queue, **{other.id: broken}):
        assert reason(first) == ''
        assert 'A worker' in reason(second) and 'No module named desipipe' in reason(second)
        assert reason(last) == reason(second)  # which it needs
        queue.pause()
        assert 'paused' in reason(first) and 'desipipe resume' in reason(first)
        queue.resume()
        with clear_manager_message(queue):
            assert reason(second) == ''
    assert start in reason(second)
    with manager(queue, **{other.id: broken}):
        pass
    assert f'The last manager said: {broken}' in reason(second)
    assert 'The last manager' not in reason(first)


@contextlib.contextmanager
def clear_manager_message(queue: Queue) -> Iterator[None]:
    event = {'e': 'manager', 'w': 'm', 't': time.time(), 'do': 'say', 'text': ''}
    queue.ledger.journal.write(lambda: [event])
    yield


def test_jobs_that_are_pending(queue: Queue, tm: TaskManager) -> None:
    future = double_app(tm)(1)
    with manager(queue):
        for jobid, why in (('1', 'Priority'), ('2', 'Priority'), ('3', 'AssocGrpCpuLimit')):
            queue.ledger.note_jobs(tm.id, [(jobid, 1, 'pending', why, '', None)])
        assert 'All jobs are pending: 2 for Priority, 1 for AssocGrpCpuLimit' in reason(future)
        queue.ledger.note_jobs(tm.id, [('1', 1, 'running', '', 'node', None)])
        assert reason(future) == ''


def test_manager_that_vanished(queue: Queue, tm: TaskManager) -> None:
    future = double_app(tm)(1)
    with manager(queue):
        assert reason(future) == ''
        path = Path(queue.folder, 'workers', 'm.lease')
        path.write_bytes(path.read_bytes().replace(b'"start":', b'"start":1'))
        assert reason(future).startswith('No worker and no manager')


def test_waiting_reason_is_printed_once(
    queue: Queue,
    tm: TaskManager,
    quick: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    futures = double_app(tm).map(range(3))
    broken = BROKEN.format(mid=tm.id)
    waits: list[Callable[[], object]] = [
        lambda: futures[0].result(timeout=0.2),
        lambda: futures[1].exception(timeout=0.2),
        lambda: list(as_completed(futures, timeout=0.2)),
    ]
    with manager(queue, **{tm.id: broken}):
        for call in waits:
            with pytest.raises(TimeoutError, match='No module named desipipe'):
                call()
        assert wait(futures, timeout=0.2).not_done == set(futures)
        assert follow(queue, timeout=0.2) == 2
        printed = capsys.readouterr().err.splitlines()
        assert len(printed) == 1 and printed[0].startswith('desipipe: A worker of task manager')
    assert follow(queue, patience=0.0) == 2
    assert f'The last manager said: {broken}. Go on with' in capsys.readouterr().out


def test_queue_that_works_needs_no_words(
    queue: Queue,
    tm: TaskManager,
    quick: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    future = double_app(tm)(1)
    with manager(queue), pytest.raises(TimeoutError, match='is PENDING') as caught:
        future.result(timeout=0.2)
    assert 'manager is running' not in str(caught.value)
    assert capsys.readouterr().err == ''


def broken_environment(folder: Path, message: str) -> Environment:
    """Return an environment whose Python says something and ends."""
    folder.mkdir()
    fake = folder / 'python'
    fake.write_text(f'#!/bin/sh\necho "{message}" >&2\nexit 1\n')
    fake.chmod(0o755)
    return Environment(command=[f'no_such_command_{folder.name}', f'export PATH={folder}:$PATH'])


def has_parts(future: Any, *parts: str) -> bool:
    """Return True when the reason why a task waits has all these parts."""
    output = reason(future)
    return all(part in output for part in parts)


def test_environments_without_desipipe(queue_dir: Path, queue: Queue, tmp_path: Path) -> None:
    """For each the words of its Python, and the command that failed before."""
    spawning = Queue(queue.folder, spawn=True)
    futures = {}
    for name in ('first', 'second'):
        environ = broken_environment(tmp_path / name, f'No module named {name}')
        futures[name] = double_app(TaskManager(spawning, environ=environ))(name)
    for name, future in futures.items():
        wait_for(functools.partial(has_parts, future, f'module named {name}', f'command_{name}'))
