"""Every file of a queue is opened, listed, renamed and removed by three modules of desipipe/store.

An audit hook in all Python processes that a session of all verbs starts writes down who else did.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from desipipe.utils import username

HOOK = r"""
import os, re, sys
LOG = os.open(os.environ['OPENED_LOG'], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
ROOT = os.environ['OPENED_ROOT']
EVENTS = {
    'open', 'os.listdir', 'os.scandir', 'os.remove', 'os.rename', 'os.mkdir', 'os.rmdir', 'os.link', 'os.symlink',
    'os.truncate', 'os.chmod', 'os.chown', 'os.utime', 'os.walk', 'os.fwalk', 'shutil.rmtree', 'shutil.copyfile', 'shutil.move',
}
# What the library of soft locks does, it does by descriptors itself.
STORE = tuple(f'desipipe/store/{name}.py' for name in ('files', 'folders', 'shared_files'))
ALLOWED = (STORE, '/filelock/')


def inside(value):
    # A descriptor was opened before, which was another event.
    if isinstance(value, bytes):
        value = os.fsdecode(value)
    return isinstance(value, str) and re.match(re.escape(ROOT) + '[^/]+[.]queue/', os.path.abspath(value))


def hook(event, args):
    if event not in EVENTS:
        return
    paths = [value for value in args[:2] if inside(value)]
    if not paths:
        return
    frame, names = sys._getframe(1), []
    while frame is not None and len(names) < 4:
        names.append(frame.f_code.co_filename)
        frame = frame.f_back
    if not names[0].endswith(ALLOWED[0]) and not any(part in name for name in names for part in ALLOWED[1:]):
        os.write(LOG, f'{event} {paths[0]} by {" < ".join(names)}\n'.encode())


sys.addaudithook(hook)
"""

PIPELINE = """
import sys
from desipipe import Queue, TaskManager
from desipipe.file_manager import BaseFile as File

DATA = sys.argv[1]
queue = Queue('audited')
tm = TaskManager(queue, scheduler=dict(max_workers=2))

@tm.python_app
def save(x):
    file = File(path=f'{DATA}/{x}.txt', filetype='text')
    file.save('text')
    print('said', File(path=f'{DATA}/{x}.txt', filetype='text').load())
    return x

@tm.python_app
def fail(x):
    raise ValueError(x)

@tm.bash_app
def echo(x):
    return ['echo', x]

futures = [save(1), save(2), fail(3), echo('four')]
if len(sys.argv) > 2:
    print(futures[0].result())
"""

SESSION = """
import asyncio, os
from desipipe.cli import main

QUEUE = ('-q', 'audited')

def verb(*words):
    print(words, flush=True)
    try:
        status = main(list(words))
    except SystemExit as exc:
        status = exc.code
    assert status in (0, 1, None), words

def damage():
    from desipipe import Queue
    queue = Queue('audited', create=False)
    queue.ledger.close()
    with open(queue.filename, 'ab') as file:
        file.write(b'{"e":"note"}\\n')

async def ask():
    from desipipe.server.queues import Hub
    from desipipe.server.routes import QUERIES, ORDERS
    hub = Hub(os.getcwd())
    values = {'queue': 'audited', 'tid': 'save[0]', 'rows': '0-3'}
    for route in QUERIES:
        await route.answer(hub, {name: values[name] for name in route.required})
    await asyncio.gather(*(route.answer(hub, {'queue': 'audited'}) for route in ORDERS if route.path in ('actions/pause', 'actions/resume')))
    await hub.close()

verb('status', *QUEUE)
verb('spawn', *QUEUE)
for words in (('status',), ('tasks', '--json'), ('time',), ('logs', 'save[0]'), ('logs', 'fail[0]'), ('explain', 'fail[0]'), ('files',),
              ('pause',), ('resume',), ('watch',), ('doctor',), ('retry', '--name', 'fail'), ('cancel', '--name', 'fail'), ('retry', '--name', 'fail'),
              ('work',), ('kill',), ('compact',), ('resize', '--max-workers', '3')):
    verb(words[0], *QUEUE, *words[1:])
verb('queues')
asyncio.run(ask())
damage()
verb('doctor', *QUEUE, '--repair')
verb('record', *QUEUE, '-o', 'record.ipynb', '--with-results')
verb('verify', 'record.ipynb', '--queue', 'audited')
verb('import', 'record.ipynb', '-q', 'imported', '--trust')
verb('forget', *QUEUE, 'fail[0]')
from desipipe import Queue
Queue('audited', create=False).clear()
verb('delete', *QUEUE, '--force')
"""


def test_files_of_a_queue_are_opened_in_one_place(tmp_path: Path) -> None:
    hooks, queues, data = tmp_path / 'hooks', tmp_path / 'queues', tmp_path / 'data'
    for folder in (hooks, queues, data):
        folder.mkdir()
    (hooks / 'sitecustomize.py').write_text(HOOK)
    (tmp_path / 'pipeline.py').write_text(PIPELINE)
    (tmp_path / 'session.py').write_text(SESSION)
    log = tmp_path / 'opened'
    log.touch()
    env = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join([str(hooks), os.environ.get('PYTHONPATH', '')]),
        'DESIPIPE_QUEUE_DIR': str(queues),
        'DESIPIPE_CONFIG_DIR': str(tmp_path / 'config'),
        'OPENED_LOG': str(log),
        'OPENED_ROOT': f'{queues / username()}/',
    }
    for arguments in (('pipeline.py', str(data)), ('session.py',)):
        ran = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (data / '.desipipe').is_dir()
    opened = log.read_text().splitlines()
    assert opened and 'session.py' in opened[0], 'the hook missed what the session itself opened'
    assert opened[1:] == []
