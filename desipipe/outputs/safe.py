"""Outputs of untrusted users' tasks, as text and images that run nothing anywhere."""

from __future__ import annotations

import binascii
import struct
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from ..terminal import visible
from .notebook import Output

UNNAMED = 'another user'
"""Stands for the writer of outputs that no user who could be trusted vouches for."""
_TEXT_MAX = 20_000  # characters of a form that is shown as text
_STREAM_MAX = 200_000  # characters of a stream, and of a line of a traceback
_LINES_MAX = 1_000  # of a traceback
_NAME_MAX = 200  # characters of the name of a form
_FORMS_MAX = 100  # of a display
# Each takes 4 bytes in whatever shows the image, however few the image has.
_PIXELS_MAX, _SIDE_MAX = 40_000_000, 32_767
_PNG = b'\x89PNG\r\n\x1a\n'
_JPEG = b'\xff\xd8\xff'
# Start-of-frame markers of JPEG, which hold the size.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Forms of a display whose source a person can read, the plainest first.
_READABLE = (
    'text/plain',
    'text/markdown',
    'text/latex',
    'text/html',
    'image/svg+xml',
    'application/javascript',
)


def safe_output(output: Mapping[str, Any], user: str) -> Output:
    """Return an output as text, and as an image if it is one.

    Parameters
    ----------
    output : dict
        As in nbformat 4.
    user : str
        User who wrote it, and is not trusted.

    Returns
    -------
    output : dict
        Nothing in it is run, by a terminal, a notebook's front end, or what converts notebooks to
        pages. Of what was left out, ``metadata['desipipe']['untrusted']`` names the user, if there
        is a name.
    """
    kind = output.get('output_type')
    if kind == 'stream':
        name = 'stderr' if output.get('name') == 'stderr' else 'stdout'
        return {'output_type': 'stream', 'name': name, 'text': _visible(output.get('text', ''))}
    if kind == 'error':
        lines = [_visible(line) for line in list(output.get('traceback', ()))[-_LINES_MAX:]]
        return {
            'output_type': 'error',
            'ename': _visible(output.get('ename', ''), lines=False),
            'evalue': _visible(output.get('evalue', ''), lines=False),
            'traceback': lines,
        }
    if kind == 'execute_result':
        count = output.get('execution_count')
        shown = _safe_display(output.get('data') or {}, user)
        return {
            **shown,
            'output_type': kind,
            'execution_count': count if isinstance(count, int) else None,
        }
    data = output.get('data')
    return _safe_display(data if isinstance(data, Mapping) else {}, user)


def _safe_display(data: Mapping[str, Any], user: str) -> Output:
    images = {mime: image for mime in _CHECKS if (image := _image(mime, data.get(mime)))}
    hidden = [
        visible(str(mime)[:_NAME_MAX], lines=False)
        for mime in list(data)[:_FORMS_MAX]
        if mime != 'text/plain' and mime not in images
    ]
    texts = (data.get(mime) for mime in _READABLE)
    # Cut first: to make millions of control characters visible takes seconds.
    text = next((visible(joined(value)[:_TEXT_MAX])[:_TEXT_MAX] for value in texts if value), '')
    if hidden:
        command = '' if user == UNNAMED else f' To show it: desipipe trust {user}'
        note = f'[{", ".join(hidden)} of {user}, who is not trusted: shown as text.{command}]'
        text = f'{text}\n{note}'.lstrip()
    metadata = {'desipipe': {'untrusted': user}} if hidden and user != UNNAMED else {}
    return {
        'output_type': 'display_data',
        'data': {**images, 'text/plain': text},
        'metadata': metadata,
    }


def _visible(value: object, lines: bool = True) -> str:
    """Return the beginning and the end of a text, safe for a terminal."""
    text, half = str(value), _STREAM_MAX // 2
    if len(text) <= _STREAM_MAX:
        return visible(text, lines=lines)
    left_out = f' [{len(text) - 2 * half:d} characters left out] '
    return visible(text[:half], lines=lines) + left_out + visible(text[-half:], lines=lines)


def joined(value: object) -> str:
    """Return a text that nbformat may have as a list of lines."""
    return ''.join(map(str, value)) if isinstance(value, list) else str(value)


def _image(mime: str, value: object) -> str:
    """Return the base64 of an image whose content is of its type; empty if it is not."""
    if not isinstance(value, str | list):
        return ''
    try:
        data = b64decode(''.join(joined(value).split()), validate=True)
    except (binascii.Error, ValueError):
        return ''
    size = _CHECKS[mime](data)
    if not size or max(size) > _SIDE_MAX or not 0 < size[0] * size[1] <= _PIXELS_MAX:
        return ''
    return b64encode(data).decode()


def _png_size(data: bytes) -> tuple[int, int] | None:
    if not data.startswith(_PNG) or data[12:16] != b'IHDR' or len(data) < 24:
        return None
    width, height = struct.unpack('>II', data[16:24])
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    position = 2
    while data.startswith(_JPEG) and position + 9 <= len(data) and data[position] == 0xFF:
        marker, length = (
            data[position + 1],
            int.from_bytes(data[position + 2 : position + 4], 'big'),
        )
        if marker in _FRAMES:
            height, width = struct.unpack('>HH', data[position + 5 : position + 9])
            return width, height
        position += 2 + max(length, 2)
    return None


_CHECKS = {'image/png': _png_size, 'image/jpeg': _jpeg_size}
