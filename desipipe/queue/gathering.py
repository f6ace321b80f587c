"""Collect the results of many futures, with a bar while they are awaited."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from .arrivals import completed_batches
from .future import Future
from .result_runs import load_results


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
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=console.is_terminal) as bar:
        task = bar.add_task('', total=total)
        yield lambda number: bar.advance(task, number)


def _in_notebook() -> bool:
    """Return True in a Jupyter kernel."""
    ipython = sys.modules.get('IPython')
    return ipython is not None and hasattr(ipython.get_ipython(), 'kernel')
