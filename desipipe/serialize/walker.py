"""Identity of everything not plain: objects by content, code by what it does.

A :class:`Walker` goes through a value, or a function, and everything of the user's that it reaches.
What it finds becomes

- *bytes* for values: canonical, so that the order of dictionaries and sets, references shared or
  not, ``PYTHONHASHSEED`` and addresses don't matter;
- *parts* for code: one digest for each function, class, module and global, under a readable name.
  Bytes refer to parts by name, so that recursion ends, and so that a difference between two
  identities can be told by name.

It remembers what it read, so that :meth:`Walker.unchanged` can tell cheaply whether walking again
would give the same.
"""

from __future__ import annotations

import contextvars
import copyreg
import dataclasses
import enum
import functools
import io
import re
import sys
import threading
import types
import typing
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

from ..errors import NotSerializableError
from . import arrays, class_content, hints, makers, modules, objects, source
from .encoder import top_level
from .plain import (
    ATOMS,
    Step,
    TaskReference,
    TaskReferences,
    attribute,
    digest,
    is_live,
    pack,
    plain_text,
    refuse,
    short,
    standard_stream,
    unwrapped,
)

_MISSING = object()
# Names that every module has: where it is and how it was found must not matter.
_MODULE_WORDS = frozenset(
    (
        *(
            '__name__',
            '__file__',
            '__package__',
            '__spec__',
            '__loader__',
            '__path__',
            '__builtins__',
        ),
        *('__cached__', '__annotate__', '__debug__', '__dict__'),
    )
)
# Helpers are met again by each cell that uses them, with the same tree: it is never changed once it
# was found.
_tree = functools.lru_cache(maxsize=1024)(source.tree)
_SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)
_BUILTIN_METHODS = (
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    *_SLOTS,
)
_DESCRIPTORS = (staticmethod, classmethod, property, functools.cached_property)
_CACHE = type(functools.lru_cache(lambda: None))
_DOCUMENTED = frozenset(('__doc__', 'getdoc'))
_DISPATCH_WORDS = frozenset(('register', 'dispatch', 'registry', '_clear_cache', '__wrapped__'))
_ADDRESS = re.compile(' at 0x[0-9a-fA-F]+')
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: all other classes are compiled, one a process


class _Changed(Exception):
    """Something is there that was not when the walker passed."""


class Walker:
    """Goes through values and code.

    Parameters
    ----------
    name : str, default=''
        Name for errors of what is walked; empty for a task's function.
    references : bool, default=True
        True if references to tasks may be there; in what functions use they never may.
    alone : bool, default=False
        True if this walker only compares: it takes no pains to find equal copies of functions.
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
        self._base: list[Step] = [name] if name else []
        self._trail: list[Step] = list(self._base)
        self._users: list[str] = []
        # By id, or by id of a namespace and name. What has an id here is kept, so that nothing else
        # gets its id.
        self._labels: dict[object, str] = {}
        self._named: dict[str, list[tuple[object, str]]] = {}
        self._keep: list[object] = []
        self._stack: dict[int, int] = {}
        self._low = 0
        self._memo: dict[int, tuple[object, bytes]] = {}
        self._digests: dict[int, tuple[object, bytes]] = {}
        self._frozen = False
        self._volatile = False
        # Functions and classes that were met, those whose annotations count, and the names that
        # stand in their code.
        self._met: list[FunctionType | type] = []
        self._observed: set[int] = set()
        self._words: set[str] = set()
        self._is_referred_to = False
        self._namespace: dict[str, Any] = {}  # of the annotations that are encoded
        self._owner: type | None = None  # the class whose members are encoded
        self._same: list[Callable[[], bool]] = []
        self._equal: list[Callable[[], bool]] = []
        self._lock = threading.Lock()
        self.pieces: dict[str, list[bytes]] | None = None
        """Pieces of functions' digests by digest, the syntax tree's first; None unless asked for.
        """

    def encode(self, value: Any) -> bytes:
        """Bytes of a value, with what its code is made of."""
        data = self.value(value)
        self._reflect()
        return pack(b'+', data, self.total()) if self.parts else data

    def describe(self, func: Any) -> bytes:
        """Bytes of a task's function, and its parts."""
        data = self.value(func)
        if type(func) is not FunctionType:
            self._equal.append(self._still(lambda: func, self.value, data))
        self._reflect()
        self._memo.clear()
        self._digests.clear()
        return data

    def total(self) -> bytes:
        """Digest of all parts."""
        return digest(
            ''.join(f'{label}\0{self.parts[label]}\0' for label in sorted(self.parts)).encode(
                'utf-8', 'surrogatepass'
            )
        )

    def __reduce__(self) -> Any:
        # What was read is of this process only.
        return type(None), ()

    def unchanged(self) -> bool:
        """Return True if everything that was read still is what it was."""
        with self._lock:
            if self._volatile:
                return False
            self._frozen = True
            try:
                return all(check() for check in self._same) and all(
                    check() for check in self._equal
                )
            except (
                _Changed,
                NotSerializableError,
                LookupError,
                AttributeError,
                ValueError,
                RecursionError,
            ):
                return False
            finally:
                self._memo.clear()
                self._digests.clear()
                self._frozen = False

    # ----------------------------------------------------------------------------------------------
    # Values

    def value(self, value: Any, step: Step = '') -> bytes:
        """Return the canonical bytes of a value.

        Parameters
        ----------
        value : object
        step : step, default=''
            The step to it, for errors.
        """
        text = plain_text(value, self.references)
        if text:
            return short(b'=' + text.encode())
        if not step:
            return self._node(value)
        self._trail.append(step)
        try:
            return self._node(value)
        finally:
            self._trail.pop()

    @contextmanager
    def at(self, step: Step) -> Iterator[None]:
        """See :meth:`.Encoder.at`."""
        self._trail.append(step)
        try:
            yield
        finally:
            self._trail.pop()

    def _node(self, value: Any) -> bytes:
        key = id(value)
        note = key if self.references else -key
        memo = self._memo.get(note)
        if memo is not None:
            return memo[1]
        depth = self._stack.get(key)
        if depth is not None:
            self._low = min(self._low, depth)
            return b'^%d' % (len(self._stack) - depth)
        depth = self._stack[key] = len(self._stack)
        above, self._low = self._low, depth + 1
        try:
            data = self._content(value)
        except (NotSerializableError, RecursionError, MemoryError, _Changed):
            raise
        except Exception as exc:
            # Of someone's class, or of a library: the way to the value says more than its words.
            raise refuse(self._trail, value, exc) from exc
        finally:
            del self._stack[key]
            low, self._low = self._low, min(above, self._low)
        if low >= depth:
            # It says nothing of what is above it: the same wherever it is met again. Temporary
            # objects are kept for their id.
            self._memo[note] = (value, data)
        return data

    @contextmanager
    def _inside(self, step: str) -> Iterator[None]:
        """Walk through what code uses.

        No cycle leads through it (definitions have names), and no future may be there.
        """
        kept = self._stack, self._low, self._trail, self.references, self._owner
        self._stack, self._low, self.references, self._owner = {}, 0, False, None
        self._trail = [*self._base, step]
        try:
            yield
        finally:
            self._stack, self._low, self._trail, self.references, self._owner = kept

    def _content(self, value: Any) -> bytes:
        kind = type(value)
        if issubclass(kind, TaskReferences):
            kind = list
        if kind is list or kind is tuple:
            items = [self.value(item, f'item {i:d}') for i, item in enumerate(value)]
            return pack(b'L' if kind is list else b'T', *items)
        if kind is dict:
            return pack(b'M', *self.pairs(value.items()))
        if kind is contextvars.ContextVar:
            return pack(b'context', value.name.encode(), self.value(makers.context_values(value)))
        if kind is weakref.WeakSet:
            return pack(b'weak', self.value(set(value)))
        if issubclass(kind, (set, frozenset)) and _is_plain_set(kind):
            items = [self.value(item, 'an item') for item in sorted(value, key=self._order)]
            state = None if kind in (set, frozenset) else value.__reduce__()[2]
            return pack(b'S', self.value(kind), self.value(state), *sorted(items))
        if kind.__module__ == 'numpy' and (data := arrays.value(self, value)):
            return data
        if hasattr(kind, '__desipipe_identity__'):
            return self._own_identity(value)
        if kind is FunctionType:
            is_new = value is self.root and id(value) not in self._labels
            data = self._function(value)
            if not is_new:
                self._observe(value)
            return data
        if issubclass(kind, type):
            return self._class(value)
        if issubclass(kind, ModuleType):
            return self._module(value)
        if kind is types.MethodType:
            return pack(b'm', self.value(value.__func__), self.value(value.__self__))
        if issubclass(kind, enum.Enum):
            return pack(
                b'E', self.value(kind), str(value._name_).encode(), self.value(value._value_)
            )
        return self._of_python(value, kind) or self._of_library(value, kind) or self._reduced(value)

    def _of_python(self, value: Any, kind: type) -> bytes:
        """Return the bytes of a kind of value that Python itself has; nothing for others."""
        if kind is types.BuiltinFunctionType:
            bound = value.__self__
            if bound is None or isinstance(bound, ModuleType):
                return self._by_name(value.__module__ or 'builtins', value.__qualname__)
            return pack(b'm', value.__name__.encode(), self.value(bound))
        if kind in _BUILTIN_METHODS:
            bound = value.__self__ if kind is types.MethodWrapperType else value.__objclass__
            return pack(b'm', value.__name__.encode(), self.value(bound))
        if issubclass(kind, _DESCRIPTORS):
            return objects.descriptor(self, value)
        if kind is types.CodeType:
            return pack(b'c', source.fingerprint(value))
        if kind is typing.NewType:
            return pack(b'n', value.__name__.encode(), self.value(value.__supertype__))
        if kind is types.MappingProxyType:
            return pack(b'P', self.value(dict(value)))
        if kind is _CACHE:
            return self._cached(value)
        if kind.__module__ in ('typing', 'types', 'annotationlib'):
            return hints.construct(self, value)
        return b''

    def _of_library(self, value: Any, kind: type) -> bytes:
        """Return the bytes of a library's value whose reduction is not its content.

        Other values give none.
        """
        if kind.__name__ in ('Random', 'RandomState') and (name := modules.shared(value)):
            return self._by_name(*name)
        top = top_level(kind)
        if top == 'numpy':
            data = arrays.value(self, value) or self._ufunc(value)
            if data:
                return data
        if top == 'pathlib':
            # Its pickle tells how it was written, in some versions.
            return pack(b'p', kind.__name__.encode(), str(value).encode('utf-8', 'surrogateescape'))
        if top == 'fractions' and kind.__name__ == 'Fraction':
            return pack(b'f', b'%d' % value.numerator, b'%d' % value.denominator)
        if issubclass(kind, io.IOBase) and (stream := standard_stream(value)):
            return self._by_name('sys', stream)
        data = objects.content(self, value)
        if not data and is_live(value):
            raise refuse(self._trail, value)
        return data

    def _ufunc(self, value: Any) -> bytes:
        import numpy as np

        if not isinstance(value, np.ufunc):
            return b''
        where = self._whereabouts(value, value.__name__)
        if not where:
            raise refuse(self._trail, value, 'it is not found under its own name')
        return self._by_name(*where)

    def _cached(self, value: Any) -> bytes:
        """Encode what :func:`functools.lru_cache` made: what it remembers must not matter."""
        if not modules.is_user(value.__module__):
            named: Any = modules.resolve(value.__module__, value.__qualname__)
            if named is value:
                return self._by_name(value.__module__, value.__qualname__)
        own = {
            name: item
            for name, item in vars(value).items()
            if name not in ('__wrapped__', 'cache_parameters')
        }
        parts = value.__wrapped__, value.cache_parameters(), own
        return pack(b'cached', *[self.value(part) for part in parts])

    def _order(self, item: Any) -> bytes:
        """Return the key that sorts an item of a set.

        It is computed before the items are walked, as walking gives names to what it meets.
        """
        text = plain_text(item, self.references)
        if text:
            return text.encode()
        if self._alone:
            return b''
        return self._compared(item)

    def _compared(self, value: Any) -> bytes:
        cached = self._digests.get(id(value))
        if cached is None:
            walker = Walker('', self.references, alone=True)
            walker.tasks, walker.root, walker._base, walker._trail = (
                self.tasks,
                self.root,
                self._base,
                list(self._trail),
            )
            cached = self._digests[id(value)] = (value, walker.encode(value))
        return cached[1]

    def pairs(
        self, items: Iterable[tuple[Any, Any]], role: str = 'item', ordered: bool = False
    ) -> list[bytes]:
        """See :meth:`.Encoder.pairs`."""
        pairs = list(items)
        if not ordered:
            pairs.sort(key=lambda pair: self._order(pair[0]))
        chunks = [
            (self.value(key, ('key', key)), self.value(value, (role, key))) for key, value in pairs
        ]
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
            if part is None or type(part) is dict:
                attributes = objects.essential(value, (part or {}).items())
                states.append(pack(b'M', *self.pairs(attributes, 'attribute')))
            else:
                states.append(self.value(part, 'its state'))
        ordered = isinstance(value, OrderedDict)
        return pack(
            b'O',
            self.value(func),
            self.value(args),
            pack(b'', *states),
            pack(b'', *[self.value(item, f'item {i:d}') for i, item in enumerate(items or ())]),
            pack(b'', *self.pairs(pairs or (), ordered=ordered)),
            self.value(setter),
        )

    # ----------------------------------------------------------------------------------------------
    # What has a name

    def _by_name(self, module: str, qualname: str) -> bytes:
        """Encode an installed object by its name, and a user-built one by its bytes, too."""
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
        loaded = [
            key
            for key, item in list(sys.modules.items())
            if isinstance(item, ModuleType) and item.__dict__.get(name) is value
        ]
        names = sorted((len(key), key) for key in loaded if not modules.is_user(key))
        return (names[0][1], name) if names else None

    def _own_identity(self, value: Any) -> bytes:
        wrapped = getattr(value, '__wrapped__', None)
        if type(wrapped) is FunctionType:
            # An app that another task calls: its function is followed here, in one walk, for two
            # apps may call each other.
            self.tasks.add(id(wrapped))
            return self._function(wrapped)
        return pack(b'i', type(value).__qualname__.encode(), value.__desipipe_identity__().encode())

    def _prefix(self, module: object) -> str:
        return (
            ''
            if not isinstance(module, str) or module == self._home or module in modules.MAIN
            else f'{module}.'
        )

    def _define(
        self, value: Any, module: object, word: str, qualname: str, content: Callable[[], bytes]
    ) -> bytes:
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
            # Another one of that name: an equal copy (of a cell that ran twice, of a function that
            # was loaded twice) is the same.
            encoded = self._compared(value)
            for other, own in others:
                if self._compared(other) == encoded:
                    self._labels[id(value)] = own
                    self._keep.append(value)
                    self._volatile = True
                    return b'D' + own.encode()
        others.append((value, label))
        self._labels[id(value)] = label
        self._keep.append(value)
        self.parts[label] = ''
        self.parts[label] = digest(content()).hex()
        return b'D' + label.encode()

    # ----------------------------------------------------------------------------------------------
    # Functions

    def _function(self, func: FunctionType) -> bytes:
        label = self._labels.get(id(func))
        if label is not None:
            if func is self.root:
                self._refer_to_root(label)
            return b'D' + label.encode()
        module = func.__globals__.get('__name__')
        if not modules.is_user(module):
            if not modules.is_user(func.__module__):
                named = modules.resolve(func.__module__, func.__qualname__)
                if any(wrapped is func for wrapped in unwrapped(named)):
                    return self._by_name(func.__module__, func.__qualname__)
            if modules.is_singledispatch(func):
                return self._define(
                    func,
                    func.__module__,
                    'function',
                    func.__qualname__.replace('.<locals>', ''),
                    lambda: self._dispatch_content(func),
                )
            self._package(str(module))
        return self._define(
            func,
            module,
            'function',
            _qualname(func),
            lambda: self._function_content(func, _qualname(func), True),
        )

    def _refer_to_root(self, label: str) -> None:
        """Count the attributes of the task's function: code that refers to it reads them."""
        if self._is_referred_to:
            return
        if self._frozen:
            raise _Changed
        self._is_referred_to = True
        func: Any = self.root
        name = _qualname(func)
        own, size = func.__dict__, len(func.__dict__)
        self._same.append(lambda: len(own) == size)
        chunks = self._function_attributes(f'the function {name!r}', name, func)
        if chunks:
            self._record(f'attributes of {label}', pack(b'', *chunks))

    def _dispatch_content(self, func: Any) -> bytes:
        """Encode what :func:`functools.singledispatch` made, by its functions."""
        name = func.__name__

        def registry() -> tuple[dict[type, Any], dict[str, Any]]:
            own = {key: value for key, value in vars(func).items() if key not in _DISPATCH_WORDS}
            return dict(func.registry), {**own, '__name__': func.__name__}

        def encode(parts: tuple[dict[type, Any], dict[str, Any]]) -> bytes:
            return pack(b'dispatch', *self.pairs(parts[0].items()), self.value(parts[1]))

        with self._inside(f'the function {name!r}'):
            data = encode(registry())
        self._equal.append(self._still(registry, encode, data))
        return data

    def _function_content(self, func: FunctionType, name: str, with_text: bool) -> bytes:
        code, namespace, defaults, keyword_defaults = (
            func.__code__,
            func.__globals__,
            func.__defaults__,
            func.__kwdefaults__,
        )
        is_root = func is self.root
        own, called = func.__dict__, func.__name__
        size = len(own)
        self._same.append(
            lambda: (
                func.__code__ is code
                and func.__defaults__ is defaults
                and func.__kwdefaults__ is keyword_defaults
                and (is_root or (len(own) == size and func.__name__ == called))
            )
        )
        is_user = modules.is_user(namespace.get('__name__'))
        chunks = [self._code(func, is_user, with_text)]
        used_by = f' (used by {self._users[-1]!r})' if self._users else ''
        who = f'the function {name!r}{used_by}'
        self._users.append(name)
        try:
            if not is_root:
                # The defaults of the task itself are arguments of its calls.
                chunks += self._of_function(who, name, func)
            reads = source.reads(code)
            for variable, cell in zip(code.co_freevars, func.__closure__ or (), strict=True):
                get = functools.partial(_contents, cell)
                chunks += self._edge(
                    f'{who} uses',
                    variable,
                    f'variable {variable}',
                    (id(cell), ''),
                    cell,
                    get,
                    reads.cells[variable],
                )
            if is_user:
                self._words.update(reads.words)
                for key, chains in reads.names.items():
                    chunks += self._global(who, namespace, key, chains, reads.values)
                chunks += self._imports(reads.imports, namespace)
                self._met.append(func)
            wrapped = func.__dict__.get('__wrapped__')
            if wrapped is not None:
                get = functools.partial(func.__dict__.__getitem__, '__wrapped__')
                chunks += self._edge(
                    f'{who} wraps',
                    _name(wrapped),
                    'wrapped',
                    (id(func), 'wrapped'),
                    func,
                    get,
                    {()},
                )
        finally:
            self._users.pop()
        data = pack(b'function', *chunks)
        if self.pieces is not None:
            self.pieces[digest(data).hex()] = chunks
        return data

    def _code(self, func: FunctionType, is_user: bool, with_text: bool) -> bytes:
        """Encode a function's code by its syntax tree, or by bytecode without its text."""
        code = func.__code__
        if not is_user:
            return f'{func.__globals__.get("__name__")}.{code.co_qualname}'.encode()
        text = source.find(code, func.__globals__)
        if text is None:
            return source.fingerprint(code)
        is_task = id(func) in self.tasks
        if with_text:
            self.texts.setdefault(source.segment(text.text, text.node, decorators=not is_task), '')
        return _tree(text.node, decorators=not is_task, defaults=func is not self.root)

    def _of_function(self, who: str, name: str, func: FunctionType) -> list[bytes]:
        """Encode what a function has beside its code: defaults, attributes, another name."""
        chunks = []
        defaults, keyword_defaults = func.__defaults__, func.__kwdefaults__
        if defaults or keyword_defaults:
            with self._inside(f'{who} has a default'):
                data = self.value(defaults) + self.value(keyword_defaults)
            chunks.append(data)
            self._equal.append(
                self._still(
                    lambda: (func.__defaults__, func.__kwdefaults__),
                    lambda both: self.value(both[0]) + self.value(both[1]),
                    data,
                )
            )
        called = func.__name__
        if called != func.__code__.co_name:
            chunks.append(pack(b'name', called.encode('utf-8', 'surrogatepass')))
        return chunks + self._function_attributes(who, name, func)

    def _function_attributes(self, who: str, name: str, func: FunctionType) -> list[bytes]:
        own = func.__dict__
        if not own:
            return []
        names = sorted(key for key in own if isinstance(key, str) and key != '__wrapped__')
        chunks = []
        for key in names:
            get = functools.partial(own.__getitem__, key)
            base = f'attribute {name}.{key}'
            chunks += self._edge(
                f'{who} has the attribute', key, base, (id(func), key), func, get, {()}
            )
        return chunks

    def _global(
        self,
        who: str,
        namespace: dict[str, Any],
        name: str,
        chains: Iterable[tuple[str, ...]],
        values: frozenset[tuple[str, ...]] | None = None,
    ) -> list[bytes]:
        if name in _MODULE_WORDS or name.startswith(' '):
            # of the module; or no name that one can write: put there by what made the function, for
            # itself
            return []
        if name not in namespace:
            self._same.append(lambda: name not in namespace)
            return []  # of Python, or not there yet
        if modules.is_guarded_open(name, namespace[name]):
            self._same.append(lambda: modules.is_guarded_open(name, namespace.get(name)))
            return []
        prefix = self._prefix(namespace.get('__name__'))
        base = f'module {prefix}{name}' if prefix else f'global {name}'
        return self._edge(
            f'{who} uses',
            name,
            base,
            (id(namespace), name),
            namespace,
            lambda: namespace[name],
            chains,
            values,
        )

    def _edge(
        self,
        who: str,
        name: str,
        base: str,
        key: object,
        holder: object,
        get: Callable[[], Any],
        chains: Iterable[tuple[str, ...]],
        values: frozenset[tuple[str, ...]] | None = None,
    ) -> list[bytes]:
        """Encode what code reads under ``name``.

        ``values``: what of it is used otherwise than by calls; None: all.
        """
        value = get()
        self._keep.append(holder)
        if (
            issubclass(type(value), ModuleType)
            and value.__name__ not in modules.MAIN
            and modules.is_user(value.__name__)
        ):
            self._same.append(lambda: get() is value)
            return [name.encode(), *self._attributes(who, name, value, chains, values)]
        with self._inside(f'{who} {name!r}'):
            if issubclass(type(value), TaskReference):
                raise refuse(
                    self._trail, value, 'its result is not known yet when the function is stored'
                )
            if (
                type(value) is FunctionType
                or issubclass(type(value), type)
                or hasattr(type(value), '__desipipe_identity__')
            ):
                data = self._function(value) if type(value) is FunctionType else self.value(value)
                if values is None or tuple(name.split('.')) in values:
                    self._observe(value)
                if data.startswith(b'D'):
                    self._same.append(lambda: get() is value)
                    return [name.encode(), data]
            return [name.encode(), self._variable(base, key, get, value)]

    def _observe(self, value: Any) -> None:
        """Count the annotations of a function or class that is used as a value."""
        if id(value) in self._observed or not issubclass(type(value), (FunctionType, type)):
            return
        label = self._labels.get(id(value))
        if label is None:
            return  # it is installed
        if self._frozen:
            raise _Changed
        self._observed.add(id(value))
        if isinstance(value, FunctionType):
            self._annotations(value, label)
            return
        for name, member in list(vars(value).items()):
            for func in (getattr(member, '__func__', member), getattr(member, 'fget', None)):
                if type(func) is FunctionType and not class_content.is_made(value, name, func):
                    self._annotations(func, f'{label}.{name}')

    def _annotations(self, func: FunctionType, label: str) -> None:
        data = self._hints(func, func.__globals__)
        if not data:
            self._same.append(lambda: not hints.written(func))
            return
        self._record(f'annotations of {label}', data)
        self._equal.append(
            self._still(lambda: func, lambda func: self._hints(func, func.__globals__), data)
        )

    def _hints(self, holder: Any, namespace: dict[str, Any]) -> bytes:
        """Encode the annotations of a function or class; nothing where there are none."""
        written = hints.written(holder)
        if not written:
            return b''
        who = f'the annotations of {holder.__qualname__!r}'
        chunks = []
        with self._inside(who):
            for name, hint in written.items():
                with self.at(('that of', name)):
                    chunks += [
                        str(name).encode('utf-8', 'surrogatepass'),
                        self._hint(hint, namespace),
                    ]
        return pack(b'hints', *chunks)

    def _hint(self, hint: Any, namespace: dict[str, Any]) -> bytes:
        above, self._namespace = self._namespace, namespace
        try:
            return self.value(hint) + (self.names(hint) if isinstance(hint, str) else b'')
        finally:
            self._namespace = above

    def names(self, text: str) -> bytes:
        """See :meth:`.Encoder.names`."""
        code = source.expression(text)
        if code is None:
            return b''
        chunks: list[bytes] = []
        for name, chains in source.reads(code).names.items():
            try:
                chunks += self._global('an annotation names', self._namespace, name, chains)
            except NotSerializableError:
                chunks.append(
                    name.encode()
                )  # nor is it carried: a text is all that an annotation is
        # A text in a text is evaluated, too.
        chunks += [
            self.names(inner)
            for inner in code.co_consts
            if isinstance(inner, str) and inner != text
        ]
        return pack(b'names', *chunks)

    def _record(self, base: str, data: bytes) -> None:
        """Have a part of its own."""
        content, label, number = digest(data).hex(), base, 1
        while self.parts.get(label, content) != content:
            number += 1
            label = f'{base} ({number:d})'
        self.parts[label] = content

    def _reflect(self) -> None:
        """Have count what the code asks for by name: annotations, documentation."""
        done = 0
        while done < len(self._met):
            value = self._met[done]
            done += 1
            if not self._words.isdisjoint(hints.REFLECTING):
                self._observe(value)
            if not self._words.isdisjoint(_DOCUMENTED) and value is not self.root:
                self._documentation(value)

    def _documentation(self, value: Any) -> None:
        def text(value: Any) -> bytes:
            doc = vars(value).get('__doc__') if isinstance(value, type) else value.__doc__
            # Dataclasses write theirs from the `repr` of defaults.
            return self.value(_ADDRESS.sub('', doc) if isinstance(doc, str) else doc)

        data = text(value)
        self._record(f'documentation of {value.__qualname__}', data)
        self._equal.append(self._still(lambda: value, text, data))

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
        content = digest(data).hex()
        for other in labels:
            if self.parts[other] == content:
                # Equal values under equal names, in two places: one part says it.
                del self.parts[label]
                label = self._labels[key] = other
                break
        self.parts[label] = content
        text = plain_text(value, False)
        if 0 < len(text) <= 200:
            self.notes[label] = text
        if type(value) in ATOMS or data.startswith((b'I', b'module')):
            self._same.append(lambda: get() is value)  # it can't change, only be replaced
        else:
            self._equal.append(self._still(get, self.value, data))
        return b'V' + label.encode()

    def _still(
        self, get: Callable[[], Any], encode: Callable[[Any], bytes], data: bytes
    ) -> Callable[[], bool]:
        def check() -> bool:
            with self._inside(''):
                return encode(get()) == data

        return check

    # ----------------------------------------------------------------------------------------------
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
        self._same.append(
            lambda: sorted(name for name in namespace if not name.startswith('__')) == names
        )
        chunks = []
        for name in names:
            chunks += self._attribute(
                f'the module {module.__name__!r} has', name, module, (name,), whole=True
            )
        return pack(b'module', *chunks)

    def _attributes(
        self,
        who: str,
        path: str,
        module: ModuleType,
        chains: Iterable[tuple[str, ...]],
        values: frozenset[tuple[str, ...]] | None,
    ) -> list[bytes]:
        chunks = []
        for chain in sorted(chains):
            if not chain:
                chunks.append(self._module(module))
            elif chain[0] not in _MODULE_WORDS:
                chunks += self._attribute(who, f'{path}.{chain[0]}', module, chain, values)
        return chunks

    def _attribute(
        self,
        who: str,
        path: str,
        module: ModuleType,
        chain: tuple[str, ...],
        values: frozenset[tuple[str, ...]] | None = None,
        whole: bool = False,
    ) -> list[bytes]:
        name, namespace = chain[0], vars(module)
        if name not in namespace:
            self._same.append(lambda: name not in namespace)
            return []
        prefix = self._prefix(module.__name__)
        base = f'module {prefix}{name}' if prefix else f'global {name}'
        following = {chain[1:] if not whole else ()}
        return self._edge(
            who,
            path,
            base,
            (id(namespace), name),
            namespace,
            lambda: namespace[name],
            following,
            values,
        )

    def _imports(
        self, statements: Iterable[source.Import], namespace: dict[str, Any]
    ) -> list[bytes]:
        """Return the modules that a function imports when it runs, as they are on disk.

        They need not be imported here.
        """
        statements = set(statements)
        package = modules.package_of(namespace)
        reached, tops = modules.closure(statements, package)
        self.packages |= tops
        for statement in statements:
            top = statement.name.partition('.')[0]
            if (
                top
                and not statement.level
                and top not in sys.stdlib_module_names
                and top not in tops
                and top not in reached
            ):
                self._volatile = True  # there is no such module, yet
        for name, module in reached.items():
            if name not in self.statics:
                self.statics[name] = module
                self.parts[f'module {name} (imported)'] = module.digest.hex()
                self.texts.setdefault(f'# module {name}\n{module.text.strip()}', '')
                self._same.append(functools.partial(_unread, module))
        return [b'imports', *(name.encode() for name in sorted(reached))] if reached else []

    # ----------------------------------------------------------------------------------------------
    # Classes

    def _class(self, cls: type) -> bytes:
        label = self._labels.get(id(cls))
        if label is not None:
            return b'D' + label.encode()
        module, qualname = cls.__module__, cls.__qualname__
        if not modules.is_user(module):
            # What a library made (`make_dataclass`, a model of a function) says that it is the
            # library's.
            if not cls.__flags__ & _HEAP_TYPE or modules.resolve(module, qualname) is cls:
                return self._by_name(module, qualname)
        name = qualname.replace('.<locals>', '')
        return self._define(cls, module, 'class', name, lambda: self._class_content(cls))

    def _class_content(self, cls: type) -> bytes:
        """Encode a class by its members: methods by their code, all else by value.

        The result does not depend on where the class was defined.
        """
        own = dict(vars(cls))
        # Python itself adds some of its words late.
        kept = {key: value for key, value in own.items() if key not in class_content.WORDS}
        self._same.append(
            lambda: _is_same(
                {key: value for key, value in vars(cls).items() if key not in class_content.WORDS},
                kept,
            )
        )
        name = cls.__qualname__.replace('.<locals>', '')
        chunks = [cls.__name__.encode()]
        with self._inside(f'the class {name!r}'):
            chunks += [self.value(base) for base in cls.__bases__ if base is not object]
            if type(cls) is not type:
                chunks.append(self.value(type(cls)))
            chunks.append(self._tables(cls))
        text = ''
        for key in sorted(own):
            value = own[key]
            if class_content.is_made(cls, key, value):
                continue
            chunks.append(key.encode('utf-8', 'surrogatepass'))
            with self._inside(f'the class {name!r}, attribute {key!r}'):
                self._owner = cls
                chunks.append(self.member(value))
            func = getattr(value, '__func__', getattr(value, 'fget', value))
            if not text and type(func) is FunctionType:
                source_text = source.find(func.__code__, func.__globals__)
                text = source_text.class_source(cls.__qualname__) if source_text else ''
        self.texts.setdefault(text or class_content.source(cls), '')
        self._met.append(cls)
        return pack(b'class', *chunks)

    def _tables(self, cls: type) -> bytes:
        """Encode what a class was made from, its annotations among it."""
        module = sys.modules.get(cls.__module__) if isinstance(cls.__module__, str) else None
        namespace = getattr(module, '__dict__', {})

        def tables() -> list[class_content.Table]:
            hints_of = [
                class_content.Table(f'annotation {name!r}', (name, hint))
                for name, hint in hints.written(cls).items()
            ]
            return [*class_content.tables(cls), *hints_of]

        made = tables()
        items = [item for table in made for item in table.items]
        self._same.append(
            lambda: _are_same([item for table in tables() for item in table.items], items)
        )
        chunks = []
        for table in made:
            is_hint = table.words.startswith('annotation')
            with self.at(table.words):
                for item in table.items:
                    if item is dataclasses.MISSING:
                        chunks.append(b'Imissing')
                        continue
                    data = self._hint(item, namespace) if is_hint else self.value(item)
                    chunks.append(data)
                    is_fixed = type(item) in ATOMS or data.startswith((b'D', b'I'))
                    if not is_fixed:
                        encode = (
                            functools.partial(self._hint, namespace=namespace)
                            if is_hint
                            else self.value
                        )
                        self._equal.append(
                            self._still(functools.partial(_itself, item), encode, data)
                        )
        return pack(b'tables', *chunks)

    def member(self, value: Any) -> bytes:
        """See :meth:`.Encoder.member`."""
        cls = self._owner
        if cls is None:
            return self.value(value)
        if (
            type(value) is FunctionType
            and value.__code__.co_qualname.rpartition('.')[0] == cls.__qualname__
            and id(value) not in self._labels
        ):
            name = cls.__qualname__.replace('.<locals>', '')
            return self._function_content(value, f'{name}.{value.__name__}', False)
        if isinstance(value, _DESCRIPTORS):
            return objects.descriptor(self, value)
        data = self.value(value)
        if not callable(value):
            self._equal.append(self._still(lambda: value, self.value, data))
        return data


def _is_plain_set(kind: type) -> bool:
    # A subclass that says itself what it is made of counts by that.
    base: Any = set if issubclass(kind, set) else frozenset
    return kind.__reduce__ is base.__reduce__ and kind.__reduce_ex__ is base.__reduce_ex__


def _is_same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return len(a) == len(b) and all(b.get(key, _MISSING) is value for key, value in a.items())


def _are_same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(
        one is other or (type(one) is type(other) and type(one) in ATOMS and one == other)
        for one, other in zip(a, b, strict=True)
    )


def _itself(value: Any) -> Any:
    return value


def _unread(module: modules.Static) -> bool:
    return modules.signature(module.file) == module.signature


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _Unset


class _Unset:
    """The mark of a variable that is not set yet."""


def _name(value: Any) -> str:
    name = attribute(value, '__name__')
    return name if isinstance(name, str) else ''


def _qualname(func: FunctionType) -> str:
    # That of the code: decorators give their wrapper the name of what it wraps.
    return func.__code__.co_qualname.replace('.<locals>', '')


@functools.lru_cache(maxsize=64)
def _file_digest(file: str, sign: tuple[int, int]) -> bytes:
    with open(file, 'rb') as stream:
        return digest(stream.read())
