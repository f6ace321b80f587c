"""Shell commands: values filled in as their quotes need it, run, and explained."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .shell_contexts import allowed
from .shell_limits import Limit
from .shell_options import OptionLimit
from .shell_process import call
from .shell_reader import CommandReader
from .shell_refusals import line_of
from .shell_values import ValueWriter

__all__ = ['fill', 'placeholders', 'run']


def placeholders(template: str) -> dict[str, int]:
    """Return the names that a template fills in, with the cell line of each.

    Parameters
    ----------
    template : str
        ``{name}`` or ``{name:format}`` is filled in; ``{{name}}`` and ``${NAME}`` are not, nor is
        anything in comments.

    Returns
    -------
    lines : dict

    Raises
    ------
    CellError
        A value stands where it cannot be quoted.
    """
    lines: dict[str, int] = {}

    def note(match: re.Match[str]) -> list[str]:
        lines.setdefault(match['name'], line_of(match))
        return ['0']

    _reader(template, note).read()
    return lines


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Fill in values so that the shell takes them literally, whatever the quotes.

    Parameters
    ----------
    template : str
        See :func:`placeholders`.
    values : mapping
        Lists and tuples become several words; within quotes and heredocs one text, with blanks
        between.

    Returns
    -------
    command : str

    Raises
    ------
    CellError
        A value stands where it cannot be quoted, or is none of the whole numbers that arithmetic
        takes.
    """

    def texts(match: re.Match[str]) -> list[str]:
        value = values[match['name']]
        items = value if isinstance(value, list | tuple) else [value]
        return [
            os.fsdecode(item)
            if isinstance(item, os.PathLike)
            else format(item, match['format'] or '')
            for item in items
        ]

    reader = _reader(template, lambda match: ['0'])
    reader.read()
    return _reader(template, texts, *reader.find_limits()).read()


def _reader(
    template: str,
    texts: Callable[[re.Match[str]], list[str]],
    limits: Mapping[str, Sequence[Limit]] | None = None,
    options: Mapping[str, Sequence[OptionLimit]] | None = None,
) -> CommandReader:
    values = ValueWriter(texts, allowed(template), limits or {}, options or {})
    return CommandReader(template, values)


def run(template: str, values: Mapping[str, Any]) -> str:
    """Run commands with values filled in; pass their stdout on, and return it.

    Parameters
    ----------
    template : str
        See :func:`placeholders`.
    values : mapping

    Returns
    -------
    out : str
        Without the last line's end.

    Raises
    ------
    CommandFailed
        The shell's exit status is not 0.
    """
    decoder = codecs.getincrementaldecoder('utf-8')('backslashreplace')
    pieces: list[str] = []

    def pass_on(data: bytes) -> None:
        pieces.append(decoder.decode(data, final=not data))
        sys.stdout.write(pieces[-1])
        sys.stdout.flush()

    call(fill(template, values), pass_on)
    return ''.join(pieces).removesuffix('\n')
