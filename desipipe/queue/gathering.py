"""Collect the results of many futures, with a bar while they are awaited."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from .arrivals import completed_batches
from .future import Future
from .result_runs import load_results

_REFRESH_INTERVAL_S = 0.1
_BAR_WIDTH = 40  # characters


def gather(
    futures: Iterable[Future], timeout: float | None = None, progress: bool | None = None
) -> list[Any]:
    """Wait for futures, and return their results.

    Parameters
    ----------
    futures : iterable of Future
        They may be of several queues, and may occur more than once.
    timeout : float, default=None
        Seconds to wait for all of them; None: as long as it takes.
    progress : bool, default=None
        Show on stderr how many have come; None: in terminals and notebooks.

    Returns
    -------
    results : list
        In the order of ``futures``.

    Raises
    ------
    Exception
        What the first task that failed has raised, as soon as it has; the others go on.
    TimeoutError
        If not all came in time; the tasks go on.

    Examples
    --------
    >>> spectra = gather(spectrum.map(i=range(40)))
    """
    futures = list(futures)
    distinct = dict.fromkeys(futures)
    results: dict[Future, Any] = {}
    with _bar(len(distinct), progress) as advance:
        for batch in completed_batches(distinct, timeout):
            for run in load_results(batch):  # raises what a task has raised
                results.update(run)
                advance(len(run))
    if len(distinct) == len(futures):
        return list(map(results.pop, futures))
    # One that occurs more than once gives a new object each time.
    again = object()
    taken = ((future, results.pop(future, again)) for future in futures)
    return [future.result(timeout=0) if value is again else value for future, value in taken]


@contextmanager
def _bar(total: int, wanted: bool | None) -> Iterator[Callable[[int], None]]:
    """Yield what to call with the number of futures that have come."""
    if wanted is None:
        wanted = sys.stderr.isatty() or _in_notebook()
    if not wanted:
        yield lambda number: None
        return
    if _in_notebook():
        notebook_bar = _NotebookBar(total)
        try:
            yield notebook_bar.advance
        finally:
            notebook_bar.refresh()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=console.is_terminal) as bar:
        task = bar.add_task('', total=total)
        yield lambda number: bar.advance(task, number)


class _NotebookBar:
    """A bar that a notebook's output shows, and its file as far as it came: no widget."""

    def __init__(self, total: int) -> None:
        from IPython.display import display

        self._total = total
        self._come = 0
        self._handle = display(self, display_id=True)
        self._refreshed = time.monotonic()

    def advance(self, number: int) -> None:
        """Count futures that have come."""
        self._come += number
        if time.monotonic() - self._refreshed > _REFRESH_INTERVAL_S:
            self.refresh()

    def refresh(self) -> None:
        """Show how many have come."""
        self._handle.update(self)
        self._refreshed = time.monotonic()

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, str]:
        come, total = self._come, self._total
        full = _BAR_WIDTH * come // max(total, 1)
        return {
            'text/plain': f'{"━" * full}{"─" * (_BAR_WIDTH - full)} {come:,d}/{total:,d}',
            'text/html': f'<progress aria-label="Results" style="width:{_BAR_WIDTH:d}ch;'
            f'vertical-align:middle" max="{max(total, 1):d}" value="{come:d}"></progress> '
            f'{come:,d}/{total:,d}',
        }


def _in_notebook() -> bool:
    """Return True in a Jupyter kernel."""
    ipython = sys.modules.get('IPython')
    return ipython is not None and hasattr(ipython.get_ipython(), 'kernel')
