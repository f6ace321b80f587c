"""Read and write a file by its type."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .atomic import Path, atomic_folder
from .file_types import BaseFile, StreamFile, by_suffix, type_of
from .plain_types import GenericFile


def get_filetype(filetype: str | BaseFile | None, path: Path) -> BaseFile:
    """A file of some type.

    Parameters
    ----------
    filetype : str, BaseFile
        One of :func:`filetypes`; empty: what the suffix of ``path`` says. An instance is returned
        as it is.
    path : str, PathLike
        The file.

    Returns
    -------
    file : BaseFile

    Raises
    ------
    UnknownNameError
        If the type is not known.
    """
    if isinstance(filetype, BaseFile):
        return filetype
    path = os.fspath(path)
    return type_of(path, filetype)(path)


def load(path: Path, *args: Any, filetype: str | None = None, **kwargs: Any) -> Any:
    """Read a file.

    Parameters
    ----------
    path : str, PathLike
        The file.
    filetype : str, optional
        One of :func:`filetypes`; by default what the suffix of ``path`` says.
    *args, **kwargs
        Those of the type: a generic file takes the function that loads it, which no other does.

    Returns
    -------
    data : object
        ``str`` (text, UTF-8), what json or yaml hold, an array (npy), a dictionary of arrays (npz),
        …

    Raises
    ------
    UnknownNameError
        If the type is not known.
    """
    file = get_filetype(_generic(filetype, args, path), path)
    try:
        return file.load(*args, **kwargs)
    except Exception as error:
        # Most libraries say what they did not like, and not where.
        if os.fspath(path) not in str(error):
            error.add_note(
                f'{os.fspath(path)} was to be read, as a file of the type {file.name!r}.'
            )
        raise


def save(path: Path, *args: Any, filetype: str | None = None, **kwargs: Any) -> Any:
    """Write a file, completely or not at all; see :func:`atomic_write`.

    Parameters
    ----------
    path : str, PathLike
        The file; its folders are made.
    filetype : str, optional
        One of :func:`filetypes`; by default what the suffix of ``path`` says.
    *args, **kwargs
        Those of the type: the data; of a generic file the function that saves it.

    Returns
    -------
    saved : object
        What the type's own method returns.

    Raises
    ------
    UnknownNameError
        If the type is not known.
    """
    file = get_filetype(_generic(filetype, args, path), path)
    if isinstance(file, StreamFile):
        return file.save(*args, **kwargs)
    with atomic_folder(path) as temporary:
        return type(file)(temporary).save(*args, **kwargs)


def _generic(filetype: str | None, args: tuple[Any, ...], path: Path) -> str | None:
    """Choose between the generic type and the suffix's where no other type is named."""
    if filetype and filetype != GenericFile.name:
        return filetype
    is_known = by_suffix(os.fspath(path)) is not None
    if not args:
        return None if is_known else filetype
    # A table of astropy, or an array, may have `write` and is data all the same; who has `save` or
    # `load` wants to do it.
    is_data = is_known and (hasattr(args[0], '__array__') or isinstance(args[0], Mapping))
    methods = ('load', 'save') if is_data else ('load', 'read', 'save', 'write')
    own = callable(args[0]) or any(callable(getattr(args[0], name, None)) for name in methods)
    return GenericFile.name if own or (filetype and not is_known) else None
