"""What a host does in the tests of the queue: ``on_host.py VERB ARGUMENT ...``, see the functions
below.

A verb that waits for the test says a word, and goes on when it reads a line.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import desipipe
from desipipe.errors import LockingError, LockLostError
from desipipe.store.journal import Journal
from desipipe.store.journal_file import create
from desipipe.store.line_format import Event
from desipipe.store.shared_files import open_log

TIMEOUT = 240.0  # s


def pause(word: str) -> None:
    """Say a word and wait for a line."""
    print(word, flush=True)
    sys.stdin.readline()


# The journal


class Notes:
    """Collects events; what a journal is folded into here."""

    def __init__(self) -> None:
        self.seen: list[Event] = []
        self.damage: list[int] = []

    def reset(self, header: Event) -> None:
        """Forget everything."""
        self.seen.clear()

    def apply(self, event: Event, offset: int) -> None:
        """Keep an event."""
        self.seen.append(event)

    def check(self, event: Event) -> None:
        """Take everything."""

    def damaged(self, offset: int, length: int) -> None:
        """Keep where a line is damaged."""
        self.damage.append(offset)


def journal_create(folder: str, lock: str) -> None:
    """Make a folder with a journal and nothing else in it."""
    os.mkdir(folder)
    with open(os.path.join(folder, 'lock'), 'x'):
        create(folder, {'lock': lock, 'shared': True})


def journal_append(folder: str, name: str, n: str) -> None:
    """Write events one at a time."""
    journal = Journal(folder, Notes())
    pause('ready')
    for i in range(int(n)):
        event = {'e': 'note', 'who': name, 'i': i}
        journal.write(lambda event=event: [event])  # type: ignore[misc]


def journal_hold(folder: str, name: str, n: str) -> None:
    """Write a batch of events, with a pause before it while the lock is held; say whether it was
    written.
    """
    journal = Journal(folder, Notes())
    asked = 0

    def decide() -> list[Event]:
        nonlocal asked
        asked += 1
        if asked == 1:  # it is asked again if the lock was lost
            pause('held')
        return [{'e': 'note', 'who': name, 'i': i} for i in range(int(n))]

    try:
        journal.write(decide)
        print('written')
    except LockLostError:
        print('refused')


def journal_read(folder: str) -> None:
    """Print what counts, in order, and what is damaged."""
    notes = Notes()
    Journal(folder, notes)
    print(
        json.dumps(
            {'seen': [[event['who'], event['i']] for event in notes.seen], 'damage': notes.damage}
        )
    )


def log_open(folder: str, rounds: str) -> None:
    """Open logs that another host opens in the same moment."""
    for i in range(int(rounds)):
        path = os.path.join(folder, f'{i:d}.log')
        pause('ready')
        open_log(path).close()


# The queue


def square(i: int, log: str) -> tuple[int, str]:
    """Note in a file of this host that the task began; wait while the host's gate is shut."""
    import os
    import socket
    import time

    with open(log, 'ab', buffering=0) as file:
        file.write(b'%d\n' % i)
    while os.path.exists(log + '.shut'):
        time.sleep(0.02)
    return i * i, socket.gethostname()


def queue_create(folder: str, rounds: str) -> None:
    """Open queues that are made if they are not there; print their identities."""
    for i in range(int(rounds)):
        pause('ready')
        print(
            desipipe.Queue(f'round{i:d}', base_dir=folder).ledger.journal.header['id'], flush=True
        )


def queue_refused(folder: str) -> None:
    """Make a queue where it can't be; print why not."""
    try:
        desipipe.Queue('refused', base_dir=folder)
        print('it was created')
    except LockingError as exc:
        print(exc)


def queue_submit(path: str, log: str, first: str, last: str) -> None:
    """Add tasks and wait for their results, which must be right."""
    numbers = range(int(first), int(last))
    queue = desipipe.Queue(path, create=False)
    app = desipipe.TaskManager(queue, scheduler={'max_workers': 2}).python_app(square, retries=9)
    futures = app.map(i=numbers, log=log)
    print('added', flush=True)
    desipipe.wait(futures, timeout=TIMEOUT)
    assert [future.result(timeout=0)[0] for future in futures] == [i * i for i in numbers]


def queue_new(path: str) -> None:
    """Make a queue."""
    desipipe.Queue(path, create=True)


def queue_wait(path: str, host: str) -> None:
    """Wait until every task has ended, or runs on ``host``."""
    queue = desipipe.Queue(path, create=False)

    def settled() -> bool:
        counts = queue.counts
        return not counts['WAITING'] + counts['PENDING'] and all(
            task.host == host for task in queue.tasks(state='RUNNING')
        )

    assert queue.ledger.wait(settled, TIMEOUT), f'{queue.counts}'


def queue_read(path: str) -> None:
    """Print what there is to know of each task: number, state, result, the attempts that ended
    (number, state, host, whether it counts).
    """
    queue = desipipe.Queue(path, create=False)
    tasks: dict[int, Any] = {}
    for task in queue.tasks():
        number = task.kwargs['i']
        assert number not in tasks, f'task {number:d} is there twice'
        attempts = [
            [attempt.number, attempt.state, attempt.host, attempt.counts]
            for attempt in task.attempts
        ]
        tasks[number] = {'state': task.state, 'result': task.result, 'attempts': attempts}
    print(json.dumps({'tasks': tasks, 'damage': queue.ledger.state.damage}))


if __name__ == '__main__':
    globals()[sys.argv[1]](*sys.argv[2:])
