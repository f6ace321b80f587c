"""Read the results of many tasks of a queue in runs, as they lie in its files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import DesipipeError
from ..serialize import loads
from .events import SUCCEEDED
from .future import Future
from .ledger import Ledger
from .task_columns import NOWHERE

_RUN = 512  # tasks whose bytes are held at once
_Stored = bytes | memoryview


def load_results(futures: Sequence[Future]) -> Iterator[dict[Future, Any]]:
    """Yield results of ended tasks of one queue by their futures, many at a time.

    Parameters
    ----------
    futures : sequence of Future
        Each once.

    Raises
    ------
    Exception
        As :meth:`Future.result`; that of a task that did not succeed before anything is read.
    """
    state = futures[0]._ledger.state
    row_of, status = state.rows, state.status
    for future in futures:
        if (row := row_of.get(future.tid, -1)) < 0 or status[row] != SUCCEEDED:
            future.result(timeout=0)
    for start in range(0, len(futures), _RUN):
        run = futures[start : start + _RUN]
        yield dict(zip(run, _load_run(run), strict=True))


def _load_run(futures: Sequence[Future]) -> list[Any]:
    results: list[Any] = []
    stored = _read_run(futures)
    for position, future in enumerate(futures):
        data = stored.get(position)
        if data is None:
            results.append(future.result(timeout=0))
            continue
        try:
            result = loads(data)
        except Exception:
            results.append(future.result(timeout=0))  # says what of it can't be loaded
        else:
            results.append(result[future.item] if future.item else result)
    return results


def _read_run(futures: Sequence[Future]) -> dict[int, _Stored]:
    """Return stored results by position, without those to be looked at alone."""
    ledger = futures[0]._ledger
    if ledger.is_group_queue or ledger.kept:
        return {}
    state = ledger.state
    row_of, segment = state.rows, state.result_segment
    offset, length, names = state.result_offset, state.result_length, state.segments
    rows = [row_of.get(future.tid, -1) for future in futures]
    positions: defaultdict[int, list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        if row >= 0:
            positions[segment[row]].append(position)
    positions.pop(NOWHERE, None)
    stored: dict[int, _Stored] = {}
    for number, own in positions.items():
        spans = [(offset[rows[position]], length[rows[position]]) for position in own]
        stored.update(zip(own, _read_spans(ledger, names[number], spans), strict=False))
    # Another thread may have read a compacted journal, in which rows and files are others.
    return stored if state.rows is row_of and state.segments is names else {}


def _read_spans(ledger: Ledger, name: str, spans: list[tuple[int, int]]) -> list[_Stored]:
    """Return the bytes at spans of a segment; none if each must be looked at alone."""
    read = ledger.segments.read
    try:
        with ledger.exclusive:
            ledger.check_trust(name)
            owners = ledger.segments.owners(name)
            stored = [read(name, offset, length) for offset, length in spans]
            # Another object: the file was opened again meanwhile, and may be another's.
            return stored if ledger.segments.owners(name) is owners else []
    except (DesipipeError, OSError):
        return []
