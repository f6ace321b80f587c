"""The directive ``desipipe-structs``: the members of structs that ``--json`` prints."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from desipipe.view import schema
from desipipe.view.structs import is_struct, members, summary


def with_parts(names: list[str]) -> list[type]:
    """Return structs and those that they are made of, each once."""
    structs: dict[type, None] = {}
    left = [getattr(schema, name) for name in names]
    while left:
        struct = left.pop(0)
        if struct not in structs:
            structs[struct] = None
            left += [part for member in members(struct) for part in _parts(member.type)]
    return list(structs)


def _parts(annotation: object) -> Iterator[type]:
    if is_struct(annotation):
        yield typing.cast(type, annotation)
    for part in typing.get_args(annotation):
        yield from _parts(part)


def type_text(annotation: object) -> str:
    """Return a type as one reads it."""
    text = getattr(annotation, '__name__', '') if not typing.get_args(annotation) else ''
    text = text or str(annotation)
    text = re.sub(r'typing\.Annotated\[(\w+), \{[^]]*\]', r'\1', text)
    return re.sub(r'(typing|desipipe\.view\.schema)\.', '', text)


class Structs(Directive):
    """Write a section for each of the structs that are named, and for their parts."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        return [self.section(struct) for struct in with_parts(' '.join(self.content).split())]

    def section(self, struct: type) -> nodes.section:
        """Return name, purpose and members of a struct."""
        section = nodes.section(
            '',
            nodes.title('', '', nodes.literal('', struct.__name__)),
            ids=[nodes.make_id(struct.__name__)],
            names=[nodes.fully_normalize_name(struct.__name__)],
        )
        self.state.document.note_explicit_target(section)
        section += nodes.paragraph('', summary(struct))
        items = nodes.bullet_list()
        for member in members(struct):
            paragraph = nodes.paragraph('', '', nodes.literal('', member.name))
            optional = '' if member.required else ', may be left out'
            text = ' '.join(member.documentation.split())
            paragraph += nodes.Text(f' ({type_text(member.type)}{optional})')
            paragraph += nodes.Text(f': {text}' if text else '')
            items += nodes.list_item('', paragraph)
        section += items
        return section


def setup(app: Sphinx) -> dict[str, object]:
    """Register the directive."""
    app.add_directive('desipipe-structs', Structs)
    return {'parallel_read_safe': True}
