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
        texts.update(_documentation(base.__module__).get(base.__name__, {}))
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
    own = _documentation(struct.__module__).get(struct.__name__, {})
    return tuple(member for member in members(struct) if member.name in own)


def _bases(struct: type) -> list[type]:
    """Return a struct and the structs that it is made of, the first ones first."""
    bases = [base for base in getattr(struct, '__orig_bases__', ()) if is_struct(base)]
    return [*(above for base in bases for above in _bases(base)), struct]


def bases(struct: type) -> tuple[type, ...]:
    """Return the structs that a struct extends."""
    return tuple(base for base in getattr(struct, '__orig_bases__', ()) if is_struct(base))


@functools.cache
def _documentation(module: str) -> dict[str, dict[str, str]]:
    """Return the texts below members, by struct and member."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    texts_by_struct: dict[str, dict[str, str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            texts = texts_by_struct[node.name] = {}
            name = ''
            for item in node.body:
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                    name = item.target.id
                    texts[name] = ''
                elif name and isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant):
                    texts[name] = ' '.join(str(item.value.value).replace('``', '`').split())
    return texts_by_struct
