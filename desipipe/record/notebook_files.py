"""Read and write notebooks, of bounded size."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from ..errors import RecordError, UnsafeFileError
from ..io import atomic_write
from ..store.files import open_named
from ..utils import format_bytes

if TYPE_CHECKING:
    from .documents import Notebook, NotebookCell


RECORD_BYTES_MAX = 4 << 30
"""Bytes of a record, or of a crate with all that is in it, that are read at most."""
_PARSED_FREE = 256 << 20  # bytes of memory that any JSON may take
_PARSED_RATIO = 16  # bytes of memory that JSON may take, over its own
_PACKED_RATIO = 64  # the same over those of the archive that it is in
_PARSED_BYTES = {b'[': 64, b'{': 240, b'"': 30, b',': 16}  # memory for what these begin


def write(path: str, data: bytes) -> None:
    """Write a file, whole or not at all."""
    with atomic_write(path) as file:
        file.write(data)


def spare(path: str, key: str) -> None:
    """Refuse to write over a file that was not written by the same command.

    It may be someone's only copy.

    Parameters
    ----------
    path : str
    key : str
        Key that the metadata of a notebook have which was written here.

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
            f'{path} is there, and was not written by this command. Nothing was done. Move it '
            'away, or write to another file with -o.'
        )


def read_notebook(path: str) -> Notebook:
    """Read a notebook, whoever wrote it; each cell gets an id of its own.

    Raises
    ------
    RecordError
        It is none.
    """
    notebook = parse_notebook(read_bytes(path), path)
    _part_ids(notebook)
    return notebook


def _part_ids(notebook: Notebook) -> None:
    """Set ids of cells that have that of a cell above them, the same each time.

    nbformat would take one by chance, and print a warning for each; tasks are superseded by cell.
    """
    cells = [cell for cell in notebook['cells'] if isinstance(cell.get('id'), str)]
    taken = {cell['id'] for cell in cells}
    seen: set[str] = set()
    for cell in cells:
        if cell['id'] in seen:
            stem, n = cell['id'][:58], 2
            while f'{stem}-{n:d}' in taken:
                n += 1
            cell['id'] = f'{stem}-{n:d}'
            taken.add(cell['id'])
        seen.add(cell['id'])


def read_bytes(path: str) -> bytes:
    """Return the content of a file.

    Raises
    ------
    RecordError
        It is not there, or too large.
    """
    with open_record(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > RECORD_BYTES_MAX:
            raise RecordError(
                f'{path} has {format_bytes(size)}: more than the {format_bytes(RECORD_BYTES_MAX)} '
                'that are read at most. It was not opened.'
            )
        return file.read(size)


def open_record(path: str) -> BinaryIO:
    """Open a file that someone named, or complain."""
    try:
        return open(open_named(path), 'rb')
    except (FileNotFoundError, NotADirectoryError):
        near = _near(path)
        raise RecordError(f'There is no file {path}. Nothing was read. {near}'.strip()) from None
    except UnsafeFileError as exc:
        if os.path.isdir(path):
            raise RecordError(f'{path} is a folder, not a notebook. Nothing was read.') from None
        raise RecordError(
            f'{exc} Nothing was read. Save what comes from it to a file first.'
        ) from None


def _near(path: str) -> str:
    from ..errors import close_names

    folder = os.path.dirname(path) or '.'
    try:
        names = [name for name in os.listdir(folder) if name.endswith(('.ipynb', '.py', '.zip'))]
    except OSError:
        return ''
    text = close_names(os.path.basename(path), names)
    return text[:1].upper() + text[1:]


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
            f'memory, many times its {format_bytes(packed)} on the disk. It was not read.'
        )


def parse_notebook(data: bytes, path: str, packed: int | None = None) -> Notebook:
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
        parsed: Any = orjson.loads(data)
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
    wrong = _wrong_notebook(parsed)
    if wrong:
        raise RecordError(f'{path} is no notebook: {wrong}')
    notebook: Notebook = parsed
    for cell in notebook['cells']:
        _join_lines(cell)
    return notebook


def _join_lines(cell: NotebookCell) -> None:
    """Text that may be written as a list of lines becomes one text."""
    cell.setdefault('metadata', {})
    if isinstance(cell['source'], list):
        cell['source'] = ''.join(cell['source'])
    for output in cell.get('outputs', ()):
        if _is_text(output.get('text')):
            output['text'] = ''.join(output['text'])
        data: Any = output.get('data')
        for kind, value in data.items() if isinstance(data, dict) else ():
            if _is_text(value) and not kind.endswith('json'):
                data[kind] = ''.join(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(line, str) for line in value)


def _wrong_notebook(notebook: Any) -> str:
    if not isinstance(notebook, dict) or not isinstance(notebook.get('cells'), list):
        old = isinstance(notebook, dict) and 'worksheets' in notebook
        return 'it has no list of cells' + (
            ' (it is of format 3 or older: open and save it in Jupyter)' if old else ''
        )
    if notebook.get('nbformat') != 4:
        return (
            f'it is of format {notebook.get("nbformat")!r}, of which this version knows nothing; 4 '
            'is known'
        )
    if not isinstance(notebook.get('metadata'), dict):
        return 'it has no metadata'
    for number, cell in enumerate(notebook['cells'], 1):
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
