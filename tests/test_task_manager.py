"""Task managers and apps: what is the same call, what is reused, what is refused, and why
something is computed again.
"""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from workers import work

from desipipe import Future, Queue, TaskManager
from desipipe.errors import (
    AppChangedError,
    NotSerializableError,
    SweepError,
    UnknownNameError,
    UnknownOptionError,
    UnknownTaskError,
)


def test_call_made_again_is_the_same_task(queue: Queue, tm: TaskManager) -> None:
    @tm.python_app
    def fraction(seed: int = 42, size: int = 10000) -> int:
        return seed * size

    ids = {
        fraction().id,
        fraction(42).id,
        fraction(seed=42).id,
        fraction(size=10000).id,
        fraction(42, 10000).id,
    }
    assert len(ids) == 1
    assert len(queue) == 1
    assert fraction(42.0).id not in ids  # another type is another value
    with pytest.raises(TypeError, match=r'nothing was added. Its signature is fraction\(seed'):
        fraction(sed=1)
    with pytest.raises(TypeError, match='multiple values'):
        fraction(1, seed=1)
    assert len(queue) == 2


def test_parameters_of_all_kinds(queue: Queue, tm: TaskManager) -> None:
    @tm.python_app
    def mixed(a: int, /, b: int, *rest: int, c: int = 3, **more: int) -> tuple[Any, ...]:
        return a, b, rest, c, more

    calls = [mixed(1, 2), mixed(1, 2, 4, 5, c=6, d=7), mixed(1, b=2, a=8)]
    work(queue)
    assert [future.result(timeout=0) for future in calls] == [
        (1, 2, (), 3, {}),
        (1, 2, (4, 5), 6, {'d': 7}),
        (1, 2, (), 3, {'a': 8}),
    ]


def test_identity_ignores_provider_and_environment(queue: Queue, tm: TaskManager) -> None:
    def one() -> int:
        return 1

    assert (
        tm.python_app(one)().id
        == tm.clone(scheduler=dict(max_workers=7), environ=dict(A='b')).python_app(one)().id
    )
    assert len(queue) == 1


def test_map(queue: Queue, tm: TaskManager) -> None:
    @tm.python_app
    def join(a: int, b: str, c: Any = None) -> str:
        return f'{a}{b}{c}'

    product = join.map(a=range(2), b=['x', 'y'], c='fixed')
    paired = join.map(a=[5, 6], b=('p', 'q'), zip=True)
    whole = join.map(a=[7], b=['r'], c=[[1, 2]])
    work(queue)
    assert [future.result(timeout=0) for future in product] == [
        '0xfixed',
        '0yfixed',
        '1xfixed',
        '1yfixed',
    ]
    assert [future.result(timeout=0) for future in paired] == ['5pNone', '6qNone']
    assert [future.result(timeout=0) for future in whole] == ['7r[1, 2]']
    with pytest.raises(ValueError, match='different lengths'):
        join.map(a=[1, 2], b=['x'], zip=True)
    assert len(queue) == 7


def test_map_by_position(queue: Queue, tm: TaskManager) -> None:
    @tm.python_app
    def power(base: int, exponent: int = 2, /, *more: int, **options: Any) -> Any:
        return base**exponent, more, options

    calls = [futures := power.map(range(20)), power.map([2, 3], [4, 5], [6, 7], key='k')]
    large = 'x' * 2000  # stored once for all calls, and of the same name as another parameter
    calls.append(power.map([1, 2], base=large))
    work(queue)
    results = [[future.result(timeout=0) for future in futures] for futures in calls]
    assert results[0] == [(i**2, (), {}) for i in range(20)] and futures[3] == power(3)
    assert results[1] == [(16, (6,), {'key': 'k'}), (243, (7,), {'key': 'k'})]
    assert results[2] == [(1, (), {'base': large}), (4, (), {'base': large})]


REFUSED: list[dict[str, Any]] = [
    {'seed': set('ab')},
    {'seed': 'ab'},
    {'seed': []},
    {'zip': range(3)},
    {},
]


@pytest.mark.parametrize('ranges', REFUSED)
def test_map_refuses_what_is_no_sweep(
    queue: Queue,
    tm: TaskManager,
    ranges: dict[str, Any],
) -> None:
    @tm.python_app
    def fraction(seed: Any = 42, size: int = 10000) -> Any:
        return seed

    with pytest.raises(SweepError, match=r'fraction\.map\(.*nothing was added'):
        fraction.map(**ranges)
    with pytest.raises(TypeError, match='seed'):
        fraction.map([1, 2], seed=3)
    assert len(queue) == 0


def test_batch_is_one_write_or_none(queue: Queue, tm: TaskManager) -> None:
    @tm.python_app
    def add(a: int, b: int) -> int:
        return a + b

    def lines() -> int:
        return Path(queue.filename).read_bytes().count(b'\n')

    before = lines()
    with queue.batch():
        futures = [add(i, i) for i in range(10)]
        total = add(futures[0], futures[9])
        assert lines() == before
    assert len(queue) == 11
    with pytest.raises(RuntimeError, match='of mine'), queue.batch():
        add(100, 100)
        raise RuntimeError('of mine')
    assert len(queue) == 11
    work(queue)
    assert total.result(timeout=0) == 18


def test_skip_name_and_state(queue: Queue, tm: TaskManager) -> None:
    def first(i: int) -> int:
        if i == 1:
            raise ValueError(i)
        return i

    def second(i: int) -> int:
        return 10 * i

    assert tm.python_app(skip=True)(first)(0) is None
    assert len(queue) == 0
    old = tm.python_app(name='step')(first)
    ids = [old(i).id for i in range(3)]
    work(queue)
    reused = tm.python_app(name='step')(second)
    assert [reused(i).id for i in range(3)] == ids  # in order of call, whatever the code
    assert [reused(3).id in ids for _ in range(1)] == [False]
    better = tm.python_app(name='step', state='SUCCEEDED')(second)
    mixed = [better(i) for i in range(3)]
    assert [future.id in ids for future in mixed] == [True, False, True]
    work(queue)
    assert [future.result(timeout=0) for future in mixed] == [0, 10, 2]


def test_wrong_options_list_the_valid_ones(queue: Queue, tm: TaskManager) -> None:
    with pytest.raises(UnknownOptionError, match='did you mean timeout'):
        tm.python_app(timeot=3)(lambda: 1)
    with pytest.raises(UnknownOptionError, match='positive number of seconds'):
        tm.python_app(timeout=-1)(lambda: 1)
    with pytest.raises(UnknownOptionError, match='whole number'):
        tm.python_app(retries=1.5)(lambda: 1)
    with pytest.raises(UnknownOptionError, match='max_workers'):
        TaskManager(queue, scheduler=dict(max_worker=3))
    with pytest.raises(UnknownNameError, match='local'):
        TaskManager(queue, provider='lokal')
    with pytest.raises(UnknownOptionError, match='did you mean environ'):
        tm.clone(enviro={})
    with pytest.raises(ValueError, match='SUCCEEDED'):
        tm.python_app(name=True, state='SUCEEDED')(lambda: 1)
    with pytest.raises(TypeError, match='coroutine or generator'):
        tm.python_app(_generates)
    assert len(queue) == 0


def _generates() -> Any:
    yield 1


def test_python_app_names_unserializable_values(
    queue: Queue, tm: TaskManager, tmp_path: Path
) -> None:
    import threading

    lock = threading.Lock()

    @tm.python_app
    def uses() -> bool:
        return lock.locked()

    @tm.python_app
    def takes(handle: Any) -> None:
        return None

    with pytest.raises(NotSerializableError, match='lock'):
        uses()
    with open(tmp_path / 'file', 'w') as file, pytest.raises(NotSerializableError, match='handle'):
        takes(file)
    assert len(queue) == 0

    @tm.python_app
    def gives() -> Any:
        import threading

        return threading.Lock()

    future = gives()
    work(queue)
    with pytest.raises(NotSerializableError, match='result'):
        future.result(timeout=0)


def test_future_of_another_queue(queue: Queue, tm: TaskManager, queue_dir: Path) -> None:
    def one(i: Any) -> Any:
        return i

    other = TaskManager(Queue('other', create=True)).python_app(one)(1)
    with pytest.raises(UnknownTaskError, match=r'Pass its result instead: future\.result\(\)'):
        tm.python_app(one)(other)
    assert len(queue) == 0


SCRIPT = """
    import sys
    from desipipe import Queue, TaskManager

    queue = Queue('test')
    tm = TaskManager(queue)
    SCALE = 2
    UNUSED = 1

    def helper(x):
        return SCALE * x

    @tm.python_app
    def compute(i, offset=0):
        return helper(i) + offset

    if sys.argv[1:] == ['explain']:
        print(compute.explain(3))
    elif sys.argv[1:] == ['accept']:
        print(queue.accept(sys.stdin.read().strip(), compute.task(3)).result(timeout=0))
    else:
        print(compute(3).id)
"""


def test_explain_names_the_difference_and_accept_takes_it(queue: Queue, tmp_path: Path) -> None:
    script = tmp_path / 'script.py'

    def run(text: str, *args: str, stdin: str = '') -> str:
        script.write_text(textwrap.dedent(text))
        return subprocess.run(
            [sys.executable, str(script), *args],
            check=True,
            timeout=60,
            input=stdin,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    tid = run(SCRIPT).strip()
    work(queue)
    assert 'SUCCEEDED: its result is used' in run(SCRIPT, 'explain')
    assert run(SCRIPT.replace('UNUSED = 1', 'UNUSED = 2  # a comment')).strip() == tid
    changed = SCRIPT.replace('return SCALE * x', 'return x * SCALE')
    output = run(changed, 'explain')
    assert 'would be computed' in output
    assert re.search(r'function helper.* differs', output)
    assert 'function compute' not in output
    assert f'desipipe accept -q {queue.folder} {tid[:12]}' in output
    output = run(SCRIPT.replace('SCALE = 2', 'SCALE = 3'), 'explain')
    assert re.search(r'SCALE.* differs', output)
    output = run(SCRIPT.replace('explain(3)', 'explain(4)'), 'explain')
    assert re.search(r'argument i: 4, there 3', output)
    assert len(queue) == 1
    assert run(changed, 'accept', stdin=tid).strip() == '6'
    assert len(queue) == 2
    assert run(changed, 'explain').startswith('compute[0]')
    with pytest.raises(AppChangedError, match='Cannot accept a result of app'):
        queue.accept(tid, TaskManager(queue).python_app(_other).task())
    assert queue.counts['SUCCEEDED'] == queue.n_superseded == 1


def _other() -> int:
    return 1


def test_shared_arguments_are_stored_once(queue: Queue, tm: TaskManager) -> None:
    """And loaded anew for each task: what one of them changes is not seen by the next.

    It outlives a compaction.
    """
    import numpy as np

    @tm.python_app
    def change(i: int, table: Any, seen: dict[str, int]) -> int:
        seen['times'] += 1
        return int(table[0, i] + seen['times'])

    table = np.arange(1_000_000).reshape(1000, 1000)
    seen = {'times': 0, **{f'other {i}': i for i in range(200)}}
    futures = change.map(i=range(20), table=table, seen=seen)
    assert (
        sum(path.stat().st_size for path in Path(queue.folder, 'segments').iterdir())
        < 2 * table.nbytes
    )
    assert futures == [change(i, table, seen) for i in range(20)]
    assert len(queue) == 20
    assert futures[3].task.kwargs['seen'] == seen
    queue.compact()
    work(queue)
    assert [future.result() for future in futures] == [i + 1 for i in range(20)]
    assert futures[3].task.kwargs['i'] == 3 and futures[3].task.kwargs['seen'] == seen


def test_part_of_a_result(queue: Queue, tm: TaskManager) -> None:
    @tm.python_app
    def both() -> dict[str, int]:
        return {'a': 1, 'b': 2}

    @tm.python_app
    def add(x: int, y: list[int], whole: dict[str, int]) -> int:
        return x + 10 * y[0] + 100 * len(whole)

    future = both()
    a, b = (Future(queue.ledger, future.tid, item) for item in ('a', 'b'))
    total = add(a, [b], future)
    assert total.id != add(b, [b], future).id != add(future, [b], future).id
    assert a != b and a != future and pickle.loads(pickle.dumps(a)) == a
    assert total.task.kwargs['x'] == a and total.task.require_ids == [future.id]
    work(queue)
    assert total.result() == 221
    assert (a.result(), b.result()) == (1, 2)


def test_added_again_by_another_task_manager(queue: Queue) -> None:
    """What has not run yet is of who asked last: so one gets out of a provider that was refused.

    How its arguments were stored stays.
    """
    import numpy as np

    refused = TaskManager(queue, provider={'provider': 'slurm', 'account': 'nope'})
    mended = TaskManager(queue, scheduler={'max_workers': 3})

    def total(i: int, data: Any) -> float:
        return float(data.sum()) + i

    data = np.arange(100_000).reshape(100, 1000)
    first = [refused.python_app(total)(i, data) for i in range(2)]
    swept = refused.python_app(total).map(i=range(2, 5), data=data)
    later = refused.python_app(total)(first[0], data)
    futures = [*first, *swept, later]
    assert {future.task.mid for future in futures} == {refused.id}
    mended.python_app(total, timeout=60).map(i=range(3), data=data)
    assert mended.python_app(total, timeout=60)(3, data).id == swept[1].id
    assert [future.task.mid for future in futures] == [mended.id] * 4 + [refused.id] * 2
    assert mended.python_app(total)(first[0], data).id == later.id
    subprocess.run(
        [sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder, '--mid', mended.id],
        check=True,
        timeout=120,
    )
    assert [future.state for future in futures] == ['SUCCEEDED'] * 4 + ['PENDING', 'SUCCEEDED']
    assert [future.result() for future in futures[:4]] == [data.sum() + i for i in range(4)]
