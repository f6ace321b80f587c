"""What tasks, apps and futures say of themselves in scripts of the original."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from desipipe import Environment, Provider, Queue, Scheduler, TaskManager, work
from desipipe.environment import BaseEnvironment
from desipipe.errors import QueueGoneError
from desipipe.provider.base import BaseProvider
from desipipe.queue import payload_writer
from desipipe.scheduler import BaseScheduler
from desipipe.task_manager import SerializationError, Task, action_from_args


@pytest.fixture
def double(tm: TaskManager) -> Any:
    @tm.python_app
    def double(i: int, factor: int = 2) -> int:
        return factor * i

    return double


SAID: list[dict[str, Any]] = [
    {'state': 'KILLED'},
    {'state': 'KILLED', 'errno': 3, 'err': 'e', 'out': 'o', 'result': 'r', 't0': 1.0, 'dtime': 2.0},
    {'state': 'FAILED', 'jobid': '5', 'errno': 3, 'err': 'e'},
    {'state': 'UNKNOWN', 'jobid': 5, 'errno': None, 'dtime': None},
    {'state': 'SUCCEEDED', 'jobid': '5', 'result': 3, 'out': 'o', 'dtime': 2.0},
]


@pytest.mark.parametrize('has_run', [False, True])
@pytest.mark.parametrize('members', SAID)
def test_tasks_are_stored_as_they_were_updated(
    queue: Queue, double: Any, members: dict[str, Any], has_run: bool
) -> None:
    task = Task(double, {'i': 1})
    if has_run:
        queue.add(task)
        task.run()
    task.update(**members)
    queue.add(task, replace=True)

    for _ in range(2):  # also from a journal that was rewritten
        stored = Queue('test').tasks(tid=task.id)
        printed = {name: getattr(stored, name) for name in members if members[name] is not None}
        expected = {name: value for name, value in members.items() if value is not None}
        if 'jobid' in expected:
            expected['jobid'] = str(expected['jobid'])
        if members['state'] != 'SUCCEEDED' and 'result' in printed:
            expected['result'] = None
        assert printed == expected
        queue.compact()


def test_popped_tasks_are_of_this_job(queue: Queue, double: Any) -> None:
    double(1)
    task = queue.pop()
    assert task is not None and task.jobid == str(os.getpid())


def test_futures_keep_small_results_of_a_deleted_queue(
    queue: Queue, tm: TaskManager, double: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload_writer, 'KEPT_RESULTS', 100_000)

    @tm.python_app
    def text(i: int) -> str:
        if i < 0:
            raise ValueError(i)
        return 'x' * i

    futures, large, failed = [double(i) for i in range(3)], text(200_000), text(-1)
    work(queue)
    assert futures[0].result() == 0
    other = Queue('test').tasks(tid=futures[2].id).future

    queue.delete()
    assert [future.result() for future in futures] == [0, 2, 4] and other.result() == 4
    for future in (large, failed):
        with pytest.raises(QueueGoneError):
            future.result()
    del futures, other, double, text, large, failed, future
    gc.collect()
    assert Queue('test', create=True).counts() == 0


def test_futures_of_a_queue_that_another_process_deleted_say_so(queue: Queue, double: Any) -> None:
    future = double(1)
    work(queue)
    assert future.result() == 2
    os.rename(queue.folder, queue.folder + '.gone')
    queue.ledger.segments.close()
    with pytest.raises(QueueGoneError, match='gone'):
        future.result()


def test_apps_reuse_tasks_in_one_of_several_states(
    queue: Queue, tm: TaskManager, double: Any
) -> None:
    future = double(1)
    work(queue)

    def again(i: int) -> int:
        return i

    for state, reused in (
        (['FAILED', 'SUCCEEDED'], True),
        (('FAILED', 'KILLED'), False),
        ('SUCCEEDED', True),
    ):
        app = tm.python_app(name='double', state=state)(again).clone()
        assert (app(1).id == future.id) is reused


def test_apps_name_parameters_with_defaults(double: Any) -> None:
    assert double.dlocals == {'factor': None}
    assert double.vartypes == dict.fromkeys(('i', 'factor'), 'POSITIONAL_OR_KEYWORD')


@pytest.mark.parametrize('value', [1, 'abc', None])
def test_python_app_refuses_builtins(tm: TaskManager, value: Any) -> None:
    with pytest.raises(SerializationError, match='function'):
        type(tm.python_app(len))(value, tm)


def test_actions_describe_the_verbs() -> None:
    actions: Any = action_from_args.actions  # type: ignore[attr-defined]
    assert {'spawn', 'pause', 'resume', 'delete', 'queues', 'tasks', 'time', 'retry', 'kill'} <= {
        *actions
    }
    assert all(text and '\n' not in text for text in actions.values())


def test_base_classes_can_be_made() -> None:
    provider, scheduler = BaseProvider(stop_after=2), BaseScheduler()
    assert (provider.stop_after, provider.jobid(), provider.jobids(), provider.cost()) == (
        2,
        0,
        [],
        0,
    )
    assert scheduler.provider is None
    for call in (
        lambda: provider('ls'),
        lambda: provider.poll(),
        lambda: scheduler('ls'),
        lambda: scheduler.wanted(1, 1),
    ):
        with pytest.raises(NotImplementedError):
            call()


def test_floats_count_by_their_whole_part() -> None:
    assert Scheduler(max_workers=2.7).to_spec()['max_workers'] == 2
    provider = Provider('local', mpiprocs_per_worker=3.9, stop_after=1.5)
    assert (provider.mpiprocs_per_worker, provider.stop_after) == (3, 1)


def test_schedulers_start_the_cheapest_jobs() -> None:
    started = []

    class Counting(type(Provider('local'))):  # type: ignore[misc]
        name = 'counting-of-this-test'

        def __call__(self, cmd: str, workers: int = 1) -> None:
            started.append(workers)

        def nworkers(self, of: str = 'workers', state: Any = ()) -> int:
            return 0

        def cost(self, workers: int = 1) -> float:
            return 0 if workers <= 2 else workers

    assert Scheduler(provider=Counting(), max_workers=5)('command') == 5
    assert started == [2, 2, 1]


def test_environments_are_equal_as_dictionaries() -> None:
    class Versioned(BaseEnvironment):
        name = 'versioned-of-this-test'

        def __init__(self, *args: Any, version: str = 'main', **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self['VERSION'] = version

    environ = Environment('versioned-of-this-test', version='new', data={'A': 1})
    assert environ == {'A': 1, 'VERSION': 'new'} and environ != {'A': 1}
    assert Environment('base', data=dict(environ), command='true') == environ
    assert TaskManager(environ=environ).id != TaskManager(environ=environ.clone(command='x')).id


LOGS = """
import logging
from desipipe import Queue, TaskManager, setup_logging, spawn
setup_logging()
queue = Queue('logs')

@TaskManager(queue).python_app
def logs():
    logging.getLogger('Mine').info('told')
    logging.getLogger('Mine').debug('not told')
    print('printed')

future = logs()
spawn(queue)
lines = future.out().splitlines()
assert lines[0].startswith('[0000') and lines[0].endswith('INFO     told'), lines
assert lines[1:] == ['printed'] and future.err() == '', (lines, future.err())
"""


def test_logging_of_the_script_is_that_of_its_tasks(queue_dir: Path, tmp_path: Path) -> None:
    script = tmp_path / 'script.py'
    script.write_text(LOGS)
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr


def test_own_slurm_providers_begin_with_the_options_of_the_original() -> None:
    from desipipe.provider import SlurmProvider

    class Own(SlurmProvider):
        name = 'slurm-of-this-test'
        _defaults = {**SlurmProvider._defaults, 'account': 'mine', 'constraint': 'cpu'}

    own = Own(time='00:10:00')
    assert (own.qos, own.account, own.to_spec()['qos']) == ('regular', 'mine', 'regular')
    assert Provider('slurm').qos is None and Provider('nersc').qos == 'regular'  # type: ignore[attr-defined]


def test_environments_may_be_those_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('BASH_FUNC_module%%', '() {  true\n}')
    environ = Environment(dict(os.environ))
    environ.update(os.environ)
    assert 'PATH' in environ and 'BASH_FUNC_module%%' not in environ
    assert environ.to_dict(all=True)['BASH_FUNC_module%%'] == '() {  true\n}'
    with pytest.raises(ValueError, match='no name of a variable'):
        Environment({'BASH_FUNC_other%%': '() {  true\n}'})
