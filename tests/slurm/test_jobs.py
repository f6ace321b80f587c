"""Workers in real Slurm jobs: what they run, how they end, and what becomes of their tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from desipipe import Queue, TaskManager

from .cluster import Slurm, until

pytestmark = pytest.mark.slurm


def manager(queue: Queue, most: int = 1, **provider: Any) -> TaskManager:
    """A task manager whose workers are jobs of ten minutes, several on a node."""
    return TaskManager(queue, scheduler=dict(max_workers=most), provider={'provider': 'slurm', 'time': '10', 'nodes_per_worker': 0.125, **provider})


def test_pi(queue: Queue, spawn: Any) -> None:
    """The example of the documentation, on two task managers."""
    tm = manager(queue, 4, nodes_per_worker=0.5)
    tm2 = tm.clone(scheduler=dict(max_workers=1))

    @tm.python_app
    def fraction(seed: int = 42, size: int = 10000) -> tuple[float, str]:
        import socket

        import numpy as np

        x, y = np.random.default_rng(seed).uniform(-1, 1, (2, size))
        return float(np.mean(x**2 + y**2 < 1)), socket.gethostname()

    @tm2.python_app
    def average(fractions: list[tuple[float, str]]) -> float:
        return sum(value for value, _ in fractions) / len(fractions) * 4

    @tm2.bash_app
    def echo(avg: float) -> list[str]:
        return ['echo', '-n', f'bash app says pi is ~ {avg:.2f}']

    fractions = [fraction(seed=i) for i in range(20)]
    said = echo(average(fractions))
    process = spawn(queue)
    assert said.out(timeout=60) == 'bash app says pi is ~ 3.14'
    assert {future.result(timeout=0)[1] for future in fractions} <= {'n1', 'n2'}
    assert process.wait(30) == 0
    assert not queue.processes()
    scripts = [path.read_text() for path in Path(queue.folder).glob('desipipe-test-*.sh')]
    assert sorted(script.rpartition(' ')[2].strip() for script in scripts) == ['1', '2']  # slots
