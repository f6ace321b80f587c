"""Ends of attempts: one by one, and as the columns of an ``end`` event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, compress, count, islice
from operator import add

from ..store.file_names import journal_segment
from .events import FAILED, Ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .attempt_events import EndDetail, EndEvent
    from .task_events import Cause


COPY_MAX = 256  # bytes of results that the line of their report may have copies of
COPIES_AT = len('{"e":"end","data":["')
"""Position in a line of the first copy; a quote, a comma and a quote stand before the next."""


class End:
    """The end of one attempt, as a worker reports it.

    Parameters
    ----------
    row, attempt : int
    state : int
        Code.
    began : float
        Seconds since the epoch.
    duration : int
        Microseconds.
    result, out, err : Ref, default=None
        What it returned or raised; what it wrote.
    files : Ref, default=None
        What it read and wrote through the file manager: see :meth:`.Making.report`.
    shown : tuple of Ref, default=()
        What it displayed that is too large for its output: JSON of the data, the metadata and the
        display's name.
    cause : Cause, default=None
        For what did not succeed.
    memory : int, default=0
        The most resident memory of its process meanwhile, kilobytes (1024 bytes); 0: not known.
    """

    __slots__ = (
        'attempt',
        'began',
        'cause',
        'duration',
        'err',
        'files',
        'memory',
        'out',
        'result',
        'row',
        'shown',
        'state',
    )

    def __init__(
        self,
        row: int,
        attempt: int,
        state: int,
        began: float,
        duration: int,
        result: Ref | None = None,
        out: Ref | None = None,
        err: Ref | None = None,
        cause: Cause | None = None,
        files: Ref | None = None,
        memory: int = 0,
        shown: tuple[Ref, ...] = (),
    ) -> None:
        self.row = row
        self.attempt = attempt
        self.state = state
        self.began = began
        self.duration = duration
        self.result = result
        self.out = out
        self.err = err
        self.cause = cause
        self.files = files
        self.memory = memory
        self.shown = shown

    def forgive(self) -> None:
        """Make a failed task run again, whatever retries are left.

        For attempts from before the queue was cleared: what they needed may be gone with it, as
        the tasks that they had added. If the task was not added again, this changes nothing.
        """
        if self.state == FAILED:
            self.cause = {**(self.cause or {}), 'free': True}


class Successes:
    """Attempts that succeeded and left nothing but their results, as columns.

    Parameters
    ----------
    rows, attempts : list of int
    began : list of int
        Microseconds since the epoch.
    durations : list of int
        Microseconds.
    memory : list of int
        Kilobytes, see :class:`End`.
    lengths : list of int
        Bytes of each result.
    data : bytes
        The results, one after the other.
    """

    __slots__ = ('attempts', 'began', 'data', 'durations', 'lengths', 'memory', 'place', 'rows')

    def __init__(
        self,
        rows: list[int],
        attempts: list[int],
        began: list[int],
        durations: list[int],
        memory: list[int],
        lengths: list[int],
        data: bytes,
    ) -> None:
        self.rows = rows
        self.attempts = attempts
        self.began = began
        self.durations = durations
        self.memory = memory
        self.lengths = lengths
        self.data = data
        self.place: tuple[str, int] | None = None
        """Segment, and offset of the first result, once they are stored."""

    def selected(self, keep: Sequence[bool]) -> Successes:
        """Return those for which ``keep`` is true; they have to be stored again."""

        def some(column: list[int]) -> list[int]:
            return list(compress(column, keep))

        return Successes(
            *(
                some(self.rows),
                some(self.attempts),
                some(self.began),
                some(self.durations),
                some(self.memory),
            ),
            lengths=some(self.lengths),
            data=b''.join(compress(self.pieces(), keep)),
        )

    def pieces(self) -> list[bytes]:
        """Return the bytes of each result."""
        ends = accumulate(self.lengths)
        return [self.data[end - size : end] for end, size in zip(ends, self.lengths, strict=True)]

    def results(self) -> list[Ref]:
        """Return where the results are stored."""
        assert self.place is not None
        segment, first = self.place
        offsets = accumulate(self.lengths, initial=first)
        return [
            Ref(segment, offset, length)
            for offset, length in zip(offsets, self.lengths, strict=False)
        ]


def located(event: EndEvent, offset: int, generation: str) -> EndEvent:
    """Return an ``end`` event that refers to the copies in its line, if it has any.

    A copy is on disk as soon as its line is; the segment may be so later.

    Parameters
    ----------
    event : dict
    offset : int
        Position where its line begins.
    generation : str
        That of the journal.
    """
    if 'data' not in event:
        return event
    n, refs = len(event['rows']), event['ref'].copy()
    refs[::3] = [0] * n
    before = accumulate(map(len, event['data']), initial=offset + COPIES_AT)
    refs[1::3] = islice(map(add, before, count(0, len('","'))), n)
    return {**event, 'seg': [journal_segment(generation)], 'ref': refs}


def detail_of(event: EndEvent, row: int) -> tuple[End, str, float] | None:
    """Return the detail that an ``end`` event gives of one row.

    Returns
    -------
    end, worker, time : End, str, float
        ``None`` if the event does not hold the row.
    """
    if row not in event['rows']:
        return None
    return end_at(event, event['rows'].index(row)), event['w'], event['t']


def end_at(event: EndEvent, i: int) -> End:
    """Return the end that an ``end`` event reports at position ``i``."""
    segment, offset, length = event['ref'][3 * i : 3 * i + 3]
    detail: EndDetail = event['x'].get(str(i), {}) if 'x' in event else {}
    states = event['s']
    return End(
        row=event['rows'][i],
        attempt=event['n'][i],
        state=states if isinstance(states, int) else states[i],
        began=event['t0'] + event['b'][i] * 1e-6,
        duration=event['d'][i],
        result=Ref(event['seg'][segment], offset, length) if segment >= 0 else None,
        out=Ref(*detail['out']) if 'out' in detail else None,
        err=Ref(*detail['err']) if 'err' in detail else None,
        cause=detail.get('cause'),
        files=Ref(*detail['files']) if 'files' in detail else None,
        memory=event['m'][i] if 'm' in event else 0,
        shown=tuple(Ref(*ref) for ref in detail.get('shown', ())),
    )


def retry_text(status: int) -> str:
    """Return the way to run a task again that did not succeed, before the command."""
    if status == FAILED:
        return (
            'Correct the code, and run its cell or script again. If the cause was elsewhere (a '
            'missing file or package), run the task again'
        )
    return 'Run it again'


def forgive_failures(ends: Iterable[End]) -> None:
    """Make all tasks run again that failed, as their queue was cleared meanwhile."""
    for end in ends:
        end.forgive()
