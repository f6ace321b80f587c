"""Claims of a group's members: who wrote what, in files of their own.

Each process writes what it adds, and what its tasks return, into *claims* beside its segment. Only
its user can write to that file, and its owner is the author.
"""

from __future__ import annotations

import functools
import itertools
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from ..errors import UnsafeFileError
from ..store import files, folders, shared_files
from ..store.writing import disk_full, write_all
from .events import Group, Ref

if TYPE_CHECKING:
    from .claim_types import ClaimLine, CodeClaim, ResultsClaim, SharedClaim, TasksClaim

SUFFIX = '.claims'
_CHUNK = 1 << 24  # bytes read at once
_LINE_MAX = 1 << 26  # bytes
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def mid_of(spec: Mapping[str, Any]) -> str:
    """Return the identity of a task manager, from its specification."""
    return blake2b(orjson.dumps(spec, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


@functools.lru_cache(1024)
def digest_of(group: Group) -> str:
    """Return what stands for everything that a group says of its tasks."""
    return blake2b(orjson.dumps(list(group)), digest_size=16).hexdigest()


class Claim(NamedTuple):
    """A user's statement of how a task is to run."""

    uid: int
    group: str
    args: Ref
    requires: tuple[bytes, ...]


class _File:
    """A file of claims, as far as it was read."""

    def __init__(self, uid: int) -> None:
        self.uid = uid
        self.offset = 0
        self.checked = False
        self.is_of_queue = False


class Claims:
    """The claims of all members, read as far as they are written.

    Parameters
    ----------
    folder : str
        The queue's folder.
    identity : str
        That of the queue: claims of another one do not count.
    """

    def __init__(self, folder: str, identity: str) -> None:
        self.folder = folder
        self.identity = identity
        self.tasks: dict[bytes, list[Claim]] = {}
        self.codes: dict[str, dict[int, Ref]] = {}
        self.shared: dict[str, dict[int, Ref]] = {}
        self.results: dict[Ref, set[int]] = {}
        self.mids: dict[str, set[int]] = {}
        self._files: dict[tuple[str, int], _File] = {}

    def refresh(self) -> bool:
        """Read what is new; return True if there was anything."""
        changed = False
        try:
            names = folders.list_names(self.folder, 'segments')
        except (FileNotFoundError, UnsafeFileError):
            return False
        for name in names:
            if name.endswith(SUFFIX):
                changed |= self._read(name)
        return changed

    def _read(self, name: str) -> bool:
        try:
            fd = files.open_file(self.folder, f'segments/{name}')
        except OSError:  # removed meanwhile, a link, or not for us: nobody's claims
            return False
        try:
            status = os.fstat(fd)
            # Another name of the file elsewhere, or a second writer: its owner need not have
            # written it here.
            if (
                not stat.S_ISREG(status.st_mode)
                or status.st_nlink != 1
                or status.st_mode & _OTHERS_WRITE
            ):
                return False
            file = self._files.setdefault((name, status.st_ino), _File(status.st_uid))
            if file.uid != status.st_uid or status.st_size <= file.offset:
                return False
            return self._read_lines(fd, file)
        finally:
            os.close(fd)

    def _read_lines(self, fd: int, file: _File) -> bool:
        before, rest = file.offset, b''
        position = file.offset
        while data := os.pread(fd, _CHUNK, position):
            position += len(data)
            data = rest + data
            cut = data.rfind(b'\n') + 1
            for line in data[:cut].splitlines():
                self._take(line, file)
            file.offset += cut
            rest = data[cut:]
            if len(rest) > _LINE_MAX:
                break
        return file.offset > before

    def _take(self, line: bytes, file: _File) -> None:
        try:
            claim: ClaimLine = orjson.loads(line)
            if not file.checked:
                file.checked = True
                file.is_of_queue = claim['k'] == 'queue' and claim['id'] == self.identity
            elif file.is_of_queue:
                self._note(claim, file.uid)
        except _UNREADABLE:
            return  # what its author wrote by hand says nothing

    def _note(self, claim: ClaimLine, uid: int) -> None:
        if claim['k'] == 'code':
            self.codes.setdefault(claim['app'], {})[uid] = Ref(*claim['ref'])
        elif claim['k'] == 'shared':
            self.shared.setdefault(claim['id'], {})[uid] = Ref(*claim['ref'])
        elif claim['k'] == 'results':
            for ref in claim['refs']:
                self.results.setdefault(Ref(*ref), set()).add(uid)
        elif claim['k'] == 'tasks':
            self.mids.setdefault(claim['mid'], set()).add(uid)
            requires = {
                int(i): tuple(map(bytes.fromhex, tids)) for i, tids in claim['requires'].items()
            }
            for i, (tid, offset, length) in enumerate(
                zip(claim['ids'], claim['offsets'], claim['lengths'], strict=True)
            ):
                made = Claim(
                    uid, claim['group'], Ref(claim['segment'], offset, length), requires.get(i, ())
                )
                self.tasks.setdefault(bytes.fromhex(tid), []).append(made)


class ClaimsWriter:
    """Writes what this process claims.

    Parameters
    ----------
    folder : str
    identity : str
        As for :class:`Claims`.
    name : str
        A name that no other writer has.
    """

    def __init__(self, folder: str, identity: str, name: str) -> None:
        self.folder = folder
        self.identity = identity
        self.path = ''
        self._stem = name
        self._fd = -1
        self.pid = os.getpid()

    def write(self, claims: Iterable[ClaimLine], sync: bool) -> None:
        """Append claims; with ``sync`` they are on disk, and visible to other hosts."""
        data = b''.join(orjson.dumps(claim, default=list) + b'\n' for claim in claims)
        if not data:
            return
        try:
            if self._fd < 0:
                self._open()
                data = orjson.dumps({'k': 'queue', 'id': self.identity}) + b'\n' + data
            write_all(self._fd, data)
            if sync:
                os.fsync(self._fd)
        except OSError as exc:
            raise disk_full(exc, self.path) from exc

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        for turn in itertools.count():
            name = f'segments/{self._stem}{f".{turn:d}" if turn else ""}{SUFFIX}'
            self.path = os.path.join(self.folder, name)
            try:
                self._fd = files.open_file(self.folder, name, flags, 0o600)
            except FileExistsError:
                continue
            shared_files.share(self._fd, self.folder, own=True)
            return

    def close(self) -> None:
        """Close the file."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        if getattr(self, '_fd', -1) >= 0 and self.pid == os.getpid():
            self.close()


def task_claims(
    group: Group,
    ids: Sequence[bytes],
    written: tuple[str, Sequence[int], Sequence[int]],
    requires: Mapping[int, Sequence[bytes]],
) -> TasksClaim:
    """Return the claim of tasks of one group, whose arguments lie in one segment."""
    segment, offsets, lengths = written
    return {
        'k': 'tasks',
        'mid': group.mid,
        'group': digest_of(group),
        'ids': [tid.hex() for tid in ids],
        'segment': segment,
        'offsets': list(offsets),
        'lengths': list(lengths),
        'requires': {str(i): [tid.hex() for tid in needs] for i, needs in requires.items()},
    }


def code_claim(app: str, ref: Ref) -> CodeClaim:
    """Return the claim of the code of an app's version."""
    return {'k': 'code', 'app': app, 'ref': ref}


def shared_claim(digest: str, ref: Ref) -> SharedClaim:
    """Return the claim of arguments that many calls share."""
    return {'k': 'shared', 'id': digest, 'ref': ref}


def result_claim(refs: Sequence[Ref]) -> ResultsClaim:
    """Return the claim of results."""
    return {'k': 'results', 'refs': list(refs)}
