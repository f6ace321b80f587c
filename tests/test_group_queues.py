"""Queues that a group shares: modes, who may do what, and whose code runs as whom; with three
real users and a group.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from users import ALICE, BOB, CAROL, GROUP, User, modes, needs_root, open_place, run_as

from desipipe import Environment, Future, Queue, TaskManager, spawn, work
from desipipe.errors import ConfigError, PermissionDeniedError, QueueError, UntrustedQueueError
from desipipe.queue.sharing import find_group, unreachable
from desipipe.queue.transactions.tasks import group_event
from desipipe.queue.waiting import waiting_reason
from desipipe.view.cell import CellReader
from desipipe.view.queue import queue_summary

pytestmark = needs_root
TRUST_ALICE = f'desipipe trust {ALICE.uid}'


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder in which everyone may make folders."""
    with open_place() as parent:
        top = parent / 'top'
        top.mkdir()
        top.chmod(0o777)
        yield top


class Group:
    """A queue of Alice's, and the users who come to it.

    Parameters
    ----------
    place : path
    """

    def __init__(self, shared_folder: Path) -> None:
        self.place = shared_folder
        self.folder = str(shared_folder / 'q.queue')

    def as_user(self, user: User, do: Callable[[Queue], Any], umask: int = 0o077) -> Any:
        """Do something to the queue as a user."""
        return run_as(
            user,
            self.place.parent / str(user.uid),
            lambda: do(Queue(self.folder, create=False)),
            umask,
        )

    def make(self) -> None:
        """Make the queue, as Alice."""
        run_as(
            ALICE,
            self.place.parent / str(ALICE.uid),
            lambda: Queue(self.folder, create=True, group=str(GROUP)) and None,
            0o077,
        )

    def trust(self, user: User, other: User) -> None:
        """Let a user trust another one."""

        def trust(queue: Queue) -> None:
            queue.config['trusted_users'] = [str(other.uid)]
            queue.config.save()

        self.as_user(user, trust)


@pytest.fixture
def group(shared_folder: Path) -> Group:
    """A queue that is shared."""
    made = Group(shared_folder)
    made.make()
    return made


def running_user(x: int) -> tuple[int, int]:
    """Return the argument, and as whom this runs."""
    import os

    return x, os.geteuid()


def add(queue: Queue, *values: int, **settings: Any) -> list[str]:
    """Add tasks that say as whom they run."""
    app = TaskManager(queue, **settings).python_app(running_user)
    return [app(x).id for x in values]


def results(queue: Queue) -> dict[str, Any]:
    """Return the states of all tasks by identity."""
    return {task.id: task.state for task in queue.tasks()}


def check_modes(folder: str) -> None:
    """Check that everything is the group's, and that it may write to all but what has one
    writer.
    """
    for path, (mode, gid) in modes(folder).items():
        full = Path(folder, path)
        assert gid == GROUP, path
        if full.is_dir():
            assert mode == 0o2770, (path, oct(mode))
        else:
            wanted = 0o640 if path.startswith('segments/') else 0o660
            assert mode == wanted, (path, oct(mode))


def test_modes_hold_whatever_members_do(group: Group) -> None:
    def use(queue: Queue) -> None:
        add(queue, 1)
        work(queue)
        spawn(queue, timeout=60)
        queue.compact()
        with open(queue.filename, 'ab') as file:
            file.write(b'damaged\n')
        queue.ledger.follow()
        assert queue.repair() == 1
        add(queue, 2)
        work(queue)
        queue.pause()
        queue.resume()

    for user in (ALICE, BOB, ALICE):
        group.as_user(user, use)
        check_modes(group.folder)
    group.as_user(BOB, lambda queue: queue.clear(kill=False))
    check_modes(group.folder)
    group.as_user(ALICE, use)
    check_modes(group.folder)


def test_files_of_running_members_are_the_groups(group: Group) -> None:
    release = group.place / 'release'

    def hold(path: str) -> None:
        import os
        import time

        print('began', flush=True)
        while not os.path.exists(path):
            time.sleep(0.01)

    def look_while_it_runs(queue: Queue) -> dict[str, Any]:
        TaskManager(queue).python_app(hold)(str(release))
        pid = os.fork()
        if not pid:
            try:
                work(Queue(group.folder, create=False))
            finally:
                os._exit(0)
        live = Path(group.folder, 'live')
        assert queue.ledger.wait(
            lambda: any(path.stat().st_size for path in live.iterdir()), 120, 0.05
        )
        modes_seen = modes(group.folder)
        check_modes(group.folder)
        release.touch()
        os.waitpid(pid, 0)
        return modes_seen

    modes_seen = group.as_user(BOB, look_while_it_runs)
    assert any(path.startswith('live/') for path in modes_seen) and any(
        path.startswith('workers/') for path in modes_seen
    )


def test_members_run_their_own_tasks_and_those_of_whom_they_trust(group: Group) -> None:
    (of_alice,) = group.as_user(ALICE, lambda queue: add(queue, 1))
    (of_bob,) = group.as_user(BOB, lambda queue: add(queue, 2))

    def run(queue: Queue) -> tuple[dict[str, Any], Any, str, list[dict[str, Any]]]:
        work(queue)
        return (
            results(queue),
            queue.tasks(tid=of_bob).result,
            queue.explain(of_alice),
            queue_summary(queue)['held'],
        )

    states, result, text, held = group.as_user(BOB, run)
    assert states == {of_alice: 'PENDING', of_bob: 'SUCCEEDED'} and result == (2, BOB.uid)
    assert (
        f'user {ALICE.uid}, whom you do not trust' in text and text.splitlines()[-1] == TRUST_ALICE
    )
    assert [(item['user'], item['count']) for item in held] == [(str(ALICE.uid), 1)]
    assert TRUST_ALICE in held[0]['text']
    group.trust(BOB, ALICE)
    states, *_ = group.as_user(BOB, run)
    assert set(states.values()) == {'SUCCEEDED'}

    def read(queue: Queue) -> str:
        try:
            return repr(queue.tasks(tid=of_alice).result)
        except UntrustedQueueError as exc:
            return str(exc)

    assert f'desipipe trust {BOB.uid}' in group.as_user(ALICE, read)
    group.trust(ALICE, BOB)
    assert group.as_user(ALICE, read) == repr((1, BOB.uid))


def test_manager_starts_workers_for_its_own_users_tasks(group: Group) -> None:
    (of_alice,) = group.as_user(
        ALICE, lambda queue: add(queue, 1, environ=Environment(command=f'touch {group.place}/ran'))
    )
    (of_bob,) = group.as_user(BOB, lambda queue: add(queue, 2))

    def run(queue: Queue) -> dict[str, Any]:
        spawn(queue, timeout=100)
        return results(queue)

    assert group.as_user(BOB, run) == {of_alice: 'PENDING', of_bob: 'SUCCEEDED'}
    assert not (group.place / 'ran').exists()


def test_waiting_names_member_whose_task_waits(group: Group) -> None:
    (of_alice,) = group.as_user(ALICE, lambda queue: add(queue, 1))

    def reason(queue: Queue) -> str:
        return str(waiting_reason(queue.ledger, queue.ledger.find(of_alice)))

    assert TRUST_ALICE in group.as_user(BOB, reason)


def test_cell_and_wait_name_the_member_whose_result_a_task_needs(group: Group) -> None:
    def compute(queue: Queue) -> list[str]:
        tids = add(queue, 1)
        work(queue)
        return tids

    (of_alice,) = group.as_user(ALICE, compute)

    def look(queue: Queue) -> tuple[str, str, list[list[str]]]:
        app = TaskManager(queue).python_app(running_user)
        row = queue.ledger.find(app(Future(queue, of_alice)).id)
        held = queue_summary(queue)['held']
        return (
            str(waiting_reason(queue.ledger, row)),
            held[0]['text'] if held else '',
            CellReader(queue, [row]).summary()['advice'],
        )

    reason, text, advice = group.as_user(BOB, look)
    assert f'If you trust {ALICE.uid}: {TRUST_ALICE}' in reason
    assert text.startswith('1 pending task stays pending: they, or results that they need, are of')
    assert advice == [[text.rpartition(':')[0], TRUST_ALICE]]
    group.trust(BOB, ALICE)
    _, text, advice = group.as_user(BOB, look)
    assert not text and [step[0] for step in advice] == ['No worker is running']


def test_call_of_another_member_has_ones_own_payloads(group: Group) -> None:
    (of_alice,) = group.as_user(ALICE, lambda queue: add(queue, 1))
    (of_bob,) = group.as_user(BOB, lambda queue: add(queue, 1))
    assert of_alice == of_bob

    def run(queue: Queue) -> Any:
        work(queue)
        return queue.tasks(tid=of_bob).result

    assert group.as_user(BOB, run) == (1, BOB.uid)


def test_task_added_again_by_another_member_brings_none_of_their_commands(group: Group) -> None:
    (of_alice,) = group.as_user(ALICE, lambda queue: add(queue, 1))
    evil = Environment(command=f'touch {group.place}/ran')
    group.as_user(BOB, lambda queue: add(queue, 1, environ=evil))

    def run(queue: Queue) -> tuple[str, str]:
        spawn(queue, timeout=60)
        return queue.tasks(tid=of_alice).state, queue.explain(of_alice)

    state, text = group.as_user(ALICE, run)
    assert state == 'PENDING' and f'desipipe trust {BOB.uid}' in text
    assert not (group.place / 'ran').exists()
    group.as_user(ALICE, lambda queue: add(queue, 1))  # as she wants it
    assert group.as_user(ALICE, run)[0] == 'SUCCEEDED'


def forge_code(queue: Queue) -> None:
    """Let the app of all tasks be other code, in a segment of Bob's."""

    def evil(x: int) -> None:
        open('/tmp/desipipe-forged', 'w').close()

    app = TaskManager(queue).python_app(evil)
    ref = queue.ledger.store(app.description.payload)
    events = [
        {**{key: value for key, value in event.items() if key not in ('at', 'crc')}, 'code': ref}
        for event in queue.ledger.state.apps.values()
    ]
    queue.ledger.journal.write(lambda: events)


def forge_reference(queue: Queue) -> None:
    """Let a new task of an app of Alice's have arguments in the middle of what Alice has
    written.
    """
    state = queue.ledger.state
    row = next(iter(state.rows.values()))
    segment, offset, length = state.args(row)
    where = {'ids': os.urandom(16).hex(), 'seg': segment, 'off': offset, 'len': [length], 't': 0.0}
    event = {'e': 'add', 'first': len(state.status), 'g': state.group[row], 'i': 7, **where}
    queue.ledger.journal.write(lambda: [event])


def forge_folder(queue: Queue) -> None:
    """Let the tasks run in another folder, whose modules they would import."""
    state = queue.ledger.state
    group = state.groups[0]._replace(cwd='/tmp', path=('/tmp',))
    number = len(state.groups)
    events = [
        group_event(number, group),
        {'e': 'assign', 'g': number, 'rows': list(state.rows.values()), 't': 0.0},
    ]
    queue.ledger.journal.write(lambda: events)


def forge_manager(queue: Queue) -> None:
    """Let the task manager of Alice's start workers with a command of Bob's."""
    environ = {'name': 'base', 'command': 'touch /tmp/desipipe-forged'}
    managers = queue.ledger.state.managers
    parts = {
        mid: {key: event[key] for key in ('scheduler', 'provider')}
        for mid, event in managers.items()
    }
    queue.ledger.journal.write(
        lambda: [
            {'e': 'mgr', 'mid': mid, 'environ': environ, **part} for mid, part in parts.items()
        ]
    )


def forge_claims(queue: Queue) -> None:
    """Put claims of Bob's in the place of Alice's file."""
    segments = Path(queue.folder, 'segments')
    for path in list(segments.glob('*.claims')):
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
        path.chmod(0o640)


def forge_segment(queue: Queue) -> None:
    """Put a file of Bob's in the place of Alice's segment."""
    for path in list(Path(queue.folder, 'segments').glob('*.bin')):
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
        path.chmod(0o640)


@pytest.mark.parametrize(
    'forge', [forge_code, forge_reference, forge_folder, forge_manager, forge_claims, forge_segment]
)
def test_forged_lines_of_a_member_run_nothing_as_another(
    group: Group, forge: Callable[[Queue], None]
) -> None:
    forged = Path('/tmp/desipipe-forged')
    forged.unlink(missing_ok=True)
    (of_alice,) = group.as_user(ALICE, lambda queue: add(queue, 1))
    group.as_user(BOB, forge)

    def run(queue: Queue) -> tuple[list[str], list[Any]]:
        spawn(queue, timeout=60)
        work(queue)
        done = [task.result for task in queue.tasks(state='SUCCEEDED')]
        return [task.state for task in queue.tasks()], done

    states, done = group.as_user(ALICE, run)
    assert not forged.exists()
    assert set(states) <= {'PENDING', 'SUCCEEDED'} and done in ([], [(1, ALICE.uid)])
    assert 'PENDING' in states or forge in (forge_code, forge_manager)


def test_members_cannot_write_to_segments_and_claims_of_others(group: Group) -> None:
    group.as_user(ALICE, lambda queue: add(queue, 1))

    def write(queue: Queue) -> int:
        refused = 0
        for path in Path(queue.folder, 'segments').iterdir():
            with pytest.raises(PermissionError):
                os.open(path, os.O_WRONLY)
            refused += 1
        return refused

    assert group.as_user(BOB, write) == 2


def test_strangers_only_look_if_at_all(group: Group) -> None:
    group.as_user(ALICE, lambda queue: add(queue, 1))

    def pause(queue: Queue) -> str:
        try:
            queue.pause()
        except UntrustedQueueError as exc:
            return str(exc)
        return 'paused'

    assert TRUST_ALICE in group.as_user(CAROL, pause)


def test_members_change_the_queue(group: Group) -> None:
    group.as_user(ALICE, lambda queue: add(queue, 1, 2))

    def change(queue: Queue) -> dict[str, int]:
        queue.pause()
        queue.cancel()
        queue.retry()
        queue.resume()
        queue.compact()
        return dict(queue.counts)

    assert group.as_user(BOB, change)['PENDING'] == 2
    with pytest.raises(PermissionDeniedError, match='who alone can unshare it'):
        group.as_user(BOB, lambda queue: queue.unshare())
    with pytest.raises(PermissionDeniedError, match='who alone can delete it'):
        group.as_user(BOB, lambda queue: queue.delete())
    group.as_user(ALICE, lambda queue: queue.delete())
    assert not os.path.exists(group.folder)


def test_queue_with_tasks_is_shared_and_taken_back(shared_folder: Path) -> None:
    group = Group(shared_folder)
    home = shared_folder.parent / str(ALICE.uid)
    run_as(ALICE, home, lambda: Queue(group.folder, create=True) and None)

    def fill(queue: Queue) -> list[str]:
        ids = add(queue, 1)
        work(queue)
        app = TaskManager(queue).python_app(running_user)
        return [*ids, app(3).id]

    done, pending = group.as_user(ALICE, fill)
    assert modes(group.folder)['.'][0] == 0o700
    group.as_user(ALICE, lambda queue: queue.share(str(GROUP)))
    check_modes(group.folder)

    def run(queue: Queue) -> tuple[dict[str, Any], Any]:
        work(queue)
        return results(queue), queue.tasks(tid=pending).state

    states, _ = group.as_user(BOB, run)
    assert states == {done: 'SUCCEEDED', pending: 'PENDING'}
    states, _ = group.as_user(ALICE, run)
    assert set(states.values()) == {'SUCCEEDED'}
    assert group.as_user(ALICE, lambda queue: [task.result for task in queue.tasks()]) == [
        (1, ALICE.uid),
        (3, ALICE.uid),
    ]
    group.as_user(BOB, lambda queue: add(queue, 4))
    others = group.as_user(ALICE, lambda queue: queue.unshare())
    assert others == [str(BOB.uid)]
    for path, (mode, gid) in modes(group.folder).items():
        if Path(group.folder, path).lstat().st_uid == ALICE.uid:
            assert mode in (0o700, 0o600) and gid == ALICE.uid, path
    assert group.as_user(ALICE, lambda queue: queue.group) == ''


def test_sharing_says_what_is_wrong(shared_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(shared_folder)
    home = shared_folder.parent / str(ALICE.uid)
    run_as(ALICE, home, lambda: Queue(group.folder, create=True) and None)
    with pytest.raises(ConfigError, match='There is no group'):
        group.as_user(ALICE, lambda queue: queue.share('no-such-group'))
    with pytest.raises(ConfigError, match='not a member'):
        group.as_user(ALICE, lambda queue: queue.share('0'))
    with pytest.raises(ConfigError, match='not a member'):
        run_as(ALICE, home, lambda: Queue(str(shared_folder / 'new.queue'), group='0'))
    assert not (shared_folder / 'new.queue').exists() and [
        path.name for path in shared_folder.iterdir()
    ] == ['q.queue']
    with pytest.raises(QueueError, match='is not shared'):
        run_as(ALICE, home, lambda: Queue(group.folder, group=str(GROUP)))
    before = modes(group.folder)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(1, 'Operation not permitted')

    def share_where_groups_are_refused(queue: Queue) -> None:
        monkeypatch.setattr(os, 'chown', refuse)
        queue.share(str(GROUP))

    with pytest.raises(PermissionDeniedError, match='does not give it to group'):
        group.as_user(ALICE, share_where_groups_are_refused)

    def share_where_setgid_is_lost(queue: Queue) -> None:
        chmod = os.chmod
        monkeypatch.setattr(
            os, 'chmod', lambda path, mode, **kwargs: chmod(path, mode & 0o777, **kwargs)
        )
        queue.share(str(GROUP))

    with pytest.raises(PermissionDeniedError, match='does not keep groups'):
        group.as_user(ALICE, share_where_setgid_is_lost)
    assert modes(group.folder) == before
    (shared_folder / 'locked').mkdir()
    (shared_folder / 'locked').chmod(0o700)
    assert unreachable(str(shared_folder / 'locked' / 'q.queue'), GROUP) == str(
        shared_folder / 'locked'
    )
    assert find_group('root') == 0


def test_tasks_show_who_added_and_ran_them(group: Group) -> None:
    (of_alice,) = group.as_user(ALICE, lambda queue: add(queue, 1))
    group.trust(BOB, ALICE)
    group.as_user(BOB, lambda queue: work(queue))

    def look(queue: Queue) -> dict[str, Any]:
        from desipipe.view.task_summary import task_summaries

        return task_summaries(queue.ledger, [queue.ledger.find(of_alice)])[0]

    answered = group.as_user(ALICE, look)
    assert (answered['user'], answered['ran_by']) == (str(ALICE.uid), str(BOB.uid))

    def time_tasks(queue: Queue) -> list[tuple[str, str, int]]:
        from desipipe.view.durations import durations

        add(queue, 2, 3)
        work(queue)
        queue.ledger.follow()
        return [(line['name'], line['ran_by'], line['n']) for line in durations(queue.ledger)]

    assert group.as_user(ALICE, time_tasks) == [
        ('running_user', str(ALICE.uid), 2),
        ('running_user', str(BOB.uid), 1),
    ]


def test_segment_that_others_may_write_to_is_not_run(group: Group) -> None:
    (of_alice,) = group.as_user(ALICE, lambda queue: add(queue, 1))
    for path in Path(group.folder, 'segments').glob('*.bin'):
        path.chmod(0o660)

    def run(queue: Queue) -> str:
        work(queue)
        return str(queue.tasks(tid=of_alice).state)

    assert group.as_user(ALICE, run) == 'PENDING'


def show(x: int) -> None:
    """Print something, and display HTML as cells do."""
    import json

    print('of', x)
    print('\x1b_desipipe ' + json.dumps({'d': {'text/html': f'<b>{x}</b>'}, 'm': {}}) + '\x1b\\')


def test_outputs_that_no_trusted_member_has_written_are_text(group: Group) -> None:
    def run(queue: Queue) -> str:
        future = TaskManager(queue).python_app(show)(1)
        work(queue)
        return str(future.id)

    tid = group.as_user(ALICE, run)

    def look(queue: Queue) -> str:
        from desipipe.queue.output import outputs

        return repr(outputs(queue.ledger, queue.ledger.find(tid)))

    assert "'text/html': '<b>1</b>'" in group.as_user(ALICE, look)
    shown = group.as_user(BOB, look)
    assert "'text/html'" not in shown and f'To show it: desipipe trust {ALICE.uid}' in shown

    def name_writers(queue: Queue) -> tuple[str, set[str]]:
        from desipipe.queue.output import untrusted_writer, untrusted_writers

        return untrusted_writer(queue.ledger, queue.ledger.find(tid)), untrusted_writers(
            queue.ledger
        )

    assert group.as_user(BOB, name_writers) == (str(ALICE.uid), {str(ALICE.uid)})

    def forge(queue: Queue) -> None:
        """Let the outputs be bytes in the middle of what Alice has written."""
        state, row = queue.ledger.state, queue.ledger.find(tid)
        event = queue.ledger.journal.event_at(state.ended_at[row])
        text, offset, length = event['x']['0']['out']
        state_event = {'e': 'set', 'rows': [row], 's': 1, 'why': 'retry', 't': 0.0}
        again = {key: value for key, value in event.items() if key not in ('at', 'crc')}
        again.update(n=[2], x={'0': {'out': [text, offset + 1, length - 1]}})
        queue.ledger.journal.write(
            lambda: [state_event, {'e': 'run', 'w': '', 'rows': [row], 'n': [2], 't': 0.0}, again]
        )

    group.as_user(BOB, forge)
    shown = group.as_user(ALICE, look)
    assert "'text/html'" not in shown and 'desipipe trust' not in shown
