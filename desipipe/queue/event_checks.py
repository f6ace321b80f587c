"""Checks of events before they are folded.

In a journal that others may have written, or a bad disk changed, nothing is certain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..store.line_format import decode
from ..store.lines import RefusedEvent
from .events import STATES
from .packing import plain_event, ranges_in, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .event_types import JournalEvent, LineEvent
    from .task_events import UsedFile

Check = Callable[['Any'], bool]
_NUMBER_MAX = 1e18
_HEX = '0123456789abcdef'


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 32


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 60


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < _NUMBER_MAX


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_hex(value: Any) -> bool:
    return isinstance(value, str) and len(value) % 2 == 0 and not value.strip(_HEX)


def _is_any(value: Any) -> bool:
    return True


def _optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _one_of(*values: Any) -> Check:
    return lambda value: (isinstance(value, str) or type(value) is int) and value in values


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list | tuple) and all(map(check, value))


def _pair_of(*checks: Check) -> Check:
    return lambda value: (
        isinstance(value, list | tuple)
        and len(value) == len(checks)
        and all(check(item) for check, item in zip(checks, value, strict=True))
    )


def _dict_of(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _column_of(types: set[type], least: float, below: float) -> Check:
    """Check lists of numbers as a whole: an event has thousands of them."""
    return lambda value: (
        isinstance(value, list | tuple)
        and (
            not value
            or (types.issuperset(map(type, value)) and least <= min(value) and max(value) < below)
        )
    )


_is_ref = _pair_of(_is_text, _is_size, _is_size)
_is_rows = _column_of({int}, 0, 1 << 32)
_is_sizes = _column_of({int}, 0, 1 << 60)
_is_numbers = _column_of({int, float}, -_NUMBER_MAX, _NUMBER_MAX)
_is_names = _list_of(_is_text)


def _is_packed(value: Any) -> bool:
    return _is_size(value) or _is_text(value)


_is_state = _one_of(*range(len(STATES)))


def _is_job(value: Any) -> bool:
    return isinstance(value, list | tuple) and _pair_of(
        _is_text, _is_count, _is_text, _is_text, _is_text, _optional(_is_number)
    )(value[:6])


def _is_cause(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    wanted: dict[str, Check] = {
        'kind': _is_text,
        'text': _is_text,
        'kinds': _is_names,
        'errno': _is_number,
        'trace': _is_ref,
    }
    return all(wanted.get(key, _is_any)(item) for key, item in value.items())


def _is_detail(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _DETAILS.get(key, _is_any)(item) for key, item in value.items()
    )


_DETAILS: dict[str, Check] = {
    'cause': _is_cause,
    'out': _is_ref,
    'err': _is_ref,
    'files': _is_ref,
    'shown': _list_of(_is_ref),
}


_REQUIRED: dict[str, dict[str, Check]] = {
    'mgr': {'mid': _is_text, 'environ': _is_any, 'scheduler': _is_any, 'provider': _is_any},
    'app': {'app': _is_hex, 'name': _is_text, 'kind': _is_text, 'code': _is_ref, 'source': _is_ref,
        'parts': _is_ref},
    'shared': {'id': _is_text, 'ref': _is_ref},
    'code': {'place': _is_text, 'app': _is_text},
    'cell': {'file': _is_text, 'cell': _is_text, 'title': _is_text, 'tasks': _is_text,
        't': _is_number},
    'keep': {'rows': _is_rows},
    'group': {'g': _is_count, 'app': _is_hex, 'mid': _is_text, 'name': _is_text, 'kind': _is_text},
    'add': {'first': _is_count, 'g': _is_count, 'i': _is_count, 'ids': _is_hex, 'seg': _is_text,
        'len': _is_sizes, 't': _is_number},
    'run': {'w': _is_text, 'rows': _is_rows, 'n': _is_rows, 't': _is_number},
    'end': {
        'w': _is_text, 'rows': _is_rows, 'n': _is_rows, 't': _is_number, 't0': _is_number,
        'b': _is_numbers, 'd': _is_numbers,
        'seg': _is_names, 'ref': _is_numbers, 's': _is_any,
    },
    'runs': {'w': _is_text, 'ranges': _is_rows, 'n': _is_count, 't': _is_number},
    'ends': {
        'w': _is_text, 'ranges': _is_rows, 'n': _is_count, 't': _is_number, 't0': _is_number,
        'b': _is_packed, 'd': _is_packed, 'seg': _is_text, 'off': _is_size, 'len': _is_packed,
    },
    'back': {'rows': _is_rows, 'n': _is_rows},
    'versions': {'w': _is_text, 'app': _is_text, 'versions': _dict_of(_is_text)},
    'set': {'rows': _is_rows, 's': _is_state, 't': _is_number},
    'assign': {'g': _is_count, 'rows': _is_rows},
    'accept': {'old': _is_count, 'new': _is_count, 't': _is_number},
    'drop': {'rows': _is_rows},
    'attempt': {'rows': _is_rows, 'n': _is_rows, 'burned': _is_rows},
    'state': {'paused': _is_flag},
    'drain': {'w': _is_text, 'rows': _is_rows, 'n': _is_rows, 'g': _is_rows, 'ids': _is_hex,
        't': _is_number},
    'revive': {'row': _is_count, 'g': _is_count, 'i': _is_count, 'seg': _is_text, 'off': _is_size,
        'len': _is_size, 't': _is_number},
    'segments': {'names': _is_names},
    'link': {'links': _list_of(_pair_of(_is_count, _is_rows))},
    'worker': {'do': _one_of('begin', 'end'), 'w': _is_text, 't': _is_number},
    'manager': {'do': _one_of('begin', 'say', 'end'), 'w': _is_text, 't': _is_number},
    'job': {'mid': _is_text, 'jobs': _list_of(_is_job)},
    'resize': {'mid': _is_text, 'max': _optional(_is_count)},
    'submit': {'name': _is_text, 'mid': _is_text, 'slots': _is_count, 't': _is_number},
    'lend': {'w': _is_text, 'n': _is_count},
    'stop': {'workers': _is_names, 'how': _is_text},
    'mark': {'rows': _is_rows},
    'process': {'pid': _is_text, 'provider': _is_text, 't': _is_number},
}  # fmt: skip

_OPTIONAL: dict[str, dict[str, Check]] = {
    'app': {'packages': _is_names},
    'code': {'cell': _is_text, 'defs': _dict_of(_is_text), 'over': _is_names, 'past': _is_flag,
        'needed': _is_flag},
    'cell': {'text': _is_text, 'reads': _dict_of(_is_text)},
    'group': {
        'timeout': _optional(_is_number), 'retries': _is_count, 'retry_on': _is_names,
        'priority': _is_number, 'cwd': _is_text, 'path': _is_names,
        'save_attrs': _is_names, 'save_dir': _is_text, 'shared': _is_text,
    },
    'add': {'off': lambda value: _is_size(value) or _is_sizes(value),
        'req': _list_of(_pair_of(_is_count, _is_rows))},
    'end': {'data': _is_names, 'm': _is_numbers, 'x': _dict_of(_is_detail),
        'kind': _one_of('past', 'last', 'final')},
    'ends': {'m': _is_packed},
    'revive': {'req': _is_rows},
    'drop': {'ids': _is_hex},
    'set': {'cause': _is_cause, 'why': _is_text},
    'mark': {'job': _is_text, 't0': _is_number},
    'process': {'host': _is_text},
    'worker': {
        'mid': _optional(_is_text), 'host': _is_text, 'pid': _is_count, 'slots': _is_count,
        'job': _is_text, 'why': _optional(_is_text), 'kind': _is_text,
        'user': _is_text,
    },
    'manager': {'host': _is_text, 'pid': _is_count, 'text': _is_text, 'mid': _is_text,
        'why': _is_text},
}  # fmt: skip


def check_event(event: Mapping[str, Any]) -> None:
    """Raise RefusedEvent for an event that can't be folded.

    A member is missing or of another kind, or columns differ in length. Kinds of later versions
    pass, as the fold passes over them.
    """
    kind = event.get('e')
    if not isinstance(kind, str):
        raise RefusedEvent('An event has no kind.')
    required = _REQUIRED.get(kind)
    if required is None:
        return
    for name, check in required.items():
        if name not in event:
            raise RefusedEvent(f'{name!r} is missing in a {kind!r} event.')
        if not check(event[name]):
            raise RefusedEvent(f'{name!r} of a {kind!r} event is invalid.')
    for name, check in _OPTIONAL.get(kind, {}).items():
        if name in event and not check(event[name]):
            raise RefusedEvent(f'{name!r} of a {kind!r} event is invalid.')
    _check_columns(kind, event)


def decode_event(line: bytes, offset: int) -> JournalEvent | None:
    """Decode a line of a journal whose details are wanted.

    Returns
    -------
    event : dict or None
        ``None`` where the line is late or damaged, or holds what can't be; ``doctor`` tells of it.
    """
    event: Any
    try:
        event = decode(line, offset)
        if event is not None:
            check_event(event)
    except ValueError:
        return None
    checked: LineEvent | None = event
    return None if checked is None else plain_event(checked)


def check_file(line: Any) -> UsedFile:
    """Return a line of a list of files; raise RefusedEvent for what is none."""
    wanted: dict[str, Check] = {
        'do': _one_of('read', 'write'),
        'path': _is_text,
        'size': _is_size,
        'mtime': lambda value: type(value) is int and abs(value) < 1 << 63,  # ns
        'sha256': _is_text,
    }
    if not isinstance(line, dict) or not all(
        check(line.get(name)) for name, check in wanted.items()
    ):
        raise RefusedEvent('A line of a list of files is invalid.')
    if not _optional(_is_count)(line.get('of')):
        raise RefusedEvent("'of' of a line of a list of files is invalid.")
    file: UsedFile = line  # type: ignore[assignment]
    return file


def _check_columns(kind: str, event: Mapping[str, Any]) -> None:
    columns: list[list[Any]] = [
        event[name]
        for name in ('rows', 'n', 'burned', 'b', 'd', 'm')
        if isinstance(event.get(name), list)
    ]
    n = len(columns[0]) if columns else 0
    valid = all(len(column) == n for column in columns)
    if kind == 'end':
        states, refs = event['s'], event['ref']
        valid &= _is_state(states) or (_list_of(_is_state)(states) and len(states) == n)
        valid &= (
            n > 0 and len(refs) == 3 * n and _column_of({int}, -1, len(event['seg']))(refs[::3])
        )
        valid &= len(event.get('data', columns[0])) == n
        valid &= _is_sizes(refs[1::3]) and _is_sizes(refs[2::3])
        valid &= all(key.isdecimal() and int(key) < n for key in event.get('x', ()))
    elif kind in ('runs', 'ends'):
        n = sum(last - first for first, last in ranges_in(event))
        for name in ('b', 'd', 'len', 'm') if kind == 'ends' else ():
            unpack(event.get(name, 0), n)
    elif kind == 'drop':
        valid &= len(event.get('ids', '')) in (0, 32 * n)
    elif kind == 'drain':
        valid &= len(event['g']) == n and len(event['ids']) == 32 * n
    elif kind == 'add':
        n = len(event['len'])
        offsets = event.get('off')
        valid &= (
            n > 0
            and len(event['ids']) == 32 * n
            and (_is_size(offsets) or (isinstance(offsets, list) and len(offsets) == n))
        )
        valid &= all(
            i < n and row < event['first'] + n for i, rows in event.get('req', ()) for row in rows
        )
    if not valid:
        raise RefusedEvent(f'Columns of a {kind!r} event do not fit.')
