"""File types: classes known by name, and by the suffixes of their files."""

from __future__ import annotations

import os
from typing import Any, BinaryIO, ClassVar

from ..errors import MissingDependencyError, UnknownNameError, close_names
from ..utils import BaseClass
from .atomic import Path, atomic_write

_registry: dict[str, type[BaseFile]] = {}


class BaseFile(BaseClass):
    """A file of some type; subclasses have a `name`, and are known by it.

    Parameters
    ----------
    path : str, PathLike
        The file.

    Attributes
    ----------
    suffixes : tuple of str
        Ends of names of files that are of this type if nothing else is said, in lower case, such as
        ``('.npy',)``.
    """

    name: ClassVar[str] = 'base'
    _registry: ClassVar[dict[str, type[BaseFile]]] = _registry
    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if 'name' in cls.__dict__:
            _registry[cls.name] = cls

    def __init__(self, path: Path) -> None:
        self.path = os.fspath(path)

    def load(self, *args: Any, **kwargs: Any) -> Any:
        """Content of the file."""
        raise NotImplementedError(f'{type(self).__name__} has no method load.')

    def save(self, *args: Any, **kwargs: Any) -> Any:
        """Write the file at `path`."""
        raise NotImplementedError(f'{type(self).__name__} has no method save.')

    def _library(self, module: str) -> Any:
        import importlib

        try:
            return importlib.import_module(module)
        except ImportError as exc:
            package = module.partition('.')[0]
            raise MissingDependencyError(
                f'{self.path}: files of the type {self.name!r} need {package}, which is not '
                'installed here; nothing was read or written. '
                f'Type: pip install {package}'
            ) from exc


class StreamFile(BaseFile):
    """File type that reads and writes an open binary file with `read` and `write`."""

    def read(self, file: BinaryIO) -> Any:
        """Content of an open file."""
        raise NotImplementedError(f'{type(self).__name__} has no method read.')

    def write(self, file: BinaryIO, data: Any) -> object:
        """Write to an open file."""
        raise NotImplementedError(f'{type(self).__name__} has no method write.')

    def load(self) -> Any:
        """Content of the file."""
        with open(self.path, 'rb') as file:
            return self.read(file)

    def save(self, data: Any) -> Any:
        """Write the file, whole or not at all."""
        with atomic_write(self.path) as file:
            self.write(file, data)


def filetypes() -> tuple[str, ...]:
    """Names of the known file types, those of entry points included."""
    return tuple(sorted({*_registry, *_points()}))


def _points() -> dict[str, str]:
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group='desipipe.filetypes')}


def _find(filetype: str) -> type[BaseFile] | None:
    if filetype not in _registry and filetype in (points := _points()):
        import importlib

        module, _, name = points[filetype].partition(':')
        _registry.setdefault(filetype, getattr(importlib.import_module(module), name))
    return _registry.get(filetype)


def type_of(path: str, filetype: str | None) -> type[BaseFile]:
    """Return the class of a file type's name; without one, of the path's suffix."""
    if filetype:
        handler = _find(filetype)
        if handler is not None:
            return handler
        reason = f'the file type {filetype!r} is not known'
    else:
        handler = by_suffix(path)
        if handler is not None:
            return handler
        filetype = os.path.splitext(path)[1]
        reason = f'no file type is known for the suffix {filetype!r}'
    names = filetypes()
    raise UnknownNameError(
        f'{path}: {reason}; nothing was read or written. Name one of {", ".join(names)} (or define '
        'one, see desipipe.io): '
        f'{close_names(filetype.lstrip("."), names)}'
    )


def by_suffix(path: str) -> type[BaseFile] | None:
    """Return the class of a path's suffix (the longest), None if it has none."""
    lower = path.lower()

    def fitting() -> list[tuple[str, type[BaseFile]]]:
        return [
            (suffix, cls)
            for cls in _registry.values()
            for suffix in cls.suffixes
            if lower.endswith(suffix)
        ]

    if not fitting():
        for name in _points():  # known by their names only, until they are loaded
            _find(name)
    return max(fitting(), key=lambda pair: len(pair[0]), default=('', None))[1]
