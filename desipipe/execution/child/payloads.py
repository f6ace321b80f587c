"""Payloads that a slot reads and stores."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ...errors import DesipipeError, NotSerializableError
from ...queue.events import Group, Ref
from ...queue.faults import passes, patiently
from ...serialize import Payload, dumps, loads
from ...store.files import Owners
from ...store.segment import SegmentReader
from ...store.segment_writer import SegmentWriter
from ...utils import username
from ..failure import INLINE
from ..protocol import Packet, Place, Requires
from ..slot_environment import private_descriptor

FILES = 16 * 1024  # bytes; longer lists of files, too
SPAN_MAX = 1 << 18  # bytes of the arguments of a packet that are read at once


class SlotPayloads:
    """Reader and writer of the payloads of tasks.

    Parameters
    ----------
    folder : str
        The queue's folder.
    name : str
        For the slot's segment.
    trusts : callable
        Gives True if payloads of a user (by id) may be loaded.
    """

    def __init__(self, folder: str, name: str, trusts: Callable[[int], bool]) -> None:
        self.folder = folder
        self._segments = SegmentReader(folder, private=private_descriptor)
        self._writer = SegmentWriter(folder, name, private=private_descriptor)
        self._trusts = trusts
        self._checked: set[Owners] = set()

    # Reading

    def read(self, name: str, offset: int, length: int) -> bytes | memoryview:
        """Read from a segment, with patience for faults that pass."""
        try:
            return self._segments.read(name, offset, length)
        except (OSError, DesipipeError) as exc:
            if not passes(exc):
                raise
        return patiently(lambda: self._segments.read(name, offset, length))

    def read_trusted(self, name: str, offset: int, length: int) -> bytes | memoryview:
        """Read a payload, after a look at the owners of the file: only of trusted users."""
        data = self.read(name, offset, length)
        owners = self._segments.owners(name)
        if owners not in self._checked:
            self._check(owners)
        return data

    def read_span(self, packet: Packet) -> bytes:
        """Return the arguments of a packet as one block.

        It is empty where they have to be read one by one.
        """
        length = packet.offsets[-1] + packet.lengths[-1] - packet.offsets[0]
        if not 0 < length <= SPAN_MAX:
            return b''
        try:
            return bytes(self.read_trusted(packet.segment, packet.offsets[0], length))
        except (OSError, DesipipeError):
            return b''  # the tasks that are concerned say why

    def load(self, ref: Ref, resolve: Callable[..., Any] | None = None) -> Any:
        """Load a value; ``resolve`` makes that of a required task."""
        return loads(self.read_trusted(*ref), resolve)

    def resolver(self, requires: Requires) -> Callable[..., Any]:
        """Return what loads the values of required tasks, each of them once."""
        references = dict(requires)
        values: dict[bytes, Any] = {}

        def resolve(tid: bytes, item: str = '') -> Any:
            if tid not in values:
                reference = references[tid]
                if isinstance(reference, bytes):
                    values[tid] = loads(reference)
                else:
                    values[tid] = None if reference is None else self.load(Ref(*reference))
            return values[tid][item] if item else values[tid]

        return resolve

    def _check(self, owners: Owners) -> None:
        owner = owners.file  # whose folder it is, the worker has looked at
        if not self._trusts(owner):
            user = username(owner)
            raise DesipipeError(
                f'What this task needs was written by user {user}, whom the worker does not trust: '
                f'it was not loaded. To trust them, set DESIPIPE_TRUST={user} where the worker is '
                'started.'
            )
        self._checked.add(owners)

    # Storing

    def store(self, payload: Payload) -> Place:
        """Store a payload; what was computed is not lost to a fault that passes."""

        def write() -> Place:
            offset = self._writer.append(payload.parts, payload.aligned)
            self._writer.flush()
            return self._writer.name, offset, payload.nbytes

        def tell(exc: BaseException) -> None:
            print(
                f'desipipe: the result cannot be stored yet, it is tried again: {exc}',
                file=sys.stderr,
            )

        return patiently(write, tell=tell)

    def kept(self, group: Group, value: Any) -> bytes | memoryview | Place:
        """Return a result as it is reported: its bytes, or where these are stored."""
        payload = _carried(group, value)
        if payload.nbytes <= INLINE and not payload.aligned:
            return payload.parts[0]
        return self.store(payload)

    def kept_files(self, report: bytes) -> bytes | Place:
        """Return a list of files as it is reported: its bytes, or where these are stored."""
        if len(report) <= FILES:
            return report
        return self.store(Payload([report], len(report), False))


def _carried(group: Group, value: Any) -> Payload:
    try:
        return dumps(value)
    except NotSerializableError as exc:
        if group.kind != 'cell':
            raise
        raise NotSerializableError(
            f'{exc} A cell gives back what it assigns last: --out NAME gives another one.'
        ) from None
