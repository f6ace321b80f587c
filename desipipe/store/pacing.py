"""Spacing of workers' requests to a shared filesystem: many workers ask less each.

Servers of metadata (names, attributes, locks) are shared by everybody on a cluster. All workers of
a queue together ask at most :data:`OPERATIONS_MAX_PER_S` of one, however many they are.
"""

from __future__ import annotations

OPERATIONS_MAX_PER_S = 200.0  # metadata operations of all workers of a queue, and its manager
WORKERS_FREE = 8  # so few workers do not wait
EXCHANGE_OPERATIONS = 12  # of a report and claim: two opens, four looks, locks, closes
LOOK_OPERATIONS = 2  # of a look at the journal, or at a lease: open, close
_EXCHANGE_SHARE, _LOOK_SHARE, _LEASE_SHARE = 0.55, 0.15, 0.25  # the rest is for people
LEASE_READS_PER_S = _LEASE_SHARE * OPERATIONS_MAX_PER_S / LOOK_OPERATIONS
LEASES_FREE = 16  # so few leases are read at each look


def exchange_spacing_s(n_workers: int, shared: bool) -> float:
    """Return the seconds from one report and claim of a worker to its next, at least.

    Parameters
    ----------
    n_workers : int
        Number of workers of the queue that live.
    shared : bool
        True if the filesystem is one of several hosts.
    """
    return _spacing(n_workers, shared, EXCHANGE_OPERATIONS, _EXCHANGE_SHARE)


def look_spacing_s(n_workers: int, shared: bool) -> float:
    """Return the seconds between two looks of a worker at the journal, at least."""
    return _spacing(n_workers, shared, LOOK_OPERATIONS, _LOOK_SHARE)


def lease_spacing_s(n_leases: int) -> float:
    """Return the seconds between two looks at one lease."""
    return 0.0 if n_leases <= LEASES_FREE else n_leases / LEASE_READS_PER_S


def _spacing(n_workers: int, shared: bool, operations: int, share: float) -> float:
    if not shared:
        return 0.0
    return max(0, n_workers - WORKERS_FREE) * operations / (share * OPERATIONS_MAX_PER_S)
