"""One kind of file: a path with placeholders, and the options that fill them."""

from __future__ import annotations

import copy
import itertools
import math
import os
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import io
from ..errors import ConfigError, UnknownOptionError, close_names

Pool = tuple[Any, ...] | range
_RANGE = re.compile(r'range\(\s*(-?\d+)\s*(?:,\s*(-?\d+)\s*)?(?:,\s*(-?\d+)\s*)?\)')


@dataclass(frozen=True, slots=True)
class BaseFile(os.PathLike[str]):
    """A file of the catalogue, there or not: a path (``open(file)`` works), with the options it stands for.

    Parameters
    ----------
    filepath : str
        Its path, all placeholders filled.
    options : dict, optional
        Values of the options.
    id, filetype : str, optional
        Those of its entry.
    """

    filepath: str
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)
    id: str = ''
    filetype: str = ''

    def __fspath__(self) -> str:
        return self.filepath

    def exists(self) -> bool:
        """Whether the file is there."""
        return os.path.exists(self.filepath)

    def load(self) -> Any:
        """Content of the file, read by its type, else by its suffix; see `desipipe.io.load`."""
        return io.load(self.filepath, self.filetype)

    def save(self, data: Any) -> None:
        """Write the file, whole or not at all; see `desipipe.io.save`."""
        io.save(self.filepath, data, self.filetype)


class BaseFileEntry:
    """Files that differ by the values of options; iterating gives them, the last option fastest.

    Parameters
    ----------
    path : str
        With ``{option}`` or ``{option:format}`` for options, ``${NAME}`` for variables of the environment.
    options : dict, optional
        Name of option: its value, a list of values, or (text) ``range(...)``. A list in a list is one value, a tuple.
    id, filetype, description, author : str, optional
        What the entry is known by.
    environ : dict, optional
        Variables for ``path``, before those of the process.
    where : str, optional
        For errors: where the entry was read.

    Raises
    ------
    ConfigError
        If the path, or the value of an option, can't be used.
    """

    def __init__(
        self,
        path: str,
        options: Mapping[str, Any] | None = None,
        id: str = '',
        filetype: str = '',
        description: str = '',
        author: str = '',
        environ: Mapping[str, str] | None = None,
        where: str = '',
    ) -> None:
        self.path, self.id, self.filetype, self.description, self.author = path, id, filetype, description, author
        self.environ = dict(environ or {})
        self.where = where or 'file entry'
        for name in ('path', 'id', 'filetype', 'description', 'author'):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(f'{self.where}: {name} must be text, not {getattr(self, name)!r}. Put it in quotes.')
        if not isinstance(options, Mapping | None):
            raise ConfigError(f'{self.where}: options must be a mapping of names to values, not {options!r}.')
        self.options: dict[str, Pool] = {str(name): self._pool(name, value) for name, value in (options or {}).items()}
        self._parts = self._parse()

    def _pool(self, name: str, value: Any) -> Pool:
        """Values of an option."""
        if isinstance(value, range):
            return value
        if isinstance(value, str) and (match := _RANGE.fullmatch(value.strip())):
            try:
                return range(*(int(number) for number in match.groups() if number))
            except ValueError as error:  # a step of zero
                raise ConfigError(f'{self.where}: option {name!r}, {value}: {error}') from error
        # Lists one level deep: YAML's aliases could make a few lines of deeper ones fill the memory.
        values = [tuple(one) if isinstance(one, list) else one for one in (value if isinstance(value, list) else [value])]
        for one in itertools.chain.from_iterable(one if isinstance(one, tuple) else [one] for one in values):
            if isinstance(one, dict | list | set) or one in ('...', ...) or isinstance(one, str) and one.startswith('range('):
                raise ConfigError(f'{self.where}: option {name!r} can be a value, a list of values or range(...), not {one!r}. No file was looked up.')
        return tuple(values)

    def _parse(self) -> list[tuple[str, str | None, str]]:
        """Literal text, option (``$NAME``: variable) after it, its format."""
        parts = []
        try:
            for literal, name, spec, conversion in string.Formatter().parse(re.sub(r'\$\{(\w+)\}', r'{$\1}', self.path)):
                parts.append((literal, name, spec or ''))
                if name is None or name.startswith('$') and not spec:
                    continue
                # Widths of four digits would make texts of any length out of a short path.
                if not name.isidentifier() or conversion or '{' in (spec or '') or re.search(r'\d{4}', spec or ''):
                    text = name + (f'!{conversion}' if conversion else '') + (f':{spec}' if spec else '')
                    raise ConfigError(
                        f'{self.where}: the placeholder {{{text}}} is an expression; this version knows {{option}} and {{option:format}} only, and executes '
                        f'nothing. Write what it gives as an option of its own (path: {self.path}).'
                    )
                if name not in self.options:
                    raise ConfigError(f'{self.where}: no option for the placeholder {{{name}}} of {self.path}: {close_names(name, self.options)}')
        except ValueError as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f'{self.where}: the path {self.path!r} can not be read: {error}. Write {{{{ and }}}} for braces.') from error
        return parts

    def _resolved(self) -> list[tuple[str, str | None, str]]:
        """The path's parts with the variables of the environment filled in."""
        parts = []
        for literal, name, spec in self._parts:
            if name and name.startswith('$'):
                value = self.environ.get(name[1:], os.environ.get(name[1:]))
                if value is None:
                    raise ConfigError(
                        f'{self.where}: the path {self.path} needs the variable {name[1:]} of the environment, which is not set; no file was looked up. '
                        f'Type: export {name[1:]}=... or FileManager(..., environ={{{name[1:]!r}: ...}})'
                    )
                literal, name = literal + str(value), None
            parts.append((literal, name, spec))
        return parts

    def __iter__(self) -> Iterator[BaseFile]:
        parts = self._resolved()
        for values in itertools.product(*self.options.values()):
            options = dict(zip(self.options, values, strict=True))
            try:
                path = ''.join([literal if name is None else literal + format(options[name], spec) for literal, name, spec in parts])
            except (ValueError, TypeError) as error:
                raise ConfigError(f'{self.where}: the path {self.path} can not be filled with {options}: {error}. Change the format or the value.') from error
            yield BaseFile(path, options, self.id, self.filetype)

    def __len__(self) -> int:
        return math.prod(map(len, self.options.values()))

    def select(self, **options: Any) -> BaseFileEntry:
        """The same kind of file, with fewer values for some options; without any of the values asked for: with no file.

        Parameters
        ----------
        **options
            Option: a value, or a list (or range) of values.

        Returns
        -------
        entry : BaseFileEntry

        Raises
        ------
        UnknownOptionError
            If the entry has no such option.
        """
        new = copy.copy(self)
        new.options = dict(self.options)
        for name, wanted in options.items():
            if name not in self.options:
                raise UnknownOptionError(f'{self.where}: there is no option {name!r}: {close_names(name, self.options)}')
            pool = self.options[name]
            new.options[name] = tuple(pool[pool.index(value)] for value in (wanted if isinstance(wanted, list | range) else [wanted]) if value in pool)
        return new

    @property
    def filepaths(self) -> list[str]:
        """Paths of all files."""
        return [file.filepath for file in self]

    def exists(self) -> bool:
        """Whether all files are there."""
        return all(file.exists() for file in self)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(id={self.id!r}, path={self.path!r}, {len(self):,d} files)'
