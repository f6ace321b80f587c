"""Short texts of values, for people: different values have different texts."""

from __future__ import annotations

import re
from typing import Any

from .identity import SMALL, encode
from .plain import WORDS, TaskReference, digest

__all__ = ['text']

_MARK = 16  # hexadecimal digits
# Their representation says all there is to say.
_EXACT = frozenset(
    (
        'builtins.complex',
        'builtins.range',
        'builtins.slice',
        'builtins.ellipsis',
        'builtins.bytearray',
        'decimal.Decimal',
        'fractions.Fraction',
        'uuid.UUID',
    )
    + tuple(f'datetime.{name}' for name in ('date', 'time', 'timedelta'))
)
_BRACKETS = {
    'list': ('[', ']'),
    'tuple': ('(', ')'),
    'dict': ('{', '}'),
    'set': ('{', '}'),
    'frozenset': ('frozenset({', '})'),
}


def text(value: object, limit: int = 200) -> str:
    """Short text of a value, for people; never fails.

    Parameters
    ----------
    value : object
    limit : int, default=200
        The most characters.

    Returns
    -------
    text : str
        Its text. If it does not say all of the value (because it was shortened, because of an
        array, because of an object), it ends in ``#`` and a digest, so that different values give
        different texts.
    """
    if type(value) is int and -SMALL < value < SMALL:
        return repr(value)
    try:
        shown, exact = _shown(value, limit)
    except Exception as exc:  # of someone's __repr__: that is no reason not to run a task
        shown, exact = (
            f'{type(value).__qualname__} object ({type(exc).__name__} in its repr)',
            False,
        )
    if not shown.isascii():
        shown = shown.encode('utf-8', 'backslashreplace').decode()
    if exact and len(shown) <= limit:
        return shown
    try:
        mark = digest(encode(value)).hex()
    except Exception:  # it has no identity: no task will have it as an argument
        mark = digest(shown.encode()).hex()
    space = max(limit - _MARK - 2, 0)
    if len(shown) > space:
        shown = shown[: max(space - 1, 0)] + '…'
    return f'{shown} #{mark[:_MARK]}'


def _shown(value: Any, limit: int) -> tuple[str, bool]:
    kind: Any = type(value)
    if kind is str or kind is bytes:
        return repr(value[: limit + 1]), len(value) <= limit
    if kind in WORDS:
        if kind is int and value.bit_length() > 4 * limit:
            return f'integer of {value.bit_length():d} bits', False
        return repr(value), True
    if kind in (list, tuple, dict, set, frozenset):
        return _shown_items(value, limit)
    if isinstance(value, TaskReference):
        return f'task {value.tid.hex()}{"." + value.item if value.item else ""}', True
    name = f'{kind.__module__}.{kind.__qualname__}'
    if name in _EXACT:
        return repr(value), True
    top = kind.__module__.partition('.')[0]
    if top == 'pathlib':
        return repr(value), True
    if name == 'datetime.datetime':
        return repr(value), value.tzinfo is None
    if top == 'numpy':
        if hasattr(value, 'shape') and hasattr(value, 'dtype'):
            if value.shape or kind.__name__ == 'ndarray':
                return (
                    (
                        f'{value.dtype} {"array" if kind.__name__ == "ndarray" else kind.__name__} '
                        f'{value.shape}'
                    ),
                    False,
                )
            return f'{kind.__name__}({value!s})', value.dtype.kind in 'biuf'
    if callable(value) and isinstance(getattr(value, '__qualname__', None), str):
        return f'{"class" if isinstance(value, type) else "function"} {value.__qualname__}', False
    if kind.__repr__ is object.__repr__:
        return f'{kind.__qualname__} object', False
    return re.sub(r' at 0x[0-9a-fA-F]+', '', ' '.join(repr(value).split())), False


def _shown_items(value: Any, limit: int) -> tuple[str, bool]:
    pieces: list[str] = []
    length, exact = 0, True
    for item in value.items() if type(value) is dict else value:
        if type(value) is dict:
            (key, its_exact), (content, also) = _shown(item[0], limit), _shown(item[1], limit)
            piece, its_exact = f'{key}: {content}', its_exact and also
        else:
            piece, its_exact = _shown(item, limit)
        pieces.append(piece)
        exact = exact and its_exact
        length += len(piece) + 2
        if length > limit:
            exact = False
            break
    if isinstance(value, (set, frozenset)):
        pieces.sort()
    before, after = (
        _BRACKETS[type(value).__name__] if pieces or type(value) is not set else ('set(', ')')
    )
    return (
        f'{before}{", ".join(pieces)}{"," if type(value) is tuple and len(pieces) == 1 else ""}{after}',  # noqa: E501
        exact,
    )
