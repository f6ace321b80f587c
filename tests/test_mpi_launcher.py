"""The launcher of MPI processes that are divided among slots, without MPI."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from polling import TIMEOUT_S

from desipipe.execution.mpi_connection import connect, send_ready
from desipipe.execution.mpi_launcher import Division
from desipipe.execution.protocol import Ready, VersionsFollow, encode


@pytest.mark.parametrize('remote', [False, True])
def test_division_takes_ranks_that_are_ready_late(tmp_path: Path, remote: bool) -> None:
    """Ask late ranks again, as on a loaded machine; who says something else is no rank."""
    (tmp_path / 'workers').mkdir()
    division = Division(str(tmp_path), 'w', None, total=2, splits=1, remote=remote)
    division.slots.add(0)
    address = division.listener.address
    with ThreadPoolExecutor(4) as threads:
        connecting = [threads.submit(connect, address) for _ in range(4)]
        ranks: list[Any] = []
        while len(ranks) < 4:
            division.accept()
            ranks = [each.result() for each in connecting if each.done()]
    division.accept()
    assert division.come(0) == []
    for rank in (1, 0):
        send_ready(ranks[rank], encode(Ready(rank, 2, 0)), -1)
    send_ready(ranks[2], encode(VersionsFollow()), -1)
    ranks[3].close()
    arrived: list[Any] = []
    deadline = time.monotonic() + TIMEOUT_S
    while len(arrived) < 2 or division._arriving:
        assert time.monotonic() < deadline
        division.accept()
        arrived += division.come(0)
    assert sorted(ready.rank for _, ready, _ in arrived) == [0, 1]
    for sock in (*ranks[:3], *(sock for sock, _, _ in arrived)):
        sock.close()
    division.leave(0)
