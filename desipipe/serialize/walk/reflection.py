"""Identity of what programs ask of code: annotations and documentation."""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import FunctionType
from typing import Any

from ...errors import NotSerializableError
from .. import bytecode, class_content, hints, source
from ..plain import pack
from .context import Context
from .uses import Uses

__all__ = ['Reflection']

_DOCUMENTED = frozenset(('__doc__', 'getdoc'))
_ADDRESS = re.compile(' at 0x[0-9a-fA-F]+')


class Reflection:
    """Encodes annotations and documentation, where code may ask for them.

    Parameters
    ----------
    context : Context
    uses : Uses
        Encodes the names in annotations.
    """

    def __init__(self, context: Context, uses: Uses) -> None:
        self._encoder, self._path, self._checks, _, self._parts = context
        self._uses = uses
        self._met: list[FunctionType | type] = []
        self._code_names: set[str] = set()  # that stand in the code of these
        self._observed: set[int] = set()  # functions and classes whose annotations count
        self._namespace: dict[str, Any] = {}  # of the annotations that are encoded

    def meet(self, value: FunctionType | type, code_names: Iterable[str] = ()) -> None:
        """Record a function or class, and the names that stand in its code."""
        self._met.append(value)
        self._code_names.update(code_names)

    def reflect(self, root: object) -> None:
        """Count what the code asks for by name, but never the documentation of ``root``."""
        done = 0
        while done < len(self._met):
            value = self._met[done]
            done += 1
            if not self._code_names.isdisjoint(hints.REFLECTING):
                self.observe(value)
            if not self._code_names.isdisjoint(_DOCUMENTED) and value is not root:
                self._documentation(value)

    def _documentation(self, value: Any) -> None:
        def text(value: Any) -> bytes:
            doc = vars(value).get('__doc__') if isinstance(value, type) else value.__doc__
            # Dataclasses write theirs from the `repr` of defaults.
            return self._encoder.value(_ADDRESS.sub('', doc) if isinstance(doc, str) else doc)

        data = text(value)
        self._parts.record(f'documentation of {value.__qualname__}', data)
        self._checks.equal(lambda: value, text, data)

    def observe(self, value: Any) -> None:
        """Count the annotations of a function or class that is used as a value."""
        if id(value) in self._observed or not issubclass(type(value), (FunctionType, type)):
            return
        label = self._parts.label(value)
        if label is None:
            return  # it is installed
        self._checks.admit()
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
            self._checks.same(lambda: not hints.written(func))
            return
        self._parts.record(f'annotations of {label}', data)
        self._checks.equal(lambda: func, lambda func: self._hints(func, func.__globals__), data)

    def _hints(self, holder: Any, namespace: dict[str, Any]) -> bytes:
        """Encode the annotations of a function or class; nothing where there are none."""
        written = hints.written(holder)
        if not written:
            return b''
        chunks = []
        with self._path.inside(f'the annotations of {holder.__qualname__!r}'):
            for name, hint in written.items():
                with self._path.at(('that of', name)):
                    chunks += [
                        str(name).encode('utf-8', 'surrogatepass'),
                        self.hint(hint, namespace),
                    ]
        return pack(b'hints', *chunks)

    def hint(self, hint: Any, namespace: dict[str, Any]) -> bytes:
        """Encode an annotation, whose names are those of ``namespace``."""
        above, self._namespace = self._namespace, namespace
        try:
            data = self._encoder.value(hint)
            return data + self.names(hint) if isinstance(hint, str) else data
        finally:
            self._namespace = above

    def names(self, text: str) -> bytes:
        """See :meth:`.Encoder.names`."""
        code = source.expression(text)
        if code is None:
            return b''
        chunks: list[bytes] = []
        for name, chains in bytecode.reads(code).names.items():
            try:
                chunks += self._uses.name('an annotation names', self._namespace, name, chains)
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
