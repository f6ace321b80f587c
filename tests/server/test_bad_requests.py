"""Whoever may not ask is refused, whatever can't be meant is refused, and nothing of it changes
a queue, runs code, or blocks the server.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engine
import pytest
from jupyter_server.auth import Authorizer
from pages import Ask, wait_for
from tornado.httpclient import HTTPClientError

from desipipe import Queue
from desipipe.queue.adding import Batch, NewTasks
from desipipe.serialize import Code, Payload
from desipipe.server import followed as following
from desipipe.server import looks
from desipipe.server import queues as hubs
from desipipe.server.parsing import BadRequest, check
from desipipe.server.routes import ORDERS, QUERIES

Follow = Callable[..., Any]
GETS = [route.path for route in QUERIES] + ['events', 'openapi.json', 'nothing']
POSTS = [route.path for route in ORDERS]
BODY = json.dumps({'queue': 'demo', 'max_workers': 1})


async def code_of(request: Any) -> int:
    """The status of an answer."""
    try:
        return int((await request).code)
    except HTTPClientError as exc:
        return exc.code


# Who may ask


async def test_routes_refuse_who_has_no_token(
    http_server_client: Any, jp_serverapp: Any, jp_base_url: str, queue: Queue
) -> None:
    for path in GETS:
        assert (
            await code_of(
                http_server_client.fetch(
                    f'{jp_base_url}desipipe/api/{path}?queue=demo', follow_redirects=False
                )
            )
            == 403
        ), path
    for path in POSTS:
        assert (
            await code_of(
                http_server_client.fetch(
                    f'{jp_base_url}desipipe/api/{path}', method='POST', body=BODY
                )
            )
            == 403
        ), path
    assert not queue.paused and Path(queue.folder).exists()


async def logged_in(http_server_client: Any, jp_serverapp: Any, jp_base_url: str) -> str:
    """The cookie of a browser that is logged in."""
    page = await http_server_client.fetch(
        f'{jp_base_url}desipipe/api/queues?token={jp_serverapp.identity_provider.token}'
    )
    cookie = '; '.join(value.split(';')[0] for value in page.headers.get_list('Set-Cookie'))
    assert (
        await code_of(
            http_server_client.fetch(
                f'{jp_base_url}desipipe/api/queues', headers={'Cookie': cookie}
            )
        )
        == 200
    )
    return cookie


async def test_orders_by_a_cookie_need_xsrf(
    http_server_client: Any, jp_serverapp: Any, jp_base_url: str, queue: Queue
) -> None:
    # A browser that is logged in, sent here by another site's form: its cookie alone is not enough.
    cookie = await logged_in(http_server_client, jp_serverapp, jp_base_url)
    for path in POSTS:
        for headers in ({'Cookie': cookie}, {'Cookie': cookie, 'X-XSRFToken': 'guess'}):
            assert (
                await code_of(
                    http_server_client.fetch(
                        f'{jp_base_url}desipipe/api/{path}',
                        method='POST',
                        body=BODY,
                        headers=headers,
                    )
                )
                == 403
            ), path
    assert not queue.paused and Path(queue.folder).exists() and not queue.processes()


async def test_routes_refuse_another_origin(
    http_server_client: Any, jp_serverapp: Any, jp_base_url: str, queue: Queue
) -> None:
    cookie = await logged_in(http_server_client, jp_serverapp, jp_base_url)
    headers = {'Cookie': cookie, 'Origin': 'http://evil.example'}
    for path in ('queues', 'events'):
        assert (
            await code_of(
                http_server_client.fetch(
                    f'{jp_base_url}desipipe/api/{path}?queue=demo', headers=headers
                )
            )
            == 404
        )


async def test_other_methods(jp_fetch: Any, queue: Queue) -> None:
    for path in ('queues', 'actions/delete', 'events'):
        for method in {'PUT', 'PATCH', 'DELETE', 'HEAD', 'POST', 'GET'} - {
            'POST' if '/' in path else 'GET'
        }:
            request = jp_fetch(
                'desipipe',
                'api',
                *path.split('/'),
                method=method,
                params={'queue': 'demo'},
                allow_nonstandard_methods=True,
            )
            assert await code_of(request) == 405, (method, path)
    assert Path(queue.folder).exists()


class ReadOnly(Authorizer):
    """Lets people look."""

    asked: list[tuple[str, str]] = []

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        """Not write."""
        self.asked.append((action, resource))
        return action == 'read'


async def test_people_who_may_only_look(ask: Ask, queue: Queue, jp_serverapp: Any) -> None:
    ReadOnly.asked.clear()
    jp_serverapp.web_app.settings['authorizer'] = ReadOnly(parent=jp_serverapp)
    assert (await ask('queue', queue='demo'))[0] == 200
    for path in POSTS:
        status, answer = await ask(path, body={'queue': 'demo', 'max_workers': 1})
        assert (status, answer['error']) == (403, 'Forbidden')
    assert set(ReadOnly.asked) == {('read', 'desipipe'), ('write', 'desipipe')}
    assert not queue.paused and Path(queue.folder).exists()


# What may be asked for

OUTSIDE = [
    '/etc/passwd',
    '/',
    '/tmp',
    '//etc//passwd',
    '/etc/../etc/x',
    'demo/../../../etc/x',
    '../demo',
    './demo',
    '.',
    '..',
    '~',
    '~root/x',
    '~/x',
    'a/b/c',
]
OUTSIDE += [
    'x\0y',
    '%2e%2e/x',
    '..%2fx',
    '\\..\\x',
    'demo\n',
    ' ',
    '-q',
    '*',
    'de*',
    '[d]emo',
    'demo.queue/journal',
    'x' * 4000,
    'ü',
    '\N{ZERO WIDTH SPACE}',
]
OUTSIDE += ['file:///etc/x']
# What the orders ask for beside a queue.
REQUIRED: dict[str, dict[str, Any]] = {
    'actions/cancel': {'states': ['PENDING']},
    'actions/spawn': {'max_workers': 1},
    'actions/resize': {'max_workers': 1},
    'actions/trust': {'user': 'nobody'},
}


@pytest.mark.parametrize(
    'path', [route.path for route in QUERIES if 'queue' in route.required] + POSTS
)
async def test_queues_outside_are_refused(ask: Ask, queue: Queue, path: str) -> None:
    for name in OUTSIDE:
        if path in POSTS:
            status, answer = await ask(path, body={'queue': name, **REQUIRED.get(path, {})})
        else:
            status, answer = await ask(path, queue=name, tid='aaaa', rows='0')
        assert status in (400, 403, 404), (name, status, answer)
        assert answer['error'] in (
            'InvalidQueueNameError',
            'PermissionDeniedError',
            'UnknownQueueError',
            'ConfigError',
        ), (name, answer)
    assert Path(queue.folder).exists() and not queue.paused


async def test_real_queue_outside_is_not_shown(
    ask: Ask, queue: Queue, tmp_path: Path, jp_root_dir: Path
) -> None:
    outside = Queue('secret', base_dir=tmp_path / 'elsewhere')
    os.symlink(
        outside.folder, jp_root_dir / 'link.queue'
    )  # a link into it, where looking is allowed
    os.symlink(tmp_path / 'elsewhere', jp_root_dir / 'folder')
    for name in (
        outside.folder,
        str(jp_root_dir / 'link'),
        str(jp_root_dir / 'folder' / 'secret'),
        f'{jp_root_dir}/../elsewhere/secret',
    ):
        status, answer = await ask('queue', queue=name)
        assert (status, answer['error']) == (403, 'PermissionDeniedError'), name
        assert 'DesipipeExtension.folders' in answer['message']
        assert (await ask('actions/delete', body={'queue': name}))[0] == 403
    for folder in ('folder', '..', str(tmp_path), '/'):
        assert (await ask('queues', folder=folder))[0] == 403
    assert all(
        'secret' not in line['folder'] for line in (await ask('queues'))[1] if not line['error']
    )
    assert Path(outside.folder).exists()


async def test_queues_below_the_root_and_in_configured_folders(
    ask: Ask, hub: Any, jp_root_dir: Path, tmp_path: Path
) -> None:
    Queue('here', base_dir=jp_root_dir)
    Queue('deep', base_dir=jp_root_dir / 'a' / 'b')
    Queue('far', base_dir=tmp_path / 'far')
    assert [line['queue'].split('/')[-1] for line in (await ask('queues'))[1]] == ['here']
    assert [line['queue'].split('/')[-1] for line in (await ask('queues', folder=['a/b']))[1]] == [
        'here',
        'deep',
    ]
    assert (await ask('queue', queue=str(jp_root_dir / 'a' / 'b' / 'deep')))[0] == 200
    assert (await ask('queue', queue=str(tmp_path / 'far' / 'far.queue')))[0] == 403
    hub.folders.extra.append(str(tmp_path / 'far'))
    assert (await ask('queue', queue=str(tmp_path / 'far' / 'far.queue')))[0] == 200
    assert [line['queue'].split('/')[-1] for line in (await ask('queues'))[1]] == ['here', 'far']


SENSELESS: list[tuple[str, dict[str, Any]]] = [
    ('tasks', {'limit': '1001'}),
    ('tasks', {'limit': '0'}),
    ('tasks', {'limit': '-1'}),
    ('tasks', {'limit': 'all'}),
    ('tasks', {'limit': '9' * 5000}),
    ('tasks', {'offset': '-1'}),
    ('tasks', {'offset': '1e3'}),
    ('tasks', {'offset': ''}),
    ('tasks', {'offset': ['1', '2']}),
    ('tasks', {'state': 'RUNING'}),
    ('tasks', {'rows': 'a'}),
    ('tasks', {'text': 'x' * 2000}),
    ('tasks', {'name': ['x'] * 101}),
    ('task', {}),
    ('task', {'tid': ''}),
    ('log', {'tid': 'aaaa', 'stream': 'both'}),
    ('log', {'tid': 'aaaa', 'offset': '-5'}),
    ('cell', {}),
    ('timeline', {'begin': 'nan'}),
    ('timeline', {'begin': 'inf'}),
    ('timeline', {'end': 'today'}),
]


async def test_parameters_that_can_not_be_meant(ask: Ask, queue: Queue) -> None:
    for path, params in SENSELESS:
        status, answer = await ask(path, queue='demo', **params)
        assert (status, answer['error']) == (400, 'BadRequest'), (path, params, answer)
        assert 'Nothing was done' in answer['message'] and len(answer['message']) < 1000


BODIES = [
    '',
    '{',
    'null',
    '[]',
    '"demo"',
    '{"queue": "demo"',
    '{"queue": 1, "states": ["PENDING"]}',
    '{"queue": null, "states": ["PENDING"]}',
    '{"queue": ["demo"], "states": ["PENDING"]}',
    '{"queue": "demo", "states": "PENDING"}',
    '{"queue": "demo", "states": ["NOT"]}',
    '{"queue": "demo", "tids": [1]}',
    '{"queue": "demo", "rows": "0-"}',
    '{"queue": "demo", "rows": "5-1"}',
    '{"queue": "demo", "rows": [1]}',
    '{"queue": "demo", "everything": true}',
    '{"queue": "demo", "states": ["PENDING"], "__class__": "x"}',
    '{"queue": "demo", "states": ["PENDING"], "first": "../"}',
    '[' * 10_000,
    b'\xff\xfe',
]


async def test_bodies_that_can_not_be_meant(ask: Ask, queue: Queue) -> None:
    engine.add(queue.ledger, range(3))
    for body in BODIES:
        status, answer = await ask('actions/cancel', body=body)
        assert status in (400, 404), (body, answer)
    assert queue.counts['PENDING'] == 3


class Unread(list[str]):
    """Items that nobody looks at."""

    def __getitem__(self, index: Any) -> Any:
        raise AssertionError('each was looked at')


def test_list_that_is_too_long_is_not_read() -> None:
    # Millions of items, each with something wrong, kept the server's loop busy for minutes.
    route = next(route for route in ORDERS if route.path == 'actions/cancel')
    with pytest.raises(BadRequest, match='states: .*too long'):
        check(route, {'queue': 'demo', 'states': Unread(['x'] * 1001)})
    with pytest.raises(AssertionError, match='each was looked at'):
        check(route, {'queue': 'demo', 'states': Unread(['x'])})


async def test_unknown_members_are_named(ask: Ask, queue: Queue) -> None:
    status, answer = await ask(
        'actions/pause', body={'queue': 'demo', **{f'k{i}': 1 for i in range(100_000)}}
    )
    assert (status, answer['error']) == (400, 'BadRequest')
    assert answer['message'] == "'k0' is not known here; there are: queue. Nothing was done."
    assert not queue.paused


async def test_percent_sign_is_said_as_it_was_asked(jp_fetch: Any) -> None:
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch('desipipe', 'api', 'a b')
    assert (
        caught.value.code == 404 and '/a%20b;' in json.loads(caught.value.response.body)['message']
    )


async def test_huge_body(ask: Ask, queue: Queue) -> None:
    status, answer = await ask(
        'actions/cancel', body=json.dumps({'queue': 'demo', 'rows': '0,' * 3_000_000})
    )
    assert (status, answer['error']) == (400, 'BadRequest')


async def test_rows_far_beyond_the_end(ask: Ask, queue: Queue) -> None:
    engine.add(queue.ledger, range(3))
    status, page = await ask('tasks', queue='demo', rows='1-999999999999,0-999999999999')
    assert (status, page['total']) == (200, 3)
    assert (await ask('tasks', queue='demo', rows='5-9'))[0] == 410
    status, page = await ask('tasks', queue='demo', offset=1_000_000)
    assert (status, page['total'], page['tasks']) == (200, 3, [])


async def test_queue_of_another_user_is_refused(
    ask: Ask, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(queue.folder, 'journal.jsonl').chmod(0)
    if os.geteuid() == 0:
        real = os.open

        def refused(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            if os.path.basename(os.fspath(path)) == os.path.basename(queue.filename):
                raise PermissionError(13, 'Permission denied', path)
            return real(path, flags, *args, **kwargs)

        monkeypatch.setattr(os, 'open', refused)
    status, answer = await ask('queue', queue='demo')
    assert (status, answer['error']) == (403, 'PermissionDeniedError')
    _, (line,) = await ask('queues')
    assert line['condition'] == 'unreadable' and 'cannot be read by you' in line['error']


async def test_damaged_queue(ask: Ask, queue: Queue) -> None:
    engine.add(queue.ledger, range(3))
    data = Path(queue.filename).read_bytes()
    Path(queue.filename).write_bytes(b'x' + data[1:])
    status, answer = await ask('queue', queue='demo')
    assert (status, answer['error']) == (422, 'CorruptJournalError') and 'offset 0' in answer[
        'message'
    ]
    lines = data.splitlines(keepends=True)
    lines[-1] = lines[-1].replace(b'"e"', b'"X"')
    Path(queue.filename).write_bytes(b''.join(lines))
    status, answer = await ask('queue', queue='demo')
    assert (status, answer['total'], answer['n_damage']) == (200, 0, 1)


# What is shown


class Poison:
    """Does harm when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.fspath(self.path),)


async def test_routes_unpickle_nothing(
    ask: Ask, follow: Follow, queue: Queue, tmp_path: Path
) -> None:
    ledger = queue.ledger
    harm = tmp_path / 'harm'
    data = pickle.dumps(Poison(harm))
    poison = Payload([data], len(data), False)
    group = engine.group()
    batch = Batch(group)
    for name in range(4):
        batch.append(
            engine.tid(name),
            json.dumps({'x': '<script>alert(1)</script>'}).encode(),
            poison,
            [engine.tid(0)] if name == 3 else [],
        )
    code = Code(
        digest=bytes.fromhex(group.app),
        parts={},
        source='def fraction(): ...',
        payload=poison,
        packages=(),
    )
    ledger.add(NewTasks([batch], {group.app: code}, engine.MANAGERS))
    engine.begin(ledger, 'w1', 4)
    claimed = engine.claim(ledger, 'w1', 3)
    from desipipe.queue.ends import End
    from desipipe.queue.events import FAILED, SUCCEEDED

    ends = [
        End(
            row,
            attempt,
            SUCCEEDED if row else FAILED,
            1.0,
            1,
            ledger.store(data),
            ledger.store(b'<b>\x1b[31m\0\xff'),
            ledger.store(data),
            {'text': '<i>'},
        )
        for row, attempt in claimed[:2]
    ]
    ledger.exchange('w1', ends)
    rows = f'0-{len(ledger.state.status) - 1}'
    async with follow('demo') as stream:
        await stream.next()
        for path in (route.path for route in QUERIES):
            for row in range(4):
                for which in ('out', 'err'):
                    assert (
                        await ask(
                            path,
                            queue='demo',
                            tid=f'fraction[{row}]',
                            rows=rows,
                            stream=which,
                            text='frac',
                        )
                    )[0] == 200, path
        _, piece = await ask('log', queue='demo', tid='fraction[0]')
        assert piece['text'] == '<b>\x1b[31m\0\N{REPLACEMENT CHARACTER}'  # text is told as text
        for path, more in (
            ('pause', {}),
            ('retry', {}),
            ('cancel', {'rows': rows}),
            ('resume', {}),
            ('kill', {}),
        ):
            assert (await ask(f'actions/{path}', body={'queue': 'demo', **more}))[0] == 200, path
    assert not harm.exists()
    pickle.loads(data)
    assert harm.exists()  # it would have done harm


async def test_answers_are_no_pages(jp_fetch: Any, queue: Queue) -> None:
    response = await jp_fetch('desipipe', 'api', 'queues')
    assert response.headers['Content-Type'].startswith('application/json')
    assert response.headers['X-Content-Type-Options'] == 'nosniff'
    assert "default-src 'none'" in response.headers['Content-Security-Policy']
    assert response.headers['Cache-Control'] == 'no-store'


async def test_large_output_comes_in_pieces(ask: Ask, queue: Queue) -> None:
    ledger = queue.ledger
    engine.add(ledger, range(1))
    engine.begin(ledger, 'w1')
    ((row, attempt),) = engine.claim(ledger, 'w1')
    from desipipe.queue.ends import End
    from desipipe.queue.events import SUCCEEDED

    text = 'äöü€' * 250_000  # one line, and no piece may end within a character
    ledger.exchange('w1', [End(row, attempt, SUCCEEDED, 1.0, 1, None, ledger.store(text.encode()))])
    got, offset, part, n = '', 0, '', 0
    while True:
        _, piece = await ask('log', queue='demo', tid='fraction[0]', offset=offset, part=part)
        got, offset, part, n = got + piece['text'], piece['offset'], piece['part'], n + 1
        assert len(piece['text'].encode()) <= 256 * 1024
        if piece['over']:
            break
        assert piece['more']
    assert got == text and n > 5


async def test_large_texts_are_cut(ask: Ask, queue: Queue) -> None:
    ledger = queue.ledger
    group = engine.group()
    batch = Batch(group)
    batch.append(
        engine.tid(0), json.dumps({'x': 'y' * 5_000_000}).encode(), Payload([b''], 0, False), []
    )
    ledger.add(NewTasks([batch], {group.app: engine.code()}, engine.MANAGERS))
    _, task = await ask('task', queue='demo', tid='fraction[0]')
    assert (
        len(task['arguments']['x']) < 210_000
        and 'characters are not shown here' in task['arguments']['x']
    )


# The server goes on


async def test_queue_that_hangs_keeps_nobody_else_waiting(
    ask: Ask, hub: Any, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    Queue('other')
    hang = threading.Event()
    await ask('queue', queue='demo')
    followed = hub.open[0]
    stuck = [
        asyncio.ensure_future(followed.do(lambda queue: hang.wait(60)))
        for _ in range(following.WAITING)
    ]
    try:
        await wait_for(lambda: followed._waiting == following.WAITING)
        assert (await ask('queue', queue='other'))[0] == 200
        status, answer = await ask('queue', queue='demo')
        assert (status, answer['error']) == (503, 'BusyError')
        monkeypatch.setattr(hubs, 'ANSWER', 0.1)
        lines = {line['queue']: line for line in (await ask('queues'))[1]}
        assert lines['demo']['condition'] == 'unreadable' and lines['other']['condition'] == 'empty'
    finally:
        hang.set()
        await asyncio.gather(*stuck)
    assert (await ask('queue', queue='demo'))[0] == 200


async def test_queue_that_hangs_takes_one_thread(ask: Ask, hub: Any, queue: Queue) -> None:
    """Keep one thread for a look that goes on, however many asked and gave up."""
    import threading

    hang, looks = threading.Event(), list[int]()
    await ask('queue', queue='demo')
    followed = hub.open[0]

    def look(queue: Queue) -> None:
        looks.append(threading.get_ident())
        hang.wait(60)

    try:
        for _ in range(5):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(followed.do(look), 0.05)
        await wait_for(lambda: looks)
        assert len(looks) == 1 and not followed.idle
    finally:
        hang.set()
    assert (await ask('queue', queue='demo'))[0] == 200
    assert len(looks) == 1


async def test_hub_forgets_unused_queues(
    ask: Ask, follow: Follow, hub: Any, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    Queue('other')
    monkeypatch.setattr(hub, 'keep', 0.05)
    async with follow('demo') as stream:
        await stream.next()
        await ask('queue', queue='other')
        await wait_for(lambda: [followed.folder for followed in hub.open] == [queue.folder])
    await wait_for(lambda: not hub.open)
    assert (await ask('queue', queue='demo'))[0] == 200


async def test_memory_is_bounded(
    ask: Ask, follow: Follow, hub: Any, queue_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f'q{i}' for i in range(5)]
    for name in names:
        engine.add(Queue(name).ledger, range(10))
    monkeypatch.setattr(hub, 'most_queues', 2)
    for name in names:
        assert (await ask('queue', queue=name))[1]['total'] == 10
        assert len(hub.open) <= 2
    assert [line['total'] for line in (await ask('queues'))[1]] == [10] * 5
    monkeypatch.setattr(hub, 'most_queues', 5)
    monkeypatch.setattr(hub, 'most_tasks', 25)
    for name in names:
        await ask('queue', queue=name)
        assert sum(followed.size for followed in hub.open) <= 40
    monkeypatch.setattr(hub, 'most_queues', 2)
    async with follow(
        *names
    ) as stream:  # more than there is room for: those that there is none for are told so
        kinds = [(await stream.next())[1].get('error') for _ in range(5)]
        assert kinds.count('BusyError') == 3


async def test_error_of_ours_is_told_without_its_details(
    ask: Ask, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> None:
        raise ZeroDivisionError('secret')

    monkeypatch.setattr(looks, 'queue_summary', broken)
    status, answer = await ask('queue', queue='demo')
    assert (status, answer['error']) == (500, 'ZeroDivisionError') and 'secret' not in answer[
        'message'
    ]
