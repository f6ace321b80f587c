"""Note beside the files that tasks save what made them.

``.desipipe/`` beside the files holds ``<host>-<user>.jsonl``, a line for each file that was saved,
and ``<app>.py`` and ``<app>.versions``, the script and the versions, as links to what is named by
its digest: as many files as hosts, versions of apps and sets of packages, however many files were
saved. Lines are appended by one host only, whose processes exclude each other: no network
filesystem is trusted with appends from several.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import socket
import sys
import time
from contextlib import suppress
from typing import Any

import orjson

from .. import provenance
from ..provenance import Content, Making, software
from ..store import files, folders
from ..utils import copytree, username
from .file_content import content
from .note_folder import FOLDER, is_file, word
from .note_lists import quick_content

_scripts: set[tuple[str, str]] = set()


def note_read(path: str, actual: str) -> None:
    """Note that the task that runs here, if one does, loaded a file.

    Parameters
    ----------
    path : str
        Its name.
    actual : str
        Path that was read: the same, or a mirror of it.
    """
    making = provenance.making
    if making is None:
        return
    path = os.path.realpath(path)
    if not _can_be_told(path):
        return
    # Later versions of what the task itself wrote are not what it was made of.
    if path not in making.written:
        read = (
            quick_content(path)
            if actual == path or os.path.realpath(actual) == path
            else content(actual)
        )
        if read is not None:
            making.read[path] = read


def note_written(path: str) -> None:
    """Note, here and beside the file, that the task running here, if any, saved it."""
    making = provenance.making
    if making is None:
        return
    path = os.path.realpath(path)
    if not _can_be_told(path):
        return
    written = content(path)
    if written is None:
        return  # someone removed it
    making.written[path], making.before[path] = written, len(making.read)
    folder = os.path.dirname(path)
    try:
        folders.make_folder(
            folder, FOLDER, 0o775
        )  # as the user's mask says, and never for all to write
        _append(folder, making, path, written, _write_script(folder, making))
        _save_attrs(folder, making)
    except OSError as exc:
        # The file is saved, and the journal will say who made it. To fail the task now would lose
        # more than what is lost. On the task's own stderr, which is kept with it.
        print(
            f'desipipe: {path}: it is not noted beside it who made it ({exc}); the queue '
            f'{making.queue} knows',
            file=sys.stderr,
        )


def note_joint(making: Making) -> None:
    """Note beside the files of a task's processes all that any of the processes read.

    Each process has noted what it read itself.
    """
    for path, written in making.written.items():
        folder = os.path.dirname(path)
        with suppress(OSError):  # each of them has said so
            _append(folder, making, path, written, _newest_versions(folder, making))


def _can_be_told(path: str) -> bool:
    # Linux takes any bytes for a name, JSON takes text.
    try:
        path.encode()
    except UnicodeEncodeError:
        print(
            f'desipipe: {path!a}: it is not noted that this task has read or written it, for its '
            'name is not UTF-8',
            file=sys.stderr,
        )
        return False
    return True


def _append(folder: str, making: Making, file: str, written: Content, versions: str) -> None:
    line: dict[str, Any] = {
        'file': os.path.basename(file),
        **written._asdict(),
        'time': time.time(),
        'task': making.tid,
        'attempt': making.attempt,
        'app': making.name,
        'code': making.app,
        'queue': making.queue,
        'versions': versions,
        'user': username(),
        'host': socket.gethostname(),
    }
    read = {name: list(about) for name, about in dict(making.read).items() if name != file}
    name = f'{word(line["host"])}-{word(line["user"])}.jsonl'
    path = os.path.join(folder, FOLDER, name)
    fd = files.open_file(folder, f'{FOLDER}/{name}', os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o664)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        # What a task has read is said once in a file, by the first line after it: a thousand files
        # made of a thousand need two thousand lines' space.
        noted = _told.setdefault((path, line['task'], line['attempt']), set())
        line['in'] = [[name, *about] for name, about in read.items() if name not in noted]
        # A line that was cut by a crash or a full disk ends here, and is passed over by readers.
        data = b'\n' + orjson.dumps(line) + b'\n'
        if os.write(fd, data) < len(data):
            raise OSError(28, 'No space left on device', path)
        noted.update(read)
    finally:
        os.close(fd)  # and with it the lock
    while len(_told) > 16:
        _told.pop(next(iter(_told)))


_told: dict[tuple[str, str, int], set[str]] = {}


def _write_script(folder: str, making: Making) -> str:
    """Write script and versions of an app if missing; return the versions' digest."""
    versions = software.snapshot(making.folder, making.environ)
    text = ''.join(f'{name}={value}\n' for name, value in versions.items()).encode(
        errors='backslashreplace'
    )
    digest = hashlib.sha256(text).hexdigest()[:16]
    if (folder, making.app + digest) not in _scripts:
        app = word(making.name)
        for name, link, data, attr in (
            (
                f'{app}-{making.app[:16]}.py',
                f'{app}.py',
                making.source().encode(errors='backslashreplace'),
                'code',
            ),
            (f'versions-{digest}.txt', f'{app}.versions', text, 'versions'),
        ):
            temporary = f'{FOLDER}/{secrets.token_hex(8)}.tmp'
            if not is_file(folder, name):
                fd = files.open_file(folder, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o664)
                with open(fd, 'wb') as file:
                    file.write(data)
                files.replace_file(folder, temporary, f'{FOLDER}/{name}')
            if attr not in making.saved.attrs:
                continue
            with suppress(OSError):  # not all filesystems have links; what they point to is there
                files.make_link(folder, name, temporary)
                files.replace_file(folder, temporary, f'{FOLDER}/{link}')
        _scripts.add((folder, making.app + digest))
    return digest


def _save_attrs(folder: str, making: Making) -> None:
    """Save what ``save_attrs`` and ``save_dir`` ask for, once per process and version."""
    attrs, target_dir, cwd = making.saved
    if target_dir:
        folder = os.path.abspath(target_dir)
        os.makedirs(folder, exist_ok=True)
        folders.make_folder(folder, FOLDER, 0o775)
        _write_script(folder, making)
    if 'cwd' not in attrs or (folder, making.app, cwd) in _copied:
        return
    target = os.path.join(folder, FOLDER)
    passed = {os.path.realpath(target), os.path.realpath(target_dir)}

    def ignore(parent: str, names: list[str]) -> list[str]:
        # Queues, and what is saved beside other files, are no part of the script.
        return [
            name
            for name in names
            if name == FOLDER
            or name.endswith('.queue')
            or os.path.realpath(os.path.join(parent, name)) in passed
        ]

    copytree(
        cwd,
        target,
        ignore=ignore,
        copy_function=_copy_file,
        dirs_exist_ok=True,
        dirs_copystat=False,
    )
    _copied.add((folder, making.app, cwd))


def _copy_file(source: str, target: str) -> None:
    # Never through a link that somebody has put where the copy goes.
    with (
        open(files.open_named(source), 'rb') as old,
        open(target, 'wb', opener=_open_target) as new,
    ):
        shutil.copyfileobj(old, new)


def _open_target(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o664)


_copied: set[tuple[str, str, str]] = set()


def _newest_versions(folder: str, making: Making) -> str:
    try:
        link = files.read_link(folder, f'{FOLDER}/{word(making.name)}.versions')
    except OSError:
        return ''
    return link.removeprefix('versions-').removesuffix('.txt')
