"""Limits of this process: how many files it may have open."""

from __future__ import annotations

import resource

started_with = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
"""The soft limit that this process began with, which the programs that it starts are given back."""


def raise_descriptors(wanted: int) -> int:
    """Raise the soft limit of open files, as far as needed and as the hard one allows.

    Parameters
    ----------
    wanted : int
        Number of descriptors.

    Returns
    -------
    limit : int
        The limit now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else soft
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit


def restore_descriptors(soft: int) -> None:
    """Restore the soft limit of open files.

    Programs that select() or close all files rely on a low one.
    """
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
