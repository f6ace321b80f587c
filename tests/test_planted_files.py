"""What another user puts into the folder of a queue leads nobody out of it: two real users,
trusted and not.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from engine import add, begin, claim, finish, make_folder

from desipipe.queue.ledger import Ledger
from desipipe.store.line_format import encode

ATTACKER, VICTIM = 54321, 54322
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason='two users are needed, which only root can be'
)

# The victim tries everything on queues that someone else made, and says how each try ended, and
# whether all they have is as it was.
ACTIONS = """
import hashlib, importlib.metadata, json, os, pathlib, pkgutil, sys

def act(folder, verb):
    from desipipe import Queue
    from desipipe.cli import main
    where = ['-q', folder.removesuffix('.queue')]
    if verb == 'results':
        queue = Queue(folder, create=False)
        return [task.result() for task in queue.tasks() if task.state == 'SUCCEEDED']
    if verb == 'repair':
        return Queue(folder, create=False).repair()
    if verb in ('clear', 'delete'):
        return getattr(Queue(folder, create=False), verb)(kill=False)
    if verb == 'manager':
        from desipipe.execution.spawning import begin
        return begin(Queue(folder, create=False))
    if verb == 'lease':
        from desipipe.store.lease import Lease
        return Lease(folder, 'w', False).close()
    if verb == 'note':
        from desipipe import provenance
        from desipipe.file_manager import BaseFile
        provenance.making = provenance.Making('q', '0' * 32, 1, 'app', 'c' * 32, lambda: 'source')
        return BaseFile(path=folder + '/data.txt', filetype='text').save('data')
    if verb == 'live':
        from desipipe.store import file_names, files
        return os.close(files.open_file(folder, file_names.live_file('w-0'), os.O_RDWR | os.O_CREAT))
    words = {'log': ['logs', *where, 'fraction[0]'], 'cancel': ['cancel', *where, '--state', 'PENDING']}.get(verb, [verb, *where])
    return main(words)

def contents():
    home = pathlib.Path.home()
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.rglob('*'))
        if path.is_file() and 'config' not in path.relative_to(home).parts
    }

# This Python may lie where other users may not read: what is needed is imported before.
import desipipe
for module in pkgutil.walk_packages(desipipe.__path__, 'desipipe.'):
    if not module.name.startswith(('desipipe.server', 'desipipe.notebook', 'desipipe.__main__')):
        importlib.import_module(module.name)
uid = int(sys.argv[2])
os.setgroups([])
os.setgid(uid)
os.setuid(uid)
assert os.getresuid() == (uid, uid, uid)
before = contents()
said = []
for name, folder, verbs in json.loads(sys.argv[1]):
    for verb in verbs:
        print(name, verb, flush=True)
        print(name, verb, file=sys.stderr, flush=True)
        try:
            outcome = ['done', repr(act(folder, verb))]
        except Exception as exc:
            outcome = [type(exc).__name__, str(exc)]
        now = contents()
        said.append([name, verb, *outcome, sorted(path for path in {*now, *before} if now.get(path) != before.get(path))])
        before = now
print(json.dumps(said))
"""


class Attack(NamedTuple):
    """What is planted into a queue, and what the victim does with it."""

    plant: Callable[[Path, Path], None]
    verbs: tuple[str, ...]


def _link(name: str, target: str) -> Callable[[Path, Path], None]:
    def plant(queue: Path, home: Path) -> None:
        path = queue / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(home / target)

    return plant


def _hard_link(name: str, target: str) -> Callable[[Path, Path], None]:
    def plant(queue: Path, home: Path) -> None:
        (queue / name).unlink(missing_ok=True)
        os.link(home / target, queue / name)

    return plant


def _damage(queue: Path, home: Path) -> None:
    with open(queue / 'journal.jsonl', 'ab') as file:
        file.write(b'echo you were attacked\n')
    generation = json.loads((queue / 'journal.jsonl').read_bytes().splitlines()[0])['gen']
    (queue / time.strftime(f'journal.damaged-%Y%m%d-{generation}')).symlink_to(home / '.profile')


def _header(**members: object) -> Callable[[Path, Path], None]:
    def plant(queue: Path, home: Path) -> None:
        header = json.loads((queue / 'journal.jsonl').read_bytes().splitlines()[0])
        header = {
            key: value for key, value in {**header, **members}.items() if key not in ('at', 'crc')
        }
        (queue / time.strftime('journal.damaged-%Y%m%d-')).mkdir()
        (queue / 'journal.jsonl').write_bytes(encode(header, 0) + b'echo you were attacked\n')

    return plant


def _segment_of_victim(queue: Path, home: Path) -> None:
    # The bytes of a payload stand in a file of the victim's, such as a download.
    for path in (queue / 'segments').iterdir():
        shutil.copy(path, home / 'download')
        os.chown(home / 'download', VICTIM, VICTIM)
        path.unlink()
        path.symlink_to(home / 'download')


def _worker_name(name: str) -> Callable[[Path, Path], None]:
    def plant(queue: Path, home: Path) -> None:
        ledger = Ledger(str(queue))
        begin(ledger, name)
        claim(ledger, name)
        ledger.close()

    return plant


ATTACKS = {
    'damaged lines through a link': Attack(_damage, ('repair', 'compact')),
    'a generation that is a path': Attack(
        _header(gen='/../../../home/.profile'), ('repair', 'compact', 'status')
    ),
    'a name that is a path': Attack(
        _worker_name('../../home/precious.queue/workers/w'), ('status', 'log', 'clear', 'kill')
    ),
    'segments of the victim': Attack(
        _link('segments', 'precious.queue/segments'), ('compact', 'clear', 'results')
    ),
    'live files of the victim': Attack(
        _link('live', 'precious.queue/live'), ('clear', 'live', 'log')
    ),
    'leases of the victim': Attack(
        _link('workers', 'precious.queue/workers'), ('lease', 'clear', 'status')
    ),
    'the journal of the victim': Attack(
        _link('journal.jsonl', 'precious.queue/journal.jsonl'),
        ('pause', 'cancel', 'clear', 'compact', 'repair'),
    ),
    'the journal of the victim, by a hard link': Attack(
        _hard_link('journal.jsonl', 'precious.queue/journal.jsonl'), ('pause', 'compact', 'repair')
    ),
    'a lock of the victim': Attack(_link('lock', '.profile'), ('pause', 'compact')),
    'a log that is a link': Attack(_link('manager.log', '.profile'), ('manager',)),
    'a log that is a hard link': Attack(_hard_link('manager.log', '.profile'), ('manager',)),
    'a lease that is a link': Attack(_link('workers/w.lease', '.profile'), ('lease', 'status')),
    'a lease that is a hard link': Attack(_hard_link('workers/w.lease', '.profile'), ('lease',)),
    'a live file that is a link': Attack(_link('live/w-0.log', '.profile'), ('live',)),
    'a payload in a file of the victim': Attack(_segment_of_victim, ('results', 'work')),
    'notes that lead elsewhere': Attack(_link('.desipipe', 'precious.queue'), ('note',)),
    'the whole queue': Attack(lambda queue, home: None, ('delete',)),
}


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that all users may enter, with a home of the victim and one of the attacker."""
    path = Path(tempfile.mkdtemp(prefix='desipipe-test-'))
    path.chmod(0o755)
    for name in ('home', 'attacker'):
        (path / name).mkdir(mode=0o755)
    (path / 'home' / '.profile').write_text('# precious\n')
    ledger = Ledger(make_folder(path / 'home', 'precious'))
    add(ledger, range(3))
    ledger.close()
    (path / 'home' / 'precious.queue' / 'workers' / 'w.lease').write_text('precious')
    (path / 'home' / 'precious.queue' / 'live' / 'w-0.log').write_text('precious')
    give(path / 'home', VICTIM)
    yield path
    shutil.rmtree(path)


def give(folder: Path, uid: int) -> None:
    """Give all that is in a folder to a user; links as such."""
    os.lchown(folder, uid, uid)
    for where, folders, names in os.walk(folder):
        for name in (*folders, *names):
            if os.lstat(os.path.join(where, name)).st_nlink == 1 or name in folders:
                os.lchown(os.path.join(where, name), uid, uid)


def attacked_queue(shared_folder: Path, stem: str, attack: Attack) -> Path:
    """Make a queue with a task that succeeded, whose payloads write a file when they are loaded;
    plant what the attack plants.
    """
    ledger = Ledger(make_folder(shared_folder / 'attacker', stem))
    add(ledger, range(3))
    begin(ledger, 'w')
    finish(ledger, 'w', claim(ledger, 'w'))
    ledger.end_worker('w')
    ledger.close()
    queue = Path(ledger.folder)
    attack.plant(queue, shared_folder / 'home')
    give(queue, ATTACKER)
    for path in (queue, *queue.rglob('*')):
        if not path.is_symlink() and path.lstat().st_uid == ATTACKER:
            path.chmod(0o777 if path.is_dir() else 0o666)
    return queue


@pytest.mark.parametrize('trusts', [True, False], ids=['trusted', 'untrusted'])
def test_planted_files_touch_nothing_of_the_victim(shared_folder: Path, trusts: bool) -> None:
    queues = [
        (name, str(attacked_queue(shared_folder, f'evil{i:d}', attack)), attack.verbs)
        for i, (name, attack) in enumerate(ATTACKS.items())
    ]
    (shared_folder / 'attacker').chmod(0o777)
    env = {
        **os.environ,
        'HOME': str(shared_folder / 'home'),
        'DESIPIPE_CONFIG_DIR': str(shared_folder / 'home' / 'config'),
        'DESIPIPE_QUEUE_DIR': str(shared_folder / 'home' / 'config' / 'queues'),
        'DESIPIPE_TRUST': str(ATTACKER) if trusts else '',
    }
    argv = [sys.executable, '-c', ACTIONS, json.dumps(queues), str(VICTIM)]
    ran = subprocess.run(
        argv, env=env, cwd=shared_folder / 'home', capture_output=True, text=True, timeout=600
    )
    assert ran.returncode == 0, ran.stderr
    output = json.loads(ran.stdout.splitlines()[-1])
    assert len(output) == sum(len(attack.verbs) for attack in ATTACKS.values())
    assert [one for one in output if one[-1]] == [], ran.stderr
    assert 'Traceback' not in ran.stderr and 'should not happen' not in ran.stderr, ran.stderr
    kinds = {(name, verb): kind for name, verb, kind, *_ in output}
    assert kinds['the whole queue', 'delete'] in ('done', 'UntrustedQueueError')
    refused = {
        kind
        for (name, _), kind in kinds.items()
        if name.startswith('a log') or 'lease that' in name
    }
    assert refused <= {'UnsafeFileError', 'UntrustedQueueError', 'done'}
