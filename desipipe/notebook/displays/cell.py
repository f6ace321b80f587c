"""Display the tasks of a cell under it, and wait for them.

While they go, a display tells how far they are (:mod:`.follow` keeps it up to date); what is over
already is published as if the cell had computed it.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from ...cells.changes import Recorded
from ...errors import QueueGoneError
from ...queue.place import current_place
from ...queue.queue import Queue
from ...queue.waiting import Waiter
from ...utils import plural
from ...view.bundle import bundle
from ...view.cell import CellReader
from ...view.cell_lines import lines
from ...view.folded_outputs import folded_text, is_folded
from ...view.output_forms import outputs_text
from ..follower import INTERVAL, Display
from ..liveness import View
from ..publishing import noninteractive

if TYPE_CHECKING:
    from ...view.schema import BadgeView, CellView, OutputView, RanView

logger = logging.getLogger('desipipe')

NATIVE = 2_500_000
"""Bytes of outputs that are published as the cell's own, at most: notebook servers drop what
comes faster.
"""

_STARTS = 5.0  # s that a manager may take until it says that it is there
_TICKING = ('time', 'elapsed', 'eta', 'rate')  # what changes by itself, and front ends count


class Handle(Display):
    """One display of a cell's tasks.

    Parameters
    ----------
    queue : Queue
    rows : iterable of int or range
        The tasks' rows, in the order in which they are shown.
    title : str
    cached : bool
        True if all results were there already.
    recorded : Recorded, default=None
        What the cell ran with.
    """

    def __init__(
        self,
        queue: Queue,
        rows: Iterable[int | range],
        title: str = '',
        cached: bool = False,
        recorded: Recorded | None = None,
    ) -> None:
        self.cell = CellReader(queue, rows)
        """View of the tasks in the notebook's own thread; the follower has its own."""
        super().__init__(queue, (queue.folder, title, self.cell.text))
        self.title = title
        self.cached = cached
        self.recorded = recorded
        self.badge: BadgeView | None = None
        """State of the cell, and why, if its tasks are not of its present inputs."""
        self.summary: CellView | None = None
        """Summary that is displayed; None before any is."""
        self.is_published = False
        """True once all outputs stand under the cell, as its own or folded by the display."""
        self.published = ''
        """Rows with attempts whose outputs stand under the cell as its own."""
        self._followed: tuple[View, CellReader] | None = None
        if queue.spawn:
            self.cell.grace = self.again = time.monotonic() + _STARTS

    def publish(self, summary: CellView, update: bool = True, table: bool = False) -> int:
        """Display a summary or replace the displayed one; return its size in bytes."""
        self.summary = summary
        self.shown = _fingerprint(summary)
        stamped = summary.copy()
        if self.recorded is not None:
            stamped['ran'] = cast('RanView', self.recorded.to_json())
        if self.badge is not None:
            stamped['badge'] = self.badge
        return self.put(bundle(stamped, table), update)

    def mark(self, badge: BadgeView | None) -> None:
        """Display the state of the cell with its tasks, in the place of what is displayed."""
        if not self.live or badge == self.badge:
            return
        self.badge = badge
        if self.follower is not None and self in self.follower.displays():
            self.shown = b''
            self.follow()  # its thread displays it: two would overtake each other
        elif self.summary is not None:
            self.publish(self.summary)

    def update(self, view: View) -> tuple[int, bool]:
        """Show what changed."""
        summary = self._seen(view).summary(self.title, self.cached, published=self.published)
        if summary['left']:
            self.over.clear()  # someone lets them run again
        sent = self.publish(summary) if _fingerprint(summary) != self.shown else 0
        if not summary['left']:
            self.over.set()
        return sent, not summary['left'] and summary[
            'condition'
        ] != 'failed'  # else someone may let them run again

    def _seen(self, view: View) -> CellReader:
        """The cell in the follower's eyes."""
        if self._followed is None or self._followed[0] is not view:
            cell = CellReader(view.queue, self.cell.rows)
            if cell.first != self.cell.first:
                raise QueueGoneError(
                    f'The queue in {self.queue.folder} was cleared: these tasks are gone. Run the '
                    'cell again to compute them anew.'
                )
            cell.judge = view.alive
            cell.grace = self.cell.grace
            self._followed = view, cell
        return self._followed[1]

    def stirred(self, workers: set[str]) -> bool:
        """Return True if one of the tasks runs at one of these workers."""
        if self._followed is None:
            return False
        view, cell = self._followed
        return any(
            worker is not None and worker.name in workers and cell.holds(row)
            for row, worker in view.queue.ledger.state.running.items()
        )

    def gone(self, reason: str) -> None:
        """Display why the tasks are gone, beside their last known state."""
        if self.summary is not None:
            gone = self.summary.copy()
            gone['time'], gone['gone'] = time.time(), reason
            self.publish(gone)

    def __repr__(self) -> str:
        return f'<display of {plural(len(self.cell.rows))} of {self.cell.queue.name}>'


def _fingerprint(summary: CellView) -> bytes:
    import orjson

    return orjson.dumps(
        {key: value for key, value in summary.items() if key not in _TICKING},
        default=repr,
        option=orjson.OPT_NON_STR_KEYS,
    )


# What cells call


def show(
    queue: Queue,
    rows: Iterable[int | range],
    title: str = '',
    cached: bool = False,
    recorded: Recorded | None = None,
) -> Handle:
    """Show tasks under the running cell, kept up to date by a thread until they end.

    What is over already is shown as if the cell had computed it: its outputs, then one quiet line.
    Outputs of many tasks stay in the display, which folds them.
    With ``DESIPIPE_NONINTERACTIVE=1`` in the environment it is waited for, and shown then.

    Parameters
    ----------
    queue : Queue
    rows : iterable of int or range
        The tasks' rows, in the order in which they are shown.
    title : str, default=''
        The cell's name.
    cached : bool, default=False
        True if all results were there already.
    recorded : Recorded, default=None
        What the cell ran with.

    Returns
    -------
    handle : Handle
        For :func:`wait`.

    Raises
    ------
    QueueGoneError, UnknownTaskError
        There are no such tasks.
    """
    handle = Handle(queue, rows, title, cached, recorded)
    _note_run(handle)
    handle.replace()
    if noninteractive():
        _wait_here(handle)
        _publish_outputs(handle, update=False, table=True)
    elif not handle.cell.left():
        _publish_outputs(handle, update=False)
        _follow(handle)
    else:
        handle.publish(handle.cell.summary(title, cached), update=False)
        _follow(handle)
    return handle


def _note_run(handle: Handle) -> None:
    """Write into the journal which tasks the cell has: its output may never be saved."""
    origin = current_place() if handle.cell_id else None
    if origin is not None and os.path.isabs(origin.file):
        recorded, cell = handle.recorded, handle.cell
        ran = None if recorded is None else (recorded.text, recorded.reads)
        cell.ledger.note_cell(origin.file, origin.cell, handle.title, cell.text, ran)


def wait(handle: Handle) -> bool:
    """Wait for a display's tasks with a live bar, then publish their outputs.

    An interrupt ends the wait and nothing else: the tasks go on, and so does the display.

    Parameters
    ----------
    handle : Handle
        Of :func:`show`.

    Returns
    -------
    over : bool
        True if nothing is left to do: else the wait was interrupted, or no worker will come
        (``handle.summary['refused']``).
    """
    try:
        if handle.follower is not None:
            waiter = Waiter(handle.cell.ledger, lambda: handle.cell.rows)
            while not handle.over.wait(INTERVAL):
                waiter.tell()
                if handle.summary is not None and handle.summary['refused']:
                    return False
        elif not handle.over.is_set():
            _wait_here(handle)
    except KeyboardInterrupt:
        summary = handle.summary
        left = len(handle.cell.rows) if summary is None else summary['left']
        print(
            f'desipipe: the wait was interrupted, and only that: {plural(left)} of '
            f'{handle.cell.queue.name} {"goes" if left == 1 else "go"} on'
        )
        return False
    if handle.summary is not None and handle.summary['gone']:
        return False
    if not handle.is_published:
        handle.drop()  # lest the follower takes our last word for an older state
        _publish_outputs(handle, update=handle.live)
        _follow(handle)
    return True


def _wait_here(handle: Handle) -> None:
    """Wait in this thread: in a terminal with a bar, elsewhere silently."""
    ledger = handle.cell.ledger

    def over() -> bool:
        return not handle.cell.left() or bool(handle.cell.refused())

    if sys.stdout.isatty() and not noninteractive():
        from rich.console import Console
        from rich.live import Live

        from ...commands.face import styled

        with Live(console=Console(highlight=False), transient=True, auto_refresh=False) as bar:
            while True:
                bar.update(
                    styled(
                        lines(handle.cell.summary(handle.title, handle.cached, with_outputs=False))
                    ),
                    refresh=True,
                )
                begun = time.monotonic()
                if ledger.wait(over, 1.0):
                    return
                time.sleep(max(0.0, INTERVAL - (time.monotonic() - begun)))
    Waiter(ledger, lambda: handle.cell.rows).wait(over)


def _publish_outputs(handle: Handle, update: bool, table: bool = False) -> None:
    """Publish what tasks printed and drew, as the cell's outputs."""
    cell = handle.cell
    summary = cell.summary(handle.title, handle.cached, limit=NATIVE, most=1000)
    if handle.publisher is not None and is_folded(summary['outputs']):
        # The display folds them, a row a task; outputs of the cell itself can't be folded.
        handle.is_published = True
        handle.over.set()
        handle.publish(cell.summary(handle.title, handle.cached), update, table)
        return
    outputs = summary['outputs']
    summary['outputs'] = []
    if handle.publisher is not None:
        summary['published'] = handle.published = cell.outputs.all_published()
    handle.is_published = True
    handle.over.set()
    if update:  # the display stands above already
        handle.publish(summary)
    if handle.publisher is not None:
        for output in outputs:
            _publish(handle, output)
    elif outputs:
        print(folded_text(outputs, outputs_text, summary['folder']), end='')
    if not update:
        handle.publish(summary, False, table)


def _publish(handle: Handle, output: OutputView) -> None:
    if output['output_type'] == 'display_data':
        handle.publisher.publish(data=output['data'], metadata=output['metadata'])
        return
    if output['output_type'] == 'stream':
        stream = sys.stdout if output['name'] == 'stdout' else sys.stderr
        stream.write(output['text'])
    else:  # an error is no error of this cell, which did what it should
        stream = sys.stderr
        stream.write('\n'.join(output['traceback']) + '\n')
    stream.flush()  # the two streams are not in step with each other


def _follow(handle: Handle) -> None:
    summary = handle.summary
    if handle.live and summary is not None and summary['condition'] not in ('done', 'empty'):
        handle.follow()
