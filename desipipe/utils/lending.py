"""Lend functions of upper layers to those below, and names to a namespace."""

from __future__ import annotations

from collections.abc import Callable, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


faces: dict[str, Callable[..., Any]] = {}
"""Functions that faces provide to the layers below, by name (``'form'``: see ``TaskApp.form``)."""

_ABOVE = {
    'command_line': 'desipipe.cli:main',
    'queue': 'desipipe.queue.queue:queue_of',  # that of a ledger
    'summaries': 'desipipe.commands.parser:summaries',  # of the verbs
    'task': 'desipipe.queue.task:Task.stored',
    'task_manager': 'desipipe.task_manager.manager:open_task_manager',
    'yaml_parser': 'desipipe.file_manager:yaml_parser',  # of data bases
}


def from_above(name: str) -> Callable[..., Any]:
    """Return what an upper layer lends to the layers below, which must not import it.

    Parameters
    ----------
    name : str
        A key of ``_ABOVE``.

    Returns
    -------
    function : callable
        Its module is imported when it is first asked for.
    """
    from importlib import import_module
    from operator import attrgetter

    module, _, attribute = _ABOVE[name].partition(':')
    function: Callable[..., Any] = attrgetter(attribute)(import_module(module))
    return function


class Overlay:
    """Names that hide those of a namespace for a while.

    Parameters
    ----------
    space : dict
        Of a module.
    """

    def __init__(self, space: dict[str, Any]) -> None:
        self._space = space
        self._put: set[str] = set()
        self._hidden: dict[str, Any] = {}

    def put(self, names: Mapping[str, Any]) -> None:
        """Replace what names stand for, over those that were put before."""
        new = names.keys() - self._put
        self._hidden.update({name: self._space[name] for name in new if name in self._space})
        self._put |= new
        self._space.update(names)

    def remove(self) -> None:
        """Restore what the names stood for at first."""
        for name in self._put:
            self._space.pop(name, None)
        self._space.update(self._hidden)
        self._put.clear()
        self._hidden.clear()
