"""Declare the members of a queue's record: of its head, its lists, its tasks.

They are dictionaries at run time, so that JSON of them is what there is; ``mypy`` holds those who
write and read them to these members. Times are seconds since the epoch, durations seconds, sizes
bytes, unless a member says something else. Numbers of groups, apps, managers, workers and versions
are places in the lists of the head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

Json = Mapping[str, Any]
"""An object of JSON whose members are not known: anyone may have changed it."""

Versions = dict[str, str]
"""Versions by the names of packages, and other facts of where tasks ran."""

# Parts of tasks


class PayloadEntry(TypedDict, total=False):
    """A payload of the queue, by its digest."""

    size: int
    lost: bool
    """There if its bytes are gone; then it has no digest."""
    sha256: str
    value: str | None
    """Word of a result, as it counts for identities; ``None`` if it was left out."""
    text: str
    """A result as people read it, where that says more than its word."""


class FileEntry(TypedDict):
    """A file that a task read or wrote through the file manager."""

    do: str
    """``'read'`` or ``'write'``."""
    path: str
    size: int
    sha256: str


class CauseEntry(TypedDict, total=False):
    """The reason that an attempt did not succeed."""

    kind: str
    errno: int
    kinds: list[str]
    """Names of the classes of the exception."""
    text: str
    """The last line of its traceback, or why it was ended."""
    trace: str
    """The end of its traceback."""


class AttemptEntry(TypedDict, total=False):
    """An attempt, or a decision that a person made in the place of one.

    It is empty where there is none.
    """

    n: int
    """Its number, from 1; 0 for a decision."""
    state: str
    worker: int
    """Number of its worker; a decision has none."""
    began: float
    seconds: float
    memory: int
    """The most that it used."""
    past: bool
    """There if a later attempt took its place."""
    cause: CauseEntry
    out: PayloadEntry
    err: PayloadEntry
    hand: str
    """The kind of a decision."""
    of: str
    """Identity of the task whose result was accepted."""
    t: float
    """Time of a decision."""


class ArgumentsEntry(TypedDict, total=False):
    """The arguments of a task, as members of its entry."""

    args: dict[str, str | None]
    """Words by name, as they count for the identity; ``None`` if one was left out."""
    text: dict[str, str]
    """Those of them that people read otherwise."""
    unchecked: str
    """The reason that they do not give the task's identity."""
    payload: str
    """Digest of their bytes."""
    shared: str
    """Digest of the bytes of those that the tasks of its group have in common."""


class TaskEntry(ArgumentsEntry):
    """A task."""

    id: str
    row: int
    """Its row in the queue."""
    group: int
    index: int
    """Its number among the tasks of its app."""
    state: str
    added: float
    needs: NotRequired[list[int]]
    """Rows of the tasks that it needs."""
    blocked: NotRequired[int]
    """Row of the task that blocks it."""
    attempts: NotRequired[list[AttemptEntry]]
    files: NotRequired[list[FileEntry]]
    result: NotRequired[PayloadEntry]
    versions: NotRequired[int]
    """Number of the versions that it ran with."""
    superseded: NotRequired[bool]
    """There if other code took the place of its own, or of that of a task that it needs."""
    unfinished: NotRequired[bool]
    """There if it has not ended."""


# The head


class GroupEntry(TypedDict):
    """Settings that tasks share; those that are as by default are absent."""

    app: int
    manager: int
    name: str
    cwd: str
    timeout: NotRequired[float]
    retries: NotRequired[int]
    retry_on: NotRequired[list[str]]
    priority: NotRequired[int]
    save_attrs: NotRequired[list[str]]


class AppEntry(TypedDict):
    """An app."""

    id: str
    name: str
    kind: str
    """``'python'``, ``'bash'``, or ``'cell'`` of a notebook."""
    source: str
    parts: dict[str, str]
    """Digests of what its identity is made of, by their labels."""
    packages: list[str]
    versions: list[int]
    """Numbers of the versions that its tasks ran with."""
    code: NotRequired[PayloadEntry]
    cell: NotRequired[str]
    """Text of its cell."""
    parameters: NotRequired[list[str]]
    root: NotRequired[str]
    """Word of the function itself."""
    pieces: NotRequired[dict[str, list[str]]]
    """Words of what each part is made of, by their labels."""
    untold: NotRequired[list[str]]
    """Labels of the parts whose text is not in the source."""
    unchecked: NotRequired[str]
    """The reason that its identity can't be computed anew."""


class ManagerEntry(TypedDict):
    """A task manager's settings."""

    id: str
    environ: dict[str, Any]
    scheduler: dict[str, Any]
    provider: dict[str, Any]


# A member of a class can't have the name ``with``: it is the number of the worker's versions.
_WorkerVersions = TypedDict('_WorkerVersions', {'with': int}, total=False)


class WorkerEntry(_WorkerVersions, total=False):
    """A worker.

    Of one that the journal does not tell of, only the name is there.
    """

    name: str
    host: str
    job: str
    slots: int
    since: float
    user: str


class ModuleEntry(TypedDict):
    """A module of the user's own."""

    path: str
    """Relative to the folder that it is imported from."""
    size: int
    sha256: str


class QueueFacts(TypedDict):
    """Facts about a queue as a whole."""

    name: str
    folder: str
    user: str
    """The user whose folder it is."""
    id: str
    as_of: float
    """Time of the last event that was read."""
    damage: int
    """Number of damaged places of its journal."""


class QueueLists(TypedDict):
    """Entries that tasks, and the entries before them, refer to by number."""

    groups: list[GroupEntry]
    apps: list[AppEntry]
    managers: list[ManagerEntry]
    workers: list[WorkerEntry]
    versions: list[Versions]
    modules: NotRequired[list[ModuleEntry]]
    """The user's own modules, which tasks used."""


class QueueHead(QueueFacts, QueueLists):
    """The record of a queue, without its tasks."""

    total: int
    """Number of the tasks that are recorded."""
    superseded: int
    """Number of those that are superseded; no number below counts them. Old records have none."""
    others: int
    """Number of the queue's other tasks."""
    counts: dict[str, int]
    """Numbers of tasks by state."""
    blocked: int
    """Number of the tasks that are blocked."""
    busy: float
    """Time that their attempts took together."""


# The record


class Totals(TypedDict):
    """Numbers over all queues of a record."""

    tasks: int
    """Number of tasks that are not superseded; so are the others."""
    superseded: int
    """Number of superseded tasks."""
    counts: dict[str, int]
    """Numbers of tasks by state."""
    busy: float
    """Time that all attempts took together."""
    workers: int
    hosts: list[str]


class CellEntry(TypedDict):
    """A cell of the notebook whose tasks are recorded."""

    cell: int
    """Its number."""
    queue: int
    """Number of the queue of its tasks."""
    tasks: str
    """Places of its tasks in the record of the queue, as ranges."""
    title: str
    how: str
    """The way its tasks are known: ``'display'`` or ``'source'``."""
    gone: NotRequired[str]
    """The reason that tasks of it are missing."""
    notes: NotRequired[list[str]]
    """Sentences on the cell, such as that it was changed."""


class RecordedNotebook(TypedDict):
    """The notebook that was recorded."""

    name: str
    cells: list[str]
    """Digests of the texts of its cells."""


class RecordedQueue(QueueHead):
    """The record of a queue."""

    tasks: list[str]
    """The tasks, one JSON object each, in order of their rows."""
    payloads: NotRequired[dict[str, str]]
    """Bytes in base 85 by their sha256, where they were asked for."""


class RecordDocument(TypedDict):
    """A record, as the metadata of its notebook hold it."""

    version: int
    made: Versions
    """Versions, and facts of the repository, that it was made with."""
    notebook: RecordedNotebook
    cells: list[CellEntry]
    queues: list[RecordedQueue]
    totals: Totals
    left_out: list[str]
    """Sentences on what was left out."""
    paths: str
    """The folder that paths are relative to."""
    parts: NotRequired[dict[str, str]]
    """Digests of its parts, by what each is called."""
    content_digest: NotRequired[str]
    """Digest of the content, however the file is laid out."""
    file_digest: NotRequired[str]
    """Digest of the bytes of the file, this one left out."""
