"""The Jupyter Server extension with a large queue: pages, memory, and what it costs to follow
queues in which nothing happens.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from ..harness import Figure, Outcome, at_most, column
from ..peers import noop
from . import manager, working

TOKEN = 'benchmark'
FILTERS = {
    'page': {},
    'deep': {'offset': 50_000, 'limit': 200},
    'state': {'state': 'SUCCEEDED', 'offset': 20_000},
    'text': {'text': '1234'},
}


@contextmanager
def serving(folder: Path, desipipe: bool = True) -> Iterator[tuple[int, str]]:
    """Run a Jupyter Server that shows ``folder``, with or without desipipe; its process id and
    its address.
    """
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    home = folder / 'home'
    home.mkdir(exist_ok=True)
    env = {
        **os.environ,
        'JUPYTER_TOKEN': TOKEN,
        'HOME': str(home),
        **{f'JUPYTER_{name}_DIR': str(home / name) for name in ('CONFIG', 'DATA', 'RUNTIME')},
    }
    options = [
        f'--port={port}',
        '--port-retries=0',
        '--no-browser',
        '--allow-root',
        f'--ServerApp.root_dir={folder}',
    ]
    options += [
        f'--ServerApp.jpserver_extensions={{"desipipe.server": {desipipe}, "jupyterlab": False}}',
        '--log-level=ERROR',
    ]
    process = subprocess.Popen(
        [sys.executable, '-m', 'jupyter_server', *options], env=env, stdout=subprocess.DEVNULL
    )
    address = f'http://127.0.0.1:{port}/desipipe/api/'
    try:
        while True:
            try:
                ask(
                    *(address, 'openapi.json')
                    if desipipe
                    else (f'http://127.0.0.1:{port}/api/', 'status')
                )
                break
            except (urllib.error.URLError, ConnectionError):
                if process.poll() is not None:
                    raise AssertionError(
                        f'the server ended with status {process.returncode:d}'
                    ) from None
                time.sleep(0.05)
        yield process.pid, address
    finally:
        process.terminate()
        process.wait()


def ask(address: str, path: str, **params: object) -> tuple[float, dict[str, object]]:
    """Ask the server: seconds, and the answer."""
    request = urllib.request.Request(
        f'{address}{path}?{urlencode(params)}', headers={'Authorization': f'token {TOKEN}'}
    )
    start = time.perf_counter()
    with urllib.request.urlopen(request) as response:
        data = response.read()
    return time.perf_counter() - start, json.loads(data)


def memory(pid: int) -> int:
    """Bytes of a process that are in memory."""
    with open(f'/proc/{pid:d}/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def processor(pid: int) -> float:
    """Seconds of processor time that a process took."""
    with open(f'/proc/{pid:d}/stat') as file:
        words = file.read().rpartition(')')[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf('SC_CLK_TCK')


def measure(folder: Path, tasks: int, idle: int) -> dict[str, float]:
    """Return seconds of the first answers and of pages, bytes of the server before and after,
    its share of a processor while 5 idle queues are followed.
    """
    tm = manager(folder, 'large')
    with working(folder, 'large', slots=2):
        for future in tm.python_app(noop).map(i=range(tasks)):
            future.result()
    for i in range(4):
        manager(folder, f'small{i}')
    values: dict[str, float] = {}
    queue = str(folder / 'large')
    with serving(folder, desipipe=False) as (pid, _):
        values['alone'] = memory(pid)
    with serving(folder) as (pid, address):
        values['bare'] = memory(pid)
        values['opening'] = ask(address, 'queue', queue=queue)[0]
        for name, params in FILTERS.items():
            values[name] = statistics.median(
                ask(address, 'tasks', queue=queue, **params)[0] for _ in range(9)
            )
        for path in ('graph', 'timeline'):
            values[path] = ask(address, path, queue=queue)[0]
        query = urlencode(
            [('queue', queue), *(('queue', str(folder / f'small{i}')) for i in range(4))]
        )
        stream = urllib.request.urlopen(
            urllib.request.Request(
                f'{address}events?{query}', headers={'Authorization': f'token {TOKEN}'}
            )
        )
        told = 0
        while told < 5:
            told += stream.readline().startswith(b'data:')
        before, start = processor(pid), time.perf_counter()
        time.sleep(idle)
        values['idle'] = (processor(pid) - before) / (time.perf_counter() - start)
        values['memory'] = memory(pid)
        stream.close()
    return values


def figures(rounds: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of the server."""
    pages = {
        'page': 'a page of tasks',
        'deep': 'one from the middle',
        'state': 'one of a state',
        'text': 'one filtered by text',
    }
    return [
        *(
            Figure(
                f'server.{key}',
                f'server, 100,000 tasks: {text}',
                column(rounds, key, 1e3),
                'ms',
                at_most(50),
            )
            for key, text in pages.items()
        ),
        Figure(
            'server.memory',
            'memory of the server that follows it',
            column(rounds, 'memory', 1e-6),
            'MB',
            at_most(150),
        ),
        Figure(
            'server.idle',
            'processor of the server that follows 5 idle queues',
            column(rounds, 'idle', 100),
            '%',
            at_most(1),
        ),
        Figure(
            'server.opening', 'the first answer about a queue', column(rounds, 'opening', 1e3), 'ms'
        ),
        Figure('server.graph', 'its graph', column(rounds, 'graph', 1e3), 'ms'),
        Figure(
            'server.timeline', 'its timeline, the first time', column(rounds, 'timeline', 1e3), 'ms'
        ),
        Figure(
            'server.alone',
            'memory of a server without desipipe',
            column(rounds, 'alone', 1e-6),
            'MB',
        ),
        Figure(
            'server.bare',
            'memory of a server that shows no queue',
            column(rounds, 'bare', 1e-6),
            'MB',
        ),
    ]
