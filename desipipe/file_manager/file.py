"""Describe one file: its path, what it stands for, and how it is read and written."""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, Self

from .. import io
from ..errors import ConfigError, MissingFileError
from ..io.permissions import make_folders
from ..io.temporaries import temporary_beside
from ..utils import copytree
from . import file_provenance, note_writing
from .fields import Fields, mapping_of
from .file_provenance import Provenance
from .folders import moved
from .template import template


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
            new = mapping_of(self._label(given), 'options', given['options'])
            texts = {
                name: texts[name]
                for name in new
                if name in texts and name in options and options[name] == new[name]
            }
            options = new
        if 'foptions' in given:
            texts = {**texts, **mapping_of(self._label(given), 'foptions', given['foptions'])}
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


def _escaped(path: str) -> str:
    return path.replace('{', '{{').replace('}', '}}')
