"""A module that is imported by functions when they run."""

from constants import TWO


def half(x):
    return x / TWO
