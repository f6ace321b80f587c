"""Names of the files in a queue's folder."""

from __future__ import annotations

import os
import re

from ..errors import UnsafeFileError

JOURNAL = 'journal.jsonl'
SUBFOLDERS = ('segments', 'live', 'workers')
_JOURNAL_SEGMENT = 'journal@'  # and the generation; no writer has such a name
NAME = r'\w[\w.+=@,~-]{0,239}'


def check_name(name: str) -> str:
    """Return a name that came from a journal, if it may be that of a file.

    Raises
    ------
    UnsafeFileError
        It could lead out of the queue's folder.
    """
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise UnsafeFileError(
            f'{str(name)[:200]!r} is no name of a file in a queue: it may lead outside of the '
            'queue. '
            'Nothing was opened. The journal is damaged, or was written to do harm.'
        )
    return name


def segment_file(name: str) -> str:
    """Return the path of segment ``name`` in a queue's folder."""
    return f'segments/{check_name(name)}.bin'


def journal_segment(generation: str) -> str:
    """Return the name, as a segment, of a journal whose lines hold copies of payloads."""
    return f'{_JOURNAL_SEGMENT}{generation}'


def is_journal(name: str) -> bool:
    """Return True for the name of a segment that is a journal."""
    return name.startswith(_JOURNAL_SEGMENT)


def payload_file(name: str) -> str:
    """Return the path of the file to read the payloads of segment ``name`` from.

    Those in a journal have no file of their own, which could be written to or removed.
    """
    return JOURNAL if is_journal(name) else segment_file(name)


def lease_file(name: str) -> str:
    """Return the path of the lease of process ``name`` in a queue's folder."""
    return f'workers/{check_name(name)}.lease'


def live_file(name: str) -> str:
    """Return the path of the output so far of slot ``name`` in a queue's folder."""
    return f'live/{check_name(name)}.log'


def segment_path(folder: str, name: str) -> str:
    """Return the file of segment ``name`` in the queue ``folder``."""
    return os.path.join(folder, segment_file(name))
