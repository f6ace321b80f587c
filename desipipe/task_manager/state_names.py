"""Names of states and of kinds of parameters, for scripts of desipipe 1.0."""

from __future__ import annotations

from typing import ClassVar

__all__ = ['QueueState', 'TaskState', 'VarType', 'queue_states', 'task_states', 'var_types']


class TaskState:
    """Names of the states of tasks."""

    WAITING = 'WAITING'
    PENDING = 'PENDING'
    RUNNING = 'RUNNING'
    SUCCEEDED = 'SUCCEEDED'
    FAILED = 'FAILED'
    KILLED = 'KILLED'
    UNKNOWN = 'UNKNOWN'
    ALL: ClassVar[list[str]] = [WAITING, PENDING, RUNNING, SUCCEEDED, FAILED, KILLED, UNKNOWN]


class QueueState:
    """Names of the states of queues."""

    ACTIVE = 'ACTIVE'
    PAUSED = 'PAUSED'
    ALL: ClassVar[list[str]] = [ACTIVE, PAUSED]


class VarType:
    """Names of the kinds of parameters, see :attr:`TaskApp.vartypes`."""

    POSITIONAL_OR_KEYWORD = 'POSITIONAL_OR_KEYWORD'
    KEYWORD_ONLY = 'KEYWORD_ONLY'
    VAR_POSITIONAL = 'VAR_POSITIONAL'
    VAR_KEYWORD = 'VAR_KEYWORD'
    ALL: ClassVar[list[str]] = [POSITIONAL_OR_KEYWORD, KEYWORD_ONLY, VAR_POSITIONAL, VAR_KEYWORD]


task_states, queue_states, var_types = TaskState.ALL, QueueState.ALL, VarType.ALL
