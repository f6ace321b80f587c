"""Overview of a queue: its counts, its task managers and its processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..utils.lending import from_above
from .conditions import mids_of_names, several
from .events import STATES, state_code
from .ledger import Ledger, find_mid
from .selection import Counts, Process

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..provider import BaseProvider

    GivenProvider = str | Mapping[str, object] | BaseProvider
    """A provider, its options, or its name."""


def count_tasks(ledger: Ledger) -> Counts:
    """Count the tasks of a queue by state, without superseded ones."""
    ledger.follow()
    fold = ledger.state
    by_state, claimed = fold.counts_shown()

    def count(state: str | Iterable[str] | None, mid: str | Iterable[str] | None) -> int:
        tables: Iterable[dict[str, int]] = (
            [by_state]
            if mid is None
            else (counts_of(ledger, one) for one in mids_of_names(fold, mid))
        )
        names = STATES if state is None else [STATES[state_code(text)] for text in several(state)]
        return sum(table.get(name, 0) for table in tables for name in names)

    return Counts(by_state, count, claimed)


def counts_of(ledger: Ledger, mid: str) -> dict[str, int]:
    """Count the tasks of a task manager by state."""
    ledger.follow()
    counts, _ = ledger.state.counts_shown(find_mid(ledger.state, mid))
    return counts


def summarize(ledger: Ledger, mid: str | None, return_type: str) -> Any:
    """Return counts by state; see :meth:`.Queue.summary`."""
    counts = dict(count_tasks(ledger)) if mid is None else counts_of(ledger, mid)
    if return_type == 'dict':
        return counts
    if return_type != 'str':
        raise ValueError(f"There is no return_type {return_type!r}. Use 'dict' or 'str'.")
    return '\n'.join(f'{name:<10s}: {counts[name]:d}' for name in STATES)


def task_managers(ledger: Ledger, mid: str | None, property: str | None) -> Any:
    """Return task managers, or their identities; see :meth:`.Queue.managers`."""
    ledger.follow()
    state = ledger.state
    mids = list(state.managers) if mid is None else [find_mid(state, mid)]
    make = from_above('task_manager') if property is None else None
    managers: list[Any] = mids if make is None else [make(ledger, key) for key in mids]
    return managers if mid is None else managers[0]


def mids_of_provider(ledger: Ledger, provider: GivenProvider) -> list[str]:
    """Return the identities of the task managers whose provider has a name."""
    from ..provider import Provider

    ledger.follow()
    state = ledger.state
    name = provider if isinstance(provider, str) else Provider(provider).name
    return [mid for mid in state.managers if state.provider_name(mid) == name]


def list_processes(ledger: Ledger) -> list[Process]:
    """Return the manager, the workers that live, and what a person added."""
    ledger.follow()
    state = ledger.state
    processes = []
    if state.manager is not None:
        event = state.manager
        processes.append(
            Process('manager', event['w'], event['host'], event['pid'], '', event['t'])
        )
    for worker in state.alive.values():
        provider = 'local' if worker.is_local else state.provider_name(worker.mid)
        processes.append(
            Process(
                'worker', worker.name, worker.host, worker.pid, worker.job, worker.time, provider
            )
        )
    return [*processes, *(Process.added(event) for event in state.processes.values())]
