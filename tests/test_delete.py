"""Deleting a queue whose files another process has open, as NFS shows them: under other names,
until they are closed.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from desipipe import Queue, TaskManager
from desipipe.errors import QueueGoneError
from desipipe.queue import folder as folders

Reader = Callable[[], None]


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    """A queue with a task."""
    queue = Queue('q', base_dir=tmp_path)

    @TaskManager(queue).python_app
    def app(x: int) -> int:
        return x

    app(1)
    return queue


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Have all files of ``segments`` and the journal open on this host; the function closes
    them.
    """
    unlink, is_open = os.unlink, [True]
    state = {'renamed': 0}

    def unlink_as_nfs(path: str, *, dir_fd: int | None = None) -> None:
        name = os.path.basename(path)
        if is_open[0] and name.startswith('.nfs'):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
        if is_open[0] and name.endswith(('.bin', '.jsonl')):
            state['renamed'] += 1
            hidden = os.path.join(os.path.dirname(path), f'.nfs{state["renamed"]:016x}')
            os.rename(path, hidden, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
            return
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, 'unlink', unlink_as_nfs)
    return lambda: is_open.__setitem__(0, False)


def names_below(folder: Path) -> list[str]:
    return [name for _, _, names in os.walk(folder) for name in names]


def test_delete_waits_for_a_reader_that_closes(
    queue: Queue, reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            reader()

    monkeypatch.setattr(time, 'sleep', pause)
    queue.delete()
    assert len(pauses) == 2
    assert os.listdir(tmp_path) == []


def test_delete_removes_all_that_nobody_reads(
    queue: Queue,
    reader: Reader,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(folders, '_REMOVE_PAUSES', (0.0, 0.0))
    other = Queue(queue.folder, create=False)
    with caplog.at_level(logging.WARNING, 'desipipe'):
        queue.delete()
    (left,) = os.listdir(tmp_path)
    assert left.endswith('.deleted') and f'rm -r {tmp_path / left}' in caplog.text
    assert len(names_below(tmp_path)) == 2
    assert all(name.startswith('.nfs') for name in names_below(tmp_path))
    with pytest.raises(QueueGoneError):
        other.pause()
    assert Queue('q', base_dir=tmp_path, create=True).counts() == 0


def test_files_that_cannot_be_removed_are_told(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unlink = os.unlink

    def refuse(path: str, *, dir_fd: int | None = None) -> None:
        if os.path.basename(path) == 'lock':
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, 'unlink', refuse)
    with pytest.raises(PermissionError):
        queue.delete()
    assert names_below(tmp_path) == ['lock']


@pytest.mark.parametrize('close', [True, False])
def test_clear_and_compact_beside_a_reader(queue: Queue, reader: Reader, close: bool) -> None:
    queue.compact()
    assert queue.counts() == 1 and queue.tasks()[0].arguments == {'x': '1'}
    if close:
        reader()
    queue.clear()
    assert queue.counts() == 0
