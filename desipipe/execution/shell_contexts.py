"""Find what a shell evaluates of a value, whatever quotes it stands in.

Arithmetic, subscripts and names of variables are expanded once more (``x='a[$(command)]'; ((x))``
runs the command), and `eval`, `trap` and inner shells read a text as commands again. It can't be
told from the quotes, and not always from the place: a value gets there by way of a variable. So a
template that has such a construct anywhere restricts what its values may hold; patterns are wide,
since all that is lost by a false alarm is a value with a dollar.
"""

from __future__ import annotations

import re
from enum import IntEnum

__all__ = ['Allowed', 'allowed', 'holds']


class Allowed(IntEnum):
    """The characters that a value may hold in a context."""

    TEXT = 0
    """Anything: nothing looks at it again."""
    NO_EXPANSION = 1
    """No dollar, no backtick, no ``<(``: an expansion finds nothing in it."""
    PLAIN = 2
    """Letters, digits and ``_@%+=:,./-`` only: it is the same word however often it is read."""


_SHELL = r'\b(?:ba|da|z|k|mk|a)?sh\b'
_PLACE = r'(?<![${])\{[^\W\d]\w*(?::[^{}\n]*)?\}'
_QUOTED = r"""(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\;&|])+"""

# Constructs that expand once more what they get.
_EXPANDS = re.compile(
    r"""
    \(\( | \$\[ | \[\[ | =\([^)]*\[          # arithmetic, conditions, arrays with subscripts
    | [A-Za-z_]\w*\[(?!\d+\]|[@*]\])                       # subscripts that are no number
    | \$\{\s*! | \$\{[^}\n]*(?::[^-+=?}]|@[A-Za-z]\})     # indirect, substring, transformed
    | (?:\[|\btest\b)[^\n;]*\s-[vR]\s | [<>]&(?![\d-]) | \{\w+\}[<>]
    | \b(?:let|declare|typeset|local|readonly|export|unset|read|mapfile|readarray)\b
    | \b(?:getopts|wait|coproc|compgen|complete|printf\s+-v)\b
    | \b(?:PS[0-4]|PROMPT_COMMAND)=
    """,
    re.VERBOSE,
)
# Constructs that read text as commands, where the text holds a variable or a value.
_READS = re.compile(
    rf"""
    \beval\b(?P<eval>(?:\s+{_QUOTED})*)
    | \b(?:trap|alias)\s+(?:--\s+)?(?P<trap>{_QUOTED})
    | (?:{_SHELL}|\b(?:su|runuser|script|flock)\b)[^\n;|&]*?\s-\w*c\s+(?P<command>{_QUOTED})
    | (?P<whole>{_SHELL}[^\n;|&]*<[<(]
        | \|\s*(?:\w+\s+)*{_SHELL}(?:\s|$)
        | (?:\bsource\b|(?:^|[;&|(\s])\.)\s+(?:<\(|/dev/stdin))
    # into which values are put
    | (?P<each>(?:\b(?:xargs|parallel)\b|\s-exec(?:dir)?\b)[^\n]*?{_SHELL}[^\n]*?\s-\w*c\b)
    | \b(?:ssh|watch)\b(?P<remote>[^\n]*)
    """,
    re.VERBOSE | re.DOTALL,
)
_OWN_COMMAND = re.compile(r'\$\([^(){}]*\)')
_VARIABLE = re.compile(r'\$\{?[A-Za-z_0-9@*]')
_EXPANSION = re.compile(r'[$`]|[<>]\(')
_PLAIN_WORD = re.compile(r'[\w@%+=:,./-]*', re.ASCII)


def allowed(template: str) -> Allowed:
    """Tell what the values of a template may hold.

    Parameters
    ----------
    template : str
        Commands for `bash`, with ``{name}`` for values.

    Returns
    -------
    allowed : Allowed
    """
    if any(_reads_values(match) for match in _READS.finditer(template)):
        return Allowed.PLAIN
    return Allowed.NO_EXPANSION if _EXPANDS.search(template) else Allowed.TEXT


def _reads_values(match: re.Match[str]) -> bool:
    if match['whole'] is not None or match['each'] is not None:
        return True
    text = next(
        text for text in match.group('eval', 'trap', 'command', 'remote') if text is not None
    )
    if re.search(_PLACE, text):
        return True
    if match['remote'] is not None or text.startswith("'"):
        return False
    # `eval "$(program)"` evaluates what the program prints; only a variable may hold a value.
    return bool(_VARIABLE.search(_OWN_COMMAND.sub('', text)))


def holds(text: str, limit: Allowed) -> bool:
    """Return True if a value holds no more than it may.

    Parameters
    ----------
    text : str
    limit : Allowed
    """
    if limit is Allowed.PLAIN:
        return bool(_PLAIN_WORD.fullmatch(text))
    return limit is Allowed.TEXT or not _EXPANSION.search(text)
