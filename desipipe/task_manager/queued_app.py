"""Apps whose calls are added to a queue."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import UnknownOptionError
from ..queue.adding import Batch, NewTasks
from ..queue.app import App, Shared
from ..queue.conditions import several
from ..queue.events import STATES, state_code
from ..queue.future import Future
from ..queue.future_list import futures_of
from ..queue.queue import Queue
from ..queue.uses import Use
from ..serialize import Code
from ..utils import trim_memory
from .settings import TaskSettings

__all__ = ['QueuedApp']

_PART = 1 << 14  # calls that are bound and packed at once
# bytes: what all calls of a sweep share is stored once from this size on
SHARED_FROM = 1024
_REFERRING = 1000  # calls that have futures in common: one by one these take 30 µs each


class QueuedApp(App):
    """An app whose calls are tasks of the queue of a task manager.

    Parameters
    ----------
    func : callable
    task_manager : TaskSettings, default=None
        Without one the app can be run, and not be called.
    kind : str
        Kind of app, see :class:`~desipipe.queue.app.App`.
    name, state, **options
        As for :meth:`.TaskManager.python_app`.
    """

    task_manager: TaskSettings | None

    def __init__(
        self,
        func: Callable[..., Any],
        task_manager: TaskSettings | None,
        kind: str,
        name: str | bool | None = None,
        state: str | Iterable[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(func, kind, name if isinstance(name, str) else None, **options)
        self.task_manager = task_manager
        self.reuse = bool(name)
        self.reuse_state = state and [STATES[state_code(one)] for one in several(state)]
        self.index = -1
        """Order of the last call; -1 before the first one."""

    @property
    def queue(self) -> Queue:
        """The task manager's queue."""
        return self._managed().queue  # type: ignore[return-value]

    def _managed(self) -> TaskSettings:
        """Return the task manager, which has a queue."""
        if self.task_manager is None or self.task_manager.queue is None:
            owner = 'app' if self.task_manager is None else 'task manager of'
            missing = 'task manager' if self.task_manager is None else 'queue'
            problem = f'The {owner} {self.name!r} has no {missing}. Nothing was added.'
            raise UnknownOptionError(f'{problem} Use: TaskManager(queue, ...).python_app(function)')
        return self.task_manager

    def add(
        self,
        calls: Sequence[dict[str, Any]],
        sync: bool = False,
        common: Mapping[str, Any] | None = None,
    ) -> Sequence[Future]:
        """Add the tasks of calls whose arguments are complete.

        Parameters
        ----------
        calls : sequence of dict
            As :meth:`~desipipe.queue.app.App.bind` makes them.
        sync : bool, default=False
            True if it is on disk when this returns.
        common : mapping, default=None
            Those of the arguments that are the same in all calls: what is large among them is
            stored once.

        Returns
        -------
        futures : list of Future
            In order of the calls; as :meth:`map` gives them.
        """
        return self._add_parts(iter((calls,)), sync, common) if calls else []

    def _add_one(self, arguments: dict[str, Any]) -> Future:
        manager = self._managed()
        queue: Queue = manager.queue  # type: ignore[assignment]
        spec = manager.to_spec()
        group = self.group(manager._mid)
        code = self.last_description  # that of the group: looked at once
        self.index += 1
        batch = Batch(group, self.index)
        tid = self.pack(batch, arguments, code.digest)
        use = queue.use(group, code)
        uses = () if use is None else (use,)
        queue.add_batches(NewTasks([batch], {group.app: code}, {group.mid: spec}, uses))
        return Future(queue.ledger, tid)

    def _add_parts(
        self,
        parts: Iterator[Sequence[dict[str, Any]]],
        sync: bool,
        common: Mapping[str, Any] | None,
    ) -> Sequence[Future]:
        queue, manager = self.queue, self._managed()
        spec = manager.to_spec()
        group = self.group(manager._mid)
        code = self.last_description  # that of the group: looked at once for all calls
        calls = next(parts)
        shared = self._shared(common, len(calls)) if common and len(calls) > 1 else None
        fixed = common if shared is not None and common is not None else {}
        if shared is not None:
            group = group._replace(shared=shared.digest)
        parts = (
            [_without(arguments, fixed) for arguments in part] if fixed else part
            for part in itertools.chain((calls,), parts)
        )
        reusable = self._reusable() if self.reuse else {}
        new = Batch(group, self.index + 1, shared and shared.payload)
        futures: Sequence[Future]
        if reusable:
            futures, batches, reused = self._add_unknown(parts, reusable, new, code, shared)
        else:
            for part in parts:
                self.index += len(part)
                self.pack_all(new, part, code.digest, shared)
            futures, batches, reused = futures_of(queue.ledger, new.ids), [new], []
        uses = self._uses_of(reused)
        if batches and (use := queue.use(group, code)) is not None:
            uses.append(use)
        if batches or reused:
            codes = {group.app: code}
            queue.add_batches(NewTasks(batches, codes, {group.mid: spec}, uses, reused), sync)
        if len(futures) > _PART:
            del new, batches
            trim_memory()
        return futures

    def _shared(self, common: Mapping[str, Any], n_calls: int) -> Shared | None:
        """Store arguments that all calls have apart from them, if that is worth it."""
        shared = self.share(common)
        is_large = shared.payload.nbytes >= SHARED_FROM
        return shared if is_large or (shared.requires and n_calls >= _REFERRING) else None

    def _add_unknown(
        self,
        parts: Iterable[Sequence[dict[str, Any]]],
        reusable: Mapping[int, bytes],
        first: Batch,
        code: Code,
        shared: Shared | None,
    ) -> tuple[list[Future], list[Batch], list[bytes]]:
        """Pack the calls that no task of their order of call stands for.

        List also the tasks that do.
        """
        ledger = self.queue.ledger
        futures: list[Future] = []
        batches: list[Batch] = []
        reused: list[bytes] = []
        batch: Batch | None = None
        for arguments in itertools.chain.from_iterable(parts):
            self.index += 1
            if self.index in reusable:
                reused.append(reusable[self.index])
                futures.append(Future(ledger, reusable[self.index]))
                batch = None
                continue
            if batch is None:
                batch = Batch(first.group, self.index, first.shared)
                batches.append(batch)
            futures.append(Future(ledger, self.pack(batch, arguments, code.digest, shared)))
        return futures, batches, reused

    def _uses_of(self, reused: Sequence[bytes]) -> list[Use]:
        """List the app versions of tasks that are reused.

        They stay current, whatever code they are of.
        """
        ledger = self.queue.ledger
        numbers = {ledger.state.group[ledger.row(tid)] for tid in reused}
        uses = [self.queue.use(ledger.state.groups[number]) for number in numbers]
        return [use for use in uses if use is not None]

    def _reusable(self) -> dict[int, bytes]:
        # By order of call; of several with the same, the newest, and one that is current before one
        # that is superseded.
        ledger = self.queue.ledger
        rows = self.queue.select(name=self.name, state=self.reuse_state, superseded=None)
        rows.sort(key=lambda row: row not in ledger.state.superseded)
        return {ledger.state.index[row]: ledger.state.ids[row] for row in rows}


def map_parts(
    bind_all: Callable[[Sequence[Any]], list[dict[str, Any]]], calls: Iterator[Any]
) -> Iterator[list[dict[str, Any]]]:
    """Yield calls that are bound, as many at once as take a few megabytes."""
    while part := list(itertools.islice(calls, _PART)):
        yield bind_all(part)


def _without(arguments: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in names}
