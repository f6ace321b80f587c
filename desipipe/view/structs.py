"""Read how structs are declared: members, types and documentation."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
import typing
from typing import Annotated, Any, NamedTuple, NotRequired, get_args, get_origin


class Member(NamedTuple):
    """A member of a struct."""

    name: str
    type: Any
    required: bool
    documentation: str
    """The text below it; or empty."""


def is_struct(annotation: object) -> bool:
    """Return True for a class of :class:`typing.TypedDict`."""
    return typing.is_typeddict(annotation)


@functools.cache
def members(struct: type) -> tuple[Member, ...]:
    """Return the members of a struct, those of its bases first."""
    hints = typing.get_type_hints(struct, include_extras=True)
    texts = {}
    for base in _bases(struct):
        texts.update(_class(base).texts)
    return tuple(
        Member(name, bare(hint), get_origin(hint) is not NotRequired, texts.get(name, ''))
        for name, hint in hints.items()
    )


def bare(annotation: Any) -> Any:
    """Return an annotation without ``NotRequired``."""
    return get_args(annotation)[0] if get_origin(annotation) is NotRequired else annotation


def constraints(annotation: Any) -> tuple[Any, dict[str, Any]]:
    """Split an annotation into the type and its constraints, as in JSON schemas."""
    if get_origin(annotation) is not Annotated:
        return annotation, {}
    inner, more = constraints(annotation.__origin__)
    for item in annotation.__metadata__:
        more = {**more, **item}
    return inner, more


def summary(struct: type) -> str:
    """Return the first paragraph of a struct's documentation, on one line."""
    return ' '.join((inspect.getdoc(struct) or '').split('\n\n')[0].split())


def own_members(struct: type) -> tuple[Member, ...]:
    """Return the members that a struct adds to its bases, or declares anew."""
    own = _class(struct).texts
    return tuple(member for member in members(struct) if member.name in own)


def _bases(struct: type) -> list[type]:
    """Return a struct and the structs that it is made of, the first ones first."""
    return [*(above for base in bases(struct) for above in _bases(base)), struct]


def bases(struct: type) -> tuple[type, ...]:
    """Return the structs that a struct extends."""
    # Not of the class: before Python 3.12 it does not keep them.
    module = sys.modules[struct.__module__]
    named = [getattr(module, name, None) for name in _class(struct).bases]
    return tuple(base for base in named if isinstance(base, type) and is_struct(base))


class _Class(NamedTuple):
    """A class as it is written."""

    bases: tuple[str, ...]
    texts: dict[str, str]
    """The texts below members; of members without text they are empty."""


def _class(struct: type) -> _Class:
    return _classes(struct.__module__)[struct.__name__]


@functools.cache
def _classes(module: str) -> dict[str, _Class]:
    """Read the classes of a module."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {
        node.name: _Class(
            tuple(base.id for base in node.bases if isinstance(base, ast.Name)), _texts(node)
        )
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }


def _texts(node: ast.ClassDef) -> dict[str, str]:
    texts: dict[str, str] = {}
    name = ''
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            name = item.target.id
            texts[name] = ''
        elif name and isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant):
            texts[name] = ' '.join(str(item.value.value).replace('``', '`').split())
    return texts
