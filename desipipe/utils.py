"""Words and numbers as people read them, and what every layer needs of the operating system."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from io import FileIO
    from typing import TextIO

__all__ = ['Overlay', 'faces', 'format_bytes', 'format_count', 'format_duration', 'is_sequence', 'mkdir', 'open_log', 'plural', 'setup_logging', 'username']

faces: dict[str, Callable[..., Any]] = {}
"""What faces lend to the layers below, which don't import them, by name: ``'form'`` is the notebook's, see ``TaskApp.form``."""


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
        """Let names stand for something else, over those that were put before."""
        new = names.keys() - self._put
        self._hidden.update({name: self._space[name] for name in new if name in self._space})
        self._put |= new
        self._space.update(names)

    def remove(self) -> None:
        """Let the names stand for what they stood for at first."""
        for name in self._put:
            self._space.pop(name, None)
        self._space.update(self._hidden)
        self._put.clear()
        self._hidden.clear()


def is_sequence(item: object) -> TypeGuard[Collection[Any]]:
    """Tell a list of things from one thing; a string is one thing.

    Parameters
    ----------
    item : object
        Anything.

    Returns
    -------
    test : bool
        True for lists, tuples and sets.
    """
    return isinstance(item, list | tuple | set | frozenset)


def mkdir(dirname: str | os.PathLike[str], mode: int = 0o777) -> None:
    """Make a folder and those above it; nothing happens if it is there.

    Parameters
    ----------
    dirname : str, path-like
        The folder; the empty string is the current one.
    mode : int, default=0o777
        Permissions of the folder itself, less the user's mask; those above it get the usual ones.

    Raises
    ------
    OSError
        With the name of the folder that can't be made.
    """
    if os.fspath(dirname):
        os.makedirs(dirname, mode=mode, exist_ok=True)


def open_log(path: str | os.PathLike[str]) -> FileIO:
    """Open a file that processes of several hosts append to, making it if it is not there.

    Parameters
    ----------
    path : str, path-like
        The file; its folder is there.

    Returns
    -------
    file : io.FileIO
        Unbuffered, to append to.

    Raises
    ------
    OSError
        As of `open`.
    """
    try:
        return open(path, 'ab', buffering=0)
    except FileExistsError:
        # MooseFS says so to one of two hosts that make a file in the same moment, though neither asks for a new one. Now it is there for both.
        return open(path, 'ab', buffering=0)


def username(uid: int | None = None) -> str:
    """Name of a user, for messages and folders.

    Asked of the user database and not of ``$USER``, which `sudo` and containers leave wrong, and which anyone can set.

    Parameters
    ----------
    uid : int, default=None
        Number of the user; by default the one who runs this process.

    Returns
    -------
    username : str
        Name, or the number where it has no name here.
    """
    import pwd

    uid = os.geteuid() if uid is None else uid
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def format_count(n: int) -> str:
    """A number of things: ``'1,204'``.

    Parameters
    ----------
    n : int
        How many.

    Returns
    -------
    count : str
    """
    return f'{n:,d}'


def plural(n: int, word: str = 'task') -> str:
    """So many of something: ``'1 task'``, ``'2,000 tasks'``.

    Parameters
    ----------
    n : int
        How many.
    word : str, default='task'
        Of what.

    Returns
    -------
    words : str
    """
    return f'{n:,d} {word}{"" if n == 1 else "s"}'


def format_bytes(n: float) -> str:
    """A size, in powers of 1000: ``'512 B'``, ``'1.5 kB'``, ``'20.0 MB'``.

    Parameters
    ----------
    n : int, float
        Number of bytes.

    Returns
    -------
    size : str
    """
    if abs(n) < 1000:
        return f'{n:.0f} B'
    for unit in ('kB', 'MB', 'GB', 'TB'):
        n /= 1000
        if abs(n) < 999.95:  # what would be printed as 1000.0 is 1.0 of the next unit
            return f'{n:.1f} {unit}'
    return f'{n / 1000:,.1f} PB'


def format_duration(seconds: float) -> str:
    """A time span, as short as it is still useful: ``'0:08'``, ``'1:02:03'``, ``'2 d 3 h'``.

    Parameters
    ----------
    seconds : int, float
        Time span in seconds. A negative one, which comes from clocks that were set back, is shown as zero.

    Returns
    -------
    duration : str
        Minutes and seconds, with hours if there are any; from one day on, days and hours. ``'?'`` if infinite or not a number.
    """
    if not abs(seconds) < float('inf'):
        return '?'
    minutes, second = divmod(max(round(seconds), 0), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f'{days:,d} d {hour:d} h'
    if hours:
        return f'{hours:d}:{minute:02d}:{second:02d}'
    return f'{minute:d}:{second:02d}'


def setup_logging(level: str | int = 'info', stream: TextIO | None = None, filename: str | os.PathLike[str] | None = None, fmt: str | None = None) -> None:
    """Show what desipipe logs. Calling it again replaces what the last call set up.

    Only the logger ``'desipipe'`` is touched: the root logger, other libraries and ``sys.excepthook`` are left as they are.

    Parameters
    ----------
    level : str, int, default='info'
        The least urgent messages to show: 'debug', 'info', 'warning', 'error', 'critical', or a number of :mod:`logging`.
    stream : file-like, default=None
        Where to write; by default the standard error, so that what a command prints can still be piped.
    filename : str, path-like, default=None
        File to append to instead; its folder is made.
    fmt : str, default=None
        Format of a line, see :class:`logging.Formatter`.

    Raises
    ------
    ValueError
        For an unknown level, or when both ``stream`` and ``filename`` are given.
    """
    import logging

    number = logging.getLevelNamesMapping().get(level.upper()) if isinstance(level, str) else level
    if number is None:
        raise ValueError(f"there is no logging level {level!r}: use 'debug', 'info', 'warning', 'error' or 'critical'")
    handler: logging.Handler
    if filename is None:
        handler = logging.StreamHandler(stream)
    elif stream is None:
        mkdir(os.path.dirname(filename))
        handler = logging.FileHandler(filename)
    else:
        raise ValueError('log either to a stream or to a file: give one of stream and filename')
    handler.set_name('desipipe')
    handler.setFormatter(logging.Formatter(fmt or '%(asctime)s %(levelname)-7s %(name)s: %(message)s'))
    logger = logging.getLogger('desipipe')
    for old in [old for old in logger.handlers if old.get_name() == 'desipipe']:
        logger.removeHandler(old)
        old.close()
    logger.addHandler(handler)
    logger.setLevel(number)
