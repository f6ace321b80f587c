"""Tables of the command line: as wide as the terminal, values in pipes, structs as JSON."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from struct_checks import check_struct

from desipipe import Queue, TaskManager
from desipipe.cli import main
from desipipe.commands.face import FACE, Face
from desipipe.view import schema

NAME = 'compute_power_spectrum_multipoles_of_all_mocks_with_window_corrections'
MESSAGE = 'multi\nline — ünïcödé 日本語のメッセージ ' + 'and so on ' * 20


class Terminal(Face):
    """A terminal of some width; and the value of the JSON document."""

    def __init__(self, width: int) -> None:
        self.text = io.StringIO()
        self.width = width
        self.value: Any = None

    def seen(self) -> bool:
        return True

    def console(self) -> Console:
        return Console(file=self.text, width=self.width, highlight=False)

    def json(self, value: Any, line: bool = False) -> None:
        self.value = value


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A queue with long names, and tasks in five states."""
    queue = Queue('long', base_dir=tmp_path_factory.mktemp('queues'), create=True)
    tm = TaskManager(queue)

    def fails(x: int, message: str) -> int:
        if x:
            raise ValueError(message)
        return x

    fails.__name__ = fails.__qualname__ = NAME
    app = tm.python_app(fails)

    @tm.python_app
    def total(values: list[int]) -> int:
        return sum(values)

    total([app(i, MESSAGE) for i in range(2)])
    assert main(['work', '-q', queue.folder]) == 0

    @tm.python_app
    def later(x: int) -> int:
        return x

    later.map(x=range(3))
    return queue.folder


def printed(width: int, *argv: str) -> Terminal:
    """Run a verb for people who have a terminal of some width."""
    face = Terminal(width)
    token = FACE.set(face)
    try:
        main(argv)
    finally:
        FACE.reset(token)
    return face


VERBS = (['tasks'], ['time'], ['queues'], ['status'])


@pytest.mark.parametrize('verb', VERBS, ids=lambda verb: str(verb[0]))
@pytest.mark.parametrize('width', [80, 120])
def test_lines_fit_the_terminal(folder: str, verb: list[str], width: int) -> None:
    text = printed(width, *verb, '-q', folder).text.getvalue()
    too_long = [line for line in text.splitlines() if cell_len(line) > width]
    # Only what one types or copies is whole at any price.
    assert [line for line in too_long if not line.startswith(('    desipipe ', '  /'))] == []


def test_identity_state_and_reason_are_whole_at_80(folder: str) -> None:
    lines = printed(80, 'tasks', '-q', folder).text.getvalue().splitlines()
    tasks = Queue(folder).tasks()
    for task in tasks:
        (row,) = [line for line in lines if line.startswith(task.id[:12])]
        assert f' {task.index}  ' in row
    (i,) = [i for i, line in enumerate(lines) if 'FAILED' in line]
    assert 'compute_p' in lines[i] and 'corrections' in lines[i] and '…' in lines[i]
    assert lines[i + 1].startswith('    ValueError: multi line — ünïcödé 日本語のメッセージ')
    assert sum('✕ FAILED' in line for line in lines) == 1
    assert sum('○ PENDING' in line for line in lines) == 3


def test_wide_cuts_nothing(folder: str) -> None:
    lines = printed(60, 'tasks', '-q', folder, '--wide').text.getvalue().splitlines()
    (row,) = [line for line in lines if 'FAILED' in line]
    assert NAME in row and 'ünïcödé' in row


def test_columns_that_have_no_place_are_named(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    printed(70, 'tasks', '-q', folder)
    assert 'Columns left out: attempt, job. All: --wide' in capsys.readouterr().err


def test_pipes_get_values_in_the_order_that_was_asked_for(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(['tasks', '-q', folder, '--columns', 'state,index', '--sort', 'index', '--reverse'])
    header, *rows = capsys.readouterr().out.splitlines()
    assert header == 'state\tindex'
    assert [row.split('\t')[1] for row in rows] == ['2', '1', '1', '0', '0', '0']
    main(['tasks', '-q', folder, '--sort', 'time', '--limit', '1', '--columns', 'name'])
    assert capsys.readouterr().out.splitlines()[1] == NAME  # those without a time come last
    assert main(['tasks', '-q', folder, '--sort', 'stat']) == 2
    assert 'did you mean state' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('argv', 'struct', 'more'),
    [
        (['status'], schema.QueueSummary, ()),
        (['queues'], schema.QueueBrief, ('queue', 'error', 'succeeded', 'running', 'bad')),
        (['tasks'], schema.TaskSummary, ()),
        (['time'], schema.DurationsView, ()),
        (['explain', 'total'], schema.TaskDetail, ('words',)),
    ],
    ids=lambda item: item[0] if isinstance(item, list) else '',
)
def test_json_is_the_struct_that_the_page_states(
    folder: str, argv: list[str], struct: type, more: tuple[str, ...]
) -> None:
    value = printed(80, argv[0], '-q', folder, *argv[1:], '--json').value
    for item in value if isinstance(value, list) else [value]:
        assert all(name in item for name in more)
        check_struct({name: item[name] for name in item if name not in more}, struct)
