"""Checks of the bytes of a record: members, payloads, crate."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import orjson

from ..utils import format_count
from .checks import DIFFERS, NAMED, OK, Check, Differences
from .digests import (
    ADDED,
    DIGESTS,
    METADATA,
    RECORD,
    content_digest,
    file_digest,
    part_digests,
    plain_bytes,
)
from .files import Record

if TYPE_CHECKING:
    from .documents import NotebookCell


# The bytes


def check_container(record: Record) -> Iterator[Check]:
    """Check the bytes of a record."""
    if record.is_crate:
        yield _crate(record)
    digest, stated = file_digest(record.data)
    content = content_digest(record.notebook)
    same = content == record.document.get('content_digest')
    if digest and digest == stated and same:
        yield Check('bytes', OK, 'the file is as it was written')
    elif same:
        text = (
            'the bytes of the file were changed since it was written; not what they say: another '
            'program laid it out anew, or saved its view of it'
        )
        names = _changed_parts(record)
        yield Check('bytes', DIFFERS, text, names[:NAMED], len(names[NAMED:]))
    else:
        names = _changed_parts(record)
        text = 'what the record says was changed since it was written: its digest is another'
        yield Check('bytes', DIFFERS, text, names[:NAMED], len(names[NAMED:]))
    yield from _payloads(record)


def _payloads(record: Record) -> Iterator[Check]:
    """Compare bytes of code, arguments and results with their digests."""
    damaged, n = Differences(), 0
    for document in record.document['queues']:
        for digest, text in document.get('payloads', {}).items():
            n += 1
            try:
                good = hashlib.sha256(base64.b85decode(text)).hexdigest() == digest
            except (TypeError, ValueError):
                good = False
            if not good:
                damaged.add(f'{document["name"]}: the bytes of {digest[:16]}… are damaged')
    if n:
        yield damaged.check(
            'payloads',
            f'{format_count(n)} payloads have the bytes that their digests say',
            'payloads that differ',
        )


def _changed_parts(record: Record) -> list[str]:
    """Name the parts of a record that are not what they were when it was written."""
    stated = record.document.get('parts')
    if not isinstance(stated, dict):
        return []  # of a version that wrote none
    now = part_digests(record.notebook)
    missing = [f'{label} is missing' for label in stated if label not in now]
    return [*missing, *(label for label, digest in now.items() if stated.get(label) != digest)]


def original_of(record: Record) -> list[NotebookCell]:
    """Return the cells of the notebook, without what the record adds."""
    return [
        cell
        for cell in record.notebook['cells']
        if ADDED not in (cell.get('metadata', {}).get('tags') or ())
    ]


def _crate(record: Record) -> Check:
    differing = Differences()
    for problem in record.problems:
        differing.add(problem)
    try:
        data = record.files[DIGESTS].data
        listed = orjson.loads(data)
        listed_names = {
            str(name): (entry['size'], entry['sha256']) for name, entry in listed['files'].items()
        }
        now, stated = file_digest(data)
        if plain_bytes(listed) != data or not now or now != stated:
            differing.add(f'{DIGESTS} was changed since it was written')
    except (KeyError, TypeError, ValueError, AttributeError):
        differing.add(f'{DIGESTS}, the list of its files, is missing or damaged')
        listed_names = {}
    for name, stored in record.files.items():
        if name == DIGESTS:
            continue
        if name not in listed_names:
            differing.add(f'{name} is not on the list of its files')
        elif listed_names[name] != (stored.size, stored.sha256):
            differing.add(f'{name} was changed')
    for name in listed_names:
        if name not in record.files:
            differing.add(f'{name} is missing')
    for name in (METADATA, RECORD):
        if name not in listed_names and listed_names:
            differing.add(f'{name} is not on the list of its files')
    return differing.check(
        'crate',
        f'all {len(record.files):d} files are as they were written',
        'files of the crate that differ',
    )
