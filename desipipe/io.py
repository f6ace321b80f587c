"""Reading and writing files by type. A file is written whole or not at all.

A file type is a class, known by its `name` as soon as it is defined::

    class PowerFile(BaseFile):
        name = 'power'
        suffixes = ('.pk',)

        def load(self):
            return np.loadtxt(self.path)

        def save(self, power):
            np.savetxt(self.path, power)

`save` is given a path of a temporary folder; what it wrote there takes its place when all of it is
on disk. A package makes its types known by entry points::

    [project.entry-points.'desipipe.filetypes']
    power = 'my_package.files:PowerFile'
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, ClassVar

from .errors import (
    ConfigError,
    MissingDependencyError,
    UnknownNameError,
    UntrustedFileError,
    close_names,
)
from .machine import machine, process_alive, process_start
from .utils import BaseClass

__all__ = [
    'BaseFile',
    'FitsFile',
    'GenericFile',
    'HDF5File',
    'JSONFile',
    'NpyFile',
    'NpzFile',
    'PickleFile',
    'StreamFile',
    'TextFile',
    'YAMLFile',
    'atomic_folder',
    'atomic_write',
    'filetypes',
    'get_filetype',
    'load',
    'save',
]

Path = str | os.PathLike[str]

# --------------------------------------------------------------------------------------------------
# Writing whole files


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name only when all of it is on disk.

    Missing folders are made.

    Readers see the old content or the new one, never a part, also when this process is killed. A
    link is followed. A file that is replaced keeps its permissions; a new one belongs to the
    folder's group, which may write to it if it may write to the folder.

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
        As of `open`, or because what is there is no file; what was at ``path`` is unchanged.
    """
    path = os.path.realpath(
        path
    )  # renaming over a symbolic link would replace the link, not what it points to
    temporary = temporary_beside(path)
    with _unchanged_if_failed(path, temporary):
        make_folders(os.path.dirname(path))
        with open(_open_temporary(temporary), 'wb') as file:
            yield file
            file.flush()
            _adopt(file.fileno(), path)
            os.fsync(
                file.fileno()
            )  # before the rename, or a power cut could leave the name with nothing behind it
            if not os.path.lexists(temporary):  # it has no name yet
                # A folder's descriptor, though both paths are absolute: without one, Python asks
                # for a link to the link that is there.
                with _opened(os.path.dirname(path)) as folder:
                    os.link(
                        f'/proc/self/fd/{file.fileno():d}',
                        os.path.basename(temporary),
                        dst_dir_fd=folder,
                        follow_symlinks=True,
                    )
        os.replace(temporary, path)
        _sync_folder(os.path.dirname(path))
    _remove_leftovers(os.path.dirname(path))


def _open_temporary(temporary: str) -> int:
    # A file without a name leaves nothing when its writer is killed. Network filesystems have no
    # such files: there it has the temporary name from the start. Not `tempfile`, whose files are
    # 0600: here the umask, the folder's default access list and its group apply, as for any new
    # file.
    with suppress(OSError, AttributeError):
        fd = os.open(os.path.dirname(temporary), os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666)
        if os.path.exists(f'/proc/self/fd/{fd:d}'):
            return fd
        os.close(fd)
    return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


@contextmanager
def atomic_folder(path: Path) -> Iterator[str]:
    """Yield a path in a temporary folder, for libraries that open files themselves.

    At the end what is there replaces the file.

    Files that the library writes beside it (such as ``power.txt`` beside ``power.npy``) are moved
    too, the file itself last.

    Parameters
    ----------
    path : str, PathLike
        The name that the file will have.

    Yields
    ------
    temporary : str
        Of the same file name.

    Raises
    ------
    FileNotFoundError
        If no file of that name was written.
    OSError
        As of `open`; what was at ``path`` is unchanged.
    """
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    temporary = temporary_beside(path)
    with _unchanged_if_failed(path, temporary):
        make_folders(folder)
        os.mkdir(temporary, 0o700)
        yield os.path.join(temporary, name)
        written = sorted(os.listdir(temporary), key=lambda other: other == name)
        if name not in written:
            raise FileNotFoundError(
                f'The function that saves wrote {", ".join(written) or "nothing"}, but was asked '
                f'to write {name}'
            )
        for other in written:
            with _opened(os.path.join(temporary, other)) as fd:
                if stat.S_ISREG(os.fstat(fd).st_mode):
                    _adopt(fd, os.path.join(folder, other))
                os.fsync(fd)
        for other in written:
            os.replace(os.path.join(temporary, other), os.path.join(folder, other))
        os.rmdir(temporary)
        _sync_folder(folder)
    _remove_leftovers(folder)


# What a writer that was killed leaves (a folder, and where files can't be without a name a file) is
# removed by the next one. Its name says whose it is.
_TEMPORARY = re.compile(r'\.desipipe-([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{8}\.tmp')
# s without a change, after which what a writer of another machine left is taken for a leftover
_LEFT = 86400.0
_swept: set[str] = set()


def temporary_beside(path: str) -> str:
    """Return a temporary name in a path's folder that identifies the living process."""
    # Of its own length: the name of the file itself may have the longest that is allowed.
    return os.path.join(
        os.path.dirname(path),
        f'.desipipe-{_machine()}-{_process(os.getpid())}-{secrets.token_hex(4)}.tmp',
    )


@functools.cache
def _machine() -> str:
    here = machine()
    # Another boot, or another container, is another machine: numbers of processes are compared
    # within one. Where they can't be, none is equal.
    text = f'{here["host"]} {here["boot"] or secrets.token_hex(8)} {here["pidns"]:d}'
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@functools.lru_cache(maxsize=1)
def _process(pid: int) -> str:
    return f'{pid:d}-{process_start(pid) or 0:d}'


def _remove_leftovers(folder: str) -> None:
    # Once in the life of a process for each folder: to list a large one takes longer than to write
    # a file into it.
    if folder in _swept:
        return
    _swept.add(folder)
    with suppress(OSError):  # someone else removes it, too; or it belongs to another user
        now = os.stat(
            folder
        ).st_mtime  # by the clock of the filesystem: someone has just written into it
        for entry in os.scandir(folder):
            match = (
                _TEMPORARY.fullmatch(entry.name) if entry.name.startswith('.desipipe-') else None
            )
            if match is None:
                continue
            if match[1] == _machine():
                left = not process_alive(int(match[2]), int(match[3]) or None)
            else:
                left = now - _last_change(entry) > _LEFT
            if left:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)


def _last_change(entry: os.DirEntry[str]) -> float:
    inside = os.scandir(entry.path) if entry.is_dir(follow_symlinks=False) else ()
    times: list[float] = [one.stat(follow_symlinks=False).st_mtime for one in (entry, *inside)]
    return max(times)


@contextmanager
def _unchanged_if_failed(path: str, temporary: str) -> Iterator[None]:
    try:
        if os.path.lexists(path) and not os.path.isfile(path):
            # To rename over a pipe or a device would put a file in its place.
            number = errno.EISDIR if os.path.isdir(path) else errno.EINVAL
            raise OSError(
                number,
                os.strerror(errno.EISDIR) if number == errno.EISDIR else 'It is no regular file',
                path,
            )
        yield
    except BaseException as error:
        if os.path.isdir(temporary):
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with suppress(OSError):
                os.unlink(temporary)
        if (
            isinstance(error, OSError)
            and isinstance(error.filename, str)
            and error.filename.startswith(temporary)
        ):
            error.filename, error.filename2 = path, None
        error.add_note(f'{path} was not written; what was there before, if anything, is unchanged.')
        raise


def _adopt(fd: int, path: str) -> None:
    """Give a new file the permissions and the group it has to have at ``path``."""
    status = os.fstat(fd)
    mode, group = stat.S_IMODE(status.st_mode), status.st_gid
    try:
        old = os.stat(path)
        mode, group = stat.S_IMODE(old.st_mode), old.st_gid
    except FileNotFoundError:
        folder = os.stat(os.path.dirname(path))
        if _is_shared(folder):
            mode, group = mode | (0o060 if folder.st_mode & stat.S_IWGRP else 0), folder.st_gid
    if group != status.st_gid:
        with suppress(PermissionError):  # not a member of that group: it stays ours
            os.fchown(fd, -1, group)
    if mode != stat.S_IMODE(status.st_mode):
        os.fchmod(fd, mode)


def _is_shared(folder: os.stat_result) -> bool:
    # Whether a group works in it together. One with the sticky bit, such as /tmp, belongs to nobody
    # in particular.
    return (
        bool(folder.st_mode & (stat.S_IWGRP | stat.S_ISGID)) and not folder.st_mode & stat.S_ISVTX
    )


def make_folders(folder: str) -> None:
    """Make a folder and its parents, writable by a group where the parent is.

    Raises
    ------
    OSError
        As of `os.makedirs`.
    """
    if not folder or os.path.isdir(folder):
        return
    parent = os.path.dirname(folder)
    make_folders(parent)
    try:
        os.mkdir(folder)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise
        return  # someone else was faster
    above = os.stat(parent or os.curdir)
    if _is_shared(above):
        with suppress(PermissionError):
            os.chown(folder, -1, above.st_gid)
            os.chmod(
                folder,
                stat.S_IMODE(os.stat(folder).st_mode) | (above.st_mode & (0o070 | stat.S_ISGID)),
            )


def _sync_folder(folder: str) -> None:
    with (
        suppress(OSError),
        _opened(folder) as fd,
    ):  # some filesystems have no such thing: there the rename is as safe as it gets
        os.fsync(fd)


@contextmanager
def _opened(path: str) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


# --------------------------------------------------------------------------------------------------
# File types

_registry: dict[str, type[BaseFile]] = {}


class BaseFile(BaseClass):
    """A file of some type; subclasses have a `name`, and are known by it.

    Parameters
    ----------
    path : str, PathLike
        The file.
    """

    name: ClassVar[str] = 'base'
    _registry: ClassVar[dict[str, type[BaseFile]]] = _registry
    suffixes: ClassVar[tuple[str, ...]] = ()
    """Ends of names of files that are of this type if nothing else is said, in lower case, such
    as ``('.npy',)``.
    """
    install: ClassVar[str] = ''
    """Package to install for this type."""

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


class TextFile(StreamFile):
    """Text, UTF-8."""

    name = 'text'
    suffixes = ('.txt',)

    def read(self, file: BinaryIO) -> str:
        """See :class:`StreamFile`."""
        return file.read().decode()

    def save(self, txt: str) -> Any:
        """Write text; see :class:`StreamFile`."""
        return super().save(txt)

    def write(self, file: BinaryIO, data: str) -> object:
        """See :class:`StreamFile`."""
        if not isinstance(data, str):
            raise TypeError(
                f'A text file holds text (str), not {type(data).__name__}. Type: '
                'file.save(str(...))'
            )
        return file.write(data.encode())


class JSONFile(StreamFile):
    """JSON; arrays of NumPy are written as lists.

    NaN and infinities are written as Python does, which not all readers of JSON take.
    """

    name = 'json'
    suffixes = ('.json',)

    def read(self, file: BinaryIO) -> Any:
        """See :class:`StreamFile`."""
        import orjson

        text = file.read()
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return json.loads(text)  # which knows NaN; and has the better words

    def write(self, file: BinaryIO, data: Any) -> object:
        """See :class:`StreamFile`."""
        import orjson

        def plain(value: Any) -> Any:
            return value.tolist() if hasattr(value, 'tolist') else orjson.loads(orjson.dumps(value))

        text = orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY)
        if b'null' in text:
            text = json.dumps(
                data, indent=2, ensure_ascii=False, default=plain
            ).encode()  # ten times slower, but NaN would be read back as None
        return file.write(text)


class YAMLFile(StreamFile):
    """YAML of plain values: tags that would make objects are refused."""

    name = 'yaml'
    suffixes = ('.yaml', '.yml')

    def read(self, file: BinaryIO) -> Any:
        """See :class:`StreamFile`."""
        import yaml

        return yaml.safe_load(file)

    def write(self, file: BinaryIO, data: Any) -> object:
        """See :class:`StreamFile`."""
        import yaml

        return yaml.safe_dump(data, file, encoding='utf-8', sort_keys=False)


class NpyFile(StreamFile):
    """An array. Never pickled objects: a file from someone else must not run code."""

    name = 'npy'
    suffixes = ('.npy',)

    def read(self, file: BinaryIO) -> Any:
        """See :class:`StreamFile`."""
        import numpy as np

        return np.load(file, allow_pickle=False)

    def write(self, file: BinaryIO, data: Any) -> None:
        """See :class:`StreamFile`."""
        import numpy as np

        np.save(file, data, allow_pickle=False)


class NpzFile(StreamFile):
    """A dictionary of arrays, without pickled objects."""

    name = 'npz'
    suffixes = ('.npz',)

    def read(self, file: BinaryIO) -> dict[str, Any]:
        """See :class:`StreamFile`."""
        import numpy as np

        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)

    def write(self, file: BinaryIO, data: Mapping[str, Any]) -> None:
        """See :class:`StreamFile`."""
        import zipfile

        import numpy as np

        if not isinstance(data, Mapping):
            raise TypeError(
                f'An npz file holds a dictionary of arrays, not {type(data).__name__}; for one '
                'array the suffix is .npy.'
            )
        # Not `np.savez`, whose own arguments are names that no array could have.
        with zipfile.ZipFile(file, 'w') as archive:
            for name, array in data.items():
                with archive.open(f'{name}.npy', 'w', force_zip64=True) as member:
                    np.save(member, array, allow_pickle=False)


class PickleFile(StreamFile):
    """Any object of Python's.

    Loading one runs code, so only files of one's own are loaded, which no one else may write to.
    """

    name = 'pickle'
    suffixes = ('.pkl', '.pickle')

    def read(self, file: BinaryIO) -> Any:
        """See :class:`StreamFile`."""
        import pickle

        from .utils import username

        status = os.fstat(file.fileno())
        if status.st_uid != os.geteuid() or status.st_mode & stat.S_IWOTH:
            whose = (
                f'belongs to user {username(status.st_uid)}'
                if status.st_uid != os.geteuid()
                else 'may be written to by everyone'
            )
            raise UntrustedFileError(
                f'{self.path} {whose}: loading a pickle runs whatever code is in it, so it was not '
                'loaded. '
                'If you trust it, copy it, and load the copy; better, have it written as npz, json '
                'or hdf5.'
            )
        return pickle.load(file)

    def write(self, file: BinaryIO, data: Any) -> None:
        """See :class:`StreamFile`."""
        import pickle

        pickle.dump(data, file, protocol=5)


class GenericFile(BaseFile):
    """File that a function, or an object with `load` or `save`, reads and writes.

    The methods may also be called `read` and `write`.
    """

    name = 'generic'

    def load(self, load: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Content of the file.

        Parameters
        ----------
        load : callable, object
            Called with the path; or its method ``load``, or ``read``.
        *args, **kwargs
            Passed on.
        """
        return self._method(load, 'load', 'read')(self.path, *args, **kwargs)

    def save(self, save: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Write the file.

        Parameters
        ----------
        save : callable, object
            Called with the path to write to; or its method ``save``, or ``write``.
        *args, **kwargs
            Passed on.
        """
        return self._method(save, 'save', 'write')(self.path, *args, **kwargs)

    def _method(self, given: Any, *names: str) -> Callable[..., Any]:
        for name in names:
            method = getattr(given, name, None)
            if callable(method):
                return method  # type: ignore[no-any-return]
        if callable(given):
            return given  # type: ignore[no-any-return]
        verb = names[0].rstrip('e')
        raise ConfigError(
            f'{self.path}: a generic file is {verb}ed by a function of its path, or an object with '
            f'a method {" or ".join(names)}, not by {given!r:.100}; '
            'nothing was read or written. Name another file type of the entry: '
            f'{", ".join(filetypes())}'
        )


class FitsFile(BaseFile):
    """FITS, by `astropy`: tables and images."""

    name = 'fits'
    suffixes = ('.fits', '.fit', '.fits.gz')

    def load(self, hdu: int | str | None = None, **kwargs: Any) -> Any:
        """Content of the file.

        Parameters
        ----------
        hdu : int, str, default=None
            Number or name; by default the first one that holds something.
        **kwargs
            Passed to :func:`astropy.io.fits.open`.

        Returns
        -------
        data : astropy.table.Table, array
        """
        fits, table = self._library('astropy.io.fits'), self._library('astropy.table')
        with fits.open(self.path, memmap=False, **kwargs) as file:
            chosen = (
                file[hdu]
                if hdu is not None
                else next((one for one in file if one.data is not None), file[0])
            )
            if isinstance(chosen, fits.BinTableHDU | fits.TableHDU):
                return table.Table.read(chosen)
            return chosen.data

    def save(self, data: Any, **kwargs: Any) -> None:
        """Write the file.

        Parameters
        ----------
        data : Table, dict of columns, structured array, array, HDUList
        **kwargs
            Passed to ``writeto`` of :mod:`astropy.io.fits`.
        """
        fits, table = self._library('astropy.io.fits'), self._library('astropy.table')
        if hasattr(data, 'writeto'):
            hdus = data
        elif isinstance(data, Mapping | table.Table) or getattr(
            getattr(data, 'dtype', None), 'names', None
        ):
            hdus = fits.HDUList([fits.PrimaryHDU(), fits.table_to_hdu(table.Table(data))])
        else:
            import numpy as np

            hdus = fits.PrimaryHDU(np.asarray(data))
        hdus.writeto(self.path, **kwargs)


class HDF5File(BaseFile):
    """HDF5, by `h5py`: dictionaries (groups) of arrays, numbers and texts (data sets)."""

    name = 'hdf5'
    suffixes = ('.h5', '.hdf5', '.hdf')

    def load(self, name: str = '/', **kwargs: Any) -> Any:
        """Content of the file.

        Parameters
        ----------
        name : str, default='/'
            Of a group or data set.
        **kwargs
            Passed to :class:`h5py.File`.

        Returns
        -------
        data : dict, array, number, str
        """
        h5py = self._library('h5py')

        def content(item: Any) -> Any:
            if isinstance(item, h5py.Group):
                return {key: content(value) for key, value in item.items()}
            value = item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()]
            return value.item() if item.shape == () and hasattr(value, 'item') else value

        with h5py.File(self.path, 'r', **kwargs) as file:
            return content(file[name])

    def save(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        """Write the file.

        Parameters
        ----------
        data : dict
        **kwargs
            Passed to ``create_dataset``, for arrays: ``compression='gzip'``.
        """
        h5py = self._library('h5py')
        if not isinstance(data, Mapping):
            raise TypeError(
                'An HDF5 file holds a dictionary (of arrays, numbers, texts, dictionaries), not '
                f'{type(data).__name__}'
            )

        def write(group: Any, values: Mapping[str, Any]) -> None:
            for key, value in values.items():
                if isinstance(value, Mapping):
                    write(group.create_group(key), value)
                else:
                    import numpy as np

                    array = np.asarray(value)
                    text = array.dtype.kind == 'U'
                    options = kwargs if array.shape else {}
                    group.create_dataset(
                        key,
                        data=array.astype(object) if text else array,
                        dtype=h5py.string_dtype() if text else None,
                        **options,
                    )

        with h5py.File(self.path, 'w') as file:
            write(file, data)


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


def _class(path: str, filetype: str | None) -> type[BaseFile]:
    if filetype:
        handler = _find(filetype)
        if handler is not None:
            return handler
        reason = f'the file type {filetype!r} is not known'
    else:
        handler = _by_suffix(path)
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


def _by_suffix(path: str) -> type[BaseFile] | None:
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
    return _class(path, filetype)(path)


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
    is_known = _by_suffix(os.fspath(path)) is not None
    if not args:
        return None if is_known else filetype
    # A table of astropy, or an array, may have `write` and is data all the same; who has `save` or
    # `load` wants to do it.
    is_data = is_known and (hasattr(args[0], '__array__') or isinstance(args[0], Mapping))
    methods = ('load', 'save') if is_data else ('load', 'read', 'save', 'write')
    own = callable(args[0]) or any(callable(getattr(args[0], name, None)) for name in methods)
    return GenericFile.name if own or (filetype and not is_known) else None
