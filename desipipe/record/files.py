"""Records as bytes: how they are written, what their digests cover, and how one that came from
somewhere is read without trusting it.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, BinaryIO

import orjson

from ..errors import RecordError, UnknownTaskError, UnsafeFileError
from ..io import atomic_write
from ..store.files import open_named
from ..utils import format_bytes
from ..view.rows import parse_rows
from .model import VERSION, QueueModel

Dict = dict[str, Any]

KEY = 'desipipe_record'
"""Where a notebook's metadata hold the record."""
ADDED = 'desipipe-record'
"""Tag of the cells that a record adds."""
RECORD = 'pipeline.record.ipynb'
METADATA = 'ro-crate-metadata.json'
DIGESTS = 'desipipe-digests.json'
"""What a crate's files are called."""

MOST = 4 << 30
"""Bytes of a record, or of a crate with all that is in it, that are read at most."""
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
_PARSED_FREE = 256 << 20  # bytes of memory that any JSON may take
_PARSED_RATIO = 16  # bytes of memory that JSON may take, over its own
_PACKED_RATIO = 64  # the same over those of the archive that it is in
_PARSED_BYTES = {b'[': 64, b'{': 240, b'"': 30, b',': 16}  # memory for what these begin

_DIGEST = re.compile(rb'"file_digest": "sha256:([0-9a-f]{64})"')
_NONE = b'0' * 64
_VIEW = ('id', 'cell_type', 'source', 'outputs', 'execution_count', 'attachments')


# Notebooks


def content_digest(notebook: Mapping[str, Any]) -> str:
    """Digest of what a record says: all cells, and the record itself; not of how the file is laid
    out, nor of what is folded or trusted in someone's view.

    Parameters
    ----------
    notebook : dict

    Returns
    -------
    digest : str
        ``'sha256:…'``.
    """
    cells = []
    for cell in notebook['cells']:
        metadata = cell.get('metadata', {})
        cells.append(
            {
                **{key: cell[key] for key in _VIEW if key in cell},
                'metadata': {key: metadata[key] for key in ('tags', KEY) if key in metadata},
            }
        )
    known = notebook['metadata'][KEY]
    covered = {
        'cells': cells,
        KEY: {
            key: value
            for key, value in known.items()
            if key not in ('content_digest', 'file_digest')
        },
    }
    return (
        'sha256:' + hashlib.sha256(orjson.dumps(covered, option=orjson.OPT_SORT_KEYS)).hexdigest()
    )


def part_digests(notebook: Mapping[str, Any]) -> dict[str, str]:
    """Digests of the parts of a record, by what each is called: what was changed can be named.

    Parameters
    ----------
    notebook : dict

    Returns
    -------
    digests : dict
        Of the cells of the notebook (text, outputs, attachments), of the tables, and of all members
        of the record.
    """
    parts: dict[str, Any] = {}
    number = tables = 0
    for cell in notebook['cells']:
        if ADDED in (cell.get('metadata', {}).get('tags') or ()):
            tables += 1
            parts[f'table {tables:d}'] = [
                cell.get(key) for key in ('id', 'cell_type', 'source', 'outputs', 'attachments')
            ]
            continue
        number += 1
        names = {
            'source': 'the text',
            'outputs': 'the outputs',
            'attachments': 'the attachments',
            'cell_type': 'the type',
            'id': 'the id',
        }
        parts.update(
            {
                f'{words} of cell {number:d}': cell[key]
                for key, words in names.items()
                if key in cell
            }
        )
        parts[f'the execution count and tags of cell {number:d}'] = [
            cell.get('execution_count'),
            cell.get('metadata', {}).get('tags'),
        ]
        parts[f'the metadata of cell {number:d}'] = cell.get('metadata')
    parts.update(
        {
            f'{key!r} of the metadata': value
            for key, value in notebook['metadata'].items()
            if key != KEY
        }
    )
    document = notebook['metadata'][KEY]
    own = ('content_digest', 'file_digest', 'parts', 'queues')
    parts.update(
        {f'{key!r} of the record': value for key, value in document.items() if key not in own}
    )
    for queue in document['queues']:
        for key, value in queue.items():
            # Tasks are named by their own check sums, too.
            entries = value if isinstance(value, list) and key != 'tasks' else [value]
            for place, entry in enumerate(entries):
                label = f' {place:d}' if entries is value else ''
                parts[f'{key!r}{label} of the queue {queue.get("name")}'] = entry
            if entries is value:
                parts[f'the number of {key!r} of the queue {queue.get("name")}'] = len(entries)
    return {
        label: hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
        for label, value in parts.items()
    }


def file_digest(data: bytes) -> tuple[str, str]:
    """The digest that a record's file has, and the one that it says it has; each is empty if it
    says none, or several.
    """
    found = list(_DIGEST.finditer(data))
    if len(found) != 1:
        return '', ''
    start, end = found[0].span(1)
    digest = hashlib.sha256(data[:start])
    digest.update(_NONE)
    digest.update(data[end:])
    return digest.hexdigest(), found[0][1].decode()


def notebook_bytes(notebook: Dict) -> bytes:
    """A record as a file, digests filled in: always the same bytes for the same content."""
    known = notebook['metadata'][KEY]
    known['parts'] = part_digests(notebook)
    known['content_digest'] = content_digest(notebook)
    known['file_digest'] = 'sha256:' + _NONE.decode()
    data = plain_bytes(notebook)
    digest, _ = file_digest(data)
    return data.replace(
        b'"file_digest": "sha256:' + _NONE, b'"file_digest": "sha256:' + digest.encode(), 1
    )


def plain_bytes(value: Any) -> bytes:
    """A JSON document as this package writes it."""
    return orjson.dumps(
        value, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    )


def write(path: str, data: bytes) -> None:
    """Write a file, whole or not at all."""
    with atomic_write(path) as file:
        file.write(data)


def spare(path: str, key: str) -> None:
    """Complain if what would be written over was not written by the same command: it may be
    someone's only copy.

    Parameters
    ----------
    path : str
    key : str
        What the metadata of a notebook have that was written by it.

    Raises
    ------
    RecordError
    """
    if not os.path.lexists(path):
        return
    try:
        ours = key in read_notebook(path)['metadata']
    except RecordError:
        ours = False
    if not ours:
        raise RecordError(
            f'{path} is there, and was not written by this command: nothing was done. Move it '
            'away, or write to another file with -o'
        )


def read_notebook(path: str) -> Dict:
    """A notebook, whoever wrote it.

    Raises
    ------
    RecordError
        It is none.
    """
    return parse_notebook(read_bytes(path), path)


def read_bytes(path: str) -> bytes:
    """Return the content of a file.

    Raises
    ------
    RecordError
        It is not there, or too large.
    """
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST:
            raise RecordError(
                f'{path} has {format_bytes(size)}: more than the {format_bytes(MOST)} that are '
                'read at most; it was not opened'
            )
        return file.read(size)


def _opened(path: str) -> BinaryIO:
    """Open a file that someone named, or complain."""
    try:
        return open(open_named(path), 'rb')
    except (FileNotFoundError, NotADirectoryError):
        near = _near(path)
        raise RecordError(f'there is no file {path}: nothing was read. {near}'.strip()) from None
    except UnsafeFileError as exc:
        if os.path.isdir(path):
            raise RecordError(f'{path} is a folder, not a notebook: nothing was read') from None
        raise RecordError(
            f'{exc} Nothing was read. Save what comes from it to a file first'
        ) from None


def _near(path: str) -> str:
    from ..errors import close_names

    folder = os.path.dirname(path) or '.'
    try:
        names = [name for name in os.listdir(folder) if name.endswith(('.ipynb', '.py', '.zip'))]
    except OSError:
        return ''
    words = close_names(os.path.basename(path), names)
    return words[:1].upper() + words[1:]


def check_memory(data: bytes, packed: int, path: str) -> None:
    """Refuse JSON that would take much more memory than it has bytes on the disk.

    Parameters
    ----------
    data : bytes
    packed : int
        Bytes of the file that it was read from, which may be an archive.
    path : str
        Of that file, for the message.

    Raises
    ------
    RecordError
        It is nearly all lists, objects and short texts.
    """
    needed = len(data) + sum(data.count(mark) * n for mark, n in _PARSED_BYTES.items())
    allowed = min(_PARSED_RATIO * len(data), _PACKED_RATIO * packed)
    if needed > max(_PARSED_FREE, allowed):
        raise RecordError(
            f'{path} is no record or notebook: what is in it would take {format_bytes(needed)} of '
            f'memory, many times its {format_bytes(packed)} on the disk. It was not read'
        )


def parse_notebook(data: bytes, path: str, packed: int | None = None) -> Dict:
    """Return a notebook from its bytes.

    Parameters
    ----------
    data : bytes
    path : str
    packed : int, default=None
        Bytes on the disk, if these are fewer: in an archive.

    Raises
    ------
    RecordError
        They are none: what is wrong, and where.
    """
    check_memory(data, len(data) if packed is None else packed, path)
    try:
        found: Any = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        where = f'line {exc.lineno:d}, column {exc.colno:d}'
        cut = data.lstrip()[:1] in (b'', b'{') and not data.rstrip().endswith(b'}')
        raise RecordError(
            (
                f'{path} is no notebook: its JSON ends in the middle, it was truncated at '
                f'{format_bytes(len(data))} ({exc.msg}, {where})'
            )
            if cut
            else (
                f'{path} is no notebook: {exc.msg} at {where}; it is something else, or damaged, '
                'or was edited by hand'
            )
        ) from None
    wrong = _wrong_notebook(found)
    if wrong:
        raise RecordError(f'{path} is no notebook: {wrong}')
    notebook: Dict = found
    for cell in notebook['cells']:
        _join_lines(cell)
    return notebook


def _join_lines(cell: Dict) -> None:
    """Text that may be written as a list of lines becomes one text."""
    cell.setdefault('metadata', {})
    if isinstance(cell['source'], list):
        cell['source'] = ''.join(cell['source'])
    for output in cell.get('outputs', ()):
        if _is_text(output.get('text')):
            output['text'] = ''.join(output['text'])
        data = output.get('data')
        for kind, value in data.items() if isinstance(data, dict) else ():
            if _is_text(value) and not kind.endswith('json'):
                data[kind] = ''.join(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(line, str) for line in value)


def _wrong_notebook(found: Any) -> str:
    if not isinstance(found, dict) or not isinstance(found.get('cells'), list):
        old = isinstance(found, dict) and 'worksheets' in found
        return 'it has no list of cells' + (
            ' (it is of format 3 or older: open and save it in Jupyter)' if old else ''
        )
    if found.get('nbformat') != 4:
        return (
            f'it is of format {found.get("nbformat")!r}, of which this version knows nothing; 4 is '
            'known'
        )
    if not isinstance(found.get('metadata'), dict):
        return 'it has no metadata'
    for number, cell in enumerate(found['cells'], 1):
        source = cell.get('source') if isinstance(cell, dict) else None
        if not isinstance(source, str) and not (
            isinstance(source, list) and all(isinstance(line, str) for line in source)
        ):
            return f'its cell {number:d} has no source'
        if not isinstance(cell.get('cell_type'), str) or not isinstance(
            cell.get('metadata', {}), dict
        ):
            return f'its cell {number:d} has no type'
        outputs = cell.get('outputs', [])
        if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
            return f'the outputs of its cell {number:d} are none'
    return ''


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


@dataclass
class Record:
    """A record that was read."""

    path: str
    data: bytes
    """The notebook's bytes."""
    notebook: Dict
    document: Dict
    """What its metadata hold."""
    models: list[QueueModel]
    files: dict[str, Stored] = field(default_factory=dict)
    """Members of a crate, by name."""
    problems: list[str] = field(default_factory=list)
    """What is wrong with the container, in words."""
    is_crate: bool = False

    def payload(self, digest: str) -> bytes | None:
        """The bytes of a digest, where they were recorded; they are compared with it."""
        import base64

        for document, model in zip(self.document['queues'], self.models, strict=True):
            text = document.get('payloads', {}).get(digest)
            if isinstance(text, str):
                data = base64.b85decode(text)
                model.payloads[digest] = data
                return data if hashlib.sha256(data).hexdigest() == digest else None
        return None


def read_record(path: str) -> Record:
    """A record, or a crate (folder or zip) that holds one.

    Nothing of it is executed, unpacked or followed.

    Parameters
    ----------
    path : str

    Returns
    -------
    record : Record

    Raises
    ------
    RecordError
        It is none, or can't be read safely.
    """
    if os.path.isdir(path):
        # Looked for first: any other folder may be large, and hold what no crate may.
        files, problems = (
            _read_folder(path) if os.path.lexists(os.path.join(path, RECORD)) else ({}, [])
        )
    elif _is_zip(path):
        files, problems = _read_zip(path)
    else:
        data = read_bytes(path)
        return _record(path, data, {}, [])
    if RECORD not in files:
        raise RecordError(
            f'{path} holds no {RECORD}: it is no crate of desipipe, or it is not whole'
        )
    return _record(path, files[RECORD].data, files, problems)


def _record(path: str, data: bytes, files: dict[str, Stored], problems: list[str]) -> Record:
    packed = os.path.getsize(path) if files and not os.path.isdir(path) else len(data)
    notebook = parse_notebook(data, path, packed)
    for name in (METADATA, DIGESTS):
        if name in files:
            check_memory(files[name].data, packed, path)
    document = notebook['metadata'].get(KEY)
    if not isinstance(document, dict):
        raise RecordError(
            f'{path} is a notebook, but no record. Make one with: desipipe record {path}'
        )
    if document.get('version') != VERSION:
        raise RecordError(
            f'{path} is a record of version {document.get("version")!r}; this desipipe knows '
            f'version {VERSION:d}. Read it with the version that wrote it'
        )
    try:
        models = [
            QueueModel(
                {key: value for key, value in queue.items() if key not in ('tasks', 'payloads')},
                queue['tasks'],
            )
            for queue in document['queues']
        ]
        _check(document, models)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, UnknownTaskError) as exc:
        raise RecordError(
            f'{path} is a record, but not whole: {type(exc).__name__}: {exc}. It was truncated, or '
            'edited by hand'
        ) from None
    return Record(path, data, notebook, document, models, files, problems, bool(files))


def _check(document: Dict, models: list[QueueModel]) -> None:
    """Complain about what a reader would stumble over."""
    for key, kind in (
        ('cells', list),
        ('queues', list),
        ('totals', dict),
        ('left_out', list),
        ('made', dict),
        ('notebook', dict),
    ):
        if not isinstance(document[key], kind):
            raise TypeError(f'{key!r} is no {kind.__name__}')
    for model in models:
        for key in ('groups', 'apps', 'managers', 'workers', 'versions'):
            if not isinstance(model.head[key], list) or not all(
                isinstance(item, dict) for item in model.head[key]
            ):
                raise TypeError(f'{key!r} is no list of objects')
        if not isinstance(model.lines, list) or not all(
            isinstance(line, str) for line in model.lines
        ):
            raise TypeError("'tasks' is no list of lines")
        for key in ('name', 'total', 'counts', 'blocked', 'busy', 'as_of', 'others'):
            model.head[key]
        for group in model.head['groups']:
            (
                model.head['apps'][group['app']],
                model.head['managers'][group['manager']],
                str(group['name']),
            )
        for app in model.head['apps']:
            str(app['id']), app['parts'].items(), app['source'].split, app['kind'], app['versions']
    for entry in document['cells']:
        # Before anybody counts to a number that someone made up.
        if any(
            part.stop > len(models[entry['queue']].lines) for part in parse_rows(entry['tasks'])
        ) or not 0 <= entry['cell'] < len(document['notebook']['cells']):
            raise ValueError(f'cell {entry["cell"]!r} is said to have tasks that are not there')
        if sum(len(part) for part in parse_rows(entry['tasks'])) > len(
            models[entry['queue']].lines
        ):
            raise ValueError(f'cell {entry["cell"]!r} is said to have more tasks than there are')


def _is_zip(path: str) -> bool:
    try:
        with open(open_named(path), 'rb') as file:
            return file.read(4) in (b'PK\x03\x04', b'PK\x05\x06')
    except OSError:
        return False


def _stored(file: IO[bytes], name: str, most: int) -> Stored:
    """Read a file of a crate, ``most`` bytes and one more; only of few files are the bytes kept."""
    digest = hashlib.sha256()
    size = 0
    kept: list[bytes] = []
    while size <= most and (data := file.read(min(_CHUNK, most + 1 - size))):
        size += len(data)
        digest.update(data)
        if name in _KEPT:
            kept.append(data)
    return Stored(size, digest.hexdigest(), b''.join(kept))


def _read_folder(path: str) -> tuple[dict[str, Stored], list[str]]:
    files: dict[str, Stored] = {}
    total = 0
    for name, full in _walk(path):
        size = os.lstat(full).st_size
        total += size
        if total > MOST or len(files) > MEMBERS:
            raise RecordError(
                f'{path} holds more than {format_bytes(MOST)}, or more than {MEMBERS:d} files: it '
                'was not read'
            )
        try:
            with open(open_named(full, follow=False), 'rb') as file:
                files[name] = _stored(file, name, size)
        except UnsafeFileError as exc:
            raise RecordError(f'{exc} Nothing of {path} was read') from None
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


def _read_zip(path: str) -> tuple[dict[str, Stored], list[str]]:
    with _opened(path) as file:
        return _read_archive(path, file, os.fstat(file.fileno()).st_size)


def _read_archive(path: str, packed: BinaryIO, length: int) -> tuple[dict[str, Stored], list[str]]:
    files: dict[str, Stored] = {}
    problems: list[str] = []
    try:
        with zipfile.ZipFile(packed) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if len(members) > MEMBERS or total > MOST or total > RATIO * max(length, 1000):
                raise RecordError(
                    f'{path} ({format_bytes(length)}) says it holds {format_bytes(total)} in '
                    f'{len(members):d} files: '
                    'more than can be right; it was not unpacked'
                )
            for member in members:
                _check_name(path, member)
                if member.is_dir():
                    continue
                if member.filename in files:
                    problems.append(f'it holds {member.filename!r} twice')
                if member.filename in _KEPT and member.file_size > max(
                    KEPT_FREE, KEPT_RATIO * length
                ):
                    raise RecordError(
                        f'{path} ({format_bytes(length)}) holds {member.filename!r} of '
                        f'{format_bytes(member.file_size)}: it was not unpacked'
                    )
                with archive.open(member) as file:
                    # The size that is said may be a lie: never more than that.
                    files[member.filename] = _stored(file, member.filename, member.file_size)
                if files[member.filename].size != member.file_size:
                    raise RecordError(
                        f'{path}: {member.filename!r} is not of the size that is said; it was not '
                        'read'
                    )
            problems += _zip_problems(archive.comment, packed, length)
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
        ValueError,
    ) as exc:
        if isinstance(exc, RecordError):
            raise
        raise RecordError(f'{path} is no zip archive, or damaged: {exc}') from None
    except Exception as exc:  # zlib.error and its like are of C modules
        raise RecordError(f'{path} is damaged: {exc}') from None
    return files, problems


def _check_name(path: str, member: zipfile.ZipInfo) -> None:
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
    """A zip archive, the same bytes for the same files."""
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(name)  # of 1980, for nobody can know more
            member.external_attr = 0o644 << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, files[name])
        archive.comment = b'sha256:' + _NONE
    data = buffer.getvalue()
    body = data[: -len(_NONE)]
    return body + hashlib.sha256(body).hexdigest().encode()


def _zip_problems(comment: bytes, packed: BinaryIO, length: int) -> list[str]:
    if len(comment) != 71 or not comment.startswith(b'sha256:'):
        return ['its archive has no digest: another program packed it']
    packed.seek(0)
    digest, left = hashlib.sha256(), length - len(_NONE)
    while left > 0 and (data := packed.read(min(_CHUNK, left))):
        digest.update(data)
        left -= len(data)
    if digest.hexdigest().encode() != comment[7:]:
        return ['the bytes of its archive were changed since it was written']
    return []


def digests_bytes(files: Mapping[str, bytes]) -> bytes:
    """The list of a crate's files with their digests, which lies beside them."""
    listed = {
        name: {'size': len(data), 'sha256': hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
        if name != DIGESTS
    }
    document: Dict = {
        'version': VERSION,
        'files': listed,
        'file_digest': 'sha256:' + _NONE.decode(),
    }
    data = plain_bytes(document)
    digest, _ = file_digest(data)
    return data.replace(_NONE, digest.encode(), 1)
