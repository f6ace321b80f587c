"""Declare what every face shows: a struct for each thing, written once.

The structs are dictionaries at run time, so that JSON of them is what there is. ``mypy`` holds
their builders and readers to these members; the JSON schemas of the server and the interfaces of
the JupyterLab side (``jupyter_ext/src/generated/view.ts``) are made of them. Times are seconds
since the epoch, durations seconds, sizes bytes, unless a member says something else.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

Count = Annotated[int, {'minimum': 0}]
"""A number of things."""

StateName = Literal['SUCCEEDED', 'FAILED', 'KILLED', 'UNKNOWN', 'RUNNING', 'PENDING', 'WAITING']
"""State of a task, in the order of a bar: ended well, ended badly, running, waiting."""

TaskState = StateName | Literal['DELETED']
"""State of a task that another one names, which may have been deleted."""

ShownState = TaskState | Literal['BLOCKED', 'SUPERSEDED', 'CLAIMED']
"""A state, or what is shown instead."""

Condition = Literal['empty', 'running', 'paused', 'stopped', 'failed', 'done']
"""State of a queue, or of the tasks of a cell, as a whole."""

LineCondition = Condition | Literal['unreadable']
"""State of a queue in a list."""

BadgeState = Literal[
    'current',
    'edited',
    'stale',
    'running',
    'paused',
    'no worker',
    'failed',
    'never run',
    'unknown',
]
"""State of a task cell."""

Counts = dict[StateName, Count]
"""Numbers of tasks by state."""

Mime = dict[str, Any]
"""Forms of one display by MIME type; the values belong to whoever made them."""

# Tasks by name


class TaskLabel(TypedDict):
    """The name of a task."""

    tid: str
    """Its identity."""
    name: str
    """The name of its app."""
    index: int
    """Its number among the tasks of its app."""


class RelativeView(TaskLabel):
    """A task that another one requires, or that requires it."""

    state: TaskState
    blocked: str
    """Identity of the task that blocks it; or empty."""
    superseded: bool


class FailureView(TaskLabel):
    """A task that did not succeed."""

    state: TaskState
    cause: str
    """The last line of its traceback, or why it was ended."""


class FailureKind(TypedDict):
    """Tasks that did not succeed for causes of one kind."""

    kind: str
    """The class of what they raised; of others, their state."""
    count: Count


class CellFailure(FailureView):
    """The first task of a cell that did not succeed."""

    kinds: list[FailureKind]
    """All that did not, the most frequent kind first."""

    line: int | None
    """Line of the cell, counted from 1 at the ``%%desipipe`` line."""


class CauseView(FailureView):
    """A task that did not succeed and that others need."""

    count: Count
    """Number of tasks that can't run because of it."""


class RunningTask(TaskLabel):
    """A task in a slot."""

    since: float | None
    superseded: bool


# Queues


class ManagerView(TypedDict):
    """The process that keeps enough workers."""

    name: str
    host: str
    pid: int
    since: float
    alive: bool | None
    """None where that is unknown: it runs on another machine."""
    says: str
    """Its last trouble."""
    stopping: bool


class WorkerView(TypedDict):
    """A worker that lives, as far as the journal tells."""

    name: str
    host: str
    pid: int
    job: str
    """The batch job it runs in; or empty."""
    mid: str
    """Identity of its task manager; empty if it serves all."""
    slots: Count
    since: float
    alive: bool | None
    """None where that is unknown: it runs on another machine."""
    stopping: bool
    trouble: str
    """Problem of the moment, and its reason."""
    running: Count
    """Number of tasks in its slots."""
    claimed: Count
    """Number of tasks it runs next."""
    tasks: list[RunningTask]
    """Those in its slots."""
    cpu: float | None
    """Number of processors that it and its tasks kept busy of late; None where it is unknown."""
    memory: int | None
    """Resident bytes of it and its tasks; None where it is unknown."""


JobState = Literal['pending', 'running', 'withdrawn']
"""State of a batch job; a withdrawn one has not begun and is no longer needed."""


class JobView(TypedDict):
    """A job of a batch system that has not ended."""

    job: str
    """Its number, with its index in an array: ``4411_2``."""
    mid: str
    """Identity of its task manager."""
    slots: Count
    state: JobState
    reason: str
    """Reason that it waits, in the batch system's own word."""
    node: str
    ends: float | None
    """Time at which it reaches its time limit."""
    workers: list[str]
    """Names of the workers in it."""
    running: Count
    """Number of tasks in its slots."""
    claimed: Count
    """Number of tasks it runs next."""
    cluster: NotRequired[str]
    """The batch system's cluster, where there are several."""
    tasks: list[TaskLabel]
    """The first of those in its slots."""


class JobGroup(TypedDict):
    """Jobs of one state and reason."""

    state: JobState
    reason: str
    n: Count
    nodes: Count
    """Number of nodes they run on."""
    running: Count
    """Number of tasks in their slots."""
    ends: list[float] | None
    """Times at which the first and the last of them reach their time limit."""


class DamageView(TypedDict):
    """A piece of the journal that can't be read."""

    file: str
    offset: Count
    length: Count


class HeldView(TypedDict):
    """Pending tasks that do not run as this user, in a queue that a group shares."""

    user: str
    count: Count
    text: str


class OwnershipView(TypedDict):
    """The owner of a queue, and whether this user may use it."""

    owner: str
    """Name of the user whose queue it is."""
    own: bool
    """True if that is this user."""
    group: str
    """Name of the group that shares it; or empty."""
    untrusted: str
    """Name of the owner if this user does not trust them and may only look; else empty."""


class QueueFacts(OwnershipView):
    """Members that lists and summaries of a queue have in common."""

    name: str
    folder: str
    time: float
    """Time at which this was so."""
    state: Literal['PAUSED', 'ACTIVE']
    condition: Condition
    total: Count
    """Number of tasks that are not superseded; so are the counts."""
    counts: Counts
    """By state; what a worker has claimed and not begun is pending."""
    superseded: Count
    """Number of tasks of code that the notebook or script has no longer."""
    claimed: Count
    """Number of pending tasks that a worker has taken."""
    blocked: Count
    """Number of waiting tasks whose requirements did not succeed."""
    left: Count
    """Number of tasks that have neither ended nor are blocked."""
    manager: ManagerView | None
    last_says: str
    """The last trouble of the last manager, while tasks wait and there is none."""
    limits: dict[str, Count]
    """The most tasks that may run in parallel, by task manager."""
    rate: float | None
    """Tasks per second lately."""
    eta: float | None
    """Seconds left at this rate."""


class QueueBrief(QueueFacts):
    """A queue as lists show it."""

    workers: Count
    """Number of workers that live, as far as the journal tells."""


class QueueLine(QueueBrief):
    """A queue in the server's list."""

    queue: str
    """The shortest name by which a page can ask for it."""
    error: str
    """Empty, since it can be read."""


class UnreadableQueue(TypedDict):
    """A queue in the server's list that can't be read."""

    queue: str
    folder: str
    condition: Literal['unreadable']
    error: str
    """Reason that it cannot be read."""


class QueueSummary(QueueFacts):
    """All there is to see of a queue at one glance."""

    workers: list[WorkerView]
    jobs: list[JobView]
    failures: list[FailureView]
    """The first tasks that did not succeed."""
    failure_kinds: list[FailureKind]
    """All that did not, the most frequent kind first."""
    causes: list[CauseView]
    """The one that blocks most first."""
    damage: list[DamageView]
    held: list[HeldView]


class QueueView(QueueSummary):
    """The same as the server answers, which cuts what is very long."""

    queue: str
    """The shortest name by which a page can ask for it."""
    n_workers: Count
    n_jobs: Count
    n_causes: Count
    n_damage: Count


# Tasks


class TaskSummary(RelativeView):
    """A task in a list."""

    claimed: bool
    """True if it is pending and a worker has taken it."""
    mid: str
    """Identity of its task manager."""
    attempt: Count
    """Number of times that it began."""
    worker: str
    host: str
    job: str
    began: float | None
    duration: float | None
    """None unless it ended."""
    memory: int | None
    """The most resident memory of its process, in bytes."""
    cause: str
    """Reason that it did not succeed."""
    user: NotRequired[str]
    """User who added it, in a queue that a group shares."""
    ran_by: NotRequired[str]
    """User whose worker ran it, in a queue that a group shares."""


class TaskRow(TaskSummary):
    """A task in a page of a list."""

    row: Count
    arguments_text: str
    """Its arguments in few words: ``i=12, k=0.1``."""


class TaskPage(TypedDict):
    """A page of a list of tasks."""

    total: Count
    offset: Count
    tasks: list[TaskRow]


class AttemptView(TypedDict):
    """An attempt at a task that ended."""

    attempt: int
    state: TaskState
    worker: str
    host: str
    user: NotRequired[str]
    """User whose worker ran it, in a queue that a group shares."""
    job: str
    began: float | None
    duration: float | None
    memory: int | None
    cause: str
    current: bool
    """True if it is the one that counts."""
    out: Count
    """Bytes of its standard output that are kept."""
    err: Count


class FileUse(TypedDict):
    """A file that a task read or wrote."""

    do: Literal['read', 'write']
    path: str
    size: int | None
    mtime: int | None
    """Nanoseconds since the epoch."""
    sha256: str | None
    of: NotRequired[int | None]


class TaskDetail(TaskSummary):
    """All that is known of a task."""

    kind: str
    """``python`` or ``bash``."""
    timeout: float | None
    retries: int
    retry_on: list[str]
    priority: int
    cwd: str
    added: float | None
    code: str
    arguments: dict[str, str]
    versions: dict[str, str]
    """Versions of the packages that its app uses."""
    environment: dict[str, str]
    """Versions of everything else that its worker ran with."""
    files: list[FileUse]
    """The first that its last attempt read and wrote."""
    n_files: Count
    attempts: list[AttemptView]
    out: Count
    """Bytes of standard output that are kept of the last attempt."""
    err: Count
    trace: str
    """The remote traceback."""
    result: int | None
    """Bytes of the result, while it runs again of the one before; None if there is none."""
    requires: list[RelativeView]
    n_requires: Count
    dependants: list[RelativeView]
    """Those of a task that counts: the superseded ones last."""
    n_dependants: Count
    n_superseded_dependants: Count
    """Number of superseded tasks that need a task that counts; in no other number here."""
    problems: list[str]
    """Problems of what could not be read."""


class PeersView(TypedDict):
    """Other tasks of the same app that succeeded."""

    n: Count
    median: float
    least: float
    most: float
    memory: float | None
    """Median of their memory in bytes."""


class BesideView(TypedDict):
    """The tasks beside a task."""

    blocker: TaskLabel | None
    """The task that keeps it from running."""
    previous: TaskLabel | None
    next: TaskLabel | None
    peers: PeersView | None


class TaskView(TaskDetail, BesideView):
    """The same as the server answers."""

    row: Count
    preview: str
    """Its result in few words; empty where that can't be told."""
    path: str | None
    """Path by which the server shows its folder; None: not at all."""
    line: int | None
    """The line of its code that failed, from 1 on."""


class AppView(TypedDict):
    """The tasks of an app."""

    name: str
    total: Count
    counts: Counts
    failed: Count
    """Number of tasks that did not succeed."""
    median: float | None
    """Seconds that a task took that succeeded."""


class DurationsView(TypedDict):
    """Durations of the tasks of an app that succeeded."""

    name: str
    ran_by: NotRequired[str]
    """Users whose workers ran them, in a queue that a group shares."""
    n: Count
    mean: float
    median: float
    min: float
    max: float
    total: float


# What tasks print and draw


class OutputPiece(TypedDict):
    """A piece of what a task printed."""

    text: str
    offset: Count
    """Position where the next piece begins."""
    part: str
    """Names the text that the offset is in: live or kept, of which attempt."""
    fresh: bool
    """True if it is the beginning of another text, and replaces what was shown."""
    more: bool
    """True if there is more at once."""
    over: bool
    """True if nothing will be added."""
    attempt: Count
    """Number of the attempt that printed it; 0 if none has begun."""


class DisplayView(TypedDict):
    """A display of a task before it is opened."""

    number: Count
    kinds: dict[str, Count]
    """Bytes by MIME type."""
    text: str


class DisplayList(TypedDict):
    """The displays of a task."""

    displays: list[DisplayView]
    total: Count
    untrusted: str
    """Name of the user who made them and is not trusted; else empty."""


class DisplayData(TypedDict):
    """One display of a task, whole."""

    data: Mime
    metadata: Mime


class StreamOutput(TypedDict):
    """Text that a task printed, as nbformat has it."""

    output_type: Literal['stream']
    name: Literal['stdout', 'stderr']
    text: str


class ErrorOutput(TypedDict):
    """A traceback, as nbformat has it."""

    output_type: Literal['error']
    ename: str
    evalue: str
    traceback: list[str]


class DisplayOutput(TypedDict):
    """A display, as nbformat has it."""

    output_type: Literal['display_data']
    data: Mime
    metadata: Mime


OutputView = StreamOutput | ErrorOutput | DisplayOutput
"""Output of a task: printed text, or a display."""


# Cells


class BadgeView(TypedDict):
    """State of a cell whose tasks are not of its present text and inputs."""

    state: BadgeState
    reason: str
    by: NotRequired[Literal['value']]
    """``value`` if the kernel compared values."""


class RanView(TypedDict):
    """Digests of what a cell ran with."""

    text: str
    reads: dict[str, str]


class CellTimes(TypedDict):
    """Times of the tasks of a cell."""

    rate: float | None
    """Tasks per second lately."""
    eta: float | None
    """Seconds left at this rate."""
    elapsed: float | None
    """Seconds that the tasks took, without pauses of more than a minute."""
    began: float | None
    ended: float | None
    computed: float | None
    """Time at which the last task ended."""


class CellView(CellTimes):
    """All there is to see of the tasks of a cell, or of a queue, in a notebook."""

    version: int
    """Version of this struct."""
    queue: str
    folder: str
    title: str
    rows: str
    """The rows of the tasks: ``0-19,40``."""
    first: str
    """Identity of the first row's task."""
    time: float
    condition: Condition
    total: Count
    """Number of tasks that are not superseded; so are the counts."""
    counts: Counts
    claimed: Count
    blocked: Count
    superseded: Count
    left: Count
    workers: Count
    """Number of workers that live; when nothing is left, of those that did it."""
    slots: Count
    """Slots of these workers."""
    cached: bool
    """True if all results were there when the cell was run."""
    failure: CellFailure | None
    causes: list[CauseView]
    jobs: list[JobView]
    """The first jobs of batch systems for its task managers, while something is left."""
    n_jobs: Count
    job_groups: list[JobGroup]
    """All of these jobs, by state and reason."""
    outputs: list[OutputView]
    """In order of the tasks; before those of each of several tasks stands a label."""
    truncated: str
    """Note of what was left out of the outputs; or empty."""
    published: str
    """Rows, each with its attempt, whose outputs stand under the cell as its own: ``0:1,3:2``."""
    gone: str
    """Fate of the tasks where they no longer exist; or empty."""
    refused: str
    """Reason that no worker comes before someone does something about it; or empty."""
    untrusted: str
    """Name of the owner of the queue if they are not trusted; else empty."""
    advice: list[list[str]]
    """Pairs of words and the command to type."""
    kind: NotRequired[Literal['queue']]
    """``queue`` if these are all tasks of a queue, and not of a cell."""
    ran: NotRequired[RanView]
    badge: NotRequired[BadgeView]


class CellStateView(TypedDict):
    """A task cell of a notebook, by its text."""

    cell: int
    """Number of the cell in its notebook, from 1."""
    title: str
    state: BadgeState
    reason: str
    needs: dict[str, int]
    """Task cells whose outputs it reads, by the name of the output."""


class ShownCellView(TypedDict):
    """The tasks of a cell, as a request for their summary names them."""

    version: int
    folder: str
    rows: str
    first: str
    title: str
    ran: NotRequired[RanView]


class CellRunView(TypedDict):
    """The last run of a cell, of which its window has no output."""

    cell: int
    """Number of the cell in its notebook, from 1."""
    display: ShownCellView


class CellStatesView(TypedDict):
    """The task cells of a notebook."""

    cells: list[CellStateView]
    shown: list[CellRunView]
    """Cells that ran since their outputs in this window were made."""


class EstimateView(TypedDict):
    """Cost of one task of a cell."""

    seconds: float
    runs: Count
    """Number of earlier tasks."""
    nodes: float | None
    charge_factor: float | None


class PlannedCellView(CellStateView):
    """A task cell of a plan."""

    tasks: int | None
    """The most tasks that it would add; None where only a kernel can tell."""
    each: EstimateView | None
    seconds: float | None
    node_hours: float | None
    charge: float | None


class PlanTotalView(TypedDict):
    """Cost of all cells of a plan that are not current."""

    cells: Count
    tasks: int | None
    seconds: float | None
    node_hours: float | None
    charge: float | None


class PlanView(TypedDict):
    """Cost of the task cells that are not current."""

    cells: list[PlannedCellView]
    to_run: list[int]
    """Cells that a new kernel has to run, in order, from 1."""
    total: PlanTotalView


# Pictures


class GraphTask(TaskLabel):
    """A task in a graph."""

    id: str
    state: TaskState
    blocked: bool


class GraphApp(TypedDict):
    """An app that stands for its tasks in a graph."""

    id: str
    name: str
    total: Count
    counts: Counts
    blocked: Count


class GraphEdge(TypedDict):
    """A requirement in a graph."""

    source: str
    target: str
    """The node that needs the source."""
    count: Count


class GraphView(TypedDict):
    """Graph of which tasks require which."""

    grouped: bool
    """True if apps stand for their tasks."""
    total: Count
    """Number of tasks that are not superseded; only these are shown."""
    nodes: list[GraphTask | GraphApp]
    edges: list[GraphEdge]


class AttemptInterval(TaskLabel):
    """An attempt in a timeline."""

    start: float
    end: float | None
    """None: it runs."""
    state: TaskState
    level: Count
    """Index among the attempts at once; below the height of the lane."""
    superseded: bool


class CountedInterval(TypedDict):
    """A piece of a worker's time in which attempts were counted."""

    start: float
    end: float
    count: Count
    counts: Counts
    busy: float
    """Average number that ran at once."""
    busy_superseded: float
    """The same of superseded tasks, which are in no other number here."""


class LaneView(TypedDict):
    """A worker's line in a timeline."""

    worker: str
    host: str
    job: str
    slots: Count
    height: Count
    """Number that ran at once."""
    intervals: list[AttemptInterval] | list[CountedInterval]


class TimelineView(TypedDict):
    """Timeline of which worker ran what when."""

    whole: list[float]
    """Times of the first begin and the last end of all parts; empty if nothing has run."""
    began: float | None
    ended: float | None
    total: Count
    """Number of attempts of tasks that are not superseded."""
    superseded: Count
    """Number of attempts of superseded tasks."""
    aggregated: bool
    """True if attempts are counted instead of shown one by one."""
    lanes: list[LaneView]
    hidden: Count
    """Number of workers that are left out."""


# What the server answers to orders


class Done(TypedDict):
    """An order was done."""

    message: str


class Changed(Done):
    """An order changed tasks."""

    tasks: Count


class Stopped(Done):
    """Processes were asked to end."""

    workers: list[str]
    manager: bool
    vanished: Count
    """Number of workers that were found dead."""


class Started(Done):
    """A manager was started."""

    pid: Count
    log: str


class Failure(TypedDict):
    """An error of the server."""

    error: str
    """Name of a class of ``desipipe.errors``, or HTTP's words."""
    message: str
    """Problem, consequence, and what to do."""


class Trouble(Failure):
    """Why a queue that a page follows can't be read."""

    queue: str
    folder: str
