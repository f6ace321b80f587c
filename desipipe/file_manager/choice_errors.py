"""Messages for a choice of one file that matches none or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import EllipsisType
from typing import Any

from ..errors import UnknownNameError, close_names
from .fields import Fields
from .options import choose, values_of, values_text


def several_files(
    selected: Sequence[Fields], count: int, asked: Mapping[str, Any]
) -> UnknownNameError:
    """Return the error for several files where one was asked for.

    Parameters
    ----------
    selected : list of BaseFileEntry
        Entries with the files that match.
    count : int
        Number of these files.
    asked : dict
        All that was asked for.
    """
    ids = sorted({entry.id for entry in selected})
    free = [f'id ({", ".join(ids)})'] if len(ids) > 1 else []
    for name in dict.fromkeys(name for entry in selected for name in entry.options):
        pools = [
            entry.options[name]
            for entry in selected
            if len(values_of(entry.options.get(name, ()))) > 1
        ]
        free += [f'{name} ({values_text(pools[0])})'] if pools else []
    return UnknownNameError(
        f'{count:,d} files match {_asked_text(asked)}, where one was asked for. Narrow it down by: '
        f'{"; ".join(free) or "fewer entries that are alike"}'
    )


def no_file(
    entries: Sequence[Fields], asked: Mapping[str, Any], options: Mapping[str, Any]
) -> UnknownNameError:
    """Return the error for a choice that no file matches.

    Parameters
    ----------
    entries : list of BaseFileEntry
        Those that fit but for the options.
    asked : dict
        All that was asked for.
    options : dict
        The options among it.
    """
    near = []
    for name, value in options.items():
        pools = [
            pool
            for entry in entries
            if not isinstance(pool := entry.options.get(name, ...), EllipsisType)
        ]
        if pools and not any(choose(value, pool) for pool in pools):
            near.append(
                f'{name}={value!r}: '
                f'{close_names(str(value), [str(one) for pool in pools for one in pool[:1000]])}'
            )
    return UnknownNameError(
        f'No file matches {_asked_text(asked)}. '
        f'{"; ".join(near) or "Each value is known, but not together: leave some out."}'
    )


def _asked_text(asked: Mapping[str, Any]) -> str:
    return (
        ', '.join(f'{name}={value!r}' for name, value in asked.items() if value is not None)
        or 'nothing'
    )
