"""Entries in their order: read, added, changed and written; and their files."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from .. import io
from ..errors import ConfigError, UnknownNameError, UnknownOptionError, close_names
from ..utils import BaseClass
from . import file_provenance
from .documents import Document, Imports, Parser, document_of, entry_of, numbered, read_file
from .entry import BaseFileEntry
from .file_provenance import Provenance
from .file_states import Existence, Status
from .folders import common_folder
from .variables import path_replace_environ, variables
from .yaml_text import documents_text, parse_documents


class EntryList(BaseClass):
    """File entries, with the variables and the folder that their paths begin with."""

    data: list[BaseFileEntry]
    environ: dict[str, str]
    root: str

    # Reading

    def _read(self, database: Any, parse: Parser = parse_documents) -> None:
        """Add one or several data bases."""
        if isinstance(database, str | os.PathLike):
            self._extend(read_file(os.fspath(database), parse))
        elif isinstance(database, Mapping | BaseFileEntry):
            self._extend([('file entry', database)])
        elif isinstance(database, EntryList):
            self._extend([('file entry', entry) for entry in database.data])
        elif isinstance(database, Iterable) and not isinstance(database, bytes):
            for one in database:
                self._read(one, parse)
        else:
            raise ConfigError(
                f'{database!r:.100} is no data base of files: give the path of a YAML file, an '
                'entry, a dictionary with its fields, or a list of these'
            )

    def _read_text(self, text: str, parse: Parser) -> None:
        """Add the data base that a text is."""
        self._extend(list(numbered(parse(text, 'the text'), 'the text')))

    def _extend(self, documents: Sequence[Document]) -> None:
        same_kind: dict[tuple[str, str], list[BaseFileEntry]] = {}
        for entry in self.data:
            same_kind.setdefault((entry.path, entry.id), []).append(entry)
        importing = Imports(self.data, documents)
        for where, data in documents:
            entry = entry_of(where, data, importing)
            entry.environ, entry.root = self.environ, self.root
            alike = same_kind.setdefault((entry.path, entry.id), [])
            if entry not in alike:
                alike.append(entry)
                self.data.append(entry)

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

    # As of lists

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

    def __add__(self, other: EntryList) -> Self:
        if not isinstance(other, EntryList):
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
        return isinstance(other, EntryList) and self.data == other.data

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
            olddir = common_folder([entry.path for entry in self.data])
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
        entries = [_replaced(entry) for entry in self.data] if replace_environ else self.data
        text = documents_text([document_of(entry) for entry in entries], os.fspath(fn))
        with io.atomic_write(fn) as file:
            file.write(text.encode())

    # Files

    def _paths(self) -> Iterator[str]:
        return itertools.chain.from_iterable(entry.paths() for entry in self.data)

    @property
    def filepaths(self) -> list[str]:
        """Paths of all files of all entries."""
        return list(self._paths())

    def exists(self, return_type: str = 'dict') -> Any:
        """Return which files exist; see :meth:`BaseFileEntry.exists`."""
        return Existence.of(self._paths()).returned(return_type)

    def status(self) -> Status:
        """Count missing, stale and current files; see :meth:`BaseFileEntry.status`."""
        return Status.of(self._paths())

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

    # In tasks, and for people

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


def _replaced(entry: BaseFileEntry) -> BaseFileEntry:
    """Return a copy of an entry with the values of variables in its paths."""
    new = entry.copy()
    new.path = path_replace_environ(entry.path, entry.environ)
    new.link = path_replace_environ(entry.link, entry.environ)
    if entry.ro is not None:
        old, mirror = entry.ro
        new.ro = (
            path_replace_environ(old, entry.environ),
            path_replace_environ(mirror, entry.environ),
        )
    return new
