"""Random kill -9 of submitters, workers, slots and managers under load."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from desipipe import Queue
from desipipe.event import SUCCEEDED

KILLS = 300
SEED = 20261122

SUBMIT = """
import sys
from desipipe import Queue, TaskManager

queue = Queue(sys.argv[1], create=False)
tm = TaskManager(queue, scheduler=dict(max_workers=3))

@tm.python_app(retries=100000)
def square(i):
    import time
    time.sleep(0.001 * (i % 5))
    return i * i

@tm.python_app(retries=100000)
def total(values):
    return sum(values)

n = int(sys.argv[2])
futures = []
for start in range(0, n, 40):
    batch = square.map(i=range(start, start + 20)) + [square(i) for i in range(start + 20, start + 40)]
    futures += [*batch, total(batch)]
if len(sys.argv) > 3:
    for future in futures:
        print(future.result())
"""


def ours(folder: str) -> list[int]:
    """Processes of this queue: they name its folder on their command line, slots (forks of their worker) included."""
    found = []
    for entry in os.listdir('/proc'):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                words = Path('/proc', entry, 'cmdline').read_bytes()
            except OSError:
                continue
            if folder.encode() in words:
                found.append(int(entry))
    return found


@pytest.mark.slow
def test_kill_9_of_anyone(queue_dir: Path, tmp_path: Path) -> None:
    queue = Queue('chaos', create=True)
    script = tmp_path / 'submit.py'
    script.write_text(SUBMIT)
    chance = random.Random(SEED)
    n = 0
    submitter = manager = None
    workers: list[subprocess.Popen[bytes]] = []  # two of our own, beside those of the manager, so that there is always one to kill
    kills = {'submitter': 0, 'manager': 0, 'worker or slot': 0}
    log = (tmp_path / 'log').open('wb')
    while sum(kills.values()) < KILLS:
        if submitter is None or submitter.poll() is not None:
            n += 80
            submitter = subprocess.Popen([sys.executable, str(script), queue.folder, str(n)], stdout=log, stderr=log)
        if manager is None or manager.poll() is not None:
            manager = subprocess.Popen([sys.executable, '-m', 'desipipe', 'spawn', '-q', queue.folder, '--linger', '60'], stdout=log, stderr=log)
        workers = [worker for worker in workers if worker.poll() is None]
        while len(workers) < 2:
            command = [sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder, '--slots', '2', '--linger', '60']
            workers.append(subprocess.Popen(command, stdout=log, stderr=log))
        time.sleep(chance.uniform(0.0, 0.15))  # when the blow falls is part of the chance
        kind = chance.choices(list(kills), [1, 1, 4])[0]
        alone = {'submitter': submitter.pid, 'manager': manager.pid}
        victims = [alone[kind]] if kind in alone else [pid for pid in ours(queue.folder) if pid not in alone.values()]
        if not victims:
            continue
        try:
            os.kill(chance.choice(victims), signal.SIGKILL)
        except ProcessLookupError:
            continue
        kills[kind] += 1
        # Readable all the time, from the first line.
        reader = Queue(queue.folder, create=False)
        assert not reader.ledger.state.damage
        reader.ledger.close()
    assert min(kills.values()) >= KILLS // 20, kills
    for process in (submitter, manager, *workers):
        assert process is not None
        process.kill()
        process.wait()
    for victim in ours(queue.folder):
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue
    subprocess.run([sys.executable, str(script), queue.folder, str(n)], check=True, timeout=120)
    subprocess.run([sys.executable, '-m', 'desipipe', 'spawn', '-q', queue.folder], check=True, timeout=240)
    done = subprocess.run([sys.executable, str(script), queue.folder, str(n), 'results'], check=True, timeout=120, capture_output=True, text=True)
    expected = []
    for start in range(0, n, 40):
        squares = [i * i for i in range(start, start + 40)]
        expected += [*squares, sum(squares)]
    assert [int(line) for line in done.stdout.split()] == expected
    state = queue.ledger.state
    queue.ledger.follow()
    assert queue.counts['SUCCEEDED'] == len(queue) == len(expected)
    assert not state.running
    assert not state.damage
    assert not queue.processes()
    for row in state.each():
        visible = [attempt for attempt in queue.ledger.attempts(row) if attempt.counts]
        assert [attempt.state for attempt in visible] == [SUCCEEDED]
