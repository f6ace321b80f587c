"""Read and write crates: folders and zip files, of bounded size."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, BinaryIO

from ..errors import RecordError, UnsafeFileError
from ..store.files import open_named
from ..utils import format_bytes
from .digests import DIGESTS, METADATA, NO_DIGEST, RECORD
from .notebook_files import RECORD_BYTES_MAX, open_record

MEMBERS = 20_000
"""Files of a crate that are read at most."""
RATIO = 500
"""Upper bound of the bytes of a zip's content, over those of the zip."""
KEPT_RATIO = 32
"""Upper bound of the bytes kept in memory of a zip, over those of the zip."""
KEPT_FREE = 64 << 20
"""Bytes that may be kept of any."""
_KEPT = (RECORD, METADATA, DIGESTS)
_CHUNK = 1 << 20


# Records


@dataclass(frozen=True)
class Stored:
    """A file of a crate."""

    size: int
    sha256: str
    data: bytes = b''
    """Its bytes, of the few files that are read and not only compared."""

    @classmethod
    def of(cls, data: bytes) -> Stored:
        """Describe a file that is in memory."""
        return cls(len(data), hashlib.sha256(data).hexdigest(), data)


def is_zip(path: str) -> bool:
    """Return True if a file begins as a zip file does."""
    try:
        with open(open_named(path), 'rb') as file:
            return file.read(4) in (b'PK\x03\x04', b'PK\x05\x06')
    except OSError:
        return False


def _stored(file: IO[bytes], name: str, most: int) -> Stored:
    """Read a file of a crate, ``most`` bytes and one more.

    Only of few files are the bytes kept.
    """
    digest = hashlib.sha256()
    size = 0
    kept: list[bytes] = []
    while size <= most and (data := file.read(min(_CHUNK, most + 1 - size))):
        size += len(data)
        digest.update(data)
        if name in _KEPT:
            kept.append(data)
    return Stored(size, digest.hexdigest(), b''.join(kept))


def read_folder(path: str) -> tuple[dict[str, Stored], list[str]]:
    """Read the members of a crate in a folder, and what is wrong with them."""
    files: dict[str, Stored] = {}
    total = 0
    for name, full in _walk(path):
        size = os.lstat(full).st_size
        total += size
        if total > RECORD_BYTES_MAX or len(files) > MEMBERS:
            raise RecordError(
                f'{path} holds more than {format_bytes(RECORD_BYTES_MAX)}, or more than '
                f'{MEMBERS:d} files: it was not read'
            )
        try:
            with open(open_named(full, follow=False), 'rb') as file:
                files[name] = _stored(file, name, size)
        except UnsafeFileError as exc:
            raise RecordError(f'{exc} Nothing of {path} was read.') from None
    return files, []


def _walk(path: str) -> Iterator[tuple[str, str]]:
    for where, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(
            [*names, *(folder for folder in folders if os.path.islink(os.path.join(where, folder)))]
        ):
            full = os.path.join(where, name)
            inside = os.path.relpath(full, path)
            if not stat.S_ISREG(os.lstat(full).st_mode):
                raise RecordError(
                    f'{path} holds {inside!r}, which is a link, or no file: it may lead out of the '
                    'crate, nothing was read'
                )
            yield inside, full


def read_zip(path: str) -> tuple[dict[str, Stored], list[str]]:
    """Read the members of a crate in a zip file, and what is wrong with them."""
    with open_record(path) as file:
        return read_archive(path, file, os.fstat(file.fileno()).st_size)


def read_archive(path: str, packed: BinaryIO, length: int) -> tuple[dict[str, Stored], list[str]]:
    """Read the members of an open zip file, in bounded memory."""
    try:
        with zipfile.ZipFile(packed) as archive:
            files, problems = _read_members(path, archive, length)
            problems += _zip_problems(archive.comment, packed, length)
    except RecordError:
        raise
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
        ValueError,
    ) as exc:
        raise RecordError(f'{path} is no zip archive, or damaged: {exc}') from None
    except Exception as exc:  # zlib.error and its like are of C modules
        raise RecordError(f'{path} is damaged: {exc}') from None
    return files, problems


def _read_members(
    path: str, archive: zipfile.ZipFile, length: int
) -> tuple[dict[str, Stored], list[str]]:
    """Read the members of a zip file of so many bytes, and what is wrong with them."""
    files: dict[str, Stored] = {}
    problems: list[str] = []
    members = archive.infolist()
    total = sum(member.file_size for member in members)
    if len(members) > MEMBERS or total > RECORD_BYTES_MAX or total > RATIO * max(length, 1000):
        raise RecordError(
            f'{path} ({format_bytes(length)}) says it holds {format_bytes(total)} in '
            f'{len(members):d} files: more than can be right; it was not unpacked'
        )
    for member in members:
        check_member_name(path, member)
        if member.is_dir():
            continue
        if member.filename in files:
            problems.append(f'it holds {member.filename!r} twice')
        files[member.filename] = _read_member(path, archive, member, length)
    return files, problems


def _read_member(
    path: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo, length: int
) -> Stored:
    name = member.filename
    if name in _KEPT and member.file_size > max(KEPT_FREE, KEPT_RATIO * length):
        raise RecordError(
            f'{path} ({format_bytes(length)}) holds {name!r} of '
            f'{format_bytes(member.file_size)}: it was not unpacked'
        )
    with archive.open(member) as file:
        # The size that is said may be a lie: never more than that.
        stored = _stored(file, name, member.file_size)
    if stored.size != member.file_size:
        raise RecordError(f'{path}: {name!r} is not of the size that is said; it was not read')
    return stored


def check_member_name(path: str, member: zipfile.ZipInfo) -> None:
    """Refuse members that lead out of the crate."""
    name = member.filename
    parts = name.rstrip('/').split('/')
    if (
        name.startswith(('/', '\\'))
        or '\\' in name
        or ':' in parts[0]
        or any(part in ('', '.', '..') for part in parts)
    ):
        raise RecordError(
            f'{path} holds {name!r}, which leads out of the crate: nothing of it was read'
        )
    if stat.S_ISLNK(member.external_attr >> 16):
        raise RecordError(
            f'{path} holds the link {name!r}, which may lead out of the crate: nothing of it was '
            'read'
        )


# Crates as zip archives: the comment at the end is the digest of all before it.


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    """Return a zip archive, the same bytes for the same files."""
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(name)  # of 1980, for nobody can know more
            member.external_attr = 0o644 << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, files[name])
        archive.comment = b'sha256:' + NO_DIGEST
    data = buffer.getvalue()
    body = data[: -len(NO_DIGEST)]
    return body + hashlib.sha256(body).hexdigest().encode()


def _zip_problems(comment: bytes, packed: BinaryIO, length: int) -> list[str]:
    if len(comment) != 71 or not comment.startswith(b'sha256:'):
        return ['its archive has no digest: another program packed it']
    packed.seek(0)
    digest, left = hashlib.sha256(), length - len(NO_DIGEST)
    while left > 0 and (data := packed.read(min(_CHUNK, left))):
        digest.update(data)
        left -= len(data)
    if digest.hexdigest().encode() != comment[7:]:
        return ['the bytes of its archive were changed since it was written']
    return []
