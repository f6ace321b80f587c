"""The structs of views: used by builders and routes, the same as the tables of the engine, and not
loaded by who only shows them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from desipipe.queue.events import STATES
from desipipe.server import cell_routes, looks, requests, routes
from desipipe.view import schema
from desipipe.view.appearance import (
    APPEARANCES,
    BAD_STATES,
    BADGE_SYMBOLS,
    CONDITION_APPEARANCES,
    LEFT_STATES,
)
from desipipe.view.structs import constraints, is_struct, members
from desipipe.view.tasks import ORDERS

ROOT = Path(__file__).resolve().parent.parent


def values(annotation: object) -> list[str]:
    """All strings that an annotation allows."""
    return [
        value
        for part in (annotation, *typing.get_args(annotation))
        if typing.get_origin(part) is typing.Literal
        for value in typing.get_args(part)
    ]


def test_names_are_those_of_the_engine() -> None:
    assert sorted(values(schema.StateName)) == sorted(STATES)
    assert sorted(values(schema.ShownState)) == sorted(APPEARANCES)
    assert values(schema.Condition) == list(CONDITION_APPEARANCES)
    assert values(schema.BadgeState) == list(BADGE_SYMBOLS)
    assert {*BAD_STATES, *LEFT_STATES, 'SUCCEEDED'} == set(STATES)
    order = next(member for member in members(requests.TasksRequest) if member.name == 'order')
    assert values(constraints(order.type)[0]) == ['', *ORDERS]


@pytest.mark.parametrize(
    'route', [*routes.QUERIES, *cell_routes.TEXTS], ids=lambda route: str(route.path)
)
def test_route_asks_and_answers_what_its_function_takes(route: routes.Route) -> None:
    hints = typing.get_type_hints(route.answer, include_extras=True)
    assert (hints['asked'], hints['return']) == (route.request, route.result)


def structs() -> list[type]:
    """All structs of views."""
    return [item for item in vars(schema).values() if is_struct(item)]


def test_structs_are_used() -> None:
    used = {struct.__name__ for struct in structs() if is_named(struct)}
    assert {struct.__name__ for struct in structs()} - used == set()


def is_named(struct: type) -> bool:
    """Return True if a builder, a route or another struct names it."""
    from test_layers import PACKAGE

    texts = [path.read_text() for path in PACKAGE.rglob('*.py')]
    return sum(len(re.findall(rf'\b{struct.__name__}\b', text)) for text in texts) > 1


@pytest.mark.parametrize(
    'code',
    [
        'from desipipe.commands import show, tables; from desipipe.view import queue, text',
        'from desipipe.notebook.displays import cell, queue',
    ],
)
def test_structs_cost_no_start(code: str) -> None:
    check = f'{code}; import sys; sys.exit("desipipe.view.schema" in sys.modules)'
    subprocess.run([sys.executable, '-c', check], check=True)
    assert looks.TEXT_MAX  # the server, which lives long, has them


def test_generated_interfaces_are_those_of_the_schema() -> None:
    """They are written by ``python jupyter_ext/view_types.py``."""
    script = ROOT / 'jupyter_ext' / 'view_types.py'
    subprocess.run([sys.executable, script, '--check'], check=True)


def test_stale_interfaces_are_found(tmp_path: Path) -> None:
    written = tmp_path / 'src' / 'generated' / 'view.ts'
    script = shutil.copy(ROOT / 'jupyter_ext' / 'view_types.py', tmp_path)
    subprocess.run([sys.executable, script], check=True)
    subprocess.run([sys.executable, script, '--check'], check=True)
    text = written.read_text()
    assert 'export interface ICellView' in text
    written.write_text(text.replace('  superseded: number;', ''))
    done = subprocess.run([sys.executable, script, '--check'], capture_output=True, text=True)
    assert done.returncode == 1 and 'is stale' in done.stderr
