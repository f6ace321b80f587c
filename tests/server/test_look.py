"""What the server answers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import engine
from pages import Ask

from desipipe import Queue, TaskManager
from desipipe.cells.file import MIME
from desipipe.cells.statements import read_cell
from desipipe.cells.states import SUPERSEDED
from desipipe.queue.events import FAILED, PENDING
from desipipe.queue.ledger import Ledger
from desipipe.queue.transactions.tasks import code_event
from desipipe.queue.versions import Version
from desipipe.task_manager import TaskApp


def add_and_run(ledger: Ledger, total: int, good: int) -> None:
    """Add tasks, of which the first succeed and the next one fails."""
    engine.add(ledger, range(total))
    engine.begin(ledger, 'w1', 2)
    engine.finish(ledger, 'w1', engine.claim(ledger, 'w1', good))
    engine.fail(ledger, 'w1', engine.claim(ledger, 'w1', 1))


async def test_queues_and_tasks(ask: Ask, queue: Queue) -> None:
    add_and_run(queue.ledger, total=5, good=2)
    status, lines = await ask('queues')
    assert status == 200
    assert [
        (line['queue'], line['total'], line['counts']['SUCCEEDED'], line['counts']['FAILED'])
        for line in lines
    ] == [('demo', 5, 2, 1)]
    status, answer = await ask('queue', queue='demo')
    assert (status, answer['folder'], answer['counts']['PENDING']) == (200, queue.folder, 2)
    status, page = await ask('tasks', queue='demo', state=['FAILED', 'PENDING'], limit=2, offset=1)
    assert (status, page['total'], [task['row'] for task in page['tasks']]) == (200, 3, [3, 4])
    status, task = await ask('task', queue=queue.folder, tid='fraction[2]')
    assert (status, task['state'], task['cause'], task['row']) == (200, 'FAILED', 'FAILED 2 1', 2)
    status, log = await ask('log', queue='demo', tid=task['tid'])
    assert (status, log['text'], log['over']) == (200, 'out 2 1', True)
    assert [
        bool((await ask('cell', queue='demo', rows='2', outputs=outputs))[1]['outputs'])
        for outputs in ('true', 'false')
    ] == [True, False]
    assert (await ask('cell', queue='demo', rows='2', outputs='no'))[0] == 400
    assert not (await ask('cell', queue='demo', rows='2', published='2:1'))[1]['outputs']
    assert (await ask('cell', queue='demo', rows='2', published='x'))[0] == 400
    status, _ = await ask('actions/retry', body={'queue': 'demo'})
    assert status == 200
    assert queue.counts['PENDING'] == 3


async def test_jobs_of_a_batch_system(ask: Ask, queue: Queue) -> None:
    """Those that wait, also very many of them: the page is bounded, and says how many there are."""
    ledger = queue.ledger
    engine.add(ledger, range(5))
    ledger.note_jobs(
        'm',
        [
            ('7_0', 4, 'running', '', 'nid1', 1e9),
            *((f'8_{i:d}', 4, 'pending', 'Priority', '', None) for i in range(1200)),
        ],
    )
    status, answer = await ask('queue', queue='demo')
    assert (status, len(answer['jobs']), answer['n_jobs']) == (200, 1000, 1201)
    first = {
        'job': '7_0',
        'mid': 'm',
        'slots': 4,
        'state': 'running',
        'reason': '',
        'node': 'nid1',
        'ends': 1e9,
        'workers': [],
    }
    assert answer['jobs'][0].items() >= first.items()
    assert (answer['jobs'][1]['state'], answer['jobs'][1]['reason']) == ('pending', 'Priority')


async def test_displays_of_a_task(ask: Ask, queue: Queue) -> None:
    """What is too large for a cell is had from the queue, whole."""

    def show() -> None:
        from desipipe.display import display

        display({'text/plain': 'a table', 'text/html': 'x' * 300_000}, raw=True)
        display('small')

    future = TaskApp(show, TaskManager(queue), kind='cell')()
    subprocess.run(
        [sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder], check=True, timeout=120
    )
    status, answer = await ask('displays', queue='demo', tid=future.id)
    assert (status, answer['total']) == (200, 2)
    assert answer['displays'] == [
        {'number': 0, 'kinds': {'text/plain': 7, 'text/html': 300_000}, 'text': 'a table'},
        {'number': 1, 'kinds': {'text/plain': 7}, 'text': "'small'"},
    ]
    status, display = await ask('display', queue='demo', tid=future.id, number=0)
    assert (status, display['data']['text/html']) == (200, 'x' * 300_000)
    assert (await ask('display', queue='demo', tid=future.id, number=2)) == (
        200,
        {'data': {}, 'metadata': {}},
    )


async def test_tasks_by_argument_and_cause(ask: Ask, queue: Queue) -> None:
    def scan(i: int, kind: str = 'fast') -> None: ...

    app = TaskManager(queue).python_app(scan)
    app.map(i=range(13))
    app(1, kind='slow')
    engine.begin(queue.ledger, 'w1', 9)
    mid = next(iter(queue.ledger.state.managers))
    claimed = engine.claim(queue.ledger, 'w1', 3, (mid,))
    engine.fail(queue.ledger, 'w1', claimed[:2])
    engine.finish(queue.ledger, 'w1', claimed[2:])

    async def indices(**query: object) -> list[int]:
        status, page = await ask('tasks', queue='demo', **query)
        assert status == 200
        return [task['index'] for task in page['tasks']]

    assert await indices(text='i=1') == [1, 13]
    assert await indices(text='i = 1, kind=low') == [13]
    assert await indices(text="kind='slow'") == [13]
    assert len(await indices(text='kind!=slow')) == 13
    assert await indices(text='nothing=1') == []
    assert await indices(text='failed 1') == [1]  # why it did not succeed
    app(12, kind='slow')
    assert await indices(text='i=12') == [12, 14]
    assert (await indices(order='newest'))[0] == 14
    assert (await indices(order='state'))[:2] == [0, 1]
    assert (await indices(order='slowest'))[:3] == [2, 1, 0]
    _, page = await ask('tasks', queue='demo', limit=1)
    assert page['tasks'][0]['arguments_text'] == "kind='fast', i=0"
    status, apps = await ask('apps', queue='demo')
    assert [
        (app['name'], app['total'], app['failed'], app['counts']['PENDING']) for app in apps
    ] == [('scan', 15, 2, 12)]
    assert apps[0]['median'] > 0


async def test_arguments_name_tasks(ask: Ask, queue: Queue) -> None:
    """Futures as arguments are shown as the tasks that they are, wherever arguments are."""

    def square(i: int) -> int: ...

    def add(a: object, b: object = None) -> None: ...

    manager = TaskManager(queue)
    squares = manager.python_app(square).map(i=range(9))
    app = manager.python_app(add)
    app(squares[1], b={'all': [squares[0], squares[2]]})
    app(f'task {squares[0].id}')
    _, page = await ask('tasks', queue='demo', text='a=square[1]')
    assert [task['arguments_text'] for task in page['tasks']] == [
        "b={'all': [square[0], square[2]…, a=square[1]"
    ]
    _, task = await ask('task', queue='demo', tid='add[0]')
    assert task['arguments'] == {'a': 'square[1]', 'b': "{'all': [square[0], square[2]]}"}
    _, task = await ask('task', queue='demo', tid='add[1]')
    assert task['arguments']['a'] == f"'task {squares[0].id}'"
    app(squares)  # a text so long that it ends within an identity
    _, task = await ask('task', queue='demo', tid='add[2]')
    assert re.fullmatch(
        r'\[square\[0\], square\[1\], square\[2\], square\[3\], square\[4\]… #[0-9a-f]{16}',
        task['arguments']['a'],
    )


async def test_result_is_shown_while_it_runs_again(ask: Ask, queue: Queue) -> None:
    ledger = queue.ledger
    add_and_run(ledger, total=1, good=1)
    _, before = await ask('task', queue='demo', tid='fraction[0]')
    ledger.retry(lambda state: [0])
    _, task = await ask('task', queue='demo', tid='fraction[0]')
    assert (task['state'], task['result']) == ('PENDING', before['result'])
    assert before['result'] is not None
    ledger.cancel(lambda state: [0])
    assert (await ask('task', queue='demo', tid='fraction[0]'))[1]['state'] == 'SUCCEEDED'


async def test_task_beside_others(ask: Ask, queue: Queue) -> None:
    """Its neighbours, the other tasks of its app, the task that blocks it, its earlier attempts."""
    ledger = queue.ledger
    engine.add(ledger, ['a', 'b', 'c', 'd'], {'d': ['b']})
    engine.begin(ledger, 'w1', 9)
    engine.fail(ledger, 'w1', engine.claim(ledger, 'w1', 1))
    engine.finish(ledger, 'w1', engine.claim(ledger, 'w1', 2)[1:])
    ledger.retry(lambda state: [0])
    engine.fail(
        ledger, 'w1', [(row, attempt) for row, attempt in engine.claim(ledger, 'w1', 9) if row == 0]
    )
    ledger.cancel(lambda state: [1])
    status, task = await ask('task', queue='demo', tid='fraction[0]')
    assert (status, task['previous'], task['next']['index'], task['peers']['n']) == (
        200,
        None,
        1,
        1,
    )
    _, second = await ask('task', queue='demo', tid='fraction[1]')
    assert second['preview'] == ''  # it was cancelled
    _, last = await ask('task', queue='demo', tid='fraction[3]')
    assert (last['previous']['index'], last['next'], last['blocker']['index']) == (2, None, 1)
    assert (await ask('log', queue='demo', tid=task['tid']))[1]['text'] == 'out 0 2'
    _, first = await ask('log', queue='demo', tid=task['tid'], attempt=1)
    assert (first['text'], first['over'], first['attempt']) == ('out 0 1', True, 1)
    assert (await ask('log', queue='demo', tid=task['tid'], attempt=7))[1]['text'] == ''


async def test_deleted_queues_are_not_listed(ask: Ask, queue: Queue) -> None:
    assert [line['queue'] for line in (await ask('queues'))[1]] == ['demo']
    queue.delete()
    assert (await ask('queues')) == (200, [])


async def test_plan_knows_what_became_of_tasks(ask: Ask, queue: Queue) -> None:
    ledger = queue.ledger
    add_and_run(ledger, total=4, good=1)
    source = '%%desipipe --out z\nz = 1'
    task = read_cell(source).task
    assert task is not None
    ran = {'text': task.digest, 'reads': {}}

    async def state(rows: str, first: int) -> tuple[str, str]:
        shown = {'folder': queue.folder, 'rows': rows, 'first': ledger.state.ids[first].hex()}
        display = {'data': {'application/vnd.desipipe.v1+json': {**shown, 'ran': ran}}}
        cell = {'cell_type': 'code', 'source': source, 'outputs': [display]}
        status, plan = await ask('plan', {'cells': [cell]})
        assert status == 200
        (answer,) = plan['cells']
        return answer['state'], answer['reason']

    assert (await state('1', 1))[0] == 'failed'
    assert (await state('0-1', 0))[0] == 'failed'
    # Rows that anybody may write into a notebook: more than there are, and very many of them.
    for rows in ('3-4', '0-999999999', '0-3,' * 200 + '0'):
        assert await state(rows, 0) == ('unknown', 'its queue was cleared since'), rows


async def test_cells_of_a_notebook(ask: Ask) -> None:
    code = {'cell_type': 'code', 'source': '%%desipipe --out z\nz = f(1)'}
    helper = {'cell_type': 'code', 'source': 'def f(x):\n    return x'}
    status, answer = await ask(
        'cells', {'cells': [helper, {'cell_type': 'markdown', 'source': '%%desipipe'}, code]}
    )
    assert (status, answer) == (
        200,
        {
            'cells': [{'cell': 3, 'title': 'z', 'state': 'never run', 'reason': '', 'needs': {}}],
            'shown': [],
        },
    )
    shown = {
        'folder': '/nowhere.queue',
        'rows': '0',
        'first': '',
        'ran': {'text': 'ab', 'reads': {}},
    }
    output = {'data': {'application/vnd.desipipe.v1+json': shown}}
    status, answer = await ask('plan', {'cells': [helper, {**code, 'outputs': [output]}]})
    assert status == 200
    assert answer['cells'][0]['state'] == 'edited'
    assert (answer['to_run'], answer['total']['tasks']) == ([1, 2], 1)
    status, _ = await ask(
        'cells',
        {
            'cells': [
                {**code, 'outputs': [{'data': {'application/vnd.desipipe.v1+json': {'rows': 0}}}]},
                {'cell_type': 'code', 'source': 'def f(:'},
            ]
        },
    )
    assert status == 200
    assert (await ask('cells', {'cells': [{'cell_type': 'code', 'source': 1}]}))[0] == 400


SOURCE = '%%desipipe --out z\nz = 1'


def run_cell(queue: Queue, path: Path, rows: str) -> None:
    """Make the cell ``one`` of a notebook one that ran with four tasks' rows."""
    add_and_run(queue.ledger, total=4, good=4)
    task = read_cell(SOURCE).task
    assert task is not None
    path.touch()
    queue.ledger.note_cell(str(path), 'one', 'z', rows, (task.digest, {}))


async def test_cells_that_ran_and_were_not_saved(ask: Ask, queue: Queue, jp_root_dir: Path) -> None:
    run_cell(queue, jp_root_dir / 'a.ipynb', '1-3')
    use = {'cell_type': 'code', 'id': 'use', 'source': '%desipipe use demo'}
    cells = [use, *({'cell_type': 'code', 'id': n, 'source': SOURCE} for n in ('one', 'two'))]
    status, answer = await ask('cells', {'cells': cells, 'path': 'a.ipynb'})
    assert status == 200
    assert [one['state'] for one in answer['cells']] == ['current', 'never run']
    (shown,) = answer['shown']
    assert (shown['cell'], shown['display']['rows']) == (2, '1-3')
    assert (await ask('cell', queue=shown['display']['folder'], rows='1-3'))[1]['total'] == 3
    _, plan = await ask('plan', {'cells': cells, 'path': 'a.ipynb'})
    assert [one['state'] for one in plan['cells']] == ['current', 'never run']
    # Of another notebook with the same cells, as of a copy, nothing is known.
    _, answer = await ask('cells', {'cells': cells, 'path': 'copy.ipynb'})
    assert [one['state'] for one in answer['cells']] == ['never run', 'never run']
    # A queue that this server does not show may have tasks of it; the other one is in memory.
    use['source'] = '%desipipe use /nowhere/q'
    _, answer = await ask('cells', {'cells': cells, 'path': 'a.ipynb'})
    assert [one['state'] for one in answer['cells']] == ['current', 'unknown']
    assert answer['cells'][1]['reason'].endswith('whose queues this server shows')


async def test_cells_of_a_queue_that_was_deleted(ask: Ask, queue: Queue) -> None:
    task = read_cell('%%desipipe --out z\nz = 1').task
    assert task is not None
    shown = {'folder': queue.folder, 'rows': '0', 'ran': {'text': task.digest, 'reads': {}}}
    output = {'output_type': 'display_data', 'data': {MIME: shown}, 'metadata': {}}
    cell = {'cell_type': 'code', 'source': '%%desipipe --out z\nz = 1', 'outputs': [output]}
    _, answer = await ask('cells', {'cells': [cell]})
    assert [one['state'] for one in answer['cells']] == ['current']
    queue.delete()
    for question in ('cells', 'plan'):
        _, answer = await ask(question, {'cells': [cell]})
        assert [(one['state'], one['reason']) for one in answer['cells']] == [
            ('unknown', 'its queue is gone')
        ]
    # Of queues elsewhere nothing is known.
    shown['folder'] = '/nowhere/q.queue'
    _, answer = await ask('cells', {'cells': [cell]})
    assert [one['state'] for one in answer['cells']] == ['current']


async def test_cells_that_ran_with_a_queue_whose_name_is_in_a_variable(
    ask: Ask, queue: Queue, jp_root_dir: Path, hub: Any
) -> None:
    run_cell(queue, jp_root_dir / 'a.ipynb', '0-1')
    use = {'cell_type': 'code', 'id': 'use', 'source': 'tm = TaskManager(Queue(name))'}
    cells = [use, {'cell_type': 'code', 'id': 'one', 'source': SOURCE}]
    _, answer = await ask('cells', {'cells': cells, 'path': 'a.ipynb'})
    assert [one['state'] for one in answer['cells']] == ['never run']
    assert (await ask('tasks', queue='demo'))[0] == 200  # a page shows it
    asked = hub.open[0].asked
    _, answer = await ask('cells', {'cells': cells, 'path': 'a.ipynb'})
    assert [one['state'] for one in answer['cells']] == ['current']
    assert hub.open[0].asked == asked  # badges keep no queue in memory


async def test_superseded_tasks_count_nowhere(ask: Ask, queue: Queue, follow: Any) -> None:
    ledger = queue.ledger
    engine.add(ledger, range(4), app='old')
    engine.begin(ledger, 'w1', 2)
    engine.fail(ledger, 'w1', engine.claim(ledger, 'w1', 1))
    engine.add(ledger, [10, 11], app='new')
    ledger.journal.write(
        lambda: [
            code_event('notebook:f', Version(engine.group('old').app)),
            code_event('notebook:f', Version(engine.group('new').app), [engine.group('old').app]),
        ]
    )
    ledger.follow()
    assert sorted(ledger.state.superseded) == [0, 1, 2, 3]
    # Lists, the status bar and toasts: what a page is told of a queue.
    (line,) = (await ask('queues'))[1]
    async with follow('demo') as stream:
        pushed = (await stream.next(lambda kind, data: kind == 'queue'))[1]
    for view in (line, pushed, (await ask('queue', queue='demo'))[1]):
        assert (view['total'], view['left'], view['superseded']) == (2, 2, 4), view
        assert view['counts'] == {**view['counts'], 'FAILED': 0, 'PENDING': 2, 'WAITING': 0}
    # Plans.
    source = '%%desipipe --out z\nz = 1'
    task = read_cell(source).task
    assert task is not None
    ran = {'text': task.digest, 'reads': {}}

    def shown(rows: str, first: int) -> dict[str, object]:
        display = {'folder': queue.folder, 'rows': rows, 'first': ledger.state.ids[first].hex()}
        outputs = [{'data': {MIME: {**display, 'ran': ran}}}]
        return {'cell_type': 'code', 'source': source, 'outputs': outputs}

    _, plan = await ask('plan', {'cells': [shown('0-3', 0), shown('4-5', 4)]})
    assert [(cell['state'], cell['reason']) for cell in plan['cells']] == [
        ('stale', SUPERSEDED),
        ('no worker', '2 of 2 tasks left'),
    ]
    assert (plan['to_run'], plan['total']['cells']) == ([1], 1)
    # Retry: what failed counts no more, unless it is named.
    status, _ = await ask('actions/retry', {'queue': 'demo', 'states': ['FAILED']})
    ledger.follow()
    assert status == 200 and ledger.state.status[0] == FAILED
    await ask('actions/retry', {'queue': 'demo', 'tids': [ledger.state.ids[0].hex()]})
    ledger.follow()
    assert ledger.state.status[0] == PENDING and 0 not in ledger.state.superseded
