"""Parts of a process's state that tasks can change: capture, compare, put back.

Each :class:`Part` is one kind of state as a dictionary. State in context variables (NumPy's error
handling and print options, decimal contexts) needs no part: each task has a context of its own.
"""

from __future__ import annotations

import builtins
import gc
import locale
import logging
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

State = dict[Any, Any]


class Part(NamedTuple):
    """One kind of state of a process."""

    module: str
    """Module that has it; nothing is looked at before that is imported."""
    capture: Callable[[], State]
    restore: Callable[[State], None]
    """Make it what was captured; called only when it differs."""
    same: Callable[[State], bool] | None = None
    """Tell whether it is what was captured, where that is quicker than to capture it again."""


# Parts: warnings


def _warning_state() -> State:
    return {
        'filters': warnings.filters,
        'list': (*warnings.filters,),
        'show': warnings.showwarning,
        'format': warnings.formatwarning,
    }


def _same_warnings(state: State) -> bool:
    return (
        warnings.filters is state['filters']
        and (*warnings.filters,) == state['list']
        and warnings.showwarning is state['show']
        and warnings.formatwarning is state['format']
    )


def _restore_warnings(state: State) -> None:
    logging.captureWarnings(False)  # it remembers that it was asked to
    warnings.filters = state['filters']
    warnings.filters[:] = state['list']  # type: ignore[index]
    warnings.showwarning = state['show']
    warnings.formatwarning = state['format']
    forget_shown_warnings()


def forget_shown_warnings() -> None:
    """Forget which warnings were shown, so that each is shown again."""
    with warnings.catch_warnings():
        pass  # entering it counts as a change of the filters


# Parts: logging


def loggers() -> list[logging.Logger]:
    """Return all loggers but the root."""
    loggers = logging.root.manager.loggerDict.values()
    return [logger for logger in loggers if isinstance(logger, logging.Logger)]


def _logger_state() -> State:
    return {
        logger: (
            logger.level,
            logger.disabled,
            logger.propagate,
            logger.handlers.copy(),
            logger.filters.copy(),
        )
        for logger in (*loggers(), logging.root)
    }


def _same_loggers(state: State) -> bool:
    for logger, (level, disabled, propagate, handlers, filters) in state.items():
        if (
            logger.level != level
            or logger.handlers != handlers
            or logger.filters != filters
            or logger.disabled is not disabled
            or logger.propagate is not propagate
        ):
            return False
    return len(loggers()) < len(state)  # the root is not among them


def _restore_loggers(state: State) -> None:
    for logger, now in _logger_state().items():
        then = state.setdefault(logger, (logging.NOTSET, False, True, [], []))  # as a new one is
        if now != then:
            logger.setLevel(then[0])
            logger.disabled, logger.propagate = then[1:3]
            logger.handlers[:] = then[3]
            logger.filters[:] = then[4]


def _logging_state() -> State:
    return {
        'disable': logging.root.manager.disable,
        'class': logging.getLoggerClass(),
        'raise': logging.raiseExceptions,
        'factory': logging.getLogRecordFactory(),
    }


def _restore_logging(state: State) -> None:
    logging.disable(state['disable'])
    logging.setLoggerClass(state['class'])
    logging.raiseExceptions = state['raise']
    logging.setLogRecordFactory(state['factory'])


# Parts: the interpreter


def _list_state() -> State:
    return {
        name: (values, (*values,))
        for name, values in (
            ('path', sys.path),
            ('meta_path', sys.meta_path),
            ('path_hooks', sys.path_hooks),
            ('argv', sys.argv),
        )
    }


def _same_lists(state: State) -> bool:
    for name, (values, content) in state.items():
        now = getattr(sys, name)
        if now is not values or (*now,) != content:
            return False
    return True


def _restore_lists(state: State) -> None:
    for name, (values, content) in state.items():
        values[:] = content
        setattr(sys, name, values)


def _hook_state() -> State:
    return {
        'excepthook': sys.excepthook,
        'displayhook': sys.displayhook,
        'unraisablehook': sys.unraisablehook,
        'breakpointhook': sys.breakpointhook,
        'thread': threading.excepthook,
        'trace': threading.gettrace(),
        'profile': threading.getprofile(),
    }


def _restore_hooks(state: State) -> None:
    for name in ('excepthook', 'displayhook', 'unraisablehook', 'breakpointhook'):
        setattr(sys, name, state[name])
    threading.excepthook = state['thread']
    threading.settrace(state['trace'])
    threading.setprofile(state['profile'])


def _socket_timeout() -> float | None:
    """Return the default timeout of sockets in seconds, or None."""
    module = sys.modules.get('socket')
    return None if module is None else module.getdefaulttimeout()


def _interpreter_state() -> State:
    return {
        'collects': gc.isenabled(),
        'thresholds': gc.get_threshold(),
        'debug': gc.get_debug(),
        'interval': sys.getswitchinterval(),
        'digits': sys.get_int_max_str_digits(),
        'recursion': sys.getrecursionlimit(),
        'timeout': _socket_timeout(),
        'writes': sys.dont_write_bytecode,
        'stack': threading.stack_size(),
        'zone': time.tzname,
    }


def _restore_interpreter(state: State) -> None:
    (gc.enable if state['collects'] else gc.disable)()
    gc.set_threshold(*state['thresholds'])
    gc.set_debug(state['debug'])
    sys.setswitchinterval(state['interval'])
    sys.set_int_max_str_digits(state['digits'])
    sys.setrecursionlimit(state['recursion'])
    if _socket_timeout() != state['timeout']:
        import socket

        socket.setdefaulttimeout(state['timeout'])
    sys.dont_write_bytecode = state['writes']
    threading.stack_size(state['stack'])
    time.tzset()  # of the environment, which is as it was


def _restore_builtins(state: State) -> None:
    space = vars(builtins)
    for name in [name for name in space if name not in state]:
        del space[name]
    space.update(state)


def _locale_state() -> State:
    return {'locale': locale.setlocale(locale.LC_ALL)}


def _restore_locale(state: State) -> None:
    locale.setlocale(locale.LC_ALL, state['locale'])


# Parts: modules that may be imported


def _module(name: str) -> Any:
    return sys.modules[name]


def _fault_state() -> State:
    return {'enabled': _module('faulthandler').is_enabled()}


def _restore_faults(state: State) -> None:
    faulthandler = _module('faulthandler')
    (faulthandler.enable if state['enabled'] else faulthandler.disable)()


def _tempfile_state() -> State:
    return {'tempdir': _module('tempfile').tempdir}


def _restore_tempfile(state: State) -> None:
    _module('tempfile').tempdir = state['tempdir']


def _start_method_state() -> State:
    return {'method': _module('multiprocessing').get_start_method(allow_none=True)}


def _restore_start_method(state: State) -> None:
    _module('multiprocessing').set_start_method(state['method'], force=True)


def _numpy_state() -> State:
    numpy = _module('numpy')
    return {'errors': numpy.geterr(), 'print': numpy.get_printoptions(), 'call': numpy.geterrcall()}


def _restore_numpy(state: State) -> None:
    numpy = _module('numpy')
    numpy.seterr(**state['errors'])
    options = {name: value for name, value in state['print'].items() if name != 'override_repr'}
    numpy.set_printoptions(**options)
    numpy.seterrcall(state['call'])


def figure_state() -> State:
    """Return the parameters of Matplotlib, without looking into them."""
    parameters = dict.items(_module('matplotlib').rcParams)
    return {name: [*value] if type(value) is list else value for name, value in parameters}


def _same_figures(state: State) -> bool:
    return dict.__eq__(_module('matplotlib').rcParams, state)  # not by its own items: 2 ms


def _restore_figures(state: State) -> None:
    parameters = _module('matplotlib').rcParams
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of parameters that are going to be renamed
        for name, now in figure_state().items():
            if name in OF_THE_PROCESS:
                state[name] = now
            elif state[name] != now:
                parameters[name] = [*state[name]] if type(state[name]) is list else state[name]


def _open_figures() -> State:
    return {'open': _module('matplotlib.pyplot').get_fignums()}


def _close_figures(state: State) -> None:
    pyplot = _module('matplotlib.pyplot')
    for number in pyplot.get_fignums():
        if number not in state['open']:
            pyplot.close(number)


# Parameters of Matplotlib that belong to a process and its windows.
_WINDOWS = ('backend', 'backend_fallback', 'interactive', 'toolbar', 'savefig.directory')
OF_THE_PROCESS = frozenset(_WINDOWS)

PARTS: dict[str, Part] = {
    'warnings': Part('warnings', _warning_state, _restore_warnings, _same_warnings),
    'loggers': Part('logging', _logger_state, _restore_loggers, _same_loggers),
    'logging': Part('logging', _logging_state, _restore_logging),
    'lists': Part('sys', _list_state, _restore_lists, _same_lists),
    'hooks': Part('sys', _hook_state, _restore_hooks),
    'interpreter': Part('gc', _interpreter_state, _restore_interpreter),
    'builtins': Part('builtins', lambda: dict(vars(builtins)), _restore_builtins),
    'locale': Part('locale', _locale_state, _restore_locale),
    'faulthandler': Part('faulthandler', _fault_state, _restore_faults),
    'tempfile': Part('tempfile', _tempfile_state, _restore_tempfile),
    'multiprocessing': Part('multiprocessing', _start_method_state, _restore_start_method),
    'numpy': Part('numpy', _numpy_state, _restore_numpy),
    'matplotlib': Part('matplotlib', figure_state, _restore_figures, _same_figures),
    'figures': Part('matplotlib.pyplot', _open_figures, _close_figures),
}
"""The table of what is put back after a task."""
