"""Fold of requirements, and of superseded code."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from .events import (
    DROPPED,
    PENDING,
    SUCCEEDED,
    WAITING,
)
from .task_columns import TaskColumns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .task_events import CellEvent, CodeEvent, KeepEvent, LinkEvent


class RequirementFold(TaskColumns):
    """Fold of what tasks need, and of code that other code superseded."""

    def _require(self, row: int, required: Iterable[int]) -> int:
        # What `row` needs; returns how much of it is not there.
        rows = array('I', required)
        unmet = 0
        if rows:
            self.requires[row] = rows
        for other in rows:
            self._depend(other, row)
            status = self.status[other]
            unmet += status != SUCCEEDED
            if status == DROPPED:
                self._sever(other)
        self.unmet[row] = unmet
        return unmet

    def _sever(self, row: int) -> None:
        # It is needed and is not there: deleted, or its line was lost. Known by its identity, it is
        # found when it is added again.
        self.severed.add(row)
        if self.ids[row]:
            self.severed_ids[self.ids[row]] = row

    def _rejoin(self, tid: bytes, row: int) -> None:
        # Who needed the row that `tid` had before needs this one.
        old = self.severed_ids.pop(tid)
        self.severed.discard(old)
        dependants = self.dependants_of(old)
        self.dependants.pop(old, None)
        for other in dependants:
            self.requires[other] = array(
                'I', [row if required == old else required for required in self.requires[other]]
            )
            self._depend(row, other)
        if row in self.superseded:
            self._add_reasons(list(dependants))

    def _link(self, event: LinkEvent, offset: int) -> None:
        for row, required in event['links']:
            if (
                row >= len(self.status)
                or self.status[row] == DROPPED
                or max(required, default=0) >= len(self.status)
            ):
                continue
            before = self.requires.pop(row, array('I'))
            self._take_reasons([row for other in before if other in self.superseded])
            for other in set(before):
                left = [dependant for dependant in self.dependants_of(other) if dependant != row]
                if left:
                    self.dependants[other] = left
                else:
                    self.dependants.pop(other, None)
                    self.severed.discard(other)
            unmet = self._require(row, required)
            self._add_reasons([row for other in required if other in self.superseded])
            if self.status[row] == PENDING and unmet:
                self._move(row, WAITING)
            elif self.status[row] == WAITING and not unmet:
                self._move(row, self._wanted(row))

    def _wanted(self, row: int, first: bool = False) -> int:
        # The state of a row that is to run (again): a result that it needs may have been taken back
        # meanwhile.
        if self.unmet[row]:
            return WAITING
        queue = self._pending(self.groups[self.group[row]])
        if first:
            queue.appendleft(row)
        else:
            queue.append(row)
        return PENDING

    def _met(self, row: int) -> None:
        for other in self.dependants_of(row):
            if self.unmet[other]:
                self.unmet[other] -= 1
                if self.unmet[other] == 0 and self.status[other] == WAITING:
                    self._move(other, self._wanted(other))

    def _unmet(self, row: int) -> None:
        # A result is taken back: what has not begun waits for the new one.
        for other in self.dependants_of(row):
            self.unmet[other] += 1
            if self.status[other] == PENDING:
                self._move(other, WAITING)

    def _code(self, event: CodeEvent, offset: int) -> None:
        superseded, restored = self.code_versions.apply(event)
        for app in superseded:
            self._add_reasons(self.rows_of_app(app))
        for app in restored:
            self._take_reasons(self.rows_of_app(app))

    def _cell(self, event: CellEvent, offset: int) -> None:
        self.cells.setdefault(event['file'], {})[event['cell']] = event

    def rows_of_app(self, app: str) -> list[int]:
        """Return the rows of a version of an app."""
        ranges = self._app_rows.get(app, [])
        rows = [row for i in range(0, len(ranges), 2) for row in range(ranges[i], ranges[i + 1])]
        return [row for row in rows if self.status[row] != DROPPED]

    def _add_reasons(self, rows: list[int]) -> None:
        while rows:
            row = rows.pop()
            if self.status[row] == DROPPED:
                continue
            reasons = self.reasons[row] = self.reasons.get(row, 0) + 1
            if reasons == 1:
                self._hide(row)
                rows += self.dependants_of(row)

    def _take_reasons(self, rows: list[int]) -> None:
        while rows:
            row = rows.pop()
            if row not in self.reasons:
                continue  # it was dropped
            self.reasons[row] -= 1
            if not self.reasons[row]:
                del self.reasons[row]
                rows += self._show(row)

    def _hide(self, row: int) -> None:
        state = self.status[row]
        self._counts_of(row)[state] -= 1
        self.superseded.add(row)
        self._counts_of(row)[state] += 1

    def _show(self, row: int) -> list[int]:
        """Count a row again; return the rows that have a reason less by that."""
        self.kept.discard(row)
        if row not in self.superseded:
            return []
        state = self.status[row]
        self._counts_of(row)[state] -= 1
        self.superseded.discard(row)
        self._counts_of(row)[state] += 1
        if state == PENDING:
            self._pending(self.groups[self.group[row]]).append(row)
        return self.dependants_of(row)

    def _keep(self, event: KeepEvent, offset: int) -> None:
        for row in event['rows']:
            if row in self.superseded:
                self._take_reasons(list(self._show(row)))
                self.kept.add(row)

    def _inherit(self, number: int, rows: Iterable[int]) -> None:
        """Supersede new rows of superseded code, and those that need superseded rows."""
        own = self.groups[number].app in self.code_versions.superseded
        if not own and not self.superseded:
            return
        for row in rows:
            reasons = own + sum(other in self.superseded for other in self.requires.get(row, ()))
            if reasons:
                self._hide(row)
                self.reasons[row] = reasons
