"""Submissions to Slurm, and what became of those that are not clear."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from .slurm_states import Row
from .slurm_watch import LOST_AFTER, Watch

__all__ = ['Submissions']

DOUBT_WAIT_S = 30.0  # s after which a job that Slurm does not show counts as not submitted


class _Unclear(NamedTuple):
    """A submission of which it is not known whether Slurm took it."""

    slots: int
    workers: int
    clusters: tuple[str, ...]
    since: float
    answers: Mapping[str, tuple[int, int]]
    """Numbers of answers and of silences of each cluster at that time."""


class Submissions:
    """Names of submissions: those whose fate is known, and those that are looked for.

    Parameters
    ----------
    watch_of : callable
        Returns the watch of a cluster.
    """

    def __init__(self, watch_of: Callable[[str], Watch]) -> None:
        self._watch_of = watch_of
        self._unclear: dict[str, _Unclear] = {}
        self._explained: list[str] = []

    def __len__(self) -> int:
        return len(self._unclear)

    @property
    def slots(self) -> int:
        """Number of slots that may have been submitted."""
        return sum(unclear.slots for unclear in self._unclear.values())

    def clusters(self) -> Iterator[str]:
        """Yield the clusters that may have the jobs of one that is not clear."""
        for unclear in self._unclear.values():
            yield from unclear.clusters

    def explain(self, name: str) -> None:
        """Note that it is known what became of a submission."""
        self._explained.append(name)

    def take_explained(self) -> list[str]:
        """Return the names that were explained since the last call."""
        explained, self._explained = self._explained, []
        return explained

    def expect(self, name: str, slots: int, workers: int, clusters: tuple[str, ...]) -> None:
        """Look for the jobs of a submission by its name.

        Parameters
        ----------
        name : str
        slots : int
            Slots, all of its jobs together.
        workers : int
            Workers of each job.
        clusters : tuple of str
            Clusters that may have taken it.
        """
        answers = {}
        for cluster in clusters:
            watch = self._watch_of(cluster)
            answers[cluster] = watch.answers, watch.silences
            watch.wanted[name] = time.time()
            watch.hurry()
        self._unclear[name] = _Unclear(slots, workers, clusters, time.monotonic(), answers)

    def is_silence(self) -> bool:
        """Return True unless there is one of which Slurm may still say something."""
        return all(map(self._is_silent_about, self._unclear.values()))

    def _is_silent_about(self, unclear: _Unclear) -> bool:
        # From a squeue that never showed a thing, nothing is what it says if there are no jobs. It
        # proves nothing: the submission still counts.
        watches = [self._watch_of(cluster) for cluster in unclear.clusters]
        return all(
            not watch.answers and watch.silences - unclear.answers[watch.cluster][1] > LOST_AFTER
            for watch in watches
        )

    def resolve(
        self, watches: Mapping[str, Watch], take: Callable[[Row, str, int], object]
    ) -> None:
        """Explain submissions: their jobs are found by their name, or are not there.

        Parameters
        ----------
        watches : mapping
            By cluster.
        take : callable
            Gets each job: its row, its cluster, and its number of workers.
        """
        for name, unclear in list(self._unclear.items()):
            waiting = [
                (cluster, row)
                for cluster in unclear.clusters
                for row in (*watches[cluster].rows.values(), *watches[cluster].named.values())
            ]
            own = [(cluster, row) for cluster, row in waiting if name in row.name]
            for cluster, row in own:
                take(row, cluster, unclear.workers)
            if own:
                cluster, row = own[0]
                for element in _elements(row, unclear):
                    take(element, cluster, unclear.workers)
            if own or all(
                _is_absent(name, unclear, watches[cluster]) for cluster in unclear.clusters
            ):
                del self._unclear[name]
                self._explained.append(name)
                for cluster in unclear.clusters:
                    watches[cluster].wanted.pop(name, None)
                    watches[cluster].unlisted.discard(name)


def _elements(row: Row, unclear: _Unclear) -> Iterator[Row]:
    # An array is taken as a whole: those of its elements that an answer does not show are there
    # too.
    base, _, element = row.jobid.partition('_')
    for i in range(unclear.slots // unclear.workers if element else 0):
        yield Row(f'{base}_{i:d}', 'PENDING')


def _is_absent(name: str, unclear: _Unclear, watch: Watch) -> bool:
    listed = watch.accounts and name not in watch.unlisted
    # One more answer than needed, as the first may be of a question that was asked before; and
    # Slurm may have put the submission aside for a while.
    enough = (
        watch.answers - unclear.answers[watch.cluster][0] > LOST_AFTER
        and watch.answered - unclear.since >= DOUBT_WAIT_S
    )
    return enough and not listed
