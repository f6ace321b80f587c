"""Checks that what a walk read still is what it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...errors import NotSerializableError
from .path import Path

__all__ = ['Changed', 'Checks']


class Changed(Exception):
    """Something is there that was not when the walker passed."""


class Checks:
    """Checks of all that was read: those by identity first, then those that encode.

    Parameters
    ----------
    path : Path
        That of the walk.
    """

    __slots__ = ('_equal', '_is_checking', '_path', '_same', 'is_volatile', 'same')

    def __init__(self, path: Path) -> None:
        self._path = path
        self._same: list[Callable[[], bool]] = []
        self.same = self._same.append
        """Adds a check that compares by identity."""
        self._equal: list[Callable[[], bool]] = []
        self._is_checking = False
        self.is_volatile = False
        """True if something was read whose changes no check can tell."""

    def equal(self, get: Callable[[], Any], encode: Callable[[Any], bytes], data: bytes) -> None:
        """Add a check that what ``get`` returns is encoded as ``data``."""

        def check() -> bool:
            with self._path.inside(''):
                return encode(get()) == data

        self._equal.append(check)

    def admit(self) -> None:
        """Raise :class:`Changed` while checks run: what is met now was not there before."""
        if self._is_checking:
            raise Changed

    def hold(self) -> bool:
        """Return True if everything that was read still is what it was."""
        if self.is_volatile:
            return False
        self._is_checking = True
        try:
            for checks in (self._same, self._equal):
                for check in checks:
                    if not check():
                        return False
            return True
        except (
            Changed,
            NotSerializableError,
            LookupError,
            AttributeError,
            ValueError,
            RecursionError,
        ):
            return False
        finally:
            self._is_checking = False
