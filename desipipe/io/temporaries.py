"""Name temporary files after the process that writes them, and remove leftovers."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import secrets
import shutil
from contextlib import suppress

from ..machine import machine, process_alive, process_start

# What a writer that was killed leaves (a folder, and where files can't be without a name a file) is
# removed by the next one. Its name says whose it is.
_TEMPORARY = re.compile(r'\.desipipe-([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{8}\.tmp')
# s without a change, after which what a writer of another machine left is taken for a leftover
_LEFT = 86400.0
_swept: set[str] = set()


def temporary_beside(path: str) -> str:
    """Return a temporary name in a path's folder that identifies the living process."""
    # Of its own length: the name of the file itself may have the longest that is allowed.
    return os.path.join(
        os.path.dirname(path),
        f'.desipipe-{_machine()}-{_process(os.getpid())}-{secrets.token_hex(4)}.tmp',
    )


@functools.cache
def _machine() -> str:
    here = machine()
    # Another boot, or another container, is another machine: numbers of processes are compared
    # within one. Where they can't be, none is equal.
    text = f'{here["host"]} {here["boot"] or secrets.token_hex(8)} {here["pidns"]:d}'
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@functools.lru_cache(maxsize=1)
def _process(pid: int) -> str:
    return f'{pid:d}-{process_start(pid) or 0:d}'


def remove_leftovers(folder: str) -> None:
    """Remove the temporary files in a folder whose writers are gone.

    Once in the life of a process for each folder: to list a large one takes longer than to write a
    file into it.
    """
    if folder in _swept:
        return
    _swept.add(folder)
    with suppress(OSError):  # someone else removes it, too; or it belongs to another user
        now = os.stat(
            folder
        ).st_mtime  # by the clock of the filesystem: someone has just written into it
        for entry in os.scandir(folder):
            match = (
                _TEMPORARY.fullmatch(entry.name) if entry.name.startswith('.desipipe-') else None
            )
            if match is None:
                continue
            if match[1] == _machine():
                left = not process_alive(int(match[2]), int(match[3]) or None)
            else:
                left = now - _last_change(entry) > _LEFT
            if left:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)


def _last_change(entry: os.DirEntry[str]) -> float:
    inside = os.scandir(entry.path) if entry.is_dir(follow_symlinks=False) else ()
    times: list[float] = [one.stat(follow_symlinks=False).st_mtime for one in (entry, *inside)]
    return max(times)
