"""Tell who wrote what in a queue that a group shares.

Any member can append any line to the journal, which therefore says nothing of who wants a task to
run. What counts is a file of one's own: each process writes what it adds, and what its tasks
return, into *claims* beside its segment. Only its user can write to that file, and its owner is the
author. A worker runs a task if users whom it trusts have claimed it: arguments, code and what it
needs, the options and the folder it runs in, and the task manager whose commands start workers.
"""

from __future__ import annotations

import stat
import threading
from array import array
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..errors import DesipipeError, UntrustedQueueError
from ..security.trust import MEANS
from ..store.segment import SegmentReader
from ..utils import username
from .author_claims import Claim, Claims, digest_of, mid_of
from .events import Ref
from .state import State

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Call(NamedTuple):
    """The payloads of a task, as those say who are trusted."""

    args: Ref
    code: Ref
    shared: Ref | None


class Review(NamedTuple):
    """The pending tasks of a group's queue, by whether they run as this user."""

    runnable: dict[str, int]
    """Numbers of those that do, by task manager."""
    held: dict[str, array[int]]
    """Rows of the others, by the user to trust; by '' where none can be named."""


class Authors:
    """Decides what of a queue that a group shares may run as this user.

    Parameters
    ----------
    claims : Claims
    segments : SegmentReader
    trusts : callable
        Given the id of a user, returns True where what they wrote may run as this user.
    """

    def __init__(
        self, claims: Claims, segments: SegmentReader, trusts: Callable[[int], bool]
    ) -> None:
        self.claims = claims
        self._segments = segments
        self._trusts = trusts
        self._mids: dict[str, bool] = {}
        self._guard = threading.Lock()
        self._seen: object = None

    def follow(self, now: object) -> None:
        """Read new claims, unless that was done when the journal was at the same place."""
        with self._guard:
            if now != self._seen:
                self._seen = now
                self.claims.refresh()

    def _is_safe(self, ref: Ref) -> bool:
        # Its author may name a segment of somebody else, or one that others can write to.
        try:
            status = self._segments.status(ref.segment)
            return not status.st_mode & _OTHERS_WRITE and self._trusts(status.st_uid)
        except (OSError, DesipipeError):
            return False

    def trusted_ref(self, refs: Mapping[int, Ref] | None) -> Ref | None:
        """Return the first payload that comes from a trusted user, given them by author."""
        for uid, ref in (refs or {}).items():
            if self._trusts(uid) and self._is_safe(ref):
                return ref
        return None

    def trusts_manager(self, state: State, mid: str) -> bool:
        """Return True for a task manager of a trusted user, whose commands may run."""
        if not any(self._trusts(uid) for uid in self.claims.mids.get(mid, ())):
            return False
        if mid not in self._mids:
            spec = {
                key: value
                for key, value in state.managers[mid].items()
                if key in ('environ', 'scheduler', 'provider')
            }
            self._mids[mid] = mid_of(spec) == mid
        return self._mids[mid]

    def claim(self, state: State, row: int) -> Claim | None:
        """Return what a trusted user says of a task as it stands in the queue now."""
        group = digest_of(state.groups[state.group[row]])
        needs = {state.ids[other] for other in state.requires.get(row, ())}
        for claim in self.claims.tasks.get(state.ids[row], ()):
            if (
                claim.group == group
                and set(claim.requires) == needs
                and self._trusts(claim.uid)
                and self._is_safe(claim.args)
            ):
                return claim
        return None

    def call(self, state: State, row: int) -> Call | None:
        """Return the payloads of a task that may run; None if it may not."""
        group = state.groups[state.group[row]]
        claim = self.claim(state, row)
        code = self.trusted_ref(self.claims.codes.get(group.app))
        shared = self.trusted_ref(self.claims.shared.get(group.shared)) if group.shared else None
        if (
            claim is None
            or code is None
            or (group.shared and shared is None)
            or not self.trusts_manager(state, group.mid)
        ):
            return None
        results = (state.result(other) for other in state.requires.get(row, ()))
        if not all(ref is None or self.vouches(ref) for ref in results):
            return None
        return Call(claim.args, code, shared)

    def vouches(self, ref: Ref) -> bool:
        """Return True for a result that a trusted user's worker has written."""
        return any(self._trusts(uid) for uid in self.claims.results.get(ref, ())) and self._is_safe(
            ref
        )

    def user_of(self, state: State, row: int) -> int:
        """Return the id of the user who keeps a task from running here; -1 if unknown."""
        claims = self.claims.tasks.get(state.ids[row], ())
        authors = [
            claim.uid
            for claim in claims
            if claim.group == digest_of(state.groups[state.group[row]])
        ]
        authors += [
            uid
            for other in state.requires.get(row, ())
            if (ref := state.result(other))
            for uid in self.claims.results.get(ref, ())
        ]
        for uid in authors:
            if not self._trusts(uid):
                return uid
        try:
            uid = self._segments.owner(state.args(row).segment)
        except (OSError, DesipipeError):
            return -1
        return -1 if self._trusts(uid) else uid

    def review(self, state: State) -> Review:
        """Look at each pending task."""
        runnable: dict[str, int] = {}
        held: dict[str, array[int]] = {}
        for row in state.pending_rows(list(state.managers)):
            if self.call(state, row) is not None:
                mid = state.groups[state.group[row]].mid
                runnable[mid] = runnable.get(mid, 0) + 1
            else:
                uid = self.user_of(state, row)
                held.setdefault(username(uid) if uid >= 0 else '', array('q')).append(row)
        return Review(runnable, held)

    def author_of(self, state: State, row: int) -> int:
        """Return the id of the user who added a task as it stands; -1 if nobody claims it."""
        group = digest_of(state.groups[state.group[row]])
        return next(
            (
                claim.uid
                for claim in self.claims.tasks.get(state.ids[row], ())
                if claim.group == group
            ),
            -1,
        )

    def refusal(self, state: State, row: int) -> UntrustedQueueError:
        """Return the error for a task that does not run as this user."""
        tid, uid = state.ids[row].hex()[:12], self.user_of(state, row)
        if uid < 0:
            return UntrustedQueueError(
                f'What the journal says of task {tid} was not written by a user whom you trust. It '
                'was not loaded, and stays as it is. '
                'If it is yours, add it again: call its app, or run its cell.'
            )
        user = username(uid)
        return UntrustedQueueError(
            f'Task {tid}, or what it needs, was written by user {user}, whom you do not trust. It '
            'was not loaded, and stays as it is. '
            f'{MEANS} If you trust {user}:\ndesipipe trust {user}'
        )
