"""Outputs of users who are not trusted run nothing in a notebook, a page or a record; names
never do.
"""

from __future__ import annotations

import base64
import html.parser
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hostile_queue import HOSTILE, PAGE, make_hostile_queue
from nbconvert import HTMLExporter
from users import ATTACKER, VICTIM, needs_root, run_as

from desipipe import Config, Queue
from desipipe.notebook.displays.queue import QueueDisplay
from desipipe.outputs.notebook import mark
from desipipe.outputs.safe import safe_output
from desipipe.queue.output import displays, outputs
from desipipe.record.notebook import make_record
from desipipe.record.privacy import Privacy
from desipipe.view.bundle import MIME, bundle
from desipipe.view.cell import cell_summary
from desipipe.view.saved_displays import save_displays

PNG = b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR' + struct.pack('>II', 2, 1) + b'\x08\x02\0\0\0'
JPEG = b'\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xc0\0\x11\x08\0\1\0\2\3'
SVG = '<svg xmlns="http://www.w3.org/2000/svg" onload="evil()"><script>evil()</script></svg>'
RICH = {
    'text/html': PAGE,
    'text/markdown': f'[x](javascript:evil()) {PAGE}',
    'text/latex': '$\\href{javascript:evil()}{x}$',
    'image/svg+xml': SVG,
    'application/javascript': 'evil()',
    'application/json': {'html': PAGE},
    'application/vnd.plotly.v1+json': {'data': [{'text': PAGE}], 'layout': {}},
    'application/vnd.jupyter.widget-view+json': {'model_id': 'x'},
    'application/vnd.desipipe.v1+json': {'outputs': []},
    'application/x-evil': 'evil()',
    'image/gif': base64.b64encode(b'GIF89a').decode(),
    'image/png': base64.b64encode(PAGE.encode()).decode(),
    'image/jpeg': f'"><script>{PAGE}',
    'text/plain': HOSTILE,
}
SAFE = {'text/plain', 'image/png', 'image/jpeg'}


def marked(data: Mapping[str, Any], **more: Any) -> bytes:
    return mark({'d': data, 'm': {'image/png': {'width': '1" onload="evil()'}}, **more})


class Elements(html.parser.HTMLParser):
    """Collects the elements of a page that could run something."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.found.append((tag, dict(attrs)))


def run_by(page: str) -> list[object]:
    """Return what of a page comes of the hostile texts: elements and attributes that would run
    or load something.
    """
    parser = Elements()
    parser.feed(page)
    parser.close()
    return [
        (tag, name, value)
        for tag, attributes in parser.found
        for name, value in [('', ''), *attributes.items()]
        if tag in ('script', 'iframe', 'object', 'embed', 'math', 'form', 'meta', 'base', 'link')
        or name.startswith('on')
        or 'javascript:' in (value or '')
        or (name in ('href', 'src') and not (value or '').startswith(('#', 'data:image/')))
        or 'evil' in f'{name}{value or ""}'
    ]


def kinds(collected: list[dict[str, Any]]) -> set[str]:
    return {mime for output in collected for mime in output.get('data', ())}


@pytest.mark.parametrize(
    'output',
    [
        {'output_type': 'display_data', 'data': RICH, 'metadata': {}},
        {'output_type': 'execute_result', 'data': RICH},
    ],
)
def test_display_becomes_text(output: dict[str, Any]) -> None:
    safe = safe_output(output, 'alice')
    assert safe['data'].keys() == {'text/plain'} and safe['metadata'] == {
        'desipipe': {'untrusted': 'alice'}
    }
    assert (
        'desipipe trust alice' in safe['data']['text/plain']
        and '\x1b' not in safe['data']['text/plain']
    )


@pytest.mark.parametrize('piece', ['a\b', 'x\r', '\x1b[31mx\x1b[0m', '\x1b[999999999A', '\0', 'x'])
def test_little_is_taken_of_a_long_output(piece: str) -> None:
    text = piece * (3_000_000 // len(piece))
    shown = [
        safe_output({'output_type': 'stream', 'name': 'stdout', 'text': text}, 'alice')['text'],
        safe_output({'output_type': 'error', 'evalue': text, 'traceback': [text]}, 'alice')[
            'evalue'
        ],
        safe_output({'output_type': 'display_data', 'data': {'text/html': text}}, 'alice')['data'][
            'text/plain'
        ],
    ]
    assert max(map(len, shown)) < 1_000_000
    assert all('characters left out' in part for part in shown[:2])


@pytest.mark.parametrize(
    ('mime', 'data', 'stays'),
    [
        ('image/png', PNG, True), ('image/jpeg', JPEG, True), ('image/png', JPEG, False), ('image/jpeg', PNG, False),
        ('image/png', b'<script>evil()</script>', False), ('image/png', PNG[:16], False), ('image/jpeg', b'\xff\xd8\xff<script>', False),
        ('image/png', PNG.replace(struct.pack('>II', 2, 1), struct.pack('>II', 100_000, 100_000)), False),
        ('image/svg+xml', PNG, False), ('image/gif', b'GIF89a', False),
    ],
)  # fmt: skip
def test_images_are_known_by_their_content(mime: str, data: bytes, stays: bool) -> None:
    shown = safe_output(
        {'output_type': 'display_data', 'data': {mime: base64.b64encode(data).decode()}}, 'alice'
    )
    assert (mime in shown['data']) is stays and shown['data'].keys() <= SAFE


def test_names_are_text_on_every_page(queue_dir: Path) -> None:
    queue = make_hostile_queue('bad')
    summary = cell_summary(queue, '0-6', title=f'title {HOSTILE}')
    pages = [bundle(summary, True)['text/html'], QueueDisplay(queue).make(queue)[0]['text/html']]
    record, _ = make_record(None, 'x', [queue], Privacy('/'), every=True)
    pages.append(
        HTMLExporter().from_notebook_node(nbformat.from_dict(record))[0].partition('<main')[2]
    )
    for page in pages:
        assert 'evil' in page and not run_by(page), run_by(page)


def test_outputs_of_trusted_tasks_are_as_they_were_made(queue_dir: Path) -> None:
    queue = make_hostile_queue('mine', 'x', (marked(RICH), b''))
    (display,) = outputs(queue.ledger, 0)
    assert display['data'] == RICH


def label_of(output: dict[str, Any]) -> object:
    return output.get('metadata', {}).get('desipipe', {}).get('label')


def kinds_by_face(queue: Queue, tmp_path: Path) -> dict[str, Any]:
    """Return the kinds of data that each face has of the queue's outputs."""
    ledger = queue.ledger
    ledger.follow()
    summary = cell_summary(queue, '0-3')
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell('x')])
    shown = {MIME: {'folder': queue.folder, 'rows': '0-3', 'first': '', 'title': 't'}}
    notebook.cells[0].outputs = [
        nbformat.from_dict({'output_type': 'display_data', 'data': data, 'metadata': {}})
        for data in (shown, RICH)
    ]
    record, _ = make_record(json.loads(nbformat.writes(notebook)), 'x', [], Privacy('/'))
    return {
        'outputs': kinds(outputs(ledger, 0)),
        'displays': kinds(displays(ledger, 0)),
        'task': kinds(queue.tasks()[0].outputs),
        'cell': kinds([output for output in summary['outputs'] if not label_of(output)]),
        'page': run_by(bundle(summary)['text/html']),
        'saved': {
            Path(path).suffix for path in save_displays(ledger, 0, str(tmp_path / 'saved')).paths
        },
        'record': kinds(record['cells'][0]['outputs']),
        'exported': [
            item
            for item in run_by(HTMLExporter().from_notebook_node(nbformat.from_dict(record))[0])
            if 'evil' in str(item)
        ],
    }


@needs_root
def test_outputs_of_users_who_are_not_trusted_are_text_until_they_are(tmp_path: Path) -> None:
    def attack() -> str:
        picture = marked({'image/png': base64.b64encode(PNG).decode()})
        written = marked(RICH) + picture, HOSTILE.encode()
        return make_hostile_queue('theirs', 'x', written, str(tmp_path / 'attacker')).folder

    folder = run_as(ATTACKER, tmp_path / 'attacker', attack)

    def look() -> dict[str, Any]:
        return kinds_by_face(Queue(folder, create=False), tmp_path / 'victim')

    def trust() -> None:
        config = Config()
        config['trusted_users'] = [str(ATTACKER.uid)]
        config.save()

    def look_before_and_after() -> tuple[dict[str, Any], dict[str, Any]]:
        before = look()
        trust()
        return before, look()

    before, after = run_as(VICTIM, tmp_path / 'victim', look_before_and_after)
    for face in ('outputs', 'displays', 'task', 'cell', 'record'):
        assert before[face] <= SAFE and 'text/html' in after[face], (face, before[face])
    assert not before['page'] and after['page']
    assert before['saved'] == {'.png', '.txt'} and '.html' in after['saved']
    assert not before['exported']
