"""Kernels for tests of the notebook; see ``kernels.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kernels import Kernel


@pytest.fixture
def kernels(tmp_path: Path) -> Iterator[Callable[..., Kernel]]:
    """Starts kernels, with environment variables as keywords; they are ended after the test."""
    pytest.importorskip('ipykernel')
    started: list[Kernel] = []

    def start(**env: str) -> Kernel:
        started.append(Kernel(tmp_path, **env))
        return started[-1]

    yield start
    for kernel in started:
        kernel.end()


@pytest.fixture
def kernel(kernels: Callable[..., Kernel]) -> Kernel:
    """A kernel of the test's own; its queues are in the folder ``queues`` of ``tmp_path``."""
    return kernels()


@pytest.fixture(scope='module')
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel for all tests of a module: they leave it as they found it, and begin with
    ``forget``.
    """
    pytest.importorskip('ipykernel')
    kernel = Kernel(tmp_path_factory.mktemp('kernel'))
    yield kernel
    kernel.end()
