"""The options of apps, and the folders that their modules may be in."""

from __future__ import annotations

import os
import sys
from typing import Any

from ..errors import UnknownOptionError
from ..provenance import SAVED_NOTHING


def check_inputs(value: Any) -> str:
    """Check the option ``inputs``."""
    if value not in ('path', 'content'):
        raise UnknownOptionError(
            f"The option inputs is {value!r}. Give 'path' (files among the arguments count by "
            "their paths) or 'content' (by what is in them, too)"
        )
    return str(value)


def check_options(options: dict[str, Any]) -> dict[str, Any]:
    """Check the other options of an app; those that are None are left out."""
    checked = dict(options)
    timeout = checked.get('timeout')
    if timeout is not None and (
        isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0
    ):
        raise UnknownOptionError(
            f'The option timeout is {timeout!r}. Give a positive number of seconds, or omit it.'
        )
    for key in ('retries', 'priority'):
        value = checked.get(key, 0)
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or (key == 'retries' and value < 0)
        ):
            raise UnknownOptionError(
                f'{key}={value!r}: give a whole '
                f'number{" of at least 0" if key == "retries" else ""}'
            )
    for key in ('retry_on', 'save_attrs'):
        value = checked.get(key)
        if value is not None:
            values = (value,) if isinstance(value, str | type) else tuple(value)
            checked[key] = tuple(
                item.__name__ if isinstance(item, type) else str(item) for item in values
            )
    if checked.get('save_attrs') == ():
        checked['save_attrs'] = SAVED_NOTHING
    if checked.get('save_dir'):
        checked['save_dir'] = os.path.abspath(os.fspath(checked['save_dir']))
    return {key: value for key, value in checked.items() if value is not None}


_known_path: tuple[list[str], tuple[str, ...]] = ([], ())


def own_folders() -> tuple[str, ...]:
    """Return the folders of the module path that are not of the installation.

    Files beside the notebook or script are imported inside of functions too; what is installed, the
    worker has itself.
    """
    global _known_path
    if _known_path[0] != sys.path:
        prefixes = {os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix)}
        entries = (os.path.abspath(entry or os.getcwd()) for entry in sys.path)
        own = tuple(
            dict.fromkeys(
                entry
                for entry in entries
                if os.path.isdir(entry)
                and not any(os.path.realpath(entry).startswith(p + os.sep) for p in prefixes)
            )
        )
        _known_path = (list(sys.path), own)
    return _known_path[1]
