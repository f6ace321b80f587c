"""Bad input of each kind: the error's type, what its message says, and that nothing was changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from desipipe import Queue, TaskManager, errors
from desipipe.store import journal


@pytest.fixture
def queue(queue_dir: Path) -> Queue:
    return Queue('power', create=True)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


def test_unknown_queue_names_close_ones(queue: Queue, queue_dir: Path) -> None:
    before = tree(queue_dir)
    with pytest.raises(errors.UnknownQueueError, match=r"no queue 'powr'.*did you mean power\?.*desipipe queues"):
        Queue('powr', create=False)
    assert tree(queue_dir) == before


def test_a_queue_that_is_there(queue: Queue) -> None:
    with pytest.raises(errors.QueueExistsError, match='create=False.*desipipe delete'):
        Queue('power', create=True)


@pytest.mark.parametrize(
    'name', ['', '..', '.hidden', 'a b', 'a\nb', 'user/../up', 'user/.hidden', './../..', 'x' * 200, 'a.queue', 'a/b/c', 'a*', '-q']
)
def test_invalid_names_create_nothing(queue_dir: Path, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / 'cwd').mkdir()
    monkeypatch.chdir(tmp_path / 'cwd')
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises((errors.InvalidQueueNameError, errors.ConfigError)):
        Queue(name)
    with pytest.raises(errors.InvalidQueueNameError):
        Queue(name, base_dir=tmp_path / 'base')
    assert sorted(tmp_path.rglob('*')) == before


def test_names_stay_in_the_base_folder(queue_dir: Path) -> None:
    with pytest.raises(errors.InvalidQueueNameError, match='Nothing was created'):
        Queue('../evil', base_dir=queue_dir)
    assert not list(queue_dir.parent.glob('evil*'))


def test_queue_of_another_version(queue: Queue) -> None:
    path = Path(queue.filename)
    header = {key: value for key, value in queue.ledger.journal.header.items() if key != 'at'}
    path.write_bytes(journal.encode({**header, 'version': 99}, 0))
    before = tree(Path(queue.folder))
    with pytest.raises(errors.QueueVersionError, match='format version 99.*it was not touched'):
        Queue('power')
    assert tree(Path(queue.folder)) == before


def test_folders_are_private(queue: Queue) -> None:
    assert os.stat(queue.folder).st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason='giving files away needs root')
def test_a_queue_of_another_user_is_not_loaded(queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / 'ran'

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f'touch {mark}',)

        def __desipipe_identity__(self) -> str:
            return 'trap'

    @TaskManager(queue).python_app
    def take(value: Any) -> None:
        return None

    future = take(Trap())
    for path in (Path(queue.folder), *Path(queue.folder).rglob('*')):
        os.chown(path, 12345, -1)
    other = Queue('power')
    assert other.counts['PENDING'] == 1
    assert 'take' in repr(other.tasks()[0])
    other.explain(other.tasks()[0])
    assert other.tasks()[0].arguments
    assert 'def take' in other.tasks()[0].app.code
    with pytest.raises(errors.UntrustedQueueError, match='12345.*was not loaded.*DESIPIPE_TRUST=12345'):
        _ = other.tasks()[0].kwargs
    assert not mark.exists()
    monkeypatch.setenv('DESIPIPE_TRUST', '12345')
    assert set(Queue('power')[future.id].kwargs) == {'value'}
    assert mark.exists()


def test_a_damaged_line_is_named(queue: Queue) -> None:
    @TaskManager(queue).python_app
    def one(i: int) -> int:
        return i

    one.map(i=range(3))
    path = Path(queue.filename)
    data = bytearray(path.read_bytes())
    offset = data.rfind(b'{"e":"add"')
    data[offset + 40] ^= 1
    path.write_bytes(bytes(data))
    again = Queue('power')
    assert again.ledger.state.damage[0][0] == offset
    assert len(again) == 0
    future = one(7)
    assert Queue('power').counts['PENDING'] == 1  # the rest is usable
    assert again.repair() == 1
    assert not Queue('power').ledger.state.damage
    assert future.state == 'PENDING'


def test_unknown_states_and_properties(queue: Queue) -> None:
    with pytest.raises(ValueError, match='no task state .*SUCCEEDED'):
        queue.tasks(state='SUCCESS')
    with pytest.raises(AttributeError, match='did you mean'):
        queue.tasks(property='sate')
    with pytest.raises(errors.UnknownTaskError, match='desipipe tasks'):
        queue['abcdef123456']
    with pytest.raises(errors.UnknownTaskError):
        queue['zz']


def test_a_deleted_queue_is_not_recreated(queue: Queue) -> None:
    @TaskManager(queue).python_app
    def one(i: int) -> int:
        return i

    future = one(1)
    Queue('power').delete()
    for act in (lambda: one(2), lambda: queue.counts, queue.pause, lambda: future.result(timeout=1)):
        with pytest.raises(errors.QueueGoneError, match='gone'):
            act()
    assert not os.path.exists(queue.folder)
    assert 'deleted' in repr(queue)
