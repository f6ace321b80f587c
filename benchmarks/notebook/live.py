"""The live display of a cell in a large queue: what it costs the kernel, and how soon it shows
what happens.
"""

from __future__ import annotations

import os
import queue as queues
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..harness import Figure, Outcome, at_most, below, column

MIME = 'application/vnd.desipipe.v1+json'
IDLE = 10.0  # s over which the cost of nothing is measured
SPACED, BURST = 12, 60  # events

SETUP = """
import time
from desipipe import Queue, TaskManager
from desipipe.notebook.displays import cell as live
queue = Queue('live', base_dir={folder!r})
tm = TaskManager(queue)
@tm.python_app
def step(x):
    return x
futures = step.map(x=range({tasks:d}))
begin = time.perf_counter()
"""
SHOW = """
handle = live.show(queue, [range({cell:d})], 'step')
print(time.perf_counter() - begin)
"""


class Page:
    """A kernel's front end, as far as it is needed: cells, and the one display that is updated."""

    def __init__(self, folder: Path) -> None:
        from jupyter_client.manager import start_new_kernel

        self.manager, self.client = start_new_kernel(
            kernel_name='python3',
            cwd=str(folder),
            env={**os.environ, 'IPYTHONDIR': str(folder / 'ipython')},
        )
        self.summary: dict[str, Any] = {}
        self.when = 0.0

    def run(self, code: str, cell: str = '') -> str:
        """Run a cell, with its identity in the notebook; what it printed."""
        content = {'code': code, 'silent': False, 'store_history': True, 'user_expressions': {}}
        content |= {'allow_stdin': False, 'stop_on_error': True}
        request = self.client.session.msg('execute_request', content)
        request['metadata'] = {'cellId': cell} if cell else {}
        self.client.shell_channel.send(request)
        sent = request['header']['msg_id']
        text = ''
        while True:
            message = self._take(300.0)
            if message['parent_header'].get('msg_id') != sent:
                continue
            if message['msg_type'] == 'stream':
                text += message['content']['text']
            elif message['msg_type'] == 'error':
                raise AssertionError('\n'.join(message['content']['traceback']))
            elif (
                message['msg_type'] == 'status' and message['content']['execution_state'] == 'idle'
            ):
                return text

    def until(self, ready: Callable[[dict[str, Any]], bool]) -> float:
        """Return the time at which the display came to say it."""
        deadline = time.monotonic() + 60
        while not ready(self.summary):
            if time.monotonic() > deadline:
                raise AssertionError('the display does not follow')
            self._take(60.0)
        return self.when

    def _take(self, timeout: float) -> dict[str, Any]:
        try:
            message: dict[str, Any] = self.client.get_iopub_msg(timeout=timeout)
        except queues.Empty:
            raise AssertionError('the kernel says nothing') from None
        data = message['content'].get('data', {})
        if MIME in data:
            self.summary, self.when = data[MIME], time.perf_counter()
        return message

    def processor_time(self) -> float:
        """Seconds of processor time that the kernel has used."""
        fields = (
            Path(f'/proc/{self.manager.provisioner.pid:d}/stat')
            .read_text()
            .rpartition(')')[2]
            .split()
        )
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def end(self) -> None:
        """Shut the kernel down."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def measure(folder: Path, tasks: int, cell: int) -> dict[str, float]:
    """Return the kernel's ``idle`` cost (part of a core) with a display, its ``bare`` one without,
    the time of ``show`` (s), and how late events were shown
    (s): ``median`` and ``latest`` of spaced ones, and the latest in a ``burst``.
    """
    from desipipe import Queue

    page = Page(folder)
    try:
        page.run(SETUP.format(folder=str(folder), tasks=tasks))
        values = {'bare': idle_share(page)}
        values['show'] = float(page.run('begin = time.perf_counter()' + SHOW.format(cell=cell)))
        queue = Queue('live', base_dir=str(folder), create=False)
        ids = [tid.hex() for tid in queue.ledger.state.ids]
        queue.cancel(
            ids.pop(0)
        )  # the display's thread has its own view of the queue, and reads it first
        page.until(lambda summary: summary['counts']['KILLED'] == 1)
        values['idle'] = idle_share(page)
        late = []
        for n in range(SPACED):
            begun = time.perf_counter()
            queue.cancel(ids.pop(0))
            late.append(
                page.until(lambda summary, n=n: summary['counts']['KILLED'] == n + 2) - begun
            )  # type: ignore[misc]
            time.sleep(0.3 + 0.05 * n)  # out of step with the updates
        values['median'], values['latest'] = statistics.median(late), max(late)
        values['burst'] = _burst(page, queue, ids, SPACED + 1)
        return values
    finally:
        page.end()


def idle_share(page: Page) -> float:
    """Return the part of a core that a kernel takes while nothing changes."""
    time.sleep(1.0)  # what was begun ends
    before, begun = page.processor_time(), time.perf_counter()
    time.sleep(IDLE)
    return (page.processor_time() - before) / (time.perf_counter() - begun)


def _burst(page: Page, queue: Any, ids: list[str], known: int) -> float:
    """Measure how late the latest of many events was shown, that come faster than the display is
    updated.
    """
    events: list[float] = []

    def cancel() -> None:
        for _ in range(BURST):
            queue.cancel(ids.pop(0))
            events.append(time.perf_counter())
            time.sleep(0.03)

    thread = threading.Thread(target=cancel)
    thread.start()
    latest, shown = 0.0, 0
    while shown < BURST:
        when = page.until(lambda summary, seen=known + shown: summary['counts']['KILLED'] > seen)  # type: ignore[misc]
        now = page.summary['counts']['KILLED'] - known
        latest = max(latest, when - events[shown]) if shown < len(events) else latest
        shown = now
    thread.join()
    return latest


def figures(rounds: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of the live display."""
    return [
        Figure(
            'notebook.idle',
            'live display of a queue of 100,000 tasks, nothing changes: of a core',
            column(rounds, 'idle', 100),
            '%',
            below(1),
        ),
        Figure(
            'notebook.bare', 'the same kernel before the display', column(rounds, 'bare', 100), '%'
        ),
        Figure(
            'notebook.follow',
            'an event is shown under the cell, latest of 12',
            column(rounds, 'latest', 1e3),
            'ms',
            at_most(500),
        ),
        Figure('notebook.follow.median', 'the same, median', column(rounds, 'median', 1e3), 'ms'),
        Figure(
            'notebook.follow.burst',
            'the same, latest of 60 in 2 s',
            column(rounds, 'burst', 1e3),
            'ms',
            at_most(500),
        ),
        Figure(
            'notebook.show',
            'display of a cell of 10,000 tasks appears',
            column(rounds, 'show', 1e3),
            'ms',
        ),
    ]
