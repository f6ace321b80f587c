"""Carry annotations of functions and classes, and the names that their text uses."""

from __future__ import annotations

import ast
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

__all__ = ['annotations_of', 'hinted_names']

# Values that annotations are made of; a text that names something else is no annotation of a type.
_HINTS = (type, types.ModuleType, types.GenericAlias, types.UnionType)
_HINT_MODULES = frozenset(('typing', 'typing_extensions', '_typing'))


def annotations_of(obj: Any) -> dict[str, Any]:
    """Return the annotations of a function or a class.

    They are text where a name in them is not defined (Python 3.14).
    """
    try:
        annotations: dict[str, Any] = dict(obj.__annotations__)
    except (NameError, AttributeError):
        if sys.version_info < (3, 14):
            raise
        annotationlib: Any = import_module('annotationlib')
        annotations = annotationlib.get_annotations(obj, format=annotationlib.Format.STRING)
    return annotations


def hinted_names(annotations: Mapping[str, Any], namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of names in annotations that are text.

    :func:`typing.get_type_hints` looks these names up.

    Parameters
    ----------
    annotations : mapping
    namespace : mapping
        Globals where they were written.
    """
    hinted = {}
    for text in _texts(annotations.values(), 4):
        try:
            tree = ast.parse(text.strip(), mode='eval')
        except (SyntaxError, ValueError):
            continue  # words for people
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in namespace:
                value = namespace[node.id]
                if isinstance(value, _HINTS) or type(value).__module__ in _HINT_MODULES:
                    hinted[node.id] = value
    return hinted


def _texts(values: Iterable[Any], depth: int) -> Iterator[str]:
    """Yield annotations that are text, also within others."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, typing.ForwardRef):
            yield value.__forward_arg__
        elif (
            depth
            and not isinstance(value, type)
            and isinstance(inner := getattr(value, '__args__', None), tuple)
        ):
            yield from _texts(inner, depth - 1)
