"""Checks of the files of a queue: lock, permissions, journal, segments."""

from __future__ import annotations

import fcntl
import os
import shlex
import stat
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .common import plural
from .findings import Finding

if TYPE_CHECKING:
    from ..config import Config
    from ..queue.queue import Queue

_HELD = 2.0  # s; nobody who is well holds a lock that long
NAMED_MAX = 5  # of the same kind to name


def check_repair(queue: Queue, restored: bool) -> Iterator[Finding]:
    """Mend the journal, and tell what was done."""
    from ..queue.repair import mend

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


def lock_objection(path: str, kind: str) -> str | None:
    """Return who holds a lock for too long; ``None``: it is free."""
    if kind == 'soft':
        return None  # breaks by itself when its holder is gone
    from ..store.files import open_file
    from ..store.lock_holder import flock_holder

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


def check_permissions(queue: Queue, config: Config) -> Iterator[Finding]:
    """Check who can read and write the folder of a queue."""
    from ..utils import username

    status = os.stat(queue.folder)
    mode = f'Mode {status.st_mode & 0o777:04o}, owner {username(status.st_uid)}'
    ok, text, fix = _permissions_found(queue, status, mode)
    yield Finding(f'{queue.name}: permissions', ok, text, fix)


def _permissions_found(
    queue: Queue, status: os.stat_result, mode: str
) -> tuple[bool | None, str, str]:
    """Return whether permissions are right, what they mean, and what to type."""
    from ..queue.sharing import group_name
    from ..utils import username

    quoted = shlex.quote(queue.folder)
    if status.st_mode & 0o002 and status.st_uid == os.geteuid():
        meaning = 'everyone on this machine can put tasks into it, which run as whoever works on it'
        return False, f'{mode}: {meaning}', f'chmod -R o-w {quoted}'
    if queue.ledger.use_error() is not None:
        user = username(status.st_uid)
        meaning = f'you can look at it; it is not used unless you trust {user}'
        return None, f'{mode}: {meaning}', f'desipipe trust {user}'
    if status.st_mode & 0o020 and not queue.group:
        group = group_name(status.st_gid)
        meaning = (
            f'members of group {group} can put commands into it, which run as whoever works on it'
        )
        return None, f'{mode}: {meaning}', f'desipipe share -q {quoted} --group {group}'
    if not os.access(queue.filename, os.W_OK):
        fix = f'chmod u+w {shlex.quote(queue.filename)}'
        return False, f'{mode}: you can look at it, and change nothing', fix
    return True, mode + (f': shared by group {queue.group}' if queue.group else ''), ''


def check_journal(queue: Queue, where: str) -> Iterator[Finding]:
    """Check the lines of the journal."""
    journal, state = queue.ledger.journal, queue.ledger.state
    check = f'{queue.name}: journal'
    yield from _damage(queue, check, f'desipipe doctor {where} --repair')
    if state.damage or journal.late:
        yield from _losses(queue, where)
    from ..store.files import status

    torn = status(journal.folder, os.path.basename(journal.path)).st_size - journal.offset
    if torn > 0:
        yield Finding(
            check,
            None,
            f'Its last line is not whole ({torn:d} bytes): being written, or its writer died. The '
            'next one cuts it',
        )
    if journal.late:
        lines = plural(journal.late, 'line')
        yield Finding(check, None, f'Passed over {lines} of writers that had lost their lock')
    if not state.damage:
        yield Finding(
            check,
            True,
            f'Format version {journal.header.get("version")}, generation '
            f'{journal.header.get("gen")}, {plural(len(state))}, {journal.offset:,d} bytes, whole',
        )


def _damage(queue: Queue, check: str, fix: str) -> Iterator[Finding]:
    journal, damage = queue.ledger.journal, queue.ledger.state.damage
    for offset, length in damage[:NAMED_MAX]:
        text = f'the line of {length:d} bytes at offset {offset:d} is damaged; what it said is lost'
        if not length:
            text = f'lines are missing before offset {offset:d}; what they said is lost'
        yield Finding(check, False, f'{journal.path}: {text}', fix)
    if len(damage) > NAMED_MAX:
        more = plural(len(damage) - NAMED_MAX, 'more damaged line')
        yield Finding(check, False, f'And {more}', fix)


def _losses(queue: Queue, where: str) -> Iterator[Finding]:
    """Count in tasks what is known, what is lost, and what a repair would regain."""
    from ..queue.repair import lost_tasks, recovered_of

    recovered = recovered_of(queue.ledger)
    lost = lost_tasks(queue.ledger, recovered)
    text = f'{plural(len(queue.ledger.state))} known' + (
        f', {plural(lost)} lost' if lost else ', none lost'
    )
    if recovered.regained:
        text += (
            f'; {plural(recovered.regained, "line")} that stand in another order can be put back'
        )
    if lost or recovered.regained or recovered.damaged:
        yield Finding(
            f'{queue.name}: tasks',
            not (lost or recovered.regained),
            text,
            f'desipipe doctor {where} --repair' if recovered.regained else '',
        )


def check_segments(queue: Queue, where: str) -> Iterator[Finding]:
    """Check that all bytes are there that the journal refers to."""
    from ..store.folders import list_files

    sizes = {
        name.removesuffix('.bin'): status.st_size
        for name, status in list_files(queue.folder, 'segments')
        if name.endswith('.bin') and stat.S_ISREG(status.st_mode)
    }
    needed, lost = _missing_payloads(queue, sizes)
    check = f'{queue.name}: payloads'
    ids_of = queue.ledger.state.ids
    for name, rows in lost.items():
        text = (
            f'is {sizes[name]:,d} bytes long instead of {needed[name]:,d}'
            if name in sizes
            else 'is missing'
        )
        ids = ' '.join(ids_of[row].hex()[:12] for row in dict.fromkeys(rows[:NAMED_MAX]))
        more = ', …' if len(set(rows)) > NAMED_MAX else ''
        yield Finding(
            check,
            False,
            f'{queue.folder}/segments/{name}.bin {text}: arguments or results of '
            f'{plural(len(set(rows)))} are lost ({ids.replace(" ", ", ")}{more})',
            f'desipipe retry {where} --tid {ids}',
        )
    if not lost:
        segments = plural(len(sizes), 'segment')
        yield Finding(check, True, f'{segments}, {sum(sizes.values()):,d} bytes, all there')


def _missing_payloads(
    queue: Queue, sizes: dict[str, int]
) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Return the sizes that segments must have, and rows whose payloads are missing."""
    from ..queue.events import SUCCEEDED
    from ..store.file_names import is_journal

    state = queue.ledger.state
    needed: dict[str, int] = {}
    lost: dict[str, list[int]] = {}
    for row in state.each():
        refs = [state.args(row)]
        if state.status[row] == SUCCEEDED and (result := state.result(row)) is not None:
            refs.append(result)
        for ref in refs:
            if is_journal(ref.segment):
                continue  # its line is there
            end = ref.offset + ref.length
            needed[ref.segment] = max(needed.get(ref.segment, 0), end)
            if end > sizes.get(ref.segment, -1):
                lost.setdefault(ref.segment, []).append(row)
    return needed, lost
