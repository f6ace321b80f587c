"""Run managers as users do: ``desipipe spawn`` in processes of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from polling import TIMEOUT_S

from desipipe import Queue

SPAWN = (sys.executable, '-m', 'desipipe', 'spawn', '-q')


class Managers:
    """Managers of a test; all end with it."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []

    def __call__(self, queue: Queue, *options: str, **kw: Any) -> subprocess.Popen[bytes]:
        """Start a manager, which asks the batch system each half second."""
        argv = [*SPAWN, queue.folder, '--timestep', '0.5', *options]
        with open(Path(queue.folder).parent / 'manager.log', 'ab') as log:
            self.processes.append(subprocess.Popen(argv, stderr=log, stdout=log, **kw))
        return self.processes[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
