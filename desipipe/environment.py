"""Environments: the variables with which tasks run, and the shell commands that set more of them."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from .config import Configurable
from .errors import ConfigError
from .utils import is_sequence

__all__ = ['BaseEnvironment', 'CosmodesiNERSCEnvironment', 'BaseNERSCEnvironment', 'Environment', 'change_environ', 'get_environ']

_NAME = re.compile(r'[A-Za-z_][A-Za-z0-9_]*', re.ASCII)
# `$$`, `$NAME`, `${NAME}`; any other dollar is a dollar.
_REFERENCE = re.compile(r'\$(?:(\$)|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})', re.ASCII)


class BaseEnvironment(Configurable):
    """Variables to set, after shell commands to run. It is not changed once made: :meth:`updated` and :func:`Environment` return others.

    An own environment is a subclass with a :attr:`name`, :attr:`variables` and :attr:`commands`.

    Parameters
    ----------
    data : dict, default=None
        Variables: names and values, which are added to those of the class. Numbers become text; None unsets the variable. ``$NAME`` and ``${NAME}``
        stand for what the variable is when the environment is used: after the commands, and after the variables before it in this dictionary, whose
        order therefore counts; one that is not set is empty. ``$$`` is a dollar.
    command : str, list of str, default=None
        Shell commands, run by `bash` before the variables are set and after those of the class; each a complete command, of one line or several.

    Raises
    ------
    ConfigError
        For what can't be the name or the value of a variable, or a command.
    """

    kind = 'environment'
    key = 'environ'
    default = 'base'
    builtin: ClassVar[Mapping[str, str]] = {
        'base': 'desipipe.environment:BaseEnvironment',
        'nersc-base': 'desipipe.environment:BaseNERSCEnvironment',
        'nersc-cosmodesi': 'desipipe.environment:CosmodesiNERSCEnvironment',
    }
    name = 'base'
    defaults: ClassVar[Mapping[str, Any]] = {'data': None, 'command': None}
    variables: ClassVar[Mapping[str, str | int | float | None]] = {}
    """Variables that the class sets."""
    commands: ClassVar[tuple[str, ...]] = ()
    """Shell commands of the class."""

    data: dict[str, str | None]
    """All variables, those of the class first, with references as written."""
    command: list[str]
    """Shell commands beside those of the class."""

    def check(self, option: str, value: Any) -> Any:
        """Check ``data`` or ``command``; see :meth:`.Configurable.check`."""
        if option == 'command':
            return _check_commands(value, self.label)
        if value is not None and not isinstance(value, Mapping):
            raise ConfigError(f'data of the environment {self.label} must be a dictionary of names and values of variables, not {value!r}')
        return {_check_name(name, self.label): _check_value(name, given, self.label) for name, given in {**self.variables, **(value or {})}.items()}

    def updated(self, **options: Any) -> BaseEnvironment:
        """A copy with more variables and commands.

        Parameters
        ----------
        **options
            ``data`` and ``command``; they are added to those that are there, and variables of the same name replaced.

        Returns
        -------
        copy : BaseEnvironment
        """
        data, command = options.pop('data', None), options.pop('command', None)
        if data is not None:
            options['data'] = {**self.data, **data} if isinstance(data, Mapping) else data  # `check` refuses anything else
        if command is not None:
            options['command'] = [*self.command, *_check_commands(command, self.label)]
        return super().updated(**options)

    def to_spec(self) -> dict[str, Any]:
        """Plain data from which any process makes an equal one; keep the order of ``data``, as values may refer to earlier ones.

        Returns
        -------
        spec : dict
            ``name``, ``data``, ``command``. A class of the notebook or script itself, which no other process knows, becomes a 'base' environment with
            its variables and commands.
        """
        if self._is_local():
            return {'name': 'base', 'data': dict(self.data), 'command': [*self.commands, *self.command]}
        return {'name': self._reference(), 'data': dict(self.data), 'command': list(self.command)}

    def to_dict(self, all: bool = False) -> dict[str, str]:
        """Variables as they are now.

        Parameters
        ----------
        all : bool, default=False
            If True, the whole environment of a process: that of this one, as the commands (which `bash` runs now) leave it, with the variables set.
            If False, only the variables; references in them are then to the environment of this process, without the commands.

        Returns
        -------
        environ : dict
            Names and values; variables to unset are not in it.

        Raises
        ------
        ConfigError
            If a command fails, with what it said.
        """
        environ = self._run_commands() if all else dict(os.environ)
        for name, value in self.data.items():
            if value is None:
                environ.pop(name, None)
            else:
                environ[name] = _REFERENCE.sub(lambda match: '$' if match[1] else environ.get(match[2] or match[3], ''), value)
        return environ if all else {name: environ[name] for name, value in self.data.items() if value is not None}

    def to_script(self, strict: bool = False) -> str:
        """The environment as lines for a shell, the same wherever it is made: references are resolved where it runs.

        Parameters
        ----------
        strict : bool, default=False
            If True, the script ends with a message and the command's exit status if a command fails, rather than go on in half an environment.

        Returns
        -------
        script : str
            Commands, then ``export`` and ``unset`` lines, safe for any value. Each line, the last included, ends in a newline.
        """
        lines = [self._strictly(command) if strict else command for command in (*self.commands, *self.command)]
        lines += [f'unset {name}' if value is None else f'export {name}={_quote(value)}' for name, value in self.data.items()]
        return ''.join(f'{line}\n' for line in lines)

    def _strictly(self, command: str) -> str:
        """A command that ends the shell when it fails."""
        words = f'desipipe: nothing was started, because this command of the environment {self.label} failed: {command}; exit status'
        # `eval`: an unfinished quotation or here-document in one command can't swallow what follows.
        return f'eval {shlex.quote(command)} || {{ desipipe_status=$?; printf "%s %d\n" {shlex.quote(words)} $desipipe_status >&2; exit $desipipe_status; }}'

    def _run_commands(self) -> dict[str, str]:
        """Environment of this process as the commands leave it."""
        if not (self.commands or self.command):
            return dict(os.environ)
        import subprocess
        import tempfile

        lines = '\n'.join(map(self._strictly, (*self.commands, *self.command)))
        # Files, not pipes: something that a command leaves running in the background would keep a pipe open, and us waiting.
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as words:
            fd = output.fileno()
            argv = ['bash', '-c', f'{lines}\nexec env -0 >&{fd:d} {fd:d}>&-']
            try:
                # `env`: what is in `os.environ`; a library may have set more behind Python's back (GNU readline does: COLUMNS, LINES).
                status = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=words, stderr=words, pass_fds=[fd], env=dict(os.environ)).returncode
            except FileNotFoundError as exc:
                raise ConfigError(f'the environment {self.label} has commands, for which bash is needed, but PATH has none: {os.environ.get("PATH")}') from exc
            words.seek(0)
            said = words.read().decode(errors='replace').strip()
            output.seek(0)
            found = output.read()
        if status or not found:
            # Nothing found with status 0: a command, perhaps a file that it sources, said `exit`.
            raise ConfigError(
                f'the commands of the environment {self.label} failed, with exit status {status:d}:\n{said[-2000:]}\n'
                "Try them in bash; if one that fails is harmless, add ' || true' to it."
            )
        environ = {os.fsdecode(name): os.fsdecode(value) for name, _, value in (item.partition(b'=') for item in found.split(b'\0') if item)}
        # These two say how deep the shells are and what they ran last, which is no part of an environment.
        for name in ('_', 'SHLVL'):
            environ.pop(name, None)
            if name in os.environ:
                environ[name] = os.environ[name]
        return environ


class BaseNERSCEnvironment(BaseEnvironment):
    """What is common at NERSC.

    ``DESICFS`` is the collaboration's folder. ``OMP_NUM_THREADS`` is 1, since a worker runs a task in each of its slots, and as many threads as cores in
    each of them would slow all down; give another value in ``data`` for tasks that have a node for themselves. ``HDF5_USE_FILE_LOCKING`` is FALSE, since
    HDF5 can't lock on the community filesystem.
    """

    name = 'nersc-base'
    variables: ClassVar[Mapping[str, str | int | float | None]] = {
        'DESICFS': '/global/cfs/cdirs/desi',
        'OMP_NUM_THREADS': '1',
        'HDF5_USE_FILE_LOCKING': 'FALSE',
    }


class CosmodesiNERSCEnvironment(BaseNERSCEnvironment):
    """The cosmodesi environment at NERSC, which is sourced, with the variables of 'nersc-base'."""

    name = 'nersc-cosmodesi'
    commands = ('source /global/common/software/desi/users/adematti/cosmodesi_environment.sh main',)


def Environment(
    environ: BaseEnvironment | Mapping[str, Any] | str | None = None,
    data: Mapping[str, Any] | None = None,
    command: str | list[str] | None = None,
    *,
    config: Mapping[str, Any] | None = None,
) -> BaseEnvironment:
    """Make an environment from whatever people write.

    Parameters
    ----------
    environ : str, dict, BaseEnvironment, default=None
        A name; a dictionary with ``name``, ``data``, ``command``; any other dictionary: variables, on top of the configured environment; an environment,
        which is returned, or a copy of it if there are ``data`` or ``command``. By default what the configuration says, else 'base'.
    data : dict, default=None
        Further variables.
    command : str, list of str, default=None
        Further shell commands.
    config : Config, default=None
        Configuration to look into; by default the user's.

    Returns
    -------
    environ : BaseEnvironment

    Raises
    ------
    UnknownNameError, UnknownOptionError, ConfigError
        Saying what is valid.
    """
    if isinstance(environ, Mapping) and environ.keys().isdisjoint({'name', 'environ', *BaseEnvironment.defaults}):
        environ = {'data': environ}
    options = {option: value for option, value in {'data': data, 'command': command}.items() if value is not None}
    return BaseEnvironment.make(environ, config, **options)


get_environ = Environment


@contextlib.contextmanager
def change_environ(environ: BaseEnvironment | Mapping[str, Any] | str | None = None) -> Iterator[None]:
    """Put this process into an environment for the length of a ``with`` block; afterwards everything is as it was, whatever the block set.

    Folders of ``PYTHONPATH`` come first in ``sys.path`` meanwhile. The environment is that of the whole process, all of its threads included.

    Parameters
    ----------
    environ : BaseEnvironment, str, dict, default=None
        As for :func:`Environment`; None changes nothing.

    Raises
    ------
    ConfigError
        If a command of the environment fails; nothing is then changed.
    """
    import sys

    before, path = dict(os.environ), list(sys.path)
    wanted = before if environ is None else Environment(environ).to_dict(all=True)
    try:
        _set_environ(wanted)
        if wanted.get('PYTHONPATH') != before.get('PYTHONPATH'):
            first = [folder for folder in wanted.get('PYTHONPATH', '').split(os.pathsep) if folder]
            sys.path[:] = [*first, *(folder for folder in path if folder not in first)]
        yield
    finally:
        _set_environ(before)
        sys.path[:] = path


def _set_environ(wanted: dict[str, str]) -> None:
    # Only what differs, and never empty in between: other threads may be reading.
    for name in set(os.environ) - set(wanted):
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _quote(value: str) -> str:
    """A value for the shell: references in double quotes, where the shell resolves but does not split them, the rest in single ones."""
    quoted, end = '', 0
    for match in _REFERENCE.finditer(value):
        literal = value[end : match.start()] + (match[1] or '')
        quoted += shlex.quote(literal) if literal else ''
        if not match[1]:
            # `-`: empty if it is not set, also under `set -u`.
            quoted += f'"${{{match[2] or match[3]}-}}"'
        end = match.end()
    return quoted + (shlex.quote(value[end:]) if value[end:] or not quoted else '')


def _check_name(name: Any, label: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f'{name!r} in data of the environment {label} is no name of a variable: use letters, digits and underscores, no digit first')
    return name


def _check_value(name: Any, value: Any, label: str) -> str | None:
    what = f'the variable {name} of the environment {label}'
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, bool):
        # A shell has no truth values: what is meant differs from program to program, and YAML makes one of a plain yes.
        raise ConfigError(f"{what} is {value!r}: write the text that the program expects, such as '1', 'yes' or 'true'")
    if isinstance(value, int | float):
        value = repr(value)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ConfigError(f'{what} must be text, a number, or None to unset it, not {value!r}')
    if '\0' in value:
        raise ConfigError(f'{what} holds a NUL character, which no environment can: {value!r}')
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigError(f'{what} is not valid text: {value!r}; bytes that are not UTF-8 can not be recorded, leave it out') from None
    return value


def _check_commands(value: Any, label: str) -> list[str]:
    commands = [] if value is None else list(value) if is_sequence(value) else [value]
    for command in commands:
        if not isinstance(command, str) or '\0' in command:
            raise ConfigError(f'command of the environment {label} must be shell commands, as text or a list of texts, not {value!r}')
    return commands
