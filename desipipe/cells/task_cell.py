"""Read a ``%%desipipe`` cell as text: its digest, inputs and outputs."""

from __future__ import annotations

import ast
import re
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import DesipipeError
from ..execution.shell_template import placeholders
from ..serialize import bytecode, syntax_trees
from ..serialize.plain import digest
from .assignments import last_assigned
from .cell_inputs import take_futures
from .function_makers import compile_cell
from .modules import Imported, imports_in
from .names import find_names
from .options import parse_cell
from .syntax import parse_text

_OUT = re.compile(r'--out[ =]+((?:\w+[ ]*)+)')
_BOUND = re.compile(r'^[ \t]*(\w+)[ \t]*=(?!=)', re.M)
SETUP = '%desipipe use'
"""A name that no variable has: what lines for IPython set up for the cells below."""


@dataclass(frozen=True, slots=True)
class TaskCell:
    """A cell that becomes tasks."""

    digest: str
    """Digest of all in it that the identities of its tasks depend on, 8 hexadecimal digits."""
    title: str = ''
    outputs: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    """Names that it takes from the notebook, in the order of reading."""
    sweeps: Mapping[str, str] = field(default_factory=dict)
    """Expressions of ``--for``, by name."""
    modules: tuple[Imported, ...] = ()
    """All that it imports."""
    is_paired: bool = False
    is_skipped: bool = False
    error: str = ''
    """Reason that it cannot run; empty if it can."""


def read_task_cell(text: str) -> TaskCell:
    """Read the text of a cell that begins with ``%%desipipe``.

    Parameters
    ----------
    text : str

    Returns
    -------
    cell : TaskCell
        One that can not run has an error, and is another one with each other text.
    """
    line, _, body = text.partition('\n')
    try:
        args = parse_cell(line.partition('%%desipipe')[2])
        return _shell_cell(args, body) if args.bash else _python_cell(args, body)
    except (DesipipeError, RecursionError, MemoryError, ValueError) as exc:
        text = re.sub(r'[;.] [Nn]othing was added(?:(?=\. )|\.?)', '', str(exc))
        message = text.splitlines() or ['it is not Python']
        content = text.encode('utf-8', 'surrogatepass')
        return TaskCell(_short(content), outputs=_unread_outputs(line, body), error=message[0])


def _unread_outputs(line: str, body: str) -> tuple[str, ...]:
    """Return the outputs of a cell that is not Python while someone types."""
    named = _OUT.findall(line.replace(',', ' '))
    names = [name for option in named for name in option.split()] or _BOUND.findall(body)
    return tuple(dict.fromkeys(name for name in names if name.isidentifier()))


def _python_cell(args: Namespace, body: str) -> TaskCell:
    tree = parse_text('\n' + body, '<cell>')
    flags = take_futures(tree)
    names = find_names(compile_cell(tree, '<cell>', flags))
    outputs = tuple(args.out) or last_assigned(tree)
    is_quiet = body.rstrip().endswith(';')
    content = syntax_trees.tree(tree) + b'%d%d' % (is_quiet, flags)
    return _task_cell(args, content, outputs, names.inputs, imports_in(tree))


def _shell_cell(args: Namespace, body: str) -> TaskCell:
    body = body.replace('\r\n', '\n').rstrip('\n')
    return _task_cell(args, body.encode('utf-8', 'surrogatepass'), args.out, placeholders(body))


def _task_cell(
    args: Namespace,
    content: bytes,
    outputs: list[str] | tuple[str, ...],
    inputs: Mapping[str, int],
    modules: tuple[Imported, ...] = (),
) -> TaskCell:
    title = args.title or (args.name if isinstance(args.name, str) else '')
    title = title or (outputs[0] if outputs else 'bash' if args.bash else 'cell')
    options = repr((title, tuple(outputs), args.bash, args.zip, args.name, args.state))
    reads = dict.fromkeys(name for name in inputs if name not in args.sweeps)
    pieces = [content, options.encode()]
    for name, expression in args.sweeps.items():
        tree = ast.parse(expression, mode='eval')
        pieces += [name.encode(), syntax_trees.tree(tree)]
        code = compile(tree, '<sweep>', 'eval', dont_inherit=True)
        reads |= dict.fromkeys(bytecode.reads(code).names)
    if args.tm:
        reads[args.tm] = None
    return TaskCell(
        _short(b'\0'.join(pieces)),
        title,
        tuple(outputs),
        tuple(reads),
        dict(args.sweeps),
        modules,
        args.zip,
        args.skip,
    )


def _short(content: bytes) -> str:
    return digest(content).hex()[:8]
