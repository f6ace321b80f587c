"""Queues of desipipe 1.0 are taken over: tasks, states, results, output, errors, task managers."""

from __future__ import annotations

import io
import os
import pickle
import runpy
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pipelines import Cli

from desipipe import FileManager, Queue
from desipipe.config import Config
from desipipe.errors import QueueExistsError, RecordError, ResultError, UntrustedFileError
from desipipe.record.original_functions import rebuild_function
from desipipe.record.original_import import LEASE, import_original
from desipipe.record.original_importer import Report
from desipipe.record.original_pickles import read_needs
from desipipe.record.original_queue import OriginalQueue
from desipipe.store.lease import Lease

SCHEMA = """
CREATE TABLE tasks (tid TEXT PRIMARY KEY, task TEXT, state TEXT, mid TEXT, jobid TEXT, t0 REAL);
CREATE TABLE requires (tid TEXT, require TEXT, FOREIGN KEY(tid) REFERENCES tasks(tid));
CREATE TABLE managers (mid TEXT PRIMARY KEY, manager TEXT, FOREIGN KEY(mid) REFERENCES tasks(mid));
CREATE TABLE processes (pid TEXT, provider TEXT, PRIMARY KEY (pid, provider));
CREATE TABLE metadata (key TEXT, value TEXT);
"""
ENDLESS = """
CREATE VIEW tasks AS WITH RECURSIVE t(tid) AS (SELECT 1 UNION ALL SELECT tid + 1 FROM t)
SELECT tid, tid AS task, tid AS state, tid AS mid, tid AS jobid, tid AS t0 FROM t
"""
DRAW = """def draw(size, seed=seed):
    import numpy as np
    print('drawing', size)
    return np.random.RandomState(seed=seed).uniform(size=size)"""
AVERAGE = """def average(several, scale=scale):
    total = 0.
    for one in several:
        total += one.sum()
    return total * scale"""
SAY = """def say(text):
    return ['echo', text]"""
SCRIPT = """
from desipipe import Queue, TaskManager

queue = Queue('old', base_dir='.')
tm = TaskManager(queue, scheduler=dict(max_workers=3))

@tm.python_app
def draw(size, seed=42):
    # Comments were not stored.
    import numpy as np
    print('drawing', size)
    return np.random.RandomState(seed=seed).uniform(size=size)

@tm.python_app
def average(several, scale=2):
    total = 0.
    for one in several:
        total += one.sum()
    return total * scale

@tm.bash_app
def say(text):
    return ['echo', text]

draws = [draw(3, seed=seed) for seed in range(2)]
mean = average(draws)
said = say('hello')
"""


class Named(type):
    """The type of classes of other modules, which need not exist."""


def named(module: str, name: str) -> Any:
    """Make a class that pickles as one of a module."""
    return Named(
        name,
        (),
        {'origin': module, '__init__': lambda self, /, **state: self.__dict__.update(state)},
    )


def old(name: str, /, **state: Any) -> Any:
    """Make an object of a class of desipipe 1.0."""
    module = {
        'BaseEnvironment': 'environment',
        'SimpleScheduler': 'scheduler',
        'LocalProvider': 'provider',
        'NERSCProvider': 'provider',
    }.get(name)
    module = module or ('file_manager' if 'File' in name else 'task_manager')
    return named(f'desipipe.{module}', name)(**state)


class Reference:
    """A persistent reference: a future, a function or a task manager."""

    def __init__(self, *pid: Any) -> None:
        self.pid = pid


class Pickler(pickle._Pickler):
    """Writes what desipipe 1.0 wrote; names need not be there."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_named(self, cls: Any) -> None:
        self.save(cls.origin)
        self.save(cls.__name__)
        self.write(pickle.STACK_GLOBAL)

    dispatch[Named] = save_named

    def persistent_id(self, obj: Any) -> Any:
        return obj.pid if isinstance(obj, Reference) else None


def pickled(value: Any) -> bytes:
    stream = io.BytesIO()
    Pickler(stream, protocol=4).dump(value)
    return stream.getvalue()


def future(tid: str) -> Reference:
    return Reference('Future', tid)


def manager(mid: str, provider: Any = None, **environ: Any) -> tuple[str, bytes]:
    commands = ('export COMMAND=1',) if environ else ()
    state = {
        'queue': None,
        'environ': old('BaseEnvironment', data=environ, command=commands),
        'scheduler': old('SimpleScheduler', max_workers=3, provider=None),
        'provider': provider
        or old(
            'LocalProvider',
            mpiprocs_per_worker=1,
            mpiexec='mpiexec -np {mpiprocs:d} {cmd}',
            stop_after=None,
            processes=[],
        ),
        'id': mid,
    }
    return mid, pickled(Reference('TaskManager', state))


def task(
    tid: str,
    code: str,
    state: str = 'SUCCEEDED',
    needs: Iterable[str] = (),
    kind: str = 'PythonApp',
    **more: Any,
) -> tuple[str, str, bytes, dict[str, Any]]:
    """Make a row of the table of tasks: identity, state, pickle, other columns."""
    name = code.partition('(')[0].removeprefix('def ')
    columns = {key: more.pop(key) for key in ('mid', 'jobid', 't0') if key in more}
    kinds = more.pop('kinds', {})
    app = old(
        kind,
        name=name,
        code=code,
        vartypes={key: kinds.get(key, 'POSITIONAL_OR_KEYWORD') for key in more['kwargs']},
        dlocals={},
        filename=None,
        dirname=more.pop('dirname', os.getcwd()),
        save_attrs=('code', 'versions'),
        save_dir=None,
        task_manager=None,
    )
    done = {
        'errno': 0,
        'err': '',
        'out': '',
        'result': None,
        't0': 1.7e9,
        'dtime': 0.25,
        'versions': {'numpy': '1.26'},
    }
    stored = old(
        'Task',
        id=tid,
        app=app,
        index=0,
        require_ids=list(needs),
        state=state,
        jobid='',
        **{**done, **more},
    )
    return tid, state, pickled(stored), columns


def write(
    path: Path,
    tasks: Iterable[Any],
    managers: Iterable[Any] = (),
    state: str = 'ACTIVE',
) -> Path:
    with sqlite3.connect(path) as db:
        db.executescript(SCHEMA)
        db.execute('INSERT INTO metadata VALUES (?, ?)', ('state', state))
        db.executemany('INSERT INTO managers VALUES (?, ?)', managers or [manager('m')])
        for tid, status, data, columns in tasks:
            row = {'mid': 'm', 'jobid': '', 't0': -1.0, **columns}
            db.execute(
                'INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?)',
                (tid, data, status, row['mid'], row['jobid'], row['t0']),
            )
    db.close()
    return path


def pipeline() -> list[Any]:
    """Return what the script had left when a worker of desipipe 1.0 had run it."""
    import numpy as np

    draws = [np.random.RandomState(seed=seed).uniform(size=3) for seed in range(2)]
    rows = [
        task(
            f'd{seed}',
            DRAW,
            kwargs={'size': 3, 'seed': seed},
            result=draws[seed],
            out='drawing 3\n',
            jobid='123',
        )
        for seed in range(2)
    ]
    mean = 2 * (draws[0].sum() + draws[1].sum())
    # A worker wrote the results back in the place of the futures.
    kwargs = {'several': draws, 'scale': 2}
    rows.append(task('a', AVERAGE, needs=['d0', 'd1'], kwargs=kwargs, result=mean))
    rows.append(task('s', SAY, 'PENDING', kind='BashApp', kwargs={'text': 'hello'}))
    return rows


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    before = list(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - set(before):
        if name.startswith('original_things'):
            del sys.modules[name]


@pytest.fixture
def take(here: Path) -> Callable[..., tuple[Queue, Report]]:
    """Import rows that are written to a file."""

    def make(tasks: Iterable[Any], *managers: Any, **kwargs: Any) -> tuple[Queue, Report]:
        path = write(here / 'old.sqlite', tasks, managers, **kwargs)
        return import_original(str(path), None, Config())

    return make


def test_script_finds_what_was_computed(here: Path, take: Any) -> None:
    rows = pipeline()
    queue, report = take(reversed(rows))  # in any order

    ran = runpy.run_path(str(write_script(here)), run_name='__main__')

    assert report == Report(4, 3, [])
    queue.ledger.follow()
    assert queue.folder == str(here / 'old.queue')
    assert len(queue) == 4, [queue.explain(item) for item in queue.tasks()]
    futures = [*ran['draws'], ran['mean'], ran['said']]
    assert [item.state for item in futures] == ['SUCCEEDED'] * 3 + ['PENDING']
    expected = 2 * sum(draw.result().sum() for draw in ran['draws'])
    assert ran['mean'].result() == pytest.approx(expected)
    assert [item.task.jobid for item in ran['draws']] == ['123'] * 2
    drawn = ran['draws'][0].task
    assert (drawn.out, drawn.dtime, drawn.versions) == ('drawing 3\n', 0.25, {'numpy': '1.26'})


def write_script(here: Path) -> Path:
    (here / 'script.py').write_text(SCRIPT)
    return here / 'script.py'


def test_states_and_errors_are_taken_over(take: Any) -> None:
    code = 'def f(x):\n    return x'
    err = 'Traceback (most recent call last):\n  File "x", line 3\nmy.own.NotThere: no 3\n'
    queue, report = take(
        [
            task('failed', code, 'FAILED', kwargs={'x': 1}, errno=42, err=err),
            task('killed', code, 'KILLED', kwargs={'x': 2}, errno=15),
            task('running', code, 'RUNNING', kwargs={'x': 3}, t0=1.7e9),
            task('unknown', code, 'UNKNOWN', kwargs={'x': 4}),
            task('waits', code, 'WAITING', kwargs={'x': future('failed')}),
            task('pending', code, 'PENDING', kwargs={'x': 5}),
        ],
        state='PAUSED',
    )
    assert report == Report(6, 0, [])
    assert queue.paused
    states = ('FAILED', 'KILLED', 'UNKNOWN', 'WAITING', 'PENDING')
    by_state = {state: queue.tasks(state=state) for state in states}
    assert [len(tasks) for tasks in by_state.values()] == [1, 1, 2, 1, 1]
    failed = by_state['FAILED'][0]
    assert (failed.err, failed.errno) == (err, 42)
    assert 'my.own.NotThere: no 3' in queue.explain(failed)
    assert {item.cause for item in by_state['UNKNOWN']} == {
        'it was RUNNING when its queue was imported; what became of it is not known',
        'desipipe 1.0 had lost track of it',
    }
    assert [item.id for item in queue.retry(state='FAILED')] == [failed.id]


def test_arguments_of_all_kinds_are_taken_over(take: Any) -> None:
    code = 'def f(x, *args, option, **more):\n    return x'
    text = 'def helper(y, scale=scale):\n    return y * scale'
    helper = Reference('Function', ('helper', text, {'scale': 3}))
    kinds = {'args': 'VAR_POSITIONAL', 'option': 'KEYWORD_ONLY', 'more': 'VAR_KEYWORD'}
    queue, report = take(
        [
            task(
                'f',
                code,
                'PENDING',
                kinds=kinds,
                kwargs={'x': helper, 'args': (1, 2), 'option': 'o', 'more': {'z': 3}},
            )
        ]
    )
    assert report.notes == []
    arguments = queue.tasks()[0].kwargs
    assert arguments['x'](2) == 6
    assert {name: value for name, value in arguments.items() if name != 'x'} == {
        '*args': (1, 2),
        'option': 'o',
        'z': 3,
    }


def test_files_are_those_of_this_version(take: Any) -> None:
    common = {
        'ro': None,
        'filetype': 'text',
        'id': 'cat',
        'author': '',
        'description': '',
        'link': '',
    }
    file = old(
        'BaseFile',
        path='${DIR}/cat_{i:d}.txt',
        options={'i': 1},
        foptions={'i': 1},
        environ={'DIR': 'there'},
        **common,
    )
    entry = old(
        'BaseFileEntry',
        path='cat_{i:d}_{r}.txt',
        options={'i': range(3), 'r': ['N', 'S']},
        foptions={'i': range(3), 'r': ['n', 's']},
        **common,
    )
    several = old('FileManager', data=[entry], environ={'DIR': 'there'})
    queue, report = take(
        [
            task(
                'f',
                'def f(file, several):\n    return file',
                kwargs={'file': file, 'several': several},
                result=[file, entry],
            )
        ]
    )
    assert report == Report(1, 1, [])
    listed = queue.tasks()[0]
    assert os.fspath(listed.kwargs['file']) == 'there/cat_1.txt'
    assert isinstance(listed.kwargs['several'], FileManager)
    assert os.fspath(listed.kwargs['several'].get(id='cat', i=2, r='S')) == 'cat_2_s.txt'
    assert [os.fspath(item) for item in listed.result[1]][:2] == ['cat_0_n.txt', 'cat_0_s.txt']


def test_task_managers_are_taken_over(take: Any) -> None:
    provider = old(
        'NERSCProvider',
        account='desi_g',
        constraint='gpu',
        qos='regular',
        time='0-0:10:0',
        nodes_per_worker=0.5,
        output='_sbatch/slurm-%j.out',
        error='/dev/null',
        kwargs={'gpus-per-node': 4},
        signal='SIGTERM@30',
        threshold_nodes=1,
        max_mpiprocs_per_node=128,
        invented=3,
        sqs=['sacct', '-u', 'me', '-X', '-b'],
    )
    own = named('__main__', 'MyProvider')(name='mine')
    code = 'def f():\n    return {!r}'
    mids = ('m1', 'm2', 'm3')
    rows = [task(mid, code.format(mid), 'PENDING', kwargs={}, mid=mid) for mid in mids]
    first = manager('m1', provider, FOO='$BAR')
    queue, report = take(rows, first, manager('m2', own), ('m3', b'no pickle'))
    by_name = {task_manager.provider.name: task_manager for task_manager in queue.managers()}
    nersc = by_name['nersc']
    assert (
        nersc.provider.account,
        nersc.provider.time,
        nersc.provider.output,
        nersc.provider.error,
    ) == ('desi_g', '0-0:10:0', '_sbatch/slurm-%j.out', None)
    assert (dict(nersc.environ), nersc.environ.command, nersc.scheduler.max_workers) == (
        {'FOO': '$BAR'},
        ('export COMMAND=1',),
        3,
    )
    assert nersc.provider.kwargs == {'gpus-per-node': 4}
    assert [note.partition(':')[0] for note in report.notes] == [
        'The provider of task manager m1',
        'The provider of task manager m2 (MyProvider) is not one of desipipe',
        'Task manager m3 cannot be read',
    ]


def test_result_of_absent_class_is_read_later(here: Path, take: Any) -> None:
    thing = named('original_things', 'Thing')(x=5)
    code = 'def f(n):\n    return n'
    queue, report = take(
        [
            task('t', code, kwargs={'n': 1}, result=[thing], out='said\n', dirname='/'),
            task('u', code, 'PENDING', kwargs={'n': thing}, dirname='/'),
            task('v', code, kwargs={'n': 2}, result=2, dirname='/'),
        ]
    )
    assert (report.tasks, report.results, len(report.notes)) == (3, 2, 2)
    assert all('original_things.Thing' in note for note in report.notes)
    first, other = queue.tasks(state='SUCCEEDED')
    assert (first.out, other.result) == ('said\n', 2)
    with pytest.raises(ResultError, match='original_things.Thing'):
        _ = first.result

    (here / 'original_things.py').write_text('class Thing:\n    pass\n')
    sys.path.insert(0, str(here))
    try:
        assert first.result[0].x == 5
        assert queue.tasks(state='PENDING')[0].kwargs['n'].x == 5
    finally:
        sys.path.remove(str(here))


def test_modules_beside_a_script_are_found(here: Path, take: Any) -> None:
    (here / 'original_things.py').write_text('class Thing:\n    pass\n')
    code = 'def f():\n    return 1'
    thing = named('original_things', 'Thing')(x=5)
    queue, report = take([task('t', code, kwargs={}, result=thing)])
    assert report == Report(1, 1, [])
    assert queue.tasks()[0].result.x == 5
    assert str(here) not in sys.path


def test_objects_that_raise_cost_only_themselves(here: Path, take: Any) -> None:
    text = 'class Thing:\n    def __setstate__(self, state):\n        1 / 0\n'
    (here / 'original_things.py').write_text(text)
    thing = named('original_things', 'Thing')(x=5)
    code = 'def f(n):\n    return n'
    queue, report = take(
        [
            task('t', code, kwargs={'n': 1}, result=thing, err='warned'),
            task('v', code, kwargs={'n': 2}, result=2),
        ]
    )
    assert (report.tasks, report.results, len(report.notes)) == (2, 2, 1)
    first, other = queue.tasks()
    assert (first.kwargs, first.err, other.result) == ({'n': 1}, 'warned', 2)
    with pytest.raises(ResultError, match='ZeroDivisionError'):
        _ = first.result


def test_damaged_rows_are_left_out_and_told(take: Any) -> None:
    code = 'def f(n):\n    return n'
    good = task('good', code, kwargs={'n': 1}, result=1)
    queue, report = take(
        [
            good,
            ('torn', 'SUCCEEDED', good[2][:-20], {}),
            ('null', None, None, {}),
            ('other', 'PENDING', pickled({'no': 'task'}), {}),
            task('needs', code, 'WAITING', kwargs={'n': [future('torn'), future('never')]}),
            task('code', 'def f(:', 'PENDING', kwargs={}),
        ]
    )
    assert sorted(note.split()[1] for note in report.notes if note.startswith('Task')) == [
        'needs',
        'null',
        'other',
        'torn',
    ]
    assert (report.tasks, report.results) == (3, 1)
    assert [item.state for item in queue.tasks(name='f')] == ['SUCCEEDED', 'PENDING', 'PENDING']


def test_original_queue_prefers_calls_with_results(take: Any) -> None:
    code = 'def f(n):\n    return n'
    rows = [
        task('first', code, 'PENDING', kwargs={'n': 1}),
        task('second', f'{code}  # as before', kwargs={'n': 1}, result=1),
    ]
    queue, report = take(rows)
    assert (report.tasks, report.results) == (1, 1)
    assert 'first (f, PENDING) is the same call as another one' in report.notes[0]
    assert queue.tasks()[0].result == 1


def test_needs_are_read_without_running_anything(tmp_path: Path) -> None:
    class Rude:
        def __reduce__(self) -> Any:
            return open, (str(tmp_path / 'ran'), 'w')

    kwargs = {'n': [Rude(), future('other')]}
    _, _, data, _ = task('t', 'def f(n):\n    return n', 'PENDING', kwargs=kwargs)
    assert read_needs(data) == ['other']
    assert not (tmp_path / 'ran').exists()


def test_original_queue_refuses_files_of_others(here: Path) -> None:
    path = write(here / 'old.sqlite', pipeline())
    with pytest.raises(UntrustedFileError, match='whom you do not trust. Nothing was imported'):
        OriginalQueue(str(path), lambda uid: False)
    (here / 'link.sqlite').symlink_to(path)
    with pytest.raises(UntrustedFileError, match='is a link'):
        import_original('link.sqlite', None, Config())
    os.mkfifo(here / 'fifo.sqlite')
    with pytest.raises(RecordError, match='is no file'):
        import_original('fifo.sqlite', None, Config())
    assert [entry.name for entry in here.iterdir() if entry.is_dir()] == []


@pytest.mark.parametrize(
    ('script', 'message'),
    [
        ('CREATE TABLE other (x)', 'it has no table of tasks'),
        (
            SCHEMA.replace(
                'TABLE tasks (tid TEXT PRIMARY KEY, task TEXT,',
                'TABLE tasks (tid TEXT PRIMARY KEY,',
            ),
            'it has no table of tasks',
        ),
        (
            f'{SCHEMA} DROP TABLE tasks; {ENDLESS}',
            'it has no table of tasks',
        ),
        (None, 'file is not a database'),
    ],
)
def test_other_files_are_refused(here: Path, script: str | None, message: str) -> None:
    path = here / 'old.sqlite'
    if script is None:
        path.write_bytes(b'SQLite, or what? ' * 500)
    else:
        with sqlite3.connect(path) as db:
            db.executescript(script)
        db.close()
    with pytest.raises(RecordError, match=message):
        import_original(str(path), None, Config())
    assert not (here / 'old.queue').exists()


def test_file_that_is_written_to_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(here / 'old.sqlite', pipeline())
    journal = here / 'old.sqlite-journal'
    journal.write_bytes(b'x')
    with pytest.raises(RecordError, match='is being written to, or its writer was killed'):
        import_original(str(path), None, Config())
    journal.unlink()

    reading = OriginalQueue.managers

    def meanwhile(self: OriginalQueue) -> Iterator[tuple[str, bytes]]:
        with path.open('ab') as file:
            file.write(b'more')
        return reading(self)

    monkeypatch.setattr(OriginalQueue, 'managers', meanwhile)
    with pytest.raises(RecordError, match='was written to meanwhile'):
        import_original(str(path), None, Config())
    assert not (here / 'old.queue').exists()


def test_queue_with_tasks_is_kept(here: Path) -> None:
    path = write(here / 'old.sqlite', pipeline())
    empty = Queue('old', base_dir='.')
    assert import_original(str(path), None, Config())[0] == empty
    with pytest.raises(QueueExistsError, match='already, and it has tasks. Nothing was imported'):
        import_original(str(path), None, Config())
    assert len(import_original(str(path), './other', Config())[0]) == 4


def test_interrupted_import_begins_anew(here: Path) -> None:
    path = write(here / 'old.sqlite', pipeline())
    script = (
        'import os, signal, sys; from desipipe import Config; '
        'from desipipe.record import original_import as module; '
        'module.OriginalQueue.check_unchanged = lambda self: os.kill(os.getpid(), signal.SIGKILL); '
        'module.import_original(sys.argv[1], None, Config())'
    )
    killed = subprocess.run([sys.executable, '-c', script, str(path)], timeout=120)
    assert killed.returncode == -signal.SIGKILL
    part = Queue('old', base_dir='.', create=False)
    assert len(part) == 4 and part.paused

    queue, report = import_original(str(path), None, Config())

    assert len(queue) == 4 and queue.counts(state='SUCCEEDED') == 3 and not queue.paused
    assert 'had been interrupted' in report.notes[0]
    with pytest.raises(QueueExistsError, match='already, and it has tasks'):
        import_original(str(path), None, Config())
    lease = Lease(queue.folder, LEASE, False)
    with pytest.raises(QueueExistsError, match=f'process {os.getpid():d} on .* imports into'):
        import_original(str(path), None, Config())
    lease.close()


def test_old_queues_are_named_where_they_are_met(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv('DESIPIPE_QUEUE_DIR', str(here / 'queues'))
    folder = Path(Config().queue_dir)
    folder.mkdir(parents=True)
    path = write(folder / 'old.sqlite', pipeline())
    cli = Cli(here)
    command = f'desipipe import {path}'

    assert command in cli('status', '-q', 'old', status=2).stderr
    assert command in cli('status', '-q', str(path), status=2).stderr
    assert command in cli('queues').stderr
    assert command in cli('queues', 'old').stderr
    with pytest.raises(ValueError, match='is a queue of desipipe 1.0'):
        Queue('old.sqlite', create=False)
    before = path.read_bytes(), path.stat().st_mtime_ns

    done = cli('import', str(path))

    assert '4 tasks, 3 results taken over' in done.stdout
    assert not caplog.records
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert 'desipipe import' not in cli('queues').stderr
    assert Queue('old.sqlite', create=False).counts(state='SUCCEEDED') == 3
    write(folder / 'second.sqlite', [])
    Queue('second')
    assert f'desipipe import {folder}/second.sqlite' in caplog.text


@pytest.mark.parametrize('subfolder', ['.', 'queues'])
def test_old_queues_of_the_present_folder_are_named(
    subfolder: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('DESIPIPE_QUEUE_DIR', str(here / 'elsewhere'))
    folder = here / subfolder
    folder.mkdir(exist_ok=True)
    path = write(folder / 'old.sqlite', pipeline())
    cli = Cli(here)
    command = f'desipipe import {path}'

    assert command in cli('queues').stderr
    assert command in cli('status').stderr
    assert command in cli('tasks', status=2).stderr
    assert command in cli('status', '-q', 'old', status=2).stderr

    cli('import', str(path))

    near = os.path.join('.', os.path.relpath(folder, here), 'old').replace('/./', '/')
    for name in ('old', 'old.sqlite'):
        path.unlink(missing_ok=True)
        assert f'did you mean {near}?' in cli('status', '-q', name, status=2).stderr, name
    assert 'desipipe import' not in cli('queues').stderr


def test_function_keeps_its_defaults_and_its_body() -> None:
    head = "def f(a, b: numpy.ndarray=b, *, c=c) -> 'text':\n    '''Says.'''\n"
    code = f'{head}    @staticmethod\n    def inner():\n        return 2\n    return a, b, c'
    func = rebuild_function('f', code, {'b': 5})
    assert (func(1), func.__doc__) == ((1, 5, None), 'Says.')
    with pytest.raises(RecordError, match='is no function'):
        rebuild_function('f', 'x = 1')
