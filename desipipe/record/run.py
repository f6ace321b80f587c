"""Execute notebooks and scripts by papermill's conventions, without a screen.

The tags are the same, and the keys in the metadata.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import (
    DesipipeError,
    MissingDependencyError,
    RecordError,
    UnknownOptionError,
)
from ..utils import plural
from .execution import (
    GOES_ON,
    Ran,
    execute,
    import_nbformat,
    installed_version,
    iso_now,
    missing,
    seconds_between,
    write_notebook,
)
from .notebook_files import read_bytes, read_notebook, spare
from .parameters import Say, check_parameters, inject
from .selection import RUN
from .sources import uses

if TYPE_CHECKING:
    pass

Dict = dict[str, Any]
Choose = Callable[[Dict], Sequence[int]]
_PERCENT = re.compile(r'^# ?%%', re.M)


# Notebooks


def run_notebook(
    path: str,
    parameters: Mapping[str, Any],
    output: str | None = None,
    resume: bool = False,
    timeout: float | None = None,
    kernel: str | None = None,
    cwd: str | None = None,
    say: Say = print,
    notebook: Dict | None = None,
    choose: Choose | None = None,
) -> Ran:
    """Execute a notebook; it is written after every cell.

    Parameters
    ----------
    path : str
        The notebook.
    parameters : mapping
    output : str, default=None
        Target; by default ``NAME.out.ipynb`` beside it, or, to resume, the notebook itself.
    resume : bool, default=False
        True to go on with a notebook that was written here: its parameters are taken, and tasks
        that did not succeed are retried. All cells are executed: what is done is taken from the
        queue.
    timeout : float, default=None
        Seconds that one cell may take.
    kernel : str, default=None
        By default the notebook's.
    cwd : str, default=None
        By default the notebook's folder.
    say : callable
        Is told what people should know.
    notebook : dict, default=None
        The notebook itself, if it was made of something else.
    choose : callable, default=None
        Lists the numbers of the cells to execute, in order, of the notebook with its parameters;
        then the notebook itself is written, unless ``output`` is given.

    Returns
    -------
    ran : Ran

    Raises
    ------
    RecordError, UnknownOptionError, MissingDependencyError
        Nothing was run.
    """
    plain = read_notebook(path) if notebook is None else notebook
    before = plain['metadata'].get('papermill', {})
    if resume:
        if not before:
            raise RecordError(
                f'{path} was not written by desipipe run: there is nothing to resume. Run it: '
                f'desipipe run {path}'
            )
        parameters = {**before.get('parameters', {}), **parameters}
        output = output or path
    output = path if choose is not None and output is None else output
    in_place = resume or choose is not None
    check_parameters(plain, parameters, say)
    output = os.path.abspath(output or f'{os.path.splitext(path)[0]}.out.ipynb')
    if not in_place and os.path.exists(output) and os.path.samefile(output, path):
        raise RecordError(
            f'{output} is the notebook itself: say where else to write with -o, or go on with '
            '--resume; nothing was run'
        )
    if not in_place:
        spare(output, 'papermill')
    folder = os.path.abspath(cwd or os.path.dirname(os.path.abspath(path)))
    if not os.path.isdir(folder):
        raise RecordError(f'There is no folder {folder} to run in. Nothing was run.')
    try:
        nbformat = import_nbformat()
        import nbclient  # noqa: F401
    except ImportError:
        raise missing('nbclient') from None
    result = nbformat.from_dict(plain)
    inject(result, parameters)
    chosen = range(len(result.cells)) if choose is None else choose(result)
    for number in chosen:
        cell = result.cells[number]
        if cell.cell_type == 'code':
            cell.outputs, cell.execution_count = [], None
        cell.metadata['papermill'] = {
            'exception': None,
            'start_time': None,
            'end_time': None,
            'duration': None,
            'status': 'pending',
        }
        cell.metadata.setdefault('tags', [])
    result.metadata['papermill'] = {
        'default_parameters': {},
        'environment_variables': {},
        'exception': None,
        'input_path': before.get('input_path', path) if in_place else path,
        'output_path': output,
        'parameters': dict(parameters),
        'start_time': iso_now(),
        'end_time': None,
        'duration': None,
        'version': installed_version(),
    }
    if resume:
        _retry(plain, say)
    ran = Ran(output, notebook=result, chosen=chosen)
    write_notebook(output, result)  # whether it can be written is known before hours are spent
    try:
        if chosen:
            asyncio.run(
                execute(
                    ran,
                    os.path.abspath(result.metadata['papermill']['input_path']),
                    folder,
                    timeout,
                    kernel,
                )
            )
    except asyncio.CancelledError:
        if not ran.interrupted:
            raise
        ran.error = f'interrupted between cells. {GOES_ON}'
    about = result.metadata['papermill']
    about['end_time'] = iso_now()
    about['duration'] = seconds_between(about['start_time'], about['end_time'])
    for use in uses(result):
        ran.spawns.setdefault(use.folder, True)
    ran.queues = list(ran.spawns)
    result.metadata[RUN] = {'queues': ran.queues}
    write_notebook(output, result)
    return ran


def _retry(notebook: Mapping[str, Any], say: Say) -> None:
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


def script_notebook(path: str) -> Dict:
    """A script in percent format as a notebook.

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
    plain: Dict = _plain(notebook)
    for number, cell in enumerate(plain['cells']):
        if 'id' in cell:
            cell['id'] = f'cell-{number:d}'  # jupytext draws lots
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def run_script(
    path: str,
    parameters: Mapping[str, Any],
    output: str | None = None,
    timeout: float | None = None,
    kernel: str | None = None,
    cwd: str | None = None,
    say: Say = print,
) -> Ran:
    """Run a script, as a notebook if it has cells and jupytext is there.

    Parameters as for :func:`run_notebook`.
    """
    text = read_bytes(path).decode(errors='replace')
    if _PERCENT.search(text):
        try:
            notebook = script_notebook(path)
        except MissingDependencyError:
            if parameters or output:
                raise
            say('jupytext is not installed: the cells of the script are run as one script')
        else:
            return run_notebook(
                path,
                parameters,
                output or f'{os.path.splitext(path)[0]}.ipynb',
                False,
                timeout,
                kernel,
                cwd,
                say,
                notebook,
            )
    if parameters:
        raise UnknownOptionError(
            f'{path} is a script without cells, which has no parameters: mark cells with "# %%", '
            'one of them tags=["parameters"]; nothing was run'
        )
    folder = os.path.abspath(cwd or os.path.dirname(os.path.abspath(path)))
    with tempfile.TemporaryDirectory() as temporary:
        report = os.path.join(temporary, 'queues')
        argv = [sys.executable, '-m', 'desipipe.record.script', report, os.path.abspath(path)]
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
            import json

            with open(report) as file:
                ran.spawns = json.load(file)
            ran.queues = list(ran.spawns)
    return ran
