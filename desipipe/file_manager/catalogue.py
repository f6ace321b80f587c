"""The catalogue of files: data bases in YAML, and what the configuration names."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..utils import is_sequence
from .choice import has_words, texts_of, word_lists
from .collection import FileEntryCollection
from .variables import path_replace_environ, variables
from .yaml_text import yaml_parser

if TYPE_CHECKING:
    from ..environment import BaseEnvironment

__all__ = ['FileEntryCollection', 'FileManager', 'path_replace_environ', 'yaml_parser']

# Pickles and identities of tasks know these names of this module.
for _function in (path_replace_environ, yaml_parser):
    _function.__module__ = __name__


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

        wanted = None if keywords is None else word_lists(keywords)
        named = Config().get('file', {}).get('filename', [])
        paths = [
            (path, pattern)
            for pattern in texts_of(named)
            for path in sorted(glob.glob(os.path.expanduser(pattern)))
        ]

        def is_wanted(path: str, pattern: str) -> bool:
            texts = (path.lower(), pattern.lower())
            return wanted is None or has_words(texts, wanted)

        return [path for path, pattern in paths if is_wanted(path, pattern)]
