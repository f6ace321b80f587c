"""Verbs about notebooks and scripts: run, plan."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..cells.option_types import seconds
from ..terminal import visible
from .common import Verbs, add_json
from .face import hint, print_json

if TYPE_CHECKING:
    from ..record.execution import Ran
    from ..view.schema import CellView, Mime


# Run


def register(verbs: Verbs) -> None:
    """Declare these verbs."""
    for declare in (_declare_run, _declare_plan):
        declare(verbs)


def _declare_run(verbs: Verbs) -> None:
    parser = verbs.add(
        'run',
        run,
        'execute a notebook or a script, and wait for its tasks',
        'Needs no browser. A script in percent format runs as a notebook, with jupytext. The '
        'notebook is written after every cell. Parameters go into a cell below the one that is '
        'tagged "parameters", as papermill does it; values of -p are read as YAML: 1, 0.5, true, '
        '[1, 2], text. --resume retries tasks that did not succeed, and executes all cells again, '
        'since the kernel that knew their names is gone; what is done is taken from the queue, '
        'and parameters are those of the notebook. Exit status as of watch: 0: all tasks '
        'succeeded; 1: a cell or a task failed; 2: it could not be done, or tasks are left.',
        'desipipe run analysis.ipynb -p size=1000 -p "name=first light"',
        'desipipe run analysis.ipynb -o out.ipynb --no-wait',
        'desipipe run out.ipynb --resume        go on with what failed',
        'desipipe run analysis.ipynb --stale    only task cells that are not current',
        'desipipe run pipeline.py',
    )
    add = parser.add_argument
    add('notebook', metavar='NOTEBOOK', help='a notebook (.ipynb) or a script (.py)')
    _add_parameters(parser)
    help_text = 'write the executed notebook here (default: NAME.out.ipynb)'
    add('-o', '--output', metavar='FILE', help=help_text)
    help_text = 'continue an executed notebook, and retry what failed'
    add('--resume', action='store_true', help=help_text)
    help_text = 'execute only stale task cells, and write NOTEBOOK'
    add('--stale', action='store_true', help=help_text)
    add('--no-wait', action='store_true', help='do not wait for the tasks')
    add('--timeout', type=seconds, metavar='SECONDS', help='longest time one cell may take')
    add('--kernel', metavar='NAME', help="kernel to use instead of the notebook's own")
    add('--cwd', metavar='DIR', help='working folder (default: that of the notebook)')


def _add_parameters(parser: argparse.ArgumentParser) -> None:
    for short, name, metavar, help_text in (
        ('-p', '--parameter', 'NAME=VALUE', 'set a parameter; its value is read as YAML'),
        ('-r', '--raw', 'NAME=TEXT', 'set a parameter to text, whatever it looks like'),
        ('-f', '--parameters-file', 'FILE', 'read parameters from a YAML file'),
    ):
        parser.add_argument(
            short, name, action='append', default=[], metavar=metavar, help=help_text
        )


def run(args: argparse.Namespace) -> int:
    """Run ``desipipe run``."""
    ran = _executed(args)
    if ran.error:
        print(f'desipipe: {ran.error}', file=sys.stderr)
        if ran.output:
            hint(
                f'The notebook as far as it was executed: {ran.output}. Go on with: desipipe run '
                f'{shlex.quote(ran.output)} --resume'
            )
        return 130 if ran.interrupted else 1
    status = 0
    if not args.no_wait:
        try:
            status = _wait(ran)
        except KeyboardInterrupt:
            status = 130
            hint(
                'The tasks go on without being waited for. What becomes of them will be in the '
                'notebook with --resume'
            )
    ran.finish(_bundle)
    if ran.output:
        hint(f'The executed notebook: {ran.output}')
    return status


def _executed(args: argparse.Namespace) -> Ran:
    from ..record.parameters import parse_parameters
    from ..record.run import RunOptions, run_notebook, run_script

    parameters = parse_parameters(args.parameter, args.raw, args.parameters_file)
    options = RunOptions(args.output, args.resume, args.timeout, args.kernel, args.cwd, say=hint)
    if args.notebook.endswith('.py'):
        _check_script_options(args)
        return run_script(args.notebook, parameters, options)
    choose = (
        partial(_stale_cells, args.cwd or _notebook_folder(args), args.notebook)
        if args.stale
        else None
    )
    return run_notebook(args.notebook, parameters, options, choose=choose)


def _check_script_options(args: argparse.Namespace) -> None:
    from ..errors import UnknownOptionError

    if args.stale:
        raise UnknownOptionError(
            f'{args.notebook} is a script, of which no outputs are kept. Nothing was run. Run '
            f'it: desipipe run {shlex.quote(args.notebook)}'
        )
    if args.resume:
        raise UnknownOptionError(
            f'{args.notebook} is a script, of which nothing was kept to go on with. Nothing was '
            'run. Go on with the notebook that was made of it, or run it again: what is done is '
            'taken from its queues. Run what failed again with: '
            'desipipe retry -q QUEUE --state FAILED'
        )


def _stale_cells(folder: str, file: str, notebook: Mapping[str, Any]) -> Sequence[int]:
    """List the cells to execute so that all tasks are current; print what that costs."""
    from ..cells.cell_runs import read_file
    from ..cells.file import Queues
    from ..cells.modules import Modules
    from ..cells.plan import make_plan, to_lines

    queues = Queues()
    plan = make_plan(read_file(notebook, file, queues), queues.estimate, modules=Modules(folder))
    for line in to_lines(plan):
        hint(visible(line))
    return plan.to_run


def _notebook_folder(args: argparse.Namespace) -> str:
    return os.path.dirname(os.path.abspath(str(args.notebook)))


def _declare_plan(verbs: Verbs) -> None:
    parser = verbs.add(
        'plan',
        plan,
        'list the stale task cells of a notebook',
        'Nothing is run: the text of the notebook is compared with what its outputs recorded, and '
        'times are those of earlier tasks. Run what is stale with: desipipe run --stale NOTEBOOK. '
        'Exit status 0: all task cells are current; 1: some are not.',
        'desipipe plan analysis.ipynb',
        'desipipe plan analysis.ipynb --json',
    )
    parser.add_argument('notebook', metavar='NOTEBOOK', help='the executed notebook')
    add_json(parser)


def plan(args: argparse.Namespace) -> int:
    """``desipipe plan``."""
    from ..cells.cell_runs import read_file
    from ..cells.file import Queues
    from ..cells.modules import Modules
    from ..cells.plan import make_plan, to_json, to_lines
    from ..record.notebook_files import read_notebook

    queues = Queues()
    cells = read_file(read_notebook(args.notebook), args.notebook, queues)
    planned = make_plan(cells, queues.estimate, modules=Modules(_notebook_folder(args)))
    if args.json:
        print_json(to_json(planned))
    else:
        print('\n'.join(map(visible, to_lines(planned))))
    return 1 if planned.total.cells else 0


def _wait(ran: Ran) -> int:
    from ..queue.queue import open_queue
    from .following import follow

    worst = 0
    for folder in ran.queues:
        queue = open_queue(folder)
        queue.spawn = ran.spawns.get(folder, False)
        if queue.spawn:
            queue.keep_spawned()
        worst = max(worst, follow(queue, patience=30.0))
    return worst


def _bundle(summary: CellView) -> Mime:
    from ..view.bundle import bundle

    return bundle(summary)
