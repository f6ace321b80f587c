"""The secrets among variables and commands of an environment."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from ..errors import ConfigError
from ..security.secrets import (
    HIDDEN,
    KeptSecret,
    assigned_secrets,
    assigns_secret,
    holds_secret,
    is_secret_name,
    keep_secret,
    known_values,
    redact,
)
from .checks import Value
from .shell_words import word


class Secrecy:
    """Tells what of an environment is secret; keeps or hides it.

    Parameters
    ----------
    label : str
        The environment's name, for messages.
    variables : dict
        Variables, as text.
    commands : sequence of str, KeptSecret
    declared : sequence of str
        Names of variables that are declared to be secret.
    """

    def __init__(
        self,
        label: str,
        variables: Mapping[str, Value],
        commands: Sequence[str | KeptSecret],
        declared: Sequence[str],
    ) -> None:
        self._label = label
        self._variables = variables
        self._commands = commands
        self._declared = declared

    def _is_secret(self, name: str, value: str) -> bool:
        return name in self._declared or is_secret_name(name) or holds_secret(value)

    @cached_property
    def values(self) -> list[str]:
        """Values of secrets that are known in this process."""
        values = {name: value for name, value in self._variables.items() if isinstance(value, str)}
        names = (name for name, value in values.items() if self._is_secret(name, value))
        return known_values({**os.environ, **values}, (*names, *self._declared))

    def kept_variables(self) -> Iterator[tuple[str, Value]]:
        """Yield the variables, with the secrets as they are kept.

        Raises
        ------
        ConfigError
            If one that is declared has no value.
        """
        for name, value in self._variables.items():
            if isinstance(value, str) and (
                self._is_secret(name, value) or any(secret in value for secret in self.values)
            ):
                value = keep_secret(f'export {name}={word(value)}\n', [name])
            yield name, value
        for name in self._declared:
            if name not in self._variables:
                if name not in os.environ:
                    raise ConfigError(
                        f'The secret {name} of the environment {self._label} has no value. Nothing '
                        'was added. '
                        f'Set it in the data of the environment, or here:\nexport {name}=...'
                    )
                yield name, keep_secret(f'export {name}={shlex.quote(os.environ[name])}\n', [name])

    def kept_commands(self) -> list[str | KeptSecret]:
        """Return the commands, those with a secret in the form in which it is stored."""
        return [
            command
            if isinstance(command, KeptSecret)
            or not (assigns_secret(command) or any(value in command for value in self.values))
            else keep_secret(f'{command}\n', assigned_secrets(command))
            for command in self._commands
        ]

    def shown_variables(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the variables as they were given, with the secrets hidden."""
        return {
            name: HIDDEN if isinstance(value, str) and self._is_secret(name, value) else value
            for name, value in given.items()
        }

    def shown_commands(self) -> list[str]:
        """Return the commands, with the secrets hidden."""
        return [
            HIDDEN
            if isinstance(command, KeptSecret) or assigns_secret(command)
            else redact(command, self.values)
            for command in self._commands
        ]
