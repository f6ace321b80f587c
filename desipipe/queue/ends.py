"""Ends of attempts: one by one, and as the columns of an ``end`` event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, compress

from .events import FAILED, Event, Ref


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
    cause : dict, default=None
        For what did not succeed: ``kind`` (exception's class, ``'signal'``, ``'timeout'``, ...),
        ``text``, ``kinds`` (class names to compare with ``retry_on``), ``errno``, ``free`` (goes
        back to the queue and burns no retry), ``final`` (does not go back, whatever retries are
        left).
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
        cause: Event | None = None,
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
        ends = list(accumulate(self.lengths))
        pieces = [self.data[end - size : end] for end, size in zip(ends, self.lengths, strict=True)]

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
            data=b''.join(compress(pieces, keep)),
        )

    def results(self) -> list[Ref]:
        """Return where the results are stored."""
        assert self.place is not None
        segment, first = self.place
        offsets = accumulate(self.lengths, initial=first)
        return [
            Ref(segment, offset, length)
            for offset, length in zip(offsets, self.lengths, strict=False)
        ]


def detail_of(event: Event, row: int) -> tuple[End, str, float] | None:
    """Return the detail that an ``end`` event gives of one row.

    Returns
    -------
    end, worker, time : End, str, float
        ``None`` if the event does not hold the row.
    """
    if row not in event['rows']:
        return None
    return end_at(event, event['rows'].index(row)), event['w'], event['t']


def end_at(event: Event, i: int) -> End:
    """Return the end that an ``end`` event reports at position ``i``."""
    segment, offset, length = event['ref'][3 * i : 3 * i + 3]
    extra = event.get('x', {}).get(str(i), {})
    states = event['s']
    return End(
        row=event['rows'][i],
        attempt=event['n'][i],
        state=states if isinstance(states, int) else states[i],
        began=event['t0'] + event['b'][i] * 1e-6,
        duration=event['d'][i],
        result=Ref(event['seg'][segment], offset, length) if segment >= 0 else None,
        out=Ref(*extra['out']) if 'out' in extra else None,
        err=Ref(*extra['err']) if 'err' in extra else None,
        cause=extra.get('cause'),
        files=Ref(*extra['files']) if 'files' in extra else None,
        memory=event['m'][i] if 'm' in event else 0,
        shown=tuple(Ref(*ref) for ref in extra.get('shown', ())),
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
