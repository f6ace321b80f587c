"""Read the user's configuration, and resolve what is chosen by name."""

from __future__ import annotations

import contextlib
import operator
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Self, SupportsIndex

from .errors import (
    ConfigError,
    MissingDependencyError,
    UnknownNameError,
    UnknownOptionError,
    close_names,
)
from .layers import Layers, yaml_parser
from .utils import BaseClass, BaseDict, is_sequence, mkdir, username

__all__ = [
    'BaseDict',
    'Config',
    'Configurable',
    'config_dir',
    'inherit_options',
    'number',
    'whole_number',
    'yaml_parser',
]


def whole_number(value: object, what: str, least: int = 1) -> int:
    """Check that a value is a whole number.

    Parameters
    ----------
    value : object
        What was given.
    what : str
        What it is, for the message: ``"max_workers of the scheduler 'simple'"``.
    least : int, default=1
        The smallest number that makes sense.

    Returns
    -------
    number : int
        As a Python integer (NumPy's, text and whole floats are accepted).

    Raises
    ------
    ConfigError
        If it is anything else; a truth value is not a number here.
    """
    number = (
        operator.index(value)
        if isinstance(value, SupportsIndex) and not isinstance(value, bool)
        else None
    )
    if (
        isinstance(value, str | float)
        and (converted := _converted(value)) is not None
        and converted == int(converted)
    ):
        number = int(converted)
    if number is None or number < least:
        raise ConfigError(f'{what} must be a whole number, at least {least:d}, not {value!r}')
    return number


def number(value: object, what: str, least: float = 0.0) -> float:
    """Check that a value is a finite number.

    Parameters
    ----------
    value : object
        What was given.
    what : str
        What it is, for the message.
    least : float, default=0.0
        The smallest number that makes sense.

    Returns
    -------
    number : float

    Raises
    ------
    ConfigError
        If it is anything else.
    """
    converted = None if isinstance(value, bool) else _converted(value)
    if converted is None or converted < least:
        raise ConfigError(f'{what} must be a number, at least {least:g}, not {value!r}')
    return converted


def _converted(value: object) -> float | None:
    """Return a finite number, of text too; None of anything else."""
    if not isinstance(value, str | int | float):
        return None
    try:
        converted = float(value)
    except (ValueError, OverflowError):
        return None
    return converted if abs(converted) < float('inf') else None


def config_dir() -> str:
    """Folder of the configuration file.

    Returns
    -------
    dirname : str
        ``$DESIPIPE_CONFIG_DIR``, else ``~/.desipipe``.
    """
    return os.path.abspath(
        os.environ.get('DESIPIPE_CONFIG_DIR') or os.path.expanduser('~/.desipipe')
    )


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
_KEYS = {
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
_REFERENCE = re.compile(r'\$(?:(\w+)|\{([^}]*)\})', re.ASCII)


class Config(Layers):
    """User's configuration: set here, else ``config.yaml``, environment, or defaults.

    The keys are

    - ``base_queue_dir``: folder of the users' queue folders (``$DESIPIPE_QUEUE_DIR``), see
      :attr:`queue_dir`;
    - ``environ``, ``scheduler``, ``provider``: what a task manager uses if nothing is given, each a
      name or a dictionary with ``name`` and options; absent by default;
    - ``file``: ``filename``, the path of a data base of files, a pattern, or a list of these, see
      :meth:`.FileManager.databases`; absent by default;
    - ``trusted_users``: users, by name or number, whose queues may be unpickled
      (``$DESIPIPE_TRUST``, separated by commas, wins over the file), see :attr:`trusted_uids`;
    - ``lock``: kind of lock of new queues, 'flock', 'poll' or 'soft' (``$DESIPIPE_LOCK`` wins over
      the file); absent by default: the self-test of the folder chooses;
    - ``sync_interval``: the most seconds that an announced event may be missing on a local disk
      after a power cut;
    - ``lease``: seconds of silence after which a worker of another host counts as dead;
    - ``output_limit``: bytes that are kept of a task's standard output, and of its standard error,
      half of them from the beginning and half from the end;
    - ``linger``: seconds that idle workers wait for further tasks before they end.

    Other keys of the file are told by a warning, and kept. Iterating gives the keys that have been
    set, and ``base_queue_dir``.

    Parameters
    ----------
    user : str, default=None
        User whose queues are meant; by default the one who runs this process.
    filename : str, path-like, default=None
        YAML file to read; it need not exist. By default ``config.yaml`` in :func:`config_dir`.

    Raises
    ------
    ConfigError
        If the file, or an environment variable, has a value that can't be; nothing is then taken
        from it.
    """

    default_user: ClassVar[str] = username()
    """User who runs this process."""
    home_dir: ClassVar[str] = os.path.expanduser('~')

    def __init__(
        self, user: str | None = None, filename: str | os.PathLike[str] | None = None
    ) -> None:
        self.user = str(user or self.default_user)
        self.filename = os.path.abspath(
            os.path.join(config_dir(), 'config.yaml') if filename is None else filename
        )
        # Kept apart, so that `save` writes neither defaults, which may change, nor what an
        # environment variable says today.
        self._saved = _read(self.filename)
        self._environ: dict[str, Any] = {}
        for key, spec in _KEYS.items():
            text = os.environ.get(spec.variable, '') if spec.variable else ''
            if text and not (key == 'base_queue_dir' and key in self._saved):
                value = (
                    [user.strip() for user in text.split(',') if user.strip()]
                    if key == 'trusted_users'
                    else _absolute(key, text)
                )
                self._environ[key] = _check(key, value, f'${spec.variable}')
        self._set: dict[str, Any] = {}

    def __copy__(self) -> Self:
        new = self.__class__.__new__(self.__class__)
        new.__dict__.update(self.__dict__)
        new._saved, new._set = dict(self._saved), dict(self._set)
        return new

    @property
    def config_fn(self) -> str:
        """Path of the configuration file."""
        return self.filename

    @property
    def config_dir(self) -> str:
        """Folder of the configuration file."""
        return os.path.dirname(self.filename)

    @config_dir.setter
    def config_dir(self, folder: str) -> None:
        self.filename = os.path.join(os.path.abspath(folder), os.path.basename(self.filename))

    def __getitem__(self, key: str) -> Any:
        for layer in (self._set, self._environ, self._saved):
            if key in layer:
                value = layer[key]
                return (
                    value
                    if key != 'base_queue_dir'
                    else _expand(
                        value,
                        f'${_KEYS[key].variable}' if layer is self._environ else self.filename,
                    )
                )
        if key == 'base_queue_dir':
            return os.path.join(os.path.expanduser('~/.desipipe'), 'queues')
        default = _KEYS[key].default
        if default is None:
            raise KeyError(key)
        return list(default) if isinstance(default, tuple) else default

    def __setitem__(self, key: str, value: Any) -> None:
        self._set[key] = _check(key, _absolute(key, value), 'in this process')

    def __delitem__(self, key: str) -> None:
        if key not in self._set and key not in self._saved and key not in _KEYS:
            raise KeyError(key)
        self._set.pop(key, None)
        self._saved.pop(key, None)

    def __iter__(self) -> Iterator[str]:
        # Defaults are found by name; a list of keys has what was said.
        return iter(dict.fromkeys([*self._saved, *self._environ, *self._set, 'base_queue_dir']))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f'Config({self.filename!r}: {self._saved | self._environ | self._set!r})'

    def save(self) -> None:
        """Write the file: what it held and what was set here, nothing else.

        The file is replaced as a whole, so that a process that reads it meanwhile sees the old or
        the new one; comments in it are lost.

        Raises
        ------
        OSError
            If it can't be written; the old one is then intact.
        """
        yaml = _yaml(self.filename)
        mkdir(os.path.dirname(self.filename), mode=0o700)
        values = self._saved | self._set
        temporary = f'{self.filename}.{os.getpid():d}.tmp'
        try:
            # It may hold secrets of environments.
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(fd, 'w', encoding='utf-8') as file:
                yaml.safe_dump(values, file, sort_keys=False, allow_unicode=True)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.filename)
        except BaseException:
            if os.path.exists(temporary):
                os.unlink(temporary)
            raise
        self._saved, self._set = values, {}

    @property
    def queue_dir(self) -> str:
        """Folder of the queues of :attr:`user`."""
        return self.queue_dir_of(self.user)

    def queue_dir_of(self, user: str) -> str:
        """Return the folder of a user's queues.

        Parameters
        ----------
        user : str
            Name of the user.

        Returns
        -------
        dirname : str
            ``<base_queue_dir>/<user>``. Where no ``base_queue_dir`` is configured everyone has
            queues at home, so that for another user it is ``~<user>/.desipipe/queues/<user>``.

        Raises
        ------
        ConfigError
            If ``user`` can't be the name of a folder, or has no home here.
        """
        me = username()
        if user in ('', '.', '..') or '/' in user or '\0' in user:
            raise ConfigError(
                f'{user!r} is no name of a user: queues of other users are named user/name'
            )
        if user == me or any(
            'base_queue_dir' in layer for layer in (self._set, self._environ, self._saved)
        ):
            return os.path.join(self['base_queue_dir'], user)
        home = os.path.expanduser(f'~{user}')
        if home.startswith('~'):
            raise ConfigError(
                f'There is no user {user!r} on this machine, and queues are in the home folders of '
                'their users. To share queues in one folder, '
                f'set base_queue_dir in {self.filename} or $DESIPIPE_QUEUE_DIR.'
            )
        return os.path.join(home, '.desipipe', 'queues', user)

    @property
    def base_queue_dir(self) -> str:
        """Folder of the users' queue folders, with ``~`` and variables replaced."""
        return str(self['base_queue_dir'])

    @property
    def trusted_uids(self) -> frozenset[int]:
        """Ids of the users whose queues may be unpickled.

        They are this process's user and ``trusted_users``; names unknown here are ignored.
        """
        import pwd

        trusted = {os.geteuid()}
        for user in map(str, self['trusted_users']):
            if user.isdecimal():
                trusted.add(int(user))
            else:
                with contextlib.suppress(KeyError):
                    trusted.add(pwd.getpwnam(user).pw_uid)
        return frozenset(trusted)

    @property
    def lock(self) -> str | None:
        """Kind of lock of new queues; None: what the self-test of the folder chooses."""
        lock: str | None = self.get('lock')
        return lock

    @property
    def sync_interval(self) -> float:
        """Seconds."""
        return float(self['sync_interval'])

    @property
    def lease(self) -> float:
        """Seconds."""
        return float(self['lease'])

    @property
    def output_limit(self) -> int:
        """Bytes."""
        return int(self['output_limit'])

    @property
    def linger(self) -> float:
        """Seconds."""
        return float(self['linger'])


def _valid(word: str, name: str, names: Iterable[str]) -> str:
    # All of them, as there are few, and first what was probably meant.
    names = sorted(names)
    close = close_names(name, names)
    return (
        f'{close} Valid {word}: {", ".join(names)}'
        if close.startswith('did you')
        else f'valid {word}: {", ".join(names) or "none"}'
    )


def _absolute(key: str, value: Any) -> Any:
    # A relative folder is meant relative to where it was typed; processes that start elsewhere
    # later must find the same one.
    if key == 'base_queue_dir' and isinstance(value, str | os.PathLike):
        value = os.fspath(value)
        if value and not value.startswith(('/', '~', '$')):
            return os.path.abspath(value)
    return value


def _check(key: str, value: Any, where: str) -> Any:
    spec = _KEYS.get(key)
    if spec is None:
        import warnings

        warnings.warn(
            f'{where}: the key {key!r} means nothing to desipipe; {_valid("keys", key, _KEYS)}.',
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


def _expand(path: str, where: str) -> str:
    for match in _REFERENCE.finditer(path):
        name = match[1] or match[2]
        if name not in os.environ:
            raise ConfigError(
                f'{where}: base_queue_dir is {path!r}, but ${name} is not set in this process: set '
                'it, or write the path in full'
            )
    return os.path.abspath(os.path.expanduser(os.path.expandvars(path)))


def _yaml(filename: str) -> Any:
    # PyYAML takes longer to import than all of desipipe: most users have no file and must not pay
    # for it.
    try:
        import yaml
    except ImportError as exc:
        raise MissingDependencyError(
            f'PyYAML is needed for {filename}: python -m pip install pyyaml'
        ) from exc
    return yaml


def _read(filename: str) -> dict[str, Any]:
    try:
        with open(filename, encoding='utf-8') as file:
            text = file.read()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(
            f'{filename}: the configuration cannot be read: {exc}. Correct it, or set '
            '$DESIPIPE_CONFIG_DIR to another folder.'
        ) from exc
    yaml = _yaml(filename)
    try:
        # Safe: a configuration holds values, it does not make objects.
        values = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ConfigError(
            f'{filename}: the configuration is not valid YAML: {exc}. Correct it there.'
        ) from exc
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(
            f"{filename}: the configuration must be lines 'key: value', not {values!r}"
        )
    # A key without value is one that was left to be filled in.
    return {
        str(key): _check(str(key), _absolute(str(key), value), filename)
        for key, value in values.items()
        if value is not None
    }


def inherit_options(cls: Any) -> None:
    """Merge ``_defaults``, the options of an original class, with inherited ones.

    Parameters
    ----------
    cls : type
        A new subclass of a :class:`Configurable`.
    """
    if '_defaults' in cls.__dict__:
        cls.defaults = {
            **cls.defaults,
            **{name: value for name, value in cls._defaults.items() if name != 'timestep'},
        }
    cls._defaults = cls.defaults


class _Registry:
    """Classes by their names, as own code of desipipe 1.0 looks them up."""

    def __get__(self, instance: object, owner: Any) -> dict[str, Any]:
        classes: dict[str, Any] = {}
        for root in (base for base in owner.__mro__ if 'kind' in base.__dict__):
            classes |= {name: root._load(reference) for name, reference in root.builtin.items()}
            classes |= root._subclasses()
        return classes


class Configurable(BaseClass):
    """Base of environments, schedulers and providers: chosen by name and options.

    An own one is a subclass with a :attr:`name` of its own and, in :attr:`defaults`, its options;
    each becomes an attribute. It is found by its name in the processes that import it; in every
    process, if it is an entry point of the group ``'desipipe.<kind>s'`` of an installed
    distribution, or by ``'module:Class'``.

    Parameters
    ----------
    **options
        Values of the options in :attr:`defaults`.

    Raises
    ------
    UnknownOptionError
        For an option that it does not have.
    ConfigError
        For a value that can't be.
    """

    kind: ClassVar[str]
    """Kind of object, in messages: 'scheduler'."""
    key: ClassVar[str]
    """Its key in the configuration: 'scheduler'."""
    builtin: ClassVar[Mapping[str, str]]
    """Built-in names, and where their classes are (imported on demand)."""
    default: ClassVar[str]
    """Name of what is used if nothing is chosen."""
    name: ClassVar[str] = ''
    """Name by which it is chosen."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Its options and their default values."""
    _registry = _Registry()

    def __init__(self, **options: Any) -> None:
        for option in [name for name in options if name not in self.defaults]:
            from .settings.option_owners import owners_text

            near = _valid('options', option, self.defaults) + owners_text(type(self), option)
            message = f'The {self.kind} {self.label} has no option {option!r}; {near}'
            raise UnknownOptionError(message)
        for option, default in self.defaults.items():
            setattr(self, option, self.check(option, options.get(option, default)))

    @property
    def label(self) -> str:
        """Name for messages, in quotes."""
        return repr(self.name or type(self).__name__)

    def check(self, option: str, value: Any) -> Any:
        """Check the value of an option; subclasses that know more of theirs extend it.

        Parameters
        ----------
        option : str
            Its name.
        value : object
            What was given, or the default.

        Returns
        -------
        value : object
            As it is to be kept; plain data that JSON can hold.

        Raises
        ------
        ConfigError
            If it is not of the kind of the default.
        """
        default = self.defaults[option]
        what = f'{option} of the {self.kind} {self.label}'
        if isinstance(default, bool) and not isinstance(value, bool):
            raise ConfigError(f'{what} must be True or False, not {value!r}')
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if isinstance(default, str) and not isinstance(value, str):
            raise ConfigError(f'{what} must be text, such as {default!r}, not {value!r}')
        if isinstance(default, float):
            return number(value, what)
        if isinstance(default, int) and not isinstance(default, bool):
            return whole_number(value, what, least=0)
        return value

    def options(self) -> dict[str, Any]:
        """Values of all options.

        Returns
        -------
        options : dict
        """
        return {option: getattr(self, option) for option in self.defaults}

    def updated(self, **options: Any) -> Self:
        """A copy with other options.

        Parameters
        ----------
        **options
            The options that differ.

        Returns
        -------
        copy : of the same class
        """
        return type(self)(**{**self.options(), **options})

    def to_spec(self) -> dict[str, Any]:
        """Plain data from which any process that can import the class makes an equal one.

        Returns
        -------
        spec : dict
            ``name`` and all options, for JSON. The name of a class that desipipe does not have is
            ``'module:Class'``; only one that is defined in the notebook or script itself keeps its
            own, which no other process knows.
        """
        return {'name': self._reference(), **self.options()}

    @classmethod
    def _reference(cls) -> str:
        reference = f'{cls.__module__}:{cls.__qualname__}'
        if cls.name in cls.builtin:
            # Also for one that inherits such a name, or takes it: its name alone would silently
            # become desipipe's own.
            return cls.name if cls.builtin[cls.name] == reference else reference
        return cls.name if cls._is_local() and cls.name else reference

    @classmethod
    def _is_local(cls) -> bool:
        return cls.__module__ == '__main__' or '<locals>' in cls.__qualname__

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Configurable)
            and self.kind == other.kind
            and self.to_spec() == other.to_spec()
        )

    def __repr__(self) -> str:
        return f'{type(self).__name__}({", ".join(f"{option}={value!r}" for option, value in self.options().items())})'  # noqa: E501

    @classmethod
    def make(
        cls, spec: object = None, config: Mapping[str, Any] | None = None, **options: Any
    ) -> Self:
        """Make one from whatever people write.

        Parameters
        ----------
        spec : str, dict, instance, default=None
            A name, a dictionary with ``name`` and options, or what is there already. Without name:
            what the configuration says, with these options on top.
        config : Config, default=None
            Configuration to look into; by default the user's.
        **options
            Further options; with an instance, those of the copy that is returned.

        Returns
        -------
        made : of this class

        Raises
        ------
        UnknownNameError, UnknownOptionError, ConfigError
            Saying what is valid.
        """
        if isinstance(spec, cls):
            made = spec
        elif spec is None or isinstance(spec, str | Mapping):
            given = {'name': spec} if isinstance(spec, str) else dict(spec or {})
            # The original wrote provider=dict(provider='slurm', …).
            name = given.pop('name', None) or given.pop(cls.key, None)
            if name is None:
                chosen = (Config() if config is None else config).get(cls.key)
                chosen = {'name': chosen} if isinstance(chosen, str) else dict(chosen or {})
                made = cls.find(chosen.pop('name', cls.default))(**chosen)
                made = made.updated(**given) if given else made
            else:
                made = cls.find(name)(**given)
        else:
            raise ConfigError(
                f'The {cls.kind} must be a name, a dictionary with name and options, or a '
                f'{cls.__name__}, not {spec!r}'
            )
        return made.updated(**options) if options else made

    @classmethod
    def find(cls, name: str) -> type[Self]:
        """The class of that name.

        Parameters
        ----------
        name : str
            A name of desipipe's own, of a subclass that this process has imported, of an entry
            point, or ``'module:Class'``, which is imported.

        Returns
        -------
        found : type

        Raises
        ------
        UnknownNameError
            If there is none, listing those there are, or if it can't be imported.
        """
        if not isinstance(name, str):
            raise ConfigError(f'The name of a {cls.kind} must be text, not {name!r}')
        if name in cls.builtin:
            return cls._load(cls.builtin[name])
        classes = cls._subclasses()
        if name in classes:
            return classes[name]
        if ':' in name:
            return cls._load(name)
        from importlib.metadata import entry_points

        points = {point.name: point.value for point in entry_points(group=f'desipipe.{cls.kind}s')}
        if name in points:
            return cls._load(points[name])
        raise UnknownNameError(
            f'There is no {cls.kind} {name!r}; '
            f'{_valid("names", name, {*cls.builtin, *classes, *points})}. One of your own is found '
            'by every process as '
            f"'module:Class', or as an entry point 'desipipe.{cls.kind}s' of an installed package."
        )

    @classmethod
    def _subclasses(cls) -> dict[str, type[Self]]:
        """Subclasses by their own names.

        Nothing is registered: of a cell that was run twice, the last definition counts.
        """
        classes = {cls.__dict__['name']: cls} if cls.__dict__.get('name') else {}
        for subclass in cls.__subclasses__():
            classes |= subclass._subclasses()
        return classes

    @classmethod
    def _load(cls, reference: str) -> type[Self]:
        from importlib import import_module

        module, _, qualname = reference.partition(':')
        try:
            value = operator.attrgetter(qualname)(import_module(module))
        except Exception as exc:  # whatever the module raises while it is imported
            raise UnknownNameError(
                f'The {cls.kind} {reference!r} cannot be imported in {os.getcwd()}: '
                f'{type(exc).__name__}: {exc}. '
                'Install the package that holds it, or put its folder into PYTHONPATH.'
            ) from exc
        if not (isinstance(value, type) and issubclass(value, cls)):
            raise UnknownNameError(
                f'{reference!r} is no {cls.kind}: it must be a subclass of '
                f'{cls.__module__}.{cls.__name__}'
            )
        return value
