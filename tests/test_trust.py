"""Queues of other users: looking at one is safe, using one needs trust.

Every verb, route and call is in one of two tables. The queue belongs to another user, and is open
to all: nothing but desipipe itself keeps the victim from using it.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from users import ATTACKER, VICTIM, give, needs_root, open_place, open_to_all, run_as, snapshot

from desipipe import Config, Environment, Queue, TaskManager, kill, retry, spawn, work
from desipipe.cli import main
from desipipe.commands.common import Verbs
from desipipe.commands.parser import build_parser
from desipipe.errors import DesipipeError, UntrustedQueueError

pytestmark = needs_root
TRUST = f'desipipe trust {ATTACKER.uid}'

# All verbs of the command line. With a queue: what stands behind `-q QUEUE`.
LOOKING_VERBS: dict[str, list[list[str]]] = {
    'status': [[], ['--json']],
    'watch': [['--timeout', '0']],
    'queues': [['--json']],
    'tasks': [
        [],
        ['--json'],
        ['--full'],
        ['--property', 'arguments', 'code', 'out', 'err', 'attempts'],
    ],
    'time': [[], ['--json']],
    'logs': [['touch[1]'], ['touch[1]', '--save', 'displays']],
    'explain': [['touch[0]'], ['touch[1]', '--json']],
    'doctor': [[], ['--json']],
    'files': [['--json']],
}
USING_VERBS: dict[str, list[list[str]]] = {
    'pause': [[]],
    'resume': [[], ['--spawn']],
    'retry': [
        [],
        ['--spawn'],
        ['--state', 'SUCCEEDED', 'FAILED', 'PENDING'],
        ['--tid', 'touch[0]'],
        ['--tid', 'no-such-task'],
        ['--name', 'no-such-name'],
    ],
    'cancel': [['--state', 'PENDING'], ['--name', 'no-such-name']],
    'forget': [['touch[1]'], ['--superseded', '--json'], ['no-such-task']],
    'delete': [[], ['--force']],
    'add': [['--', 'true'], ['--spawn', '--', 'true']],
    'accept': [['touch[1]', 'touch[0]'], ['no-such-task', 'touch[0]']],
    'compact': [[]],
    'share': [['--group', str(VICTIM.uid)], ['--group', 'no-such-group']],
    'unshare': [[]],
    'spawn': [[], ['--spawn']],
    'resize': [['--max-workers', '2'], ['--max-workers', '2', '--mid', 'no-such-manager']],
    'work': [[], ['--tid', 'no-such-task']],
    'kill': [[], ['--state', 'PENDING']],
    'doctor': [['--repair']],
}
# Verbs that take several queues.
SEVERAL = {'pause', 'resume', 'retry', 'cancel', 'delete', 'compact', 'spawn', 'resize', 'kill'}
# Verbs that have no queue, or make and read files of the one who types them.
OTHER_VERBS = {
    'new',
    'completion',
    'trust',
    'demo',
    'run',
    'record',
    'plan',
    'verify',
    'import',
    'serve',
}

LOOKING_CALLS: dict[str, Callable[[Queue], Any]] = {
    'n_superseded': lambda queue: queue.n_superseded,
    'counts': lambda queue: dict(queue.counts),
    'state': lambda queue: queue.state,
    'paused': lambda queue: queue.paused,
    'name': lambda queue: queue.name,
    'group': lambda queue: queue.group,
    'filename': lambda queue: queue.filename,
    'dirname': lambda queue: queue.dirname,
    'select': lambda queue: queue.select(),
    'tasks': lambda queue: [
        (task.id, task.state, task.arguments, task.app.code) for task in queue.tasks()
    ],
    'futures': lambda queue: [future.id for future in queue.futures()],
    'processes': lambda queue: queue.processes(),
    'mids_of': lambda queue: queue.mids_of('local'),
    'summary': lambda queue: queue.summary(return_type='str'),
    'explain': lambda queue: queue.explain(queue.futures()[0]),
    'app': lambda queue: queue.app(queue.futures()[0].id).name,
    'wait_stopped': lambda queue: queue.wait_stopped(0),
    '__iter__': lambda queue: [task.id for task in queue],
    '__len__': len,
    '__str__': str,
    '__repr__': repr,
    '__getitem__': lambda queue: queue[queue.futures()[0].id].state,
}
USING_CALLS: dict[str, Callable[[Queue], Any]] = {
    'add': lambda queue: TaskManager(queue).python_app(_plain)(1),
    'add_batches': lambda queue: TaskManager(queue).python_app(_plain).map(x=[1, 2]),
    'batch': lambda queue: _batched(queue),
    'keep_spawned': lambda queue: queue.keep_spawned(),
    'pause': lambda queue: queue.pause(),
    'resume': lambda queue: queue.resume(),
    'add_process': lambda queue: queue.add_process(1, 'local'),
    'pop': lambda queue: queue.pop(),
    'managers': lambda queue: queue.managers(),
    'set_task_state': lambda queue: queue.set_task_state(queue.futures()[0].id, 'KILLED'),
    'retry': lambda queue: queue.retry(state=('SUCCEEDED', 'PENDING')),
    'cancel': lambda queue: queue.cancel(state='PENDING'),
    'kill': lambda queue: queue.kill(),
    'end': lambda queue: queue.end(),
    'order_end': lambda queue: queue.order_end(),
    'withdraw': lambda queue: queue.withdraw(),
    'clear': lambda queue: queue.clear(kill=False),
    'clear, kill': lambda queue: queue.clear(),
    'delete': lambda queue: queue.delete(kill=False),
    'delete, kill': lambda queue: queue.delete(),
    'drop': lambda queue: queue.drop(queue.futures(name='touch')[1].id),
    '__delitem__': lambda queue: queue.__delitem__(queue.futures(name='touch')[1].id),
    'forget': lambda queue: queue.forget(state='SUCCEEDED'),
    'share': lambda queue: queue.share(str(VICTIM.uid)),
    'unshare': lambda queue: queue.unshare(),
    'compact': lambda queue: queue.compact(),
    'repair': lambda queue: queue.repair(),
    'accept': lambda queue: queue.accept(queue.futures()[1].id, queue.futures()[0].id),
    'spawn': lambda queue: spawn(queue),
    'spawn, detached': lambda queue: spawn(queue, spawn=True),
    'work': lambda queue: work(queue),
    'kill function': lambda queue: kill(queue),
    'retry function': lambda queue: retry(queue, state='PENDING', spawn=True),
    'result': lambda queue: queue.futures()[1].result(timeout=0),
    'results of tasks': lambda queue: queue.tasks(state='SUCCEEDED', property='result'),
    'kwargs': lambda queue: queue.tasks()[0].kwargs,
    'code': lambda queue: queue.app(queue.futures()[0].id).loaded(),
    'run here': lambda queue: queue.tasks()[0].run(),
}
# Members that neither look at the queue nor change it.
OTHER_CALLS = {
    'use',
    '__contains__',
    '__bool__',
    '__eq__',
    '__hash__',
    '__reduce__',
    '__init__',
    '__desipipe_identity__',
}


def _plain(x: int) -> int:
    return x


def _batched(queue: Queue) -> None:
    with queue.batch():
        TaskManager(queue).python_app(_plain)(1)


@pytest.fixture(scope='module')
def template() -> Iterator[str]:
    """The folder of a queue whose environment, code and arguments make a file ``ran`` when they
    run.

    One task is pending, one has succeeded, one has failed.
    """
    with open_place() as shared_folder:
        yield fill_queue(shared_folder)


def fill_queue(shared_folder: Path) -> str:
    """Make the queue of :func:`template`; return its folder."""
    ran = shared_folder / 'home' / 'ran'
    ran.parent.mkdir()
    queue = Queue(shared_folder / 'template', create=True)
    tm = TaskManager(queue, environ=Environment(command=f'touch {ran}'))

    def touch(path: str, bad: bool = False) -> str:
        if bad:
            raise ValueError(path)
        open(path, 'w').close()
        return path

    app = tm.python_app(touch)
    app.name = 'touch'
    pending = app(str(ran)).id
    others = [app(os.devnull).id, app('x', bad=True).id]
    work(queue, tid=others)
    assert queue[pending].state == 'PENDING' and not ran.exists()
    queue.ledger.close()
    return queue.folder


@pytest.fixture
def theirs(template: str) -> Iterator[str]:
    """The folder of a queue of the attacker's, in which everyone may write."""
    folder = template.replace('template', 'theirs')
    shutil.copytree(template, folder)
    give(folder, ATTACKER)
    open_to_all(folder)
    ran(folder).unlink(missing_ok=True)
    shutil.rmtree(Path(folder).parent / 'home' / 'config', ignore_errors=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def ran(folder: str) -> Path:
    """Return the path of the file that what is in the queue makes when it runs."""
    return Path(folder).parent / 'home' / 'ran'


def as_victim(
    folder: str, do: Callable[[], Any]
) -> tuple[Any, dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Return what the victim gets, and what the folder was before and is after."""
    before = snapshot(folder)
    answered = run_as(VICTIM, Path(folder).parent / 'home', do)
    return answered, before, snapshot(folder)


def type_command(*arguments: str) -> tuple[int, str]:
    """Run a command in this process; return its exit status and what it prints."""
    data = io.BytesIO()
    text = io.TextIOWrapper(data, 'utf-8', write_through=True)
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        status = main(arguments)
    return status, data.getvalue().decode()


def caught(do: Callable[[], Any]) -> str:
    """Return the message of the UntrustedQueueError that ``do`` raises."""
    try:
        value = do()
    except UntrustedQueueError as exc:
        return str(exc)
    return f'nothing was refused: {value!r}'


def test_verbs_are_looking_or_using() -> None:
    verbs = Verbs.of(build_parser())
    assert set(verbs) <= LOOKING_VERBS.keys() | USING_VERBS.keys() | OTHER_VERBS


def test_members_of_a_queue_are_looking_or_using() -> None:
    members = {
        name
        for name, value in vars(Queue).items()
        if not name.startswith('_') or (name.startswith('__') and callable(value))
    }
    tables = {name.partition(',')[0] for name in (*LOOKING_CALLS, *USING_CALLS)}
    assert members - tables - OTHER_CALLS == set()


def test_looking_verbs_write_and_run_nothing(theirs: str) -> None:
    def look() -> dict[str, str]:
        answers = {}
        for verb, lines in LOOKING_VERBS.items():
            for arguments in lines:
                where = [theirs] if verb == 'queues' else ['-q', theirs]
                status, text = type_command(verb, *where, *arguments)
                answers[' '.join((verb, *arguments))] = f'{status:d} {text}'
        return answers

    answers, before, after = as_victim(theirs, look)
    assert before == after
    assert not ran(theirs).exists()
    wrong = {
        expected_text: text
        for expected_text, text in answers.items()
        if 'should not happen' in text or 'no permission' in text.lower()
    }
    assert not wrong
    assert (
        f'of user {ATTACKER.uid}, whom you do not trust' in answers['status']
        and TRUST in answers['status']
    )
    for expected_text, text in answers.items():
        assert 'desipipe spawn' not in text, expected_text


def test_looking_calls_write_and_run_nothing(theirs: str) -> None:
    def look() -> dict[str, str]:
        return {
            name: repr(call(Queue(theirs, create=False))) for name, call in LOOKING_CALLS.items()
        }

    answers, before, after = as_victim(theirs, look)
    assert before == after and not ran(theirs).exists()
    assert answers['counts'].count('1') == 3


def test_using_verbs_are_refused(theirs: str) -> None:
    def use() -> dict[str, tuple[int, str]]:
        return {
            ' '.join((verb, *arguments)): type_command(verb, '-q', theirs, *arguments)
            for verb, lines in USING_VERBS.items()
            for arguments in lines
        }

    answers, before, after = as_victim(theirs, use)
    assert before == after
    assert not ran(theirs).exists()
    for expected_text, (status, text) in answers.items():
        assert status in (1, 2) and TRUST in text and 'would run as you' in text, (
            expected_text,
            text,
        )
        if expected_text != 'doctor --repair':  # it lists what it finds of all queues
            # What trust means comes first, and nothing else.
            assert text.startswith(f'desipipe: {theirs}') and text.rstrip().endswith(TRUST), text
            assert 'no-such' not in text and '--force' not in text, (expected_text, text)


def test_queues_are_not_used_if_one_is_not_trusted(theirs: str) -> None:
    verbs = {verb: lines[0] for verb, lines in USING_VERBS.items() if verb in SEVERAL}

    def use() -> dict[str, tuple[int, str]]:
        own = Queue(os.path.abspath('mine'), create=True)
        TaskManager(own).python_app(_plain)(1)
        before = Path(own.filename).read_bytes()
        answers = {}
        for verb, arguments in verbs.items():
            for names in ((own.folder, theirs), (theirs, own.folder)):
                answers[f'{verb} {names}'] = type_command(verb, '-q', *names, *arguments)
        assert Path(own.filename).read_bytes() == before
        return answers

    answers, before, after = as_victim(theirs, use)
    assert before == after
    for expected_text, (status, text) in answers.items():
        assert status in (1, 2) and text.startswith(f'desipipe: {theirs}'), (expected_text, text)
        assert text.count(TRUST) == 1 and text.rstrip().endswith(TRUST), (expected_text, text)


def test_using_calls_are_refused(theirs: str) -> None:
    def use() -> dict[str, str]:
        return {
            name: caught(lambda call=call: call(Queue(theirs, create=False)))
            for name, call in USING_CALLS.items()
        }  # type: ignore[misc]

    answers, before, after = as_victim(theirs, use)
    assert before == after
    assert not ran(theirs).exists()
    for name, text in answers.items():
        lines = text.splitlines()
        assert lines[-1] == TRUST and f'user {ATTACKER.uid}, whom you do not trust' in text, (
            name,
            text,
        )


@pytest.fixture
def routes() -> Iterator[Any]:
    """What the server can be asked for."""
    pytest.importorskip('jupyter_server')
    from desipipe.server import routes

    yield routes


ROUTE_MEMBERS: dict[str, dict[str, Any]] = {
    'queues': {},
    'task': {'tid': 'touch[1]'},
    'log': {'tid': 'touch[1]'},
    'displays': {'tid': 'touch[1]'},
    'display': {'tid': 'touch[1]'},
    'cell': {'rows': '0-2'},
    'actions/cancel': {'states': ['PENDING']},
    'actions/resize': {'max_workers': 2},
    'actions/retry': {'tids': ['touch[1]'], 'spawn': True},
}


def ask_all(table: Any, theirs: str) -> dict[str, tuple[str, str]]:
    """Ask the server's routes; return, for each, the kind of the answer and its text."""
    from desipipe.server.queues import Hub

    async def ask() -> dict[str, tuple[str, str]]:
        hub = Hub(os.path.dirname(theirs))
        answers = {}
        for route in table:
            asked = {
                **({'queue': theirs} if 'queue' in route.members else {}),
                **ROUTE_MEMBERS.get(route.path, {}),
            }
            try:
                value = await asyncio.wait_for(route.answer(hub, asked), 200)
                answers[route.path] = ('answer', repr(value))
            except DesipipeError as exc:
                answers[route.path] = (type(exc).__name__, str(exc))
        await hub.close()
        return answers

    return asyncio.run(ask())


def test_looking_routes_write_and_run_nothing(theirs: str, routes: Any) -> None:
    answers, before, after = as_victim(theirs, lambda: ask_all(routes.QUERIES, theirs))
    assert before == after and not ran(theirs).exists()
    assert {kind for kind, _ in answers.values()} == {'answer'}, answers
    assert (
        f"'untrusted': '{ATTACKER.uid}'" in answers['queue'][1]
        and f"'untrusted': '{ATTACKER.uid}'" in answers['queues'][1]
    )


def test_orders_of_the_panel_are_refused(theirs: str, routes: Any) -> None:
    # All but the one that trusts, which is tested below.
    orders = [route for route in routes.ORDERS if route.path != 'actions/trust']
    answers, before, after = as_victim(theirs, lambda: ask_all(orders, theirs))
    assert before == after and not ran(theirs).exists()
    for path, (kind, text) in answers.items():
        assert kind == 'UntrustedQueueError' and text.endswith(TRUST), (path, kind, text)


def test_panel_trusts_only_who_needs_it(theirs: str, routes: Any) -> None:
    def trust() -> list[tuple[str, list[str]]]:
        from desipipe.server.orders import trust as trust_user

        queue = Queue(theirs, create=False)
        users = (f'{ATTACKER.uid}1', str(ATTACKER.uid), str(ATTACKER.uid))
        return [
            (trust_user(queue, {'user': user})['message'], Config()['trusted_users'])
            for user in users
        ]

    answers, _, _ = as_victim(theirs, trust)
    assert [trusted for _, trusted in answers] == [[], [str(ATTACKER.uid)], [str(ATTACKER.uid)]]
    assert 'Nothing was changed' in answers[0][0] and 'desipipe trust --remove' in answers[1][0]


def test_trusted_users_queue_is_used(theirs: str) -> None:
    def use() -> tuple[Any, ...]:
        assert type_command('trust', str(ATTACKER.uid))[0] == 0
        queue = Queue(theirs, create=False)
        work(queue)
        return (
            dict(queue.counts),
            queue.futures()[0].result(timeout=0),
            type_command('trust', '--list')[1],
        )

    (counts, result, listed), _, _ = as_victim(theirs, use)
    assert counts['PENDING'] == 0 and counts['SUCCEEDED'] == 2
    assert result == str(ran(theirs)) and os.path.exists(result)
    assert f'Trusted: {ATTACKER.uid}' in listed


def test_trust_is_noticed_by_open_queues_and_taken_back(theirs: str) -> None:
    def use() -> list[str]:
        queue = Queue(theirs, create=False)
        answers = [caught(queue.pause)]
        type_command('trust', str(ATTACKER.uid))
        queue.pause()
        answers.append(str(queue.paused))
        answers.append(type_command('trust', '--remove', str(ATTACKER.uid))[1])
        answers.append(caught(queue.resume))
        return answers

    (refused, paused, removed, again), _, _ = as_victim(theirs, use)
    assert TRUST in refused and TRUST in again
    assert paused == 'True' and 'only yourself' in removed


def test_trust_says_what_it_means_and_refuses_unknown_users(
    queue_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 'only yourself' in type_command('trust')[1]
    assert 'may run as you' in type_command('trust', 'root')[1]
    assert Config()['trusted_users'] == ['root']
    status, text = type_command('trust', 'no-such-user')
    assert status == 2 and 'There is no user' in text
    status, text = type_command('trust', '--remove', 'daemon')
    assert status == 2 and 'is not trusted' in text
    assert type_command('trust', '--remove', '0')[0] == 0  # of the same user, by number
    assert Config()['trusted_users'] == []
    monkeypatch.setenv('DESIPIPE_TRUST', 'root')
    status, text = type_command('trust', 'daemon')
    assert status == 2 and 'unset DESIPIPE_TRUST' in text


def test_linked_queue_is_not_used(theirs: str, tmp_path: Path) -> None:
    link = tmp_path / 'link.queue'
    link.symlink_to(theirs)
    with pytest.raises(UntrustedQueueError, match='is a link'):
        work(str(link))
