"""Variables that tasks run with, and shell commands that set more."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

from ..config.configurable import Configurable
from ..machine import is_inherited
from ..security.secrets import KeptSecret
from ..utils import BaseDict
from .checks import (
    Given,
    Value,
    as_commands,
    as_text,
    check_commands,
    check_data,
    check_name,
    check_value,
)
from .secrecy import Secrecy
from .shell_lines import ShellLines
from .shell_words import is_plain


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
        'base': 'desipipe.environment.base:BaseEnvironment',
        'nersc-base': 'desipipe.environment.nersc:BaseNERSCEnvironment',
        'nersc-cosmodesi': 'desipipe.environment.nersc:CosmodesiNERSCEnvironment',
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
            return tuple(check_name(name, self.label) for name in as_commands(value))
        if option == 'command':
            return (*self._class_commands(), *check_commands(value, self.label))
        variables = {**self._class_variables(), **check_data(value, self.label)}
        return {
            check_name(name, self.label): check_value(name, given, self.label)
            for name, given in variables.items()
            if not is_inherited(name, given)
        }

    @classmethod
    def _class_variables(cls) -> dict[str, Any]:
        own = _nearest(cls, 'variables', '_defaults')
        return {**own.get('variables', {}), **own.get('_defaults', {})}

    @classmethod
    def _class_commands(cls) -> tuple[str, ...]:
        own = _nearest(cls, 'commands', '_command')
        return (*own.get('commands', ()), *as_commands(own.get('_command')))

    def __setitem__(self, name: str, value: Any) -> None:
        if not is_inherited(name, value):
            self.data[check_name(name, self.label)] = check_value(name, value, self.label)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self._texts() == {
            name: as_text(value) for name, value in other.items()
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
        """
        new = self.copy()
        for option, value in options.items():
            if option == 'data':
                self.check('data', value)
                new.update(value or {})
            elif option == 'command':
                new.command = (*self.command, *check_commands(value, self.label))
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
        own, secrecy = self._class_commands(), self._secrecy()
        commands = [_plain_data(command) for command in secrecy.kept_commands()]
        data = {name: _plain_data(value) for name, value in secrecy.kept_variables()}
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
            *[(name, os.environ.get(name)) for name in self.secret],
        )

    def _texts(self) -> dict[str, Value]:
        """Return the variables as processes get them: what was given, as text."""
        return {name: as_text(value) for name, value in self.data.items()}

    def _secrecy(self) -> Secrecy:
        return Secrecy(self.label, self._texts(), self.command, self.secret)

    def __repr__(self) -> str:
        secrecy = self._secrecy()
        return (
            f'{type(self).__name__}(data={secrecy.shown_variables(self.data)!r}, '
            f'command={secrecy.shown_commands()!r}, strict={self.strict!r}, '
            f'secret={list(self.secret)!r})'
        )

    def __getstate__(self) -> dict[str, Any]:
        secrecy = self._secrecy()
        return {
            **self.__dict__,
            'data': dict(secrecy.kept_variables()),
            'command': tuple(secrecy.kept_commands()),
        }

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
            from .bash import environment_left

            script = self.to_launch_script()
            return environment_left(script, self.label, self.strict, self._secrecy().values)
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
            isinstance(value, KeptSecret) or not is_plain(value) for value in values
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
        secrecy = self._secrecy()
        commands = [
            f'. {shlex.quote(command.path)}' if isinstance(command, KeptSecret) else command
            for command in secrecy.kept_commands()
        ]
        exports = ShellLines(self.label, self.strict).exports(secrecy.kept_variables())
        return sep.join([*(commands if all else ()), *exports])

    def to_launch_script(self) -> str:
        """Return the lines that begin a script which starts something in this environment.

        Returns
        -------
        script : str
            As :meth:`to_script`; a command that fails is told on the standard error, and ends the
            script if the environment is :attr:`strict`. Each line, the last included, ends in a
            newline.
        """
        secrecy, lines = self._secrecy(), ShellLines(self.label, self.strict)
        commands = map(lines.told, secrecy.kept_commands())
        exports = lines.exports(secrecy.kept_variables())
        return ''.join(f'{line}\n' for line in (*commands, *exports))


def _nearest(cls: type, *names: str) -> Mapping[str, Any]:
    """Return the members of the first class upwards that has one of the names.

    So whichever of them a class uses takes the place of both of its bases'.
    """
    return next(vars(each) for each in cls.__mro__ if not vars(each).keys().isdisjoint(names))


def _plain_data(value: str | KeptSecret | None) -> Any:
    return value.spec if isinstance(value, KeptSecret) else value
