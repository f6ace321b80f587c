"""Memory that a long-running server gives back."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3  # of malloc.h
_LARGE = 1 << 18  # bytes


def return_large_pieces() -> None:
    """Have the C library give large pieces of memory back as soon as they are free.

    To fold a queue of 100,000 tasks, to search their names, to draw their timeline takes 10 to 15
    MB each for a moment, in a few large pieces. glibc maps such pieces one by one and returns them,
    until it has seen some go: then it takes them to be the rule, and keeps the next ones in the
    heap of the thread that asks. We have several threads, each of which would keep as much as its
    costliest look took. To say from where on a piece is large switches that off. Where there is no
    `mallopt` there is no such habit.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
