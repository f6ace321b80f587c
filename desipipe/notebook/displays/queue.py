"""Displays of a queue or a future at the end of a cell: text, HTML, JSON."""

from __future__ import annotations

import html
import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...commands.tables import queue_lines
from ...errors import DesipipeError, MissingDependencyError, QueueGoneError
from ...queue.events import SUCCEEDED
from ...queue.future import Future
from ...queue.ledger import Ledger
from ...queue.location import type_queue
from ...queue.place import shell
from ...queue.queue import Queue
from ...store.lease import Observer
from ...view.bundle import MIME, as_html, as_text, bundle, line_html
from ...view.cell import JOBS, cell_summary
from ...view.journal_events import event_time, events_at
from ...view.queue import job_groups, queue_summary
from ...view.rows import format_rows
from ...view.text import advice, bar_pieces, held_advice
from ..commands import typed
from ..follower import Display
from ..liveness import View
from ..publishing import noninteractive

if TYPE_CHECKING:
    from ...view.schema import CellFailure, CellView, Mime, OutputView, QueueSummary

Made = tuple['Mime', bool]
"""A bundle of MIME types, and whether it is the last one."""

_FOLLOWED_MAX = 8  # of one queue that are kept up to date; older ones stay as they were
_TICK = 5.0  # s between two looks at the time that is left, while something runs
_VALUE = 1_000_000  # bytes of a result that is loaded to be shown


def widgets_module() -> Any:
    """``ipywidgets``.

    Raises
    ------
    MissingDependencyError
    """
    try:
        import ipywidgets
    except ImportError as exc:
        raise MissingDependencyError(
            f'Panels and forms need ipywidgets ({exc}). Install it with: pip install '
            '"desipipe[notebook]"'
        ) from None
    return ipywidgets


class Shown(Display):
    """A display whose text says all that it shows.

    Parameters
    ----------
    queue : Queue
    title : str
        What it is of.
    """

    def __init__(self, queue: Queue, title: str) -> None:
        super().__init__(queue)
        self.title = title

    @abstractmethod
    def make(self, queue: Queue, observer: Observer | None = None) -> Made:
        """Build the display.

        Parameters
        ----------
        queue : Queue
            A view of the queue: the notebook's, or the follower's.
        observer : Observer, default=None
            See :func:`~desipipe.view.processes.is_alive`.

        Raises
        ------
        DesipipeError
            There is nothing any more.
        """

    def show(self) -> None:
        """Display it, and keep it up to date where a display can be."""
        self.replace()
        try:
            data, last = self.make(self.queue)
        except DesipipeError as exc:  # deleted, cleared, dropped
            self.gone(str(exc), update=False)
            return
        if noninteractive():
            data.pop(MIME, None)
        self.put(data, update=False)
        if last or noninteractive() or not self.live:
            return
        self.follow()
        assert self.follower is not None
        for old in [other for other in self.follower.displays() if isinstance(other, Shown)][
            :-_FOLLOWED_MAX
        ]:
            old.drop()

    def update(self, view: View) -> tuple[int, bool]:
        """Show what changed."""
        data, last = self.make(view.queue, view.observer)
        if view.queue.ledger.state.running:
            self.again = time.monotonic() + _TICK
        return self.put(data) if data['text/plain'] != self.shown else 0, last

    def put(self, data: Mime, update: bool = True) -> int:
        """Display it."""
        self.shown = data['text/plain']
        return super().put(data, update)

    def gone(self, reason: str, update: bool = True) -> None:
        """Display that it is gone."""
        text = f'– {self.title}: {reason}'
        # Nothing live any more: the front end has nobody to ask.
        self.put({'text/plain': text, 'text/html': f'<div>{html.escape(text)}</div>'}, update)


class QueueDisplay(Shown):
    """The display of a queue."""

    def __init__(self, queue: Queue) -> None:
        super().__init__(queue, queue.name)
        self._where = type_queue(queue.folder, queue.config)
        self._rows: tuple[object, str, str] = (None, '', '')

    def make(self, queue: Queue, observer: Observer | None = None) -> Made:
        """Build what the command line prints of a queue; never the last."""
        summary = queue_summary(queue, observer)
        lines = [
            [(typed(text), style) for text, style in line]
            for line in queue_lines(summary, self._where)
        ]
        bar = bar_pieces(summary) if summary['total'] else []
        page = ''.join(f'<div>{line_html(line, bar)}</div>' for line in lines)
        return {
            'text/plain': '\n'.join(''.join(text for text, _ in line) for line in lines),
            'text/html': f'<div class="desipipe-queue">{page}</div>',
            MIME: self._json(queue, summary),
        }, False

    def _json(self, queue: Queue, summary: QueueSummary) -> CellView:
        """Build the JSON of a cell that has all tasks of the queue.

        It is shown, and its buttons act, in the same way; ``kind`` tells them apart.
        """
        rows, first, refused = *self._rows_of(queue, summary), _refusal(summary)
        return {
            'version': 1,
            'kind': 'queue',
            'queue': summary['name'],
            'folder': summary['folder'],
            'title': summary['name'],
            'rows': rows,
            'first': first,
            'time': summary['time'] if summary['left'] else _last_end(queue),
            'condition': summary['condition'],
            'total': summary['total'],
            'counts': summary['counts'],
            'claimed': summary['claimed'],
            'blocked': summary['blocked'],
            'superseded': summary['superseded'],
            'left': summary['left'],
            'workers': len(summary['workers']),
            'slots': sum(worker['slots'] for worker in summary['workers']),
            'rate': summary['rate'],
            'eta': summary['eta'],
            'elapsed': None,
            'began': None,
            'ended': None,
            'cached': False,
            'computed': None,
            'failure': _first_failure(summary),
            'causes': summary['causes'],
            'jobs': summary['jobs'][:JOBS],
            'n_jobs': len(summary['jobs']),
            'job_groups': job_groups(summary['jobs']),
            'advice': self._advice(summary, refused),
            'outputs': [],
            'truncated': '',
            'published': '',
            'gone': '',
            'refused': refused,
            'untrusted': summary['untrusted'],
        }

    def _advice(self, summary: QueueSummary, refused: str) -> list[list[str]]:
        failures, causes, held = summary['failures'], summary['causes'], summary['held']
        steps = held_advice(held)
        steps += advice(summary, self._where, failures, causes, bool(summary['damage']), held)
        if refused:
            steps.append((refused.rstrip('.'), f'desipipe doctor {self._where}'))
        return [list(step) for step in steps]

    def _rows_of(self, queue: Queue, summary: QueueSummary) -> tuple[str, str]:
        """Return the rows of all tasks, as text, and the identity of the first."""
        state = queue.ledger.state
        key = (queue.ledger.journal.header['id'], len(state.status), summary['total'])
        if self._rows[0] != key:
            rows = list(state.each())
            self._rows = key, format_rows(rows), state.ids[rows[0]].hex() if rows else ''
        return self._rows[1:]


def _first_failure(summary: QueueSummary) -> CellFailure | None:
    failures = summary['failures']
    kinds = summary['failure_kinds']
    return {**failures[0], 'line': None, 'kinds': kinds} if failures else None


def _refusal(summary: QueueSummary) -> str:
    """Return the manager's reason why no worker comes to pending tasks; or ''."""
    manager = summary['manager']
    if manager is None or not summary['counts']['PENDING'] or summary['workers']:
        return ''
    return manager['says']


def _last_end(queue: Queue) -> float:
    """Return the time of the last end of a task in the journal; 0.0 if there is none.

    It makes the display of a queue at rest stay the same.
    """
    offset = max(queue.ledger.state.ended_at, default=0)
    event = (
        next((event for _, event in events_at(queue.ledger, [offset])), None) if offset else None
    )
    return event_time(event)


class TasksDisplay(Shown):
    """The display of tasks: of one future with its value, of what a form has added.

    Parameters
    ----------
    queue : Queue
    futures : sequence of Future
    title : str
    """

    def __init__(self, queue: Queue, futures: Sequence[Future], title: str) -> None:
        super().__init__(queue, title)
        self._futures = futures
        self._shell = shell()

    def make(self, queue: Queue, observer: Observer | None = None) -> Made:
        """Build the progress of the tasks; the last one once all have succeeded."""
        ledger = queue.ledger
        ledger.follow()
        rows = [ledger.row(future.tid) for future in self._futures]
        summary = cell_summary(queue, rows, title=self.title, observer=observer, outputs=False)
        if summary['left']:
            return bundle(summary), False
        if len(rows) == 1 and ledger.state.status[rows[0]] == SUCCEEDED:
            summary['outputs'] = [_value(self._futures[0], ledger, self._shell)]
        # Not for the live renderer: what it would ask the server for has no value in it. This is
        # the last one, until somebody retries.
        return {'text/plain': typed(as_text(summary)), 'text/html': typed(as_html(summary))}, all(
            ledger.state.status[row] == SUCCEEDED for row in rows
        )


def _value(future: Future, ledger: Ledger, here: Any) -> OutputView:
    """A result as an output: as it looks as the last line of a cell."""
    ref = ledger.state.result(ledger.row(future.tid))
    if ref is not None and ref.length > _VALUE:
        return {
            'output_type': 'stream',
            'name': 'stdout',
            'text': f'its result has {ref.length:,d} bytes: load it with .result()\n',
        }
    try:
        data, metadata = here.display_formatter.format(future.result(timeout=0))
    except (
        Exception
    ) as exc:  # whatever loading it, or its own repr, raises: the words are what there is to show
        return {
            'output_type': 'stream',
            'name': 'stderr',
            'text': f'its result cannot be shown here: {type(exc).__name__}: {exc}\n',
        }
    return {'output_type': 'display_data', 'data': data, 'metadata': metadata}


def show_future(future: Future) -> None:
    """Display a future: its state, then its result, or what went wrong.

    Parameters
    ----------
    future : Future
    """
    ledger = future._ledger
    try:
        ledger.follow()
    except QueueGoneError as exc:
        print(f'{future!r}. {exc}')
        return
    if future.tid not in ledger.state.rows:  # within `with queue.batch()`
        print(repr(future))
        return
    task = future.task
    TasksDisplay(
        Queue(ledger.folder, create=False), [future], f'{task.name}[{task.index:d}]'
    ).show()
