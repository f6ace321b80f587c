"""States of many files: existing or not; missing, stale or current."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Self

from ..errors import ConfigError, MissingFileError
from .file_provenance import state_of
from .origins import Look


class Existence(dict[bool, list[str]]):
    """Paths by whether they exist; true if all do."""

    __module__ = f'{__package__}.entry'  # pickles and identities of tasks hold it

    @classmethod
    def of(cls, paths: Iterable[str]) -> Self:
        """Look which files exist."""
        result = cls({True: [], False: []})
        existing, missing, stat = result[True].append, result[False].append, os.stat
        for path in paths:
            try:
                regular = stat(path).st_mode & 0o170000 == 0o100000
            except (OSError, ValueError):  # not there, or not to be looked at
                regular = False
            (existing if regular else missing)(path)
        return result

    def __bool__(self) -> bool:
        return not self[False]

    def returned(self, return_type: str) -> Self | str:
        """Return it as it is (``'dict'``), or for people (``'str'``)."""
        if return_type == 'dict':
            return self
        if return_type != 'str':
            raise ConfigError(f"There is no return_type {return_type!r}: use 'dict' or 'str'.")
        return '\n'.join(
            line
            for exists, paths in self.items()
            for line in (f'exists = {exists}', '=' * len(f'exists = {exists}'), *paths)
        )


class Status(dict[str, int]):
    """The numbers of missing, stale and current files; `paths` tells which."""

    __module__ = f'{__package__}.entry'  # see above

    def __init__(self, paths: Mapping[str, list[str]]) -> None:
        self.paths = dict(paths)
        super().__init__({state: len(names) for state, names in paths.items()})

    @classmethod
    def of(cls, paths: Iterable[str]) -> Self:
        """Count files by their states, and look at each that went into them once."""
        by_state: dict[str, list[str]] = {'missing': [], 'stale': [], 'current': []}
        look = Look()
        for path in paths:
            by_state[state_of(path, look)].append(path)
        return cls(by_state)


def check_files(paths: Iterable[str]) -> None:
    """Raise :class:`~desipipe.errors.MissingFileError` if a file is not there."""
    missing = Existence.of(paths)[False]
    if missing:
        more = f', and {len(missing) - 1:,d} others do not' if len(missing) > 1 else ''
        raise MissingFileError(
            f'The file {missing[0]} does not exist{more}. Have it made, or see which are there '
            'with: .exists()'
        )
