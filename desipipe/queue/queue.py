"""Queues: folders that hold tasks, by name."""

from __future__ import annotations

import contextlib
import errno
import itertools
import operator
import os
import sys
import time
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from shlex import quote
from typing import TYPE_CHECKING, Any

from .. import provenance
from ..config import Config
from ..environment import Environment
from ..errors import (
    AppChangedError,
    ConfigError,
    CorruptJournalError,
    PermissionDeniedError,
    QueueError,
    QueueExistsError,
    QueueGoneError,
    UnknownPropertyError,
    UnknownTaskError,
    close_names,
)
from ..logs import logger
from ..security.trust import TrustedUsers, check_use
from ..serialize import Code
from ..store import journal as journals
from ..store.files import SUBFOLDERS, make_folder, open_file, open_log, share
from ..store.lease import Observer, gone, read_lease
from ..store.probe import probe
from ..store.segment import disk_full
from ..terminal import visible
from ..utils import BaseClass, from_above, is_pattern, mkdir, random_hex
from .adding import Batch
from .authors import mid_of as mid_of
from .conditions import mids_of_names, several, tids_there
from .events import (
    DROPPED,
    FAILED,
    KILLED,
    PENDING,
    RUNNING,
    STATES,
    SUCCEEDED,
    UNKNOWN,
    WAITING,
    Event,
    EventKind,
    Group,
    JournalEvent,
    StopLevel,
    state_code,
)
from .faults import patiently
from .ledger import Ledger, find_mid
from .names import (
    OPEN_PATIENCE_S,
    SUFFIX,
    find_queues,
    import_command,
    original_file,
    queue_exists,
    queue_folder,
    unknown_queue,
)
from .selection import Counts, Process
from .sharing import check_owner, find_group, give_folder, group_name, share_queue, unshare_queue
from .state import State
from .task import Future, StoredApp, Task
from .transactions.decisions import accept_event, begin_here
from .uses import Use, make_use

if TYPE_CHECKING:
    import subprocess

    from .app import App
    from .jobs import Withdrawn

FORGET = 'desipipe forget --superseded'
_STILL_OPEN = (
    errno.ENOTEMPTY,
    errno.EBUSY,
    errno.EEXIST,
)  # of folders whose files have other names while they are open
_REMOVE_PAUSES = (0.05, 0.2, 0.5, 1.0)  # s; what wakes by the deletion closes its files within that
_CONFIRM = 10.0  # s for workers to read that the queue will be deleted


def create_folder(folder: str, config: Config, group: str = '') -> None:
    """Create a queue's folder in one step, after a test of the filesystem's locks.

    Parameters
    ----------
    folder : str
    config : Config
    group : str, default=''
        Name or number of a group that shares the queue.

    Raises
    ------
    LockingError, PermissionDeniedError, DiskFullError, QueueExistsError
        Nothing is left behind.
    """
    gid = find_group(group) if group else -1
    parent = os.path.dirname(folder)
    temporary = f'{folder}.{random_hex(6)}.new'  # not by process id: another host may have the same
    made = list(itertools.takewhile(lambda path: not os.path.isdir(path), _upwards(parent)))
    try:
        mkdir(parent, mode=0o711 if group else 0o700)  # members pass through it
        os.mkdir(temporary, 0o700)
    except PermissionError as exc:
        raise PermissionDeniedError(
            f'You have no permission to create a queue in {parent} ({exc.strerror}). Nothing was '
            'created. Choose another folder with base_dir= or DESIPIPE_QUEUE_DIR.'
        ) from None
    except OSError as exc:
        if exc.errno == errno.EROFS:
            raise PermissionDeniedError(
                f'{parent} is on a read-only filesystem. Nothing was created. Choose another '
                'folder with base_dir= or DESIPIPE_QUEUE_DIR.'
            ) from None
        raise disk_full(exc, parent) from exc
    try:
        try:
            locking = probe(temporary, config.lock)
            for name in SUBFOLDERS:
                make_folder(temporary, name, 0o700)
            fd = open_file(temporary, 'lock', os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            with os.fdopen(fd, 'wb'):
                share(fd, temporary)
            header = {
                'lock': locking.lock,
                'shared': locking.mount.shared,
                'fstype': locking.mount.fstype,
                'lease': config['lease'],
                't': time.time(),
            }
            if group:
                header['group'] = group_name(gid)
            journals.create(
                temporary, {**header, 'name': os.path.basename(folder).removesuffix(SUFFIX)}
            )
            if group:
                _check_shared_lock(locking.lock, folder)
                give_folder(temporary, gid)
        except OSError as exc:
            raise disk_full(exc, parent) from exc
        # A folder appears whole or not at all, also when several processes create the same queue at
        # once: rename does not replace a folder that has something in it.
        os.rename(temporary, folder)
    except OSError as exc:
        # Not looked up: what was absent before stays so for a while on a network filesystem's
        # client.
        if exc.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise QueueExistsError(
                f'There is a queue in {folder} already. Nothing was changed. Open it with '
                f'create=False, or delete it:\ndesipipe delete -q {quote(folder)}'
            ) from None
        raise exc
    finally:
        if os.path.isdir(temporary):
            import shutil

            shutil.rmtree(temporary)
            for path in made:
                with contextlib.suppress(
                    OSError
                ):  # somebody else has put something there meanwhile
                    os.rmdir(path)


def _check_shared_lock(kind: str, folder: str) -> None:
    if kind == 'soft':
        raise ConfigError(
            'Locks of kind "soft", which users do not share, are all that works in '
            f'{os.path.dirname(folder)}. Nothing was created. '
            'Make the queue on another filesystem. See which kinds work:\ndesipipe doctor'
        )


def _upwards(path: str) -> Iterator[str]:
    while True:
        yield path
        path = os.path.dirname(path)


def remove_folder(folder: str) -> None:
    """Remove a deleted queue's folder.

    On NFS a file that another process of this host has open is renamed to ``.nfs…`` instead, and
    goes when that one closes it: until then the folder can't go either. It is tried again for a
    moment, and what remains is left to be removed later.
    """
    for pause in (*_REMOVE_PAUSES, 0.0):
        errors = _remove_what_goes(folder)
        if not errors:
            return
        left = [name for _, _, names in os.walk(folder) for name in names]
        if not all(name.startswith('.nfs') for name in left):
            raise next((exc for exc in errors if exc.errno not in _STILL_OPEN), errors[0])
        time.sleep(pause)
    logger.warning(
        '%s still has files that other processes have open, and is left behind. The queue is '
        'deleted. Remove the rest when they have ended:\nrm -r %s',
        folder,
        quote(folder),
    )


def _remove_what_goes(folder: str) -> list[OSError]:
    """Remove a folder, and go on where something can't be removed; return the errors."""
    errors: list[OSError] = []

    def note(exc: BaseException) -> None:
        if not isinstance(exc, OSError):
            raise exc
        if not isinstance(exc, FileNotFoundError):  # another process removed it
            errors.append(exc)

    import shutil

    if sys.version_info >= (3, 12):
        shutil.rmtree(folder, onexc=lambda _call, _path, exc: note(exc))
    else:
        shutil.rmtree(folder, onerror=lambda _call, _path, info: note(info[1]))
    return errors


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
        Whether to start a detached manager process with the first task.
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
    ) -> None:
        self.config = config or Config()
        self.folder: str = (
            name.folder if isinstance(name, Queue) else queue_folder(name, base_dir, self.config)
        )
        self.spawn = spawn
        exists = queue_exists(self.folder)
        if create is True and exists:
            raise QueueExistsError(
                f'There is a queue in {self.folder} already. Nothing was changed. Open it with '
                f'create=False, or delete it:\ndesipipe delete -q {quote(self.folder)}'
            )
        if create is False and not exists:
            raise unknown_queue(self.folder)
        if not exists:
            try:
                create_folder(self.folder, self.config, group or '')
            except QueueExistsError:
                if create:
                    raise
            else:
                _tell_of_original(self.folder)
        interval, trusts = self.config['sync_interval'], TrustedUsers(self.config)
        self.ledger = patiently(lambda: Ledger(self.folder, interval, trusts), OPEN_PATIENCE_S)
        if group and self.group != group_name(find_group(group)):
            raise QueueError(
                f'The queue in {self.folder} is '
                f'{f"shared by group {self.group}" if self.group else "not shared"}. Nothing was '
                'changed. '
                f'To share it with group {group}:\ndesipipe share -q {quote(self.folder)} --group '
                f'{quote(group)}'
            )
        self._collecting: (
            tuple[list[Batch], dict[str, Code], dict[str, Event], list[Use], list[bytes]] | None
        ) = None
        self._manager: subprocess.Popen[bytes] | None = None
        self._looked = self._started = 0.0

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
            Whose workers run them; by default that of their app, or a default one (local, one
            worker).

        Returns
        -------
        future : Future, or list of Future
        """
        single = isinstance(tasks, Task)
        todo: list[Task] = [tasks] if isinstance(tasks, Task) else list(tasks)
        batches: list[Batch] = []
        codes: dict[str, Code] = {}
        specs: dict[str, Event] = {}
        uses: dict[str, Use | None] = {}
        futures = []
        again = []
        ended: list[Task] = []
        for task in todo:
            is_known = task.is_of(self.ledger) or task.id in self
            if task.ended and (replace or not is_known):
                ended.append(task)
            if task.is_of(self.ledger):
                futures.append(Future(self.ledger, task.tid))
                if replace and not task.ended:
                    again.append(task.tid)
                continue
            batch, code, spec = _packed(task, task_manager)
            group = batch.group
            codes[group.app] = code
            if group.app not in uses:
                uses[group.app] = self.use(group, code)
            specs[group.mid] = spec
            batches.append(batch)
            futures.append(Future(self.ledger, batch.ids[0]))
            if not task.ended:
                again.append(batch.ids[0])
        if batches:
            self.add_batches(
                batches, codes, specs, uses=[use for use in uses.values() if use is not None]
            )
        if replace and again:
            rows = [self.ledger.row(tid) for tid in again]
            self.ledger.retry(lambda state: rows)
        for task in ended:
            self._end(task)
        return futures[0] if single else futures

    def _end(self, task: Task) -> None:
        """End a task as its object says, whether or not that object has run it."""
        if task.report():
            return
        ledger, row = self.ledger, self.ledger.find(task.id)
        ledger.journal.write(lambda: begin_here(ledger.state, [row], time.time()))
        if ledger.state.status[row] == RUNNING:
            task.attach(ledger, row, ledger.state.attempt[row])
            task.report()
        else:  # it needs tasks that have not succeeded
            ledger.change(lambda _: [row], state_code(task.state))

    def use(self, group: Group, code: Code | None = None) -> Use | None:
        """Describe where this process uses the app version of a group."""
        making = provenance.making
        task = (
            making.app
            if making is not None
            and os.path.realpath(making.queue) == os.path.realpath(self.folder)
            else ''
        )
        if making is not None and not task:
            return None  # a task of another queue, which does not tell whether it is current
        return make_use(self.folder, group.name, group.app, group.kind, code, task)

    def add_batches(
        self,
        batches: Sequence[Batch],
        codes: dict[str, Code],
        managers: dict[str, Event],
        sync: bool = False,
        uses: Sequence[Use] = (),
        reused: Sequence[bytes] = (),
    ) -> None:
        """Add prepared batches; within :meth:`batch`, later.

        Parameters as for :meth:`.Ledger.add`.
        """
        if self._collecting is not None:
            self._collecting[0].extend(batches)
            self._collecting[1].update(codes)
            self._collecting[2].update(managers)
            self._collecting[3].extend(uses)
            self._collecting[4].extend(reused)
            return
        self.ledger.add(batches, codes, managers, sync, uses, reused)
        if self.spawn:
            self.keep_spawned()

    @contextlib.contextmanager
    def batch(self) -> Generator[Queue, None, None]:
        """Collect what is added within, and write it at the end in one go.

        Nothing is added if the block raises.
        """
        if self._collecting is not None:
            yield self  # the outer one writes
            return
        self._collecting = ([], {}, {}, [], [])
        try:
            yield self
            collected = self._collecting
        finally:
            self._collecting = None
        batches, codes, managers, uses, reused = collected
        if batches or uses:
            distinct = {(use.key, use.app): use for use in uses}
            self.add_batches(batches, codes, managers, True, list(distinct.values()), reused)

    def keep_spawned(self) -> None:
        """Start a detached manager if something is pending and none is there."""
        # A manager says under the lock that it ends, and only when nothing is left to do: an
        # addition comes before that and is seen, or after it, and then it is known here that
        # another one is needed.
        state = self.ledger.state
        if not state.total(PENDING) or state.paused:
            return
        now = time.monotonic()
        if state.manager is not None:
            if now - self._looked < 1.0:  # whether it was killed costs a file to know
                return
            self._looked = now
            record = read_lease(self.folder, state.manager['w'])
            if record is not None and not gone(record):
                return
        process = self._manager
        if (
            process is not None
            and process.poll() is None
            and state.last_manager.get('pid') != process.pid
        ):
            return  # started, and not there yet
        if now - self._started < 1.0 and process is not None and process.poll():
            return  # it failed at once; not more often than this
        self.ledger.check_use()
        self._started = now
        self._manager = start_manager(self.folder)

    # Looking

    @property
    def counts(self) -> Counts:
        """Number of tasks by state, without superseded ones, a dictionary.

        ``counts(state=, mid=)`` is the number of tasks that fit.

        RUNNING are those in a slot. What a worker has claimed beside them is PENDING, and
        ``counts.claimed`` is the number of these.
        """
        self.ledger.follow()
        state_of_queue = self.ledger.state
        by_state, claimed = state_of_queue.counts_shown()

        def count(state: str | Iterable[str] | None, mid: str | Iterable[str] | None) -> int:
            tables: Iterable[dict[str, int]] = (
                [by_state] if mid is None else map(self.summary, mids_of_names(state_of_queue, mid))
            )
            names = (
                STATES if state is None else [STATES[state_code(text)] for text in several(state)]
            )
            return sum(table.get(name, 0) for table in tables for name in names)

        return Counts(by_state, count, claimed)

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
            Whether to start a manager; by default as the queue was opened.
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
        ledger = self.ledger
        ledger.follow()
        fold = ledger.state
        rows: Iterable[int]
        if tid is not None:
            rows = [ledger.find(_hex(text)) for text in several(tid)]
        else:
            rows = fold.each()
        if state is not None:
            rows = fold.rows_shown(rows, {state_code(text) for text in several(state)})
        if mid is not None:
            mids = set(mids_of_names(fold, mid))
            rows = [row for row in rows if fold.groups[fold.group[row]].mid in mids]
        if name is not None:
            names = set(several(name))
            rows = [row for row in rows if fold.groups[fold.group[row]].name in names]
        if index is not None:
            indices = {index} if isinstance(index, int) else set(index)
            rows = [row for row in rows if fold.index[row] in indices]
        if row is not None:
            wanted = {row} if isinstance(row, int) else set(row)
            rows = [row for row in rows if row in wanted]
        if jobid is not None:
            jobs = set(_job_texts(jobid))
            rows = [row for row in rows if ledger.job(row) in jobs]
        if superseded is not None and (superseded or tid is None):
            rows = [row for row in rows if (row in fold.superseded) == superseded]
        return list(rows)

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
        names = [] if property is None else several(property)
        for text in names:
            if not hasattr(Task, text):
                properties = (
                    member
                    for member in dir(Task)
                    if not member.startswith('_') and member not in dir(BaseClass)
                )
                raise UnknownPropertyError(
                    f'A task has no property {text!r}: {close_names(text, properties, n=30)}'
                )
        ids = tids_there(self, tid)
        rows = self.select(ids, state, mid, jobid, name, index, superseded=superseded)
        values: list[Any] = [Task.stored(self.ledger, row) for row in (rows[:1] if one else rows)]
        if names:
            # The identity as people hold it: text.
            read = operator.attrgetter(*['id' if text == 'tid' else text for text in names])
            values = [
                read(task) if isinstance(property, str) or len(names) > 1 else (read(task),)
                for task in values
            ]
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
        claimed: list[int] = []
        ledger = self.ledger
        code = state_code(state)
        chosen = None
        if tid is not None or kwargs or code != PENDING:
            chosen = self.select(tid=tids_there(self, tid), mid=mid, state=state, **kwargs)

        def decide() -> Sequence[JournalEvent]:
            fold = ledger.state
            if chosen is None:
                mids = list(fold.managers) if mid is None else mids_of_names(fold, mid)
                rows = fold.next_pending(mids, 1)
            else:
                rows = [row for row in chosen if fold.status[row] == code][:1]
            claimed[:] = [] if fold.paused else rows
            return begin_here(fold, claimed, time.time())

        ledger.journal.write(decide)
        return (
            Task.stored(ledger, claimed[0], attempt=ledger.state.attempt[claimed[0]])
            if claimed
            else None
        )

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
        self.ledger.follow()
        state = self.ledger.state
        mids = list(state.managers) if mid is None else [find_mid(state, mid)]
        make = from_above('task_manager') if property is None else None
        managers: list[Any] = mids if make is None else [make(self.ledger, key) for key in mids]
        return managers if mid is None else managers[0]

    def add_process(self, pid: int | str, provider: Any) -> None:
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

    def mids_of(self, provider: Any) -> list[str]:
        """Return the identities of the task managers whose provider has a name."""
        from ..provider import Provider

        self.ledger.follow()
        state = self.ledger.state
        name = provider if isinstance(provider, str) else Provider(provider).name
        return [mid for mid in state.managers if state.provider_name(mid) == name]

    def processes(self) -> list[Process]:
        """Return the manager and the workers that live.

        What :meth:`add_process` added comes last. Each is a pair of process or job, and provider.
        """
        self.ledger.follow()
        state = self.ledger.state
        processes = []
        if state.manager is not None:
            event = state.manager
            processes.append(
                Process('manager', event['w'], event['host'], event['pid'], '', event['t'])
            )
        for worker in state.alive.values():
            provider = 'local' if worker.is_local else state.provider_name(worker.mid)
            processes.append(
                Process(
                    'worker',
                    worker.name,
                    worker.host,
                    worker.pid,
                    worker.job,
                    worker.time,
                    provider,
                )
            )
        return [*processes, *(Process.added(event) for event in state.processes.values())]

    def summary(self, mid: str | None = None, return_type: str = 'dict') -> Any:
        """Return counts by state, of all tasks or of those of one task manager.

        Parameters
        ----------
        mid : str, default=None
            Task manager.
        return_type : str, default='dict'
            Or ``'str'``.
        """
        if mid is None:
            counts = dict(self.counts)
        else:
            self.ledger.follow()
            counts, _ = self.ledger.state.counts_shown(find_mid(self.ledger.state, mid))
        if return_type == 'dict':
            return counts
        if return_type != 'str':
            raise ValueError(f"There is no return_type {return_type!r}. Use 'dict' or 'str'.")
        return '\n'.join(f'{name:<10s}: {counts[name]:d}' for name in STATES)

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
            When they say to have begun, in seconds since the epoch; None: what is known.
        """
        ledger = self.ledger
        tids = [text for text in several(tid) if text in self]
        for text in several(tid):
            if text not in tids:
                self._tell_unknown(text, 'changed')
        ledger.change(lambda _: [ledger.find(_hex(text)) for text in tids], state_code(state))
        if jobid is not None or t0 is not None:
            job, began = None if jobid is None else str(jobid), None if t0 is None else float(t0)
            for text in tids:
                ledger.mark(ledger.find(_hex(text)), job, began)
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
        provider: Any = None,
    ) -> list[str]:
        """End workers at once; what they run is KILLED.

        Parameters
        ----------
        jobid, mid : str or iterable of str, default=None
            Only workers of these jobs, of these task managers.
        manager : bool, default=None
            Whether the manager ends too; by default when all workers do.
        provider : str, BaseProvider, default=None
            Only workers of providers of this name.

        Jobs of batch systems that have not begun are withdrawn: by the manager, or here if there is
        none.

        Returns
        -------
        workers : list of str
            Their names.
        """
        if provider is not None:
            mids = (
                None
                if mid is None
                else {find_mid(self.ledger.state, text) for text in several(mid)}
            )
            mid = [one for one in self.mids_of(provider) if mids is None or one in mids]
        names, withdrawn = self.end(None if jobid is None else _job_texts(jobid), mid, manager)
        for error in withdrawn.errors:
            logger.error('%s', error)
        return names

    def end(
        self,
        jobid: str | Iterable[str] | None = None,
        mid: str | Iterable[str] | None = None,
        manager: bool | None = None,
    ) -> tuple[list[str], Withdrawn]:
        """Do what :meth:`kill` does, and return the withdrawn jobs, too.

        These are the jobs of batch systems that were cancelled here, and those that could not be.
        """
        from .jobs import Withdrawn

        names = self.order_end(jobid, mid, manager)
        here = jobid is not None or mid is not None or not self._is_managed()
        return names, self.withdraw(jobid, mid) if here else Withdrawn([], [])

    def order_end(
        self,
        jobid: str | Iterable[str] | None = None,
        mid: str | Iterable[str] | None = None,
        manager: bool | None = None,
    ) -> list[str]:
        """Order workers, and the manager, to end, as :meth:`kill` does.

        The jobs of batch systems that have not begun are left to the manager.
        """
        self.ledger.follow()
        jobs = None if jobid is None else set(several(jobid))
        mids = None if mid is None else {find_mid(self.ledger.state, text) for text in several(mid)}

        def choose(state: State) -> list[str]:
            return [
                w.name
                for w in state.alive.values()
                if (jobs is None or w.job in jobs or (w.is_local and str(w.pid) in jobs))
                and (mids is None or w.mid in mids)
            ]

        return self.ledger.stop(
            choose, StopLevel.NOW, jobs is None and mids is None if manager is None else manager
        )

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
        from .jobs import withdraw_jobs

        self.ledger.follow()
        mids = None if mid is None else {find_mid(self.ledger.state, text) for text in several(mid)}
        return withdraw_jobs(
            self.ledger, self.name, None if jobid is None else set(several(jobid)), mids
        )

    def _is_managed(self) -> bool:
        manager = self.ledger.state.manager
        if manager is None:
            return False
        record = read_lease(self.folder, manager['w'])
        return record is not None and not gone(record)

    def wait_stopped(self, timeout: float = 30.0) -> bool:
        """Wait until no worker and no manager is left.

        Return ``False`` after ``timeout`` seconds.
        """
        return self.ledger.wait(
            lambda: not self.ledger.state.alive and self.ledger.state.manager is None, timeout
        )

    def clear(self, kill: bool = True) -> None:
        """Forget all tasks. The queue stays.

        Parameters
        ----------
        kill : bool, default=True
            Whether to end the workers and the manager first. If not, they go on with what is added
            from now on, and tasks that run end by themselves: their results are dropped, or taken
            if the same task is added again.
        """
        from .compact import clear

        self._stop(kill)
        self.ledger.check_use()
        clear(self.ledger, carry=not kill)

    def delete(self, kill: bool = True) -> None:
        """Delete the queue, with all its tasks and results.

        Nothing happens if it is gone already.

        Parameters
        ----------
        kill : bool, default=True
            Whether to end the workers and the manager first. If not, tasks that run end by
            themselves, and their workers end then.
        """
        if not os.path.isdir(self.folder):
            return  # deleted before, perhaps by this very object
        if self.group:
            check_owner(self.ledger, 'delete')
        self._stop(kill)
        if not kill:
            self._stop_politely()
            if not self._is_managed():
                self._withdraw_all()
        # Renamed first, under the lock: from here on nobody finds a half-deleted queue, and who
        # waits for the lock finds it gone.
        doomed = f'{self.folder}.{random_hex(6)}.deleted'
        self.ledger.journal.locked(lambda: os.rename(self.folder, doomed))
        self.ledger.close()
        self.ledger.segments.close()
        remove_folder(doomed)

    def _stop(self, kill: bool) -> None:
        if kill:
            self.ledger.end_lost_workers(Observer(self.folder))  # of this machine at once
            self.kill(manager=True)
            self.wait_stopped(10.0)
            self._withdraw_all()

    def _withdraw_all(self) -> None:
        for error in self.withdraw().errors:
            logger.error('%s', error)

    def _stop_politely(self) -> None:
        # Whoever has read the order knows, when the queue is gone, that what runs may end.
        ledger = self.ledger
        asked = ledger.stop(lambda state: list(state.alive), StopLevel.POLITELY, True)
        deadline = time.monotonic() + _CONFIRM

        def confirmed(name: str) -> bool:
            record = read_lease(self.folder, name)
            return record is None or bool(record.get('stop')) or bool(gone(record))

        while time.monotonic() < deadline and not all(confirmed(name) for name in asked):
            time.sleep(0.02)

    def drop(self, tid: str | Iterable[str]) -> None:
        """Take tasks out of the queue.

        Raises
        ------
        UnknownTaskError
            A task that has not ended needs one of them.
        """

        def choose(state: State) -> list[int]:
            rows = [self.ledger.find(_hex(text)) for text in several(tid)]
            _check_needed(state, rows)
            return [row for row in rows if state.status[row] != DROPPED]

        self.ledger.drop(choose)

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
        if tid is None and not superseded and not kwargs:
            raise UnknownTaskError(
                'No task was named. Nothing was forgotten. Name tasks, or forget all superseded '
                f'ones: {FORGET} -q {quote(self.folder)}'
            )
        rows = self.select(tid=tid, superseded=superseded or None, **kwargs)

        def choose(state: State) -> list[int]:
            chosen = [row for row in rows if state.status[row] != DROPPED]
            if superseded:
                chosen = [
                    row
                    for row in chosen
                    if row in state.superseded and state.status[row] != RUNNING
                ]
            _check_needed(state, chosen, superseded)
            return chosen

        return [self.ledger.state.ids[row].hex() for row in self.ledger.drop(choose)]

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
        share_queue(self.ledger, group)

    def unshare(self) -> list[str]:
        """Take the queue back from its group.

        Return the names of other users who own files in it, which stay theirs.
        """
        return unshare_queue(self.ledger)

    def repair(self) -> int:
        """Move damaged lines of the journal aside, and return how many.

        They go to a file ``journal.damaged-…`` of the queue's folder.
        """
        from .compact import repair

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

        if isinstance(task, Future):
            task = task.task
        elif isinstance(task, str):
            task = self[task]
        return explain(self.ledger, task)

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
        source, target = (
            self[item] if isinstance(item, str) else item.task if isinstance(item, Future) else item
            for item in (old, new)
        )
        if source.name != target.name:
            raise AppChangedError(
                f'Cannot accept a result of app {source.name!r} for app {target.name!r}. Nothing '
                'was changed.'
            )
        ledger = self.ledger

        def decide(added: Sequence[JournalEvent]) -> Sequence[JournalEvent]:
            row = ledger.row(source.tid)
            if ledger.state.status[row] != SUCCEEDED:
                raise AppChangedError(
                    f'Task {source.id[:12]} is {source.state} and has no result to accept. Nothing '
                    'was changed.'
                )
            # Where it is new, its own line comes right before.
            rows = [
                event['first'] if event['e'] == EventKind.ADD else event['row']
                for event in added
                if event['e'] in (EventKind.ADD, EventKind.REVIVE)
            ]
            new = rows[0] if rows else ledger.row(target.tid)
            return [accept_event(row, new, time.time())]

        if target.tid in ledger.state.rows:
            ledger.add([], {}, {}, True, then=decide)
        else:
            batch, code, spec = _packed(target, None)
            use = self.use(batch.group, code)
            ledger.add(
                [batch],
                {batch.group.app: code},
                {batch.group.mid: spec},
                True,
                uses=[] if use is None else [use],
                then=decide,
            )
        return Future(ledger, target.tid)

    def app(self, tid: str) -> App:
        """Return the app of a stored task."""
        return StoredApp(self.ledger, self.ledger.find(_hex(tid)))

    # Python

    def __getitem__(self, tid: str) -> Task:
        return Task.stored(self.ledger, self.ledger.find(_hex(tid)))

    def __delitem__(self, tid: str) -> None:
        if tid not in self:
            self._tell_unknown(tid, 'deleted')
            return
        row, state = self.ledger.find(_hex(tid)), self.ledger.state
        if state.status[row] in (FAILED, KILLED, UNKNOWN):  # what needs it cannot run anyway
            self.ledger.drop(lambda state: [row] if state.status[row] != DROPPED else [])
        else:
            self.drop(tid)

    def _tell_unknown(self, tid: object, what: str) -> None:
        warnings.warn(
            f'No task {_hex(tid)!r} is in the queue {self.name}. Nothing was {what}.', stacklevel=3
        )

    def __contains__(self, tid: str) -> bool:
        try:
            self.ledger.find(_hex(tid))
        except UnknownTaskError:
            return False
        return True

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


def restore_first_line(folder: str, config: Config) -> bool:
    """Restore the first line of a queue's journal where that is damaged.

    Parameters
    ----------
    folder : str
        The queue's.
    config : Config

    Returns
    -------
    restored : bool
        True if it was damaged.

    Raises
    ------
    CorruptJournalError
        Nothing of the journal can be read.
    """
    from .compact import restore_header

    try:
        Ledger(folder, None).close()
    except CorruptJournalError:
        pass
    else:
        return False
    check_use(folder, os.path.join(folder, journals.FILE_NAME), TrustedUsers(config))
    result = probe(os.path.dirname(folder), config.lock)
    header = {
        'lock': result.lock,
        'shared': result.mount.shared,
        'fstype': result.mount.fstype,
        'lease': config['lease'],
        't': time.time(),
    }
    if not restore_header(
        folder, {**header, 'name': os.path.basename(folder).removesuffix(SUFFIX)}, result.lock
    ):
        path = os.path.join(folder, journals.FILE_NAME)
        raise CorruptJournalError(
            f'Nothing of {path} can be read. Restore the file from a backup, or start another '
            'queue.',
            path,
            0,
        )
    return True


def open_queue(folder: str, spawn: bool = False) -> Queue:
    """Open the queue in ``folder``, which must exist."""
    return Queue(folder, create=False, spawn=spawn)


def queue_of(ledger: Ledger) -> Queue:
    """Return the queue of a ledger, which it shares."""
    queue = open_queue(ledger.folder)
    queue.ledger = ledger
    return queue


def _spec(task_manager: Any) -> Event:
    """Return the settings of a task manager; of none the default ones."""
    if task_manager is not None:
        return task_manager.to_spec()  # type: ignore[no-any-return]
    return {
        'environ': Environment().to_spec(),
        'scheduler': {'name': 'simple'},
        'provider': {'name': 'local'},
    }


def get_queue(
    queue: str | Queue | Iterable[str | Queue],
    create: bool | None = None,
    one: bool = True,
    config: Config | None = None,
) -> Any:
    """Return the queues of names and patterns.

    Parameters
    ----------
    queue : str, Queue, list
        Names, with ``*``, ``?``, ``[…]`` for several; queues are returned as they are.
    create : bool, default=None
        As for :class:`Queue`. A pattern makes nothing.
    one : bool, default=True
        Return one queue; if False, a list.
    config : Config, default=None

    Returns
    -------
    queue : Queue, list of Queue

    Raises
    ------
    ValueError
        With ``one``, if there are several, or none.
    UnknownQueueError
        If ``create`` is False, and there is no such queue.
    """
    queues: list[Queue] = []
    for item in [queue] if isinstance(queue, str | Queue) else queue:
        if isinstance(item, Queue):
            queues.append(item)
        elif is_pattern(item):
            queues += [
                Queue(folder, create=False, config=config)
                for folder in find_queues(item, config=config)
            ]
        else:
            queues.append(Queue(item, create=create, config=config))
    if one and len(queues) != 1:
        raise ValueError(
            f'{len(queues) or "No"} queues are {queue!r}, where one is meant. List queues with: '
            'desipipe queues'
        )
    return queues[0] if one else queues


def start_manager(folder: str, *options: str) -> subprocess.Popen[bytes]:
    """Start a detached manager process for the queue in ``folder``.

    Parameters
    ----------
    folder : str
    *options : str
        Of ``desipipe spawn``.

    Returns
    -------
    process : subprocess.Popen
    """
    # A session of its own: the terminal's hang-up and Ctrl-C do not reach it. It says in its log,
    # and in the journal, what becomes of it.
    with open_log(os.path.join(folder, 'manager.log')) as log:
        import subprocess

        return subprocess.Popen(
            [sys.executable, '-m', 'desipipe', 'spawn', '-q', folder, '--detached', *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _tell_of_original(folder: str) -> None:
    """Warn that a new queue has the name of one of desipipe 1.0 without its results."""
    old = original_file(folder)
    if old:
        logger.warning(
            '%s is a queue of desipipe 1.0. The new queue %s begins without its results. '
            'To take its tasks and results over, before anything is added to the new one:\n%s',
            old,
            folder,
            import_command(old),
        )


def kill(
    queue: str | Queue | Iterable[str | Queue] | None = None,
    provider: Any = None,
    jobid: str | int | Iterable[str | int] | None = None,
    state: str | Iterable[str] | None = None,
    **kwargs: Any,
) -> list[str]:
    """End the workers of queues at once.

    Parameters
    ----------
    queue : str, Queue, list, default=None
        As for :func:`get_queue`; None: jobs of no queue in particular, by their ids.
    provider : str, dict, BaseProvider, default=None
        Only workers of providers of this name. Without ``queue`` the provider whose jobs these are.
    jobid : str, list, default=None
        Only workers of these jobs.
    state : str, list, default=None
        Cancel tasks in one of these states instead; with ``tid``, ``name`` or ``index``, by default
        RUNNING ones, and of ``tid`` all that have not ended.
    **kwargs
        ``tid``, ``name``, ``index``: cancel these tasks instead; ``mid``, ``manager``: as for
        :meth:`Queue.kill`.

    Returns
    -------
    names : list of str
        Of the workers, or identities of the tasks.

    Raises
    ------
    ValueError
        Neither a queue, nor jobs and their provider are given.
    """
    jobids = (
        None
        if jobid is None
        else [str(one) for one in ([jobid] if isinstance(jobid, str | int) else jobid)]
    )
    if queue is None:
        if jobids is None or provider is None:
            raise ValueError(
                'Say which queue, or which jobs of which provider: kill(jobid=..., provider=...). '
                'Nothing was ended.'
            )
        from ..provider import Provider

        Provider(provider).kill(*jobids)
        return jobids
    of_tasks = state is not None or bool(kwargs.keys() & {'tid', 'name', 'index'})
    if of_tasks and state is None and 'tid' not in kwargs:
        state = 'RUNNING'
    names: list[str] = []
    for one in get_queue(queue, create=False, one=False):
        if not of_tasks:
            names += one.kill(jobid=jobids, provider=provider, **kwargs)
            continue
        conditions = {
            **kwargs,
            **({} if state is None else {'state': state}),
            **({} if jobids is None else {'jobid': jobids}),
        }
        if provider is not None:
            mids = one.mids_of(provider)
            conditions['mid'] = [
                mid for mid in mids if 'mid' not in kwargs or mid in several(kwargs['mid'])
            ]
        names += [task.id for task in one.cancel(**conditions)]
    return names


def retry(
    queue: str | Queue | Iterable[str | Queue],
    state: str | Iterable[str] = 'KILLED',
    spawn: bool = False,
    **kwargs: Any,
) -> list[Task]:
    """Run tasks again; see :meth:`Queue.retry`.

    Parameters
    ----------
    queue : str, Queue, list
        As for :func:`get_queue`.
    state : str or iterable of str, default='KILLED'
        Of the tasks; those of ``tid=`` run again whatever state they ended in.
    spawn : bool, default=False
        Whether to start detached managers.
    **kwargs
        As for :meth:`Queue.retry`.

    Returns
    -------
    tasks : list of Task
    """
    tasks: list[Task] = []
    for one in get_queue(queue, create=False, one=False):
        tasks += one.retry(state=state, **kwargs)
        if spawn:
            one.keep_spawned()
    return tasks


def _packed(task: Task, task_manager: Any) -> tuple[Batch, Code, Event]:
    """Pack one task; also return its app's code and its task manager's specification."""
    app = task.app.loaded()
    spec = _spec(task_manager or getattr(task.app, 'task_manager', None))
    batch = Batch(app.group(mid_of(spec)), task.index)
    app.pack(batch, task.kwargs, bytes.fromhex(batch.group.app))
    return batch, app.description, spec


def _check_needed(state: State, rows: Iterable[int], superseded: bool = False) -> None:
    """Refuse to drop rows that others need which have not ended.

    ``superseded``: those that will never begin do not count.
    """
    chosen = set(rows)
    for row in chosen:
        for other in state.dependants_of(row):
            if other in chosen or state.status[other] not in (WAITING, PENDING, RUNNING):
                continue
            if not (superseded and other in state.superseded):
                raise UnknownTaskError(
                    f'Task {state.ids[row].hex()[:12]} is needed by task '
                    f'{state.ids[other].hex()[:12]}, which has not ended. Nothing was deleted. '
                    f'Cancel or delete that one first.'
                )


def _job_texts(jobid: str | int | Iterable[str | int]) -> list[str]:
    return [str(job) for job in ([jobid] if isinstance(jobid, str | int) else jobid)]


def _hex(value: Any) -> str:
    return value.id if isinstance(value, Future | Task) else str(value)


__all__ = [
    'Queue',
    'create_folder',
    'find_queues',
    'get_queue',
    'kill',
    'open_queue',
    'queue_folder',
    'retry',
]
