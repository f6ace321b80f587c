"""Settings of Python and of libraries that go with a task to its worker.

:func:`carried_settings` writes what differs from the defaults in the process that adds tasks, as
JSON; a :class:`~desipipe.settings.process.StateKeeper` applies it where tasks run.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

from ..logs import ElapsedFormatter
from .parts import OF_THE_PROCESS, figure_state, forget_shown_warnings, loggers

_ABSENT = object()


_PRINT = {
    'precision': 8,
    'threshold': 1000,
    'edgeitems': 3,
    'linewidth': 75,
    'suppress': False,
    'nanstr': 'nan',
    'infstr': 'inf',
    'sign': '-',
    'floatmode': 'maxprec',
    'legacy': False,
}
_ERRORS = {'divide': 'warn', 'over': 'warn', 'under': 'ignore', 'invalid': 'warn'}
_DECIMAL = ('prec', 'rounding', 'Emin', 'Emax', 'capitals', 'clamp')
_RECURSION = 1000
_FILTERS = [
    ['default', None, 'builtins:DeprecationWarning', '__main__', 0],
    ['ignore', None, 'builtins:DeprecationWarning', None, 0],
    ['ignore', None, 'builtins:PendingDeprecationWarning', None, 0],
    ['ignore', None, 'builtins:ImportWarning', None, 0],
    ['ignore', None, 'builtins:ResourceWarning', None, 0],
]
_last: tuple[Any, dict[str, Any] | None, str] = (None, None, '')


def _loaded(name: str, attribute: str = '') -> Any:
    """Return a module that is imported to its end; None if it is not."""
    module: Any = sys.modules.get(name)
    return module if not attribute or hasattr(module, attribute) else None


def carried_settings() -> str:
    """Return this process's settings that tasks need, as JSON; '' if there are none.

    Filters of warnings, levels of loggers and the streams that the root logger writes to,
    Matplotlib's parameters, NumPy's print options and error handling, the decimal context, and the
    recursion limit. What can't be written (functions, classes of the notebook) is left out.
    """
    global _last
    state = _submitted_state()
    parameters = getattr(sys.modules.get('matplotlib'), 'rcParams', None)
    if state != _last[0] or not dict.__eq__(parameters or {}, _last[1]):
        settings = {
            'warnings': _written_filters(),
            'logging': _written_loggers(),
            'matplotlib': _written_parameters(),
            'numpy': _written_numpy(),
            'decimal': _written_decimal(),
            'recursion': max(sys.getrecursionlimit(), _RECURSION),
        }
        default = {'warnings': _FILTERS, 'recursion': _RECURSION}
        settings_set = {
            name: value for name, value in settings.items() if value != default.get(name, {})
        }
        written = json.dumps(settings_set, sort_keys=True, default=_plain) if settings_set else ''
        _last = (state, figure_state() if parameters else {}, written)
    return _last[2]


def _plain(value: Any) -> Any:
    """Make a number of NumPy's, or what else is set in the place of one, plain."""
    return value.item() if hasattr(value, 'item') else str(value)


def _submitted_state() -> Any:
    """Return a cheap snapshot that differs if settings changed since the last task."""
    manager = logging.root.manager
    # Of a module that is being imported, attributes are absent.
    numpy: Any = sys.modules.get('numpy')
    decimal = sys.modules.get('decimal')
    geterr, getcontext = getattr(numpy, 'geterr', None), getattr(decimal, 'getcontext', None)
    return (
        (*warnings.filters,),
        [getattr(logger, 'level', 0) for logger in manager.loggerDict.values()],
        logging.root.level,
        manager.disable,
        logging.root.handlers.copy(),
        (geterr(), numpy.get_printoptions()) if geterr else None,
        str(getcontext()) if getcontext else None,
        sys.getrecursionlimit(),
    )


def _written_filters() -> list[Any]:
    filters = []
    entries: Any = warnings.filters
    for action, message, category, module, line in entries:
        texts = [getattr(pattern, 'pattern', pattern) for pattern in (message, module)]
        for each in category if isinstance(category, tuple) else (category,):
            if isinstance(each, type) and each.__module__ != '__main__':
                where = f'{each.__module__}:{each.__qualname__}'
                filters.append([action, texts[0], where, texts[1], line])
    return filters


_FORMATTERS = (logging.Formatter, ElapsedFormatter)


def _written_loggers() -> dict[str, Any]:
    manager = logging.root.manager
    # Loggers of a class of their own are left to the packages that make them.
    levelled = [logger for logger in loggers() if logger.level]
    levels = {one.name: one.level for one in levelled if type(one) is logging.Logger}
    later = {one.name: one.level for one in levelled if type(one) is not logging.Logger}
    if logging.root.level != logging.WARNING:
        levels[''] = logging.root.level
    handlers = []
    for handler in logging.root.handlers:
        name = _stream_name(getattr(handler, 'stream', None))
        formatter = handler.formatter or logging.Formatter()
        if name and type(handler) is logging.StreamHandler and type(formatter) in _FORMATTERS:
            handlers.append([name, handler.level, formatter._fmt, formatter.datefmt])
    parts = {
        'levels': levels,
        'later': later,
        'handlers': handlers,
        'disable': manager.disable,
    }
    return {name: value for name, value in parts.items() if value}


def _stream_name(stream: object) -> str:
    """Return the name of a standard stream; empty for another one."""
    if isinstance(stream, _Stream):
        return stream.standard
    names = [name for name in ('stdout', 'stderr') if getattr(sys, name) is stream]
    return names[0] if names else ''


def _written_parameters() -> dict[str, Any]:
    matplotlib = _loaded('matplotlib', 'rcParams')
    if matplotlib is None:
        return {}
    default = dict(dict.items(matplotlib.rcParamsDefault))
    parameters = {}
    for name, value in figure_state().items():
        if name not in OF_THE_PROCESS and value != default.get(name, _ABSENT):
            written = {'cycle': value.by_key()} if hasattr(value, 'by_key') else value
            with contextlib.suppress(TypeError, ValueError):  # of other objects
                parameters[name] = json.loads(json.dumps(written))
    return parameters


def _written_numpy() -> dict[str, Any]:
    numpy = _loaded('numpy', 'geterr')
    if numpy is None:
        return {}
    printed = numpy.get_printoptions()
    options = {name: printed[name] for name, value in _PRINT.items() if printed[name] != value}
    set_errors = numpy.geterr().items() - _ERRORS.items()
    errors = {name: value for name, value in set_errors if value not in ('call', 'log')}
    return {name: value for name, value in (('print', options), ('errors', errors)) if value}


def _written_decimal() -> dict[str, Any]:
    decimal = _loaded('decimal', 'getcontext')
    if decimal is None:
        return {}
    context, default = decimal.getcontext(), decimal.Context()
    traps = [signal.__name__ for signal, is_set in context.traps.items() if is_set]
    standard = [signal.__name__ for signal, is_set in default.traps.items() if is_set]
    written = {name: getattr(context, name) for name in _DECIMAL}
    if traps == standard and all(getattr(default, name) == written[name] for name in _DECIMAL):
        return {}
    return {**written, 'traps': traps}


def filters_of(written: list[Any]) -> tuple[list[Any], set[str]]:
    """Make filters of warnings.

    Returns
    -------
    filters : list of tuple
        Those of classes that are there.
    modules : set of str
        Modules that are not imported, whose classes others are about.
    """
    filters, missing = [], set()
    for action, message, where, module, line in written:
        name, _, path = where.partition(':')
        category: Any = sys.modules.get(name)
        if category is None:
            missing.add(name)
            continue
        for part in path.split('.'):
            category = getattr(category, part, None)
        if isinstance(category, type):
            patterns = [message and re.compile(message, re.I), module and re.compile(module)]
            filters.append((action, patterns[0], category, patterns[1], line))
    return filters, missing


def _apply_filters(written: list[Any]) -> None:
    filters = filters_of(written)[0]
    entries: Any = warnings.filters
    entries[:] = [*filters, *(item for item in entries if item not in filters)]
    forget_shown_warnings()


def _apply_loggers(written: dict[str, Any]) -> None:
    for name, level in written.get('levels', {}).items():
        logging.getLogger(name or None).setLevel(level)
    for stream, level, form, date in written.get('handlers', ()):
        handler = logging.StreamHandler(_Stream(stream))
        handler.setLevel(level)
        handler.setFormatter(ElapsedFormatter(form, date))  # that of setup_logging, and others
        logging.root.addHandler(handler)
    logging.disable(written.get('disable', logging.NOTSET))


class _Stream:
    """The standard stream of that name as it is when it is written to."""

    def __init__(self, name: str) -> None:
        self.standard = name

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(sys, self.standard), name)


def _apply_parameters(written: dict[str, Any]) -> None:
    parameters = _loaded('matplotlib').rcParams
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of parameters that are going to be renamed
        for name, value in written.items():
            if isinstance(value, dict):
                value = importlib.import_module('cycler').cycler(**value['cycle'])
            with contextlib.suppress(KeyError, ValueError):  # of another version of Matplotlib
                parameters[name] = value


def apply_numpy(written: dict[str, Any]) -> None:
    """Set NumPy's print options and error handling, in the context of the caller."""
    try:
        numpy = importlib.import_module('numpy')
    except ImportError:
        return  # the task has no arrays either
    for function, options in (
        (numpy.set_printoptions, written.get('print', {})),
        (numpy.seterr, written.get('errors', {})),
    ):
        for name, value in options.items():
            with contextlib.suppress(TypeError, ValueError):  # of another version of NumPy
                function(**{name: value})


def decimal_context(written: dict[str, Any]) -> Any:
    """Make a context of :mod:`decimal`."""
    decimal = importlib.import_module('decimal')
    traps = [getattr(decimal, name) for name in written['traps']]
    return decimal.Context(**{**written, 'traps': traps})


def _apply_recursion(limit: int) -> None:
    sys.setrecursionlimit(max(limit, sys.getrecursionlimit()))


APPLIED: dict[str, tuple[str, Callable[[Any], None]]] = {
    'warnings': ('warnings', _apply_filters),
    'logging': ('loggers', _apply_loggers),
    'matplotlib': ('matplotlib', _apply_parameters),
    'recursion': ('interpreter', _apply_recursion),
}
"""Carried settings: the part of the process that each belongs to, and how it is applied."""
