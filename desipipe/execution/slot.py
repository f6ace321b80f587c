"""Start a slot: forked from its worker, or as a rank of MPI processes.

What it says with its worker is in :mod:`~desipipe.execution.protocol`, what it does in
:mod:`desipipe.execution.child`.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib import import_module
from typing import Any, NoReturn

from ..config import Config
from ..errors import MissingDependencyError
from ..queue.lending import set_lender
from ..security.trust import TrustedUsers
from . import limits
from .child.link import WorkerLink
from .child.output import SlotOutput
from .child.payloads import SlotPayloads
from .child.ranks import Ranks
from .child.restorer import Restorer, open_stream
from .child.slot import Slot
from .mpi_connection import connect, die_with, send_ready
from .output_pipe import OutputPipes
from .protocol import Ready, encode
from .shell_process import die_with_parent
from .slot_environment import private_descriptor
from .slot_memory import SharedMemory


def _time_is_short(number: int, frame: object) -> None:
    # Sent by the worker when its job's time limit is near. A task that wants to save its state sets
    # a handler of its own: for all others nothing happens.
    return


def run_child(
    sock: tuple[socket.socket, socket.socket],
    tokens: int,
    out: tuple[int, int],
    err: tuple[int, int],
    folder: str,
    name: str,
    marker: bytes,
    shared: SharedMemory,
    trusts: Callable[[int], bool],
    parent: int,
    descriptors: int,
) -> NoReturn:
    """Run a forked slot; never returns.

    Parameters
    ----------
    sock : tuple of socket.socket
        The slot's ends of two pairs: for packets, and for descriptors.
    tokens : int
        Read end of the pipe of tokens.
    out, err : tuple of int
        Read and write ends of the output pipes.
    folder, name, marker, shared, trusts
        As for :class:`.SlotPayloads` and :class:`.SlotOutput`.
    parent : int
        The worker's process id.
    descriptors : int
        The soft limit that the worker was started with.
    """
    status = 1
    try:
        _leave_worker(parent)
        inherited = (out[1], err[1], sock[0].detach(), out[0], err[0], sock[1].detach(), tokens)
        kept = _keep_only(inherited)
        standard, connection, pipes, handover, token_pipe = kept[:3], kept[3], kept[4:6], *kept[6:]
        limits.restore_descriptors(descriptors)
        unread = select.poll()
        for fd in pipes:
            unread.register(fd, select.POLLIN)
        sys.stdout, sys.stderr = open_stream(1), open_stream(2)
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc]
        gc.freeze()  # what came with the fork stays shared, untouched by the collector
        restorer = Restorer(standard)
        renewed = OutputPipes(standard[1:], pipes, _socket(handover))
        output = SlotOutput(standard, marker, restorer, shared, unread, renewed)
        link = WorkerLink(_socket(connection), shared, token_pipe)
        slot = Slot(link, SlotPayloads(folder, name, trusts), output, restorer, Ranks())
        set_lender(slot.waits.lend)
        slot.serve()
        status = 0
    except BaseException:
        import traceback

        os.write(2, traceback.format_exc().encode(errors='backslashreplace'))
    finally:
        os._exit(status)


def _leave_worker(parent: int) -> None:
    """Give up what the fork has of its worker: session, signal handlers."""
    # Ctrl-C in the worker's terminal is for the worker; and what a task starts can be killed with
    # it, as a group
    os.setsid()
    die_with_parent()
    if os.getppid() != parent:
        os._exit(1)  # the worker died before we asked to die with it
    signal.set_wakeup_fd(-1)
    for caught in signal.valid_signals():
        if callable(signal.getsignal(caught)):
            signal.signal(caught, signal.SIG_DFL)  # handlers of the worker's
    signal.signal(signal.SIGUSR1, _time_is_short)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _keep_only(inherited: Sequence[int]) -> list[int]:
    """Close all descriptors but some, and move these out of the way of tasks.

    Returns
    -------
    kept : list of int
        Standard input, which is empty, and those of ``inherited``.
    """
    last = 2
    for fd in (*sorted(inherited), 1 << 20):
        os.closerange(last + 1, fd)  # the lock, leases, other slots' connections
        last = fd
    kept = [private_descriptor(fd) for fd in (os.open(os.devnull, os.O_RDONLY), *inherited)]
    for number, fd in enumerate(kept[:3]):
        os.dup2(fd, number)
    return kept


def _socket(fd: int) -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=fd)


def main(argv: list[str] | None = None, comm: Any = None) -> None:
    """Run one rank of an MPI slot.

    It is ``python -m desipipe.execution.slot ADDRESS FOLDER NAME MARKER [SPLITS]``, started by
    ``mpiexec``.

    Parameters
    ----------
    argv : list of str, default=None
        By default those of the process. With ``SPLITS``, the communicator is divided into so many,
        each of which runs tasks of its own.
    comm : MPI communicator, default=None
        That of all ranks; by default of all processes.
    """
    address, folder, name, marker, *more = sys.argv[1:] if argv is None else argv
    splits = int(more[0]) if more else 0
    die_with_parent()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    comm = world() if comm is None else comm
    size, color = comm.size, 0
    if splits:
        mpi: Any = import_module('mpi4py.MPI')
        color = comm.rank * splits // size
        comm = comm.Split(color, comm.rank)
        mpi.COMM_WORLD = comm  # also for code that does not ask for an argument
    standard = [private_descriptor(fd, close=False) for fd in range(3)]
    own_name = f'{name}.{color:d}.{comm.rank:d}'
    payloads = SlotPayloads(folder, own_name, TrustedUsers(Config()))
    restorer = Restorer(standard)
    output = SlotOutput(standard, bytes.fromhex(marker), restorer)
    with closing(connect(address)) as sock:  # once it is soon ready, as the worker waits for that
        slot = Slot(WorkerLink(sock, None), payloads, output, restorer, Ranks(comm))
        if splits or address.startswith('@'):
            die_with(sock)
        if splits or comm.rank:  # the first rank's output is the task's
            output.capture()
        ready = encode(Ready(comm.rank, size, color))
        send_ready(sock, ready, standard[2] if comm.rank else -1)
        slot.serve()


def world() -> Any:
    """Return the communicator of all MPI processes.

    Raises
    ------
    MissingDependencyError
    """
    try:
        from mpi4py import MPI
    except ImportError:
        raise MissingDependencyError(
            'Tasks with mpiprocs_per_worker > 1 need mpi4py where they run. Install it, or the '
            'mpi4py of your MPI: pip install "desipipe[mpi]"'
        ) from None
    return MPI.COMM_WORLD


if __name__ == '__main__':
    main()
