"""Reading and writing files by type: text, json, yaml, npy, npz. A file is written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from .errors import UnknownNameError, close_names

__all__ = ['atomic_write', 'filetypes', 'load', 'save']


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """File to write, that takes its name only when all of it is on disk; folders are made.

    Readers see the old content or the new one, never a part, also when this process is killed. A link is followed.

    Parameters
    ----------
    path : str, PathLike
        The name that the file will have.

    Yields
    ------
    file : binary file
        Open for writing.

    Raises
    ------
    OSError
        As of `open`; what was at ``path`` is unchanged.
    """
    path = os.path.realpath(path)  # renaming over a symbolic link would replace the link, not what it points to
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, f'.{secrets.token_hex(8)}.tmp')  # of its own length: the name may have the longest that is allowed
    try:
        os.makedirs(folder, exist_ok=True)
        # Not `tempfile`: its files are 0600. Here the umask, the folder's default access list and its group apply, as for any new file.
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), 'wb') as file:
            with suppress(FileNotFoundError):
                os.fchmod(file.fileno(), os.stat(path).st_mode & 0o7777)
            yield file
            file.flush()
            os.fsync(file.fileno())  # before the rename, or a power cut could leave the name with nothing behind it
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename == temporary:
            error.filename, error.filename2 = path, None
        error.add_note(f'{path} was not written; what was there before, if anything, is unchanged.')
        raise


def _load_npz(file: BinaryIO) -> dict[str, Any]:
    import numpy as np

    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def _save_npz(file: BinaryIO, data: Mapping[str, Any]) -> None:
    import zipfile

    import numpy as np

    # Not `np.savez`, whose own arguments are names that no array could have.
    with zipfile.ZipFile(file, 'w') as archive:
        for name, array in data.items():
            with archive.open(f'{name}.npy', 'w', force_zip64=True) as member:
                np.save(member, array, allow_pickle=False)


def _functions(filetype: str) -> tuple[Callable[[BinaryIO], Any], Callable[[BinaryIO, Any], object]]:
    """How to read and how to write a type. Libraries are imported when their type is used."""
    if filetype == 'text':
        return lambda file: file.read().decode(), lambda file, data: file.write(data.encode())
    if filetype == 'json':
        import orjson

        return lambda file: orjson.loads(file.read()), lambda file, data: file.write(
            orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY)
        )
    if filetype == 'yaml':
        import yaml

        return yaml.safe_load, lambda file, data: yaml.safe_dump(data, file, encoding='utf-8', sort_keys=False)
    import numpy as np

    # Never pickled objects: a file from someone else must not run code.
    if filetype == 'npy':
        return lambda file: np.load(file, allow_pickle=False), lambda file, data: np.save(file, data, allow_pickle=False)
    return _load_npz, _save_npz


_SUFFIXES = {'.txt': 'text', '.json': 'json', '.yaml': 'yaml', '.yml': 'yaml', '.npy': 'npy', '.npz': 'npz'}
filetypes = tuple(dict.fromkeys(_SUFFIXES.values()))


def _filetype(path: str, filetype: str | None) -> str:
    suffix = os.path.splitext(path)[1].lower()
    found = filetype or _SUFFIXES.get(suffix, '')
    if found not in filetypes:
        what = f'the file type {filetype!r} is not known' if filetype else f'no file type is known for the suffix {suffix!r}'
        raise UnknownNameError(
            f'{path}: {what}; nothing was read or written. Name one of {", ".join(filetypes)}: {close_names(found or suffix[1:], filetypes)}'
        )
    return found


def load(path: str | os.PathLike[str], filetype: str | None = None) -> Any:
    """Read a file.

    Parameters
    ----------
    path : str, PathLike
        The file.
    filetype : str, optional
        One of `filetypes`; by default what the suffix of ``path`` says.

    Returns
    -------
    data : object
        ``str`` (text, UTF-8), what json or yaml hold, an array (npy), or a dictionary of arrays (npz).

    Raises
    ------
    UnknownNameError
        If the type is not known.
    """
    path = os.fspath(path)
    read, _ = _functions(_filetype(path, filetype))
    with open(path, 'rb') as file:
        return read(file)


def save(path: str | os.PathLike[str], data: Any, filetype: str | None = None) -> None:
    """Write a file, whole or not at all; see `atomic_write`.

    Parameters
    ----------
    path : str, PathLike
        The file; its folders are made.
    data : object
        What `load` gives back.
    filetype : str, optional
        One of `filetypes`; by default what the suffix of ``path`` says.

    Raises
    ------
    UnknownNameError
        If the type is not known.
    """
    path = os.fspath(path)
    _, write = _functions(_filetype(path, filetype))
    with atomic_write(path) as file:
        write(file, data)
