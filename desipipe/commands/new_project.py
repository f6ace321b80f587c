"""The files of ``desipipe new``: a notebook, a data base and a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..record.documents import Notebook, NotebookCell

__all__ = ['CONFIG', 'FILES', 'notebook']

FILES = """\
# The files of this project: what they are called, and what they contain.
# See the page "Files" of the documentation.
id: catalog
description: Points of a mock
path: ${DATA}/catalog_{seed:03d}.npy
options:
  seed: range(4)
---
id: summary
description: Mean and scatter of all mocks
path: ${DATA}/summary.json
"""

CONFIG = """\
# Settings of all queues. To use this file: export DESIPIPE_CONFIG_DIR=FOLDER
# Each line is a default, or an example. Remove the # to change it.
#
# base_queue_dir: ~/.desipipe/queues    # on a filesystem that all nodes share
# environ: base                         # environment of the tasks
# scheduler: {max_workers: 4}           # most tasks at once
# provider: local                       # or: slurm, nersc
# trusted_users: []                     # whose queues may run as you
{}
"""

_CELLS: tuple[tuple[str, str], ...] = (
    (
        'markdown',
        '# NAME\n\nCells that begin with `%%desipipe` become tasks. Run all cells: the results are '
        'kept, and running them again computes nothing anew.',
    ),
    (
        'code',
        'from desipipe import FileManager\n\n%load_ext desipipe\n'
        '%desipipe use ./queues/NAME --workers 2\n'
        "files = FileManager('files.yaml', environ=dict(DATA='data'))\n"
        "catalogs = files.select('catalog')",
    ),
    ('markdown', 'Four tasks, one for each mock. Each saves a file of the data base.'),
    (
        'code',
        '%%desipipe simulate --for seed=range(4) --out size\nimport numpy as np\n\n'
        'points = np.random.default_rng(seed).normal(size=1000)\n'
        'catalogs.get(seed=seed).save(points)\n'
        "print(f'mock {seed}: {len(points)} points')\n"
        'size = len(points)',
    ),
    ('markdown', 'This task waits for the four: it reads `size`.'),
    (
        'code',
        '%%desipipe summarise --out summary --wait\nimport numpy as np\n\n'
        'total = sum(size)\n'
        'means = [float(np.mean(file.load())) for file in catalogs]\n'
        "summary = {'points': total, 'mean': float(np.mean(means)), "
        "'scatter': float(np.std(means))}\n"
        "files.get('summary').save(summary)",
    ),
    ('markdown', 'What the queue holds, and where the files come from:'),
    ('code', '%desipipe status'),
    ('code', '%desipipe files'),
    ('code', 'summary.result()'),
)


def notebook(name: str) -> Notebook:
    """Return the notebook of a new project, as JSON has it.

    Parameters
    ----------
    name : str
        Of the project, and of its queue.
    """
    cells: list[NotebookCell] = []
    for i, (kind, text) in enumerate(_CELLS):
        cell: NotebookCell = {
            'cell_type': kind,
            'id': f'cell-{i}',
            'metadata': {},
            'source': text.replace('NAME', name),
        }
        if kind == 'code':
            cell |= {'execution_count': None, 'outputs': []}
        cells.append(cell)
    kernel = {'display_name': 'Python 3', 'language': 'python', 'name': 'python3'}
    return {'cells': cells, 'metadata': {'kernelspec': kernel}, 'nbformat': 4, 'nbformat_minor': 5}
