"""Writing of payloads, and of claims in queues that a group shares."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate, islice
from typing import TYPE_CHECKING

import orjson

from ..serialize import Code, Payload
from ..store.journal import Journal, writer_name
from ..store.segment_writer import ALIGNMENT, SegmentWriter
from ..store.syncing import SYNC_INTERVAL
from .adding import Batch, Records, Written
from .author_claims import (
    ClaimsWriter,
    code_claim,
    digest_of,
    result_claim,
    shared_claim,
    task_claims,
)
from .events import TEXT, EventKind, Group, Ref
from .transactions.tasks import app_event, shared_event

if TYPE_CHECKING:
    from .claim_types import ClaimLine
    from .task_events import AppEvent, SharedEvent

from .attempt_reader import AttemptReader
from .payload_reader import KEPT_RESULTS


class PayloadWriter(AttemptReader):
    """This process's segment, and in a group's queue its claims.

    Parameters
    ----------
    folder : str
        An existing queue folder.
    sync_interval : float or None, default=0.2
        As for :class:`~desipipe.store.journal.Journal`.
    trusts : callable, default=None
        Gives True if a user (by id) is trusted: what they wrote may be loaded. By default as
        configured.
    name : str, default=None
        This process's name as a writer.
    """

    journal: Journal

    def __init__(
        self,
        folder: str,
        sync_interval: float | None = SYNC_INTERVAL,
        trusts: Callable[[int], bool] | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name
        self._sync_interval = sync_interval
        self._writer: SegmentWriter | None = None
        self._claims_writer: ClaimsWriter | None = None
        self._written_for = ''  # generation
        self._pid = os.getpid()
        super().__init__(folder, trusts)

    def _open_journal(self) -> Journal:
        flush = self._flush
        return Journal(self.folder, self._state, self._sync_interval, flush, self.check_use)

    def _flush(self) -> None:
        if self._writer is not None:
            self._writer.flush()

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

    def store(self, payload: Payload | bytes) -> Ref:
        """Write one payload to this process's segment (not yet flushed)."""
        if isinstance(payload, bytes):
            return Ref(*self._store([payload], False))
        return Ref(*self._store(payload.parts, payload.aligned))

    def _store(self, parts: Sequence[bytes | memoryview], aligned: bool) -> tuple[str, int, int]:
        offset = self.writer.append(parts, aligned)
        return self.writer.name, offset, sum(memoryview(part).nbytes for part in parts)

    def _renew_writers(self) -> str:
        """Start new files for another generation of the journal, and return its identity.

        What made it (compaction, clearing) may have taken ours away, and a network filesystem's
        client may not know it yet.
        """
        generation = str(self._reader.header['gen'])
        if generation != self._written_for:
            self.writer.flush()
            self.writer.close()
            if self._claims_writer is not None:
                self._claims_writer.close()
                self._claims_writer = None
            self._written_for = generation
        return generation

    def _write_claims(self, claims: Sequence[ClaimLine]) -> None:
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
        """Claim as this user's the tasks written now, and those of untrusted users only."""
        authors = self.authors
        assert authors is not None
        claims: list[ClaimLine] = []
        own: set[str] = set()
        for event in references:
            if event['e'] == EventKind.APP:
                own.add(event['app'])
                claims.append(code_claim(event['app'], event['code']))
            else:
                own.add(event['id'])
                claims.append(shared_claim(event['id'], event['ref']))
        for batch in batches:
            group, where = batch.group, written.get(id(batch))
            if where is None and self._is_claimed(batch):
                continue
            claims.append(
                task_claims(group, batch.ids, where or self._write_arguments(batch), batch.requires)
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
        """Return True when trusted users added all of these tasks, with equal options."""
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
        claims: list[ClaimLine] = [
            code_claim(app, event['code']) for app, event in state.apps.items()
        ]
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
            where = segment, [ref.offset for ref in refs], [ref.length for ref in refs]
            claims.append(
                task_claims(state.groups[number], [state.ids[row] for row in rows], where, needs)
            )
        results: list[Ref] = []
        for row in state.rows.values():
            last = self.last_attempt(row) if state.ended_at[row] else None
            kept = () if last is None else (last.out, last.err, *last.shown)
            results += (ref for ref in (state.result(row), *kept) if ref is not None)
        self._write_claims([*claims, result_claim(results)] if results else claims)

    def _write_arguments(self, batch: Batch) -> Written:
        writer, first = self.writer, batch.arguments[0]
        if len(batch.arguments) == 1 and isinstance(first, Records) and len(first.lengths) == 1:
            offset = writer.append(first.data)  # may begin another file
            return writer.name, (offset,), first.lengths
        offsets, lengths = array('Q'), array('Q')
        for arguments in batch.arguments:
            if isinstance(arguments, Records):
                offset = writer.append(arguments.data)
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

    def move_away(self, folder: str) -> None:
        """Rename the queue's folder, under its lock, and close its files.

        Parameters
        ----------
        folder : str
            New path. Futures of this process keep small results.
        """
        self.keep_results(KEPT_RESULTS)
        self.journal.locked(lambda: os.rename(self.folder, folder))
        self.close()

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
