"""Only ``desipipe.queue.transactions`` makes events."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from desipipe.queue.events import EventKind

PACKAGE = Path(__file__).resolve().parent.parent / 'desipipe'
# The first line of a journal names its format; the store makes it, which knows no other event.
HEADER = PACKAGE / 'store/journal_file.py'
# What was read gets another form here.
FORMS = PACKAGE / 'queue/packing.py'
EVENTS = {
    node.name
    for name in ('task_events', 'attempt_events', 'process_events')
    for node in ast.parse((PACKAGE / f'queue/{name}.py').read_text()).body
    if isinstance(node, ast.ClassDef) and node.name.endswith('Event')
}


def made_events(text: str) -> Iterator[int]:
    """Yield the lines of a module on which a dictionary with an event's kind is written."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Dict):
            yield from (
                node.lineno
                for key, value in zip(node.keys, node.values, strict=True)
                if _is_kind(key, value)
            )
        elif isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'dict':
            yield from (node.lineno for item in node.keywords if item.arg == 'e')
        elif isinstance(node, ast.Call) and getattr(node.func, 'id', '') in EVENTS:
            yield node.lineno


def _is_kind(key: ast.expr | None, value: ast.expr) -> bool:
    if not (isinstance(key, ast.Constant) and key.value == 'e'):
        return False
    if isinstance(value, ast.Constant):
        return value.value in set(EventKind)
    return isinstance(value, ast.Attribute) and getattr(value.value, 'id', '') == 'EventKind'


def test_events_are_made_by_transactions_alone() -> None:
    wrong = [
        f'{path.relative_to(PACKAGE)}:{line}'
        for path in sorted(PACKAGE.rglob('*.py'))
        if path not in (HEADER, FORMS) and path.parent != PACKAGE / 'queue/transactions'
        for line in made_events(path.read_text())
    ]
    assert wrong == []


def test_events_of_each_kind_are_made() -> None:
    text = '\n'.join(path.read_text() for path in (PACKAGE / 'queue/transactions').glob('*.py'))
    names = {kind: name for name, kind in vars(EventKind).items() if kind in list(EventKind)}
    assert names.keys() == set(EventKind)
    assert [kind for kind in EventKind if f'EventKind.{names[kind]}' not in text] == ['queue']


@pytest.mark.parametrize(
    'text',
    [
        "event = {'e': 'run', 'rows': []}",
        "event = {'e': EventKind.RUN}",
        "event = {**other, 'e': 'end'}",
        "event = dict(e='add')",
        "event = RunEvent(e='run')",
    ],
)
def test_made_events_are_found(text: str) -> None:
    assert list(made_events(text)) == [1]
    assert list(made_events("streams = {'o': b'', 'e': b''}")) == []
