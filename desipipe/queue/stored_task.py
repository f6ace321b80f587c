"""A task of a queue: what its journal and its payloads tell of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .attempt_reader import Attempt
from .events import ENDED, FAILED_ERRNO, STATES, SUCCEEDED, Group
from .ledger import Ledger

if TYPE_CHECKING:
    from ..outputs.notebook import Output
    from .task_events import UsedFile


class StoredTask:
    """A task of a queue; what is costly is read when asked for.

    Its members mean what those of :class:`~desipipe.queue.task.Task` of the same names mean.

    Parameters
    ----------
    ledger : Ledger
    row : int
    """

    def __init__(self, ledger: Ledger, row: int) -> None:
        self.ledger = ledger
        self.row = row

    @property
    def group(self) -> Group:
        """The settings that it shares with other tasks."""
        return self.ledger.state.groups[self.ledger.state.group[self.row]]

    @property
    def name(self) -> str:
        """The app's name."""
        return self.group.name

    @property
    def index(self) -> int:
        """Order of call."""
        return self.ledger.state.index[self.row]

    def load_arguments(self, reference: Callable[[bytes, str], Any]) -> Any:
        """Load the arguments.

        Parameters
        ----------
        reference : callable
            Makes what stands in the place of another task's result, of an identity and an item.
        """
        shared = self.ledger.shared_payload(self.row)
        loaded: Any = self.ledger.load(self.ledger.arguments_payload(self.row), reference)
        common: Any = self.ledger.load(shared, reference) if shared else None
        return {**common, **loaded} if common else loaded

    @property
    def arguments(self) -> dict[str, str]:
        """The arguments as text; nothing is unpickled."""
        return self.ledger.arguments(self.row)

    @property
    def require_ids(self) -> list[str]:
        """Identities of the tasks it needs."""
        state = self.ledger.state
        return [state.ids[row].hex() for row in state.requires.get(self.row, ())]

    @property
    def state(self) -> str:
        """The state's name now."""
        self.ledger.follow()
        return STATES[self.ledger.state.status_shown(self.row)]

    @property
    def attempts(self) -> list[Attempt]:
        """Its attempts that ended, oldest first."""
        return self.ledger.attempts(self.row)

    @property
    def _last(self) -> Attempt | None:
        return self.ledger.last_attempt(self.row)

    @property
    def jobid(self) -> str:
        """The job that runs it, or ran it last; empty if there was none."""
        return self.ledger.job(self.row)

    @property
    def host(self) -> str:
        """The machine that runs it, or ran it last."""
        worker = self.ledger.state.running.get(self.row)
        if worker is not None:
            return worker.host
        last = self._last
        return last.host if last else ''

    @property
    def cause(self) -> str:
        """Why it did not succeed, in words; empty otherwise."""
        return str(self.ledger.cause(self.row).get('text', ''))

    @property
    def errno(self) -> int | None:
        """Error number; None if it has not ended."""
        status = self.ledger.state.status[self.row]
        if status not in ENDED:
            return None
        if status == SUCCEEDED:
            return 0
        return int(self.ledger.cause(self.row).get('errno', FAILED_ERRNO))

    @property
    def out(self) -> str:
        """The text that its last attempt wrote to stdout."""
        return self.ledger.output_text(self.row, 'out')

    @property
    def err(self) -> str:
        """The text that its last attempt wrote to stderr, the traceback included."""
        err = self.ledger.output_text(self.row, 'err')
        if trace := self.ledger.cause(self.row).get('trace'):
            err += self.ledger.read_text(trace)
        return err

    @property
    def outputs(self) -> list[Output]:
        """The outputs of its last attempt, so far if it runs."""
        from .output import outputs

        self.ledger.follow()
        return outputs(self.ledger, self.row)

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the packages that its app uses, where it ran."""
        last = self._last
        if last is None:
            return {}
        return dict(self.ledger.state.versions.get((last.worker, self.group.app), {}))

    @property
    def files(self) -> list[UsedFile]:
        """Files that its last attempt read and wrote through the file manager."""
        last = self._last
        return [] if last is None else self.ledger.files(last.files)

    @property
    def result(self) -> Any:
        """The value that it returned; None if it did not succeed (yet)."""
        if self.ledger.state.status[self.row] != SUCCEEDED:
            return None
        return self.ledger.load_result(self.row)

    @property
    def t0(self) -> float:
        """The start of its last attempt, in seconds since the epoch; -1 if none has begun."""
        if 't0' in (mark := self.ledger.state.marks.get(self.row, {})):
            return float(mark['t0'])
        started = self.ledger.state.running.started(self.row)
        if started is not None:
            return started
        last = self._last
        return last.began if last else -1.0

    @property
    def dtime(self) -> float | None:
        """The duration of its last attempt, in seconds."""
        last = self._last
        return last.duration if last else None
