"""Show outputs of tasks as text and as HTML."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from .ansi import ansi_html, plain

if TYPE_CHECKING:
    from .schema import OutputView


_PRE = 'margin:.2em 0;padding:0;background:transparent;color:inherit;white-space:pre-wrap;'
_PRE += 'overflow-wrap:anywhere;font-family:monospace'


def outputs_text(outputs: Sequence[OutputView]) -> str:
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


def output_html(output: OutputView) -> str:
    """Format one output as a page without anything else can show it."""
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
