"""Apps of task managers: functions and commands whose calls are tasks."""

from __future__ import annotations

import functools
import itertools
import os
import reprlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from ..errors import MissingDependencyError, SweepError
from ..provenance import SAVED, SAVED_NOTHING
from ..provenance.software import versions
from ..queue.adding import NewTasks
from ..queue.binding import caller
from ..queue.future import Future
from ..queue.original_names import AppAttributes
from ..queue.task import Task
from ..utils.lending import faces
from .queued_app import QueuedApp, map_parts
from .settings import TaskSettings


class TaskApp(AppAttributes, QueuedApp):
    """An app of a task manager: calls are tasks of its queue.

    Parameters
    ----------
    func : callable
        The function; of another app, its function is taken.
    task_manager : TaskManager, default=None
        Without one the app can be run, and not be called.
    skip, name, state, save_attrs, save_dir, **options
        As for :meth:`TaskManager.python_app`.
    kind : str, default=None
        Kind of app, see :class:`~desipipe.queue.app.App`; by default that of the class.
    """

    default_kind: ClassVar[str] = 'python'

    def __init__(
        self,
        func: Callable[..., Any],
        task_manager: TaskSettings | None = None,
        skip: bool = False,
        name: str | bool | None = None,
        state: str | Iterable[str] | None = None,
        save_attrs: str | Sequence[str] | None = None,
        save_dir: str | os.PathLike[str] | None = None,
        *,
        kind: str | None = None,
        **options: Any,
    ) -> None:
        if isinstance(func, TaskApp):
            task_manager = task_manager or func.task_manager
            func = func.func
        options.update(save_attrs=save_attrs, save_dir=save_dir)
        super().__init__(func, task_manager, kind or self.default_kind, name, state, **options)
        self.skip = skip
        self.dirname = os.getcwd()
        """Folder that it was made in."""
        self._identifying = False
        functools.update_wrapper(self, func, updated=())

    @property
    def save_attrs(self) -> tuple[str, ...]:
        """Attributes that are saved with the files that its tasks save."""
        names = self.options.get('save_attrs', SAVED)
        return () if names == SAVED_NOTHING else names

    @property
    def save_dir(self) -> str | None:
        """Folder that they are saved in; None: beside each file."""
        return self.options.get('save_dir')

    def update(self, **options: Any) -> None:
        """Change options of later calls.

        Parameters
        ----------
        **options
            As for :meth:`TaskManager.python_app`, and ``func``, ``task_manager``.
        """
        self.__dict__.update(self.clone(**options).__dict__)

    def clone(self, **options: Any) -> TaskApp:
        """Return a copy with other options; its calls are counted anew.

        Parameters
        ----------
        **options
            As for :meth:`update`.
        """
        given = {**self._options(), 'func': self.func, 'task_manager': self.task_manager, **options}
        return type(self)(given.pop('func'), given.pop('task_manager'), kind=self.kind, **given)

    def _options(self) -> dict[str, Any]:
        name: str | bool | None = True if self.reuse else None
        if self.name != getattr(self.func, '__name__', None):
            name = self.name
        return {
            'skip': self.skip,
            'name': name,
            'state': self.reuse_state,
            'inputs': self.inputs,
            **self.options,
        }

    def run(self, **kwargs: Any) -> tuple[int, Any, str, str, dict[str, str]]:
        """Call the function here and now; nothing is raised, and the queue is not changed.

        Parameters
        ----------
        **kwargs
            Its arguments by name.

        Returns
        -------
        errno, result, err, out, versions : tuple
            Error number (0: it succeeded), what it returned, what it wrote, versions of the
            packages it uses.
        """
        from ..queue.call_here import call_here

        outcome = call_here(caller(self.func), self.bind((), kwargs), self.kind, self.dirname)
        return (*outcome, versions(self.description.packages))

    def __call__(self, *args: Any, **kwargs: Any) -> Future | None:
        """Add the task of this call to the queue, unless it is known.

        Returns
        -------
        future : Future or None
            ``None`` with ``skip``.
        """
        if self.skip:
            self.index += 1
            return None
        if self.reuse and (row := self._reusable().get(self.index + 1)) is not None:
            self.index += 1  # by its order alone: the signature may have changed since
            self.queue.add_batches(NewTasks((), {}, {}, self._uses_of([row]), [row]))
            return Future(self.queue.ledger, row)
        return self._add_one(self.bind(args, kwargs))

    def map(self, /, *iterables: Any, zip: bool = False, **ranges: Any) -> Sequence[Future] | None:
        """Add the tasks of many calls at once: one lock, one sync.

        Parameters
        ----------
        *iterables
            Values of the positional arguments, one task for each, as for
            :meth:`concurrent.futures.Executor.map`: several are paired. They must have the same
            length; ``itertools.repeat(value)`` has any.
        zip : bool, default=False
            Pair all ranges (which must have the same length) instead of taking their product.
        **ranges
            Arguments by name. Sequences (ranges, lists, tuples), iterators, views of dictionaries
            and arrays of one dimension are swept, the last one fastest. Everything else is one
            value, the same in all calls: numbers, text, dictionaries, tables, arrays of several
            dimensions, futures, other objects. Wrap a list in a list to pass it as one value.

        Returns
        -------
        futures : list of Future
            In order of the calls. From 10,000 on it is a sequence that makes each when asked for
            it: ``list(futures)`` makes all.

        Raises
        ------
        SweepError
            Nothing is swept, a range is empty, or a value may be meant in two ways (a set, a named
            tuple). Nothing was added.
        """
        if self.skip:
            return None
        if not isinstance(zip, bool):
            raise SweepError(
                f'{self.name}.map(zip={reprlib.repr(zip)}): zip= says whether ranges are paired, '
                'True or False; nothing was added. Give the values of a parameter of that name '
                f'by position: {self.name}.map(values)'
            )
        from ..queue.sweep import sweep_calls

        sweep = sweep_calls(f'{self.name}.map', iterables, ranges, zip)
        calls = sweep.each()
        # There may be a million: they are bound and packed in parts.
        parts = map_parts(self.bind_all, calls)
        first = next(parts)
        # A name that goes into **kwargs may be that of a positional-only parameter as well.
        common = {name: value for name, value in sweep.fixed.items() if first[0].get(name) is value}
        return self._add_parts(itertools.chain((first,), parts), True, common)

    def task(self, *args: Any, **kwargs: Any) -> Task:
        """The task of a call, not added to the queue."""
        return Task(self, self.bind(args, kwargs))

    def explain(self, *args: Any, **kwargs: Any) -> str:
        """Why the task of a call would be computed, or waits; see :meth:`Queue.explain`."""
        return self.queue.explain(self.task(*args, **kwargs))

    def form(self) -> Any:
        """Make a form of the signature, for a notebook.

        Its button adds a task, or with its sweep switched on the tasks of all combinations.

        Numbers are bounded, and choices offered, where the annotations say so: ``Annotated[float,
        (0, 1)]``, ``Annotated[int, range(10)]``, ``Annotated[str, ['a', 'b']]``, ``Literal['a',
        'b']``, an :class:`enum.Enum`.

        Returns
        -------
        form : Form
            Shown where it is the last line of a cell; ``form.futures`` are those that it added
            last.

        Raises
        ------
        MissingDependencyError
            The notebook's extension is not loaded, or there is no ``ipywidgets``.
        """
        make = faces.get('form')
        if make is None:
            raise MissingDependencyError(
                'A form is shown by a notebook. Load its extension first:\n%load_ext desipipe'
            )
        return make(self)

    def __desipipe_identity__(self) -> str:
        # An app that another one's code refers to (a task that adds tasks), or its own.
        if self._identifying:
            return f'app {self.name}'
        self._identifying = True
        try:
            return f'app {self.description.digest.hex()}'
        finally:
            self._identifying = False

    def __reduce__(self) -> tuple[Any, ...]:
        return _make_app, (self.func, self.kind, self.task_manager, self._options())


class PythonApp(TaskApp):
    """An app whose function is what runs; see :meth:`TaskManager.python_app`."""


class BashApp(TaskApp):
    """An app whose function returns a command; see :meth:`TaskManager.bash_app`."""

    default_kind = 'bash'


BaseApp = TaskApp
APPS = {'python': PythonApp, 'bash': BashApp, 'cell': PythonApp}


def _make_app(
    func: Callable[..., Any], kind: str, task_manager: TaskSettings, options: dict[str, Any]
) -> TaskApp:
    return APPS[kind](func, task_manager, kind=kind, **options)
