"""Walker through values and everything of the user's that they reach."""

from __future__ import annotations

import contextvars
import enum
import threading
import types
import weakref
from collections.abc import Iterable
from contextlib import AbstractContextManager
from types import FunctionType, ModuleType
from typing import Any

from ...errors import NotSerializableError
from .. import arrays, makers
from ..plain import TaskReferences, pack, plain_text, short, unwrapped
from ..refusals import Step
from . import values
from .checks import Changed, Checks
from .context import Context
from .definitions import Definitions
from .installed import Installed
from .parts import Parts
from .path import Path

__all__ = ['Walker']


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
        self.path = Path([name] if name else [], references)
        self.checks = Checks(self.path)
        self.installed = Installed(self.checks)
        self.packages = self.installed.packages
        self._alone = alone
        self._definitions: Definitions | None = None
        self._memo: dict[int, tuple[object, bytes]] = {}  # bytes of values that were met, by id
        self._compared: dict[int, tuple[object, bytes]] = {}
        self._lock = threading.Lock()

    @property
    def code(self) -> Definitions:
        """The functions, classes and modules that were met."""
        if self._definitions is None:
            parts = Parts(self.checks, None if self._alone else self._compare)
            self._definitions = Definitions(
                Context(self, self.path, self.checks, self.installed, parts)
            )
        return self._definitions

    def encode(self, value: Any) -> bytes:
        """Bytes of a value, with what its code is made of."""
        data = self.value(value)
        if self._definitions is None:
            return data
        self.code.reflection.reflect(None)
        return pack(b'+', data, self.code.parts.total()) if self.code.parts.digests else data

    def describe(self, func: Any) -> bytes:
        """Bytes of a task's function, and its parts."""
        functions = self.code.functions
        functions.root, functions.pieces = func, {}
        functions.tasks |= {id(inner) for inner in unwrapped(func) if type(inner) is FunctionType}
        data = self.value(func)
        if type(func) is not FunctionType:
            self.checks.equal(lambda: func, self.value, data)
        self.code.reflection.reflect(func)
        self._forget()
        return data

    def __reduce__(self) -> Any:
        # What was read is of this process only.
        return type(None), ()

    def unchanged(self) -> bool:
        """Return True if everything that was read still is what it was."""
        with self._lock:
            self._forget()  # what `encode` met may have been changed in place
            try:
                return self.checks.hold()
            finally:
                self._forget()

    def _forget(self) -> None:
        self._memo.clear()
        self._compared.clear()

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
        text = plain_text(value, self.path.references)
        if text:
            return short(b'=' + text.encode())
        if not step:
            return self._node(value)
        steps = self.path.steps
        steps.append(step)
        try:
            return self._node(value)
        finally:
            steps.pop()

    def at(self, step: Step) -> AbstractContextManager[None]:
        """See :meth:`.Encoder.at`."""
        return self.path.at(step)

    def _node(self, value: Any) -> bytes:
        path, key = self.path, id(value)
        note = key if path.references else -key
        memo = self._memo.get(note)
        if memo is not None:
            return memo[1]
        depths = path.depths
        depth = depths.get(key)
        if depth is not None:
            path.lowest = min(path.lowest, depth)
            return b'^%d' % (len(depths) - depth)
        depth = depths[key] = len(depths)
        above, path.lowest = path.lowest, depth + 1
        try:
            data = self._content(value)
        except (NotSerializableError, RecursionError, MemoryError, Changed):
            raise
        except Exception as exc:
            # Of someone's class, or of a library: the way to the value says more than its words.
            raise path.refuse(value, exc) from exc
        finally:
            del depths[key]
            lowest, path.lowest = path.lowest, min(above, path.lowest)
        if lowest >= depth:
            # It says nothing of what is above it: the same wherever it is met again. Temporary
            # objects are kept for their id.
            self._memo[note] = (value, data)
        return data

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
            return self.code.functions.app(value)
        if kind is FunctionType:
            return self.code.functions.value(value)
        if issubclass(kind, type):
            return self.code.classes.encode(value)
        if issubclass(kind, ModuleType):
            return self.code.uses.module(value)
        if kind is types.MethodType:
            return pack(b'm', self.value(value.__func__), self.value(value.__self__))
        if issubclass(kind, enum.Enum):
            return pack(
                b'E', self.value(kind), str(value._name_).encode(), self.value(value._value_)
            )
        return (
            values.of_python(self, value, kind)
            or values.of_library(self, value, kind)
            or values.reduced(self, value)
        )

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

    def _order(self, item: Any) -> bytes:
        """Return the key that sorts an item of a set.

        It is computed before the items are walked, as walking gives names to what it meets.
        """
        text = plain_text(item, self.path.references)
        if text:
            return text.encode()
        return b'' if self._alone else self._compare(item)

    def _compare(self, value: Any) -> bytes:
        """Return the bytes of a value by itself: they don't depend on what was met before."""
        cached = self._compared.get(id(value))
        if cached is None:
            walker = Walker('', self.path.references, alone=True)
            walker.path.base, walker.path.steps = self.path.base, list(self.path.steps)
            apart, functions = walker.code.functions, self.code.functions
            apart.tasks, apart.root = functions.tasks, functions.root
            cached = self._compared[id(value)] = (value, walker.encode(value))
        return cached[1]

    # ----------------------------------------------------------------------------------------------
    # Code

    def used(self, value: Any, as_value: bool) -> bytes:
        """See :meth:`.DefinitionEncoder.used`."""
        code = self.code
        data = code.functions.encode(value) if type(value) is FunctionType else self.value(value)
        if as_value:
            code.reflection.observe(value)
        return data

    def names(self, text: str) -> bytes:
        """See :meth:`.Encoder.names`."""
        return self.code.reflection.names(text)

    def member(self, value: Any) -> bytes:
        """See :meth:`.Encoder.member`."""
        owner = self.path.owner
        return self.value(value) if owner is None else self.code.classes.member(owner, value)


def _is_plain_set(kind: type) -> bool:
    # A subclass that says itself what it is made of counts by that.
    base: Any = set if issubclass(kind, set) else frozenset
    return kind.__reduce__ is base.__reduce__ and kind.__reduce_ex__ is base.__reduce_ex__
