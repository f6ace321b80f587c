"""The text of a cell alone stands for the function that was made of it."""

from __future__ import annotations

import inspect

import pytest

from desipipe.cells.function import make_cell
from desipipe.cells.recorded import cell_node
from desipipe.serialize import source, syntax_trees

BODIES = {
    'b = a + 1': 3,
    'a': None,
    'from __future__ import annotations\nb: int = a': 2,
    'from math import *\nb = floor(a + 0.5)': 2,
    'size = a\nclass Box:\n    size = size\nb = Box.size': 2,
    'b = 0\ndef count():\n    global b\n    b += a\ncount()': 2,
    'global b\nb = a': 2,
    'try:\n    b = a\nexcept NameError:\n    b = 0': 2,
    'text = "class global *"\nb = text * a;': 'class global *class global *',
}


@pytest.mark.parametrize('body', BODIES)
def test_stored_functions_are_the_same(body: str) -> None:
    func = make_cell('%%desipipe --timeout 3', body, {'a': 2}).func
    made = source.find(func.__code__, {})
    assert made is not None
    node = cell_node(f'%%desipipe --timeout 3\n{body}', list(inspect.signature(func).parameters))
    assert syntax_trees.tree(node) == syntax_trees.tree(made.node)
    assert [item.lineno for item in node.body] == [item.lineno for item in made.node.body]


@pytest.mark.parametrize('body', BODIES)
def test_stored_function_returns_values_of_cell(body: str) -> None:
    cell = make_cell('%%desipipe', body, {'a': 2})
    assert cell.func(**cell.inputs) == BODIES[body]
