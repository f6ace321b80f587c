"""The directive ``desipipe-verbs``: a section for each verb of the command line, with what its
``--help`` prints.
"""

from __future__ import annotations

import argparse
import os

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx


def verbs(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Verbs of a parser, in the order in which they were added, aliases left out."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, verb in action.choices.items():
                if verb not in found.values():
                    found[name] = verb
    return found


class Verbs(Directive):
    """Ask the program itself, so that no option can be missing here, or stay here after it is
    gone.
    """

    def run(self) -> list[nodes.Node]:
        os.environ.update(
            COLUMNS='100', NO_COLOR='1'
        )  # as wide as a page, whatever terminal this runs in
        try:
            from desipipe.commands.parser import build_parser
        except ImportError as error:
            raise self.severe(
                'desipipe.commands.parser.build_parser, which this page is made from, cannot be '
                f'imported: {error}'
            ) from error
        parser = build_parser()
        found = verbs(parser)
        if not found:
            raise self.severe(
                'desipipe.commands.parser.build_parser() gives a parser without verbs, and this '
                'page would be empty'
            )
        return [
            nodes.literal_block('', parser.format_help(), language='text'),
            *(self.section(name, verb) for name, verb in found.items()),
        ]

    def section(self, name: str, parser: argparse.ArgumentParser) -> nodes.section:
        """Title and help of a verb."""
        section = nodes.section(
            '',
            nodes.title('', '', nodes.literal('', f'desipipe {name}')),
            ids=[nodes.make_id(f'desipipe-{name}')],
        )
        self.state.document.note_explicit_target(section)
        section += nodes.literal_block('', parser.format_help(), language='text')
        return section


def setup(app: Sphinx) -> dict[str, object]:
    """Register the directive."""
    app.add_directive('desipipe-verbs', Verbs)
    return {'parallel_read_safe': True}
