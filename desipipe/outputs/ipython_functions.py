"""Point IPython's own functions that displays go through at a cell run as a task."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

DISPLAY_FUNCTIONS = 'IPython.core.display_functions'

NATIVE: dict[str, Callable[..., Any]] = {}  # IPython's own functions, once they are pointed here


def repoint(module: types.ModuleType) -> None:
    """Redirect the functions of IPython's module to :mod:`desipipe.display`."""
    # Others may have taken the functions out of the module before us (`from IPython.display import
    # display`): they see it too, as the function stays the same object, and only its code changes.
    # Without a cell it is what it was.
    if NATIVE:
        return
    for function in (_ipython_display, _ipython_publish_display_data, _ipython_clear_output):
        name = function.__name__.removeprefix('_ipython_')
        theirs = getattr(module, name)
        NATIVE[name] = types.FunctionType(
            theirs.__code__, theirs.__globals__, name, theirs.__defaults__, theirs.__closure__
        )
        NATIVE[name].__kwdefaults__ = theirs.__kwdefaults__
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
