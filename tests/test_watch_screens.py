"""`desipipe watch --ui`: driven by keys, on a screen in memory and on a real terminal."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from polling import TIMEOUT_S
from squares import compute_squares

from desipipe import Queue

pytest.importorskip('textual', reason='textual is not installed; try: make test')

from textual.widgets import DataTable

from desipipe.commands.task_screens import TaskScreen, TasksScreen
from desipipe.commands.watch_screens import QueuesScreen, WatchApp
from desipipe.queue import uses
from desipipe.queue.location import find_folders
from desipipe.queue.place import Place
from desipipe.queue.transactions.tasks import code_event
from desipipe.queue.versions import Version

COMMAND = [sys.executable, '-m', 'desipipe', 'watch', '--ui', '-q', 'squares']


@pytest.fixture
def queue(queue_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """A queue with three squares of a script, of which the last can't be computed yet."""
    monkeypatch.setattr(uses, 'current_place', lambda: Place('script.py'))
    return compute_squares(tmp_path / 'gate', 3, failing=2, text='[bold]computing[/bold]')


class Driver:
    """A screen in memory: keys in, text out."""

    def __init__(self, app: WatchApp, pilot: Any) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def text(self) -> str:
        """What the screen shows."""
        strips = self.app.screen._compositor.render_strips()
        return '\n'.join(''.join(segment.text for segment in strip) for strip in strips)

    async def until(self, *texts: str, screen: type | None = None) -> None:
        """Wait until all of these are shown."""
        await self.wait_for(
            lambda: (
                (screen is None or isinstance(self.app.screen, screen))
                and all(text in self.text for text in texts)
            ),
            f'No {texts}',
        )

    async def until_gone(self, text: str) -> None:
        """Wait until a text is not shown any more."""
        await self.wait_for(lambda: text not in self.text, f'Still {text!r}')

    async def wait_for(self, condition: Callable[[], bool], problem: str) -> None:
        """Wait until the screen is as it should be."""
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < deadline, f'{problem} on:\n{self.text}'
            await self.pilot.pause(0.02)

    async def choose(self, row: int) -> None:
        """Move the cursor of the list down to a row, as one who looks where it is."""
        deadline = time.monotonic() + TIMEOUT_S
        while (at := self.app.screen.query_one(DataTable).cursor_row) != row:
            assert time.monotonic() < deadline, f'The cursor is at {at}:\n{self.text}'
            await self.press('down' if at < row else 'up')
            await self.pilot.pause(0.02)

    async def list_states(self, head: str) -> None:
        """List the tasks of one state after the other, until these are of the one to look for."""
        while head not in self.text:
            (before,) = (line for line in self.text.splitlines() if 'Tasks: ' in line)
            await self.press('s')
            await self.until_gone(before)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)


def drive(
    queue: Queue, story: Callable[[Driver], Awaitable[None]], size: tuple[int, int] = (80, 24)
) -> None:
    """Tell a story on a screen."""

    async def run() -> None:
        app = WatchApp(lambda: find_folders(['*'], queue.config), queue.config, queue.folder)
        async with app.run_test(size=size, notifications=True) as pilot:
            await story(Driver(app, pilot))

    asyncio.run(run())


def test_queue_tasks_and_logs_are_shown(queue: Queue) -> None:
    async def story(screen: Driver) -> None:
        await screen.until('2 succeeded', 'square[2]', 'ValueError: no gate', 'Tasks: all states')
        await screen.until('q Quit')  # all keys fit into 80 columns
        await screen.choose(2)
        await screen.press('enter')
        await screen.until('FAILED', 'ValueError: no gate', screen=TaskScreen)
        await screen.until('[bold]computing[/bold] 2')  # nothing is markup
        await screen.press('escape', 'escape')
        await screen.until('squares', 'failed', screen=QueuesScreen)
        await screen.press('enter')
        await screen.until('square[2]', screen=TasksScreen)

    drive(queue, story)


def test_tasks_are_filtered_by_state(queue: Queue) -> None:
    async def story(screen: Driver) -> None:
        await screen.until('Tasks: all states (3)', 'square[0]')
        await screen.list_states('Tasks: failed (1)')
        await screen.until('square[2]')
        assert 'square[0]' not in screen.text

    drive(queue, story)


def test_superseded_tasks_are_listed_on_request_and_not_run_again(queue: Queue) -> None:
    ((script, old),) = queue.ledger.state.code_versions.places.items()
    queue.ledger.journal.write(lambda: [code_event(script, Version('new'), list(old))])

    async def story(screen: Driver) -> None:
        await screen.until('Tasks: all states (0)', '↷ 3 superseded')
        await screen.list_states('Tasks: superseded (3)')
        await screen.until('↷', 'square[2]')
        await screen.choose(2)
        await screen.press('r')
        await screen.until('square[2] is superseded')

    drive(queue, story)


def test_watch_retries_failed_tasks(queue: Queue) -> None:
    async def story(screen: Driver) -> None:
        await screen.until('square[2]')
        await screen.choose(2)
        await screen.press('r')
        # Not asked: nothing is lost. The manager that it starts computes it.
        await screen.until('3 succeeded')

    drive(queue, story, (100, 30))
    assert queue.counts['SUCCEEDED'] == 3


def test_watch_confirms_retry_of_succeeded_tasks(queue: Queue) -> None:
    async def story(screen: Driver) -> None:
        await screen.until('square[0]')
        await screen.press('p')
        await screen.until('Paused: no further task starts.')
        await screen.press('r')
        await screen.until('Run square[0] again?')
        await screen.press('n')
        await screen.until('square[2]', screen=TasksScreen)
        assert queue.counts['SUCCEEDED'] == 2
        await screen.press('r')
        await screen.until('Run square[0] again?')
        await screen.press('y')
        await screen.until('1 pending', '○  square[0]')  # the list is read after the summary
        assert queue.counts['PENDING'] == 1
        await screen.press('c')
        await screen.until('Cancel square[0]?')
        assert queue.counts['PENDING'] == 1
        await screen.press('y')
        await screen.until('2 succeeded')  # the old result is there

    drive(queue, story)
    assert queue.counts['PENDING'] == 0


def test_queue_that_is_deleted_is_said(queue: Queue) -> None:
    async def story(screen: Driver) -> None:
        await screen.until('square[0]')
        queue.delete()
        await screen.until('deleted')
        await screen.press('escape')
        await screen.until('Queues', screen=QueuesScreen)

    drive(queue, story)


def test_watch_runs_on_terminal(queue: Queue) -> None:
    pexpect = pytest.importorskip('pexpect')
    child = pexpect.spawn(
        COMMAND[0],
        COMMAND[1:],
        dimensions=(24, 80),
        env=os.environ | {'TERM': 'xterm-256color'},
        timeout=TIMEOUT_S,
        encoding='utf-8',
    )
    child.expect_exact('square[2]')
    child.expect_exact('Quit')
    child.send('\r')
    child.expect_exact('attempt 1')
    child.send('q')
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_watch_screens_refuse_to_start_without_a_terminal(queue: Queue) -> None:
    done = subprocess.run(COMMAND, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert done.stderr == (
        'desipipe: A full screen needs a terminal. Nothing was changed. Leave --ui out.\n'
    )


def test_watch_screens_name_the_command_without_textual(queue: Queue) -> None:
    code = (
        'import sys\nsys.modules["textual"] = None\nfrom desipipe.cli import main\n'
        'sys.exit(main(["watch", "--ui", "-q", "squares"]))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 2
    assert 'Type: pip install "desipipe[ui]"\n' in done.stderr


def test_watch_without_a_screen_needs_no_textual(queue: Queue) -> None:
    code = (
        'import sys\nfrom desipipe.cli import main\nmain(["watch", "-q", "squares"])\n'
        'print("textual" in sys.modules)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.endswith('False\n')
