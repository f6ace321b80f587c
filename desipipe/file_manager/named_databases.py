"""Data bases that the configuration names."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable

from .choice import has_words, texts_of, word_lists


def named_databases(keywords: str | Iterable[str] | None) -> list[str]:
    """Return their paths; see `FileManager.databases`."""
    from ..config import Config

    wanted = None if keywords is None else word_lists(keywords)
    return [
        path
        for pattern in texts_of(Config().get('file', {}).get('filename', []))
        for path in sorted(glob.glob(os.path.expanduser(pattern)))
        if wanted is None or has_words(f'{path}\n{pattern}'.lower(), wanted)
    ]
