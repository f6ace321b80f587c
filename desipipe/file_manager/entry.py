"""Kinds of files: a path with placeholders, and the options that fill them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from ..errors import MissingFileError, UnknownNameError, UnknownOptionError, close_names
from . import file_provenance
from .choice_errors import no_file, several_files
from .file import BaseFile
from .file_states import Existence, Status, check_files
from .folders import moved
from .option_fields import OptionFields
from .options import chosen_names, iter_options, product, values_of
from .path_columns import PathColumns
from .values import shown

_registry: dict[str, type[BaseFileEntry]] = {}


class BaseFileEntry(OptionFields):
    """Files that differ by the values of options, the last option varying fastest.

    An own kind of entry is a subclass with a `name`, by which data bases call it (``fileentry:
    name``); most change `_get_file` only::

        class MyEntry(BaseFileEntry):
            name = 'my_entry'

            def _get_file(self, options, foptions=None):
                foptions = {**(foptions or options), 'region': options['region'].lower()}
                return super()._get_file(options, foptions=foptions)

    Parameters
    ----------
    path : str
        With ``{option}``, ``{option:format}``, or an expression of options; and ``${NAME}`` for
        variables of the environment.
    ro : list, optional
        Part of the path, and what stands in its place where files are only read.
    filetype, id, author, description, link : str, optional
        See the attributes.
    options : dict, optional
        Name of option: its value, a list of values, ``range(...)``, ``...`` (any value), or a
        dictionary: value, and the text for it in the path. A list in a list is one value.
    foptions : dict, optional
        Name of option: what stands for its values in the path, in their order.

    Raises
    ------
    ConfigError
        If the path, or the value of an option, can't be used.
    UnknownOptionError
        For a field that there is not.
    """

    name: ClassVar[str] = 'base'
    _registry: ClassVar[dict[str, type[BaseFileEntry]]] = _registry
    _file_cls: ClassVar[type[BaseFile]] = BaseFile

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if 'name' in cls.__dict__:
            _registry[cls.name] = cls

    # Files

    def _get_file(
        self, options: dict[str, Any], foptions: dict[str, Any] | None = None
    ) -> BaseFile:
        """Return the file of one value for each option; for subclasses to change.

        `foptions` stand for the options in the path.
        """
        file = self._file_cls.__new__(self._file_cls)
        state = file.__dict__
        state.update(self.__dict__)
        state['options'] = options
        state['foptions'] = dict(options) if foptions is None else foptions
        return file

    def __iter__(self) -> Iterator[BaseFile]:
        if self._has_texts() or type(self)._get_file is not BaseFileEntry._get_file:
            for options, foptions in self._pairs():
                yield self._get_file(options, foptions=foptions)
            return
        # The common case, at half the cost of the method.
        cls, common, names = self._file_cls, dict(self.__dict__), tuple(self.options)
        new = cls.__new__
        for values in product([values_of(pool) for pool in self.options.values()]):
            file = new(cls)
            file.__dict__ = state = common.copy()
            state['options'] = state['foptions'] = dict(zip(names, values))  # noqa: B905 (`strict` would cost a fifth of it all)
            yield file

    def paths(self) -> Iterator[str]:
        """Yield the paths of all files, one after the other."""
        if (
            type(self)._get_file is not BaseFileEntry._get_file
            or self._file_cls is not BaseFile
            or self.root
            or '*' in self.path
        ):
            yield from (file.filepath for file in self)
            return
        template = self._template(self.path)
        missing = sorted(template.names - set(self.options))
        if missing:
            raise self._unknown_placeholder(self.path, missing[0], self.options)
        texts = {name: values_of(self.foptions[name]) for name in self.options}
        yield from PathColumns(template, texts, self.environ, f'{self._label()}: the path')

    @property
    def filepaths(self) -> list[str]:
        """Paths of all files."""
        return list(self.paths())

    def exists(self, return_type: str = 'dict') -> Any:
        """Return which files exist.

        Parameters
        ----------
        return_type : str, default='dict'
            ``'dict'``: ``{True: paths, False: paths}``, itself true if all files are there;
            ``'str'``: the same for people.

        Returns
        -------
        exists : Existence, str
        """
        return Existence.of(self.paths()).returned(return_type)

    def status(self) -> Status:
        """Count files that are missing, stale or current.

        A file is stale if one that it was made from, or one further up, has changed since.

        See :meth:`FileManager.provenance` for one of them. Each file that went into them is looked
        at once: its size and time, and its content if only the time differs.

        Returns
        -------
        status : Status
            ``{'missing': n, 'stale': n, 'current': n}``; its `paths` are the same with lists of
            paths.
        """
        return Status.of(self.paths())

    def symlink(self, raise_error: bool = True) -> None:
        """Make the symbolic links of all files; see :meth:`BaseFile.symlink`."""
        for file in self:
            file.symlink(raise_error=raise_error)

    # Choosing

    def select(
        self,
        ignore: bool | str | Iterable[str] = False,
        check_exists: bool = False,
        raise_error: bool = True,
        **options: Any,
    ) -> Any:
        """Return this kind of file with fewer values for some options, or with no file.

        Parameters
        ----------
        ignore : bool, str, list, default=False
            ``True``: options that the entry does not have are passed over. Names: the same, and
            these options are passed over, too.
        check_exists : bool, default=False
            True if all files must exist.
        raise_error : bool, default=True
            If ``False``, ``None`` is returned where there would be an error.
        **options
            Option: a value, or a list (or range) of values.

        Returns
        -------
        entry : BaseFileEntry, None

        Raises
        ------
        UnknownOptionError
            If the entry has no such option.
        MissingFileError
            If files are to be checked, and one is not there.
        """
        try:
            chosen = self._narrowed(ignore, options)
            if check_exists:
                check_files(chosen.paths())
            return chosen
        except (UnknownOptionError, MissingFileError):
            if raise_error:
                raise
            return None

    def get(
        self,
        ignore: bool | str | Iterable[str] = False,
        check_exists: bool = False,
        raise_error: bool = True,
        **options: Any,
    ) -> Any:
        """The one file for values of options; parameters as of `select`.

        Returns
        -------
        file : BaseFile, None

        Raises
        ------
        UnknownNameError
            If there is none, or more than one; the message says what comes close, or what to add.
        UnknownOptionError, MissingFileError
            As of `select`.
        """
        new = self.select(ignore, check_exists, raise_error, **options)
        if new is None:
            return None
        if len(new) == 1:
            return next(iter(new))
        if raise_error:
            raise (
                several_files([new], len(new), options)
                if new
                else no_file([self], options, options)
            )
        return None

    def iter_options(
        self,
        include: str | Iterable[str] | None = None,
        exclude: str | Iterable[str] | None = None,
        return_foptions: bool = False,
    ) -> list[Any]:
        """All combinations of the values of options, the last one fastest.

        Parameters
        ----------
        include, exclude : str, list, default=None
            Names of options to go through, or to leave out.
        return_foptions : bool, default=False
            True to return pairs: options, and what stands for them in the path.

        Returns
        -------
        options : list of dict
        """
        combinations = iter_options(self.options, include, exclude)
        return (
            list(zip(combinations, iter_options(self.foptions, include, exclude), strict=True))
            if return_foptions
            else list(combinations)
        )

    def iter(
        self, include: str | Iterable[str] | None = None, exclude: str | Iterable[str] | None = None
    ) -> list[Any]:
        """List the files.

        Parameters
        ----------
        include, exclude : str, list, default=None
            Names of options to go through, or to leave out.

        Returns
        -------
        files : list of BaseFile
            Those of the other options only, where some are left out: a path that needs the rest is
            asked for by ``file.clone(options=...)``.
        """
        names = chosen_names(self.options, include, exclude)
        if len(names) == len(self.options):
            return list(self)
        pairs = self.iter_options(include, exclude, return_foptions=True)
        return [self._get_file(options, foptions=foptions) for options, foptions in pairs]

    def chgdir(
        self, newdir: str | os.PathLike[str], olddir: str | os.PathLike[str] | None = None
    ) -> None:
        """Change the folder in `path`.

        Parameters
        ----------
        newdir : str, PathLike
            The new one.
        olddir : str, PathLike, default=None
            What it takes the place of; by default the folder down to where the first option is.
        """
        self.update(path=moved(self.path, newdir, olddir))

    def __desipipe_content__(self, app: str) -> str:
        digests = (file_provenance.content_for(path, app) for path in self.paths())
        return '\n'.join(f'{index:d} {digest}' for index, digest in enumerate(digests) if digest)

    def _repr_html_(self) -> str:
        from .view import files_table

        return files_table(self)


_registry[BaseFileEntry.name] = BaseFileEntry


def get_file_entry(
    file_entry: BaseFileEntry | str | Mapping[str, Any] | None = None, **kwargs: Any
) -> BaseFileEntry:
    """A file entry, of whatever people write.

    Parameters
    ----------
    file_entry : BaseFileEntry, str, dict, default=None
        An entry, which is returned; the name of a class of entries; or fields, with ``fileentry``
        for the class if it is not the base.
    **kwargs
        Fields.

    Returns
    -------
    entry : BaseFileEntry

    Raises
    ------
    UnknownNameError
        If there is no class of that name.
    UnknownOptionError, ConfigError
        As of :class:`BaseFileEntry`.
    """
    if isinstance(file_entry, BaseFileEntry):
        return file_entry
    if isinstance(file_entry, Mapping):
        kwargs = {**file_entry, **kwargs}
        file_entry = kwargs.pop('fileentry', None)
    name: Any = BaseFileEntry.name if file_entry is None else file_entry
    if not isinstance(name, str) or name not in _registry:
        raise UnknownNameError(
            f'There is no kind of file entry {shown(name)} (define a subclass of BaseFileEntry of '
            'that name before the data base is read): '
            f'{close_names(name if isinstance(name, str) else "", _registry)}'
        )
    return _registry[name](**kwargs)
