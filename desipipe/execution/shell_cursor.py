"""A position in commands that are read, and what was written of them."""

from __future__ import annotations

import re

__all__ = ['Cursor']


class Cursor:
    """Position in a text that is read from the left, and the pieces to write for it.

    Parameters
    ----------
    text : str
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        """Offset of the next letter."""
        self.tail = 0
        """Number of letters at the end that are not to be read yet."""
        self.out: list[str] = []
        """Pieces that were written."""

    @property
    def end(self) -> int:
        """Offset of the first letter that is not to be read yet."""
        return len(self.text) - self.tail

    @property
    def more(self) -> bool:
        """True while there are letters to read."""
        return self.at < self.end

    @property
    def before(self) -> str:
        """Letter that was read last; empty at the beginning."""
        return self.text[self.at - 1 : self.at]

    def starts(self, start: str) -> bool:
        """Return True if what is to be read starts with a text."""
        return self.text.startswith(start, self.at, self.end)

    def match(self, pattern: re.Pattern[str], offset: int = 0) -> re.Match[str] | None:
        """Match a pattern so many letters behind the position."""
        return pattern.match(self.text, self.at + offset, self.end)

    def take(self, number: int = 1) -> None:
        """Read letters, and write them as they are."""
        end = min(self.at + number, self.end)
        self.out.append(self.text[self.at : end])
        self.at = end

    def line_end(self) -> int:
        """Return the offset of the next line's end, or of the last letter's."""
        end = self.text.find('\n', self.at, self.end)
        return self.end if end < 0 else end

    def replace(self, text: str) -> None:
        """Put another text in the place of what is to be read."""
        self.text = self.text[: self.at] + text + self.text[self.end :]
