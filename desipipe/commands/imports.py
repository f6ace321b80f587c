"""The verb that makes a queue of a record or of a queue of desipipe 1.0: import."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING

from .common import Verbs, plural
from .face import FACE, hint

if TYPE_CHECKING:
    from ..record.files import Record


_IMPORTED = (
    'Of a record that was made with --with-results: to go on where it stopped. The code of its '
    'tasks will run as you: only from people you trust. Of a queue of desipipe 1.0 (NAME.sqlite) '
    'of your own: its tasks, states, results, output, errors and task managers are taken over into '
    'a queue beside it, and scripts that run again find what was computed. The file is only read.'
)


# Import


def register(verbs: Verbs) -> None:
    """Declare the verb."""
    _declare_import(verbs)


def _declare_import(verbs: Verbs) -> None:
    parser = verbs.add(
        'import',
        import_,
        'create a queue from a record or a desipipe 1.0 queue',
        _IMPORTED,
        'desipipe import pipeline.record.ipynb --trust',
        'desipipe import pipeline.zip -q continued --with-results --trust',
        'desipipe import old.sqlite           a queue of desipipe 1.0',
        'desipipe import old.sqlite -q new',
    )
    help_text = 'a record, a crate, or a desipipe 1.0 queue (.sqlite)'
    parser.add_argument('record', metavar='FILE', help=help_text)
    help_text = 'name of the new queue (default: that of the old one)'
    parser.add_argument('-q', '--queue', dest='new', metavar='QUEUE', help=help_text)
    help_text = 'also import results, instead of computing them again'
    parser.add_argument('--with-results', action='store_true', help=help_text)
    help_text = 'write modules that the tasks used here (default: .)'
    parser.add_argument('--modules', default='.', metavar='DIR', help=help_text)
    help_text = "do not ask whether the record's author is trusted"
    parser.add_argument('--trust', action='store_true', help=help_text)


def import_(args: argparse.Namespace) -> int:
    """Run ``desipipe import``."""
    from ..record.original_queue import SUFFIX, is_original

    if args.record.endswith(SUFFIX) or is_original(args.record):
        return _import_original(args.record, args.new)
    from ..record.files import read_record
    from ..record.importer import make_queues

    record = read_record(args.record)
    if not args.trust:
        names = ', '.join(
            sorted({app['name'] for model in record.models for app in model.head['apps']})
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
    for queue, text in make_queues(record, args.new, args.with_results):
        from ..queue.location import type_queue

        print(f'{queue.folder}: {text}')
        hint(f'Go on with: desipipe spawn {type_queue(queue.folder, queue.config)} --spawn')
    _write_modules(record, args.modules)
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


def _write_modules(record: Record, folder: str) -> None:
    from ..record.modules import write_modules

    for model in record.models:
        done = write_modules(model.head.get('modules', ()), record.payload, folder)
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
                f'{shlex.quote(record.path)} -q OTHER --modules DIR'
            )
