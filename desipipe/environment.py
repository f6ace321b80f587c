"""Environments: variables that tasks run with, and shell commands that set more."""

from __future__ import annotations

import contextlib
import numbers
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Self

from .config import Config, Configurable
from .errors import ConfigError
from .machine import is_inherited, is_variable_name
from .security.secrets import (
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
from .terminal import visible
from .utils import BaseDict, is_sequence

__all__ = [
    'BaseDict',
    'BaseEnvironment',
    'BaseNERSCEnvironment',
    'CosmodesiNERSCEnvironment',
    'Environment',
    'bash_env',
    'change_environ',
    'get_environ',
]

FAILED_COMMAND = 'failed, and was passed over'  # of the shell, as the workers' log has it
_PLAIN = re.compile(r'[A-Za-z0-9_@%+=:,./-]*', re.ASCII)
"""Values that a shell takes as they are."""
_ENDS_WORD = frozenset(' \t\n\r;&|<>()')


Value = str | KeptSecret | None
Given = Value | numbers.Number | os.PathLike[str]


def _commands(value: Any) -> tuple[Any, ...]:
    return () if value is None else tuple(value) if is_sequence(value) else (value,)


class BaseEnvironment(Configurable, BaseDict):
    """Variables to set after running shell :attr:`command`, as a dictionary.

    An own environment is a subclass with a :attr:`name`, :attr:`variables` and :attr:`commands`
    (``_defaults`` and ``_command``, as the original called them, are understood too).

    Parameters
    ----------
    data : dict, default=None
        Variables: names and values, which are added to those of the class, and mean to `bash` what
        they would mean after ``export NAME=``: ``$NAME``, ``$(command)`` and quotes are the
        shell's, so that the order of the dictionary counts. A value with blanks, or with other
        characters that would end it there, is one value all the same. Numbers and paths are kept as
        they are, and are text for processes; None unsets the variable.
    command : str, list of str, default=None
        Shell commands, run by `bash` before the variables are set and after those of the class;
        each a complete command, of one line or several.
    strict : bool, default=False
        A command that fails is told on the standard error, and passed over; if True, nothing is
        started then.
    secret : str, list of str, default=None
        Names of variables whose values are kept secret: they are in no journal, record, note, log,
        script or command line. Without a value in ``data`` that of this process is taken. Variables
        are secret without being named here if their names say so (``API_KEY``, ``GITHUB_TOKEN``,
        ``PGPASSWORD``), and so are values that look like secrets, and commands with a secret in
        them.

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
    defaults: ClassVar[Mapping[str, Any]] = {
        'data': None,
        'command': None,
        'strict': False,
        'secret': None,
    }
    variables: ClassVar[Mapping[str, str | int | float | None]] = {}
    """Variables that the class sets."""
    commands: ClassVar[tuple[str, ...]] = ()
    """Shell commands of the class."""
    _defaults: ClassVar[Mapping[str, Any]] = {}
    _command: ClassVar[Any] = None

    data: dict[str, Given]
    """All variables, those of the class first, as written."""
    command: tuple[str | KeptSecret, ...]
    """All shell commands, those of the class first."""
    strict: bool
    secret: tuple[str, ...]
    """Names of variables that are declared to be secret."""

    def __init__(
        self, data: Mapping[str, Any] | None = None, command: Any = None, **options: Any
    ) -> None:
        super().__init__(data=data, command=command, **options)

    def check(self, option: str, value: Any) -> Any:
        """Check an option; see :meth:`.Configurable.check`."""
        if option == 'strict':
            return super().check(option, value)
        if option == 'secret':
            return tuple(_check_name(name, self.label) for name in _commands(value))
        if option == 'command':
            return (*self._class_commands(), *_check_commands(value, self.label))
        if value is not None and not isinstance(value, Mapping):
            with contextlib.suppress(TypeError, ValueError):
                value = dict(value)  # pairs
        if value is not None and not isinstance(value, Mapping):
            raise ConfigError(
                f'Data of the environment {self.label} must be a dictionary of names and values of '
                f'variables, not {value!r}.'
            )
        return {
            _check_name(name, self.label): _check_value(name, given, self.label)
            for name, given in {**self._class_variables(), **(value or {})}.items()
            if not is_inherited(name, given)
        }

    @classmethod
    def _class_variables(cls) -> dict[str, Any]:
        own = cls._nearest('variables', '_defaults')
        return {**own.get('variables', {}), **own.get('_defaults', {})}

    @classmethod
    def _class_commands(cls) -> tuple[str, ...]:
        own = cls._nearest('commands', '_command')
        return (*own.get('commands', ()), *_commands(own.get('_command')))

    @classmethod
    def _nearest(cls, *names: str) -> Mapping[str, Any]:
        # Whichever of its names a class uses takes the place of both of its bases'.
        return next(vars(each) for each in cls.__mro__ if not vars(each).keys().isdisjoint(names))

    def __setitem__(self, name: str, value: Any) -> None:
        if not is_inherited(name, value):
            self.data[_check_name(name, self.label)] = _check_value(name, value, self.label)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self._texts() == {
            name: _text(value) for name, value in other.items()
        }

    __hash__ = None  # type: ignore[assignment]

    def __or__(self, other: Mapping[str, Any]) -> Self:  # type: ignore[override]
        return self.clone(other) if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[str, Any]) -> Self:  # type: ignore[override]
        # Variables that both have are those of this one, as of dictionaries.
        return self.clone({**other, **self.data}) if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other: Mapping[str, Any]) -> Self:  # type: ignore[override]
        self.update(other)
        return self

    @classmethod
    def fromkeys(cls, names: Iterable[str], value: Any = None) -> Self:  # type: ignore[override]
        """Make an environment whose variables have one value, as ``dict.fromkeys`` does."""
        return cls(dict.fromkeys(names, value))

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set variables, as ``dict.update`` does.

        Parameters
        ----------
        *args, **kwargs
            Variables. ``command=`` are shell commands, which take the place of those that are not
            of the class.
        """
        if 'command' in kwargs:
            self.command = self.check('command', kwargs.pop('command'))
        super().update(*args, **kwargs)

    def updated(self, **options: Any) -> Self:
        """Return a copy with more variables and commands.

        Parameters
        ----------
        **options
            ``data``, ``command`` and ``secret`` are added to those that are there, and variables of
            the same name replaced; ``strict``.

        Returns
        -------
        copy : BaseEnvironment
        """
        new = self.copy()
        for option, value in options.items():
            if option == 'data':
                self.check('data', value)
                new.update(value or {})
            elif option == 'command':
                new.command = (*self.command, *_check_commands(value, self.label))
            elif option == 'secret':
                new.secret = tuple(dict.fromkeys((*self.secret, *self.check('secret', value))))
            elif option in self.defaults:
                setattr(new, option, self.check(option, value))
            else:
                type(self)(**{option: value})  # raises, with the valid ones
        return new

    def to_spec(self) -> dict[str, Any]:
        """Return plain data from which any process makes an equal environment.

        ``data`` keeps its order, as values may refer to earlier ones.

        Returns
        -------
        spec : dict
            ``name``, ``data``, ``command``, ``strict`` and ``secret`` if they are set; in the place
            of a secret stands where it is kept. An environment whose class no other process knows,
            or that has not all of its class, becomes a 'base' environment with its variables and
            commands.
        """
        own, commands = (
            self._class_commands(),
            [_plain_data(command) for command in self._kept_commands()],
        )
        data = {name: _plain_data(value) for name, value in self._kept_items()}
        spec: dict[str, Any] = {'name': 'base', 'data': data, 'command': commands}
        if (
            not self._is_local()
            and self.command[: len(own)] == own
            and self._class_variables().keys() <= self.data.keys()
        ):
            spec.update(name=self._reference(), command=commands[len(own) :])
        spec |= {'strict': True} if self.strict else {}
        return spec | ({'secret': list(self.secret)} if self.secret else {})

    def state(self) -> tuple[object, ...]:
        """Return what tells whether the environment has changed since."""
        return (
            *self._texts().items(),
            self.command,
            self.strict,
            *((name, os.environ.get(name)) for name in self.secret),
        )

    # Secrets

    def _is_secret(self, name: str, value: str) -> bool:
        return name in self.secret or is_secret_name(name) or holds_secret(value)

    def _texts(self) -> dict[str, Value]:
        """Return the variables as processes get them: what was given, as text."""
        return {name: _text(value) for name, value in self.data.items()}

    def _kept_items(self) -> Iterator[tuple[str, Value]]:
        """Yield the variables, with the secrets as they are kept."""
        values = self._secret_values()
        for name, value in self._texts().items():
            if isinstance(value, str) and (
                self._is_secret(name, value) or any(secret in value for secret in values)
            ):
                value = keep_secret(f'export {name}={_word(value)}\n', [name])
            yield name, value
        for name in self.secret:
            if name not in self.data:
                if name not in os.environ:
                    raise ConfigError(
                        f'The secret {name} of the environment {self.label} has no value. Nothing '
                        'was added. '
                        f'Set it in the data of the environment, or here:\nexport {name}=...'
                    )
                yield name, keep_secret(f'export {name}={shlex.quote(os.environ[name])}\n', [name])

    def _kept_commands(self) -> list[str | KeptSecret]:
        """Return the commands, those with a secret in the form in which it is stored."""
        values = self._secret_values()
        return [
            command
            if isinstance(command, KeptSecret)
            or not (assigns_secret(command) or any(value in command for value in values))
            else keep_secret(f'{command}\n', assigned_secrets(command))
            for command in self.command
        ]

    def _secret_values(self) -> list[str]:
        """Return the values of secrets that are known in this process."""
        values = {name: value for name, value in self._texts().items() if isinstance(value, str)}
        names = (name for name, value in values.items() if self._is_secret(name, value))
        return known_values({**os.environ, **values}, (*names, *self.secret))

    def __repr__(self) -> str:
        data = {
            name: value
            if not isinstance(value, str) or not self._is_secret(name, value)
            else HIDDEN
            for name, value in self.data.items()
        }
        values = self._secret_values()
        commands = [
            HIDDEN
            if isinstance(command, KeptSecret) or assigns_secret(command)
            else redact(command, values)
            for command in self.command
        ]
        return (
            f'{type(self).__name__}(data={data!r}, command={commands!r}, strict={self.strict!r}, '
            f'secret={list(self.secret)!r})'
        )

    def __getstate__(self) -> dict[str, Any]:
        return {
            **self.__dict__,
            'data': dict(self._kept_items()),
            'command': tuple(self._kept_commands()),
        }

    # For processes

    def to_dict(self, all: bool = False) -> dict[str, Any]:
        """Return the variables as a dictionary.

        Parameters
        ----------
        all : bool, default=False
            If False, the variables as they are written. If True, the whole environment of a
            process, as text: that of this one, as the commands (which `bash` runs now) leave it,
            with the variables set.

        Returns
        -------
        environ : dict
            Names and values; variables to unset are not in it.

        Raises
        ------
        ConfigError
            If a command fails and the environment is strict, with what it said.
        """
        if not all:
            return {
                name: value
                for name, value in self.data.items()
                if not (value is None or isinstance(value, KeptSecret))
            }
        environ = dict(os.environ)
        if self.needs_shell():
            return self._run()
        for name, value in self._texts().items():
            if isinstance(value, str):
                environ[name] = value
            else:
                environ.pop(name, None)
        return environ

    def needs_shell(self) -> bool:
        """Return True if only a shell can tell what a process in this environment has."""
        values = (value for value in self._texts().values() if value is not None)
        return bool(self.command) or any(
            isinstance(value, KeptSecret) or not _PLAIN.fullmatch(value) for value in values
        )

    def to_script(self, sep: str = '\n', all: bool = True) -> str:
        """Return the environment as `bash` lines, with references resolved at run time.

        Parameters
        ----------
        sep : str, default='\\n'
            What stands between two lines.
        all : bool, default=True
            True to include the commands.

        Returns
        -------
        script : str
            Commands, then ``export`` and ``unset`` lines.
        """
        commands = [
            f'. {shlex.quote(command.path)}' if isinstance(command, KeptSecret) else command
            for command in self._kept_commands()
        ]
        return sep.join([*(commands if all else ()), *self._exports()])

    def to_launch_script(self) -> str:
        """Return the lines that begin a script which starts something in this environment.

        Returns
        -------
        script : str
            As :meth:`to_script`; a command that fails is told on the standard error, and ends the
            script if the environment is
            :attr:`strict`. Each line, the last included, ends in a newline.
        """
        return ''.join(
            f'{line}\n' for line in (*map(self._told, self._kept_commands()), *self._exports())
        )

    def _exports(self) -> list[str]:
        return [self._export(name, value) for name, value in self._kept_items()]

    def _export(self, name: str, value: Value) -> str:
        if value is None:
            return f'unset {name}'
        if isinstance(value, str):
            return f'export {name}={_word(value)}'
        path = shlex.quote(value.path)
        message = (
            f'desipipe: the secret {name} of the environment {self.label} {FAILED_COMMAND}: '
            f'{value.path} cannot be '
            f'read here, and {name} is not set. Set {name} where workers are started'
        )
        after = 'exit 1' if self.strict else ':'
        # A worker of another user, or on a host without this home, may have a value of its own.
        return (
            f'if [ -r {path} ]; then . {path}; elif [ -z "${{{name}+x}}" ]; then printf "%s\\n" '
            f'{shlex.quote(message)} >&2; {after}; fi'
        )

    def _told(self, command: str | KeptSecret) -> str:
        """Have the shell tell of a command that fails."""
        run = (
            f'. {shlex.quote(command.path)}'
            if isinstance(command, KeptSecret)
            else f'eval {shlex.quote(command)}'
        )
        if isinstance(command, KeptSecret):
            command = f'one with a secret, {command.path}'
        if self.strict:
            text = (
                'desipipe: nothing was started, because this command of the environment '
                f'{self.label} failed: {command}; exit status'
            )
            after = ' exit $desipipe_status;'
        else:
            text = (
                f'desipipe: this command of the environment {self.label} {FAILED_COMMAND}: '
                f'{command}; exit status'
            )
            after = ''
        # `eval`: an unfinished quotation in one command can't swallow what follows.
        return (
            f'{run} || {{ desipipe_status=$?; printf "%s %d\n" {shlex.quote(text)} '
            f'$desipipe_status >&2;{after} }}'
        )

    def _run(self) -> dict[str, str]:
        """Return the environment of this process as commands and variables leave it."""
        status, errors, after = _environment_after(self.to_launch_script(), self.label)
        errors = redact(errors, self._secret_values())
        if self.strict and (status or not after):
            # Nothing found with status 0: a command, perhaps a file that it sources, said `exit`.
            raise ConfigError(
                f'The commands of the environment {self.label} failed, with exit status '
                f'{status:d}:\n{errors[-2000:]}\n'
                "Try them in bash; if one that fails is harmless, add ' || true' to it."
            )
        if not after:
            raise ConfigError(
                f'The commands of the environment {self.label} ended the shell, with exit status '
                f'{status:d}, before anything could be started:\n'
                f'{errors[-2000:]}\nTry them in bash.'
            )
        notes = [line for line in errors.splitlines() if line.startswith('desipipe: ')]
        if notes:
            import warnings

            warnings.warn(visible('\n'.join(notes)), stacklevel=3)
        return after


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


class BaseNERSCEnvironment(BaseEnvironment):
    """NERSC's: ``DESICFS`` is the collaboration's folder."""

    name = 'nersc-base'
    _defaults: ClassVar[Mapping[str, Any]] = {'DESICFS': '/global/cfs/cdirs/desi'}


class CosmodesiNERSCEnvironment(BaseNERSCEnvironment):
    """The sourced cosmodesi environment at NERSC, with the variables of 'nersc-base'."""

    name = 'nersc-cosmodesi'
    _command = 'source /global/common/software/desi/users/adematti/cosmodesi_environment.sh main'


def Environment(
    environ: BaseEnvironment | Mapping[str, Any] | str | None = None,
    data: Mapping[str, Any] | None = None,
    command: str | list[str] | None = None,
    *,
    strict: bool | None = None,
    secret: str | list[str] | None = None,
    config: Mapping[str, Any] | None = None,
    **options: Any,
) -> BaseEnvironment:
    """Make an environment from a name, a dictionary or an instance.

    Parameters
    ----------
    environ : str, dict, BaseEnvironment, default=None
        A name; a dictionary with ``name``, ``data``, ``command``; any other dictionary: variables,
        on top of the configured environment; an environment, which is returned, or a copy of it if
        there are ``data`` or ``command``. By default what the configuration says, else 'base'.
    data : dict, default=None
        Further variables.
    command : str, list of str, default=None
        Further shell commands; those of the configuration are not run then.
    strict : bool, default=None
        If True, nothing is started when a command fails; by default it is told and passed over.
    secret : str, list of str, default=None
        Names of variables whose values are kept secret, see :class:`BaseEnvironment`.
    config : Config, default=None
        Configuration to look into; by default the user's.
    **options
        Further options of an own class.

    Returns
    -------
    environ : BaseEnvironment

    Raises
    ------
    UnknownNameError, UnknownOptionError, ConfigError
        Saying what is valid.
    """
    if isinstance(environ, Mapping) and not isinstance(environ, BaseEnvironment):
        environ = dict(environ)
        if environ.keys().isdisjoint({'name', *BaseEnvironment.defaults}):
            name = environ.pop('environ', None)  # as the original's users call it
            environ = {'data': environ, **({'name': name} if name is not None else {})}
    if options and not isinstance(environ, BaseEnvironment):
        environ = {**({'name': environ} if isinstance(environ, str) else environ or {}), **options}
        options = {}
    if command is not None and (environ is None or isinstance(environ, dict)):
        config = _without_command(Config() if config is None else config)
    given = {'data': data, 'command': command, 'strict': strict, 'secret': secret}
    options |= {option: value for option, value in given.items() if value is not None}
    return BaseEnvironment.make(environ, config, **options)


def _without_command(config: Mapping[str, Any]) -> Mapping[str, Any]:
    # What is given takes the place of the command of the configuration.
    chosen = config.get('environ')
    if not isinstance(chosen, Mapping):
        return config
    return {'environ': {key: value for key, value in chosen.items() if key != 'command'}}


get_environ = Environment


@contextlib.contextmanager
def change_environ(
    environ: BaseEnvironment | Mapping[str, Any] | str | None = None,
) -> Iterator[None]:
    """Put this process into an environment for a ``with`` block, then restore it.

    What the block set is undone, too. Folders of ``PYTHONPATH`` come first in ``sys.path``
    meanwhile. The environment is that of the whole process, all of its threads included.

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


def _word(value: str) -> str:
    """Return a value as one word of `bash`, quoted if needed, with its references."""
    if _is_closed(value, ends=_ENDS_WORD):
        return value
    quoted = _in_double_quotes(value)
    if _is_closed(quoted):
        return quoted
    # A bracket is never closed: only references by name are left to the shell.
    return (
        '"' + re.sub(r'["\\`]|\$(?![A-Za-z_]|\{[A-Za-z_][A-Za-z0-9_]*\})', r'\\\g<0>', value) + '"'
    )


_CLOSES = {'(': ')', '{': '}', '"': '"', "'": "'", '`': '`'}


def _is_closed(text: str, ends: frozenset[str] = frozenset()) -> bool:
    """Return True if a text's shell quotes and brackets are closed, and no word ends.

    Parameters
    ----------
    text : str
    ends : frozenset of str, default=()
        Characters that end a word.
    """
    inside: list[str] = []
    position = 0
    while position < len(text):
        char, top = text[position], inside[-1] if inside else ''
        if char == '\\' and top != "'":
            position += 1
            if position == len(text):
                return False
        elif top and char == _CLOSES[top]:
            inside.pop()
        elif top not in ("'", '`') and text[position : position + 2] in ('$(', '${'):
            position += 1
            inside.append(text[position])
        elif top not in ("'", '`') and (char in '"`' if top == '"' else char in '"`\''):
            inside.append(char)
        elif top == '(' and char == '(':
            inside.append(char)
        elif not inside and (char in ends or (char == '{' and ends)):
            return False
        position += 1
    return not inside


def _in_double_quotes(value: str) -> str:
    """Quote a value in double quotes, except what stands in ``$(…)`` and ``${…}``."""
    pieces, depth, position = ['"'], 0, 0
    while position < len(value):
        char = value[position]
        if value[position : position + 2] in ('$(', '${'):
            depth += 1
            pieces.append(char)
            position += 1
            char = value[position]
        elif depth:
            depth += (char in '({') - (char in ')}')
        elif char in '"\\`':
            pieces.append('\\')
        pieces.append(char)
        position += 1
    return ''.join([*pieces, '"'])


def _check_name(name: Any, label: str) -> str:
    if not isinstance(name, str) or not is_variable_name(name):
        raise ConfigError(
            f'{name!r} in data of the environment {label} is no name of a variable: use letters, '
            'digits and underscores, no digit first'
        )
    return name


def _plain_data(value: str | KeptSecret | None) -> Any:
    return value.spec if isinstance(value, KeptSecret) else value


def _text(value: Any) -> Any:
    """Return a value as text; None, secrets and invalid values unchanged."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return str(value) if isinstance(value, numbers.Number) else value


def _check_value(name: Any, given: Any, label: str) -> Given:
    what = f'the variable {name} of the environment {label}'
    if (kept := KeptSecret.of(given)) is not None:
        return kept
    value = _text(given)
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


def _check_commands(value: Any, label: str) -> tuple[str | KeptSecret, ...]:
    commands = (value,) if isinstance(value, Mapping) else _commands(value)
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
