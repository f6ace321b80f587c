"""The verb that checks what works here: doctor."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..queue.location import find_folders
from .common import QueueDefault, Verbs, add_json, add_queue, plural
from .differences import PAGE
from .face import print_json
from .findings import Finding, show_findings
from .jupyter_checks import check_jupyter, check_quota, report_line
from .machine_checks import (
    check_folder,
    check_node_sees,
    check_programs,
    check_python,
    is_used,
    read_config,
)
from .queue_checks import check_queue

if TYPE_CHECKING:
    from ..config import Config

_MIGRATE = (
    '--migrate runs nothing of the scripts. '
    'Its exit status: 0: nothing will differ; 1: something will; 2: one cannot be read. '
    'It names each line, the reason, what to change, and where the migration page says more.'
)


def register(verbs: Verbs) -> None:
    """Declare the verb."""
    _declare_doctor(verbs)


def _declare_doctor(verbs: Verbs) -> None:
    parser = verbs.add(
        'doctor',
        doctor,
        'check this machine, and with -q a queue',
        (
            'It checks locks, permissions, packages, quotas, Jupyter and the Python of its '
            'kernels; of a queue its journal and its '
            'processes; with --job, whether a node of Slurm sees the folder of the queues. '
            'Exit status 1 if something is wrong. --repair moves damaged lines of the '
            'journal aside, so that they are not reported again. '
        )
        + _MIGRATE,
        'desipipe doctor',
        'desipipe doctor -q my_queue --repair',
        'desipipe doctor -q my_queue --job  does a node of Slurm see it?',
        'desipipe doctor --migrate pipeline.py analysis.ipynb',
    )
    add_queue(parser, several=True, default=QueueDefault.NONE)
    parser.add_argument(
        '--repair', action='store_true', help='move damaged lines of the journal aside'
    )
    parser.add_argument(
        '--job',
        action='store_true',
        help=('also run a Slurm job of one second'),
    )
    help_text = 'list what differs in scripts for desipipe 1.0'
    parser.add_argument('--migrate', nargs='+', metavar='SCRIPT', help=help_text)
    add_json(parser)


def doctor(args: argparse.Namespace) -> int:
    """Run ``desipipe doctor``."""
    from ..errors import ConfigError, QueueError

    if args.migrate:
        return _migrate(args.migrate, args.json)
    if args.repair and not args.queue:
        raise QueueError('Nothing was repaired: --repair needs a queue. Name it with -q.')
    findings = [check_python()]
    try:
        config = read_config()
    except ConfigError as exc:
        findings.append(Finding('configuration', False, str(exc)))
        return show_findings(findings, args.json)
    folders = find_folders(args.queue, config) if args.queue else []
    source = '' if os.path.exists(config.filename) else ' (there is none: defaults)'
    text = f'{config.filename}{source}; queues are in {config.queue_dir}'
    findings.append(Finding('configuration', True, text))
    findings += _check_folders(folders, config)
    findings += check_programs()
    findings += check_jupyter()
    findings += check_quota()
    if args.job:
        for base in dict.fromkeys(folders or [config.queue_dir]):
            findings += _check_node(base)
    for folder in folders:
        findings += _check_queue(folder, config, args.repair)
    line = report_line(config.queue_dir)
    findings.append(Finding('report', None, 'Paste this line into an issue', line))
    return show_findings(findings, args.json)


def _check_folders(folders: list[str], config: Config) -> Iterator[Finding]:
    used = {config.queue_dir}
    if folders:
        used = {os.path.dirname(folder) for folder in folders if is_used(folder, config)}
    bases = [os.path.dirname(folder) for folder in folders] or [config.queue_dir]
    for base in dict.fromkeys(bases):
        yield from check_folder(base, config, base in used)


def _check_node(base: str) -> Iterator[Finding]:
    if os.path.isdir(base):
        yield from check_node_sees(base)
    else:
        yield Finding('node', None, f'{base} is not there yet; create a queue first')


def _check_queue(folder: str, config: Config, repair: bool) -> Iterator[Finding]:
    from ..errors import DesipipeError

    try:
        yield from check_queue(folder, config, repair)
    except (DesipipeError, OSError) as exc:
        yield Finding(os.path.basename(folder), False, str(exc))


def _migrate(paths: list[str], as_json: bool) -> int:
    """Name what will differ in scripts and notebooks of desipipe 1.0."""
    from .migrate import find_notes

    notes_of = {path: find_notes(path) for path in paths}
    notes = [note for several in notes_of.values() for note in several or ()]
    if as_json:
        print_json([note._asdict() for note in notes])
        return 1 if notes else 0
    for path, several in notes_of.items():
        if several is None:
            print(f'{path}: does not use desipipe')
        elif not several:
            print(f'{path}: nothing will differ')
    for note in notes:
        print(f'{note.where}: {note.text}\n  {note.why}\n  → {note.change} ({note.link})')
    if notes:
        print(f'{plural(len(notes), "line")} to look at. See {PAGE}')
    return 1 if notes else 0
