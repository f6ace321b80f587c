"""Commands, as one types them in a notebook."""

from __future__ import annotations

import re
from functools import cache

from ..commands.common import Verbs
from ..commands.parser import build_parser

PROG = '%desipipe'


@cache
def _command() -> re.Pattern[str]:
    verbs = [
        verb for verb in Verbs.of(build_parser()) if verb != 'completion'
    ]  # which is for shells
    # Bold, it begins after an escape sequence, whose last character is a letter.
    return re.compile(rf'(?:(?<=\x1b\[1m)|(?<![\w%./-]))desipipe (?=(?:{"|".join(verbs)})\b)')


def typed(text: str) -> str:
    """Return a text with commands as one types them in a notebook.

    ``%desipipe retry`` for ``desipipe retry``.

    Parameters
    ----------
    text : str

    Returns
    -------
    text : str
    """
    return _command().sub(f'{PROG} ', text) if 'desipipe ' in text else text
