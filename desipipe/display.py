"""``display()`` and ``show()`` for cells, and the output of cells run as tasks.

While a cell runs in a slot, what it displays is written to its stdout as marks (see
:mod:`desipipe.outputs.notebook`), in order with what it prints. There is no IPython shell in a
slot, and none is pretended: it would bring a history data base, a profile folder and hooks into the
interpreter, and libraries that ask for a shell would find one without a kernel. Instead IPython's
three functions that displays go through are pointed here, when and if the task imports IPython.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .outputs.cell_output import CellOutput
from .outputs.cell_threads import join_threads
from .outputs.display_forms import formatted
from .outputs.ipython_functions import DISPLAY_FUNCTIONS, NATIVE, repoint
from .outputs.library_displays import (
    LIBRARIES,
    WIDGET,
    ImportHooks,
)
from .utils.lending import Overlay

BACKEND = 'module://desipipe.execution.figures'

_cell: CellOutput | None = None
_main: Overlay | None = None  # while a cell runs: what it defines
_hooks: ImportHooks | None = None


class DisplayHandle:
    """A display that can be updated, as IPython's.

    Parameters
    ----------
    display_id : str, default=None
        A new one by default.
    """

    def __init__(self, display_id: str | None = None) -> None:
        self.display_id = display_id or _new_id()

    def display(self, obj: Any, **kwargs: Any) -> None:
        """Display ``obj`` once more, and in the place of what has this id."""
        display(obj, display_id=self.display_id, **kwargs)

    def update(self, obj: Any, **kwargs: Any) -> None:
        """Display ``obj`` in the place of what has this id."""
        display(obj, display_id=self.display_id, update=True, **kwargs)

    def __repr__(self) -> str:
        return f'<DisplayHandle display_id={self.display_id}>'


def display(
    *objs: Any,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    transient: Mapping[str, Any] | None = None,
    display_id: str | bool | None = None,
    raw: bool = False,
    clear: bool = False,
    **kwargs: Any,
) -> Any:
    """Display objects as IPython does; outside of a cell run as a task, with IPython.

    Parameters
    ----------
    *objs
        What to display.
    include, exclude : iterable of str, default=None
        MIME types: only these, not these.
    metadata : dict, default=None
        By MIME type.
    transient : dict, default=None
        May hold the ``display_id``.
    display_id : str or bool, default=None
        Name by which the display can be updated; ``True`` for a new one.
    raw : bool, default=False
        The objects are dictionaries of MIME types and data.
    clear : bool, default=False
        Remove before what was shown so far.
    **kwargs
        ``update=True``: take the place of the displays of this ``display_id``.

    Returns
    -------
    handle : DisplayHandle or None
        If ``display_id`` was asked for.
    """
    name = _new_id() if display_id is True else display_id or (transient or {}).get('display_id')
    cell = _cell
    if cell is None:
        options = {'include': include, 'exclude': exclude, 'metadata': metadata, 'raw': raw}
        options |= {'transient': transient, 'clear': clear, **kwargs, 'display_id': name}
        given = {key: value for key, value in options.items() if value}
        _outside('display', print)(*objs, **given)
        return DisplayHandle(str(name)) if display_id else None
    update = bool(kwargs.get('update'))
    if update and not name:
        raise TypeError('A display that replaces another one (update=True) needs its display_id.')
    if not objs and name:
        objs, raw = ({},), True  # a place for what comes
    if clear:
        cell.emit({'c': True, 'w': True})
    for obj in objs:
        data, about = (obj, {}) if raw else formatted(obj, include, exclude)
        if not raw and WIDGET in data:
            cell.add_widget(str(name or _new_id()), obj, update)
        elif data or raw:
            cell.show(data, _merged(about, metadata or {}), str(name or ''), update)
    return DisplayHandle(str(name)) if display_id else None


def _merged(about: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Add metadata by MIME type to that of an object itself."""
    added = {
        mime: {**about[mime], **more} if isinstance(about.get(mime), dict) else more
        for mime, more in metadata.items()
    }
    return {**about, **added}


def show(value: Any) -> None:
    """Display the value of a cell's last expression; ``None`` shows nothing.

    Parameters
    ----------
    value : object
    """
    if value is None:
        return
    if _cell is None and not _shell():
        print(repr(value))  # as Python's own prompt
    else:
        display(value)


def captures() -> bool:
    """Return True while a cell runs here whose displays are captured."""
    return _cell is not None


@contextlib.contextmanager
def named() -> Iterator[None]:
    """Provide names as a notebook does, for the length of a ``with`` block.

    They are :func:`display` among the builtins, and in ``__main__`` what the cell defines.
    """
    global _main
    ours, main = Overlay(vars(builtins)), Overlay(vars(sys.modules['__main__']))
    ours.put({'display': display})
    _main = main
    try:
        yield
    finally:
        _main = None
        main.remove()
        ours.remove()


def define(name: str, value: Any) -> None:
    """Add a function or class of a cell to ``__main__``, as in a notebook.

    :mod:`multiprocessing` and :mod:`pickle` look for it there.

    Parameters
    ----------
    name : str
        Its name in the cell.
    value : object
        What the name stands for, with its decorators; calls itself ``<function of the
        cell>.<locals>.<name>`` so far.
    """
    todo = [value]
    while todo:
        item = todo.pop()
        with contextlib.suppress(
            Exception
            # of what is no function or class: asking it for attributes, and setting them, may raise
            # anything
        ):
            inner = item.__qualname__.partition('.<locals>.')[2]
            if inner.partition('.')[0] == name and item.__module__ == '__main__':
                item.__qualname__ = inner
                todo += (
                    vars(item).values()
                    if isinstance(item, type)
                    else [getattr(item, '__wrapped__', None)]
                )
    if _main is not None:
        _main.put({name: value})


@contextlib.contextmanager
def captured(
    flush: Callable[[], object], keep: Callable[[bytes], int] = lambda data: -1
) -> Iterator[None]:
    """Mark what a cell displays and the order of its output, then display its figures.

    Figures are displayed also if the cell raises.

    Parameters
    ----------
    flush : callable
        Writes out what C libraries hold back.
    keep : callable, default=None
        Keeps a display that is too large for the output; gives its number, or -1 if it cannot be
        kept.
    """
    global _cell
    before = os.environ.get('MPLBACKEND')
    os.environ['MPLBACKEND'] = BACKEND  # also where the notebook's kernel handed its own down
    if 'matplotlib' in sys.modules:
        sys.modules['matplotlib'].use(BACKEND)
        if 'matplotlib.pyplot' in sys.modules:
            sys.modules['matplotlib.pyplot'].close('all')  # what another task left open
    cell = _cell = CellOutput(flush, keep)
    _point_here()
    threads = set(threading.enumerate())
    try:
        with named():
            try:
                yield
            finally:
                # What they still print is the cell's; an interpreter waits at its end, too.
                join_threads(threads)
    finally:
        try:
            if 'desipipe.execution.figures' in sys.modules:  # Matplotlib has imported it
                sys.modules['desipipe.execution.figures'].finish()
        finally:
            cell.libraries.close()
            _cell = None
            cell.close()
            if os.environ.get('MPLBACKEND') == BACKEND:
                os.environ.pop('MPLBACKEND')
                if before is not None:
                    os.environ['MPLBACKEND'] = before


def _new_id() -> str:
    return os.urandom(16).hex()


# IPython's own functions


def _shell() -> bool:
    ipython = sys.modules.get('IPython')
    return ipython is not None and ipython.get_ipython() is not None


def _outside(name: str, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """IPython's function of this name where a shell runs; else what prints objects."""
    if not _shell():
        return lambda *objs, **kwargs: otherwise(*objs)
    import IPython.display

    function: Callable[..., Any] = getattr(IPython.display, name)
    return function


def _point_here() -> None:
    """Redirect displays of IPython and of libraries, whenever imported, to here."""
    global _hooks
    if _hooks is None:
        _hooks = ImportHooks({DISPLAY_FUNCTIONS: repoint, **dict.fromkeys(LIBRARIES, _prepare)})
    _hooks.install()


def _prepare(module: types.ModuleType) -> None:
    if _cell is not None:
        _cell.libraries.prepare(module)


def called(name: str, *args: Any, **kwargs: Any) -> Any:
    """Handle a call of one of IPython's functions in a slot."""
    cell = _cell
    if cell is None:
        return NATIVE[name](*args, **kwargs)
    if name == 'display':
        return display(*args, **kwargs)
    if name == 'publish_display_data':
        return _publish(*args, **kwargs)
    return cell.emit({'c': True, 'w': bool(args[0] if args else kwargs.get('wait'))})


def _publish(
    data: Mapping[str, Any],
    metadata: Mapping[str, Any] | None = None,
    *,
    transient: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> None:
    display(data, raw=True, metadata=metadata, transient=transient, **kwargs)
