"""Options of verbs that print a table."""

from __future__ import annotations

import argparse
from typing import NamedTuple

from .common import describe


class ListingOptions(NamedTuple):
    """The part of a table that is printed, and its order."""

    wide: bool = False
    """All columns, whole, however long the lines get."""
    columns: tuple[str, ...] = ()
    """Titles of the columns to print, in this order; none: all."""
    sort: str = ''
    """Title of the column to sort by; empty: as they come."""
    reverse: bool = False
    """From the largest to the smallest."""


WHOLE_TABLE = ListingOptions()
"""All columns, in the order in which rows come."""


def add_listing(parser: argparse.ArgumentParser, titles: str) -> None:
    """Declare ``--columns``, ``--sort``, ``--reverse`` and ``--wide``.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    titles : str
        Titles of the columns, separated by blanks.
    """
    add = parser.add_argument
    choices = titles.split()
    add(
        '--columns',
        nargs='+',
        type=_column_names,
        choices=choices,
        default=(),
        metavar='COLUMN',
        help='print only these columns, in this order',
    )
    add('--sort', choices=choices, default='', metavar='COLUMN', help='sort by this column')
    add('--reverse', action='store_true', help='sort from the largest to the smallest')
    add('--wide', action='store_true', help='show all columns whole, in lines of any length')
    describe(parser, f'Columns: {", ".join(choices)}.')


def _column_names(text: str) -> list[str]:
    """Return the titles in a word; commas may divide them, as for `ps` and `squeue`."""
    return [name for name in text.lower().split(',') if name]


def listing_options(args: argparse.Namespace) -> ListingOptions:
    """Return what was asked of a table."""
    columns = tuple(name for names in args.columns for name in names)
    return ListingOptions(args.wide, columns, args.sort, args.reverse)
