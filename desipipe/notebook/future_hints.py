"""Explain errors of code that takes futures for the values of their tasks."""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Iterator, Mapping, ValuesView
from itertools import islice
from types import TracebackType
from typing import Any

from ..errors import DesipipeError
from ..queue.future import Future
from ..queue.future_list import FutureList
from ..queue.not_a_value import is_refusal

_NAMED_MAX = 3
_ITEMS_MAX = 1000  # of a list that are looked at
_PACKAGE = __name__.partition('.')[0]
_NAME = re.compile(r'(?<![\w.])([^\W\d]\w*)\s*(\.?)')
_TEXT = re.compile(r"""(?:(?<!\w)([fF][rR]?|[rR][fF]))?(?:'[^'\n]*'|"[^"\n]*\")""")
_FIELD = re.compile(r'\{([^{}]*)')
_CONTAINERS = (list, tuple, set, frozenset, ValuesView)
_KINDS = (TypeError, ValueError, AttributeError, LookupError)


def tell_future_error(error: object, namespace: Mapping[str, Any]) -> None:
    """Print below an error which names of its line are futures, and how to go on.

    What libraries say of an object that they do not know speaks of operand types, shapes, or
    scalars. What a future says of itself does not name the variable. Other errors of desipipe say
    it themselves.

    Parameters
    ----------
    error : object
        What a cell raised, if anything.
    namespace : mapping
        The names of the notebook.
    """
    if not isinstance(error, _KINDS):
        return
    if isinstance(error, DesipipeError) and not is_refusal(error):
        return
    for hint in islice(_hints(error, namespace), _NAMED_MAX):
        print(f'desipipe: {hint}', file=sys.stderr)


def _hints(error: Exception, namespace: Mapping[str, Any]) -> Iterator[str]:
    position = _position(error, namespace)
    if position is None:
        return
    for name, dot in dict.fromkeys(_NAME.findall(_TEXT.sub(_fields, _source(position)))):
        value = position.tb_frame.f_locals.get(name, namespace.get(name))
        if isinstance(value, Future) and (not dot or isinstance(error, AttributeError)):
            yield (
                f'{name} is the future of a task, not its value. Take the value with '
                f'{name}.result(), or read {name} in a task cell.'
            )
        elif not isinstance(error, LookupError) and (futures := _futures_in(name, value)):
            yield (
                f'{name} holds futures of tasks, not their values. Take the values with '
                f'desipipe.gather({futures}), or read {name} in a task cell.'
            )


def _fields(text: re.Match[str]) -> str:
    """Return the expressions in a text: those of an f-string; no others are code."""
    return ' '.join(_FIELD.findall(text[0])) if text[1] else ''


def _position(error: Exception, namespace: Mapping[str, Any]) -> TracebackType | None:
    """Return where the notebook's own code was last; None if desipipe's own raised."""
    last, entry = None, error.__traceback__
    while entry is not None:
        globals_ = entry.tb_frame.f_globals
        if globals_ is namespace:
            last = entry
        elif last is not None and str(globals_.get('__name__')).partition('.')[0] == _PACKAGE:
            if is_refusal(error):
                break
            return None  # an app was called, or a result was asked for
        entry = entry.tb_next
    return last


def _source(entry: TracebackType) -> str:
    """Return the text of the expression that was evaluated."""
    code = entry.tb_frame.f_code
    first, last, begin, end = next(
        islice(code.co_positions(), entry.tb_lasti // 2, None), (None, None, None, None)
    )
    if first is None or last is None:
        return linecache.getline(code.co_filename, entry.tb_lineno)
    lines = [linecache.getline(code.co_filename, number) for number in range(first, last + 1)]
    # Columns count bytes.
    encoded = [line.encode() for line in lines]
    encoded[-1] = encoded[-1][:end]
    encoded[0] = encoded[0][begin:]
    return b''.join(encoded).decode(errors='replace')


def _futures_in(name: str, value: object) -> str:
    """Return the expression for the futures in a value; empty if it has none."""
    if isinstance(value, FutureList):
        return name
    text = f'{name}.values()' if isinstance(value, dict) else name
    items = value.values() if isinstance(value, dict) else value
    if not isinstance(items, _CONTAINERS):
        return ''
    return text if any(isinstance(item, Future) for item in islice(items, _ITEMS_MAX)) else ''
