"""Members of claims, for type checkers: nothing imports this at run time.

``k`` is the kind. Identities of tasks are hexadecimal; a :class:`.Ref` that was read is a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from .events import Ref


class QueueClaim(TypedDict):
    """First line of a file: the queue whose claims follow."""

    k: Literal['queue']
    id: str


class TasksClaim(TypedDict):
    """Tasks of one group, whose arguments lie in one segment."""

    k: Literal['tasks']
    mid: str
    group: str
    """Digest of all that the group says."""
    ids: Sequence[str]
    segment: str
    offsets: Sequence[int]
    lengths: Sequence[int]
    requires: Mapping[str, Sequence[str]]
    """By position among these tasks, the tasks that one needs."""


class CodeClaim(TypedDict):
    """The code of a version of an app."""

    k: Literal['code']
    app: str
    ref: Ref


class SharedClaim(TypedDict):
    """Arguments that many calls share."""

    k: Literal['shared']
    id: str
    ref: Ref


class ResultsClaim(TypedDict):
    """Results."""

    k: Literal['results']
    refs: Sequence[Ref]


ClaimLine = QueueClaim | TasksClaim | CodeClaim | SharedClaim | ResultsClaim
"""A line of a file of claims."""
