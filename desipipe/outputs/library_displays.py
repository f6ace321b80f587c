"""Capture what libraries display by functions of their own in tasks of cells.

Such libraries ask for an IPython shell, find none in a slot, and would open a browser, or wait for
a front end. Each is told here what it would have found in a notebook's kernel, by settings that it
offers, once the cell imports it; after the cell it is as it was. Nothing is imported here that the
cell does not.
"""

from __future__ import annotations

import contextlib
import html
import re
import sys
import time
import types
from base64 import b64encode
from collections.abc import Callable
from importlib.machinery import PathFinder
from typing import Any

WIDGET = 'application/vnd.jupyter.widget-view+json'
WIDGET_INTERVAL_S = 0.5  # between two updates of the displays of widgets
_BAR = 10  # characters of a bar as text
_PLOTLY = 'plotly.io._renderers'
_BOKEH = 'bokeh.io'

Undo = Callable[[], object]
Show = Callable[[str, Any, bool], None]
"""Shows an object by the name of its display; ``True``: in the place of what has this name."""


class ImportHooks:
    """Calls functions with modules once they are imported, or now where they are.

    Parameters
    ----------
    hooks : dict
        Functions by the modules' names.
    """

    def __init__(self, hooks: dict[str, Callable[[types.ModuleType], object]]) -> None:
        self._hooks = hooks

    def install(self) -> None:
        """Begin to look at what is imported."""
        for name, hook in self._hooks.items():
            if name in sys.modules:
                hook(sys.modules[name])
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find a module as Python does, and wrap its loader where someone waits for it."""
        hook = self._hooks.get(name)
        spec = None if hook is None else PathFinder.find_spec(name, path, target)
        if hook is not None and spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: types.ModuleType) -> None:
                load(module)
                hook(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


class Libraries:
    """The libraries that a cell uses.

    Parameters
    ----------
    show : callable
        Shows a widget, or what has become of it.
    """

    def __init__(self, show: Show) -> None:
        self._undo: list[Undo] = []
        self.widgets = Widgets(show)

    def prepare(self, module: types.ModuleType) -> None:
        """Tell a module that was imported that it is in a notebook.

        Parameters
        ----------
        module : module
        """
        preparation = _PREPARATIONS.get(module.__name__)
        if preparation is None:
            return
        try:
            self._undo.append(preparation(module, self))
        except (
            Exception
        ) as exc:  # of a version that is made otherwise: the cell computes all the same
            print(
                f'desipipe: what {module.__name__} shows may not appear ({type(exc).__name__}: '
                f'{exc}).',
                file=sys.stderr,
            )

    def close(self) -> None:
        """Show what has become of widgets, and leave the libraries as they were."""
        self.widgets.flush()
        for undo in reversed(self._undo):
            with contextlib.suppress(Exception):  # whatever a library makes of it: the cell is over
                undo()
        self._undo.clear()


def _prepare_plotly(module: Any, libraries: Libraries) -> Undo:
    # As in a kernel: figures travel as JSON, which the front end draws. Who chose another renderer
    # keeps it.
    before = module.renderers.default
    if before in (None, 'browser', ''):
        module.renderers.default = 'plotly_mimetype'

    def undo() -> None:
        module.renderers.default = before

    return undo


def _prepare_bokeh(module: Any, libraries: Libraries) -> Undo:
    # Where the page has not loaded BokehJS, as no cell of the kernel did, the first figure of a
    # cell brings it along.
    hooks = module.notebook
    show = hooks.show_doc
    loaded = False

    def show_doc(obj: Any, state: Any, notebook_handle: Any) -> Any:
        nonlocal loaded
        if not loaded:
            loaded = True
            hooks.load_notebook(hide_banner=True)
        return show(obj, state, notebook_handle)

    def install(function: Any) -> None:
        hooks.install_notebook_hook(
            'jupyter', hooks.load_notebook, function, hooks.show_app, overwrite=True
        )

    install(show_doc)
    state = module.state.curstate()
    state.output_notebook()

    def undo() -> None:
        state.reset()
        install(show)

    return undo


def _prepare_comms(module: Any, libraries: Libraries) -> Undo:
    # Comms are what widgets tell a front end by; `comm` asks whoever embeds Python to say how they
    # are made.
    comms = sys.modules.get('comm', module)
    before = comms.create_comm
    base = comms.base_comm.BaseComm

    class Comm(base):  # type: ignore[misc,valid-type]
        def publish_msg(self, msg_type: str, *args: Any, **kwargs: Any) -> None:
            libraries.widgets.tell(self.comm_id, msg_type)

    comms.create_comm = Comm

    def undo() -> None:
        comms.create_comm = before

    return undo


_PREPARATIONS: dict[str, Callable[[Any, Libraries], Undo]] = {
    _PLOTLY: _prepare_plotly,
    _BOKEH: _prepare_bokeh,
    'comm': _prepare_comms,
    'ipykernel.ipkernel': _prepare_comms,
}
LIBRARIES = tuple(_PREPARATIONS)
"""Modules that are prepared once they are imported."""


class Widgets:
    """Widgets that a cell displays, displayed again when they change.

    There is no front end that they could notify.

    Parameters
    ----------
    show : callable
    """

    def __init__(self, show: Show) -> None:
        self._show = show
        self._shown: dict[str, Any] = {}
        self._changed = False
        self._next = 0.0
        self._within = False

    def add(self, name: str, widget: Any) -> None:
        """Follow a widget that is displayed.

        Parameters
        ----------
        name : str
            Of its display.
        widget : Widget
        """
        self._shown[name] = widget

    def tell(self, model: str, message: str) -> None:
        """Note that a widget changed or closed; its display follows at a readable rate.

        Parameters
        ----------
        model : str
        message : str
            Kind of the message that the front end would get.
        """
        if not self._shown or self._within:
            return
        if message == 'comm_close':
            for name in [
                name
                for name, widget in self._shown.items()
                if getattr(widget, '_model_id', None) == model
            ]:
                del self._shown[name]
                self._show(name, None, True)
        self._changed = True
        if time.monotonic() >= self._next:
            self.flush()

    def flush(self) -> None:
        """Display all widgets as they are now, if any has changed."""
        if not self._changed or self._within:
            return
        self._within = True  # what displaying a widget makes of it is no change
        try:
            self._changed = False
            for name, widget in list(self._shown.items()):
                self._show(name, widget, True)
        finally:
            self._within = False
            self._next = time.monotonic() + WIDGET_INTERVAL_S


def widget_html(widget: Any) -> str:
    """Return a widget's content as static HTML; '' if that is no more than its text.

    Parameters
    ----------
    widget : Widget
    """
    children = getattr(widget, 'children', None)
    if children is not None:
        seen = [widget_html(child) for child in children]
        flow = 'flex' if 'HBox' in {kind.__name__ for kind in type(widget).__mro__} else 'block'
        return f'<div style="display:{flow};gap:.4em">{"".join(seen)}</div>' if any(seen) else ''
    kinds = {kind.__name__ for kind in type(widget).__mro__}
    value = getattr(widget, 'value', None)
    if kinds & {'HTML', 'HTMLMath'}:
        return f'<div>{value}</div>'
    if 'Label' in kinds:
        return f'<div>{html.escape(str(value))}</div>'
    if 'Image' in kinds and isinstance(value, bytes | memoryview):
        return (
            '<img alt="" '
            f'src="data:image/{html.escape(str(widget.format))};base64,{b64encode(bytes(value)).decode("ascii")}">'
        )
    if kinds & {'IntProgress', 'FloatProgress'}:
        share = (value - widget.min) / ((widget.max - widget.min) or 1)
        return (
            f'<div>{html.escape(str(widget.description))} <progress value="{share:.4f}" '
            'max="1"></progress></div>'
        )
    return ''


def widget_text(widget: Any) -> str:
    """Return a widget as text: its repr, else the text of its parts.

    Parameters
    ----------
    widget : Widget
    """
    try:
        return repr(widget)
    except Exception:  # a bar of tqdm knows its loop by a weak reference
        return _parts_text(widget).replace('\u2007', ' ')


def _parts_text(widget: Any) -> str:
    children = getattr(widget, 'children', None)
    if children is not None:
        return ''.join(map(_parts_text, children))
    value = getattr(widget, 'value', None)
    if isinstance(value, str):
        return html.unescape(re.sub('<[^>]*>', '', value))
    if isinstance(value, int | float) and hasattr(widget, 'max'):
        done = round(_BAR * (value - widget.min) / ((widget.max - widget.min) or 1))
        return f'|{"#" * done}{" " * (_BAR - done)}|'
    return ''
