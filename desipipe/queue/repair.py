"""Repair of journals: damaged lines go to a file beside them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

from ..store import file_names, files
from ..store.journal_file import FILE_NAME, KNOWN_VERSIONS, first_event, replace
from ..store.lines import scan_lines
from ..store.lock import QueueLock
from ..store.recover import Recovered, recover
from ..store.shared_files import share
from ..store.writing import disk_full
from .events import EventKind
from .ledger import Ledger

if TYPE_CHECKING:
    from ..store.header import Header
    from .event_types import JournalLine


T = TypeVar('T')


class Repaired(NamedTuple):
    """The result of a repair."""

    moved: int
    """Damaged lines that were moved aside."""
    regained: int
    """Lines that were passed over before, since they did not stand in their order."""
    gaps: int
    """Places at which lines were removed."""
    before: int
    """Tasks that were known before."""
    after: int
    lost: int
    """Tasks that are known by their numbers only, as the lines that added them are damaged or
    missing.
    """


def repair(ledger: Ledger) -> int:
    """Move damaged lines of the journal into a file beside it; return how many."""
    return mend(ledger).moved


def mend(ledger: Ledger) -> Repaired:
    """Move damaged lines of the journal into a file beside it.

    Everything that is whole stays, in its order.

    Parameters
    ----------
    ledger : Ledger
    """
    ledger.follow()
    before = len(ledger.state)
    recovered = recovered_of(ledger)

    def events() -> Iterable[JournalLine]:
        nonlocal recovered
        recovered = recovered_of(ledger)
        put_aside(ledger.folder, ledger.journal.header['gen'], recovered)
        kept = _plain_events(recovered)
        return [first_event(_mended(kept[0], recovered)), *kept[1:]]

    gaps = sum(not length for _, length in ledger.state.damage)
    if recovered.damaged or recovered.regained or gaps:
        ledger.journal.replaced(events)
    lost = lost_tasks(ledger, recovered)
    return Repaired(
        len(recovered.damaged), recovered.regained, gaps, before, len(ledger.state), lost
    )


def _mended(header: Header, recovered: Recovered) -> Header:
    """Return a header that says if lost tasks may have come back."""
    is_mended = bool(recovered.damaged or recovered.regained)
    return {**header, 'mended': True} if is_mended else {**header}


def lost_tasks(ledger: Ledger, recovered: Recovered) -> int:
    """Count the tasks whose lines are damaged, as far as that can be known."""
    n_rows = len(ledger.state.status)
    return ledger.state.lost_rows + sum(n for first, n in recovered.added_rows() if first >= n_rows)


def restore_header(folder: str, header: Header, lock: str) -> bool:
    """Restore the first line of a journal; the rest stays as it is recovered.

    Parameters
    ----------
    folder : str
        The queue's folder.
    header : dict
        Members of the ``queue`` event, where nothing is left of the old one.
    lock : str
        Kind of the queue's lock.

    Returns
    -------
    restored : bool
        ``False`` if nothing of the journal can be read.
    """
    with QueueLock(os.path.join(folder, 'lock'), lock):
        fd = files.open_file(folder, FILE_NAME)
        try:
            recovered = recover(scan_lines(fd, 0, os.fstat(fd).st_size))
        finally:
            os.close(fd)
        kept = _plain_events(recovered)
        if not kept:
            return False
        old = [
            event
            for event in kept
            if event['e'] == EventKind.QUEUE and event.get('version') in KNOWN_VERSIONS
        ]
        first = first_event(_mended(old[0] if old else header, recovered))
        put_aside(folder, first['gen'], recovered)
        replace(folder, [first, *(event for event in kept if event['e'] != EventKind.QUEUE)])
    return True


def share_journal(ledger: Ledger, group: str) -> None:
    """Write the group that shares a queue into the first line of its journal.

    With an empty name none does.
    """

    def events() -> list[JournalLine]:
        recovered = recovered_of(ledger)
        put_aside(ledger.folder, ledger.journal.header['gen'], recovered)
        kept = _plain_events(recovered)
        header = _mended(kept[0], recovered)
        header.pop('group', None)
        return [first_event({**header, **({'group': group} if group else {})}), *kept[1:]]

    ledger.journal.replaced(events)


def recovered_of(ledger: Ledger) -> Recovered:
    """Recover the journal as far as it was folded.

    Events that could not be folded are damage.
    """
    recovered = recover(ledger.journal.scan())
    is_damaged = ledger.state.is_damaged
    spoilt = [line for line in recovered.kept if is_damaged(line.offset)]
    if spoilt:
        with ledger.journal.open_reader() as file:
            data = [
                (line.offset, _bytes_at(file, line.offset, line.end - line.at)) for line in spoilt
            ]
        kept = [line for line in recovered.kept if not is_damaged(line.offset)]
        recovered = recovered._replace(kept=kept, damaged=sorted([*recovered.damaged, *data]))
    return recovered


def _bytes_at(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


def put_aside(folder: str, generation: str, recovered: Recovered) -> None:
    """Write the damaged lines of a journal into a file beside it.

    Parameters
    ----------
    folder : str
        The queue's.
    generation : str
        That of the journal.
    recovered : Recovered
    """
    if not recovered.damaged:
        return
    damaged = [data for _, data in recovered.damaged]
    name = f'journal.damaged-{time.strftime("%Y%m%d")}-{file_names.check_name(generation)}'
    path = os.path.join(folder, name)
    try:
        with open(files.open_file(folder, name, os.O_WRONLY | os.O_CREAT), 'wb') as file:
            file.truncate(0)
            share(file.fileno(), folder)
            file.writelines(line if line.endswith(b'\n') else line + b'\n' for line in damaged)
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        raise disk_full(exc, path) from exc


def _plain_events(recovered: Recovered) -> list[Any]:
    return [plain(line.event) for line in recovered.kept]


def plain(event: T) -> T:
    """Return an event without the place where it stands in the journal."""
    return {key: value for key, value in event.items() if key != 'at'}  # type: ignore[attr-defined,return-value]
