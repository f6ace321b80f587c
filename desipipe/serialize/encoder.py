"""Interface that encoders of one kind of value need of the walker over all values."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from .refusals import Step

__all__ = ['Encoder', 'top_level']


class Encoder(Protocol):
    """Encodes values, and everything that they refer to."""

    packages: set[str]

    def value(self, value: Any, step: Step = '') -> bytes:
        """Return the canonical bytes of a value; ``step`` leads to it, for errors."""

    def names(self, text: str) -> bytes:
        """Return the bytes of what an expression in an annotation names."""

    def member(self, value: Any) -> bytes:
        """Return the bytes of a class's member, with its own functions as part of it."""

    def at(self, step: Step) -> AbstractContextManager[None]:
        """Name a step to what is encoded within, for errors."""

    def pairs(self, items: Iterable[tuple[Any, Any]], role: str = 'item') -> list[bytes]:
        """Return the encoded keys and values of a mapping, in an order that never varies."""


def top_level(kind: type) -> str:
    """Return the top-level package of a class; empty if it names none."""
    module = kind.__module__
    return module.partition('.')[0] if isinstance(module, str) else ''
