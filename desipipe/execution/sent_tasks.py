"""Tasks in the hands of a slot, and the tokens that say whose they are."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from .protocol import TOKEN
from .slot_memory import Results

_READ = 1 << 16
_WORD = 0xFFFFFFFF


class Sent(NamedTuple):
    """A task in a slot's hands."""

    row: int
    attempt: int
    group: int
    timeout: float | None


class SentTasks:
    """The tasks that a slot has not reported yet, with its numbers for them."""

    def __init__(self) -> None:
        self.tasks: deque[Sent] = deque()
        self._numbers: deque[int] = deque()
        self.next_number = 0
        """Number of the task that is sent next."""

    def add(self, tasks: Sequence[Sent]) -> None:
        """Note tasks that were handed over."""
        self.tasks.extend(tasks)
        self._numbers.extend(range(self.next_number, self.next_number + len(tasks)))
        self.next_number += len(tasks)

    @property
    def first_number(self) -> int:
        """Number of the task that runs, or runs next; -1 if there is none."""
        return self._numbers[0] if self._numbers else -1

    def pop(self, n: int = 1) -> list[Sent]:
        """Remove and return the first tasks: they ended."""
        for _ in range(n):
            self._numbers.popleft()
        return [self.tasks.popleft() for _ in range(n)]

    def pop_last(self, n: int) -> list[Sent]:
        """Remove and return the last tasks, in their order: they were taken back."""
        back = [self.tasks.pop() for _ in range(n)]
        for _ in back:
            self._numbers.pop()
        back.reverse()
        return back

    def accounts_for(self, results: Results) -> bool:
        """Return True if results are those of the tasks that come next."""
        n = len(results.numbers)
        return (
            n <= len(self._numbers)
            and [number & _WORD for number in itertools.islice(self._numbers, n)] == results.numbers
        )


class TokenPipe:
    """The pipe of tokens: a task is the slot's once the slot has read its token."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        for fd in (self._read, self._write):
            os.set_blocking(fd, False)

    @property
    def read_end(self) -> int:
        """The descriptor that the slot reads tokens from."""
        return self._read

    def write(self, numbers: Sequence[int]) -> None:
        """Write the tokens of tasks, in one piece."""
        os.write(self._write, b''.join([TOKEN.pack(number & _WORD) for number in numbers]))

    def take_back(self) -> int:
        """Read the tokens that the slot has not read; return how many there were."""
        n = 0
        with contextlib.suppress(BlockingIOError):  # that was all
            while data := os.read(self._read, _READ):
                n += len(data) // TOKEN.size
        return n

    def close(self) -> None:
        """Close both ends."""
        os.close(self._read)
        os.close(self._write)
