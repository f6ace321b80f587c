"""Names of desipipe 1.0 that its scripts use, and that nothing here needs."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..utils.lending import from_above


class AppAttributes:
    """Attributes of an app that describe its function."""

    func: Callable[..., Any]

    @property
    def filename(self) -> str | None:
        """File that the function is defined in; None in a notebook."""
        try:
            path = inspect.getfile(self.func)
        except TypeError:
            return None
        return path if os.path.isfile(path) else None

    @property
    def vartypes(self) -> dict[str, str]:
        """Kinds of the function's parameters, of :class:`~desipipe.task_manager.VarType`."""
        parameters = inspect.signature(self.func).parameters.values()
        return {one.name: one.kind.name for one in parameters}

    @property
    def dlocals(self) -> dict[str, None]:
        """Names of the parameters that have defaults."""
        parameters = inspect.signature(self.func).parameters.values()
        return {one.name: None for one in parameters if one.default is not one.empty}


def action_from_args(action: str = 'work', args: Sequence[str] | None = None) -> int:
    """Run a command of the command line.

    Parameters
    ----------
    action : str, default='work'
        The verb, such as 'spawn'.
    args : sequence of str, default=None
        What follows it; by default what follows the name of the running script.

    Returns
    -------
    status : int
        Exit status.
    """
    status: int = from_above('command_line')([action, *(sys.argv[1:] if args is None else args)])
    return status


class _Actions(Mapping[str, str]):
    """Verbs of the command line, and what they do."""

    def __init__(self) -> None:
        self._summaries: dict[str, str] = {}

    def _known(self) -> dict[str, str]:
        if not self._summaries:
            self._summaries = from_above('summaries')()
        return self._summaries

    def __getitem__(self, verb: str) -> str:
        return self._known()[verb]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())


action_from_args.actions = _Actions()  # type: ignore[attr-defined]


def get_mpicomm() -> Any:
    """Return the MPI communicator of all processes; None without mpi4py."""
    try:
        from mpi4py import MPI
    except ImportError:
        return None
    return MPI.COMM_WORLD
