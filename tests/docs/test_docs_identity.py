"""The table of the page on identity says what is computed again."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from doc_blocks import ROOT

from desipipe import Environment, Queue, TaskManager

PAGE = ROOT / 'docs/explanation/identity.md'
SCRIPT = """
scale = 2
def weight(x, power=1):
    return x * scale
class Shape:
    size = 1
def total(x, more=3):
    value = weight(x)
    return value, Shape.size
"""
COMMENT = SCRIPT.replace('    value', '    """Weigh."""\n\n    # what it is\n    value')
CHANGES: dict[str, list[dict[str, Any]]] = {
    'the code of a cell or a function': [dict(edit=('return value', 'return 2 * value'))],
    'a helper function or a class': [
        dict(edit=('x * scale', 'scale * x')),
        dict(edit=('size = 1', 'size = 2')),
    ],
    'a global variable': [dict(edit=('scale = 2', 'scale = 3'))],
    'an argument, or a default of a helper': [
        dict(argument=2),
        dict(edit=('power=1', 'power=2')),
        dict(edit=('more=3', 'more=4')),
    ],
    '`1` to `1.0`': [dict(argument=1.0)],
    'the order of elements': [dict(before=[1, 2], argument=[2, 1])],
    'the order of keys': [dict(before={'a': 1, 'b': 2}, argument={'b': 2, 'a': 1})],
    'comments': [dict(edit=(SCRIPT, COMMENT))],
    'the name of a local variable': [dict(edit=('value', 'result'))],
    'options': [dict(app=dict(timeout=9)), dict(app=dict(retries=2)), dict(app=dict(priority=1))],
    'the environment': [
        dict(manager=dict(environ=Environment(data={'A': '1'}))),
        dict(manager=dict(scheduler=dict(max_workers=3))),
    ],
}


def rows() -> dict[str, str]:
    text = PAGE.read_text().partition('| you change |')[2].partition('\n\n')[0]
    return dict(re.findall(r'^\| (.+?) \| (.+?) \|$', text, re.MULTILINE))


def identity(
    folder: Path, text: str, argument: Any, manager: dict[str, Any], app: dict[str, Any]
) -> str:
    script = folder / f'version_{len(list(folder.glob("*.py")))}.py'
    script.write_text(text)
    names = runpy.run_path(str(script), run_name='__main__')
    tm = TaskManager(Queue('table'), **manager)
    return str(tm.python_app(names['total'], **app)(argument).id)


@pytest.mark.parametrize('begin', CHANGES)
def test_table_says_what_is_computed_again(begin: str, queue_dir: Path) -> None:
    (answer,) = (output for row, output in rows().items() if row.startswith(begin))
    for change in CHANGES[begin]:
        before, edit = change.get('before', 1), change.get('edit', ('', ''))
        first = identity(queue_dir, SCRIPT, before, {}, {})
        second = identity(
            queue_dir,
            SCRIPT.replace(*edit) if edit[0] else SCRIPT,
            change.get('argument', before),
            change.get('manager', {}),
            change.get('app', {}),
        )
        assert (second != first) is answer.startswith('yes'), (begin, change)
