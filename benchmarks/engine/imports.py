"""Measure in fresh interpreters what ``import desipipe`` and ``desipipe status`` cost.

Beside them stand imports of modules that any program like them needs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ..harness import Figure, Outcome, at_most, column, ratios
from ..peers import noop
from . import manager

HEAVY = (
    'numpy',
    'IPython',
    'ipykernel',
    'jupyter_core',
    'jupyter_server',
    'ipywidgets',
    'cloudpickle',
    'rich',
    'filelock',
)
CODE = {
    'desipipe': 'import desipipe',
    'names': 'from desipipe import Queue, TaskManager',
    'stdlib': 'import json, argparse, subprocess',
    'nothing': '',
}


def _run(code: str) -> str:
    return subprocess.run(
        [sys.executable, '-c', code], check=True, capture_output=True, text=True
    ).stdout


def _processor_s(*argv: str) -> float:
    """Return the seconds of processor time that a command takes."""
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise AssertionError(f'{argv} failed')
    return usage.ru_utime + usage.ru_stime


def _status(folder: Path, repeats: int) -> dict[str, float]:
    """Return seconds of processor time of ``desipipe status``, and of imports that it needs."""
    manager(folder, 'small').python_app(noop).map(i=range(20))
    command = (sys.executable, '-m', 'desipipe', 'status', '-q', str(folder / 'small'))
    imports = (sys.executable, '-c', 'import orjson, argparse')
    times = [(_processor_s(*command), _processor_s(*imports)) for _ in range(repeats + 1)][1:]
    columns = zip(*times, strict=True)
    return dict(zip(('status', 'status_imports'), map(statistics.median, columns), strict=True))


def measure(folder: Path, repeats: int) -> dict[str, float]:
    """Return seconds of each import: ``whole_…`` of the interpreter, from start to end, and
    ``alone_…`` of the statement; and ``heavy`` modules loaded.
    """
    times: dict[str, list[float]] = {}
    for repeat in range(repeats + 1):
        for name, code in CODE.items():
            start = time.perf_counter()
            _run(code)
            whole = time.perf_counter() - start
            alone = float(
                _run(
                    'from time import perf_counter as clock; start = clock(); '
                    f'{code}\nprint(clock() - start)'
                )
            )
            if repeat:  # the first one compiles and fills the page cache
                times.setdefault(f'whole_{name}', []).append(whole)
                times.setdefault(f'alone_{name}', []).append(alone)
    heavy = _run(f'import desipipe, sys; print(sum(name in sys.modules for name in {HEAVY!r}))')
    medians = {key: statistics.median(value) for key, value in times.items()}
    return {**medians, **_status(folder, repeats), 'heavy': int(heavy)}


def figures(rounds: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of imports."""
    alone, whole = (
        ratios(rounds, f'{key}_desipipe', f'{key}_stdlib') for key in ('alone', 'whole')
    )
    return [
        Figure(
            'import.alone',
            'import desipipe: times import json, argparse, subprocess',
            alone,
            'x',
            at_most(3),
        ),
        Figure(
            'import.whole', 'the same with start and end of the interpreter', whole, 'x', at_most(3)
        ),
        Figure(
            'import.heavy',
            'heavy modules (NumPy, IPython, rich, …) that import desipipe loads',
            column(rounds, 'heavy'),
            'modules',
            at_most(0),
        ),
        # `import desipipe` loads next to nothing before a name is used: this is what a script that
        # uses it pays.
        Figure(
            'import.names',
            'from desipipe import Queue, TaskManager: times the same',
            ratios(rounds, 'alone_names', 'alone_stdlib'),
            'x',
        ),
        Figure(
            'import.status',
            'desipipe status of 20 tasks: times import orjson, argparse (processor time)',
            ratios(rounds, 'status', 'status_imports'),
            'x',
            at_most(1.5),
        ),
        *(
            Figure(f'import.{key}', text, column(rounds, key, 1e3), 'ms')
            for key, text in (
                ('alone_desipipe', 'import desipipe'),
                ('alone_names', 'from desipipe import Queue, TaskManager'),
                ('alone_stdlib', 'import json, argparse, subprocess'),
                ('whole_desipipe', 'an interpreter that imports desipipe'),
                ('whole_stdlib', 'one that imports json, argparse, subprocess'),
                ('whole_nothing', 'one that imports nothing'),
                ('status', 'desipipe status of 20 tasks: processor time'),
            )
        ),
    ]
