"""Fixtures: two hosts that share a folder over a network filesystem."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from . import moosefs as _moosefs
from . import sshfs as _sshfs
from . import uml
from .hosts import Cluster, missing

REQUIRE = 'DESIPIPE_REQUIRE_NETFS'


def _require(*programs: str) -> None:
    reason = missing(*programs)
    if not reason:
        return
    if os.environ.get(REQUIRE):
        pytest.fail(f'{REQUIRE} is set, but {reason}', pytrace=False)
    pytest.skip(f'{reason}; set {REQUIRE}=1 to make this an error')


@pytest.fixture(scope='session')
def boxes() -> None:
    """Boxes can be made here."""
    _require()


@pytest.fixture(scope='session')
def moosefs() -> Iterator[Cluster]:
    """Two hosts that share a folder through MooseFS."""
    _require(*_moosefs.PROGRAMS)
    with _moosefs.moosefs() as cluster:
        yield cluster


@pytest.fixture(scope='session')
def sshfs() -> Iterator[Cluster]:
    """Two hosts that share a folder through sshfs."""
    _require(*_sshfs.PROGRAMS)
    with _sshfs.sshfs() as cluster:
        yield cluster


@pytest.fixture(scope='session')
def nfs() -> Iterator[Cluster]:
    """Two user-mode-Linux guests that share a folder through NFSv4.2."""
    _require(*uml.PROGRAMS)
    with uml.nfs() as cluster:
        yield cluster


@pytest.fixture(
    params=[
        pytest.param('moosefs', marks=pytest.mark.netfs),
        pytest.param('nfs', marks=pytest.mark.nfs),
    ]
)
def two_hosts(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Two hosts, on each filesystem whose locks hold; both are connected again after the test."""
    cluster: Cluster = request.getfixturevalue(request.param)
    yield cluster
    cluster.heal()
