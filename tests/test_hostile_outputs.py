"""Outputs of users who are not trusted that are large, deep, or no text, in every face."""

from __future__ import annotations

import base64
import json
import os
import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile_queue import make_hostile_queue
from users import ATTACKER, VICTIM, give, needs_root, open_place, run_as

from desipipe import Queue
from desipipe.outputs.safe import safe_output
from desipipe.outputs.thumbnails import thumbnail

pytest.importorskip('nbconvert')
from test_hostile_page import MIME, HTMLExporter, Privacy, make_record, nbformat, run_by
from test_hostile_text import FAILED, unsafe
from test_trust import type_command

from desipipe.terminal import visible
from desipipe.view.bundle import bundle
from desipipe.view.cell import cell_summary

POSTSCRIPT = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n'
SIZE = 1 << 18  # bytes of each output
CPU_S = 60  # of all faces of one queue: what is quadratic takes hours
MEMORY = 2 << 30


def png(width: int, height: int, colours: int = 6) -> bytes:
    """Return an empty image of any size: a million times as many pixels as bytes."""
    row = b'\0' * (1 + width * {0: 1, 6: 4}[colours])
    packer = zlib.compressobj(9)
    data = b''.join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    chunks = (
        (b'IHDR', struct.pack('>IIBBBBB', width, height, 8, colours, 0, 0, 0)),
        (b'IDAT', data),
        (b'IEND', b''),
    )
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body))
        for name, body in chunks
    )


def marked(data: Any, **members: Any) -> bytes:
    """Return a display as a task writes it."""
    return b'\x1b_desipipe ' + json.dumps({'d': data, 'm': {}, **members}).encode() + b'\x1b\\'


def image(data: bytes, mime: str = 'image/png') -> bytes:
    return marked({mime: base64.b64encode(data).decode()})


EVIL = '<img src=x onerror="evil()"><script>evil()</script>'
MIMES = ('text/html', 'text/markdown', 'text/latex', 'image/svg+xml', 'application/javascript')
MIMES += ('application/vnd.plotly.v1+json', 'application/vnd.jupyter.widget-view+json', 'x/y')
OUTPUTS: dict[str, Callable[[], bytes]] = {
    'nul': lambda: b'\0' * SIZE,
    'bidi': lambda: '\u202eabc\u2066'.encode() * (SIZE // 9),
    'no utf-8': lambda: b'\xff\xfe\xed\xa0\x80' * (SIZE // 5),
    'backspaces': lambda: b'a\b' * (SIZE // 2),
    'columns': lambda: b'\x1b[9999Gx\n' * (SIZE // 9),
    'combining': lambda: '\u0301'.encode() * (SIZE // 2),
    'lines': lambda: b'\n' * SIZE,
    'links': lambda: (
        b'\x1b]8;;javascript:evil()\x1b\\x\x1b]8;;\x1b\\\xc2\x9d8;;x\xc2\x9c\r\x1b[2K\xf3\xa0\x81\x81'
    ),
    'displays': lambda: marked({'text/plain': 'x'}) * (SIZE // 50),
    'updates': lambda: (
        (marked({'text/plain': 'x'}, i='a') + marked({'text/plain': 'y'}, i='a', u=True))
        * (SIZE // 120)
    ),
    'pixels': lambda: image(png(10_000, 10_000, 0)),
    'images': lambda: image(png(5_000, 5_000)) * 12,
    'forms': lambda: marked(dict.fromkeys(MIMES, EVIL)),
    'lists': lambda: marked({mime: [EVIL, 1, None, {}] for mime in (*MIMES, 'image/png')}),
    'objects': lambda: marked({mime: {'data': [{'text': EVIL}]} for mime in MIMES}),
    'many forms': lambda: marked({f'{n}/{EVIL}\x1b[8m': EVIL for n in range(10_000)}),
    'long form': lambda: marked({'x' * SIZE: 'y'}),
    'deep page': lambda: marked({'text/html': '<div>' * (SIZE // 5)}),
    'deep picture': lambda: marked({'image/svg+xml': '<g>' * (SIZE // 3)}),
    'deep json': lambda: (
        marked({'application/json': 1}).replace(b'1', b'[' * 100_000 + b']' * 100_000)
    ),
    'no marks': lambda: b''.join(
        b'\x1b_desipipe ' + text + b'\x1b\\'
        for text in (
            b'[]', b'NaN', b'{"d":[]}', b'{"d":{"text/plain":[1,null,{}]},"i":[1],"m":[]}', b'{"c":1,"w":[]}', b'{"n":1e999}',
            b'{"n":-5}', b'{"d":{"image/png":5,"text/html":{"a":1}}}',
        )
    ),
}  # fmt: skip


def look(folder: str) -> tuple[dict[str, str], dict[str, list[Any]]]:
    """Return what is printed in a terminal, and what the pages would run."""
    limit = MEMORY + int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    lines = (
        ['status'], ['watch', '--timeout', '0'], ['tasks', '--tid', FAILED], ['tasks', '--property', 'out'],
        ['tasks', '--property', 'err', '--json'], ['logs', FAILED], ['explain', FAILED],
    )  # fmt: skip
    printed = {' '.join(line): type_command(line[0], '-q', folder, *line[1:])[1] for line in lines}
    queue = Queue(folder, create=False)
    summary = cell_summary(queue, '0-6')
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell('x')])
    data = {MIME: {'folder': folder, 'rows': '0-3', 'first': '', 'title': 't'}}
    notebook.cells[0].outputs = [
        nbformat.from_dict({'output_type': 'display_data', 'data': data, 'metadata': {}})
    ]
    record, _ = make_record(json.loads(nbformat.writes(notebook)), 'x', [queue], Privacy('/'))
    page = HTMLExporter().from_notebook_node(nbformat.from_dict(record))[0]
    assert len(repr(summary)) < 1 << 22
    pages = {
        'cell': run_by(bundle(summary, True)['text/html']),
        'record': [item for item in run_by(page) if 'evil' in str(item)],
    }
    return printed, pages


@needs_root
@pytest.mark.parametrize('kind', OUTPUTS)
def test_outputs_of_others_are_text_of_bounded_cost(kind: str) -> None:
    with open_place() as shared_folder:
        data = OUTPUTS[kind]()
        queue = make_hostile_queue('theirs', 'x', (data, data[: SIZE // 8]), str(shared_folder))
        queue.ledger.close()
        give(queue.folder, ATTACKER)
        os.chmod(queue.folder, 0o755)
        printed, pages = run_as(VICTIM, shared_folder / 'home', lambda: look(queue.folder))
    for expected_text, text in printed.items():
        assert visible(text) == text, (expected_text, unsafe(text))
        assert 'Traceback (most' not in text and 'should not happen' not in text, expected_text
    assert pages == {'cell': [], 'record': []}


@pytest.mark.parametrize(
    ('mime', 'make_data', 'shrinks'),
    [
        ('image/png', lambda: png(300, 200), True),
        ('image/png', lambda: png(6_000, 5_000), True),
        ('image/png', lambda: png(10_000, 10_000, 0), False),
        ('image/png', lambda: png(100, 1)[:40], False),
        # A program would be started for it: its type is that of its name, or it is none.
        ('image/png', lambda: POSTSCRIPT, False),
        ('image/gif', lambda: png(300, 200), False),
        ('image/svg+xml', lambda: b'<svg/>', False),
    ],
)
def test_thumbnail_needs_a_small_image(
    mime: str, make_data: Callable[[], bytes], shrinks: bool
) -> None:
    pytest.importorskip('PIL')
    encoded = base64.b64encode(make_data()).decode()
    assert bool(thumbnail({mime: encoded}, 50_000)) is shrinks


@pytest.mark.parametrize('size', [(30_000, 30_000), (1, 40_000), (40_000, 1), (0, 5)])
def test_images_of_others_have_few_pixels(size: tuple[int, int]) -> None:
    header = png(1, 1).replace(struct.pack('>II', 1, 1), struct.pack('>II', *size))
    data = {'image/png': base64.b64encode(header).decode()}
    assert (
        'image/png' not in safe_output({'output_type': 'display_data', 'data': data}, 'u')['data']
    )
