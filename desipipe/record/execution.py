"""Execute the cells of a notebook in a kernel, and note what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from ..errors import RecordError
from .notebook_format import write_notebook
from .papermill import begin_cell, complete_cell, end, fail_cell, mark
from .selection import RUN
from .shown_tasks import failed_tasks, refresh

if TYPE_CHECKING:
    from nbclient import NotebookClient
    from nbformat import NotebookNode

    from ..view.schema import CellView, Mime

_KERNEL_STARTS_MAX = 3
GOES_ON = 'Tasks that were added are in their queue, and go on; go on here with --resume'
_TASK = re.compile(r'\btask ([0-9a-f]{12})\b \(([^)]*)\)')
# In the kernel, without leaving a name behind.
_ASK = (
    "print(__import__('json').dumps(__import__('importlib').import_module('desipipe.record.script').queues() "  # noqa: E501
    "if 'desipipe' in __import__('sys').modules else {}))"
)


@dataclass
class Ran:
    """A notebook or a script that was executed."""

    output: str = ''
    """The file that was written; empty for a script."""
    queues: list[str] = field(default_factory=list)
    """Folders of the queues that it used."""
    spawns: dict[str, bool] = field(default_factory=dict)
    """True if a manager is to be there for each queue."""
    error: str = ''
    """Failure in words; empty if all cells succeeded."""
    interrupted: bool = False
    """True if the user interrupted it."""
    notebook: NotebookNode = None
    chosen: Sequence[int] = ()
    """Numbers of the cells that were to be executed."""

    def finish(self, bundle: Callable[[CellView], Mime]) -> None:
        """Write the notebook once more, with what its cells' tasks have come to.

        Parameters
        ----------
        bundle : callable
            Makes all forms of a cell's summary.
        """
        if self.notebook is None:
            return
        refresh(self.notebook, bundle)
        bad = failed_tasks(self.notebook)
        if bad:
            mark(self.notebook, bad[0], bad[1])
        write_notebook(self.output, self.notebook)


@contextlib.asynccontextmanager
async def _kernel(
    client: NotebookClient, log: IO[bytes], environ: Mapping[str, str]
) -> AsyncIterator[None]:
    """Start a kernel that the client is connected to, and end it.

    Its ports are chosen before it binds them. Where another process was faster, it ends at once,
    and is started again with others.
    """
    async with contextlib.AsyncExitStack() as stack:
        for left in reversed(range(_KERNEL_STARTS_MAX)):
            begin = log.seek(0, os.SEEK_END)
            try:
                await stack.enter_async_context(client.async_setup_kernel(stderr=log, env=environ))
                break
            except RuntimeError:  # it ended before it answered
                log.seek(begin)
                if not left or b'Address already in use' not in log.read():
                    raise
                client.km = None
        yield


async def execute(
    ran: Ran, source: str, folder: str, timeout: float | None, kernel: str | None
) -> None:
    """Execute the cells in a kernel, and write the notebook after each.

    Parameters
    ----------
    ran : Ran
    source : str
        Path by which the kernel knows which notebook's tasks it adds, as in JupyterLab.
    folder : str
        Working directory.
    timeout : float or None
        Seconds that one cell may take.
    kernel : str or None
        By default the notebook's.

    Raises
    ------
    RecordError
        The kernel did not come up.
    """
    import nbclient
    from jupyter_client.kernelspec import NoSuchKernel

    options = {'kernel_name': kernel} if kernel else {}
    limit = None if timeout is None else max(1, round(timeout))
    resources = {'metadata': {'path': folder}}
    client = nbclient.NotebookClient(ran.notebook, timeout=limit, resources=resources, **options)
    # What the kernel itself says on the way up and down is of use only where it does not come up.
    log = tempfile.TemporaryFile()
    try:
        async with _kernel(client, log, {**os.environ, 'JPY_SESSION_NAME': source}):
            await _execute_cells(client, ran, timeout)
    except NoSuchKernel as exc:
        raise RecordError(
            f'There is no kernel {exc.name!r} here. Nothing was run. List them with: jupyter '
            'kernelspec list; choose one with --kernel'
        ) from None
    except RuntimeError as exc:  # what is raised when it ends before it answers
        log.seek(0)
        text = log.read().decode(errors='replace').strip()[-500:]
        raise RecordError(
            f'The kernel did not come up ({exc}). No cell was run. It said: {text or "nothing"}'
        ) from None
    finally:
        log.close()


async def _execute_cells(client: NotebookClient, ran: Ran, timeout: float | None) -> None:
    """Execute the cells until one fails, and write the notebook after each."""
    notebook = ran.notebook
    reply = await client.async_wait_for_reply(await _asked(client.kc.kernel_info()))
    if reply is not None:
        notebook.metadata['language_info'] = reply['content']['language_info']
    _until_told(ran)
    python = (notebook.metadata.get('language_info') or {}).get('name') in (None, 'python')
    for number in ran.chosen:
        cell = notebook.cells[number]
        await _execute_cell(client, ran, number, timeout)
        _join_streams(cell)
        end(cell)
        if python and cell.cell_type == 'code' and not ran.interrupted:
            await _note_queues(client, ran)
        if ran.error:
            mark(notebook, number, ran.error)
            return
        write_notebook(ran.output, notebook)


async def _execute_cell(
    client: NotebookClient, ran: Ran, number: int, timeout: float | None
) -> None:
    """Execute a cell, and note whether it succeeded."""
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    cell = ran.notebook.cells[number]
    begin_cell(cell)
    try:
        await client.async_execute_cell(cell, number)
        complete_cell(cell)
    except (
        CellExecutionError,
        CellTimeoutError,
        DeadKernelError,
        asyncio.CancelledError,
    ) as exc:
        if isinstance(exc, asyncio.CancelledError) and not ran.interrupted:
            raise
        fail_cell(ran.notebook, cell)
        ran.error = error_text(exc, number, cell, timeout)
        if ran.interrupted or isinstance(exc, CellTimeoutError):
            # A kernel that is busy hears of its end only when it is interrupted; else it is
            # killed, seconds later.
            with contextlib.suppress(RuntimeError, OSError):
                await _asked(client.km.interrupt_kernel())
        if ran.interrupted:
            ran.error = f'interrupted in cell {number + 1:d}. {GOES_ON}'


def _join_streams(cell: NotebookNode) -> None:
    """Join text that a busy kernel sent in pieces, as front ends do."""
    joined = []
    kinds = itertools.groupby(
        cell.get('outputs', ()), lambda output: (output.output_type, output.get('name'))
    )
    for (kind, _), outputs in kinds:
        if kind == 'stream':
            first, *others = outputs
            first.text = ''.join((first.text, *(output.text for output in others)))
            joined.append(first)
        else:
            joined += outputs
    if joined:
        cell.outputs = joined


def _until_told(ran: Ran) -> None:
    """End the running cell by Ctrl-C and SIGTERM, and note it in the notebook.

    The handlers of nbclient would leave it as it is.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def told() -> None:
        ran.interrupted = True
        if task is not None:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(
            RuntimeError, ValueError
        ):  # not in the main thread: then nobody can tell us
            loop.add_signal_handler(number, told)


async def _asked(value: Any) -> Any:
    return await value if asyncio.iscoroutine(value) else value


async def _note_queues(client: NotebookClient, ran: Ran) -> None:
    """Ask the kernel which queues it has open."""
    import json

    import nbformat

    cells = ran.notebook.cells
    cell = nbformat.v4.new_code_cell(_ASK)
    cells.append(cell)
    try:
        await client.async_execute_cell(cell, len(cells) - 1, store_history=False)
    except (
        Exception
    ):  # a kernel that died, or whose printing is gone: then the displays alone say which
        return
    finally:
        cells.pop()
    text = ''.join(
        output.get('text', '') for output in cell.outputs if output.get('name') == 'stdout'
    ).strip()
    try:
        folders = json.loads(text)
    except ValueError:
        return
    ran.spawns.update({str(folder): bool(spawn) for folder, spawn in folders.items()})
    ran.notebook.metadata[RUN] = {'queues': list(ran.spawns)}


def error_text(exc: BaseException, number: int, cell: NotebookNode, timeout: float | None) -> str:
    """Return the message for a cell that failed."""
    name = type(exc).__name__
    where = f'cell {number + 1:d}' + (
        f' (In [{cell.execution_count}])' if cell.get('execution_count') else ''
    )
    if name == 'CellTimeoutError':
        return (
            f'{where} took more than {timeout:g} s, and was stopped. Its tasks go on; go on with '
            '--resume and a longer --timeout'
        )
    if name == 'DeadKernelError':
        return (
            f'the kernel died in {where}. Tasks that were added are in their queue; go on with '
            '--resume'
        )
    message = f'{getattr(exc, "ename", name)}: {getattr(exc, "evalue", exc)}'
    plain = re.sub(r'\x1b\[[0-9;]*m', '', str(exc))
    task = _TASK.search(plain)
    first = message.splitlines()[0][:300]
    origin = f'; of task {task[1]} ({task[2]})' if task and task[1] not in first else ''
    return f'{where} failed: {first}{origin}'
