"""Worker and slots of MPI processes that ``mpiexec`` or ``srun`` started together."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import DesipipeError
from ..store.journal import writer_name
from .mpi_launcher import Division
from .shell_process import die_with_parent
from .slot import main, world

logger = logging.getLogger('desipipe')

# Where launchers say how many processes they started, and which of them this is.
_SIZES = ('PMI_SIZE', 'OMPI_COMM_WORLD_SIZE', 'SLURM_STEP_NUM_TASKS', 'SLURM_NTASKS')
_MPI_RANKS = ('PMI_RANK', 'PMIX_RANK', 'OMPI_COMM_WORLD_RANK')
_RANKS = (*_MPI_RANKS, 'SLURM_PROCID')


def is_launched_together() -> bool:
    """Return True in a process of an MPI launcher that no provider has started."""
    ranked = any(name in os.environ for name in _MPI_RANKS)
    if not ranked or 'DESIPIPE_JOB' in os.environ or _launched(_SIZES[:-1], 1) < 2:
        return False
    return importlib.util.find_spec('mpi4py') is not None


def work_together(
    splits: int, run: Callable[[Division], None], folder: str, mpicomm: Any = None
) -> None:
    """Serve the slots of a worker by all processes of a launcher, which all call this.

    The first one forks, before MPI begins in it if that is left to us: the child is the worker, and
    all of them are its ranks.

    Parameters
    ----------
    splits : int
        Slots.
    run : callable
        Runs the worker, with these processes.
    folder : str
        The queue's folder.
    mpicomm : MPI communicator, default=None
        By default that of all processes.
    """
    size = _launched(_SIZES, 1) if mpicomm is None else mpicomm.size
    rank = _launched(_RANKS, 0) if mpicomm is None else mpicomm.rank
    if not 1 <= splits <= size:
        raise ValueError(
            f'There are {size:d} MPI processes, but mpisplits={splits:d}. Start desipipe work with '
            'mpiexec -n or srun -n, and at least as many.'
        )
    argv: list[str] | None = None
    pid = 0
    if rank == 0:
        division = Division(folder, f'{writer_name()}-mpi', None, size, splits, remote=True)
        argv = division.argv
        pid = os.fork()
        if pid == 0:
            _run_and_exit(run, division)
        division.listener.sock.close()
    comm = world() if mpicomm is None else mpicomm
    main(comm.bcast(argv, root=0), comm)
    if pid and os.waitpid(pid, 0)[1]:
        raise DesipipeError(
            'The worker of these MPI processes ended with an error, see above. What it ran is '
            'UNKNOWN, or runs again as its retries say.'
        )


def _run_and_exit(run: Callable[[Division], None], division: Division) -> None:
    status = 1
    try:
        die_with_parent()
        run(division)
        status = 0
    except BaseException:
        logger.exception('The worker of these MPI processes ends.')
    finally:
        os._exit(status)


def _launched(names: Sequence[str], default: int) -> int:
    return int(next((os.environ[name] for name in names if name in os.environ), default))
