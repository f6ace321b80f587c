"""What is ordered through the server is done, with real workers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engine
import pytest
from pages import Ask, wait_for

from desipipe import Queue, TaskManager

Follow = Callable[..., Any]


def add(queue: Queue, folder: Path) -> dict[str, Any]:
    """A task that talks until it is told to end, one that fails until a file is there, one that
    needs it.
    """
    tm = TaskManager(queue, scheduler={'max_workers': 2})
    go, remote = str(folder / 'go'), str(folder / 'there')

    @tm.python_app
    def talk(path):
        import os
        import time

        print('first ✓', flush=True)
        open(path + '.begun', 'w').close()
        while not os.path.exists(path):
            time.sleep(0.01)
        print('last', flush=True)

    @tm.python_app
    def careful(path):
        with open(path) as file:
            return file.read()

    @tm.python_app
    def after(text):
        return len(text)

    failing = careful(remote)
    return {
        'talk': talk(go),
        'careful': failing,
        'after': after(failing),
        'go': go,
        'there': remote,
    }


async def test_queue_is_run_through_the_server(
    ask: Ask, follow: Follow, queue: Queue, tmp_path: Path
) -> None:
    made = add(queue, tmp_path)
    async with follow('demo') as stream:
        _, data = await stream.next()
        assert data['condition'] == 'stopped'
        status, answer = await ask('actions/spawn', body={'queue': 'demo', 'max_workers': 2})
        assert status == 200 and answer['pid'] > 0
        assert (await ask('actions/spawn', body={'queue': 'demo'}))[:1] == (409,)
        await stream.next(
            lambda kind, data: (
                data['counts']['FAILED'] == 1
                and data['blocked'] == 1
                and data['counts']['RUNNING'] == 1
            )
        )
        # Its output is followed while it runs, to the end.
        part, offset, text = '', 0, ''
        async with asyncio.timeout(60):
            while 'first' not in text:
                _, piece = await ask('log', queue='demo', tid='talk[0]', part=part, offset=offset)
                part, offset, text = piece['part'], piece['offset'], text + piece['text']
        assert text == 'first ✓\n' and not piece['over'] and piece['attempt'] == 1
        _, answer = await ask('queue', queue='demo')
        assert [worker['running'] for worker in answer['workers'] if worker['running']] == [1]
        assert (
            answer['causes'][0]['count'] == 1 and 'No such file' in answer['failures'][0]['cause']
        )
        assert answer['manager']['alive'] is True
        # What failed is repaired and runs again; what it blocked follows.
        Path(made['there']).write_text('four')
        status, answer = await ask('actions/retry', body={'queue': 'demo', 'names': ['careful']})
        assert (status, answer['tasks']) == (200, 1)
        await stream.next(lambda kind, data: data['counts']['SUCCEEDED'] == 2)
        assert await asyncio.to_thread(made['after'].result, 60) == 4
        Path(made['go']).touch()
        await stream.next(lambda kind, data: data['condition'] == 'done')
        _, piece = await ask('log', queue='demo', tid='talk[0]', part=part, offset=offset)
        assert piece['fresh'] and piece['over'] and piece['text'] == 'first ✓\nlast\n'
        _, task = await ask('task', queue='demo', tid='careful')
        assert [attempt['state'] for attempt in task['attempts']] == [
            'FAILED',
            'SUCCEEDED',
        ] and 'def careful' in task['code']
        _, answer = await ask('timeline', queue='demo')
        assert sorted(item['name'] for lane in answer['lanes'] for item in lane['intervals']) == [
            'after',
            'careful',
            'careful',
            'talk',
        ]
        _, answer = await ask('graph', queue='demo')
        assert len(answer['nodes']) == 3 and [edge['count'] for edge in answer['edges']] == [1]
        status, answer = await ask('actions/kill', body={'queue': 'demo'})
        assert status == 200
        await wait_for(
            lambda: queue.ledger.follow() and not queue.ledger.state.alive or not queue.processes()
        )


async def test_pause_cancel_resume(ask: Ask, queue: Queue) -> None:
    engine.add(queue.ledger, range(10))
    assert (await ask('actions/pause', body={'queue': 'demo'}))[0] == 200
    assert queue.paused
    first = queue.ledger.state.ids[2].hex()
    status, answer = await ask(
        'actions/cancel',
        body={'queue': 'demo', 'rows': '2-4,8', 'first': first, 'states': ['PENDING']},
    )
    assert (status, answer['tasks']) == (200, 4)
    assert [task.state == 'KILLED' for task in queue.tasks()] == [
        row in (2, 3, 4, 8) for row in range(10)
    ]
    assert (await ask('actions/cancel', body={'queue': 'demo'}))[
        0
    ] == 400  # not all of them by mistake
    assert (await ask('actions/retry', body={'queue': 'demo', 'tids': [first]}))[1]['tasks'] == 1
    assert (await ask('actions/retry', body={'queue': 'demo', 'rows': '0-3'}))[1]['tasks'] == 1
    assert (await ask('actions/resume', body={'queue': 'demo'}))[0] == 200
    assert not queue.paused and queue.counts['KILLED'] == 2


async def test_rows_of_a_queue_that_was_cleared(ask: Ask, queue: Queue) -> None:
    engine.add(queue.ledger, range(10))
    first = queue.ledger.state.ids[2].hex()
    body = {'queue': 'demo', 'rows': '2-4', 'first': first, 'states': ['PENDING']}
    status, answer = await ask('cell', queue=queue.folder, rows='2-4', first=first, title='mine')
    assert (status, answer['total'], answer['title'], answer['first']) == (200, 3, 'mine', first)
    queue.clear(kill=False)
    for _ in range(2):  # an empty one, then one with other tasks
        status, answer = await ask('actions/cancel', body=body)
        assert (status, answer['error']) == (
            410,
            'QueueGoneError',
        ) and 'Nothing was done' in answer['message']
        assert (await ask('cell', queue='demo', rows='2-4', first=first))[0] == 410
        engine.add(queue.ledger, range(10, 20))
    assert queue.counts['PENDING'] == 20 - 10


async def test_kill_ends_real_workers(
    ask: Ask, follow: Follow, queue: Queue, tmp_path: Path
) -> None:
    add(queue, tmp_path)
    worker = subprocess.Popen(
        [sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder, '--jobid', 'mine'],
        stderr=subprocess.DEVNULL,
    )
    try:
        async with follow('demo') as stream:
            # Not sooner: the task that fails could be killed as well, and the other one go back to
            # the queue, as it has not begun.
            await stream.next(
                lambda kind, data: data['counts']['FAILED'] == 1 and data['counts']['RUNNING'] == 1
            )
            await wait_for((tmp_path / 'go.begun').exists)
            _, answer = await ask('actions/kill', body={'queue': 'demo', 'jobids': ['other']})
            assert (
                answer['workers'] == [] and answer['message'] == 'No worker or manager is running.'
            )
            _, answer = await ask('actions/kill', body={'queue': 'demo', 'jobids': ['mine']})
            assert len(answer['workers']) == 1
            await stream.next(
                lambda kind, data: data['counts']['KILLED'] == 1 and data['workers'] == 0
            )
        await asyncio.to_thread(worker.wait, 60)
    finally:
        worker.kill()
        worker.wait()


async def test_resize(ask: Ask, queue: Queue, tmp_path: Path) -> None:
    """More than the scheduler says, and less, under the same manager."""
    made = add(queue, tmp_path)
    _, first = await ask('actions/spawn', body={'queue': 'demo', 'max_workers': 1})
    for most in (3, 2):
        assert (await ask('actions/resize', body={'queue': 'demo', 'max_workers': most}))[0] == 200
        queue.ledger.follow()
        assert queue.ledger.state.most('') == most
    assert (await ask('queue', queue='demo'))[1]['manager']['pid'] == first['pid']
    Path(made['go']).touch()
    await ask('actions/kill', body={'queue': 'demo'})
    await asyncio.to_thread(queue.wait_stopped, 60)


async def test_delete(ask: Ask, queue: Queue, queue_dir: Path) -> None:
    engine.add(queue.ledger, range(10))
    await ask('queue', queue='demo')
    status, answer = await ask('actions/delete', body={'queue': 'demo'})
    assert (status, answer['tasks']) == (200, 10)
    assert not Path(queue.folder).exists()
    assert (await ask('queue', queue='demo'))[1]['error'] == 'UnknownQueueError'
    assert (await ask('queues'))[1] == []


async def test_orders_while_others_look(ask: Ask, queue: Queue) -> None:
    engine.add(queue.ledger, range(100))
    answers = await asyncio.gather(
        *(ask('actions/cancel', body={'queue': 'demo', 'rows': str(row)}) for row in range(20)),
        *(ask('tasks', queue='demo', limit=10) for _ in range(20)),
    )
    assert {status for status, _ in answers} == {200}
    assert queue.counts['KILLED'] == 20


async def test_held_lock_keeps_nobody_else_waiting(ask: Ask, queue: Queue) -> None:
    other = Queue('other')
    engine.add(other.ledger, range(3))
    with queue.ledger.journal.lock:  # somebody compacts
        order = asyncio.ensure_future(ask('actions/pause', body={'queue': 'demo'}))
        for _ in range(5):
            assert (await ask('queue', queue='other'))[0] == 200
        assert not order.done()
    assert (await order)[0] == 200


@pytest.mark.parametrize('action', ['pause', 'resume', 'retry', 'kill', 'delete', 'spawn'])
async def test_orders_to_an_unknown_queue(ask: Ask, queue: Queue, action: str) -> None:
    status, answer = await ask(f'actions/{action}', body={'queue': 'demos'})
    assert (status, answer['error']) == (404, 'UnknownQueueError') and 'demo' in answer['message']
