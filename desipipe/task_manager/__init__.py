"""Make tasks of the calls in a script, by decorators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config import Config
from ..environment import get_environ
from ..errors import NotSerializableError as SerializationError
from ..errors import PayloadError as DeserializationError
from ..provider import get_provider
from ..queue.future import Future
from ..queue.original_names import action_from_args, get_mpicomm
from ..queue.queue import Queue
from ..queue.task import Task
from ..scheduler import get_scheduler
from ..utils import BaseClass
from .apps import (
    BaseApp,
    BashApp,
    PythonApp,
    TaskApp,
    _make_app,  # noqa: F401  (where pickles of before find it)
)
from .manager import TaskManager

if TYPE_CHECKING:
    from ..environment import change_environ
    from ..execution.spawning import spawn
    from ..execution.worker import work
    from ..queue.call_here import chdir
    from ..queue.queue_functions import get_queue, kill, retry
    from ..serialize.function_source import deserialize_function, serialize_function
    from .state_names import QueueState, TaskState, VarType, queue_states, task_states, var_types

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

# Names that scripts which only add tasks don't need: the module that holds them.
_HOME = {
    'change_environ': 'environment',
    'chdir': 'queue.call_here',
    'deserialize_function': 'serialize.function_source',
    'serialize_function': 'serialize.function_source',
    'get_queue': 'queue.queue_functions',
    'kill': 'queue.queue_functions',
    'retry': 'queue.queue_functions',
    'spawn': 'execution.spawning',
    'work': 'execution.worker',
    **dict.fromkeys(
        ('QueueState', 'TaskState', 'VarType', 'queue_states', 'task_states', 'var_types'),
        'task_manager.state_names',
    ),
}

if not TYPE_CHECKING:  # a module's `__getattr__` would hide mistyped names from type checkers

    def __getattr__(name: str) -> object:
        """Import a name when it is first asked for."""
        if name not in _HOME:
            raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
        from importlib import import_module

        return getattr(import_module(f'desipipe.{_HOME[name]}'), name)
