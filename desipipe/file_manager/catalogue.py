"""The catalogue of files: many kinds of files, chosen by id, words and options."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from ..utils import is_sequence
from .choice import Choice, Kind
from .combinations import (
    all_combinations,
    common_combinations,
    common_groups,
    is_one_file,
    single_groups,
)
from .entry import BaseFileEntry
from .entry_list import EntryList
from .file_states import check_files
from .named_databases import named_databases
from .options import Pool, as_lists, common_options
from .variables import path_replace_environ, variables
from .yaml_text import parse_documents, parser_of, yaml_parser

if TYPE_CHECKING:
    from ..environment import BaseEnvironment

__all__ = ['FileEntryCollection', 'FileManager', 'path_replace_environ', 'yaml_parser']

# Pickles and identities of tasks know these names of this module.
for _function in (path_replace_environ, yaml_parser):
    _function.__module__ = __name__


class FileEntryCollection(EntryList):
    """Several file entries; iterating gives them.

    Parameters
    ----------
    data : list, optional
        Entries, or dictionaries with their fields; or the path of a data base.
    string : str, optional
        Text of a data base, added to ``data``.
    parser : callable, optional
        Called with the text of a data base (and ``**kwargs``), gives the dictionaries of its
        entries; by default it is YAML.
    environ : dict, optional
        Variables for ``${NAME}`` in paths, before those of the process.

    Raises
    ------
    ConfigError, UnknownNameError, UnknownOptionError
        As of :class:`FileManager`.
    """

    def __init__(
        self,
        data: Any = None,
        string: str | None = None,
        parser: Callable[..., Iterable[Any]] | None = None,
        environ: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        parse = parse_documents if parser is None else parser_of(parser, kwargs)
        self.environ: dict[str, str] = dict(environ or {})
        self.root = ''
        self.data: list[BaseFileEntry] = []
        if isinstance(data, FileEntryCollection):
            self.environ = self.environ or dict(data.environ)
        self._read(data if data is not None else (), parse)
        if string is not None:
            self._read_text(string, parse)

    # Choosing

    def index(
        self,
        id: str | Iterable[str] | None = None,
        filetype: str | Iterable[str] | None = None,
        keywords: str | Iterable[str] | None = None,
        return_entry: bool = False,
        empty_error: bool = False,
        ignore: bool | str | Iterable[str] = False,
        **options: Any,
    ) -> Any:
        """Positions of entries of some kind; parameters as of `select`.

        Parameters
        ----------
        return_entry : bool, default=False
            True to return what is selected of them, too.

        Returns
        -------
        index : list of int
        """
        choice = Choice(self.data, Kind(id, filetype, keywords), ignore, options)
        pairs = list(choice.selected())
        if not pairs and empty_error:
            raise choice.none_error()
        places, entries = [index for index, _ in pairs], [entry for _, entry in pairs]
        return (places, entries) if return_entry else places

    def select(
        self,
        id: str | Iterable[str] | None = None,
        filetype: str | Iterable[str] | None = None,
        keywords: str | Iterable[str] | None = None,
        empty_error: bool = False,
        ignore: bool | str | Iterable[str] = False,
        **options: Any,
    ) -> Self:
        """Entries, and files of entries, of some kind; none may be left.

        Parameters
        ----------
        id, filetype : str, list, optional
            Those of the entry, or several that will do; in capitals or not.
        keywords : str, list, optional
            Words that the description must hold, in any order, in capitals or not; of several
            texts, the words of one of them.
        empty_error : bool, default=False
            True to raise an error if nothing is left.
        ignore : bool, str, list, default=False
            ``True``: entries that do not have some of the options are kept as if these were not
            asked for. Names: the same, and these options are not asked for of any entry.
        **options
            Option: a value, or a list (or range) of values. Entries without the option, or without
            any of the values, are left out.

        Returns
        -------
        selection : FileManager

        Raises
        ------
        UnknownNameError, UnknownOptionError
            With ``empty_error``: what is not known, and what comes close.
        """
        return self._with(
            self.index(id, filetype, keywords, True, empty_error, ignore, **options)[1]
        )

    def get(
        self,
        id: str | Iterable[str] | None = None,
        filetype: str | Iterable[str] | None = None,
        keywords: str | Iterable[str] | None = None,
        check_exists: bool = False,
        raise_error: bool = True,
        ignore: bool | str | Iterable[str] = False,
        **options: Any,
    ) -> Any:
        """The one file of some kind.

        Parameters
        ----------
        id, filetype, keywords, ignore, **options
            As of `select`.
        check_exists : bool, default=False
            True if the file must exist.
        raise_error : bool, default=True
            If ``False``, ``None`` is returned where there would be an error.

        Returns
        -------
        file : BaseFile, None

        Raises
        ------
        UnknownNameError
            If there is none, or more than one; the message says what comes close, or what to add.
        UnknownOptionError
            If no entry has an option of that name.
        MissingFileError
            With ``check_exists``.
        """
        choice = Choice(self.data, Kind(id, filetype, keywords), ignore, options)
        entries = [entry for _, entry in choice.selected()]
        if sum(map(len, entries)) != 1:
            if not raise_error:
                return None
            raise choice.several_error(entries) if entries else choice.none_error()
        if check_exists:
            try:
                check_files(self._with(entries)._paths())
            except FileNotFoundError:
                if raise_error:
                    raise
                return None
        return next(iter(entries[0]))

    # Going through

    @property
    def options(self) -> dict[str, Pool]:
        """Options, and the list of values, that all entries have."""
        return as_lists(common_options([entry.options for entry in self.data]))

    def iter_options(
        self,
        include: str | Iterable[str] | None = None,
        exclude: str | Iterable[str] | None = None,
        intersection: bool = False,
    ) -> list[dict[str, Any]]:
        """Combinations of values of options.

        Parameters
        ----------
        include, exclude : str, list, default=None
            Names of options to go through, or to leave out.
        intersection : bool, default=False
            If ``True``, only of options that all entries have; else of each entry, those that are
            part of another one's left out.

        Returns
        -------
        options : list of dict
        """
        if intersection:
            return common_combinations(self.data, include, exclude)
        return all_combinations(self.data, include, exclude)

    def iter(
        self,
        include: str | Iterable[str] | None = None,
        exclude: str | Iterable[str] | None = None,
        get: bool | None = None,
        intersection: bool = False,
    ) -> list[Any]:
        """Iterate over the files of each combination of values of options.

        Parameters
        ----------
        include, exclude : str, list, default=None
            Names of options to go through, or to leave out.
        get : bool, default=None
            ``True``: files; ``False``: file managers; ``None``: files, if nothing is excluded and
            each combination is one file, else file managers.
        intersection : bool, default=False
            If ``True``, go through the options that all entries have, with all entries in each file
            manager; else through each entry by itself.

        Returns
        -------
        selections : list of FileManager, BaseFile
        """
        if not self.data:
            return []
        several = common_groups if intersection else single_groups
        groups = list(several(self.data, include, exclude))
        if get is None:
            get = exclude is None and all(map(is_one_file, groups))
        managers = (self._with(entries) for entries in groups)
        return [manager.get() for manager in managers] if get else list(managers)


class FileManager(FileEntryCollection):
    """Catalogue of files.

    Iterating gives the files, if there is one entry; of several entries, a file manager for each
    combination of the options that all of them have. ``fm.data`` is the list of entries, and
    ``len(fm)`` their number.

    Parameters
    ----------
    database : str, PathLike, dict, BaseFileEntry, FileManager, list
        A YAML file of one or several documents, a dictionary with the fields of one entry, an
        entry, or several of these.
    environ : Environment, str, dict, optional
        Variables for ``${NAME}`` in paths, before those of the process: an environment (its
        commands are run once, now), its name, or a dictionary.
    root : str, PathLike, optional
        Folder that relative paths begin at, and that no path may leave.

    Raises
    ------
    ConfigError
        If a data base can't be read or used; the message holds file, and line or document.
    UnknownOptionError
        If an entry has a field that is not known.
    UnknownNameError
        If an entry imports, or is of a kind, that is not known.

    Examples
    --------
    >>> options = {'tracer': ['LRG', 'ELG'], 'i': 'range(3)'}
    >>> path = '/tmp/power_{tracer}_{i:02d}.npy'
    >>> fm = FileManager({'id': 'power', 'path': path, 'options': options})
    >>> fm.get(id='power', tracer='ELG', i=2).filepath
    '/tmp/power_ELG_02.npy'
    >>> [file.filepath for file in fm.select(tracer='LRG')][:2]
    ['/tmp/power_LRG_00.npy', '/tmp/power_LRG_01.npy']
    >>> fm[-1].options
    {'tracer': 'ELG', 'i': 2}
    """

    def __init__(
        self,
        database: Any = (),
        environ: BaseEnvironment | Mapping[str, Any] | str | None = None,
        root: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(environ=variables(environ))
        self.root = '' if root is None else os.path.abspath(root)
        if environ is None and isinstance(database, FileEntryCollection):
            self.environ = dict(database.environ)
        self._read(database)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.iter(intersection=True))

    def __getitem__(self, index: Any) -> Any:
        """Return the entry of an id, or what `iter` gives at some positions.

        Parameters
        ----------
        index : str, int, slice, list of int
            Id of an entry; or positions among the files (file managers, where `iter` gives these).

        Returns
        -------
        item : BaseFileEntry, BaseFile, FileManager, list
        """
        if isinstance(index, str):
            return self._one(index)
        managers = self.iter()
        return [managers[number] for number in index] if is_sequence(index) else managers[index]

    @classmethod
    def databases(cls, keywords: str | Iterable[str] | None = None) -> list[str]:
        """List the data bases that the configuration names.

        Parameters
        ----------
        keywords : str, list, default=None
            Words that the path, or its pattern, must hold, in capitals or not; of several texts,
            the words of one of them.

        Returns
        -------
        paths : list of str
            Files that match a pattern of ``file: {filename: [...]}`` in the configuration.
        """
        return named_databases(keywords)
