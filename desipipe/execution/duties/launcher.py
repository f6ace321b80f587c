"""Make the slots of a worker: forked children, or MPI processes of a launcher."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ...errors import DesipipeError, QueueGoneError, UnknownNameError
from ...provider.base import BaseProvider, Provider
from ...queue.faults import passes
from ...queue.ledger import Ledger
from ..forked_slot import ForkedSlot
from ..mpi_launcher import Division, SplitSlot
from ..mpi_slot import MPISlot
from ..output_copy import SlotCopies
from ..slot_process import SlotProcess

logger = logging.getLogger('desipipe')


class SlotError(RuntimeError):
    """No slot can be started, now or later: the launcher of MPI processes is absent."""


def find_provider(ledger: Ledger, mid: str | None) -> BaseProvider | None:
    """Return the provider of a task manager; None where tasks run as on this machine."""
    event = ledger.state.managers.get(mid or '')
    if event is None:
        return None
    ledger.check_manager(mid or '')
    try:
        return Provider(event['provider'])
    except UnknownNameError as exc:
        # One of the script that started the manager: it has done its part, and plain tasks need
        # nothing more of it.
        if event['provider'].get('mpiprocs_per_worker', 1) > 1:
            raise
        logger.warning('%s Tasks run as on this machine.', exc)
        return None


class SlotLauncher:
    """Maker of a worker's slots.

    Parameters
    ----------
    ledger : Ledger
    name : str
        Of the worker.
    limit : int
        Bytes of each output stream to keep of a task.
    provider : BaseProvider or None
        Of the worker's task manager.
    division : Division or None
        MPI processes that have come by themselves, for all slots.
    """

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        limit: int,
        provider: BaseProvider | None,
        division: Division | None,
    ) -> None:
        self._ledger = ledger
        self._name = name
        self._limit = limit
        self._provider = provider
        self._divisions = [] if division is None else [division]
        self._n_made = 0
        self._copies: SlotCopies | None = None
        self.is_mpi = division is not None or (
            provider is not None and provider.mpiprocs_per_worker > 1
        )

    def copy_output(self, streams: Iterable[str], share: bool) -> None:
        """Copy the output of slots that are made from now on; ``share``: several slots do."""
        if wanted := frozenset(streams):
            self._copies = SlotCopies(wanted, share, self._limit)

    def make(self, slots: int) -> SlotProcess:
        """Start a slot of a worker that has so many.

        Raises
        ------
        SlotError
            None can be started, now or later.
        """
        try:
            process = self._make(f'{self._name}-{self._n_made:d}', slots)
        except (OSError, DesipipeError) as exc:
            if passes(exc) or isinstance(exc, QueueGoneError):
                raise
            raise SlotError(
                f'No slot can be started: {exc}. See the provider option mpiexec. The tasks are '
                'pending.'
            ) from exc
        finally:
            self._n_made += 1
        if self._copies is not None:
            process.copy_output(self._copies)
        return process

    def _make(self, name: str, slots: int) -> SlotProcess:
        common = (self._ledger.folder, name, self._ledger.trusts, self._limit)
        provider = self._provider
        if self._divisions or (
            provider is not None and self.is_mpi and provider.mpi_splits(slots) > 1
        ):
            return SplitSlot(*common, self._divide(name, slots))
        if provider is not None and self.is_mpi:
            return MPISlot(
                *common,
                lambda argv: provider.mpi_command(list(argv)),
                provider.mpiprocs_per_worker,
                provider.remote_ranks,
            )
        return ForkedSlot(*common)

    def _divide(self, name: str, slots: int) -> Division:
        """Return a launcher that has processes for one more slot."""
        for division in self._divisions:
            if division.free and division.ended() is None:
                return division
        assert self._provider is not None
        provider = self._provider
        # The first is for all slots. Where a part of one has died, what takes its place stands
        # beside the rest.
        splits = 1 if self._divisions else provider.mpi_splits(slots)
        made = Division(
            self._ledger.folder,
            f'{name}-mpi',
            lambda argv: provider.mpi_command(list(argv), splits),
            splits * provider.mpiprocs_per_worker,
            splits,
            provider.remote_ranks,
        )
        self._divisions.append(made)
        return made
