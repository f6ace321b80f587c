"""Small forms of what is too large to be shown where it was displayed."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from io import BytesIO
from typing import Any

_QUALITY = 80  # of JPEG
_WIDTH_MIN = 32  # pixels
_IMAGES = ('image/png', 'image/jpeg', 'image/gif')
_PIXELS_MAX = 200_000_000


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
    encoded = next((data[mime] for mime in _IMAGES if isinstance(data.get(mime), str)), None)
    if encoded is None:
        return {}
    try:
        from PIL import Image
    except ImportError:
        return {}  # without Matplotlib: words are shown in its place
    try:
        image: Any = Image.open(BytesIO(b64decode(encoded)))
        if image.width * image.height > _PIXELS_MAX:
            return {}
        image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return {}  # it is none
    return _shrunk(image, limit)


def _shrunk(image: Any, limit: int) -> dict[str, str]:
    from PIL import Image

    if image.mode in ('RGBA', 'LA', 'P'):
        image = image.convert('RGBA')
        image = Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image)
    image = image.convert('RGB')
    while image.width >= _WIDTH_MIN:
        file = BytesIO()
        image.save(file, 'JPEG', quality=_QUALITY)
        encoded = b64encode(file.getvalue()).decode('ascii')
        if len(encoded) <= limit:
            return {'image/jpeg': encoded}
        image = image.resize((max(image.width // 2, 1), max(image.height // 2, 1)))
    return {}
