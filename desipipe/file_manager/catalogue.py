"""Many kinds of files: read from YAML data bases, chosen by id, words and options."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, UnknownNameError, UnknownOptionError, close_names
from .entry import BaseFile, BaseFileEntry

if TYPE_CHECKING:
    from ..environment import BaseEnvironment

_FIELDS = ('path', 'options', 'id', 'filetype', 'description', 'author')


class FileManager:
    """Catalogue of files; iterating gives its entries, iterating an entry gives its files.

    Parameters
    ----------
    database : str, PathLike, dict, list
        A YAML file of one or several documents, a dictionary with the fields of one entry, or several of these.
    environ : Environment, dict, optional
        Variables for ``${NAME}`` in paths, before those of the process.

    Raises
    ------
    ConfigError
        If a data base can't be read or used; the message holds file, and line or document.
    UnknownOptionError
        If an entry has a field that is not known.

    Examples
    --------
    >>> fm = FileManager({'id': 'power', 'path': '/tmp/power_{tracer}_{i:02d}.npy', 'options': {'tracer': ['LRG', 'ELG'], 'i': 'range(3)'}})
    >>> fm.get(id='power', tracer='ELG', i=2).filepath
    '/tmp/power_ELG_02.npy'
    >>> [len(entry) for entry in fm.select(tracer='LRG')]
    [3]
    """

    def __init__(
        self, database: str | os.PathLike[str] | Mapping[str, Any] | Iterable[Any] = (), environ: BaseEnvironment | Mapping[str, str] | None = None
    ) -> None:
        if isinstance(environ, Mapping | None):
            self.environ = dict(environ or {})
        else:  # without what this process has anyway, which may be secret, and would travel with every task that gets this catalogue
            self.environ = {name: value for name, value in environ.to_dict(all=True).items() if os.environ.get(name) != value}
        self.entries: list[BaseFileEntry] = []
        databases = [database] if isinstance(database, str | os.PathLike | Mapping) else database
        for one in databases:
            if isinstance(one, Mapping):
                self._add(one, 'file entry')
            else:
                for number, document in enumerate(_documents(one), start=1):
                    if document is not None:  # nothing between two `---`
                        self._add(document, f'{os.fspath(one)}, document {number:d}')

    def _add(self, data: Any, where: str) -> None:
        if not isinstance(data, Mapping):
            raise ConfigError(f'{where}: an entry is a mapping with the fields {", ".join(_FIELDS)}, not {type(data).__name__}.')
        for name in data:
            if name not in _FIELDS:
                raise UnknownOptionError(f'{where}: the field {name!r} is not known: {close_names(str(name), _FIELDS, n=len(_FIELDS))}')
        if 'path' not in data:
            raise ConfigError(f'{where}: the entry has no path. Add one, e.g. path: ${{HOME}}/data_{{i:03d}}.npy')
        self.entries.append(BaseFileEntry(**data, environ=self.environ, where=where))

    def select(self, id: str | None = None, keywords: str | Iterable[str] | None = None, **options: Any) -> FileManager:
        """Entries, and files of entries, of some kind; none may be left.

        Parameters
        ----------
        id : str, optional
            Of the entry.
        keywords : str, list, optional
            Words that the description, or id, must hold, in any order and case; of several texts, the words of one of them.
        **options
            Option: a value, or a list (or range) of values. Entries without the option, or without any of the values, are left out.

        Returns
        -------
        selection : FileManager

        Raises
        ------
        UnknownNameError
            If there is no entry of that id.
        UnknownOptionError
            If no entry has an option of that name.
        """
        entries = self.entries
        if id is not None:
            entries = [entry for entry in entries if entry.id == id]
            if not entries:
                raise UnknownNameError(f'no file entry has the id {id!r}: {close_names(id, (entry.id for entry in self.entries))}')
        for name in options:
            if entries and not any(name in entry.options for entry in entries):
                known = {known for entry in entries for known in entry.options}
                raise UnknownOptionError(f'no file entry has an option {name!r}: {close_names(name, known)}')
        if keywords is not None:
            wanted = [text.lower().split() for text in ([keywords] if isinstance(keywords, str) else keywords)]
            entries = [entry for entry in entries if any(all(word in f'{entry.description} {entry.id}'.lower() for word in words) for words in wanted)]
        chosen = (entry.select(**options) for entry in entries if all(name in entry.options for name in options))
        new = copy.copy(self)
        new.entries = [entry for entry in chosen if len(entry)]
        return new

    def get(self, id: str | None = None, keywords: str | Iterable[str] | None = None, **options: Any) -> BaseFile:
        """The one file of some kind; parameters as of `select`.

        Returns
        -------
        file : BaseFile

        Raises
        ------
        UnknownNameError
            If there is none, or more than one; the message says what comes close, or what to add.
        UnknownOptionError
            If no entry has an option of that name.
        """
        selection = self.select(id=id, keywords=keywords, **options)
        count = sum(map(len, selection))
        if count == 1:
            return next(iter(selection.entries[0]))
        asked = ', '.join(f'{name}={value!r}' for name, value in {'id': id, 'keywords': keywords, **options}.items() if value is not None) or 'nothing'
        if count:
            ids = sorted({entry.id for entry in selection})
            free = [f'id ({", ".join(ids)})'] if len(ids) > 1 else []
            for name in dict.fromkeys(name for entry in selection for name in entry.options):
                pools = [entry.options[name] for entry in selection if len(entry.options.get(name, ())) > 1]
                free += [f'{name} ({_values(pools[0])})'] if pools else []
            raise UnknownNameError(
                f'{count:,d} files match {asked}, where one was asked for. Narrow it down by: {"; ".join(free) or "fewer entries that are alike"}'
            )
        near = []
        for name, value in options.items():
            pools = [entry.options[name] for entry in self.select(id=id, keywords=keywords) if name in entry.options]
            if not any(value in pool for pool in pools):
                words = [str(known) for pool in pools for known in pool[:1000]]
                near.append(f'{name}={value!r}: {close_names(str(value), words)}')
        raise UnknownNameError(f'no file matches {asked}. {"; ".join(near) or "Each value is known, but not together: leave some out."}')

    def __iter__(self) -> Iterator[BaseFileEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def filepaths(self) -> list[str]:
        """Paths of all files of all entries."""
        return [path for entry in self for path in entry.filepaths]

    def exists(self) -> bool:
        """Whether all files of all entries are there."""
        return all(entry.exists() for entry in self)

    def __repr__(self) -> str:
        return f'{type(self).__name__}({len(self):,d} entries, {sum(map(len, self)):,d} files)'


def _values(pool: Any) -> str:
    return str(pool) if isinstance(pool, range) else ', '.join(map(str, pool[:5])) + (', ...' if len(pool) > 5 else '')


def _documents(path: str | os.PathLike[str]) -> list[Any]:
    """Documents of a YAML file, read without constructing any object of Python's."""
    import yaml

    loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)  # ten times faster where libyaml is
    try:
        with open(path, encoding='utf-8') as file:
            return list(yaml.load_all(file, Loader=loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f', line {mark.line + 1:d}, column {mark.column + 1:d}' if mark else ''
        raise ConfigError(f'{os.fspath(path)}{line}: {error.problem}. No entry of this data base is known; correct that line.') from error
    except OSError as error:
        raise ConfigError(f'the data base {os.fspath(path)} can not be read: {error.strerror}. Check the path, or its permissions.') from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date that does not exist, bytes that are no UTF-8, a thousand brackets
        raise ConfigError(f'{os.fspath(path)}: this is not YAML: {error}. No entry of this data base is known.') from error
