"""Tracebacks of cells: the failing line is marked among those around it."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from desipipe.outputs.cell_traceback import failing_line, mark_failing_lines, raised_part

CELL = """\
%%desipipe check --for k=range(5)
# sizes

if k == 3:
    raise ValueError(helper(k))
checked = k


def helper(x):
    y = x
    return 1 / x
"""
HEAD = 'Traceback (most recent call last):\n'
TASK = (
    '  File "<%%desipipe check cbe38f2f>", line 5, in check\n    raise ValueError(helper(k))\n     '
    '                ^^^^^^^^^\n'
)
HELPER = (
    '  File "/tmp/ipykernel_21/15.py", line 12, in helper\n    return 1 / x\n           ~~^~~\n'
)
OTHER = '  File "/home/me/other.py", line 3, in f\n    return 1 / x\n'
END = 'ZeroDivisionError: division by zero\n'
TASK_MARKED = """\
  Cell %%desipipe check, line 5, in check
        3
        4 if k == 3:
  ----> 5     raise ValueError(helper(k))
        6 checked = k
"""
HELPER_MARKED = """\
  Notebook cell, line 12, in helper
       10 def helper(x):
       11     y = x
  ---> 12     return 1 / x
"""


@pytest.mark.parametrize(
    ('trace', 'marked', 'line'),
    [
        (HEAD + TASK + END, HEAD + TASK_MARKED + END, 5),
        (HEAD + TASK + HELPER + OTHER + END, HEAD + TASK_MARKED + HELPER_MARKED + OTHER + END, 5),
        (HEAD + HELPER + END, HEAD + HELPER_MARKED + END, 11),
        (HEAD + OTHER + END, HEAD + OTHER + END, None),
        (
            HEAD + HELPER.replace('helper', 'unknown') + END,
            HEAD + HELPER.replace('helper', 'unknown') + END,
            None,
        ),
        (
            HEAD + TASK.replace('line 5', 'line 500') + END,
            HEAD + TASK.replace('line 5', 'line 500') + END,
            None,
        ),
        (END, END, None),
        ('', '', None),
    ],
    ids=[
        'cell',
        'helper of another cell',
        'only a helper',
        'a file',
        'a function that is not there',
        'a line that is not there',
        'no frames',
        'nothing',
    ],
)
def test_failing_lines_are_marked(trace: str, marked: str, line: int | None) -> None:
    assert mark_failing_lines(trace, CELL) == marked
    assert failing_line(trace, CELL) == line


def group_trace(cause: str = '') -> str:
    """Return how Python prints a group that line 3 of a cell raises, of a member of line 2."""
    code = """\
def member(): raise ValueError('one')

def fail(n):
    try:
        member()
    except ValueError as exc:
        error = exc
    raise ExceptionGroup('two', [error, error])
"""
    code = code.replace('    raise Exc', cause + '    raise Exc')
    names: dict[str, Any] = {}
    exec(compile(code, '<%%desipipe check cbe38f2f>', 'exec'), names)  # noqa: S102
    try:
        names['fail'](1)
    except BaseException as exc:
        return ''.join(traceback.format_exception(exc))
    raise AssertionError('nothing was raised')


@pytest.mark.parametrize(
    ('cause', 'line'),
    [
        ('', 8),
        ('    try: member()\n    except ValueError as exc: pass\n', 10),
        ('    if n: raise KeyError(n) from ExceptionGroup("a", [error])\n', 8),
        ('    try: raise error\n    finally:\n     ', 10),
    ],
)
def test_failing_line_of_a_group_is_where_it_was_raised(cause: str, line: int) -> None:
    trace = group_trace(cause)
    assert failing_line(trace, '\n' * 20) == line, trace
    assert raised_part(trace).count('line ') <= 2, trace


def test_mark_leaves_what_is_ambiguous() -> None:
    """Two equal lines of a function: which of them failed is not known."""
    code = 'def helper(x):\n    return 1 / x\n    return 1 / x\n'
    assert mark_failing_lines(HELPER, code) == HELPER and failing_line(HELPER, code) is None
