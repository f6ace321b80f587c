"""The file manager: choosing, paths, looking at files, reading data bases, and what noting
versions costs a task.
"""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from desipipe import FileManager, provenance
from desipipe.file_manager import BaseFile, BaseFileEntry

from ..harness import Figure, Outcome, at_least, at_most, column

OPTIONS = {
    'tracer': [f'T{i}' for i in range(10)],
    'region': ['NGC', 'SGC'],
    'zrange': [(0.1 * i, 0.1 * i + 0.2) for i in range(10)],
    'i': range(5000),
}
PATH = '/data/{region}/power_{tracer}_{zrange[0]:.1f}_{zrange[1]:.1f}_{i:04d}.npz'
DOCUMENT = """description: Power spectra of mocks, number {0}
id: power_{0}
filetype: power
author: Somebody
path: ${{DIR}}/{0}/power_{{tracer}}_{{zrange[0]:.2f}}_{{zrange[1]:.2f}}_{{i:d}}.npz
options:
  tracer: [LRG, ELG, QSO]
  region: [NGC, SGC]
  i: range(0, 1000)
  zrange: [[0.4, 0.6], [0.6, 0.8]]
"""


def _best(call: Callable[[], object], times: int = 5) -> float:
    found = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)


def measure(folder: Path, files: int) -> dict[str, float]:
    """Return times in seconds, rates, ratios, and bytes."""
    entry = BaseFileEntry(PATH, options=OPTIONS)
    fm = FileManager(entry)
    if len(entry) != 10**6:
        raise AssertionError('not a million')
    values = {
        'select': _best(
            lambda: fm.select(tracer='T9', region='SGC', zrange=(0.9, 1.1), i=4999).filepaths, 50
        ),
        'len': _best(lambda: len(entry), 50),
        'paths': 10**6 / _best(lambda: sum(1 for _ in entry.paths()), 1),
        'files': 10**5 / _best(lambda: sum(1 for file in islice(entry, 10**5) if file.filepath), 3),
    }
    tracemalloc.start()
    for file in islice(entry, 10**5):
        file.filepath  # noqa: B018
    values['memory'] = float(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    values |= _looked_at(folder, files)
    values['database'] = _database(folder)
    values['versions'] = _versions(folder)
    return values


def _looked_at(folder: Path, files: int) -> dict[str, float]:
    entry = BaseFileEntry(
        f'{folder}/files/{{k}}/a_{{i:04d}}.txt', options={'k': range(10), 'i': range(files // 10)}
    )
    paths = entry.filepaths
    for path in paths:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).touch()

    def bare() -> None:
        for path in paths:
            os.stat(path)

    ratios = []
    for _ in range(5):
        ratios.append(_best(entry.exists, 1) / _best(bare, 1))
    return {'exists': sorted(ratios)[2]}


def _database(folder: Path) -> float:
    import yaml

    path = folder / 'database.yaml'
    path.write_text('---\n'.join(DOCUMENT.format(i) for i in range(1000)))
    text = path.read_text()
    loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
    ratios = sorted(
        _best(lambda: FileManager(path), 1)
        / _best(lambda: list(yaml.load_all(text, Loader=loader)), 1)
        for _ in range(5)
    )
    return ratios[2]


def _versions(folder: Path) -> float:
    """Seconds that a saved file takes more for what is noted of it, after the first."""
    making = provenance.Making(
        str(folder), 'a' * 32, 1, 'app', 'b' * 32, lambda: 'source', str(folder)
    )
    file = BaseFile(f'{folder}/saved.txt')
    times = []
    from desipipe.file_manager.note_writing import note_written

    for i in range(50):
        file.save(f'{i}')
        provenance.making = making
        start = time.perf_counter()
        note_written(file.filepath)
        times.append(time.perf_counter() - start)
        provenance.making = None
    return sorted(times[1:])[len(times) // 2]


def figures(rounds: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of the file manager."""

    def scaled(key: str, factor: float) -> list[float]:
        return [value * factor for value in column(rounds, key)]

    return [
        Figure(
            'files.select',
            'one file chosen of 10⁶ combinations, and its path',
            scaled('select', 1e3),
            'ms',
            at_most(1),
        ),
        Figure('files.len', 'how many files an entry has', scaled('len', 1e6), 'µs'),
        Figure(
            'files.paths',
            'paths of an entry, one after the other',
            column(rounds, 'paths'),
            '1/s',
            at_least(200_000),
        ),
        Figure(
            'files.files',
            'the same as files, each asked for its path',
            column(rounds, 'files'),
            '1/s',
        ),
        Figure(
            'files.memory',
            'memory that going through 10⁵ files takes at most',
            scaled('memory', 1e-3),
            'kB',
            at_most(1000),
        ),
        Figure(
            'files.exists',
            'exists() of 10,000 files beside a loop of os.stat',
            column(rounds, 'exists'),
            '×',
            at_most(2),
        ),
        Figure(
            'files.database',
            '1,000 entries read beside the fastest safe YAML loader',
            column(rounds, 'database'),
            '×',
            at_most(2),
        ),
        Figure(
            'files.versions',
            'what noting a saved file and the versions adds, after the first',
            scaled('versions', 1e3),
            'ms',
            at_most(1),
        ),
    ]
