"""Errors for values that are refused in commands, with what to write instead."""

from __future__ import annotations

import re

from ..errors import CellError
from .shell_contexts import Allowed
from .shell_limits import Limit
from .shell_options import OptionLimit

REFUSED = {  # where the placeholder is, and what to write instead
    'backticks': (
        'stands within backticks, where no value can be quoted safely',
        'Write $(...) instead of backticks.',
    ),
    'parameter': (
        'stands within ${{...}}, where text is read as code',
        'Assign it first, as in value={{{name}}}, and write $value.',
    ),
    'delimiter': (
        'is in the word that ends a heredoc, which has to be the same in all tasks',
        'Write a word.',
    ),
    'backslash': (
        'follows a backslash',
        'Take the backslash away, or write {{{{{name}}}}} for the braces themselves.',
    ),
    'nested': (
        'stands in a quoted heredoc that itself stands in a heredoc',
        'Print the inner text with: printf %s {{{name}}}',
    ),
    'parentheses': (
        'follows two parentheses that may be arithmetic or not',
        'Write them with a blank between: $( (...) ) or ( (...) )',
    ),
    'heredoc': (
        'stands in, or after, a heredoc whose last line is missing',
        'End it with a line of its own.',
    ),
}


def line_of(match: re.Match[str]) -> int:
    """Return the line of the cell that a placeholder is in; the magic's is 1."""
    return match.string.count('\n', 0, match.start()) + 2


def refused(match: re.Match[str], kind: str) -> CellError:
    """Return the error for a value in a place where none can be quoted."""
    where, instead = (text.format(name=match['name']) for text in REFUSED[kind])
    return CellError(
        f'Line {line_of(match):d} of the cell: {match[0]} {where}. Nothing was added. {instead}'
    )


def held(match: re.Match[str], text: str, limit: Allowed) -> CellError:
    """Return the error for a value that the shell would expand or run."""
    why = (
        'it is read as commands again'
        if limit is Allowed.PLAIN
        else 'it is expanded once more, as in arithmetic or subscripts'
    )
    what = (
        'may only have letters, digits and _@%+=:,./-'
        if limit is Allowed.PLAIN
        else 'must not have $, ` or <('
    )
    return CellError(
        f'Line {line_of(match):d} of the cell: {match[0]} is {text!r:.80}. In this cell there '
        f'are places where {why}, so that a value '
        f'{what}. Nothing was run. Put those places and this value into two cells.'
    )


def beyond(match: re.Match[str], text: str, limit: Limit) -> CellError:
    """Return the error for a value that is no data in a program."""
    language, name = limit.language, match['name']
    return CellError(
        f'Line {line_of(match):d} of the cell: {match[0]} is {text!r:.80}, and gets into '
        f'{limit.place}, which would not take it as it is. '
        f'Nothing was run. {language.advice.format(name=name)}'
    )


def is_option(match: re.Match[str], text: str, limit: OptionLimit) -> CellError:
    """Return the error for a value that a program would take for an option."""
    return CellError(
        f'Line {line_of(match):d} of the cell: {match[0]} is {text!r:.80}, which {limit.program} '
        f'would take as an option. Nothing was run. {limit.advice(match["name"])}'
    )
