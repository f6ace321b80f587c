"""The calls that tasks stand for."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Self

from ..errors import TaskError
from ..utils import BaseClass
from .app import App
from .arguments import filled, in_order
from .future import Future
from .ledger import Ledger
from .stored_app import StoredApp
from .stored_task import StoredTask

__all__ = ['Call']


class Call(BaseClass):
    """A call of an app, in a queue or not yet.

    Parameters
    ----------
    app : App
        The app that is called.
    kwargs : dict, default=None
        Its arguments by name (``'*args'`` for positional ones beyond the named); defaults are
        filled in.
    index : int, default=None
        Order of call; by default that of the app's last call.
    """

    def __init__(
        self, app: App, kwargs: Mapping[str, Any] | None = None, index: int | None = None
    ) -> None:
        self._app: App | None = app
        self._kwargs: dict[str, Any] | None = filled(app, kwargs or {})
        self._tid: bytes | None = None
        self._index = max(getattr(app, 'index', 0), 0) if index is None else index
        self._stored: StoredTask | None = None

    @classmethod
    def stored(cls, ledger: Ledger, row: int) -> Self:
        """Return the one of a row of a queue; what is costly is read when asked for."""
        call = cls.__new__(cls)
        call._app = None
        call._kwargs = None
        call._tid = ledger.state.ids[row]
        call._index = ledger.state.index[row]
        call._stored = StoredTask(ledger, row)
        return call

    def is_of(self, ledger: Ledger) -> bool:
        """Return True if this is a task of the ledger's queue."""
        return self._stored is not None and self._stored.ledger.folder == ledger.folder

    @property
    def tid(self) -> bytes:
        """The identity, 16 bytes."""
        if self._tid is None:
            self._tid = self.app.identity(self.kwargs)
        return self._tid

    @property
    def id(self) -> str:
        """The identity, hexadecimal."""
        return self.tid.hex()

    @property
    def index(self) -> int:
        """Order of call, among those of its app object."""
        return self._index

    @property
    def name(self) -> str:
        """The app's name."""
        return self.app.name if self._stored is None else self._stored.name

    @property
    def mid(self) -> str:
        """The identity of the task manager; empty for a task that is in no queue."""
        return '' if self._stored is None else self._stored.group.mid

    @property
    def app(self) -> App:
        """The app; that of a stored task is loaded."""
        if self._app is None:
            assert self._stored is not None
            self._app = StoredApp(self._stored.ledger, self._stored.row)
        return self._app

    @property
    def kwargs(self) -> dict[str, Any]:
        """The arguments by name; those of a stored task are loaded.

        Futures stand in the place of what other tasks return.
        """
        if self._kwargs is None:
            assert self._stored is not None
            loaded = self._stored.load_arguments(functools.partial(Future, self._stored.ledger))
            self._kwargs = in_order(self.app, loaded)
        assert self._kwargs is not None
        return self._kwargs

    @property
    def arguments(self) -> dict[str, str]:
        """The arguments as text; nothing is unpickled."""
        if self._stored is None:
            from ..serialize import text

            return {name: text(value) for name, value in self.kwargs.items()}
        return self._stored.arguments

    @property
    def require_ids(self) -> list[str]:
        """Identities of the tasks it needs."""
        if self._stored is None:
            from ..serialize import dumps_arguments

            return [tid.hex() for tid in dumps_arguments(self.kwargs)[1]]
        return self._stored.require_ids

    @property
    def future(self) -> Future:
        """Its future."""
        if self._stored is None:
            raise TaskError('This task is in no queue. Add it: queue.add(task).', self.id)
        return Future(self._stored.ledger, self.tid)

    @property
    def task_manager(self) -> Any:
        """The task manager whose workers run it; None if it has none."""
        return getattr(self.app, 'task_manager', None)
