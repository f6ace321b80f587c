"""``desipipe files``: which files the tasks of a queue read and wrote."""

from __future__ import annotations

import argparse
import os
import time
from typing import TYPE_CHECKING

from .common import QueueDefault, Verbs, add_json, add_queue, describe, open_one, plural
from .face import hint, print_json
from .listing_options import ListingOptions, add_listing, listing_options

if TYPE_CHECKING:
    from ..file_manager.history import FileSummary
    from ..queue.queue import Queue

_APPEARANCE = {
    'current': ('✓', '#009e73', 'as its task wrote it, of what is still so'),
    'stale': ('!', '#bf8000', 'a file it was made of, directly or not, holds something else now'),
    'changed': ('≠', '#bf8000', 'it holds something else than its task wrote'),
    'missing': ('✕', '#d55e00', 'it is not there'),
    'input': ('·', '#8c8c8c', 'no task of this queue wrote it'),
}


def register(verbs: Verbs) -> None:
    """Declare the verb."""
    _declare_files(verbs)


def _declare_files(verbs: Verbs) -> None:
    parser = verbs.add(
        'files',
        files,
        'list files of tasks, and whether they are up to date',
        (
            'For each file: which task made it, from which files, and whether these are '
            'still what they were. It knows what tasks load and save through the file '
            'manager. PATH is a file, or a folder.'
        ),
        'desipipe files -q my_queue',
        'desipipe files -q my_queue data/power_LRG.npy  all about one file',
        'desipipe files -q my_queue --state stale changed',
    )
    add_queue(parser, default=QueueDefault.LATEST)
    parser.add_argument(
        'path', nargs='?', metavar='PATH', help='only this file, or files in this folder'
    )
    parser.add_argument(
        '--state',
        nargs='+',
        choices=tuple(_APPEARANCE),
        metavar='STATE',
        help='only files in these states',
    )
    describe(parser, f'States: {", ".join(_APPEARANCE)}.')
    add_listing(parser, 'file state size made_by of_files read_by')
    add_json(parser)


def files(args: argparse.Namespace) -> int | None:
    """``desipipe files``."""
    from ..file_manager.history import file_summaries
    from ..queue.location import type_queue

    queue = open_one(args)
    summaries = file_summaries(queue.ledger, args.path)
    if args.path and not summaries:
        raise _unknown(
            args.path, file_summaries(queue.ledger), type_queue(queue.folder, queue.config)
        )
    summaries = [file for file in summaries if not args.state or file['state'] in args.state]
    if args.json:
        print_json(summaries)
    elif args.path and len(summaries) == 1 and summaries[0]['path'] == os.path.realpath(args.path):
        _one(queue, summaries[0])
    elif summaries:
        _table(summaries, listing_options(args))
        counts = {state: sum(file['state'] == state for file in summaries) for state in _APPEARANCE}
        hint(
            f'{plural(len(summaries), "file")}: '
            + ', '.join(
                f'{n:,d} {state} ({_APPEARANCE[state][2]})' for state, n in counts.items() if n
            )
        )
    else:
        hint(
            'No files are in that state'
            if args.state
            else 'No task of this queue has read or written a file through the file manager'
        )
    return None


def _unknown(path: str, summaries: list[FileSummary], queue: str) -> Exception:
    from ..errors import UnknownNameError, close_names

    near = close_names(os.path.realpath(path), [file['path'] for file in summaries])
    return UnknownNameError(
        f'No task of this queue has read or written {path} through the file manager (list files '
        f'with: desipipe files {queue}): {near}'
    )


def _maker(file: FileSummary) -> str:
    maker = file['maker']
    return '' if maker is None else f'{maker["name"]}[{maker["index"]:d}] {maker["tid"][:12]}'


def _table(summaries: list[FileSummary], options: ListingOptions) -> None:
    from ..utils import format_bytes, format_count
    from .listings import Column, Fit, show_table

    rows = [
        {
            'path': _short(file['path']),
            'state': file['state'],
            'size': file['size'],
            'maker': _maker(file),
            'inputs': len(file['inputs']),
            'readers': len(file['readers']),
        }
        for file in summaries
    ]
    columns = [
        Column('path', 'file', fit=Fit.MIDDLE),
        Column(
            'state',
            'state',
            lambda state: f'{_APPEARANCE[state][0]} {state}',
            style=lambda state: _APPEARANCE[state][1],
        ),
        Column('size', 'size', format_bytes, right=True),
        Column('maker', 'made by', fit=Fit.MIDDLE),
        Column('inputs', 'of files', format_count, True, fit=Fit.OPTIONAL),
        Column('readers', 'read by', format_count, True, fit=Fit.OPTIONAL),
    ]
    show_table(columns, rows, options=options)


def _short(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith('..') else relative


def _one(queue: Queue, file: FileSummary) -> None:
    from ..queue.location import type_queue
    from ..utils import format_bytes
    from .tables import show_lines

    where = type_queue(queue.folder, queue.config)
    lines = [file['path']]
    lines.append(f'  {file["state"]}: {_APPEARANCE[file["state"]][2]}')
    lines.append(f'  {format_bytes(file["size"])}, sha256 {file["sha256"]}')
    maker = file['maker']
    if maker is not None:
        when = time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(maker['time']))
        lines.append(
            f'  made by {_maker(file)}, attempt {maker["attempt"]:d} ({maker["state"]}), on '
            f'{maker["host"]}, {when}'
        )
        for item in file['inputs']:
            text = (
                ['changed'] * (item['same'] is False)
                + ['gone'] * (item['same'] is None)
                + ['stale'] * item['stale']
            )
            lines.append(f'  of {_short(item["path"])}' + (f' ({", ".join(text)})' if text else ''))
        above = set(file['changed']).difference(item['path'] for item in file['inputs'])
        for path in sorted(above):
            lines.append(f'  and so of {_short(path)} (changed)')
        lines.append(
            '  with '
            + ', '.join(
                f'{name} {value}' for name, value in maker['versions'].items() if len(value) < 80
            )
        )
        lines.append(f'  code: desipipe tasks {where} --tid {maker["tid"][:12]} --property code')
    for reader in file['readers']:
        lines.append(f'  read by {reader["name"]}[{reader["index"]:d}] {reader["tid"][:12]}')
    show_lines([(line, '')] for line in lines)
