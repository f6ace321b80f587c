"""Task managers: settings of tasks, and the decorators that make apps."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..config.option_owners import of_object
from ..queue.ledger import Ledger
from ..queue.queue import queue_of
from .apps import APPS
from .settings import TaskSettings

_of_object = of_object("tm = TaskManager(Queue('my_queue', create=True))")


class TaskManager(TaskSettings):
    """The settings of tasks: a queue, an environment, a scheduler, a provider.

    Parameters
    ----------
    queue : Queue or str
        What keeps the tasks; ``None`` only records the settings.
    environ : Environment, str or dict, default=None
        Environment of the workers.
    scheduler : Scheduler, str or dict, default=None
        Number of workers at once, and how it follows the tasks, e.g. ``dict(max_workers=4)``.
    provider : Provider, str or dict, default=None
        Origin of workers, e.g. ``dict(provider='local')``.
    """

    @_of_object
    def python_app(self, func: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Make tasks of the calls of a Python function.

        Parameters
        ----------
        func : callable
        skip : bool, default=False
            Calls add nothing and return ``None``.
        name : str or bool, default=None
            Name of the tasks. If given (``True``: the function's own name), tasks of that name that
            are in the queue are reused in order of call, whatever their code and arguments.
        state : str or list of str, default=None
            With ``name``: reuse only tasks in such a state, compute the others with the new code.
        timeout, retries, retry_on, priority, save_attrs, save_dir, inputs
            As for :class:`~desipipe.queue.app.App`.

        Returns
        -------
        app : TaskApp
            Call it as the function; it returns a :class:`~desipipe.queue.future.Future`.
        """
        return self._app('python', func, options)

    @_of_object
    def bash_app(self, func: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Make tasks of commands.

        The function returns a list, or a string for the shell. Options as for :meth:`python_app`.
        """
        return self._app('bash', func, options)

    def _app(self, kind: str, func: Callable[..., Any] | None, options: dict[str, Any]) -> Any:
        make: Any = functools.partial(APPS[kind], task_manager=self, kind=kind, **options)
        return make if func is None else make(func)

    def spawn(self, cmd: str, ntasks: int | None = None) -> Any:
        """Start a command with the provider, as often as the scheduler says.

        Parameters
        ----------
        cmd : str
            Command line.
        ntasks : int, default=None
            Number of tasks that wait.
        """
        self.provider.update(environ=self.environ)
        self.scheduler.update(provider=self.provider)
        scheduler: Any = self.scheduler
        return scheduler(cmd, ntasks=ntasks)

    def __reduce__(self) -> tuple[Any, ...]:
        return TaskManager, (
            self.queue,
            self.environ.to_spec(),
            self.scheduler.to_spec(),
            self.provider.to_spec(),
        )

    def __desipipe_identity__(self) -> str:
        return 'task manager'  # where tasks run is no part of what they compute

    def __repr__(self) -> str:
        return f'<TaskManager {self.id} {self.scheduler!r} {self.provider!r} of {self.queue!r}>'


def open_task_manager(ledger: Ledger, mid: str) -> TaskManager:
    """Return a task manager that tasks of a queue belong to.

    Parameters
    ----------
    ledger : Ledger
        Of the queue.
    mid : str
        Identity of the task manager.
    """
    ledger.check_use()
    ledger.check_manager(mid)
    spec = ledger.state.managers[mid]
    return TaskManager(queue_of(ledger), spec['environ'], spec['scheduler'], spec['provider'])
