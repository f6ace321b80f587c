"""Sentences on what an import could not take over."""

from __future__ import annotations

NOTES_MAX = 20


class ImportNotes:
    """Sentences on what could not be taken over, and why."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def add(self, text: str) -> None:
        """Add a sentence."""
        self._texts.append(text)

    def first(self) -> list[str]:
        """Return the first cases, and the number of others."""
        more = len(self._texts) - NOTES_MAX
        return [*self._texts[:NOTES_MAX], *([f'And {more:,d} more cases.'] if more > 0 else [])]
