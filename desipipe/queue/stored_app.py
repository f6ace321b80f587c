"""The app of a stored task."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..utils.lending import from_above
from .app import App
from .ledger import Ledger


class StoredApp(App):
    """The app of a stored task: its text is read without loading the code."""

    def __init__(self, ledger: Ledger, row: int) -> None:
        group = ledger.state.groups[ledger.state.group[row]]
        self.kind = group.kind
        self.name = group.name
        self._ledger = ledger
        self._mid = group.mid
        self.index = ledger.state.index[row]
        self.dirname = group.cwd
        self._event = ledger.code(row)

    @property
    def task_manager(self) -> Any:
        """The task manager whose workers run the task."""
        return from_above('task_manager')(self._ledger, self._mid)

    @property
    def func(self) -> Callable[..., Any]:  # type: ignore[override]
        """The function; loading it may run code of the queue's owner."""

        loaded: Any = self._ledger.load(self._ledger.code_payload(self._event['app'], self._event))
        return loaded  # type: ignore[no-any-return]

    @property
    def code(self) -> str:
        """The source of the function and of its helpers."""
        return self._ledger.read_text(self._event['source'])

    @property
    def filename(self) -> str | None:
        """File that the function is defined in; None in a notebook.

        The function is loaded to tell.
        """
        path: str = self.func.__code__.co_filename
        return path if os.path.isfile(path) else None

    def loaded(self) -> App:
        """Return an app that can be added to any queue.

        Loading it may run code of the queue's owner.
        """
        return App(self.func, self.kind, self.name)

    @property
    def parts(self) -> dict[str, str]:
        """The parts of the identity: readable name, digest."""
        import orjson

        parts: dict[str, str] = orjson.loads(self._ledger.read_text(self._event['parts']))
        return parts
