"""Find which versions of apps an addition uses, and which it replaces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from ..serialize import Code, definitions
from .place import Place, bindings, cells, current_place, is_gone
from .state import State
from .transactions.tasks import code_event
from .versions import CHILD, Version

if TYPE_CHECKING:
    from .task_events import CodeEvent

_LAMBDA = '<lambda>'


class Use(NamedTuple):
    """An app version that is used at a place now."""

    queue: str
    """Folder."""
    key: str
    """The place in the journal: file and name of the app."""
    place: Place
    app: str
    """Identity of the app version, hexadecimal."""
    kind: str = 'python'
    code: Code | None = None
    """None: its tasks are in the queue already."""


_seen: dict[tuple[str, str, str], Place] = {}
"""Place where this process used app versions last, by queue, place and version."""


def make_use(
    queue: str, name: str, app: str, kind: str = 'python', code: Code | None = None, task: str = ''
) -> Use | None:
    """Describe the use of an app version where this process is now.

    Parameters
    ----------
    queue : str
        Folder.
    name : str
        Of the app.
    app : str
        Identity of the app version, hexadecimal.
    kind : str, default='python'
    code : Code, default=None
    task : str, default=''
        Identity of the app version of the task that this process runs, if it runs one.

    Returns
    -------
    use : Use or None
        ``None`` where code cannot be told to have changed, as in a plain interactive Python.
    """
    if task:
        return Use(queue, CHILD + task, Place(task), app, kind, code)
    where = current_place()
    return None if where is None else Use(queue, f'{where.file}:{name}', where, app, kind, code)


def code_events(state: State, uses: Iterable[Use]) -> list[CodeEvent]:
    """Return the events for the versions of code that a place did not have yet.

    They name the versions that these replace. The caller holds the lock.
    """
    uses = list(uses)
    changed = [use for use in uses if not is_current(state, use)]
    events = []
    now = {(use.key, use.app) for use in uses} if changed else set()
    for use in changed:
        event = _event(state, use, now)
        if event is not None:
            events += [event, *_renamed(state, use)]
    return events


def note_uses(uses: Iterable[Use]) -> None:
    """Remember that this process used app versions, once that is written down."""
    for use in uses:
        _seen[use.queue, use.key, use.app] = use.place


def _renamed(state: State, use: Use) -> Iterator[CodeEvent]:
    """Supersede what the same cell of the notebook was before under another name."""
    where = use.place
    if use.kind != 'cell' or not where.cell:
        return
    for key, versions in state.code_versions.places.items():
        if key == use.key or not key.startswith(f'{where.file}:'):
            continue
        for version in versions.values():
            app = state.apps.get(version.app)
            seen = _seen.get((use.queue, key, version.app))
            if (
                version.current
                and version.cell == where.cell
                and app is not None
                and app['kind'] == 'cell'
                and (seen is None or seen.run != where.run)
            ):
                yield code_event(key, version._replace(current=False, needed=False))


def is_current(state: State, use: Use) -> bool:
    """Return True if an addition changes nothing about the versions at its place."""
    here = state.code_versions.places.get(use.key, {})
    if use.app not in here or not here[use.app].current:
        return False
    for version in here.values():
        if version.needed:
            return False
    return True


def _event(state: State, use: Use, now: set[tuple[str, str]]) -> CodeEvent | None:
    here = state.code_versions.places.get(use.key, {})
    current = here.get(use.app)
    if use.code is not None:
        statements = {} if use.key.startswith(CHILD) else bindings(use.code.parts)
        version = Version(use.app, use.place.cell, {**statements, **definitions(use.code)})
    elif current is not None:
        version = current._replace(current=True, needed=False)
    else:
        return None
    others = [
        other
        for other in here.values()
        if other.current and other.app != use.app and (use.key, other.app) not in now
    ]
    if current is not None and not current.current and (use.queue, use.key, use.app) in _seen:
        # This process had the version before. What it has never seen is of a later run of other
        # code, whose tasks must not wait for this one.
        others = [other for other in others if (use.queue, use.key, other.app) in _seen]
        version = version._replace(needed=True)
    over = [other.app for other in others if _is_replaced(use, version, other)]
    if current == version and not over:
        return None
    return code_event(use.key, version, over)


def _is_replaced(use: Use, version: Version, other: Version) -> bool:
    """Return True if ``version`` replaced ``other`` in its notebook or script."""
    if use.key.startswith(CHILD):
        return False
    where = use.place
    seen = _seen.get((use.queue, use.key, other.app))
    if seen is not None and (seen.run == where.run or not (where.cell or where.alone)):
        # one run of a script or cell has both; or two cells, which nothing tells from one that ran
        # twice
        return False
    if use.kind == 'cell':
        if seen is not None and not where.cell:
            return False
        if (
            other.cell
            and where.cell
            and other.cell != where.cell
            and not is_gone(where.file, other.cell)
        ):
            return False
        return bool(_changed(version, other)) or _code_names(version) != _code_names(other)
    changed = _changed(version, other)
    named = [name for name in changed if _LAMBDA not in name]
    if named:
        return seen is None or not all(cells.binding(_short(name)) > 1 for name in named)
    return bool(changed) and (seen is None or bool(where.cell and seen.cell == where.cell))


def _changed(version: Version, other: Version) -> list[str]:
    both = version.definitions.keys() & other.definitions.keys()
    return [name for name in both if version.definitions[name] != other.definitions[name]]


def _code_names(version: Version) -> set[str]:
    return {name for name in version.definitions if not name.startswith('global ')}


def _short(name: str) -> str:
    return name.rpartition(' ')[2].rpartition('.')[2]


def needed_events(
    state: State, rows: Iterable[int], fresh: Iterable[CodeEvent]
) -> Iterator[CodeEvent]:
    """Make versions current again whose results something needs that is added now.

    Parameters
    ----------
    state : State
    rows : iterable of int
        What is added again, and what new tasks need.
    fresh : iterable of dict
        The ``code`` events that are written before.
    """
    superseded = state.code_versions.superseded
    apps = {event['app'] for event in fresh}
    todo = [row for row in rows if row in state.superseded]
    looked: set[int] = set()
    while todo:
        row = todo.pop()
        if row in looked:
            continue
        looked.add(row)
        todo += (other for other in state.requires.get(row, ()) if other in state.superseded)
        app = state.groups[state.group[row]].app
        if app in superseded and app not in apps:
            apps.add(app)
            for key, versions in state.code_versions.places.items():
                if app in versions:
                    yield code_event(key, versions[app]._replace(current=True, needed=True))


__all__ = ['Use', 'code_events', 'is_current', 'make_use', 'needed_events', 'note_uses']
