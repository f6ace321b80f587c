"""Other versions of Python, wherever this one runs: CPython compiled to WebAssembly (Pyodide,
from `package.json`), which Node runs.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
VERSIONS = ('3.12', '3.13', '3.14')


def run(version: str, folder: Path, script: str) -> str:
    """What a script in a folder prints that has this package, cloudpickle, and nothing else that
    is not in the standard library.
    """
    import cloudpickle

    home = ROOT / 'node_modules' / f'python-{version}'
    if not home.exists() or shutil.which('node') is None:
        pytest.skip(
            f'there is no Python {version} beside this one; try: make test, where there is Node'
        )
    packages = folder / 'site-packages'
    for package in (ROOT / 'desipipe', Path(cloudpickle.__file__).parent):
        shutil.copytree(
            package, packages / package.name, ignore=shutil.ignore_patterns('__pycache__')
        )
    done = subprocess.run(
        [
            'node',
            str(Path(__file__).with_suffix('.mjs')),
            str(home),
            script,
            str(folder),
            str(packages),
        ],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
