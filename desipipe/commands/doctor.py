"""The verb that says what works here, and what to type about what does not: doctor."""

from __future__ import annotations

import argparse
import fcntl
import itertools
import os
import shlex
import stat
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ..queue.location import find_folders, type_queue
from .common import Verbs, add_json, add_queue, plural, print_json
from .differences import PAGE

if TYPE_CHECKING:
    from ..config import Config
    from ..queue.queue import Queue

_PACKAGES = ('cloudpickle', 'filelock', 'numpy', 'orjson', 'pyyaml', 'rich')
_HELD = 2.0  # s; nobody who is well holds a lock that long
_OLD = 3600.0  # s after which what is made and renamed at once is a leftover
_SPACE = 100e6  # bytes
_MOST = 5  # of the same kind to name
_WORDS_MAX = 2000  # characters of a finding


_MIGRATE = (
    '--migrate runs nothing of the scripts. '
    'Its exit status: 0: nothing will differ; 1: something will; 2: one cannot be read. '
    'It names each line, the reason, what to change, and where the migration page says more.'
)


class Finding(NamedTuple):
    """A check of ``desipipe doctor``, and its result."""

    check: str
    ok: bool | None
    """``None``: good to know."""
    words: str
    fix: str = ''
    """What to type."""


def register(verbs: Verbs) -> None:
    """Declare the verb."""
    _declare_doctor(verbs)


def _declare_doctor(verbs: Verbs) -> None:
    parser = verbs.add(
        'doctor',
        doctor,
        'what works here: locks, permissions, packages, and, with -q, the journal and the '
        'processes of a queue',
        (
            'Exit status 1 if something is wrong. --repair moves damaged lines of the journal '
            'aside, so that they are not reported again. '
        )
        + _MIGRATE,
        'desipipe doctor',
        'desipipe doctor -q my_queue --repair',
        'desipipe doctor -q my_queue --job  does a node of Slurm see it?',
        'desipipe doctor --migrate pipeline.py analysis.ipynb',
    )
    add_queue(parser, several=True, required=False)
    parser.add_argument(
        '--repair', action='store_true', help='move damaged lines of the journal of the queue aside'
    )
    parser.add_argument(
        '--job',
        action='store_true',
        help=(
            'also run a Slurm job of a second, to see whether a node sees the folder of the queues'
        ),
    )
    words = 'instead: name what will differ in scripts and notebooks written for desipipe 1.0'
    parser.add_argument('--migrate', nargs='+', metavar='SCRIPT', help=words)
    add_json(parser)


def doctor(args: argparse.Namespace) -> int:
    """``desipipe doctor``."""
    from ..errors import ConfigError, DesipipeError, QueueError

    if args.migrate:
        return _migrate(args.migrate, args.json)
    if args.repair and not args.queue:
        raise QueueError('nothing was repaired: say which queue, with -q')
    findings = [_python()]
    try:
        config = _config()
    except ConfigError as exc:
        findings.append(Finding('configuration', False, str(exc)))
        return _show(findings, args.json)
    folders = find_folders(args.queue, config) if args.queue else []
    findings.append(
        Finding(
            'configuration',
            True,
            f'{config.filename}{"" if os.path.exists(config.filename) else " (there is none: defaults)"}; '  # noqa: E501
            f'queues are in {config.queue_dir}',
        )
    )
    used = (
        {os.path.dirname(folder) for folder in folders if _is_used(folder, config)}
        if folders
        else {config.queue_dir}
    )
    for base in dict.fromkeys(
        [os.path.dirname(folder) for folder in folders] or [config.queue_dir]
    ):
        findings += _base(base, config, base in used)
    findings += _programs()
    if args.job:
        for base in dict.fromkeys([*folders] or [config.queue_dir]):
            findings += (
                _shared(base)
                if os.path.isdir(base)
                else [Finding('node', None, f'{base} is not there yet; make a queue first')]
            )
    for folder in folders:
        try:
            findings += _queue(folder, config, args.repair)
        except (DesipipeError, OSError) as exc:
            findings.append(Finding(os.path.basename(folder), False, str(exc)))
    return _show(findings, args.json)


def _migrate(paths: list[str], as_json: bool) -> int:
    """Name what will differ in scripts and notebooks of desipipe 1.0."""
    from .migrate import find_notes

    found = {path: find_notes(path) for path in paths}
    notes = [note for several in found.values() for note in several or ()]
    if as_json:
        print_json([note._asdict() for note in notes])
        return 1 if notes else 0
    for path, several in found.items():
        if several is None:
            print(f'{path}: does not use desipipe')
        elif not several:
            print(f'{path}: nothing will differ')
    for note in notes:
        print(f'{note.where}: {note.text}\n  {note.why}\n  → {note.change} ({note.link})')
    if notes:
        print(f'{plural(len(notes), "line")} to look at. See {PAGE}')
    return 1 if notes else 0


def _show(findings: list[Finding], as_json: bool) -> int:
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        from ..view.queue import CONDITIONS
        from ..view.text import Line, one_line
        from .tables import show_lines

        looks = {True: CONDITIONS['done'], False: CONDITIONS['failed'], None: CONDITIONS['empty']}
        lines: list[Line] = []
        for finding in findings:
            look = looks[finding.ok]
            lines.append(
                [
                    (f'{look.symbol} {finding.check}: ', look.colour),
                    (one_line(finding.words, _WORDS_MAX), ''),
                ]
            )
            if finding.fix:
                lines.append([('  → ', 'dim'), (finding.fix, 'bold')])
        bad = sum(finding.ok is False for finding in findings)
        lines.append([(f'{plural(bad, "thing")} to put right' if bad else 'All is well', 'bold')])
        show_lines(lines)
    return 1 if any(finding.ok is False for finding in findings) else 0


# This machine


def _python() -> Finding:
    from importlib import metadata

    from .._version import __version__

    versions, missing = (
        [f'Python {".".join(map(str, sys.version_info[:3]))}', f'desipipe {__version__}'],
        [],
    )
    for package in _PACKAGES:
        try:
            versions.append(f'{package} {metadata.version(package)}')
        except metadata.PackageNotFoundError:
            missing.append(package)
    if missing:
        return Finding(
            'python',
            False,
            f'{", ".join(versions)}; missing: {", ".join(missing)}',
            f'{sys.executable} -m pip install {" ".join(missing)}',
        )
    return Finding('python', True, ', '.join(versions))


def _config() -> Config:
    from ..config import Config

    config = Config()
    config.queue_dir_of(config.user)  # it may hold a variable that is not set
    return config


def _programs() -> Iterator[Finding]:
    import shutil

    yield Finding(
        'MPI',
        None,
        shutil.which('mpiexec') or 'no mpiexec here; tasks of several MPI processes need it',
    )
    if shutil.which('sbatch') is None:
        yield Finding('Slurm', None, 'no sbatch here; the provider slurm needs it')
        return
    from ..provider.slurm import choices

    missing = [
        program
        for program in ('squeue', 'scancel', 'scontrol', 'srun')
        if shutil.which(program) is None
    ]
    if missing:
        yield Finding('Slurm', False, f'there is sbatch, but no {", ".join(missing)}', 'echo $PATH')
    names = {what: choices(what) for what in ('partition', 'constraint', 'account', 'qos')}
    if not names['partition']:
        here = bool(os.environ.get('SLURM_CONF')) or os.path.exists('/etc/slurm/slurm.conf')
        yield Finding(
            'Slurm',
            False if here else None,
            'it does not answer; jobs would wait until it does',
            'scontrol ping',
        )
        return
    words = '; '.join(
        f'{what}: {", ".join(found)}' if found else f'{what}: not known'
        for what, found in names.items()
    )
    yield Finding('Slurm', True, f'it answers. {words}')
    if shutil.which('sacct') is None or not names['account']:
        yield Finding(
            'Slurm accounts',
            None,
            'it keeps none, or does not show them: why a job ended is then known for some minutes '
            'only',
        )


def _shared(folder: str) -> Iterator[Finding]:
    """A job of a second: whether a node sees the folder, and what is written there."""
    import secrets
    import shutil
    import subprocess

    from ..provider.slurm import run

    if shutil.which('srun') is None:
        yield Finding('node', False, 'no srun here: nothing was tried', 'desipipe doctor')
        return
    path = os.path.join(folder, f'doctor-{secrets.token_hex(4)}.tmp')
    words = secrets.token_hex(8)
    with open(path, 'w') as file:
        file.write(words)
        file.flush()
        os.fsync(file.fileno())
    script = 'cat "$1" && hostname && echo "$2" >> "$1"'
    try:
        done = run(
            [
                'srun',
                '-N1',
                '-n1',
                '-t1',
                '--immediate=60',
                '--chdir=/',
                'sh',
                '-c',
                script,
                'sh',
                path,
                f' {words}',
            ],
            90.0,
        )
        said = done.stdout.removeprefix(words).strip()
        with open(path) as file:
            seen = file.read().split() == [words, words]
    except subprocess.TimeoutExpired:
        yield Finding('node', None, 'no node was free within a minute: nothing is known', 'sinfo')
        return
    finally:
        os.unlink(path)
    if done.returncode == 0 and seen:
        yield Finding('node', True, f'{said} sees {folder}, and what it writes there is seen here')
    elif 'Unable to allocate' in done.stderr or 'immediate' in done.stderr:
        yield Finding('node', None, f'no node was given: {" ".join(done.stderr.split())}', 'sinfo')
    else:
        yield Finding(
            'node',
            False,
            f'a node does not see {folder}: '
            f'{" ".join(done.stderr.split()) or "what it wrote is not here"}',
            'export DESIPIPE_QUEUE_DIR=FOLDER',
        )


def _is_used(folder: str, config: Config) -> bool:
    """Return True unless the queue may only be looked at."""
    from ..security.trust import TrustedUsers, look_at

    return TrustedUsers(config)(look_at(folder).uid)


def _base(base: str, config: Config, tries: bool) -> Iterator[Finding]:
    from ..errors import LockingError
    from ..store.probe import mount_of, probe
    from ..utils import format_bytes

    there = base
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    if there != base:
        yield Finding('folder', None, f'{base} is not there yet; it is made with the first queue')
    mount = mount_of(there)
    yield Finding(
        'filesystem',
        True,
        f'{there} is on '
        f'{mount.fstype}{", shared between machines" if mount.shared else ", of this machine only"}, '  # noqa: E501
        f'mounted at {mount.point}',
    )
    if not os.access(there, os.W_OK | os.X_OK):
        fix = 'export DESIPIPE_QUEUE_DIR=FOLDER' if tries else ''
        yield Finding(
            'permissions',
            False if tries else None,
            f'you cannot write to {there}: queues can be looked at, not made there',
            fix,
        )
        return
    space = os.statvfs(there)
    free = space.f_bavail * space.f_frsize
    words = (
        f'{format_bytes(free)} free'
        + (f', {space.f_favail:,d} more files' if space.f_files else '')
        + ' (quotas not counted)'
    )
    if free < _SPACE or (space.f_files and space.f_favail < 1000):
        yield Finding('space', False, words, "desipipe compact -q '*'")
    else:
        yield Finding('space', True, words)
    if not tries:
        yield Finding(
            'locks',
            None,
            f'not tried in {there}: nothing is written beside queues that you only look at',
        )
        return
    try:
        found = probe(there, config.lock)
    except LockingError as exc:
        yield Finding('locks', False, str(exc), 'export DESIPIPE_QUEUE_DIR=FOLDER')
    else:
        wake = (
            f'; the next in line has the lock after {found.wake * 1000:.2g} ms'
            if found.lock != 'soft'
            else ''
        )
        yield Finding('locks', True, f'kind {found.lock!r} works in {there}{wake}')


# A queue


def _queue(folder: str, config: Config, repair: bool) -> Iterator[Finding]:
    from ..queue.queue import Queue, restore_first_line

    restored = repair and restore_first_line(folder, config)
    queue = Queue(folder, create=False, config=config)
    where = type_queue(folder, config)
    if restored:
        yield Finding(
            f'{queue.name}: repair',
            True,
            'The first line was damaged, and was made again. Workers of before end',
        )
    header = queue.ledger.journal.header
    is_used = queue.ledger.use_error() is None
    if repair:
        queue.ledger.check_use()
    held = None
    if is_used:
        # Not a word of it would be true, and `repair` would wait for ever, while someone sits on
        # the lock.
        held = _held(os.path.join(folder, 'lock'), str(header.get('lock')))
        words = held or f'kind {header.get("lock")!r}, free'
        yield Finding(
            f'{queue.name}: lock', held is None, words, f'desipipe doctor {where}' if held else ''
        )
    if repair and held is None:
        yield from _repair(queue, restored)
    yield from _permissions(queue, config)
    checks = [_journal(queue, where), _segments(queue, where)]
    if (
        is_used and not queue.ledger.is_group_queue
    ):  # what a provider is asked runs code of the queue's owner
        checks += [_jobs(queue), _waiting_jobs(queue, where)]
    checks += [_processes(queue, where), _leftovers(queue)]
    for finding in itertools.chain.from_iterable(checks):
        # What to type about a queue that is only looked at is for its owner.
        yield finding if is_used else finding._replace(fix='')


def _repair(queue: Queue, restored: bool) -> Iterator[Finding]:
    from ..queue.compact import mend

    done = mend(queue.ledger)
    check = f'{queue.name}: repair'
    if not done.moved and not done.regained and not done.gaps and not restored:
        yield Finding(check, True, 'no line was damaged')
        return
    moved = (
        f'{plural(done.moved, "damaged line")} moved aside, into {queue.folder}/journal.damaged-…'
        if done.moved
        else 'no other line was damaged'
        if not restored
        else 'damaged lines were moved aside with it'
    )
    put_back = f'; {plural(done.regained, "line")} put back into order' if done.regained else ''
    if done.gaps and not done.regained:
        put_back += f'; lines were missing at {plural(done.gaps, "place")}'
    yield Finding(
        check,
        True,
        f'{moved}{put_back}. {plural(done.before)} known before, {plural(done.after)} after',
    )
    if done.lost:
        yield Finding(
            check,
            False,
            f'{plural(done.lost)} lost: add them again by running the notebook or script again',
        )


def _held(path: str, kind: str) -> str | None:
    if kind == 'soft':
        return None  # breaks by itself when its holder is gone
    from ..store.files import open_file
    from ..store.lock import flock_holder

    try:
        fd = open_file(os.path.dirname(path), os.path.basename(path), os.O_RDWR)
    except PermissionError:
        return None  # what the permissions are is told beside this
    deadline = time.monotonic() + _HELD
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return None
            except BlockingIOError:
                if time.monotonic() > deadline:
                    break
            time.sleep(0.01)
        holder = flock_holder(path)
    finally:
        os.close(fd)
    who = 'a process of another machine' if holder is None else holder.describe()
    return (
        f'{path} has not been free for {_HELD:g} s, so that no process can write. It is held by '
        f'{who}'
    )


def _permissions(queue: Queue, config: Config) -> Iterator[Finding]:
    from ..queue.sharing import group_name
    from ..utils import username

    status = os.stat(queue.folder)
    quoted = shlex.quote(queue.folder)
    mode = f'mode {status.st_mode & 0o777:04o}, owner {username(status.st_uid)}'
    check = f'{queue.name}: permissions'
    if status.st_mode & 0o002 and status.st_uid == os.geteuid():
        yield Finding(
            check,
            False,
            f'{mode}: everyone on this machine can put tasks into it, which run as whoever works '
            'on it',
            f'chmod -R o-w {quoted}',
        )
    elif queue.ledger.use_error() is not None:
        user = username(status.st_uid)
        yield Finding(
            check,
            None,
            f'{mode}: you can look at it; it is not used unless you trust {user}',
            f'desipipe trust {user}',
        )
    elif status.st_mode & 0o020 and not queue.group:
        words = (
            f'{mode}: members of group {group_name(status.st_gid)} can put commands into it, which '
            'run as whoever works on it'
        )
        yield Finding(
            check, None, words, f'desipipe share -q {quoted} --group {group_name(status.st_gid)}'
        )
    elif not os.access(queue.filename, os.W_OK):
        yield Finding(
            check,
            False,
            f'{mode}: you can look at it, and change nothing',
            f'chmod u+w {shlex.quote(queue.filename)}',
        )
    else:
        yield Finding(
            check, True, mode + (f': shared by group {queue.group}' if queue.group else '')
        )


def _journal(queue: Queue, where: str) -> Iterator[Finding]:
    journal, state = queue.ledger.journal, queue.ledger.state
    check = f'{queue.name}: journal'
    for offset, length in state.damage[:_MOST]:
        what = f'the line of {length:d} bytes at offset {offset:d} is damaged; what it said is lost'
        if not length:
            what = f'lines are missing before offset {offset:d}; what they said is lost'
        fix = f'desipipe doctor {where} --repair'
        yield Finding(check, False, f'{journal.path}: {what}', fix)
    if state.damage or journal.late:
        yield from _losses(queue, where)
    if len(state.damage) > _MOST:
        yield Finding(
            check,
            False,
            f'and {len(state.damage) - _MOST:d} more damaged lines',
            f'desipipe doctor {where} --repair',
        )
    from ..store.files import status

    torn = status(journal.folder, os.path.basename(journal.path)).st_size - journal.offset
    if torn > 0:
        yield Finding(
            check,
            None,
            f'its last line is not whole ({torn:d} bytes): being written, or its writer died; the '
            'next one cuts it',
        )
    if journal.late:
        yield Finding(
            check,
            None,
            f'{plural(journal.late, "line")} of writers that had lost their lock, passed over',
        )
    if not state.damage:
        yield Finding(
            check,
            True,
            f'format version {journal.header.get("version")}, generation '
            f'{journal.header.get("gen")}, {plural(len(state))}, {journal.offset:,d} bytes, whole',
        )


def _losses(queue: Queue, where: str) -> Iterator[Finding]:
    """Count in tasks what is known, what is lost, and what a repair would regain."""
    from ..queue.compact import lost_tasks, recovered_of

    recovered = recovered_of(queue.ledger)
    lost = lost_tasks(queue.ledger, recovered)
    words = f'{plural(len(queue.ledger.state))} known' + (
        f', {plural(lost)} lost' if lost else ', none lost'
    )
    if recovered.regained:
        words += (
            f'; {plural(recovered.regained, "line")} that stand in another order can be put back'
        )
    if lost or recovered.regained or recovered.damaged:
        yield Finding(
            f'{queue.name}: tasks',
            not (lost or recovered.regained),
            words,
            f'desipipe doctor {where} --repair' if recovered.regained else '',
        )


def _segments(queue: Queue, where: str) -> Iterator[Finding]:
    """Check that all bytes are there that the journal refers to."""
    from ..queue.events import SUCCEEDED

    state = queue.ledger.state
    needed: dict[str, int] = {}
    lost: dict[str, list[int]] = {}
    from ..store.files import list_files

    listed = list_files(queue.folder, 'segments')
    sizes = {
        name.removesuffix('.bin'): found.st_size
        for name, found in listed
        if name.endswith('.bin') and stat.S_ISREG(found.st_mode)
    }
    for row in state.each():
        refs = [state.args(row)]
        if state.status[row] == SUCCEEDED and (result := state.result(row)) is not None:
            refs.append(result)
        for ref in refs:
            needed[ref.segment] = max(needed.get(ref.segment, 0), ref.offset + ref.length)
            if ref.offset + ref.length > sizes.get(ref.segment, -1):
                lost.setdefault(ref.segment, []).append(row)
    check = f'{queue.name}: payloads'
    for name, rows in lost.items():
        words = (
            f'is {sizes[name]:,d} bytes long instead of {needed[name]:,d}'
            if name in sizes
            else 'is missing'
        )
        ids = ' '.join(state.ids[row].hex()[:12] for row in dict.fromkeys(rows[:_MOST]))
        more = ', …' if len(set(rows)) > _MOST else ''
        fix = f'desipipe retry {where} --tid {ids}'
        yield Finding(
            check,
            False,
            f'{queue.folder}/segments/{name}.bin {words}: arguments or results of '
            f'{plural(len(set(rows)))} are lost ({ids.replace(" ", ", ")}{more})',
            fix,
        )
    if not lost:
        yield Finding(
            check,
            True,
            f'{plural(len(sizes), "segment")}, {sum(sizes.values()):,d} bytes, all there',
        )


def _jobs(queue: Queue) -> Iterator[Finding]:
    """Check that Slurm would take the jobs of the queue's task managers; nothing is submitted."""
    import shutil

    from ..provider import Provider
    from ..provider.slurm import SlurmProvider

    tried = set()
    for mid, spec in queue.ledger.state.managers.items():
        queue.ledger.check_use()
        provider = Provider(spec['provider'])
        if not isinstance(provider, SlurmProvider) or shutil.which('sbatch') is None:
            continue
        same = str(sorted(spec['provider'].items()))
        if same in tried:
            continue
        tried.add(same)
        said = provider.objection()
        yield Finding(
            f'{queue.name}: jobs of {mid[:12]}',
            not said,
            said or 'Slurm would take them',
            'desipipe doctor' if said else '',
        )


def _waiting_jobs(queue: Queue, where: str) -> Iterator[Finding]:
    """Jobs that Slurm has, and will never start as they are."""
    from ..provider import Provider
    from ..provider.base import Job

    alike: dict[tuple[str, str], list[str]] = {}
    managers = queue.ledger.state.managers
    for jobid, job in queue.ledger.state.jobs.items():
        if job['state'] == 'pending' and job['mid'] in managers:
            text = Provider(managers[job['mid']]['provider']).hopeless(
                Job(jobid, job['slots'], 'pending', job['reason'])
            )
            if text:
                alike.setdefault((job['reason'], text), []).append(jobid)
    for (reason, text), jobids in alike.items():
        names = ', '.join(jobids[:_MOST]) + (', …' if len(jobids) > _MOST else '')
        yield Finding(
            f'{queue.name}: jobs that wait',
            False,
            f'{plural(len(jobids), "job")} ({names}) will not begin ({reason}): {text}',
            f'desipipe kill {where}',
        )
    if queue.ledger.state.submissions:
        yield Finding(
            f'{queue.name}: jobs that wait',
            None,
            f'{plural(len(queue.ledger.state.submissions), "submission")} of which it is not known '
            'whether Slurm took it; a manager finds out',
            f'desipipe spawn {where} --spawn',
        )


def _processes(queue: Queue, where: str) -> Iterator[Finding]:
    from ..view.queue import queue_summary

    summary = queue_summary(queue)
    processes: list[tuple[str, dict[str, Any]]] = [
        ('worker', worker) for worker in summary['workers']
    ]
    if summary['manager'] is not None:
        processes.append(('manager', summary['manager']))
    check = f'{queue.name}: processes'
    for kind, process in processes:
        if process['alive'] is False:
            running = (
                (
                    f'; {plural(process["running"])} in its hands will be UNKNOWN, or run again as '
                    'their retries say'
                )
                if process.get('running')
                else ''
            )
            yield Finding(
                check,
                False,
                f'{kind} {process["name"]} (process {process["pid"]:d} on {process["host"]}) '
                f'vanished without a word{running}',
                f'desipipe spawn {where} --spawn',
            )
    if summary['manager'] is not None and summary['manager']['says']:
        yield Finding(
            check,
            False,
            f'the manager says: {summary["manager"]["says"]}',
            f'tail {shlex.quote(queue.folder)}/manager.log',
        )
    elif summary['last_says']:
        yield Finding(
            check,
            False,
            f'the last manager said: {summary["last_says"]}',
            f'desipipe spawn {where} --spawn',
        )
    alive = sum(process['alive'] is not False for _, process in processes)
    if summary['condition'] == 'stopped' and not processes:
        yield Finding(
            check,
            None,
            f'{plural(summary["left"])} to do, and no worker is running',
            f'desipipe spawn {where} --spawn',
        )
    elif alive == len(processes):
        unknown = sum(process['alive'] is None for _, process in processes)
        words = f'{plural(alive, "process")} at work' if alive else 'no process is running'
        yield Finding(
            check,
            True,
            words.replace('processs', 'processes')
            + (
                f', {unknown:d} of them on other machines, which only time can tell'
                if unknown
                else ''
            ),
        )


def _leftovers(queue: Queue) -> Iterator[Finding]:
    from ..store.files import list_names

    state = queue.ledger.state
    parent, base = os.path.split(queue.folder)
    names = {*state.alive, *([state.manager['w']] if state.manager is not None else [])}
    left = [
        os.path.join(parent, name)
        for name in os.listdir(parent)
        if name.startswith(base + '.') and name.endswith(('.new', '.deleted'))
    ]
    left += [
        os.path.join(queue.folder, name)
        for name in list_names(queue.folder)
        if name.endswith('.tmp')
    ]
    left = [path for path in left if _age(path) > _OLD]
    for folder, ends in (('live', '-'), ('workers', '.')):
        for name in list_names(queue.folder, folder):
            if name.rpartition(ends)[0] not in names:
                left.append(os.path.join(queue.folder, folder, name))
    if left:
        words = ', '.join(left[:_MOST]) + (
            f' and {len(left) - _MOST:d} more' if len(left) > _MOST else ''
        )
        yield Finding(
            f'{queue.name}: leftovers',
            None,
            f'of processes that were killed: {words}',
            f'rm -r {shlex.join(left[:_MOST])}',
        )


def _age(path: str) -> float:
    try:
        return time.time() - os.lstat(path).st_mtime
    except FileNotFoundError:
        return 0.0
