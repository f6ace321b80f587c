"""Evaluate expressions of placeholders, of which little is allowed, within bounds."""

from __future__ import annotations

import ast
import functools
import operator
import re
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError

if TYPE_CHECKING:
    from simpleeval import SimpleEval

LONGEST = 4096  # characters of a path, and of any text on the way to one: what Linux allows a path
_BITS = 256  # of a whole number
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


def check(node: ast.expr) -> None:
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


def check_spec(spec: str) -> None:
    """Refuse a format that makes long texts."""
    # Widths of four digits would make texts of any length out of a short path.
    if re.search(r'\d{4}', spec):
        raise ConfigError(
            f'It cannot be filled: the format {spec[:100]!r} asks for more than 999 characters.'
        )


def names_of(node: ast.expr) -> frozenset[str]:
    """Return the names that an expression reads."""
    return frozenset(inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))


_lock = threading.Lock()


def evaluate(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """Return what an expression gives for values of names."""
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
    return bounded(handler(node))


def bounded(value: Any) -> Any:
    """Return a value, or raise an error if it is too long to be part of a path."""
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
