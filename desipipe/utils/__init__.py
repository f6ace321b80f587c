"""Base classes, text and system calls that every layer needs."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import UserDict
from collections.abc import Collection, Mapping

from .quantities import format_bytes as format_bytes
from .quantities import format_count as format_count
from .quantities import format_duration as format_duration
from .quantities import format_significant as format_significant
from .quantities import plural as plural
from .quantities import plural_about as plural_about

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from typing import Any, Self, TypeGuard

    from ..logs import LoggingContext, exception_handler, setup_logging
    from .copying import copytree

__all__ = [
    'BaseClass',
    'BaseDict',
    'BaseMetaClass',
    'DictMetaClass',
    'LoggingContext',
    'copytree',
    'dict_to_yaml',
    'exception_handler',
    'is_path',
    'is_sequence',
    'mkdir',
    'setup_logging',
]
_GROUP_FOLDER = stat.S_ISGID | stat.S_IWGRP
_HOME = {
    'LoggingContext': 'logs',
    'copytree': 'utils.copying',
    'exception_handler': 'logs',
    'setup_logging': 'logs',
}


def quote(text: str) -> str:
    """Return text as one word of a command, as :func:`shlex.quote` does.

    Names of most queues need no quotes, and no `shlex`.
    """
    if text.isascii() and text.replace('-', '_').isidentifier():
        return text
    import shlex

    return shlex.quote(text)


def working_folder() -> str:
    """Return the folder that this process is in, empty where it was deleted."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ''


def system_error_text(exc: OSError) -> str:
    """Return the message of an error of the system that a command ended with."""
    if isinstance(exc, FileNotFoundError) and exc.filename is None and not working_folder():
        return 'The folder that you are in was deleted. Go to another one, such as: cd ~'
    return f'{exc}. With --debug: where it happened'


class _ClassLogger:
    """Logger named after its class; `logging` is imported when it is first used."""

    def __get__(self, instance: object, owner: type) -> logging.Logger:
        import logging

        return logging.getLogger(owner.__name__)


class Logged:
    """Base of classes with a logger of their name: ``log_info(...)`` and others."""

    __slots__ = ()
    logger = _ClassLogger()

    @classmethod
    def log_debug(cls, *args: Any, **kwargs: Any) -> None:
        """Log a message, see :meth:`logging.Logger.debug`."""
        cls.logger.debug(*args, **kwargs)

    @classmethod
    def log_info(cls, *args: Any, **kwargs: Any) -> None:
        """Log a message, see :meth:`logging.Logger.info`."""
        cls.logger.info(*args, **kwargs)

    @classmethod
    def log_warning(cls, *args: Any, **kwargs: Any) -> None:
        """Log a message, see :meth:`logging.Logger.warning`."""
        cls.logger.warning(*args, **kwargs)

    @classmethod
    def log_error(cls, *args: Any, **kwargs: Any) -> None:
        """Log a message, see :meth:`logging.Logger.error`."""
        cls.logger.error(*args, **kwargs)

    @classmethod
    def log_critical(cls, *args: Any, **kwargs: Any) -> None:
        """Log a message, see :meth:`logging.Logger.critical`."""
        cls.logger.critical(*args, **kwargs)


class BaseClass(Logged):
    """Base of classes with shallow copies, and a logger of the name of the class."""

    def __copy__(self) -> Self:
        new = self.__class__.__new__(self.__class__)
        new.__dict__.update(self.__dict__)
        return new

    def copy(self) -> Self:
        """Return a shallow copy, with keys or variables of its own."""
        return self.__copy__()


class BaseMetaClass(type):
    """Metaclass of classes that log under their names, for code written for 1.0."""

    def __new__(meta, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> Any:
        """Make a class, with the methods of ``Logged``."""
        logs = any(issubclass(base, Logged) for base in bases)
        return super().__new__(meta, name, bases if logs else (Logged, *bases), members)


class DictMetaClass(BaseMetaClass, type(UserDict)):  # type: ignore[misc]
    """Metaclass of logging dictionaries; see :class:`BaseMetaClass`."""


class BaseDict(UserDict, BaseClass):  # type: ignore[type-arg]
    """Dictionary that can be subclassed, with a logger."""

    def copy(self) -> Self:
        """Return a copy with a dictionary of its own."""
        return self.__copy__()

    def clone(self, *args: Any, **kwargs: Any) -> Self:
        """Return an updated copy; arguments are those of ``update``."""
        new = self.copy()
        new.update(*args, **kwargs)
        return new


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


def mkdir(dirname: str | os.PathLike[str], mode: int = 0o777, exist_ok: bool = True) -> None:
    """Make a folder and those above it; nothing happens if it is there.

    Parameters
    ----------
    dirname : str, path-like
        The folder; the empty string is the current one.
    mode : int, default=0o777
        Permissions of the folders that are made, less the user's mask.
    exist_ok : bool, default=True
        Not used: kept for callers of the original, for whom no folder was ever in the way.

    Raises
    ------
    OSError
        With the name of the folder that can't be made.
    """
    path = os.fspath(dirname)
    if not path or os.path.isdir(path):
        return
    mkdir(os.path.dirname(path), mode)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode)
    if not os.path.isdir(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)


def is_shared(mode: int) -> bool:
    """Return True for the mode of a setgid folder in which a group writes."""
    return mode & _GROUP_FOLDER == _GROUP_FOLDER


def file_mode(folder_mode: int, own: bool = False) -> int:
    """Return the mode of a file in a queue whose folder has ``folder_mode``.

    Parameters
    ----------
    folder_mode : int
    own : bool, default=False
        The file has one writer, whose name counts: the group may read it.
    """
    mode = 0o600 | (folder_mode & 0o066)
    return mode & ~0o022 if own else mode


def username(uid: int | None = None) -> str:
    """Name of a user, for messages and folders.

    Asked of the user database and not of ``$USER``, which `sudo` and containers leave wrong, and
    which anyone can set.

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


def sentence(text: object) -> str:
    """End a text with one full stop, so that more can follow."""
    ended = f'{text}'.rstrip('.')
    return ended if ended.endswith('?') else f'{ended}.'


def printable(text: str) -> str:
    """Replace lone surrogates (non-UTF-8 file names), which no text file can hold."""
    return text if text.isascii() else text.encode('utf-8', 'backslashreplace').decode()


def random_hex(n: int) -> str:
    """Return ``n`` random bytes in hexadecimal, without importing the slow `secrets`."""
    return os.urandom(n).hex()


def trim_memory() -> None:
    """Return free memory to the system, as the C library keeps it after a peak."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)  # of glibc
    if trim is not None:
        trim(0)


def is_path(item: object) -> TypeGuard[str | os.PathLike[str]]:
    """Return True for text and path-like objects.

    Parameters
    ----------
    item : object
        Anything.

    Returns
    -------
    test : bool
    """
    return isinstance(item, str | os.PathLike)


def is_pattern(name: str) -> bool:
    """Return True if a name has ``*``, ``?`` or ``[``, and may match several queues."""
    return any(char in name for char in '*?[')


def dict_to_yaml(d: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a copy that holds only what YAML can write.

    That is numbers, truth values, text, lists and dictionaries.

    Parameters
    ----------
    d : dict
        Values of other kinds, at any depth, become text.

    Returns
    -------
    plain : dict
    """

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return dict_to_yaml(value)
        if is_sequence(value):
            return [plain(item) for item in value]
        return value if isinstance(value, bool | int | float | complex) else str(value)

    return {key: plain(value) for key, value in d.items()}


if not TYPE_CHECKING:  # a module's `__getattr__` would hide mistyped names from type checkers

    def __getattr__(name: str) -> object:
        """Import a name on first use, as logging slows every start."""
        if name not in _HOME:
            raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
        from importlib import import_module

        return getattr(import_module(f'desipipe.{_HOME[name]}'), name)
