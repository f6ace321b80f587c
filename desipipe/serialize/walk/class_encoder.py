"""Identity of classes: their members, and what they were made from."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from .. import class_content, hints, modules, objects, source
from ..plain import ATOMS, pack
from .context import Context
from .function_encoder import FunctionEncoder
from .reflection import Reflection

__all__ = ['ClassEncoder']

_MISSING = object()
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: all other classes are compiled, one a process


class ClassEncoder:
    """Encodes classes by their members.

    Parameters
    ----------
    context : Context
    functions : FunctionEncoder
        Encodes their methods.
    reflection : Reflection
        Encodes their annotations.
    """

    def __init__(
        self, context: Context, functions: FunctionEncoder, reflection: Reflection
    ) -> None:
        self._encoder, self._path, self._checks, self._installed, self._parts = context
        self._functions = functions
        self._reflection = reflection

    def encode(self, cls: type) -> bytes:
        """Encode a class: one of the user's as a part, an installed one by its name."""
        label = self._parts.label(cls)
        if label is not None:
            return b'D' + label.encode()
        module, qualname = cls.__module__, cls.__qualname__
        if not modules.is_user(module):
            # What a library made (`make_dataclass`, a model of a function) says that it is the
            # library's.
            if not cls.__flags__ & _HEAP_TYPE or modules.resolve(module, qualname) is cls:
                return self._installed.by_name(module, qualname)
        return self._parts.define(cls, module, 'class', _name(cls), lambda: self._content(cls))

    def _content(self, cls: type) -> bytes:
        """Encode a class by its members: methods by their code, all else by value.

        The result does not depend on where the class was defined.
        """
        own = dict(vars(cls))
        # Python itself adds some of its words late.
        kept = _members(cls)
        self._checks.same(lambda: _is_same(_members(cls), kept))
        chunks = [cls.__name__.encode()]
        with self._path.inside(f'the class {_name(cls)!r}'):
            chunks += [self._encoder.value(base) for base in cls.__bases__ if base is not object]
            if type(cls) is not type:
                chunks.append(self._encoder.value(type(cls)))
            chunks.append(self._tables(cls))
        text = ''
        for key in sorted(own):
            value = own[key]
            if class_content.is_made(cls, key, value):
                continue
            chunks.append(key.encode('utf-8', 'surrogatepass'))
            with self._path.inside(f'the class {_name(cls)!r}, attribute {key!r}'):
                self._path.owner = cls
                chunks.append(self.member(cls, value))
            text = text or _text(cls, value)
        self._parts.texts.setdefault(text or class_content.source(cls), '')
        self._reflection.meet(cls)
        return pack(b'class', *chunks)

    def member(self, cls: type, value: Any) -> bytes:
        """Encode a member of a class, with its own functions as part of it."""
        if (
            type(value) is FunctionType
            and value.__code__.co_qualname.rpartition('.')[0] == cls.__qualname__
            and self._parts.label(value) is None
        ):
            return self._functions.content(value, f'{_name(cls)}.{value.__name__}', False)
        if isinstance(value, objects.DESCRIPTORS):
            return objects.descriptor(self._encoder, value)
        data = self._encoder.value(value)
        if not callable(value):
            self._checks.equal(lambda: value, self._encoder.value, data)
        return data

    def _tables(self, cls: type) -> bytes:
        """Encode what a class was made from, its annotations among it."""
        module = sys.modules.get(cls.__module__) if isinstance(cls.__module__, str) else None
        namespace = getattr(module, '__dict__', {})
        encode_hint = functools.partial(self._reflection.hint, namespace=namespace)
        made = list(class_content.tables(cls))
        annotations = _annotations(cls)
        items = [item for table in (*made, *annotations) for item in table.items]
        self._checks.same(lambda: _are_same(_items(cls), items))
        chunks: list[bytes] = []
        for table in made:
            chunks += self._table(table, self._encoder.value)
        for table in annotations:
            chunks += self._table(table, encode_hint)
        return pack(b'tables', *chunks)

    def _table(self, table: class_content.Table, encode: Callable[[Any], bytes]) -> Iterator[bytes]:
        with self._path.at(table.words):
            for item in table.items:
                if item is dataclasses.MISSING:
                    yield b'Imissing'
                    continue
                data = encode(item)
                yield data
                if type(item) not in ATOMS and not data.startswith((b'D', b'I')):
                    self._checks.equal(functools.partial(_itself, item), encode, data)


def _name(cls: type) -> str:
    return cls.__qualname__.replace('.<locals>', '')


def _members(cls: type) -> dict[str, Any]:
    return {key: value for key, value in vars(cls).items() if key not in class_content.WORDS}


def _is_same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return len(a) == len(b) and all(b.get(key, _MISSING) is value for key, value in a.items())


def _text(cls: type, member: Any) -> str:
    """Return the text of a class, found by one of its methods; else an empty text."""
    func = getattr(member, '__func__', getattr(member, 'fget', member))
    if type(func) is not FunctionType:
        return ''
    text = source.find(func.__code__, func.__globals__)
    return text.class_source(cls.__qualname__) if text else ''


def _annotations(cls: type) -> list[class_content.Table]:
    return [
        class_content.Table(f'annotation {name!r}', (name, hint))
        for name, hint in hints.written(cls).items()
    ]


def _items(cls: type) -> list[Any]:
    tables = [*class_content.tables(cls), *_annotations(cls)]
    return [item for table in tables for item in table.items]


def _are_same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(
        one is other or (type(one) is type(other) and type(one) in ATOMS and one == other)
        for one, other in zip(a, b, strict=True)
    )


def _itself(value: Any) -> Any:
    return value
