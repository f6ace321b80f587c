"""Driver of the chaos run: load, processes, signals, the end, and what is checked then."""

from __future__ import annotations

import collections
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any, NamedTuple

from .checker import STATE_NAMES, Checker
from .processes import KINDS, MARK, Bounds, find_processes, send

LOAD = Path(__file__).with_name('load.py')
LEASE_S = 4  # short, so that a process that is stopped is taken for dead within the run
STOP_LONG_S = 2.5 * LEASE_S
SUBMITTERS = 3
UNFINISHED_MAX = 400  # tasks; no more are added before some have ended
CLEARED_BATCHES = 3
END_TIMEOUT_S = 240
LEFT_TIMEOUT_S = 90
SAMPLE_S = 1.0
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP)
COMMANDS = (['pause'], ['compact'], ['cancel', '--name', 'total', 'link'], ['retry'])


class Choices(NamedTuple):
    """What one step of a run does, as far as processes are there for it."""

    clear: str
    """Mode of the script that clears a queue; empty: none is started."""
    command: list[str]
    """Verb and options of a command for a queue that is not paused; empty: none is started."""
    pause: float
    """Seconds before the signal."""
    kind: str
    """Of the process that gets the signal."""
    number: signal.Signals
    duration: float
    """Seconds for which a process is stopped."""
    place: float
    """Which of the processes of its kind, from 0 to 1."""


def choose(seed: int, step: int) -> Choices:
    """Choose what a step does, whatever the steps before it met."""
    chance = random.Random(f'{seed} {step}')
    clear = chance.choice(['clear', 'clear', 'add']) if chance.random() < 0.1 else ''
    command = chance.choice(COMMANDS) if chance.random() < 0.1 else []
    number = chance.choices(SIGNALS, [4, 1, 2])[0]
    is_long = number == signal.SIGSTOP and chance.random() < 0.2
    return Choices(
        clear,
        command,
        pause=chance.uniform(0.0, 0.25),
        kind=chance.choices(KINDS, [2, 2, 3, 4, 1])[0],
        number=number,
        duration=STOP_LONG_S if is_long else chance.uniform(0.02, 1.0),
        place=chance.random(),
    )


class Chaos:
    """One run.

    Parameters
    ----------
    folder : Path
        An empty folder for queues, configuration and logs.
    seed : int
        Of all choices, step by step. When a signal meets a process still depends on the machine.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.seed = seed
        self.mark = uuid.uuid4().hex
        self.faults: list[str] = []
        self.started: list[tuple[str, subprocess.Popen[bytes]]] = []
        self.n_started = 0
        self.next_batch = [0] * SUBMITTERS
        self.resume_at: dict[int, float] = {}
        self.quiet_until = 0.0
        self.signalled: set[int] = set()
        self.sent: collections.Counter[str] = collections.Counter()
        self.most: dict[str, tuple[int, int]] = {}
        self.sampled = 0.0
        self.bounds = Bounds()
        for name in ('config', 'queues', 'marks'):
            (folder / name).mkdir()
        (folder / 'config' / 'config.yaml').write_text(f'lease: {LEASE_S}\n')
        self.environ = {
            **os.environ,
            MARK: self.mark,
            'DESIPIPE_CONFIG_DIR': str(folder / 'config'),
            'DESIPIPE_QUEUE_DIR': str(folder / 'queues'),
        }
        self.log = (folder / 'log').open('wb')
        self.queues = [folder / 'queues' / f'{name}.queue' for name in ('main', 'cleared')]
        for queue in self.queues:
            code = 'import sys; from desipipe import Queue; Queue(sys.argv[1], create=True)'
            self.finish([sys.executable, '-c', code, str(queue)])
        self.checkers = [Checker(self.queues[0]), Checker(self.queues[1], clears=True)]

    # Starting

    def start(self, kind: str, command: list[str]) -> None:
        """Start a process of the run."""
        process = subprocess.Popen(command, env=self.environ, stdout=self.log, stderr=self.log)
        self.started.append((kind, process))
        self.n_started += 1

    def finish(self, command: list[str]) -> str:
        """Run a command to its end; return what it prints."""
        self.n_started += 1
        try:
            outputs = {'stdout': subprocess.PIPE, 'stderr': self.log, 'timeout': END_TIMEOUT_S}
            done = subprocess.run(command, env=self.environ, text=True, **outputs)
        except subprocess.TimeoutExpired:
            self.faults.append(f'{command[1:6]} does not end')
            return ''
        if done.returncode:
            self.faults.append(f'{command[1:6]} ends with status {done.returncode}')
        return done.stdout

    def load(self, queue: int, mode: str, first: int, stop: int, step: int = 1) -> list[str]:
        """Build the command of a submitter."""
        arguments = [self.queues[queue], self.folder / 'marks', mode, first, stop, step]
        return [sys.executable, str(LOAD), *map(str, arguments)]

    def desipipe(self, verb: str, queue: int, *arguments: str) -> list[str]:
        """Build a command line of desipipe."""
        return [sys.executable, '-m', 'desipipe', verb, '-q', str(self.queues[queue]), *arguments]

    def keep_going(self, choices: Choices) -> None:
        """Start what is missing: managers, workers, and submitters while few tasks are left."""
        for kind, process in self.started:
            if process.poll() and process.pid not in self.signalled:
                status = process.returncode
                self.faults.append(f'{kind} ends with status {status}: {process.args!r}')
        self.started = [item for item in self.started if item[1].returncode is None]
        count = collections.Counter(kind for kind, _ in self.started)
        for queue in (0, 1):
            if not count[f'manager{queue}']:
                self.start(f'manager{queue}', self.desipipe('spawn', queue, '--linger', '60'))
            if not count[f'worker{queue}']:
                arguments = ['--slots', '2', '--linger', '60']
                self.start(f'worker{queue}', self.desipipe('work', queue, *arguments))
        if self.checkers[0].unfinished() < UNFINISHED_MAX:
            for i in range(SUBMITTERS):
                if not count[f'submitter{i}']:
                    # What a killed one may have left is added again.
                    first = max(self.next_batch[i] - 2, 0)
                    stop = self.next_batch[i] = first + 4
                    numbers = SUBMITTERS * first + i, SUBMITTERS * stop + i, SUBMITTERS
                    self.start(f'submitter{i}', self.load(0, 'add', *numbers))
        if choices.clear and not count['clearer']:
            self.start('clearer', self.load(1, choices.clear, 0, CLEARED_BATCHES))
        if choices.command and not count['command']:
            verb, *arguments = ['resume'] if self.checkers[0].paused else choices.command
            self.start('command', self.desipipe(verb, 0, *arguments))

    # Signals

    def strike(self, choices: Choices) -> None:
        """Send the signal of a step to one process of the run."""
        _, _, _, kind, number, duration, position = choices
        processes = find_processes(self.mark)
        pids = sorted(process.pid for process in processes if process.kind == kind)
        if not pids:
            return
        pid = pids[int(position * len(pids))]
        if send(pid, number):
            self.sent[f'{number.name} {kind}'] += 1
            self.signalled.add(pid)
            if number != signal.SIGSTOP:
                return
            self.resume_at[pid] = time.monotonic() + duration
            if duration > LEASE_S:
                # The others must live long enough to take it for dead.
                self.sent['of these longer than the lease'] += 1
                self.quiet_until = time.monotonic() + duration

    def resume_stopped(self, all_of_them: bool = False) -> None:
        """Continue the processes whose stop is over."""
        for pid, moment in list(self.resume_at.items()):
            if all_of_them or moment <= time.monotonic():
                send(pid, signal.SIGCONT)
                del self.resume_at[pid]

    def sample(self) -> None:
        """Compare descriptors, memory and number of files with their bounds."""
        if time.monotonic() - self.sampled < SAMPLE_S:
            return
        self.sampled = time.monotonic()
        for process in find_processes(self.mark):
            most = self.most.get(process.kind, (0, 0))
            now = process.descriptors, process.memory
            self.most[process.kind] = max(most[0], now[0]), max(most[1], now[1])
        for queue, checker in zip(self.queues, self.checkers, strict=True):
            files = sum(len(names) for _, _, names in os.walk(queue))
            writers = self.n_started + len(checker.workers_seen) + sum(self.sent.values())
            if files > 50 + 4 * writers:
                self.faults.append(f'{queue.name} has {files} files after {writers} writers')

    # The run

    def run(self, seconds: float) -> list[str]:
        """Run for some seconds, let all end, and return what is wrong."""
        try:
            self.make_chaos(seconds)
            self.resume_stopped(all_of_them=True)
            self.end_processes()
            self.end_queues()
        finally:
            for process in find_processes(self.mark):
                send(process.pid, signal.SIGKILL)
            for checker in self.checkers:
                checker.close()
            self.log.close()
        self.report()
        return self.faults + [fault for checker in self.checkers for fault in checker.faults]

    def make_chaos(self, seconds: float) -> None:
        """Keep load and processes going, and send signals."""
        end = time.monotonic() + seconds
        for step in itertools.count():
            if time.monotonic() >= end:
                return
            choices = choose(self.seed, step)
            self.keep_going(choices)
            time.sleep(choices.pause)
            if time.monotonic() > self.quiet_until:
                self.strike(choices)
            self.resume_stopped()
            self.sample()
            for checker in self.checkers:
                checker.follow()

    def end_processes(self) -> None:
        """Ask managers and workers to end, those of dead managers too, and wait for all."""
        asked: set[int] = set()
        limit = time.monotonic() + LEFT_TIMEOUT_S
        while (left := find_processes(self.mark)) and time.monotonic() < limit:
            for process in left:
                if process.kind in ('manager', 'worker') and process.pid not in asked:
                    asked.add(process.pid)
                    send(process.pid, signal.SIGTERM)
            time.sleep(0.1)
        self.check_none_left('after they were asked to end')

    def check_none_left(self, when: str) -> None:
        """Check that no process of the run is left, and kill those that are."""
        limit = time.monotonic() + LEFT_TIMEOUT_S
        while (left := find_processes(self.mark)) and time.monotonic() < limit:
            time.sleep(0.1)
        for process in left:
            self.faults.append(f'{process.kind} {process.pid} is left {when}')
            send(process.pid, signal.SIGKILL)

    def end_queues(self) -> None:
        """Add everything once more, let it run undisturbed, and check every result twice."""
        batches = [SUBMITTERS * max(self.next_batch), CLEARED_BATCHES]
        for i, checker in enumerate(self.checkers):
            self.finish(self.load(i, 'add', 0, batches[i]))
            self.finish(self.desipipe('resume', i))
            self.finish(self.desipipe('retry', i))
            self.finish(self.desipipe('spawn', i))
            self.check_none_left('after the last manager')
            checker.follow()
            expected = self.read_values(i, batches[i])
            checker.check_end(expected)
            self.finish(self.desipipe('compact', i))
            checker.follow()
            checker.check_end(expected)
            self.compare_states(i)

    def read_values(self, i: int, batches: int) -> dict[str, Any]:
        """Read all results as a user does; return the value that each task must have."""
        expected: dict[str, Any] = {}
        for line in self.finish(self.load(i, 'results', 0, batches)).splitlines():
            task = json.loads(line)
            expected[task['id']] = wanted = task['expected']
            if isinstance(wanted, list):
                _, factor, size = wanted
                wanted = factor * size * (size - 1) // 2
            if task['value'] != ('ValueError' if wanted is None else wanted):
                self.faults.append(f'{self.queues[i].name}: {task} was read')
        if not expected:
            self.faults.append(f'{self.queues[i].name}: no result was read')
        return expected

    def compare_states(self, i: int) -> None:
        """Check that desipipe and the checker have the same tasks in the same states."""
        arguments = ['--json', '--property', 'id', 'state']
        tasks = json.loads(self.finish(self.desipipe('tasks', i, *arguments)) or '[]')
        theirs = {task['id']: task['state'] for task in tasks}
        checker = self.checkers[i]
        rows = checker.rows
        ours = {tid: STATE_NAMES[rows[number].state] for tid, number in checker.by_id.items()}
        if theirs != ours:
            differing = sorted(set(theirs.items()) ^ set(ours.items()))[:10]
            self.faults.append(f'{self.queues[i].name}: states differ: {differing}')

    def report(self) -> None:
        """Print what was done, and check the bounds of processes."""
        print('signals:', dict(sorted(self.sent.items())))
        for checker in self.checkers:
            print(f'{checker.folder.name}: {checker.describe()}')
        print('most descriptors and kB:', self.most)
        for kind, (descriptors, memory) in self.most.items():
            if descriptors > self.bounds.descriptors or memory > self.bounds.memory:
                self.faults.append(f'a {kind} had {descriptors} descriptors, {memory} kB')
