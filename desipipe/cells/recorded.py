"""Make the function of a ``%%desipipe`` cell again, from its text alone.

A stored identity is held against it.

Nothing is run, and no variable of a notebook is looked at.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence

from ..errors import CellError
from ..provenance.software import versions
from ..serialize import source
from .assignments import last_assigned
from .cell_inputs import take_futures
from .function import make_shell_cell
from .function_makers import compile_cell, make_function_node
from .names import find_names
from .options import parse_cell
from .syntax import expand_stars, parse_text, source_name


def cell_node(text: str, parameters: Sequence[str]) -> ast.FunctionDef:
    """The syntax tree of a cell's function.

    Parameters
    ----------
    text : str
        The cell, with the magic's line.
    parameters : sequence of str
        Of the function, in order.

    Returns
    -------
    node : ast.FunctionDef

    Raises
    ------
    CellError
        The text is no such cell.
    LookupError
        It can't be told what it stands for: it imports all names of a module that is not installed
        here, and that is not imported to look.
    """
    line, _, body = text.lstrip().partition('\n')
    magic, _, rest = line.strip().partition(' ')
    if magic != '%%desipipe':
        raise CellError('This is no %%desipipe cell.')
    args = parse_cell(rest)
    name = args.title or (args.name if isinstance(args.name, str) else '')
    if args.bash:
        # A shell cell's text is a value, of which each letter counts; IPython ends it with a line,
        # notebooks do not store that.
        body = body if body.endswith('\n') else body + '\n'
        made = make_shell_cell(line, body, {}, name, args.out, tuple(parameters))
        syntax = source.find(made.func.__code__, {})
        assert syntax is not None and isinstance(
            syntax.node, ast.FunctionDef
        )  # it was registered as it was made
        return syntax.node
    file = source_name(name or 'cell', text)
    tree = parse_text('\n' + body, file)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ImportFrom)
            and node.names[0].name == '*'
            and not _is_installed(node)
        ):
            raise LookupError(f'The names that {node.module} exports are not known.')
    flags = take_futures(tree)
    expand_stars(tree)
    names = find_names(compile_cell(tree, file, flags))
    outputs = tuple(args.out) or last_assigned(tree)
    return make_function_node(
        tree,
        name or (outputs[0] if outputs else 'cell'),
        parameters,
        outputs,
        f'{line.rstrip()}\n{body}',
        names,
    )


def _is_installed(node: ast.ImportFrom) -> bool:
    # The text may be anybody's. What is installed here is no stranger's code; what lies in some
    # folder may be.
    top = (node.module or '').partition('.')[0]
    return not node.level and (top in sys.stdlib_module_names or bool(versions([top])))
