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
import operator
import os
import re
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError

if TYPE_CHECKING:
    from simpleeval import SimpleEval

LONGEST = 4096  # characters of a path, and of any text on the way to one: what Linux allows a path
_BITS = 256  # of a whole number
_MEMO = 4096  # results that an expression remembers
_NODES = (
    *(ast.Name, ast.Load, ast.Constant, ast.Tuple, ast.List, ast.Subscript, ast.Slice),
    *(ast.IfExp, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd),
    *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow),
    *(
        ast.Compare,
        ast.Eq,
        ast.NotEq,
        ast.Lt,
        ast.LtE,
        ast.Gt,
        ast.GtE,
        ast.In,
        ast.NotIn,
        ast.Is,
        ast.IsNot,
    ),
)
# Of texts. Not `format` (it reads attributes), nor `encode`, `maketrans`, `translate`, which give
# no text.
METHODS = frozenset(
    'capitalize casefold center count endswith find isalnum isalpha isascii isdecimal isdigit '
    'islower isnumeric isspace istitle isupper join ljust lower '
    'lstrip partition removeprefix removesuffix replace rfind rjust rpartition rsplit rstrip split '
    'startswith strip swapcase title upper zfill'.split()
)
_ALLOWED = (
    'Allowed are options, numbers and texts, indices, arithmetic, comparisons, `a if test else b`, '
    'and methods of texts such as .lower().'
)
_PLAIN = frozenset({str, int, float, bool, type(None)})


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
            None if any(isinstance(part, _Expression) for part in self.parts) else {}
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
        if len(self._formats) >= _MEMO:
            self._formats.clear()
        self._formats[values] = text
        return text


@functools.lru_cache(maxsize=4096)
def template(text: str) -> Template:
    """The template of a path; read once."""
    return Template(text)


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


class _Variable(Part):
    def __init__(self, literal: str, name: str) -> None:
        super().__init__(literal)
        self.variable = name

    def fill(self, options: Mapping[str, Any], environ: Mapping[str, str]) -> str:
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
        return _escaped(self.fill({}, environ))


class _Option(Part):
    """``{option:format}``."""

    def __init__(self, literal: str, name: str, spec: str) -> None:
        super().__init__(literal)
        self.names = frozenset((name,))
        self._name = name
        self._spec = spec

    def fill(self, options: Mapping[str, Any], environ: Mapping[str, str]) -> str:
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
        return f'{_escaped(self.literal)}{{{self._name}:{self._spec}}}'


class _Item(Part):
    """``{option[0]:format}``: too common to be evaluated."""

    def __init__(self, literal: str, name: str, index: int, spec: str) -> None:
        super().__init__(literal)
        self.names = frozenset((name,))
        self._name = name
        self._index = index
        self._spec = spec

    def fill(self, options: Mapping[str, Any], environ: Mapping[str, str]) -> str:
        try:
            return self.literal + format(options[self._name][self._index], self._spec)
        except Exception as exc:
            raise _unfit(f'{self._name}[{self._index:d}]', options, self.names, exc) from exc

    def as_format(self, environ: Mapping[str, str]) -> str:
        return f'{_escaped(self.literal)}{{{self._name}[{self._index:d}]:{self._spec}}}'


class _Expression(Part):
    """Any other placeholder."""

    def __init__(self, literal: str, field: ast.FormattedValue) -> None:
        super().__init__(literal)
        self._text = ast.unparse(field.value)[:200]
        self._node = field.value
        self._conversion = {-1: None, 115: str, 114: repr, 97: ascii}[field.conversion]
        self._spec = template_of(field.format_spec) if field.format_spec is not None else ()
        self.names = _names(field.value).union(*(part.names for part in self._spec))
        self._order = tuple(sorted(self.names))
        self._memo: dict[str, str] = {}

    def fill(self, options: Mapping[str, Any], environ: Mapping[str, str]) -> str:
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
                    if len(self._memo) >= _MEMO:
                        self._memo.clear()
                    self._memo[key] = text
        except Exception as exc:
            raise _unfit(self._text, options, self.names, exc) from exc
        return self.literal + text

    def _evaluated(self, options: Mapping[str, Any], environ: Mapping[str, str]) -> str:
        value = _evaluate(self._node, options)
        spec = ''.join([part.fill(options, environ) for part in self._spec])
        _check_spec(spec)
        if self._conversion is not None:
            value = self._conversion(value)
        return str(_bounded(format(value, spec)))


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


# --------------------------------------------------------------------------------------------------
# Reading


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
        return _Variable(literal[:-1], inner.id)
    _check(inner)
    spec = _literal(field.format_spec)
    if spec is not None and '{' not in spec and '}' not in spec:
        _check_spec(spec)
        if plain:
            assert isinstance(inner, ast.Name)
            return _Option(literal, inner.id, spec)
        if (
            isinstance(inner, ast.Subscript)
            and isinstance(inner.value, ast.Name)
            and isinstance(inner.slice, ast.Constant)
            and field.conversion == -1
        ):
            index = inner.slice.value
            if type(index) is int and index >= 0:
                return _Item(literal, inner.value.id, index, spec)
    return _Expression(literal, field)


def _literal(spec: ast.expr | None) -> str | None:
    # A format without placeholders of its own.
    if spec is None:
        return ''
    values = spec.values if isinstance(spec, ast.JoinedStr) else []
    texts = [str(value.value) for value in values if isinstance(value, ast.Constant)]
    return ''.join(texts) if len(texts) == len(values) else None


def _check(node: ast.expr) -> None:
    """Refuse what an expression may not hold."""
    methods = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call):
            if not isinstance(inner.func, ast.Attribute) or inner.keywords:
                raise _refused(
                    node,
                    f'it calls {ast.unparse(inner.func)}'
                    if not inner.keywords
                    else 'arguments are given by name',
                )
            methods.add(inner.func)
        elif isinstance(inner, ast.Attribute):
            if inner not in methods or inner.attr not in METHODS:
                raise _refused(node, f'it reads the attribute .{inner.attr}')
        elif not isinstance(inner, _NODES):
            raise _refused(node, f'it holds {type(inner).__name__}')


def _refused(node: ast.expr, reason: str) -> ConfigError:
    return ConfigError(
        f'The placeholder {{{ast.unparse(node)[:200]}}} is not evaluated: {reason}. {_ALLOWED}'
    )


def _check_spec(spec: str) -> None:
    # Widths of four digits would make texts of any length out of a short path.
    if re.search(r'\d{4}', spec):
        raise ConfigError(
            f'It cannot be filled: the format {spec[:100]!r} asks for more than 999 characters.'
        )


def _names(node: ast.expr) -> frozenset[str]:
    return frozenset(inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))


# --------------------------------------------------------------------------------------------------
# Evaluating

_lock = threading.Lock()


def _evaluate(node: ast.expr, names: Mapping[str, Any]) -> Any:
    evaluator = _evaluator()
    with _lock:
        evaluator.names = names
        return evaluator.eval('', previously_parsed=node)


@functools.cache
def _evaluator() -> SimpleEval:
    """Return an evaluator for the expressions of `_check`, without any functions."""
    from simpleeval import DEFAULT_OPERATORS, SimpleEval

    operators = {kind: DEFAULT_OPERATORS[kind] for kind in _NODES if kind in DEFAULT_OPERATORS}
    evaluator: Any = SimpleEval(
        operators={**operators, ast.Mult: _times, ast.Pow: _power, ast.Mod: _modulo},
        functions={},
        names={},
    )

    def value(node: ast.expr) -> Any:
        return evaluator.eval('', previously_parsed=node)

    def call(node: ast.Call) -> Any:
        assert isinstance(node.func, ast.Attribute)
        text = value(node.func.value)
        if type(text) is not str or node.func.attr not in METHODS:
            raise TypeError(
                f'.{node.func.attr}() is a method of texts, not of {type(text).__name__}.'
            )
        arguments = [value(argument) for argument in node.args]
        if any(isinstance(argument, int) and argument > LONGEST for argument in arguments):
            raise ValueError(f'.{node.func.attr}() is called with a number above {LONGEST:,d}.')
        return getattr(text, node.func.attr)(*arguments)

    handlers: dict[type[ast.AST], Callable[[Any], Any]] = {
        kind: evaluator.nodes[kind] for kind in _NODES if kind in evaluator.nodes
    }
    handlers |= {
        ast.Call: call,
        ast.Tuple: lambda node: tuple(map(value, node.elts)),
        ast.List: lambda node: list(map(value, node.elts)),
    }
    evaluator.nodes = {
        kind: functools.partial(_handled, handler) for kind, handler in handlers.items()
    }
    return evaluator


def _handled(handler: Callable[[Any], Any], node: ast.AST) -> Any:
    return _bounded(handler(node))


def _bounded(value: Any) -> Any:
    # After every step, so that none begins with more than this, and none can make much of it.
    if isinstance(value, str | list | tuple | dict):
        _weigh(value, LONGEST)
    elif isinstance(value, int) and value.bit_length() > _BITS:
        raise ValueError(f'It becomes a number of more than {_BITS:d} bits.')
    return value


def _weigh(value: Any, left: int) -> int:
    # What lists hold counts too: few lists in lists of the same text are long when they are written
    # out.
    left -= len(value) if isinstance(value, str) else 1
    if left < 0:
        raise ValueError(f'It becomes longer than {LONGEST:,d}.')
    if isinstance(value, list | tuple):
        for item in value:
            left = _weigh(item, left)
    elif isinstance(value, dict):
        for pair in value.items():
            left = _weigh(pair, left)
    return left


def _times(a: Any, b: Any) -> Any:
    for sequence, number in ((a, b), (b, a)):
        if (
            isinstance(sequence, str | list | tuple)
            and isinstance(number, int)
            and len(sequence) * number > LONGEST
        ):
            raise ValueError(f'It becomes longer than {LONGEST:,d}.')
    return a * b


def _power(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int) and a.bit_length() * b > _BITS:
        raise ValueError(f'The power {a:d} ** {b:d} has more than {_BITS:d} bits.')
    return a**b


def _modulo(a: Any, b: Any) -> Any:
    if isinstance(a, str | bytes):
        raise TypeError('Texts are formatted by {option:format}, not by %.')
    return operator.mod(a, b)
