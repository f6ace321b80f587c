"""All kinds of events as one type, which type checkers narrow by the member ``e``.

Kinds of later versions are in no type: the fold passes over them.
"""

from __future__ import annotations

from ..store.header import HeaderEvent
from .attempt_events import AttemptEvent, BackEvent, EndEvent, EndsEvent, RunEvent, RunsEvent
from .process_events import (
    JobEvent,
    LendEvent,
    ManagerBeginEvent,
    ManagerEndEvent,
    ManagerSayEvent,
    ProcessEvent,
    ResizeEvent,
    StopEvent,
    SubmitEvent,
    VersionsEvent,
    WorkerBeginEvent,
    WorkerEndEvent,
)
from .task_events import (
    AcceptEvent,
    AddEvent,
    AppEvent,
    AssignEvent,
    CellEvent,
    CodeEvent,
    DrainEvent,
    DropEvent,
    FillEvent,
    GroupEvent,
    KeepEvent,
    LinkEvent,
    MarkEvent,
    ReviveEvent,
    SegmentsEvent,
    SetEvent,
    SharedEvent,
    StateEvent,
    TaskManagerEvent,
)

WorkerEvent = WorkerBeginEvent | WorkerEndEvent
ManagerEvent = ManagerBeginEvent | ManagerSayEvent | ManagerEndEvent
JournalEvent = (
    WorkerEvent
    | ManagerEvent
    | JobEvent
    | LendEvent
    | ProcessEvent
    | ResizeEvent
    | StopEvent
    | SubmitEvent
    | VersionsEvent
    | AcceptEvent
    | AddEvent
    | AppEvent
    | AssignEvent
    | AttemptEvent
    | BackEvent
    | CellEvent
    | CodeEvent
    | DrainEvent
    | DropEvent
    | EndEvent
    | FillEvent
    | GroupEvent
    | KeepEvent
    | LinkEvent
    | MarkEvent
    | ReviveEvent
    | RunEvent
    | SegmentsEvent
    | SetEvent
    | SharedEvent
    | StateEvent
    | TaskManagerEvent
)
"""An event of the journal after its first, read or on its way into it."""
LineEvent = JournalEvent | RunsEvent | EndsEvent
"""An event as its line has it: those of many attempts may be packed, see :mod:`.packing`."""
JournalLine = HeaderEvent | LineEvent
