"""Identities of tasks, and the rows that have them."""

from __future__ import annotations

from _thread import RLock
from collections.abc import MutableMapping

from .columns import ID, PACKED_FROM, Identities, RowIndex, split_ids
from .processes import ProcessFold

_INDEXED_AT_ONCE = 1 << 16  # rows
_indexing = RLock()


class TaskIndex(ProcessFold):
    """The column of identities, and the rows by these."""

    def _reset_index(self) -> None:
        self.ids = Identities()
        self._rows: MutableMapping[bytes, int] = {}
        self._indexed = 0  # rows whose identities are there, if they are tasks

    @property
    def rows(self) -> MutableMapping[bytes, int]:
        """Rows by identity."""
        # Workers never ask for it, and it takes more memory than all the columns.
        if self._indexed < len(self.ids):
            with _indexing:
                self._index_rest()
        return self._rows

    @property
    def n_tasks(self) -> int:
        """The number of tasks."""
        return len(self._rows) + len(self.ids) - self._indexed

    def _add_ids(self, packed: bytes, n_lost: int = 0) -> None:
        """Add identities of rows that are tasks, or are lost, to the column and the index."""
        with _indexing:
            self._index_rest()
            if n_lost:
                self.ids.extend_lost(n_lost)
            else:
                first = len(self.ids)
                self.ids.extend(packed)
                self._index_rows(packed, first)
            self._indexed = len(self.ids)

    def _index_rest(self) -> None:
        """Index the rows that came since anybody asked for a row by its identity."""
        while self._indexed < len(self.ids):
            first = self._indexed
            last = min(len(self.ids), first + _INDEXED_AT_ONCE)
            self._index_rows(bytes(self.ids.packed[ID * first : ID * last]), first)
            self._indexed = last

    def _index_rows(self, packed: bytes, first: int) -> None:
        n = len(packed) // ID
        if type(self._rows) is dict and len(self._rows) + n >= PACKED_FROM:
            self._rows = RowIndex(self.ids, self._rows.items())
        if isinstance(self._rows, RowIndex):
            self._rows.update_range(packed, first)
        else:
            self._rows.update(zip(split_ids(packed), range(first, first + n), strict=True))
