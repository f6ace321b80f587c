"""Parts of an identity: functions, classes, modules and variables, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import modules
from ..plain import digest, plain_text
from .checks import Checks

__all__ = ['Parts']

_NOTE_MAX = 200  # characters of a variable's value that people are shown


class Parts:
    """Digests of what a walk met, by readable names that bytes refer to.

    Parameters
    ----------
    checks : Checks
        Those of the walk.
    compare : callable
        Gives the bytes of a definition by itself: equal copies (of a cell that ran twice, of a
        function that was loaded twice) become one part. None: copies are not looked for.
    """

    def __init__(self, checks: Checks, compare: Callable[[Any], bytes] | None) -> None:
        self.digests: dict[str, str] = {}
        """Digests, hexadecimal, by name."""
        self.texts: dict[str, str] = {}
        """Sources of functions, classes and modules, as keys, in order."""
        self.notes: dict[str, str] = {}
        """Texts of the values of variables."""
        self._checks = checks
        self._compare = compare
        self._home: str | None = None  # the module of the first definition: names without a prefix
        # By id, or by id of a namespace and name. What has an id here is kept, so that nothing else
        # gets its id.
        self._labels: dict[object, str] = {}
        self._named: dict[str, list[tuple[object, str]]] = {}
        self._keep: list[object] = []

    def total(self) -> bytes:
        """Digest of all parts."""
        return digest(
            ''.join(f'{label}\0{self.digests[label]}\0' for label in sorted(self.digests)).encode(
                'utf-8', 'surrogatepass'
            )
        )

    def label(self, value: object) -> str | None:
        """Return the name of a function, class or module; None if it was not met yet."""
        return self._labels.get(id(value))

    def keep(self, holder: object) -> None:
        """Keep an object, so that nothing else gets its id."""
        self._keep.append(holder)

    def base(self, word: str, module: object, name: str) -> str:
        """Return the name of a part, without the number of its copy."""
        if not isinstance(module, str) or module == self._home or module in modules.MAIN:
            return f'{word} {name}'
        return f'module {module}.{name}'

    def define(
        self, value: Any, module: object, word: str, qualname: str, content: Callable[[], bytes]
    ) -> bytes:
        """Walk a function, class or module once, and refer to it by name from then on."""
        self._checks.admit()
        if self._home is None and isinstance(module, str):
            self._home = module
        base = self.base(word, module, qualname)
        others = self._named.setdefault(base, [])
        label = f'{base} ({len(others) + 1:d})' if others else base
        if others and (copy := self._copy(value, others)):
            label = self._labels[id(value)] = copy
            self._keep.append(value)
            self._checks.is_volatile = True
            return b'D' + label.encode()
        others.append((value, label))
        self._labels[id(value)] = label
        self._keep.append(value)
        self.digests[label] = ''
        self.digests[label] = digest(content()).hex()
        return b'D' + label.encode()

    def _copy(self, value: Any, others: list[tuple[object, str]]) -> str:
        """Return the name of an equal definition of the same name; empty if there is none."""
        if self._compare is None:
            return ''
        encoded = self._compare(value)
        return next((own for other, own in others if self._compare(other) == encoded), '')

    def variable(
        self, base: str, key: object, value: Any, encode: Callable[[Any], bytes]
    ) -> tuple[str, bytes]:
        """Return the name of a variable's part, and its bytes, if it was not met before."""
        label = self._labels.get(key)
        if label is not None:
            return label, b''
        self._checks.admit()
        labels = [base]
        while labels[-1] in self.digests:
            labels.append(f'{base} ({len(labels) + 1:d})')
        label = self._labels[key] = labels.pop()
        self.digests[label] = ''
        data = encode(value)
        content = digest(data).hex()
        for other in labels:
            if self.digests[other] == content:
                # Equal values under equal names, in two places: one part says it.
                del self.digests[label]
                label = self._labels[key] = other
                break
        self.digests[label] = content
        text = plain_text(value, False)
        if 0 < len(text) <= _NOTE_MAX:
            self.notes[label] = text
        return label, data

    def record(self, base: str, data: bytes) -> None:
        """Add a part of its own."""
        content, label, number = digest(data).hex(), base, 1
        while self.digests.get(label, content) != content:
            number += 1
            label = f'{base} ({number:d})'
        self.digests[label] = content
