"""The queue on network filesystems: two hosts at once, a host that is cut off, locks that are
lost, locks that lie.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from polling import wait_for

from .hosts import HERE, Cluster, Host, finish, go, line, until

pytestmark = pytest.mark.timeout(
    900
)  # s; a guest is slow, and a cut that goes wrong is told apart by what waits for it

LEASES = {
    'moosefs': 6,
    'nfs': 10,
    # s of silence after which a worker counts as dead; a flush of a guest on a busy machine takes
    # seconds
}
LINGER = 120  # s that a worker stays without work; the tests end it before
LOSES_LOCKS = {
    'nfs'
}  # where the lock of a host that is cut off is given to another one; MooseFS keeps it


class Team:
    """Two hosts and a folder of their own on the filesystem they share.

    Parameters
    ----------
    cluster : Cluster
        The hosts.
    name : str
        A name that no other test uses.
    """

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.a, self.b = cluster.hosts
        self.folder = cluster.path / name
        self.queue = self.folder / 'shared'
        self.log = f'/run/{name}'  # a file of each host's own memory
        self.logs = cluster.scratch / name
        self.logs.mkdir()
        (self.logs / 'config.yaml').write_text(f'lease: {LEASES.get(cluster.kind, 6):d}\n')
        path = os.pathsep.join([str(HERE.parents[1]), os.environ.get('PYTHONPATH', '')]).rstrip(
            os.pathsep
        )
        ours = {
            name: value for name, value in os.environ.items() if not name.startswith('DESIPIPE_')
        }
        self.env = {**ours, 'DESIPIPE_CONFIG_DIR': str(self.logs), 'PYTHONPATH': path}
        self.a.run(['mkdir', self.folder], check=True)

    def talk(self, host: Host, verb: str, *args: object) -> subprocess.Popen[str]:
        """Start a verb of ``on_host.py``."""
        return host.talk(
            [sys.executable, str(HERE / 'on_host.py'), verb, *map(str, args)], env=self.env
        )

    def run(self, host: Host, verb: str, *args: object) -> str:
        """Run a verb of ``on_host.py`` to its end; what it printed."""
        return finish(self.talk(host, verb, *args))

    def together(self, verb: str, rounds: int) -> Iterator[list[subprocess.Popen[str]]]:
        """Run a verb on both hosts, in rounds that begin at the same moment."""
        both = [self.talk(host, verb, self.folder, rounds) for host in (self.a, self.b)]
        for _ in range(rounds):
            for process in both:
                until(process, 'ready')
            for process in both:
                go(process)
            yield both
        for process in both:
            finish(process)

    @contextmanager
    def worker(self, host: Host) -> Iterator[subprocess.Popen[Any]]:
        """A worker with two slots."""
        argv = [
            sys.executable,
            '-m',
            'desipipe',
            'work',
            '-q',
            str(self.queue),
            '--slots',
            '2',
            '--linger',
            str(LINGER),
        ]
        with (self.logs / f'worker-{host.name}.log').open('wb') as log:
            process = host.popen(
                argv, env=self.env, cwd=self.logs, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            yield process
        finally:
            host.heal()  # what is waiting for a file on a host that is cut off can't be killed
            if process.poll() is None:
                process.kill()
                process.wait(60)

    def said(self, host: Host) -> str:
        """What the worker of a host printed."""
        return (self.logs / f'worker-{host.name}.log').read_text()

    def gate(self, host: Host, shut: bool) -> None:
        """Let tasks that begin on a host wait, or end."""
        host.run(['touch' if shut else 'rm', f'{self.log}.shut'], check=True)

    def began(self, host: Host) -> list[int]:
        """The tasks that began on a host."""
        return [int(line) for line in host.run(['cat', self.log]).stdout.split()]

    def read(self, host: Host) -> dict[int, Any]:
        """The tasks of the queue as a host sees them, all of which must be whole."""
        read = json.loads(self.run(host, 'queue_read', self.queue))
        assert read['damage'] == []
        return {int(number): task for number, task in read['tasks'].items()}


@pytest.fixture
def team(two_hosts: Cluster, request: pytest.FixtureRequest) -> Team:
    """Two hosts and a fresh folder that they share."""
    return Team(two_hosts, re.sub(r'\W+', '-', request.node.name).strip('-'))


@pytest.mark.parametrize('lock', ['flock', 'poll'])
def test_journal_of_two_hosts(team: Team, lock: str) -> None:
    """What two hosts append at once is all there, once, and each host's own in its order; both
    see the same.
    """
    n = 100
    journal = team.folder / 'journal'
    team.run(team.a, 'journal_create', journal, lock)
    writers = [
        team.talk(host, 'journal_append', journal, host.name, n) for host in (team.a, team.b)
    ]
    for writer in writers:
        until(writer, 'ready')
    for writer in writers:
        go(writer)
    for writer in writers:
        finish(writer)
    read = [json.loads(team.run(host, 'journal_read', journal)) for host in (team.a, team.b)]
    assert read[0] == read[1]
    assert read[0]['damage'] == []
    for host in (team.a, team.b):
        assert [i for who, i in read[0]['seen'] if who == host.name] == list(range(n))


@pytest.mark.parametrize('lock', ['flock', 'poll'])
def test_holder_of_the_lock_is_cut_off(team: Team, lock: str) -> None:
    """What a host appends that was cut off while it held the lock counts only if it held it all
    the time.
    """
    journal = team.folder / 'journal'
    team.run(team.a, 'journal_create', journal, lock)
    holder = team.talk(team.a, 'journal_hold', journal, 'holder', 3)
    until(holder, 'held')
    team.a.cut()
    other = team.talk(team.b, 'journal_append', journal, 'other', 3)
    until(other, 'ready')
    go(other)
    if team.cluster.kind in LOSES_LOCKS:
        finish(other)
    else:
        assert other.poll() is None
    team.a.heal()
    go(holder)
    written = finish(holder).split() == ['written']
    finish(other)
    held = [['holder', i] for i in range(3)] if written else []
    others = [['other', i] for i in range(3)]
    for host in (team.a, team.b):
        read = json.loads(team.run(host, 'journal_read', journal))
        assert read['damage'] == []
        # Whoever had the lock wrote first; a batch that came too late is decided again and stands
        # behind, or not at all.
        assert read['seen'] == (
            others + held if team.cluster.kind in LOSES_LOCKS else held + others
        )


def test_queue_is_created_once_by_two_hosts(team: Team) -> None:
    """Two hosts that create the same queue at the same moment have the same queue."""
    rounds = 4
    for creators in team.together('queue_create', rounds):
        ids = [line(creator) for creator in creators]
        assert re.fullmatch(r'[0-9a-f]{16}', ids[0]) and ids[0] == ids[1]
    assert sorted(team.b.run(['ls', '-A', team.folder], check=True).stdout.split()) == [
        f'round{i:d}.queue' for i in range(rounds)
    ]


def test_log_is_opened_by_two_hosts(team: Team) -> None:
    """A log that is not there yet is opened by both, though there are filesystems that then say
    to one of them that it exists.
    """
    rounds = len([*team.together('log_open', 40)])
    assert len(team.b.run(['ls', '-A', team.folder], check=True).stdout.split()) == rounds


def test_queue_is_worked_on_by_two_hosts(team: Team) -> None:
    """Tasks of two submitters, some of them of both, run by two workers: each once, none lost,
    all right.
    """
    hosts = (team.a, team.b)
    n = 300
    team.run(team.a, 'queue_new', team.queue)
    for host in hosts:
        team.gate(host, shut=True)
    with team.worker(team.a) as worker_a, team.worker(team.b) as worker_b:
        submitters = [
            team.talk(team.a, 'queue_submit', team.queue, team.log, 0, 2 * n // 3),
            team.talk(team.b, 'queue_submit', team.queue, team.log, n // 3, n),
        ]
        # No task ends before each host has begun one: so both take part, however fast one of them
        # is.
        for host in hosts:
            wait_for(lambda host=host: bool(team.began(host)), f'{host.name} begins a task', 120)  # type: ignore[misc]
        for host in hosts:
            team.gate(host, shut=False)
        for submitter in submitters:
            finish(submitter)
        for host, worker in zip(hosts, (worker_a, worker_b), strict=True):
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(60) == 0, team.said(host)
    tasks = team.read(team.b)
    assert tasks == team.read(team.a)
    assert sorted(tasks) == list(range(n))
    began = {host.name: Counter(team.began(host)) for host in hosts}
    assert all(began.values())
    assert sum(began.values(), Counter()) == Counter(range(n))
    for number, task in tasks.items():
        assert task['state'] == 'SUCCEEDED'
        value, where = task['result']
        assert value == number**2
        assert [attempt[2:] for attempt in task['attempts']] == [[where, True]]
        assert number in began[where]


def test_host_is_cut_off(team: Team) -> None:
    """What a host ran that was cut off runs again on the other; what it says when it is back
    changes nothing.
    """
    n, more = 200, 50
    team.run(team.a, 'queue_new', team.queue)
    for host in (team.a, team.b):
        team.gate(host, shut=True)
    with team.worker(team.a) as cut_off, team.worker(team.b):
        submitters = [
            team.talk(team.a, 'queue_submit', team.queue, team.log, 0, 2 * n // 3),
            team.talk(team.b, 'queue_submit', team.queue, team.log, n // 3, n),
        ]
        for submitter in submitters:
            until(submitter, 'added')
        for host in (team.a, team.b):
            wait_for(lambda host=host: bool(team.began(host)), f'{host.name} begins a task', 120)  # type: ignore[misc]
        team.gate(team.b, shut=False)
        # Until all that is left is what the first host runs: then it has nothing to claim or
        # report, and does not hold the lock when it is cut off. Where a filesystem keeps the lock
        # for a holder that is gone, nobody could write before it is back.
        team.run(team.b, 'queue_wait', team.queue, team.a.name)
        team.a.cut()
        held = set(team.began(team.a))
        assert held
        team.gate(team.a, shut=False)
        team.run(team.b, 'queue_submit', team.queue, team.log, n, n + more)
        team.run(team.b, 'queue_wait', team.queue, '')
        finish(submitters[1])
        before = team.read(team.b)
        assert submitters[0].poll() is None and cut_off.poll() is None
        team.a.heal()
        finish(submitters[0])
        cut_off.wait(120)
        after = team.read(team.b)
    assert after == team.read(team.a)
    assert sorted(after) == list(range(n + more))
    began = {host.name: Counter(team.began(host)) for host in (team.a, team.b)}
    assert set(began[team.a.name]) == held
    for number, task in after.items():
        assert task['state'] == before[number]['state'] == 'SUCCEEDED'
        assert task['result'] == before[number]['result'] == [number**2, team.b.name]
        # Every attempt that counted before counts still, and none that came later does.
        counted = [attempt for attempt in task['attempts'] if attempt[3]]
        assert counted == [attempt for attempt in before[number]['attempts'] if attempt[3]]
        assert len(counted) == 1 and counted[0][2] == team.b.name
    assert sum(began.values(), Counter()) == Counter(list(after)) + Counter(held)


@pytest.mark.netfs
@pytest.mark.parametrize('base', ['', 'not/there'])
def test_sshfs_is_refused(sshfs: Cluster, base: str) -> None:
    """Where two hosts are granted the same lock, no queue is made: the error names the
    filesystem and what to do, and nothing is left behind.
    """
    team = Team(sshfs, f'refused-{len(base):d}')
    folder = team.folder / base
    for host in (team.a, team.b):
        output = team.run(host, 'queue_refused', folder)
        for word in (str(folder), 'sshfs', 'No queue was created', 'DESIPIPE_QUEUE_DIR'):
            assert word in output
        assert host.run(['ls', '-A', team.folder], check=True).stdout == ''
