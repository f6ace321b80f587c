"""What scripts of the original read and set of queues, tasks and apps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from desipipe import Config, Queue, TaskManager, kill, retry, spawn, work
from desipipe.errors import UnknownOptionError
from desipipe.queue.location import find_folder
from desipipe.task_manager import BaseApp, BashApp, Future, PythonApp, Task, TaskState, get_queue


@pytest.fixture
def queue(queue_dir: Path) -> Queue:
    return Queue('test')


@pytest.fixture
def tm(queue: Queue) -> TaskManager:
    return TaskManager(queue, scheduler=dict(max_workers=2))


@pytest.fixture
def double(tm: TaskManager) -> Any:
    @tm.python_app
    def double(i: int, fails: bool = False) -> int:
        print('doubling', i)
        if fails:
            raise ValueError('two')
        return 2 * i

    return double


def test_tasks_of_one_identity_is_one_task(queue: Queue, double: Any) -> None:
    first, second = double(1), double(2)

    task = queue.tasks(tid=first.id)
    assert isinstance(task, Task) and task.kwargs == {'i': 1, 'fails': False}
    assert [task.id for task in queue.tasks(tid=[first.id, second.id], one=False)] == [
        first.id,
        second.id,
    ]
    assert queue.tasks(tid='0' * 32) is None and queue.tasks(tid='0' * 32, one=False) == []
    assert queue.tasks(name='double', index=1).id == second.id
    assert queue.tasks(name='double', one=True).id == first.id
    assert queue.tasks(name='other', one=True) is None


def test_tasks_gives_properties(queue: Queue, tm: TaskManager, double: Any) -> None:
    futures = [double(i) for i in range(2)]

    assert queue.tasks(property='tid') == [future.id for future in futures]
    assert queue.tasks(tid=futures[0].id, property='state') == 'PENDING'
    assert queue.tasks(property=('state', 'index')) == [('PENDING', 0), ('PENDING', 1)]
    assert queue.tasks(property=('t0',)) == [(-1.0,), (-1.0,)]
    (manager, other) = queue.tasks(property='task_manager')
    assert isinstance(manager, TaskManager) and manager.id == other.id == tm.id
    with pytest.raises(AttributeError, match="no property 'stat': did you mean state"):
        queue.tasks(property='stat')


def test_counts_can_be_called_and_read(queue: Queue, tm: TaskManager, double: Any) -> None:
    double(1), double(2), double(double(3))

    assert (queue.counts['PENDING'], queue.counts(), queue.counts(state='WAITING')) == (3, 4, 1)
    assert queue.counts(state=('PENDING', 'WAITING'), mid=tm.id) == 4
    assert queue.summary()['WAITING'] == 1


def test_managers_are_task_managers(queue: Queue, tm: TaskManager, double: Any) -> None:
    double(1)

    (manager,) = queue.managers()
    assert (type(manager), manager.id, manager.scheduler.max_workers) == (TaskManager, tm.id, 2)
    assert queue.managers(mid=tm.id).id == tm.id and queue.managers(property='mid') == [tm.id]
    assert queue.tasks()[0].app.task_manager.id == tm.id


def test_popped_task_runs_here_and_is_put_back(queue: Queue, double: Any) -> None:
    double(1), double(2, fails=True), double(3)

    task = queue.pop()
    assert task is not None and task.state == 'RUNNING'
    assert task.run() == 2 and (task.state, task.result, task.errno, task.out) == (
        'SUCCEEDED',
        2,
        0,
        'doubling 1\n',
    )
    assert queue.counts['SUCCEEDED'] == 0  # so far only the object knows
    future = queue.add(task, replace=True)
    assert isinstance(future, Future) and (future.state, future.result(), future.out()) == (
        'SUCCEEDED',
        2,
        'doubling 1\n',
    )
    failing = queue.pop()
    assert failing is not None and failing.run() is None
    assert (failing.state, failing.errno, failing.err.splitlines()[-1]) == (
        'FAILED',
        42,
        'ValueError: two',
    )
    assert queue.add(failing, replace=True).state == 'FAILED'
    assert queue.summary() == {
        **dict.fromkeys(TaskState.ALL, 0),
        'SUCCEEDED': 1,
        'FAILED': 1,
        'PENDING': 1,
    }
    assert queue.tasks(state='FAILED')[0].err.splitlines()[-1] == 'ValueError: two'


def test_pop_takes_conditions(queue: Queue, double: Any) -> None:
    futures = [double(i) for i in range(3)]

    assert [queue.pop(tid=futures[2].id).id, queue.pop(name='double', state='PENDING').id] == [
        futures[2].id,
        futures[0].id,
    ]  # type: ignore[union-attr]
    assert queue.pop(tid=futures[2].id) is None  # it runs
    assert queue.pop(name='other') is None


def test_own_tasks_go_to_the_task_manager_of_their_app(
    queue: Queue, tm: TaskManager, double: Any
) -> None:
    future = queue.add(Task(double, kwargs={'i': 9}))

    assert (future.state, future.task.mid, future.task.kwargs['i']) == ('PENDING', tm.id, 9)
    assert (
        Task(double, {'i': 1}).state == 'PENDING' and Task(double, {'i': future}).state == 'WAITING'
    )
    assert Task(double, {'i': 1}, state='FAILED').state == 'FAILED'
    assert future.queue == queue


def test_task_update_and_clone_change_the_object(queue: Queue, double: Any) -> None:
    task = double(1).task
    other = task.clone(state='KILLED', jobid='12', t0=1.0, errno=15)

    assert (other.state, other.jobid, other.t0, other.errno) == ('KILLED', '12', 1.0, 15)
    assert (task.state, queue.counts['PENDING']) == ('PENDING', 1)
    assert task.clone(kwargs={'i': 5}).kwargs['i'] == 5
    with pytest.raises(UnknownOptionError, match="A task has no 'stat' to update"):
        task.update(stat='FAILED')


def test_apps_are_of_the_kinds_of_the_original(queue: Queue, tm: TaskManager, double: Any) -> None:
    @tm.bash_app
    def hello(name: str) -> list[str]:
        return ['echo', name]

    assert (
        isinstance(double, PythonApp) and isinstance(hello, BashApp) and isinstance(hello, BaseApp)
    )
    assert (double.index, double.dirname, double.filename) == (-1, os.getcwd(), __file__)
    double(1)
    assert double.index == 0
    assert double.run(i=2)[:4] == (0, 4, '', 'doubling 2\n')
    assert hello.run(name='you')[:4] == (0, None, '', 'you\n')
    errno, result, err, _, _ = double.run(i=2, fails=True)
    assert (errno, result, err.splitlines()[-1]) == (42, None, 'ValueError: two')
    assert double.clone(skip=True)(1) is None
    double.update(skip=True)
    assert double(5) is None and queue.counts['PENDING'] == 1


def test_named_apps_reuse_before_arguments_are_bound(
    queue: Queue, tm: TaskManager, double: Any
) -> None:
    expected = double(1)

    @tm.python_app(name='double')
    def another(i: int, new_argument: int) -> int:
        return i

    assert another(1).id == expected.id
    with pytest.raises(TypeError, match='new_argument'):
        another(1)  # the second call: there is no task to reuse


def test_task_manager_update(tm: TaskManager) -> None:
    before = tm.id
    tm.update(scheduler=dict(max_workers=3))
    assert tm.scheduler.max_workers == 3 and tm.id != before  # type: ignore[attr-defined]
    settled = tm.id
    tm.environ.update({'A': '1'})
    assert tm.id != settled and tm.to_spec()['environ']['data'] == {'A': '1'}


def test_exit_status_and_errno_are_those_of_the_failure(tm: TaskManager, tmp_path: Path) -> None:
    @tm.python_app
    def missing(path: str) -> None:
        open(path)

    assert missing.run(path=str(tmp_path / 'none'))[0] == 2


# Names of queues, and several of them


def test_names_of_subfolders_are_ones_own(queue_dir: Path) -> None:
    own = Queue('sub/test')
    assert own.folder == str(Path(Config().queue_dir) / 'sub' / 'test.queue')
    for name in ('sub/test', own.filename, own.folder, str(Path(own.folder).with_suffix(''))):
        assert Queue(name, create=False) == own
    assert (
        find_folder('sub/test', own.config) == find_folder(own.filename, own.config) == own.folder
    )
    assert Queue('deep/er', base_dir=queue_dir / 'other').folder == str(
        queue_dir / 'other' / 'deep' / 'er.queue'
    )
    for name in ('../test', 'sub/../../test', 'a/-b/c'):
        with pytest.raises(ValueError, match='is no queue|cannot be the name'):
            Queue(name, base_dir=queue_dir)


def test_names_of_users_are_found(queue_dir: Path) -> None:
    theirs = Queue(str(queue_dir / 'daemon' / 'test'))
    assert Queue('daemon/test', create=False) == theirs
    assert find_folder('daemon/test', theirs.config) == theirs.folder


def test_old_queues_are_named(queue_dir: Path) -> None:
    folder = Path(Config().queue_dir)
    folder.mkdir(parents=True)
    (folder / 'test.sqlite').write_bytes(b'')
    with pytest.raises(ValueError, match=r'(?s)desipipe 1.0.*desipipe import .*/test.sqlite$'):
        Queue('test', create=False)


def test_get_queue_takes_names_patterns_and_lists(queue: Queue) -> None:
    other = Queue('test2')

    assert get_queue('test') == get_queue(queue) == queue
    assert get_queue('test*', one=False) == [queue, other] == get_queue([queue, 'test2'], one=False)
    inner = [Queue('sub/one'), Queue('sub/two')]
    assert get_queue('sub/*', one=False) == inner
    assert get_queue('*/*', one=False) == [*inner, queue, other]
    assert get_queue('new').counts() == 0
    with pytest.raises(ValueError, match='2 queues are'):
        get_queue('test*')
    with pytest.raises(ValueError, match="There is no queue 'none'"):
        get_queue('none', create=False)


def test_manager_serves_several_queues_at_once(queue: Queue, double: Any) -> None:
    double(1)
    other = Queue('other')
    again = TaskManager(other).python_app(lambda i: i + 1)
    future = again(1)
    spawn(['test', other], timestep=0.3)

    assert (queue.counts['SUCCEEDED'], future.result()) == (1, 2)


def test_retry_requeues_running_tasks(queue: Queue, double: Any) -> None:
    double(1)
    task = queue.pop()
    assert task is not None and retry([queue], state='RUNNING')[0].id == task.id
    assert queue.counts['PENDING'] == 1


def test_kill_of_tasks_cancels_them(queue: Queue, double: Any) -> None:
    future = double(1)
    assert kill(queue, tid=future.id) == [future.id]
    assert queue.counts['KILLED'] == 1


def test_work_on_chosen_tasks(queue: Queue, double: Any) -> None:
    futures = [double(i) for i in range(3)]
    other = TaskManager(queue).python_app(lambda i: i, name='other')
    other(1)

    work(queue, tid=futures[1].id)
    assert [future.state for future in futures] == ['PENDING', 'SUCCEEDED', 'PENDING']
    work(queue, name='double', timestep=1.0, provider='local')
    assert [future.state for future in futures] == ['SUCCEEDED'] * 3
    assert queue.counts(state='PENDING') == 1
