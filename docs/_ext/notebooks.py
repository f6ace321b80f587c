"""The directive ``notebook``: a notebook as it was saved, with its outputs and pictures."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[2]
_COLOURS = re.compile(r'\x1b\[[0-9;]*m')


class Notebook(SphinxDirective):
    """Show a notebook of the repository, whose path is the argument."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the nodes of all cells."""
        path = ROOT / self.arguments[0]
        self.env.note_dependency(str(path))
        found: list[nodes.Node] = []
        for cell in json.loads(path.read_text())['cells']:
            source = ''.join(cell['source'])
            if cell['cell_type'] == 'markdown':
                found += self._parse(source)
            elif source.strip():
                found.append(_block(source, 'ipython'))
                for output in cell['outputs']:
                    found += self._output(output)
        return found

    def _parse(self, text: str) -> list[nodes.Node]:
        # The page has the title; further headings would not fit into its sections.
        text = re.sub(r'\A# .*\n?', '', text)
        text = re.sub(r'^#+ (.*)$', r'**\1**', text, flags=re.MULTILINE)
        box = nodes.container()
        self.state.nested_parse(StringList(text.splitlines(), self.arguments[0]), 0, box)
        return list(box.children)

    def _output(self, output: Mapping[str, Any]) -> list[nodes.Node]:
        if output['output_type'] == 'stream':
            return [_block(''.join(output['text']))]
        if output['output_type'] == 'error':
            return [_block('\n'.join(output['traceback']))]
        data = {kind: ''.join(value) for kind, value in output['data'].items() if _is_text(value)}
        if 'image/png' in data:
            return [_image('image/png', data['image/png'], data)]
        if 'image/svg+xml' in data:
            encoded = base64.b64encode(data['image/svg+xml'].encode()).decode()
            return [_image('image/svg+xml', encoded, data)]
        if 'text/html' in data:
            return [nodes.raw('', f'<div class="output">{data["text/html"]}</div>', format='html')]
        if 'text/markdown' in data:
            return self._parse(data['text/markdown'])
        return [_block(data.get('text/plain', ''))]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(line, str) for line in value)
    )


def _block(text: str, language: str = 'text') -> nodes.literal_block:
    text = _COLOURS.sub('', text).rstrip('\n')
    return nodes.literal_block(text, text, language=language, force=True)


def _image(kind: str, encoded: str, data: Mapping[str, str]) -> nodes.raw:
    words = html.escape(data.get('text/plain', 'figure'), quote=True)
    source = f'data:{kind};base64,{"".join(encoded.split())}'
    return nodes.raw('', f'<img src="{source}" alt="{words}">', format='html')


def setup(app: Sphinx) -> dict[str, object]:
    """Register the directive."""
    app.add_directive('notebook', Notebook)
    return {'parallel_read_safe': True}
