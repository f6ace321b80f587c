"""Print tables for a terminal of some width, as tab-separated values, or as JSON."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..terminal import visible
from ..view.text import Line, one_line
from .face import FACE, hint, on_terminal, print_json, styled
from .listing_options import WHOLE_TABLE, ListingOptions
from .wrapping import cut_middle, wrap

_GAP = 2  # blanks between columns
_NAME_MIN = 24  # cells of a name below which optional columns are left out instead
_NAME_LEAST = 8  # cells that are left of a name in any case
_BELOW_LINES = 2  # lines of a text that stands below its row
_INDENT = '    '

Row = Mapping[str, object]
"""A row of a table, by the keys of columns: a struct of whoever lists."""


class Fit(enum.Enum):
    """The way a column gives way where a table is too wide."""

    WHOLE = 'never shrinks'
    MIDDLE = 'is cut in the middle'
    OPTIONAL = 'is left out'
    BELOW = 'stands below its row'


class Column(NamedTuple):
    """A column of a table."""

    key: str
    title: str
    form: Callable[[Any], str] = str
    """Conversion for people; in a pipe it is as it is."""
    right: bool = False
    style: Callable[[Any], str] | None = None
    fit: Fit = Fit.WHOLE


def show_table(
    columns: Sequence[Column],
    rows: Sequence[Row],
    as_json: bool = False,
    options: ListingOptions = WHOLE_TABLE,
) -> None:
    """Print a table.

    Parameters
    ----------
    columns : sequence of Column
    rows : sequence of Row
        JSON has all of their members, the others those of the columns.
    as_json : bool, default=False
    options : ListingOptions, default=WHOLE_TABLE
    """
    rows = [rows[i] for i in sort_order(columns, rows, options)]
    by_title = {column.title.replace(' ', '_'): column for column in columns}
    columns = [by_title[title] for title in options.columns if title in by_title] or columns
    if as_json:
        print_json(rows)
    elif not on_terminal():
        text = ['\t'.join(column.title for column in columns)]
        text += ['\t'.join(_raw(row.get(column.key)) for column in columns) for row in rows]
        print('\n'.join(text))
    else:
        console = FACE.get().console()
        width = 0 if options.wide else console.width
        shown = columns if options.columns else _shown(columns, rows, width)
        console.print(styled(_lines(shown, rows, width)), soft_wrap=True)
        left_out = [
            column.title
            for column in columns
            if column not in shown and column.fit is not Fit.BELOW
        ]
        if left_out:
            hint(f'Columns left out: {", ".join(left_out)}. All: --wide')


def sort_order(
    columns: Sequence[Column], rows: Sequence[Row], options: ListingOptions
) -> list[int]:
    """Return the positions of rows in the order of a column, empty values last."""
    keys = [column.key for column in columns if column.title.replace(' ', '_') == options.sort]
    order = list(range(len(rows)))
    if keys:
        filled = [i for i in order if rows[i].get(keys[0]) not in (None, '')]
        rest = [i for i in order if rows[i].get(keys[0]) in (None, '')]
        filled.sort(key=lambda i: _value(rows[i], keys[0]), reverse=options.reverse)
        return filled + rest
    return order[::-1] if options.reverse else order


def _value(row: Row, key: str) -> Any:
    """Return a member, as the functions of its column take it."""
    return row.get(key)


def _raw(value: object) -> str:
    if isinstance(value, float):
        return f'{value:.6f}'
    return '' if value is None else ' '.join(str(value).split())


def _cell(column: Column, row: Row) -> str:
    value = _value(row, column.key)
    return '' if value is None else visible(one_line(column.form(value), 500), lines=False)


def _natural(column: Column, rows: Sequence[Row]) -> int:
    """Return the cells that a column takes if it is whole."""
    from rich.cells import cell_len

    return max([cell_len(column.title), *(cell_len(_cell(column, row)) for row in rows)])


def _width(widths: Mapping[Column, int]) -> int:
    return sum(widths.values()) + _GAP * (len(widths) - 1)


def _shown(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[Column]:
    """Return the columns that have a place: optional ones give way to names."""
    shown = [
        column
        for column in columns
        if column.fit is not Fit.BELOW or any(row.get(column.key) for row in rows)
    ]
    widths = {column: _natural(column, rows) for column in shown}
    if not width or _width(widths) <= width:
        return shown
    least = {
        column: min(n, _NAME_MIN) if column.fit is Fit.MIDDLE else n
        for column, n in widths.items()
        if column.fit is not Fit.BELOW
    }
    for column in reversed(shown):
        if _width(least) <= width:
            break
        if column.fit is Fit.OPTIONAL:
            del least[column]
    return [column for column in shown if column in least or column.fit is Fit.BELOW]


def _lines(columns: Sequence[Column], rows: Sequence[Row], width: int) -> Iterator[Line]:
    """Yield header, rule and rows; text that has no place in a row stands below it."""
    widths = {column: _natural(column, rows) for column in columns}
    below: list[Column] = []
    if width and _width(widths) > width:
        below = [column for column in columns if column.fit is Fit.BELOW]
        widths = {column: n for column, n in widths.items() if column not in below}
        _cut_names(widths, width)
    yield _line(widths, {column: (column.title, 'bold') for column in widths})
    yield [('─' * (min(_width(widths), width) if width else _width(widths)), 'dim')]
    for row in rows:
        yield _line(widths, {column: _styled_cell(column, row) for column in widths})
        for column in below:
            text, style = _styled_cell(column, row)
            for line in wrap(text, width - len(_INDENT), _BELOW_LINES) if text else ():
                yield [(_INDENT + line, style)]


def _styled_cell(column: Column, row: Row) -> tuple[str, str]:
    return _cell(column, row), column.style(_value(row, column.key)) if column.style else ''


def _cut_names(widths: dict[Column, int], width: int) -> None:
    """Take cells from the widest names until all columns fit."""
    names = [column for column in widths if column.fit is Fit.MIDDLE]
    while names and (excess := _width(widths) - width) > 0:
        widest = max(names, key=lambda column: widths[column])
        if widths[widest] <= _NAME_LEAST:
            return
        others = [widths[column] for column in names if column is not widest]
        floor = max([_NAME_LEAST, *(n - 1 for n in others if n < widths[widest])])
        widths[widest] = max(floor, widths[widest] - excess)


def _line(widths: Mapping[Column, int], cells: Mapping[Column, tuple[str, str]]) -> Line:
    from rich.cells import cell_len

    pieces: Line = []
    last = list(widths)[-1]
    for column, width in widths.items():
        text, style = cells[column]
        if column.fit is Fit.MIDDLE:
            text = cut_middle(text, width)
        blanks = ' ' * (width - cell_len(text))
        if column.right:
            pieces.append((blanks, ''))
        pieces.append((text, style))
        if column is not last:
            pieces.append((('' if column.right else blanks) + ' ' * _GAP, ''))
    return pieces
