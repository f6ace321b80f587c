"""Identities: equal wherever they are made of the same, different wherever they are not."""

from __future__ import annotations

import abc
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import importlib.util
import itertools
import json
import linecache
import math
import operator
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import textwrap
import threading
import types
import typing
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from other_python import VERSIONS, run

from desipipe.errors import NotSerializableError
from desipipe.serialize import Code, TaskReference, current, describe, encode, loads, task_identity

USERCODE = Path(__file__).parent / 'usercode'
Load = Callable[..., Any]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Import text as a module of the user: ``load(text, name='pipeline', **other)``, each time from
    a folder of its own.

    What it and ``other`` (name: text, with `/` for packages) hold can import each other.
    """
    number = itertools.count()
    before = dict(sys.modules)

    def clean() -> None:
        for name in set(sys.modules) - set(before):
            file = getattr(sys.modules[name], '__file__', None) or ''
            if file.startswith(str(tmp_path)):
                del sys.modules[name]

    def load(text: str, name: str = 'pipeline', **other: str) -> Any:
        clean()
        folder = tmp_path / f'folder{next(number)}'
        monkeypatch.setattr(
            sys,
            'path',
            [str(folder), *(path for path in sys.path if not path.startswith(str(tmp_path)))],
        )
        for key, content in {name: text, **other}.items():
            path = folder / f'{key}.py'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(content))
        importlib.invalidate_caches()
        spec = importlib.util.spec_from_file_location(name, folder / f'{name}.py')
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    yield load
    clean()


def digest(load: Load, text: str, **other: str) -> bytes:
    return describe(load(text, **other).f).digest


# --------------------------------------------------------------------------------------------------
# Code: what does not matter

BASE = """
    import math
    N = 3

    def g(x):
        return math.sin(x) * N

    def f(seed=1, size=10):
        total = g(seed) + size
        return [total for i in range(3)]
"""


def test_comments_and_formatting_do_not_matter(load: Load) -> None:
    other = """
    # A comment.
    import math
    import os  # not used by f
    UNUSED = object()
    N = 3



    def f(seed=1, size=10):
        '''What it does.'''
        # Add.
        total = ( g( seed )
                  + size )   # here
        return [total
                for i in range(3)]

    def unused():
        return UNUSED

    def g(x):
        "More words."
        return (math.sin(x) * N)
    """
    assert digest(load, BASE) == digest(load, other)


@pytest.mark.parametrize(
    ('a', 'b'),
    [
        ('def f(x: int) -> float: return x', 'def f(x): return x'),
        ('def f(x):\n    y: int = x\n    return y', 'def f(x):\n    y: float = x\n    return y'),
        ('def f(x=1, *, y=2): return x', 'def f(x=3, *, y=4): return x'),
        ('def f(): return u\'a\' \'b\' """c"""', "def f(): return 'abc'"),
        ('def f(): return 0x10 + 1_000', 'def f(): return 16 + 1000'),
        ('def d(g): return g\n@d\ndef f(): return 1', 'def f(): return 1'),
        (
            (
                'class D:\n    def app(self, **k): return lambda g: g\nt = '
                'D()\n@t.app(name="x")\ndef f(): return 1'
            ),
            'def f(): return 1',
        ),
        ('async def f(): return 1', '# async\nasync def f():\n\n    return (1)'),
        ('f = lambda x: x + 1', 'f = (lambda x :\n     x  +  1)'),
        ('a, f = 1, lambda x: x + 1; g = lambda x: x + 2', 'f = lambda x: x + 1'),
        ('S = {"a", "b", "c"}\ndef f(): return S', 'S = {"c", "a", "b"}\ndef f(): return S'),
        ('S = dict(a=1, b=2)\ndef f(): return S', 'S = dict(b=2, a=1)\ndef f(): return S'),
        (
            'D = {"a": lambda: 1, "b": lambda: 2}\ndef f(): return D',
            'D = {"b": lambda: 2, "a": lambda: 1}\ndef f(): return D',
        ),
        (
            'x = 1\ndef f():\n    class A:\n        x = 1\n        y = x\n    return A',
            'x = 2\ndef f():\n    class A:\n        x = 1\n        y = x\n    return A',
        ),
        ('def f(x): return __name__', '"""Words."""\ndef f(x): return __name__'),
    ],
)
def test_equal(load: Load, a: str, b: str) -> None:
    assert digest(load, a) == digest(load, b)


# --------------------------------------------------------------------------------------------------
# Code: what matters

CHANGES = [
    entry.split('\n', 1) for entry in (USERCODE / 'changes.txt').read_text().split('\n## ')[1:]
]


@pytest.mark.parametrize(
    'versions', [pytest.param(versions, id=what) for what, versions in CHANGES]
)
def test_different(load: Load, versions: str) -> None:
    a, b = versions.split('\n--\n')
    first = describe(load(a).f)
    again = describe(load('# Moved.\n\n\n' + a).f)
    other = describe(load(b).f)
    assert first.digest == again.digest
    assert first.parts == again.parts
    assert first.digest != other.digest
    assert first.parts != other.parts, 'a difference that explain cannot name'


def test_kind_matters(load: Load) -> None:
    f = load('def f(): return "ls"').f
    assert describe(f, 'python').digest != describe(f, 'bash').digest
    with pytest.raises(ValueError, match='python, bash, cell'):
        describe(f, 'fortran')


# --------------------------------------------------------------------------------------------------
# The same in every process


def python(folder: Path, *args: str, **environ: str) -> str:
    """Run Python in a folder, with the library that is tested; what it prints."""
    path = [str(Path(__file__).parent.parent), environ.pop('PYTHONPATH', '')]
    environ = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join(filter(None, path)),
        'PYTHONDONTWRITEBYTECODE': '1',
        **environ,
    }
    done = subprocess.run(
        [sys.executable, *args], cwd=folder, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def usercode(tmp_path: Path) -> Path:
    folder = tmp_path / 'usercode'
    shutil.copytree(USERCODE, folder, ignore=shutil.ignore_patterns('__pycache__'))
    return folder


def test_processes_agree(usercode: Path, tmp_path: Path) -> None:
    first = json.loads(python(usercode, 'pipeline.py', PYTHONHASHSEED='0'))
    assert first['packages'] == ['numpy']
    expected = {
        'function fraction',
        'class Model',
        'function area',
        'module helpers.smooth',
        'module helpers.SCALE',
        'global EDGES',
        'function twice.wrapper',
    }
    assert expected <= set(first['parts'])
    assert not any('lock' in part or 'unused' in part for part in first['parts'])
    assert json.loads(python(usercode, 'pipeline.py', PYTHONHASHSEED='1')) == first
    # Elsewhere, with other line numbers, from another working directory.
    moved = tmp_path / 'moved' / 'deeper'
    shutil.copytree(usercode, moved)
    for name in ('pipeline.py', 'helpers.py'):
        text = (moved / name).read_text()
        (moved / name).write_text(
            '#\n' * 17 + text.replace('\n\n\ndef ', '\n\n\n# A comment.\n\n\ndef ')
        )
    assert json.loads(python(tmp_path, str(moved / 'pipeline.py'), PYTHONHASHSEED='2')) == first
    # Imported instead of run.
    command = 'import json, pipeline; print(json.dumps(pipeline.identities()))'
    imported = json.loads(
        python(tmp_path, '-c', command, PYTHONPATH=str(moved), PYTHONHASHSEED='3')
    )
    assert imported == {key: value for key, value in first.items() if key != 'result'}
    # Optimised: assertions and documentation are gone from the bytecode.
    assert json.loads(python(usercode, '-OO', 'pipeline.py', PYTHONHASHSEED='4')) == first


def test_notebook_cells_agree_with_scripts(usercode: Path) -> None:
    first = json.loads(python(usercode, 'pipeline.py'))
    runner = """
        import json, sys
        from IPython.core.interactiveshell import InteractiveShell

        shell = InteractiveShell.instance()
        if sys.argv[1] == 'kernel':
            from ipykernel.compiler import XCachingCompiler  # cells are named as files in a folder of this process
            shell.compile = XCachingCompiler()
        text = open('pipeline.py').read().partition("if __name__ == '__main__'")[0]
        cells = text.split('\\n\\n\\n')
        if sys.argv[1] == 'cells':
            cells = [f'# {i}\\n' * i + '%time 1\\n' + cell for i, cell in enumerate(cells)]
        for cell in cells:
            if cell.strip():
                result = shell.run_cell(cell, store_history=True, silent=False)
                result.raise_error()
        with open('out.json', 'w') as file:
            json.dump(shell.user_ns['identities'](), file)
    """
    (usercode / 'runner.py').write_text(textwrap.dedent(runner))
    del first['result']
    for how in ('shell', 'cells', 'kernel'):
        python(usercode, 'runner.py', how, HOME=str(usercode), IPYTHONDIR=str(usercode / 'ipython'))
        assert json.loads((usercode / 'out.json').read_text()) == first, how


def test_payload_runs_elsewhere_and_keeps_its_identity(usercode: Path, tmp_path: Path) -> None:
    first = json.loads(python(usercode, 'pipeline.py', str(tmp_path / 'payload')))
    shutil.rmtree(usercode)
    command = """
import json, sys
from desipipe.serialize import current, describe, loads
payload = open('payload', 'rb').read()
func = loads(payload)
code = describe(func)
print(json.dumps({'code': code.digest.hex(), 'parts': code.parts, 'packages': code.packages, 'result': float(func(1, 2)), 'again': current(code)}))
"""
    (tmp_path / 'elsewhere').mkdir()
    document = json.loads(python(tmp_path, '-c', command, PYTHONHASHSEED='7'))
    assert document.pop('again') is True
    assert document == {key: first[key] for key in document}


@pytest.mark.parametrize('version', VERSIONS)
def test_versions_of_python_agree(usercode: Path, version: str) -> None:
    # Without NumPy, which is compiled for one version.
    text = (usercode / 'pipeline.py').read_text()
    text = (
        text.replace('import numpy as np\n', '')
        .replace('np.linspace(0.0, 1.0, 7)', '[0.0, 1.0]')
        .replace('np.sum', 'sum')
        .replace('np.arange(5.0)', '0')
    )
    (usercode / 'pipeline.py').write_text(text)
    assert json.loads(run(version, usercode, 'pipeline.py')) == json.loads(
        python(usercode, 'pipeline.py')
    )


# --------------------------------------------------------------------------------------------------
# What differs is named


@pytest.mark.parametrize(
    ('old', 'new', 'parts'),
    [
        ('N = 3', 'N = 4', {'global N'}),
        ('math.sin(x) * N', 'math.cos(x) * N', {'function g'}),
        ('i in range(3)', 'i in range(4)', {'function f'}),
        ('import math', 'import cmath as math', {'global math'}),
    ],
)
def test_parts_name_the_difference(load: Load, old: str, new: str, parts: set[str]) -> None:
    a, b = describe(load(BASE).f).parts, describe(load(BASE.replace(old, new)).f).parts
    assert {name for name in a.keys() | b.keys() if a.get(name) != b.get(name)} == parts
    assert list(a)[0] == 'function f'


def test_source_is_for_people(load: Load) -> None:
    source = describe(
        load(
            'def d(g): return g\n'
            + textwrap.dedent(BASE)
            .replace('def f', '@d\ndef f')
            .replace('    total', '    # Sum.\n    total')
        ).f
    ).source
    assert source.startswith('def f(seed=1, size=10):\n    # Sum.\n    total = g(seed) + size\n')
    assert '\ndef g(x):\n    return math.sin(x) * N\n' in source
    assert '# global N: 3' in source
    compile(source, 'source', 'exec')


def test_packages(load: Load) -> None:
    text = """
        import json
        import numpy as np
        import yaml
        from hypothesis import given as g
        def helper():
            from rich.console import Console
            import not_there_at_all
            return Console
        def f(): return np, g, helper, json
    """
    assert describe(load(text).f).packages == ('hypothesis', 'numpy', 'rich')


# --------------------------------------------------------------------------------------------------
# Modules of the user

USER = 'import helpers\ndef f(x): return helpers.g(x)'
HELPERS = (
    'import math\nM = 1\ndef h(): return M\ndef g(x): return h()\ndef unused(): return 1\nhandle = '
    'open(__file__)\n'
)


EDITED = [
    ('return M', 'return M + 1', False),
    ('M = 1', 'M = 2', False),
    ('return 1', 'return 2', True),
    ('math', 'cmath', True),
]


@pytest.mark.parametrize(('old', 'new', 'same'), EDITED)
@pytest.mark.parametrize(
    'user',
    [
        USER,
        'from helpers import g\ndef f(x): return g(x)',
        'import helpers as k\ndef f(x): return (lambda: k.g)()(x)',
    ],
)
def test_modules_count_by_what_is_used(
    load: Load, user: str, old: str, new: str, same: bool
) -> None:
    assert (
        digest(load, user, helpers=HELPERS) == digest(load, user, helpers=HELPERS.replace(old, new))
    ) is same


def test_module_that_is_used_as_it_is_counts_as_a_whole(load: Load) -> None:
    user = 'import helpers\ndef f(name): return getattr(helpers, name)()'
    helpers = 'import math\nM = 1\ndef g(): return M\ndef h(): return 2\n'
    first = describe(load(user, helpers=helpers).f)
    assert {'module helpers', 'module helpers.g', 'module helpers.h', 'module helpers.M'} <= set(
        first.parts
    )
    assert first.digest != digest(load, user, helpers=helpers.replace('return 2', 'return 3'))
    assert first.digest != digest(load, user, helpers=helpers + 'K = 1')
    assert first.digest == digest(load, user, helpers='# Words.\n' + helpers)
    with pytest.raises(
        NotSerializableError, match="the module 'helpers' has 'handle' .an open file"
    ):
        describe(load(user, helpers=HELPERS).f)


def test_packages_of_the_user(load: Load) -> None:
    user = 'import pkg.sub\ndef f(): return pkg.sub.g()'
    other = {
        'pkg/__init__': '',
        'pkg/sub': 'from .other import N\ndef g(): return N',
        'pkg/other': 'N = 1',
    }
    first = describe(load(user, **other).f)
    assert set(first.parts) == {'function f', 'module pkg.sub.g', 'module pkg.sub.N'}
    assert first.digest != digest(load, user, **{**other, 'pkg/other': 'N = 2'})


IMPORTING = {
    'import': 'def f(x):\n    import helpers\n    return helpers.g(x)',
    'from': 'def f(x):\n    from helpers import g\n    return g(x)',
    'in a package': 'def f(x):\n    from pkg.helpers import g\n    return g(x)',
    'package member': 'def f(x):\n    from pkg import helpers\n    return helpers.g(x)',
    'nested': (
        'def f(x):\n    def g():\n        import helpers\n        return helpers.g(x)\n    return '
        'g()'
    ),
}
LATE = {
    'helpers': 'from deeper import K\nimport back\ndef g(x): return K',
    'deeper': 'raise SystemExit("executed")\nK = 1',
    'back': 'import helpers',
}
LATE |= {
    'pkg/__init__': '',
    'pkg/helpers': 'from . import sibling\nfrom .sibling import K\ndef g(x): return K',
    'pkg/sibling': 'import deeper',
}


@pytest.mark.parametrize('user', IMPORTING.values(), ids=IMPORTING.keys())
def test_modules_that_functions_import_count_unexecuted(load: Load, user: str) -> None:
    first = describe(load(user, **LATE).f)
    assert 'module deeper (imported)' in first.parts
    assert 'deeper' not in sys.modules
    assert first.digest == digest(
        load, '#\n' + user, **{**LATE, 'deeper': '# Words.\n' + LATE['deeper']}
    )
    assert first.digest != digest(
        load, user, **{**LATE, 'deeper': LATE['deeper'].replace('K = 1', 'K = 2')}
    )


def test_modules_imported_before_or_not_is_the_same(load: Load) -> None:
    user = IMPORTING['from']
    assert digest(load, user, helpers='def g(x): return 1') == digest(
        load, 'import helpers as unused\n' + user, helpers='def g(x): return 1'
    )


def test_relative_imports_inside_of_functions(load: Load) -> None:
    other = {
        'pkg/__init__': '',
        'pkg/a': 'def g():\n    from .b import N\n    return N',
        'pkg/b': 'N = 1',
    }
    user = 'from pkg.a import g\ndef f(): return g()'
    assert digest(load, user, **other) != digest(load, user, **{**other, 'pkg/b': 'N = 2'})


def test_compiled_module_of_the_user_counts_by_its_bytes(load: Load) -> None:
    module = load('def f(): return fast()')
    file = Path(module.__file__).with_name('fast.so')
    file.write_bytes(b'\x7fELF 1')
    fast = types.ModuleType('fast')
    fast.__file__ = str(file)
    sys.modules['fast'] = fast
    try:
        # A function of the library that pretends to be of the compiled module, as compilers of
        # extensions make them.
        class Builtin:
            def __reduce__(self) -> str:
                return 'go'

        fast.go = Builtin()  # type: ignore[attr-defined]
        Builtin.__module__ = 'fast'
        first = encode(fast.go)  # type: ignore[attr-defined]
        file.write_bytes(b'\x7fELF 2 longer')
        assert encode(fast.go) != first  # type: ignore[attr-defined]
    finally:
        del sys.modules['fast']


def test_is_user_tells_modules_of_users(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import email.mime.text  # noqa: F401

    from desipipe.serialize import modules

    load('', helpers='')
    importlib.import_module('helpers')
    assert (
        modules.is_user('pipeline')
        and modules.is_user('helpers')
        and modules.is_user('__main__')
        and modules.is_user('came_by_value')
    )
    for name in (
        'sys',
        'math',
        'os',
        'email.mime.text',
        'numpy',
        'numpy.linalg',
        'pytest',
        'desipipe',
        'desipipe.errors',
        'zipimport',
        'importlib._bootstrap',
    ):
        assert not modules.is_user(name), name
    made = types.ModuleType('made')
    monkeypatch.setitem(sys.modules, 'made', made)
    assert modules.is_user('made')
    # Installed in editable mode: the packages of the repository, not the notebooks' helpers in it.
    folder = str(tmp_path / 'repo')
    for names in (frozenset({'pkg'}), frozenset[str]()):
        assert modules._is_of_editable(f'{folder}/pkg/a.py', 'pkg.a', folder, names)
        assert modules._is_of_editable(f'{folder}/src/pkg/__init__.py', 'pkg', folder, names)
        assert not modules._is_of_editable(f'{folder}/helpers.py', 'helpers', folder, names)
        assert not modules._is_of_editable(
            f'{folder}/notebooks/helpers.py', 'helpers', folder, names
        )
        assert not modules._is_of_editable(f'{folder}/notebooks/own/a.py', 'own.a', folder, names)
        assert not modules._is_of_editable(f'{folder}2/pkg/a.py', 'pkg.a', folder, names)


def test_editable_installations_are_found(tmp_path: Path) -> None:
    site, repo = tmp_path / 'site', tmp_path / 'repo'
    for path, text in {
        site / 'thing-1.0.dist-info' / 'METADATA': 'Name: thing\nVersion: 1.0\n',
        site / 'thing-1.0.dist-info' / 'direct_url.json': json.dumps(
            {'url': repo.as_uri(), 'dir_info': {'editable': True}}
        ),
        site / 'other-1.0.dist-info' / 'METADATA': 'Name: other\nVersion: 1.0\n',
        site / 'other-1.0.dist-info' / 'direct_url.json': json.dumps(
            {'url': (tmp_path / 'other').as_uri(), 'dir_info': {}}
        ),
        repo / 'src' / 'thing' / '__init__.py': 'def g(): return 1',
        repo / 'helpers.py': 'def g(): return 1',
        tmp_path / 'other' / 'other.py': '',
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command = """
import thing, helpers, other
from desipipe.serialize import modules
print([name for name in ('thing', 'helpers', 'other') if modules.is_user(name)])
"""
    path = os.pathsep.join(map(str, (site, repo / 'src', repo, tmp_path / 'other')))
    assert python(tmp_path, '-c', command, PYTHONPATH=path) == "['helpers', 'other']\n"


# --------------------------------------------------------------------------------------------------
# Text that is not, or no longer, that of the code


def test_edited_after_import(load: Load) -> None:
    module = load('def f(): return 1\n')
    old = describe(load('def f(): return 1\n').f).digest
    file = Path(module.__file__)
    file.write_text('def f(): return 2\n')
    linecache.checkcache()
    edited = describe(module.f)
    assert edited.digest != digest(load, 'def f(): return 2\n')
    assert edited.digest != old  # by its bytecode
    assert module.f() == 1


def test_edited_elsewhere_after_import(load: Load) -> None:
    module = load('def f(): return 1\n')
    file = Path(module.__file__)
    file.write_text('\n\ndef g(): return 2\n\n# Words.\ndef f(): return 1\n')
    assert describe(module.f).digest == digest(load, 'def f(): return 1')
    file.write_text('def f(): return 3\n')
    linecache.checkcache()
    assert describe(module.f).digest == digest(load, 'def f(): return 1'), (
        'what was found once is remembered'
    )


def test_code_without_text_counts_by_what_it_does() -> None:
    def make(text: str, file: str) -> Any:
        namespace: dict[str, Any] = {'__name__': 'made_of_nothing'}
        exec(compile(text, file, 'exec'), namespace)  # noqa: S102
        return namespace['f']

    text = (
        'def f(x):\n    return [i for i in x if i in {1, 2, "a", "b"}] and (lambda: (1.0, (2,), '
        '3j))()\n'
    )
    first = describe(make(text, '<nowhere 1>')).digest
    assert describe(make('\n\n\n' + text, '<nowhere 2>')).digest == first
    for old, new in [
        ('1.0', '1'),
        ('"a"', '"c"'),
        ('(2,)', '(3,)'),
        ('3j', '4j'),
        ('f(x)', 'f(x, y)'),
        ('i for i', 'i + 1 for i'),
    ]:
        assert describe(make(text.replace(old, new), '<nowhere 1>')).digest != first, new


def test_lambdas_on_one_line(load: Load) -> None:
    module = load(
        'F = [lambda: 2 * 3, lambda: 6, lambda x=1: (lambda: x), lambda x: x, lambda y: y]\n'
    )
    from desipipe.serialize import source

    sources = [source.find(func.__code__, func.__globals__) for func in module.F]
    assert [item and item.source for item in sources] == [
        'lambda: 2 * 3',
        'lambda: 6',
        'lambda x=1: (lambda: x)',
        'lambda x: x',
        'lambda y: y',
    ]
    inner = source.find(module.F[2]().__code__, module.F[2].__globals__)
    assert inner is not None and inner.source == 'lambda: x'


# --------------------------------------------------------------------------------------------------
# Live objects of this library, and futures


class Live:
    """Stands for a queue or task manager."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = threading.Lock()

    def __desipipe_identity__(self) -> str:
        return self.name

    def __reduce__(self) -> Any:
        return Live, (self.name,)


class App(Live):
    """Stands for an app."""

    def __init__(self, func: Any) -> None:
        super().__init__('never asked')
        self.__wrapped__ = func

    def __reduce__(self) -> Any:
        return App, (self.__wrapped__,)

    def __desipipe_identity__(self) -> str:
        raise AssertionError('its function is walked instead')


def test_own_identity(load: Load) -> None:
    module = load('tm = None\ndef f(): return tm')
    seen = {}
    for name in ('a', 'b', 'a'):
        module.tm = Live(name)
        code = describe(module.f)
        assert seen.setdefault(name, code.digest) == code.digest
    assert len(set(seen.values())) == 2
    assert set(code.parts) == {'function f', 'global tm'}
    assert encode(Live('a')) == encode(Live('a')) != encode(Live('b'))


def test_apps_that_call_each_other(load: Load) -> None:
    text = 'def f(n): return n and g(n - 1)\ndef g(n): return n and f(n - 1)\n'
    one, two = load(text), load(text.replace('g(n - 1)', 'g(n - 2)'))
    plain = describe(one.f)
    digests = []
    for module in (one, two):
        f, g = module.f, module.g
        module.f, module.g = App(f), App(g)
        digests.append((describe(f), describe(g)))
    assert digests[0][0].parts.keys() == {'function f', 'function g'}
    assert digests[0][0].digest == plain.digest
    assert (
        digests[0][0].digest != digests[1][0].digest
        and digests[0][1].digest != digests[1][1].digest
    )


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('def f(): return fut', "the function 'f' uses 'fut' (the future of a task"),
        ('def f(): return [fut]', "the function 'f' uses 'fut' (the future of a task"),
        (
            'L = [1, {"a": fut}]\ndef f(): return L',
            "the function 'f' uses 'L', item 1, item 'a' (the future of a task",
        ),
        (
            'def m(x):\n    def f(): return x\n    return f\nf = m(fut)',
            "the function 'm.f' uses 'x' (the future of a task",
        ),
        (
            'def g(x=fut): return x\ndef f(): return g()',
            "the function 'g' (used by 'f') has a default, item 0 (the future of a task",
        ),
        (
            'class A:\n    x = fut\ndef f(): return A',
            "the class 'A', attribute 'x' (the future of a task",
        ),
        (
            'import helpers\nhelpers.x = fut\ndef f(): return helpers.x',
            "the function 'f' uses 'helpers.x' (the future of a task",
        ),
    ],
)
def test_futures_belong_into_arguments(
    load: Load, text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import builtins

    monkeypatch.setattr(builtins, 'fut', TaskReference(b'1' * 16), raising=False)
    module = load('fut = fut\n' + text, helpers='')
    with pytest.raises(NotSerializableError) as error:
        describe(module.f)
    assert message in str(error.value)
    assert 'pass it as an argument' in str(error.value)


def test_future_as_default_of_the_task_is_an_argument(load: Load) -> None:
    module = load(
        'from desipipe.serialize import TaskReference\nfut = TaskReference(b"1" * 16)\ndef '
        'f(x=fut): return x'
    )
    assert describe(module.f).digest == digest(load, 'def f(x=1): return x')


# --------------------------------------------------------------------------------------------------
# What has no stable identity


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            'fh = open(__file__)\ndef f(): return fh.read()',
            "the function 'f' uses 'fh' (an open file, <_io.TextIOWrapper",
        ),
        (
            'fh = open(__file__, "rb")\ndef g(): return fh\ndef f(): return g()',
            "the function 'g' (used by 'f') uses 'fh' (an open file",
        ),
        (
            'import threading\nlock = threading.Lock()\ndef f():\n    with lock: return 1',
            "the function 'f' uses 'lock' (a lock",
        ),
        (
            'import threading\nL = {"a": [threading.Condition()]}\ndef f(): return L',
            "uses 'L', item 'a', item 0 (a lock",
        ),
        ('g = (i for i in range(3))\ndef f(): return list(g)', "uses 'g' (a generator"),
        ('import socket\ns = socket.socket()\ndef f(): return s', "uses 's' (an open connection"),
        (
            'import sqlite3\ns = sqlite3.connect(":memory:")\ndef f(): return s',
            "uses 's' (an open data base",
        ),
        (
            'import threading\nclass A:\n    lock = threading.Lock()\ndef f(): return A',
            "the class 'A', attribute 'lock' (a lock",
        ),
        (
            'import weakref\nclass A: pass\na = A()\nw = weakref.ref(a)\ndef f(): return w',
            "uses 'w' (of class weakref.ReferenceType",
        ),
        (
            'import numpy as np\nu = np.frompyfunc(lambda x: x, 1, 1)\ndef f(): return u',
            "uses 'u' (of class numpy.ufunc",
        ),
        (
            (
                'class A:\n    def __reduce__(self): raise RuntimeError("not me")\na = A()\ndef '
                'f(): return a'
            ),
            'RuntimeError: not me',
        ),
        (
            (
                'class A:\n    def __repr__(self): 1 / 0\n    def __reduce__(self): raise '
                'ValueError("no")\na = A()\ndef f(): return a'
            ),
            'repr raises ZeroDivision',
        ),
        ('N = None\nfor i in range(100000): N = [N]\ndef f(): return N', 'nested too deeply'),
    ],
)
def test_refusals_name_the_variable(load: Load, text: str, message: str) -> None:
    module = load(text)
    with pytest.raises(NotSerializableError) as error:
        describe(module.f)
    assert message in str(error.value)
    assert 'Nothing was added to the queue' in str(error.value)


def test_refusals_say_what_to_do(load: Load) -> None:
    with pytest.raises(
        NotSerializableError,
        match=(
            r"^the function 'f' uses 'fh' \(an open file, .*\): open it inside the function "
            r'instead\.'
        ),
    ):
        describe(load('fh = open(__file__)\ndef f(): return fh').f)
    value = types.SimpleNamespace(lock=threading.Lock())
    with pytest.raises(
        NotSerializableError,
        match=(
            r"^argument 'model', attribute 'lock' \(a lock, .*\): make it inside the function "
            r'instead\.'
        ),
    ):
        encode(value, 'model')


def test_live_plots(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib = types.ModuleType('matplotlib')
    artist = types.ModuleType('matplotlib.artist')
    artist.Artist = type('Artist', (), {'__module__': 'matplotlib.artist'})  # type: ignore[attr-defined]
    for module in (matplotlib, artist):
        monkeypatch.setitem(sys.modules, module.__name__, module)  # the real ones come back
    user = load(
        'from matplotlib.artist import Artist\nclass Figure(Artist): pass\nfig = Figure()\ndef '
        'f(): return fig'
    )
    with pytest.raises(NotSerializableError, match="the function 'f' uses 'fig' .a live plot"):
        describe(user.f)


def test_standard_streams_count_by_name(load: Load) -> None:
    module = load('import sys\nout = sys.stdout\ndef f(): print("a", file=out)')
    code = describe(module.f)
    module.out = sys.stderr
    assert describe(module.f).digest != code.digest
    loads(b''.join(code.payload.parts))()


# --------------------------------------------------------------------------------------------------
# Is it still the same?

CURRENT = """
    import functools, helpers
    from desipipe.serialize import TaskReference
    N = 3
    L = [1, 2]
    def g(x, y=L): return x
    class A:
        n = [1]
        def m(self): return N
    a = A()
    a.v = 1
    def make(n):
        def add(x): return x + n
        def change(m):
            nonlocal n
            n = m
        return add, change
    add, change = make(1)
    def other(x): return -x
    S = {A, other}
    def f(x):
        import late
        return g(x) + N + len(L) + a.m() + add(1) + helpers.h(x) + late.k + len(S) + missing
"""
EDITS = [
    'module.N = 4',
    'module.N = True',
    'del module.N',
    'module.L.append(3)',
    'module.g = module.other',
    'module.g.__code__ = module.other.__code__.replace(co_name="g")',
    'module.g.__defaults__ = (5,)',
    'module.a = module.A()',
    'module.a.v = 2',
    'module.A.n.append(2)',
    'module.A.n = [1]; module.A.k = 1',
    'module.A.m = lambda self: 1',
    'module.change(2)',
    'module.helpers.h = module.other',
    'module.helpers.K = 2',
    'Path(module.__file__).with_name("late.py").write_text("k = 222")',
    'module.missing = 1',
    'module.len = lambda x: 1',
    'module.S.add(module.g)',
    'module.f.__code__ = module.other.__code__',
    'module.L[:] = [TaskReference(b"1" * 16)]',
]


@pytest.mark.parametrize('edit', EDITS)
def test_changes_are_noticed(load: Load, edit: str) -> None:
    module = load(CURRENT, helpers='K = 1\ndef h(x): return K', late='k = 1')
    code = describe(module.f)
    assert current(code)
    assert current(code)
    exec(edit, {'module': module, 'Path': Path, 'TaskReference': TaskReference})  # noqa: S102
    assert not current(code)
    if 'TaskReference' not in edit:
        assert describe(module.f).digest != code.digest


def test_describe_ignores_unrelated_changes(load: Load) -> None:
    module = load(CURRENT, helpers='K = 1\ndef h(x): return K', late='k = 1')
    code = describe(module.f)
    module.unrelated, module.helpers.unrelated = 1, 2
    module.f.attribute = 1
    assert current(code)
    assert describe(module.f).digest == code.digest


def test_changes_of_equal_copies_are_noticed(load: Load) -> None:
    module = load('def g(x=1): return x\ndef f(): return F')
    copy = types.FunctionType(module.g.__code__, module.g.__globals__, 'g', (1,))
    module.F = [module.g, copy]
    code = describe(module.f)
    copy.__defaults__ = (2,)
    assert not current(code)
    assert describe(module.f).digest != code.digest


def test_description_can_be_pickled(load: Load) -> None:
    import pickle

    code = describe(load('def f(): return 1').f)
    again = pickle.loads(pickle.dumps(code))
    assert again[:5] == code[:5]
    assert not current(again)


def test_threads_describe_at_once(load: Load) -> None:
    module = load(CURRENT, helpers='K = 1\ndef h(x): return K', late='k = 1')
    expected = describe(module.f)
    wrong: list[object] = []

    def work() -> None:
        for _ in range(20):
            code = describe(module.f)
            if code.digest != expected.digest or not current(expected):
                wrong.append(code)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# --------------------------------------------------------------------------------------------------
# Values

atoms = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=200)
)
keys = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.tuples(st.integers(), st.text())
)
plain = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(keys, inner, max_size=5)
        | st.sets(keys)
        | st.frozensets(keys)
    ),
    max_leaves=25,
)


def key(value: Any) -> Any:
    """What equality of value and type means, written in another way than in the library."""
    kind = type(value)
    if kind is float:
        return 'float', math.isnan(value) or (value, math.copysign(1, value))
    if kind in (list, tuple):
        return kind.__name__, tuple(map(key, value))
    if kind in (set, frozenset):
        return kind.__name__, frozenset(map(key, value))
    if kind is dict:
        return 'dict', frozenset((key(name), key(item)) for name, item in value.items())
    return kind.__name__, value


@given(plain, plain)
def test_equal_bytes_for_equal_values_only(a: Any, b: Any) -> None:
    assert (encode(a) == encode(b)) == (key(a) == key(b))
    assert encode(a) != encode([a])
    assert len(encode(a)) <= 65


@given(st.lists(plain, max_size=4), st.integers(0, 3), plain)
def test_describe_notices_single_changes(values: list[Any], index: int, other: Any) -> None:
    changed = [*values[:index], other, *values[index + 1 :]]
    assert (encode(values) == encode(changed)) == (key(values) == key(changed))
    assert (encode({'a': values, 'o': object}) == encode({'o': object, 'a': changed})) == (
        key(values) == key(changed)
    )


@given(st.dictionaries(keys, plain, max_size=6), st.randoms(use_true_random=False))
def test_order_does_not_matter(value: dict[Any, Any], rng: random.Random) -> None:
    names = list(value)
    rng.shuffle(names)
    other = {name: value[name] for name in names}
    assert encode(value) == encode(other)
    assert encode(set(value)) == encode(set(names))
    # The same where something in it is not plain, so that it is walked.
    assert encode({**value, 'o': object}) == encode({'o': object, **other})
    assert encode({*value, object}) == encode({object, *names})


class Point(typing.NamedTuple):
    x: int
    y: int = 0


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Perm(enum.Flag):
    R = 1
    W = 2


@dataclasses.dataclass
class Box:
    item: Any


class Slots:
    __slots__ = ('a', '__dict__')

    def __init__(self, a: Any) -> None:
        self.a = a


class MyList(list[Any]):
    pass


class MySet(set[Any]):
    pass


class MyInt(int):
    pass


class Base(abc.ABC):
    @abc.abstractmethod
    def run(self) -> int: ...


def module_function() -> int:
    return 1


DISTINCT: list[Callable[[], Any]] = [
    *(
        lambda value=value: value
        for value in (
            0,
            False,
            0.0,
            -0.0,
            '0',
            b'0',
            None,
            1,
            True,
            1.0,
            float('inf'),
            float('nan'),
            1j,
            1 + 0j,
        )
    ),
    *(lambda value=value: value for value in (10**5000, 10**5000 + 1, -(10**5000))),
    *(
        lambda value=value: value
        for value in (
            '',
            b'',
            (),
            [],
            {},
            set(),
            frozenset(),
            '\ud800',
            'é',
            'e\u0301',
            'x' * 1000,
            b'x' * 1000,
        )
    ),
    *(
        lambda value=value: value
        for value in (
            (1,),
            [1],
            {1},
            frozenset({1}),
            {1: 1},
            (1, 2),
            [[1], 2],
            [1, [2]],
            [[1, 2]],
            {1: {2: 3}},
            {(1, 2): 3},
        )
    ),
    lambda: [10**5000, 'a'],
    lambda: bytearray(b'0'),
    lambda: memoryview(b'0').tobytes() + b'1',
    lambda: range(3),
    lambda: slice(3),
    lambda: ...,
    lambda: NotImplemented,
    lambda: int,
    lambda: bool,
    lambda: len,
    lambda: [].append,
    lambda: {1: 2}.get,
    lambda: str.upper,
    lambda: 'a'.upper,
    lambda: (1).__add__,
    lambda: math,
    lambda: math.sin,
    lambda: np.sin,
    lambda: np,
    lambda: operator.itemgetter(1),
    lambda: operator.itemgetter(2),
    lambda: functools.partial(int, base=2),
    lambda: functools.partial(int, base=3),
    lambda: re.compile('a'),
    lambda: re.compile('a', re.I),
    lambda: pathlib.PurePosixPath('/a/b'),
    lambda: pathlib.PurePosixPath('/a') / 'c',
    lambda: pathlib.Path('/a/b'),
    lambda: datetime.date(2026, 1, 2),
    lambda: datetime.datetime(2026, 1, 2),
    lambda: datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    lambda: datetime.datetime(2026, 1, 2, fold=1),
    lambda: datetime.time(1, 2),
    lambda: datetime.timedelta(1),
    lambda: decimal.Decimal('1.0'),
    lambda: decimal.Decimal('1.00'),
    lambda: fractions.Fraction(1, 3),
    lambda: uuid.UUID(int=5),
    lambda: collections.OrderedDict([(1, 2), (3, 4)]),
    lambda: collections.OrderedDict([(3, 4), (1, 2)]),
    lambda: {1: 2, 3: 4},
    lambda: collections.defaultdict(list, {1: 2}),
    lambda: collections.defaultdict(int, {1: 2}),
    lambda: collections.Counter('aab'),
    lambda: collections.deque([1, 2]),
    lambda: collections.deque([1, 2], maxlen=2),
    lambda: types.MappingProxyType({1: 2}),
    lambda: types.SimpleNamespace(a=1),
    lambda: Point(1),
    lambda: Point(1, 1),
    lambda: Color.RED,
    lambda: Color.BLUE,
    lambda: Perm.R,
    lambda: Perm.R | Perm.W,
    lambda: Box(1),
    lambda: Box(Box(1)),
    lambda: Slots(1),
    lambda: Slots(2),
    lambda: MyList([1]),
    lambda: MySet([1, 'a', 'b', 'c']),
    lambda: MySet([1, 'a', 'b', 'd']),
    lambda: MyInt(1),
    lambda: Base,
    lambda: ValueError('a'),
    lambda: KeyError('a'),
    lambda: list[int],
    lambda: int | None,
    lambda: random.Random(1),
    lambda: random.Random(2),
    lambda: np.random.default_rng(1),
    lambda: np.random.default_rng(2),
    lambda: module_function,
    lambda: lambda: 1,
    lambda: TaskReference(b'1' * 16),
    lambda: TaskReference(b'2' * 16),
    lambda: [TaskReference(b'1' * 16)],
    lambda: np.float64(1),
    lambda: np.float32(1),
    lambda: np.int64(1),
    lambda: np.bool_(True),
    lambda: np.str_('a'),
    lambda: np.datetime64('2026-01-01'),
    lambda: np.dtype('f8'),
    lambda: np.dtype([('a', 'f8')]),
    lambda: np.array(1.0),
    lambda: np.array([1.0]),
    lambda: np.array([[1.0]]),
    lambda: np.array([1.0], dtype='f4'),
    lambda: np.array([1.0], dtype='>f8'),
    lambda: np.array([-0.0]),
    lambda: np.array([0.0]),
    lambda: np.zeros((0, 3)),
    lambda: np.zeros((3, 0)),
    lambda: np.array([1, 'a', None], dtype=object),
    lambda: np.array([1, 'b', None], dtype=object),
    lambda: np.array([{'a': {'x', 'y', 'z'}}], dtype=object),
    lambda: np.arange(100000),
    lambda: np.arange(100000).reshape(2, -1),
    lambda: np.array([(1, 2.0)], dtype=[('a', 'i4'), ('b', 'f8')]),
    lambda: np.array([(1, 2.0)], dtype=[('a', 'i4'), ('c', 'f8')]),
    lambda: np.array(['2026-01-01'], dtype='M8[D]'),
    lambda: np.array(['2026-01-01'], dtype='M8[s]'),
    lambda: np.array(['a', 'bc']),
    lambda: np.array([b'a', b'bc']),
    lambda: np.ma.array([1, 2], mask=[0, 1]),
    lambda: np.ma.array([1, 2], mask=[1, 0]),
    lambda: np.array([1, 2]).view(np.recarray),
]


def test_values_are_told_apart() -> None:
    seen: dict[bytes, Any] = {}
    for make in DISTINCT:
        data = encode(make())
        assert data not in seen, (make(), seen[data])
        seen[data] = make()
        assert encode(make()) == data, make()
        assert encode([make(), object]) == encode([make(), object])


def test_values_are_the_same_in_every_process(tmp_path: Path) -> None:
    """Also those that are made of sets, addresses and caches."""
    command = (
        'import sys; sys.path.insert(0, sys.argv[1])\nfrom test_identity import DISTINCT, '
        'encode\nprint([encode(make()).hex() for make in DISTINCT])'
    )
    first = python(tmp_path, '-c', command, str(Path(__file__).parent), PYTHONHASHSEED='0')
    assert first.count(',') == len(DISTINCT) - 1
    assert python(tmp_path, '-c', command, str(Path(__file__).parent), PYTHONHASHSEED='1') == first


def test_shared_references_do_not_matter() -> None:
    a = [1, object]
    assert encode([a, a]) == encode([[1, object], [1, object]])
    text = 'ab'
    assert encode([text, text]) == encode(['ab', ''.join(['a', 'b'])])
    box = Box([1])
    assert encode([box, box, {'b': box}]) == encode([Box([1]), Box([1]), {'b': Box([1])}])
    array = np.arange(3)
    assert encode([array, array]) == encode([array, array.copy()])
    many: Any = [object]
    for _ in range(60):
        many = [many, many]  # 2**60 paths through it
    encode(many)


def test_copies_of_functions_are_the_same(load: Load) -> None:
    text = (
        'def make(n):\n    def g(x): return x + n\n    return g\ndef h(n): return n and h(n - 1)\n'
    )
    module = load(text + 'F = [make(1), make(1), make(2), h, h]\ndef f(): return F')
    h = types.FunctionType(module.h.__code__, module.h.__globals__)
    first = describe(module.f)
    module.F[4] = h
    module.h = h
    module.F[3] = module.h
    assert describe(module.f).digest == first.digest
    other = load(text + 'F = [make(1), make(2), make(2), h, h]\ndef f(): return F')
    assert describe(other.f).digest != first.digest


def test_sets_of_functions(load: Load) -> None:
    text = 'def make(n): return lambda: n\ndef f(): return S\n'
    digests = set()
    for order in itertools.permutations(range(4)):
        functions = ', '.join(f'make({i})' for i in order)
        digests.add(digest(load, text + f'S = {{{functions}}}'))
    assert len(digests) == 1
    assert digest(load, text + 'S = {make(0), make(1), make(2), make(4)}') not in digests


def test_cycles() -> None:
    def loop(n: int, last: Any = 1) -> list[Any]:
        start: list[Any] = [last]
        item = start
        for _ in range(n):
            item = [item]
        start.append(item)
        return start

    assert encode(loop(2)) == encode(loop(2))
    assert len({encode(loop(n)) for n in range(5)}) == 5
    assert encode(loop(2, 1)) != encode(loop(2, 2))
    one, two = Box(None), Box(None)
    one.item, two.item = two, one
    three, four = Box(None), Box(None)
    three.item, four.item = four, three
    assert encode([one, two]) == encode([three, four])
    tree = {'name': 'a', 'children': [{'name': 'b'}]}
    tree['children'][0]['parent'] = tree  # type: ignore[index]
    other = {'children': [{'parent': None, 'name': 'b'}], 'name': 'a'}
    other['children'][0]['parent'] = other  # type: ignore[index]
    assert encode(tree) == encode(other)
    # One object in two places of a cycle, or two.
    shared: list[Any] = [[]]
    shared.append([shared[0]])
    shared[0].append(shared)
    copied: list[Any] = [[], [[]]]
    copied[0].append(copied)
    copied[1][0].append(copied)
    assert encode(shared) == encode(copied)


def test_objects_count_by_content() -> None:
    box, slots = Box([1, {2}]), Slots(1)
    before = encode(box), encode(slots)
    box.item.append(3)
    slots.extra = 1  # type: ignore[attr-defined]
    assert encode(box) != before[0] and encode(slots) != before[1]

    @functools.lru_cache
    def cached(x: int) -> int:
        return x

    before_calls = encode(cached)
    cached(1)
    assert encode(cached) == before_calls


def test_arrays_count_by_content() -> None:
    array = np.arange(24.0).reshape(4, 6)
    assert encode(array) == encode(np.arange(48.0).reshape(4, 12)[:, ::2] / 2)
    assert encode(array.T) == encode(np.ascontiguousarray(np.arange(24.0)).reshape(4, 6).T)
    big = np.arange(1e5).reshape(100, -1)
    assert encode(big) == encode(np.arange(2e5).reshape(100, -1)[:, ::2] / 2) != encode(big.T)
    # The order in memory is content: `ravel('K')` tells it, and so do the last digits of a sum.
    stack = np.arange(24.0).reshape(2, 3, 4)
    for ordered in (array, big, stack):
        assert encode(ordered) != encode(np.asfortranarray(ordered))
    assert (
        len(
            {
                encode(stack.transpose(axes).copy().transpose(np.argsort(axes)))
                for axes in itertools.permutations(range(3))
            }
        )
        == 6
    )
    assert encode(np.ones((1, 3, 1))) == encode(np.asfortranarray(np.ones((1, 3, 1))))
    padded = np.dtype({'names': ['a', 'b'], 'formats': ['i1', 'f8'], 'offsets': [0, 8]})
    dirty = np.frombuffer(bytearray(b'\x01' + b'\xff' * 7 + bytes(8)), dtype=padded)
    clean = np.frombuffer(bytearray(b'\x01' + bytes(15)), dtype=padded)
    assert encode(dirty) == encode(clean)
    assert encode(padded) != encode(np.dtype([('a', 'i1'), ('b', 'f8')]))
    masked = np.ma.array([1, 2], mask=[0, 1])
    assert encode(masked) == encode(np.ma.array([1, 3], mask=[0, 1]))
    for value in ('ab', np.nan, 3):
        change = np.array([value, 1], dtype=object)
        assert encode(change) == encode(change.copy())


def test_futures_count_by_their_task() -> None:
    class Future(TaskReference):
        __slots__ = ('queue',)

        def __init__(self, tid: bytes, queue: str) -> None:
            super().__init__(tid)
            self.queue = queue

    a, b, other = Future(b'1' * 16, 'here'), Future(b'1' * 16, 'there'), Future(b'2' * 16, 'here')
    for wrap in (
        lambda x: x,
        lambda x: [x],
        lambda x: {'a': (x, 1)},
        lambda x: Box(x),
        lambda x: [object, x],
        lambda x: np.array([x], dtype=object),
    ):
        assert encode(wrap(a)) == encode(wrap(b)) != encode(wrap(other))  # type: ignore[no-untyped-call]
    assert encode(a) != encode(a.tid) and encode(a) != encode('@' + a.tid.hex())


def test_functions_as_arguments(load: Load) -> None:
    one, two = load('N = 1\ndef g(x): return x + N'), load('N = 2\ndef g(x): return x + N')
    assert encode(one.g) != encode(two.g)
    assert encode({'a': [one.g]}) != encode({'a': [two.g]})
    assert encode(one.g) == encode(load('#\nN = 1\n\ndef g(x):\n  return (x + N)').g)
    box = Box(TaskReference(b'1' * 16))
    with pytest.raises(NotSerializableError, match='the future of a task'):
        encode([box, lambda: box])
    handle = load('fh = open(__file__)\ndef g(): return fh')
    with pytest.raises(NotSerializableError, match="^argument 'call', the function 'g' uses 'fh'"):
        encode([handle.g], 'call')


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        (threading.Lock(), "argument 'x' (a lock"),
        ([1, [threading.Lock()]], "argument 'x', item 1, item 0 (a lock"),
        ({'a': {'b': threading.Lock()}}, "argument 'x', item 'a', item 'b' (a lock"),
        (Box(threading.Lock()), "argument 'x', attribute 'item' (a lock"),
        (Slots(threading.Lock()), "argument 'x', attribute 'a' (a lock"),
        (np.array([threading.Lock()], dtype=object), "argument 'x', item 0 (a lock"),
        ((i for i in 'a'), "argument 'x' (a generator"),
        (sys._getframe(), "argument 'x' (a frame"),
    ],
)
def test_refused_values(value: Any, message: str) -> None:
    with pytest.raises(NotSerializableError) as error:
        encode(value, 'x')
    assert message in str(error.value)


def test_task_identity() -> None:
    a, b = ('a', encode(1)), ('b', encode(2))
    app = b'1' * 16
    assert len(task_identity(app, [a, b])) == 16
    assert task_identity(app, [a, b]) == task_identity(app, iter([b, a]))
    others = [
        (app, [a]),
        (app, []),
        (b'2' * 16, [a, b]),
        (app, [('a', encode(2)), ('b', encode(1))]),
        (app, [('ab', encode(1)), ('', encode(2))]),
    ]
    assert len({task_identity(*other) for other in [(app, [a, b]), *others]}) == 6


def test_code_is_what_it_says(load: Load) -> None:
    code = describe(load('def f(): return 1').f)
    assert isinstance(code, Code) and len(code.digest) == 16
    assert all(re.fullmatch('[0-9a-f]{32}', value) for value in code.parts.values())
    for task in (np.mean, math.sin, functools.partial(int, base=2)):
        assert describe(task).parts
    assert describe(np.mean).digest != describe(np.median).digest
    assert describe(np.mean).packages == ('numpy',)


def test_random_generators_that_a_process_shares_count_by_name(load: Load) -> None:
    text = (
        'import random\nfrom random import uniform, random as r\nfrom numpy.random import '
        'normal\ndef f(): return uniform(0, 1) + r() + normal()'
    )
    first = digest(load, text)
    random.seed(1)
    np.random.seed(1)
    assert digest(load, text) == first
    random.seed(2)
    np.random.seed(2)
    assert digest(load, text) == first
    assert encode(random.Random(1)) != encode(random.Random(2)) != encode(random)


def test_singledispatch(load: Load) -> None:
    text = (
        'import functools\n@functools.singledispatch\ndef g(x): return 0\n@g.register\ndef _(x: '
        'int): return 1\n@g.register\ndef _(x: list): return g(x[0])\n'
    )
    module = load(text + 'def f(x): return g(x)\n')
    code = describe(module.f)
    assert loads(b''.join(code.payload.parts))([1]) == 1
    assert current(code)
    module.g.register(str, lambda x: 2)
    assert not current(code)
    assert describe(module.f).digest != code.digest
    assert code.digest == digest(load, text + 'def f(x): return g(x)\n')
    assert code.digest != digest(
        load, text.replace('return 1', 'return 2') + 'def f(x): return g(x)\n'
    )


def test_long_chains(load: Load) -> None:
    text = (
        ''.join(f'def f{i}(x): return f{i + 1}(x) + 1\n' for i in range(1000))
        + 'def f1000(x): return x\ndef f(x): return f900(x)\n'
    )
    module = load(text)
    limit = sys.getrecursionlimit()
    code = describe(module.f0)
    assert len(code.parts) == 1001
    assert current(code)
    assert loads(b''.join(describe(module.f).payload.parts))(1) == 101
    linked: Any = None
    for i in range(1000):
        linked = Box((i, linked))
    assert encode(linked) == encode(Box((999, linked.item[1])))
    assert encode(linked) != encode(linked.item[1])
    assert sys.getrecursionlimit() == limit and threading.stack_size() == 0


def test_classes_without_methods_are_shown(load: Load) -> None:
    text = (
        'import dataclasses, enum\nclass K(enum.Enum):\n    A = "a"\n@dataclasses.dataclass\nclass '
        'D:\n    n: int = 3\ndef f(): return K.A, D()'
    )
    source = describe(load(text).f).source
    assert "class K(Enum):\n    A = 'a'" in source and 'class D:\n    n = 3' in source


def test_text_of_an_older_version_does_not_hide_the_file(load: Load) -> None:
    old = load('def f(): return 1\n')
    payload = b''.join(describe(old.f).payload.parts)
    file = Path(old.__file__)
    linecache.cache.pop(str(file))
    file.write_text('def f(): return 2\n')
    loads(payload)  # brings the old text along
    namespace: dict[str, Any] = {'__name__': 'pipeline', '__file__': str(file)}
    exec(compile(file.read_text(), str(file), 'exec'), namespace)  # noqa: S102
    assert describe(namespace['f']).digest == digest(load, 'def f(): return 2')


def test_many_lambdas(load: Load) -> None:
    lambdas = ', '.join(f'lambda x: x + {i}' for i in range(150))
    code = describe(load(f'F = [{lambdas}]\ndef f(): return F').f)
    assert len(code.parts) == 152
    assert code.digest == digest(load, f'F = [\n{lambdas}]\ndef f(): return F')
