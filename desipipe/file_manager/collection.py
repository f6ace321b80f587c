"""Many kinds of files: chosen by id, words and options, and gone through."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self

from . import file_provenance
from .choice import Choice
from .combinations import all_combinations
from .entry import BaseFileEntry
from .entry_list import EntryList
from .file_provenance import Provenance
from .file_states import Existence, Status, check_files
from .options import Pool, as_lists, chosen_names, common_options, iter_options
from .yaml_text import parse_documents


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

    __module__ = f'{__package__}.catalogue'  # pickles and identities of tasks hold it

    def __init__(
        self,
        data: Any = None,
        string: str | None = None,
        parser: Callable[..., Iterable[Any]] | None = None,
        environ: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        parse = (
            parse_documents
            if parser is None
            else lambda text, where: list(
                parser(text.decode() if isinstance(text, bytes) else text, **kwargs)
            )
        )
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
        kind = {'id': id, 'filetype': filetype, 'keywords': keywords}
        choice = Choice(self.data, kind, ignore, options)
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
        kind = {'id': id, 'filetype': filetype, 'keywords': keywords}
        choice = Choice(self.data, kind, ignore, options)
        entries = [entry for _, entry in choice.selected()]
        if sum(map(len, entries)) != 1:
            if not raise_error:
                return None
            raise choice.several_error(entries) if entries else choice.none_error()
        if check_exists:
            try:
                check_files(_paths(entries))
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
            common = common_options([entry.options for entry in self.data])
            return list(iter_options(common, include, exclude))
        return all_combinations([entry.options for entry in self.data], include, exclude)

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
        several: Iterable[list[BaseFileEntry]]
        if intersection:
            several = (
                self._selected(options)
                for options in self.iter_options(include, exclude, intersection=True)
            )
        else:
            several = (
                [part]
                for entry in self.data
                for part in entry._split(chosen_names(entry.options, include, exclude))
            )
        groups = [entries for entries in several if entries]
        if get is None:
            get = exclude is None and all(
                len(entries) == 1
                and all(pool is not ... and len(pool) == 1 for pool in entries[0].options.values())
                for entries in groups
            )
        managers = (self._with(entries) for entries in groups)
        return [manager.get() for manager in managers] if get else list(managers)

    def _selected(self, options: Mapping[str, Any]) -> list[BaseFileEntry]:
        # A value that is a tuple is one value here, not several.
        wanted = {name: value if value is Ellipsis else [value] for name, value in options.items()}
        return [selected for entry in self.data if (selected := entry._narrowed(False, wanted))]

    # Files

    @property
    def filepaths(self) -> list[str]:
        """Paths of all files of all entries."""
        return list(_paths(self.data))

    def exists(self, return_type: str = 'dict') -> Any:
        """Return which files exist; see :meth:`BaseFileEntry.exists`."""
        return Existence.of(_paths(self.data)).returned(return_type)

    def status(self) -> Status:
        """Count missing, stale and current files; see :meth:`BaseFileEntry.status`."""
        return Status.of(_paths(self.data))

    def symlink(self, raise_error: bool = True) -> None:
        """Make the symbolic links of all files; see :meth:`BaseFile.symlink`."""
        for entry in self.data:
            entry.symlink(raise_error=raise_error)

    def provenance(self, path: str | os.PathLike[str]) -> Provenance:
        """Return what made a file, from what, with which code, and if that still holds.

        Parameters
        ----------
        path : str, PathLike
            Of any file that a task saved through a file manager.

        Returns
        -------
        provenance : Provenance
        """
        return file_provenance.provenance_of(path)


def _paths(entries: Iterable[BaseFileEntry]) -> Iterator[str]:
    return itertools.chain.from_iterable(entry.paths() for entry in entries)
