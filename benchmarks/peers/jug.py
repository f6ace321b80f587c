"""jug with its file store: two ``jug execute`` beside each other.

jug has no worker that waits for tasks: it loads the script, runs what is missing and ends. Its
start is therefore part of the time, and one task's latency has no meaning.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import Session

SCRIPT = """
from jug import TaskGenerator
from benchmarks.peers import noop
noop = TaskGenerator(noop)
results = [noop(i) for i in range({n})]
"""


@contextlib.contextmanager
def session(folder: Path) -> Iterator[Session]:
    """Yield a folder for jug."""
    jug: Any = importlib.import_module('jug')
    os.chdir(folder)

    def bag(n: int) -> list[int]:
        script = Path(f'jugfile{n}.py')
        script.write_text(SCRIPT.format(n=n))
        command = [sys.executable, '-c', 'from jug.jug import main; main()', 'execute', script.name]
        workers = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
        if [worker.wait() for worker in workers] != [0, 0]:
            raise RuntimeError('jug execute failed')
        _, space = jug.init(script.name, script.stem + '.jugdata')
        return [int(value) for value in jug.value(space['results'])]

    yield Session(bag=bag)
