"""Put this process into an environment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from .base import BaseEnvironment
from .choice import Environment


@contextlib.contextmanager
def change_environ(
    environ: BaseEnvironment | Mapping[str, Any] | str | None = None,
) -> Iterator[None]:
    """Put this process into an environment for a ``with`` block, then restore it.

    What the block set is undone, too. Folders of ``PYTHONPATH`` come first in ``sys.path``
    meanwhile. The environment is that of the whole process, all of its threads included.

    Parameters
    ----------
    environ : BaseEnvironment, str, dict, default=None
        As for :func:`Environment`; None changes nothing.

    Raises
    ------
    ConfigError
        If a command of the environment fails; nothing is then changed.
    """
    import sys

    before, path = dict(os.environ), list(sys.path)
    wanted = before if environ is None else Environment(environ).to_dict(all=True)
    try:
        _set_environ(wanted)
        if wanted.get('PYTHONPATH') != before.get('PYTHONPATH'):
            first = [folder for folder in wanted.get('PYTHONPATH', '').split(os.pathsep) if folder]
            sys.path[:] = [*first, *(folder for folder in path if folder not in first)]
        yield
    finally:
        _set_environ(before)
        sys.path[:] = path


def _set_environ(wanted: dict[str, str]) -> None:
    # Only what differs, and never empty in between: other threads may be reading.
    for name in set(os.environ) - set(wanted):
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
