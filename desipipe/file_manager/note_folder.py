"""The folder of notes beside files: names in it, what it holds."""

from __future__ import annotations

import re
import stat

from ..store import files

FOLDER = '.desipipe'
TEXT_MAX = 1 << 24  # bytes of a script, or of a list of versions


def is_file(folder: str, name: str) -> bool:
    """Return True if the notes beside the files in a folder hold a file of that name."""
    try:
        return stat.S_ISREG(files.status(folder, f'{FOLDER}/{name}').st_mode)
    except OSError:
        return False


def word(text: str) -> str:
    """Return a text as a part of a file's name."""
    return re.sub(r'[^A-Za-z0-9_.-]', '_', text)[:100].lstrip('.-') or '_'
