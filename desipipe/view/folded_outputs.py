"""Outputs of many tasks as HTML and as text: folded, a row for each task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from ..queue.location import type_queue
from ..terminal import visible
from ..utils import format_count, plural, working_folder
from .ansi import plain
from .appearance import APPEARANCES, BAD_STATES
from .text import one_line, span

if TYPE_CHECKING:
    from .schema import DisplayOutput, OutputView

UNFOLDED_MAX = 8
"""Tasks whose outputs are shown one below the other, here and in JupyterLab."""
ROWS_MAX = 40
"""Tasks that are shown a row each, here and in JupyterLab; the others are below one row."""
_LINE_MAX = 200  # characters of the last line in a row
_CAUSE_MIN = 2  # failures of one class that are shown as one row
_TEXT_FAILURES_MAX = 3  # of them those that share a cause


def is_folded(outputs: Sequence[OutputView]) -> bool:
    """Return True for outputs of more than a few tasks."""
    return len([output for output in outputs if _label(output)]) > UNFOLDED_MAX


def error_class(outputs: Sequence[OutputView]) -> str:
    """Return the class of the error that a task ended with; '' if there is none."""
    errors = [output['ename'] for output in outputs if output['output_type'] == 'error']
    return errors[-1] if errors else ''


def mark_shared_causes(labels: Sequence[tuple[DisplayOutput, str]]) -> None:
    """Write into labels the cause that several failures share; all faces group by it.

    Parameters
    ----------
    labels : sequence of tuple
        The label of each task, and the class of its error or ''.
    """
    causes = [
        (label['metadata']['desipipe'], cause)
        for label, cause in labels
        if cause and label['metadata']['desipipe']['state'] in BAD_STATES
    ]
    counts = Counter(cause for _, cause in causes)
    for made, cause in causes:
        if counts[cause] >= _CAUSE_MIN:
            made['cause'] = cause


class _Part(NamedTuple):
    """The outputs of one of several tasks."""

    label: Mapping[str, Any]
    outputs: Sequence[OutputView]


class _Parts(NamedTuple):
    """Outputs of many tasks, by task."""

    before: Sequence[OutputView]
    by_cause: Mapping[str, Sequence[_Part]]
    others: Sequence[_Part]


def _parts(outputs: Sequence[OutputView]) -> _Parts | None:
    """Return outputs by task; None for those of a few tasks."""
    starts = [number for number, output in enumerate(outputs) if _label(output)]
    if len(starts) <= UNFOLDED_MAX:
        return None
    by_cause: dict[str, list[_Part]] = {}
    others: list[_Part] = []
    for start, end in zip(starts, [*starts[1:], len(outputs)], strict=True):
        part = _Part(_label(outputs[start]) or {}, outputs[start + 1 : end])
        cause = part.label.get('cause')
        (others if cause is None else by_cause.setdefault(cause, [])).append(part)
    return _Parts(outputs[: starts[0]], by_cause, others)


def folded_text(
    outputs: Sequence[OutputView], form: Callable[[Sequence[OutputView]], str], folder: str
) -> str:
    """Format outputs as text, those of more than a few tasks as a row of each.

    Parameters
    ----------
    outputs : sequence of OutputView
        With a label before those of each of several tasks.
    form : callable
        Formats outputs one below the other.
    folder : str
        Of the queue.

    Returns
    -------
    text : str
    """
    parts = _parts(outputs)
    if parts is None:
        return form(outputs)
    rows = []
    for cause, failures in parts.by_cause.items():
        title = f'{one_line(cause, _LINE_MAX)} × {format_count(len(failures))}'
        rows += [f'{APPEARANCES["FAILED"].symbol} {title}']
        rows += [f'  {row}' for row in _text_rows(failures, _TEXT_FAILURES_MAX)]
    rows += _text_rows(parts.others, ROWS_MAX)
    first = next(filter(None, map(_label, outputs)))
    logs = f'%desipipe logs {_typed_queue(folder, working_folder())} {first["tid"][:12]}'
    rows.append(f'[all that {first["label"]} printed: {logs}]')
    return form(parts.before) + ''.join(f'{visible(row, lines=False)}\n' for row in rows)


@lru_cache(maxsize=64)
def _typed_queue(folder: str, here: str) -> str:
    # Kept, for each folder `here` that its path may start from: it asks the user database.
    return type_queue(folder)


def _text_rows(parts: Sequence[_Part], most: int) -> list[str]:
    rows = ['  '.join(_row_texts(part)) for part in parts[:most]]
    more = len(parts) - most
    return [*rows, f'… {plural(more, "more task")}'] if more > 0 else rows


def _row_texts(part: _Part) -> list[str]:
    """Return what the row of a task shows: name, arguments, time, last line."""
    label = part.label
    look, duration = APPEARANCES.get(str(label.get('state'))), label.get('duration')
    pieces = [
        f'{look.symbol if look else " "} {label["label"]}',
        str(label.get('arguments', '')),
        span(duration) if isinstance(duration, float) else '',
        last_line(part.outputs),
    ]
    return [one_line(piece, _LINE_MAX) for piece in pieces if piece]


def folded_html(outputs: Sequence[OutputView], form: Callable[[OutputView], str]) -> str:
    """Format outputs, those of more than a few tasks folded below the label of each.

    Parameters
    ----------
    outputs : sequence of OutputView
        With a label before those of each of several tasks.
    form : callable
        Formats one output, and a label.

    Returns
    -------
    html : str
    """
    parts = _parts(outputs)
    if parts is None:
        return ''.join(map(form, outputs))

    def piece(part: _Part) -> str:
        return _details(_row(part.label, part.outputs), ''.join(map(form, part.outputs)))

    failures = [
        _cause_html(cause, [*map(piece, failed)]) for cause, failed in parts.by_cause.items()
    ]
    rows = [piece(part) for part in parts.others[:ROWS_MAX]]
    if more := parts.others[ROWS_MAX:]:
        rows.append(_details(f'… {plural(len(more), "more task")}', ''.join(map(piece, more))))
    return ''.join([*map(form, parts.before), *failures, *rows])


def _cause_html(cause: str, pieces: Sequence[str]) -> str:
    """Fold the failures that share a cause: ``✕ ValueError × 50``."""
    title = f'<b>{_escaped(cause)} × {format_count(len(pieces))}</b>'
    inner = f'<div style="margin-left:1em">{"".join(pieces)}</div>'
    return _details(f'{_symbol("FAILED")} {title}', inner)


def _details(row: str, body: str) -> str:
    return f'<details><summary>{row}</summary>{body}</details>'


def _symbol(state: str) -> str:
    look = APPEARANCES.get(state)
    return f'<span style="color:{look.colour}">{look.symbol}</span>' if look else ''


def _label(output: OutputView) -> Mapping[str, Any] | None:
    if output['output_type'] != 'display_data':
        return None
    made = output['metadata'].get('desipipe')
    return made if isinstance(made, dict) and 'label' in made else None


def _row(label: Mapping[str, Any], outputs: Sequence[OutputView]) -> str:
    """Format a task in a line, as in JupyterLab: ``✓ scan[3] i=3 0.5 s last``."""
    duration = label.get('duration')
    pieces = [
        _symbol(str(label.get('state'))),
        f'<b>{_escaped(label["label"])}</b>',
        f'<code>{_escaped(label.get("arguments", ""))}</code>' if label.get('arguments') else '',
        span(duration) if isinstance(duration, float) else '',
        f'<span style="opacity:.7">{_escaped(last_line(outputs))}</span>',
    ]
    return ' '.join(filter(None, pieces))


def _escaped(text: object) -> str:
    return escape(visible(one_line(text, _LINE_MAX), lines=False))


def _is_rich(output: OutputView) -> bool:
    if output['output_type'] == 'error' or output['output_type'] == 'stream':
        return False
    return not output['data'].keys() <= {'text/plain'}


def last_line(outputs: Sequence[OutputView]) -> str:
    """Return the last line that a task printed, its error, or what it displayed."""
    if not outputs:
        return ''
    # Of what has a richer form than text, the text says little: `<Figure size 400x250>`.
    last = next((output for output in reversed(outputs) if not _is_rich(output)), outputs[-1])
    if last['output_type'] == 'error':
        return ': '.join(filter(None, (last['ename'], last['evalue'])))
    if last['output_type'] == 'stream':
        lines = plain(last['text']).rstrip().splitlines()
        return lines[-1] if lines else ''
    text = last['data'].get('text/plain', '')
    lines = plain(''.join(text) if isinstance(text, list) else str(text)).splitlines()
    return lines[0] if lines else ''
