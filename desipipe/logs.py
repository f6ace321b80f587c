"""Logging for scripts and tasks."""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from types import TracebackType
from typing import Any, Self, TextIO

from .errors import UnknownNameError
from .terminal import visible

__all__ = ['LoggingContext', 'exception_handler', 'setup_logging']


def _make_visible(record: logging.LogRecord) -> bool:
    """Make a record of desipipe safe for a terminal: it may name what is in a queue."""
    record.msg, record.args = visible(record.getMessage()), None
    return True


logger = logging.getLogger('desipipe')
"""The logger of desipipe itself."""
logger.addFilter(_make_visible)

LEVELS = ('debug', 'info', 'warning', 'error', 'critical')
_LINE = '=' * 100


class ElapsedFormatter(logging.Formatter):
    """Put the seconds since logging was set up in front of each line."""

    def __init__(self, fmt: str, datefmt: str | None) -> None:
        super().__init__(fmt, datefmt)
        self._start = time.time()

    def format(self, record: logging.LogRecord) -> str:
        """See :class:`logging.Formatter`."""
        record.elapsed = f'{max(record.created - self._start, 0.0):09.2f}'
        return super().format(record)


def level_number(level: str | int) -> int:
    """Return the number of a logging level.

    Parameters
    ----------
    level : str, int
        'debug', 'info', 'warning', 'error', 'critical', in capitals or not, or a number.

    Returns
    -------
    level : int

    Raises
    ------
    ValueError
        If there is no level of that name.
    """
    number = logging.getLevelNamesMapping().get(level.upper()) if isinstance(level, str) else level
    if number is None:
        raise UnknownNameError(
            f'There is no logging level {level!r}. Use one of: {", ".join(LEVELS)}.'
        )
    return number


def setup_logging(
    level: str | int = logging.INFO,
    stream: TextIO | None = None,
    filename: str | os.PathLike[str] | None = None,
    filemode: str = 'w',
    fmt: str | None = None,
    **kwargs: Any,
) -> None:
    """Set up the root logger; calling it again replaces what was set up.

    Exceptions that end the process are logged too.

    Parameters
    ----------
    level : str, int, default='info'
        Least urgent messages to show: 'debug', 'info', 'warning', 'error', 'critical', or a number
        of
        :mod:`logging`. With MPI: ``level='info' if mpicomm.rank == 0 else 'error'``.
    stream : file-like, default=None
        Stream to write to; the standard output by default. Ignored with ``filename``.
    filename : str, path-like, default=None
        File to write to instead; its folder is made.
    filemode : str, default='w'
        Mode of the file: 'w' replaces it, 'a' appends.
    fmt : str, default=None
        Format of a line, see :class:`logging.Formatter`; ``%(elapsed)s`` are the seconds since this
        call. By default seconds, date, logger, level and message.
    **kwargs
        Further arguments of :func:`logging.basicConfig`.

    Raises
    ------
    ValueError
        For an unknown level.
    """
    number = level_number(level)
    handler: logging.Handler
    if filename is not None:
        os.makedirs(os.path.dirname(filename) or os.curdir, exist_ok=True)
        handler = logging.FileHandler(filename, mode=filemode)
    else:
        handler = logging.StreamHandler(sys.stdout if stream is None else stream)
    layout = '[%(elapsed)s]  %(asctime)s %(name)-25s %(levelname)-8s %(message)s'
    handler.setFormatter(ElapsedFormatter(fmt or layout, '%m-%d %H:%M '))
    logging.basicConfig(**{'level': number, 'handlers': [handler], 'force': True, **kwargs})
    sys.excepthook = exception_handler


def log_to_stderr() -> None:
    """Show desipipe's log messages on stderr; the root logger stays as it is.

    Managers and workers do so: what they print can still be piped, and tasks find no handler that
    is not theirs.
    """
    handler = logging.StreamHandler()
    handler.set_name('desipipe')
    handler.setFormatter(logging.Formatter('%(asctime)s %(levelname)-7s %(name)s: %(message)s'))
    for old in [old for old in logger.handlers if old.get_name() == 'desipipe']:
        logger.removeHandler(old)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def exception_handler(
    exc_type: type[BaseException],
    exc_value: BaseException,
    exc_traceback: TracebackType | None,
    mpicomm: Any = None,
) -> None:
    """Log an exception that nothing caught; see :data:`sys.excepthook`.

    Parameters
    ----------
    exc_type, exc_value, exc_traceback
        The exception.
    mpicomm : MPI communicator, default=None
        Not used; kept for callers of the original.
    """
    log = logging.getLogger('Exception')
    text = ''.join(traceback.format_exception(exc_type, exc_value, exc_traceback))
    log.critical('\n%s\n%s%s', _LINE, text, _LINE)
    log.critical(
        'Interrupted by the user.'
        if issubclass(exc_type, KeyboardInterrupt)
        else 'An error occurred.'
    )


class LoggingContext:
    """Change the logging level for the length of a ``with`` block.

    Parameters
    ----------
    level : str, int, default=None
        Level, as of :func:`setup_logging`; None changes nothing.

    Examples
    --------
    >>> with LoggingContext('warning'):
    ...     logging.getLogger('Logger').info('not shown')
    """

    def __init__(self, level: str | int | None = None) -> None:
        root = logging.getLogger()
        loggers: list[logging.Logger | logging.Handler] = [root, *root.handlers]
        self._before = [(logger, logger.level) for logger in loggers]
        if level is not None:
            for logger, _ in self._before:
                logger.setLevel(level_number(level))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for logger, level in self._before:
            logger.setLevel(level)
