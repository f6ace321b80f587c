"""Ends of slots, and what becomes of the tasks that they had."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ...provider.job import FREE
from ...queue.ends import End
from ...queue.events import FAILED, KILLED, CauseKind, StopLevel
from ..mpi_launcher import SplitSlot
from ..sent_tasks import Sent
from ..slot_exit import Died
from ..slot_process import SlotProcess
from .job_end import JobEnd
from .packets import PacketMaker
from .parts import WorkerParts
from .report import SlotMessages
from .signals import ENDING

if TYPE_CHECKING:
    from ...queue.task_events import Cause

EMPTY_SLOTS_MAX = 5  # slots that may end without a task before the worker gives up
_LAST_WORDS_MAX = 500  # characters


class SlotEnds:
    """Judge of slots that have ended.

    Parameters
    ----------
    parts : WorkerParts
    retries_at_timeout : bool
        True if tasks that the worker's end has killed run again.
    packets, messages, job_end
        Of the worker.
    """

    def __init__(
        self,
        parts: WorkerParts,
        retries_at_timeout: bool,
        packets: PacketMaker,
        messages: SlotMessages,
        job_end: JobEnd,
    ) -> None:
        self._ledger = parts.ledger
        self._name = parts.name
        self._provider = parts.provider
        self._retries_at_timeout = retries_at_timeout
        self._pool = parts.pool
        self._held = parts.held
        self._report = parts.report
        self._packets = packets
        self._messages = messages
        self._stopping = parts.stopping
        self._job_end = job_end
        self._n_empty = 0  # slots in a row that ended before they took a task

    def collect(self, now: float) -> None:
        """Take in the ends of slots.

        One killed by a signal waits a moment: it may have come to the whole job.
        """
        for process in [process for process in self._pool.processes if process.reap()]:
            if process.killed_by in ENDING and process.sent and process.dying is None:
                process.ended_at = process.ended_at or now
                if self._job_end.wait_for_verdict(process.ended_at, now):
                    continue
            self._on_slot_exit(process)

    def _on_slot_exit(self, process: SlotProcess) -> None:
        self._messages.receive(process)  # what it said before it died counts
        process.drain()
        died = process.died()
        verdict = self._job_end.verdict(time.monotonic())
        if died.kind == CauseKind.SIGNAL and process.killed_by in ENDING and verdict is not None:
            # It came to the whole job, not to this slot.
            died = died._replace(kind=verdict.kind, text=verdict.text)
        self._pool.remove(process)
        self._packets.forget_looks()
        # A slot that was killed for a cancelled task may not have received it yet.
        self._held.put_first([task for task in died.unbegun if self._is_ours(task)])
        running = died.running
        if running is None and died.kind == CauseKind.MPI and self._held.backlog:
            # Not to blame, but every other would meet the same.
            running = self._held.backlog.popleft()
        if running is not None:
            self._end_running(process, died, running)
        last_words = _last_words(process)
        process.close()
        self._lose_given_ranks(process)
        self._n_empty = 0 if running is not None or process.answered else self._n_empty + 1
        if self._n_empty >= EMPTY_SLOTS_MAX and self._stopping.level is None:
            text = f'{EMPTY_SLOTS_MAX:d} slots in a row ended before they took a task '
            self._stopping.request(
                StopLevel.POLITELY, CauseKind.SLOTS, f'{text}({died.text}): {last_words}'
            )
        if self._stopping.level is not None:
            self._held.give_back_all()

    def _lose_given_ranks(self, process: SlotProcess) -> None:
        if isinstance(process, SplitSlot) and process.division.given:
            self._pool.slots -= 1  # nothing can take its place
            if not self._pool.slots:
                text = 'the MPI processes that were given to it have ended'
                self._stopping.request(StopLevel.POLITELY, CauseKind.SLOTS, text)

    def _is_ours(self, task: Sent) -> bool:
        """Return True while an attempt is neither cancelled nor given to another worker."""
        state = self._ledger.state
        me = state.alive.get(self._name)
        return (
            me is not None
            and (task.row in me.rows or task.row in me.draining)
            and state.attempt[task.row] == task.attempt
        )

    def _end_running(self, process: SlotProcess, died: Died, running: Sent) -> None:
        if died.kind == CauseKind.CANCELLED:
            # Its state was set by whoever cancelled it, and this report would not count.
            process.out.remains()
            process.err.remains()
            return
        now = time.monotonic()
        duration = round((now - process.since) * 1e6)
        out, err = process.out.remains(), process.err.remains()
        end = End(
            *(running.row, running.attempt, KILLED, time.time() - duration * 1e-6, duration),
            cause={'kind': died.kind, 'text': died.text, 'kinds': [died.kind], 'errno': -1},
            memory=process.memory,
            shown=tuple(process.shown),
        )
        if (done := process.last_word) is not None:
            end.cause = {} if done.cause is None else done.cause.copy()
            end.cause['text'] += ' (in one MPI process; the others were killed)'
            end.state = done.state
            self._report.add(end, now, out=out, err=err, trace=done.trace)
            return
        if died.kind == CauseKind.MPI:
            end.state = FAILED
        assert end.cause is not None
        end.cause |= self._consequence(process, died.kind)
        self._report.add(end, now, out=out, err=err)

    def _consequence(self, process: SlotProcess, kind: str) -> Cause:
        """Return the members of a cause that say if its task runs again."""
        by_end = (CauseKind.WALLTIME, CauseKind.TERMINATED)
        if kind in (*FREE, CauseKind.NEIGHBOUR) or (kind in by_end and self._retries_at_timeout):
            return {'free': True}
        if kind == CauseKind.WALLTIME and self._provider is not None and self._provider.batch:
            is_free = self._provider.begins_again(not process.answered)
            return {'free': True} if is_free else {'final': True}
        if kind == CauseKind.CANCELLED_JOB:
            return {'kind': CauseKind.KILLED, 'final': True}
        return {}


def _last_words(process: SlotProcess) -> str:
    # In one line, as the last one of our log is what people are shown; Open MPI ends its own with
    # a NUL.
    text = process.err.remains().decode(errors='replace').replace('\0', ' ')
    return ' '.join(text.split())[-_LAST_WORDS_MAX:]
