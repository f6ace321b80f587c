"""Ends of tasks: taken from the slots, and kept until the journal has them."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Sequence

from ...queue.ends import COPY_MAX, End, Successes
from ...queue.events import RUNNING, SUCCEEDED, CauseKind, Ref, StopLevel
from ...queue.ledger import Choose, Ledger
from ..mpi_slot import MPISlot
from ..protocol import (
    DisplayStored,
    PipesRenewed,
    Place,
    TaskDone,
    TaskWaits,
    VersionsFollow,
    VersionsFound,
)
from ..sent_tasks import Sent
from ..slot_memory import Results
from ..slot_process import SlotProcess
from .durations import Durations
from .held import HeldTasks
from .notes import Notes
from .pool import SlotPool
from .rank_files import joint_files
from .stopping import Stopping


class Report:
    """Ends of attempts, with what is to be stored, until they are in the journal.

    Parameters
    ----------
    ledger : Ledger
    limit : int
        Bytes of each output stream to keep of a task; 0: none.
    """

    def __init__(self, ledger: Ledger, limit: int) -> None:
        self._ledger = ledger
        self._limit = limit
        self.ends: list[End] = []
        self.successes: list[Successes] = []
        self.first_at = 0.0
        """Monotonic time of the first end that is not reported."""
        self._payloads: list[tuple[End, str, bytes]] = []  # end, its member, bytes
        self._n_stored = 0  # payloads that are in the segment
        self._is_uncertain = False  # True while it is not known if the last report was written

    def __len__(self) -> int:
        return len(self.ends) + sum(len(batch.rows) for batch in self.successes)

    def __bool__(self) -> bool:
        return bool(self.ends or self.successes)

    def rows(self) -> Iterator[int]:
        """Yield the rows of all attempts in this report."""
        for end in self.ends:
            yield end.row
        for batch in self.successes:
            yield from batch.rows

    def add(self, end: End, now: float, **payloads: bytes | memoryview | Place | None) -> None:
        """Keep the end of an attempt, and here what is to be stored of it."""
        if not self:
            self.first_at = now
        for name, payload in payloads.items():
            if isinstance(payload, bytes):
                if payload and (self._limit or name not in ('out', 'err')):
                    self._payloads.append((end, name, payload))
            elif payload:
                setattr(end, name, Ref(*payload))
        self.ends.append(end)

    def add_successes(self, batch: Successes, now: float) -> None:
        """Keep the ends of attempts that succeeded and left nothing but their results."""
        if not self:
            self.first_at = now
        self.successes.append(batch)

    def write(
        self,
        worker: str,
        back: Sequence[tuple[int, int]],
        want: int,
        mids: Sequence[str],
        identity: str,
        choose: Choose,
    ) -> tuple[list[tuple[int, int]], list[int]]:
        """Store the payloads, then write the ends, give back and claim, with one lock.

        Returns
        -------
        claimed : list of (row, attempt)
        succeeded : list of int
            Rows of the tasks that succeeded, of those that were written.
        """
        self._store()
        if self._is_uncertain:
            self._drop_written()
        self._is_uncertain = True  # an error may come after the lines arrived
        claimed = self._ledger.exchange(
            worker, self.ends, back, want, mids, identity, choose, self.successes, self._is_small()
        )
        self._is_uncertain = False
        succeeded = [end.row for end in self.ends if end.state == SUCCEEDED]
        succeeded += [row for batch in self.successes for row in batch.rows]
        self.ends, self.successes = [], []
        self._payloads, self._n_stored = [], 0
        return claimed, succeeded

    def _store(self) -> None:
        """Write what the ends refer to, and put it on disk unless there are copies.

        It is kept here until the ends are reported.
        """
        writer = self._ledger.writer
        try:
            self._store_new()
            if not self._is_small():
                writer.flush()
        except OSError:
            # What a disk has refused once may be missing on it for ever: all goes to another
            # segment.
            self._n_stored = 0
            for batch in self.successes:
                batch.place = None
            writer.close()
            raise

    def _is_small(self) -> bool:
        """Return True if the line of this report can have copies of all results, if any.

        Other hosts see a segment when it is flushed, and in a group's queue results are claimed.
        """
        ledger = self._ledger
        return (
            not self.ends
            and not (ledger.journal.shared or ledger.is_group_queue)
            and sum(len(batch.data) for batch in self.successes) <= COPY_MAX
        )

    def _store_new(self) -> None:
        new = self._payloads[self._n_stored :]
        batches = [batch for batch in self.successes if batch.place is None]
        if not (new or batches):
            return
        pieces = [payload for _, _, payload in new] + [batch.data for batch in batches]
        segment, offset, _ = self._ledger.store(b''.join(pieces))
        for end, name, payload in new:
            ref = Ref(segment, offset, len(payload))
            offset += len(payload)
            if name != 'trace':
                setattr(end, name, ref)
            elif end.cause is not None:
                end.cause['trace'] = ref
        for batch in batches:
            batch.place = segment, offset
            offset += len(batch.data)
        self._n_stored = len(self._payloads)

    def _drop_written(self) -> None:
        """Drop what the journal holds already, after an error while it was written."""
        self._ledger.follow()
        state = self._ledger.state

        def is_current(row: int, attempt: int) -> bool:
            return state.status[row] == RUNNING and state.attempt[row] == attempt

        self.ends = [end for end in self.ends if is_current(end.row, end.attempt)]
        for i, batch in enumerate(self.successes):
            keep = list(map(is_current, batch.rows, batch.attempts))
            if not all(keep):
                self.successes[i] = batch.selected(keep)
        self.successes = [batch for batch in self.successes if batch.rows]


class SlotMessages:
    """Receiver of what slots say: ends of tasks go to the report.

    Parameters
    ----------
    ledger, pool, held, report, stopping, durations, notes
        Of the worker.
    stops_at_error : bool
        True if the worker ends when a task failed.
    """

    def __init__(
        self,
        ledger: Ledger,
        pool: SlotPool,
        held: HeldTasks,
        report: Report,
        stopping: Stopping,
        durations: Durations,
        notes: Notes,
        stops_at_error: bool,
    ) -> None:
        self._ledger = ledger
        self._pool = pool
        self._held = held
        self._report = report
        self._durations = durations
        self._notes = notes
        self._stopping = stopping
        self._stops_at_error = stops_at_error

    def receive(self, process: SlotProcess) -> None:
        """Take in what a slot has said."""
        for message in process.receive():
            if isinstance(message, Results):
                self._take_results(process, message)
            elif isinstance(message, TaskDone):
                self._end_task(process, message)
            elif isinstance(message, DisplayStored):
                process.shown.append(Ref(*message.reference))
            elif isinstance(message, PipesRenewed):
                self._pool.renew_streams(process)
            elif isinstance(message, TaskWaits):
                self._note_waits(process, message)
            elif isinstance(message, VersionsFollow):
                self._pool.telling.add(process)
            elif isinstance(message, VersionsFound):
                self._pool.telling.discard(process)
                self._notes.add_versions(message)
        if isinstance(process, MPISlot):
            self._pool.watch_ranks()

    def look_at(self, process: SlotProcess) -> None:
        """Find out what a slot runs, and since when; what it did before is received."""
        if process.look():
            self.receive(process)
            process.look()

    def stop_after_current(self, process: SlotProcess) -> None:
        """Take back what a slot has not begun, and receive what it has done.

        One task at most is left, which runs.
        """
        self._held.take_back(process)
        self.receive(process)

    def _note_waits(self, process: SlotProcess, waits: TaskWaits) -> None:
        row, attempt, tids = waits
        if not process.sent or (process.sent[0].row, process.sent[0].attempt) != (row, attempt):
            return
        process.waits_for = tids
        if tids:
            # Slots that start from here on add tasks too, as a rule; what that takes is imported
            # once.
            importlib.import_module('desipipe.serialize.pickling')
        if tids and len(process.sent) > 1:
            self._held.take_back(process)  # what it waits for may be among them

    def _end_task(self, process: SlotProcess, done: TaskDone) -> None:
        if not process.sent:
            return  # it was cancelled, or the slot is being killed
        process.answered = True
        process.waits_for = ()
        now = process.since = time.monotonic()
        if (process.sent[0].row, process.sent[0].attempt) != (done.row, done.attempt):
            text = 'its process reported a task that it did not run: '
            process.kill(CauseKind.EXIT, text + 'user code wrote to its connection')
            return
        task = process.pop()[0]
        self._note_durations(process, [task], [done.duration])
        out, err = process.collect(done.output)
        if process.err.copy is not None and done.trace is not None:
            process.err.copy.write(done.trace)
            process.err.copy.end()
        end = End(
            *(done.row, done.attempt, done.state, done.began, done.duration),
            cause=done.cause,
            memory=done.memory,
            shown=tuple(process.shown),
        )
        process.shown.clear()
        if (done.row, done.attempt) in self._held.outlived:
            end.forgive()
        files = joint_files(self._ledger, task, process) if process.rank_files else done.files
        if files or out or err or done.trace:
            payloads = {'files': files, 'out': out, 'err': err, 'trace': done.trace}
            self._report.add(end, now, result=done.result, **payloads)
        else:
            self._report.add(end, now, result=done.result)
        if self._stops_at_error and self._stopping.level is None and done.state != SUCCEEDED:
            text = 'a task failed, and the mode is stop_at_error'
            self._stopping.request(StopLevel.POLITELY, CauseKind.ERROR, text)

    def _take_results(self, process: SlotProcess, results: Results) -> None:
        """Take in what a slot says of tasks that succeeded and left nothing else."""
        if not process.sent:
            return  # the slot is being killed
        process.answered = True
        process.waits_for = ()
        process.since = time.monotonic()
        if not process.accounts_for(results):
            text = 'its process reported tasks that it did not run: '
            process.kill(CauseKind.EXIT, text + 'user code wrote to its memory')
            return
        tasks = process.pop(len(results.numbers))
        self._note_durations(process, tasks, results.durations)
        rows, attempts = [task.row for task in tasks], [task.attempt for task in tasks]
        columns = results.began, results.durations, results.memory, results.lengths
        self._report.add_successes(Successes(rows, attempts, *columns, results.data), process.since)

    def _note_durations(
        self, process: SlotProcess, tasks: Sequence[Sent], durations: Sequence[int]
    ) -> None:
        group, is_first = tasks[0].group, tasks[0].group not in process.warm
        if is_first:
            process.warm.add(group)
            self._durations.note_first(group, durations[0])
        self._durations.note_results(tasks[is_first:], durations[is_first:])
