"""Sentences that Python and TypeScript both write are the same: one file of fixtures for both.

The other side is `jupyter_ext/src/__tests__/words.spec.ts`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from desipipe.view.bundle import badge_html
from desipipe.view.text import badge_text, jobs_text

WORDS = json.loads((Path(__file__).parent / 'views' / 'words.json').read_text())


@pytest.mark.parametrize('case', WORDS['jobs'], ids=lambda case: str(case['text']))
def test_jobs_are_told_alike(case: Any) -> None:
    assert jobs_text(case['jobs'], case['groups'], WORDS['now']) == case['text']


@pytest.mark.parametrize('case', WORDS['badges'], ids=lambda case: str(case['text']))
def test_badges_are_told_alike(case: Any) -> None:
    assert badge_text(case['badge']) == case['text']
    assert badge_html(case['badge']) == case['html']
