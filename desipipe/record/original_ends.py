"""Ends of tasks under desipipe 1.0, as ends of this version."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NotRequired, TypedDict

from ..errors import NotSerializableError
from ..queue.events import FAILED, KILLED, SUCCEEDED, UNKNOWN, CauseKind
from ..queue.ledger import Ledger
from ..serialize import dumps
from .import_notes import ImportNotes
from .original_pickles import Deferred, Stored, absent_names, describe_absent
from .original_queue import Row
from .original_tasks import OriginalTask

if TYPE_CHECKING:
    from ..queue.events import Ref
    from ..queue.task_events import Cause
    from ..serialize import Payload

IMPORTED = 'imported'
"""Kind of the cause of what an import ended, and the reason that its worker ended."""
STATES_OF_ENDED = {
    'SUCCEEDED': SUCCEEDED,
    'FAILED': FAILED,
    'KILLED': KILLED,
    'UNKNOWN': UNKNOWN,
    'RUNNING': UNKNOWN,
}
"""States here of tasks that have ended, by those in the old queue."""
_ERROR = re.compile(r'([A-Za-z_][\w.]*)(?::\s|$)')


class EndMembers(TypedDict):
    """Members of the :class:`.End` of an attempt that desipipe 1.0 has stored."""

    duration: int
    """Microseconds."""
    out: NotRequired[Ref]
    err: NotRequired[Ref]
    result: NotRequired[Ref]
    cause: NotRequired[Cause]


class OriginalEnds:
    """Stores what tasks left that have ended."""

    def __init__(self, ledger: Ledger, notes: ImportNotes) -> None:
        self._ledger = ledger
        self._notes = notes
        self.results = 0
        """Number of results that were stored."""

    def store(self, task: OriginalTask) -> EndMembers:
        """Store what a task left; return the members of its end."""
        stored = task.stored
        end: EndMembers = {'duration': _microseconds(stored.get('dtime'))}
        for stream in ('out', 'err'):
            text = stored.get(stream)
            if isinstance(text, str) and text:
                end[stream] = self._ledger.store(text.encode('utf-8', 'surrogateescape'))
        if task.row.state == 'SUCCEEDED':
            end['result'] = self._ledger.store(self._result(task))
            self.results += 1
        else:
            end['cause'] = _cause(task.row, stored)
        return end

    def _result(self, task: OriginalTask) -> Payload:
        value = task.stored.get('result')
        missing = absent_names(value)
        problem = task.content.problem if missing else ''
        if not missing:
            try:
                return dumps(value)
            except NotSerializableError as exc:
                problem = str(exc)
        absent = describe_absent(missing, problem)
        text = f'{task.label}: its result holds {absent}'
        self._notes.add(f'{text}. It is kept, and can be read where that can be imported.')
        return dumps(Deferred(task.data, 'result', absent))


def _microseconds(seconds: object) -> int:
    return round(seconds * 1e6) if isinstance(seconds, int | float) and 0 <= seconds < 1e9 else 0


def _cause(row: Row, task: Stored) -> Cause:
    """Describe why a task did not succeed, as far as the old queue tells."""
    errno = task.get('errno')
    number = errno if isinstance(errno, int) else 42
    if row.state == 'RUNNING':
        text = 'it was RUNNING when its queue was imported; what became of it is not known'
        return {'kind': IMPORTED, 'text': text, 'kinds': [IMPORTED]}
    if row.state == 'UNKNOWN':
        text = 'desipipe 1.0 had lost track of it'
        return {'kind': IMPORTED, 'text': text, 'kinds': [IMPORTED]}
    if row.state == 'KILLED':
        kind: str = CauseKind.KILLED
        text = 'it was killed under desipipe 1.0'
        return {'kind': kind, 'text': text, 'kinds': [kind], 'errno': number}
    lines = [line for line in str(task.get('err') or '').splitlines() if line.strip()]
    last = lines[-1].strip() if lines else 'it failed under desipipe 1.0'
    match = _ERROR.match(last)
    kind = match[1].rpartition('.')[2] if match else CauseKind.EXIT
    return {'kind': kind, 'text': last[:500], 'kinds': [kind], 'errno': number}
