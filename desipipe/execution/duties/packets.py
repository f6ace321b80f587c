"""Make the packets of tasks that a worker hands to its slots, and their settings."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import DesipipeError
from ...queue.authors import Call
from ...queue.events import Ref
from ...queue.ledger import Ledger
from ...store.file_names import is_journal
from ..protocol import GroupSettings, Packet, Place, as_place
from ..sent_tasks import Sent


class PacketMaker:
    """Maker of packets, from the queue's state.

    Parameters
    ----------
    ledger : Ledger
    name : str
        Of the worker.
    """

    def __init__(self, ledger: Ledger, name: str) -> None:
        self._ledger = ledger
        self._name = name
        self._looked: set[str] = set()  # apps of which a slot looks at the versions

    def packet(self, tasks: Sequence[Sent], call: Call | None, wake_after: float) -> Packet:
        """Return the packet of tasks of one group whose arguments are in one segment."""
        state = self._ledger.state
        rows = [task.row for task in tasks]
        requires = {}
        for row in rows if state.requires else ():
            if row in state.requires:
                requires[row] = [
                    (state.ids[other], self._required(other)) for other in state.requires[row]
                ]
        args = [state.args(row) for row in rows] if call is None else [call.args]
        return Packet(
            group=tasks[0].group,
            first=0,
            rows=rows,
            attempts=[task.attempt for task in tasks],
            segment=args[0].segment,
            offsets=[ref.offset for ref in args],
            lengths=[ref.length for ref in args],
            tids=[state.ids[row] for row in rows],
            requires=requires,
            wake_after=wake_after,
        )

    def _required(self, row: int) -> Place | bytes | None:
        """Return where the result of a task is; of one in the journal the bytes.

        The journal may be rewritten before the slot reads it.
        """
        ref = self._ledger.state.result(row)
        if ref is None or not is_journal(ref.segment):
            return _plain(ref)
        ledger = self._ledger
        try:
            return ledger.again(lambda: bytes(ledger.read_trusted(ledger.state.result(row) or ref)))
        except (OSError, DesipipeError):
            return _plain(ref)  # the slot tries again, and says what is wrong

    def settings(self, number: int) -> GroupSettings:
        """Return the settings of a group, which a slot gets before its first task."""
        state = self._ledger.state
        group = state.groups[number]
        event = state.apps[group.app]
        shared = as_place(state.shared[group.shared]['ref']) if group.shared else None
        code = as_place(event['code'])
        if (authors := self._ledger.authors) is not None:
            code = as_place(authors.trusted_ref(authors.claims.codes.get(group.app)) or code)
            shared = shared and as_place(
                authors.trusted_ref(authors.claims.shared.get(group.shared)) or shared
            )
        # What everything is run with is looked at by one slot, after the first task of an app: what
        # it imports is known then.
        look = group.app not in self._looked
        self._looked.add(group.app)
        manager = state.managers.get(group.mid)
        environ = {} if manager is None else manager['environ']
        packages, source = event.get('packages', []), as_place(event['source'])
        return GroupSettings(number, tuple(group), code, shared, packages, source, environ, look)

    def forget_looks(self) -> None:
        """Ask another slot for the versions that one which has ended did not tell."""
        self._looked &= {app for name, app in self._ledger.state.versions if name == self._name}

    def store(self, data: bytes) -> Ref:
        """Store a packet that is too large for a slot's socket."""
        ref = self._ledger.store(data)
        if self._ledger.journal.shared:
            self._ledger.writer.flush()
        return ref


def _plain(ref: Ref | None) -> Place | None:
    return None if ref is None else (ref.segment, ref.offset, ref.length)
