"""Make the function of a cell: its inputs are arguments, its outputs the result.

The cell's statements are put, as they are, into the body of a function whose syntax tree is known
to :mod:`desipipe.serialize.source`: identity, source and tracebacks are then those of any function
of the user.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import Any, NamedTuple

from ..errors import CellError, SweepError, close_names
from ..execution.shell_template import placeholders
from ..queue.sweep import sweep_calls
from .assignments import check_outputs, is_task_of, last_assigned
from .cell_inputs import Import, imported_names, resolve_inputs, share_variables, take_futures
from .function_makers import compile_cell, make_function, make_function_node
from .names import Names, find_names
from .syntax import expand_stars, identifier, parse_text, source_name, tolerated_names

_RUN = '__run__'


class Cell(NamedTuple):
    """A cell that can be called."""

    func: FunctionType
    """Its parameters are what is swept, then the inputs."""
    inputs: dict[str, Any]
    """The values of the inputs, as they were in the notebook."""
    outputs: tuple[str, ...]
    """Variables that it returns: one value, or a dictionary by name for several."""
    imports: dict[str, Import]
    """Imports, by the name that each gets."""
    kept: dict[str, Any]
    """Values its outputs had in the notebook, which it may read or leave unchanged."""


def make_cell(
    line: str,
    body: str,
    namespace: Mapping[str, Any],
    name: str = '',
    outputs: Sequence[str] = (),
    swept: Sequence[str] = (),
    flags: int = 0,
    imported: Mapping[str, Import] | None = None,
    kept: Mapping[tuple[str, str], Any] | None = None,
) -> Cell:
    """Make a function of a cell.

    Parameters
    ----------
    line : str
        The magic's line, for people.
    body : str
        The rest.
    namespace : mapping
        The notebook's variables.
    name : str, default=''
        Of the function; by default that of its first output, or ``'cell'``.
    outputs : sequence of str, default=()
        Names whose values are wanted; by default the last one that the cell assigns, if it assigns
        any.
    swept : sequence of str, default=()
        Names that each call gets a value of its own for.
    flags : int, default=0
        Of the compiler: the notebook's ``from __future__ import``.
    imported : mapping, default=None
        What cells above import, which the notebook itself may not have.
    kept : mapping, default=None
        :attr:`Cell.kept` of earlier runs, by name of the function and of the output.

    Returns
    -------
    cell : Cell

    Raises
    ------
    CellError
        For whatever a worker could not run, with the line (the magic's is 1).
    """
    text = f'{line.rstrip()}\n{body}'
    # A file of its own for each text: a process that runs two versions of a cell shows each with
    # its own lines.
    file = source_name(name or (outputs[0] if outputs else 'cell'), text)
    tree = parse_text('\n' + body, file)
    if not tree.body:
        raise _empty('what a worker is to run')
    flags |= take_futures(tree)
    names = _names(tree, body, file, flags)
    wanted = tuple(outputs) or last_assigned(tree)
    check_outputs(wanted, names)
    title = name or (wanted[0] if wanted else 'cell')
    before, unset, namespace = _output_values(wanted, names, namespace, title, kept or {})
    inputs, used = resolve_inputs(
        names._replace(inputs=dict.fromkeys(before, 1) | names.inputs),
        namespace,
        imported or {},
        {*swept, *unset},
    )
    imports = imported_names(tree)
    share_variables(inputs, used, names, namespace, swept, imports)
    node = make_function_node(tree, title, [*swept, *inputs], wanted, text, names)
    return Cell(make_function(node, file, text, used, flags), inputs, wanted, imports, before)


def _empty(content: str) -> CellError:
    return CellError(
        f'The cell is empty, or only comments. Nothing was added. Write {content} below the line '
        'of the magic.'
    )


def _names(tree: ast.Module, body: str, file: str, flags: int) -> Names:
    """Return the names of a cell; imports by ``*`` are expanded in its tree."""
    # Going through a tree takes long beside everything else here: what is rare is looked for where
    # its word is.
    if '*' in body and 'import' in body:
        expand_stars(tree)
    names = find_names(compile_cell(tree, file, flags))
    if 'try' not in body:
        return names
    tolerated = tolerated_names(tree)
    return names._replace(
        required={item: at for item, at in names.required.items() if item not in tolerated}
    )


def _output_values(
    wanted: tuple[str, ...],
    names: Names,
    namespace: Mapping[str, Any],
    title: str,
    kept: Mapping[tuple[str, str], Any],
) -> tuple[dict[str, Any], set[str], Mapping[str, Any]]:
    """Return earlier values of outputs, outputs without one, and the namespace.

    A cell may read an output, or leave it as it is, before it assigns it: it gets the value that
    was there when it ran first, and not its own result.
    """
    perhaps = [
        item
        for item in wanted
        if item not in names.required and (item in names.inputs or item not in names.sure)
    ]
    own = {item for item in perhaps if is_task_of(namespace.get(item), title)}
    if own and kept:
        earlier = {
            item: kept[identifier(title), item] for item in own if (identifier(title), item) in kept
        }
        namespace, own = {**namespace, **earlier}, own - earlier.keys()
    before = {item: namespace[item] for item in perhaps if item in namespace and item not in own}
    return before, own, namespace


# --------------------------------------------------------------------------------------------------
# Cells for the shell


def make_shell_cell(
    line: str,
    body: str,
    namespace: Mapping[str, Any],
    name: str = '',
    outputs: Sequence[str] = (),
    swept: Sequence[str] = (),
) -> Cell:
    """Make a function of a cell for the shell.

    Its one output is what the commands write to stdout. Parameters as for :func:`make_cell`.
    """
    from ..execution import shell_template

    # Of a notebook that was edited on Windows: the shell takes the other half for a letter.
    body = body.replace('\r\n', '\n')
    text = f'{line.rstrip()}\n{body}'
    if not any(line.strip() and not line.lstrip().startswith('#') for line in body.splitlines()):
        raise _empty('the commands')
    if len(outputs) > 1:
        raise CellError(
            f'--out {" ".join(outputs)}: a cell for the shell has one output, what it writes to '
            'stdout. Nothing was added.'
        )
    inputs = _shell_inputs(body, namespace, swept)
    parameters = [*swept, *inputs]
    values = ', '.join(f'{item!r}: {item}' for item in parameters)
    function = ast.parse(
        f'def {identifier(name or (outputs[0] if outputs else "bash"))}({", ".join(parameters)}): '
        f'return {_RUN}({body!r}, {{{values}}})'
    )
    node = function.body[0]
    assert isinstance(node, ast.FunctionDef)
    node.end_lineno = text.count('\n') + 1
    used = {'__name__': '__main__', _RUN: shell_template.run}
    func = make_function(node, source_name(node.name, text), text, used, 0)
    return Cell(func, inputs, tuple(outputs), {}, {})


def _shell_inputs(body: str, namespace: Mapping[str, Any], swept: Sequence[str]) -> dict[str, Any]:
    inputs: dict[str, Any] = {}
    for item, number in placeholders(body).items():
        if item in swept:
            continue
        if item not in namespace:
            near = close_names(item, [key for key in namespace if not key.startswith('_')], 3)
            raise CellError(
                f'Line {number:d} of the cell fills in {{{item}}}, which does not exist. Nothing '
                'was added. Assign it in a cell above, sweep it with '
                f'--for {item}=..., or write {{{{{item}}}}} for the braces themselves ({near}).'
            )
        inputs[item] = namespace[item]
    return inputs


def calls(cell: Cell, ranges: Mapping[str, Any], pair: bool = False) -> list[dict[str, Any]]:
    """The arguments of all calls of a sweep.

    Parameters
    ----------
    cell : Cell
    ranges : dict
        What is swept, by name; the last one fastest.
    pair : bool, default=False
        Pair the ranges instead of taking their product.

    Returns
    -------
    calls : list of dict

    Raises
    ------
    CellError
        For what can't be swept.
    """
    if not ranges:
        return [dict(cell.inputs)]
    try:
        sweep = sweep_calls('--for', (), ranges, pair, cell=True)
    except SweepError as exc:
        raise CellError(str(exc)) from None
    return [{**arguments, **cell.inputs} for _, arguments in sweep.calls]
