"""The settings of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Never, Self

from ..config import Config
from ..config.option_owners import refuse
from ..environment import BaseEnvironment, Environment
from ..provider import Provider
from ..provider.base import BaseProvider
from ..queue.author_claims import mid_of
from ..queue.place import follow_cells
from ..queue.queue import Queue
from ..scheduler import BaseScheduler, Scheduler
from ..utils import BaseClass

if TYPE_CHECKING:
    from ..queue.task_events import Spec

__all__ = ['TaskSettings']

_SETTINGS = ('queue', 'environ', 'scheduler', 'provider')


class TaskSettings(BaseClass):
    """A queue, an environment, a scheduler and a provider.

    The parameters are those of :class:`.TaskManager`.
    """

    def __init__(
        self,
        queue: Queue | str | None = None,
        environ: BaseEnvironment | Mapping[str, Any] | str | None = None,
        scheduler: BaseScheduler | Mapping[str, Any] | str | None = None,
        provider: BaseProvider | Mapping[str, Any] | str | None = None,
        **unknown: Never,
    ) -> None:
        refuse('A task manager', unknown, _SETTINGS, BaseScheduler, BaseProvider)
        self.queue: Queue | None = Queue(queue) if isinstance(queue, str) else queue
        config = self._config
        self.environ = Environment(
            environ if environ is not None else config and config.get('environ')
        )
        self.scheduler = Scheduler(_named(scheduler, 'scheduler'), config)
        self.provider = Provider(_named(provider, 'provider'), config)
        self.provider.environ = self.environ
        self._spec: Spec | None = None
        self._spec_of: tuple[object, ...] = ()
        self._mid = ''
        follow_cells()

    @property
    def _config(self) -> Config | None:
        return self.queue.config if self.queue is not None else None

    def clone(self, **kwargs: Any) -> Self:
        """Another task manager, with what is given replaced.

        Parameters
        ----------
        **kwargs
            ``queue``, ``environ``, ``scheduler``, ``provider``, as of a new task manager.

        Returns
        -------
        task_manager : TaskManager
        """
        new = self.copy()
        new._spec = None
        refuse('A task manager', kwargs, _SETTINGS, BaseScheduler, BaseProvider)
        for key, value in kwargs.items():
            if key == 'queue':
                new.queue = Queue(value) if isinstance(value, str) else value
            elif key == 'environ':
                new.environ = Environment(value)
            elif key == 'scheduler':
                new.scheduler = Scheduler(_named(value, 'scheduler'), new._config)
            else:
                new.provider = Provider(_named(value, 'provider'), new._config)
        if 'environ' in kwargs and 'provider' not in kwargs:
            new.provider = self.provider.copy()
        if kwargs.keys() & {'environ', 'provider'}:
            new.provider.environ = new.environ
        return new

    def update(self, **kwargs: Any) -> None:
        """Change what later tasks are run with; arguments are those of :meth:`clone`."""
        self.__dict__.update(self.clone(**kwargs).__dict__)

    def to_spec(self) -> Spec:
        """Environment, scheduler and provider as plain data."""
        environ = self.environ.state()
        if self._spec is None or environ != self._spec_of:
            self._spec_of = environ
            self._spec = {
                'environ': self.environ.to_spec(),
                'scheduler': self.scheduler.to_spec(),
                'provider': self.provider.to_spec(),
            }
            self._mid = mid_of(self._spec)
        return self._spec

    @property
    def id(self) -> str:
        """Identity: that of the settings."""
        self.to_spec()
        return self._mid


def _named(value: Any, kind: str) -> Any:
    # The original's dictionaries name their class under their own kind: dict(provider='nersc',
    # time='01:00:00').
    if isinstance(value, Mapping) and kind in value:
        return {'name': value[kind], **{key: item for key, item in value.items() if key != kind}}
    return value
