"""Read events of the journal again, by their offsets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..queue.attempt_reader import AttemptReader
from ..queue.event_checks import check_event
from ..queue.packing import plain_event
from ..store.lines import LINE_MAX, RefusedEvent
from ..store.placement import pieces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..queue.event_types import JournalEvent, LineEvent


def decoded_event(line: bytes, offset: int) -> JournalEvent | None:
    """Return the event of one line of the journal; None if the line is damaged."""
    event: Any = next(
        (piece.event for piece in pieces(line, offset) if piece.offset == offset), None
    )
    if event is None:
        return None
    try:
        # The fold looks at what it needs of frequent events, and at nothing of late ones.
        check_event(event)
    except RefusedEvent:
        return None
    checked: LineEvent = event
    return plain_event(checked)


def event_time(event: JournalEvent | None) -> float:
    """Return the time of an event, in seconds since the epoch; 0.0 where it has none."""
    members: Mapping[str, Any] = {} if event is None else event
    return float(members.get('t', 0.0))


def events_at(
    ledger: AttemptReader, offsets: Iterable[int]
) -> Iterator[tuple[int, JournalEvent | None]]:
    """Yield the events at offsets of the journal, or None where one is damaged."""
    with ledger.journal.open_reader() as file:
        for offset in offsets:
            file.seek(offset)
            yield offset, decoded_event(file.readline(LINE_MAX), offset)
