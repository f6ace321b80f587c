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
import gc
import os
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TextIO

from .outputs.library_displays import (
    LIBRARIES,
    WIDGET,
    ImportHooks,
    Libraries,
    widget_html,
    widget_text,
)
from .outputs.notebook import mark
from .utils import Overlay, format_bytes

DISPLAY_LIMIT = (
    256 * 1024
    # bytes of one display as it is written; larger ones are kept beside the output, and shown
    # small: an image, or words
)
KEPT_MAX = 64 << 20  # bytes of one display that is kept
BACKEND = 'module://desipipe.execution.figures'
_TEXT_LIMIT = 16 * 1024  # characters of text/plain that stay of such a display
_PLAIN = frozenset(
    {int, float, bool, complex, str, bytes}
)  # IPython shows them by their repr, and is slow to import
_FUNCTIONS = 'IPython.core.display_functions'
_METHODS = {
    'text/html': '_repr_html_',
    'text/markdown': '_repr_markdown_',
    'text/latex': '_repr_latex_',
    'image/svg+xml': '_repr_svg_',
    'image/png': '_repr_png_',
    'image/jpeg': '_repr_jpeg_',
    'application/pdf': '_repr_pdf_',
    'application/json': '_repr_json_',
    'application/javascript': '_repr_javascript_',
}

_Bundle = dict[str, Any]
_cell: _Cell | None = None
_main: Overlay | None = None  # while a cell runs: what it defines
_native: dict[str, Callable[..., Any]] = {}  # IPython's own functions, once they are pointed here
_formatter: Any = None
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
    options = {
        'include': include,
        'exclude': exclude,
        'metadata': metadata,
        'transient': transient,
        'raw': raw,
        'clear': clear,
        **kwargs,
    }
    cell = _cell
    if cell is None:
        _outside('display', print)(
            *objs, **{key: value for key, value in {**options, 'display_id': name}.items() if value}
        )
        return DisplayHandle(str(name)) if display_id else None
    if kwargs.get('update') and not name:
        raise TypeError('A display that replaces another one (update=True) needs its display_id.')
    if not objs and name:
        objs, raw = ({},), True  # a place for what comes
    if clear:
        cell.emit({'c': True, 'w': True})
    for obj in objs:
        data, about = (obj, {}) if raw else _formatted(obj, include, exclude)
        if not raw and WIDGET in data:
            label = str(name or _new_id())
            cell.libraries.widgets.add(label, obj)
            cell._show_widget(label, obj, bool(kwargs.get('update')))
        elif data or raw:
            about = {
                **about,
                **{
                    mime: {**about[mime], **more} if isinstance(about.get(mime), dict) else more
                    for mime, more in (metadata or {}).items()
                },
            }
            cell.show(data, about, str(name or ''), bool(kwargs.get('update')))
    return DisplayHandle(str(name)) if display_id else None


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
    cell = _cell = _Cell(flush, keep)
    _point_here()
    threads = set(threading.enumerate())
    try:
        with named():
            try:
                yield
            finally:
                _join(
                    threads
                )  # what they still print is the cell's; as an interpreter does at its end
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


def _join(before: set[threading.Thread]) -> None:
    """Wait for the threads that a cell started and that are no daemons."""
    for thread in threading.enumerate():
        if thread not in before and not thread.daemon and not _is_pooled(thread):
            thread.join()


def _is_pooled(thread: threading.Thread) -> bool:
    # Of a pool that a module keeps for later, as joblib does: it would wait for ever. An
    # interpreter shuts these down at its end; a slot goes on.
    module = sys.modules.get('concurrent.futures')
    if module is None:
        return False
    pools = [item for item in gc.get_objects() if issubclass(type(item), module.Executor)]
    return any(
        thread is part or (isinstance(part, set) and thread in part)
        for pool in pools
        for part in vars(pool).values()
    )


class _Cell:
    """The output of the running cell, in order.

    Each stream has a ``write`` of its own meanwhile, on the object itself: who took hold of
    ``sys.stderr`` long ago (a log handler) writes through it too. Two threads that print to
    different streams at the same moment may be told in the other order; no mark is ever within
    another, though.
    """

    def __init__(self, flush: Callable[[], object], keep: Callable[[bytes], int]) -> None:
        self._flush = flush
        self._keep = keep
        self._streams: tuple[TextIO, ...] = tuple(
            stream for stream in (sys.__stdout__, sys.__stderr__) if stream is not None
        )
        self._last = self._streams[0]
        self._turns = 0
        self._lock = threading.RLock()
        self._pid: int | None = os.getpid()
        self.libraries = Libraries(self._show_widget)
        for stream in self._streams:
            vars(stream)['write'] = self._ordered(stream)

    def _ordered(self, stream: TextIO) -> Callable[[str], int]:
        plain = stream.write

        def write(text: str, /) -> int:
            if self._last is not stream:
                self._turn(stream)
            return plain(text)

        return write

    def _turn(self, stream: TextIO) -> None:
        # Children that the cell forks share the streams: they don't count. Nor do threads that
        # outlive the cell: it may be another task's output by now.
        if self._pid != os.getpid():
            return
        with self._lock:
            if self._last is not stream:
                self._flush_all()
                self._turns += 1
                self._last = stream
                for fd in (1, 2):
                    _write(fd, mark({'n': self._turns}))

    def _flush_all(self) -> None:
        for stream in self._streams:
            with contextlib.suppress(ValueError, OSError):  # the cell closed it
                stream.flush()
        self._flush()

    def emit(self, message: Mapping[str, Any]) -> None:
        """Write a mark after all that was written so far."""
        data = mark(message)
        if self._last is not self._streams[0]:
            self._turn(self._streams[0])
        with self._lock:
            self._flush_all()
            _write(1, data)

    def _show_widget(self, name: str, widget: Any, update: bool) -> None:
        data: _Bundle = {}  # it was closed
        if widget is not None:
            data = {'text/plain': widget_text(widget)}
            seen = widget_html(widget)
            if seen:
                data['text/html'] = seen
        self.show(data, {}, name, update)

    def show(
        self, data: Mapping[str, Any], metadata: Mapping[str, Any], name: str, update: bool
    ) -> None:
        """Write a display."""
        whole = _encoded(data)
        about = {mime: more for mime, more in metadata.items() if mime in data or '/' not in mime}
        sizes = {mime: len(_json(value)) for mime, value in whole.items()}
        message: _Bundle = {'d': whole, 'm': about}
        if sum(sizes.values()) > DISPLAY_LIMIT:
            number = self._kept(whole, about)
            message['d'] = _small(whole, sizes, number >= 0)
            if number >= 0:
                message['m'] = {
                    **about,
                    'desipipe': {'display': number, 'bytes': sum(sizes.values())},
                }
        if name:
            message['i'] = name
        if update:
            message['u'] = True
        self.emit(message)

    def _kept(self, data: _Bundle, metadata: _Bundle) -> int:
        if self._pid != os.getpid():
            return -1  # a child that the cell forked must not write what its parent writes
        encoded = _json({'data': data, 'metadata': metadata}).encode()
        return self._keep(encoded) if len(encoded) <= KEPT_MAX else -1

    def close(self) -> None:
        """Streams are as they were."""
        self._pid = None
        for stream in self._streams:
            vars(stream).pop('write', None)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _new_id() -> str:
    return os.urandom(16).hex()


# Formatting


def _encoded(data: Mapping[str, Any]) -> _Bundle:
    """Data as text where it is binary, without what asks for a front end."""
    from base64 import b64encode

    return {
        str(mime): b64encode(value).decode('ascii') if isinstance(value, bytes) else value
        for mime, value in data.items()
        if mime != WIDGET
    }


def _json(value: Any) -> str:
    import json

    return json.dumps(value, default=repr, separators=(',', ':'))


def _small(data: _Bundle, sizes: Mapping[str, int], is_kept: bool) -> _Bundle:
    """Shrink a large display: to fewer forms, a smaller image, or its beginning."""
    from .outputs.thumbnails import thumbnail

    forms = dict(data)
    left_out = []
    for mime in sorted(sizes, key=lambda mime: (mime == 'text/plain', -sizes[mime])):
        if sum(sizes[other] for other in forms) <= DISPLAY_LIMIT:
            break
        del forms[mime]
        left_out.append(f'{mime} of {format_bytes(sizes[mime])}')
    if not any(mime.startswith('image/') for mime in forms):
        forms = {**thumbnail(data, DISPLAY_LIMIT // 2), **forms}
    if forms.keys() <= {'text/plain'}:
        text = str(data.get('text/plain', ''))
        text = text if len(text) <= _TEXT_LIMIT else text[:_TEXT_LIMIT] + '…'
        note = (
            'too large to be shown here, kept in the queue'
            if is_kept
            else 'left out: more than can be kept of a display'
        )
        forms = {'text/plain': f'{text}\n[desipipe: {" and ".join(left_out)} {note}]'.lstrip()}
    return forms


def _formatted(
    obj: Any, include: Iterable[str] | None, exclude: Iterable[str] | None
) -> tuple[_Bundle, _Bundle]:
    if type(obj) in _PLAIN:
        data: _Bundle = {'text/plain': repr(obj)}
    elif isinstance(obj, getattr(sys.modules.get('matplotlib.figure'), 'Figure', ())):
        data = _figure(obj)
    else:
        return _formatted_by_ipython(obj, include, exclude)
    return {
        mime: value
        for mime, value in data.items()
        if (not include or mime in include) and mime not in (exclude or ())
    }, {}


def _figure(figure: Any) -> _Bundle:
    """A Matplotlib figure, as the inline backend shows it."""
    from base64 import b64encode
    from io import BytesIO

    data: _Bundle = {'text/plain': repr(figure)}
    if not (figure.axes or figure.lines):
        return data  # nothing is on it
    file = BytesIO()
    try:
        figure.canvas.print_figure(
            file,
            format='png',
            dpi=figure.dpi,
            bbox_inches='tight',
            facecolor=figure.get_facecolor(),
            edgecolor=figure.get_edgecolor(),
        )
    # of a label that TeX does not understand; as in a notebook, it costs the picture, and not what
    # the cell computed
    except Exception:
        import traceback

        traceback.print_exc()
        return data
    data['image/png'] = b64encode(file.getvalue()).decode('ascii')
    return data


def _formatted_by_ipython(
    obj: Any, include: Iterable[str] | None, exclude: Iterable[str] | None
) -> tuple[_Bundle, _Bundle]:
    global _formatter
    if _formatter is None:
        with contextlib.suppress(ImportError):
            from IPython.core.formatters import DisplayFormatter

            _formatter = DisplayFormatter()
    if _formatter is None:
        return _formatted_by_methods(obj, include, exclude)
    data, metadata = _formatter.format(obj, include=include, exclude=exclude)
    return dict(data), dict(metadata)


def _formatted_by_methods(
    obj: Any, include: Iterable[str] | None, exclude: Iterable[str] | None
) -> tuple[_Bundle, _Bundle]:
    """Format an object by its own ``_repr_*_`` methods, where there is no IPython."""
    metadata: _Bundle = {}

    def call(name: str, **kwargs: Any) -> Any:
        method = None if isinstance(obj, type) else getattr(obj, name, None)
        try:
            return method(**kwargs) if callable(method) else None
        except Exception:  # as IPython: it is said, and the other representations are shown
            import traceback

            traceback.print_exc()

    if not isinstance(obj, type) and callable(getattr(obj, '_ipython_display_', None)):
        call('_ipython_display_')
        return {}, {}
    chosen = [
        mime
        for mime in ('text/plain', *_METHODS)
        if (not include or mime in include) and mime not in (exclude or ())
    ]
    data: _Bundle = {
        mime: repr(obj) if mime == 'text/plain' else call(_METHODS[mime]) for mime in chosen
    }
    bundle = call('_repr_mimebundle_', include=include, exclude=exclude) or {}
    if isinstance(bundle, tuple):
        bundle, about = bundle
        metadata.update(about)
    data.update(
        {
            mime: value
            for mime, value in bundle.items()
            if (not include or mime in include) and mime not in (exclude or ())
        }
    )
    for mime, value in data.items():
        if isinstance(value, tuple):
            data[mime], metadata[mime] = value
    return {mime: value for mime, value in data.items() if value is not None}, metadata


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
        _hooks = ImportHooks({_FUNCTIONS: _repoint, **dict.fromkeys(LIBRARIES, _prepare)})
    _hooks.install()


def _prepare(module: types.ModuleType) -> None:
    if _cell is not None:
        _cell.libraries.prepare(module)


def _repoint(module: types.ModuleType) -> None:
    # Others may have taken the functions out of the module before us (`from IPython.display import
    # display`): they see it too, as the function stays the same object, and only its code changes.
    # Without a cell it is what it was.
    if _native:
        return
    for function in (_ipython_display, _ipython_publish_display_data, _ipython_clear_output):
        name = function.__name__.removeprefix('_ipython_')
        theirs = getattr(module, name)
        _native[name] = types.FunctionType(
            theirs.__code__, theirs.__globals__, name, theirs.__defaults__, theirs.__closure__
        )
        _native[name].__kwdefaults__ = theirs.__kwdefaults__
        theirs.__code__, theirs.__defaults__, theirs.__kwdefaults__ = (
            function.__code__,
            function.__defaults__,
            function.__kwdefaults__,
        )


# The code of these three runs in IPython's module: it knows no names of ours.


def _ipython_display(*objs: Any, **kwargs: Any) -> Any:
    import sys

    return sys.modules['desipipe.display'].called('display', *objs, **kwargs)


def _ipython_publish_display_data(*args: Any, **kwargs: Any) -> Any:
    import sys

    return sys.modules['desipipe.display'].called('publish_display_data', *args, **kwargs)


def _ipython_clear_output(*args: Any, **kwargs: Any) -> Any:
    import sys

    return sys.modules['desipipe.display'].called('clear_output', *args, **kwargs)


def called(name: str, *args: Any, **kwargs: Any) -> Any:
    """Handle a call of one of IPython's functions in a slot."""
    cell = _cell
    if cell is None:
        return _native[name](*args, **kwargs)
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
