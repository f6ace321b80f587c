"""Make tasks of the calls in a script, by decorators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config import Config
from ..environment import change_environ, get_environ
from ..errors import NotSerializableError as SerializationError
from ..errors import PayloadError as DeserializationError
from ..provider import get_provider
from ..queue.call_here import chdir
from ..queue.future import Future
from ..queue.original_names import action_from_args, get_mpicomm
from ..queue.queue import Queue
from ..queue.queue_functions import get_queue, kill, retry
from ..queue.task import Task
from ..scheduler import get_scheduler
from ..serialize.function_source import deserialize_function, serialize_function
from ..utils import BaseClass
from .apps import (
    BaseApp,
    BashApp,
    PythonApp,
    TaskApp,
    _make_app,  # noqa: F401  (where pickles of before find it)
)
from .manager import TaskManager
from .state_names import QueueState, TaskState, VarType, queue_states, task_states, var_types

if TYPE_CHECKING:
    from ..execution.spawning import spawn
    from ..execution.worker import work

__all__ = [
    'BaseApp',
    'BaseClass',
    'BashApp',
    'Config',
    'DeserializationError',
    'Future',
    'PythonApp',
    'Queue',
    'QueueState',
    'SerializationError',
    'Task',
    'TaskApp',
    'TaskManager',
    'TaskState',
    'VarType',
    'action_from_args',
    'change_environ',
    'chdir',
    'deserialize_function',
    'get_environ',
    'get_mpicomm',
    'get_provider',
    'get_queue',
    'get_scheduler',
    'kill',
    'queue_states',
    'retry',
    'serialize_function',
    'spawn',
    'task_states',
    'var_types',
    'work',
]

if not TYPE_CHECKING:  # a module's `__getattr__` would hide mistyped names from type checkers

    def __getattr__(name: str) -> object:
        """Import the two processes when they are first asked for.

        Scripts that only add tasks don't need them.
        """
        if name == 'spawn':
            from ..execution.spawning import spawn

            return spawn
        if name == 'work':
            from ..execution.worker import work

            return work
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
