"""The changelog has the form of Keep a Changelog: sections, and a line for each entry."""

from __future__ import annotations

import re
from pathlib import Path

CHANGELOG = Path(__file__).resolve().parent.parent / 'CHANGELOG.md'
SECTIONS = ('Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security')
NOUNS = re.compile('(The|A|An|In|Of|What|Who|How|When|Whether|All|Added|Changed|Fixed)\\b')


def test_versions_have_sections_of_one_line_entries() -> None:
    section = ''
    wrong = []
    for line in CHANGELOG.read_text().partition('\n## ')[2].splitlines()[1:]:
        if line.startswith('## '):
            section = ''
        elif line.startswith('### '):
            section = line.removeprefix('### ')
            if section not in SECTIONS:
                wrong.append(line)
        elif line and section and not re.match('- [A-Z][a-z]+ ', line):
            wrong.append(line)
    assert wrong == []


def test_entries_begin_with_a_verb_and_are_short() -> None:
    entries = re.findall('^- (.*)$', CHANGELOG.read_text(), re.M)
    assert len(entries) > 100
    assert [entry for entry in entries if NOUNS.match(entry)] == []
    assert [entry for entry in entries if len(entry) > 320] == []
