"""Run workers as users do: ``desipipe work`` in processes of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from polling import TIMEOUT_S

from desipipe import Queue

WORK = (sys.executable, '-m', 'desipipe', 'work', '-q')


def work(queue: Queue, *options: str, **kwargs: Any) -> None:
    """Run a worker until nothing is left to do; it must succeed.

    Parameters
    ----------
    queue : Queue
    *options : str
        More options of ``desipipe work``.
    **kwargs
        Arguments of `subprocess.run`, such as ``env``.
    """
    subprocess.run([*WORK, queue.folder, *options], check=True, timeout=TIMEOUT_S, **kwargs)
