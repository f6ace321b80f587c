"""The pickler for everything that is not plain: code of the user by value, references to tasks, large buffers apart."""

from __future__ import annotations

import copyreg
import io
import pickle
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any, TypeVar

import cloudpickle

from . import carried, modules, source
from .plain import TaskReference, is_live, reference, refuse, standard_stream

OUT_OF_BAND = 4096  # bytes; smaller buffers stay in the pickle: apart they would cost more than they save

_registry_lock = threading.Lock()
_registered: dict[str, list[Any]] = {}  # module name: the module, number of picklers that are at work with it
# Of a module that is carried by value: what its functions may ask for.
_MODULE_WORDS = ('__name__', '__package__', '__file__', '__path__', '__doc__')


def _fill(module: ModuleType, state: dict[str, Any]) -> None:
    module.__dict__.update(state)


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Cloudpickle's pickler, that takes the user's own modules by value.

    Parameters
    ----------
    file : file
    buffer_callback : callable, default=None
        See :class:`pickle.Pickler`.
    references : bool, default=False
        Whether references to tasks are replaced by their identity (see :func:`~.plain.reference`) and collected in ``tids``.
    used : mapping, default=None
        Names of the user's modules: attributes that are used of them, None for all. What is not used is left out.
    known : mapping, default=None
        Modules that functions import when they run, where the caller has read them already.
    """

    def __init__(
        self,
        file: Any,
        buffer_callback: Callable[[pickle.PickleBuffer], object] | None = None,
        references: bool = False,
        used: Mapping[str, set[str] | None] | None = None,
        known: Mapping[str, modules.Static] | None = None,
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        self.references = references
        self.used = used or {}
        self.known = known or {}
        self.tids: dict[bytes, None] = {}
        self.texts: dict[str, dict[int, str]] = {}
        self.modules: dict[str, tuple[str, str, bool]] = {}
        self._mine: set[str] = set()

    def dump(self, obj: Any) -> None:
        """See :meth:`pickle.Pickler.dump`."""
        try:
            super().dump(obj)
        finally:
            _unregister(self._mine)

    def reducer_override(self, obj: Any) -> Any:
        """See :meth:`pickle.Pickler.reducer_override`: called for everything but exact plain types."""
        kind = type(obj)
        if self.references and issubclass(kind, TaskReference):
            self.tids[obj.tid] = None
            return reference, (obj.tid,)
        if kind is FunctionType:
            return self._reduce_function(obj)
        if kind is ModuleType or issubclass(kind, ModuleType):
            if modules.is_user(obj.__name__) and obj.__name__ not in modules.MAIN:
                return self._reduce_module(obj)
        elif issubclass(kind, (type, TypeVar)):
            self._own(getattr(obj, '__module__', None))
        elif issubclass(kind, io.IOBase) or standard_stream(obj):
            name = standard_stream(obj)
            if name:
                return getattr, (sys, name)
            if is_live(obj) and kind.__module__ in ('_io', 'io') and kind.__name__ not in ('BytesIO', 'StringIO'):
                # Cloudpickle would read the file and carry its text: never what was meant.
                raise TypeError('it is open in this process')
        elif kind.__module__.partition('.')[0] == 'numpy' and kind.__name__ in ('ndarray', 'memmap'):
            return self._reduce_array(obj)
        return super().reducer_override(obj)

    def _own(self, name: str | None) -> None:
        if name not in self._mine and name in sys.modules and name not in modules.MAIN and modules.is_user(name):
            if _register(name):
                self._mine.add(name)

    def _reduce_function(self, func: FunctionType) -> Any:
        self._own(func.__module__)
        reduced = super().reducer_override(func)
        if reduced is NotImplemented:
            return reduced  # by name
        code, namespace = func.__code__, func.__globals__
        reads = source.reads(code)
        # Cloudpickle misses what the bodies of classes inside of functions read.
        carried_globals = reduced[2][1]['__globals__']
        for name in reads.names:
            if name not in carried_globals and name in namespace and name != '__builtins__':
                carried_globals[name] = namespace[name]
        if modules.is_user(namespace.get('__name__')):
            found = source.find(code, namespace)
            if found is not None:
                first, text = found.statement
                self.texts.setdefault(code.co_filename, {})[first] = text
            if reads.imports:
                for module in modules.closure(reads.imports, modules.package_of(namespace))[0].values():
                    module = self.known.get(module.name, module)
                    self.modules[module.name] = (module.file, module.text, module.is_package)
        return reduced

    def _reduce_module(self, module: ModuleType) -> Any:
        names = self.used.get(module.__name__)
        state = {key: value for key, value in vars(module).items() if key in _MODULE_WORDS or (names is None or key in names) and not key.startswith('__')}
        return ModuleType, (module.__name__,), state, None, None, _fill

    def _reduce_array(self, array: Any) -> Any:
        import numpy as np

        if type(array) is not np.ndarray:
            array = np.asarray(array)  # a mapped file: its content counts; no copy
        elif array.nbytes < OUT_OF_BAND or array.dtype.hasobject or array.flags.forc:
            return super().reducer_override(array)
        elif not array.dtype.hasobject:
            array = np.ascontiguousarray(array)  # one copy instead of two, and it can be mapped when it is read
        return array.__reduce_ex__(5)


def _register(name: str) -> bool:
    """Have cloudpickle take a module by value, until everyone who asked for it is done; False if it does so anyway."""
    module = sys.modules[name]
    if not isinstance(module, ModuleType) or module.__name__ != name:
        return False
    with _registry_lock:
        entry = _registered.get(name)
        if entry is None:
            if name in cloudpickle.list_registry_pickle_by_value():
                return False  # the user wants it so
            cloudpickle.register_pickle_by_value(module)
            entry = _registered[name] = [module, 0]
        entry[1] += 1
    return True


def _unregister(names: set[str]) -> None:
    with _registry_lock:
        while names:
            name = names.pop()
            entry = _registered[name]
            entry[1] -= 1
            if not entry[1]:
                del _registered[name]
                cloudpickle.unregister_pickle_by_value(entry[0])


class _Restored:
    """A value with what it brings along; it is loaded as the value itself."""

    def __init__(self, value: Any, pickler: Pickler) -> None:
        self.value = value
        self.pickler = pickler

    def __reduce__(self) -> Any:
        return carried.restore, (self.value, self.pickler.texts, self.pickler.modules)


def pickled(
    obj: Any,
    trail: Iterable[str],
    references: bool = False,
    used: Mapping[str, set[str] | None] | None = None,
    known: Mapping[str, modules.Static] | None = None,
) -> tuple[bytes, list[memoryview], list[bytes]]:
    """Pickle anything.

    Parameters
    ----------
    obj : object
    trail : iterable of str
        How errors call it.
    references, used, known
        See :class:`Pickler`.

    Returns
    -------
    data : bytes
        The pickle.
    buffers : list of memoryview
        What is not in it.
    tids : list of bytes
        Identities of the tasks it refers to, in order of first appearance.

    Raises
    ------
    NotSerializableError
        If it can't be carried; names what in it can't.
    """
    buffers: list[memoryview] = []

    def out_of_band(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:
            return True
        if raw.nbytes < OUT_OF_BAND:
            return True
        buffers.append(raw)
        return False

    def once(value: Any) -> tuple[bytes, Pickler]:
        buffers.clear()
        with io.BytesIO() as file:
            pickler = Pickler(file, out_of_band, references, used, known)
            pickler.dump(value)
            return file.getvalue(), pickler

    try:
        data, pickler = once(obj)
        if pickler.texts or pickler.modules:
            data, pickler = once(_Restored(obj, pickler))
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as exc:
        path, culprit, reason = _culprit(obj, list(trail), exc, references, set())
        raise refuse(path or ['the arguments'], culprit, reason) from exc
    return data, buffers, list(pickler.tids)


# ---------------------------------------------------------------------------------------------------------------------
# What is to blame


def _culprit(obj: Any, trail: list[str], reason: Exception, references: bool, seen: set[int]) -> tuple[list[str], Any, Exception]:
    """Go down to the smallest part of ``obj`` that can't be pickled."""
    seen.add(id(obj))
    for words, part in _inside(obj, not trail):
        if id(part) in seen:
            continue
        try:
            Pickler(io.BytesIO(), lambda buffer: False, references).dump(part)
        except Exception as exc:
            return _culprit(part, [*trail, *words], exc, references, seen)
    return trail, obj, reason


def _inside(obj: Any, arguments: bool) -> Iterator[tuple[list[str], Any]]:
    kind = type(obj)
    if kind is dict:
        for key, value in obj.items():
            yield [f'argument {key!r}' if arguments else f'item {key!r}'], value
            yield [f'key {key!r}'], key
    elif kind in (list, tuple, set, frozenset):
        for i, value in enumerate(obj):
            yield [f'item {i:d}'], value
    elif kind is FunctionType:
        words = f'the function {obj.__name__!r} uses'
        for name, cell in zip(obj.__code__.co_freevars, obj.__closure__ or (), strict=True):
            try:
                yield [f'{words} {name!r}'], cell.cell_contents
            except ValueError:
                continue  # not set yet
        for name in source.reads(obj.__code__).names:
            if name in obj.__globals__ and name != '__builtins__':
                yield [f'{words} {name!r}'], obj.__globals__[name]
        names = obj.__code__.co_varnames[: obj.__code__.co_argcount]
        defaults = obj.__defaults__ or ()
        for name, value in [*zip(names[len(names) - len(defaults) :], defaults, strict=True), *(obj.__kwdefaults__ or {}).items()]:
            yield [f'the function {obj.__name__!r} has the default {name!r}'], value
        for name, value in obj.__dict__.items():
            yield [f'the function {obj.__name__!r} has the attribute {name!r}'], value
    elif kind is MethodType:
        yield [], obj.__self__
        yield [], obj.__func__
    elif isinstance(obj, (staticmethod, classmethod)):
        yield [], obj.__func__
    elif isinstance(obj, property):
        for part in (obj.fget, obj.fset, obj.fdel):
            yield [], part
    elif isinstance(obj, (type, ModuleType)):
        words = f'the {"class" if isinstance(obj, type) else "module"} {obj.__name__!r}, attribute'
        for name, value in dict(vars(obj)).items():
            if name not in ('__dict__', '__weakref__', '__builtins__', '_abc_impl', '__loader__', '__spec__'):
                yield [f'{words} {name!r}'], value
    elif not isinstance(obj, (int, float, str, bytes, io.IOBase)):
        try:
            reduced = copyreg.dispatch_table[kind](obj) if kind in copyreg.dispatch_table else obj.__reduce_ex__(5)
        except Exception:
            reduced = (None, (), getattr(obj, '__dict__', None))
        if isinstance(reduced, tuple):
            _, args, state, items, pairs, *_ = (*reduced, None, None, None, None)
            for part in state if isinstance(state, tuple) else (state,):
                for name, value in part.items() if isinstance(part, dict) else ():
                    yield [f'attribute {name!r}'], value
            for value in args if isinstance(args, tuple) else ():
                if value is not obj:
                    yield [], value
            for i, value in enumerate(items or ()):
                yield [f'item {i:d}'], value
            for key, value in pairs or ():
                yield [f'item {key!r}'], value
