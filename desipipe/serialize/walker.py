"""Identity of everything that is not plain: objects by content, code by what it does and what it uses.

A :class:`Walker` goes through a value, or a function, and everything of the user's that it reaches. What it finds becomes

- *bytes* for values: canonical, so that the order of dictionaries and sets, references shared or not, ``PYTHONHASHSEED``
  and addresses don't matter;
- *parts* for code: one digest for each function, class, module and global, under a readable name. Bytes refer to parts by
  name, so that recursion ends, and so that a difference between two identities can be told by name.

It remembers what it read, so that :meth:`Walker.unchanged` can tell cheaply whether walking again would give the same.
"""

from __future__ import annotations

import copyreg
import enum
import functools
import io
import sys
import threading
import types
import typing
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

from ..errors import NotSerializableError
from . import modules, source
from .plain import ATOMS, TaskReference, digest, is_live, pack, plain_text, refuse, short, standard_stream

_MISSING = object()
# Names that every module has: where it is and how it was found must not matter.
_MODULE_WORDS = frozenset(
    '__name__ __file__ __doc__ __package__ __spec__ __loader__ __path__ __builtins__ __cached__ __annotations__ __annotate__ __debug__ __dict__'.split()
)
# What the machinery of classes keeps in them; what of it matters is asked for by name (`_class_tables`).
_CLASS_WORDS = frozenset(
    """__module__ __qualname__ __doc__ __dict__ __weakref__ __annotations__ __annotate__ __annotate_func__ __annotations_cache__ __firstlineno__
    __static_attributes__ __dataclass_fields__ __dataclass_params__ __attrs_attrs__ __pydantic_fields__ __parameters__ __orig_bases__ __type_params__
    __abstractmethods__ _abc_impl __classcell__ __signature__ __wrapped__ _field_defaults _fields __conditional_annotations__ __slotnames__""".split()
)
# Helpers are met again by each cell that uses them, with the same tree: it is never changed once it was found.
_tree = functools.lru_cache(maxsize=1024)(source.tree)
_SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)
_BUILTIN_METHODS = (types.MethodWrapperType, types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType, *_SLOTS)


class _Changed(Exception):
    """Something is there that was not when the walker passed."""


class Walker:
    """Goes through values and code.

    Parameters
    ----------
    name : str, default=''
        How errors call what is walked; empty for a task's function.
    references : bool, default=True
        Whether references to tasks may be there; in what functions use they never may.
    alone : bool, default=False
        Whether this walker only compares: it takes no pains to find equal copies of functions.
    """

    def __init__(self, name: str = '', references: bool = True, alone: bool = False) -> None:
        self.parts: dict[str, str] = {}
        self.packages: set[str] = set()
        self.texts: dict[str, str] = {}
        self.notes: dict[str, str] = {}
        self.statics: dict[str, modules.Static] = {}
        self.tasks: set[int] = set()  # functions whose decorators don't count
        self.root: object = None
        self.references = references
        self._alone = alone
        self._home: str | None = None
        self._base = [name] if name else []
        self._trail = list(self._base)
        self._users: list[str] = []
        # By id, or by id of a namespace and name. What has an id here is kept, so that nothing else gets its id.
        self._labels: dict[object, str] = {}
        self._named: dict[str, list[tuple[object, str]]] = {}
        self._keep: list[object] = []
        self._stack: dict[int, int] = {}
        self._low = 0
        self._memo: dict[int, tuple[object, bytes]] = {}
        self._digests: dict[int, tuple[object, bytes]] = {}
        self._frozen = False
        self._volatile = False
        self._same: list[Callable[[], bool]] = []
        self._equal: list[Callable[[], bool]] = []
        self._lock = threading.Lock()
        self.pieces: dict[str, list[bytes]] | None = None
        """What digests of functions are made of, the syntax tree's first, by the digest; only where someone wants to know."""

    def encode(self, value: Any) -> bytes:
        """Bytes of a value, with what its code is made of."""
        data = self.value(value)
        return pack(b'+', data, self.total()) if self.parts else data

    def describe(self, func: Any) -> bytes:
        """Bytes of a task's function, and its parts."""
        data = self.value(func)
        if type(func) is not FunctionType:
            self._equal.append(self._still(lambda: func, self.value, data))
        self._memo.clear()
        self._digests.clear()
        return data

    def total(self) -> bytes:
        """Digest of all parts."""
        return digest(''.join(f'{label}\0{self.parts[label]}\0' for label in sorted(self.parts)).encode('utf-8', 'surrogatepass'))

    def __reduce__(self) -> Any:
        # What was read is of this process only.
        return type(None), ()

    def unchanged(self) -> bool:
        """Whether everything that was read still is what it was."""
        with self._lock:
            if self._volatile:
                return False
            self._frozen = True
            try:
                return all(check() for check in self._same) and all(check() for check in self._equal)
            except (_Changed, NotSerializableError, LookupError, AttributeError, ValueError, RecursionError):
                return False
            finally:
                self._memo.clear()
                self._digests.clear()
                self._frozen = False

    # -----------------------------------------------------------------------------------------------------------------
    # Values

    def value(self, value: Any, words: str = '') -> bytes:
        """Canonical bytes of a value.

        Parameters
        ----------
        value : object
        words : str, default=''
            The step to it, for errors.
        """
        text = plain_text(value, self.references)
        if text:
            return short(b'=' + text.encode())
        if not words:
            return self._node(value)
        self._trail.append(words)
        try:
            return self._node(value)
        finally:
            self._trail.pop()

    def _node(self, value: Any) -> bytes:
        key = id(value)
        note = key if self.references else -key
        known = self._memo.get(note)
        if known is not None:
            return known[1]
        depth = self._stack.get(key)
        if depth is not None:
            self._low = min(self._low, depth)
            return b'^%d' % (len(self._stack) - depth)
        depth = self._stack[key] = len(self._stack)
        above, self._low = self._low, depth + 1
        try:
            data = self._content(value)
        finally:
            del self._stack[key]
            low, self._low = self._low, min(above, self._low)
        if low >= depth:
            # It says nothing of what is above it: the same wherever it is met again. Temporary objects are kept for their id.
            self._memo[note] = (value, data)
        return data

    @contextmanager
    def _inside(self, words: str) -> Iterator[None]:
        """What code uses: no cycle leads through it (definitions have names), and no future may be there."""
        kept = self._stack, self._low, self._trail, self.references
        self._stack, self._low, self.references = {}, 0, False
        self._trail = [*self._base, words]
        try:
            yield
        finally:
            self._stack, self._low, self._trail, self.references = kept

    def _content(self, value: Any) -> bytes:
        kind = type(value)
        if kind is list or kind is tuple:
            return pack(b'L' if kind is list else b'T', *[self.value(item, f'item {i:d}') for i, item in enumerate(value)])
        if kind is dict:
            return pack(b'M', *self._pairs(value.items()))
        if issubclass(kind, (set, frozenset)):
            items = [self.value(item, 'an item') for item in sorted(value, key=self._order)]
            return pack(b'S', self.value(kind), self.value(getattr(value, '__dict__', None)), *sorted(items))
        if hasattr(kind, '__desipipe_identity__'):
            return self._own_identity(value)
        if kind is FunctionType:
            return self._function(value)
        if issubclass(kind, type):
            return self._class(value)
        if issubclass(kind, ModuleType):
            return self._module(value)
        if kind is types.BuiltinFunctionType:
            bound = value.__self__
            if bound is None or isinstance(bound, ModuleType):
                return self._by_name(value.__module__ or 'builtins', value.__qualname__)
            return pack(b'm', value.__name__.encode(), self.value(bound))
        if kind is types.MethodType:
            return pack(b'm', self.value(value.__func__), self.value(value.__self__))
        if kind in _BUILTIN_METHODS:
            bound = value.__self__ if kind is types.MethodWrapperType else value.__objclass__
            return pack(b'm', value.__name__.encode(), self.value(bound))
        if kind in (staticmethod, classmethod, property, functools.cached_property):
            return self._member(value, self.value)
        if kind is types.CodeType:
            return pack(b'c', source.fingerprint(value))
        if kind is typing.NewType:
            return pack(b'n', value.__name__.encode(), self.value(value.__supertype__))
        if kind is types.MappingProxyType:
            return pack(b'P', self.value(dict(value)))
        if issubclass(kind, enum.Enum):
            return pack(b'E', self.value(kind), str(value._name_).encode(), self.value(value._value_))
        if kind.__name__ in ('Random', 'RandomState') and (name := modules.shared(value)):
            return self._by_name(*name)
        top, _, _ = kind.__module__.partition('.')
        if top == 'numpy':
            data = self._numpy(value)
            if data:
                return data
        if top == 'pathlib':
            # Its pickle tells how it was written, in some versions.
            return pack(b'p', kind.__name__.encode(), str(value).encode('utf-8', 'surrogateescape'))
        if top == 'fractions' and kind.__name__ == 'Fraction':
            return pack(b'f', b'%d' % value.numerator, b'%d' % value.denominator)
        if issubclass(kind, io.IOBase) and (stream := standard_stream(value)):
            return self._by_name('sys', stream)
        if is_live(value):
            raise refuse(self._trail, value)
        wrapped = getattr(value, '__wrapped__', None)
        if type(wrapped) is FunctionType and not modules.is_user(kind.__module__):
            # A cache, a compiled version: what was computed already must not matter.
            return pack(b'w', self.value(kind), self._function(wrapped))
        return self._reduced(value)

    def _order(self, item: Any) -> bytes:
        """Key that sorts items of sets: known before they are walked, for walking gives names to what it meets."""
        text = plain_text(item, self.references)
        if text:
            return text.encode()
        if self._alone:
            return b''
        return self._compared(item)

    def _compared(self, value: Any) -> bytes:
        known = self._digests.get(id(value))
        if known is None:
            walker = Walker('', self.references, alone=True)
            walker.tasks, walker.root, walker._base, walker._trail = self.tasks, self.root, self._base, list(self._trail)
            known = self._digests[id(value)] = (value, walker.encode(value))
        return known[1]

    def _pairs(self, items: Iterable[tuple[Any, Any]], words: str = 'item', ordered: bool = False) -> list[bytes]:
        pairs = list(items)
        if not ordered:
            pairs.sort(key=lambda pair: self._order(pair[0]))
        chunks = [(self.value(key, f'key {key!r}'), self.value(value, f'{words} {key!r}')) for key, value in pairs]
        return [chunk for pair in (chunks if ordered else sorted(chunks)) for chunk in pair]

    def _reduced(self, value: Any) -> bytes:
        """Objects by what makes them again: class, arguments, state, items."""
        kind = type(value)
        try:
            reduce = copyreg.dispatch_table.get(kind)
            reduced: Any = reduce(value) if reduce is not None else value.__reduce_ex__(4)
        except RecursionError:
            raise
        except Exception as exc:
            raise refuse(self._trail, value, exc) from exc
        if isinstance(reduced, str):
            name = self._whereabouts(value, reduced)
            if not name:
                raise refuse(self._trail, value, 'it is not found under its own name')
            return self._by_name(*name)
        func, args, state, items, pairs, setter = (*reduced, None, None, None, None)[:6]
        states = []
        for part in state if isinstance(state, tuple) and len(state) == 2 else (state,):
            states.append(pack(b'M', *self._pairs(part.items(), 'attribute')) if type(part) is dict else self.value(part, 'its state'))
        return pack(
            b'O',
            self.value(func),
            self.value(args),
            pack(b'', *states),
            pack(b'', *[self.value(item, f'item {i:d}') for i, item in enumerate(items or ())]),
            pack(b'', *self._pairs(pairs or (), ordered=isinstance(value, OrderedDict))),
            self.value(setter),
        )

    def _numpy(self, value: Any) -> bytes:
        import numpy as np

        self.packages.add('numpy')
        if isinstance(value, np.ma.MaskedArray):
            mask, data = np.ma.getmaskarray(value), np.ma.getdata(value)
            return pack(b'masked', self._array(np.where(mask, np.zeros((), data.dtype), data)), self._array(mask), self.value(value.fill_value))
        if isinstance(value, np.ndarray):
            name = b'' if type(value) in (np.ndarray, np.memmap) else type(value).__name__.encode()
            return pack(b'A', name, self._array(np.asarray(value)))
        if isinstance(value, np.generic):
            return pack(b'N', self._array(np.asarray(value)))
        if isinstance(value, np.dtype):
            return pack(b'dtype', self._dtype(value))
        if isinstance(value, np.ufunc):
            where = self._whereabouts(value, value.__name__)
            if not where:
                raise refuse(self._trail, value, 'it is not found under its own name')
            return self._by_name(*where)
        return b''

    def _dtype(self, dtype: Any) -> bytes:
        if dtype.names:
            fields = [chunk for name in dtype.names for chunk in (name.encode(), b'%d' % dtype.fields[name][1], self._dtype(dtype.fields[name][0]))]
            return pack(b'd', b'%d' % dtype.itemsize, *fields)
        if dtype.subdtype:
            return pack(b's', repr(dtype.subdtype[1]).encode(), self._dtype(dtype.subdtype[0]))
        return (repr(dtype) if dtype.kind == 'T' else dtype.str).encode()

    def _array(self, array: Any) -> bytes:
        import numpy as np

        head = array.dtype.str.encode(), repr(array.shape).encode()
        if array.dtype.names:
            # Field by field: between the fields there may be bytes that nobody wrote.
            return pack(b'a', *[chunk for name in array.dtype.names for chunk in (name.encode(), self._array(array[name]))], head[1])
        if array.dtype.hasobject or array.dtype.kind == 'T':
            items = [self.value(item, f'item {i:d}') for i, item in enumerate(array.ravel().tolist())]
            return pack(b'a', *head, *items)
        if array.size and array.nbytes > 65536:
            return pack(b'a', *head, digest(memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8))))  # type: ignore[arg-type]
        return pack(b'a', *head, digest(array.tobytes()))

    # -----------------------------------------------------------------------------------------------------------------
    # What has a name

    def _by_name(self, module: str, qualname: str) -> bytes:
        """What is installed counts by its name; what the user compiled himself by its bytes too."""
        self._package(module)
        file = modules.extension(module)
        chunks = []
        if file:
            sign = modules.signature(file)
            self._same.append(lambda: modules.signature(file) == sign)
            chunks.append(_file_digest(file, sign))
        return pack(b'I', f'{module}.{qualname}'.encode(), *chunks)

    def _package(self, module: str) -> None:
        top = module.partition('.')[0]
        if top not in sys.stdlib_module_names and not modules.is_user(module):
            self.packages.add(top)

    def _whereabouts(self, value: Any, name: str) -> tuple[str, str] | None:
        module = getattr(value, '__module__', None)
        if module is not None:
            return (module, name) if modules.resolve(module, name) is value else None
        # The shortest name: the module where it was made first depends on what was imported first.
        loaded = [key for key, item in list(sys.modules.items()) if isinstance(item, ModuleType) and item.__dict__.get(name) is value]
        found = sorted((len(key), key) for key in loaded if not modules.is_user(key))
        return (found[0][1], name) if found else None

    def _own_identity(self, value: Any) -> bytes:
        wrapped = getattr(value, '__wrapped__', None)
        if type(wrapped) is FunctionType:
            # An app that another task calls: its function is followed here, in one walk, for two apps may call each other.
            self.tasks.add(id(wrapped))
            return self._function(wrapped)
        return pack(b'i', type(value).__qualname__.encode(), value.__desipipe_identity__().encode())

    def _prefix(self, module: object) -> str:
        return '' if not isinstance(module, str) or module == self._home or module in modules.MAIN else f'{module}.'

    def _define(self, value: Any, module: object, word: str, qualname: str, content: Callable[[], bytes]) -> bytes:
        """Walk a function, class or module once, and refer to it by name from then on."""
        if self._frozen:
            raise _Changed
        if self._home is None and isinstance(module, str):
            self._home = module
        prefix = self._prefix(module)
        base = f'module {prefix}{qualname}' if prefix else f'{word} {qualname}'
        others = self._named.setdefault(base, [])
        label = f'{base} ({len(others) + 1:d})' if others else base
        if others and not self._alone:
            # Another one of that name: an equal copy (of a cell that ran twice, of a function that was loaded twice) is the same.
            mine = self._compared(value)
            for other, its in others:
                if self._compared(other) == mine:
                    self._labels[id(value)] = its
                    self._keep.append(value)
                    self._volatile = True
                    return b'D' + its.encode()
        others.append((value, label))
        self._labels[id(value)] = label
        self._keep.append(value)
        self.parts[label] = ''
        self.parts[label] = digest(content()).hex()
        return b'D' + label.encode()

    # -----------------------------------------------------------------------------------------------------------------
    # Functions

    def _function(self, func: FunctionType) -> bytes:
        label = self._labels.get(id(func))
        if label is not None:
            return b'D' + label.encode()
        module = func.__globals__.get('__name__')
        if not modules.is_user(module):
            if not modules.is_user(func.__module__):
                found = modules.resolve(func.__module__, func.__qualname__)
                while found is not None:
                    if found is func:
                        return self._by_name(func.__module__, func.__qualname__)
                    found = getattr(found, '__wrapped__', None)
            if modules.is_singledispatch(func):
                return self._define(func, func.__module__, 'function', func.__qualname__.replace('.<locals>', ''), lambda: self._dispatch_content(func))
            self._package(str(module))
        return self._define(func, module, 'function', _qualname(func), lambda: self._function_content(func, _qualname(func), True))

    def _dispatch_content(self, func: Any) -> bytes:
        def encode(registry: dict[type, Any]) -> bytes:
            return pack(b'dispatch', *self._pairs(registry.items()))

        with self._inside(f'the function {func.__name__!r}'):
            data = encode(dict(func.registry))
        self._equal.append(self._still(lambda: dict(func.registry), encode, data))
        return data

    def _function_content(self, func: FunctionType, name: str, with_text: bool) -> bytes:
        code, namespace, defaults, keyword_defaults = func.__code__, func.__globals__, func.__defaults__, func.__kwdefaults__
        is_root = func is self.root
        self._same.append(lambda: func.__code__ is code and func.__defaults__ is defaults and func.__kwdefaults__ is keyword_defaults)
        module = namespace.get('__name__')
        is_user = modules.is_user(module)
        chunks = []
        if is_user:
            found = source.find(code, namespace)
            if found is None:
                chunks.append(source.fingerprint(code))
            else:
                is_task = id(func) in self.tasks
                chunks.append(_tree(found.node, decorators=not is_task, defaults=not is_root))
                if with_text:
                    self.texts.setdefault(source.segment(found.text, found.node, decorators=not is_task), '')
        else:
            chunks.append(f'{module}.{code.co_qualname}'.encode())
        used_by = f' (used by {self._users[-1]!r})' if self._users else ''
        who = f'the function {name!r}{used_by}'
        self._users.append(name)
        try:
            if not is_root and (defaults or keyword_defaults):
                # The defaults of the task itself are arguments of its calls.
                with self._inside(f'{who} has a default'):
                    data = self.value(defaults) + self.value(keyword_defaults)
                chunks.append(data)
                self._equal.append(self._still(lambda: (func.__defaults__, func.__kwdefaults__), lambda both: self.value(both[0]) + self.value(both[1]), data))
            reads = source.reads(code)
            for variable, cell in zip(code.co_freevars, func.__closure__ or (), strict=True):
                get = functools.partial(_contents, cell)
                chunks += self._edge(f'{who} uses', variable, f'variable {variable}', (id(cell), ''), cell, get, reads.cells[variable])
            if is_user:
                for key, chains in reads.names.items():
                    chunks += self._global(who, namespace, key, chains)
                chunks += self._imports(reads.imports, namespace)
            wrapped = func.__dict__.get('__wrapped__')
            if wrapped is not None:
                get = functools.partial(func.__dict__.__getitem__, '__wrapped__')
                chunks += self._edge(f'{who} wraps', getattr(wrapped, '__name__', ''), 'wrapped', (id(func), 'wrapped'), func, get, {()})
        finally:
            self._users.pop()
        data = pack(b'function', *chunks)
        if self.pieces is not None:
            self.pieces[digest(data).hex()] = chunks
        return data

    def _global(self, who: str, namespace: dict[str, Any], name: str, chains: Iterable[tuple[str, ...]]) -> list[bytes]:
        if name in _MODULE_WORDS or name.startswith(' '):
            return []  # of the module; or no name that one can write: put there by what made the function, for itself
        if name not in namespace:
            self._same.append(lambda: name not in namespace)
            return []  # of Python, or not there yet
        if modules.is_guarded_open(name, namespace[name]):
            self._same.append(lambda: modules.is_guarded_open(name, namespace.get(name)))
            return []
        prefix = self._prefix(namespace.get('__name__'))
        base = f'module {prefix}{name}' if prefix else f'global {name}'
        return self._edge(f'{who} uses', name, base, (id(namespace), name), namespace, lambda: namespace[name], chains)

    def _edge(self, who: str, name: str, base: str, key: object, holder: object, get: Callable[[], Any], chains: Iterable[tuple[str, ...]]) -> list[bytes]:
        """What code reads under ``name``."""
        value = get()
        self._keep.append(holder)
        if isinstance(value, ModuleType) and value.__name__ not in modules.MAIN and modules.is_user(value.__name__):
            self._same.append(lambda: get() is value)
            return [name.encode(), *self._attributes(who, name, value, chains)]
        with self._inside(f'{who} {name!r}'):
            if isinstance(value, TaskReference):
                raise refuse(self._trail, value, 'its result is not known yet when the function is stored')
            if type(value) is FunctionType or isinstance(value, type) or hasattr(type(value), '__desipipe_identity__'):
                data = self.value(value)
                if data.startswith(b'D'):
                    self._same.append(lambda: get() is value)
                    return [name.encode(), data]
            return [name.encode(), self._variable(base, key, get, value)]

    def _variable(self, base: str, key: object, get: Callable[[], Any], value: Any) -> bytes:
        label = self._labels.get(key)
        if label is not None:
            return b'V' + label.encode()
        if self._frozen:
            raise _Changed
        labels = [base]
        while labels[-1] in self.parts:
            labels.append(f'{base} ({len(labels) + 1:d})')
        label = self._labels[key] = labels.pop()
        self.parts[label] = ''
        data = self.value(value)
        found = digest(data).hex()
        for other in labels:
            if self.parts[other] == found:
                # Equal values under equal names, in two places: one part says it.
                del self.parts[label]
                label = self._labels[key] = other
                break
        self.parts[label] = found
        text = plain_text(value, False)
        if 0 < len(text) <= 200:
            self.notes[label] = text
        if type(value) in ATOMS or data.startswith((b'I', b'module')):
            self._same.append(lambda: get() is value)  # it can't change, only be replaced
        else:
            self._equal.append(self._still(get, self.value, data))
        return b'V' + label.encode()

    def _still(self, get: Callable[[], Any], encode: Callable[[Any], bytes], data: bytes) -> Callable[[], bool]:
        def check() -> bool:
            with self._inside(''):
                return encode(get()) == data

        return check

    # -----------------------------------------------------------------------------------------------------------------
    # Modules

    def _module(self, module: ModuleType) -> bytes:
        name = module.__name__
        if name in modules.MAIN or not modules.is_user(name):
            self._package(name)
            return pack(b'module', name.encode())
        label = self._labels.get(id(module))
        if label is not None:
            return b'D' + label.encode()
        return self._define(module, None, 'module', name, lambda: self._module_content(module))

    def _module_content(self, module: ModuleType) -> bytes:
        """A module that is used as it is, so that anything of it may be: everything in it."""
        namespace = vars(module)
        names = sorted(name for name in namespace if not name.startswith('__'))
        self._same.append(lambda: sorted(name for name in namespace if not name.startswith('__')) == names)
        chunks = []
        for name in names:
            chunks += self._attribute(f'the module {module.__name__!r} has', name, module, (name,), whole=True)
        return pack(b'module', *chunks)

    def _attributes(self, who: str, path: str, module: ModuleType, chains: Iterable[tuple[str, ...]]) -> list[bytes]:
        chunks = []
        for chain in sorted(chains):
            if not chain:
                chunks.append(self._module(module))
            elif chain[0] not in _MODULE_WORDS:
                chunks += self._attribute(who, f'{path}.{chain[0]}', module, chain)
        return chunks

    def _attribute(self, who: str, path: str, module: ModuleType, chain: tuple[str, ...], whole: bool = False) -> list[bytes]:
        name, namespace = chain[0], vars(module)
        if name not in namespace:
            self._same.append(lambda: name not in namespace)
            return []
        prefix = self._prefix(module.__name__)
        base = f'module {prefix}{name}' if prefix else f'global {name}'
        return self._edge(who, path, base, (id(namespace), name), namespace, lambda: namespace[name], {chain[1:] if not whole else ()})

    def _imports(self, statements: Iterable[source.Import], namespace: dict[str, Any]) -> list[bytes]:
        """Modules that a function imports when it runs: as they are on disk, whether or not they are imported here."""
        statements = set(statements)
        package = modules.package_of(namespace)
        found, tops = modules.closure(statements, package)
        self.packages |= tops
        for statement in statements:
            top = statement.name.partition('.')[0]
            if top and not statement.level and top not in sys.stdlib_module_names and top not in tops and top not in found:
                self._volatile = True  # there is no such module, yet
        for name, module in found.items():
            if name not in self.statics:
                self.statics[name] = module
                self.parts[f'module {name} (imported)'] = module.digest.hex()
                self.texts.setdefault(f'# module {name}\n{module.text.strip()}', '')
                self._same.append(functools.partial(_unread, module))
        return [b'imports', *(name.encode() for name in sorted(found))] if found else []

    # -----------------------------------------------------------------------------------------------------------------
    # Classes

    def _class(self, cls: type) -> bytes:
        label = self._labels.get(id(cls))
        if label is not None:
            return b'D' + label.encode()
        module, qualname = cls.__module__, cls.__qualname__
        if not modules.is_user(module) and '<locals>' not in qualname:
            return self._by_name(module, qualname)
        return self._define(cls, module, 'class', qualname.replace('.<locals>', ''), lambda: self._class_content(cls))

    def _class_content(self, cls: type) -> bytes:
        """A class by what is in it: methods by their code, everything else by value; found the same way wherever it was defined."""
        own = dict(vars(cls))
        # Python itself adds some of its words late.
        kept = {key: value for key, value in own.items() if key not in _CLASS_WORDS}
        self._same.append(lambda: _is_same({key: value for key, value in vars(cls).items() if key not in _CLASS_WORDS}, kept))
        name = cls.__qualname__.replace('.<locals>', '')
        chunks = [cls.__name__.encode()]
        with self._inside(f'the class {name!r}'):
            chunks += [self.value(base) for base in cls.__bases__ if base is not object]
            if type(cls) is not type:
                chunks.append(self.value(type(cls)))
            chunks += self._class_tables(cls, own)
        text = ''
        for key in sorted(own):
            value = own[key]
            if not self._counts(cls, key, value):
                continue
            chunks.append(key.encode())
            with self._inside(f'the class {name!r}, attribute {key!r}'):
                chunks.append(self._member(value, lambda item: self._class_member(cls, name, item)))
            func = getattr(value, '__func__', getattr(value, 'fget', value))
            if not text and type(func) is FunctionType:
                found = source.find(func.__code__, func.__globals__)
                text = found.class_source(cls.__qualname__) if found else ''
        self.texts.setdefault(text or _class_text(cls, own), '')
        return pack(b'class', *chunks)

    def _class_member(self, cls: type, name: str, value: Any) -> bytes:
        if type(value) is FunctionType and value.__code__.co_qualname.rpartition('.')[0] == cls.__qualname__ and id(value) not in self._labels:
            return self._function_content(value, f'{name}.{value.__name__}', False)
        data = self.value(value)
        if not callable(value):
            self._equal.append(self._still(lambda: value, self.value, data))
        return data

    def _member(self, value: Any, encode: Callable[[Any], bytes]) -> bytes:
        if isinstance(value, (staticmethod, classmethod)):
            return pack(type(value).__name__.encode(), encode(value.__func__))
        if isinstance(value, property):
            return pack(type(value).__name__.encode(), *[encode(func) for func in (value.fget, value.fset, value.fdel)])
        if isinstance(value, functools.cached_property):
            return pack(b'cached_property', encode(value.func))
        return encode(value)

    def _class_tables(self, cls: type, own: dict[str, Any]) -> Iterator[bytes]:
        """What dataclasses, enumerations, named tuples and the like were made from."""
        if '__dataclass_fields__' in own:
            for field in own['__dataclass_fields__'].values():
                flags = (field.init, field.repr, field.compare, field.hash, field.kw_only, field._field_type.name)
                values = [self.value(item, f'field {field.name!r}') for item in (field.default, field.default_factory, field.metadata)]
                yield pack(b'field', field.name.encode(), repr(flags).encode(), *values)
            params = own['__dataclass_params__']
            yield repr((params.init, params.eq, params.order, params.unsafe_hash, params.frozen)).encode()
        for name in ('__attrs_attrs__', '__pydantic_fields__', '_field_defaults', '_fields'):
            if name in own:
                yield self.value(own[name], f'attribute {name!r}')
        if issubclass(cls, enum.Enum):
            for name, member in own.get('_member_map_', {}).items():
                yield pack(b'member', name.encode(), self.value(member._value_, f'member {name!r}'))

    def _counts(self, cls: type, name: str, value: Any) -> bool:
        """Whether an attribute of a class was written by the user, not made by what makes classes."""
        if name in _CLASS_WORDS or isinstance(value, _SLOTS) or type(value).__name__ == '_tuplegetter':
            return False
        func = getattr(value, '__func__', value)
        is_special = name.startswith('__') and name.endswith('__')
        if type(func) is FunctionType:
            written = func.__code__.co_qualname
            if written.startswith('__create_fn') or func.__code__.co_filename.startswith('<attrs generated'):
                return False
            maker = str(func.__globals__.get('__name__'))
            return not (maker in ('enum', 'collections', 'dataclasses', 'reprlib', 'typing') or maker.startswith('namedtuple_'))
        if issubclass(cls, enum.Enum) and (name in cls._member_map_ or name.startswith('_') and name.endswith('_') or type(value).__module__ == 'enum'):
            return False
        if is_special and not isinstance(value, (staticmethod, classmethod, property)):
            return bool(plain_text(value)) and value is not None
        return True


def _is_same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return len(a) == len(b) and all(b.get(key, _MISSING) is value for key, value in a.items())


def _unread(module: modules.Static) -> bool:
    return modules.signature(module.file) == module.signature


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _Unset


class _Unset:
    """What stands for a variable that is not set yet."""


def _class_text(cls: type, own: dict[str, Any]) -> str:
    """What a class without methods is, for people: its text is not found."""
    values = {name: member._value_ for name, member in own.get('_member_map_', {}).items()} or own
    lines = [f'{name} = {value!r}' for name, value in values.items() if not name.startswith('_') and plain_text(value)]
    bases = ', '.join(base.__name__ for base in cls.__bases__ if base is not object)
    return '\n    '.join([f'class {cls.__name__}{f"({bases})" if bases else ""}:', *(lines or ['...'])])


def _qualname(func: FunctionType) -> str:
    # That of the code: decorators give their wrapper the name of what it wraps.
    return func.__code__.co_qualname.replace('.<locals>', '')


@functools.lru_cache(maxsize=64)
def _file_digest(file: str, sign: tuple[int, int]) -> bytes:
    with open(file, 'rb') as stream:
        return digest(stream.read())
