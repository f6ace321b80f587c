"""Fields of files and entries: how they are set, compared, and filled into paths."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from ..errors import ConfigError, UnknownOptionError, close_names
from ..serialize import encode
from ..utils import BaseClass
from .template import Template, template
from .values import shown, unusable


class Fields(BaseClass):
    """Base of files and entries: fields given by name, in order or as a dictionary.

    Parameters
    ----------
    *args
        Fields in order; or a dictionary, or another of the same class, whose fields are taken over.
    **kwargs
        Fields by name; see the subclasses.

    Raises
    ------
    UnknownOptionError
        For a field that there is not.
    ConfigError
        For a value that a field can't have.
    """

    __module__ = f'{__package__}.file'  # pickles and identities of tasks hold it

    _defaults: ClassVar[dict[str, Any]] = {
        'path': '',
        'ro': None,
        'filetype': 'generic',
        'id': '',
        'author': '',
        'options': {},
        'foptions': {},
        'description': '',
        'link': '',
    }

    path: str
    """With placeholders: ``{option}``, ``{option:format}``, expressions, ``${NAME}`` of the
    environment; see :mod:`desipipe.file_manager.template`.
    """
    ro: tuple[str, str] | None
    """Part of the path, and what stands in its place where files are only read: a read-only
    mirror.
    """
    filetype: str
    """One of :func:`desipipe.io.filetypes`; `generic`: a function, or an object with methods of its
    own, loads and saves the file,
    else the suffix tells the type. Other words will do for what is not loaded and saved here."""
    id: str
    author: str
    options: dict[str, Any]
    foptions: dict[str, Any]
    """Text that stands for the options in paths."""
    description: str
    link: str
    """Path of a symbolic link to the file, with the same placeholders; see `symlink`."""
    environ: Mapping[str, str]
    """Variables for ``${NAME}``, before those of the process."""
    root: str
    """The folder that relative paths begin at, and that no path may leave; empty: none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.environ, self.root = {}, ''
        if args and isinstance(args[0], Fields | Mapping):
            if isinstance(args[0], Fields):
                self.environ, self.root = args[0].environ, args[0].root
                kwargs = {**args[0].to_dict(), **kwargs}
            else:
                kwargs = {**args[0], **kwargs}
            args = args[1:]
        names = tuple(self._defaults)
        if len(args) > len(names):
            raise TypeError(
                f'{type(self).__name__} takes {len(names):d} fields at most: {", ".join(names)}'
            )
        self.__dict__.update({name: copy.copy(value) for name, value in self._defaults.items()})
        self.update(**{**dict(zip(names, args, strict=False)), **kwargs})

    def update(self, **kwargs: Any) -> None:
        """Set fields.

        Parameters
        ----------
        **kwargs
            Fields by name.

        Raises
        ------
        UnknownOptionError, ConfigError
            See above; nothing is changed then.
        """
        for name in kwargs:
            if name not in self._defaults:
                raise UnknownOptionError(
                    f'{self._label(kwargs)}: the field {name!r} is not known: '
                    f'{close_names(str(name), self._defaults, n=len(self._defaults))}'
                )
        checked = {
            name: self._checked(name, value, kwargs)
            for name, value in kwargs.items()
            if name not in ('options', 'foptions')
        }
        options = self._updated_options(kwargs)
        self.__dict__.update(checked, **options)

    def _checked(self, name: str, value: Any, given: Mapping[str, Any]) -> Any:
        if name == 'ro':
            if value is not None and (
                not isinstance(value, list | tuple)
                or len(value) != 2
                or not all(isinstance(item, str) for item in value)
            ):
                raise ConfigError(
                    f'{self._label(given)}: ro must be two texts: a part of the path, and what '
                    'stands in its place where files are only read'
                )
            return None if value is None else tuple(value)
        if name not in Fields._defaults:  # of an own class
            return value if self._defaults[name] is None else type(self._defaults[name])(value)
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if value is None:
            return self._defaults[name]
        if not isinstance(value, str | int | float):
            raise ConfigError(
                f'{self._label(given)}: {name} must be text, not {shown(value)}. Put it in quotes.'
            )
        return str(value)

    def _updated_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def _label(self, given: Mapping[str, Any] | None = None) -> str:
        fields = {**self.__dict__, **(given or {})}
        kind = type(self).__name__
        id, path = (
            value if isinstance(value, str) else ''
            for value in (fields.get('id'), fields.get('path'))
        )
        return f'{kind} {id!r}' if id else f'{kind} of {path}' if path else kind

    def clone(self, **kwargs: Any) -> Self:
        """A copy with other values of some fields, see `update`."""
        new = self.copy()
        new.update(**kwargs)
        return new

    def __setstate__(self, state: dict[str, Any]) -> None:
        # What was pickled before a field was thought of has its default.
        self.__dict__.update({name: copy.copy(value) for name, value in self._defaults.items()})
        self.__dict__.update(state)

    def deepcopy(self) -> Self:
        """A copy that shares nothing that can be changed."""
        new = self.copy()
        for name in self._defaults:
            setattr(new, name, copy.deepcopy(getattr(self, name)))
        return new

    def to_dict(self) -> dict[str, Any]:
        """The fields, by name."""
        return {name: getattr(self, name) for name in self._defaults}

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is type(self)
            and isinstance(other, Fields)
            and all(getattr(self, name) == getattr(other, name) for name in self._defaults)
        )

    __hash__ = None  # type: ignore[assignment]

    def _template(self, path: str) -> Template:
        try:
            return template(path)
        except ConfigError as exc:
            raise unusable(f'{self._label()}: the path {path!r:.500}', exc) from exc

    def _filled(self, path: str, options: Mapping[str, Any], inside: bool = True) -> str:
        """A path with placeholders, filled."""
        template = self._template(path)
        try:
            text = template.fill(options, self.environ)
        except ConfigError as exc:
            missing = next((name for name in sorted(template.names) if name not in options), None)
            if missing is not None:
                raise self._unknown_placeholder(path, missing, options) from exc
            raise unusable(f'{self._label()}: the path {path}', exc) from exc
        return self._inside(text) if inside and self.root else text

    def _unknown_placeholder(self, path: str, name: str, options: Mapping[str, Any]) -> ConfigError:
        return ConfigError(
            f'{self._label()}: no option for the placeholder {{{name}}} of {path}: '
            f'{close_names(name, options)}'
        )

    def _inside(self, path: str) -> str:
        root = os.path.realpath(self.root)
        path = os.path.join(self.root, path)
        # Links count: one that points out of the folder leaves it as well as `..` does.
        if os.path.commonpath([root, os.path.realpath(path)]) != root:
            raise ConfigError(
                f'{self._label()}: the path {path} leaves {self.root}, which it must not; nothing '
                'was read or written. Correct its options.'
            )
        return os.path.normpath(path)

    def __desipipe_identity__(self) -> str:
        # What a task computes from it depends on where the file is and what it stands for, not on
        # words for people.
        variables = dict.fromkeys(self._template(self.path).variables)
        values = {name: self.environ.get(name, os.environ.get(name)) for name in variables}
        # The class too: by its code, if it is the user's own and makes other paths of the options.
        return encode(
            (type(self), self.path, values, self.filetype, self.options, self.foptions),
            self._label(),
        ).hex()


def mapping_of(label: str, name: str, value: Any) -> dict[str, Any]:
    """Return the mapping that a field must be, with names as text; none is empty."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(
            f'{label}: {name} must be a mapping of names to values, not {shown(value)}.'
        )
    return {str(key): item for key, item in value.items()}
