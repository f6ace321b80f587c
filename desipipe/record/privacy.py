"""Leave private data out of records, and count what was left out."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Collection
from functools import lru_cache

from ..errors import UnknownOptionError, close_names
from .embedded_data import split_data

KINDS = {
    'environ': 'values of environment variables, and shell commands of environments',
    'users': 'names of users',
    'paths': 'absolute paths outside of the root; only their last part is kept',
}
"""Kinds of data that are left out unless they are asked for."""

# A path as it stands in text: two parts at least, so that neither a fraction nor an HTML tag is
# one; a URL's is none, nor is a pattern such as `/-/g`.
_PATH = re.compile(r'(?:(?<=file://)|(?<![\w.:/~<…-]))/(?=[^/]*\w)(?:[\w.+@=,~-]+/)+[\w.+@=,~-]*')

_COLOUR = re.compile(r'(\x1b\[[0-9;:]*m)')


class Privacy:
    """Decides what is kept, and counts what is not.

    Parameters
    ----------
    root : str
        The folder that paths are written relative to.
    keep : collection of str, default=()
        Of :data:`KINDS`, what is kept after all.

    Raises
    ------
    UnknownOptionError
        There is no such kind.
    """

    def __init__(self, root: str, keep: Collection[str] = ()) -> None:
        for word in keep:
            if word not in KINDS:
                raise UnknownOptionError(
                    f'There is nothing called {word!r} to include: {close_names(word, KINDS)}'
                )
        self.root = os.path.abspath(root)
        self.keep = frozenset(keep)
        self.left: Counter[str] = Counter()
        """Number of times that something of a kind was left out."""
        self.notes: dict[str, None] = {}
        """Notes for the user, each once."""
        self._root = self.root.rstrip('/') + '/'
        self._home = os.path.expanduser('~').rstrip('/') + '/'
        # `/root/` and `/home/` are where people are, not who they are.
        self._rooted = (
            re.compile(
                r'(?:(?<=file://)|(?<![\w.:/~-]))' + re.escape(self._root) + r'(?=[\w.+@=,~-])'
            )
            if self._root != '/'
            else None
        )
        self._whole = (
            re.compile(r'(?<![\w.:/~-])' + re.escape(self._root[:-1]) + r'(?![\w.+@=,~/-])')
            if self._root != '/'
            else None
        )
        self.text: Callable[[str], str] = lru_cache(maxsize=4096)(self.scrub)

    def path(self, path: str) -> str:
        """Return a path relative to the root; one outside of it loses all but its end."""
        if not path:
            return ''
        path = os.path.normpath(path)
        if path + '/' == self._root:
            return '.'
        if path.startswith(self._root) and self._root != '/':
            return path[len(self._root) :]
        if not os.path.isabs(path):
            return path
        if 'paths' in self.keep:
            return path
        self.left['paths'] += 1
        return f'…/{os.path.basename(path)}'

    def scrub(self, text: str) -> str:
        """Take absolute paths out of text: those below the root become relative to it.

        :attr:`text` does the same for what comes again and again.

        Data that text holds (``data:`` URIs, base64) stays as it is.
        """
        if '/' not in text:
            return text
        return ''.join(
            stretch if is_data else self._scrub_coloured(stretch)
            for stretch, is_data in split_data(text)
        )

    def _scrub_coloured(self, text: str) -> str:
        # Of a coloured traceback the path follows the `m` of an escape sequence at once.
        if '\x1b' not in text:
            return self._scrub_text(text)
        return ''.join(
            part if i % 2 else self._scrub_text(part) for i, part in enumerate(_COLOUR.split(text))
        )

    def _scrub_text(self, text: str) -> str:
        if self._rooted is not None and self._whole is not None:
            text = self._whole.sub('.', self._rooted.sub('', text))
        if 'paths' in self.keep:
            return text

        def shorten(match: re.Match[str]) -> str:
            self.left['paths'] += 1
            return f'…/{os.path.basename(match[0].rstrip("/"))}'

        return _PATH.sub(shorten, text)

    def user(self, name: str) -> str:
        """Return the name of a user if it is kept, else nothing."""
        if name and 'users' not in self.keep:
            self.left['users'] += 1
            return ''
        return name

    def environ(self, values: dict[str, str | None]) -> dict[str, str | None]:
        """Return environment variables, with their values if they are kept."""
        if 'environ' in self.keep:
            # Where a secret is kept says nothing to others.
            return {
                name: value
                if value is None
                else self.text(value)
                if isinstance(value, str)
                else '…'
                for name, value in values.items()
            }
        self.left['environ'] += sum(value is not None for value in values.values())
        return {name: None if value is None else '…' for name, value in values.items()}

    def summary(self) -> list[str]:
        """Summarise what was left out; the same for the same record."""
        return [
            *(
                f'{KINDS[kind]} (to keep them: --include {kind})'
                for kind in KINDS
                if self.left[kind]
            ),
            *self.notes,
        ]
