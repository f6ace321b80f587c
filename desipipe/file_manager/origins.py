"""Find out which note holds for a file, and what changed since the file was made."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress

from ..provenance import Content
from .file_content import content, unchanged
from .note_lists import Note, Source, notes_in


class Look:
    """A pass over the origins of files, which looks at no file twice."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, list[Note]]] = {}
        self._same: dict[Source, bool | None] = {}
        self._above: dict[Source, list[Source]] = {}
        self._clean: set[Source] = set()

    def records(self, path: str) -> list[Note]:
        """Return the notes about a file, oldest first.

        Each has all that its task had read until then as ``read``.
        """
        folder, name = os.path.split(path)
        notes = self._folders.get(folder)
        if notes is None:
            notes = self._folders[folder] = notes_in(folder).by_file()
        return notes.get(name, [])

    def same(self, path: str, old: Content) -> bool | None:
        """See :func:`unchanged`."""
        if (path, old) not in self._same:
            self._same[path, old] = unchanged(path, old)
        return self._same[path, old]

    def made_of(self, path: str, old: Content) -> list[Source]:
        """Return what a file was made from when it had this content."""
        note, same = fitting_note(path, self.records(path))
        if note is None or not same or note.sha256 != old.sha256:
            note = _newest([note for note in self.records(path) if note.sha256 == old.sha256])
        return [] if note is None else note.inputs

    def above(self, source: Source) -> list[Source]:
        """Return the result of :meth:`made_of`, looked up once."""
        if source not in self._above:
            self._above[source] = self.made_of(*source)
        return self._above[source]

    def changed(self, path: str, inputs: Iterable[Source]) -> list[str]:
        """Return the files whose content changed after a file was made of them.

        Inputs of inputs count, too.

        A file that was made of an earlier content of itself, by way of others (weights made of a
        catalogue, then put into it), is not out of date by that.
        """
        start = [source for source in inputs if source[0] != path]
        seen = dict.fromkeys(start)
        names: dict[str, int] = {path: 1}
        sources = []
        todo = list(seen)
        for source in todo:  # which grows meanwhile
            if source in self._clean:
                continue
            names[source[0]] = names.get(source[0], 0) + 1
            if self.same(*source) is False:
                sources.append(source)
                continue
            more = [other for other in self.above(source) if other not in seen]
            seen.update(dict.fromkeys(more))
            todo += more
        if not sources:
            self._clean.update(seen)
        return list(
            dict.fromkeys(
                source[0]
                for source in sources
                if source[0] != path and (names[source[0]] == 1 or self._reaches(start, source))
            )
        )

    def _reaches(self, start: Iterable[Source], last: Source) -> bool:
        """Return True if a file went in by way of other files only."""
        seen = dict.fromkeys(start)
        todo = list(seen)
        for source in todo:
            if source == last:
                return True
            if source[0] != last[0] and self.same(*source) is not False:
                more = [other for other in self.above(source) if other not in seen]
                seen.update(dict.fromkeys(more))
                todo += more
        return False


def fitting_note(path: str, notes: list[Note]) -> tuple[Note | None, bool | None]:
    """Return the record of a file's present content, or the newest with False.

    The second value is None where the file is missing.
    """
    if not notes:
        return None, None
    # By content, not by time: clocks of several hosts are no order.
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return notes[-1], None
    note = _newest(
        [note for note in notes if (note.size, note.mtime) == (status.st_size, status.st_mtime_ns)]
    )
    if note is not None:
        return note, True
    fitting = [note for note in notes if note.size == status.st_size]
    now = None
    with suppress(PermissionError):  # it may not be read: it is not known to be so
        now = content(path) if fitting else None
    note = _newest([note for note in fitting if now and note.sha256 == now.sha256])
    return (note, True) if note is not None else (notes[-1], False)


def _newest(notes: Sequence[Note]) -> Note | None:
    """Return the newest note, and of several of one attempt that with most inputs.

    See `note_writing.note_joint`; the hosts' clocks don't matter.
    """
    if not notes:
        return None
    newest = (notes[-1].task, notes[-1].attempt)
    return max(
        (note for note in notes if (note.task, note.attempt) == newest),
        key=lambda note: note.read_count,
    )
