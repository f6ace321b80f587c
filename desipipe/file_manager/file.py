"""Describe one file: its path, what it stands for, and how it is read and written."""

from __future__ import annotations

import copy
import glob
import os
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from .. import io
from ..errors import ConfigError, MissingFileError, UnknownOptionError, close_names
from ..io.permissions import make_folders
from ..io.temporaries import temporary_beside
from ..serialize import encode
from ..utils import BaseClass, copytree
from . import file_provenance, note_writing
from .file_provenance import Provenance
from .folders import moved
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

    def _identity(self) -> str:
        # What a task computes from it depends on where the file is and what it stands for, not on
        # words for people.
        variables = dict.fromkeys(self._template(self.path).variables)
        values = {name: self.environ.get(name, os.environ.get(name)) for name in variables}
        # The class too: by its code, if it is the user's own and makes other paths of the options.
        return encode(
            (type(self), self.path, values, self.filetype, self.options, self.foptions),
            self._label(),
        ).hex()


class PathText(str):
    """Part of a path, as text; `filepath` is the path that the original's users get."""

    filepath: str

    def __new__(cls, text: str, filepath: str) -> Self:
        new = super().__new__(cls, text)
        new.filepath = filepath
        return new

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return str(self), self.filepath


class BaseFile(Fields, os.PathLike[str]):
    """File of the catalogue, existing or not: a path with the options it stands for.

    Parameters
    ----------
    path : str
        With placeholders for the options.
    ro, filetype, id, author, options, foptions, description, link : optional
        See the attributes; each option has one value.
    """

    def _updated_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        options, texts = self.options, self.foptions
        if 'options' in given:
            new = _mapping(self._label(given), 'options', given['options'])
            texts = {
                name: texts[name]
                for name in new
                if name in texts and name in options and options[name] == new[name]
            }
            options = new
        if 'foptions' in given:
            texts = {**texts, **_mapping(self._label(given), 'foptions', given['foptions'])}
        return {
            'options': options,
            'foptions': {name: texts.get(name, value) for name, value in options.items()} | texts,
        }

    def __fspath__(self) -> str:
        try:
            path = template(self.path).fill(self.foptions, self.environ)
        except ConfigError:
            path = self._filled(self.path, self.foptions)  # with words
        if self.root:
            path = self._inside(path)
        if '*' in path:
            paths = sorted(glob.glob(path))
            if len(paths) > 1:
                raise ConfigError(
                    f'{self._label()}: {len(paths):d} files match {path}, where one is meant: '
                    f'{", ".join(paths[:5])}'
                )
            return paths[0] if paths else path
        return path

    __str__ = __fspath__

    @property
    def filepath(self) -> str:
        """Its path, all placeholders filled."""
        return self.__fspath__()

    @property
    def filepathro(self) -> str:
        """The path it is read from: in the read-only mirror if there is one."""
        path = self.__fspath__()
        if self.ro is None:
            return path
        old, new = (self._filled(part, self.foptions, inside=False) for part in self.ro)
        return path.replace(old, new, 1)

    @property
    def sympath(self) -> str:
        """Path of its symbolic link.

        Raises
        ------
        ConfigError
            If it has none.
        """
        if not self.link:
            raise ConfigError(
                f'{self._label()}: no link is given. Type: file.clone(link=...).symlink()'
            )
        return self._filled(self.link, self.foptions)

    def exists(self) -> bool:
        """Return True if the file exists."""
        return os.path.isfile(self.__fspath__())

    def load(self, *args: Any, **kwargs: Any) -> Any:
        """Return the content of the file, read by its type; see :func:`desipipe.io.load`.

        In a task, it is noted as one of its inputs.

        Parameters
        ----------
        *args, **kwargs
            Those of the type: of a generic file the function that loads it.

        Returns
        -------
        data : object
        """
        path, actual = self.filepath, self.filepathro
        self.log_info('Loading %s', actual)
        data = io.load(actual, *args, filetype=self.filetype, **kwargs)
        note_writing.note_read(path, actual)
        return data

    save_attrs: Callable[[str], str | None] | None
    """Function, where it is set: called with a temporary folder before the file is saved; what it
    writes there is moved beside the file, or into the folder that it returns.
    """

    def save(self, *args: Any, **kwargs: Any) -> Any:
        """Write the file, whole or not at all; see :func:`desipipe.io.save`.

        In a task, it is noted who made it, of what.

        Parameters
        ----------
        *args, **kwargs
            Those of the type: the data, or of a generic file the function that saves it.

        Returns
        -------
        saved : object
            What the type's own method returns.
        """
        path = self.filepath
        self._save_attributes(path)
        saved = io.save(path, *args, filetype=self.filetype, **kwargs)
        self.log_info('Saved %s', path)
        note_writing.note_written(path)
        return saved

    def _save_attributes(self, path: str) -> None:
        """Write what `save_attrs` writes beside the file, or into the folder it names."""
        save_attrs = getattr(self, 'save_attrs', None)
        if save_attrs is None:
            return
        folder = os.path.dirname(path) or os.curdir
        make_folders(folder)
        with tempfile.TemporaryDirectory(dir=folder, prefix='.desipipe-') as temporary:
            copytree(
                temporary, save_attrs(temporary) or folder, dirs_exist_ok=True, dirs_copystat=False
            )

    def symlink(self, raise_error: bool = True) -> None:
        """Make the symbolic link `link`, in the place of one that is there.

        Parameters
        ----------
        raise_error : bool, default=True
            If ``False``, nothing happens where it can't be made.

        Raises
        ------
        MissingFileError
            If the file is not there.
        OSError
            If it can't be made, for instance because a file is in its place.
        """
        try:
            path, link = self.filepath, self.sympath
            if not os.path.exists(path):
                raise MissingFileError(f'{path} does not exist: no link was made. Save it first.')
            if os.path.lexists(link) and not os.path.islink(link):
                raise FileExistsError(17, 'there is a file, not a link: it was left as it is', link)
            folder = os.path.dirname(os.path.abspath(link))
            make_folders(folder)
            temporary = temporary_beside(os.path.join(folder, 'link'))
            os.symlink(os.path.abspath(path), temporary)
            try:
                os.replace(temporary, link)
            except OSError:
                os.unlink(temporary)
                raise
        except (OSError, ConfigError):
            if raise_error:
                raise

    def provenance(self) -> Provenance:
        """Return what made the file, from what, and if that still holds."""
        return file_provenance.provenance_of(self.filepath)

    def status(self) -> str:
        """Return ``'missing'``, ``'stale'`` or ``'current'``.

        A file is stale when what it was made of, directly or not, has another content now.
        """
        return file_provenance.state_of(self.filepath)

    # As of paths

    def __eq__(self, other: object) -> bool:
        return (
            super().__eq__(other)
            and isinstance(other, BaseFile)
            and (self.environ == other.environ or self.filepath == other.filepath)
        )

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(self.__fspath__())

    def _with(self, path: str) -> Self:
        new = self.copy()
        new.path = path
        return new

    def __truediv__(self, other: str | os.PathLike[str]) -> Self:
        if isinstance(other, BaseFile):
            return self._with(os.path.join(self.path, other.path)).clone(
                options={**self.options, **other.options},
                foptions={**self.foptions, **other.foptions},
            )
        return self._with(os.path.join(self.path, _escaped(os.fspath(other))))

    def __itruediv__(self, other: str | os.PathLike[str]) -> Self:
        return other / self  # as in the original: the folder is put in front

    def __rtruediv__(self, other: str | os.PathLike[str]) -> Self:
        return self._with(os.path.join(_escaped(os.fspath(other)), self.path))

    def _derived(self, path: str) -> Self:
        return self._with(_escaped(path))

    def dirname(self) -> Self:
        """Its folder."""
        return self._derived(os.path.dirname(self.filepath))

    def basename(self) -> Self:
        """Without its folder."""
        return self._derived(os.path.basename(self.filepath))

    def stemname(self) -> Self:
        """Without its suffix."""
        return self._derived(os.path.splitext(self.filepath)[0])

    def extname(self) -> str:
        """Its suffix."""
        return os.path.splitext(self.filepath)[1]

    @property
    def parent(self) -> Self:
        """Its folder."""
        return self.dirname()

    @property
    def name(self) -> PathText:
        """Its name, without the folder."""
        name = os.path.basename(self.filepath)
        return PathText(name, name)

    @property
    def stem(self) -> PathText:
        """Its name, without folder and suffix."""
        stem = os.path.splitext(self.filepath)[0]
        return PathText(os.path.basename(stem), stem)

    @property
    def suffix(self) -> str:
        """Its suffix, such as ``'.npy'``."""
        return self.extname()

    def chgdir(
        self, newdir: str | os.PathLike[str], olddir: str | os.PathLike[str] | None = None
    ) -> None:
        """Change the folder in `path`; see :meth:`BaseFileEntry.chgdir`."""
        self.path = moved(self.path, newdir, olddir)

    def __desipipe_identity__(self) -> str:
        return self._identity()

    def __desipipe_content__(self, app: str) -> str:
        return file_provenance.content_for(self.filepath, app)

    def __repr__(self) -> str:
        members = {
            name: value
            for name, value in self.to_dict().items()
            if name not in ('path', 'foptions', 'link') and value not in ('', None, {})
        }
        try:
            path = self.filepath
        except ConfigError as exc:  # a repr that raises hides what one is looking for
            path = f'{self.path} ({exc})'
        return f'{type(self).__name__}({path!r}{"".join(f", {name}={value!r}" for name, value in members.items())})'  # noqa: E501


def _mapping(label: str, name: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(
            f'{label}: {name} must be a mapping of names to values, not {shown(value)}.'
        )
    return {str(key): item for key, item in value.items()}


def _escaped(path: str) -> str:
    return path.replace('{', '{{').replace('}', '}}')
