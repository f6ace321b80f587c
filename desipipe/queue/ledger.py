"""Queue operations. Each takes the lock, reads to the end, decides, and appends events.

The queue of users (:mod:`desipipe.queue`), the worker and the manager all go through here.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, islice
from shlex import quote
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import orjson

from ..config import Config
from ..errors import (
    CorruptJournalError,
    DesipipeError,
    PayloadError,
    QueueGoneError,
    ResultError,
    UnknownTaskError,
    UntrustedQueueError,
    close_names,
)
from ..security.trust import TrustedUsers, check_use, load_refusal
from ..serialize import Code, Payload, loads
from ..store import files
from ..store.files import Owners
from ..store.journal import SYNC_INTERVAL, Journal, writer_name
from ..store.lease import Observer
from ..store.lock import tell_fork
from ..store.pacing import LEASES_FREE, WORKERS_FREE
from ..store.segment import ALIGNMENT, SegmentReader, SegmentWriter, segment_path
from ..store.watch import Watcher
from ..utils import trim_memory, username
from .adding import TEXT, Addition, Batch, Records, Written
from .authors import (
    Authors,
    Call,
    Claims,
    ClaimsWriter,
    code_claim,
    digest_of,
    result_claim,
    shared_claim,
    task_claims,
)
from .columns import ID, known_rows
from .ends import End, Successes, detail_of, end_at
from .event_checks import check_file
from .events import (
    DROPPED,
    LOST,
    OPTIONS,
    PENDING,
    RUNNING,
    SUCCEEDED,
    Event,
    EventKind,
    Group,
    JournalEvent,
    Reason,
    Ref,
    StopLevel,
)
from .state import NOWHERE, State
from .transactions.attempts import (
    Judgement,
    back_event,
    claim,
    end_event,
    end_worker,
    end_workers,
    mark_lost,
    successes_events,
    vanished,
)
from .transactions.decisions import (
    accept_event,
    cancel,
    drop_event,
    mark_event,
    pause_event,
    retry,
    rows_to_cancel,
    rows_to_retry,
    rows_to_set,
    set_events,
)
from .transactions.processes import (
    job_event,
    manager_end_event,
    process_event,
    resize_event,
    stop_event,
    submit_event,
    worker_begin_event,
)
from .transactions.tasks import app_event, shared_event
from .uses import Use, code_events, needed_events, note_uses

_MANAGER_WATCHERS = 3  # of many workers, as many watch the manager
_MANY = 1 << 15  # tasks; to read them takes memory that is worth to be given back
_REVIEW_S = 5.0  # after which it is seen that someone is trusted
if TYPE_CHECKING:
    from .task_events import AppEvent, CodeEvent, SharedEvent

T = TypeVar('T')


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
    cause: Event
    out: Ref | None
    err: Ref | None
    result: Ref | None
    counts: bool
    """Whether it was the current one when it was reported."""
    files: Ref | None = None
    """What it read and wrote through the file manager."""
    memory: int = 0
    """The most resident memory of its process, bytes; 0: not known."""
    shown: tuple[Ref, ...] = ()
    """Displays that are too large for its output."""


class Ledger:
    """A queue's folder: its journal, the state folded from it, its payloads.

    Parameters
    ----------
    folder : str
        An existing queue folder.
    sync_interval : float or None, default=0.2
        As for :class:`~desipipe.store.journal.Journal`.
    trusts : callable, default=None
        Whether a user (by id) is trusted: whether what they wrote may be loaded. By default as
        configured.
    name : str, default=None
        This process's name as a writer.
    """

    def __init__(
        self,
        folder: str,
        sync_interval: float | None = SYNC_INTERVAL,
        trusts: Callable[[int], bool] | None = None,
        name: str | None = None,
    ) -> None:
        self.folder = os.path.abspath(folder)
        self.name = name
        self._state = State()
        self.trusts = trusts or TrustedUsers(Config())
        self.journal = Journal(self.folder, self._state, sync_interval, self._flush, self.check_use)
        self.segments = SegmentReader(self.folder)
        self._checked: set[Owners] = set()
        self._blocked: tuple[int, str, dict[int, int]] = (-1, '', {})
        self._ended: tuple[int, Event] = (-1, {})
        self._authors: Authors | None = None
        self._claims_writer: ClaimsWriter | None = None
        self._vouched: set[Ref] = set()
        self._reviewed: tuple[tuple[str, int, float], dict[str, int], dict[str, int]] | None = None
        self._writer: SegmentWriter | None = None
        self._written_for = ''  # generation
        self._pid = os.getpid()
        self._local = threading.local()
        self._mutex = threading.RLock()
        tell_fork(self)
        if len(self._state) > _MANY:
            trim_memory()

    def forked(self) -> None:
        """In a forked child: no thread of the parent's is here, and whoever reads from the
        parent's watcher takes its wake-ups away.
        """
        self._mutex = threading.RLock()
        self._local = threading.local()

    @property
    def state(self) -> State:
        """The state folded so far; never half an event, also after an interrupt."""
        if self.journal.midway:
            self.journal.follow()
        return self._state

    @property
    def exclusive(self) -> threading.RLock:
        """Keeps other threads of this process from adding and from reading payloads; to be taken
        before the journal is written to.
        """
        return self._mutex

    # Looking

    def follow(self) -> bool:
        """Fold what is new; whether there was anything."""
        return self.journal.follow()

    def watcher(self) -> Watcher:
        """This thread's watcher of the folder."""
        watcher: Watcher | None = getattr(self._local, 'watcher', None)
        if watcher is None:
            watcher = self._local.watcher = Watcher(self.folder, self.journal.shared)
        return watcher

    def wait(
        self, ready: Callable[[], bool], timeout: float | None = None, longest: float | None = None
    ) -> bool:
        """Follow the journal until ``ready()``.

        Parameters
        ----------
        ready : callable
            Looked at after each change.
        timeout : float, default=None
            Seconds to wait at most.
        longest : float, default=None
            Seconds between two looks at most.

        Returns
        -------
        ready : bool
            ``False`` after the time-out.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self.follow()
        if ready():
            return True
        watcher = self.watcher()
        while True:
            changed = self.follow()  # after the watch began: what came before it is not missed
            watcher.seen(changed)
            if ready():
                return True
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            watcher.wait(
                left if longest is None else min(longest, longest if left is None else left)
            )

    def row(self, tid: bytes) -> int:
        """The row of a task.

        Raises
        ------
        UnknownTaskError
            It is not in this queue (any more).
        """
        row = self.state.rows.get(tid)
        if row is None:
            self.follow()
            row = self.state.rows.get(tid)
        if row is None:
            raise UnknownTaskError(
                f'no task {tid.hex()} in {self.folder}: it was deleted, or belongs to another '
                f'queue. List tasks with: desipipe tasks -q {quote(self.folder)}'
            )
        return row

    def find(self, text: str) -> int:
        """The row of the task whose identity begins with ``text`` (hexadecimal, 4 characters at
        least).

        Raises
        ------
        UnknownTaskError
            None, or several.
        """
        self.follow()
        text = text.lower()
        try:
            if len(text) == 2 * ID:
                return self.state.rows[bytes.fromhex(text)]
            if len(text) < 4:
                raise ValueError
            stem = bytes.fromhex(text[: len(text) // 2 * 2])
            found = [
                row
                for tid, row in self.state.rows.items()
                if tid.startswith(stem) and tid.hex().startswith(text)
            ]
        except (ValueError, KeyError):
            found = []
        if len(found) == 1:
            return found[0]
        if found:
            raise UnknownTaskError(
                f'{len(found):d} tasks begin with {text!r}: type more of the id. List them with: '
                f'desipipe tasks -q {quote(self.folder)}'
            )
        raise UnknownTaskError(
            f'no task {text!r} in {self.folder}. List tasks with: desipipe tasks -q '
            f'{quote(self.folder)}'
        )

    def blocked(self) -> dict[int, int]:
        """Return the result of :meth:`~desipipe.queue.state.State.blocked`, computed once a
        change.
        """
        offset, gen = self.journal.offset, self.journal.header.get('gen', '')
        if self._blocked[:2] != (offset, gen):
            self._blocked = (offset, gen, self.state.blocked())
        return self._blocked[2]

    # Payloads

    def read(self, ref: Ref) -> bytes | memoryview:
        """The bytes at ``ref``."""
        with self._mutex:
            return self.segments.read(*ref)

    def read_text(self, ref: Ref | Sequence[Any]) -> str:
        """The text at ``ref``, undecodable bytes replaced."""
        return str(bytes(self.read(Ref(*ref))), 'utf-8', 'replace')

    def check_use(self) -> None:
        """Refuse to use a queue whose owner is not trusted: its environments, providers and tasks
        are their code.

        Looking (states, output, explanations) needs no trust: nothing is run, loaded or written for
        it.

        Raises
        ------
        UntrustedQueueError
            If the folder or the journal is of another user, or is a link.
        """
        check_use(self.folder, self.journal.path, self.trusts, self.is_group_queue)

    def use_error(self) -> UntrustedQueueError | None:
        """Return what :meth:`check_use` raises, for those who only look; None where the queue
        may be used.
        """
        try:
            self.check_use()
        except UntrustedQueueError as exc:
            return exc
        return None

    def how_to_start(self) -> str:
        """Return what to type for workers, or why this user may not start any."""
        if (error := self.use_error()) is not None:
            return str(error)
        return f'Start workers with: desipipe spawn -q {quote(self.folder)} --spawn'

    @property
    def is_group_queue(self) -> bool:
        """True for a queue that a group shares, each of whose members runs only what they trust."""
        return bool(self.journal.header.get('group'))

    @property
    def authors(self) -> Authors | None:
        """Authors of what is in a queue that a group shares, with all that was claimed so far;
        None for other queues.
        """
        if not self.is_group_queue:
            return None
        journal = self.journal
        identity = str(journal.header['id'])
        if self._authors is None or self._authors.claims.identity != identity:
            self._authors = Authors(Claims(self.folder, identity), self.segments, self.trusts)
        self._authors.follow((journal.header['gen'], journal.offset))
        return self._authors

    def check_trust(self, segment: str) -> None:
        """Refuse to load payloads of a user who is not trusted: loading runs their code.

        Raises
        ------
        UntrustedQueueError
        """
        with self._mutex:
            owners = self.segments.owners(segment)
        if owners not in self._checked:
            self._check_owners(owners)

    def _check_owners(self, owners: Owners) -> None:
        # The folder's owner decides what lies in it: references into the middle of what we wrote
        # ourselves could make our own bytes run as code that we never wrote.
        for uid in (owners.file, owners.folder):
            if not self.trusts(uid):
                raise load_refusal(self.folder, uid)
        self._checked.add(owners)

    def load(self, ref: Ref, resolve: Callable[..., object] | None = None) -> object:
        """The object pickled at ``ref``."""
        authors = self.authors
        if authors is not None and ref not in self._vouched and not authors.vouches(ref):
            raise self._unvouched(ref)
        with self._mutex:
            data = self._read_to_use(ref)
            if authors is None:
                self.check_trust(ref.segment)  # of the file that was read
        return loads(data, resolve)

    def _read_to_use(self, ref: Ref) -> bytes | memoryview:
        try:
            return self.read(ref)
        except PayloadError:
            # Whose queue it is says more than what is wrong with a file of it.
            if self.authors is None:
                self._check_owners(Owners(files.folder_owner(self.folder), os.geteuid()))
            raise

    def _unvouched(self, ref: Ref) -> UntrustedQueueError:
        owner = self.segments.owner(ref.segment)
        if not self.trusts(owner):
            return load_refusal(self.folder, owner)
        return UntrustedQueueError(
            f'The journal of {self.folder} names data at {ref.offset:d} of segment {ref.segment}, '
            'which no user whom you trust has put there. '
            'It was not loaded. Look at the task:\ndesipipe tasks -q ' + quote(self.folder)
        )

    def code_payload(self, app: str, event: Event) -> Ref:
        """Return where the pickled code of an app's version is, of a user who is trusted."""
        authors = self.authors
        found = None if authors is None else authors.trusted_ref(authors.claims.codes.get(app))
        if found is None:
            return Ref(*event['code'])
        self._vouched.add(found)
        return found

    def _trusted_call(self, row: int) -> Call | None:
        """Return the payloads of a task of a group's queue; None in other queues.

        Raises
        ------
        UntrustedQueueError
            It was not written by a user who is trusted.
        """
        if (authors := self.authors) is None:
            return None
        call = authors.call(self.state, row)
        if call is None:
            raise authors.refusal(self.state, row)
        return call

    def may_run(self, row: int) -> bool:
        """Return True for a task that users have added who are trusted; in queues that no group
        shares all are.
        """
        return (authors := self.authors) is None or authors.call(self.state, row) is not None

    def check_manager(self, mid: str) -> None:
        """Refuse the commands and classes of a task manager that no trusted user has chosen.

        Raises
        ------
        UntrustedQueueError
        """
        if (authors := self.authors) is not None and not authors.trusts_manager(self.state, mid):
            raise UntrustedQueueError(
                f'No user whom you trust has chosen task manager {mid} of {self.folder}, which its '
                'group shares. '
                'Its commands did not run, and its tasks stay pending. See whose they '
                'are:\ndesipipe status -q ' + quote(self.folder)
            )

    def pending(self, mid: str) -> int:
        """Return how many pending tasks of a task manager may run as this user."""
        if not self.is_group_queue:
            return self.state.counts[mid][PENDING]
        return self._review()[0].get(mid, 0)

    def held(self) -> dict[str, int]:
        """Count the pending tasks that do not run as this user, by the user whom to trust; of
        the name '' where none can be named.
        """
        return self._review()[1]

    def _review(self) -> tuple[dict[str, int], dict[str, int]]:
        # Looking at each pending task takes time: it is done once for a state of the journal, and
        # for some seconds of trust.
        if (authors := self.authors) is None:
            return {}, {}
        key = (self.journal.header['gen'], self.journal.offset, time.monotonic() // _REVIEW_S)
        if self._reviewed is None or self._reviewed[0] != key:
            state = self.state
            runnable: dict[str, int] = {}
            held: dict[str, int] = {}
            for row in state.pending_rows(list(state.managers)):
                if authors.call(state, row) is not None:
                    mid = state.groups[state.group[row]].mid
                    runnable[mid] = runnable.get(mid, 0) + 1
                else:
                    uid = authors.user_of(state, row)
                    user = username(uid) if uid >= 0 else ''
                    held[user] = held.get(user, 0) + 1
            self._reviewed = key, runnable, held
        return self._reviewed[1:]

    def again(self, look: Callable[[], T]) -> T:
        """Call ``look``, and once more if the journal was compacted meanwhile.

        Rows stay what they are, offsets and references do not.
        """
        while True:
            generation = self.journal.header['gen']
            try:
                return look()
            except (PayloadError, CorruptJournalError):
                self.follow()
                if self.journal.header['gen'] == generation:
                    raise

    def load_result(self, row: int) -> object:
        """Return the result of a task that succeeded; ``None`` if its state was set by hand.

        Raises
        ------
        ResultError
            The result is there, but can't be loaded in this process.
        """
        state = self.state
        number = state.result_segment[row]
        if number == NOWHERE:
            return None
        name = state.segments[number]
        try:
            if self.is_group_queue:
                return self.load(Ref(name, state.result_offset[row], state.result_length[row]))
            with self._mutex:
                data = self._read_to_use(
                    Ref(name, state.result_offset[row], state.result_length[row])
                )
                self.check_trust(name)  # of the file that was read
            return loads(data)
        except (DesipipeError, OSError, MemoryError):
            raise
        except Exception as exc:  # of the classes in it
            tid, name = (
                self.state.ids[row].hex()[:12],
                self.state.groups[self.state.group[row]].name,
            )
            raise ResultError(
                f'task {tid} ({name}) succeeded and its result is in the queue, but it cannot be '
                f'loaded here: {type(exc).__name__}: {exc}. '
                'There is a module that is not installed here, or a class whose objects do not '
                'come back from a pickle ('
                'an exception with an __init__ of its own needs a __reduce__). '
                'Correct that and read it again, or return plain values; what it printed: desipipe '
                f'logs -q {quote(self.folder)} {tid}'
            ) from exc

    def arguments(self, row: int) -> dict[str, str]:
        """A task's arguments as text; nothing is unpickled."""
        ref = self.state.args(row)
        data = self.again(lambda: self.read(self.state.args(row)))
        try:
            size = TEXT.unpack_from(data)[0]
            text: dict[str, str] = orjson.loads(bytes(data[4 : 4 + size]))
        except (struct.error, ValueError):
            raise self._damaged_payload('arguments', ref) from None
        if not isinstance(text, dict) or not all(isinstance(item, str) for item in text.values()):
            raise self._damaged_payload('arguments', ref)
        return text

    def _damaged_payload(self, what: str, ref: Ref) -> PayloadError:
        return PayloadError(
            f'the {what} at byte {ref.offset:d} of segment {ref.segment} of {self.folder} are '
            f'damaged. Check with: desipipe doctor -q {quote(self.folder)}'
        )

    def arguments_payload(self, row: int) -> Ref:
        """Return the position of a task's pickled arguments."""

        def look() -> Ref:
            call = self._trusted_call(row)
            segment, offset, length = self.state.args(row) if call is None else call.args
            size = TEXT.size + TEXT.unpack(self._read_to_use(Ref(segment, offset, TEXT.size)))[0]
            found = Ref(segment, offset + size, length - size)
            if call is not None:
                self._vouched.add(found)
            return found

        return self.again(look)

    def shared_payload(self, row: int) -> Ref | None:
        """Return the position of the pickled arguments that many tasks share; ``None`` if none.

        Raises
        ------
        PayloadError
            Its line was lost.
        """
        digest = self.state.groups[self.state.group[row]].shared
        if not digest:
            return None
        call = self._trusted_call(row)
        if call is not None and call.shared is not None:
            self._vouched.add(call.shared)
            return call.shared
        event = self.state.shared.get(digest)
        if event is None:
            raise PayloadError(
                f'arguments that task {self.state.ids[row].hex()[:12]} shares were in a damaged '
                f'line of {self.journal.path}: '
                'the task cannot run. Call its app again to add them'
            )
        return Ref(*event['ref'])

    @property
    def writer(self) -> SegmentWriter:
        """This process's segment."""
        if self._writer is None or self._pid != os.getpid():
            self.check_use()
            self._writer = SegmentWriter(
                self.folder, self.name if self.name and self._pid == os.getpid() else writer_name()
            )
            self._pid = os.getpid()
        return self._writer

    def _flush(self) -> None:
        if self._writer is not None:
            self._writer.flush()

    def store(self, payload: Payload | bytes) -> Ref:
        """Write one payload to this process's segment (not yet flushed)."""
        if isinstance(payload, bytes):
            return Ref(*self._store([payload], False))
        return Ref(*self._store(payload.parts, payload.aligned))

    def _store(self, parts: Sequence[bytes | memoryview], aligned: bool) -> tuple[str, int, int]:
        offset = self.writer.append(parts, aligned)
        return self.writer.name, offset, sum(memoryview(part).nbytes for part in parts)

    # Adding

    def add(
        self,
        batches: Sequence[Batch],
        codes: dict[str, Code],
        managers: dict[str, Event],
        sync: bool = False,
        uses: Sequence[Use] = (),
        reused: Sequence[bytes] = (),
        then: Callable[[Sequence[JournalEvent]], Sequence[JournalEvent]] | None = None,
    ) -> int:
        """Put tasks into the queue; of what is there already and has yet to run, or did not
        succeed, the task manager and its options are those of now.

        Parameters
        ----------
        batches : sequence of Batch
        codes : dict
            App versions by identity (hexadecimal), at least those of the batches' groups.
        managers : dict
            Task managers by identity.
        sync : bool, default=False
            Whether to be on disk when this returns.
        uses : sequence of Use, default=()
            Where the app versions are used: other code that was used there before is superseded.
        reused : sequence of bytes, default=()
            Identities of tasks that are used as they are.
        then : callable, default=None
            Given the events, under the lock, returns others to write with them.

        Returns
        -------
        added : int
            How many were new.
        """
        with self._mutex:
            todo = self._unknown(batches)
            if not todo and self.follow():
                todo = self._unknown(batches)
            known = (
                not todo
                and not self._assigned(batches)
                and not self._code_events(batches, uses, reused)
            )
            if known and self.is_group_queue:
                self._renew_writers()
                self._claim(batches, {}, (), codes)
            if known and then is None and not self._severed(batches):
                note_uses(uses)
                return 0
            generation = ''
            written: list[Written] = []
            references: list[AppEvent | SharedEvent] = []
            added = 0

            def prepare() -> None:
                nonlocal generation
                generation = self._renew_writers()
                written[:] = [self._write_arguments(batch) for batch in todo]
                references[:] = self._write_references(todo, codes)
                if self.is_group_queue:
                    self._claim(
                        batches, dict(zip(map(id, todo), written, strict=True)), references, codes
                    )
                if self.journal.shared or sync:
                    self.writer.flush()

            def decide() -> Sequence[JournalEvent]:
                nonlocal added, todo
                # Between what we had read and the lock, what was known may have been deleted, and
                # compaction or clearing have taken our file away.
                more = batches if len(todo) == len(batches) else self._unknown(batches)
                if len(more) > len(todo) or self.journal.header['gen'] != generation:
                    todo = self._unknown(batches)
                    prepare()
                events, added = self._add_events(todo, written, references, managers, batches)
                events = [*self._code_events(batches, uses, reused), *events]
                return [*events, *(then(events) if then is not None else ())]

            prepare()
            self.journal.write(decide, sync)
            note_uses(uses)
            return added

    def _renew_writers(self) -> str:
        """Begin other files for another generation of the journal, whose identity is returned.

        What made it (compaction, clearing) may have taken ours away, and a network filesystem's
        client may not know it yet.
        """
        generation = str(self.journal.header['gen'])
        if generation != self._written_for:
            self.writer.flush()
            self.writer.close()
            if self._claims_writer is not None:
                self._claims_writer.close()
                self._claims_writer = None
            self._written_for = generation
        return generation

    # Claims, in queues that a group shares

    def _write_claims(self, claims: Sequence[Event]) -> None:
        if claims and (self._claims_writer is None or self._claims_writer.pid != os.getpid()):
            self.check_use()
            self._claims_writer = ClaimsWriter(
                self.folder, str(self.journal.header['id']), self.writer.name
            )
        if claims and self._claims_writer is not None:
            self.writer.flush()
            self._claims_writer.write(claims, self.journal.shared)

    def _claim(
        self,
        batches: Sequence[Batch],
        written: dict[int, Written],
        references: Sequence[AppEvent | SharedEvent],
        codes: dict[str, Code],
    ) -> None:
        """Claim tasks as this user's: those that are written now, and those that only users who
        are not trusted have added before.
        """
        authors = self.authors
        assert authors is not None
        claims: list[Event] = []
        own: set[str] = set()
        for event in references:
            if event['e'] == EventKind.APP:
                own.add(event['app'])
                claims.append(code_claim(event['app'], event['code']))
            else:
                own.add(event['id'])
                claims.append(shared_claim(event['id'], event['ref']))
        for batch in batches:
            group, place = batch.group, written.get(id(batch))
            if place is None and self._is_claimed(batch):
                continue
            claims.append(
                task_claims(group, batch.ids, place or self._write_arguments(batch), batch.requires)
            )
            if (
                group.app not in own
                and authors.trusted_ref(authors.claims.codes.get(group.app)) is None
            ):
                own.add(group.app)
                claims.append(code_claim(group.app, self.store(codes[group.app].payload)))
            if (
                batch.shared is not None
                and group.shared not in own
                and authors.trusted_ref(authors.claims.shared.get(group.shared)) is None
            ):
                own.add(group.shared)
                claims.append(shared_claim(group.shared, self.store(batch.shared)))
        self._write_claims(claims)

    def _is_claimed(self, batch: Batch) -> bool:
        """Return True when users who are trusted have added all of these tasks, with the same
        options.
        """
        authors, digest = self.authors, digest_of(batch.group)
        assert authors is not None
        tasks = authors.claims.tasks
        return all(
            any(claim.group == digest and self.trusts(claim.uid) for claim in tasks.get(tid, ()))
            for tid in batch.ids
        )

    def claim_everything(self) -> None:
        """Claim as this user's what is in the queue now, which a group is to share."""
        state = self.state
        claims: list[Event] = [code_claim(app, event['code']) for app, event in state.apps.items()]
        claims += [shared_claim(digest, event['ref']) for digest, event in state.shared.items()]
        by_file: dict[tuple[int, str], list[int]] = {}
        for row in state.rows.values():
            by_file.setdefault((state.group[row], state.args(row).segment), []).append(row)
        for (number, segment), rows in by_file.items():
            refs = [state.args(row) for row in rows]
            needs = {
                i: [state.ids[other] for other in state.requires[row]]
                for i, row in enumerate(rows)
                if row in state.requires
            }
            place = segment, [ref.offset for ref in refs], [ref.length for ref in refs]
            claims.append(
                task_claims(state.groups[number], [state.ids[row] for row in rows], place, needs)
            )
        results: list[Ref] = []
        for row in state.rows.values():
            last = self.last_attempt(row) if state.ended_at[row] else None
            kept = () if last is None else (last.out, last.err, *last.shown)
            results += (ref for ref in (state.result(row), *kept) if ref is not None)
        self._write_claims([*claims, result_claim(results)] if results else claims)

    def _code_events(
        self, batches: Sequence[Batch], uses: Sequence[Use], reused: Sequence[bytes]
    ) -> list[CodeEvent]:
        """Decide which versions of apps are current from here on."""
        state = self.state
        events = code_events(state, uses)
        if state.superseded:
            tids = (
                tid
                for batch in batches
                for part in (batch.ids, *batch.requires.values())
                for tid in part
            )
            rows = [state.rows[tid] for tid in (*tids, *reused) if tid in state.rows]
            events += needed_events(state, rows, events)
        return events

    def _unknown(self, batches: Sequence[Batch]) -> list[Batch]:
        is_known = self.state.rows.__contains__
        return [batch for batch in batches if not all(map(is_known, batch.ids))]

    def _assigned(self, batches: Sequence[Batch]) -> dict[Group, list[int]]:
        """Rows to be assigned to other groups: they did not succeed yet, and are added again
        with other options (another account, more time).
        """
        state = self.state
        found: dict[Group, list[int]] = {}
        for batch in batches:
            rows = [
                row
                for row in known_rows(state.rows, batch.ids)
                if state.status[row] not in (RUNNING, SUCCEEDED)
            ]
            options = {key: getattr(batch.group, key) for key in OPTIONS} if rows else {}
            groups: dict[int, Group] = {}
            for row in rows:
                number = state.group[row]
                if number not in groups:
                    # What a group shares is run as one claims it: also in the folder in which it
                    # was added again.
                    groups[number] = (
                        batch.group
                        if self.is_group_queue
                        else state.groups[number]._replace(**options)
                    )
                if groups[number] != state.groups[number]:
                    found.setdefault(groups[number], []).append(row)
        return found

    def _severed(self, batches: Sequence[Batch]) -> dict[int, list[bytes]]:
        """Find rows of known tasks that need something that is not there (deleted, or its line
        lost), with what they need.
        """
        state = self.state
        if not state.severed:
            return {}
        found: dict[int, list[bytes]] = {}
        for batch in batches:
            for i, needs in batch.requires.items():
                row = state.rows.get(batch.ids[i])
                if row is not None and not state.severed.isdisjoint(state.requires.get(row, ())):
                    found[row] = needs
        return found

    def _write_arguments(self, batch: Batch) -> Written:
        writer = self.writer
        offsets, lengths = array('Q'), array('Q')
        for arguments in batch.arguments:
            if isinstance(arguments, Records):
                offset = writer.append(arguments.data)
                if len(batch.arguments) == 1 == len(arguments.lengths):
                    return writer.name, (offset,), arguments.lengths
                ends = accumulate(arguments.lengths, initial=offset)
                offsets.extend(islice(ends, len(arguments.lengths)))
                lengths.extend(arguments.lengths)
                continue
            text, payload = arguments
            text += b' ' * (
                -(len(text) + TEXT.size) % ALIGNMENT
            )  # so that the payload begins aligned too
            parts = [TEXT.pack(len(text)) + text, *payload.parts]
            offsets.append(writer.append(parts, aligned=True))
            lengths.append(TEXT.size + len(text) + payload.nbytes)
        return writer.name, offsets, lengths

    def _write_references(
        self, batches: Sequence[Batch], codes: dict[str, Code]
    ) -> list[AppEvent | SharedEvent]:
        """Write what the groups of the batches refer to, and the queue does not know yet."""
        events: dict[str, AppEvent | SharedEvent] = {}
        for batch in batches:
            group = batch.group
            if group.app not in self.state.apps and group.app not in events:
                events[group.app] = self._write_code(codes[group.app], group)
            if (
                batch.shared is not None
                and group.shared not in self.state.shared
                and group.shared not in events
            ):
                events[group.shared] = shared_event(group.shared, self.store(batch.shared))
        return list(events.values())

    def _write_code(self, code: Code, group: Group) -> AppEvent:
        return app_event(
            group.app,
            group.name,
            group.kind,
            self.store(code.payload),
            self.store(code.source.encode()),
            self.store(orjson.dumps(code.parts)),
            code.packages,
        )

    def _add_events(
        self,
        batches: Sequence[Batch],
        written: list[Written],
        references: list[AppEvent | SharedEvent],
        managers: dict[str, Event],
        all_batches: Sequence[Batch],
    ) -> tuple[list[JournalEvent], int]:
        addition = Addition(self.state, self.folder, managers, time.time())
        addition.add_references(references)
        addition.assign(self._assigned(all_batches))
        for batch, place in zip(batches, written, strict=True):
            addition.add(batch, place, len(batches) == 1)
        addition.finish(self._severed(all_batches))
        return addition.events, addition.added

    # Working

    def _write(
        self, decide: Callable[[], Sequence[JournalEvent]], sync: bool = False, identity: str = ''
    ) -> None:
        """Write a decision about rows that the caller knows: in a queue that was cleared, the same
        numbers are other tasks.

        ``identity`` is that of the queue they are rows of, by default as read last.
        """
        identity = identity or self.journal.header['id']

        def checked() -> Sequence[JournalEvent]:
            if self.journal.header['id'] != identity:
                raise QueueGoneError(
                    f'the queue in {self.folder} was cleared meanwhile: what it held is gone, and '
                    'nothing was written. '
                    f'Look what it holds now: desipipe status -q {quote(self.folder)}'
                )
            return decide()

        self.journal.write(checked, sync)

    def exchange(
        self,
        worker: str,
        ends: Sequence[End] = (),
        back: Sequence[tuple[int, int]] = (),
        want: int = 0,
        mids: Sequence[str] = (),
        identity: str = '',
        choose: Callable[[Iterator[int], int], list[int]] | None = None,
        successes: Sequence[Successes] = (),
    ) -> list[tuple[int, int]]:
        """Report what ended, give back what did not begin, and claim more, with one lock.

        Parameters
        ----------
        worker : str
            Who.
        ends : sequence of End
            Attempts that ended; their payloads are written already.
        back : sequence of (row, attempt)
            What was claimed and not begun.
        want : int, default=0
            How many tasks to claim at most. It never gets more than its share (by slots) of what is
            pending, one a free slot at least.
        mids : sequence of str, default=()
            Task managers whose tasks to claim.
        identity : str, default=''
            That of the queue whose rows ``ends`` and ``back`` are, by default as read last.
        choose : callable, default=None
            Gets the pending rows in their order, and this worker's share of them; returns those to
            claim. By default as many as are its share.
        successes : sequence of Successes, default=()
            More attempts that ended; their results are stored already.

        Returns
        -------
        claimed : list of (row, attempt)
        """
        claimed: list[tuple[int, int]] = []
        state = self.state
        identity = (
            identity or self.journal.header['id']
        )  # before anything is read: it may be another queue by then
        # What takes long comes before the lock: a report needs its payloads on disk, and reading
        # what the others did meanwhile would keep them waiting.
        self.writer.flush()
        if self.is_group_queue:
            self._claim_results(worker, ends, successes)
        self.follow()

        def decide() -> Sequence[JournalEvent]:
            now = time.time()
            claimed.clear()
            events: list[JournalEvent] = []
            if ends:
                if worker in state.workers and worker not in state.alive:
                    self._forget_removed(ends)
                events.append(end_event(worker, ends, now))
            events += successes_events(worker, successes, now)
            if back:
                events.append(back_event(worker, back, now))
            me = state.alive.get(worker)
            if want > 0 and me is not None and me.stop is None and not state.paused:
                n_done = len(ends) + len(back) + sum(len(batch.rows) for batch in successes)
                share = self._share(me.slots, want, mids, len(me.rows) - n_done)
                rows = (
                    choose(state.pending_rows(mids), share)
                    if choose is not None
                    else state.next_pending(mids, share)
                )
                if rows:
                    event = claim(state, worker, rows, now)
                    claimed.extend(zip(rows, event['n'], strict=True))
                    events.append(event)
            return events

        self._write(decide, identity=identity)
        return claimed

    def _forget_removed(self, ends: Sequence[End]) -> None:
        """Drop references to files that compaction has removed, since their worker was taken for
        dead.

        Such reports are late, and only history. The caller holds the lock.
        """
        there: dict[str, bool] = {}

        def kept(ref: Ref | None) -> Ref | None:
            if ref is not None and ref.segment not in there:
                there[ref.segment] = os.path.exists(segment_path(self.folder, ref.segment))
            return ref if ref is None or there[ref.segment] else None

        for end in ends:
            end.result, end.out, end.err, end.files = map(
                kept, (end.result, end.out, end.err, end.files)
            )
            end.shown = tuple(ref for ref in end.shown if kept(ref) is not None)
            if end.cause is not None and 'trace' in end.cause and kept(end.cause['trace']) is None:
                end.cause = {key: value for key, value in end.cause.items() if key != 'trace'}

    def _claim_results(
        self, worker: str, ends: Sequence[End], successes: Sequence[Successes]
    ) -> None:
        results = [
            ref
            for end in ends
            for ref in (end.result, end.out, end.err, *end.shown)
            if ref is not None
        ]
        for batch in successes:
            results += batch.results()
        if results:
            self._write_claims([result_claim(results)])

    def _share(self, slots: int, want: int, mids: Sequence[str], held: int = 0) -> int:
        state = self.state
        others = sum(
            worker.slots
            for worker in state.alive.values()
            if worker.mid is None or worker.mid in mids
        )
        if others <= slots:
            return want
        tables = [state.counts[mid] for mid in mids if mid in state.counts]
        pending = sum(table[PENDING] for table in tables)
        if self.journal.shared and len(state.alive) > WORKERS_FREE:
            # It is long until it may come again: its part of all that is not done, without what it
            # has.
            share = -(-(pending + sum(table[RUNNING] for table in tables)) * slots // others)
            return min(want, max(1, share - held))
        return min(want, max(1, -(-pending * slots // others)))

    def begin_worker(self, worker: str, **info: object) -> None:
        """Record that a worker started."""
        self.journal.write(lambda: [worker_begin_event(worker, info, time.time())])

    def end_worker(self, worker: str, why: str = '', kind: str = '') -> None:
        """Record that a worker ended, and why.

        A key of :data:`~desipipe.provider.base.FATES` says what became of its job, where it knows.
        """
        judge = vanished(f'its worker {worker} ended without reporting it: {why}')
        self.journal.write(
            lambda: (
                end_worker(self.state, worker, why, judge, time.time(), kind)
                if worker in self.state.alive
                else []
            )
        )

    def judge(
        self, observer: Observer, spare: str = '', leave: Callable[[str], bool] | None = None
    ) -> list[str]:
        """Find workers, and a manager, that vanished, and end the attempts of the workers as
        UNKNOWN. Costs a lock only when there are some.

        Parameters
        ----------
        observer : Observer
            This process's.
        spare : str, default=''
            The caller's own name, if it is a worker. Then workers in jobs of a batch system are
            left to the manager, if there is one: it knows more of them.
        leave : callable, default=None
            Whether to leave a worker that is dead (by name) for now, as someone may say why.

        Returns
        -------
        dead : list of str
        """
        now = time.monotonic()
        manager = self.state.manager
        names = [name for name in self.state.alive if name != spare] + (
            [manager['w']] if manager is not None and manager['w'] != spare else []
        )
        if spare and manager is not None:
            names = [
                name
                for name in names
                if name == manager['w'] or self.state.alive[name].job not in self.state.jobs
            ]
        looked_at = observer.due(self._watched(names, spare), now, len(self.state.alive))
        dead = [name for name in looked_at if observer.dead(name, now)]
        if leave is not None:
            dead = [name for name in dead if name not in self.state.alive or not leave(name)]
        if dead:
            self.journal.write(
                lambda: [event for name in dead for event in self._lost_events(name)]
            )
            for name in dead:
                observer.forget(name)
        return dead

    def _watched(self, names: list[str], own: str) -> list[str]:
        """Choose whose leases this process looks at, so that many workers together read few.

        Of many workers each watches the one that follows it by name. Where a manager watches all of
        them, the first few watch that one, and the others none.
        """
        manager = self.state.manager
        if not own or len(self.state.alive) <= LEASES_FREE:
            return names
        ring = sorted(self.state.alive)
        if manager is not None:
            return (
                [manager['w']] if manager['w'] in names and own in ring[:_MANAGER_WATCHERS] else []
            )
        after = ring[(bisect_right(ring, own)) % len(ring)]
        return [after] if after in names else []

    def _lost_events(self, name: str) -> Sequence[JournalEvent]:
        manager = self.state.manager
        if manager is not None and manager['w'] == name:
            return [manager_end_event(name, 'vanished', time.time())]
        return mark_lost(self.state, name, time.time())

    def end_workers(self, names: Iterable[str], why: str, judge: Judgement) -> None:
        """End workers of which it is known what became of them, whether they still seem to live or
        not, and the attempts they have.

        Parameters
        ----------
        names : iterable of str
            Of the workers; those that have ended by themselves are passed over.
        why : str
            In words.
        judge : callable
            Given a row, its state and cause.
        """
        rows = list(names)
        self.journal.write(lambda: end_workers(self.state, rows, why, judge, time.time()))

    # People's decisions

    def change(
        self,
        choose: Callable[[State], Iterable[int]],
        target: int,
        why: Reason = Reason.SET,
    ) -> list[int]:
        """Set the state of tasks.

        Parameters
        ----------
        choose : callable
            Given the state, under the lock, returns the rows.
        target : int
            State code.
        why : Reason, default=Reason.SET

        Returns
        -------
        rows : list of int
            What was changed.
        """
        changed: list[int] = []

        def decide() -> Sequence[JournalEvent]:
            changed[:] = rows_to_set(self.state, choose(self.state), target)
            return set_events(changed, target, why, time.time())

        self._write(decide)
        return changed

    def retry(
        self, choose: Callable[[State], Iterable[int]], keep: bool = False, running: bool = False
    ) -> list[int]:
        """Run tasks again that ended.

        Parameters
        ----------
        choose : callable
            Given the state, under the lock, returns the rows.
        keep : bool, default=False
            Let those that are superseded count again, with what they still need; else they are
            passed over.
        running : bool, default=False
            Also those that run: their attempts are fenced off.

        Returns
        -------
        rows : list of int
        """
        changed: list[int] = []

        def decide() -> Sequence[JournalEvent]:
            state = self.state
            rows = [
                row
                for row in choose(state)
                if state.status[row] != DROPPED and (keep or row not in state.superseded)
            ]
            changed[:] = rows_to_retry(state, rows, running)
            return retry(state, rows, changed, keep, time.time())

        self._write(decide)
        return changed

    def cancel(
        self, choose: Callable[[State], Iterable[int]], text: str = 'cancelled'
    ) -> list[int]:
        """Cancel tasks: pending ones never start, running ones are killed; those that run again
        keep the result that they have.
        """
        changed: list[int] = []

        def decide() -> Sequence[JournalEvent]:
            changed[:] = rows_to_cancel(self.state, choose(self.state))
            return cancel(self.state, changed, text, time.time())

        self._write(decide)
        return changed

    def accept(self, old: int, new: int) -> None:
        """Take the result of ``old`` for ``new``."""

        def decide() -> Sequence[JournalEvent]:
            if self.state.status[old] != SUCCEEDED:
                raise UnknownTaskError(
                    f'task {self.state.ids[old].hex()} has no result to accept; nothing was changed'
                )
            return [accept_event(old, new, time.time())]

        self._write(decide, sync=True)

    def drop(self, choose: Callable[[State], Iterable[int]]) -> list[int]:
        """Take tasks out of the queue."""
        dropped: list[int] = []

        def decide() -> Sequence[JournalEvent]:
            dropped[:] = choose(self.state)
            return [drop_event(dropped, time.time())] if dropped else []

        self._write(decide)
        return dropped

    def pause(self, paused: bool) -> None:
        """Pause, or resume: a paused queue lets no task begin."""
        self.journal.write(
            lambda: [pause_event(paused, time.time())] if self.state.paused != paused else []
        )

    def note_submission(self, mid: str, name: str, slots: int) -> None:
        """Write down that jobs are about to be submitted to a batch system, so that they are found
        whatever happens then.

        Parameters
        ----------
        mid : str
            The task manager whose jobs they are.
        name : str
            Their name, which no other submission has.
        slots : int
            Of all of them together.
        """
        self.journal.write(lambda: [submit_event(mid, name, slots, time.time())])

    def note_jobs(self, mid: str, jobs: Iterable[Sequence[object]], of: Iterable[str] = ()) -> None:
        """Write down what became of jobs of a batch system.

        Parameters
        ----------
        mid : str
            The task manager whose jobs they are.
        jobs : iterable of sequence
            Identity, slots, state (``'pending'``, ``'withdrawn'``, ``'running'``, ``'ended'``),
            reason, node, end (seconds since the epoch or None), and cluster if there are several,
            of each.
        of : iterable of str, default=()
            Names of submissions of which it is known by now what became of them.
        """
        rows, names = list(jobs), list(of)
        self.journal.write(lambda: [job_event(mid, rows, names, time.time())])

    def mark(self, row: int, job: str | None, began: float | None) -> None:
        """Note the job of a task whose state was set by hand, and when it began.

        Parameters
        ----------
        row : int
        job : str, default=None
        began : float, default=None
            Seconds since the epoch.
        """
        self.journal.write(lambda: [mark_event(row, job, began)])

    def add_process(self, pid: str, provider: str) -> None:
        """Note a process, or job, that works for the queue without being a worker of it."""
        event = process_event(pid, provider, time.time())
        self.journal.write(lambda: [] if (pid, provider) in self.state.processes else [event])

    def resize(self, most: int | None, mid: str = '') -> None:
        """Set how many tasks may run at once, whatever the scheduler and the manager were told.

        Parameters
        ----------
        most : int or None
            None: what they were told holds again.
        mid : str, default=''
            For one task manager; by default for each of them.
        """
        self.journal.write(lambda: [resize_event(mid, most, time.time())])

    def stop(
        self, choose: Callable[[State], Iterable[str]], how: StopLevel, manager: bool
    ) -> list[str]:
        """Ask workers, and the manager, to end.

        Parameters
        ----------
        choose : callable
            Given the state, returns names of workers.
        how : StopLevel
        manager : bool
            Whether to ask the manager too.

        Returns
        -------
        names : list of str
            Of those that were asked: workers, then the manager if it was.
        """
        names: list[str] = []

        def decide() -> Sequence[JournalEvent]:
            workers = [name for name in choose(self.state) if name in self.state.alive]
            asked = manager and self.state.manager is not None
            names[:] = [
                *workers,
                *([self.state.manager['w']] if asked and self.state.manager is not None else []),
            ]
            return [stop_event(workers, how, asked, time.time())] if names else []

        self.journal.write(decide)
        return names

    # Details

    def cause(self, row: int) -> Event:
        """Why a task did not succeed: ``kind``, ``text``, …; empty if it did, or nothing is
        known.
        """
        event = self.again(
            lambda: self.journal.event_at(offset) if (offset := self.state.ended_at[row]) else None
        )
        if event is None:
            return {}
        if event['e'] == EventKind.END:
            detail = detail_of(event, row)
            return {} if detail is None else detail[0].cause or {}
        if event['e'] == EventKind.WORKER:
            return LOST
        cause: Event = event.get('cause', {})
        return cause

    def attempts(self, row: int) -> list[Attempt]:
        """All attempts of a task that ended, oldest first."""
        return self.again(lambda: self._attempts(row))

    def _attempts(self, row: int) -> list[Attempt]:
        found: list[Attempt] = []
        for offset in self.state.attempts_at(row):
            event = self.journal.event_at(offset)
            if event['e'] != EventKind.END or not event['w']:
                continue  # what a person decided was no attempt
            name = event['w']
            worker = self.state.workers.get(name)
            # One event may speak of a row more than once: in time, and late. Of these the newest
            # can count.
            ends = [end_at(event, i) for i, other in enumerate(event['rows']) if other == row]
            last = max((end.attempt for end in ends), default=0)
            found += (
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
        return sorted(found, key=lambda attempt: (attempt.number, not attempt.counts))

    def last_attempt(self, row: int) -> Attempt | None:
        """Return the last attempt of a task that counts; None if none has ended."""
        return next((attempt for attempt in reversed(self.attempts(row)) if attempt.counts), None)

    def files(self, ref: Ref | None) -> list[Event]:
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
                self._ended = (offset, self.journal.event_at(offset))
            worker = self.state.workers.get(self._ended[1].get('w', ''))
        return '' if worker is None else worker.job

    def code(self, row: int) -> Event:
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
                f'the code of app {app} was in a damaged line of {self.journal.path}: tasks that '
                'use it cannot run. Call the app again to add it'
            )
        return event

    def close(self) -> None:
        """Sync and close files."""
        self.journal.close()
        self.segments.close()
        if self._claims_writer is not None:
            self._claims_writer.close()
            self._claims_writer = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def find_mid(state: State, text: str) -> str:
    """The task manager whose identity begins with ``text``.

    Raises
    ------
    UnknownTaskError
        None, or several.
    """
    found = [mid for mid in state.managers if mid.startswith(text)]
    if len(found) != 1:
        raise UnknownTaskError(
            f'{"no" if not found else "more than one"} task manager {text!r}: '
            f'{close_names(text, state.managers)}'
        )
    return found[0]
