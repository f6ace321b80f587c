"""Pickle everything that is not plain.

The user's code goes by value, tasks by reference, and large buffers apart.
"""

from __future__ import annotations

import collections
import contextvars
import copyreg
import enum
import functools
import importlib
import io
import itertools
import marshal
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, ForwardRef, NewType, ParamSpec, TypeVar, TypeVarTuple

from . import (
    bytecode,
    carried,
    class_makers,
    classes,
    makers,
    modules,
    objects,
    source,
    static_modules,
)
from .annotations import annotations_of, hinted_names
from .arrays import permutation
from .class_keys import class_key, has_key
from .class_registry import add_key, rename
from .encoder import top_level
from .library_reducers import REDUCERS, reduce_wrapper
from .plain import OUT_OF_BAND, TaskReference, TaskReferences, deep, reference, standard_stream
from .refusals import is_live, refuse

# Special attributes of a function that are set once it is made.
_FUNCTION_WORDS = (
    '__name__',
    '__qualname__',
    '__kwdefaults__',
    '__defaults__',
    '__module__',
    '__doc__',
)
# Globals that statements need which import what is near.
_NAMESPACE_WORDS = ('__package__', '__name__', '__path__', '__file__')
# Of a module that is carried by value: what its functions may ask for.
_MODULE_WORDS = ('__name__', '__package__', '__file__', '__path__', '__doc__')


def _attributes(module: ModuleType, names: set[str] | None) -> list[str]:
    return [
        key for key in vars(module) if not key.startswith('__') and (names is None or key in names)
    ]


def _submodules(name: str, names: Iterable[str]) -> Iterator[ModuleType]:
    """Return the imported submodules that reading attributes of these names can mean."""
    for word in names:
        inner = f'{name}.{word}'
        module = sys.modules.get(inner)
        if module is not None:
            yield module
            yield from _submodules(inner, names)


_CACHE = type(functools.lru_cache(lambda: None))
# What a cache has from its function, and of its own.
_OF_CACHES = frozenset(
    (
        *functools.WRAPPER_ASSIGNMENTS,
        '__wrapped__',
        'cache_parameters',
        '__annotations__',
        '__annotate__',
    )
)
_REDUCE: Any = object.__reduce__
_REDUCE_EX: Any = object.__reduce_ex__
_METHODS = (
    BuiltinFunctionType,
    MethodType,
    MethodWrapperType,
    MethodDescriptorType,
    WrapperDescriptorType,
)


def _wanted_by_value() -> frozenset[str]:
    """Return the installed modules that the user told cloudpickle to take by value."""
    cloudpickle = sys.modules.get('cloudpickle')
    return (
        frozenset()
        if cloudpickle is None
        else frozenset(cloudpickle.list_registry_pickle_by_value())
    )


class Pickler(pickle.Pickler):
    """Pickler that carries the user's functions, classes and modules by value.

    Parameters
    ----------
    file : file
    buffer_callback : callable, default=None
        See :class:`pickle.Pickler`.
    references : bool, default=False
        True if references to tasks are replaced by their identity (see :func:`~.plain.reference`)
        and collected in ``tids``.
    statics : mapping, default=None
        Modules that functions import when they run, where the caller has read them already.
    used : dict, default=None
        What :meth:`discover` of another pickler found; without it modules are carried empty.
    """

    dispatch_table: Any = collections.ChainMap(REDUCERS, copyreg.dispatch_table)

    def __init__(
        self,
        file: Any,
        buffer_callback: Callable[[pickle.PickleBuffer], object] | None = None,
        references: bool = False,
        statics: Mapping[str, static_modules.Static] | None = None,
        used: dict[str, tuple[ModuleType, set[str] | None]] | None = None,
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        self.references = references
        self.used = used or {}
        self._full = used is not None
        self.known = statics or {}
        self.tids: dict[bytes, None] = {}
        self.texts: dict[str, dict[int, str]] = {}
        self.modules: dict[str, tuple[str, str, bool]] = {}
        self._by_value = _wanted_by_value()
        # globals of functions, by the id of what they are here
        self._namespaces: dict[int, dict[str, Any]] = {}
        # variables of enclosing functions whose content is carried with a function
        self._cells: set[int] = set()
        self._classes: dict[str, type] = {}  # by value, by their keys
        # functions are written without what they use, which may be objects of their class
        self._is_bare = False
        self._bare: list[tuple[FunctionType, tuple[Any, ...]]] = []
        self._passed: set[type] = set()  # classes whose objects are carried as they say themselves

    def discover(self, obj: Any) -> None:
        """Pickle a value until everything its functions use of modules is known."""
        self.dump(obj)
        done: set[tuple[str, str]] = set()
        while True:
            todo = {}
            for name, (module, names) in self.used.items():
                for key in _attributes(module, names):
                    if (name, key) not in done:
                        todo[name, key] = vars(module)[key]
            if not todo:
                return
            done.update(todo)
            self.dump(list(todo.values()))

    def reducer_override(self, obj: Any) -> Any:  # noqa: C901
        """Reduce any object that is not of an exact plain type.

        See :meth:`pickle.Pickler.reducer_override`.
        """
        kind = type(obj)
        if kind in self._passed:
            return NotImplemented
        if self.references and issubclass(kind, TaskReference):
            self.tids[obj.tid] = None
            return reference, ((obj.tid, obj.item) if obj.item else (obj.tid,))
        if self.references and issubclass(kind, TaskReferences):
            return list, (list(obj),)
        if kind is FunctionType:
            return self._reduce_function(obj)
        if issubclass(kind, type):
            return self._reduce_class(obj)
        if kind is classes.Methods:
            self._is_bare = True
            return class_makers.set_methods, tuple(obj)
        if kind is classes.FunctionStates:
            self._is_bare = False
            bare, self._bare = self._bare, []
            return makers.fill_functions, (bare,)
        if kind is CellType:
            return self._reduce_cell(obj)
        if kind is CodeType:
            return self._reduce_code(obj)
        if issubclass(kind, ModuleType):
            if modules.is_user(obj.__name__) and obj.__name__ not in modules.MAIN:
                return self._reduce_module(obj)
            return importlib.import_module, (obj.__name__,)
        if issubclass(kind, enum.Enum):
            return (
                classes.reduce_member(obj)
                if classes.is_by_value(kind, self._by_value)
                else NotImplemented
            )
        if issubclass(kind, (property, staticmethod, classmethod)):
            return reduce_wrapper(obj)
        if kind is TypeVar:
            return self._reduce_type_variable(obj)
        if kind is _CACHE:
            if (
                modules.is_user(obj.__module__)
                or modules.resolve(obj.__module__, obj.__qualname__) is not obj
            ):
                own = {name: value for name, value in vars(obj).items() if name not in _OF_CACHES}
                return makers.make_cache, (obj.__wrapped__, obj.cache_parameters()), own or None
            return NotImplemented
        elif kind in (ParamSpec, TypeVarTuple) and modules.is_user(obj.__module__):
            return makers.make_parameters, (kind, obj.__name__, obj.__module__)
        elif kind is NewType and modules.is_user(obj.__module__):
            return NewType, (obj.__name__, obj.__supertype__), dict(vars(obj))
        elif issubclass(kind, io.IOBase):
            name = standard_stream(obj)
            if name:
                return getattr, (sys, name)
            if is_live(obj) and kind not in (io.BytesIO, io.StringIO):
                raise TypeError('It is open in this process.')
        elif kind is ForwardRef:
            # Without the class that it was found to mean, which may hold what is made of it.
            flags = obj.__forward_is_argument__, obj.__forward_is_class__
            return makers.make_forward_reference, (
                obj.__forward_arg__,
                obj.__forward_module__,
                *flags,
            )
        elif kind is contextvars.ContextVar:
            return makers.make_context_variable, (obj.name, *makers.context_values(obj))
        elif kind is functools.cached_property:
            return makers.make_cached_property, (
                obj.func,
                obj.attrname,
            )  # Python 3.11 keeps a lock in it
        elif top_level(kind) == 'numpy' and kind.__name__ in ('ndarray', 'memmap'):
            return self._reduce_array(obj)
        elif kind.__name__ in ('Random', 'RandomState') and (where := modules.shared(obj)):
            return getattr, (sys.modules[where[0]], where[1])
        elif kind.__name__ not in ('Random', 'RandomState'):
            return self._reduce_other(obj, kind)
        return NotImplemented

    def _reduce_other(self, obj: Any, kind: type) -> Any:
        made = objects.reduced(obj)
        if made is not None:
            return made
        is_plain = kind.__reduce__ is _REDUCE and kind.__reduce_ex__ is _REDUCE_EX
        if is_plain and (name := modules.singleton(obj)):
            return getattr, (sys.modules[kind.__module__], name)
        if (
            is_plain
            and type(kind.__new__) is FunctionType
            and classes.is_by_value(kind, self._by_value)
        ):
            return classes.reduce_object(obj)
        if (
            is_plain
            or kind.__module__ == 'numpy'
            or kind in self.dispatch_table
            or isinstance(obj, _METHODS)
        ):
            self._passed.add(kind)
            return NotImplemented
        reduced = obj.__reduce_ex__(5)
        if not isinstance(reduced, str):
            self._passed.add(kind)
        elif (module := pickle.whichmodule(obj, reduced)) in modules.MAIN:  # type: ignore[attr-defined]
            raise TypeError(
                f'It is found by its name only ({module}.{reduced}), which another process does '
                'not have.'
            )
        return reduced

    def _reduce_class(self, cls: type) -> Any:
        if cls in (type(None), type(...), type(NotImplemented)):
            return type, (
                (None if cls is type(None) else ... if cls is type(...) else NotImplemented),
            )
        if classes.is_by_value(cls, self._by_value):
            return classes.reduce_class(cls, self._key(cls))
        if not classes.is_found(cls, self._by_value) and (where := classes.static_name(cls)):
            return getattr, (sys.modules[where[0]], where[1])
        return NotImplemented

    def _key(self, cls: type) -> str:
        """Return the key of a class, unlike those of all other classes in one payload."""
        key = class_key(cls)
        if self._classes.setdefault(key, cls) is cls:
            return key
        base = key.partition('#')[0]
        if has_key(modules.resolve(cls.__module__, cls.__qualname__), base):
            return (
                base  # a definition that was executed again: both are what is found under the name
            )
        add_key(self._classes[key], key)
        for number in itertools.count(2):
            if self._classes.setdefault(f'{base}#{number:d}', cls) is cls:
                return rename(cls, f'{base}#{number:d}')
        raise AssertionError

    def _reduce_type_variable(self, variable: Any) -> Any:
        module, name = variable.__module__, variable.__name__
        if not modules.is_user(module) and modules.resolve(module, name) is variable:
            return getattr, (sys.modules[module], name)
        flags = ('__covariant__', '__contravariant__', '__infer_variance__')
        keywords = {word.strip('_'): True for word in flags if getattr(variable, word, False)}
        args = (name, module, variable.__constraints__, variable.__bound__, keywords)
        default = getattr(variable, '__default__', None)
        if default is not None and variable.has_default():
            keywords['default'] = default
        return makers.make_type_variable, args

    def _reduce_code(self, code: CodeType) -> Any:
        try:
            data = marshal.dumps(code)
        except ValueError:  # among its constants is what a program put there
            names = (
                code.co_names,
                code.co_varnames,
                code.co_filename,
                code.co_name,
                code.co_qualname,
            )
            numbers = (
                code.co_argcount,
                code.co_posonlyargcount,
                code.co_kwonlyargcount,
                code.co_nlocals,
            )
            lines = code.co_firstlineno, code.co_linetable, code.co_exceptiontable
            head = *numbers, code.co_stacksize, code.co_flags, code.co_code, code.co_consts
            return CodeType, (*head, *names, *lines, code.co_freevars, code.co_cellvars)
        return makers.make_code, (makers.BYTECODE, data, code.co_qualname, code.co_freevars)

    def _reduce_cell(self, cell: CellType) -> Any:
        if id(cell) in self._cells:
            return makers.make_cell, ()
        self._cells.add(id(cell))
        try:
            content = cell.cell_contents
        except ValueError:
            return makers.make_cell, ()
        return makers.make_cell, (), content, None, None, makers.fill_cell

    def _reduce_function(self, func: FunctionType) -> Any:
        if modules.is_singledispatch(func):
            state = func.__dict__['__wrapped__'], dict(func.__dict__['registry'])
            return makers.make_dispatch, (), state, None, None, makers.fill_dispatch
        if classes.is_found(func, self._by_value):
            return NotImplemented
        return self._reduce_function_by_value(func)

    def _reduce_function_by_value(self, func: FunctionType) -> Any:
        code, namespace = func.__code__, func.__globals__
        reads = bytecode.reads(code)
        used: dict[str, Any] = {}
        for name, chains in reads.names.items():
            if (
                name in namespace
                and name != '__builtins__'
                and not modules.is_guarded_open(name, namespace[name])
            ):
                used[name] = namespace[name]
                self._use(namespace[name], chains)
        variables = []
        cells = []
        for cell, chains in zip(func.__closure__ or (), reads.cells.values(), strict=True):
            is_first = id(cell) not in self._cells
            self._cells.add(id(cell))
            try:
                variables.append(cell.cell_contents)
            except ValueError:
                continue  # not set yet
            if is_first:
                cells.append((cell, variables[-1]))
            self._use(variables[-1], chains)
        if modules.is_user(namespace.get('__name__')):
            text = source.find(code, namespace)
            if text is not None:
                self.texts.setdefault(code.co_filename, {}).update(text.excerpt())
            if reads.imports:
                package = static_modules.package_of(namespace)
                for module in static_modules.closure(reads.imports, package)[0].values():
                    module = self.known.get(module.name, module)
                    self.modules[module.name] = (module.file, module.text, module.is_package)
        packages = [
            value
            for value in (*used.values(), *variables)
            if isinstance(value, ModuleType) and getattr(value, '__package__', None)
        ]
        attributes = {name: getattr(func, name) for name in _FUNCTION_WORDS}
        attributes['__annotations__'] = hints = annotations_of(func)
        used.update(hinted_names(hints, namespace))
        shared = self._namespaces.get(id(namespace))
        if shared is None:
            shared = self._namespaces[id(namespace)] = {
                name: namespace[name] for name in _NAMESPACE_WORDS if name in namespace
            }
        state = makers.FunctionState(
            names=used,
            cells=cells,
            attributes=attributes,
            own=dict(func.__dict__),
            submodules=[
                item for package in packages for item in _submodules(package.__name__, reads.words)
            ],
        )
        args = code, shared, func.__closure__
        if self._is_bare:
            self._bare.append((func, tuple(state)))
            return makers.make_function, args
        return makers.make_function, args, tuple(state), None, None, makers.fill_function

    def _use(self, value: Any, chains: Iterable[tuple[str, ...]]) -> None:
        """Note what a function reads of a module: the rest may hold what can't be carried."""
        if (
            not isinstance(value, ModuleType)
            or value.__name__ in modules.MAIN
            or not modules.is_user(value.__name__)
        ):
            return
        for chain in chains:
            _, names = self.used.setdefault(value.__name__, (value, set()))
            if not chain:
                self.used[value.__name__] = (
                    value,
                    None,
                )  # the module as it is: anything of it may be used
            else:
                if names is not None:
                    names.add(chain[0])
                self._use(vars(value).get(chain[0]), [chain[1:]])

    def _reduce_module(self, module: ModuleType) -> Any:
        _, names = self.used.setdefault(module.__name__, (module, None))
        state = {key: vars(module)[key] for key in _MODULE_WORDS if key in vars(module)}
        if self._full:
            state.update((key, vars(module)[key]) for key in _attributes(module, names))
        return ModuleType, (module.__name__,), state, None, None, makers.fill_module

    def _reduce_array(self, array: Any) -> Any:
        import numpy as np

        is_mapped = type(array) is not np.ndarray
        if is_mapped:
            array = np.asarray(array)  # a mapped file: its content counts; no copy
        if not array.flags.forc and (axes := permutation(array)):
            # Its order in memory is part of what it is; to carry it takes no copy.
            return np.transpose, (
                array.transpose(axes),
                [axes.index(axis) for axis in range(array.ndim)],
            )
        if not is_mapped and (array.nbytes < OUT_OF_BAND or array.dtype.hasobject):
            return NotImplemented
        if not array.flags.forc:
            array = np.ascontiguousarray(
                array
            )  # one copy instead of two, and it can be mapped when it is read
        if array.dtype.kind in 'mM':
            # Dates have no buffer of their own; like small ones they come back writable.
            return makers.view_array, (_writable(array.view('i8')), array.dtype)
        return array.__reduce_ex__(5)


class _Writable:
    """The memory of an array, as if it could be written to."""

    def __init__(self, array: Any) -> None:
        self.array = array
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, 'data': (interface['data'][0], False)}


def _writable(array: Any) -> Any:
    """Return a view of an array whose buffer is not read-only, without a copy."""
    import numpy as np

    return array if array.flags.writeable else np.asarray(_Writable(array))


class _Restored:
    """A value, and after it what it brings along; it is loaded as the value itself."""

    def __init__(self, value: Any, pickler: Pickler) -> None:
        self.value = value
        self.pickler = pickler

    def __reduce__(self) -> Any:
        return carried.restore, (self.value, self.pickler.texts, self.pickler.modules)


class _Prepared:
    """A value, with what it brings along before it."""

    def __init__(self, value: Any, pickler: Pickler) -> None:
        self.value = value
        self.installed = _Installed(pickler)

    def __reduce__(self) -> Any:
        return carried.second, (self.installed, self.value)


class _Installed:
    def __init__(self, pickler: Pickler) -> None:
        self.pickler = pickler

    def __reduce__(self) -> Any:
        return carried.install, (self.pickler.texts, self.pickler.modules)


def pickled(
    obj: Any,
    trail: Iterable[str],
    references: bool = False,
    statics: Mapping[str, static_modules.Static] | None = None,
) -> tuple[bytes, list[memoryview], list[bytes]]:
    """Pickle anything.

    Parameters
    ----------
    obj : object
    trail : iterable of str
        Names for errors.
    references, statics
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
    try:
        try:
            return _pickled(obj, references, statics)
        except (RecursionError, pickle.PicklingError) as exc:
            if not isinstance(exc.__cause__ or exc, RecursionError):
                raise
            return deep(lambda: _pickled(obj, references, statics))
    except MemoryError:
        raise
    except Exception as exc:
        path, culprit, reason = _culprit(obj, list(trail), exc, references)
        raise refuse(path or ['the arguments'], culprit, reason) from exc


def _pickled(
    obj: Any, references: bool, statics: Mapping[str, static_modules.Static] | None
) -> tuple[bytes, list[memoryview], list[bytes]]:
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

    pickler = None
    if type(obj) is FunctionType:
        # It brings its text along: what is known of that when the function itself was written is
        # all there is, unless it uses modules of the user.
        with io.BytesIO() as file:
            pickler = Pickler(file, out_of_band, references, statics)
            pickler.dump(_Restored(obj, pickler))
            if not pickler.used and not pickler.modules:
                return file.getvalue(), buffers, list(pickler.tids)
        buffers.clear()
    if pickler is None or pickler.used:
        with io.BytesIO() as file:
            pickler = Pickler(file, out_of_band, references, statics)
            pickler.discover(obj)
            data = file.getvalue()
    if pickler.texts or pickler.modules or pickler.used:
        # It brings code along: once more, now that it is known what that needs.
        buffers.clear()
        with io.BytesIO() as file:
            Pickler(file, out_of_band, references, statics, pickler.used).dump(
                _Prepared(obj, pickler)
            )
            data = file.getvalue()
    return data, buffers, list(pickler.tids)


# --------------------------------------------------------------------------------------------------
# What is to blame


def _culprit(
    obj: Any, trail: list[str], reason: Exception, references: bool
) -> tuple[list[str], Any, Exception]:
    """Go down to the smallest part of ``obj`` that can't be pickled."""
    seen: set[int] = set()
    while not is_live(obj):
        seen.add(id(obj))
        for steps, part in _inside(obj, not trail):
            if id(part) in seen:
                continue
            try:
                Pickler(io.BytesIO(), lambda buffer: False, references).discover(part)
            except Exception as exc:
                # What is too deep is too deep at every level but the last: the first that has a
                # name is enough.
                if trail and isinstance(exc.__cause__ or exc, RecursionError):
                    return trail, obj, reason
                obj, trail, reason = part, [*trail, *steps], exc
                break
        else:
            break
    return trail, obj, reason


def _inside(obj: Any, arguments: bool) -> Iterator[tuple[list[str], Any]]:  # noqa: C901
    kind = type(obj)
    if kind is dict:
        for key, value in obj.items():
            yield [f'argument {key!r}' if arguments else f'item {key!r}'], value
            yield [f'key {key!r}'], key
    elif kind in (list, tuple, set, frozenset):
        for i, value in enumerate(obj):
            yield [f'item {i:d}'], value
    elif kind is FunctionType:
        prefix = f'the function {obj.__name__!r} uses'
        for name, cell in zip(obj.__code__.co_freevars, obj.__closure__ or (), strict=True):
            try:
                yield [f'{prefix} {name!r}'], cell.cell_contents
            except ValueError:
                continue  # not set yet
        for name in bytecode.reads(obj.__code__).names:
            if name in obj.__globals__ and name != '__builtins__':
                yield [f'{prefix} {name!r}'], obj.__globals__[name]
        names = obj.__code__.co_varnames[: obj.__code__.co_argcount]
        defaults = obj.__defaults__ or ()
        for name, value in [
            *zip(names[len(names) - len(defaults) :], defaults, strict=True),
            *(obj.__kwdefaults__ or {}).items(),
        ]:
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
        prefix = f'the {"class" if isinstance(obj, type) else "module"} {obj.__name__!r}, attribute'
        for name, value in dict(vars(obj)).items():
            if name not in (
                '__dict__',
                '__weakref__',
                '__builtins__',
                '_abc_impl',
                '__loader__',
                '__spec__',
            ):
                yield [f'{prefix} {name!r}'], value
    elif not isinstance(obj, (int, float, str, bytes, io.IOBase)):
        try:
            reduced = (
                copyreg.dispatch_table[kind](obj)
                if kind in copyreg.dispatch_table
                else obj.__reduce_ex__(5)
            )
        except Exception:
            reduced = (None, (), getattr(obj, '__dict__', None))
        if isinstance(reduced, tuple):
            _, args, state, items, pairs, *_ = (*reduced, None, None, None, None)
            for part in state if isinstance(state, tuple) else (state,):
                if isinstance(part, dict):
                    for name, value in part.items():
                        yield [f'attribute {name!r}'], value
                elif part is not obj:
                    yield [], part
            for value in args if isinstance(args, tuple) else ():
                if value is not obj:
                    yield [], value
            for i, value in enumerate(items or ()):
                yield [f'item {i:d}'], value
            for key, value in pairs or ():
                yield [f'item {key!r}'], value


# Payloads that were written by earlier versions name these here.
_fill = makers.fill_module
_empty_dispatch = makers.make_dispatch
_fill_dispatch = makers.fill_dispatch
_cache = makers.make_cache
_cached_property = makers.make_cached_property
_view = makers.view_array
