"""Format objects as displays: data by MIME types, small enough to be written."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from ..utils import format_bytes
from .library_displays import WIDGET

DISPLAY_MAX = 256 * 1024
"""Bytes of one display as it is written; larger ones are kept beside it, and shown small."""
_TEXT_MAX = 16 * 1024  # characters of text/plain that stay of such a display
# IPython shows them by their repr, and is slow to import.
_PLAIN = frozenset({int, float, bool, complex, str, bytes})
_METHODS = {
    'text/html': '_repr_html_',
    'text/markdown': '_repr_markdown_',
    'text/latex': '_repr_latex_',
    'image/svg+xml': '_repr_svg_',
    'image/png': '_repr_png_',
    'image/jpeg': '_repr_jpeg_',
    'application/pdf': '_repr_pdf_',
    'application/json': '_repr_json_',
    'application/javascript': '_repr_javascript_',
}

Bundle = dict[str, Any]
"""Data by MIME types."""
_formatter: Any = None


def encoded(data: Mapping[str, Any]) -> Bundle:
    """Data as text where it is binary, without what asks for a front end."""
    from base64 import b64encode

    return {
        str(mime): b64encode(value).decode('ascii') if isinstance(value, bytes) else value
        for mime, value in data.items()
        if mime != WIDGET
    }


def as_json(value: Any) -> str:
    """Return a value as JSON, by its repr where it is none."""
    import json

    return json.dumps(value, default=repr, separators=(',', ':'))


def small_forms(data: Bundle, sizes: Mapping[str, int], is_kept: bool) -> Bundle:
    """Shrink a large display: to fewer forms, a smaller image, or its beginning."""
    from .thumbnails import thumbnail

    forms = dict(data)
    left_out = []
    for mime in sorted(sizes, key=lambda mime: (mime == 'text/plain', -sizes[mime])):
        if sum(sizes[other] for other in forms) <= DISPLAY_MAX:
            break
        del forms[mime]
        left_out.append(f'{mime} of {format_bytes(sizes[mime])}')
    if not any(mime.startswith('image/') for mime in forms):
        forms = {**thumbnail(data, DISPLAY_MAX // 2), **forms}
    if forms.keys() <= {'text/plain'}:
        text = str(data.get('text/plain', ''))
        text = text if len(text) <= _TEXT_MAX else text[:_TEXT_MAX] + '…'
        note = (
            'too large to be shown here, kept in the queue'
            if is_kept
            else 'left out: more than can be kept of a display'
        )
        forms = {'text/plain': f'{text}\n[desipipe: {" and ".join(left_out)} {note}]'.lstrip()}
    return forms


def formatted(
    obj: Any, include: Iterable[str] | None, exclude: Iterable[str] | None
) -> tuple[Bundle, Bundle]:
    """Return the forms of an object by MIME type, and their metadata."""
    if type(obj) in _PLAIN:
        data: Bundle = {'text/plain': repr(obj)}
    elif isinstance(obj, getattr(sys.modules.get('matplotlib.figure'), 'Figure', ())):
        data = _figure(obj)
    else:
        return _formatted_by_ipython(obj, include, exclude)
    return {
        mime: value
        for mime, value in data.items()
        if (not include or mime in include) and mime not in (exclude or ())
    }, {}


def _figure(figure: Any) -> Bundle:
    """A Matplotlib figure, as the inline backend shows it."""
    from base64 import b64encode
    from io import BytesIO

    data: Bundle = {'text/plain': repr(figure)}
    if not (figure.axes or figure.lines):
        return data  # nothing is on it
    file = BytesIO()
    try:
        figure.canvas.print_figure(
            file,
            format='png',
            dpi=figure.dpi,
            bbox_inches='tight',
            facecolor=figure.get_facecolor(),
            edgecolor=figure.get_edgecolor(),
        )
    # of a label that TeX does not understand; as in a notebook, it costs the picture, and not what
    # the cell computed
    except Exception:
        import traceback

        traceback.print_exc()
        return data
    data['image/png'] = b64encode(file.getvalue()).decode('ascii')
    return data


def _formatted_by_ipython(
    obj: Any, include: Iterable[str] | None, exclude: Iterable[str] | None
) -> tuple[Bundle, Bundle]:
    global _formatter
    if _formatter is None:
        with contextlib.suppress(ImportError):
            from IPython.core.formatters import DisplayFormatter

            _formatter = DisplayFormatter()
    if _formatter is None:
        return _formatted_by_methods(obj, include, exclude)
    data, metadata = _formatter.format(obj, include=include, exclude=exclude)
    return dict(data), dict(metadata)


def _formatted_by_methods(
    obj: Any, include: Iterable[str] | None, exclude: Iterable[str] | None
) -> tuple[Bundle, Bundle]:
    """Format an object by its own ``_repr_*_`` methods, where there is no IPython."""
    metadata: Bundle = {}

    def call(name: str, **kwargs: Any) -> Any:
        method = None if isinstance(obj, type) else getattr(obj, name, None)
        try:
            return method(**kwargs) if callable(method) else None
        except Exception:  # as IPython: it is said, and the other representations are shown
            import traceback

            traceback.print_exc()

    if not isinstance(obj, type) and callable(getattr(obj, '_ipython_display_', None)):
        call('_ipython_display_')
        return {}, {}
    chosen = [
        mime
        for mime in ('text/plain', *_METHODS)
        if (not include or mime in include) and mime not in (exclude or ())
    ]
    data: Bundle = {
        mime: repr(obj) if mime == 'text/plain' else call(_METHODS[mime]) for mime in chosen
    }
    bundle = call('_repr_mimebundle_', include=include, exclude=exclude) or {}
    if isinstance(bundle, tuple):
        bundle, about = bundle
        metadata.update(about)
    data.update(
        {
            mime: value
            for mime, value in bundle.items()
            if (not include or mime in include) and mime not in (exclude or ())
        }
    )
    for mime, value in data.items():
        if isinstance(value, tuple):
            data[mime], metadata[mime] = value
    return {mime: value for mime, value in data.items() if value is not None}, metadata
