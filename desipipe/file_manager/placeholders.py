"""Parts of a path: literal text and a placeholder, each filled by itself."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ConfigError
from .expression import bounded, check_spec, evaluate, names_of

MEMO = 4096  # results that an expression remembers
_PLAIN = frozenset({str, int, float, bool, type(None)})


class Part:
    """Literal text, then what follows it up to the next literal text: here nothing."""

    names: frozenset[str] = frozenset()
    variable = ''

    def __init__(self, literal: str) -> None:
        self.literal = literal

    def fill(self, options: Mapping[str, Any], environ: Mapping[str, str]) -> str:
        """Its text."""
        return self.literal

    def as_format(self, environ: Mapping[str, str]) -> str:
        """The same for :meth:`str.format_map`."""
        return _escaped(self.literal)


class Variable(Part):
    """``${NAME}`` of the environment."""

    def __init__(self, literal: str, name: str) -> None:
        super().__init__(literal)
        self.variable = name

    def fill(self, options: Mapping[str, Any], environ: Mapping[str, str]) -> str:
        """See :class:`Part`."""
        value = environ.get(self.variable)
        if value is None:
            value = os.environ.get(self.variable)
        if value is None:
            raise ConfigError(
                f'It needs the variable {self.variable} of the environment, which is not set; no '
                'file was looked up. '
                f'Type: export {self.variable}=... or FileManager(..., '
                f'environ={{{self.variable!r}: ...}})'
            )
        return self.literal + str(value)

    def as_format(self, environ: Mapping[str, str]) -> str:
        """See :class:`Part`."""
        return _escaped(self.fill({}, environ))


class Option(Part):
    """``{option:format}``."""

    def __init__(self, literal: str, name: str, spec: str) -> None:
        super().__init__(literal)
        self.names = frozenset((name,))
        self._name = name
        self._spec = spec

    def fill(self, options: Mapping[str, Any], environ: Mapping[str, str]) -> str:
        """See :class:`Part`."""
        try:
            value = options[self._name]
            if value is Ellipsis:
                raise ValueError
            return self.literal + format(value, self._spec)
        except Exception as exc:
            raise _unfit(
                f'{self._name}:{self._spec}' if self._spec else self._name, options, self.names, exc
            ) from exc

    def as_format(self, environ: Mapping[str, str]) -> str:
        """See :class:`Part`."""
        return f'{_escaped(self.literal)}{{{self._name}:{self._spec}}}'


class Item(Part):
    """``{option[0]:format}``: too common to be evaluated."""

    def __init__(self, literal: str, name: str, index: int, spec: str) -> None:
        super().__init__(literal)
        self.names = frozenset((name,))
        self._name = name
        self._index = index
        self._spec = spec

    def fill(self, options: Mapping[str, Any], environ: Mapping[str, str]) -> str:
        """See :class:`Part`."""
        try:
            return self.literal + format(options[self._name][self._index], self._spec)
        except Exception as exc:
            raise _unfit(f'{self._name}[{self._index:d}]', options, self.names, exc) from exc

    def as_format(self, environ: Mapping[str, str]) -> str:
        """See :class:`Part`."""
        return f'{_escaped(self.literal)}{{{self._name}[{self._index:d}]:{self._spec}}}'


class Expression(Part):
    """Any other placeholder."""

    def __init__(self, literal: str, field: ast.FormattedValue, spec: Sequence[Part]) -> None:
        super().__init__(literal)
        self._text = ast.unparse(field.value)[:200]
        self._node = field.value
        self._conversion = {-1: None, 115: str, 114: repr, 97: ascii}[field.conversion]
        self._spec = spec
        self.names = names_of(field.value).union(*(part.names for part in self._spec))
        self._order = tuple(sorted(self.names))
        self._memo: dict[str, str] = {}

    def fill(self, options: Mapping[str, Any], environ: Mapping[str, str]) -> str:
        """See :class:`Part`."""
        try:
            values = [options[name] for name in self._order]
            # Their representation tells 1 from 1.0 and True, and costs a tenth of an evaluation.
            if Ellipsis in values:
                raise ValueError
            key = repr(values) if all(map(_is_plain, values)) else ''
            text = self._memo.get(key) if key else None
            if text is None:
                text = self._evaluated(options, environ)
                if key:
                    if len(self._memo) >= MEMO:
                        self._memo.clear()
                    self._memo[key] = text
        except Exception as exc:
            raise _unfit(self._text, options, self.names, exc) from exc
        return self.literal + text

    def _evaluated(self, options: Mapping[str, Any], environ: Mapping[str, str]) -> str:
        value = evaluate(self._node, options)
        spec = ''.join([part.fill(options, environ) for part in self._spec])
        check_spec(spec)
        if self._conversion is not None:
            value = self._conversion(value)
        return str(bounded(format(value, spec)))


def _escaped(text: str) -> str:
    return text.replace('{', '{{').replace('}', '}}')


def _is_plain(value: Any) -> bool:
    kind = type(value)
    return kind in _PLAIN or (kind is tuple and all(type(item) in _PLAIN for item in value))


def _unfit(
    text: str, options: Mapping[str, Any], names: frozenset[str], exc: Exception
) -> ConfigError:
    given = {name: options[name] for name in sorted(names) if name in options}
    for name in sorted(names):
        if given.get(name, '') is Ellipsis:
            return ConfigError(
                f'It takes any value of the option {name}: choose one with select({name}=...).'
            )
    reason = str(exc) if not isinstance(exc, KeyError) else f'there is no {exc}'
    return ConfigError(
        f'The placeholder {{{text}}} cannot be filled with {given}: '
        f'{(reason or type(exc).__name__).rstrip(".")}. Change the format or the value.'
    )
