"""Access to payloads, and the trust that loading them needs."""

from __future__ import annotations

import contextlib
import functools
import os
import struct
import time
import weakref
from collections.abc import Callable, Container, Mapping, Sequence

import orjson

from ..errors import (
    DesipipeError,
    PayloadError,
    ResultError,
    UntrustedQueueError,
)
from ..security.trust import load_refusal, unvouched_refusal
from ..store import folders
from ..store.files import Owners
from ..store.segment import SegmentReader
from ..utils import quote
from .events import PENDING, SUCCEEDED, TEXT, Ref
from .queue_reader import QueueReader
from .task_columns import NOWHERE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from .authors import Authors, Call, Review
    from .event_types import JournalEvent
    from .task_events import AppEvent

KEPT_RESULTS = 64 << 20  # bytes of results that outlive a queue that this process deletes
KEPT_OVERHEAD = 1024  # bytes of memory for a result that is kept, beside its own
_REVIEW_S = 5.0  # after which it is seen that someone is trusted


@functools.cache
def _unpickler() -> Callable[..., object]:
    """Return what loads payloads; those who only look at a queue load nothing."""
    from ..serialize import loads

    return loads


class PayloadReader(QueueReader):
    """Payloads of a queue: read, and loaded where their author is trusted."""

    _readers: ClassVar[weakref.WeakSet[PayloadReader]] = weakref.WeakSet()
    kept: Mapping[bytes, bytes] = {}
    """Results, by task and as stored, of a queue that this process deleted."""

    def __init__(
        self,
        folder: str,
        trusts: Callable[[int], bool] | None = None,
    ) -> None:
        super().__init__(folder, trusts)
        self.segments = SegmentReader(self.folder)
        self._checked: set[Owners] = set()
        self._authors: Authors | None = None
        self._vouched: set[Ref] = set()
        self._reviewed: tuple[tuple[str, int, float], Review] | None = None
        self._ended: tuple[int, JournalEvent | None] = (-1, None)
        self._readers.add(self)

    def read(self, ref: Ref) -> bytes | memoryview:
        """The bytes at ``ref``."""
        with self._mutex:
            return self.segments.read(*ref)

    def read_text(self, ref: Ref | Sequence[Any]) -> str:
        """The text at ``ref``, undecodable bytes replaced."""
        return str(bytes(self.read(Ref(*ref))), 'utf-8', 'replace')

    @property
    def authors(self) -> Authors | None:
        """Authors in a queue that a group shares, with all claims so far; else None."""
        if not self.is_group_queue:
            return None
        from .author_claims import Claims  # only queues of groups need these
        from .authors import Authors

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
        return _unpickler()(self.read_trusted(ref), resolve)

    def read_trusted(self, ref: Ref) -> bytes | memoryview:
        """Return the bytes at ``ref``; refuse those that no trusted user has written."""
        authors = self.authors
        if authors is not None and ref not in self._vouched and not authors.vouches(ref):
            raise self._unvouched(ref)
        with self._mutex:
            data = self._read_to_use(ref)
            if authors is None:
                self.check_trust(ref.segment)  # of the file that was read
        return data

    def _read_to_use(self, ref: Ref) -> bytes | memoryview:
        try:
            return self.read(ref)
        except PayloadError:
            # Whose queue it is says more than what is wrong with a file of it.
            if self.authors is None:
                self._check_owners(Owners(folders.folder_owner(self.folder), os.geteuid()))
            raise

    def _unvouched(self, ref: Ref) -> UntrustedQueueError:
        owner = self.segments.owner(ref.segment)
        if not self.trusts(owner):
            return load_refusal(self.folder, owner)
        return unvouched_refusal(self.folder, ref.segment, ref.offset)

    def code_payload(self, app: str, event: AppEvent) -> Ref:
        """Return where the pickled code of an app's version is, of a user who is trusted."""
        authors = self.authors
        ref = None if authors is None else authors.trusted_ref(authors.claims.codes.get(app))
        if ref is None:
            return Ref(*event['code'])
        self._vouched.add(ref)
        return ref

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
        """Return True for a task of trusted users, and for all tasks outside of groups."""
        return (authors := self.authors) is None or authors.call(self.state, row) is not None

    def check_manager(self, mid: str) -> None:
        """Refuse commands and classes of a task manager that no trusted user has chosen.

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
        review = self._review()
        return 0 if review is None else review.runnable.get(mid, 0)

    def held(self, rows: Container[int] | None = None) -> dict[str, int]:
        """Count the pending tasks that do not run as this user, by the user to trust.

        The name is '' where none can be named.

        Parameters
        ----------
        rows : container of int, default=None
            Only these tasks count.
        """
        if (review := self._review()) is None:
            return {}
        counts = {
            user: len(each) if rows is None else sum(row in rows for row in each)
            for user, each in review.held.items()
        }
        return {user: n for user, n in counts.items() if n}

    def _review(self) -> Review | None:
        # Looking at each pending task takes time: it is done once for a state of the journal, and
        # for some seconds of trust.
        if (authors := self.authors) is None:
            return None
        key = (self.journal.header['gen'], self.journal.offset, time.monotonic() // _REVIEW_S)
        if self._reviewed is None or self._reviewed[0] != key:
            self._reviewed = key, authors.review(self.state)
        return self._reviewed[1]

    def load_result(self, row: int) -> object:
        """Return the result of a task that succeeded; None if its state was set by hand.

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
            return _unpickler()(data)
        except (DesipipeError, OSError, MemoryError):
            raise
        except Exception as exc:  # of the classes in it
            tid, name = (
                self.state.ids[row].hex()[:12],
                self.state.groups[self.state.group[row]].name,
            )
            raise ResultError(
                f'Task {tid} ({name}) succeeded and its result is in the queue, but it cannot be '
                f'loaded here: {type(exc).__name__}: {exc}. '
                'There is a module that is not installed here, or a class whose objects do not '
                'come back from a pickle ('
                'an exception with an __init__ of its own needs a __reduce__). '
                'Correct that and read it again, or return plain values; what it printed: desipipe '
                f'logs -q {quote(self.folder)} {tid}'
            ) from exc

    def keep_results(self, limit: int) -> None:
        """Keep results in memory for the futures of this process.

        Parameters
        ----------
        limit : int
            Bytes of memory; of more results the smallest are kept.
        """
        if self.is_group_queue:
            return
        state, kept = self.state, {}
        rows = (row for row, status in enumerate(state.status) if status == SUCCEEDED)
        for row in sorted(rows, key=state.result_length.__getitem__):
            limit -= state.result_length[row] + KEPT_OVERHEAD
            if limit < 0:
                break
            if (ref := state.result(row)) is None:
                continue
            with contextlib.suppress(DesipipeError, OSError):  # It is damaged, or not trusted.
                self.check_trust(ref.segment)
                kept[state.ids[row]] = bytes(self.read(ref))
        for reader in list(self._readers):
            if reader.folder == self.folder:
                reader.kept = kept

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
            f'The {what} at byte {ref.offset:d} of segment {ref.segment} of {self.folder} are '
            f'damaged. Check with: desipipe doctor -q {quote(self.folder)}'
        )

    def arguments_payload(self, row: int) -> Ref:
        """Return the position of a task's pickled arguments."""

        def look() -> Ref:
            call = self._trusted_call(row)
            segment, offset, length = self.state.args(row) if call is None else call.args
            size = TEXT.size + TEXT.unpack(self._read_to_use(Ref(segment, offset, TEXT.size)))[0]
            ref = Ref(segment, offset + size, length - size)
            if call is not None:
                self._vouched.add(ref)
            return ref

        return self.again(look)

    def shared_payload(self, row: int) -> Ref | None:
        """Return the position of pickled arguments that many tasks share; None if none.

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
                f'Arguments that task {self.state.ids[row].hex()[:12]} shares were in a damaged '
                f'line of {self.journal.path}: '
                'the task cannot run. Call its app again to add them.'
            )
        return Ref(*event['ref'])
