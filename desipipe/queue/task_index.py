"""Identities of tasks, and the rows that have them."""

from __future__ import annotations

from _thread import RLock
from collections.abc import MutableMapping

from .columns import ID, PACKED_FROM, Identities, RowIndex, split_ids
from .events import DROPPED
from .processes import ProcessFold

_AT_ONCE = 1 << 16  # rows


class TaskIndex(ProcessFold):
    """Rows by identity: of all that are not dropped, made when someone asks for one."""

    # Workers never ask, and it takes more memory than all the columns. A row has its state before
    # it has its identity.

    def _reset_index(self) -> None:
        self.ids = Identities()
        self.status = bytearray()
        self._rows: MutableMapping[bytes, int] = {}
        self._n_indexed = 0
        self._is_indexing = False
        self.forked()

    def forked(self) -> None:
        """Renew the lock in a forked child, where no thread of the parent's exists."""
        self._indexing = RLock()

    @property
    def rows(self) -> MutableMapping[bytes, int]:
        """Rows by identity."""
        if self._n_indexed == len(self.ids):
            return self._rows
        with self._indexing:
            if self._is_indexing:  # a signal's handler asks meanwhile, in the same thread
                self._is_indexing = False
                return {tid: row for row, tid in enumerate(self.ids) if self.status[row] != DROPPED}
            while self._n_indexed < len(self.ids):
                self._index_some()
            return self._rows

    def _index_some(self) -> None:
        first = self._n_indexed
        last = min(len(self.ids), first + _AT_ONCE)
        self._is_indexing = True
        try:
            self._index_rows(first, last)
            self._n_indexed = last
        finally:
            if self._n_indexed != last or not self._is_indexing:
                self._rows, self._n_indexed = {}, 0  # it was left in the middle: begin anew
            self._is_indexing = False

    def _index_rows(self, first: int, last: int) -> None:
        packed = bytes(self.ids.packed[ID * first : ID * last])
        if type(self._rows) is dict and len(self._rows) + last - first >= PACKED_FROM:
            self._rows = RowIndex(self.ids, self._rows.items())
        pairs = zip(split_ids(packed), range(first, last), strict=True)
        if self.status.find(DROPPED, first, last) >= 0:
            status = self.status
            self._rows.update((tid, row) for tid, row in pairs if status[row] != DROPPED)
        elif isinstance(self._rows, RowIndex):
            self._rows.update_range(packed, first)
        else:
            self._rows.update(pairs)
