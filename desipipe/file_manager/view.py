"""Entries and files as tables of a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from .options import values_text

LONG = 20  # rows, above which there is a field to filter them
SHOWN_ROWS_MAX = 500  # rows that are shown

# The filter is an attribute, not a script: it comes and goes with the table. Where a notebook is
# not trusted it does nothing.
_FILTER = (
    '<input type="search" placeholder="filter" aria-label="filter" oninput="'
    "const words = this.value.toLowerCase().split(' ');"
    "for (const row of this.parentElement.querySelectorAll('tbody tr'))"
    ' row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));">'
)


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], total: int) -> str:
    shown = list(islice(rows, SHOWN_ROWS_MAX))
    head = ''.join(f'<th style="text-align: left">{html.escape(column)}</th>' for column in columns)
    body = ''.join(
        '<tr>'
        + ''.join(f'<td style="text-align: left">{html.escape(cell)}</td>' for cell in row)
        + '</tr>'
        for row in shown
    )
    more = f'<div>the first {len(shown):,d} of {total:,d}</div>' if total > len(shown) else ''
    search = _FILTER if len(shown) > LONG else ''
    return f'<div><div>{html.escape(title)}</div>{search}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}</div>'  # noqa: E501


def entries_table(entries: Sequence[Any]) -> str:
    """Entries, a row each."""
    rows = (
        (
            entry.id,
            entry.filetype,
            entry.description,
            '; '.join(f'{name}: {values_text(pool)}' for name, pool in entry.options.items()),
            f'{len(entry):,d}',
            entry.path,
        )
        for entry in entries
    )
    title = f'{len(entries):,d} file entries, {sum(map(len, entries)):,d} files'
    return _table(
        title, ('id', 'filetype', 'description', 'options', 'files', 'path'), rows, len(entries)
    )


def files_table(entry: Any) -> str:
    """Files of an entry, a row each."""
    names = tuple(entry.options)
    # Not its path, which an option without a value, or a missing variable, may keep from being
    # known.
    rows = ((*(str(file.options[name]) for name in names), _path(file)) for file in entry)
    return _table(
        f'{entry.id or entry.path}: {len(entry):,d} files. {entry.description}',
        (*names, 'file'),
        rows,
        len(entry),
    )


def _path(file: object) -> str:
    try:
        return str(file)
    except ValueError as exc:
        return str(exc)
