"""Define what encoders of one kind of value need of whoever walks through all of them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from .plain import Step

__all__ = ['Encoder', 'top_level']


class Encoder(Protocol):
    """Encodes values, and everything that they refer to."""

    packages: set[str]

    def value(self, value: Any, words: Step = '') -> bytes:
        """Return the canonical bytes of a value; ``words`` are the step to it, for errors."""

    def names(self, text: str) -> bytes:
        """Return the bytes of what an expression in an annotation names."""

    def member(self, value: Any) -> bytes:
        """Return the bytes of what a class holds: those of its own functions are part of it."""

    def at(self, words: Step) -> AbstractContextManager[None]:
        """Name a step to what is encoded within, for errors."""

    def pairs(self, items: Iterable[tuple[Any, Any]], words: str = 'item') -> list[bytes]:
        """Return keys and values of a mapping, encoded, in an order that is always the same."""


def top_level(kind: type) -> str:
    """Return the name of the package that a class says it is from; empty for one that says
    nothing.
    """
    module = kind.__module__
    return module.partition('.')[0] if isinstance(module, str) else ''
