"""A choice among entries, by id, file type, words and options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import UnknownNameError, UnknownOptionError, close_names
from .choice_errors import no_file, several_files
from .entry import BaseFileEntry


class Kind(NamedTuple):
    """Fields of the wanted entries, as of `FileManager.select`; None: any will do."""

    id: str | Iterable[str] | None = None
    filetype: str | Iterable[str] | None = None
    keywords: str | Iterable[str] | None = None


class Choice:
    """Choice among entries, by what they are and by options.

    Parameters
    ----------
    entries : list of BaseFileEntry
    kind : Kind
    ignore : bool, str, list
    options : dict
        See `FileManager.select`.
    """

    def __init__(
        self,
        entries: Sequence[BaseFileEntry],
        kind: Kind,
        ignore: bool | str | Iterable[str],
        options: Mapping[str, Any],
    ) -> None:
        self._entries = entries
        self._kind = kind
        self._ignore = ignore
        self._options = options
        self._fitting = list(self._positions(kind))

    def selected(self) -> Iterator[tuple[int, BaseFileEntry]]:
        """Yield the positions of the entries that match, and what is selected of each."""
        for index in self._fitting:
            entry = self._entries[index]
            selected = (
                entry.select(ignore=self._ignore, raise_error=False, **self._options)
                if self._options
                else entry.copy()
            )
            if selected:
                yield index, selected

    def _positions(self, kind: Kind) -> Iterator[int]:
        """Yield the positions of entries by what is not an option."""
        wanted_id, wanted_type = (
            None if given is None else {text.lower() for text in texts_of(given)}
            for given in (kind.id, kind.filetype)
        )
        wanted = None if kind.keywords is None else word_lists(kind.keywords)
        for index, entry in enumerate(self._entries):
            if (
                (wanted_id is None or entry.id.lower() in wanted_id)
                and (wanted_type is None or entry.filetype.lower() in wanted_type)
                and (wanted is None or has_words(entry.description.lower(), wanted))
            ):
                yield index

    # Errors

    def several_error(self, selected: Sequence[BaseFileEntry]) -> UnknownNameError:
        """Return the error for several files where one is wanted."""
        return several_files(selected, sum(map(len, selected)), self._asked())

    def none_error(self) -> Exception:
        """Return the error for nothing that matches, which says why."""
        if not self._entries:
            return UnknownNameError(
                'There are no file entries: nothing can be found. Add a data base: '
                'FileManager(path)'
            )
        return self._unknown_kind() or self._unknown_words() or self._unknown_values()

    def _is_known(self, kind: Kind) -> bool:
        return next(self._positions(kind), None) is not None

    def _asked(self) -> dict[str, Any]:
        return {**self._kind._asdict(), **self._options}

    def _unknown_kind(self) -> UnknownNameError | None:
        for field in ('id', 'filetype'):
            given = getattr(self._kind, field)
            if given is not None and not self._is_known(Kind(**{field: given})):
                values = {getattr(entry, field) for entry in self._entries} - {''}
                return UnknownNameError(
                    f'No file entry has the {field} {given!r}: '
                    f'{close_names(texts_of(given)[0] if texts_of(given) else "", values)}'
                )
        return None

    def _unknown_words(self) -> UnknownNameError | None:
        keywords = self._kind.keywords
        if keywords is None or self._is_known(Kind(keywords=keywords)):
            return None
        terms = {word for entry in self._entries for word in entry.description.lower().split()}
        unknown = next(
            (
                word
                for wanted in word_lists(keywords)
                for word in wanted
                if not any(word in term for term in terms)
            ),
            None,
        )
        near = (
            'Each of these words is known, but not all of one entry.'
            if unknown is None
            else f'{unknown!r}: {close_names(unknown, terms)}'
        )
        return UnknownNameError(
            f'No file entry has the keywords {keywords!r} in its description. {near}'
        )

    def _unknown_values(self) -> UnknownNameError | UnknownOptionError:
        entries = [self._entries[index] for index in self._fitting]
        for name in self._options:
            if entries and not self._ignore and not any(name in entry.options for entry in entries):
                values = {option for entry in entries for option in entry.options}
                return UnknownOptionError(
                    f'No file entry has an option {name!r}: {close_names(name, values)}'
                )
        asked = self._asked()
        if not entries:
            return UnknownNameError(
                'No file entry has id, filetype and keywords together: '
                f'{", ".join(f"{k}={v!r}" for k, v in asked.items() if v is not None)}'
            )
        passed = () if isinstance(self._ignore, bool) else texts_of(self._ignore)
        options = {name: value for name, value in self._options.items() if name not in passed}
        return no_file(entries, asked, options)


def texts_of(given: Any) -> list[str]:
    """Return one or several values as a list of texts."""
    return (
        [str(text) for text in given]
        if isinstance(given, Iterable) and not isinstance(given, str)
        else [str(given)]
    )


def word_lists(keywords: Any) -> list[list[str]]:
    """Return the words of each text, in lower case."""
    return [text.lower().split() for text in texts_of(keywords)]


def has_words(text: str, wanted: Iterable[Iterable[str]]) -> bool:
    """Return True if a text in lower case holds all words of one of the lists."""
    return any(all(word in text for word in several) for several in wanted)
