"""Environments, schedulers and providers: chosen by a name, with options."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping

from ..errors import ConfigError, UnknownNameError, UnknownOptionError
from ..utils import BaseClass
from .checked_numbers import number, whole_number
from .keys import valid_names
from .user_config import Config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self


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
            from .option_owners import owners_text

            near = valid_names('options', option, self.defaults) + owners_text(type(self), option)
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
            f'{valid_names("names", name, {*cls.builtin, *classes, *points})}. One of your own is '
            'found by every process as '
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
