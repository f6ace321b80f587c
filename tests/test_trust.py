"""Queues of other users: looking at one is safe, using one needs trust."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from desipipe import Config, Environment, Queue, TaskManager, retry, spawn, work
from desipipe.errors import UntrustedQueueError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason='files are given to another user, which needs root')
OTHER = next(user for user in pwd.getpwall() if user.pw_uid not in (0, 65534))


@pytest.fixture
def theirs(queue_dir: Path, tmp_path: Path) -> Queue:
    """A queue of another user, whose environment and tasks write a file when they are run."""
    queue = Queue('theirs')
    tm = TaskManager(queue, environ=Environment(command=f'touch {tmp_path}/ran'))

    @tm.python_app
    def touch(path: str) -> None:
        open(path, 'w').close()

    touch(f'{tmp_path}/ran')
    for folder, folders, files in os.walk(queue.folder):
        for name in ('', *folders, *files):
            os.chown(os.path.join(folder, name), OTHER.pw_uid, OTHER.pw_gid)
    return Queue('theirs', create=False)


def desipipe(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, '-m', 'desipipe', *words], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    'use',
    [
        lambda queue: spawn(queue),
        lambda queue: spawn(queue, spawn=True),
        lambda queue: work(queue),
        lambda queue: queue.managers(),
        lambda queue: queue.compact(),
        lambda queue: queue.repair(),
        lambda queue: queue.clear(kill=False),
        lambda queue: retry(Queue(queue.folder, create=False), state='PENDING', spawn=True),
        lambda queue: queue.tasks()[0].kwargs,
    ],
)
def test_using_needs_trust(theirs: Queue, tmp_path: Path, use: Callable[[Queue], object]) -> None:
    with pytest.raises(UntrustedQueueError, match=OTHER.pw_name):
        use(theirs)
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('words', [('spawn',), ('spawn', '--spawn'), ('work',), ('resume', '--spawn'), ('retry', '--spawn', '--state', 'PENDING')])
def test_commands_that_use_a_queue_say_what_trust_means(theirs: Queue, tmp_path: Path, words: tuple[str, ...]) -> None:
    ran = desipipe(*words, '-q', theirs.folder)
    if words[0] != 'retry':  # nothing was to be run again, so that nothing was started
        assert ran.returncode == 2 and f'desipipe trust {OTHER.pw_name}' in ran.stderr and 'would run as you' in ran.stderr
    assert not (tmp_path / 'ran').exists()


def test_looking_needs_no_trust(theirs: Queue, tmp_path: Path) -> None:
    for words in (('status',), ('tasks', '--json'), ('explain', 'touch[0]'), ('doctor',), ('time',)):
        ran = desipipe(words[0], '-q', theirs.folder, *words[1:])
        assert 'Traceback' not in ran.stderr and ran.returncode in (0, 1), (words, ran)
    assert theirs.counts['PENDING'] == 1 and not (tmp_path / 'ran').exists()


def test_trust_is_written_into_the_configuration(theirs: Queue, tmp_path: Path) -> None:
    assert 'nobody but yourself' in desipipe('trust').stdout
    assert desipipe('trust', OTHER.pw_name).returncode == 0
    assert Config()['trusted_users'] == [OTHER.pw_name]
    assert 'There is no user' in desipipe('trust', 'no-such-user').stderr
    queue = Queue(theirs.folder, create=False)
    work(queue)
    assert queue.counts['SUCCEEDED'] == 1 and (tmp_path / 'ran').exists()


def test_a_linked_queue_is_not_used(theirs: Queue, queue_dir: Path, tmp_path: Path) -> None:
    link = Path(Config().queue_dir) / 'link.queue'
    link.symlink_to(theirs.folder)
    with pytest.raises(UntrustedQueueError, match='is a link'):
        work('link')
