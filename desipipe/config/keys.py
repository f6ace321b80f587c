"""The keys of the configuration: their defaults, and what their values may be."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable

from ..errors import ConfigError, close_names
from ..utils import is_sequence
from ..utils.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Key(NamedTuple):
    """A key of the configuration."""

    default: Any
    expected: str
    test: Callable[[Any], bool]
    variable: str = ''
    """Environment variable that wins over the file."""


def _is_number(value: Any, least: float) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and least <= value < float('inf')
    )


def _is_choice(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, dict) and all(isinstance(name, str) for name in value)
    )


def _is_databases(value: Any) -> bool:
    paths = value.get('filename', []) if isinstance(value, dict) else None
    return isinstance(paths, str) or (
        is_sequence(paths) and all(isinstance(path, str) for path in paths)
    )


_LOCKS = ('flock', 'poll', 'soft')
_CHOICE = _Key(None, "a name, or 'name:' and options below it", _is_choice)
KEYS = {
    'base_queue_dir': _Key(
        None,
        'the path of a folder',
        lambda value: isinstance(value, str) and value != '',
        'DESIPIPE_QUEUE_DIR',
    ),
    'environ': _CHOICE,
    'scheduler': _CHOICE,
    'provider': _CHOICE,
    'file': _Key(
        None,
        "'filename:' and the path of a data base of files, or a list of such paths",
        _is_databases,
    ),
    'trusted_users': _Key(
        (),
        'a list of names or numbers of users, such as [alice, 1234]',
        lambda value: (
            is_sequence(value)
            and all(isinstance(user, str | int) and not isinstance(user, bool) for user in value)
        ),
        'DESIPIPE_TRUST',
    ),
    'lock': _Key(
        None, f'one of {", ".join(_LOCKS)}', lambda value: value in _LOCKS, 'DESIPIPE_LOCK'
    ),
    'sync_interval': _Key(
        0.2, 'a number of seconds, at least 0', lambda value: _is_number(value, 0)
    ),
    'lease': _Key(30.0, 'a number of seconds, at least 1', lambda value: _is_number(value, 1)),
    'output_limit': _Key(
        1_000_000,
        'a whole number of bytes, such as 1000000',
        lambda value: _is_number(value, 0) and isinstance(value, int),
    ),
    'linger': _Key(5.0, 'a number of seconds, at least 0', lambda value: _is_number(value, 0)),
}


def valid_names(word: str, name: str, names: Iterable[str]) -> str:
    """List the names that are valid, first what was probably meant.

    Parameters
    ----------
    word : str
        As in 'keys'.
    name : str
        The name that is not.
    names : iterable of str
        All of them, as there are few.
    """
    names = sorted(names)
    close = close_names(name, names)
    return (
        f'{close} Valid {word}: {", ".join(names)}'
        if close.startswith('did you')
        else f'valid {word}: {", ".join(names) or "none"}'
    )


def absolute(key: str, value: Any) -> Any:
    """Return the value of a key, with a relative folder made absolute.

    It is meant relative to where it was typed; processes that start elsewhere later must find the
    same one.
    """
    if key == 'base_queue_dir' and isinstance(value, str | os.PathLike):
        value = os.fspath(value)
        if value and not value.startswith(('/', '~', '$')):
            return os.path.abspath(value)
    return value


def checked(key: str, value: Any, where: str) -> Any:
    """Return the value of a key as it is kept.

    Parameters
    ----------
    key : str
        One that is not known is told by a warning.
    value : object
    where : str
        Origin of the value, for messages.

    Raises
    ------
    ConfigError
        If the key can't have it.
    """
    spec = KEYS.get(key)
    if spec is None:
        import warnings

        warnings.warn(
            f'{where}: the key {key!r} means nothing to desipipe; '
            f'{valid_names("keys", key, KEYS)}.',
            stacklevel=4,
        )
        return value
    if not spec.test(value):
        raise ConfigError(
            f'{where}: {key} is {value!r}, but must be {spec.expected}. Nothing was taken from '
            'there; correct or remove it.'
        )
    if isinstance(spec.default, float):
        return float(value)
    return list(value) if is_sequence(value) else value


def expanded(path: str, where: str) -> str:
    """Return a path with variables and ``~`` replaced."""
    for match in re.finditer(r'\$(?:(\w+)|\{([^}]*)\})', path, re.ASCII):
        name = match[1] or match[2]
        if name not in os.environ:
            raise ConfigError(
                f'{where}: base_queue_dir is {path!r}, but ${name} is not set in this process: set '
                'it, or write the path in full'
            )
    return os.path.abspath(os.path.expanduser(os.path.expandvars(path)))
