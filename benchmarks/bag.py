"""The comparison: a bag of no-op tasks and the latency of one, the same for every system."""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .harness import Figure, Outcome, at_least, at_most, below, column, processor_time
from .peers import DESIPIPE, SYSTEMS

__all__ = ['figures', 'measure']

# arguments that the bag does not use: a system that knows a call's result must not be asked twice
WARM = 10_000_000


def measure(folder: Path, system: str, tasks: int, calls: int) -> dict[str, float]:
    """Measure one system.

    Parameters
    ----------
    folder : Path
        Empty folder for what the system keeps on disk.
    system : str
        Name of the system.
    tasks : int
        Tasks of the bag.
    calls : int
        Calls whose latency is taken.

    Returns
    -------
    values : dict
        ``setup`` in seconds, ``rate`` of the bag in tasks a second, ``processor`` time of all
        processes a task in seconds, and ``latency`` of one task in seconds (median).
    """
    row = next(row for row in SYSTEMS if row.name == system)
    module = importlib.import_module(f'benchmarks.{row.module}')
    values: dict[str, float] = {}
    start = time.perf_counter()
    with module.session(folder, *row.options) as session:
        if session.call:
            for i in range(10):
                session.call(WARM + i)
            values['setup'] = time.perf_counter() - start
            times = []
            for i in range(10, 10 + calls):
                begun = time.perf_counter()
                session.call(WARM + i)
                times.append(time.perf_counter() - begun)
            values['latency'] = statistics.median(times)
        used, begun = processor_time(), time.perf_counter()
        results = session.bag(tasks)
        values['rate'] = tasks / (time.perf_counter() - begun)
        values['processor'] = (processor_time() - used) / tasks
    if results != list(range(tasks)):
        raise AssertionError(f'{system} returned something else than it was given')
    return values


def _paired(ours: Sequence[Outcome], theirs: Sequence[Outcome], key: str) -> list[float]:
    """Return ours / theirs, round by round."""
    return [
        one.values[key] / other.values[key]
        for one, other in zip(ours, theirs, strict=False)
        if key in one.values and key in other.values
    ]


def figures(rounds: Mapping[str, Sequence[Outcome]]) -> list[Figure]:
    """Return the figures of the comparison.

    Parameters
    ----------
    rounds : mapping
        For each system that was asked for, its outcomes round by round.

    Returns
    -------
    figures : list of Figure
        Those of desipipe and those beside each peer.
    """
    ours = rounds.get(DESIPIPE.name, ())
    if not ours:
        return []
    found = [
        Figure(
            'bag.rate',
            'bag of no-op tasks, durable, until every result is known',
            column(ours, 'rate'),
            'tasks/s',
        ),
        Figure(
            'bag.processor',
            'bag: processor time a task, to add, run and read it',
            column(ours, 'processor', 1e6),
            'µs',
        ),
        Figure(
            'latency',
            'one task from call to result, worker alive (median)',
            column(ours, 'latency', 1e3),
            'ms',
            at_most(1.2),
        ),
    ]
    for row in SYSTEMS:
        theirs = rounds.get(row.name, ())
        if row is DESIPIPE or not theirs:
            continue
        note = next(
            (outcome.error.strip().splitlines()[-1] for outcome in theirs if outcome.error), ''
        )
        target = (
            at_least(6)
            if row.name == 'concurrent.futures'
            else at_least(10)
            if row.durable
            else None
        )
        found.append(
            Figure(
                f'bag.vs.{row.name}',
                f'bag: times the rate of {row.name}',
                _paired(ours, theirs, 'rate'),
                'x',
                target,
                note,
            )
        )
    if theirs := rounds.get('concurrent.futures', ()):
        text = 'bag: processor time a task, beside that of concurrent.futures'
        found.append(
            Figure(
                'bag.processor.vs.concurrent.futures',
                text,
                _paired(ours, theirs, 'processor'),
                'x',
                at_most(0.25),
            )
        )
    for name in ('parsl', 'dask', 'huey-sqlite', 'huey-file', 'executorlib'):
        if theirs := rounds.get(name, ()):
            note = next(
                (outcome.error.strip().splitlines()[-1] for outcome in theirs if outcome.error), ''
            )
            found.append(
                Figure(
                    f'latency.vs.{name}',
                    f'latency: beside that of {name}',
                    _paired(ours, theirs, 'latency'),
                    'x',
                    below(1),
                    note,
                )
            )
    return found
