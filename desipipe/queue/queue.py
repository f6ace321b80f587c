"""The queue as people hold it: its tasks, what is added, and what they decide."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Never

from ..config import Config
from ..config.option_owners import refuse
from ..errors import QueueGoneError
from ..serialize import Code
from ..terminal import visible
from ..utils import BaseClass
from .acceptance import accept_result
from .adding import NewTasks
from .conditions import (
    has_task,
    hex_of,
    read_properties,
    select_rows,
    several,
    tids_there,
)
from .detached_manager import DetachedManager
from .events import Group, state_code
from .folder import check_group, find_or_create, open_ledger
from .future import Future
from .ledger import Ledger
from .names import SUFFIX, queue_folder
from .overview import (
    count_tasks,
    list_processes,
    mids_of_provider,
    summarize,
    task_managers,
)
from .removal import delete_task, drop_tasks, forget_tasks
from .run_here import take_task
from .selection import Counts, Process
from .stored_app import StoredApp
from .task import Task
from .task_addition import Collected, TaskAddition, use_here
from .uses import Use

if TYPE_CHECKING:
    from .app import App
    from .ending import Ending
    from .jobs import Withdrawn
    from .overview import GivenProvider


class Queue(BaseClass):
    """A queue of tasks, kept in a folder.

    Parameters
    ----------
    name : str
        ``'name'`` in the user's queue folder, ``'user/name'``, or ``'./path/name'``.
    base_dir : path, default=None
        The folder that holds the queue.
    create : bool, default=None
        ``True``: it must be new; ``False``: it must exist; ``None``: it is created when it does not
        exist.
    spawn : bool, default=False
        True to start a detached manager process with the first task.
    config : Config, default=None
    group : str, default=None
        Name of a group that shares the queue, which is made for it; one that exists must be shared
        by it.

    Raises
    ------
    UnknownQueueError, QueueExistsError, InvalidQueueNameError, LockingError, QueueVersionError,
    CorruptJournalError, PermissionDeniedError
    """

    def __init__(
        self,
        name: str | Queue,
        base_dir: str | os.PathLike[str] | None = None,
        create: bool | None = None,
        spawn: bool = False,
        config: Config | None = None,
        group: str | None = None,
        **unknown: Never,
    ) -> None:
        refuse('A queue', unknown, ('base_dir', 'create', 'spawn', 'config', 'group'))
        self.config = config or Config()
        self.folder: str = (
            name.folder if isinstance(name, Queue) else queue_folder(name, base_dir, self.config)
        )
        self.spawn = spawn
        find_or_create(self.folder, create, self.config, group or '')
        self.ledger = open_ledger(self.folder, self.config)
        if group:
            check_group(self.ledger, group)
        self._collected: Collected | None = None  # within `batch`
        self._manager = DetachedManager()

    @property
    def name(self) -> str:
        """The bare name."""
        return os.path.basename(self.folder).removesuffix(SUFFIX)

    @property
    def group(self) -> str:
        """Name of the group that shares the queue; empty if none does."""
        return str(self.ledger.journal.header.get('group', ''))

    @property
    def filename(self) -> str:
        """The journal, which is what there is to know of the queue."""
        return self.ledger.journal.path

    @property
    def dirname(self) -> str:
        """The folder that holds the queue's."""
        return os.path.dirname(self.folder)

    # Adding

    def add(
        self,
        tasks: Task | Iterable[Task],
        replace: bool | None = False,
        lock: bool = True,
        task_manager: Any = None,
    ) -> Any:
        """Add tasks; those that are known already are not added again.

        Parameters
        ----------
        tasks : Task or iterable of Task
        replace : bool, default=False
            Let tasks that ended run again. One that says how it ended (it has run, or
            :meth:`.Task.update` gave it such a state) ends as it says; a new one does so with any
            ``replace``.
        lock : bool, default=True
            Not needed: kept for callers of the original. The lock is always taken.
        task_manager : TaskManager, default=None
            Task manager whose workers run them; by default that of their app, or a default one
            (local, one worker).

        Returns
        -------
        future : Future, or list of Future
        """
        todo: list[Task] = [tasks] if isinstance(tasks, Task) else list(tasks)
        addition = TaskAddition(self.ledger, bool(replace), task_manager)
        for task in todo:
            addition.append(task)
        new = addition.new
        if new.batches:
            self.add_batches(new.tasks())
        addition.finish()
        return addition.futures[0] if isinstance(tasks, Task) else addition.futures

    def use(self, group: Group, code: Code | None = None) -> Use | None:
        """Describe where this process uses the app version of a group."""
        return use_here(self.folder, group, code)

    def add_batches(self, new: NewTasks, sync: bool = False) -> None:
        """Add prepared batches; within :meth:`batch`, later.

        Parameters as for :meth:`.Ledger.add`.
        """
        if self._collected is not None:
            self._collected.extend(new)
            return
        self.ledger.add(new, sync)
        if self.spawn:
            self.keep_spawned()

    @contextlib.contextmanager
    def batch(self) -> Generator[Queue, None, None]:
        """Collect what is added within, and write it at the end in one go.

        Nothing is added if the block raises.
        """
        if self._collected is not None:
            yield self  # the outer one writes
            return
        collected = self._collected = Collected()
        try:
            yield self
        finally:
            self._collected = None
        if collected.batches or collected.uses:
            self.add_batches(collected.tasks(), True)

    def keep_spawned(self) -> None:
        """Start a detached manager if something is pending and none is there."""
        self._manager.keep(self.ledger)

    # Looking

    @property
    def counts(self) -> Counts:
        """Number of tasks by state, without superseded ones, a dictionary.

        ``counts(state=, mid=)`` is the number of tasks that fit.

        RUNNING are those in a slot. What a worker has claimed beside them is PENDING, and
        ``counts.claimed`` is the number of these.
        """
        return count_tasks(self.ledger)

    @property
    def n_superseded(self) -> int:
        """Number of superseded tasks: of code that the notebook or script has no longer.

        They are in none of the :attr:`counts`.
        """
        self.ledger.follow()
        return self.ledger.state.n_superseded

    @property
    def state(self) -> str:
        """``'PAUSED'`` or ``'ACTIVE'``."""
        return 'PAUSED' if self.paused else 'ACTIVE'

    @state.setter
    def state(self, state: str) -> None:
        if state not in ('ACTIVE', 'PAUSED'):
            raise ValueError(f"A queue has no state {state!r}. Use 'ACTIVE' or 'PAUSED'.")
        self.ledger.pause(state == 'PAUSED')

    @property
    def paused(self) -> bool:
        """True if no task of the queue may begin."""
        self.ledger.follow()
        return self.ledger.state.paused

    def pause(self) -> None:
        """Pause the queue: no task begins; running ones go on."""
        self.ledger.pause(True)

    def resume(self, spawn: bool | None = None) -> None:
        """Resume the queue: tasks may begin.

        Parameters
        ----------
        spawn : bool, default=None
            True to start a manager; by default as the queue was opened.
        """
        self.ledger.pause(False)
        if self.spawn if spawn is None else spawn:
            self.keep_spawned()

    def select(
        self,
        tid: str | Iterable[str] | None = None,
        state: str | Iterable[str] | None = None,
        mid: str | Iterable[str] | None = None,
        jobid: str | int | Iterable[str | int] | None = None,
        name: str | Iterable[str] | None = None,
        index: int | Iterable[int] | None = None,
        row: int | Iterable[int] | None = None,
        superseded: bool | None = False,
    ) -> list[int]:
        """Return the rows of the tasks that fit all conditions, in order of their coming.

        Each condition may be one value or several.

        ``superseded``: False: without superseded tasks, unless they are named by ``tid``; True:
        only these; None: with them.
        """
        return select_rows(self.ledger, tid, state, mid, jobid, name, index, row, superseded)

    def tasks(
        self,
        tid: str | Iterable[str] | None = None,
        state: str | Iterable[str] | None = None,
        mid: str | Iterable[str] | None = None,
        jobid: str | int | Iterable[str | int] | None = None,
        name: str | Iterable[str] | None = None,
        index: int | Iterable[int] | None = None,
        one: bool | None = None,
        property: str | Iterable[str] | None = None,
        superseded: bool | None = False,
    ) -> Any:
        """Return the tasks that fit all of the conditions.

        Parameters
        ----------
        tid, state, mid, jobid, name, index : str, int, or iterable of these, default=None
            Identity (or its beginning), state, task manager, job, app's name, order of call.
        one : bool, default=None
            ``True``: the first task that fits, or ``None``; ``False``: a list; by default one task
            if identities, or one name and one index, are given, else a list.
        property : str, list, default=None
            Attribute of the tasks (``'tid'``, ``'state'``, ``'result'``, …) to return instead of
            them; of several a tuple.
        superseded : bool, default=False
            ``False``: without tasks of code that the notebook or script has no longer, unless
            ``tid`` names them; ``True``: only these; ``None``: with them.

        Returns
        -------
        tasks : list of Task, Task, or what was asked for
        """
        if one is None:
            one = tid is not None or (isinstance(name, str) and isinstance(index, int))
        tids = tids_there(self.ledger, tid)
        rows = self.select(tids, state, mid, jobid, name, index, superseded=superseded)
        values: list[Any] = [Task.stored(self.ledger, row) for row in (rows[:1] if one else rows)]
        if property is not None:
            values = read_properties(values, property)
        return (values[0] if values else None) if one else values

    def futures(self, **kwargs: Any) -> list[Future]:
        """Return futures of the tasks that fit; conditions as for :meth:`tasks`."""
        return [Future(self.ledger, self.ledger.state.ids[row]) for row in self.select(**kwargs)]

    def pop(
        self, state: str = 'PENDING', tid: str | None = None, mid: str | None = None, **kwargs: Any
    ) -> Task | None:
        """Take the next pending task as one's own.

        It is RUNNING, and it is for the caller to run it (:meth:`.Task.run`) and to say how it
        ended: ``queue.add(task, replace=True)``, or :meth:`set_task_state`.

        Parameters
        ----------
        tid : str, default=None
            Identity of the task; by default the next.
        mid : str, default=None
            Task manager.
        state : str, default='PENDING'
            State that it is taken from.
        **kwargs
            Other conditions, as for :meth:`tasks`.

        Returns
        -------
        task : Task or None
            ``None`` if there is none.
        """
        return take_task(self.ledger, state, tid, mid, **kwargs)

    def managers(self, mid: str | None = None, property: str | None = None) -> Any:
        """Return the task managers that tasks of this queue belong to.

        Parameters
        ----------
        mid : str, default=None
            Identity of one of them, which is then returned.
        property : str, default=None
            ``'mid'``: return their identities.

        Returns
        -------
        managers : list of TaskManager, or one
        """
        return task_managers(self.ledger, mid, property)

    def add_process(self, pid: int | str, provider: GivenProvider) -> None:
        """Note a process, or a job, that works for this queue and is no worker of it.

        Parameters
        ----------
        pid : int, str
            Number of the process, or the job's id.
        provider : str, BaseProvider
            The provider that started it, or its name. :meth:`kill` ends workers only: end the
            process yourself.
        """
        self.ledger.add_process(str(pid), str(getattr(provider, 'name', provider)))

    def mids_of(self, provider: GivenProvider) -> list[str]:
        """Return the identities of the task managers whose provider has a name."""
        return mids_of_provider(self.ledger, provider)

    def processes(self) -> list[Process]:
        """Return the manager and the workers that live.

        What :meth:`add_process` added comes last. Each is a pair of process or job, and provider.
        """
        return list_processes(self.ledger)

    def summary(self, mid: str | None = None, return_type: str = 'dict') -> Any:
        """Return counts by state, of all tasks or of those of one task manager.

        Parameters
        ----------
        mid : str, default=None
            Task manager.
        return_type : str, default='dict'
            Or ``'str'``.
        """
        return summarize(self.ledger, mid, return_type)

    # Deciding

    def set_task_state(
        self,
        tid: str | Iterable[str],
        state: str,
        jobid: str | int | None = None,
        t0: float | None = None,
    ) -> None:
        """Set the state of tasks by hand; the attempts that run are fenced off.

        Parameters
        ----------
        tid : str or iterable of str
            Identities; a warning tells of those that are not in the queue.
        state : str
            Their state from now on.
        jobid : str, default=None
            Job that they say to be of, until a worker takes them; None: what is known.
        t0 : float, default=None
            Time at which they say to have begun, in seconds since the epoch; None: what is known.
        """
        ledger = self.ledger
        tids = [text for text in several(tid) if text in self]
        for text in several(tid):
            if text not in tids:
                self._tell_unknown(text, 'changed')
        ledger.change(lambda _: [ledger.find(hex_of(text)) for text in tids], state_code(state))
        if jobid is not None or t0 is not None:
            job, began = None if jobid is None else str(jobid), None if t0 is None else float(t0)
            for text in tids:
                ledger.mark(ledger.find(hex_of(text)), job, began)
        if self.spawn:
            self.keep_spawned()

    def retry(
        self,
        tid: str | Iterable[str] | None = None,
        state: str | Iterable[str] = ('FAILED', 'KILLED', 'UNKNOWN'),
        **kwargs: Any,
    ) -> list[Task]:
        """Run finished tasks again; tasks that they blocked wait for them again.

        Parameters
        ----------
        tid : str or iterable of str, default=None
            These, whatever state they ended in, superseded or not; by default all in one of
            ``state`` that are not superseded.
        state : str or iterable of str
            With RUNNING, what runs is given up, and begins again.
        **kwargs
            Other conditions, as for :meth:`tasks`.

        Returns
        -------
        tasks : list of Task
        """
        conditions: dict[str, Any] = (
            {'tid': tid, **kwargs} if tid is not None else {'state': state, **kwargs}
        )
        keep = tid is not None or bool(kwargs.get('superseded'))
        retried = self.ledger.retry(
            lambda _: self.select(**conditions),
            keep,
            running=tid is None and 'RUNNING' in several(state),
        )
        if self.spawn and retried:
            self.keep_spawned()
        return [Task.stored(self.ledger, row) for row in retried]

    def cancel(self, tid: str | Iterable[str] | None = None, **kwargs: Any) -> list[Task]:
        """Cancel tasks that have not ended; conditions as for :meth:`tasks`."""
        return [
            Task.stored(self.ledger, row)
            for row in self.ledger.cancel(lambda _: self.select(tid=tid, **kwargs))
        ]

    def kill(
        self,
        jobid: str | int | Iterable[str | int] | None = None,
        mid: str | Iterable[str] | None = None,
        manager: bool | None = None,
        provider: GivenProvider | None = None,
    ) -> list[str]:
        """End workers at once; what they run is KILLED.

        Parameters
        ----------
        jobid, mid : str or iterable of str, default=None
            Only workers of these jobs, of these task managers.
        manager : bool, default=None
            True if the manager ends too; by default when all workers do.
        provider : str, BaseProvider, default=None
            Only workers of providers of this name.

        Jobs of batch systems that have not begun are withdrawn: by the manager, or here if there is
        none.

        Returns
        -------
        workers : list of str
            Their names.
        """
        return self._ending.kill(jobid, mid, manager, provider)

    def end(
        self,
        jobid: str | Iterable[str] | None = None,
        mid: str | Iterable[str] | None = None,
        manager: bool | None = None,
    ) -> tuple[list[str], Withdrawn]:
        """Do what :meth:`kill` does, and return the withdrawn jobs, too.

        These are the jobs of batch systems that were cancelled here, and those that could not be.
        """
        return self._ending.end(jobid, mid, manager)

    def order_end(
        self,
        jobid: str | Iterable[str] | None = None,
        mid: str | Iterable[str] | None = None,
        manager: bool | None = None,
    ) -> list[str]:
        """Order workers, and the manager, to end, as :meth:`kill` does.

        The jobs of batch systems that have not begun are left to the manager.
        """
        return self._ending.order(jobid, mid, manager)

    def withdraw(
        self, jobid: str | Iterable[str] | None = None, mid: str | Iterable[str] | None = None
    ) -> Withdrawn:
        """Cancel the jobs of batch systems in which no worker lives.

        A manager does that itself; this is for a queue that has none.

        Parameters
        ----------
        jobid, mid : str or iterable of str, default=None
            Only these jobs, only jobs of these task managers.

        Returns
        -------
        withdrawn : Withdrawn
            ``jobids`` of those that were cancelled, and ``errors``, in words.
        """
        return self._ending.withdraw(jobid, mid)

    def wait_stopped(self, timeout: float = 30.0) -> bool:
        """Wait until no worker and no manager is left.

        Return ``False`` after ``timeout`` seconds.
        """
        return self._ending.wait(timeout)

    def clear(self, kill: bool = True) -> None:
        """Forget all tasks. The queue stays.

        Parameters
        ----------
        kill : bool, default=True
            True to end the workers and the manager first. If not, they go on with what is added
            from now on, and tasks that run end by themselves: their results are dropped, or taken
            if the same task is added again.
        """
        from .clearing import clear

        if kill:
            self._ending.stop_all()
        self.ledger.check_use()
        clear(self.ledger, carry=not kill)

    def delete(self, kill: bool = True) -> None:
        """Delete the queue, with all its tasks and results.

        Nothing happens if it is gone already.

        Futures of this process still return results: the small ones, up to 64 MiB altogether.

        Parameters
        ----------
        kill : bool, default=True
            True to end the workers and the manager first. If not, tasks that run end by
            themselves, and their workers end then.
        """
        if not os.path.isdir(self.folder):
            return  # deleted before, perhaps by this very object
        if self.group:
            from .sharing import check_owner

            check_owner(self.ledger, 'delete')
        self._ending.delete_queue(kill)

    def drop(self, tid: str | Iterable[str]) -> None:
        """Take tasks out of the queue.

        Raises
        ------
        UnknownTaskError
            A task that has not ended needs one of them.
        """
        drop_tasks(self.ledger, tid)

    def forget(
        self, tid: str | Iterable[str] | None = None, superseded: bool = False, **kwargs: Any
    ) -> list[str]:
        """Take tasks and their results out of the queue.

        Parameters
        ----------
        tid : str or iterable of str, default=None
            These.
        superseded : bool, default=False
            All that are superseded: of code that the notebook or script has no longer. Those that
            still run stay until they ended.
        **kwargs
            Other conditions, as for :meth:`tasks`.

        Returns
        -------
        forgotten : list of str
            Identities.

        Raises
        ------
        UnknownTaskError
            A task that has not ended needs one of them; nothing was forgotten.
        """
        return forget_tasks(self.ledger, tid, superseded, **kwargs)

    def compact(self) -> dict[str, dict[str, int]]:
        """Rewrite the journal in fewer lines; nothing is lost.

        Small payload files are gathered when no worker lives.

        Returns
        -------
        sizes : dict
            ``before`` and ``after``: ``bytes`` and ``files``.
        """
        from .compact import compact

        self.ledger.check_use()
        return compact(self.ledger)

    def share(self, group: str) -> None:
        """Share the queue with a group; see :func:`~desipipe.queue.sharing.share_queue`."""
        from .sharing import share_queue

        share_queue(self.ledger, group)

    def unshare(self) -> list[str]:
        """Take the queue back from its group.

        Return the names of other users who own files in it, which stay theirs.
        """
        from .sharing import unshare_queue

        return unshare_queue(self.ledger)

    def repair(self) -> int:
        """Move damaged lines of the journal aside, and return how many.

        They go to a file ``journal.damaged-…`` of the queue's folder.
        """
        from .repair import repair

        self.ledger.check_use()
        return repair(self.ledger)

    # Why

    def explain(self, task: Task | Future | str) -> str:
        """Explain why a task waits, or why it is computed.

        That is, computed again, although something like it is known.

        Parameters
        ----------
        task : Task, Future or str
            Also a task that is not in the queue (``app.task(...)``).

        Returns
        -------
        words : str
        """
        from .explain import explain

        return explain(self.ledger, self._task(task))

    def accept(self, old: Task | Future | str, new: Task | Future | str) -> Future:
        """Take the result of ``old`` for ``new`` without computing it.

        Their code or arguments differ.

        Parameters
        ----------
        old : Task, Future or str
            A task that succeeded.
        new : Task, Future or str
            A task of the same app; one that is not in the queue yet is added.

        Returns
        -------
        future : Future
            That of ``new``.

        Raises
        ------
        AppChangedError
            They are not two versions of one call.
        """
        return accept_result(self.ledger, self._task(old), self._task(new))

    def app(self, tid: str) -> App:
        """Return the app of a stored task."""
        return StoredApp(self.ledger, self.ledger.find(hex_of(tid)))

    # Python

    def __getitem__(self, tid: str) -> Task:
        return Task.stored(self.ledger, self.ledger.find(hex_of(tid)))

    def __delitem__(self, tid: str) -> None:
        if tid in self:
            delete_task(self.ledger, tid)
        else:
            self._tell_unknown(tid, 'deleted')

    def __contains__(self, tid: str) -> bool:
        return has_task(self.ledger, tid)

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks(superseded=None))

    def __len__(self) -> int:
        self.ledger.follow()
        return len(self.ledger.state)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        try:
            text = f'<Queue {self.name} {self.state} {len(self):d} tasks, {self.folder}>'
        except QueueGoneError:
            text = f'<Queue {self.name}, deleted, {self.folder}>'
        return visible(text, lines=False)

    def __str__(self) -> str:
        size = f'Queue(size={len(self):d}, state={self.state}, filename={self.filename})'
        return visible(f'{size}\n{self.summary(return_type="str")}')

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Queue) and other.folder == self.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return open_queue, (self.folder, self.spawn)

    def __desipipe_identity__(self) -> str:
        return f'queue {self.name}'

    # Helpers

    @property
    def _ending(self) -> Ending:
        from .ending import Ending

        return Ending(self.ledger, self.name)

    def _task(self, task: Task | Future | str) -> Task:
        if isinstance(task, Future):
            future_task: Task = task.task  # perhaps of another queue
            return future_task
        return self[task] if isinstance(task, str) else task

    def _tell_unknown(self, tid: object, what: str) -> None:
        text = f'No task {hex_of(tid)!r} is in the queue {self.name}. Nothing was {what}.'
        warnings.warn(text, stacklevel=3)


def open_queue(folder: str, spawn: bool = False) -> Queue:
    """Open the queue in ``folder``, which must exist."""
    return Queue(folder, create=False, spawn=spawn)


def queue_of(ledger: Ledger) -> Queue:
    """Return the queue of a ledger, which it shares."""
    queue = open_queue(ledger.folder)
    queue.ledger = ledger
    return queue


__all__ = ['Queue']
