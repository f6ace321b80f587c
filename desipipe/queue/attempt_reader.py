"""Access to attempts of tasks: causes, output, files, jobs."""

from __future__ import annotations

import orjson

from ..errors import (
    PayloadError,
)
from ..utils.named_tuple import NamedTuple
from .attempt_fold import LOST
from .ends import detail_of, end_at, located
from .event_checks import check_file
from .events import EventKind, Ref
from .packing import plain_event
from .payload_reader import PayloadReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .event_types import JournalEvent, LineEvent
    from .task_events import AppEvent, Cause, UsedFile


class Attempt(NamedTuple):
    """One attempt that ended."""

    number: int
    state: int
    worker: str
    host: str
    job: str
    began: float
    duration: float
    """Seconds."""
    cause: Cause
    out: Ref | None
    err: Ref | None
    result: Ref | None
    counts: bool
    """True if it was the current attempt when it was reported."""
    files: Ref | None = None
    """Files that it read and wrote through the file manager."""
    memory: int = 0
    """The most resident memory of its process, bytes; 0: not known."""
    shown: tuple[Ref, ...] = ()
    """Displays that are too large for its output."""


class AttemptReader(PayloadReader):
    """Details of tasks, which are in the journal and not in the state."""

    def event_at(self, offset: int) -> JournalEvent:
        """Read one event again, as :meth:`.Journal.event_at`, which checks it."""
        read: Any = self.journal.event_at(offset)
        line: LineEvent = read
        event = plain_event(line)
        if event['e'] == EventKind.END:
            return located(event, offset, self.journal.header['gen'])
        return event

    def cause(self, row: int) -> Cause:
        """Return why a task did not succeed: ``kind``, ``text`` and others.

        It is empty if the task succeeded, or nothing is known.
        """
        event = self.again(
            lambda: self.event_at(offset) if (offset := self.state.ended_at[row]) else None
        )
        if event is None:
            return {}
        if event['e'] == EventKind.END:
            detail = detail_of(event, row)
            return {} if detail is None else detail[0].cause or {}
        if event['e'] == EventKind.WORKER:
            return LOST
        return event.get('cause', {}) if event['e'] == EventKind.SET else {}

    def attempts(self, row: int) -> list[Attempt]:
        """All attempts of a task that ended, oldest first."""
        return self.again(lambda: self._attempts(row))

    def _attempts(self, row: int) -> list[Attempt]:
        attempts: list[Attempt] = []
        for offset in self.state.attempts_at(row):
            event = self.event_at(offset)
            if event['e'] != EventKind.END or not event['w']:
                continue  # what a person decided was no attempt
            name = event['w']
            worker = self.state.workers.get(name)
            # One event may speak of a row more than once: in time, and late. Of these the newest
            # can count.
            ends = [end_at(event, i) for i, other in enumerate(event['rows']) if other == row]
            last = max((end.attempt for end in ends), default=0)
            attempts += (
                Attempt(
                    end.attempt,
                    end.state,
                    name,
                    worker.host if worker else '',
                    worker.job if worker else '',
                    end.began,
                    end.duration * 1e-6,
                    end.cause or {},
                    end.out,
                    end.err,
                    end.result,
                    offset == self.state.ended_at[row] and end.attempt == last,
                    end.files,
                    end.memory * 1024,
                    end.shown,
                )
                for end in ends
            )
        # A late report of an attempt comes after what had ended it, also in a journal that was
        # compacted.
        return sorted(attempts, key=lambda attempt: (attempt.number, not attempt.counts))

    def last_attempt(self, row: int) -> Attempt | None:
        """Return the last attempt of a task that counts; None if none has ended."""
        return next((attempt for attempt in reversed(self.attempts(row)) if attempt.counts), None)

    def output_text(self, row: int, stream: str) -> str:
        """Return what the last attempt of a task wrote, without the marks of displays.

        Parameters
        ----------
        row : int
        stream : str
            ``'out'`` or ``'err'``.
        """
        last = self.last_attempt(row)
        ref = getattr(last, stream) if last else None
        text = self.read_text(ref) if ref else ''
        if text and self.state.groups[self.state.group[row]].kind == 'cell':
            from ..outputs.notebook import strip

            return strip(text)
        return text

    def files(self, ref: Ref | None) -> list[UsedFile]:
        """Return the files that an attempt read and wrote.

        Dictionaries with ``do`` (``'read'``, ``'write'``), ``path``, ``size``, ``mtime`` (ns),
        ``sha256``.
        """
        if ref is None:
            return []
        try:
            return [check_file(orjson.loads(line)) for line in bytes(self.read(ref)).splitlines()]
        except ValueError:
            raise self._damaged_payload('files', ref) from None

    def job(self, row: int) -> str:
        """The job that runs a task, or ran it last; empty if there was none."""
        if 'job' in (mark := self.state.marks.get(row, {})):
            return str(mark['job'])
        worker = self.state.running.get(row)
        offset = self.state.ended_at[row]
        if worker is None and offset:
            if self._ended[0] != offset:  # neighbours ended together, as a rule
                self._ended = (offset, self.event_at(offset))
            event = self._ended[1]
            ended_by = event['w'] if event is not None and event['e'] == EventKind.END else ''
            worker = self.state.workers.get(ended_by)
        return '' if worker is None else worker.job

    def code(self, row: int) -> AppEvent:
        """The ``app`` event of a task's app version.

        Raises
        ------
        PayloadError
            Its line was lost.
        """
        app = self.state.groups[self.state.group[row]].app
        event = self.state.apps.get(app)
        if event is None:
            raise PayloadError(
                f'The code of app {app} was in a damaged line of {self.journal.path}: tasks that '
                'use it cannot run. Call the app again to add it.'
            )
        return event
