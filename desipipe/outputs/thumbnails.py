"""Small forms of what is too large to be shown where it was displayed."""

from __future__ import annotations

import functools
from base64 import b64decode, b64encode
from collections.abc import Mapping
from io import BytesIO
from typing import Any

_QUALITY = 80  # of JPEG
_WIDTH_MIN = 32  # pixels
_FORMATS = {'image/png': 'PNG', 'image/jpeg': 'JPEG', 'image/gif': 'GIF'}
_PIXELS_MAX = 64_000_000  # each takes up to 8 bytes while the image is made smaller
_SIDE_MAX = 4096  # pixels of what is shrunk further


def thumbnail(data: Mapping[str, Any], limit: int) -> dict[str, str]:
    """Make a smaller image of a display that holds one.

    Parameters
    ----------
    data : dict
        By MIME type; images as base64.
    limit : int
        Bytes that its base64 may have.

    Returns
    -------
    image : dict
        MIME type and base64; empty if there is no image, or nothing here to read it.
    """
    mime = next((mime for mime in _FORMATS if isinstance(data.get(mime), str)), None)
    return {} if mime is None else dict(_thumbnail(_FORMATS[mime], data[mime], limit))


@functools.lru_cache(16)  # what is shown under a cell is made again and again
def _thumbnail(form: str, encoded: str, limit: int) -> Mapping[str, str]:
    try:
        from PIL import Image
    except ImportError:
        return {}  # without Matplotlib: words are shown in its place
    try:
        # What says that it is a PNG is read as nothing else: of other formats some start programs.
        image: Any = Image.open(BytesIO(b64decode(encoded)), formats=(form,))
        if image.width * image.height > _PIXELS_MAX:
            return {}
        image.draft('RGB', (_SIDE_MAX, _SIDE_MAX))
        image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return {}  # it is none
    return _shrunk(image, limit)


def _shrunk(image: Any, limit: int) -> dict[str, str]:
    image = _opaque(image)
    image = image.reduce(max(1, *(-(-side // _SIDE_MAX) for side in image.size)))
    while image.width >= _WIDTH_MIN:
        file = BytesIO()
        image.save(file, 'JPEG', quality=_QUALITY)
        encoded = b64encode(file.getvalue()).decode('ascii')
        if len(encoded) <= limit:
            return {'image/jpeg': encoded}
        image = image.resize((max(image.width // 2, 1), max(image.height // 2, 1)))
    return {}


def _opaque(image: Any) -> Any:
    from PIL import Image

    if image.mode not in ('RGBA', 'LA', 'P'):
        return image.convert('RGB')
    image = image.convert('RGBA')
    page = Image.new('RGB', image.size, 'white')
    page.paste(image, mask=image)
    return page
