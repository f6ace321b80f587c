"""The report of a worker: ends of attempts that are not in the journal yet."""

from __future__ import annotations

from collections.abc import Iterator

from ...queue.ends import End, Successes
from ...queue.events import RUNNING, SUCCEEDED, Ref
from ...queue.ledger import Ledger
from ..protocol import Place


class Report:
    """Ends of attempts, with what is to be stored, until they are in the journal.

    Parameters
    ----------
    ledger : Ledger
    limit : int
        Bytes of each output stream to keep of a task; 0: none.
    """

    def __init__(self, ledger: Ledger, limit: int) -> None:
        self._ledger = ledger
        self._limit = limit
        self.ends: list[End] = []
        self.successes: list[Successes] = []
        self.first_at = 0.0
        """Monotonic time of the first end that is not reported."""
        self._payloads: list[tuple[End, str, bytes]] = []  # end, its member, bytes
        self._n_stored = 0  # payloads that are in the segment
        self._is_uncertain = False  # True while it is not known if the last report was written

    def __len__(self) -> int:
        return len(self.ends) + sum(len(batch.rows) for batch in self.successes)

    def rows(self) -> Iterator[int]:
        """Yield the rows of all attempts in this report."""
        for end in self.ends:
            yield end.row
        for batch in self.successes:
            yield from batch.rows

    def add(self, end: End, now: float, **payloads: bytes | memoryview | Place | None) -> None:
        """Keep the end of an attempt, and here what is to be stored of it."""
        if not len(self):
            self.first_at = now
        for name, payload in payloads.items():
            if isinstance(payload, bytes):
                if payload and (self._limit or name not in ('out', 'err')):
                    self._payloads.append((end, name, payload))
            elif payload:
                setattr(end, name, Ref(*payload))
        self.ends.append(end)

    def add_successes(self, batch: Successes, now: float) -> None:
        """Keep the ends of attempts that succeeded and left nothing but their results."""
        if not len(self):
            self.first_at = now
        self.successes.append(batch)

    def store(self) -> None:
        """Write what the ends refer to, and put it on disk.

        It is kept here until the ends are reported.
        """
        writer = self._ledger.writer
        try:
            self._store_new()
            writer.flush()
        except OSError:
            # What a disk has refused once may be missing on it for ever: all goes to another
            # segment.
            self._n_stored = 0
            for batch in self.successes:
                batch.place = None
            writer.close()
            raise

    def _store_new(self) -> None:
        new = self._payloads[self._n_stored :]
        batches = [batch for batch in self.successes if batch.place is None]
        if not (new or batches):
            return
        pieces = [payload for _, _, payload in new] + [batch.data for batch in batches]
        segment, offset, _ = self._ledger.store(b''.join(pieces))
        for end, name, payload in new:
            ref = Ref(segment, offset, len(payload))
            offset += len(payload)
            if name != 'trace':
                setattr(end, name, ref)
            elif end.cause is not None:
                end.cause['trace'] = ref
        for batch in batches:
            batch.place = segment, offset
            offset += len(batch.data)
        self._n_stored = len(self._payloads)

    def begin_writing(self) -> None:
        """Begin to write the report: an error may come after its lines arrived.

        After such an error, what the journal holds already is dropped here first.
        """
        if self._is_uncertain:
            self._drop_written()
        self._is_uncertain = True

    def end_writing(self) -> list[int]:
        """Forget what was written; return the rows of the tasks that succeeded."""
        self._is_uncertain = False
        succeeded = [end.row for end in self.ends if end.state == SUCCEEDED]
        succeeded += [row for batch in self.successes for row in batch.rows]
        self.ends, self.successes = [], []
        self._payloads, self._n_stored = [], 0
        return succeeded

    def _drop_written(self) -> None:
        self._ledger.follow()
        state = self._ledger.state

        def is_current(row: int, attempt: int) -> bool:
            return state.status[row] == RUNNING and state.attempt[row] == attempt

        self.ends = [end for end in self.ends if is_current(end.row, end.attempt)]
        for i, batch in enumerate(self.successes):
            keep = list(map(is_current, batch.rows, batch.attempts))
            if not all(keep):
                self.successes[i] = batch.selected(keep)
        self.successes = [batch for batch in self.successes if batch.rows]
