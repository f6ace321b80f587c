"""Find the code blocks of a page of the documentation, and what comments say of them.

A comment directly above a block says how a test treats it:

==========================  ============================================================
``<!-- not run: WHY -->``   it is not executed
``<!-- file: NAME -->``     it is written to this file
``<!-- fails -->``          it must fail
``<!-- output -->``         it is what the block before it prints; ``…`` is any text
==========================  ============================================================

In reStructuredText the same stands behind ``..``. A comment that begins with ``run first`` holds
Python that readers need not see.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
EXECUTED = ('python', 'ipython', 'bash')
SHOWN = ('text', 'yaml', 'toml', 'json')
MARKS = ('not run', 'file', 'fails', 'output', 'run first')

_MARK = rf'(?P<mark>{"|".join(MARKS)})(?P<what>:? [^\n]*?|)'
_MARKDOWN = re.compile(
    rf'^(?P<indent>[ ]*)(?:<!-- {_MARK}(?:\n(?P<hidden>.*?)\n)?[ ]*-->[ ]*$'
    r'|(?P<fence>```+)(?P<language>[^`\n]*)\n(?P<text>.*?)(?<=\n)[ ]*(?P=fence)[ ]*$)',
    re.MULTILINE | re.DOTALL,
)
_REST = re.compile(
    rf'^(?P<indent>[ ]*)\.\. (?:{_MARK}$(?:\n(?P<hidden>(?:(?P=indent)[ ]+.*\n|[ ]*\n)*))?'
    r'|code-block::[ ]*(?P<language>\S*)\n(?P<text>(?:(?P=indent)[ ]+.*(?:\n|\Z)|[ ]*\n)*))',
    re.MULTILINE,
)


class Block(NamedTuple):
    """A code block, or a hidden one."""

    line: int
    language: str
    text: str
    mark: str = ''
    """One of ``MARKS``, or nothing."""
    what: str = ''
    """Reason, or name of a file."""


def pages() -> list[Path]:
    """Return the README and all pages, relative to the repository."""
    queue_path = (path for path in (ROOT / 'docs').rglob('*') if path.suffix in ('.md', '.rst'))
    kept = (path.relative_to(ROOT) for path in queue_path if '_build' not in path.parts)
    return [Path('README.md'), *sorted(kept)]


def blocks(text: str, suffix: str = '.md') -> list[Block]:
    """Return the code blocks of a page, without directives of the documentation.

    Parameters
    ----------
    text : str
    suffix : str, default='.md'
        ``.md`` or ``.rst``.
    """
    collected: list[Block] = []
    mark = what = ''
    for match in (_REST if suffix == '.rst' else _MARKDOWN).finditer(text):
        line = text.count('\n', 0, match.start()) + 1
        if match['mark'] == 'run first':
            collected.append(Block(line, 'python', _dedented(match['hidden'] or ''), 'run first'))
        elif match['mark']:
            mark, what = match['mark'], match['what'].lstrip(': ')
        elif not match['language'].startswith('{'):
            collected.append(Block(line, match['language'], _dedented(match['text']), mark, what))
            mark = what = ''
    return collected


def _dedented(text: str) -> str:
    lines = [line for line in text.splitlines() if not re.match(r'\s*:\w+:', line)]
    return textwrap.dedent('\n'.join(lines)).strip('\n') + '\n'
