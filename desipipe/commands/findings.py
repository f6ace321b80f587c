"""Findings of `desipipe doctor`, and how they are printed."""

from __future__ import annotations

from typing import NamedTuple

from .common import plural
from .face import print_json

_WORDS_MAX = 2000  # characters of a finding


class Finding(NamedTuple):
    """A check of ``desipipe doctor``, and its result."""

    check: str
    ok: bool | None
    """``None``: good to know."""
    words: str
    fix: str = ''
    """Command to type; may be empty."""


def show_findings(findings: list[Finding], as_json: bool) -> int:
    """Print findings, and return the exit status."""
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        from ..view.appearance import CONDITION_APPEARANCES
        from ..view.text import Line, one_line
        from .face import FACE, on_terminal
        from .tables import show_lines
        from .wrapping import wrap_lines

        looks = {
            True: CONDITION_APPEARANCES['done'],
            False: CONDITION_APPEARANCES['failed'],
            None: CONDITION_APPEARANCES['empty'],
        }
        width = FACE.get().console().width if on_terminal() else 0
        lines: list[Line] = []
        for finding in findings:
            look = looks[finding.ok]
            start = (f'{look.symbol} {finding.check}: ', look.colour)
            lines += wrap_lines([[start, (one_line(finding.words, _WORDS_MAX), '')]], width)
            if finding.fix:
                lines.append([('  → ', 'dim'), (finding.fix, 'bold')])
        bad = sum(finding.ok is False for finding in findings)
        lines.append([(f'{plural(bad, "thing")} to put right' if bad else 'All is well', 'bold')])
        show_lines(lines)
    return 1 if any(finding.ok is False for finding in findings) else 0
