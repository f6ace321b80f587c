"""Paths with placeholders, filled without running anything.

A path is written like the text of an f-string: ``{tracer}``, ``{i:04d}``, ``{zrange[0]:.2f}``,
``{"LRG_test" if tracer == "LRG" else tracer}``, and ``${NAME}`` for a variable of the environment.
Python's own parser takes it apart (it executes nothing); what an expression may hold is a short
list, checked when the path is read; what it gives is computed by `simpleeval`, with bounds on every
intermediate result. A data base from someone else can fail, with words, and nothing else.
"""

from __future__ import annotations

import ast
import functools
import os
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError
from .expression import LONGEST, check, check_spec
from .placeholders import MEMO, Expression, Item, Option, Part, Variable

__all__ = ['Template', 'template']


class Template:
    """A path with placeholders.

    Parameters
    ----------
    text : str

    Raises
    ------
    ConfigError
        If it can't be read, or holds more than is allowed; says what is wrong, not in which path.
    """

    __slots__ = ('_format', '_formats', 'names', 'parts', 'text', 'variables')

    def __init__(self, text: str) -> None:
        self.text = text
        self.parts: tuple[Part, ...] = tuple(_parsed(text))
        self.names = frozenset[str]().union(*(part.names for part in self.parts))
        """Options that it reads."""
        self.variables = tuple(dict.fromkeys(part.variable for part in self.parts if part.variable))
        """Variables of the environment that it reads."""
        # By the values of variables: the same as one format, in which nothing but options, indices
        # and formats stand; several times faster.
        self._formats: dict[tuple[str | None, ...], str] | None = (
            None if any(isinstance(part, Expression) for part in self.parts) else {}
        )
        self._format = (
            None
            if self._formats is None or self.variables
            else ''.join([part.as_format({}) for part in self.parts])
        )

    def fill(self, options: Mapping[str, Any], environ: Mapping[str, str]) -> str:
        """The path for values of options.

        Parameters
        ----------
        options : dict
            Name: value (or the text that stands for it in the path).
        environ : dict
            Variables, before those of the process.

        Returns
        -------
        path : str

        Raises
        ------
        ConfigError
            If a variable is missing, or the values do not fit.
        """
        pattern = self._format
        if pattern is None and self._formats is not None:
            values = tuple(
                [
                    environ[name] if name in environ else os.environ.get(name)
                    for name in self.variables
                ]
            )
            pattern = self._formats.get(values) or self._as_format(values, environ)
        if pattern is not None:
            try:
                text = pattern.format_map(options)
            except Exception:  # the parts tell below what is wrong
                text = ''
            if text and 'Ellipsis' not in text:
                return text
        return ''.join([part.fill(options, environ) for part in self.parts])

    def _as_format(self, values: tuple[str | None, ...], environ: Mapping[str, str]) -> str:
        text = ''.join([part.as_format(environ) for part in self.parts])
        assert self._formats is not None
        if len(self._formats) >= MEMO:
            self._formats.clear()
        self._formats[values] = text
        return text


@functools.lru_cache(maxsize=4096)
def template(text: str) -> Template:
    """The template of a path; read once."""
    return Template(text)


def _parsed(text: str) -> list[Part]:
    if len(text) > LONGEST:
        raise ConfigError(f'It is {len(text):,d} characters long; {LONGEST:,d} are allowed.')
    if '{' not in text and '}' not in text:
        return [Part(text)]
    # Either kind of quotes that does not end the literal early; the text itself is never code, only
    # parsed as the literal it is.
    quote = next(
        (quote for quote in ('"""', "'''") if quote not in text and not text.endswith(quote[0])),
        None,
    )
    if quote is None:
        raise ConfigError('It holds three quotes in a row, or both kinds at its end. Use fewer.')
    try:
        return template_of(ast.parse(f'rf{quote}{text}{quote}', mode='eval').body)
    except ConfigError:
        raise
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        reason = exc.msg if isinstance(exc, SyntaxError) else str(exc) or 'it is nested too deeply'
        raise ConfigError(
            f'It cannot be read: {reason.rstrip(".")}. Placeholders are written as in an f-string; '
            'write {{ and }} for braces.'
        ) from exc


def template_of(node: ast.expr) -> list[Part]:
    """The parts of the literal that Python's parser made of a path, or of a format."""
    parts: list[Part] = []
    literal = ''
    for value in node.values if isinstance(node, ast.JoinedStr) else [node]:
        if isinstance(value, ast.Constant):
            literal += str(value.value)
            continue
        assert isinstance(value, ast.FormattedValue)
        parts.append(_part(literal, value))
        literal = ''
    return [*parts, Part(literal)] if literal or not parts else parts


def _part(literal: str, field: ast.FormattedValue) -> Part:
    inner = field.value
    plain = isinstance(inner, ast.Name) and field.conversion == -1
    if literal.endswith('$') and plain and field.format_spec is None:
        assert isinstance(inner, ast.Name)
        return Variable(literal[:-1], inner.id)
    check(inner)
    spec = _literal(field.format_spec)
    if spec is not None and '{' not in spec and '}' not in spec:
        check_spec(spec)
        if plain:
            assert isinstance(inner, ast.Name)
            return Option(literal, inner.id, spec)
        if (
            isinstance(inner, ast.Subscript)
            and isinstance(inner.value, ast.Name)
            and isinstance(inner.slice, ast.Constant)
            and field.conversion == -1
        ):
            index = inner.slice.value
            if type(index) is int and index >= 0:
                return Item(literal, inner.value.id, index, spec)
    parts = template_of(field.format_spec) if field.format_spec is not None else ()
    return Expression(literal, field, parts)


def _literal(spec: ast.expr | None) -> str | None:
    # A format without placeholders of its own.
    if spec is None:
        return ''
    values = spec.values if isinstance(spec, ast.JoinedStr) else []
    texts = [str(value.value) for value in values if isinstance(value, ast.Constant)]
    return ''.join(texts) if len(texts) == len(values) else None
