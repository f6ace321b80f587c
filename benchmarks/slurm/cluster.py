"""A Slurm that ends with the measurement, and its commands, counted."""

from __future__ import annotations

import compileall
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import desipipe

sys.path.insert(0, str(Path(__file__).parents[2] / 'tests'))
from slurm.cluster import ACCOUNTING, Slurm, missing

STEP = 10.0  # s between two questions to Slurm at least, as spawn has it without options
COMMANDS = ('sbatch', 'squeue', 'sacct', 'scancel', 'scontrol', 'sinfo', 'sacctmgr')


class Call(NamedTuple):
    """A command that someone ran."""

    began: float
    """Seconds since the epoch."""
    ended: float
    name: str


Calls = Callable[[], list[Call]]


def left_out() -> str:
    """Why nothing can be measured here; empty if it can."""
    return missing(*ACCOUNTING)


@contextmanager
def running(folder: Path, cpus: int = 4, options: str = '') -> Iterator[Calls]:
    """Start a cluster of two nodes, for this process and what it starts; yields what returns the
    calls of its commands since it was called last.
    """
    # As pip does: else an editable install that nobody may write to, or PYTHONDONTWRITEBYTECODE,
    # would let each worker compile what it imports.
    compileall.compile_dir(os.path.dirname(desipipe.__file__), quiet=2)
    base = folder / 's'
    base.mkdir()
    slurm = Slurm(base, cpus=cpus, options=options)
    try:
        slurm.start()
        os.environ |= slurm.environ
        yield _count_calls(folder)
    finally:
        slurm.stop()


def _count_calls(folder: Path) -> Calls:
    # Commands in front of the others on the PATH, also on that of jobs, which note when they began
    # and came back.
    notes = folder / 'calls'
    (folder / 'bin').mkdir()
    for name in COMMANDS:
        path = shutil.which(name)
        words = (
            f'#!/bin/bash\nbegan=$EPOCHREALTIME\n{path} "$@"\nstatus=$?\necho "$began '
            f'$EPOCHREALTIME {name}" >> {notes}\nexit $status\n'
        )
        (folder / 'bin' / name).write_text(words)
        (folder / 'bin' / name).chmod(0o755)
    os.environ['PATH'] = f'{folder}/bin{os.pathsep}{os.environ["PATH"]}'

    def read() -> list[Call]:
        rows = [line.split() for line in notes.read_text().splitlines()] if notes.exists() else []
        notes.unlink(missing_ok=True)
        return [Call(float(began), float(ended), name) for began, ended, name in rows]

    return read
