"""A cell's summary as a notebook keeps it: plain text, HTML, and JSON.

The front end shows the JSON, and keeps it up to date.

Text and HTML are true for the moment: they are what a notebook shows that was saved, exported or
put on a code host, where nothing runs, and where styles may be stripped. So nothing is told by
style alone: the bar is made of characters, states have their symbols.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING

from ..screen import apply_moves
from ..terminal import visible
from ..utils import format_count, format_duration, plural
from .appearance import APPEARANCES, BAD_STATES, CONDITION_APPEARANCES
from .folded_outputs import folded_html
from .text import (
    Line,
    badge_text,
    bar_pieces,
    jobs_text,
    label,
    one_line,
    pace_text,
    span,
    superseded_text,
    waiting_text,
)

if TYPE_CHECKING:
    from .schema import BadgeView, CellView, Mime, OutputView

MIME = 'application/vnd.desipipe.v1+json'
"""Type of the data that this project's front end displays."""

_BAR = 20
_TEXT = 20_000  # characters of outputs in the plain text
# Styles hold on light and on dark: what is not a state's colour is the page's own.
_BOX = 'border-left:3px solid {colour};padding:.1em 0 .1em .7em;font-size:inherit;line-height:1.5'
_PRE = 'margin:.2em 0;padding:0;background:transparent;color:inherit;white-space:pre-wrap;'
_PRE += 'overflow-wrap:anywhere'
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


def lines(summary: CellView) -> list[Line]:
    """Describe tasks without their outputs: progress, failures, the command to type.

    Parameters
    ----------
    summary : CellView

    Returns
    -------
    lines : list of lines
        See :mod:`desipipe.view.text`.
    """
    pieces = [
        _over(summary)
        if summary['condition'] in ('done', 'failed', 'empty') or summary['gone']
        else _going(summary)
    ]
    counts, failure = summary['counts'], summary['failure']
    if failure is not None:
        bad = ', '.join(
            f'{format_count(counts[state])} {state.lower()}'
            for state in BAD_STATES
            if counts[state]
        )
        name = f'{failure["name"]}[{failure["index"]}]: ' if summary['total'] > 1 else ''
        where = f' (cell line {failure["line"]:d})' if failure['line'] else ''
        pieces.append(
            [
                (
                    (
                        f'⚠ {bad}: '
                        f'{name}{one_line(failure["cause"] or "no reason is known", 300)}{where}'
                    ),
                    APPEARANCES[failure['state']].colour,
                )
            ]
        )
    for cause in summary['causes'][:3]:
        look = APPEARANCES['BLOCKED']
        text = (
            f'{look.symbol} {plural(cause["count"])} blocked by {label(cause)} ({cause["state"]}): '
        )
        pieces.append([(text, look.colour), (one_line(cause['cause'], 300), '')])
    if summary['gone']:
        return [*pieces, [(f'– {summary["gone"]}', APPEARANCES['DELETED'].colour)]]
    jobs = jobs_text(summary['jobs'], summary['job_groups'], summary['time'])
    if jobs:
        pieces.append([(jobs, 'dim')])
    for text, command in summary['advice']:
        # As one types it here. Not by `commands.typed`, which asks the command line for its verbs:
        # the command line makes bundles too.
        text = (
            f'→ {text}' if text != waiting_text(summary['job_groups']) else '→ more of them'
        )  # what they wait for is said above
        pieces.append(
            [
                (f'{text}: ', 'dim'),
                (f'%{command}' if command.startswith('desipipe ') else command, 'bold'),
            ]
        )
    return pieces


def _title(summary: CellView) -> Line:
    return [(summary['title'], 'bold'), ('  ', '')] if summary['title'] else []


def _going(summary: CellView) -> Line:
    counts = summary['counts']
    pieces = [
        *_title(summary),
        *bar_pieces(summary, _BAR),
        (f'  {format_count(counts["SUCCEEDED"])}/{format_count(summary["total"])}', ''),
    ]
    if counts['RUNNING']:
        pieces += [
            ('  ', ''),
            (
                f'{APPEARANCES["RUNNING"].symbol} {format_count(counts["RUNNING"])} running',
                APPEARANCES['RUNNING'].colour,
            ),
        ]
    else:  # what is still to come says nothing while something goes on
        waiting = counts['WAITING'] - summary['blocked']
        for state, n in (('PENDING', counts['PENDING']), ('WAITING', waiting)):
            if n:
                pieces += [
                    ('  ', ''),
                    (
                        f'{APPEARANCES[state].symbol} {format_count(n)} {state.lower()}',
                        APPEARANCES[state].colour,
                    ),
                ]
    if summary['condition'] != 'running':
        look = CONDITION_APPEARANCES[summary['condition']]
        pieces += [('  ', ''), (f'{look.symbol} {look.label}', look.colour)]
    if summary['condition'] == 'running' and (pace := pace_text(summary)):
        pieces.append((f'  {pace}', 'dim'))
    return pieces


def _over(summary: CellView) -> Line:
    look = CONDITION_APPEARANCES[summary['condition']]
    total, good = summary['total'], summary['counts']['SUCCEEDED']
    if summary['condition'] == 'empty':
        if summary['superseded']:
            return [
                *_title(summary),
                (superseded_text(summary), APPEARANCES['SUPERSEDED'].colour),
                (': other code took the place of theirs, or of what they need', 'dim'),
            ]
        return [*_title(summary), (f'{look.symbol} {look.label}', look.colour)]
    text = plural(total) if good == total else f'{format_count(good)} of {plural(total)} succeeded'
    rest = f' · {superseded_text(summary)}' if summary['superseded'] else ''
    if summary['elapsed']:
        slots = f' on {plural(summary["workers"], "worker")}' if summary['workers'] > 1 else ''
        rest += f' · {span(summary["elapsed"])}{slots}'
    if summary['cached']:
        rest += f' · cached{_computed(summary)}'
    # Where all is well, one quiet line is enough.
    bar = [*bar_pieces(summary, _BAR), ('  ', '')] if good < total > 1 else []
    return [
        (f'{look.symbol} ', look.colour),
        *_title(summary),
        *bar,
        (text, look.colour),
        (rest, 'dim'),
    ]


def _computed(summary: CellView) -> str:
    if not summary['computed']:
        return ''
    return time.strftime(' (computed %Y-%m-%d %H:%M)', time.localtime(summary['computed']))


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
                format_duration(summary['elapsed'])
                if summary['elapsed'] >= 60
                else span(summary['elapsed']),
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
    shown = outputs_text(summary['outputs'])
    if len(shown) > _TEXT:  # the other forms have all of it
        shown = (
            f'{shown[: _TEXT // 2]}\n[… {len(shown) - _TEXT:,d} characters '
            f'…]\n{shown[-_TEXT // 2 :]}'
        )
    if summary['truncated']:
        shown += visible(f'[{summary["truncated"]}]') + '\n'
    # While they run what is said stands above what they print; then it is one quiet line below.
    rest = '\n'.join([*texts, shown]).rstrip('\n') if summary['left'] else shown + '\n'.join(texts)
    return badge + rest


def outputs_text(outputs: list[OutputView]) -> str:
    """Return outputs as a terminal shows them, without colours."""
    text = ''
    for output in outputs:
        if output['output_type'] != 'stream' and text and not text.endswith('\n'):
            text += '\n'
        text += _output_text(output)
    return text if not text or text.endswith('\n') else text + '\n'


def _output_text(output: OutputView) -> str:
    if output['output_type'] == 'stream':
        return plain(output['text'])
    if output['output_type'] == 'error':
        return plain('\n'.join(output['traceback'])) + '\n'
    text = _joined(output['data'].get('text/plain', f'<{", ".join(output["data"])}>'))
    return plain(text) + '\n'


# Terminals' escape sequences: colours (SGR); links and titles; all others.
_ESCAPE = re.compile(
    r'\x1b(?:\[([0-9;:]*)m|[\]P_^X][^\x1b\x07]*(?:\x07|\x1b\\)?|\[[0-?]*[ -/]*[@-~]|[ -/]*[0-~]?)'
)


def plain(text: str) -> str:
    """Return text safe for a terminal, without escape sequences and carriage returns."""
    return visible(_ESCAPE.sub('', apply_moves(text)))


# HTML


def as_html(summary: CellView, table: bool = False) -> str:
    """Format as a self-contained piece of a page.

    There are no scripts and no style sheets, and all that users wrote is escaped.
    """
    bar = bar_pieces(summary, _BAR)
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
    shown = folded_html(summary['outputs'], _output_html)
    if summary['truncated']:
        shown += f'<div style="{_DIM}"><em>{escape(summary["truncated"])}</em></div>'
    shown = f'<div style="margin:.3em 0">{shown}</div>' if shown else ''
    badge = badge_html(summary['badge']) if 'badge' in summary else ''
    rest = box + shown if summary['left'] else shown + box
    return f'<div class="desipipe-cell">{badge}{rest}</div>'


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


def _output_html(output: OutputView) -> str:
    if output['output_type'] == 'stream':
        colour = (
            'border-left:2px solid #d55e0080;padding-left:.4em;'
            if output['name'] == 'stderr'
            else ''
        )
        return f'<pre style="{_PRE};{colour}">{ansi_html(output["text"])}</pre>'
    if output['output_type'] == 'error':
        return (
            f'<pre style="{_PRE};border-left:2px solid '
            f'#d55e00;padding-left:.4em">{ansi_html(chr(10).join(output["traceback"]))}</pre>'
        )
    data = output['data']
    for mime, form in _FORMS.items():
        if mime in data:
            return form(_joined(data[mime]))
    return f'<pre style="{_PRE}">{escape(", ".join(data))}</pre>'


def _joined(value: object) -> str:
    # In a notebook's file text may be a list of lines.
    return ''.join(map(str, value)) if isinstance(value, list) else str(value)


def _image(mime: str) -> Callable[[str], str]:
    return lambda data: (
        f'<div><img alt="" src="data:{mime};base64,{escape("".join(data.split()))}" '
        'style="max-width:100%"></div>'
    )


def _svg(data: str) -> str:
    # As an image: styles and names of one picture stay out of the others, and no script in it runs.
    return _image('image/svg+xml')(base64.b64encode(data.encode()).decode())


def _text_html(text: str) -> str:
    return f'<pre style="{_PRE}">{ansi_html(text)}</pre>'


# The richest form that is there, as a page without anything else can show it.
_FORMS: dict[str, Callable[[str], str]] = {
    'text/html': lambda data: f'<div>{data}</div>',
    'image/svg+xml': _svg,
    'image/png': _image('image/png'),
    'image/jpeg': _image('image/jpeg'),
    'image/gif': _image('image/gif'),
    'text/latex': _text_html,
    'text/markdown': _text_html,
    'text/plain': _text_html,
}

# The colours of terminals, as they can be read on light and on dark.
_COLOURS = ('#808080', '#d55e00', '#009e73', '#b8860b', '#0a84d0', '#cc79a7', '#2a9d9d', '#8c8c8c')
_MARKS = {
    1: 'font-weight:bold',
    2: 'opacity:.7',
    3: 'font-style:italic',
    4: 'text-decoration:underline',
    9: 'text-decoration:line-through',
}


def ansi_html(text: str) -> str:
    """Convert a terminal's coloured text to HTML; other escape sequences are dropped."""
    text = apply_moves(text)
    if '\x1b' not in text:
        return escape(visible(text))
    pieces = []
    style: dict[str, str] = {}
    end = 0
    for match in _ESCAPE.finditer(text):
        pieces.append(_styled(text[end : match.start()], style))
        end = match.end()
        if match[1] is not None:
            _select(style, [int(code or 0) for code in match[1].replace(':', ';').split(';')])
    return ''.join([*pieces, _styled(text[end:], style)])


def _styled(text: str, style: dict[str, str]) -> str:
    text = escape(visible(text))
    return f'<span style="{";".join(style.values())}">{text}</span>' if text and style else text


def _select(style: dict[str, str], codes: list[int]) -> None:
    codes = codes[::-1]
    while codes:
        code = codes.pop()
        if code == 0:
            style.clear()
        elif code in _MARKS:
            style[f'mark {code:d}'] = _MARKS[code]
        elif code in (22, 23, 24, 29):
            for mark in {22: (1, 2), 23: (3,), 24: (4,), 29: (9,)}[code]:
                style.pop(f'mark {mark:d}', None)
        elif code in (38, 48):
            colour = _any_colour(codes)
            if colour:
                style[f'{code:d}'] = f'{"color" if code == 38 else "background-color"}:{colour}'
        elif code in (39, 49):
            style.pop(f'{code - 1:d}', None)
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style['38'] = f'color:{_COLOURS[code % 10]}'
        elif 40 <= code <= 47 or 100 <= code <= 107:
            style['48'] = f'background-color:{_COLOURS[code % 10]}40'


def _any_colour(codes: list[int]) -> str:
    # 2;r;g;b or 5;n, from the end of the reversed list.
    kind = codes.pop() if codes else 0
    if kind == 2 and len(codes) >= 3:
        red, green, blue = (min(codes.pop(), 255) for _ in range(3))
    elif kind == 5 and codes:
        n = codes.pop()
        if n < 16:
            return _COLOURS[n % 8]
        if n < 232:
            red, green, blue = (
                0 if level == 0 else 55 + 40 * level
                for level in ((n - 16) // 36, (n - 16) // 6 % 6, (n - 16) % 6)
            )
        else:
            red = green = blue = min(8 + 10 * (n - 232), 255)
    else:
        return ''
    return f'#{red:02x}{green:02x}{blue:02x}'
