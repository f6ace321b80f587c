"""Make tasks of the calls in a script, by decorators."""

from __future__ import annotations

import functools
import itertools
import os
import reprlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Never

from .config import Config
from .environment import BaseEnvironment, Environment, change_environ, get_environ
from .errors import MissingDependencyError, SweepError, UnknownOptionError
from .errors import NotSerializableError as SerializationError
from .errors import PayloadError as DeserializationError
from .provenance import SAVED, SAVED_NOTHING, versions
from .provider import Provider, get_provider
from .provider.base import BaseProvider
from .queue.adding import Batch
from .queue.app import App, Shared, caller
from .queue.authors import mid_of
from .queue.call_here import call_here, chdir
from .queue.conditions import several
from .queue.events import STATES, Event, state_code
from .queue.future import Future
from .queue.future_list import futures_of
from .queue.ledger import Ledger
from .queue.original_names import AppAttributes, action_from_args, get_mpicomm
from .queue.place import follow_cells
from .queue.queue import Queue, queue_of
from .queue.queue_functions import get_queue, kill, retry
from .queue.sweep import sweep_calls
from .queue.task import Task
from .queue.uses import Use
from .scheduler import BaseScheduler, Scheduler, get_scheduler
from .serialize import Code
from .serialize.function_source import deserialize_function, serialize_function
from .settings.option_owners import of_object, refuse
from .utils import BaseClass, faces, trim_memory

if TYPE_CHECKING:
    from .execution.spawning import spawn
    from .execution.worker import work

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

_PART = 1 << 14  # calls that are bound and packed at once
# bytes: what all calls of a sweep share is stored once from this size on
SHARED_FROM = 1024


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
_SETTINGS = ('queue', 'environ', 'scheduler', 'provider')
_of_object = of_object("tm = TaskManager(Queue('my_queue', create=True))")


class TaskManager(BaseClass):
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
        self._spec: Event | None = None
        self._spec_of: tuple[object, ...] = ()
        self._mid = ''
        follow_cells()

    @property
    def _config(self) -> Config | None:
        return self.queue.config if self.queue is not None else None

    def clone(self, **kwargs: Any) -> TaskManager:
        """Another task manager, with what is given replaced.

        Parameters
        ----------
        **kwargs
            ``queue``, ``environ``, ``scheduler``, ``provider``, as of a new task manager.

        Returns
        -------
        task_manager : TaskManager
        """
        new = TaskManager.__new__(TaskManager)
        new.__dict__.update(self.__dict__)
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

    def to_spec(self) -> Event:
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
        make: Any = functools.partial(_APPS[kind], task_manager=self, kind=kind, **options)
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


class TaskApp(AppAttributes, App):
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
    task_manager: TaskManager | None

    def __init__(
        self,
        func: Callable[..., Any],
        task_manager: TaskManager | None = None,
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
        super().__init__(
            func, kind or self.default_kind, name if isinstance(name, str) else None, **options
        )
        self.task_manager = task_manager
        self.skip = skip
        self.reuse = bool(name)
        self.reuse_state = state and [STATES[state_code(one)] for one in several(state)]
        self.index = -1
        """Order of the last call; -1 before the first one."""
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
        outcome = call_here(caller(self.func), self.bind((), kwargs), self.kind, self.dirname)
        return (*outcome, versions(self.description.packages))

    @property
    def queue(self) -> Queue:
        """The task manager's queue."""
        return self._managed().queue  # type: ignore[return-value]

    def _managed(self) -> TaskManager:
        """Return the task manager, which has a queue."""
        if self.task_manager is None or self.task_manager.queue is None:
            owner = 'app' if self.task_manager is None else 'task manager of'
            missing = 'task manager' if self.task_manager is None else 'queue'
            problem = f'The {owner} {self.name!r} has no {missing}. Nothing was added.'
            raise UnknownOptionError(f'{problem} Use: TaskManager(queue, ...).python_app(function)')
        return self.task_manager

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
            self.queue.add_batches([], {}, {}, uses=self._uses_of([row]), reused=[row])
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

    def add(
        self,
        calls: Sequence[dict[str, Any]],
        sync: bool = False,
        common: Mapping[str, Any] | None = None,
    ) -> Sequence[Future]:
        """Add the tasks of calls whose arguments are complete.

        Parameters
        ----------
        calls : sequence of dict
            As :meth:`~desipipe.queue.app.App.bind` makes them.
        sync : bool, default=False
            True if it is on disk when this returns.
        common : mapping, default=None
            Those of the arguments that are the same in all calls: what is large among them is
            stored once.

        Returns
        -------
        futures : list of Future
            In order of the calls; as :meth:`map` gives them.
        """
        return self._add_parts(iter((calls,)), sync, common) if calls else []

    def _add_one(self, arguments: dict[str, Any]) -> Future:
        queue, manager = self.queue, self._managed()
        spec = manager.to_spec()
        group = self.group(manager._mid)
        code = self.last_description  # that of the group: looked at once
        self.index += 1
        batch = Batch(group, self.index)
        tid = self.pack(batch, arguments, code.digest)
        use = queue.use(group, code)
        uses = () if use is None else (use,)
        queue.add_batches([batch], {group.app: code}, {group.mid: spec}, uses=uses)
        return Future(queue.ledger, tid)

    def _add_parts(
        self,
        parts: Iterator[Sequence[dict[str, Any]]],
        sync: bool,
        common: Mapping[str, Any] | None,
    ) -> Sequence[Future]:
        queue, manager = self.queue, self._managed()
        spec = manager.to_spec()
        group = self.group(manager._mid)
        code = self.last_description  # that of the group: looked at once for all calls
        calls = next(parts)
        shared = self.share(common) if common and len(calls) > 1 else None
        if shared is not None and shared.payload.nbytes < SHARED_FROM:
            shared = None
        if shared is not None and common is not None:
            group = group._replace(shared=shared.digest)
        fixed = common if shared is not None and common is not None else {}
        parts = (
            [_without(arguments, fixed) for arguments in part] if fixed else part
            for part in itertools.chain((calls,), parts)
        )
        reusable = self._reusable() if self.reuse else {}
        new = Batch(group, self.index + 1, shared and shared.payload)
        futures: Sequence[Future]
        if reusable:
            futures, batches, reused = self._add_unknown(parts, reusable, new, code, shared)
        else:
            for part in parts:
                self.index += len(part)
                self.pack_all(new, part, code.digest, shared)
            futures, batches, reused = futures_of(queue.ledger, new.ids), [new], []
        uses = self._uses_of(reused)
        if batches and (use := queue.use(group, code)) is not None:
            uses.append(use)
        if batches or reused:
            queue.add_batches(batches, {group.app: code}, {group.mid: spec}, sync, uses, reused)
        if len(futures) > _PART:
            del new, batches
            trim_memory()
        return futures

    def _add_unknown(
        self,
        parts: Iterable[Sequence[dict[str, Any]]],
        reusable: Mapping[int, bytes],
        first: Batch,
        code: Code,
        shared: Shared | None,
    ) -> tuple[list[Future], list[Batch], list[bytes]]:
        """Pack the calls that no task of their order of call stands for.

        List also the tasks that do.
        """
        ledger = self.queue.ledger
        futures: list[Future] = []
        batches: list[Batch] = []
        reused: list[bytes] = []
        batch: Batch | None = None
        for arguments in itertools.chain.from_iterable(parts):
            self.index += 1
            if self.index in reusable:
                reused.append(reusable[self.index])
                futures.append(Future(ledger, reusable[self.index]))
                batch = None
                continue
            if batch is None:
                batch = Batch(first.group, self.index, first.shared)
                batches.append(batch)
            futures.append(Future(ledger, self.pack(batch, arguments, code.digest, shared)))
        return futures, batches, reused

    def _uses_of(self, reused: Sequence[bytes]) -> list[Use]:
        """List the app versions of tasks that are reused.

        They stay current, whatever code they are of.
        """
        ledger = self.queue.ledger
        numbers = {ledger.state.group[ledger.row(tid)] for tid in reused}
        uses = [self.queue.use(ledger.state.groups[number]) for number in numbers]
        return [use for use in uses if use is not None]

    def _reusable(self) -> dict[int, bytes]:
        # By order of call; of several with the same, the newest, and one that is current before one
        # that is superseded.
        ledger = self.queue.ledger
        rows = self.queue.select(name=self.name, state=self.reuse_state, superseded=None)
        rows.sort(key=lambda row: row not in ledger.state.superseded)
        return {ledger.state.index[row]: ledger.state.ids[row] for row in rows}

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
_APPS = {'python': PythonApp, 'bash': BashApp, 'cell': PythonApp}


def map_parts(
    bind_all: Callable[[Sequence[Any]], list[dict[str, Any]]], calls: Iterator[Any]
) -> Iterator[list[dict[str, Any]]]:
    """Yield calls that are bound, as many at once as take a few megabytes."""
    while part := list(itertools.islice(calls, _PART)):
        yield bind_all(part)


def _without(arguments: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in names}


def _make_app(
    func: Callable[..., Any], kind: str, task_manager: TaskManager, options: dict[str, Any]
) -> TaskApp:
    return _APPS[kind](func, task_manager, kind=kind, **options)


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


def _named(value: Any, kind: str) -> Any:
    # The original's dictionaries name their class under their own kind: dict(provider='nersc',
    # time='01:00:00').
    if isinstance(value, Mapping) and kind in value:
        return {'name': value[kind], **{key: item for key, item in value.items() if key != kind}}
    return value


if not TYPE_CHECKING:  # a module's `__getattr__` would hide mistyped names from type checkers

    def __getattr__(name: str) -> object:
        """Import the two processes when they are first asked for.

        Scripts that only add tasks don't need them.
        """
        if name == 'spawn':
            from .execution.spawning import spawn

            return spawn
        if name == 'work':
            from .execution.worker import work

            return work
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
