"""Run commands in `bash`, to see which environment they leave."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from ..errors import ConfigError
from ..security.secrets import redact
from ..terminal import visible


def _environment_after(script: str, label: str) -> tuple[int, str, dict[str, str]]:
    """Run lines of a shell.

    Returns
    -------
    status : int
        Exit status of the shell.
    said : str
        What they printed.
    environ : dict
        The environment they leave; empty if they ended the shell.
    """
    import subprocess
    import tempfile

    # Files, not pipes: what a command leaves running in the background would keep a pipe open.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        fd = output.fileno()
        argv = ['bash', '-c', f'{script}\nexec env -0 >&{fd:d} {fd:d}>&-']
        try:
            # `env`: what is in `os.environ`; libraries set more (GNU readline: COLUMNS, LINES).
            status = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                pass_fds=[fd],
                env=dict(os.environ),
            ).returncode
        except FileNotFoundError as exc:
            raise ConfigError(
                f'The environment {label} needs bash, but PATH has none: {os.environ.get("PATH")}'
            ) from exc
        errors.seek(0)
        problems = errors.read().decode(errors='replace').strip()
        output.seek(0)
        printed = output.read()
    environ = {
        os.fsdecode(name): os.fsdecode(value)
        for name, _, value in (item.partition(b'=') for item in printed.split(b'\0') if item)
    }
    # These two say how deep the shells are and what they ran last.
    for name in ('_', 'SHLVL') if environ else ():
        environ.pop(name, None)
        if name in os.environ:
            environ[name] = os.environ[name]
    return status, problems, environ


def environment_left(
    script: str, label: str, strict: bool, secrets: Sequence[str]
) -> dict[str, str]:
    """Return the environment of this process as commands and variables leave it.

    Parameters
    ----------
    script : str
        Lines of `bash`.
    label : str
        The environment's name, for messages.
    strict : bool
        True if a command that fails is an error; else a warning.
    secrets : sequence of str
        Values that no message may have.

    Raises
    ------
    ConfigError
        If a command ended the shell, or failed and `strict` is set.
    """
    status, errors, after = _environment_after(script, label)
    errors = redact(errors, secrets)
    if strict and (status or not after):
        # Nothing found with status 0: a command, perhaps a file that it sources, said `exit`.
        raise ConfigError(
            f'The commands of the environment {label} failed, with exit status '
            f'{status:d}:\n{errors[-2000:]}\n'
            "Try them in bash; if one that fails is harmless, add ' || true' to it."
        )
    if not after:
        raise ConfigError(
            f'The commands of the environment {label} ended the shell, with exit status '
            f'{status:d}, before anything could be started:\n'
            f'{errors[-2000:]}\nTry them in bash.'
        )
    notes = [line for line in errors.splitlines() if line.startswith('desipipe: ')]
    if notes:
        import warnings

        warnings.warn(visible('\n'.join(notes)), stacklevel=3)
    return after


def bash_env(cmd: str | Iterable[str]) -> dict[str, str]:
    """Return the environment that shell commands leave.

    Parameters
    ----------
    cmd : str, list of str
        Commands for `bash`; of several each runs only if the one before it succeeded.

    Returns
    -------
    environ : dict
        Empty, with a warning, if a command fails.
    """
    command = cmd if isinstance(cmd, str) else ' && '.join(cmd)
    status, errors, environ = _environment_after(
        f'{{ {command}\n}} || exit $?' if command else '', f'of the command {command!r}'
    )
    if status or not environ:
        import warnings

        warnings.warn(
            visible(f'Exit status {status:d} of the command {command!r}: {errors[-2000:]}'),
            stacklevel=2,
        )
        return {}
    return environ
