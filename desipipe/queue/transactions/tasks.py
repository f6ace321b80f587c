"""Events that add tasks, and what these refer to: code, arguments, settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..events import CHUNK, NAMED_MAX, EventKind, Group, Ref
from ..versions import Version, Versions

if TYPE_CHECKING:
    from ..task_events import (
        AddEvent,
        AppEvent,
        AssignEvent,
        CellEvent,
        CodeEvent,
        DrainEvent,
        FillEvent,
        GroupEvent,
        KeepEvent,
        LinkEvent,
        ReviveEvent,
        SegmentsEvent,
        SharedEvent,
        Spec,
        TaskManagerEvent,
    )


def manager_event(mid: str, spec: Spec) -> TaskManagerEvent:
    """Add a task manager: its environment, scheduler and provider."""
    return {
        'e': EventKind.MGR,
        'mid': mid,
        'environ': spec['environ'],
        'scheduler': spec['scheduler'],
        'provider': spec['provider'],
    }


def app_event(
    app: str, name: str, kind: str, code: Ref, source: Ref, parts: Ref, packages: Iterable[str]
) -> AppEvent:
    """Add a version of an app; ``app`` is its identity, hexadecimal."""
    return {
        'e': EventKind.APP,
        'app': app,
        'name': name,
        'kind': kind,
        'code': code,
        'source': source,
        'parts': parts,
        'packages': list(packages),
    }


def shared_event(digest: str, ref: Ref) -> SharedEvent:
    """Add arguments that are the same in many calls."""
    return {'e': EventKind.SHARED, 'id': digest, 'ref': ref}


def group_event(number: int, group: Group) -> GroupEvent:
    """Add the settings that many tasks share; defaults are left out."""
    event: dict[str, Any] = {'e': EventKind.GROUP, 'g': number}
    for key, value in group._asdict().items():
        if value != group._field_defaults.get(key):
            event[key] = value
    return event  # type: ignore[return-value]


def code_event(key: str, version: Version, over: Sequence[str] | None = None) -> CodeEvent:
    """Note that a notebook or script has a version of an app.

    ``over``: the versions there that it takes the place of.
    """
    event: CodeEvent = {'e': EventKind.CODE, 'place': key, 'app': version.app}
    if version.cell:
        event['cell'] = version.cell
    if version.definitions:
        event['defs'] = version.definitions
    if over:
        event['over'] = over
    if not version.current:
        event['past'] = True
    if version.needed:
        event['needed'] = True
    return event


def cell_event(
    file: str,
    cell: str,
    title: str,
    tasks: str,
    recorded: tuple[str, Mapping[str, str]] | None,
    time: float,
) -> CellEvent:
    """Note which tasks a cell of a notebook has, and what it ran with.

    ``recorded``: digests of its text, and of all that it read by name; None where nothing is known.
    """
    event: CellEvent = {
        'e': EventKind.CELL,
        'file': file,
        'cell': cell,
        'title': title,
        'tasks': tasks,
        't': time,
    }
    if recorded is not None:
        event['text'], event['reads'] = recorded
    return event


def versions_events(versions: Versions) -> list[CodeEvent]:
    """Build the events that say what ``versions`` were folded from."""
    return [
        code_event(key, version)
        for key, versions_there in versions.places.items()
        for version in versions_there.values()
    ]


def add_event(
    first: int,
    group: int,
    index: int,
    ids: str,
    arguments: tuple[str, int | list[int], list[int]],
    time: float,
    requires: Sequence[tuple[int, list[int]]] = (),
) -> AddEvent:
    """Add neighbouring rows of one group.

    Parameters
    ----------
    first : int
        The first row.
    group : int
        Its number.
    index : int
        Order of call of the first.
    ids : str
        Identities one after the other, hexadecimal.
    arguments : tuple
        Their segment; their offsets, or that of the first where they follow each other; their
        lengths.
    time : float
    requires : sequence, default=()
        Positions among these rows, with the rows that they need.
    """
    segment, offsets, lengths = arguments
    event: AddEvent = {
        'e': EventKind.ADD,
        'first': first,
        'g': group,
        'i': index,
        'ids': ids,
        'seg': segment,
        'off': offsets,
        'len': lengths,
        't': time,
    }
    if requires:
        event['req'] = requires
    return event


def revive_event(
    row: int,
    group: int,
    index: int,
    requires: list[int],
    arguments: tuple[str, int, int],
    time: float,
) -> ReviveEvent:
    """Add a task again that was cleared while it ran, under its old row."""
    segment, offset, length = arguments
    return {
        'e': EventKind.REVIVE,
        'row': row,
        'g': group,
        'i': index,
        'req': requires,
        'seg': segment,
        'off': offset,
        'len': length,
        't': time,
    }


def assign_events(number: int, rows: list[int], time: float) -> list[AssignEvent]:
    """Give tasks that have not succeeded to another group."""
    return [{'e': EventKind.ASSIGN, 'g': number, 'rows': part, 't': time} for part in chunks(rows)]


def link_events(
    links: Iterable[tuple[int, list[int]]], time: float | None = None
) -> Iterator[LinkEvent]:
    """Note which rows tasks need; ``links``: a row and the rows that it needs, each."""
    part: list[tuple[int, list[int]]] = []
    named = 0
    for link in links:
        if named >= NAMED_MAX or len(part) >= CHUNK:
            yield _link_event(part, time)
            part, named = [], 0
        part.append(link)
        named += len(link[1])
    if part:
        yield _link_event(part, time)


def _link_event(links: list[tuple[int, list[int]]], time: float | None) -> LinkEvent:
    event: LinkEvent = {'e': EventKind.LINK, 'links': links}
    if time is not None:
        event['t'] = time
    return event


def keep_events(rows: list[int], time: float) -> list[KeepEvent]:
    """Make superseded rows count again."""
    return [{'e': EventKind.KEEP, 'rows': part, 't': time} for part in chunks(rows)]


def drain_event(
    worker: str, row: int, attempt: int, group: int, tid: bytes, time: float
) -> DrainEvent:
    """Keep the attempt of a task that was cleared while it ran, so that it may end."""
    return {
        'e': EventKind.DRAIN,
        'w': worker,
        'rows': [row],
        'n': [attempt],
        'g': [group],
        'ids': tid.hex(),
        't': time,
    }


def segments_event(names: Iterable[str]) -> SegmentsEvent:
    """Keep files of before the queue was cleared, which workers may yet read."""
    return {'e': EventKind.SEGMENTS, 'names': sorted(names)}


def fill_event(length: int) -> FillEvent:
    """Make the journal longer, for the rows that it leaves out."""
    return {'e': EventKind.FILL, 'x': ' ' * length}


def chunks(rows: list[int]) -> Iterator[list[int]]:
    """Divide rows among events that are not too long."""
    return (rows[i : i + CHUNK] for i in range(0, len(rows), CHUNK))
