"""The stream of events: everything that happens is told, soon, once, and to everyone who looks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import engine
import pytest
from pages import TIMEOUT, Ask, wait_for

from desipipe import Queue
from desipipe.server import followed as following
from desipipe.server import handlers

Follow = Callable[..., Any]


@pytest.fixture
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found by looking, and not because the kernel tells of it, is found sooner."""
    monkeypatch.setattr(following, 'REST', 0.5)


def total(n: int) -> Callable[[str, dict[str, Any]], bool]:
    """Whether an event says that there are ``n`` tasks."""
    return lambda kind, data: kind == 'queue' and data['total'] == n


async def test_event_is_told_within_a_second(follow: Follow, queue: Queue) -> None:
    async with follow('demo') as stream:
        kind, data = await stream.next()
        assert (kind, data['queue'], data['folder'], data['condition']) == (
            'queue',
            'demo',
            queue.folder,
            'empty',
        )
        for n in range(1, 100):
            engine.add(queue.ledger, [n])
            began = time.monotonic()
            await stream.next(total(n))
            if time.monotonic() - began < 1.0:
                break
        else:  # Once is enough, as the machine may be busy with something else for a while.
            pytest.fail('none of the events was told within a second')


async def test_many_events_become_few(follow: Follow, queue: Queue) -> None:
    async with follow('demo') as stream:
        await stream.next()
        began = time.monotonic()
        for n in range(300):
            engine.add(queue.ledger, [n])
        await stream.next(total(300))
        assert stream.told <= 3 + (time.monotonic() - began) / following.PACE


@pytest.mark.usefixtures('restless')
async def test_quiet_when_nothing_happens(follow: Follow, queue: Queue, hub: Any) -> None:
    async with follow('demo') as stream:
        await stream.next()
        printed = stream.told
        followed = hub.open[0]
        looked = followed.asked
        await wait_for(lambda: followed.asked > looked)  # it looked again, and had nothing to say
        assert stream.told == printed


async def test_follower_is_shared_by_two_pages(follow: Follow, hub: Any, queue: Queue) -> None:
    async with follow('demo') as one, follow(queue.folder) as two:
        await one.next()
        assert (await two.next())[1]['queue'] == queue.folder
        assert len(hub.open) == 1 and len(hub.open[0].pages) == 2
        engine.add(queue.ledger, [1])
        await one.next(total(1))
        await two.next(total(1))


async def test_many_queues_in_one_stream(follow: Follow, queue_dir: Any) -> None:
    queues = [Queue(f'q{i}') for i in range(20)]
    async with follow(*(queue.name for queue in queues)) as stream:
        seen: set[str] = set()
        while len(seen) < 20:
            seen.add((await stream.next())[1]['queue'])
        engine.add(queues[13].ledger, [1])
        assert (await stream.next(total(1)))[1]['queue'] == 'q13'


@pytest.mark.usefixtures('restless')
async def test_page_that_goes_is_forgotten(follow: Follow, hub: Any, queue: Queue) -> None:
    async with follow('demo') as stream:
        await stream.next()
        followed = hub.open[0]
        assert followed.pages and hub.pages
    await wait_for(lambda: not followed.pages and not hub.pages)
    await wait_for(lambda: followed.following is None and followed._watcher is None)


async def test_deleted_and_made_again(follow: Follow, ask: Ask, queue: Queue) -> None:
    engine.add(queue.ledger, range(3))
    async with follow('demo') as stream:
        await stream.next(total(3))
        queue.delete()
        kind, data = await stream.next(lambda kind, data: kind == 'trouble')
        assert (data['error'], data['queue'], data['folder']) == (
            'QueueGoneError',
            'demo',
            queue.folder,
        )
        assert 'Nothing was recreated' in data['message']
        assert (await ask('queue', queue='demo'))[0] == 404
        again = Queue('demo')
        engine.add(again.ledger, [1])
        await stream.next(total(1))


@pytest.mark.usefixtures('restless')
async def test_moved_away_and_back(follow: Follow, queue: Queue) -> None:
    import os

    engine.add(queue.ledger, range(3))
    async with follow('demo') as stream:
        await stream.next(total(3))
        os.rename(queue.folder, queue.folder + '.away')
        await stream.next(lambda kind, data: kind == 'trouble')
        os.rename(queue.folder + '.away', queue.folder)
        await stream.next(total(3))
        engine.add(queue.ledger, ['more'])
        await stream.next(total(4))


async def test_cleared_and_compacted(follow: Follow, queue: Queue) -> None:
    engine.add(queue.ledger, range(3))
    async with follow('demo') as stream:
        await stream.next(total(3))
        queue.clear(kill=False)
        await stream.next(total(0))
        engine.add(queue.ledger, range(5))
        await stream.next(total(5))
        queue.compact()
        engine.add(queue.ledger, ['more'])
        await stream.next(total(6))


async def test_names_that_can_not_be_followed(follow: Follow, queue: Queue) -> None:
    async with follow('/etc/passwd', '../x', 'absent', 'demo') as stream:
        answers: dict[str, tuple[str, dict[str, Any]]] = {}
        while len(answers) < 4:
            kind, data = await stream.next()
            answers[data['queue']] = (kind, data)
        assert answers['/etc/passwd'][1]['error'] == 'PermissionDeniedError'
        assert answers['../x'][1]['error'] == 'InvalidQueueNameError'
        assert answers['absent'][1]['error'] == 'UnknownQueueError'
        assert answers['demo'][0] == 'queue'
        Queue('absent')  # it is looked for
        kind, data = await stream.next()
        assert (kind, data['queue']) == ('queue', 'absent')


async def test_polling_where_nothing_wakes(follow: Follow, queue: Queue, monkeypatch: Any) -> None:
    monkeypatch.setattr('desipipe.store.watch._inotify', lambda *args: -1)
    async with follow('demo') as stream:
        await stream.next()
        engine.add(queue.ledger, [1])
        await stream.next(total(1))


@pytest.mark.usefixtures('restless')
async def test_worker_that_vanishes_is_noticed(
    follow: Follow, queue: Queue, monkeypatch: Any
) -> None:
    # The journal says nothing of it: nobody is there to write.
    monkeypatch.setattr(following, 'JUDGE', 0.1)
    from desipipe.store.lease import Lease

    ledger = queue.ledger
    lease = Lease(ledger.folder, 'w1', False)
    engine.add(ledger, range(2))
    engine.begin(ledger, 'w1')
    async with follow('demo') as stream:
        await stream.next(lambda kind, data: data['condition'] == 'running')
        lease.close()
        await stream.next(lambda kind, data: data['condition'] == 'stopped')


@pytest.mark.usefixtures('http_server')
async def test_burst_of_pages_is_counted(
    jp_serverapp: Any, jp_auth_header: dict[str, str], jp_base_url: str, hub: Any, queue: Queue
) -> None:
    handlers_before, handlers.PAGES = handlers.PAGES, 3
    request = (
        f'GET {jp_base_url}desipipe/api/events?queue=demo HTTP/1.0\r\nHost: '
        f'localhost\r\nAuthorization: {jp_auth_header["Authorization"]}\r\n\r\n'
    )

    async def begin() -> tuple[bytes, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection('localhost', jp_serverapp.port)
        writer.write(request.encode())
        return (await reader.readuntil(b'\r\n')).split()[1], writer

    try:
        begun = await asyncio.wait_for(asyncio.gather(*(begin() for _ in range(9))), TIMEOUT)
    finally:
        handlers.PAGES = handlers_before
    assert sorted(status for status, _ in begun) == [b'200'] * 3 + [b'503'] * 6
    for _, writer in begun:
        writer.close()
    await wait_for(lambda: not hub.pages)
