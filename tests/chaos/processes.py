"""Processes of a chaos run, found by a mark in their environment: no other is touched."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NamedTuple

MARK = 'DESIPIPE_CHAOS'
KINDS = ('submitter', 'manager', 'worker', 'slot', 'command')


class Found(NamedTuple):
    """One process of the run."""

    pid: int
    kind: str
    descriptors: int
    memory: int
    """Resident kilobytes that are not mapped from files."""


class Bounds(NamedTuple):
    """The most that a process of the run may have."""

    descriptors: int = 150
    memory: int = 400_000  # kB


def find_processes(mark: str) -> list[Found]:
    """Return the processes that this run started, directly or not."""
    wanted = f'{MARK}={mark}'.encode()
    pids: dict[int, tuple[list[bytes], int]] = {}
    for entry in os.listdir('/proc'):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            if wanted not in Path('/proc', entry, 'environ').read_bytes().split(b'\0'):
                continue
            arguments = Path('/proc', entry, 'cmdline').read_bytes().split(b'\0')
            state, parent = Path('/proc', entry, 'stat').read_text().rpartition(')')[2].split()[:2]
        except OSError:
            continue
        if state != 'Z':
            pids[int(entry)] = arguments, int(parent)
    return [
        measure(pid, kind_of(arguments, pids.get(parent)))
        for pid, (arguments, parent) in pids.items()
    ]


def kind_of(arguments: list[bytes], parent: tuple[list[bytes], int] | None) -> str:
    """Return what a process is, by its command line and that of its parent."""
    if b'work' in arguments:
        return 'slot' if parent is not None and b'work' in parent[0] else 'worker'
    if b'spawn' in arguments:
        return 'manager'
    return 'submitter' if any(word.endswith(b'load.py') for word in arguments) else 'command'


def measure(pid: int, kind: str) -> Found:
    """Read descriptors and memory of one process; zeros if it is gone."""
    try:
        descriptors = len(os.listdir(f'/proc/{pid}/fd'))
        status = Path(f'/proc/{pid}/status').read_text().split()
        memory = int(status[status.index('RssAnon:') + 1]) if 'RssAnon:' in status else 0
    except OSError:
        return Found(pid, kind, 0, 0)
    return Found(pid, kind, descriptors, memory)


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; return False if the process is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
