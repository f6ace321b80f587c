"""A cell's summary as a notebook keeps it: plain text, HTML, and JSON.

The front end shows the JSON, and keeps it up to date.

Text and HTML are true for the moment: they are what a notebook shows that was saved, exported or
put on a code host, where nothing runs, and where styles may be stripped. So nothing is told by
style alone: the bar is made of characters, states have their symbols.
"""

from __future__ import annotations

import re
import time
from html import escape
from typing import TYPE_CHECKING

from ..terminal import visible
from ..utils import format_count
from .appearance import APPEARANCES, CONDITION_APPEARANCES
from .cell_lines import BAR_WIDTH, lines
from .folded_outputs import folded_html, folded_text
from .output_forms import output_html, outputs_text
from .text import (
    Line,
    badge_text,
    bar_pieces,
    span,
)

if TYPE_CHECKING:
    from .schema import BadgeView, CellView, Mime

MIME = 'application/vnd.desipipe.v1+json'
"""Type of the data that this project's front end displays."""

_TEXT = 20_000  # characters of outputs in the plain text
# Styles hold on light and on dark: what is not a state's colour is the page's own.
_BOX = 'border-left:3px solid {colour};padding:.1em 0 .1em .7em;font-size:inherit;line-height:1.5'
_DIM = 'opacity:.7'


def bundle(summary: CellView, table: bool = False) -> Mime:
    """Make all forms of a summary.

    Parameters
    ----------
    summary : CellView
        Of :func:`~desipipe.view.cell.cell_summary`.
    table : bool, default=False
        True to add a table of the counts, where nothing is live.

    Returns
    -------
    data : dict
        By MIME type.
    """
    return {
        'text/plain': as_text(summary, table),
        'text/html': as_html(summary, table),
        MIME: settled(summary),
    }


def settled(summary: CellView) -> CellView:
    """Return a summary as a file keeps it: equal states give equal bytes.

    Parameters
    ----------
    summary : CellView
    """
    if summary['left'] or summary['gone'] or not summary['computed']:
        return summary
    return {**summary, 'time': summary['computed']}


# Words


def _as_of(summary: CellView) -> str:
    # What is over does not change: when someone looked says nothing, and would change the file of a
    # notebook that is run again.
    shown = settled(summary)
    if shown['left'] or shown['gone']:
        return time.strftime(' · as of %Y-%m-%d %H:%M:%S', time.localtime(shown['time']))
    return (
        time.strftime(' · ended %Y-%m-%d %H:%M:%S', time.localtime(shown['computed']))
        if shown['computed']
        else ''
    )


def _table(summary: CellView) -> list[tuple[str, str]]:
    rows = [
        (f'{APPEARANCES[state].symbol} {state.lower()}', format_count(n))
        for state, n in summary['counts'].items()
        if n
    ]
    if summary['elapsed']:
        rows.append(
            (
                '  time',
                span(summary['elapsed']),
            )
        )
    return rows


# Text


def as_text(summary: CellView, table: bool = False) -> str:
    """Format as a terminal shows it, without colours."""
    texts = [visible(''.join(text for text, _ in line), lines=False) for line in lines(summary)]
    badge = f'{visible(badge_text(summary["badge"]), lines=False)}\n' if 'badge' in summary else ''
    if table:
        texts += [f'  {name:<14}{value:>10}' for name, value in _table(summary)]
    shown = folded_text(summary['outputs'], outputs_text, summary['folder'])
    if len(shown) > _TEXT:  # the other forms have all of it
        shown = (
            f'{shown[: _TEXT // 2]}\n[… {len(shown) - _TEXT:,d} characters '
            f'…]\n{shown[-_TEXT // 2 :]}'
        )
    if summary['truncated']:
        shown += visible(f'[{summary["truncated"]}]') + '\n'
    # What is said stands above what they print, as in JupyterLab: it never has to be scrolled to.
    return badge + '\n'.join([*texts, shown]).rstrip('\n')


# HTML


def as_html(summary: CellView, table: bool = False) -> str:
    """Format as a self-contained piece of a page.

    There are no scripts and no style sheets, and all that users wrote is escaped.
    """
    bar = bar_pieces(summary, BAR_WIDTH)
    body = ''.join(f'<div>{line_html(line, bar)}</div>' for line in lines(summary))
    if table:
        cells = ''.join(
            f'<tr><td>{escape(name)}</td><td style="text-align:right">{escape(value)}</td></tr>'
            for name, value in _table(summary)
        )
        body += f'<table><tbody>{cells}</tbody></table>'
    body += f'<div style="{_DIM}"><small>{escape(summary["queue"])}{_as_of(summary)}</small></div>'
    style = _BOX.format(colour=CONDITION_APPEARANCES[summary['condition']].colour)
    box = f'<div style="{style}">{body}</div>'
    shown = folded_html(summary['outputs'], output_html)
    if summary['truncated']:
        shown += f'<div style="{_DIM}"><em>{escape(summary["truncated"])}</em></div>'
    shown = f'<div style="margin:.3em 0">{shown}</div>' if shown else ''
    badge = badge_html(summary['badge']) if 'badge' in summary else ''
    return f'<div class="desipipe-cell">{badge}{box}{shown}</div>'


def badge_html(badge: BadgeView) -> str:
    """Format the state of a cell whose tasks are not of its present text and inputs."""
    text = escape(visible(badge_text(badge), lines=False))
    return f'<div class="desipipe-badge"><b>{text}</b></div>'


def line_html(line: Line, bar: Line) -> str:
    """A line of words as HTML.

    Parameters
    ----------
    line : line
    bar : line
        The pieces of its bar, if it has one: shown as characters of one width.
    """
    pieces = [_piece_html(text, style) for text, style in line]
    for i in range(len(line) - len(bar) + 1) if bar else ():
        if line[i : i + len(bar)] == bar:  # its characters as wide as each other
            pieces[i : i + len(bar)] = [
                (
                    '<code '
                    f'style="background:transparent;padding:0">{"".join(pieces[i : i + len(bar)])}</code>'  # noqa: E501
                )
            ]
            break
    return ''.join(pieces).replace('  ', '&ensp;')


_SYMBOLS = re.compile(r'[^\w\s&]+')  # of a state, or the cells of a bar


def _piece_html(text: str, style: str) -> str:
    text = escape(visible(text, lines=False))
    if '#' in style:  # only symbols: no colour can be read as text on light and on dark
        symbols = _SYMBOLS.match(text)
        cut = symbols.end() if symbols else 0
        if cut:
            colour = style[style.index('#') :]
            text = f'<span style="color:{colour}">{text[:cut]}</span>{text[cut:]}'
    if style == 'dim':
        text = f'<span style="{_DIM}">{text}</span>'
    return f'<b>{text}</b>' if style.startswith('bold') else text
