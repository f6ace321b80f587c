"""Names, arguments and defaults of the original that its scripts use."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections import UserDict
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from desipipe import Config, FileManager, Provider, Queue, Scheduler, TaskManager, kill, work
from desipipe.environment import BaseEnvironment
from desipipe.errors import UnknownOptionError
from desipipe.execution.spawning import begin
from desipipe.file_manager import (
    BaseFile,
    BaseFileEntry,
    common_options,
    iter_options,
    path_replace_environ,
)
from desipipe.io import TextFile
from desipipe.provider import LocalProvider, SlurmProvider
from desipipe.scheduler import SimpleScheduler
from desipipe.task_manager import (
    BashApp,
    Future,
    PythonApp,
    SerializationError,
    Task,
    VarType,
    action_from_args,
    chdir,
    deserialize_function,
    serialize_function,
)
from desipipe.utils import BaseClass, BaseMetaClass, DictMetaClass

NAMES = {
    'task_manager': """BaseApp BaseClass BashApp Config DeserializationError Future PythonApp Queue QueueState
        SerializationError Task TaskManager TaskState action_from_args change_environ chdir get_environ get_mpicomm
        get_provider get_queue get_scheduler kill queue_states retry spawn task_states
        var_types VarType work""",
    'provider': (
        'BaseClass BaseProvider LocalProvider NERSCProvider Provider SlurmProvider '
        'decode_slurm_time get_provider'
    ),
    'scheduler': 'BaseClass BaseScheduler Scheduler SimpleScheduler get_scheduler',
    'config': 'BaseDict Config',
    'environment': """BaseDict BaseEnvironment BaseNERSCEnvironment
        CosmodesiNERSCEnvironment Environment bash_env change_environ get_environ""",
    'file_manager': """BaseClass BaseFile BaseFileEntry BaseMutableClass FileEntryCollection FileManager
        JointMetaClass common_options get_environ get_file_entry get_filetype in_options iter_options path_replace_environ
        yaml_parser""",
    'io': 'BaseFile GenericFile TextFile get_filetype',
    'utils': """BaseMetaClass DictMetaClass BaseClass BaseDict
        LoggingContext copytree dict_to_yaml exception_handler is_path is_sequence mkdir
        setup_logging""",
}


@pytest.fixture
def queue(queue_dir: Path) -> Queue:
    return Queue('test')


@pytest.fixture
def tm(queue: Queue) -> TaskManager:
    return TaskManager(queue)


@pytest.fixture
def double(tm: TaskManager) -> Any:
    @tm.python_app
    def double(i: int) -> int:
        return 2 * i

    return double


@pytest.mark.parametrize('module', NAMES)
def test_names_can_be_imported(module: str) -> None:
    module_read = import_module(f'desipipe.{module}')
    assert [name for name in NAMES[module].split() if not hasattr(module_read, name)] == []


def test_public_classes_log_under_their_names(
    queue: Queue, tm: TaskManager, double: Any, caplog: pytest.LogCaptureFixture
) -> None:
    objects: list[Any] = [
        queue,
        tm,
        double,
        double(1),
        double.task(2),
        Config(),
        FileManager(),
        tm.provider,
    ]
    with caplog.at_level(logging.INFO):
        for one in [*objects, tm.environ, tm.scheduler, BaseFile(path='a')]:
            one.log_info('%s of 2', 1)
            assert caplog.record_tuples[-1] == (type(one).__name__, logging.INFO, '1 of 2')
            assert one.logger.name == type(one).__name__
    copies = [one.copy() for one in objects if isinstance(one, BaseClass)]
    assert len(copies) == len(objects) - 1  # futures are not copied


def test_config_copies_are_independent(queue_dir: Path) -> None:
    config = Config()
    other = config.clone(linger=7.0)
    assert (other['linger'], config['linger'], config.copy()['linger']) == (7.0, 5.0, 5.0)


def test_task_states_are_set_with_job_and_time(queue: Queue, double: Any) -> None:
    futures = [double(i) for i in range(2)]

    queue.set_task_state(futures[0].id, 'UNKNOWN', jobid=12, t0=1.5)
    queue.set_task_state(futures[1].id, 'RUNNING', '13')
    for _ in range(2):  # also from a journal that was rewritten
        listed = Queue('test').tasks(property=('state', 'jobid', 't0'))
        assert listed[0] == ('UNKNOWN', '12', 1.5) and listed[1][:2] == ('RUNNING', '13')
        queue.compact()
    assert [task.id for task in queue.tasks(jobid='12')] == [futures[0].id]
    queue.retry(state=['UNKNOWN', 'RUNNING'])
    work(queue)
    assert (
        not {'12', '13'} & set(queue.tasks(property='jobid'))
        and min(queue.tasks(property='t0')) > 2
    )


def test_processes_are_added(queue: Queue) -> None:
    for pid, provider in (
        (1234, 'local'),
        ('77', LocalProvider()),
        ('78', 'slurm'),
        (1234, 'local'),
    ):
        queue.add_process(pid, provider)
    expected = [('1234', 'local'), ('77', 'local'), ('78', 'slurm')]
    assert Queue('test').processes() == expected
    queue.compact()
    assert Queue('test').processes() == expected and {one.kind for one in queue.processes()} == {
        'added'
    }


def test_futures_are_made_of_queue_and_identity(queue: Queue, double: Any) -> None:
    future = double(4)
    work(queue)
    assert (
        Future(queue, future.id).result(timeout=60)
        == Future(queue=queue, tid=future.id).result(timeout=60)
        == 8
    )


def test_add_takes_replace_by_position(queue: Queue, double: Any) -> None:
    future = double(1)
    work(queue)
    queue.add(Task(double, {'i': 1}), False, True)
    assert future.state == 'SUCCEEDED'
    queue.add(Task(double, {'i': 1}), True)
    assert future.state == 'PENDING'


def test_providers_start_commands_when_called(tmp_path: Path) -> None:
    provider = LocalProvider(environ={'NAME': 'here'})
    argv = [
        sys.executable,
        '-c',
        'import os, sys; open(sys.argv[1], "a").write(os.environ["NAME"])',
        str(tmp_path / 'out'),
    ]
    provider(' '.join(f"'{word}'" for word in argv), workers=2)
    assert provider.jobids(state='ALL', return_nworkers=True) == [(None, 1), (None, 1)]
    for process in provider.processes:
        assert process.wait(timeout=60) == 0
    assert (tmp_path / 'out').read_text() == 2 * 'here' and provider.nworkers() == 0
    provider.clear()
    assert provider.jobids('ALL') == [] and LocalProvider.jobid() == os.getpid()
    with pytest.raises(ValueError, match="no state 'DONE'"):
        provider.jobids(state='DONE')


def test_options_are_updated_in_place() -> None:
    provider = Provider('nersc', time='01:00:00')
    provider.update(time='02:00:00', stop_after='3', timestep=2, environ={'A': '1'})
    assert isinstance(provider, SlurmProvider) and (provider.walltime, provider.stop_after) == (
        7200,
        3,
    )
    assert (provider.timestep, provider.environ['A']) == (2.0, '1')  # type: ignore[attr-defined]
    scheduler = Scheduler(max_workers=2)
    scheduler.update(max_workers='5', provider=provider)
    assert isinstance(scheduler, SimpleScheduler) and (
        scheduler.max_workers,
        scheduler.provider,
    ) == (5, provider)
    for one in (provider, scheduler):
        with pytest.raises(ValueError, match='no option'):
            one.update(max_worker=1)


def test_task_manager_starts_commands(tm: TaskManager, tmp_path: Path) -> None:
    other = tm.clone(scheduler=dict(max_workers=2), environ={'NAME': 'x'})
    assert other.spawn('true', ntasks=5) == 2
    assert [process.wait(timeout=60) for process in other.provider.processes] == [0, 0]
    assert other.id == tm.clone(scheduler=dict(max_workers=2), environ={'NAME': 'x'}).id


def test_options_of_entries() -> None:
    options: dict[str, Any] = {'a': [1, 2], 'b': ...}
    assert list(iter_options(options, yield_index=True)) == [
        ({'a': 1, 'b': ...}, (0, ...)),
        ({'a': 2, 'b': ...}, (1, ...)),
    ]
    assert common_options(list_options=[{'a': [1, 2]}, {'a': [2, 3], 'b': [1]}]) == {'a': [2]}


def test_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    assert path_replace_environ('${HERE}/a', {'HERE': '/h'}) == '/h/a'
    file = BaseFile(path='b/c.txt')
    file /= 'a'
    assert file.filepath == 'a/b/c.txt'


def test_chdir_finds_modules(tmp_path: Path) -> None:
    (tmp_path / 'beside_the_script.py').write_text('x = 3\n')
    before = (os.getcwd(), list(sys.path))
    with chdir(str(tmp_path)):
        assert (os.getcwd(), import_module('beside_the_script').x) == (str(tmp_path), 3)
    assert (os.getcwd(), list(sys.path)) == before


def test_action_from_args_runs_a_verb(
    queue: Queue, double: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    double(1)
    assert action_from_args('TASKS', ['-q', 'test']) == 0
    assert 'PENDING' in capsys.readouterr().out


def test_apps_run_without_a_task_manager() -> None:
    def product(a: int, b: int = 3) -> int:
        return a * b

    app = PythonApp(product)
    assert app.run(a=2)[:2] == (0, 6) and app.kind == 'python' and app.task_manager is None
    assert BashApp(lambda: ['echo', 'hello']).run()[3] == 'hello\n'
    assert PythonApp(app, name='other').func is product
    with pytest.raises(ValueError, match='has no task manager. Nothing was added'):
        app(1)


def test_functions_are_taken_apart_and_put_together() -> None:
    def power(a: int, *rest: int, b: float = 2, **more: Any) -> float:
        if more:
            return 0
        return a**b + sum(rest)

    source = serialize_function(power)
    assert (source.name, source.dlocals, source.vartypes['rest']) == (
        'power',
        {'b': 2},
        'VAR_POSITIONAL',
    )
    for _ in range(2):
        again = deserialize_function(source.name, source.code, source.dlocals)
        assert (again(3), again(3, 1, b=1), again(1, c=1)) == (9, 4, 0)
        source = serialize_function(again)
    with pytest.raises(SerializationError, match='no function with a name'):
        serialize_function(lambda: 1)


def test_files_and_entries_are_restored_from_their_states() -> None:
    file = BaseFile(path='a.txt', id='x')
    other = BaseFile(path='b.txt')
    other.__setstate__(
        {key: value for key, value in file.__getstate__().items() if key != 'author'}
    )
    assert other == file


def test_versions_of_an_app(tm: TaskManager) -> None:
    @tm.python_app
    def uses() -> str:
        import orjson

        return orjson.__name__

    @tm.bash_app
    def command() -> list[str]:
        return ['true']

    assert 'orjson' in uses.versions() and command.versions() == {}


def test_unknown_options_are_value_errors(tm: TaskManager) -> None:
    with pytest.raises(ValueError) as caught:
        tm.update(providers='local')
    assert isinstance(caught.value, UnknownOptionError)


def test_attributes_are_saved_with_files(
    queue: Queue, tm: TaskManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work' / 'settings.txt').write_text('a')
    monkeypatch.chdir(tmp_path / 'work')
    options: dict[str, Any] = {
        'path': f'{tmp_path}/{{name}}/a.txt',
        'options': {'name': ['plain', 'code', 'all']},
    }
    fm = FileManager([{'filetype': 'text', **options}])

    def save(file: BaseFile) -> None:
        file.save('x')

    plain = tm.python_app(save)
    for app, name in (
        (plain, 'plain'),
        (plain.clone(save_attrs='code'), 'code'),
        (
            plain.clone(
                save_attrs=('code', 'versions', 'cwd'), save_dir=tmp_path / 'work' / 'saved'
            ),
            'all',
        ),
    ):
        app(fm.get(name=name))
    assert (plain.save_attrs, plain.save_dir) == (('code', 'versions'), None)
    work(queue)
    assert queue.counts['SUCCEEDED'] == 3

    def saved(folder: Path) -> set[str]:
        return {
            name
            for name in os.listdir(folder / '.desipipe')
            if '-' not in name and not name.endswith('.jsonl')
        }

    assert saved(tmp_path / 'plain') == {'save.py', 'save.versions'} and saved(
        tmp_path / 'code'
    ) == {'save.py'}
    assert saved(tmp_path / 'work' / 'saved') == {'save.py', 'save.versions', 'settings.txt'}
    assert os.listdir(tmp_path / 'work' / 'saved') == ['.desipipe']


def test_files_log_what_they_load_and_save(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = BaseFile(path=tmp_path / 'a.txt', filetype='text')
    with caplog.at_level(logging.INFO):
        file.save('x')
        file.load()
    assert caplog.record_tuples == [
        ('BaseFile', logging.INFO, f'Saved {tmp_path}/a.txt'),
        ('BaseFile', logging.INFO, f'Loading {tmp_path}/a.txt'),
    ]


def test_state_of_a_queue_can_be_set(queue: Queue) -> None:
    queue.state = 'PAUSED'
    assert queue.paused
    queue.state = 'ACTIVE'
    assert queue.state == 'ACTIVE'
    with pytest.raises(ValueError, match='no state'):
        queue.state = 'STOPPED'


def test_kill_takes_providers_and_jobs(queue: Queue, tm: TaskManager, double: Any) -> None:
    future = double(1)
    process = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])

    assert kill(queue) == kill(queue, provider='local') == kill([queue], provider='slurm') == []
    assert (
        kill(queue, jobid='999999')
        == kill(queue, 'local', name='double')
        == kill(queue, state='RUNNING')
        == []
    )
    assert kill(queue, provider='slurm', tid=future.id) == [] and future.state == 'PENDING'
    assert kill(jobid=process.pid, provider='local') == [str(process.pid)]
    assert process.wait(timeout=60) == -signal.SIGTERM
    for arguments in ({}, {'jobid': '1'}, {'provider': 'local'}):
        with pytest.raises(ValueError, match='Nothing was ended'):
            kill(**arguments)


def test_workers_are_found_by_process_and_provider(
    queue: Queue, tm: TaskManager, tmp_path: Path
) -> None:
    @tm.python_app
    def wait(path: str) -> None:
        import os
        import signal

        os.mkfifo(path)
        signal.pause()

    path = str(tmp_path / 'begun')
    futures = [wait(path)]
    manager = begin(queue, timestep=0.3)[0]
    assert queue.ledger.wait(lambda: os.path.exists(path), 120)
    (pid,) = [
        pid for pid, provider in queue.processes() if provider == 'local' and pid != str(manager)
    ]
    assert kill(queue, provider='slurm') == [] and len(kill(queue, jobid=pid)) == 1
    assert queue.ledger.wait(lambda: futures[0].state == 'KILLED', 120)
    kill(queue)
    assert queue.wait_stopped(120)


def test_queues_print_as_before(queue: Queue) -> None:
    first, *lines = str(queue).splitlines()
    assert first == f'Queue(size=0, state=ACTIVE, filename={queue.filename})'
    assert lines == queue.summary(return_type='str').splitlines()
    with pytest.raises(ValueError, match="no property 'stat'"):
        queue.tasks(property='stat')


def test_unknown_tasks_are_passed_over_with_a_warning(queue: Queue, double: Any) -> None:
    future = double(1)
    with pytest.warns(UserWarning, match="No task 'nothere'"):
        queue.set_task_state(['nothere', future.id], 'KILLED')
    assert future.state == 'KILLED'
    assert queue[future.id].app.filename == __file__
    del queue[future.id]
    with pytest.warns(UserWarning, match='Nothing was deleted'):
        del queue[future.id]
    queue.delete()
    queue.delete()


def test_tasks_are_found_by_numbers_of_jobs(queue: Queue, double: Any) -> None:
    first, _ = double(1), double(2)
    queue.set_task_state(first.id, 'RUNNING', jobid='77')
    assert (
        [task.id for task in queue.tasks(jobid=77)]
        == [first.id]
        == [task.id for task in queue.tasks(jobid=[77, '78'])]
    )
    assert first.copy() == first and first.copy().id == first.id


@pytest.mark.parametrize('taken', ['new', 'added', 'stored'])
def test_tasks_end_as_they_say_when_they_are_added(
    queue: Queue, tm: TaskManager, double: Any, taken: str
) -> None:
    task = Task(double, {'i': 1})
    if taken != 'new':
        queue.add(task)
        waiting = double(Future(queue, task.id))
        task = queue.tasks(tid=task.id) if taken == 'stored' else task
    task.update(state='SUCCEEDED', result=41, errno=0, out='said')
    future = queue.add(task, replace=taken != 'new')
    assert (future.state, future.result(timeout=0), future.out(timeout=0)) == (
        'SUCCEEDED',
        41,
        'said',
    )
    if taken != 'new':
        assert waiting.state == 'PENDING'
    task.update(state='FAILED', err='ValueError: no', errno=7)
    queue.add(task, replace=True)
    assert (future.state, queue[future.id].errno, queue[future.id].err) == (
        'FAILED',
        7,
        'ValueError: no',
    )
    task = queue.pop(tid=future.id, state='FAILED')
    assert task is not None and task.state == 'RUNNING' == future.state
    task.run()
    queue.add(task, replace=True)
    assert future.result(timeout=0) == 2


def test_clones_have_defaults_where_nothing_is_said(queue_dir: Path) -> None:
    settings = dict(
        provider=dict(provider='nersc', time='02:00:00', mpiprocs_per_worker=4),
        scheduler=dict(max_workers=7),
    )
    tm = TaskManager('test', environ={'A': '1'}, **settings)
    assert (
        tm.clone(scheduler={}).scheduler.max_workers == 1
        and tm.clone(provider={}).provider.name == 'local'
    )
    other = tm.clone(environ={'B': '2'})
    assert (dict(other.provider.environ), dict(tm.provider.environ)) == ({'B': '2'}, {'A': '1'})
    assert other.provider == tm.provider and dict(Provider('local').environ) == {}
    assert tm.clone(provider=dict(stop_after=1)).provider.mpiprocs_per_worker == 1


def test_apps_may_save_nothing_with_files(tm: TaskManager, tmp_path: Path) -> None:
    assert tm.python_app(save_attrs=[])(len).save_attrs == () and tm.python_app(len).save_attrs == (
        'code',
        'versions',
    )


@pytest.mark.parametrize('name', ['a.npy', 'a.fits', 'a.other'])
def test_objects_save_themselves(tmp_path: Path, name: str) -> None:
    class Catalogue:
        def write(self, path: str, **kwargs: int) -> None:
            Path(path).write_text(str(kwargs))

        @classmethod
        def read(cls, path: str) -> str:
            return Path(path).read_text()

    file = BaseFile(path=str(tmp_path / name))
    file.save(Catalogue(), group=1)
    assert file.load(Catalogue) == file.load(Catalogue.read) == "{'group': 1}"


def test_metaclasses_make_classes_that_log(caplog: pytest.LogCaptureFixture) -> None:
    class Own(metaclass=BaseMetaClass):
        pass

    class OwnDict(UserDict[Any, Any], metaclass=DictMetaClass):
        pass

    with caplog.at_level(logging.INFO):
        Own.log_info('said')  # type: ignore[attr-defined]
        OwnDict(a=1).log_warning('more')  # type: ignore[attr-defined]
    assert [(one.name, one.message) for one in caplog.records] == [
        ('Own', 'said'),
        ('OwnDict', 'more'),
    ]


def test_kinds_of_parameters(tm: TaskManager) -> None:
    def func(a: int, *args: int, b: int = 1, **kwargs: int) -> None:
        pass

    assert tm.python_app(func).vartypes == {
        'a': VarType.POSITIONAL_OR_KEYWORD,
        'args': VarType.VAR_POSITIONAL,
        'b': VarType.KEYWORD_ONLY,
        'kwargs': VarType.VAR_KEYWORD,
    }


def test_classes_are_found_by_name() -> None:
    assert TextFile._registry['text'] is TextFile
    assert BaseFileEntry._registry['base'] is BaseFileEntry
    assert LocalProvider._registry['slurm'] is SlurmProvider
    assert SimpleScheduler._registry['simple'] is SimpleScheduler
    assert {'base', 'nersc-cosmodesi'} <= BaseEnvironment._registry.keys()
