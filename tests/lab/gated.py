"""Waiting for something, tasks that end when a test lets them, and who runs them: what all of
this folder have in common.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from desipipe import Queue, TaskManager

PATIENCE = (
    120.0  # s that a page, a kernel or a server may take; a machine with other work to do is slow
)


@contextmanager
def working(lab: Any, queue: Queue, slots: int = 2) -> Iterator[None]:
    """A worker in the background; it stays until it is told to end."""
    command = [
        sys.executable,
        '-m',
        'desipipe',
        'work',
        '-q',
        queue.folder,
        '--slots',
        str(slots),
        '--linger',
        '300',
    ]
    worker = subprocess.Popen(
        command, env=lab.env, cwd=lab.workdir, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        worker.terminate()
        worker.wait(60)


def gated(i: int, folder: str, first: str) -> str:
    """Ends when the file ``i`` is in ``folder``: with what is written in it, which it prints, or
    badly if there is nothing. Prints ``first`` when it begins.
    """
    import os
    import time

    path = os.path.join(folder, str(i))
    if first:
        print(f'{i} {first}', flush=True)
    while not os.path.exists(path):
        time.sleep(0.02)
    text = open(path).read()
    if not text:
        os.remove(path)
        raise ValueError(f'nothing for task {i}')
    print(text)
    return text


def end_gated(gates: Path, i: int, text: str) -> None:
    """Let task ``i`` end, with ``text`` or, if that is empty, badly.

    The file appears as a whole: a task that finds it also finds what is written in it.
    """
    new = gates / f'{i}.new'
    new.write_text(text)
    new.rename(gates / str(i))


def add_gated(queue: Queue, gates: Path, n: int, first: str = '') -> None:
    """Add ``n`` tasks of :func:`gated`, which look into ``gates``."""
    gates.mkdir(parents=True, exist_ok=True)
    TaskManager(queue, scheduler=dict(max_workers=2)).python_app(gated).map(
        i=range(n), folder=str(gates), first=first
    )
