"""The end of a slot's process: what it was running, and why it ended."""

from __future__ import annotations

import os
import signal
import time
from typing import NamedTuple

from ..queue.events import CauseKind
from .sent_tasks import Sent
from .shell_process import OOM_WORDS, oom_kills, signal_name

OOM_AGE = 1.0  # s; asking the kernel takes as long as some tasks do
_FAULTS = {
    signal.SIGSEGV: 'segmentation fault',
    signal.SIGBUS: 'bus error',
    signal.SIGABRT: 'abort',
    signal.SIGFPE: 'arithmetic error',
}
_blamed = 0  # out-of-memory kills that slots of this worker were said to have died of


class Died(NamedTuple):
    """A slot's end."""

    running: Sent | None
    """Task that it was running."""
    unbegun: list[Sent]
    text: str
    kind: str


class OutOfMemoryKills:
    """The kernel's out-of-memory kills since a slot got its task.

    The kernel counts such kills of the whole machine since boot. One that came after this slot got
    its task, and that no other slot of ours died of, says what it was as well as can be known: whom
    it killed, the kernel tells only those who may read its log.
    """

    def __init__(self) -> None:
        self._before = oom_kills() - _blamed
        self._counted_at = time.monotonic()

    def begin(self, now: float) -> None:
        """Count anew from here, unless it was counted a moment ago."""
        if now - self._counted_at > OOM_AGE:
            self._before, self._counted_at = oom_kills() - _blamed, now

    def explain(self) -> bool:
        """Return True if there was one; no other slot is then said to have died of it."""
        global _blamed
        is_one = oom_kills() - _blamed > self._before
        _blamed += is_one
        return is_one


def exit_cause(status: int, kills: OutOfMemoryKills) -> tuple[str, str]:
    """Return the kind and text of the cause of a task whose process ended so."""
    if not os.WIFSIGNALED(status):
        text = 'its process ended in the middle (os._exit?) with exit status '
        return CauseKind.EXIT, f'{text}{os.WEXITSTATUS(status):d}'
    number = os.WTERMSIG(status)
    if number == signal.SIGKILL and kills.explain():
        return CauseKind.OOM, OOM_WORDS
    if number == signal.SIGKILL:
        return CauseKind.SIGNAL, 'killed by signal 9 (SIGKILL), from outside of desipipe'
    name = signal_name(number)
    fault = _FAULTS.get(signal.Signals(number), 'killed') if name.startswith('SIG') else 'killed'
    return CauseKind.SIGNAL, f'{fault}: signal {number:d} ({name})'
