"""Sentences that Python and TypeScript both write are the same: one file of fixtures for both.

The other side is `words.spec.ts` and `format.spec.ts` of `jupyter_ext/src/__tests__`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from desipipe.cells.plan import cost_text
from desipipe.utils import format_bytes, format_count, format_duration, plural, plural_about
from desipipe.view.appearance import APPEARANCES, CONDITION_APPEARANCES, CONDITION_WORDS
from desipipe.view.bundle import badge_html
from desipipe.view.failures import kinds_text
from desipipe.view.folded_outputs import last_line
from desipipe.view.text import badge_text, jobs_text, left_text, rate_text, span

WORDS = json.loads((Path(__file__).parent / 'views' / 'words.json').read_text())
FORMATS = json.loads((Path(__file__).parent / 'views' / 'formats.json').read_text())
FORMATTERS: dict[str, Callable[[Any], str]] = {
    'durations': span,
    'clocks': format_duration,
    'bytes': format_bytes,
    'counts': format_count,
    'plurals': plural,
    'cpus': lambda value: plural_about(value, 'CPU'),
    'rates': rate_text,
    'costs': lambda value: ', '.join(cost_text(value, 2 * value)),
    'left': lambda left: left_text(1000 + left, 1000),
}


@pytest.mark.parametrize(
    ('kind', 'value', 'text'),
    [(kind, *case) for kind in FORMATTERS for case in FORMATS[kind]],
)
def test_quantities_are_told_alike(kind: str, value: Any, text: str) -> None:
    assert FORMATTERS[kind](value) == text


def test_states_and_conditions_are_told_alike() -> None:
    assert FORMATS['states'] == {
        state: state.lower() for state in APPEARANCES if state != 'CLAIMED'
    }
    assert FORMATS['conditions'] == CONDITION_WORDS
    assert CONDITION_APPEARANCES.keys() | {'unreadable'} == CONDITION_WORDS.keys()


@pytest.mark.parametrize('case', WORDS['jobs'], ids=lambda case: str(case['text']))
def test_jobs_are_told_alike(case: Any) -> None:
    assert jobs_text(case['jobs'], case['groups'], WORDS['now']) == case['text']


@pytest.mark.parametrize('case', WORDS['failures'], ids=lambda case: str(case['text']))
def test_kinds_of_failures_are_told_alike(case: Any) -> None:
    assert kinds_text(case['kinds']) == case['text']


@pytest.mark.parametrize('case', WORDS['last_lines'], ids=lambda case: str(case['text']))
def test_last_lines_are_told_alike(case: Any) -> None:
    assert last_line(case['outputs']) == case['text']


@pytest.mark.parametrize('case', WORDS['badges'], ids=lambda case: str(case['text']))
def test_badges_are_told_alike(case: Any) -> None:
    assert badge_text(case['badge']) == case['text']
    assert badge_html(case['badge']) == case['html']
