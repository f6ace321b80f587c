"""Bad input of every kind: the error's type, that it says what happened and what to type next,
and that the queue is what it was.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from engine import journal_lines

from desipipe import Config, Environment, Queue, TaskManager
from desipipe.environment import BaseEnvironment
from desipipe.errors import (
    AppChangedError,
    ConfigError,
    CorruptJournalError,
    DesipipeError,
    DiskFullError,
    InvalidQueueNameError,
    LockingError,
    NotSerializableError,
    PermissionDeniedError,
    QueueExistsError,
    QueueGoneError,
    QueueVersionError,
    UnknownNameError,
    UnknownOptionError,
    UnknownQueueError,
    UnknownTaskError,
    UntrustedQueueError,
)
from desipipe.execution.worker import work
from desipipe.queue import get_queue, kill, retry
from desipipe.store.journal_file import FILE_NAME, first_event
from desipipe.store.line_format import encode
from desipipe.view import queue as summary

pytestmark = pytest.mark.usefixtures('queue_dir')


def square(x: float = 1.0, y: object = None) -> float:
    """What is computed here."""
    return x * x


@pytest.fixture
def queue(queue_dir: Path) -> Queue:
    """A queue with three tasks."""
    queue = Queue('test', create=True)
    square_app(queue).map(x=[1.0, 2.0, 3.0])
    return queue


def square_app(queue: Queue, **options: Any) -> Any:
    """The app of the tests."""
    return TaskManager(queue).python_app(square, **options)


def files(folder: Path | str) -> dict[str, str]:
    """All that lies in a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else 'folder'
        for path in Path(folder).rglob('*')
    }


@contextmanager
def refused(
    kind: type[BaseException], *arguments: str, near: Path | str | None = None
) -> Iterator[None]:
    """Something that is refused with these words; ``near`` stays what it is."""
    before = files(near) if near is not None else {}
    with pytest.raises(kind) as info:
        yield
    message = str(info.value)
    for word in arguments:
        assert word in message, message
    if near is not None:
        assert files(near) == before


# Queues


@pytest.mark.parametrize(
    'how',
    [
        lambda name: Queue(name, create=False),
        lambda name: get_queue(name, create=False),
        kill,
        retry,
        work,
    ],
)
def test_unknown_queue(queue: Queue, queue_dir: Path, how: Callable[[str], object]) -> None:
    with refused(
        UnknownQueueError,
        "no queue 'tset'",
        str(queue_dir),
        'did you mean test?',
        'desipipe queues',
        near=queue_dir,
    ):
        how('tset')
    with refused(FileNotFoundError, 'known: test', near=queue_dir):
        how('quite-another')


def test_unknown_queue_where_there_is_none(queue_dir: Path) -> None:
    with refused(UnknownQueueError, 'there is none yet', 'desipipe queues', near=queue_dir):
        Queue('test', create=False)
    with refused(UnknownQueueError, near=queue_dir):
        Queue('test', base_dir=queue_dir / 'no' / 'folder', create=False)


NAMES = [
    '',
    ' ',
    'a b',
    '-rf',
    '.hidden',
    '..',
    'x' * 129,
    'q.queue',
    'naïve',
    'a\n',
    'a\0b',
    'a;b',
    '$HOME',
    'a*',
]


@pytest.mark.parametrize('name', [*NAMES, 'a/-b', '../up', 'a/../b'])
def test_invalid_names(queue_dir: Path, name: str) -> None:
    with refused(
        InvalidQueueNameError, 'use letters, digits', 'Nothing was created', near=queue_dir
    ):
        Queue(name, base_dir=queue_dir / 'base')


@pytest.mark.parametrize(
    'name', [*NAMES, '../user/x/../../y z', 'me/..', './../.x', '/', './', 'me/.hidden', '~/.']
)
def test_invalid_names_and_paths(
    queue_dir: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    monkeypatch.setenv('HOME', str(tmp_path / 'here'))
    with refused(InvalidQueueNameError, near=tmp_path):
        Queue(name)


@pytest.mark.parametrize('name', ['../test', 'someone/../test', '..'])
def test_name_does_not_leave_the_base_folder(queue: Queue, queue_dir: Path, name: str) -> None:
    """Nor does one that only looks."""
    with refused(InvalidQueueNameError, near=queue_dir):
        Queue(name, base_dir=queue_dir / 'below', create=False)


def test_queue_that_exists(queue: Queue, queue_dir: Path) -> None:
    with refused(QueueExistsError, queue.folder, 'create=False', 'desipipe delete', near=queue_dir):
        Queue('test', create=True)


def test_queue_of_another_version(queue: Queue) -> None:
    with open(queue.filename, 'wb') as file:
        file.write(encode({**first_event({'shared': False}), 'version': 99}, 0))
    for how in (
        lambda: Queue('test'),
        lambda: Queue('test', create=False),
        lambda: queue.counts,
        lambda: square_app(queue)(9.0),
    ):
        with refused(
            QueueVersionError,
            queue.folder,
            'version 99',
            'knows 1',
            'not touched',
            'another queue name',
        ):
            how()
    assert open(queue.filename, 'rb').read().count(b'\n') == 1


def test_deleted_queue(queue: Queue, queue_dir: Path) -> None:
    app = square_app(queue)
    Queue('test').delete()
    for how in (
        lambda: app(9.0),
        lambda: queue.counts,
        queue.tasks,
        queue.pause,
        lambda: queue.add([]) or queue.counts,
    ):
        with refused(QueueGoneError, queue.folder, 'gone', near=queue_dir):
            how()
    assert list(queue_dir.rglob('*.queue*')) == [] and 'deleted' in repr(queue)


# Arguments and functions


def test_arguments_that_can_not_be_carried(queue: Queue, tmp_path: Path) -> None:
    app = square_app(queue)
    with open(tmp_path / 'file', 'w') as file:
        bad: dict[str, object] = {
            'file': file,
            'lock': threading.Lock(),
            'generator': (i for i in range(3)),
            'socket': __import__('socket').socket(),
        }
        for value in bad.values():
            for argument in (value, [1, {'deep': value}]):
                with refused(NotSerializableError, 'y', type(value).__name__, near=queue.folder):
                    app(1.0, y=argument)
                with refused(TypeError, near=queue.folder):
                    # As a range a list or a generator would be swept.
                    app.map(x=[5.0, 6.0], y=[argument])
        bad['socket'].close()  # type: ignore[attr-defined]
    assert len(queue) == 3


def test_functions_that_can_not_be_carried(queue: Queue, tmp_path: Path) -> None:
    with open(tmp_path / 'log', 'w') as log:

        def writes(x: float) -> None:
            print(x, file=log)

        app = TaskManager(queue).python_app(writes)
        with refused(NotSerializableError, 'log', 'writes', near=queue.folder):
            app(1.0)


def test_calls_that_do_not_fit(queue: Queue) -> None:
    app = square_app(queue)
    for how, word in (
        (lambda: app(1.0, 2, 3), 'too many'),
        (lambda: app(z=1), "'z'"),
        (lambda: app(1.0, x=2.0), "'x'"),
        (lambda: app.map(zip=True, x=[1.0, 2.0], y=[1, 2, 3]), 'different lengths'),
    ):
        with refused((TypeError, ValueError), word, 'nothing was added', near=queue.folder):  # type: ignore[arg-type]
            how()


def test_things_that_are_no_functions(queue: Queue) -> None:
    tm = TaskManager(queue)

    async def coroutine() -> None: ...

    def generator() -> Iterator[int]:
        yield 1

    for what, word in (
        (3, 'int'),
        ('echo', 'str'),
        (coroutine, 'coroutine'),
        (generator, 'generator'),
    ):
        with refused(TypeError, word, near=queue.folder):
            tm.python_app(what)


def test_future_of_another_queue(queue: Queue, queue_dir: Path) -> None:
    other = Queue('other', create=True)
    future = square_app(other)(7.0)
    journal = files(queue.folder)['journal.jsonl']
    with refused(UnknownTaskError, future.id, queue.folder, 'Nothing was added', 'future.result()'):
        square_app(queue)(1.0, y=[future])
    assert files(queue.folder)['journal.jsonl'] == journal and len(queue) == 3


# Options


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (
            {'provider': {'provider': 'local', 'mpiproc_per_worker': 2}},
            ('mpiproc_per_worker', 'mpiprocs_per_worker'),
        ),
        ({'provider': {'nonsense': 2}}, ('nonsense', 'mpiprocs_per_worker', 'mpiexec')),
        ({'scheduler': {'max_worker': 4}}, ('max_worker', 'max_workers')),
        ({'scheduler': {'scheduler': 'simple', 'nonsense': 4}}, ('nonsense', 'max_workers')),
    ],
)
def test_unknown_options(queue: Queue, kwargs: dict[str, Any], message: tuple[str, ...]) -> None:
    with refused(UnknownOptionError, *message, near=queue.folder):
        TaskManager(queue, **kwargs)
    with refused(UnknownOptionError, *message, near=queue.folder):
        TaskManager(queue).clone(**kwargs)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'provider': 'pbs'}, ('pbs', 'local')),
        ({'scheduler': 'smart'}, ('smart', 'simple')),
        ({'environ': 'nerc'}, ('nerc', 'base')),
    ],
)
def test_unknown_names(queue: Queue, kwargs: dict[str, Any], message: tuple[str, ...]) -> None:
    with refused(UnknownNameError, *message, near=queue.folder):
        TaskManager(queue, **kwargs)
    with refused(ValueError, *message, near=queue.folder):
        TaskManager(queue).clone(**kwargs)


def test_unknown_options_of_environments(queue: Queue) -> None:
    assert issubclass(Environment('base').__class__, BaseEnvironment)
    with refused(TypeError, 'nonsense', near=queue.folder):
        Environment('base', nonsense=1)


def test_unknown_options_of_apps_and_task_managers(queue: Queue) -> None:
    tm = TaskManager(queue)
    for name in ('timeot', 'retry'):
        with refused(
            UnknownOptionError,
            name,
            'timeout' if name == 'timeot' else 'retries',
            near=queue.folder,
        ):
            tm.python_app(square, **{name: 3})
    with refused(
        UnknownOptionError, 'nonsense', 'environ, provider, queue, scheduler', near=queue.folder
    ):
        tm.clone(nonsense=1)
    for options in (
        {'timeout': 0},
        {'timeout': -1},
        {'timeout': '3'},
        {'timeout': True},
        {'retries': -1},
        {'retries': 1.5},
        {'priority': 'high'},
    ):
        with refused(UnknownOptionError, *options, near=queue.folder):
            tm.python_app(square, **options)
    with refused(ValueError, 'DONE', 'SUCCEEDED', near=queue.folder):
        tm.python_app(square, name=True, state='DONE')


def test_task_manager_without_a_queue() -> None:
    with refused(UnknownOptionError, 'square', 'TaskManager(queue'):
        TaskManager(None).python_app(square)(1.0)


@pytest.mark.parametrize('mode', ['stop_at_errors', 'no_stream,quick'])
def test_unknown_modes(queue: Queue, mode: str) -> None:
    with refused(
        ValueError,
        mode.split(',')[-1],
        'stop_at_error',
        'retry_at_timeout',
        'no_stream',
        'no_out',
        near=queue.folder,
    ):
        work(queue, mode=mode)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('lease: soon\n', ('lease', 'a number of seconds')),
        ('provider: [1\n', ('config.yaml',)),
        ('- 1\n', ('config.yaml',)),
    ],
)
def test_bad_configuration(queue_dir: Path, text: str, message: tuple[str, ...]) -> None:
    path = Path(os.environ['DESIPIPE_CONFIG_DIR']) / 'config.yaml'
    path.write_text(text)
    with refused(ConfigError, str(path), *message, near=queue_dir):
        Queue('test', config=Config())


# The filesystem


def test_filesystem_without_locks(
    queue: Queue, queue_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, 'flock', flock)
        with refused(
            LockingError,
            'no working locks',
            os.strerror(errno.ENOLCK),
            'No queue was created',
            'DESIPIPE_QUEUE_DIR',
            'DESIPIPE_LOCK=soft',
            near=queue_dir,
        ):
            Queue('other')
        with refused(
            LockingError, queue.folder, 'Nothing was written', 'desipipe doctor', near=queue.folder
        ):
            queue.pause()
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, 'flock', lambda fd, operation: None)
        with refused(LockingError, 'two processes held the lock at once', near=queue_dir):
            Queue('other', base_dir=queue_dir / 'new')
    queue.pause()
    assert queue.paused


def test_kind_of_lock_that_is_none(queue_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('DESIPIPE_LOCK', 'fcntl')
    with refused(DesipipeError, 'fcntl', 'flock', 'soft', near=queue_dir):
        Queue('other')


@pytest.mark.parametrize('name', ['write', 'pwrite'])
@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EDQUOT])
def test_full_disk(queue: Queue, name: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    app = square_app(queue)
    ids = [task.id for task in queue.tasks()]

    def full(*args: Any) -> int:
        raise OSError(number, os.strerror(number))

    journal = files(queue.folder)['journal.jsonl']
    with monkeypatch.context() as patch:
        patch.setattr(os, name, full)
        with refused(
            DiskFullError,
            os.strerror(number),
            queue.folder,
            'not in the queue',
            'intact',
            'Free some space',
        ):
            app.map(x=[9.0, 10.0])
        if name == 'write':
            with refused(OSError, 'repeat the last step'):
                queue.cancel(tid=ids[0])
    assert files(queue.folder)['journal.jsonl'] == journal
    assert [task.id for task in Queue('test').tasks()] == [task.id for task in queue.tasks()] == ids
    app.map(x=[9.0, 10.0])
    assert len(Queue('test')) == 5


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root, to become someone else')
def test_queue_without_permission(queue: Queue, queue_dir: Path, tmp_path: Path) -> None:
    app = square_app(queue)
    for path in (tmp_path, *tmp_path.parents):
        if path.is_relative_to('/tmp') and path != Path('/tmp'):
            path.chmod(0o755)
    for path in (queue_dir, Path(queue.folder).parent):
        path.chmod(0o755)
    before = {name: digest for name, digest in files(queue_dir).items() if '/segments/' not in name}
    os.seteuid(65534)
    try:
        with refused(
            PermissionDeniedError,
            str(queue_dir),
            'no permission to create',
            'base_dir=',
            'DESIPIPE_QUEUE_DIR',
        ):
            Queue('other')
        with refused(PermissionError, queue.folder):
            app(9.0)
    finally:
        os.seteuid(0)
    # Bytes that nothing refers to may be in the segment, which was open.
    assert {
        name: digest for name, digest in files(queue_dir).items() if '/segments/' not in name
    } == before


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root, to become someone else')
def test_queue_that_may_not_be_looked_into(queue: Queue, queue_dir: Path, tmp_path: Path) -> None:
    for path in (tmp_path, *tmp_path.parents):
        if path.is_relative_to('/tmp') and path != Path('/tmp'):
            path.chmod(0o755)
    for path in (queue_dir, Path(queue.folder).parent):
        path.chmod(0o755)
    os.seteuid(65534)
    try:
        for create in (None, False, True):
            with refused(PermissionDeniedError, queue.folder):
                Queue(queue.folder, create=create)
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root, to give files away')
def test_queue_of_someone_who_is_not_trusted(queue: Queue) -> None:
    for path in Path(queue.folder).rglob('*.bin'):
        os.chown(path, 12345, -1)
    other = Queue('test', create=False)
    (task, *_) = other.tasks()
    for how in (lambda: task.kwargs, lambda: task.app.func, lambda: task.run()):
        with refused(
            UntrustedQueueError,
            queue.folder,
            '12345',
            'run their code as you',
            'not loaded',
            'trusted_users',
            'DESIPIPE_TRUST=12345',
            near=queue.folder,
        ):
            how()
    assert (
        other.counts['PENDING'] == 3
        and task.arguments == {'x': '1.0', 'y': 'None'}
        and 'def square' in task.app.code
    )


# The journal


def test_corrupt_line(queue: Queue) -> None:
    """It is named, with file and offset, by whoever looks at the queue; the rest can be used."""
    square_app(queue)(4.0)
    offset, _ = journal_lines(queue.ledger.journal)[-1]
    square_app(queue)(5.0)
    with open(queue.filename, 'r+b') as file:
        file.seek(offset + 10)
        file.write(b'?')
    before = files(queue.folder)
    other = Queue('test', create=False)
    (damage,) = summary.queue_summary(other)['damage']
    assert (damage['file'], damage['offset']) == (queue.filename, offset)
    assert len(other) == 4
    with refused(
        CorruptJournalError, queue.filename, f'offset {offset:d}', '--repair', 'the rest is intact'
    ):
        other.ledger.journal.event_at(offset)
    assert files(queue.folder) == before
    assert other.repair() == 1 and summary.queue_summary(other)['damage'] == [] and len(other) == 4
    square_app(other)(4.0)
    assert len(Queue('test')) == 5


@pytest.mark.parametrize('how', ['bent', 'short', 'empty'])
def test_corrupt_first_line(queue: Queue, how: str) -> None:
    with open(queue.filename, 'r+b') as file:
        if how == 'bent':
            file.seek(10)
            file.write(b'?')
        else:
            file.truncate(10 if how == 'short' else 0)
    for create in (None, False):
        with refused(
            CorruptJournalError,
            queue.filename,
            'offset 0',
            'Restore the file from a backup',
            near=queue.folder,
        ):
            Queue('test', create=create)
    assert os.path.basename(queue.filename) == FILE_NAME


# Tasks


def test_unknown_tasks(queue: Queue) -> None:
    (task, *_) = queue.tasks()
    for how in (
        lambda: queue['abcdef'],
        lambda: queue.drop('abcdef'),
        lambda: queue.cancel(tid='abcdef'),
        lambda: queue.retry(tid='abcdef'),
        lambda: queue.explain('abcdef'),
    ):
        with refused(
            UnknownTaskError, "No task 'abcdef'", queue.folder, 'desipipe tasks', near=queue.folder
        ):
            how()
    for printed in (
        lambda: queue.set_task_state('abcdef', 'FAILED'),
        lambda: queue.__delitem__('abcdef'),
    ):
        with pytest.warns(UserWarning, match="No task 'abcdef' is in the queue test. Nothing was"):
            printed()
    assert 'abcdef' not in queue and task.id in queue
    assert queue.tasks(tid='abcdef') is None and queue.tasks(tid='abcdef', one=False) == []
    assert queue.tasks(one=True).id == task.id
    assert queue.tasks(mid='zzz') == [] and queue.counts(mid='zzz') == 0
    assert queue.pop(mid='zzz') is None and queue.pop(tid='abcdef') is None
    with refused(ValueError, 'DONE', 'SUCCEEDED', near=queue.folder):
        queue.tasks(state='DONE')
    with refused(ValueError, 'DONE', near=queue.folder):
        queue.set_task_state(task.id, 'DONE')
    with refused(AttributeError, 'resul', 'result', near=queue.folder):
        queue.tasks(property='resul')
    with refused(ValueError, 'dict', 'str', near=queue.folder):
        queue.summary(return_type='json')


def test_deleting_what_is_needed(queue: Queue) -> None:
    future = square_app(queue)(7.0)
    after = square_app(queue)(8.0, y=future)
    with refused(
        UnknownTaskError, future.id[:12], after.id[:12], 'Nothing was deleted', near=queue.folder
    ):
        del queue[future.id]
    queue.set_task_state(future.id, 'FAILED')
    del queue[future.id]  # what needs it could not run anyway
    assert queue.tasks(tid=future.id) is None and 'was deleted' in queue.explain(after.id)
    square_app(queue)(7.0)
    queue.set_task_state(future.id, 'SUCCEEDED')
    assert after.state == 'PENDING'
    del queue[after.id]
    del queue[future.id]
    assert len(queue) == 3


def test_accepting_what_does_not_fit(queue: Queue) -> None:
    def other(x: float) -> float:
        return x

    one, two, _ = queue.tasks()
    foreign = TaskManager(queue).python_app(other)(1.0)
    with refused(AppChangedError, 'square', 'other', 'Nothing was changed', near=queue.folder):
        queue.accept(one, foreign)
    with refused(AppChangedError, one.id[:12], 'PENDING', 'Nothing was changed', near=queue.folder):
        queue.accept(one, two)


def test_waiting_in_vain(queue: Queue) -> None:
    (future, *_) = queue.futures()
    with refused(
        TimeoutError,
        future.id[:12],
        'PENDING',
        'nothing is lost',
        'desipipe explain',
        near=queue.folder,
    ):
        future.result(timeout=0)
