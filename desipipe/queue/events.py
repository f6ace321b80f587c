"""The vocabulary of the journal: task states, kinds of events, what tasks share."""

from __future__ import annotations

from struct import Struct

from ..errors import UnknownNameError, close_names
from ..utils.named_tuple import NamedTuple
from ..utils.str_enum import StrEnum

WAITING, PENDING, RUNNING, SUCCEEDED, FAILED, KILLED, UNKNOWN, DROPPED = range(8)

STATES = ('WAITING', 'PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'KILLED', 'UNKNOWN')
"""Names of the task states, in the order of their codes."""

ENDED = (SUCCEEDED, FAILED, KILLED, UNKNOWN)
"""States in which nothing more happens by itself."""

UNSUCCESSFUL = (FAILED, KILLED, UNKNOWN)
"""States that block the tasks that need a result."""

CHUNK = 4096
"""The most rows of one event, so that lines stay readable and a lost one costs little."""

NAMED_MAX = 1 << 20
"""After how many rows that its tasks need an event ends: what one task needs is in one line."""

TEXT = Struct('<I')
"""The length of the arguments' text, which stands before their pickle."""

CANCELLED = 'cancelled'
"""The ``kind`` of a cause: someone cancelled the task."""

BY_HAND = (CANCELLED, 'killed')
"""Kinds of causes that someone decided: no retry follows by itself."""


def state_code(name: str) -> int:
    """The code of a state's name.

    Raises
    ------
    UnknownNameError
        Listing the valid names.
    """
    try:
        return STATES.index(name.upper())
    except ValueError:
        near = close_names(name.upper(), STATES, n=len(STATES))
        raise UnknownNameError(f'There is no task state {name!r}: {near}') from None


FAILED_ERRNO = 42
"""Error number of what raised an exception that has none of its own."""


class EventKind(StrEnum):
    """The kinds of events, as the journal names them."""

    ACCEPT = 'accept'
    ADD = 'add'
    APP = 'app'
    ASSIGN = 'assign'
    ATTEMPT = 'attempt'
    BACK = 'back'
    CELL = 'cell'
    CODE = 'code'
    DRAIN = 'drain'
    DROP = 'drop'
    END = 'end'
    ENDS = 'ends'
    FILL = 'fill'
    GROUP = 'group'
    JOB = 'job'
    KEEP = 'keep'
    LEND = 'lend'
    LINK = 'link'
    MANAGER = 'manager'
    MARK = 'mark'
    MGR = 'mgr'
    PROCESS = 'process'
    QUEUE = 'queue'
    RESIZE = 'resize'
    REVIVE = 'revive'
    RUN = 'run'
    RUNS = 'runs'
    SEGMENTS = 'segments'
    SET = 'set'
    SHARED = 'shared'
    STATE = 'state'
    STOP = 'stop'
    SUBMIT = 'submit'
    VERSIONS = 'versions'
    WORKER = 'worker'


class Step(StrEnum):
    """The steps in the life of a worker or manager."""

    BEGIN = 'begin'
    SAY = 'say'
    END = 'end'


class StopLevel(StrEnum):
    """Ways to ask a worker or the manager to end, the strictest last."""

    POLITELY = 'politely'
    """Tasks that run may end."""
    SOON = 'soon'
    """Tasks that run may end within seconds: SIGTERM."""
    WALLTIME = 'walltime'
    """Tasks that run are told that the job's time is over, and killed."""
    NOW = 'now'
    """Tasks that run are killed."""


class CauseKind(StrEnum):
    """Why an attempt or a worker ended, where no exception of the task's says it."""

    CANCELLED = 'cancelled'
    """Someone cancelled the task."""
    CANCELLED_JOB = 'cancelled-job'
    """Someone cancelled the job of its worker."""
    CODE = 'code'
    """Its code or arguments cannot be read."""
    DESCRIPTORS = 'descriptors'
    """Its worker has no file descriptors left."""
    END = 'end'
    """Its slot is no longer needed."""
    ERROR = 'error'
    EXIT = 'exit'
    """Its process ended in the middle."""
    GONE = 'gone'
    """Its queue was deleted or cleared."""
    KILLED = 'killed'
    """Someone killed its worker."""
    LOST = 'lost'
    """The line that told how it ended was damaged."""
    MPI = 'mpi'
    """The launcher of its MPI processes failed."""
    NEIGHBOUR = 'neighbour'
    """The launcher ended its MPI processes because of another task."""
    OOM = 'oom'
    """The kernel killed it for want of memory."""
    RANK = 'rank'
    """One of its MPI processes raised."""
    REQUEUED = 'requeued'
    """Its job went back to the queue of the batch system."""
    SIGNAL = 'signal'
    """A signal ended its process."""
    SLOTS = 'slots'
    """Its worker can start no slots."""
    STOP_AFTER = 'stop_after'
    """Its worker has run as many tasks as it was to."""
    TERMINATED = 'terminated'
    """Its worker was told to end by a signal."""
    TIMEOUT = 'timeout'
    """It reached its own time limit."""
    VANISHED = 'vanished'
    """Its worker was gone without a word."""
    WALLTIME = 'walltime'
    """It reached the time limit of its job."""


class Reason(StrEnum):
    """Why a person set states."""

    RETRY = 'retry'
    CANCEL = 'cancel'
    SET = 'set'


class Ref(NamedTuple):
    """The position of bytes in a file."""

    segment: str
    offset: int
    length: int


class Group(NamedTuple):
    """The settings that many tasks share: written once, referred to by number."""

    app: str
    """Identity of the app version, hexadecimal."""
    mid: str
    """Identity of the task manager."""
    name: str
    kind: str
    """``'python'``, ``'bash'``, or ``'cell'`` of a notebook."""
    timeout: float | None = None
    """Seconds that one attempt may take."""
    retries: int = 0
    """Number of times that a failed attempt is followed by another."""
    retry_on: tuple[str, ...] = ()
    """Exception names and states that are retried; empty: all."""
    priority: int = 0
    """Larger goes first."""
    cwd: str = ''
    """The folder the tasks run in."""
    path: tuple[str, ...] = ()
    """Folders that the script had in front of ``sys.path``."""
    save_attrs: tuple[str, ...] = ()
    save_dir: str = ''
    shared: str = ''
    """Digest of the arguments that are the same in all calls and were stored once, hexadecimal."""
    settings: str = ''
    """Settings of the process that added the tasks, as JSON; see ``carried_settings``."""


OPTIONS = ('mid', 'timeout', 'retries', 'retry_on', 'priority', 'settings')
"""Members of a group that say how its tasks are run, not what they are: they may change as long
as a task has not succeeded.
"""
