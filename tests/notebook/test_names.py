"""Which names a cell reads and binds: example by example, and, for any program, that it needs no
others.
"""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from other_python import VERSIONS, run

from desipipe.cells.function import make_cell
from desipipe.cells.names import Names, find_names


def names(text: str) -> Names:
    return find_names(compile(text, '<test>', 'exec', dont_inherit=True))


def inputs(text: str) -> set[str]:
    return {name for name in names(text).inputs if not hasattr(builtins, name)} - {'__name__'}


MATCH = """match c:
    case {"x": a, **rest}:
        y = a, rest
    case [b, *more] if b > lim:
        y = b, more
    case K(z=q) | q:
        y = q
"""


EXAMPLES = [
    ('x = a\na = 1', 'a'),
    ('a = 1\nx = a', ''),
    ('a += 1', 'a'),
    ('if c:\n    a = 1\nx = a', 'c a'),
    ('if c:\n    a = 1\nelse:\n    a = 2\nx = a', 'c'),
    ('if c:\n    a = 1\nelse:\n    raise ValueError\nx = a', 'c'),
    ('for i in r:\n    x = i\ny = x', 'r x'),
    ('for i in r:\n    if i:\n        print(last)\n    last = i', 'r last'),
    ('while True:\n    if c:\n        break\n    x = 1\ny = x', 'c x'),
    ('try:\n    a = f()\nexcept KeyError as e:\n    a = e\nx = a', 'f'),
    ('try:\n    a = f()\nexcept KeyError:\n    pass\nx = a', 'f a'),
    ('try:\n    pass\nfinally:\n    a = 1\nx = a', ''),
    ('with o as h:\n    a = h\nx = a', 'o'),
    ('del a\n', 'a'),
    ('def f():\n    return a\na = 1\nf()', ''),
    ('def f():\n    return a\nf()\na = 1', 'a'),
    ('def f(x=a):\n    return x', 'a'),
    ('def f():\n    return g()\ndef g():\n    return b\nb = 1\nf()', ''),
    ('def f():\n    def g():\n        return b\n    return g', 'b'),
    ('h = lambda: b\nb = 1\nh()', ''),
    ('list(map(lambda x: x + b, r))', 'b r'),
    ('[i * j for i in r for j in s if k]', 'r s k'),
    ('{i: v for i, v in d.items()}', 'd'),
    ('[y := i for i in r]\nx = y', 'r y'),
    ("f'{v:{w}} {u!r}'", 'v w u'),
    ('class A(B):\n    z = k\n    def f(self): return later\nlater = 1\nA().f()', 'B k'),
    ('@deco\ndef f():\n    return f', 'deco'),
    (MATCH, 'c lim K'),
    ('import a.b\nfrom c import d as e\nx = a, e', ''),
    ('def f():\n    global g\n    g = 1\nf()\nx = g', 'g'),
    ('x: int = 1\ny: T\nz = x', 'T'),
    ('async def f():\n    return [i async for i in g]\n', 'g'),
    ('a = b = 1\n(c, [d, *e]) = q\nx = a, b, c, d, e', 'q'),
    ('assert a, m', 'a m'),
    ('p = a if b else c', 'a b c'),
    ('a[i] = o.x = v', 'a i o v'),
]


@pytest.mark.parametrize(('text', 'expected'), EXAMPLES)
def test_inputs(text: str, expected: str) -> None:
    assert inputs(text) == set(expected.split())


FIND = """
import json, sys
from desipipe.cells.names import find_names

def look(text):
    parts = find_names(compile(text, '<test>', 'exec', dont_inherit=True))
    return [[[name, part[name]] if isinstance(part, dict) else name for name in sorted(part) if not name.startswith('__')] for part in parts]

print(json.dumps(list(map(look, json.load(open('texts.json'))))))
"""


@pytest.mark.parametrize('version', VERSIONS)
def test_versions_of_python_agree(tmp_path: Path, version: str) -> None:
    """What is found is found in bytecode, which each version writes otherwise."""
    texts = [text for text, _ in EXAMPLES]
    (tmp_path / 'texts.json').write_text(json.dumps(texts))
    (tmp_path / 'find.py').write_text(FIND)
    own = subprocess.run(
        [sys.executable, 'find.py'], cwd=tmp_path, check=True, capture_output=True
    ).stdout
    for text, theirs, expected in zip(
        texts, json.loads(run(version, tmp_path, 'find.py')), json.loads(own), strict=True
    ):
        assert theirs == expected, text


def test_required_and_deleted() -> None:
    # Compilers write the last line twice: after the handler nothing can have assigned it.
    assert set(names('try:\n    a = f()\nexcept KeyError:\n    pass\nx = a').required) == {
        'f',
        'KeyError',
    }
    assert set(names('try:\n    a = f()\nfinally:\n    x = a').required) == {'f'}
    assert set(names('x = a\nif c:\n    b = 1\ny = b').required) == {'a', 'c'}, (
        'b may have been assigned'
    )
    assert names('a = 1\ndel a\nx = a').deleted == {'a': 3}
    assert 'g' not in names('def f():\n    global g\n    g = 1\nf()\nx = g').required
    assert names('x = 1\nfor y in []:\n    def z(): pass\nimport v.w as u').bound == {
        'x',
        'y',
        'z',
        'u',
    }


LETTERS = st.sampled_from('abcd')
EXPRESSIONS = st.one_of(
    st.builds('{0} + 1'.format, LETTERS),
    st.builds('{0} * {1}'.format, LETTERS, LETTERS),
    st.builds('sum({0} + k for k in range({1} % 4))'.format, LETTERS, LETTERS),
    st.builds('(lambda: {0})()'.format, LETTERS),
    st.builds('({0} := {1} - 1)'.format, LETTERS, LETTERS),
    st.builds('7 // ({0} % 3)'.format, LETTERS),
    st.builds('int(f"{{{0}:d}}")'.format, LETTERS),
    st.just('3'),
)
SIMPLE = st.one_of(
    st.builds('{0} = {1}'.format, LETTERS, EXPRESSIONS),
    st.builds('{0} += {1}'.format, LETTERS, EXPRESSIONS),
    st.builds('del {0}'.format, LETTERS),
    st.builds('{0}, {1} = {2}, {3}'.format, LETTERS, LETTERS, EXPRESSIONS, EXPRESSIONS),
    st.just('f()'),
)


def _indented(body: list[str]) -> str:
    return '\n'.join('    ' + line for statement in body for line in statement.split('\n'))


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    body = st.lists(inner, min_size=1, max_size=3).map(_indented)
    return st.one_of(
        st.builds('if {0} % 2:\n{1}'.format, LETTERS, body),
        st.builds('if {0} % 2:\n{1}\nelse:\n{2}'.format, LETTERS, body, body),
        st.builds(
            'for {0} in range({1} % 3):\n{2}\nelse:\n{3}'.format, LETTERS, LETTERS, body, body
        ),
        st.builds('try:\n{0}\nexcept ZeroDivisionError:\n{1}'.format, body, body),
        st.builds(
            'try:\n{0}\nexcept NameError:\n{1}\nelse:\n{2}\nfinally:\n{3}'.format,
            body,
            body,
            body,
            body,
        ),
        st.builds(
            'match {0} % 3:\n    case 0:\n        pass\n    case 1 | 2 as {1} if {2}:\n{3}'.format,
            LETTERS,
            LETTERS,
            LETTERS,
            body.map(lambda text: text.replace('    ', '        ', 1).replace('\n', '\n    ')),
        ),
        st.builds('class A:\n    {0} = {1}\n{0} = A.{0} + 1'.format, LETTERS, EXPRESSIONS),
        st.builds(
            'def f():\n    return {0}'.format, EXPRESSIONS.filter(lambda text: ':=' not in text)
        ),
        st.builds(
            'def f():\n    global {0}\n    {0} = {1}'.format,
            LETTERS,
            EXPRESSIONS.filter(lambda text: ':=' not in text),
        ),
    )


PROGRAMS = st.lists(st.recursive(SIMPLE, _compound, max_leaves=8), min_size=1, max_size=6).map(
    '\n'.join
)
NOTEBOOK: dict[str, Any] = {'a': 5, 'b': 7, 'c': 2, 'd': 4, 'f': int}


def outcome(code: Any, namespace: dict[str, Any]) -> Any:
    namespace = dict(namespace)
    try:
        exec(code, namespace)  # noqa: S102 (generated above)
    except (NameError, ArithmeticError, ValueError, RecursionError) as exc:
        return NameError if isinstance(exc, NameError) else type(exc)
    return {name: namespace[name] for name in 'abcd' if name in namespace}


@pytest.mark.filterwarnings('ignore::SyntaxWarning')
@settings(deadline=None, max_examples=200)
@given(PROGRAMS)
def test_cell_needs_nothing_but_its_inputs(text: str) -> None:
    code = compile(text, '<test>', 'exec', dont_inherit=True)
    cell_names = find_names(code)
    whole = outcome(code, NOTEBOOK)
    part = outcome(
        code,
        {
            name: value
            for name, value in NOTEBOOK.items()
            if name in cell_names.inputs or name in cell_names.bound - cell_names.sure
        },
    )
    if isinstance(whole, dict) and isinstance(part, dict):
        assert {name: whole[name] for name in whole if name in cell_names.bound} == {
            name: part[name] for name in part if name in cell_names.bound
        }
    else:
        assert whole == part


@pytest.mark.filterwarnings('ignore::SyntaxWarning')
@settings(deadline=None, max_examples=150)
@given(PROGRAMS)
def test_function_does_what_the_cell_does(text: str) -> None:
    """What it would leave in the notebook is what it returns."""
    code = compile(text, '<test>', 'exec', dont_inherit=True)
    cell_names = find_names(code)
    if cell_names.deleted:
        return
    whole = outcome(code, NOTEBOOK)
    for name in sorted(cell_names.bound & set('abcd')):
        cell = make_cell('%%desipipe', text, NOTEBOOK, outputs=[name])
        try:
            value = cell.func(**cell.inputs)
        except (NameError, ArithmeticError, ValueError, RecursionError) as exc:
            kind = NameError if isinstance(exc, NameError) else type(exc)
            assert whole == kind or (
                isinstance(whole, dict) and name not in whole and kind is NameError
            )
        else:
            assert isinstance(whole, dict) and value == whole[name]
