"""What the pickle carries and the identity leaves out is a fault: composed programs, an edit of
each, and changes in place.
"""

from __future__ import annotations

import collections
import enum
import gc
import io
import itertools
import linecache
import re
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from desipipe.errors import NotSerializableError
from desipipe.serialize import Code, current, describe, loads
from desipipe.serialize.pickler import Pickler

USERCODE = Path(__file__).parent / 'usercode'
EDITS = [
    tuple(entry.split('\n', 1)[1].split('\n--\n'))
    for entry in (USERCODE / 'changes.txt').read_text().split('\n## ')[1:]
]
HEAD = """
import abc, collections, contextlib, dataclasses, enum, functools, itertools, operator, types, typing
"""
# Ways to make one callable depend on another: {p} is called where {c} is.
LAYERS = """
def {c}(): return {p}()
---
{c} = lambda: [{p}() for i in range(1)]
---
def make_{c}(g):
    def w(): return g()
    return w
{c} = make_{c}({p})
---
def make_{c}():
    g = {p}
    class A:
        def m(self): return g()
    return A().m
{c} = make_{c}()
---
def make_{c}(g):
    def w():
        nonlocal g
        return g()
    def change(h):
        nonlocal g
        g = h
    w.change = change
    return w
{c} = make_{c}(len)
{c}.change({p})
---
def {c}(): return {c}.g()
{c}.g = {p}
---
def {c}(g={p}): return g()
---
def {c}(*, g=[{p}]): return g[0]()
---
def mark_{c}(g):
    def mark(h):
        h.marks = (g,)
        return h
    return mark
@mark_{c}({p})
def {c}(): return {c}.marks[0]()
---
def wrap_{c}(g):
    @functools.wraps(g)
    def w(*args): return g(*args)
    return w
{c} = wrap_{c}({p})
---
{c} = functools.partial({p})
---
{c} = functools.update_wrapper(functools.partial(lambda g: g(), g={p}), len)
---
{c} = functools.lru_cache(maxsize=None)(lambda: 1)
{c}.g = {p}
---
{c} = functools.singledispatch(lambda x=0: {p}())
---
base_{c} = functools.singledispatch(lambda x: 0)
base_{c}.register(int, lambda x: {p}())
{c} = lambda: base_{c}(1)
---
{c} = functools.reduce(lambda g, h: g, [{p}, len])
---
table_{c} = dict(a=[({p}, 1)])
{c} = lambda: table_{c}['a'][0][0]()
---
table_{c} = {{({p}, 1): 2}}
{c} = lambda: [k[0]() for k in table_{c}]
---
set_{c} = frozenset([{p}])
{c} = lambda: [g() for g in set_{c}]
---
deque_{c} = collections.deque([{p}], maxlen=3)
{c} = lambda: deque_{c}[0]()
---
table_{c} = collections.defaultdict({p})
{c} = lambda: table_{c}.copy()['a']
---
chain_{c} = collections.ChainMap(dict(a={p}))
{c} = lambda: chain_{c}['a']()
---
space_{c} = types.SimpleNamespace(g={p})
{c} = lambda: space_{c}.g()
---
proxy_{c} = types.MappingProxyType(dict(g={p}))
{c} = lambda: proxy_{c}['g']()
---
{c} = types.MethodType(lambda self: self[0](), [{p}])
---
{c} = operator.methodcaller('m')
{c} = (lambda call: lambda: call(types.SimpleNamespace(m={p})))({c})
---
class A_{c}:
    g = staticmethod({p})
{c} = lambda: A_{c}.g()
---
class A_{c}:
    def __init__(self, g): self.g = g
    def m(self): return self.g()
{c} = A_{c}({p}).m
---
class A_{c}:
    __slots__ = ('g',)
    def __init__(self, g): self.g = g
    def __call__(self): return self.g()
{c} = A_{c}({p})
---
class A_{c}(list):
    def __call__(self): return self[0]()
{c} = A_{c}([{p}])
---
class A_{c}(dict):
    def __getattr__(self, name):
        if name.startswith('__'): raise AttributeError(name)
        return self[name]
object_{c} = A_{c}(g={p})
{c} = lambda: object_{c}.g()
---
class A_{c}:
    def m(self): return self.m.__func__.g()
    m.g = {p}
{c} = A_{c}().m
---
class A_{c}:
    @property
    def v(self): return {p}()
{c} = lambda: A_{c}().v
---
class P_{c}(property):
    pass
class A_{c}:
    v = P_{c}(lambda self: {p}())
{c} = lambda: A_{c}().v
---
class A_{c}:
    @functools.cached_property
    def v(self): return {p}()
{c} = lambda: A_{c}().v
---
class A_{c}:
    __neg__ = functools.partialmethod(lambda self, g: g(), {p})
{c} = lambda: -A_{c}()
---
class A_{c}:
    m = functools.singledispatchmethod(lambda self, x: {p}())
{c} = lambda: A_{c}().m(1)
---
class D_{c}:
    def __init__(self, g): self.g = g
    def __get__(self, instance, owner): return self.g()
class A_{c}:
    v = D_{c}({p})
{c} = lambda: A_{c}.v
---
class M_{c}(type):
    def __call__(cls): return {p}()
class A_{c}(metaclass=M_{c}): pass
{c} = A_{c}
---
class B_{c}:
    def __init_subclass__(cls, g, **k): cls.g = staticmethod(g)
class A_{c}(B_{c}, g={p}): pass
{c} = lambda: A_{c}.g()
---
class A_{c}:
    def __class_getitem__(cls, item): return {p}()
{c} = lambda: A_{c}[1]
---
class A_{c}:
    __marks__ = dict(g=[{p}])
{c} = lambda: A_{c}.__marks__['g'][0]()
---
class A_{c}:
    v: typing.Annotated[int, {p}]
{c} = lambda: typing.get_type_hints(A_{c}, include_extras=True)['v'].__metadata__[0]()
---
@dataclasses.dataclass
class A_{c}:
    v: list = dataclasses.field(default_factory={p})
{c} = lambda: A_{c}().v
---
@dataclasses.dataclass(frozen=True)
class A_{c}:
    v: int = dataclasses.field(default=1, metadata=dict(g={p}))
{c} = lambda: dataclasses.fields(A_{c})[0].metadata['g']()
---
@dataclasses.dataclass(slots=True)
class A_{c}:
    g: object = {p}
{c} = lambda: A_{c}().g()
---
A_{c} = dataclasses.make_dataclass('A_{c}', [('g', object, {p})])
{c} = lambda: A_{c}().g()
---
A_{c} = types.new_class('A_{c}', (), {{}}, lambda space: space.update(g=staticmethod({p})))
{c} = lambda: A_{c}.g()
---
A_{c} = type('A_{c}', (object,), dict(g=staticmethod({p}), __module__='collections'))
{c} = lambda: A_{c}.g()
---
A_{c} = collections.namedtuple('A_{c}', 'g', defaults=[{p}])
{c} = lambda: A_{c}().g()
---
class A_{c}(typing.NamedTuple):
    g: object = {p}
{c} = lambda: A_{c}().g()
---
class A_{c}(enum.Enum):
    X = enum.member({p})
{c} = lambda: A_{c}.X.value()
---
class A_{c}(enum.Enum):
    X = 1
    def __init__(self, value): self.g = {p}
{c} = lambda: A_{c}.X.g()
---
class A_{c}(enum.Enum):
    X = 1
A_{c}.X.g = {p}
{c} = lambda: A_{c}.X.g()
---
class A_{c}(enum.Enum):
    X = 1
    @enum.property
    def v(self): return {p}()
{c} = lambda: A_{c}.X.v
---
class A_{c}(enum.IntFlag):
    X = 1
    @classmethod
    def _missing_(cls, value): return {p}()
{c} = lambda: A_{c}._missing_(3)
---
class A_{c}(abc.ABC):
    @abc.abstractmethod
    def m(self): return {p}()
class B_{c}(A_{c}):
    def m(self): return super().m()
{c} = lambda: B_{c}().m()
---
@contextlib.contextmanager
def with_{c}(): yield {p}()
def {c}():
    with with_{c}() as v: return v
---
@contextlib.contextmanager
def with_{c}(g): yield g()
@with_{c}({p})
def {c}(): return 1
---
class W_{c}(contextlib.ContextDecorator):
    def __init__(self, g): self.g = g
    def __enter__(self): return self.g()
    def __exit__(self, *args): pass
@W_{c}({p})
def {c}(): return 1
---
T_{c} = typing.TypeVar('T_{c}', bound=type('B_{c}', (), dict(g=staticmethod({p}))))
{c} = lambda: T_{c}.__bound__.g()
---
class A_{c}:
    class B:
        class C:
            g = [{p}]
{c} = lambda: A_{c}.B.C.g[0]()
---
error_{c} = ValueError({p})
error_{c}.g = {p}
{c} = lambda: error_{c}.args[0]()
---
class A_{c}:
    def __init__(self, g): self.g = g
    def __reduce__(self): return A_{c}, (self.g,)
object_{c} = A_{c}({p})
{c} = lambda: object_{c}.g()
---
class A_{c}:
    def __init__(self, g): self.state = [g]
    def __getstate__(self): return tuple(self.state)
    def __setstate__(self, state): self.state = list(state)
object_{c} = A_{c}({p})
{c} = lambda: object_{c}.state[0]()
""".strip('\n').split('\n---\n')


_numbers = itertools.count()


def load(text: str, name: str = 'program') -> types.ModuleType:
    """Run the text of a program as a module of the user."""
    file = f'<{name} {next(_numbers):d}>'
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(text, file, 'exec', dont_inherit=True), module.__dict__)  # noqa: S102
    return module


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Take away the modules and texts of programs."""
    yield
    sys.modules.pop('program', None)
    for file in [file for file in linecache.cache if file.startswith('<program ')]:
        del linecache.cache[file]


def compose(leaf: str, layers: list[int]) -> str:
    """Write a program whose task depends on `f` of the leaf through layers."""
    pieces, below = [textwrap.dedent(leaf), HEAD], 'f'
    for i, layer in enumerate(layers):
        pieces.append(LAYERS[layer].format(c=f'c{i:d}', p=below))
        below = f'c{i:d}'
    return '\n'.join([*pieces, f'def task(): return {below}()\n'])


layers = st.lists(st.integers(0, len(LAYERS) - 1), min_size=0, max_size=4)


@pytest.mark.parametrize('layer', range(len(LAYERS)))
def test_layers_pass_an_edit_on(layer: int) -> None:
    one, two = (compose(f'N = {n}\ndef f(): return N', [layer]) for n in (1, 2))
    first = describe(load(one).task)
    assert describe(load('# Moved.\n\n' + one).task).digest == first.digest
    assert describe(load(two).task).digest != first.digest
    assert current(first)


@given(st.integers(0, len(EDITS) - 1), layers)
@settings(max_examples=120, deadline=None)
def test_edit_below_is_another_task(edit: int, chosen: list[int]) -> None:
    before, after = (compose(text, chosen) for text in EDITS[edit])
    first = describe(load(before).task)
    assert describe(load(before + '# Words.\n').task).digest == first.digest
    assert describe(load(after).task).digest != first.digest


# --------------------------------------------------------------------------------------------------
# Changes in place


class Spy(Pickler):
    """A pickler that notes what it carries."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())
        self.carried: list[Any] = []

    def persistent_id(self, obj: Any) -> None:
        """See :meth:`pickle.Pickler.persistent_id`."""
        self.carried.append(obj)


def reachable(module: types.ModuleType) -> dict[int, Any]:
    """Return what a program made, by its id: what a pickler makes on its way is not among it."""
    collected: dict[int, Any] = {}
    skipped: list[Any] = []
    todo = [module.task]
    while todo:
        value = todo.pop()
        if (
            any(value is item for item in skipped)
            or id(value) in collected
            or isinstance(value, types.ModuleType)
        ):
            continue
        if isinstance(value, (types.FunctionType, type)) and value.__module__ != 'program':
            continue  # what it refers to is of this process
        if isinstance(value, enum.EnumMeta):
            # Lists and tables that enum keeps for itself.
            skipped += [
                item for key, item in vars(value).items() if re.fullmatch('_[^_].*[^_]_', key)
            ]
        collected[id(value)] = value
        others = gc.get_referents(value)
        if isinstance(value, types.FunctionType) and not _is_written(value):
            others = [other for other in others if other is not value.__globals__]
        todo += others
    return collected


def _code(func: types.FunctionType) -> None:
    consts = (*func.__code__.co_consts, 'another')
    func.__code__ = func.__code__.replace(co_consts=consts)


def _new_attribute(value: Any) -> None:
    value.another = 1


Change = Callable[[Any], None]
CHANGES: list[tuple[type, Change]] = [
    (types.FunctionType, _code),
    (types.FunctionType, _new_attribute),
    (
        types.FunctionType,
        lambda func: setattr(func, '__defaults__', (*(func.__defaults__ or ()), 7)),
    ),
    (
        types.FunctionType,
        lambda func: setattr(func, '__kwdefaults__', {**(func.__kwdefaults__ or {}), 'another': 7}),
    ),
    (types.FunctionType, lambda func: setattr(func, '__name__', 'another')),
    (types.CellType, lambda cell: setattr(cell, 'cell_contents', 7)),
    (type, _new_attribute),
    (type, lambda cls: setattr(cls, '__another__', [7])),
    (type, lambda cls: setattr(cls, '__annotations__', {'another': 7})),
    (type, lambda cls: setattr(cls, '__init__', lambda self: None)),
    (list, lambda value: value.append(7)),
    (list, lambda value: value.insert(0, 7)),
    (dict, lambda value: value.update(another=7)),
    (dict, lambda value: value.pop(next(iter(value)))),
    (collections.deque, lambda value: value.append(7)),
    (object, _new_attribute),
]


def _is_written(func: Any) -> bool:
    return isinstance(func, types.FunctionType) and func.__code__.co_filename.startswith(
        '<program '
    )


def _is_of_the_program(value: Any, task: Any) -> bool:
    if value is task or isinstance(value, (types.ModuleType, types.CodeType)):
        return False
    if isinstance(value, types.FunctionType):
        return _is_written(value)
    if isinstance(value, type):
        return value.__module__ == 'program'
    return type(value).__module__ in ('program', 'builtins', 'collections', 'functools', 'types')


@given(
    st.lists(st.integers(0, len(LAYERS) - 1), min_size=1, max_size=3),
    st.integers(0, len(CHANGES) - 1),
    st.data(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_describe_notices_changes_of_carried_values(
    chosen: list[int], number: int, data: st.DataObject
) -> None:
    module = load(compose('N = [1]\ndef f(): return N', chosen))
    kind, change = CHANGES[number]
    try:
        code = describe(module.task)
    except NotSerializableError:  # as what `functools.wraps` takes of a single dispatch
        assume(False)
    spy = Spy()
    spy.discover(module.task)
    own = reachable(module)
    carried = {
        id(value): value for value in spy.carried if isinstance(value, kind) and id(value) in own
    }
    # Variables of functions that a library wrote hold what is counted elsewhere.
    cells = {
        id(cell) for func in own.values() if _is_written(func) for cell in func.__closure__ or ()
    }
    candidates = [value for value in carried.values() if _is_of_the_program(value, module.task)]
    candidates = [value for value in candidates if kind is not types.CellType or id(value) in cells]
    assume(candidates)
    value = data.draw(st.sampled_from(candidates), label='what')
    try:
        change(value)
    except (AttributeError, TypeError, ValueError, LookupError, StopIteration):
        assume(False)
    _check(module, code)


def _check(module: types.ModuleType, code: Code) -> None:
    assert not current(code)
    try:
        other = describe(module.task)
    except Exception as exc:
        assert 'Nothing was added' in str(exc)
    else:
        assert other.digest != code.digest


@given(layers)
@settings(max_examples=40, deadline=None)
def test_carried_functions_return_the_same(chosen: list[int]) -> None:
    module = load(compose('N = [1]\ndef f(): return N', chosen))
    expected: Any = None
    try:
        expected = module.task()
    except Exception as exc:
        expected = type(exc)
    payload = b''.join(
        describe(load(compose('N = [1]\ndef f(): return N', chosen)).task).payload.parts
    )
    try:
        loaded = loads(payload)()
    except Exception as exc:
        loaded = type(exc)
    assert repr(loaded).partition(' at 0x')[0] == repr(expected).partition(' at 0x')[0]


def test_order_of_arrays_is_carried() -> None:
    stack = np.arange(6000.0).reshape(10, 20, 30)
    for axes in itertools.permutations(range(3)):
        for array in (stack.transpose(axes), stack[:2, :3, :4].copy().transpose(axes)):
            module = load('def make(a):\n    def task(): return a\n    return task\n')
            payload = b''.join(describe(module.make(array)).payload.parts)
            carried = loads(payload)()
            assert np.array_equal(carried.ravel('K'), array.ravel('K'))
