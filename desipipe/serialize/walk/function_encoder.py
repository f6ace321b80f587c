"""Identity of functions: their code, and what it uses."""

from __future__ import annotations

import functools
from types import CellType, FunctionType
from typing import Any

from .. import bytecode, modules, source, syntax_trees
from ..plain import attribute, digest, pack, unwrapped
from .context import Context
from .reflection import Reflection
from .uses import Use, Uses

__all__ = ['FunctionEncoder']

# Helpers are met again by each cell that uses them, with the same tree: it is never changed once it
# was found.
_tree = functools.lru_cache(maxsize=1024)(syntax_trees.tree)
_DISPATCH_WORDS = frozenset(('register', 'dispatch', 'registry', '_clear_cache', '__wrapped__'))


class FunctionEncoder:
    """Encodes functions by what they do.

    Parameters
    ----------
    context : Context
    uses : Uses
        Encodes what they use.
    reflection : Reflection
        Encodes their annotations, where these count.
    """

    def __init__(self, context: Context, uses: Uses, reflection: Reflection) -> None:
        self.root: object = None
        """Function of the task that is described."""
        self.tasks: set[int] = set()
        """Functions whose decorators don't count, by id."""
        self.pieces: dict[str, list[bytes]] | None = None
        """Pieces of functions' digests by digest, the syntax tree's first; None unless asked for.
        """
        self._encoder, self._path, self._checks, self._installed, self._parts = context
        self._uses = uses
        self._reflection = reflection
        self._users: list[str] = []  # names of the functions that are being encoded
        self._is_root_used = False

    def value(self, func: FunctionType) -> bytes:
        """Encode a function that is used as a value: its annotations count."""
        is_task = func is self.root and self._parts.label(func) is None
        data = self.encode(func)
        if not is_task:
            self._reflection.observe(func)
        return data

    def app(self, value: Any) -> bytes:
        """Encode an app, or another object that has an identity of its own."""
        wrapped = getattr(value, '__wrapped__', None)
        if type(wrapped) is FunctionType:
            # An app that another task calls: its function is followed here, in one walk, for two
            # apps may call each other.
            self.tasks.add(id(wrapped))
            return self.encode(wrapped)
        return pack(b'i', type(value).__qualname__.encode(), value.__desipipe_identity__().encode())

    def encode(self, func: FunctionType) -> bytes:
        """Encode a function: one of the user's as a part, an installed one by its name."""
        label = self._parts.label(func)
        if label is not None:
            if func is self.root:
                self._use_root(label)
            return b'D' + label.encode()
        module = func.__globals__.get('__name__')
        if not modules.is_user(module):
            if not modules.is_user(func.__module__):
                named = modules.resolve(func.__module__, func.__qualname__)
                if any(wrapped is func for wrapped in unwrapped(named)):
                    return self._installed.by_name(func.__module__, func.__qualname__)
            if modules.is_singledispatch(func):
                name = func.__qualname__.replace('.<locals>', '')
                return self._parts.define(
                    func, func.__module__, 'function', name, lambda: self._dispatch_content(func)
                )
            self._installed.add_package(str(module))
        name = _qualname(func)
        return self._parts.define(
            func, module, 'function', name, lambda: self.content(func, name, True)
        )

    def _use_root(self, label: str) -> None:
        """Count the attributes of the task's function: code that refers to it reads them."""
        if self._is_root_used:
            return
        self._checks.admit()
        self._is_root_used = True
        func: Any = self.root
        name = _qualname(func)
        own, size = func.__dict__, len(func.__dict__)
        self._checks.same(lambda: len(own) == size)
        chunks = self._attributes(f'the function {name!r}', name, func)
        if chunks:
            self._parts.record(f'attributes of {label}', pack(b'', *chunks))

    def _dispatch_content(self, func: Any) -> bytes:
        """Encode what :func:`functools.singledispatch` made, by its functions."""

        def registry() -> tuple[dict[type, Any], dict[str, Any]]:
            own = {key: value for key, value in vars(func).items() if key not in _DISPATCH_WORDS}
            return dict(func.registry), {**own, '__name__': func.__name__}

        def encode(parts: tuple[dict[type, Any], dict[str, Any]]) -> bytes:
            encoder = self._encoder
            return pack(b'dispatch', *encoder.pairs(parts[0].items()), encoder.value(parts[1]))

        with self._path.inside(f'the function {func.__name__!r}'):
            data = encode(registry())
        self._checks.equal(registry, encode, data)
        return data

    def content(self, func: FunctionType, name: str, with_text: bool) -> bytes:
        """Encode what a function does.

        Parameters
        ----------
        func : function
        name : str
            Name for errors.
        with_text : bool
            True if its text counts among those that people are shown.
        """
        self._check_members(func)
        is_user = modules.is_user(func.__globals__.get('__name__'))
        chunks = [self._code(func, is_user, with_text)]
        used_by = f' (used by {self._users[-1]!r})' if self._users else ''
        who = f'the function {name!r}{used_by}'
        self._users.append(name)
        try:
            if func is not self.root:
                # The defaults of the task itself are arguments of its calls.
                chunks += self._members(who, name, func)
            chunks += self._reads(who, func, is_user)
            wrapped = func.__dict__.get('__wrapped__')
            if wrapped is not None:
                get = functools.partial(func.__dict__.__getitem__, '__wrapped__')
                key = (id(func), 'wrapped')
                use = Use(f'{who} wraps', _name(wrapped), 'wrapped', key, func, get)
                chunks += self._uses.encode(use, {()})
        finally:
            self._users.pop()
        data = pack(b'function', *chunks)
        if self.pieces is not None:
            self.pieces[digest(data).hex()] = chunks
        return data

    def _check_members(self, func: FunctionType) -> None:
        code, defaults, keyword_defaults = func.__code__, func.__defaults__, func.__kwdefaults__
        is_root = func is self.root
        own, called = func.__dict__, func.__name__
        size = len(own)
        self._checks.same(
            lambda: (
                func.__code__ is code
                and func.__defaults__ is defaults
                and func.__kwdefaults__ is keyword_defaults
                and (is_root or (len(own) == size and func.__name__ == called))
            )
        )

    def _code(self, func: FunctionType, is_user: bool, with_text: bool) -> bytes:
        """Encode a function's code by its syntax tree, or by bytecode without its text."""
        code = func.__code__
        if not is_user:
            return f'{func.__globals__.get("__name__")}.{code.co_qualname}'.encode()
        text = source.find(code, func.__globals__)
        if text is None:
            return bytecode.fingerprint(code)
        is_task = id(func) in self.tasks
        if with_text:
            excerpt = source.segment(text.text, text.node, decorators=not is_task)
            self._parts.texts.setdefault(excerpt, '')
        return _tree(text.node, decorators=not is_task, defaults=func is not self.root)

    def _reads(self, who: str, func: FunctionType, is_user: bool) -> list[bytes]:
        """Encode what the code reads: variables of enclosing functions, globals, imports."""
        code, namespace = func.__code__, func.__globals__
        reads = bytecode.reads(code)
        chunks = []
        for variable, cell in zip(code.co_freevars, func.__closure__ or (), strict=True):
            get = functools.partial(_contents, cell)
            base = f'variable {variable}'
            use = Use(f'{who} uses', variable, base, (id(cell), ''), cell, get)
            chunks += self._uses.encode(use, reads.cells[variable])
        if is_user:
            for key, chains in reads.names.items():
                chunks += self._uses.name(who, namespace, key, chains, reads.values)
            chunks += self._uses.imports(reads.imports, namespace)
            self._reflection.meet(func, reads.words)
        return chunks

    def _members(self, who: str, name: str, func: FunctionType) -> list[bytes]:
        """Encode what a function has beside its code: defaults, attributes, another name."""
        chunks = []
        defaults, keyword_defaults = func.__defaults__, func.__kwdefaults__
        if defaults or keyword_defaults:
            value = self._encoder.value
            with self._path.inside(f'{who} has a default'):
                data = value(defaults) + value(keyword_defaults)
            chunks.append(data)
            self._checks.equal(
                lambda: (func.__defaults__, func.__kwdefaults__),
                lambda both: value(both[0]) + value(both[1]),
                data,
            )
        called = func.__name__
        if called != func.__code__.co_name:
            chunks.append(pack(b'name', called.encode('utf-8', 'surrogatepass')))
        return chunks + self._attributes(who, name, func)

    def _attributes(self, who: str, name: str, func: FunctionType) -> list[bytes]:
        own = func.__dict__
        if not own:
            return []
        chunks = []
        for key in sorted(key for key in own if isinstance(key, str) and key != '__wrapped__'):
            get = functools.partial(own.__getitem__, key)
            base = f'attribute {name}.{key}'
            use = Use(f'{who} has the attribute', key, base, (id(func), key), func, get)
            chunks += self._uses.encode(use, {()})
        return chunks


def _contents(cell: CellType) -> Any:
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
