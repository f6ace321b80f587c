"""Change folders of paths, and tell what cannot be read."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..errors import ConfigError, MissingDatabaseError


def base_folder(path: str) -> str:
    """The folder of a path down to where its first option is."""
    brace = next(
        (i for i, letter in enumerate(path) if letter == '{' and path[i - 1 : i] != '$'), len(path)
    )
    return os.path.dirname(path[:brace])


def common_folder(paths: Sequence[str]) -> str:
    """Return the folder of what paths have in common."""
    try:
        return base_folder(os.path.commonpath(paths))
    except ValueError as exc:
        raise ConfigError(
            'The entries have no folder in common. Nothing was changed. Say which one to change, '
            'with olddir.'
        ) from exc


def moved(
    path: str, newdir: str | os.PathLike[str], olddir: str | os.PathLike[str] | None = None
) -> str:
    """A path with another folder in the place of one that it begins with.

    By default it takes the place of the whole folder that holds no option.
    """
    old = base_folder(path) if olddir is None else os.path.normpath(os.fspath(olddir))
    return os.path.join(
        os.fspath(newdir), os.path.relpath(path, old) if old else path.lstrip(os.sep)
    )


def unreadable(error: OSError) -> type[ConfigError]:
    """The class of the error of a data base that cannot be read."""
    return MissingDatabaseError if isinstance(error, FileNotFoundError) else ConfigError
