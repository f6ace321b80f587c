"""Messages of slots to their worker, and what follows from them."""

from __future__ import annotations

import importlib
import time

from ...queue.ends import End, Successes
from ...queue.events import SUCCEEDED, CauseKind, Ref, StopLevel
from ..mpi_slot import MPISlot
from ..protocol import (
    DisplayStored,
    PipesRenewed,
    TaskDone,
    TaskWaits,
    VersionsFollow,
    VersionsFound,
)
from ..slot_memory import Results
from ..slot_process import SlotProcess
from .durations import Durations
from .notes import Notes
from .parts import WorkerParts
from .rank_files import joint_files


class SlotMessages:
    """Receiver of what slots say: ends of tasks go to the report.

    Parameters
    ----------
    parts : WorkerParts
    durations : Durations
    notes : Notes
    stops_at_error : bool
        True if the worker ends when a task failed.
    """

    def __init__(
        self,
        parts: WorkerParts,
        durations: Durations,
        notes: Notes,
        stops_at_error: bool,
    ) -> None:
        self._ledger = parts.ledger
        self._pool = parts.pool
        self._held = parts.held
        self._report = parts.report
        self._durations = durations
        self._notes = notes
        self._stopping = parts.stopping
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
        self._durations.note(task.group, [done.duration])
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
        self._durations.note_results(tasks, results.durations)
        rows, attempts = [task.row for task in tasks], [task.attempt for task in tasks]
        columns = results.began, results.durations, results.memory, results.lengths
        self._report.add_successes(Successes(rows, attempts, *columns, results.data), process.since)
