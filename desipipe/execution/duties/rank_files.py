"""Files that a task of several MPI processes read and wrote, as one list."""

from __future__ import annotations

import logging

from ...errors import PayloadError
from ...provenance import Making
from ...queue.events import Ref
from ...queue.ledger import Ledger
from ..protocol import Place
from ..sent_tasks import Sent
from ..slot_process import SlotProcess

logger = logging.getLogger('desipipe')


def joint_files(ledger: Ledger, task: Sent, process: SlotProcess) -> bytes | Place:
    """Join what the MPI processes of a task say about files; take it from the slot.

    Any of them may have read what another one wrote: nobody sees what they send each other.
    """
    reports, process.rank_files = process.rank_files, ()
    if len(reports) < 2:
        return reports[0]
    from ...file_manager.note_writing import note_joint

    state = ledger.state
    group = state.groups[task.group]
    making = Making(
        ledger.folder, state.ids[task.row].hex(), task.attempt, group.name, group.app, str
    )
    try:
        ranks = [
            making.join(report if isinstance(report, bytes) else bytes(ledger.read(Ref(*report))))
            for report in reports
        ]
    except (PayloadError, OSError) as exc:
        logger.error(
            'Some of the files that task %s read and wrote are not known: %s', making.tid[:12], exc
        )
    else:
        if any(making.read.keys() - read.keys() for read in ranks):
            note_joint(making)
    return making.report()
