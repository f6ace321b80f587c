"""Write values into commands, as the quotes they stand in need it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from ..errors import CellError
from .shell_contexts import Allowed, holds
from .shell_limits import Limit
from .shell_options import OptionLimit, refused_option
from .shell_programs import first_refused
from .shell_refusals import REFUSED, beyond, held, is_option, line_of, refused

__all__ = ['ValueWriter', 'single_quoted']

_WHOLE = re.compile(r'-?[0-9]+')
_REDIRECTED = re.compile(r'(?:\\\n)*[<>]')


def single_quoted(text: str) -> str:
    """Return a text as one word in single quotes."""
    return "'" + text.replace("'", "'\"'\"'") + "'"


class ValueWriter:
    """Writer of the values of one template.

    Parameters
    ----------
    texts : callable
        Gets the match of a placeholder, returns its words.
    allowed : Allowed
        Characters that any value may hold.
    limits, options : mapping
        Limits of values by name: in programs, and as arguments.
    """

    def __init__(
        self,
        texts: Callable[[re.Match[str]], list[str]],
        allowed: Allowed,
        limits: Mapping[str, Sequence[Limit]],
        options: Mapping[str, Sequence[OptionLimit]],
    ) -> None:
        self._texts = texts
        self._allowed = allowed
        self._limits = limits
        self._options = options
        self.depth = 0
        """Number of heredocs around that are expanded."""
        self.unsure = ''
        """Key of :data:`.REFUSED` once it is not clear where commands end."""

    def written(self, match: re.Match[str], kind: str) -> str:
        """Return what to write for a placeholder.

        Parameters
        ----------
        match : match
        kind : str
            Quotes it stands in, or what is read there: ``'word'``, ``'double'``, ``'number'``…

        Raises
        ------
        CellError
            No value can be quoted there, or not this one.
        """
        if self.unsure or kind in REFUSED:
            raise refused(match, self.unsure or kind)
        if kind == 'literal' and self.depth:
            raise refused(match, 'nested')
        texts = self._texts(match)
        if kind == 'number':
            return _number(match, texts)
        self._check(match, texts)
        return self._word(match, texts) if kind == 'word' else self._within(kind, ' '.join(texts))

    def _check(self, match: re.Match[str], texts: list[str]) -> None:
        text = ' '.join(texts)
        if not holds(text, self._allowed):
            raise held(match, text, self._allowed)
        if limit := first_refused(self._limits, match['name'], text):
            raise beyond(match, text, limit)
        if option := refused_option(self._options, match['name'], texts):
            raise is_option(match, text, option)

    def _word(self, match: re.Match[str], texts: list[str]) -> str:
        # Whole numbers stay bare, for `{1..{n}}`; but `2>file` is not `2 >file`, and `~1` is a
        # folder.
        bare = (
            not _REDIRECTED.match(match.string, match.end())
            and match.string[match.start() - 1 : match.start()] != '~'
        )
        return ' '.join(
            item if bare and _WHOLE.fullmatch(item) else self._quoted(item) for item in texts
        )

    def _within(self, kind: str, text: str) -> str:
        """Return what a text becomes within quotes, or in a heredoc."""
        if kind == 'double':
            return re.sub(r'([\\$`"])', r'\\\1', text)
        if kind == 'here':
            return re.sub(r'([\\$`])', r'\\\1', text)
        if kind == 'single':
            return f"'{self._quoted(text)}'" if self.depth else text.replace("'", "'\"'\"'")
        if kind == 'ansi':
            return f"'{self._quoted(text)}$'"  # a part of its own: `\x4{digit}` stays what it is
        return text

    def _quoted(self, text: str) -> str:
        if not self.depth:
            return single_quoted(text)
        # Lines of a heredoc that end in a backslash are joined before anything in them is read,
        # quotes or not.
        return "$'" + text.replace('\\', '\\\\').replace("'", "\\'").replace('\n', '\\n') + "'"


def _number(match: re.Match[str], texts: list[str]) -> str:
    # In arithmetic text is evaluated, whatever its quotes: `a[$(command)]` runs the command.
    text = ' '.join(texts)
    if len(texts) != 1 or not _WHOLE.fullmatch(text):
        raise CellError(
            f'Line {line_of(match):d} of the cell: {match[0]} is {text!r:.80}, and '
            'arithmetic of the shell takes whole numbers. Nothing was run.'
        )
    number = str(int(text))
    return f'({number})' if int(text) < 0 else number  # `5--3` is something else
