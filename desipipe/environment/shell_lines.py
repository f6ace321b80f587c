"""The lines of `bash` that make an environment."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator

from ..security.secrets import KeptSecret
from .checks import Value
from .shell_words import word

FAILED_COMMAND = 'failed, and was passed over'  # of the shell, as the workers' log has it


class ShellLines:
    """Lines of `bash` for commands and variables, with secrets as they are kept.

    Parameters
    ----------
    label : str
        The environment's name, for messages.
    strict : bool
        True if a command that fails ends the script.
    """

    def __init__(self, label: str, strict: bool) -> None:
        self._label = label
        self._strict = strict

    def exports(self, variables: Iterable[tuple[str, Value]]) -> Iterator[str]:
        """Yield the lines that set and unset variables."""
        for name, value in variables:
            if value is None:
                yield f'unset {name}'
            elif isinstance(value, str):
                yield f'export {name}={word(value)}'
            else:
                yield self._sourced(name, value)

    def _sourced(self, name: str, value: KeptSecret) -> str:
        """Return the line that takes the value of a secret from its file."""
        path = shlex.quote(value.path)
        message = (
            f'desipipe: the secret {name} of the environment {self._label} {FAILED_COMMAND}: '
            f'{value.path} cannot be '
            f'read here, and {name} is not set. Set {name} where workers are started'
        )
        after = 'exit 1' if self._strict else ':'
        # A worker of another user, or on a host without this home, may have a value of its own.
        return (
            f'if [ -r {path} ]; then . {path}; elif [ -z "${{{name}+x}}" ]; then printf "%s\\n" '
            f'{shlex.quote(message)} >&2; {after}; fi'
        )

    def told(self, command: str | KeptSecret) -> str:
        """Return the line that runs a command, and tells if it fails."""
        run = (
            f'. {shlex.quote(command.path)}'
            if isinstance(command, KeptSecret)
            else f'eval {shlex.quote(command)}'
        )
        if isinstance(command, KeptSecret):
            command = f'one with a secret, {command.path}'
        if self._strict:
            text = (
                'desipipe: nothing was started, because this command of the environment '
                f'{self._label} failed: {command}; exit status'
            )
            after = ' exit $desipipe_status;'
        else:
            text = (
                f'desipipe: this command of the environment {self._label} {FAILED_COMMAND}: '
                f'{command}; exit status'
            )
            after = ''
        # `eval`: an unfinished quotation in one command can't swallow what follows.
        return (
            f'{run} || {{ desipipe_status=$?; printf "%s %d\n" {shlex.quote(text)} '
            f'$desipipe_status >&2;{after} }}'
        )
