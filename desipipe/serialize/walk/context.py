"""Context that the encoders of one walk share."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from ..encoder import Encoder
from .checks import Checks
from .installed import Installed
from .parts import Parts
from .path import Path

__all__ = ['Context', 'DefinitionEncoder']


class DefinitionEncoder(Encoder, Protocol):
    """Encodes values, and what code uses."""

    def used(self, value: Any, as_value: bool) -> bytes:
        """Return the bytes of a function, class or app that code uses.

        Used as a value, and not only called, its annotations count.
        """


class Context(NamedTuple):
    """Context of one walk, shared by the encoders of functions, classes and modules."""

    encoder: DefinitionEncoder
    path: Path
    checks: Checks
    installed: Installed
    parts: Parts
