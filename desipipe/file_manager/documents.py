"""Entries of the documents of a data base, and documents of entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..errors import ConfigError, UnknownNameError, UnknownOptionError, close_names
from .entry import BaseFileEntry, get_file_entry
from .fields import Fields
from .folders import unreadable
from .values import shown

_FIELDS = tuple(Fields._defaults)

Document = tuple[str, Any]
"""A position, for errors, and what stands there: an entry, or its fields."""
Parser = Callable[[str | bytes, str], list[Any]]


def read_file(path: str, parse: Parser) -> list[Document]:
    """Return the documents of a data base."""
    try:
        with open(path, 'rb') as file:
            text = file.read()
    except OSError as error:
        raise unreadable(error)(
            f'The data base {path} cannot be read: {error.strerror}. Check the path, or its '
            'permissions.'
        ) from error
    return list(numbered(parse(text, path), path))


def numbered(documents: Iterable[Any], where: str) -> Iterator[Document]:
    """Yield the documents with their positions, without empty ones."""
    for number, document in enumerate(documents, start=1):
        if document is not None:  # nothing between two `---`
            yield f'{where}, document {number:d}', document


class Imports:
    """Fields of entries that take over those of others."""

    def __init__(
        self, entries: Iterable[BaseFileEntry], documents: Iterable[tuple[str, Any]]
    ) -> None:
        self._known = entries
        self._documents = documents
        self._by_id: dict[str, Any] | None = None

    def resolved(self, data: Mapping[str, Any], trail: tuple[str, ...] = ()) -> dict[str, Any]:
        """All fields of an entry."""
        fields = dict(data)
        if 'import' not in fields:
            return fields
        name = fields.pop('import')
        if name in trail:
            raise ConfigError(f'Entries import each other: {" → ".join([*trail, name])}')
        other = self._named(name)
        if isinstance(other, BaseFileEntry):
            inherited = {
                **other.to_dict(),
                **({'fileentry': other.name} if other.name != BaseFileEntry.name else {}),
            }
        else:
            inherited = self.resolved(other, (*trail, name))
        new = fields.get('options') or {}
        for key in ('options', 'foptions'):
            own = fields.get(key) or {}
            theirs = inherited.get(key) or {}
            if isinstance(own, Mapping) and isinstance(theirs, Mapping):
                # An option that is given anew brings its own texts.
                fields[key] = {
                    **{
                        name: value
                        for name, value in theirs.items()
                        if key == 'options' or name not in new
                    },
                    **own,
                }
        return {**inherited, **fields}

    def _named(self, name: Any) -> Any:
        """Return the entry, or the fields, that have an id."""
        if self._by_id is None:
            # What is there already goes first, then the data base, of several with one id the
            # first.
            self._by_id = {entry.id: entry for entry in reversed(list(self._known))}
            for _, other in self._documents:
                if isinstance(other, Mapping) and isinstance(other.get('id'), str):
                    self._by_id.setdefault(other['id'], other)
        if not isinstance(name, str) or name not in self._by_id:
            raise UnknownNameError(
                f'There is no entry {shown(name)} to import: '
                f'{close_names(name if isinstance(name, str) else "", self._by_id)}'
            )
        return self._by_id[name]


def entry_of(where: str, data: Any, importing: Imports) -> BaseFileEntry:
    """Return the entry of a document, or a copy of the entry that stands in its place."""
    if isinstance(data, BaseFileEntry):
        return data.copy()
    if not isinstance(data, Mapping):
        raise ConfigError(
            f'{where}: an entry is a mapping with the fields {", ".join(_FIELDS)}, not '
            f'{type(data).__name__} {shown(data)}.'
        )
    try:
        fields = importing.resolved(data)
        for name in fields:
            if not isinstance(name, str):
                raise UnknownOptionError(
                    f'Unknown field {name!r}. The fields are: {", ".join(_FIELDS)}'
                )
        return get_file_entry(fields)
    except (ConfigError, UnknownNameError, UnknownOptionError) as exc:
        raise type(exc)(f'{where}: {exc}') from exc


def document_of(entry: BaseFileEntry) -> dict[str, Any]:
    """Return the plain values that a data base holds of an entry."""
    fields = {
        name: value
        for name, value in entry.to_dict().items()
        if value not in ('', None) and name not in ('options', 'foptions')
    }
    if fields.get('ro'):
        fields['ro'] = list(fields['ro'])
    if entry.name != BaseFileEntry.name:
        fields['fileentry'] = entry.name
    if entry.options:
        fields['options'] = {name: _plain(pool) for name, pool in entry.options.items()}
    texts = {
        name: _plain(pool)
        for name, pool in entry.foptions.items()
        if pool is not entry.options[name]
    }
    return {**fields, 'foptions': texts} if texts else fields


def _plain(pool: Any) -> Any:
    if pool is Ellipsis:
        return '...'
    if isinstance(pool, range):
        return str(pool)
    return [_plain_value(value) for value in pool]


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {_plain_value(key): _plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_value(item) for item in value]
    return value.item() if type(value).__module__ == 'numpy' else value
