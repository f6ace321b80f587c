"""Payloads: what goes in comes out, without copies, in another process, or an error names what
can't.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import fnmatch
import functools
import inspect
import io
import json
import mmap
import os
import pathlib
import pickle
import random
import subprocess
import sys
import textwrap
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from other_python import VERSIONS, run

from desipipe.errors import NotSerializableError, PayloadError
from desipipe.serialize import (
    Payload,
    TaskReference,
    class_registry,
    describe,
    dumps,
    dumps_arguments,
    encode,
    loads,
    text,
)
from desipipe.serialize.memory import Memory

ROOT = Path(__file__).parent.parent


def joined(payload: Payload) -> bytes:
    """The bytes as a segment holds them; what a payload says of itself is checked on the way."""
    data = b''.join(payload.parts)
    assert len(data) == payload.nbytes
    assert payload.aligned or len(payload.parts) == 1
    return data


def again(value: Any) -> Any:
    return loads(joined(dumps(value)))


def python(folder: Path, *args: str, **environ: str) -> str:
    """Run Python in a folder, with the library that is tested; what it prints."""
    environ = {**os.environ, 'PYTHONPATH': str(ROOT), 'PYTHONDONTWRITEBYTECODE': '1', **environ}
    done = subprocess.run(
        [sys.executable, *args], cwd=folder, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --------------------------------------------------------------------------------------------------
# Values

numbers = (
    st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.fractions()
    | st.complex_numbers(allow_nan=False)
)
atoms = st.none() | numbers | st.text() | st.binary() | st.dates()
hashable = st.recursive(
    atoms,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
values = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.sets(hashable, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
def test_round_trip(value: Any) -> None:
    loaded = again(value)
    assert loaded == value
    assert type(loaded) is type(value)
    assert repr(type(loaded)) == repr(type(value))


@given(st.dictionaries(st.text(), values, max_size=4))
def test_arguments_round_trip(kwargs: dict[str, Any]) -> None:
    payload, tids = dumps_arguments(kwargs)
    assert tids == []
    assert loads(joined(payload)) == kwargs
    assert loads(joined(payload), lambda tid: tid) == kwargs


def test_plain_values_are_plain_pickles() -> None:
    for value in (3, 'a', None, [1, (2.0, {'a': b''})], {'seed': 3, 'size': 10000}):
        data = joined(dumps(value))
        assert data[:1] == b'\x80' and data == pickle.dumps(value, 5)


def test_plain_values_need_nothing_heavy(tmp_path: Path) -> None:
    command = """
import sys, typing
class Pair(typing.NamedTuple): a: int  # imports ast from Python 3.14 on
light = set(sys.modules)
from desipipe.serialize import *
payload, tids = dumps_arguments({'seed': 3, 'size': [1, 2.0, {'a': (None, b'x')}]})
loads(payload.parts[0]), loads(dumps('a').parts[0]), encode({'a': [1]}), text([1]), task_identity(b'', [('a', encode(1))]), TaskReference(b'')
encode([TaskReference(b'')])
print([name for name in ('cloudpickle', 'numpy', 'ast', 'dis', 'inspect', 'importlib.metadata', 'site', 'sysconfig') if name in sys.modules.keys() - light])
"""
    # Without the user's and the environment's startup files, which import things themselves.
    assert python(tmp_path, '-S', '-c', command) == '[]\n'


def test_numpy_is_not_imported_for_others(tmp_path: Path) -> None:
    command = """
import sys, fractions, pathlib
from desipipe.serialize import *
value = {'a': fractions.Fraction(1, 3), 'b': pathlib.Path('a'), 'f': lambda x: x}
encode(value), text(value), loads(dumps(value).parts[0]), describe(value['f'])
print('numpy' in sys.modules)
"""
    assert python(tmp_path, '-c', command) == 'False\n'


# --------------------------------------------------------------------------------------------------
# Arrays

BIG = 4096
structured = np.zeros(BIG, dtype=[('a', 'i4'), ('b', 'f8', (2,)), ('c', 'U3')])
structured['a'] = np.arange(BIG)
ARRAYS = {
    'C order': np.arange(BIG, dtype='f8').reshape(64, -1),
    'Fortran order': np.asfortranarray(np.arange(BIG, dtype='f8').reshape(64, -1)),
    'not contiguous': np.arange(2 * BIG, dtype='f8')[::2],
    'turned around': np.arange(BIG, dtype='f8')[::-1],
    'transposed slice': np.arange(4 * BIG).reshape(4, 64, -1)[:, ::2].transpose(2, 0, 1),
    'broadcast': np.broadcast_to(np.arange(64.0), (64, 64)),
    'other byte order': np.arange(BIG, dtype='>f4'),
    'booleans': np.arange(BIG) % 2 == 0,
    'complex': np.arange(BIG) * 1j,
    'dates': np.arange(BIG).astype('M8[s]'),
    'text': np.array(['a', 'é'] * BIG),
    'bytes': np.array([b'a', b'bc'] * BIG),
    'structured': structured,
    'structured slice': structured[::2],
    'one field': structured['b'],
    'small': np.arange(5.0),
    'no dimension': np.array(3.0),
    'no dimension, large': np.zeros((), dtype='V9999'),
    'empty': np.zeros((0, 5)),
    'empty in the middle': np.zeros((5, 0, 2), order='F'),
    'objects': np.array([1, 'a', None, {'b': [2]}], dtype=object),
    'many objects': np.array([1, 'a'] * BIG, dtype=object),
}


@pytest.mark.parametrize('array', ARRAYS.values(), ids=ARRAYS.keys())
def test_arrays(array: Any) -> None:
    payload = dumps(array)
    loaded = loads(joined(payload))
    assert type(loaded) is np.ndarray
    assert loaded.dtype == array.dtype and loaded.shape == array.shape
    assert np.array_equal(loaded, array)
    apart = array.nbytes >= BIG and not array.dtype.hasobject
    assert payload.aligned is apart
    assert loaded.flags.writeable
    loaded[...] = loaded[...]
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        assert loaded.flags.f_contiguous
    pair = again({'a': [array], 'b': Box(array)})
    assert np.array_equal(pair['a'][0], array) and pair['b'].item is pair['a'][0]


class Box:
    def __init__(self, item: Any) -> None:
        self.item = item

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Box) and self.item == other.item

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    'name', ['C order', 'Fortran order', 'structured', 'text', 'no dimension, large']
)
def test_arrays_are_not_copied(name: str) -> None:
    array = ARRAYS[name]
    payload = dumps({'a': array})
    views = [part for part in payload.parts if isinstance(part, memoryview)]
    assert len(views) == 1 and np.shares_memory(np.frombuffer(views[0], 'u1'), array)
    data = joined(payload)
    for given_as in (data, memoryview(data), memoryview(bytearray(data))):
        loaded = loads(given_as)['a']
        is_writable = not memoryview(given_as).readonly
        assert np.shares_memory(np.frombuffer(given_as, 'u1'), loaded) is is_writable
        assert loaded.flags.writeable


@pytest.mark.parametrize('size', [10, BIG, 4 << 20])
def test_arrays_stay_read_only_whatever_their_size(size: int) -> None:
    array = np.arange(size, dtype='u1')
    array.flags.writeable = False
    dates = array[: size // 8 * 8].view('M8[s]')
    loaded = loads(joined(dumps({'array': array, 'dates': dates, 'strided': array[::2]})))
    assert [value.flags.writeable for value in loaded.values()] == [False, True, True]
    assert np.array_equal(loaded['array'], array) and np.array_equal(loaded['dates'], dates)


def test_mapped_arrays_of_a_mapped_array(tmp_path: Path) -> None:
    file = tmp_path / 'array'
    mapped = np.memmap(file, dtype='f8', mode='w+', shape=(BIG,))
    mapped[:] = np.arange(BIG)
    payload = dumps(mapped)
    assert any(
        isinstance(part, memoryview) and np.shares_memory(np.frombuffer(part, 'u1'), mapped)
        for part in payload.parts
    )
    loaded = loads(joined(payload))
    assert type(loaded) is np.ndarray and np.array_equal(loaded, mapped)
    assert encode(loaded) == encode(mapped)


def test_payloads_in_a_file_are_mapped(tmp_path: Path) -> None:
    first, second = np.arange(1001.0), np.arange(7777, dtype='u1')
    file = tmp_path / 'segment'
    payload = dumps([first, second, {'third': first.reshape(7, -1)}])
    file.write_bytes(bytes(64 * 3) + joined(payload))
    with open(file, 'rb') as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    loaded = loads(memoryview(mapped)[64 * 3 :])
    assert np.array_equal(loaded[0], first) and np.array_equal(loaded[1], second)
    assert all(array.ctypes.data % 64 == 0 for array in loaded[:2])
    assert np.shares_memory(loaded[0], np.frombuffer(mapped, 'u1'))
    del mapped
    assert loaded[0].sum() == first.sum()  # the arrays keep the file mapped


def test_buffers_of_others() -> None:
    class Holder:
        def __init__(self, data: bytes) -> None:
            self.data = data

        def __reduce_ex__(self, protocol: int) -> Any:
            return bytearray, (pickle.PickleBuffer(self.data),)

    for size in (0, 10, BIG - 1, BIG, 100001):
        data = random.Random(size).randbytes(size)
        payload = dumps([Holder(data), Holder(data)])
        assert payload.aligned is (size >= BIG)
        assert loads(joined(payload)) == [data, data]


# --------------------------------------------------------------------------------------------------
# References to tasks


class Future(TaskReference):
    __slots__ = ('home', '__weakref__')

    def __init__(self, tid: bytes, home: str = 'queue') -> None:
        super().__init__(tid)
        self.home = home

    def __reduce__(self) -> Any:
        return Future, (self.tid, 'opened')


@dataclasses.dataclass
class Data:
    a: Any
    b: Any = None


class Pair(NamedTuple):
    a: Any
    b: Any


def tid(i: int) -> bytes:
    return i.to_bytes(16, 'big')


def test_references_are_found_and_resolved() -> None:
    f = [Future(tid(i)) for i in range(10)]
    kwargs = {'x': f[3], 'y': [f[1], (f[3], {'k': f[0]})], 'z': Data(f[2], Pair(f[4], 1))}
    kwargs |= {
        's': {f[5]},
        'o': Box([f[1], Future(tid(1))]),
        'a': np.array([f[6], 1], dtype=object),
    }
    payload, tids = dumps_arguments(kwargs)
    assert tids == [tid(i) for i in (3, 1, 0, 2, 4, 5, 6)]
    loaded = loads(joined(payload), lambda key: int.from_bytes(key, 'big') * 100)
    assert loaded['x'] == 300 and loaded['y'] == [100, (300, {'k': 0})]
    assert (loaded['z'].a, loaded['z'].b, loaded['s'], loaded['o'].item, list(loaded['a'])) == (
        200,
        (400, 1),
        {500},
        [100, 100],
        [600, 1],
    )
    bare = loads(joined(payload))
    assert type(bare['x']) is TaskReference and bare['x'].tid == tid(3)


def test_references_beside_large_arrays() -> None:
    array = np.arange(10000.0)
    payload, tids = dumps_arguments({'a': [array, TaskReference(tid(7))]})
    assert tids == [tid(7)] and payload.aligned
    loaded = loads(joined(payload), lambda key: array)
    assert np.array_equal(loaded['a'][0], array) and loaded['a'][1] is array


def test_futures_in_results_are_carried_as_they_say() -> None:
    loaded = again([Future(tid(1))])[0]
    assert type(loaded) is Future and loaded.home == 'opened'
    assert again(TaskReference(tid(2))).tid == tid(2)


def test_many_references() -> None:
    futures = [Future(tid(i % 5000)) for i in range(10000)]
    payload, tids = dumps_arguments({'fractions': futures})
    assert tids == [tid(i) for i in range(5000)]
    assert loads(joined(payload), lambda key: key)['fractions'] == [
        future.tid for future in futures
    ]


def test_loads_passes_errors_of_resolver() -> None:
    payload, _ = dumps_arguments({'x': TaskReference(tid(1))})

    def fail(key: bytes) -> object:
        raise KeyError(key)

    with pytest.raises(KeyError):
        loads(joined(payload), fail)


# --------------------------------------------------------------------------------------------------
# Code of the user, by value


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """Run a script beside modules, in a process that ends; all files are gone when the payload
    of its ``value`` is returned. What finds the modules of payloads is gone after the test.
    """
    monkeypatch.setattr(sys, 'meta_path', [*sys.meta_path])

    def run(script: str, **files: str) -> bytes:
        folder = tmp_path / 'project'
        for name, content in files.items():
            path = folder / f'{name}.py'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(content))
        end = (
            "\nfrom desipipe.serialize import dumps\nopen('payload', "
            "'wb').write(b''.join(dumps(value).parts))\n"
        )
        folder.mkdir(exist_ok=True)
        (folder / 'script.py').write_text(textwrap.dedent(script) + end)
        python(folder, 'script.py')
        data = (folder / 'payload').read_bytes()
        for path in sorted(folder.rglob('*'), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        return data

    return run


def test_modules_of_the_user_travel(project: Callable[..., bytes]) -> None:
    script = """
        import helpers as h
        from helpers import Model
        import pkg.sub
        def value(x):
            return h.f(x) + Model(2).scaled(x) + pkg.sub.g()
    """
    helpers = """
        import threading
        K = 10
        lock = threading.Lock()
        def f(x): return x * K + g()
        def g(): return 0.5
        def unused(): return lock
        class Model:
            def __init__(self, n): self.n = n
            def scaled(self, x): return self.n * x * K
    """
    data = project(
        script,
        **{
            'helpers': helpers,
            'pkg/__init__': 'handle = open(__file__)',
            'pkg/sub': 'N = 7\ndef g(): return N',
        },
    )
    assert loads(data)(1) == 37.5
    assert not {'helpers', 'pkg'} & set(sys.modules)


def test_modules_that_functions_import_travel(
    project: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """
        def value():
            import outer
            from box.inner import two
            import folder.within
            return outer.one() + two(), outer.__file__, outer.here()
    """
    files = {
        'outer': 'import deep\ndef one(): return deep.N\ndef here(): return __name__',
        'deep': 'N = 1',
        'folder/within': '',
    }
    files |= {
        'box/__init__': '',
        'box/inner': 'from .more import M\ndef two(): return M',
        'box/more': 'M = 2',
    }
    data = project(script, **files)
    before = set(sys.modules)
    try:
        total, file, name = loads(data)()
        assert (total, name) == (3, 'outer') and file.endswith('project/outer.py')
        # Another version of the task comes to the same process, with its own modules.
        other = project(
            script, **{**files, 'outer': files['outer'].replace('deep.N', 'deep.N * 100')}
        )
        assert loads(other)()[0] == 102
        assert loads(data)()[0] == 3
    finally:
        for name in set(sys.modules) - before:
            del sys.modules[name]


def test_modules_that_are_imported_already_stay(
    project: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = project('def value():\n    import outer\n    return outer.N', outer='N = 1')
    own_part = types.ModuleType('outer')
    own_part.N = 2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, 'outer', own_part)
    assert loads(data)() == 2
    assert sys.modules['outer'] is own_part


def test_class_bodies_inside_of_functions(project: Callable[..., bytes]) -> None:
    assert loads(project('N = 5\ndef value():\n    class A:\n        n = N\n    return A.n'))() == 5


def test_tracebacks_show_the_text(project: Callable[..., bytes]) -> None:
    import traceback

    func = loads(
        project(
            'def g(x):\n    # Why.\n    return 1 / x  # the culprit\n\ndef value(x):\n    return '
            'g(x)\n'
        )
    )
    try:
        func(0)
    except ZeroDivisionError:
        shown = traceback.format_exc()
    assert 'return 1 / x  # the culprit' in shown and 'return g(x)' in shown


def test_objects_of_classes_of_scripts(project: Callable[..., bytes]) -> None:
    script = """
        import dataclasses, enum, functools, typing
        class Kind(enum.Enum):
            A = 1
        class Point(typing.NamedTuple):
            x: int
        @dataclasses.dataclass
        class Model:
            kind: Kind
            point: Point
            @functools.cached_property
            def twice(self): return self.point.x * 2
        value = Model(Kind.A, Point(3))
    """
    loaded = loads(project(script))
    assert (
        loaded.twice == 6 and loaded.twice == 6 and loaded.kind.name == 'A' and loaded.point == (3,)
    )


def test_standard_streams(
    project: Callable[..., bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    loads(project('import sys\nout = sys.stdout\ndef value(): out.write("seen")'))()
    assert capsys.readouterr().out == 'seen'


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of the user that is imported here."""
    (tmp_path / 'own_module.py').write_text(
        'import threading\nlock = threading.Lock()\ndef f(): return 1\ndef g(): return lock\ndef '
        'h(x): return h and f()\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, 'own_module', sys)  # afterwards it is gone again
    del sys.modules['own_module']
    import own_module  # type: ignore[import-not-found]

    return own_module


def test_cloudpickle_is_left_as_it_was(own: Any) -> None:
    assert loads(joined(dumps(own.f)))() == 1
    assert cloudpickle.list_registry_pickle_by_value() == set()
    with pytest.raises(NotSerializableError):
        dumps(own.g)
    assert cloudpickle.list_registry_pickle_by_value() == set()
    cloudpickle.register_pickle_by_value(own)
    try:
        dumps(own.f)
        assert cloudpickle.list_registry_pickle_by_value() == {'own_module'}
    finally:
        cloudpickle.unregister_pickle_by_value(own)


def test_threads_pickle_at_once(own: Any) -> None:
    wrong: list[object] = []

    def work() -> None:
        for _ in range(50):
            data = joined(dumps([own.f, own.h]))
            if b'own_module\x94\x8c\x01f' in data or loads(data)[1](1) != 1:
                wrong.append(data)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cloudpickle.list_registry_pickle_by_value() == set()


def test_module_as_a_value(own: Any, tmp_path: Path) -> None:
    with pytest.raises(
        NotSerializableError, match="the module 'own_module', attribute 'lock' .a lock"
    ):
        dumps(own)
    del own.lock
    loaded = again({'m': own})['m']
    assert loaded is not own and loaded.f() == 1 and loaded.h(0) == 1
    assert again(json) is json


# --------------------------------------------------------------------------------------------------
# What can't be carried


def closure() -> Callable[[], Any]:
    handle = open(__file__)
    return lambda: handle


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'a': 1, 'model': threading.Lock()}, "argument 'model' (a lock"),
        ({'model': [1, {'b': threading.Lock()}]}, "argument 'model', item 1, item 'b' (a lock"),
        ({'model': Box(threading.Lock())}, "argument 'model', attribute 'item' (a lock"),
        (
            {'model': Data(1, (threading.Event(),))},
            "argument 'model', attribute 'b', item 0 (a lock",
        ),
        ({'f': closure()}, "argument 'f', the function '<lambda>' uses 'handle' (an open file"),
        (
            {'f': functools.partial(print, file=open(__file__))},
            "argument 'f', attribute 'file' (an open file",
        ),
        ({'f': io.FileIO(__file__)}, "argument 'f' (an open file"),
        ({'f': (i for i in 'ab')}, "argument 'f' (a generator"),
        ({'f': np.array([threading.Lock()], dtype=object)}, '(a lock'),
        (
            {'f': types.SimpleNamespace(m=Box(threading.Lock()).__eq__)},
            "attribute 'm', attribute 'item' (a lock",
        ),
    ],
)
def test_refused_arguments(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(NotSerializableError) as error:
        dumps_arguments(kwargs)
    assert message in str(error.value)
    assert str(error.value).startswith('argument ')
    assert 'Nothing was added to the queue' in str(error.value)


def test_refused_results() -> None:
    with pytest.raises(
        NotSerializableError,
        match=r'^the result, item 0 \(an open file, .*return what you need of it.*cannot be kept\.$',
    ):
        dumps([open(__file__)])
    with pytest.raises(
        NotSerializableError, match=r'^the result \(a generator, .*turn it into a list first'
    ):
        dumps(i for i in 'ab')


def test_errors_of_others_are_told() -> None:
    class Stubborn:
        def __reduce__(self) -> Any:
            raise RuntimeError('not today')

    with pytest.raises(
        NotSerializableError, match="argument 'x', item 0 .*RuntimeError: not today"
    ):
        dumps_arguments({'x': [Stubborn()]})


def test_too_deep() -> None:
    value: Any = None
    for _ in range(100000):
        value = [value]
    try:
        payload, _ = dumps_arguments({'x': value})
    except NotSerializableError as exc:
        assert "argument 'x'" in str(exc)
    else:  # from Python 3.14 on, as far as the stack of the C library reaches
        rest, depth = loads(payload.parts[0])['x'], 0
        while rest is not None:
            (rest,), depth = rest, depth + 1
        assert depth == 100000
    with pytest.raises(NotSerializableError, match="argument 'x'.* nested too deeply"):
        encode(value, 'x')
    text(value)


# --------------------------------------------------------------------------------------------------
# Damaged payloads


@pytest.mark.parametrize(
    'value',
    [{'a': 1, 'b': 'text'}, [np.arange(BIG), 'end'], TaskReference(tid(1))],
    ids=['pickle', 'buffers', 'reference'],
)
def test_cut_payloads(value: Any) -> None:
    data = joined(dumps_arguments({'x': value})[0])
    for length in {*range(300), *range(len(data) - 300, len(data))} & set(range(len(data))):
        with pytest.raises(PayloadError, match='doctor'):
            loads(data[:length])
    loads(data + b'more')


def test_other_bytes() -> None:
    for data in (b'', b'\x00' * 64, b'PK\x03\x04' * 20, b'\x80', b'\x80\x05garbage.'):
        with pytest.raises(PayloadError, match=f'These {len(data):d} bytes are no payload'):
            loads(data)


# --------------------------------------------------------------------------------------------------
# Text for people


@pytest.mark.parametrize(
    ('value', 'shown'),
    [
        (3, '3'),
        (True, 'True'),
        (2.5, '2.5'),
        ('a\nb', "'a\\nb'"),
        (None, 'None'),
        (b'a', "b'a'"),
        ([1, (2,), {'a': {3}}], "[1, (2,), {'a': {3}}]"),
        ((), '()'),
        (set(), 'set()'),
        (frozenset({1}), 'frozenset({1})'),
        ({}, '{}'),
        ([(1, 2), [], {}], '[(1, 2), [], {}]'),
        ({(1, 2)}, '{(1, 2)}'),
        (Path('/a'), "PosixPath('/a')"),
        (range(3), 'range(0, 3)'),
        (datetime.date(2026, 1, 2), 'datetime.date(2026, 1, 2)'),
        (np.float64(2.5), 'float64(2.5)'),
        (TaskReference(tid(255)), 'task 000000000000000000000000000000ff'),
        ([TaskReference(tid(255))], '[task 000000000000000000000000000000ff]'),
    ],
)
def test_text_says_everything(value: Any, shown: str) -> None:
    assert text(value) == shown


@pytest.mark.parametrize(
    ('value', 'start'),
    [
        (np.zeros((1000, 3)), 'float64 array (1000, 3) #'),
        (np.zeros(2, dtype='i4'), 'int32 array (2,) #'),
        ({'a': np.zeros(2)}, "{'a': float64 array (2,)} #"),
        (Box(1), 'Box object #'),
        (Data(1), 'Data(a=1, b=None) #'),
        (len, 'function len #'),
        (test_cut_payloads, 'function test_cut_payloads #'),
        (Box, 'class Box #'),
        ('x' * 1000, "'xxxx"),
        (list(range(1000)), '[0, 1, 2, '),
        (10**3000, 'integer of 9966 bits #'),
        ([10**9000], '[integer of 29898 bits] #'),
        (functools.partial(int, base=2), "functools.partial(<class 'int'>, base=2) #"),
    ],
)
def test_text_ends_in_a_digest(value: Any, start: str) -> None:
    shown = text(value)
    assert shown.startswith(start)
    assert len(shown) <= 200 and '\n' not in shown
    assert len(shown.rpartition(' #')[2]) == 16 and int(shown.rpartition(' #')[2], 16) >= 0


def test_text_tells_values_apart() -> None:
    pairs: list[tuple[Any, Any]] = [
        (np.zeros(5), np.ones(5)),
        ('x' * 1000, 'x' * 999 + 'y'),
        (list(range(1000)), list(range(1001))),
    ]
    pairs += [(Box(1), Box(2)), (10**3000, 10**3000 + 1), (1, True), (1, 1.0), ('1', 1)]
    for a, b in pairs:
        assert text(a) != text(b)
        assert text([a]) != text([b])
        assert text({'k': a}) != text({'k': b})
        assert text(a, 20) != text(b, 20)
        assert len(text(a, 40)) <= 40
    assert text(Box(1)) == text(Box(1))
    assert text({'b', 'a'}) == "{'a', 'b'}"


def test_text_never_fails() -> None:
    class Bad:
        def __repr__(self) -> str:
            raise RuntimeError

    cycle: list[Any] = []
    cycle.append(cycle)
    odd = [
        '\ud800' * 3,
        Path('/\udcff'),
        cycle,
        sys.stdout,
        collections.UserDict(a=Bad()),
        type('É', (), {})(),
    ]
    for value in (Bad(), [Bad()], threading.Lock(), (i for i in 'a'), *odd):
        shown = text(value)
        assert 0 < len(shown) <= 200
        shown.encode()
    assert text(threading.Lock()).startswith('<unlocked _thread.lock object> #')


@given(values, values)
def test_text_of_plain_values(a: Any, b: Any) -> None:
    assert len(text(a)) <= 200
    assert (text(a) == text(b)) == (encode(a) == encode(b))


def test_payload_of_a_description(own: Any) -> None:
    assert loads(joined(describe(own.h).payload))(1) == 1
    own.A = np.arange(10000.0)
    exec('def k(): return A.sum()', own.__dict__)  # noqa: S102
    payload = describe(own.k).payload
    assert payload.aligned and loads(joined(payload))() == own.A.sum()


def test_paths_and_pure_things() -> None:
    assert again(pathlib.PurePosixPath('/a')) == pathlib.PurePosixPath('/a')
    assert again(collections.OrderedDict([(2, 1), (1, 2)])) == collections.OrderedDict(
        [(2, 1), (1, 2)]
    )


def test_random_generators_that_a_process_shares_stay_there(project: Callable[..., bytes]) -> None:
    script = """
        import random
        import numpy as np
        from random import random as r
        from numpy.random import uniform
        random.seed(1)
        np.random.seed(1)
        value = lambda: (r(), uniform())
    """
    func = loads(project(script))
    random.seed(5)
    np.random.seed(5)
    first = func()
    random.seed(5)
    np.random.seed(5)
    assert (random.random(), np.random.uniform()) == first


def test_deep_structures() -> None:
    linked: Any = None
    for i in range(2000):
        linked = Data(i, linked)
    loaded = again(linked)
    for i in range(1999, -1, -1):
        assert loaded.a == i
        loaded = loaded.b
    assert loaded is None


# --------------------------------------------------------------------------------------------------
# What code keeps


def test_classes_with_slots(project: Callable[..., bytes]) -> None:
    script = """
        import dataclasses
        class A:
            __slots__ = ('a', '__b')
            def __init__(self):
                self.a = 1
                self.__b = 2
            def b(self): return self.__b
        class One:
            __slots__ = 'one'
        class More(A):
            __slots__ = ('more', '__dict__')
        @dataclasses.dataclass(slots=True)
        class Data:
            x: int
            y: list = dataclasses.field(default_factory=list)
        one, more = One(), More()
        one.one, more.more, more.any = 1, 2, 3
        value = A(), one, more, Data(1, [2]), More
    """
    a, one, more, data, cls = loads(project(script))
    assert (a.a, a.b(), one.one, more.a, more.b(), more.more, more.any, data.x, data.y) == (
        1,
        2,
        1,
        1,
        2,
        2,
        3,
        1,
        [2],
    )
    assert not hasattr(a, '__dict__') and not hasattr(data, '__dict__') and vars(more) == {'any': 3}
    assert type(more) is cls and isinstance(more, type(a))
    with pytest.raises(AttributeError):
        data.other = 1
    assert again(data) == data and vars(again(more)) == {'any': 3}


def test_caches_and_new_types(project: Callable[..., bytes]) -> None:
    script = """
        import functools, typing
        P = typing.ParamSpec('P')
        UID = typing.NewType('UID', int)
        @functools.lru_cache(maxsize=7)
        def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
        class A:
            @functools.lru_cache
            def twice(self, x): return self, 2 * x
        def call(func: typing.Callable[P, UID]) -> UID: return UID(fib(30))
        fib(5)
        value = fib, A(), UID, call
    """
    fib, a, uid, call = loads(project(script))
    assert (
        fib.cache_info() == (0, 0, 7, 0)
        and fib.__name__ == 'fib'
        and fib.__wrapped__.__globals__['fib'] is fib
    )
    assert call(None) == 832040 and fib.cache_info().currsize == 7
    assert a.twice(2) == (a, 4)
    assert (uid(3), uid.__name__, uid.__module__, uid.__supertype__) == (3, 'UID', '__main__', int)
    assert again(functools.lru_cache(os.path.join))('a', 'b') == 'a/b'
    assert again(fnmatch._compile_pattern) is fnmatch._compile_pattern  # type: ignore[attr-defined]


class Missing:
    """What is there once, under its name."""

    def __reduce__(self) -> str:
        return 'MISSING'


def test_dumps_refuses_objects_by_name_in_main(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Missing()
    monkeypatch.setattr(sys.modules['__main__'], 'MISSING', missing, raising=False)
    missing.__module__ = '__main__'
    with pytest.raises(
        NotSerializableError,
        match=r"argument 'x', item 0 .*by its name only \(__main__.MISSING\).*Nothing was added",
    ):
        dumps_arguments({'x': [missing]})
    with pytest.raises(NotSerializableError, match="the function '<lambda>' uses 'missing'"):
        dumps(lambda: missing)


def remembers(namespace: str) -> tuple[bool, Any]:
    """Whether a function that uses all of a namespace has to be loaded again after a call, and
    the function.
    """
    collected: dict[str, Any] = {'__name__': '__main__'}
    exec(textwrap.dedent(namespace), collected)  # noqa: S102
    names = [name for name in collected if not name.startswith('__')]
    exec(f'def f(): return {", ".join(names)}', collected)  # noqa: S102
    data = joined(dumps(collected['f']))
    class_registry._records.clear()  # as in another process, which has none of these classes
    class_registry._classes.clear()
    func = loads(data)
    memory = Memory(func)
    assert memory.use()
    return not memory.use(), func


KEEPS_NOTHING = [
    'import numpy as np, os, logging; log = logging.getLogger("x"); x = np.float64(1); t = x.dtype',
    'import numpy as np; table = np.zeros(10_000); table.flags.writeable = False',
    (
        'import pathlib, re, datetime, sys; a = pathlib.Path("/a"), re.compile("a"), '
        'datetime.timedelta(1), 1j, b"", frozenset((1, (2,))); out = sys.stdout'
    ),
    (
        'import functools\n@functools.lru_cache\ndef g(x): return h(x)\ndef h(x): return 1\np = '
        'functools.partial(h, 2)'
    ),
    (
        'import dataclasses\n@dataclasses.dataclass\nclass A:\n  x: int = 1\n  y: list = '
        'dataclasses.field(default_factory=list)\n  def z(self): return 1'
    ),
    'import enum\nclass A(enum.Enum):\n  X = 1\n  Y = (1, 2)\nx = A.X',
    (
        'import typing, collections\nclass A(typing.NamedTuple):\n  x: int = 1\nB = '
        'collections.namedtuple("B", "a b", defaults=(1,))\nb = A(1), B(2)'
    ),
    (
        'import abc\nclass A(abc.ABC):\n  @abc.abstractmethod\n  def f(self): ...\nclass B(A):\n  '
        '__slots__ = ("x",)\n  def f(self): return super().f()'
    ),
    'import random\nfrom random import gauss\nfrom numpy.random import normal',
]


@pytest.mark.parametrize('namespace', KEEPS_NOTHING)
def test_code_that_keeps_nothing_is_loaded_once(namespace: str) -> None:
    assert not remembers(namespace)[0]


@pytest.mark.parametrize('version', VERSIONS)
def test_payloads_are_read_by_other_versions_of_python(tmp_path: Path, version: str) -> None:
    namespaces = [namespace for namespace in KEEPS_NOTHING if 'numpy' not in namespace]
    script = [
        'from __future__ import annotations',
        'import json, textwrap',
        'from desipipe.serialize import class_registry, dumps, loads',
        'from desipipe.serialize.memory import Memory',
        *map(inspect.getsource, (joined, again, remembers)),
        (
            f'print(json.dumps([namespace for namespace in {namespaces!r} if '
            'remembers(namespace)[0]]))'
        ),
    ]
    (tmp_path / 'look.py').write_text('\n'.join(script))
    assert json.loads(run(version, tmp_path, 'look.py')) == []


@pytest.mark.parametrize(
    'namespace',
    [
        'x = []',
        'x = (1, [2])',
        'import numpy as np; x = np.zeros(3)',
        'import numpy as np; x = np.zeros(10_000)',
        'import numpy as np; draw = np.random.default_rng(0).random',
        'import random; r = random.Random(1).random',
        'import collections; x = collections.Counter()',
        'def g(x, seen={}): return seen',
        'class A:\n  seen = set()',
        'class A: ...\na = A()',
        'import functools\n@functools.lru_cache\ndef g(x): return seen\nseen = {}',
        'import functools\np = functools.partial(max, key=[])',
        'import types; m = types.ModuleType("made"); m.x = []',
    ],
)
def test_code_that_may_keep_something_is_loaded_again(namespace: str) -> None:
    assert remembers(namespace)[0]


def test_remembered_function_notices_replacements() -> None:
    _, func = remembers('class A:\n  x = 1\ndef g(): return A\ny = 1')
    cls = func.__globals__['A']
    for change, undo in [
        (lambda: func.__globals__.update(y=2), lambda: func.__globals__.update(y=1)),
        (lambda: setattr(cls, 'x', 2), lambda: setattr(cls, 'x', 1)),
        (
            lambda: setattr(func.__globals__['g'], 'calls', 1),
            lambda: delattr(func.__globals__['g'], 'calls'),
        ),
    ]:
        memory = Memory(func)
        assert memory.use() and memory.use()
        change()
        assert not memory.use()
        undo()
        assert memory.use()
    memory = Memory(func)
    cls.extra = 1
    memory.forget()
    assert not hasattr(cls, 'extra') and cls.x == 1
    assert set(memory.names) == {'A', 'f', 'g'}
