"""The verb that follows a queue: watch."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from ..cells.option_types import seconds
from ..queue.location import type_queue
from .common import QueueDefault, Verbs, add_json, add_queue, open_one, plural
from .face import FACE, hint, on_terminal, styled
from .queue_follower import Follower

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.live import Live

    from ..queue.queue import Queue
    from ..queue.state import State
    from ..queue.waiting import Waiter
    from ..view.schema import QueueSummary
    from ..view.text import Line

# s without anybody at work before `watch` gives up; a manager that was just started needs some of
# them
_NOBODY = 5.0


def register(verbs: Verbs) -> None:
    """Declare the verb."""
    _declare_watch(verbs)


def _declare_watch(verbs: Verbs) -> None:
    parser = verbs.add(
        'watch',
        watch,
        'follow the status until no task is left',
        'In a pipe: a line for each change. Exit status 0: all tasks succeeded; 1: some did not; '
        '2: it stopped before the end (paused, or no worker is running).',
        'desipipe watch -q my_queue',
        'desipipe watch -q my_queue > progress.txt && echo done',
    )
    add_queue(parser, default=QueueDefault.LATEST)
    parser.add_argument(
        '--timeout',
        type=seconds,
        metavar='SECONDS',
        help='stop after this time, with exit status 2',
    )
    parser.add_argument('--ui', action='store_true', help='full screen: queues, tasks, logs, retry')
    add_json(parser, 'print a line of JSON for each change')


def watch(args: argparse.Namespace) -> int:
    """``desipipe watch``."""
    queue = open_one(args)
    if args.ui:
        _show_screen(queue)
        return 0
    return follow(queue, args.json, args.timeout)


def _show_screen(queue: Queue) -> None:
    import sys

    from ..errors import DesipipeError, MissingDependencyError
    from ..queue.location import find_folders

    try:
        import textual  # noqa: F401
    except ImportError as exc:
        raise MissingDependencyError(
            'The package textual is not installed here. Nothing was changed. Type: pip install '
            '"desipipe[ui]"'
        ) from exc
    if not (sys.stdin.isatty() and FACE.get().seen()):
        raise DesipipeError('A full screen needs a terminal. Nothing was changed. Leave --ui out.')
    from .watch_screens import WatchApp

    config = queue.config
    WatchApp(lambda: find_folders(['*'], config), config, queue.folder).run()


def follow(
    queue: Queue, as_json: bool = False, timeout: float | None = None, patience: float = _NOBODY
) -> int:
    """Show a queue until nothing is left to do.

    Parameters
    ----------
    queue : Queue
    as_json : bool, default=False
        A JSON document a change instead of what people read.
    timeout : float, default=None
        Seconds after which to stop.
    patience : float, default=5
        Seconds to go on while nobody works.

    Returns
    -------
    status : int
        0: all tasks succeeded; 1: some did not; 2: tasks are left.
    """
    where = type_queue(queue.folder, queue.config)
    if as_json or not on_terminal():
        from ..queue.waiting import Waiter

        waiter = Waiter(queue.ledger, lambda: _first_pending(queue.ledger.state))
        view = _JSONLines(waiter) if as_json else _Lines(waiter)
        return _watched(queue, view, where, timeout, patience)
    with FACE.get().live() as live:
        screen = _Screen(live, where)
        status = _watched(queue, screen, where, timeout, patience)
    print(screen.words)
    return status


def _first_pending(state: State) -> list[int]:
    """Return the next task of each task manager."""
    return [row for mid in state.managers for row in state.next_pending([mid], 1)]


class _Lines:
    """Writes a line for each change."""

    pause = 0.2

    def __init__(self, waiter: Waiter) -> None:
        self._last: tuple[object, ...] | None = None
        self._waiter = waiter  # tells on stderr why nothing goes on

    def show(self, summary: QueueSummary) -> None:
        from ..view.queue import job_groups

        jobs = [
            (group['state'], group['reason'], group['n']) for group in job_groups(summary['jobs'])
        ]  # the time that is left is no change
        version = (
            summary['counts'],
            summary['blocked'],
            summary['superseded'],
            summary['condition'],
            jobs,
        )
        if version != self._last:
            self._last = version
            self.write(summary)
        self._waiter.tell()

    def write(self, summary: QueueSummary) -> None:
        from .tables import change_line

        print(change_line(summary), flush=True)

    def end(self, text: str) -> None:
        print(text, flush=True)


class _JSONLines(_Lines):
    def write(self, summary: QueueSummary) -> None:
        FACE.get().json(summary, line=True)

    def end(self, text: str) -> None:
        hint(text)


class _Screen:
    """Redraws what changed."""

    pause = 0.1

    def __init__(self, live: Live, where: str) -> None:
        self.words = ''
        self._live = live
        self._where = where
        self._width = FACE.get().console().width
        self._last: list[Line] | None = None

    def show(self, summary: QueueSummary) -> None:
        from .tables import queue_lines

        lines = queue_lines(
            summary,
            self._where,
            advise=summary['condition'] != 'stopped',
            width=self._width,
        )  # who watches may have just started a manager
        if lines != self._last:
            self._last = lines
            self._live.update(styled(lines), refresh=True)

    def end(self, text: str) -> None:
        self.words = text  # for below the picture, when it does not move any more


def _watched(
    queue: Queue, view: _Lines | _Screen, where: str, timeout: float | None, patience: float
) -> int:
    ledger = queue.ledger
    follower = Follower(queue, view.pause)
    deadline = None if timeout is None else time.monotonic() + timeout
    stopped_since: float | None = None
    while True:
        summary = follower.look()
        now = time.monotonic()
        view.show(summary)
        stopped_since = (stopped_since or now) if summary['condition'] == 'stopped' else None
        gives_up = stopped_since is not None and now - stopped_since >= patience
        end = _end(summary, where, ledger.state.said.values() if gives_up else None)
        if end is None and deadline is not None and now >= deadline:
            left = plural(summary['left'])
            end = 2, f'not done after {timeout:g} s, {left} left; it goes on without being watched'
        if end is not None:
            status, text = end
            view.end(text)
            return status
        longest = 1.0 if deadline is None else max(0.0, min(1.0, deadline - now))
        follower.wait(longest)


def _end(
    summary: QueueSummary, where: str, last_words: Iterable[str] | None
) -> tuple[int, str] | None:
    """Return exit status and message if there is nothing more to follow.

    ``last_words``: what managers said at last, if no worker comes any longer.
    """
    condition = summary['condition']
    left = f'{plural(summary["left"])} left'
    if condition == 'empty':
        return 0, 'no tasks'
    if condition == 'done':
        tasks = plural(summary['total'])
        return 0, f'{tasks if summary["total"] == 1 else f"all {tasks}"} succeeded'
    if condition == 'failed':
        return 1, (
            f'{_bad(summary)} of {plural(summary["total"])} did not succeed. See them with: '
            f'desipipe tasks {where} --state FAILED KILLED UNKNOWN WAITING'
        )
    if condition == 'paused' and not summary['counts']['RUNNING']:
        return 2, f'paused, {left}. {_go_on(summary, f"desipipe resume {where} --spawn")}'
    if last_words is not None:
        message = '. '.join(text.rstrip('.') for text in last_words)
        last = f'. The last manager said: {message}' if message else ''
        command = _go_on(summary, f'desipipe spawn {where} --spawn')
        return 2, f'no worker is running, {left}{last}. {command}'
    return None


def _go_on(summary: QueueSummary, command: str) -> str:
    if untrusted := summary['untrusted']:
        return f'It belongs to user {untrusted}, whom you do not trust, and only they can go on.'
    return f'Go on with: {command}'


def _bad(summary: QueueSummary) -> str:
    from ..view.appearance import BAD_STATES

    n = sum(summary['counts'][state] for state in BAD_STATES)
    return f'{n:,d}' + (
        f' (and {summary["blocked"]:,d} that need them)' if summary['blocked'] else ''
    )
