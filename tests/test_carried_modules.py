"""Modules of the user's own that functions import when they run: what a task imports is what its
identity says.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import simpleeval
from workers import work

from desipipe import Queue, TaskManager
from desipipe.serialize import modules

ROOT = Path(__file__).parent.parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a folder of modules that this process can import, and forget these afterwards."""
    folder = tmp_path / 'project'
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, 'dont_write_bytecode', True)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], '__file__', '')):
            del sys.modules[name]


def write(folder: Path, version: int, **files: str) -> None:
    """Write modules, in whose text VERSION stands for a number."""
    for name, text in files.items():
        path = folder / f'{name}.py'
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            textwrap.dedent(text).replace('VERSION', str(version)) + f'# {"x" * version}\n'
        )


# Only `deep_low` and `deep_pack.part` are edited: what imports them must come along.
FILES = {
    'deep_low': """
        import pathlib
        with open(pathlib.Path(__file__).parent / 'executed', 'a') as file: print(VERSION, file=file)
        N = VERSION
        class Low:
            n = N
    """,
    'deep_mid': (
        'import deep_low\nfrom deep_low import N, Low\nclass Mid(Low): ...\ndef get(): return N, '
        'deep_low.N, Mid.n\n'
    ),
    'deep_pack/__init__': 'from .part import value\n',
    'deep_pack/part': 'def value(): return VERSION\n',
    'deep_other': 'from deep_low import Low\ndef make(): return Low()\n',
}


def test_versions_in_turn_run_their_own_modules(queue: Queue, folder: Path) -> None:
    tm = TaskManager(queue, scheduler=dict(max_workers=1))

    def middle(i: int) -> Any:
        import deep_mid

        return deep_mid.get()

    def package(i: int) -> Any:
        import deep_pack

        return deep_pack.value()

    def both(i: int) -> Any:
        import deep_other
        from deep_low import Low

        return isinstance(deep_other.make(), Low), Low.n

    apps = [tm.python_app(func) for func in (middle, package, both)]
    futures = []
    for i in range(3):
        for version in (1, 2, 3):
            write(folder, version, **FILES)
            futures += [(version, [app(i) for app in apps])]
    work(queue)
    for version, three in futures:
        assert [future.result(timeout=0) for future in three] == [
            (version,) * 3,
            version,
            (True, version),
        ]
    # Each version was executed once by those that import it together, not once for each task.
    assert len((folder / 'executed').read_text().split()) == 6


def test_functions_in_arguments_bring_their_modules(queue: Queue, folder: Path) -> None:
    tm = TaskManager(queue, scheduler=dict(max_workers=1))

    def call(func: Any) -> Any:
        return func()

    app = tm.python_app(call)
    futures = []
    for version in (1, 2):
        write(folder, version, **FILES)

        def func() -> Any:
            import deep_mid

            return deep_mid.get()

        futures.append(app(func))
        futures.append(app(len.__class__))
    work(queue)
    assert [futures[0].result(timeout=0), futures[2].result(timeout=0)] == [(1, 1, 1), (2, 2, 2)]


def test_modules_by_value_are_found_by_name(queue: Queue, folder: Path) -> None:
    write(
        folder,
        1,
        by_value="""
            from __future__ import annotations
            import dataclasses, typing
            @dataclasses.dataclass
            class Conf:
                size: typing.Optional[int] = None
                other: Conf | None = None
            def double(x): return 2 * x
            only_here = VERSION
        """,
    )
    import by_value  # type: ignore[import-not-found]

    tm = TaskManager(queue, scheduler=dict(max_workers=1))

    @tm.python_app
    def in_code(i: int) -> Any:
        import pickle
        import sys
        import typing

        hints = sorted(typing.get_type_hints(by_value.Conf))
        again = pickle.loads(pickle.dumps([by_value.Conf(i), by_value.double]))
        return hints, again[0] == by_value.Conf(i), again[1](3), sys.modules['by_value'].only_here

    @tm.python_app
    def in_arguments(conf: Any) -> Any:
        import pickle
        import sys
        import typing

        imported = 'by_value' in sys.modules, hasattr(sys.modules.get('by_value'), 'double')
        return (
            sorted(typing.get_type_hints(type(conf))),
            pickle.loads(pickle.dumps(conf)) == conf,
            imported,
        )

    @tm.python_app
    def nothing() -> Any:
        import sys

        return 'by_value' in sys.modules

    @tm.python_app
    def nested() -> Any:
        return in_code(1).id

    futures = [in_code(1), in_arguments(by_value.Conf(2)), in_code(2), nothing(), nested()]
    work(queue)
    results = [future.result(timeout=0) for future in futures]
    assert results[0] == results[2] == (['other', 'size'], True, 6, 1)
    assert results[1] == (['other', 'size'], True, (True, True))  # it gave way to the file
    assert results[3] is False
    assert results[4] == futures[0].id


@pytest.mark.parametrize('kind', ['folder', 'zip', 'egg', 'zipped egg'])
def test_packages_beside_their_list_of_files_are_installed(tmp_path: Path, kind: str) -> None:
    target = tmp_path / ('thing-1.0.egg' if 'egg' in kind else 'target')
    info = target / ('EGG-INFO' if 'egg' in kind else 'thing-1.0.dist-info')
    record = 'thing/__init__.py,sha256=x,1\nthing/part.py,,\nsingle.py,,\n../bin/thing,,\n'
    for path, text in {
        target / 'thing' / '__init__.py': 'from .part import work',
        target
        / 'thing'
        / 'part.py': 'import threading\nlock = threading.Lock()\ndef work(): return lock.locked()',
        target / 'single.py': 'def work(): return 1',
        target / 'own_helper.py': 'def work(): return 2',
        info / 'RECORD': record + 'thing-1.0.dist-info/RECORD,,\n',
        info / 'top_level.txt': 'single\nthing\n',
        info / ('PKG-INFO' if 'egg' in kind else 'METADATA'): 'Name: thing\nVersion: 1.0\n',
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if 'zip' in kind:
        archive = shutil.make_archive(str(tmp_path / 'archive'), 'zip', target)
        shutil.rmtree(target)
        target = Path(archive).rename(target.with_suffix('.egg' if 'egg' in kind else '.zip'))
    script = """
        import own_helper, single, thing
        from desipipe.serialize import describe, modules
        print([modules.is_user(name) for name in ('thing', 'thing.part', 'single', 'own_helper', '__main__')])
        code = describe(lambda: (thing.work(), single.work(), own_helper.work()))
        print(code.packages, [name for name in code.parts if 'own' in name or 'thing' in name])
        """
    assert run_with(target, tmp_path / 'script.py', script) == [
        '[False, False, False, True, True]',
        "('single', 'thing') ['module own_helper.work', 'global thing']",
    ]


def run_with(target: Path, script: Path, text: str) -> list[str]:
    """Return the lines that a script prints, whose process finds modules in ``target`` first."""
    script.write_text(textwrap.dedent(text))
    environ = os.environ | {'PYTHONPATH': os.pathsep.join([str(target), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, script], env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_dependencies_count_as_installed_anywhere(tmp_path: Path) -> None:
    # Copied without its list of files, as archives of dependencies are made for clusters.
    shutil.copytree(Path(cloudpickle.__file__).parent, tmp_path / 'copies' / 'cloudpickle')
    shutil.copy(simpleeval.__file__, tmp_path / 'copies')
    script = """
        import cloudpickle, simpleeval
        from desipipe.serialize import describe, modules
        print([modules.is_user(name) for name in ('cloudpickle.cloudpickle', 'simpleeval')])
        print(describe(lambda: cloudpickle.dumps(1)).packages, 'copies' in cloudpickle.__file__)
        """
    assert run_with(tmp_path / 'copies', tmp_path / 'script.py', script) == [
        '[False, False]',
        "('cloudpickle',) True",
    ]


def test_dependencies_are_those_declared() -> None:
    declared = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['dependencies']
    names = {re.split('[<>=]', text)[0] for text in declared}
    assert {'yaml' if name == 'pyyaml' else name for name in names} == modules._NEEDED


def test_folder_that_a_module_is_from() -> None:
    assert modules._home('/a/b/c.py', 'b.c') == '/a'
    assert modules._home('/a/b/__init__.py', 'b') == '/a'
    assert modules._home('/a/c.py', 'c') == '/a'
