"""Write files whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from .permissions import adopt, make_folders
from .temporaries import remove_leftovers, temporary_beside

Path = str | os.PathLike[str]


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
            adopt(file.fileno(), path)
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
    remove_leftovers(os.path.dirname(path))


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
                    adopt(fd, os.path.join(folder, other))
                os.fsync(fd)
        for other in written:
            os.replace(os.path.join(temporary, other), os.path.join(folder, other))
        os.rmdir(temporary)
        _sync_folder(folder)
    remove_leftovers(folder)


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
