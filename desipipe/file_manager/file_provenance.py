"""Record what made a file, beside the files that tasks save, and read it again.

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
import re
import secrets
import shutil
import socket
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from .. import provenance
from ..errors import UnsafeFileError
from ..provenance import Content, Making
from ..store import files
from ..utils import copytree, format_bytes, username

FOLDER = '.desipipe'
_SHOWN = 20  # files that one was made of, for people
_CHUNK = 1 << 24  # bytes of notes that are read at once
_TEXT_MAX = 1 << 24  # bytes of a script, or of a list of versions
_REMEMBERED = 65536  # digests that a process remembers
_LINE: dict[str, Any] = {
    **dict.fromkeys(
        ('file', 'sha256', 'task', 'app', 'code', 'queue', 'versions', 'user', 'host'), str
    ),
    **dict.fromkeys(('size', 'mtime', 'attempt'), int),
    'time': float,
}
Source = tuple[str, Content]
"""A file that another one was made of, as it was then."""
_SHARED = (
    'task',
    'app',
    'code',
    'queue',
    'versions',
    'user',
    'host',
)  # which many lines have in common
_DEARER = 50  # times as long as a byte of a file a byte of notes takes
_digests: dict[str, tuple[tuple[int, ...], str]] = {}
_scripts: set[tuple[str, str]] = set()


# --------------------------------------------------------------------------------------------------
# Content


def content(path: str) -> Content | None:
    """Return a file's content: read once, and again when size, time or inode differ.

    Parameters
    ----------
    path : str

    Returns
    -------
    content : Content or None
        ``None`` if there is no such file.
    """
    for _ in range(3):
        try:
            with open(files.open_named(path), 'rb') as file:
                before = _signature(os.fstat(file.fileno()))
                cached = _digests.get(path)
                if cached is not None and cached[0] == before:
                    return Content(before[0], before[1], cached[1])
                digest = hashlib.file_digest(file, 'sha256').hexdigest()
                after = _signature(os.fstat(file.fileno()))
        except (FileNotFoundError, NotADirectoryError, UnsafeFileError):
            return None  # a pipe, for instance, would be waited for
        if before == after:
            break  # else someone writes to it meanwhile: once more
    if len(_digests) >= _REMEMBERED:
        _digests.clear()
    _digests[path] = (after, digest)
    return Content(after[0], after[1], digest)


def _signature(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev


def unchanged(path: str, old: Content) -> bool | None:
    """Return True if a file has its old content; read it if its time differs.

    Parameters
    ----------
    path : str
    old : Content

    Returns
    -------
    unchanged : bool or None
        ``None`` if there is no such file, or it may not be looked at.
    """
    try:
        status = os.stat(path)
        if status.st_size != old.size:
            return False
        if status.st_mtime_ns == old.mtime:
            return True
        now = content(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    return None if now is None else now.sha256 == old.sha256


def quick_content(path: str) -> Content | None:
    """Return a file's content like :func:`content`, without reading large old ones.

    Of a large file that a task saved, with the size and time it had then, the digest is that of
    then.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    folder, name = os.path.split(path)
    notes = _notes(folder)
    if status.st_size > _DEARER * notes.unread():
        for line in reversed(notes.lines().get(name, ())):
            if line['size'] == status.st_size and line['mtime'] == status.st_mtime_ns:
                return _content_of(line)
    return content(path)


# --------------------------------------------------------------------------------------------------
# Writing down


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
        files.make_folder(
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
    name = f'{_word(line["host"])}-{_word(line["user"])}.jsonl'
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
    versions = provenance.snapshot(making.folder, making.environ)
    text = ''.join(f'{name}={value}\n' for name, value in versions.items()).encode(
        errors='backslashreplace'
    )
    digest = hashlib.sha256(text).hexdigest()[:16]
    if (folder, making.app + digest) not in _scripts:
        app = _word(making.name)
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
            if not _is_file(folder, name):
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
        files.make_folder(folder, FOLDER, 0o775)
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
        link = files.read_link(folder, f'{FOLDER}/{_word(making.name)}.versions')
    except OSError:
        return ''
    return link.removeprefix('versions-').removesuffix('.txt')


def _is_file(folder: str, name: str) -> bool:
    try:
        return stat.S_ISREG(files.status(folder, f'{FOLDER}/{name}').st_mode)
    except OSError:
        return False


def _word(text: str) -> str:
    return re.sub(r'[^A-Za-z0-9_.-]', '_', text)[:100].lstrip('.-') or '_'


# --------------------------------------------------------------------------------------------------
# Reading


def _content_of(line: dict[str, Any]) -> Content:
    return Content(line['size'], line['mtime'], line['sha256'])


class Look:
    """A pass over the origins of files, which looks at no file twice."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, list[dict[str, Any]]]] = {}
        self._same: dict[Source, bool | None] = {}
        self._above: dict[Source, list[Source]] = {}
        self._clean: set[Source] = set()

    def records(self, path: str) -> list[dict[str, Any]]:
        """Return the notes about a file, oldest first.

        Each has all that its task had read until then as ``read``.
        """
        folder, name = os.path.split(path)
        notes = self._folders.get(folder)
        if notes is None:
            notes = self._folders[folder] = _notes(folder).lines()
        return notes.get(name, [])

    def same(self, path: str, old: Content) -> bool | None:
        """See :func:`unchanged`."""
        if (path, old) not in self._same:
            self._same[path, old] = unchanged(path, old)
        return self._same[path, old]

    def made_of(self, path: str, old: Content) -> list[Source]:
        """Return what a file was made from when it had this content."""
        line, same = _fitting(path, self.records(path))
        if line is None or not same or line['sha256'] != old.sha256:
            line = _last([line for line in self.records(path) if line['sha256'] == old.sha256])
        return [] if line is None else _inputs(line)

    def above(self, source: Source) -> list[Source]:
        """Return the result of :meth:`made_of`, looked up once."""
        if source not in self._above:
            self._above[source] = self.made_of(*source)
        return self._above[source]

    def changed(self, path: str, inputs: Iterable[Source]) -> list[str]:
        """Return the files whose content changed after a file was made of them.

        Inputs of inputs count, too.

        A file that was made of an earlier content of itself, by way of others (weights made of a
        catalogue, then put into it), is not out of date by that.
        """
        start = [source for source in inputs if source[0] != path]
        seen = dict.fromkeys(start)
        names: dict[str, int] = {path: 1}
        sources = []
        todo = list(seen)
        for source in todo:  # which grows meanwhile
            if source in self._clean:
                continue
            names[source[0]] = names.get(source[0], 0) + 1
            if self.same(*source) is False:
                sources.append(source)
                continue
            more = [other for other in self.above(source) if other not in seen]
            seen.update(dict.fromkeys(more))
            todo += more
        if not sources:
            self._clean.update(seen)
        return list(
            dict.fromkeys(
                source[0]
                for source in sources
                if source[0] != path and (names[source[0]] == 1 or self._reaches(start, source))
            )
        )

    def _reaches(self, start: Iterable[Source], last: Source) -> bool:
        # Whether by way of other files only.
        seen = dict.fromkeys(start)
        todo = list(seen)
        for source in todo:
            if source == last:
                return True
            if source[0] != last[0] and self.same(*source) is not False:
                more = [other for other in self.above(source) if other not in seen]
                seen.update(dict.fromkeys(more))
                todo += more
        return False


class _List:
    """One list of lines, as far as it was read."""

    def __init__(self, inode: int) -> None:
        self.inode = inode
        self.offset = 0
        # By task and attempt, what was read; dictionaries that grow: a line sees them as they were
        # then by counting.
        self._read: dict[tuple[str, int], dict[str, Content]] = {}

    def more(self, path: str) -> Iterator[dict[str, Any]]:
        """Lines that came since."""
        folder, name = os.path.split(path)
        try:
            fd = files.open_file(os.path.dirname(folder), f'{FOLDER}/{name}')
        except (FileNotFoundError, PermissionError, UnsafeFileError):
            return  # of someone who keeps it to himself: as if it were not there
        try:
            while texts := self._next(fd):
                yield from self._parsed(texts)
        finally:
            os.close(fd)

    def _next(self, fd: int) -> list[bytes]:
        """Return the next lines; none at the end, and where no line ends for long."""
        data = files.read_range(fd, self.offset, self.offset + _CHUNK)
        data = data[: data.rfind(b'\n') + 1]
        self.offset += len(data)
        return data.split(b'\n') if data else []

    def _parsed(self, texts: list[bytes]) -> Iterator[dict[str, Any]]:
        for text in filter(None, texts):
            try:
                line = orjson.loads(text)
                read = self._read.setdefault((line['task'], line['attempt']), {})
                read.update(
                    {
                        str(name): Content(int(size), int(mtime), str(digest))
                        for name, size, mtime, digest in line['in']
                    }
                )
                line['read'], line['count'] = read, len(read)
                if not all(isinstance(line[name], kind) for name, kind in _LINE.items()):
                    continue
            except (ValueError, KeyError, TypeError):
                continue  # one that was cut, or that someone else wrote
            for name in _SHARED:
                line[name] = sys.intern(line[name])
            del line['in']
            yield line


class _Notes:
    """The notes in one folder. Lists only grow: a process reads each line once."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lists: dict[str, _List] = {}
        self._found: dict[str, list[dict[str, Any]]] = {}

    def _sizes(self) -> dict[str, os.stat_result]:
        try:
            sizes = {
                name: status
                for name, status in files.list_files(self._folder, FOLDER)
                if name.endswith('.jsonl')
            }
        except (FileNotFoundError, NotADirectoryError, PermissionError, UnsafeFileError):
            return {}
        return {
            name: status for name, status in sorted(sizes.items()) if stat.S_ISREG(status.st_mode)
        }

    def unread(self) -> int:
        """Bytes that :meth:`lines` would read."""
        return sum(
            size.st_size - (self._lists[name].offset if name in self._lists else 0)
            for name, size in self._sizes().items()
        )

    def lines(self) -> dict[str, list[dict[str, Any]]]:
        """By the names of files, oldest first."""
        sizes = self._sizes()
        for name, each in self._lists.items():
            if (
                name not in sizes
                or sizes[name].st_ino != each.inode
                or sizes[name].st_size < each.offset
            ):
                self._lists, self._found = (
                    {},
                    {},
                )  # someone removed it, or put another one in its place
                break
        for name, size in sizes.items():
            each = self._lists.setdefault(name, _List(size.st_ino))
            if size.st_size == each.offset:
                continue
            for line in each.more(os.path.join(self._folder, FOLDER, name)):
                lines = self._found.setdefault(line['file'], [])
                lines.append(line)
                if len(lines) > 1 and lines[-2]['time'] > line['time']:
                    lines.sort(key=lambda line: line['time'])
        return self._found


_folders: dict[str, _Notes] = {}


def _notes(folder: str) -> _Notes:
    notes = _folders.get(folder)
    if notes is None:
        while len(_folders) >= 64:
            _folders.pop(next(iter(_folders)))
        notes = _folders[folder] = _Notes(folder)
    return notes


@dataclass(frozen=True)
class Input:
    """A file that another one was made of."""

    path: str
    content: Content
    """Its content at that time."""
    same: bool | None
    """True if it still has that content; None if it is gone."""
    stale: bool = False
    """True if a file that it was made of, directly or not, has another content now."""


@dataclass(frozen=True)
class Provenance:
    """Origin of a file: what made it, from what and with what, and if it still holds."""

    path: str
    state: str
    """``'missing'``, ``'stale'`` (a file it was made of, or one further up, holds something else
    now), ``'current'``.
    """
    same: bool | None = None
    """True if it holds what the task wrote; None if it is missing, or its origin is unknown."""
    task: str = ''
    """Identity of the task; empty if nothing is known."""
    attempt: int = 0
    app: str = ''
    """Name of the app."""
    queue: str = ''
    """Folder of the queue."""
    time: float = 0.0
    """Time at which it was saved, seconds since the epoch."""
    user: str = ''
    host: str = ''
    content: Content | None = None
    """Content that the task wrote."""
    code: str = ''
    """Identity of the app version."""
    script: str = ''
    """Name under which the app's source is kept."""
    versions: dict[str, str] = field(default_factory=dict)
    """See :func:`desipipe.provenance.snapshot`."""
    inputs: tuple[Input, ...] = ()
    changed: tuple[str, ...] = ()
    """Files, however far up, that hold something else now than when it, or what it was made of,
    was made of them.
    """

    @property
    def source(self) -> str:
        """The app's source; empty if it is not kept (any more)."""
        folder, name = os.path.split(self.script)
        try:
            return files.read_file(os.path.dirname(folder), f'{FOLDER}/{name}', _TEXT_MAX).decode(
                errors='replace'
            )
        except OSError:
            return ''

    def to_dict(self) -> dict[str, Any]:
        """All of it, as plain data."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain['content'] = self.content._asdict() if self.content else None
        plain['inputs'] = [
            {'path': item.path, **item.content._asdict(), 'same': item.same, 'stale': item.stale}
            for item in self.inputs
        ]
        return plain

    def __repr__(self) -> str:
        lines = [self.path]
        if not self.task:
            lines.append(
                'is missing, and no task is known to have made it'
                if self.state == 'missing'
                else 'is there; no task is known to have made it'
            )
            return '\n  '.join(lines)
        text = {
            'missing': 'missing: it was made, and is gone',
            'stale': (
                f'stale: {", ".join(self.changed[:3])}{" and others" * (len(self.changed) > 3)}, '
                'which it was made of, directly or not, changed since'
            ),
            'current': 'current: as the task wrote it, and so is all it was made of',
        }[self.state]
        if self.same is False:
            text = 'changed: something else than the task wrote is in it now'
        elif self.state == 'current' and any(item.same is None for item in self.inputs):
            text = 'current: as the task wrote it; not all it was made of is still there'
        lines.append(text)
        when = time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(self.time))
        lines.append(
            f'made by {self.app}, task {self.task[:12]}, attempt {self.attempt:d}, on {self.host} '
            f'by {self.user}, {when}'
        )
        if self.content:
            lines.append(f'{format_bytes(self.content.size)}, sha256 {self.content.sha256}')
        inputs = sorted(self.inputs, key=lambda item: not _mark(item))  # those to know of first
        lines += [f'of {item.path}{_mark(item)}' for item in inputs[:_SHOWN]]
        lines += [f'… and of {len(inputs) - _SHOWN:,d} more files'] if len(inputs) > _SHOWN else []
        lines.append(f'code {self.script or self.code}')
        if self.versions:
            lines.append(
                'with '
                + ', '.join(
                    f'{name} {value}'
                    for name, value in self.versions.items()
                    if '\n' not in value and len(value) < 80
                )
            )
        lines.append(f'queue {self.queue}')
        return '\n  '.join(lines)


def _mark(item: Input) -> str:
    parts = (
        ['changed'] * (item.same is False) + ['gone'] * (item.same is None) + ['stale'] * item.stale
    )
    return f' ({", ".join(parts)})' if parts else ''


def provenance_of(path: str | os.PathLike[str]) -> Provenance:
    """Return the origin of a file, as far as it is noted beside it.

    Parameters
    ----------
    path : str, PathLike

    Returns
    -------
    provenance : Provenance
    """
    path = os.path.realpath(path)
    exists = os.path.exists(path)
    look = Look()
    line, same = _fitting(path, look.records(path))
    if line is None:
        return Provenance(path, 'current' if exists else 'missing')
    sources = _inputs(line)
    inputs = tuple(
        Input(
            name,
            old,
            now := look.same(name, old),
            now is not False and bool(look.changed(name, look.above((name, old)))),
        )
        for name, old in sources
    )
    changed = tuple(look.changed(path, sources))
    folder = os.path.dirname(path)
    script = f'{_word(line["app"])}-{_word(line["code"][:16])}.py'
    return Provenance(
        path,
        'missing' if not exists else 'stale' if same and changed else 'current',
        same,
        line['task'],
        line['attempt'],
        line['app'],
        line['queue'],
        line['time'],
        line['user'],
        line['host'],
        _content_of(line),
        line['code'],
        os.path.join(folder, FOLDER, script) if _is_file(folder, script) else '',
        _read_versions(folder, f'versions-{_word(line["versions"])}.txt'),
        inputs,
        changed,
    )


def state_of(path: str, look: Look | None = None) -> str:
    """``'missing'``, ``'stale'`` or ``'current'``, see :class:`Provenance`."""
    path = os.path.realpath(path)
    if not os.path.exists(path):
        return 'missing'
    look = look or Look()
    line, same = _fitting(path, look.records(path))
    return 'stale' if line is not None and same and look.changed(path, _inputs(line)) else 'current'


def content_for(path: str, app: str) -> str:
    """Return the digest of a file for the tasks of an app, '' for what these wrote.

    What an app writes is an argument of its tasks as much as what it reads. If it counted, a task
    would be another one as soon as it has run.
    """
    path = os.path.realpath(path)
    line, same = _fitting(path, Look().records(path))
    if line is not None and same:
        return '' if line['app'] == app else str(line['sha256'])
    now = content(path)
    return '' if now is None else now.sha256


def _inputs(line: dict[str, Any]) -> list[Source]:
    return [
        (name, old)
        for number, (name, old) in enumerate(line['read'].items())
        if number < line['count']
    ]


def _fitting(path: str, lines: list[dict[str, Any]]) -> tuple[dict[str, Any] | None, bool | None]:
    """Return the record of a file's present content, or the newest with False.

    The second value is None where the file is missing.
    """
    if not lines:
        return None, None
    # By content, not by time: clocks of several hosts are no order.
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return lines[-1], None
    line = _last(
        [
            line
            for line in lines
            if (line['size'], line['mtime']) == (status.st_size, status.st_mtime_ns)
        ]
    )
    if line is not None:
        return line, True
    fitting = [line for line in lines if line['size'] == status.st_size]
    now = None
    with suppress(PermissionError):  # it may not be read: it is not known to be so
        now = content(path) if fitting else None
    line = _last([line for line in fitting if now and line['sha256'] == now.sha256])
    return (line, True) if line is not None else (lines[-1], False)


def _last(lines: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the newest line, and of several of one attempt that with most inputs.

    See :func:`note_joint`; the hosts' clocks don't matter.
    """
    if not lines:
        return None
    newest = (lines[-1]['task'], lines[-1]['attempt'])
    return max(
        (line for line in lines if (line['task'], line['attempt']) == newest),
        key=lambda line: int(line['count']),
    )


def _read_versions(folder: str, name: str) -> dict[str, str]:
    try:
        text = files.read_file(folder, f'{FOLDER}/{name}', _TEXT_MAX).decode(errors='replace')
    except OSError:
        return {}
    return dict(line.split('=', 1) for line in text.split('\n') if '=' in line)
