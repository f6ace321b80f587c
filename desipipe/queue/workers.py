"""Workers, and the rows that run: by claims, a range of rows each."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .process_events import WorkerInfo


class Claim:
    """Rows whose attempts began together, as far as these have not ended."""

    __slots__ = ('_number', '_numbers', 'left', 'rows', 'started', 'worker')

    def __init__(
        self,
        number: int,
        numbers: array[int],
        rows: Sequence[int],
        worker: Worker | None,
        started: float,
    ) -> None:
        self._number = number
        self._numbers = numbers
        self.rows = rows
        """All of them, also those that have ended."""
        self.worker = worker
        self.started = started
        """Seconds since the epoch."""
        self.left = len(rows)

    def __iter__(self) -> Iterator[int]:
        if self.left == len(self.rows):
            return iter(self.rows)
        numbers, number = self._numbers, self._number
        return iter([row for row in self.rows if numbers[row] == number])

    def __contains__(self, row: int) -> bool:
        return row in self.rows and self._numbers[row] == self._number


class WorkerRows:
    """Rows that a worker has claimed, in this order; those that ended are gone."""

    __slots__ = ('claims', 'n')

    def __init__(self) -> None:
        self.claims: dict[int, Claim] = {}
        self.n = 0

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[int]:
        return (row for claim in list(self.claims.values()) for row in claim)

    def __contains__(self, row: int) -> bool:
        return any(row in claim for claim in list(self.claims.values()))


class Worker:
    """A worker, as the journal knows it."""

    __slots__ = (
        'began',
        'draining',
        'ended',
        'host',
        'job',
        'kind',
        'lent',
        'mid',
        'name',
        'pid',
        'rows',
        'slots',
        'stop',
        'time',
        'user',
    )

    def __init__(self, name: str, time: float, info: WorkerInfo) -> None:
        self.name = name
        self.time = time
        self.mid = info.get('mid')
        self.host = info.get('host', '')
        self.pid = info.get('pid', 0)
        self.slots = info.get('slots', 1)
        self.job = info.get('job', '')
        self.user = info.get('user', '')
        """Name of who runs it, as it says itself."""
        self.ended: str | None = None
        self.kind = ''
        """Fate of its job, where it was known when it ended."""
        self.stop: str | None = None
        """Way it was asked to end."""
        self.rows = WorkerRows()
        """Rows that it has claimed, in this order: the first are in its slots, the others run next.
        """
        self.lent = 0
        """Places it has besides its slots, as tasks in these wait for other tasks."""
        self.began = False
        """True once it has started a task."""
        self.draining: set[int] = set()
        """Running tasks that were cleared."""

    @property
    def is_local(self) -> bool:
        """Return True for a process of the local provider, or one that someone started."""
        return self.job.startswith('local:') or not self.job

    @property
    def claimed(self) -> int:
        """The number of its rows that wait for one of its slots."""
        return max(0, len(self.rows) - self.slots - self.lent)

    def rows_in_slots(self) -> list[int]:
        """Return the rows that run: those that were claimed first."""
        return list(islice(self.rows, self.slots + self.lent))

    def rows_before_slots(self) -> list[int]:
        """Return the rows that were claimed, and wait for one of its slots."""
        return list(islice(self.rows, self.slots + self.lent, None)) if self.claimed else []


class RunningRows:
    """The rows that run, each with its worker; None where it is not known."""

    def __init__(self) -> None:
        self._numbers = array('I')  # of claims, by row; 0: does not run
        self._claims: dict[int, Claim] = {}
        self._n = self._last = 0

    def extend(self, n: int) -> None:
        """Add ``n`` rows that do not run."""
        self._numbers.frombytes(bytes(n * self._numbers.itemsize))

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[int]:
        return (row for claim in list(self._claims.values()) for row in claim)

    def __contains__(self, row: int) -> bool:
        return self._claim_of(row) is not None

    def __getitem__(self, row: int) -> Worker | None:
        claim = self._claim_of(row)
        if claim is None:
            raise KeyError(row)
        return claim.worker

    def get(self, row: int) -> Worker | None:
        """Return the worker of a row; None also for one that does not run."""
        claim = self._claim_of(row)
        return None if claim is None else claim.worker

    def items(self) -> Iterator[tuple[int, Worker | None]]:
        """Yield the rows, each with its worker."""
        return ((row, claim.worker) for claim in list(self._claims.values()) for row in claim)

    def _claim_of(self, row: int) -> Claim | None:
        return self._claims.get(self._numbers[row]) if 0 <= row < len(self._numbers) else None

    def started(self, row: int) -> float | None:
        """Return the time at which a row began to run, seconds since the epoch, or None."""
        claim = self._claim_of(row)
        return None if claim is None else claim.started

    def start_of(self, row: int) -> float:
        """Return the time at which a row that runs began, seconds since the epoch."""
        return self._claims[self._numbers[row]].started

    def first_rows(self) -> Iterator[int]:
        """Yield the first row of each claim: the others of it may not have begun."""
        return (row for claim in list(self._claims.values()) for row in islice(claim, 1))

    def times(self) -> Iterator[tuple[int, float]]:
        """Yield the rows, each with the time at which it began to run."""
        return ((row, claim.started) for claim in list(self._claims.values()) for row in claim)

    def begin(self, rows: Sequence[int], worker: Worker | None, started: float) -> None:
        """Note that rows begin to run, none of which runs.

        Parameters
        ----------
        rows : sequence of int
            A ``range`` takes no memory for each.
        worker : Worker or None
        started : float
            Seconds since the epoch.
        """
        self._last += 1
        number, n = self._last, len(rows)
        claim = self._claims[number] = Claim(number, self._numbers, rows, worker, started)
        if isinstance(rows, range):
            self._numbers[rows.start : rows.stop] = array('I', (number,)) * n
        else:
            for row in rows:
                self._numbers[row] = number
        self._n += n
        if worker is not None:
            worker.rows.claims[number] = claim
            worker.rows.n += n

    def end(self, row: int) -> None:
        """Note that a row does not run any more, if it does."""
        number = self._numbers[row]
        if number:
            self._numbers[row] = 0
            self._leave(number, 1)

    def are_of(self, first: int, last: int, worker: Worker) -> bool:
        """Return True if all rows from ``first`` to before ``last`` run with ``worker``."""
        for number, begin, end in self._parts(first, last):
            if not number or self._claims[number].worker is not worker:
                return False
            if self._numbers[begin:end] != array('I', (number,)) * (end - begin):
                return False
        return True

    def end_range(self, first: int, last: int) -> None:
        """Note that rows do not run any more, all of which do; see :meth:`are_of`."""
        for number, begin, end in list(self._parts(first, last)):
            self._leave(number, end - begin)
        self._numbers[first:last] = array('I', (0,)) * (last - first)

    def _parts(self, first: int, last: int) -> Iterator[tuple[int, int, int]]:
        """Divide a range by the claims in which its rows may be."""
        while first < last:
            number = self._numbers[first]
            rows = self._claims[number].rows if number else ()
            end = min(last, rows.stop) if isinstance(rows, range) else first + 1
            yield number, first, end
            first = end

    def _leave(self, number: int, n: int) -> None:
        claim = self._claims[number]
        claim.left -= n
        self._n -= n
        if not claim.left:
            del self._claims[number]
        if claim.worker is not None:
            claim.worker.rows.n -= n
            if not claim.left:
                claim.worker.rows.claims.pop(number, None)

    def give(self, worker: Worker, before: Worker) -> None:
        """Give a worker that began twice what it had before."""
        worker.rows = before.rows
        for claim in worker.rows.claims.values():
            claim.worker = worker
