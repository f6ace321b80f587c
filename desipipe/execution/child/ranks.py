"""The MPI processes that run a task together."""

from __future__ import annotations

from typing import Any


class Ranks:
    """The MPI processes of a slot; one process without MPI is the first of one.

    Parameters
    ----------
    comm : MPI communicator, default=None
    """

    def __init__(self, comm: Any = None) -> None:
        self._comm = comm

    @property
    def is_first(self) -> bool:
        """True in the process whose result is the task's."""
        return self._comm is None or self._comm.rank == 0

    def communicator(self) -> Any:
        """Return the communicator that a task gets; None without MPI.

        The function's own default then stays.
        """
        if self._comm is None:
            try:
                from mpi4py import MPI
            except ImportError:
                return None
            self._comm = MPI.COMM_WORLD
        return self._comm
