"""Columns of millions of tasks: identities, their index, queues of rows."""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from operator import itemgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, overload


ID = 16  # bytes of an identity
PACKED_FROM = 1 << 17  # rows from which the index is sorted columns; NumPy does not pay for less
NO_ID = bytes(ID)
"""Stands for the identity of a row whose line was lost; no hash is that."""
_ID = struct.Struct(f'{ID:d}s')
GONE = 0xFFFFFFFF  # no row
_WORD = (1 << 64) - 1
# Factors that differ from process to process, so that nobody can choose identities of equal keys.
_HEAD, _TAIL = (hash(name) & _WORD | 1 for name in (b'head', b'tail'))


def split_ids(packed: bytes) -> list[bytes]:
    """Return the identities that stand one after the other."""
    return [tid for (tid,) in _ID.iter_unpack(packed)]


class Identities(Sequence[bytes]):
    """The identities of rows, 16 bytes each; empty for rows whose lines were lost."""

    __slots__ = ('has_lost', 'packed')

    def __init__(self) -> None:
        self.packed = bytearray()
        """All of them, one after the other; zeros for lost ones."""
        self.has_lost = False
        """True if any row has, or had, none."""

    def __len__(self) -> int:
        return len(self.packed) // ID

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, row: int) -> bytes: ...

        @overload
        def __getitem__(self, row: slice) -> list[bytes]: ...

    def __getitem__(self, row: int | slice) -> bytes | list[bytes]:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        if row < 0:
            row += len(self)
        tid = bytes(self.packed[ID * row : ID * row + ID])
        if len(tid) != ID:
            raise IndexError(f'No row {row:d} of {len(self):d}')
        return b'' if self.has_lost and tid == NO_ID else tid

    def __setitem__(self, row: int, tid: bytes) -> None:
        if len(tid) != ID or not 0 <= row < len(self):
            raise ValueError(f'Row {row:d} of {len(self):d} is given {len(tid):d} bytes.')
        self.packed[ID * row : ID * row + ID] = tid

    def __iter__(self) -> Iterator[bytes]:
        packed = bytes(self.packed)
        if len(packed) == ID and not self.has_lost:
            return iter((packed,))
        each = map(itemgetter(0), _ID.iter_unpack(packed))
        return (b'' if tid == NO_ID else tid for tid in each) if self.has_lost else each

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identities) and other.packed == self.packed

    __hash__ = None  # type: ignore[assignment]

    def append(self, tid: bytes) -> None:
        """Add the identity of one more row."""
        if len(tid) != ID:
            raise ValueError(f'An identity has {len(tid):d} bytes.')
        self.packed += tid

    def extend(self, packed: bytes) -> None:
        """Add the identities of more rows, one after the other."""
        if len(packed) % ID:
            raise ValueError(f'Identities have {len(packed):d} bytes.')
        self.packed += packed

    def extend_lost(self, n: int) -> None:
        """Add ``n`` rows without identities."""
        self.has_lost = True
        self.packed += bytes(ID * n)


def are_distinct(ids: Identities) -> bool:
    """Return True if no identity occurs twice; False may be wrong, very rarely."""
    n = len(ids)
    if n < PACKED_FROM:
        return n < 2 or len(set(ids)) == n
    import numpy as np

    return len(np.unique(_keys_of(bytes(ids.packed)))) == len(ids)


class RowIndex(MutableMapping[bytes, int]):
    """Rows by identity: a dictionary whose rows take about 25 bytes instead of 170.

    Recent rows are in a dictionary, all others in columns that are sorted by keys: hashes of
    identities. What has the key is compared with the row in the column of identities.
    """

    __slots__ = ('_ids', '_keys', '_n_gone', '_recent', '_rows', '_starts')

    def __init__(self, ids: Identities, rows: Iterable[tuple[bytes, int]] = ()) -> None:
        self._ids = ids
        self._keys = array('Q')
        self._rows = array('I')
        self._starts = array('I', bytes(4 * ((1 << 16) + 1)))
        """Positions where the keys of each first 16 bits begin."""
        self._n_gone = 0
        self._recent: dict[bytes, int] = dict(rows)
        self._sort()

    def __len__(self) -> int:
        return len(self._rows) - self._n_gone + len(self._recent)

    def _sort(self) -> None:
        """Move the recent rows into the sorted columns, once they are many beside those."""
        if len(self._recent) < max(PACKED_FROM, len(self._rows) >> 4):
            return
        import numpy as np  # Importing it takes longer than all that a small queue needs.

        keys, rows = np.frombuffer(self._keys, np.uint64), np.frombuffer(self._rows, np.uint32)
        if self._n_gone:
            keys, rows = keys[rows != GONE], rows[rows != GONE]
        new = _keys_of(b''.join(self._recent))
        order = np.argsort(new, kind='stable')
        new, new_rows = new[order], np.fromiter(self._recent.values(), np.uint32)[order]
        at = np.searchsorted(keys, new)
        keys, rows = np.insert(keys, at, new), np.insert(rows, at, new_rows)
        self._keys, self._rows = array('Q', keys.tobytes()), array('I', rows.tobytes())
        sizes = np.bincount((keys >> np.uint64(48)).astype(np.int64), minlength=1 << 16)
        self._starts = array('I', [0, *np.cumsum(sizes).tolist()])
        self._n_gone = 0
        self._recent = {}

    def _find(self, tid: bytes) -> int:
        """Return where the sorted columns have an identity; -1 for nowhere."""
        key = _key_of(tid)
        keys, rows, packed = self._keys, self._rows, self._ids.packed
        bucket = key >> 48
        at = bisect_left(keys, key, self._starts[bucket], self._starts[bucket + 1])
        while at < len(keys) and keys[at] == key:
            row = rows[at]
            if row != GONE and packed.startswith(tid, ID * row) and len(tid) == ID:
                return at
            at += 1
        return -1

    def get(self, tid: bytes, default: int | None = None) -> int | None:  # type: ignore[override]
        """Return the row of an identity, or ``default``."""
        row = self._recent.get(tid)
        if row is not None:
            return row
        at = self._find(tid)
        return default if at < 0 else self._rows[at]

    def __getitem__(self, tid: bytes) -> int:
        row = self.get(tid)
        if row is None:
            raise KeyError(tid)
        return row

    def __contains__(self, tid: object) -> bool:
        return isinstance(tid, bytes) and self.get(tid) is not None

    def __setitem__(self, tid: bytes, row: int) -> None:
        """Set the row of an identity, which the column must have at that row."""
        self._remove(self._find(tid))
        self._recent[tid] = row
        self._sort()

    def __delitem__(self, tid: bytes) -> None:
        if self._recent.pop(tid, None) is None:
            at = self._find(tid)
            if at < 0:
                raise KeyError(tid)
            self._remove(at)

    def _remove(self, at: int) -> None:
        if at >= 0:
            self._rows[at] = GONE
            self._n_gone += 1

    def __iter__(self) -> Iterator[bytes]:
        yield from [self._ids[row] for row in self._rows if row != GONE]
        yield from self._recent

    def _may_have(self, packed: bytes) -> bool:
        """Return False if none of the identities is in the sorted columns."""
        if not self._keys:
            return False
        import numpy as np

        # They are sorted, so that the search passes through memory once.
        keys, new = np.frombuffer(self._keys, np.uint64), np.sort(_keys_of(packed))
        at = np.minimum(np.searchsorted(keys, new), len(keys) - 1)
        return bool(np.any(keys[at] == new))

    def rows_of(self, packed: bytes) -> list[int]:
        """Return the rows of those of the identities that are known, in their order."""
        get = self.get if self._may_have(packed) else self._recent.get
        return [row for row in map(get, split_ids(packed)) if row is not None]

    def update_range(self, packed: bytes, first: int) -> None:
        """Set the rows of identities to ``first`` and those that follow it."""
        ids = split_ids(packed)
        if self._may_have(packed):
            for tid in ids:
                self._remove(self._find(tid))
        self._recent.update(zip(ids, range(first, first + len(ids)), strict=True))
        self._sort()


def known_rows(rows: Mapping[bytes, int], ids: Identities) -> list[int]:
    """Return the rows of those of ``ids`` that are known, in their order."""
    if len(ids.packed) == ID:
        row = rows.get(bytes(ids.packed))
        return [] if row is None else [row]
    if isinstance(rows, RowIndex):
        return rows.rows_of(bytes(ids.packed))
    return [row for row in map(rows.get, ids) if row is not None]


def _key_of(tid: bytes) -> int:
    head, tail = int.from_bytes(tid[:8], sys.byteorder), int.from_bytes(tid[8:], sys.byteorder)
    return (head * _HEAD + tail * _TAIL) & _WORD


def _keys_of(packed: bytes) -> Any:
    """Return the keys of many identities, an array."""
    import numpy as np

    halves = np.frombuffer(packed, np.uint64)
    return halves[::2] * np.uint64(_HEAD) + halves[1::2] * np.uint64(_TAIL)


class RowQueue:
    """Rows in an order; neighbours that follow each other are kept as a range."""

    __slots__ = ('_parts',)

    def __init__(self, rows: Iterable[int] = ()) -> None:
        self._parts: deque[int | range] = deque()
        for row in rows:
            self.append(row)

    def __bool__(self) -> bool:
        return bool(self._parts)

    def __iter__(self) -> Iterator[int]:
        for part in self._parts:
            if isinstance(part, int):
                yield part
            else:
                yield from part

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RowQueue) and list(other) == list(self)

    __hash__ = None  # type: ignore[assignment]

    def append(self, row: int) -> None:
        """Add a row at the end."""
        parts = self._parts
        last = parts[-1] if parts else None
        if last is None:
            parts.append(row)
        elif isinstance(last, int):
            if last + 1 == row:
                parts[-1] = range(last, row + 1)
            else:
                parts.append(row)
        elif last.stop == row:
            parts[-1] = range(last.start, row + 1)
        else:
            parts.append(row)

    def extend(self, rows: range) -> None:
        """Add a range of rows at the end."""
        if rows:
            self.append(rows.start)
            last = self._parts[-1]
            first = last if isinstance(last, int) else last.start
            self._parts[-1] = rows.start if first + 1 == rows.stop else range(first, rows.stop)

    def appendleft(self, row: int) -> None:
        """Add a row before all others."""
        self._parts.appendleft(row)

    def drop_until(self, find: Callable[[int, int], int]) -> None:
        """Remove rows from the beginning, up to the first to keep.

        Parameters
        ----------
        find : callable
            Returns the first row to keep from one row up to another, excluded; -1 for none.
        """
        parts = self._parts
        while parts:
            part = parts[0]
            rows = range(part, part + 1) if isinstance(part, int) else part
            row = find(rows.start, rows.stop)
            if row == rows.start:
                return
            parts.popleft()
            if row >= 0:
                parts.appendleft(range(row, rows.stop))
                return

    def without(self, rows: Collection[int]) -> RowQueue:
        """Return the queue of the others, in their order."""
        return RowQueue(row for row in self if row not in rows)
