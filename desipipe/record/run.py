"""Execute notebooks and scripts by papermill's conventions, without a screen.

The tags are the same, and the keys in the metadata.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import DesipipeError, MissingDependencyError, RecordError, UnknownOptionError
from ..utils import plural
from .execution import GOES_ON, Ran, execute
from .notebook_files import read_bytes, read_notebook, spare
from .notebook_format import import_nbformat, missing, write_notebook
from .papermill import PAPERMILL, await_cell, begin_run, end
from .parameters import Say, check_parameters, inject
from .selection import RUN
from .sources import uses

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from .documents import Notebook

Choose = Callable[['NotebookNode'], Sequence[int]]
_PERCENT = re.compile(r'^# ?%%', re.M)


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Options of the execution of a notebook or a script."""

    output: str | None = None
    """Target; by default ``NAME.out.ipynb`` beside the notebook, or, to resume, the notebook
    itself.
    """
    resume: bool = False
    """True to go on with a notebook that was written here: its parameters are taken, and tasks
    that did not succeed are retried. All cells are executed: what is done is taken from the queue.
    """
    timeout: float | None = None
    """Seconds that one cell, or a script, may take."""
    kernel: str | None = None
    """By default the notebook's."""
    cwd: str | None = None
    """By default the notebook's folder."""
    say: Say = print
    """Called with what people should know."""

    def folder(self, path: str) -> str:
        """Return the folder that a notebook or a script runs in."""
        return os.path.abspath(self.cwd or os.path.dirname(os.path.abspath(path)))


# Notebooks


def run_notebook(
    path: str,
    parameters: Mapping[str, Any],
    options: RunOptions,
    notebook: Notebook | None = None,
    choose: Choose | None = None,
) -> Ran:
    """Execute a notebook; it is written after every cell.

    Parameters
    ----------
    path : str
        The notebook.
    parameters : mapping
    options : RunOptions
    notebook : dict, default=None
        The notebook itself, if it was made of something else.
    choose : callable, default=None
        Lists the numbers of the cells to execute, in order, of the notebook with its parameters;
        then the notebook itself is written, unless ``options.output`` is given.

    Returns
    -------
    ran : Ran

    Raises
    ------
    RecordError, UnknownOptionError, MissingDependencyError
        Nothing was run.
    """
    plain = read_notebook(path) if notebook is None else notebook
    before = plain['metadata'].get(PAPERMILL, {})
    if options.resume:
        if not before:
            raise RecordError(
                f'{path} was not written by desipipe run: there is nothing to resume. Run it: '
                f'desipipe run {path}'
            )
        parameters = {**before.get('parameters', {}), **parameters}
    in_place = options.resume or choose is not None
    check_parameters(plain, parameters, options.say)
    output = _target(path, options.output, in_place)
    folder = options.folder(path)
    if not os.path.isdir(folder):
        raise RecordError(f'There is no folder {folder} to run in. Nothing was run.')
    result = _as_nodes(plain)
    inject(result, parameters)
    chosen = range(len(result.cells)) if choose is None else choose(result)
    for number in chosen:
        await_cell(result.cells[number])
    source = before.get('input_path', path) if in_place else path
    begin_run(result, source, output, parameters)
    if options.resume:
        _retry(plain, options.say)
    ran = Ran(output, notebook=result, chosen=chosen)
    write_notebook(output, result)  # whether it can be written is known before hours are spent
    _execute(ran, os.path.abspath(source), folder, options)
    _finish(ran)
    return ran


def _target(path: str, output: str | None, in_place: bool) -> str:
    """Return where the executed notebook is written; a run that was there may go."""
    if in_place:
        return os.path.abspath(output or path)
    output = os.path.abspath(output or f'{os.path.splitext(path)[0]}.out.ipynb')
    if os.path.exists(output) and os.path.samefile(output, path):
        raise RecordError(
            f'{output} is the notebook itself: say where else to write with -o, or go on with '
            '--resume; nothing was run'
        )
    spare(output, PAPERMILL)
    return output


def _as_nodes(notebook: Notebook) -> NotebookNode:
    """Return a notebook as nbformat and nbclient work on it."""
    try:
        nbformat = import_nbformat()
        import nbclient  # noqa: F401
    except ImportError:
        raise missing('nbclient') from None
    return nbformat.from_dict(notebook)


def _execute(ran: Ran, source: str, folder: str, options: RunOptions) -> None:
    if not ran.chosen:
        return
    try:
        asyncio.run(execute(ran, source, folder, options.timeout, options.kernel))
    except asyncio.CancelledError:
        if not ran.interrupted:
            raise
        ran.error = f'interrupted between cells. {GOES_ON}'


def _finish(ran: Ran) -> None:
    """Note when the run ended and which queues it used, and write the notebook."""
    end(ran.notebook)
    for use in uses(ran.notebook):
        ran.spawns.setdefault(use.folder, True)
    ran.queues = list(ran.spawns)
    ran.notebook.metadata[RUN] = {'queues': ran.queues}
    write_notebook(ran.output, ran.notebook)


def _retry(notebook: Notebook, say: Say) -> None:
    from ..queue.queue import Queue

    folders = dict.fromkeys(
        [
            *(use.folder for use in uses(notebook)),
            *notebook['metadata'].get(RUN, {}).get('queues', ()),
        ]
    )
    for folder in folders:
        try:
            tasks = Queue(folder, create=False).retry()
        except DesipipeError as exc:
            say(f'{folder}: {exc}')
            continue
        if tasks:
            say(f'{folder}: {plural(len(tasks))} that did not succeed will run again')


# Scripts


def script_notebook(path: str) -> Notebook:
    """Return a script in percent format as a notebook.

    Raises
    ------
    MissingDependencyError
        jupytext is not installed.
    RecordError
        It has no cells.
    """
    text = read_bytes(path).decode(errors='replace')
    if not _PERCENT.search(text):
        raise RecordError(
            f'{path} has no cells (lines that begin with "# %%"): it is no notebook. Record its '
            'queue: desipipe record -q QUEUE'
        )
    try:
        import_nbformat()
        import jupytext
    except ImportError:
        raise missing('jupytext') from None
    notebook = jupytext.reads(text, fmt='py:percent')
    notebook.metadata.setdefault(
        'kernelspec', {'name': 'python3', 'display_name': 'Python 3', 'language': 'python'}
    )
    plain: Notebook = _plain(notebook)
    for number, cell in enumerate(plain['cells']):
        if 'id' in cell:
            cell['id'] = f'cell-{number:d}'  # jupytext draws lots
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def run_script(path: str, parameters: Mapping[str, Any], options: RunOptions) -> Ran:
    """Run a script, as a notebook if it has cells and jupytext is there.

    Parameters as for :func:`run_notebook`.
    """
    text = read_bytes(path).decode(errors='replace')
    if _PERCENT.search(text):
        try:
            notebook = script_notebook(path)
        except MissingDependencyError:
            if parameters or options.output:
                raise
            options.say('jupytext is not installed: the cells of the script are run as one script')
        else:
            output = options.output or f'{os.path.splitext(path)[0]}.ipynb'
            options = dataclasses.replace(options, output=output, resume=False)
            return run_notebook(path, parameters, options, notebook)
    if parameters:
        raise UnknownOptionError(
            f'{path} is a script without cells, which has no parameters: mark cells with "# %%", '
            'one of them tags=["parameters"]; nothing was run'
        )
    return _run_as_script(path, options)


def _run_as_script(path: str, options: RunOptions) -> Ran:
    """Run a script in a process of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        report = os.path.join(temporary, 'queues')
        argv = [sys.executable, '-m', 'desipipe.record.script', report, os.path.abspath(path)]
        folder, timeout = options.folder(path), options.timeout
        try:
            status = subprocess.run(argv, cwd=folder, timeout=timeout, check=False).returncode
        except subprocess.TimeoutExpired:
            return Ran(
                error=(
                    f'{path} took more than {timeout:g} s, and was ended; tasks that it had added '
                    'are in their queue'
                )
            )
        ran = Ran(error=f'{path} ended with exit status {status:d}' if status else '')
        if os.path.exists(report):
            with open(report) as file:
                ran.spawns = json.load(file)
            ran.queues = list(ran.spawns)
    return ran
