"""Restore the file managers, entries and files that desipipe 1.0 stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from ..file_manager import BaseFile, BaseFileEntry, FileEntryCollection, FileManager

_FIELDS = tuple(BaseFile._defaults)


def _variables(environ: Any) -> dict[str, str]:
    """Return stored variables: of a dictionary, or of an environment of 1.0."""
    values = environ if isinstance(environ, Mapping) else getattr(environ, 'data', None) or {}
    return {str(name): str(value) for name, value in values.items()}


class _RestoredFile(BaseFile):
    def __new__(cls) -> Self:
        """Make a file that becomes an ordinary one when it is told its fields."""
        return object.__new__(cls)

    def __setstate__(self, state: dict[str, Any]) -> None:
        fields = {name: state[name] for name in _FIELDS if state.get(name) is not None}
        self.__class__ = BaseFile  # type: ignore[assignment]
        self.__init__(**fields)  # type: ignore[misc]
        self.environ = _variables(state.get('environ'))


class _RestoredEntry(BaseFileEntry):
    def __new__(cls) -> Self:
        """Make an entry that becomes an ordinary one when it is told its fields."""
        return object.__new__(cls)

    def __setstate__(self, state: dict[str, Any]) -> None:
        fields = {name: state[name] for name in _FIELDS if state.get(name) is not None}
        self.__class__ = BaseFileEntry  # type: ignore[assignment]
        self.__init__(**fields)  # type: ignore[misc]
        self.environ = _variables(state.get('environ'))


class _RestoredCollection(FileEntryCollection):
    target: type = FileEntryCollection

    def __new__(cls) -> Self:
        """Make a collection that becomes an ordinary one when it is told its entries."""
        return object.__new__(cls)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__class__ = self.target
        environ = _variables(state.get('environ'))
        FileEntryCollection.__init__(self, list(state.get('data') or ()), environ=environ)


class _RestoredManager(_RestoredCollection, FileManager):
    target = FileManager


RESTORED: dict[str, type] = {
    'BaseFile': _RestoredFile,
    'BaseFileEntry': _RestoredEntry,
    'FileEntryCollection': _RestoredCollection,
    'FileManager': _RestoredManager,
}
"""Classes that stand for those of desipipe 1.0, by their names."""
