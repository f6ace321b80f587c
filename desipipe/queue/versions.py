"""Versions of apps by the place that adds their tasks: which of them are current."""

from __future__ import annotations

from collections.abc import Mapping

from ..utils.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .task_events import CodeEvent

CHILD = '@'
"""Begins the place of tasks that a task adds; the identity of that task's app follows."""


class Version(NamedTuple):
    """One version of an app, at one place."""

    app: str
    """Identity of the app version, hexadecimal."""
    cell: str = ''
    """The notebook's cell that added it, where that is known."""
    definitions: Mapping[str, str] = {}
    """Digests of its functions and classes by name, without the values that they read."""
    current: bool = True
    """False once other code took its place."""
    needed: bool = False
    """True where it is current only because a task that was added later needs its results."""


class Versions:
    """The versions that each place has and had, as the ``code`` events say."""

    def __init__(self) -> None:
        self.places: dict[str, dict[str, Version]] = {}
        """By place, then by identity of the app version."""
        self.superseded: set[str] = set()
        """App versions that some place had, and none has now."""
        self._known: dict[str, int] = {}  # app version: how many places have or had it

    def apply(self, event: CodeEvent) -> tuple[set[str], set[str]]:
        """Fold a ``code`` event.

        Returns
        -------
        superseded, restored : set of str
            App versions that are superseded from here on, and that are current again.
        """
        here = self.places.setdefault(event['place'], {})
        app = event['app']
        if app not in here:
            self._known[app] = self._known.get(app, 0) + 1
        here[app] = version_of(event)
        for other in event.get('over', ()):
            if other in here and other != app:
                here[other] = here[other]._replace(current=False, needed=False)
        before = self.superseded
        if (
            here[app].current
            and not event.get('over')
            and app not in before
            and not event['place'].startswith(CHILD)
        ):
            return set(), set()  # the usual case: a new version, or another place of a current one
        self.superseded = self._known.keys() - self._reached()
        return self.superseded - before, before - self.superseded

    def _reached(self) -> set[str]:
        """Return versions that are current at a place, or that current ones added."""
        reached: set[str] = set()
        todo: list[str] = []
        for key, versions in self.places.items():
            if not key.startswith(CHILD) or key[len(CHILD) :] not in self._known:
                todo += (app for app, version in versions.items() if version.current)
        while todo:
            app = todo.pop()
            if app not in reached:
                reached.add(app)
                todo += (
                    child
                    for child, version in self.places.get(CHILD + app, {}).items()
                    if version.current
                )
        return reached


def version_of(event: CodeEvent) -> Version:
    """Return the version of an app that a ``code`` event is about."""
    return Version(
        event['app'],
        event.get('cell', ''),
        event.get('defs', {}),
        not event.get('past', False),
        bool(event.get('needed')),
    )
