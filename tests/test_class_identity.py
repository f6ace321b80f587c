"""A class of the user's own is one class wherever it is equal by content: after a restart, in a
worker, back in the notebook.
"""

from __future__ import annotations

import enum
import gc
import linecache
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from desipipe.serialize import class_keys, class_registry, dumps, loads

ROOT = Path(__file__).parent.parent
CLASSES = """
import dataclasses, enum, typing

class Color(enum.Enum):
    RED = 1
    BLUE = 2

@dataclasses.dataclass
class Point:
    x: int = 0

class Pair(typing.NamedTuple):
    a: int

class MyError(Exception): pass

class Plain:
    def f(self): return helper()
    class Inner: pass

def helper(): return 1
"""
VALUES = '[Color.RED, Point(3), Pair(1), MyError("x"), Plain, Plain.Inner()]'
CHECKS = """
def raised(exc):
    try: raise exc
    except MyError: return True
    except Exception: return False

c, p, pair, exc, plain, inner = got
print(c is Color.RED, p == Point(3), isinstance(pair, Pair), raised(exc), plain is Plain, isinstance(inner, Plain.Inner))
"""
WRITE = (
    "from desipipe.serialize import dumps\nopen('payload', "
    "'wb').write(b''.join(dumps(value).parts))\n"
)
READ = "from desipipe.serialize import loads\ngot = loads(open('payload', 'rb').read())\n"
SAME = 'True True True True True True\n'


def run(folder: Path, *parts: str) -> str:
    """Run a script of several parts in a folder, in a process of its own; return what it prints."""
    script = folder / 'script.py'
    script.write_text('\n'.join(map(textwrap.dedent, parts)))
    environ = os.environ | {'PYTHONPATH': str(ROOT), 'PYTHONDONTWRITEBYTECODE': '1'}
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environ,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def cell(text: str, namespace: dict[str, Any], file: str) -> None:
    """Execute a cell as a notebook does."""
    text = textwrap.dedent(text)
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, 'exec', dont_inherit=True), namespace)  # noqa: S102


def payload_of(value: Any) -> bytes:
    return b''.join(dumps(value).parts)


def test_classes_are_the_same_after_a_restart(tmp_path: Path) -> None:
    run(tmp_path, CLASSES, f'value = {VALUES}', WRITE)
    assert (
        run(tmp_path, '# A comment that moves lines.', CLASSES, 'edited = 1', READ, CHECKS) == SAME
    )


def test_classes_with_other_content_are_others(tmp_path: Path) -> None:
    run(tmp_path, CLASSES, f'value = {VALUES}', WRITE)
    changed = (
        CLASSES.replace('BLUE = 2', 'BLUE = 3')
        .replace('return 1', 'return 2')
        .replace('x: int = 0', 'x: int = 1')
    )
    assert run(tmp_path, changed, READ, CHECKS) == 'False False True True False True\n'


def test_classes_of_several_payloads_are_one_in_a_worker(tmp_path: Path) -> None:
    run(
        tmp_path,
        CLASSES,
        'def value(c, p): return [c is Color.RED, p == Point(3), {Color.RED: 1}[c]]',
        WRITE,
    )
    (tmp_path / 'payload').rename(tmp_path / 'code')
    run(tmp_path, CLASSES, 'value = {"c": Color.RED, "p": Point(3)}', WRITE)
    shown = run(
        tmp_path,
        """
        from desipipe.serialize import loads, class_registry
        for _ in range(2):
            class_registry.start_task()
            func = loads(open('code', 'rb').read())
            print(func(**loads(open('payload', 'rb').read())))
        """,
    )
    assert shown == '[True, True, 1]\n' * 2


def test_definition_that_is_executed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    namespace = vars(sys.modules['__main__'])
    monkeypatch.setitem(namespace, 'Color', None)
    monkeypatch.setitem(namespace, 'enum', enum)
    for number in range(3):
        cell('import enum\nclass Color(enum.Enum):\n    RED = 1', namespace, f'cell {number:d}')
        sent = payload_of(namespace['Color'].RED)
        for _ in range(2):
            assert loads(sent) is namespace['Color'].RED
            cell(
                'import enum\nclass Color(enum.Enum):\n    RED = 1',
                namespace,
                f'cell {number:d} again',
            )
    old = namespace['Color']
    cell('import enum\nclass Color(enum.Enum):\n    RED = 2', namespace, 'cell 4')
    assert loads(payload_of(old.RED)) is old.RED
    assert loads(payload_of(namespace['Color'].RED)) is namespace['Color'].RED


def test_definitions_old_and_new_in_one_payload(tmp_path: Path) -> None:
    (tmp_path / 'color.txt').write_text('import enum\nclass Color(enum.Enum):\n    RED = 1\n')
    text = "exec(compile(open('color.txt').read(), 'color.txt', 'exec'))\n"
    run(tmp_path, text, 'palette = [Color.RED]', text, 'value = palette, Color', WRITE)
    assert run(tmp_path, READ, 'print(got[0][0] is got[1].RED)') == 'True\n'


def test_equal_classes_of_one_payload_stay_apart() -> None:
    def make() -> type:
        class Made:
            pass

        return Made

    a, b = make(), make()
    keys = class_registry._classes
    data = payload_of({a: 1, b: 2, 'objects': [a(), b()]})
    loaded = loads(data)
    assert loaded[a] == 1 and loaded[b] == 2 and type(loaded['objects'][1]) is b
    assert loads(payload_of(a)) is a and loads(payload_of(b)) is b
    assert len({key for key, cls in keys.items() if cls in (a, b)}) == 2


def test_loads_changes_no_class_of_this_program(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counter:
        count = 0
        seen: list[int] = []

    sent = payload_of(Counter())
    Counter.count, Counter.extra = 5, 1  # type: ignore[attr-defined]
    Counter.seen.append(1)
    assert type(loads(sent)) is Counter
    assert (Counter.count, Counter.seen, Counter.extra) == (5, [1], 1)  # type: ignore[attr-defined]


def test_classes_that_nobody_uses_are_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_keys, 'REMEMBERED_MAX', 3)

    def make() -> type:
        class Made:
            pass

        return Made

    class_keys._remembered.clear()
    gc.collect()
    before = len(class_registry._records)
    for _ in range(20):
        payload_of(make())
    gc.collect()
    assert len(class_registry._records) <= before + 3


LIB = """
import dataclasses, enum

@dataclasses.dataclass
class Point:
    x: int = 0

class Kind(enum.Enum):
    A = 1
"""


def test_classes_of_modules_that_functions_import(tmp_path: Path) -> None:
    (tmp_path / 'shapes.py').write_text(LIB)
    function = """
    def value(point, kind):
        import shapes
        right = isinstance(point, shapes.Point), point == shapes.Point(3), kind is shapes.Kind.A
        return right, shapes.Point(4), shapes.Kind.A
    """
    run(tmp_path, function, WRITE)
    (tmp_path / 'payload').rename(tmp_path / 'code')
    run(tmp_path, 'import shapes\nvalue = {"point": shapes.Point(3), "kind": shapes.Kind.A}', WRITE)
    work = """
    import sys
    sys.path.remove(sys.path[0])
    from desipipe.serialize import loads, class_registry
    class_registry.start_task()
    func = loads(open('code', 'rb').read())
    value = func(**loads(open('payload', 'rb').read()))
    """
    (tmp_path / 'shapes.py').rename(tmp_path / 'away')
    run(tmp_path, work, WRITE)  # the worker has no file: it uses what was carried
    (tmp_path / 'away').rename(tmp_path / 'shapes.py')
    check = 'import shapes\nprint(got[0], got[1] == shapes.Point(4), got[2] is shapes.Kind.A)'
    assert run(tmp_path, 'import shapes', READ, check) == '(True, True, True) True True\n'
    assert (
        run(tmp_path, READ, check) == '(True, True, True) True True\n'
    )  # imported here only afterwards
    (tmp_path / 'shapes.py').write_text(LIB.replace('A = 1', 'A = 2'))
    assert run(tmp_path, 'import shapes', READ, check) == '(True, True, True) True False\n'


class Part:
    """A value whose content is an attribute."""

    size = 0


class Whole:
    """A class that holds an object."""

    part = Part()


def test_class_key_sees_an_object_changed_in_place_at_once() -> None:
    before = class_keys.class_key(Whole)
    Whole.part.size = 2
    assert class_keys.class_key(Whole) != before
