"""Many kinds of files: read from YAML data bases, chosen by id, words and options."""

from __future__ import annotations

import functools
import glob
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from .. import io
from ..errors import ConfigError, UnknownNameError, UnknownOptionError, close_names
from ..utils import BaseClass, is_sequence
from . import file_provenance
from .choice_errors import no_file, several_files
from .entry import BaseFileEntry, get_file_entry
from .fields import Fields
from .file_provenance import Provenance
from .file_states import Existence, Status, check_files
from .folders import base_folder, unreadable
from .options import Pool, as_lists, chosen_names, common_options, iter_options
from .values import freeze, shown

if TYPE_CHECKING:
    from ..environment import BaseEnvironment

_FIELDS = tuple(Fields._defaults)


class FileEntryCollection(BaseClass):
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
        parse = (
            _documents
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
            self._extend(list(_numbered(parse(string, 'the text'), 'the text')))

    def _read(
        self, database: Any, parse: Callable[[str | bytes, str], list[Any]] | None = None
    ) -> None:
        """Add one or several data bases."""
        if isinstance(database, str | os.PathLike):
            path = os.fspath(database)
            try:
                with open(path, 'rb') as file:
                    text = file.read()
            except OSError as error:
                raise unreadable(error)(
                    f'The data base {path} cannot be read: {error.strerror}. Check the path, or '
                    'its permissions.'
                ) from error
            self._extend(list(_numbered((parse or _documents)(text, path), path)))
        elif isinstance(database, Mapping | BaseFileEntry):
            self._extend([('file entry', database)])
        elif isinstance(database, FileEntryCollection):
            self._extend([('file entry', entry) for entry in database.data])
        elif isinstance(database, Iterable) and not isinstance(database, bytes):
            for one in database:
                self._read(one, parse)
        else:
            raise ConfigError(
                f'{database!r:.100} is no data base of files: give the path of a YAML file, an '
                'entry, a dictionary with its fields, or a list of these'
            )

    def _extend(self, documents: Sequence[tuple[str, Any]]) -> None:
        same_kind: dict[tuple[str, str], list[BaseFileEntry]] = {}
        for entry in self.data:
            same_kind.setdefault((entry.path, entry.id), []).append(entry)
        importing = _Imports(self.data, documents)
        for where, data in documents:
            entry = self._entry(where, data, importing)
            alike = same_kind.setdefault((entry.path, entry.id), [])
            if entry not in alike:
                alike.append(entry)
                self.data.append(entry)

    def _entry(self, where: str, data: Any, importing: _Imports) -> BaseFileEntry:
        if isinstance(data, BaseFileEntry):
            entry = data.copy()
        elif not isinstance(data, Mapping):
            raise ConfigError(
                f'{where}: an entry is a mapping with the fields {", ".join(_FIELDS)}, not '
                f'{type(data).__name__} {shown(data)}.'
            )
        else:
            try:
                fields = importing.resolved(data)
                for name in fields:
                    if not isinstance(name, str):
                        raise UnknownOptionError(
                            f'Unknown field {name!r}. The fields are: {", ".join(_FIELDS)}'
                        )
                entry = get_file_entry(fields)
            except (ConfigError, UnknownNameError, UnknownOptionError) as exc:
                raise type(exc)(f'{where}: {exc}') from exc
        entry.environ, entry.root = self.environ, self.root
        return entry

    def append(self, entry: BaseFileEntry | Mapping[str, Any]) -> None:
        """Add an entry, unless an equal one is there.

        Parameters
        ----------
        entry : BaseFileEntry, dict
            The entry, or its fields; ``import`` may name the id of one that is there, whose fields
            it takes over.

        Raises
        ------
        ConfigError, UnknownNameError, UnknownOptionError
            As of :class:`FileManager`; nothing is added then.
        """
        self._extend([('file entry', entry)])

    # Choosing

    def _fitting(self, id: Any, filetype: Any, keywords: Any) -> list[int]:
        """Positions of entries by what is not an option."""
        wanted_id, wanted_type = (
            None if given is None else {text.lower() for text in _texts(given)}
            for given in (id, filetype)
        )
        wanted = None if keywords is None else [text.lower().split() for text in _texts(keywords)]
        return [
            index
            for index, entry in enumerate(self.data)
            if (wanted_id is None or entry.id.lower() in wanted_id)
            and (wanted_type is None or entry.filetype.lower() in wanted_type)
            and (
                wanted is None
                or any(
                    all(word in entry.description.lower() for word in several) for several in wanted
                )
            )
        ]

    def _found(
        self, fitting: Iterable[int], ignore: bool | str | Iterable[str], options: Mapping[str, Any]
    ) -> Iterator[tuple[int, BaseFileEntry]]:
        for index in fitting:
            selected = (
                self.data[index].select(ignore=ignore, raise_error=False, **options)
                if options
                else self.data[index].copy()
            )
            if selected:
                yield index, selected

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
        fitting = self._fitting(id, filetype, keywords)
        pairs = list(self._found(fitting, ignore, options))
        if not pairs and empty_error:
            raise self._nothing(fitting, id, filetype, keywords, ignore, options)
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
        fitting = self._fitting(id, filetype, keywords)
        entries = [entry for _, entry in self._found(fitting, ignore, options)]
        if sum(map(len, entries)) != 1:
            if not raise_error:
                return None
            if not entries:
                raise self._nothing(fitting, id, filetype, keywords, ignore, options)
            asked = {'id': id, 'filetype': filetype, 'keywords': keywords, **options}
            raise several_files(entries, sum(map(len, entries)), asked)
        if check_exists:
            try:
                check_files(_paths(entries))
            except FileNotFoundError:
                if raise_error:
                    raise
                return None
        return next(iter(entries[0]))

    def _nothing(
        self,
        fitting: Sequence[int],
        id: Any,
        filetype: Any,
        keywords: Any,
        ignore: Any,
        options: Mapping[str, Any],
    ) -> Exception:
        """Why nothing is left."""
        if not self.data:
            return UnknownNameError(
                'There are no file entries: nothing can be found. Add a data base: '
                'FileManager(path)'
            )
        for field, given in (('id', id), ('filetype', filetype)):
            if given is not None and not self._fitting(
                **{'id': None, 'filetype': None, 'keywords': None, field: given}
            ):
                values = {getattr(entry, field) for entry in self.data} - {''}
                return UnknownNameError(
                    f'No file entry has the {field} {given!r}: '
                    f'{close_names(_texts(given)[0] if _texts(given) else "", values)}'
                )
        if keywords is not None and not self._fitting(None, None, keywords):
            terms = {word for entry in self.data for word in entry.description.lower().split()}
            asked_for = [word for text in _texts(keywords) for word in text.lower().split()]
            unknown = next(
                (word for word in asked_for if not any(word in term for term in terms)), None
            )
            near = (
                'Each of these words is known, but not all of one entry.'
                if unknown is None
                else f'{unknown!r}: {close_names(unknown, terms)}'
            )
            return UnknownNameError(
                f'No file entry has the keywords {keywords!r} in its description. {near}'
            )
        asked = {'id': id, 'filetype': filetype, 'keywords': keywords, **options}
        entries = [self.data[index] for index in fitting]
        for name in options:
            if entries and not ignore and not any(name in entry.options for entry in entries):
                values = {option for entry in entries for option in entry.options}
                return UnknownOptionError(
                    f'No file entry has an option {name!r}: {close_names(name, values)}'
                )
        if not entries:
            return UnknownNameError(
                'No file entry has id, filetype and keywords together: '
                f'{", ".join(f"{k}={v!r}" for k, v in asked.items() if v is not None)}'
            )
        passed = () if isinstance(ignore, bool) else _texts(ignore)
        return no_file(
            entries,
            asked,
            {name: value for name, value in options.items() if name not in passed},
        )

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
        # By what options they are of: what is known of the larger set is known of each smaller one,
        # and takes its place.
        kinds = {
            tuple(sorted(chosen_names(entry.options, include, exclude))) for entry in self.data
        }
        parts = {names: [other for other in kinds if set(other) < set(names)] for names in kinds}
        places: dict[tuple[str, ...], dict[tuple[Any, ...], int]] = {names: {} for names in kinds}
        covered: dict[tuple[str, ...], set[tuple[Any, ...]]] = {names: set() for names in kinds}
        merged: list[dict[str, Any] | None] = []
        for entry in self.data:
            names = tuple(sorted(chosen_names(entry.options, include, exclude)))
            for options in iter_options(entry.options, include, exclude):
                key = tuple(options[name] for name in names)
                if key in covered[names] or key in places[names]:
                    continue
                taken = []
                for part in parts[names]:
                    smaller = tuple(options[name] for name in part)
                    covered[part].add(smaller)
                    if smaller in places[part]:
                        taken.append(places[part].pop(smaller))
                for index in taken:
                    merged[index] = None
                index = places[names][key] = min(taken, default=len(merged))
                merged[index : index + 1] = [options]
        return [options for options in merged if options is not None]

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

    def __iter__(self) -> Iterator[BaseFileEntry]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            return self._one(index)
        if isinstance(index, slice):
            return self._with(entry.copy() for entry in self.data[index])
        return (
            self._with([self.data[number].copy() for number in index])
            if isinstance(index, Iterable)
            else self.data[index]
        )

    def _one(self, id: str) -> BaseFileEntry:
        entries = [entry for entry in self.data if entry.id == id]
        if len(entries) != 1:
            raise UnknownNameError(
                f'{len(entries) or "no":} file entries have the id {id!r}: '
                f'{close_names(id, (entry.id for entry in self.data))}'
            )
        return entries[0]

    def __delitem__(self, index: Any) -> None:
        if isinstance(index, str):
            index = self.data.index(self._one(index))
        if isinstance(index, Iterable):
            gone = {
                range(len(self.data))[number] for number in index
            }  # negative ones count from the end
            self.data = [entry for number, entry in enumerate(self.data) if number not in gone]
        else:
            del self.data[index]

    def __add__(self, other: FileEntryCollection) -> Self:
        if not isinstance(other, FileEntryCollection):
            return NotImplemented
        new = self.copy()
        for entry in other.data:
            # With its own variables: the same names may stand for other folders.
            if not any(entry == one and entry.environ == one.environ for one in new.data):
                new.data.append(entry.copy())
        return new

    def __radd__(self, other: object) -> Self:
        return self.copy() if other == 0 else NotImplemented  # sum() begins with 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileEntryCollection) and self.data == other.data

    __hash__ = None  # type: ignore[assignment]

    # Changing

    def _with(self, entries: Iterable[BaseFileEntry]) -> Self:
        new = type(self).__new__(type(self))
        new.__dict__.update(self.__dict__)
        new.data = list(entries)
        return new

    def copy(self) -> Self:
        """A copy with copies of the entries."""
        return self._with(entry.copy() for entry in self.data)

    __copy__ = copy

    def clone(self, **kwargs: Any) -> Self:
        """A copy with other entries or variables; see `update`."""
        new = self.copy()
        new.update(**kwargs)
        return new

    def update(self, **kwargs: Any) -> None:
        """Change it in place.

        Parameters
        ----------
        data : list, optional
            Entries, or dictionaries with their fields.
        environ : Environment, dict, optional
            Variables for ``${NAME}``.
        ro : list, optional
            For all entries, see :class:`BaseFileEntry`.

        Raises
        ------
        UnknownOptionError
            For anything else.
        """
        for name in kwargs:
            if name not in ('data', 'environ', 'ro'):
                raise UnknownOptionError(
                    f'A file manager has no {name!r} to update: '
                    f'{close_names(name, ("data", "environ", "ro"))}'
                )
        if 'environ' in kwargs:
            self.environ = variables(kwargs['environ'])
            for entry in self.data:
                entry.environ = self.environ
        if 'data' in kwargs:
            new = self._with(())
            new._read(kwargs['data'])
            self.data = new.data
        if 'ro' in kwargs:
            for entry in self.data:
                entry.update(ro=kwargs['ro'])

    def chgdir(
        self, newdir: str | os.PathLike[str], olddir: str | os.PathLike[str] | None = None
    ) -> None:
        """Change the folder in the paths of all entries.

        Parameters
        ----------
        newdir : str, PathLike
            The new one.
        olddir : str, PathLike, default=None
            What it takes the place of; by default the folder of what all paths have in common: of
            ``a/b/c.txt`` and ``a/b/d.txt`` that is ``a/b``, so that ``b`` stays in the new paths.
        """
        if olddir is None and self.data:
            try:
                olddir = base_folder(os.path.commonpath([entry.path for entry in self.data]))
            except ValueError as exc:
                raise ConfigError(
                    'The entries have no folder in common. Nothing was changed. Say which one '
                    'to change, with olddir.'
                ) from exc
        for entry in self.data:
            entry.chgdir(newdir, olddir=olddir)

    def save(self, fn: str | os.PathLike[str], replace_environ: bool = False) -> None:
        """Write a data base that, read again, gives equal entries.

        Parameters
        ----------
        fn : str, PathLike
            A YAML file; it is replaced as a whole.
        replace_environ : bool, default=False
            True to write the values of ``${NAME}`` instead of the names.

        Raises
        ------
        ConfigError
            If a value of an option can't be written.
        """
        import yaml

        documents = [self._document(entry, replace_environ) for entry in self.data]
        try:
            text = yaml.dump_all(
                documents, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=120
            )
        except yaml.YAMLError as exc:
            raise ConfigError(
                f'{os.fspath(fn)} was not written: options of an entry hold what YAML cannot: {exc}'
            ) from exc
        with io.atomic_write(fn) as file:
            file.write(text.encode())

    def _document(self, entry: BaseFileEntry, replace_environ: bool) -> dict[str, Any]:
        fields = {
            name: value
            for name, value in entry.to_dict().items()
            if value not in ('', None) and name not in ('options', 'foptions')
        }
        if replace_environ:
            for name in ('path', 'link'):
                if name in fields:
                    fields[name] = path_replace_environ(fields[name], entry.environ)
        if fields.get('ro'):
            fields['ro'] = [
                path_replace_environ(part, entry.environ) if replace_environ else part
                for part in fields['ro']
            ]
        if entry.name != BaseFileEntry.name:
            fields['fileentry'] = entry.name
        if entry.options:
            fields['options'] = {name: _plain(pool) for name, pool in entry.options.items()}
        texts = {
            name: _plain(pool)
            for name, pool in entry.foptions.items()
            if pool is not entry.options[name]
        }
        return {**fields, 'foptions': texts} if texts else fields

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

    def __desipipe_content__(self, app: str) -> str:
        pairs = ((index, entry.__desipipe_content__(app)) for index, entry in enumerate(self.data))
        return '\n'.join(f'{index:d}: {content}' for index, content in pairs if content)

    def __desipipe_identity__(self) -> str:
        return '\n'.join(entry.__desipipe_identity__() for entry in self.data)

    def __repr__(self) -> str:
        files = sum(map(len, self.data))
        lines = [f'{type(self).__name__}({len(self):,d} entries, {files:,d} files)']
        lines += [
            f'  {entry.id or "(no id)"}: {len(entry):,d} files, {entry.path}'
            for entry in self.data[:20]
        ]
        return '\n'.join(
            lines + ([f'  … and {len(self) - 20:,d} more entries'] if len(self) > 20 else [])
        )

    def _repr_html_(self) -> str:
        from .view import entries_table

        return entries_table(self.data)


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
        from ..config import Config

        wanted = None if keywords is None else [text.lower().split() for text in _texts(keywords)]
        named = Config().get('file', {}).get('filename', [])
        paths = [
            (path, pattern)
            for pattern in _texts(named)
            for path in sorted(glob.glob(os.path.expanduser(pattern)))
        ]

        def is_wanted(path: str, pattern: str) -> bool:
            texts = (path.lower(), pattern.lower())
            return wanted is None or any(
                all(any(word in text for text in texts) for word in several) for several in wanted
            )

        return [path for path, pattern in paths if is_wanted(path, pattern)]


def variables(environ: BaseEnvironment | Mapping[str, Any] | str | None) -> dict[str, str]:
    """Variables that paths may need, of an environment.

    Parameters
    ----------
    environ : Environment, str, dict, default=None

    Returns
    -------
    variables : dict
        Without what this process has anyway: that may be secret, and would travel with every task
        that gets a file manager.
    """
    if environ is None:
        return {}
    from ..environment import BaseEnvironment, Environment

    is_environment = isinstance(environ, BaseEnvironment)
    if (
        isinstance(environ, Mapping)
        and not is_environment
        and not environ.keys() & {'name', 'environ', 'data', 'command'}
    ):
        return {str(name): str(value) for name, value in environ.items()}
    return {
        name: value
        for name, value in Environment(environ).to_dict(all=True).items()
        if os.environ.get(name) != value
    }


class _Imports:
    """Fields of entries that take over those of others."""

    def __init__(
        self, entries: Iterable[BaseFileEntry], documents: Iterable[tuple[str, Any]]
    ) -> None:
        self._known = entries
        self._documents = documents
        self._by_id: dict[str, Any] | None = None

    def resolved(self, data: Mapping[str, Any], trail: tuple[str, ...] = ()) -> dict[str, Any]:
        """All fields of an entry."""
        fields = dict(data)
        if 'import' not in fields:
            return fields
        name = fields.pop('import')
        if self._by_id is None:
            # What is there already goes first, then the data base, of several with one id the
            # first.
            self._by_id = {entry.id: entry for entry in reversed(list(self._known))}
            for _, other in self._documents:
                if isinstance(other, Mapping) and isinstance(other.get('id'), str):
                    self._by_id.setdefault(other['id'], other)
        if name in trail:
            raise ConfigError(f'Entries import each other: {" → ".join([*trail, name])}')
        if not isinstance(name, str) or name not in self._by_id:
            raise UnknownNameError(
                f'There is no entry {shown(name)} to import: '
                f'{close_names(name if isinstance(name, str) else "", self._by_id)}'
            )
        other = self._by_id[name]
        if isinstance(other, BaseFileEntry):
            inherited = {
                **other.to_dict(),
                **({'fileentry': other.name} if other.name != BaseFileEntry.name else {}),
            }
        else:
            inherited = self.resolved(other, (*trail, name))
        new = fields.get('options') or {}
        for key in ('options', 'foptions'):
            own = fields.get(key) or {}
            theirs = inherited.get(key) or {}
            if isinstance(own, Mapping) and isinstance(theirs, Mapping):
                # An option that is given anew brings its own texts.
                fields[key] = {
                    **{
                        name: value
                        for name, value in theirs.items()
                        if key == 'options' or name not in new
                    },
                    **own,
                }
        return {**inherited, **fields}


def _paths(entries: Iterable[BaseFileEntry]) -> Iterator[str]:
    return itertools.chain.from_iterable(entry.paths() for entry in entries)


def _texts(given: Any) -> list[str]:
    return (
        [str(text) for text in given]
        if isinstance(given, Iterable) and not isinstance(given, str)
        else [str(given)]
    )


def _plain(pool: Any) -> Any:
    if pool is Ellipsis:
        return '...'
    if isinstance(pool, range):
        return str(pool)
    return [_plain_value(value) for value in pool]


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {_plain_value(key): _plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_value(item) for item in value]
    return value.item() if type(value).__module__ == 'numpy' else value


def path_replace_environ(path: str, environ: Mapping[str, Any] | None = None) -> str:
    """Return a path in which ``${NAME}`` of variables that are set are replaced.

    Parameters
    ----------
    path : str
        Template of a path.
    environ : dict, default=None
        Variables, before those of the process.
    """
    environ = environ or {}

    def value(match: re.Match[str]) -> str:
        text = environ.get(match[1], os.environ.get(match[1]))
        return match[0] if text is None else str(text).replace('{', '{{').replace('}', '}}')

    return re.sub(r'\$\{(\w+)\}', value, path)


# --------------------------------------------------------------------------------------------------
# YAML


def _numbered(documents: Iterable[Any], where: str) -> Iterator[tuple[str, Any]]:
    for number, document in enumerate(documents, start=1):
        if document is not None:  # nothing between two `---`
            yield f'{where}, document {number:d}', document


@functools.cache
def _loader() -> Any:
    """Return a YAML loader of plain values that reads ``1e-5`` and ``None`` as meant."""
    import yaml

    base = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)  # ten times faster where libyaml is

    class Loader(base):  # type: ignore[misc, valid-type]
        def flatten_mapping(self, node: Any) -> None:
            # Keys first: values of options may be lists, which Python takes for no key.
            if any(isinstance(key, yaml.SequenceNode) for key, _ in node.value):
                node.value = [
                    (
                        yaml.SequenceNode('!value', key.value, key.start_mark, key.end_mark)
                        if isinstance(key, yaml.SequenceNode)
                        else key,
                        value,
                    )
                    for key, value in node.value
                ]
            super().flatten_mapping(node)

    def value(loader: Any, node: Any) -> Any:
        try:
            return freeze(
                loader.construct_sequence(node, deep=True)
            )  # bounded, for what aliases make of it is hashed
        except ConfigError as exc:
            raise yaml.constructor.ConstructorError(
                None, None, f'a key {exc}', node.start_mark
            ) from exc

    Loader.add_constructor('!value', value)
    Loader.add_implicit_resolver(
        'tag:yaml.org,2002:float',
        re.compile(r'^[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?[eE][-+]?[0-9]+$'),
        list('-+0123456789'),
    )
    Loader.add_implicit_resolver('tag:yaml.org,2002:null', re.compile(r'^None$'), ['N'])
    return Loader


@functools.cache
def _dumper() -> Any:
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    Dumper.add_representer(
        list,
        lambda dumper, data: dumper.represent_sequence(
            'tag:yaml.org,2002:seq', data, flow_style=True
        ),
    )
    # Texts that our loader would take for a number or nothing are put in quotes.
    Dumper.add_implicit_resolver(
        'tag:yaml.org,2002:float',
        re.compile(r'^[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?[eE][-+]?[0-9]+$'),
        list('-+0123456789'),
    )
    Dumper.add_implicit_resolver('tag:yaml.org,2002:null', re.compile(r'^None$'), ['N'])
    return Dumper


def yaml_parser(string: str) -> list[Any]:
    """Read the documents of a data base, as :class:`FileManager` does.

    Parameters
    ----------
    string : str
        YAML; ``1e-5`` is a number and ``None`` nothing.

    Returns
    -------
    documents : list
        Plain values: no document makes objects.

    Raises
    ------
    ConfigError
        If it is no YAML.
    """
    return _documents(string, 'the text')


def _documents(text: str | bytes, where: str) -> list[Any]:
    """Documents of YAML, read without constructing any object of Python's."""
    import yaml

    try:
        return list(yaml.load_all(text, Loader=_loader()))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f', line {mark.line + 1:d}, column {mark.column + 1:d}' if mark else ''
        raise ConfigError(
            f'{where}{line}: {error.problem}. No entry of this data base is known; correct that '
            'line.'
        ) from error
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # a date that does not exist, bytes that are no UTF-8, a thousand brackets
        raise ConfigError(
            f'{where}: this is not YAML: {error}. No entry of this data base is known.'
        ) from error
