"""Verbs that make records and check them: run, record, verify, import."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..cells.option_types import positive, seconds
from ..terminal import visible
from .common import FACE, Verbs, add_json, hint, on_terminal, plural, print_json

if TYPE_CHECKING:
    from ..queue.queue import Queue
    from ..record.files import Record
    from ..record.model import QueueModel
    from ..record.verify import Check


_IMPORTED = (
    'Of a record that was made with --with-results: to go on where it stopped. The code of its '
    'tasks will run as you: only from people you trust. Of a queue of desipipe 1.0 (NAME.sqlite) '
    'of your own: its tasks, states, results, output, errors and task managers are taken over into '
    'a queue beside it, and scripts that run again find what was computed. The file is only read.'
)


def register(verbs: Verbs) -> None:
    """Declare these verbs."""
    for declare in (
        _declare_run,
        _declare_plan,
        _declare_record,
        _declare_verify,
        _declare_import,
    ):
        declare(verbs)


# Record


def _add_queues(parser: argparse.ArgumentParser, words: str) -> None:
    """Declare ``-q`` for any number of queues, none as well."""
    parser.add_argument(
        '-q', '--queue', dest='queues', nargs='+', default=[], metavar='QUEUE', help=words
    )


def _open(names: list[str]) -> list[Queue]:
    from ..config import Config
    from ..queue.location import find_folders
    from ..queue.queue import Queue

    config = Config()
    return (
        [Queue(folder, create=False, config=config) for folder in find_folders(names, config)]
        if names
        else []
    )


def _folder(root: str | None) -> str | None:
    if root is not None and not os.path.isdir(root):
        from ..errors import RecordError

        raise RecordError(
            f'there is no folder {root}, so no path can be relative to it: nothing was done. Say '
            'which with --root'
        )
    return root


def _declare_record(verbs: Verbs) -> None:
    parser = verbs.add(
        'record',
        record,
        'the record of a notebook and its tasks, as a notebook that can be read anywhere and '
        'checked',
        'Tables under the cells, and in the metadata everything that is known of the tasks. The '
        'same notebook and queue give the same bytes.',
        'desipipe record analysis.ipynb',
        'desipipe record analysis.ipynb -o pipeline.record.ipynb --crate pipeline.zip',
        'desipipe record -q my_queue            of a queue alone',
        'desipipe record analysis.ipynb --with-results   so that others can go on with: desipipe '
        'import',
    )
    parser.add_argument(
        'notebook',
        nargs='?',
        metavar='NOTEBOOK',
        help='the notebook, executed and saved; it may be left out with -q',
    )
    _add_queues(parser, 'queues that it uses, beside those that its cells name')
    parser.add_argument(
        '-o',
        '--output',
        metavar='FILE',
        help='where to write the record; default: NAME.record.ipynb beside the notebook',
    )
    parser.add_argument(
        '--crate',
        metavar='FOLDER',
        help='write a Workflow Run RO-Crate, too: a new folder, or a file that ends in .zip',
    )
    parser.add_argument('--prov', metavar='FILE', help='write a PROV-JSON document, too')
    parser.add_argument(
        '--root',
        metavar='DIR',
        help='paths are written relative to this folder; default: that of the notebook',
    )
    parser.add_argument(
        '--include',
        nargs='+',
        default=[],
        metavar='KIND',
        help='keep what is left out otherwise: environ (values of variables), users, paths',
    )
    parser.add_argument(
        '--with-results',
        action='store_true',
        help='keep the bytes of code, arguments, results and outputs',
    )
    parser.add_argument(
        '--all',
        action='store_true',
        help='all tasks of the queues, also superseded ones and those of no cell',
    )


def record(args: argparse.Namespace) -> None:
    """``desipipe record``."""
    from ..cells.recorded import cell_node
    from ..errors import RecordError
    from ..record import files
    from ..record.notebook import make_record
    from ..record.privacy import Privacy

    if args.notebook is None and not args.queues:
        raise RecordError(
            'say what to record: a notebook, or queues with -q. For instance: desipipe record '
            'analysis.ipynb'
        )
    queues = _open(args.queues)
    source = args.notebook or queues[0].name
    notebook = None if args.notebook is None else _read(args.notebook)
    root = _folder(args.root) or (
        os.path.dirname(os.path.abspath(source)) if args.notebook else os.getcwd()
    )
    output = args.output or f'{os.path.splitext(source)[0]}.record.ipynb'
    if args.notebook and os.path.exists(output) and os.path.samefile(output, args.notebook):
        raise RecordError(
            f'{output} is the notebook itself: the record is written to a file of its own, say '
            'which with -o'
        )
    files.spare(output, files.KEY)
    made, models = make_record(
        notebook,
        source,
        queues,
        Privacy(root, args.include),
        cell_node,
        args.with_results,
        args.all,
    )
    data = files.notebook_bytes(made)
    files.write(output, data)
    written = [output]
    if args.prov:
        from ..record.prov import prov_bytes

        files.write(args.prov, prov_bytes(made['metadata'][files.KEY], models))
        written.append(args.prov)
    if args.crate:
        from ..record.crate import write_crate

        write_crate(args.crate, made, models, data)
        written.append(args.crate)
    total = made['metadata'][files.KEY]['totals']['tasks']
    print(f'{plural(total)} recorded in {", ".join(written)}')
    for words in made['metadata'][files.KEY]['left_out']:
        hint(f'left out: {words}' if not words.startswith('(') else words)
    for model in models:
        if model.head['others']:
            hint(
                f'{model.head["name"]}: {plural(model.head["others"])} more, which are superseded, '
                'or which no cell of the notebook has made or needs, '
                'were left out; with them: --all'
            )
    for entry in made['metadata'][files.KEY]['cells']:
        for note in entry.get('notes', ()):
            hint(f'cell {entry["cell"] + 1:d}: {note}')


def _read(path: str) -> dict[str, Any]:
    from ..record.files import read_notebook

    if path.endswith('.py'):
        from ..record.run import script_notebook

        return script_notebook(path)
    return read_notebook(path)


# Verify


def _declare_verify(verbs: Verbs) -> None:
    parser = verbs.add(
        'verify',
        verify,
        'check a record or a crate: against itself, and against its queue and files',
        'Exit status 0: all that was recorded was checked, and nothing differs; 1: something '
        'differs; 2: the record cannot be read; 3: nothing that was '
        'checked differs, but a part of the record could not be checked.',
        'desipipe verify pipeline.record.ipynb --strict --queue my_queue --root .',
        'desipipe verify pipeline.record.ipynb',
        'desipipe verify pipeline.zip --queue my_queue --root . --json',
        'desipipe verify pipeline.record.ipynb --queue my_queue --rerun 3',
    )
    parser.add_argument('record', metavar='RECORD', help='a record, or a crate (folder or zip)')
    _add_queues(parser, 'the queues to compare it with')
    parser.add_argument(
        '--root', metavar='DIR', help='the folder that paths of files are relative to'
    )
    parser.add_argument(
        '--rerun',
        type=positive,
        metavar='N',
        help=(
            'compute N tasks chosen at random again, and compare the results; this runs their code'
        ),
    )
    parser.add_argument(
        '--seed',
        type=int,
        metavar='N',
        help='which ones --rerun chooses; default: others each time',
    )
    parser.add_argument(
        '--rtol',
        type=float,
        metavar='X',
        help=(
            'relative tolerance for floating-point numbers of --rerun; default: equal to the last '
            'bit'
        ),
    )
    parser.add_argument('--atol', type=float, default=0.0, metavar='X', help='absolute tolerance')
    parser.add_argument(
        '--trust',
        action='store_true',
        help='run code that comes with the record itself, not from a queue of yours',
    )
    parser.add_argument(
        '--strict',
        action='store_true',
        help=(
            'count what is not checked as a difference, also queues and files that no option '
            'names; exit status 1 instead of 3'
        ),
    )
    add_json(parser)


def verify(args: argparse.Namespace) -> int:
    """``desipipe verify``."""
    from ..cells.recorded import cell_node
    from ..record.files import read_record
    from ..record.verify import exit_status
    from ..record.verify import verify as check

    queues = _open(args.queues)

    def find(model: QueueModel) -> Queue | None:
        fitting = [
            queue for queue in queues if queue.ledger.state.header.get('id') == model.head['id']
        ]
        named = [queue for queue in queues if queue.name == model.head['name']]
        return next(iter([*fitting, *named, *(queues if len(queues) == 1 else [])]), None)

    root = _folder(args.root)
    found = read_record(args.record)
    checks = check(found, cell_node, find if queues else None, root)
    if args.rerun:
        from ..record.rerun import rerun

        checks[-2:-2] = rerun(
            found, find if queues else None, args.rerun, args.seed, args.rtol, args.atol, args.trust
        )
    status = exit_status(checks, args.strict)
    if args.json:
        gaps = sum(item.is_gap(args.strict) for item in checks)
        print_json(
            {
                'record': os.path.abspath(args.record),
                'ok': not status,
                'unchecked': gaps,
                'checks': [item.to_dict() for item in checks],
            }
        )
    else:
        _show(checks, status, args.strict)
    return status


_LOOKS = {
    'ok': ('✓', 'green'),
    'differs': ('✕', 'bold red'),
    'note': ('!', 'yellow'),
    'cannot be checked': ('?', 'yellow'),
    'nothing to check': ('–', 'dim'),
    'not compared': ('–', 'dim'),
    'beyond a record': ('–', 'dim'),
}
_SCOPES = {'record': 'cannot be checked', 'option': 'not compared', 'never': 'beyond a record'}


def _show(checks: list[Check], status: int, strict: bool) -> None:
    lines = []
    for item in checks:
        words = _SCOPES[item.scope] if item.status == 'cannot be checked' else item.status
        symbol, style = _LOOKS[words]
        lines.append((f'{symbol} {item.name:<12} {words:<18}{item.words}', style))
        lines += [(f'    {words}', '') for words in item.details]
        if item.more:
            lines.append((f'    and {item.more:,d} more', 'dim'))
    lines.append((_conclusion(checks, status, strict), 'bold'))
    if on_terminal():
        from rich.text import Text

        console = FACE.get().console()
        for text, style in lines:
            console.print(Text(visible(text), style=style))
    else:
        print('\n'.join(text for text, _ in lines))


def _conclusion(checks: list[Check], status: int, strict: bool) -> str:
    n = Counter(item.status for item in checks)
    gaps = sum(item.is_gap(strict) for item in checks)
    words = f'{plural(n["ok"], "check")} ok' + (f', {n["note"]:d} to know' if n['note'] else '')
    if n['differs']:
        return f'{plural(n["differs"], "check")} found differences; {words}' + (
            f'; {gaps:d} cannot be made' if gaps else ''
        )
    if not status:
        return f'{words}: nothing differs'
    if not gaps:
        return f'{words}: the record holds no task, so nothing of a run was checked'
    return (
        f'{words}; {plural(gaps, "check")} cannot be made: what was checked does not differ, the '
        'rest is not known'
    )


# Import


def _declare_import(verbs: Verbs) -> None:
    parser = verbs.add(
        'import',
        import_,
        'make a queue of a record, or of a queue of desipipe 1.0',
        _IMPORTED,
        'desipipe import pipeline.record.ipynb --trust',
        'desipipe import pipeline.zip -q continued --with-results --trust',
        'desipipe import old.sqlite           a queue of desipipe 1.0',
        'desipipe import old.sqlite -q new',
    )
    words = 'a record, a crate (folder or zip), or a queue of desipipe 1.0 (.sqlite)'
    parser.add_argument('record', metavar='FILE', help=words)
    words = 'name of the new queue; default: that of the record, or of the old queue beside it'
    parser.add_argument('-q', '--queue', dest='new', metavar='QUEUE', help=words)
    words = 'of a record: take the results, too; otherwise all is computed anew'
    parser.add_argument('--with-results', action='store_true', help=words)
    words = 'of a record: where to write modules that its tasks used; default: here'
    parser.add_argument('--modules', default='.', metavar='DIR', help=words)
    words = 'of a record: do not ask whether its author is trusted'
    parser.add_argument('--trust', action='store_true', help=words)


def import_(args: argparse.Namespace) -> int:
    """Run ``desipipe import``."""
    from ..record.original_queue import SUFFIX, is_original

    if args.record.endswith(SUFFIX) or is_original(args.record):
        return _import_original(args.record, args.new)
    from ..record.files import read_record
    from ..record.importer import make_queues

    found = read_record(args.record)
    if not args.trust:
        names = ', '.join(
            sorted({app['name'] for model in found.models for app in model.head['apps']})
        )
        answer = FACE.get().ask(
            f'The code of its tasks ({names[:300]}) will run as you. Do you trust whoever made '
            f'{args.record}? [y/N] '
        )
        if answer is None:
            print(
                'desipipe: the code of its tasks would run as you; nothing was made. If you trust '
                'whoever made it, add --trust',
                file=sys.stderr,
            )
            return 2
        if answer.strip().lower() not in ('y', 'yes'):
            print('nothing was made')
            return 2
    for queue, words in make_queues(found, args.new, args.with_results):
        from ..queue.location import type_queue

        print(f'{queue.folder}: {words}')
        hint(f'Go on with: desipipe spawn {type_queue(queue.folder, queue.config)} --spawn')
    _write_modules(found, args.modules)
    return 0


def _import_original(path: str, name: str | None) -> int:
    """Make a queue of one of desipipe 1.0."""
    from ..config import Config
    from ..queue.location import type_queue
    from ..record.original_import import import_original, summary_line

    queue, report = import_original(path, name, Config())
    print(f'{queue.folder}: {summary_line(report)}')
    for note in report.notes:
        hint(note)
    where = type_queue(queue.folder, queue.config)
    hint(f'{path} was not changed. Look at the new queue with: desipipe status {where}')
    return 0


def _write_modules(found: Record, folder: str) -> None:
    from ..record.modules import write_modules

    for model in found.models:
        done = write_modules(model.head.get('modules', ()), found.payload, folder)
        if done.written:
            print(
                f'{plural(len(done.written), "module")} that the tasks used written to {folder}: '
                f'{", ".join(done.written)}'
            )
        if done.kept:
            hint(
                f'Not written, since others are there: {", ".join(done.kept)}. Cells that use '
                'these make other tasks than those of the record.'
            )
            hint(
                'To have those of the record, write them elsewhere: desipipe import '
                f'{shlex.quote(found.path)} -q OTHER --modules DIR'
            )


# Run


def _declare_run(verbs: Verbs) -> None:
    parser = verbs.add(
        'run',
        run,
        'execute a notebook or a script without a screen, and wait for its tasks',
        'The notebook is written after every cell. Parameters go into a cell below the one that is '
        'tagged "parameters", as papermill does it. Exit status as '
        'of watch: 0: all tasks succeeded; 1: a cell or a task failed; 2: it could not be done, or '
        'tasks are left.',
        'desipipe run analysis.ipynb -p size=1000 -p "name=first light"',
        'desipipe run analysis.ipynb -o out.ipynb --no-wait',
        'desipipe run out.ipynb --resume        go on with what failed; what is done is taken from '
        'the queue',
        'desipipe run analysis.ipynb --stale     only task cells that are not current',
        'desipipe run pipeline.py',
    )
    parser.add_argument(
        'notebook',
        metavar='NOTEBOOK',
        help=(
            'a notebook (.ipynb), or a script (.py; in percent format it is run as a notebook, '
            'with jupytext)'
        ),
    )
    parser.add_argument(
        '-p',
        '--parameter',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='a parameter; its value is read as YAML: 1, 0.5, true, [1, 2], text',
    )
    parser.add_argument(
        '-r',
        '--raw',
        action='append',
        default=[],
        metavar='NAME=TEXT',
        help='a parameter whose value is text, whatever it looks like',
    )
    parser.add_argument(
        '-f',
        '--parameters-file',
        action='append',
        default=[],
        metavar='FILE',
        help='a YAML file of parameters',
    )
    parser.add_argument(
        '-o',
        '--output',
        metavar='FILE',
        help='where to write the executed notebook; default: NAME.out.ipynb beside it',
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on: tasks that did not succeed are retried, and all cells are executed again, '
        'since the kernel that knew their names is gone; what is done is '
        'taken from the queue. The parameters are those of the notebook',
    )
    words = 'execute task cells that are not current, and what they need; write NOTEBOOK'
    parser.add_argument('--stale', action='store_true', help=words)
    parser.add_argument('--no-wait', action='store_true', help='do not wait for the tasks')
    parser.add_argument(
        '--timeout', type=seconds, metavar='SECONDS', help='the most that one cell may take'
    )
    parser.add_argument(
        '--kernel', metavar='NAME', help="the kernel to run it with, instead of the notebook's own"
    )
    parser.add_argument(
        '--cwd', metavar='DIR', help='the folder to run it in; default: that of the notebook'
    )


def run(args: argparse.Namespace) -> int:
    """``desipipe run``."""
    from ..errors import UnknownOptionError
    from ..record.run import parse_parameters, run_notebook, run_script

    parameters = parse_parameters(args.parameter, args.raw, args.parameters_file)
    if args.notebook.endswith('.py'):
        if args.stale:
            raise UnknownOptionError(
                f'{args.notebook} is a script, of which no outputs are kept. Nothing was run. Run '
                f'it: desipipe run {shlex.quote(args.notebook)}'
            )
        if args.resume:
            raise UnknownOptionError(
                f'{args.notebook} is a script, of which nothing was kept to go on with; nothing '
                'was run. Go on with the notebook that was made of it, or run '
                'it again: what is done is taken from its queues; let what failed run again with: '
                'desipipe retry -q QUEUE'
            )
        ran = run_script(
            args.notebook, parameters, args.output, args.timeout, args.kernel, args.cwd, hint
        )
    else:
        ran = run_notebook(
            args.notebook,
            parameters,
            args.output,
            args.resume,
            args.timeout,
            args.kernel,
            args.cwd,
            hint,
            choose=partial(_stale_cells, args.cwd or _notebook_folder(args))
            if args.stale
            else None,
        )
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


def _stale_cells(folder: str, notebook: dict[str, Any]) -> Sequence[int]:
    """List the cells to execute so that all tasks are of the present text; print what that
    costs.
    """
    from ..cells.file import Queues, read_cells
    from ..cells.modules import Modules
    from ..cells.plan import make_plan, to_lines

    queues = Queues()
    plan = make_plan(read_cells(notebook, queues), queues.estimate, modules=Modules(folder))
    for line in to_lines(plan):
        hint(visible(line))
    return plan.to_run


def _notebook_folder(args: argparse.Namespace) -> str:
    return os.path.dirname(os.path.abspath(str(args.notebook)))


def _declare_plan(verbs: Verbs) -> None:
    parser = verbs.add(
        'plan',
        plan,
        'show which task cells of a notebook are not current',
        'Nothing is run: the text of the notebook is compared with what its outputs recorded, and '
        'times are those of earlier tasks. Run what is stale with: desipipe run --stale NOTEBOOK. '
        'Exit status 0: all task cells are current; 1: some are not.',
        'desipipe plan analysis.ipynb',
        'desipipe plan analysis.ipynb --json',
    )
    parser.add_argument('notebook', metavar='NOTEBOOK', help='the notebook, executed and saved')
    add_json(parser)


def plan(args: argparse.Namespace) -> int:
    """``desipipe plan``."""
    from ..cells.file import Queues, read_cells
    from ..cells.modules import Modules
    from ..cells.plan import make_plan, to_json, to_lines
    from ..record.files import read_notebook

    queues = Queues()
    cells = read_cells(read_notebook(args.notebook), queues)
    found = make_plan(cells, queues.estimate, modules=Modules(_notebook_folder(args)))
    if args.json:
        print_json(to_json(found))
    else:
        print('\n'.join(map(visible, to_lines(found))))
    return 1 if found.total.cells else 0


def _wait(ran: Any) -> int:
    from ..queue.queue import open_queue
    from .show import follow

    worst = 0
    for folder in ran.queues:
        queue = open_queue(folder)
        queue.spawn = ran.spawns.get(folder, False)
        if queue.spawn:
            queue.keep_spawned()
        worst = max(worst, follow(queue, patience=30.0))
    return worst


def _bundle(summary: dict[str, Any]) -> dict[str, Any]:
    from ..view.bundle import bundle

    return bundle(summary)
