"""Memory shared by a worker and its slot: started tasks, results of short tasks.

Each number has one writer. Counts only grow, modulo 2**32, and what they count is written first. So
whoever reads a count finds what it counts, also when the writer was killed.
"""

from __future__ import annotations

import mmap
from typing import NamedTuple

PACKET = 128 * 1024  # bytes; the most of one packet, well below a socket's default buffer
RESULTS_MAX = 1024  # results at once; a power of two
ROOM = 1 << 18  # bytes of results at once; a power of two
_LAST_REPORT = 64  # bytes before it
_COLUMNS = (_LAST_REPORT + 2 * PACKET + 63) // 64 * 64
_WORD = 0xFFFFFFFF


class Results(NamedTuple):
    """Results of tasks that succeeded and left nothing else, as columns."""

    numbers: list[int]
    """Numbers of the tasks, as the worker counted them when it sent them."""
    began: list[int]
    """Microseconds since the epoch."""
    durations: list[int]
    """Microseconds."""
    memory: list[int]
    """Kilobytes, see :class:`~desipipe.queue.events.End`."""
    lengths: list[int]
    """Bytes of each result."""
    data: bytes
    """The results, one after the other."""


class SharedMemory:
    """The memory that a worker and its slot share.

    A slot whose connection was closed by user code leaves its report here, and ends.
    """

    def __init__(self) -> None:
        size = RESULTS_MAX
        self._map = mmap.mmap(-1, _COLUMNS + size * 32 + ROOM)
        whole = self._whole = memoryview(self._map)
        self._numbers = whole[:_LAST_REPORT].cast('I')
        self._clock = whole[:_LAST_REPORT].cast('d')
        at = _COLUMNS
        self._began = whole[at : at + 8 * size].cast('Q')
        at += 8 * size
        columns = [whole[at + 4 * size * i : at + 4 * size * (i + 1)].cast('I') for i in range(5)]
        self._task, self._duration, self._memory, self._start, self._length = columns
        self._room = whole[at + 24 * size :]

    # Output

    @property
    def drains(self) -> int:
        """Number of times the worker has read output, or -1 while it reads.

        What is being read then may be output of the task that just ended.
        """
        return -1 if self._numbers[0] & 1 else self._numbers[0]

    def begin_drain(self) -> None:
        """Record that the worker is going to read the pipes."""
        self._numbers[0] |= 1

    def end_drain(self, counts: bool) -> None:
        """Record that the worker drained the pipes, and if it read output of a task.

        The number never falls: a slot that looked meanwhile would miss the next output.
        """
        self._numbers[0] = ((self._numbers[0] & ~1) + (2 if counts else 0)) & _WORD

    # What runs

    def begin(self, number: int, now: float) -> None:
        """Note that a task begins, at a time of the monotonic clock; by the slot."""
        self._clock[4] = now
        self._numbers[2] = number + 1 & _WORD

    def began(self, number: int) -> float | None:
        """Return the monotonic time at which a task began if it is the last one that did."""
        return self._clock[4] if self._numbers[2] == number + 1 & _WORD else None

    # Results

    @property
    def written(self) -> int:
        """Number of results that the slot has written."""
        return self._numbers[3]

    def has_more(self) -> bool:
        """Return True if there are results that the worker has not taken."""
        return bool(self._numbers[3] != self._numbers[5])

    def put(self, number: int, began: int, duration: int, memory: int, data: bytes) -> bool:
        """Write a result; by the slot.

        Returns
        -------
        done : bool
            False if there is no room: the worker has not taken the earlier ones yet.
        """
        numbers = self._numbers
        count, size, start = numbers[3], len(data), numbers[4]
        if count - numbers[5] & _WORD >= RESULTS_MAX or size > ROOM:
            return False
        at = start % ROOM
        if at + size > ROOM:  # each result is in one piece
            start += ROOM - at
            at = 0
        if (start + size - numbers[6]) & _WORD > ROOM:
            return False
        i = count % RESULTS_MAX
        self._room[at : at + size] = data
        self._task[i] = number & _WORD
        self._began[i] = began
        self._duration[i] = min(duration, _WORD)
        self._memory[i] = min(memory, _WORD)
        self._start[i] = start & _WORD
        self._length[i] = size
        numbers[4] = start + size & _WORD
        numbers[3] = count + 1 & _WORD
        return True

    def take(self, upto: int | None = None) -> Results | None:
        """Return the results that were written since the last call; by the worker.

        Parameters
        ----------
        upto : int, default=None
            Count of those to take, as :attr:`written` was at some time; by default all.
        """
        numbers = self._numbers
        first, last = numbers[5], numbers[3] if upto is None else upto & _WORD
        n = last - first & _WORD
        if not 0 < n <= RESULTS_MAX:
            return None
        begin = first % RESULTS_MAX
        end = begin + n

        def column(view: memoryview) -> list[int]:
            results: list[int] = view[begin:end].tolist()
            return results if end <= RESULTS_MAX else results + view[: end - RESULTS_MAX].tolist()

        starts, lengths = column(self._start), column(self._length)
        final = starts[-1] + lengths[-1]
        at = starts[0] % ROOM
        if final - starts[0] == sum(lengths) and at + final - starts[0] <= ROOM:
            data = bytes(self._room[at : at + final - starts[0]])
        else:
            pieces = zip(starts, lengths, strict=True)
            data = b''.join(
                [self._room[start % ROOM : start % ROOM + size] for start, size in pieces]
            )
        results = Results(
            column(self._task),
            column(self._began),
            column(self._duration),
            column(self._memory),
            lengths,
            data,
        )
        numbers[6] = final & _WORD
        numbers[5] = last
        return results

    # The last report

    def leave(self, data: bytes) -> None:
        """Leave the last report; by the slot."""
        self._map[_LAST_REPORT : _LAST_REPORT + len(data)] = data
        self._numbers[1] = len(data)

    def last_report(self) -> bytes:
        """Return the last report, once the slot has ended; empty if there is none."""
        size, self._numbers[1] = self._numbers[1], 0
        return self._map[_LAST_REPORT : _LAST_REPORT + size]

    def close(self) -> None:
        """Give the memory back."""
        for name in (
            '_numbers',
            '_clock',
            '_began',
            '_task',
            '_duration',
            '_memory',
            '_start',
            '_length',
            '_room',
            '_whole',
        ):
            getattr(self, name).release()
        self._map.close()
