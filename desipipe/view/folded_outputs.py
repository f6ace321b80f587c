"""Outputs of many tasks as HTML: folded, a row for each task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .schema import OutputView

__all__ = ['folded_html']

UNFOLDED_MAX = 8
"""Tasks whose outputs are shown one below the other, here and in JupyterLab."""


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
    labels = [number for number, output in enumerate(outputs) if _is_label(output)]
    if len(labels) <= UNFOLDED_MAX:
        return ''.join(map(form, outputs))
    pieces = list(map(form, outputs[: labels[0]]))
    for start, end in zip(labels, [*labels[1:], len(outputs)], strict=True):
        body = ''.join(map(form, outputs[start + 1 : end]))
        pieces.append(f'<details><summary>{form(outputs[start])}</summary>{body}</details>')
    return ''.join(pieces)


def _is_label(output: OutputView) -> bool:
    if output['output_type'] != 'display_data':
        return False
    made = output['metadata'].get('desipipe')
    return isinstance(made, dict) and 'label' in made
