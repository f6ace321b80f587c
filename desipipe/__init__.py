"""Run tasks from a durable queue on a shared filesystem with workers anywhere.

The names below are imported when they are first used, so that ``import desipipe`` costs next to
nothing: a shell completion, a worker or a batch script pays only for what it needs.
"""

from __future__ import annotations

# Not `typing.TYPE_CHECKING`: importing `typing` would cost more than everything else here. Type
# checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import errors
    from ._version import __version__
    from .config import Config
    from .environment import Environment
    from .execution.spawning import spawn
    from .execution.worker import work
    from .file_manager import FileManager
    from .provider import Provider
    from .queue.arrivals import as_completed, wait
    from .queue.future import Future
    from .queue.gathering import gather
    from .queue.queue import Queue
    from .queue.queue_functions import kill, retry
    from .scheduler import Scheduler
    from .task_manager import TaskManager
    from .utils import setup_logging

__all__ = [
    'Config',
    'Environment',
    'FileManager',
    'Future',
    'Provider',
    'Queue',
    'Scheduler',
    'TaskManager',
    '__version__',
    'as_completed',
    'errors',
    'gather',
    'kill',
    'retry',
    'setup_logging',
    'spawn',
    'wait',
    'work',
]

# Public name: the module that holds it. No name may be that of a submodule (`errors`, which is one,
# apart): importing the submodule would replace the function by the module in this namespace.
_HOME = {
    'Config': 'config',
    'Environment': 'environment',
    'FileManager': 'file_manager',
    'Future': 'queue.future',
    'Provider': 'provider',
    'Queue': 'queue.queue',
    'Scheduler': 'scheduler',
    'TaskManager': 'task_manager',
    '__version__': '_version',
    'as_completed': 'queue.arrivals',
    'gather': 'queue.gathering',
    'kill': 'queue.queue_functions',
    'retry': 'queue.queue_functions',
    'setup_logging': 'utils',
    'spawn': 'execution.spawning',
    'wait': 'queue.arrivals',
    'work': 'execution.worker',
}


if not TYPE_CHECKING:  # a module's `__getattr__` would hide mistyped names from type checkers

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used (PEP 562)."""
        from importlib import import_module

        if name == 'errors':
            return import_module('desipipe.errors')
        if name not in _HOME:
            raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
        value: object = getattr(import_module(f'desipipe.{_HOME[name]}'), name)
        globals()[name] = value  # next time without this function
        return value


def load_ipython_extension(shell: object) -> None:
    """``%load_ext desipipe``."""
    from .notebook import load_ipython_extension

    load_ipython_extension(shell)


def unload_ipython_extension(shell: object) -> None:
    """``%unload_ext desipipe``."""
    from .notebook import unload_ipython_extension

    unload_ipython_extension(shell)


def __dir__() -> list[str]:
    """List the public names, also those not imported yet."""
    return sorted({*globals(), *__all__})
