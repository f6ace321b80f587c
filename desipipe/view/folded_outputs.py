"""Outputs of many tasks as HTML: folded, a row for each task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from ..terminal import visible
from .ansi import plain
from .appearance import APPEARANCES
from .text import one_line, span

if TYPE_CHECKING:
    from .schema import OutputView

UNFOLDED_MAX = 8
"""Tasks whose outputs are shown one below the other, here and in JupyterLab."""
_LINE_MAX = 200  # characters of the last line in a row


def is_folded(outputs: Sequence[OutputView]) -> bool:
    """Return True for outputs of more than a few tasks."""
    return len([output for output in outputs if _label(output)]) > UNFOLDED_MAX


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
    labels = [number for number, output in enumerate(outputs) if _label(output)]
    if len(labels) <= UNFOLDED_MAX:
        return ''.join(map(form, outputs))
    pieces = list(map(form, outputs[: labels[0]]))
    for start, end in zip(labels, [*labels[1:], len(outputs)], strict=True):
        made = _label(outputs[start]) or {}
        row = _row(made, outputs[start + 1 : end])
        body = ''.join(map(form, outputs[start + 1 : end]))
        pieces.append(f'<details><summary>{row}</summary>{body}</details>')
    return ''.join(pieces)


def _label(output: OutputView) -> Mapping[str, Any] | None:
    if output['output_type'] != 'display_data':
        return None
    made = output['metadata'].get('desipipe')
    return made if isinstance(made, dict) and 'label' in made else None


def _row(label: Mapping[str, Any], outputs: Sequence[OutputView]) -> str:
    """Format a task in a line, as in JupyterLab: ``✓ scan[3] i=3 0.5 s last``."""
    look = APPEARANCES.get(str(label.get('state')))
    duration = label.get('duration')
    pieces = [
        f'<span style="color:{look.colour}">{look.symbol}</span>' if look else '',
        f'<b>{_escaped(label["label"])}</b>',
        f'<code>{_escaped(label.get("arguments", ""))}</code>' if label.get('arguments') else '',
        span(duration) if isinstance(duration, float) else '',
        f'<span style="opacity:.7">{_escaped(_last_line(outputs))}</span>',
    ]
    return ' '.join(filter(None, pieces))


def _escaped(text: object) -> str:
    return escape(visible(one_line(text, _LINE_MAX), lines=False))


def _last_line(outputs: Sequence[OutputView]) -> str:
    """Return the last line that a task printed, its error, or what it displayed."""
    if not outputs:
        return ''
    last = outputs[-1]
    if last['output_type'] == 'error':
        return ': '.join(filter(None, (last['ename'], last['evalue'])))
    if last['output_type'] == 'stream':
        lines = plain(last['text']).rstrip().splitlines()
        return lines[-1] if lines else ''
    text = last['data'].get('text/plain', '')
    lines = plain(''.join(text) if isinstance(text, list) else str(text)).splitlines()
    return lines[0] if lines else ''
