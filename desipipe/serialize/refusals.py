"""Refusals of what can't be carried or has no stable identity, and what to do."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

from ..errors import NotSerializableError
from .plain import TaskReference


def named(name: str) -> str:
    """Return a value's name in errors: a parameter becomes ``argument 'name'``.

    Other texts are used as they are.
    """
    return (
        f'argument {name!r}'
        if name not in ('value', 'result') and name.lstrip('*').isidentifier()
        else f'the {name}'
        if name == 'result'
        else name
    )


# Module and name of a class: what it is in words, what to do about it. The first class of an
# object's ancestry that is listed counts.
_INSIDE = 'make it inside the function instead'
_LIVE: dict[tuple[str, str], tuple[str, str]] = {
    ('_io', '_IOBase'): ('an open file', 'open it inside the function instead'),
    ('io', 'IOBase'): ('an open file', 'open it inside the function instead'),
    ('_thread', 'lock'): ('a lock', _INSIDE),
    ('_thread', 'RLock'): ('a lock', _INSIDE),
    ('_multiprocessing', 'SemLock'): ('a lock', _INSIDE),
    ('threading', 'Condition'): ('a lock', _INSIDE),
    ('threading', 'Event'): ('a lock', _INSIDE),
    ('threading', 'Semaphore'): ('a lock', _INSIDE),
    ('queue', 'Queue'): ('a queue of threads', _INSIDE),
    ('_thread', '_local'): ('data of a thread', _INSIDE),
    ('threading', 'Thread'): ('a thread', 'start it inside the function instead'),
    ('subprocess', 'Popen'): ('a process', 'start it inside the function instead'),
    ('_socket', 'socket'): ('an open connection', 'open it inside the function instead'),
    ('sqlite3', 'Connection'): ('an open data base', 'open it inside the function instead'),
    ('mmap', 'mmap'): ('a mapped file', 'open it inside the function instead'),
    ('h5py._hl.files', 'File'): ('an open file', 'open it inside the function instead'),
    ('matplotlib.artist', 'Artist'): (
        'a live plot',
        'plot inside the function, and return the figure or save it to a file',
    ),
    ('matplotlib.backend_bases', 'FigureCanvasBase'): (
        'a live plot',
        'plot inside the function, and return the figure or save it to a file',
    ),
    ('ipywidgets.widgets.widget', 'Widget'): ('a live widget', 'use the value it holds instead'),
    ('builtins', 'generator'): ('a generator', 'turn it into a list first'),
    ('builtins', 'coroutine'): ('a coroutine', 'await it first'),
    ('builtins', 'frame'): ('a frame of a running program', _INSIDE),
    ('builtins', 'traceback'): ('a traceback', 'turn it into text first'),
}


def is_live(value: object) -> tuple[str, str] | None:
    """Describe a live object and the alternative; return None for all other values."""
    if issubclass(type(value), TaskReference):  # a proxy would be asked what it is
        return 'the future of a task', 'pass it as an argument instead'
    for cls in type(value).__mro__:
        module = cls.__module__
        advice = _LIVE.get((module, cls.__name__)) if isinstance(module, str) else None
        if advice:
            return advice
    return None


# A step of the way to a value: words, or words and a key, which is written only where something is
# refused.
Step = str | tuple[str, Any]
_SHOWN = 80  # characters


def brief(value: object, limit: int = _SHOWN) -> str:
    """Return a short `repr` of a value; never raise, whatever its class does."""
    try:
        shown = _briefly.repr(value) if type(value) in _CONTAINERS else repr(value)
    except (Exception, SystemExit) as exc:
        return f'its repr raises {type(exc).__name__}'
    return shown if len(shown) <= limit else shown[: limit - 3] + '...'


# A list of a million items is not written to show eighty characters of it.
_briefly = reprlib.Repr()
_briefly.maxlist = _briefly.maxtuple = _briefly.maxdict = _briefly.maxset = (
    _briefly.maxfrozenset
) = 20
_briefly.maxstring = _briefly.maxother = _briefly.maxlong = _SHOWN
_CONTAINERS = frozenset((list, tuple, dict, set, frozenset, str, int))


def step(part: Step) -> str:
    """Write a step in words."""
    return part if isinstance(part, str) else f'{part[0]} {brief(part[1])}'


def class_name(kind: type) -> str:
    """Return module and name of a class, as far as it has them."""
    module = kind.__module__
    return f'{module}.{kind.__qualname__}' if isinstance(module, str) else kind.__qualname__


def refuse(
    trail: Sequence[Step], value: object, reason: BaseException | str = ''
) -> NotSerializableError:
    """Create the error for a value that can't be carried, or has no stable identity.

    Parameters
    ----------
    trail : sequence of steps
        The way to it.
    value : object
        What it is.
    reason : exception or str, default=''
        Reason, for what is not known to be a live object.

    Returns
    -------
    error : NotSerializableError
    """
    shown = brief(value)
    advice = f'{_INSIDE}, or give its class a __reduce__ method'
    what, advice = is_live(value) or (f'of class {class_name(type(value))}', advice)
    if isinstance(reason, BaseException) and isinstance(reason.__cause__ or reason, RecursionError):
        reason = 'it is nested too deeply'
    elif isinstance(reason, BaseException):
        reason = f'{type(reason).__name__}: {_message(reason)}'.removesuffix('.')
    is_result = bool(trail) and trail[0] == 'the result'
    if is_result and 'inside the function' in advice:
        advice = 'return what you need of it (numbers, text, arrays, a path) instead'
    start = "It can't be carried to another process"
    why = f' {start}: {reason}.' if reason else f' {start}.'
    end = (
        'The task ran, but its result cannot be kept'
        if is_result
        else 'Nothing was added to the queue'
    )
    way = ', '.join(map(step, trail))
    return NotSerializableError(f'{way} ({what}, {shown}): {advice}.{why} {end}.')


def _message(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception as other:
        return f'its message raises {type(other).__name__}'
