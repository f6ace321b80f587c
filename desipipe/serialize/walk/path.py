"""Path of a walk to the value that it encodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import NotSerializableError
from ..refusals import Step, refuse

__all__ = ['Path']


class Path:
    """Steps to the value that is encoded, the values above it, and what holds there.

    Parameters
    ----------
    base : list of steps
        First steps, for errors.
    references : bool
        True if references to tasks may be there; in what functions use they never may.
    """

    __slots__ = ('base', 'depths', 'lowest', 'owner', 'references', 'steps')

    def __init__(self, base: list[Step], references: bool) -> None:
        self.base = base
        self.steps = list(base)
        self.references = references
        self.owner: type | None = None
        """Class whose members are encoded."""
        self.depths: dict[int, int] = {}
        """Depths of the values above, by id: a value that is met again among them is a cycle."""
        self.lowest = 0
        """Lowest depth that cycles led back to."""

    @contextmanager
    def at(self, step: Step) -> Iterator[None]:
        """See :meth:`.Encoder.at`."""
        self.steps.append(step)
        try:
            yield
        finally:
            self.steps.pop()

    @contextmanager
    def inside(self, step: str) -> Iterator[None]:
        """Walk through what code uses.

        No cycle leads through it (definitions have names), and no future may be there.
        """
        kept = self.depths, self.lowest, self.steps, self.references, self.owner
        self.depths, self.lowest, self.references, self.owner = {}, 0, False, None
        self.steps = [*self.base, step]
        try:
            yield
        finally:
            self.depths, self.lowest, self.steps, self.references, self.owner = kept

    def refuse(self, value: object, reason: BaseException | str = '') -> NotSerializableError:
        """Create the error for a value that has no stable identity."""
        return refuse(self.steps, value, reason)
