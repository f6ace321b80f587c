"""The magics ``%desipipe`` and ``%%desipipe``: read their lines, and hand them on."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand

from .magic_messages import (
    local_names,
    plainly,
    tell,
    tell_name_error,
    tell_plan,
    telling_of_names,
)

if TYPE_CHECKING:
    from argparse import Namespace

    from ..cells.cell_inputs import Import
    from ..cells.changes import Recorded
    from ..cells.function import Cell
    from ..queue.future import Future
    from ..queue.queue import Queue
    from ..task_manager import TaskApp, TaskManager
    from .history import History

# The engine is imported when it is first needed: `%load_ext` costs a notebook next to nothing.


@magics_class
class PipelineMagics(Magics):  # type: ignore[misc]
    """The magics, and the queue that a notebook uses."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        # Also after `%reload_ext`.
        self.task_manager: TaskManager | None = shell.__dict__.get('desipipe_task_manager')
        self.imported: dict[str, Import] = {}
        self.kept: dict[
            tuple[str, str], Any
        ] = {}  # what outputs were before, by name of the function and of the output
        self._history: History | None = None
        self._cell_ids: dict[int, str] = {}
        self._local: dict[str, str] = {}  # names that stayed in workers, see `name_hint`
        shell.events.register('post_run_cell', self._note_cell)
        self._forget = _complete(shell, self)

    @property
    def queue(self) -> Queue | None:
        """The notebook's queue."""
        return self.task_manager.queue if self.task_manager is not None else None

    def forget(self) -> None:
        """Take completion away again, and what follows the cells."""
        self._forget()
        self.shell.events.unregister('post_run_cell', self._note_cell)
        if self._history is not None:
            self._history.end()

    @line_magic('desipipe')  # type: ignore[untyped-decorator]
    def line(self, line: str) -> object:
        """Use a queue in this notebook, look at it, change it.

        ``%desipipe use QUEUE [--workers N] [--provider NAME] [--environ NAME] [--base-dir DIR]
        [--no-spawn] [options of the provider]``
            Cells marked with ``%%desipipe`` become tasks of this queue; a manager in the background
            starts workers.

        ``%desipipe VERB ...``
            The verbs and options of the command line; ``-q`` is this notebook's queue.
            ``%desipipe`` alone lists them, ``--help`` explains each. With ``--json`` the result is
            a Python object. A variable that holds a queue may follow ``-q``; one that holds a
            future stands for its task.

        Look:
            ``status`` ``watch`` ``monitor`` ``queues`` ``tasks`` ``time`` ``logs`` ``explain``
            ``plan``
        Change:
            ``pause`` ``resume`` ``retry`` ``cancel`` ``forget`` ``delete`` ``add`` ``accept``
            ``compact`` ``trust`` ``share`` ``unshare``
        Processes:
            ``spawn`` ``resize`` ``work`` ``kill`` ``serve``
        Records:
            ``run`` ``record`` ``verify`` ``import`` ``files``
        Help:
            ``doctor`` ``new`` ``demo`` ``completion``
        """
        import shlex

        with plainly():
            try:
                arguments = shlex.split(line)
            except ValueError as exc:
                from ..errors import CellError

                raise CellError(f'%desipipe {line}: {exc}') from None
            if arguments[:1] == ['use'] and not {'-h', '--help'}.intersection(arguments):
                self._use(arguments[1:])
                return None
        from . import verbs  # which says what is wrong itself; with --debug where

        return verbs.run(arguments, self.shell, self.queue)

    @no_var_expand  # type: ignore[untyped-decorator]
    @cell_magic('desipipe')  # type: ignore[untyped-decorator]
    def cell(self, line: str, cell: str) -> None:
        """Make a task of this cell.

        ``%%desipipe [NAME] [--for NAME=VALUES ...] [--zip] [--out NAME ...] [--wait] [--dry-run]
        [--bash]`` ``           [--timeout SECONDS] [--retries N] [--retry-on NAME ...] [--priority
        N] [--name [NAME]] [--state STATE] [--skip] [--tm NAME]``

        Names that the cell reads and does not define are taken from the notebook, as they are now;
        futures among them are waited for. With ``--for`` there is a task for each value (several:
        for each combination, or with ``--zip`` for each pair). What ``--out`` names becomes a
        future here (with ``--for`` a list); by default what the cell assigns last. ``--bash`` is
        for the shell: ``{name}`` is filled in, and what is written to stdout is the result.
        """
        from ..cells.options import parse_cell

        with plainly():
            args = parse_cell(line)
            manager = self._manager(args.tm)
            ranges = {
                name: self._evaluate(name, expression) for name, expression in args.sweeps.items()
            }
            with telling_of_names(manager.queue, self._local):
                made = self._make(line, cell, args)
            self._submit(args, manager, made, ranges, self._record(line, cell))

    def _note_cell(self, result: Any) -> None:
        """Keep which cell of the notebook ran, and explain its error."""
        if (error := result.error_in_exec) is not None:
            from .future_hints import tell_future_error

            tell_name_error(error, self.queue, self._local)
            tell_future_error(error, self.shell.user_ns)
        cell = getattr(result.info, 'cell_id', None)
        if cell and result.info.store_history:
            self._cell_ids[len(self.shell.history_manager.input_hist_raw) - 1] = cell

    # Doing

    def _use(self, arguments: list[str]) -> None:
        from ..cells.options import parse_use
        from ..queue.queue import Queue
        from ..task_manager import TaskManager

        args, options = parse_use(arguments)
        if args.queue is None:
            if self.task_manager is None:
                print('no queue is set: %desipipe use my_queue --workers 4')
            else:
                tell(self.task_manager)
            return
        provider = {'provider': args.provider, **options} if args.provider else options
        scheduler = {'scheduler': args.scheduler} if args.scheduler else {}
        if args.workers is not None:
            scheduler['max_workers'] = args.workers
        queue = Queue(args.queue, base_dir=args.base_dir, spawn=not args.no_spawn)
        self.task_manager = TaskManager(
            queue, environ=args.environ, scheduler=scheduler or None, provider=provider or None
        )
        self.shell.__dict__['desipipe_task_manager'] = self.task_manager
        tell(self.task_manager)

    def _manager(self, name: str | None) -> TaskManager:
        from ..errors import CellError
        from ..task_manager import TaskManager

        if name is None:
            if self.task_manager is None:
                raise CellError(
                    'No queue is set in this notebook. Nothing was added. Set one with: %desipipe '
                    'use my_queue --workers 4'
                )
            return self.task_manager
        variable = self.shell.user_ns.get(name)
        if not isinstance(variable, TaskManager):
            what = (
                'does not exist'
                if variable is None
                else f'is no TaskManager but {type(variable).__name__}'
            )
            raise CellError(
                f'--tm {name}: {name!r} {what}; nothing was added. Make one with: {name} = '
                'TaskManager(queue, scheduler=dict(max_workers=4))'
            )
        return variable

    def _evaluate(self, name: str, expression: str) -> Any:
        from ..errors import CellError

        try:
            return self.shell.ev(expression)
        except Exception as exc:
            raise CellError(
                f'--for {name}={expression}: {type(exc).__name__}: {exc}; nothing was added'
            ) from None

    def _make(self, line: str, body: str, args: Namespace) -> Cell:
        from ..cells.function import make_cell, make_shell_cell

        first = f'%%desipipe {line}'
        namespace = self.shell.user_ns
        name = args.title or (args.name if isinstance(args.name, str) else '')
        if args.bash:
            made = make_shell_cell(first, body, namespace, name, args.out, tuple(args.sweeps))
        else:
            made = make_cell(
                first,
                body,
                namespace,
                name,
                args.out,
                tuple(args.sweeps),
                self.shell.compile.flags,
                self.imported,
                self.kept,
            )
        for name in made.outputs:
            if hasattr(builtins, name) and name not in namespace:
                print(
                    f'desipipe: {name!r} hides the builtin of that name in this notebook from here '
                    f'on; to have it back: del {name}',
                    file=sys.stderr,
                )
        return made

    def _record(self, line: str, body: str) -> Recorded | None:
        from .history import History

        if self._history is None:
            self._history = History(self.shell, self._cell_ids, self.imported, self.kept)
        return self._history.add_task(line, body)

    def _submit(
        self,
        args: Namespace,
        manager: TaskManager,
        made: Cell,
        ranges: dict[str, Any],
        recorded: Recorded | None,
    ) -> None:
        from ..cells.function import calls
        from ..task_manager import TaskApp

        app = TaskApp(
            made.func,
            manager,
            kind='cell',
            name=args.name,
            state=args.state,
            timeout=args.timeout,
            retries=args.retries,
            retry_on=tuple(args.retry_on),
            priority=args.priority,
        )
        arguments = calls(made, ranges, args.zip)
        if args.skip:
            print(f'{app.name}: skipped, nothing was added')
            return
        if args.dry_run:
            tell_plan(app, arguments)
            return
        futures = app.add(arguments, common=made.inputs)
        self.imported.update(made.imports)
        self._local.update(local_names(made))
        self.kept.update({(made.func.__name__, name): value for name, value in made.kept.items()})
        self.shell.push(_outputs(made, futures, bool(ranges)), interactive=True)
        self._show(args, app, futures, recorded)

    def _show(
        self,
        args: Namespace,
        app: TaskApp,
        futures: Sequence[Future],
        recorded: Recorded | None,
    ) -> None:
        from ..errors import CellError
        from ..queue.events import SUCCEEDED
        from .displays.cell import show, wait
        from .publishing import noninteractive

        state = app.queue.ledger.state
        rows = [state.rows[future.tid] for future in futures if future.tid in state.rows]
        if len(rows) < len(futures):
            return  # within `with queue.batch()`: they are not in the queue yet
        cached = all(state.status[row] == SUCCEEDED for row in rows)
        handle = show(app.queue, rows, app.name, cached, recorded)
        if self._history is not None:
            self._history.add_display(handle)
        waited = wait(handle) if args.wait else handle.is_published and noninteractive()
        if (summary := handle.summary) is None:
            return
        refused = summary['refused'] if args.wait or noninteractive() else ''
        if problem := summary['gone'] or refused:
            raise CellError(problem)
        if waited and summary['counts']['SUCCEEDED'] < summary['total']:
            # As if the cell had run here: those below it do not run.
            task = summary['failure'] or summary['causes'][0]
            needed = '' if summary['failure'] else ', which it needs,'
            raise CellError(
                f'{task["name"]}[{task["index"]}]{needed} did not succeed: {task["cause"]}'
            )


def _outputs(made: Cell, futures: Sequence[Future], swept: bool) -> dict[str, Any]:
    from ..queue.future import Future

    outputs: dict[str, Any] = {}
    for name in made.outputs:
        item = name if len(made.outputs) > 1 else ''
        parts = [Future(future._ledger, future.tid, item) if item else future for future in futures]
        outputs[name] = parts if swept else parts[0]
    return outputs


def _complete(shell: Any, magics: PipelineMagics) -> Any:
    """Complete what follows ``%desipipe``; import the completion at the first tab."""
    from IPython.core.completer import context_matcher

    @context_matcher(identifier='desipipe')  # type: ignore[untyped-decorator]
    def matcher(context: Any) -> Any:
        if 'desipipe' not in context.full_text:
            return {'completions': []}
        from . import verbs

        return verbs.matches(context, shell)

    if shell.Completer is None:
        return lambda: None
    shell.Completer.custom_matchers.append(matcher)
    return lambda: shell.Completer.custom_matchers.remove(matcher)
