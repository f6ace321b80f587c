"""Verbs about records: record, verify."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from ..cells.option_types import positive
from ..terminal import visible
from .common import Verbs, add_json, plural
from .face import FACE, hint, on_terminal, print_json

if TYPE_CHECKING:
    from ..queue.queue import Queue
    from ..record.checks import Check
    from ..record.documents import Notebook
    from ..record.model import QueueModel


# Record


def register(verbs: Verbs) -> None:
    """Declare these verbs."""
    for declare in (_declare_record, _declare_verify):
        declare(verbs)


def _add_queues(parser: argparse.ArgumentParser, help_text: str) -> None:
    """Declare ``-q`` for any number of queues, none as well."""
    parser.add_argument(
        '-q', '--queue', dest='queues', nargs='+', default=[], metavar='QUEUE', help=help_text
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
            f'There is no folder {root}, so no path can be relative to it. Nothing was done. Name '
            'one with --root.'
        )
    return root


def _declare_record(verbs: Verbs) -> None:
    parser = verbs.add(
        'record',
        record,
        'write a record of a notebook and its tasks',
        'A record is a notebook that can be read anywhere and checked by verify: it has tables '
        'under the cells, and in the metadata everything that is known of the tasks. The same '
        'notebook and queue give the same bytes. Kinds for --include: environ (values of '
        'variables), users, paths.',
        'desipipe record analysis.ipynb',
        'desipipe record analysis.ipynb -o pipeline.record.ipynb --crate pipeline.zip',
        'desipipe record -q my_queue            of a queue alone',
        'desipipe record analysis.ipynb --with-results   so that others can import it',
    )
    add = parser.add_argument
    help_text = 'the executed notebook; optional with -q'
    add('notebook', nargs='?', metavar='NOTEBOOK', help=help_text)
    _add_queues(parser, 'further queues, beside those that its cells name')
    help_text = 'write the record here (default: NAME.record.ipynb)'
    add('-o', '--output', metavar='FILE', help=help_text)
    help_text = 'also write a Workflow Run RO-Crate (folder or .zip)'
    add('--crate', metavar='FOLDER', help=help_text)
    add('--prov', metavar='FILE', help='also write a PROV-JSON document')
    help_text = "folder that paths start from (default: the notebook's)"
    add('--root', metavar='DIR', help=help_text)
    help_text = 'keep what is left out by default: environ, users, paths'
    add('--include', nargs='+', default=[], metavar='KIND', help=help_text)
    help_text = 'keep the bytes of code, arguments, results and outputs'
    add('--with-results', action='store_true', help=help_text)
    add('--all', action='store_true', help='include superseded tasks and those of no cell')


def record(args: argparse.Namespace) -> None:
    """Run ``desipipe record``."""
    from ..cells.recorded import cell_node
    from ..errors import RecordError
    from ..record import digests, notebook_files
    from ..record.notebook import make_record
    from ..record.privacy import Privacy

    if args.notebook is None and not args.queues:
        raise RecordError(
            'Nothing was recorded: name a notebook, or queues with -q. For instance: desipipe '
            'record analysis.ipynb'
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
            f'{output} is the notebook itself. Nothing was recorded: the record is written to a '
            'file of its own. Name it with -o.'
        )
    notebook_files.spare(output, digests.KEY)
    privacy = Privacy(root, args.include)
    document, models = make_record(
        notebook, source, queues, privacy, cell_node, args.with_results, args.all
    )
    written = _written(document, models, output, args)
    totals = document['metadata'][digests.KEY]['totals']
    superseded = f' and {n} superseded' if (n := totals.get('superseded')) else ''
    print(f'{plural(totals["tasks"])}{superseded} recorded in {", ".join(written)}')
    _tell_left_out(document['metadata'][digests.KEY], models)


def _written(
    document: Notebook, models: list[QueueModel], output: str, args: argparse.Namespace
) -> list[str]:
    """Write the record in all formats that are asked for; return the names of files."""
    from ..record import digests, notebook_files

    data = digests.notebook_bytes(document)
    notebook_files.write(output, data)
    written = [output]
    if args.prov:
        from ..record.prov import prov_bytes

        notebook_files.write(args.prov, prov_bytes(document['metadata'][digests.KEY], models))
        written.append(args.prov)
    if args.crate:
        from ..record.crate.files import write_crate

        write_crate(args.crate, document, models, data)
        written.append(args.crate)
    return written


def _tell_left_out(metadata: dict[str, Any], models: list[QueueModel]) -> None:
    for text in metadata['left_out']:
        hint(text if text.startswith('(') else f'left out: {text}')
    for model in models:
        if model.head['others']:
            hint(
                f'{model.head["name"]}: {plural(model.head["others"])} more, which are superseded, '
                'or which no cell of the notebook has made or needs, were left out; with them: '
                '--all'
            )
    for entry in metadata['cells']:
        for note in entry.get('notes', ()):
            hint(f'cell {entry["cell"] + 1:d}: {note}')


def _read(path: str) -> Notebook:
    from ..record.notebook_files import read_notebook

    if path.endswith('.py'):
        from ..record.run import script_notebook

        return script_notebook(path)
    return read_notebook(path)


# Verify


def _declare_verify(verbs: Verbs) -> None:
    parser = verbs.add(
        'verify',
        verify,
        'check a record against itself, its queue and its files',
        'RECORD is a record or a crate. --rerun runs the code of the tasks that it chooses at '
        'random. --strict counts what is not checked as a difference, also queues and files that '
        'no option names. Exit status 0: all that was recorded was checked, and nothing differs; '
        '1: something differs; 2: the record cannot be read; 3: nothing that was checked differs, '
        'but a part of the record could not be checked (with --strict: 1).',
        'desipipe verify pipeline.record.ipynb --strict --queue my_queue --root .',
        'desipipe verify pipeline.record.ipynb',
        'desipipe verify pipeline.zip --queue my_queue --root . --json',
        'desipipe verify pipeline.record.ipynb --queue my_queue --rerun 3',
    )
    add = parser.add_argument
    add('record', metavar='RECORD', help='a record, or a crate (folder or zip)')
    _add_queues(parser, 'queues to compare it with')
    add('--root', metavar='DIR', help='folder that paths of files start from')
    help_text = 'run N random tasks again, and compare their results'
    add('--rerun', type=positive, metavar='N', help=help_text)
    help_text = 'make --rerun choose the same tasks each time'
    add('--seed', type=int, metavar='N', help=help_text)
    help_text = 'relative tolerance of --rerun (default: exactly equal)'
    add('--rtol', type=float, metavar='X', help=help_text)
    help_text = 'absolute tolerance of --rerun (default: 0)'
    add('--atol', type=float, default=0.0, metavar='X', help=help_text)
    help_text = 'run code from the record itself, not from your queue'
    add('--trust', action='store_true', help=help_text)
    add('--strict', action='store_true', help='count what is not checked as a difference')
    add_json(parser)


def verify(args: argparse.Namespace) -> int:
    """Run ``desipipe verify``."""
    from ..cells.recorded import cell_node
    from ..record.checks import exit_status
    from ..record.files import read_record
    from ..record.verify import verify as check

    queues = _open(args.queues)
    find = partial(_fitting, queues) if queues else None
    root = _folder(args.root)
    record = read_record(args.record)
    checks = check(record, cell_node, find, root)
    if args.rerun:
        from ..record.rerun import rerun

        checks[-2:-2] = rerun(record, find, args.rerun, args.seed, args.rtol, args.atol, args.trust)
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


def _fitting(queues: list[Queue], model: QueueModel) -> Queue | None:
    """Return the queue that a model was made of: by its identity, else by its name."""
    same = [queue for queue in queues if queue.ledger.state.header.get('id') == model.head['id']]
    named = [queue for queue in queues if queue.name == model.head['name']]
    return next(iter([*same, *named, *(queues if len(queues) == 1 else [])]), None)


_APPEARANCE = {
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
        detail = _SCOPES[item.scope] if item.status == 'cannot be checked' else item.status
        symbol, style = _APPEARANCE[detail]
        lines.append((f'{symbol} {item.name:<12} {detail:<18}{item.words}', style))
        lines += [(f'    {detail}', '') for detail in item.details]
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
    text = f'{plural(n["ok"], "check")} ok' + (f', {n["note"]:d} to know' if n['note'] else '')
    if n['differs']:
        return f'{plural(n["differs"], "check")} found differences; {text}' + (
            f'; {gaps:d} cannot be made' if gaps else ''
        )
    if not status:
        return f'{text}: nothing differs'
    if not gaps:
        return f'{text}: the record holds no task, so nothing of a run was checked'
    return (
        f'{text}; {plural(gaps, "check")} cannot be made: what was checked does not differ, the '
        'rest is not known'
    )
