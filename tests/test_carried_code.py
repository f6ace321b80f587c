"""Code in payloads: made again by this package alone, with its file names and lines."""

from __future__ import annotations

import abc
import fractions
import linecache
import pickle
import pickletools
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from desipipe.serialize import dumps, loads, makers

ROOT = Path(__file__).parent.parent
DEFINITIONS = """
import abc, collections, contextvars, dataclasses, enum, functools, logging, typing, weakref

log = logging.getLogger('x')
T = typing.TypeVar('T')

def outer():
    count = 0
    def add():
        nonlocal count
        count += 1
        return count
    return add, lambda: count

add, get = outer()

@functools.lru_cache
def cached(x):
    return x

@functools.singledispatch
def generic(x):
    return log

class Color(enum.Enum):
    RED = 1

class Base(abc.ABC, typing.Generic[T]):
    __slots__ = ('x',)

    @property
    @abc.abstractmethod
    def value(self): ...

    @classmethod
    def make(cls): return cls

    @staticmethod
    def none(): return None

@dataclasses.dataclass
class Point:
    x: int = 0
    y: list = dataclasses.field(default_factory=list)

class Pair(typing.NamedTuple):
    a: int = 1

views = {1: 2}.keys(), {1: 2}.items(), collections.OrderedDict(a=1).values()

def everything():
    return add, get, cached, generic, Color.RED, Base, Point, Pair, views, T, abc, __import__
"""


def names(data: bytes) -> set[str]:
    """Return the modules whose names a pickle looks up."""
    collected, texts = set(), []
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == 'STACK_GLOBAL':
            collected.add(texts[-2])
        elif opcode.name == 'GLOBAL':
            collected.add(argument.split()[0])
        if isinstance(argument, str):
            texts.append(argument)
    return collected


def defined(text: str, file: str = '<definitions>') -> dict[str, Any]:
    """Execute a text as a cell of a notebook is."""
    namespace: dict[str, Any] = {'__name__': '__main__'}
    text = textwrap.dedent(text)
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, 'exec'), namespace)  # noqa: S102
    return namespace


def python(code: str, *args: str) -> str:
    """Run a text in another Python; return what it prints."""
    done = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code), *args],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def payload_of(value: Any) -> bytes:
    return b''.join(dumps(value).parts)


def test_payloads_name_no_module_of_cloudpickle() -> None:
    data = payload_of(defined(DEFINITIONS)['everything'])
    assert b'cloudpickle' not in data
    assert 'desipipe.serialize.makers' in names(data)


def test_payloads_are_written_and_read_without_cloudpickle(tmp_path: Path) -> None:
    (tmp_path / 'payload').write_bytes(payload_of(defined(DEFINITIONS)['everything']))
    shown = python(
        """
        import sys
        sys.modules['cloudpickle'] = None
        from desipipe.serialize import dumps, loads
        everything = loads(open(sys.argv[1], 'rb').read())
        add, get, cached, generic, red, base, point, pair, views, *_ = everything()
        add(), add()
        again = loads(b''.join(dumps(everything).parts))()
        print(get(), cached(3), generic(1).name, red.name, base.__abstractmethods__, point().y, pair().a)
        print(*map(list, views), again[3](1) is generic(1), again[0]())
        """,
        str(tmp_path / 'payload'),
    )
    assert shown.splitlines() == ["2 3 x RED frozenset({'value'}) [] 1", '[1] [(1, 2)] [1] True 3']


def test_code_keeps_its_file_and_lines(tmp_path: Path) -> None:
    code = 'def f(x):\n    y = x\n    return 1 / y  # the culprit\n'
    (tmp_path / 'payload').write_bytes(payload_of(defined(code, 'cell 7')['f']))
    shown = python(
        """
        import inspect, sys, traceback
        from desipipe.serialize import loads
        f = loads(open(sys.argv[1], 'rb').read())
        print(f.__code__.co_filename, [line for *_, line in f.__code__.co_lines()])
        print(inspect.getsource(f))
        try:
            f(0)
        except ZeroDivisionError:
            traceback.print_exc(file=sys.stdout)
        """,
        str(tmp_path / 'payload'),
    )
    assert shown.startswith('cell 7 [')
    assert code in shown
    assert '  File "cell 7", line 3, in f\n    return 1 / y  # the culprit\n' in shown


def test_code_of_another_python_is_carried_but_not_run() -> None:
    def outer() -> Callable[[], int]:
        x = 1

        def inner() -> int:
            return x

        return inner

    func = outer()
    code = makers.make_code(makers.BYTECODE + 1, b'', 'outer.<locals>.inner', ('x',))
    made = makers.make_function(code, {}, func.__closure__)
    assert made.__qualname__ == 'outer.<locals>.inner'
    with pytest.raises(
        RuntimeError,
        match="The function 'outer.<locals>.inner' was compiled by another version of Python",
    ):
        made()


def test_code_with_unusual_constants() -> None:
    marker = fractions.Fraction(1, 2)
    code = (lambda: 'x').__code__
    constants = tuple(marker if item == 'x' else item for item in code.co_consts)
    func = types.FunctionType(code.replace(co_consts=constants), {})
    other = loads(payload_of(func))
    assert other() == marker
    assert other.__code__.co_filename == __file__


def test_closures_share_their_variables() -> None:
    namespace = defined("""
        def outer():
            n = 0
            def add():
                nonlocal n
                n += 1
            def get(): return n
            def me(): return me, get
            return add, get, me
        add, get, me = outer()
        def use(): return add, get, me
    """)
    add, get, me = loads(payload_of(namespace['use']))()
    add(), add()
    assert get() == 2 and namespace['get']() == 0
    assert me()[0] is me and me()[1] is get
    cells = loads(payload_of([namespace['get'].__closure__[0], namespace['add']]))
    cells[1]()
    assert cells[0].cell_contents == 1
    unset = types.CellType()
    with pytest.raises(ValueError, match='empty'):
        _ = loads(payload_of([unset]))[0].cell_contents


class Unit(property):
    def __init__(self, getter: Any, factor: float = 1) -> None:
        super().__init__(getter)
        self.factor = factor

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else super().__get__(obj, owner) * self.factor


class Registered(staticmethod):  # type: ignore[type-arg]
    kind = ''


class Bound(classmethod):  # type: ignore[type-arg]
    pass


class Holder:
    length = Unit(lambda self: 3, factor=2)
    area = property(lambda self: 1, doc='The area.')
    static = Registered(lambda: 1)
    static.kind = 'special'
    bound = Bound(lambda cls: cls.__name__)
    plain = abc.abstractmethod(lambda self: 1)


def test_members_of_classes_derived_from_those_of_python(tmp_path: Path) -> None:
    (tmp_path / 'payload').write_bytes(payload_of(Holder))
    shown = python(
        """
        import sys
        from desipipe.serialize import loads
        holder = loads(open(sys.argv[1], 'rb').read())
        print(holder().length, holder.length.factor, holder.area.__doc__, holder.static(), holder.__dict__['static'].kind, holder.bound())
        print(holder.plain.__isabstractmethod__)
        """,
        str(tmp_path / 'payload'),
    )
    assert shown.splitlines() == ['6 2 The area. 1 special Holder', 'True']


def test_payloads_of_earlier_versions_are_read() -> None:
    from desipipe.serialize import pickler

    assert pickler._fill is makers.fill_module
    assert (
        pickle.loads(b'\x80\x05cdesipipe.serialize.pickler\n_empty_dispatch\n)R.').__name__
        == '<lambda>'
    )
