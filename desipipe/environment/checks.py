"""Check variables and commands of environments."""

from __future__ import annotations

import contextlib
import numbers
import os
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError
from ..machine import is_variable_name
from ..security.secrets import HIDDEN, KeptSecret, is_secret_name
from ..utils import is_sequence

Value = str | KeptSecret | None
Given = Value | numbers.Number | os.PathLike[str]


def as_commands(value: Any) -> tuple[Any, ...]:
    """Return what was given as the items of a tuple."""
    return () if value is None else tuple(value) if is_sequence(value) else (value,)


def check_data(value: Any, label: str) -> Mapping[Any, Any]:
    """Check that the data of the environment ``label`` are names and values."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        with contextlib.suppress(TypeError, ValueError):
            value = dict(value)  # pairs
    if not isinstance(value, Mapping):
        raise ConfigError(
            f'Data of the environment {label} must be a dictionary of names and values of '
            f'variables, not {value!r}.'
        )
    return value


def check_name(name: Any, label: str) -> str:
    """Check the name of a variable of the environment ``label``."""
    if not isinstance(name, str) or not is_variable_name(name):
        raise ConfigError(
            f'{name!r} in data of the environment {label} is no name of a variable: use letters, '
            'digits and underscores, no digit first'
        )
    return name


def as_text(value: Any) -> Any:
    """Return a value as text; None, secrets and invalid values unchanged."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return str(value) if isinstance(value, numbers.Number) else value


def check_value(name: Any, given: Any, label: str) -> Given:
    """Check the value of a variable of the environment ``label``."""
    what = f'the variable {name} of the environment {label}'
    if (kept := KeptSecret.of(given)) is not None:
        return kept
    value = as_text(given)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ConfigError(
            f'{what} must be text, a number, or None to unset it, not {_told_value(name, value)}'
        )
    if '\0' in value:
        raise ConfigError(
            f'{what} holds a NUL character, which no environment can: {_told_value(name, value)}'
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f'{what} is not valid text: {_told_value(name, value)}; bytes that are not UTF-8 '
            'cannot be recorded, leave it out'
        ) from None
    return given  # type: ignore[no-any-return]


def _told_value(name: str, value: object) -> str:
    return HIDDEN if is_secret_name(name) else repr(value)


def check_commands(value: Any, label: str) -> tuple[str | KeptSecret, ...]:
    """Check shell commands of the environment ``label``, and return them as a tuple."""
    commands = (value,) if isinstance(value, Mapping) else as_commands(value)
    commands = tuple(KeptSecret.of(command) or command for command in commands)
    for command in commands:
        if isinstance(command, KeptSecret):
            continue
        if not isinstance(command, str) or '\0' in command:
            raise ConfigError(
                f'Command of the environment {label} must be shell commands, as text or a list of '
                f'texts, not {value!r}.'
            )
    return commands
