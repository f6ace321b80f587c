"""Queues: the journal's events, the state they make, and operations on both."""

from __future__ import annotations

__all__ = ['Queue', 'get_queue', 'kill', 'retry']

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .queue import Queue
    from .queue_functions import get_queue, kill, retry
else:

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used: a slot needs the events alone."""
        if name not in __all__:
            raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
        from . import queue, queue_functions

        return getattr(queue if name == 'Queue' else queue_functions, name)
