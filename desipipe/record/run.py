"""Notebooks and scripts executed without a screen, by papermill's conventions: the same tags,
and the same keys in the metadata.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import datetime
import importlib
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from ..errors import (
    DesipipeError,
    MissingDependencyError,
    RecordError,
    UnknownOptionError,
    close_names,
)
from ..utils import plural
from .files import read_bytes, read_notebook, spare, write
from .notebook import MIME, RUN, source_of, uses

if TYPE_CHECKING:
    from ..view.schema import CellView, Mime

Dict = dict[str, Any]
Say = Callable[[str], None]
Choose = Callable[[Dict], Sequence[int]]

PARAMETERS = 'parameters'
INJECTED = 'injected-parameters'
ERROR = 'papermill-error-cell-tag'
_KERNEL_STARTS_MAX = 3
_GOES_ON = 'Tasks that were added are in their queue, and go on; go on here with --resume'
_PERCENT = re.compile(r'^# ?%%', re.M)
_TASK = re.compile(r'\btask ([0-9a-f]{12})\b \(([^)]*)\)')
# In the kernel, without leaving a name behind.
_ASK = (
    "print(__import__('json').dumps(__import__('importlib').import_module('desipipe.record.script').queues() "  # noqa: E501
    "if 'desipipe' in __import__('sys').modules else {}))"
)


def _nbformat() -> Any:
    """Import :mod:`nbformat`; fast, where this process is the command's own."""
    # jsonschema, which it needs, builds a parser for all of RFC 3987 when it is imported, if there
    # is a package for that: two seconds, for a check (of IRIs) that no notebook's schema asks for.
    # Without the package it goes without the check; other people's processes keep it.
    grammar = 'rfc3987_syntax'
    ours = not sys.modules.keys() & {'jsonschema', 'ipykernel', grammar}
    if ours:
        sys.modules[grammar] = None  # type: ignore[assignment]
    try:
        return importlib.import_module('nbformat')
    finally:
        if ours:
            del sys.modules[grammar]


def missing(package: str) -> MissingDependencyError:
    """The error for an optional package that is not there."""
    return MissingDependencyError(
        f'{package} is not installed here, nothing was done. Type: pip install "desipipe[record]"'
    )


@dataclass
class Ran:
    """A notebook or a script that was executed."""

    output: str = ''
    """The file that was written; empty for a script."""
    queues: list[str] = field(default_factory=list)
    """Folders of the queues that it used."""
    spawns: dict[str, bool] = field(default_factory=dict)
    """Whether a manager is to be there for each."""
    error: str = ''
    """What failed, in words; empty if all cells went through."""
    interrupted: bool = False
    """Whether someone ended it."""
    notebook: Any = None
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
        bad = _failed(self.notebook)
        if bad:
            _mark(self.notebook, bad[0], bad[1])
        _write(self.output, self.notebook)


# Parameters


def parse_parameters(pairs: Sequence[str], raw: Sequence[str], files: Sequence[str]) -> Dict:
    """Parameters as people type them; later ones count.

    Parameters
    ----------
    pairs : sequence of str
        ``'name=value'``, the value in YAML.
    raw : sequence of str
        ``'name=text'``.
    files : sequence of str
        YAML files.

    Returns
    -------
    parameters : dict

    Raises
    ------
    UnknownOptionError
        Something else was typed.
    """
    import yaml

    found: Dict = {}
    for path in files:
        try:
            loaded = yaml.safe_load(read_bytes(path))
        except yaml.YAMLError as exc:
            raise UnknownOptionError(f'{path} is no YAML: {exc}; nothing was run') from None
        if not isinstance(loaded, dict):
            raise UnknownOptionError(
                f'{path} must hold names and values, such as "size: 1000"; nothing was run'
            )
        found.update(loaded)
    for text, is_raw in [*((pair, False) for pair in pairs), *((pair, True) for pair in raw)]:
        name, equals, value = text.partition('=')
        name = name.strip()
        if not equals or not name.isidentifier():
            raise UnknownOptionError(
                f'{text!r} is no parameter: write name=value, as in -p size=1000; nothing was run'
            )
        if is_raw:
            found[name] = value
            continue
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            found[name] = value
    return found


def check_parameters(notebook: Mapping[str, Any], parameters: Mapping[str, Any], say: Say) -> None:
    """Complain about parameters that the notebook does not have.

    Raises
    ------
    UnknownOptionError
        With the nearest ones.
    """
    if not parameters:
        return
    cells = [cell for cell in notebook['cells'] if PARAMETERS in _tags(cell)]
    if not cells:
        say('no cell of the notebook is tagged "parameters": what was given stands at its top')
        return
    try:
        tree = ast.parse(source_of(cells[0]))
    except SyntaxError:
        return
    known = {
        item.id
        for node in tree.body
        for target in _targets(node)
        for item in ast.walk(target)
        if isinstance(item, ast.Name)
    }
    for name in parameters:
        if name not in known:
            raise UnknownOptionError(
                f'the notebook has no parameter {name!r}: {close_names(name, known)}; nothing was '
                'run'
            )


def _targets(node: ast.stmt) -> Iterable[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []


def _tags(cell: Mapping[str, Any]) -> list[str]:
    return list(cell.get('metadata', {}).get('tags') or ())


def inject(notebook: Any, parameters: Mapping[str, Any]) -> None:
    """Put a cell with parameters below the one that is tagged ``parameters``, or in the place of
    the one that was put there before.
    """
    import nbformat

    cells = [cell for cell in notebook.cells if ERROR not in _tags(cell)]
    lines = ['# Parameters', *(f'{name} = {_literal(value)}' for name, value in parameters.items())]
    at = next((i for i, cell in enumerate(cells) if INJECTED in _tags(cell)), None)
    if at is not None:
        del cells[at]
    else:
        at = next((i + 1 for i, cell in enumerate(cells) if PARAMETERS in _tags(cell)), 0)
    if parameters:
        cell = nbformat.v4.new_code_cell(
            '\n'.join(lines), metadata={'tags': [INJECTED]}, id=INJECTED
        )
        if notebook.nbformat_minor < 5:
            del cell['id']
        cells.insert(at, cell)
    notebook.cells = cells


def _literal(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, dict):
        return (
            '{'
            + ', '.join(f'{_literal(key)}: {_literal(item)}' for key, item in value.items())
            + '}'
        )
    if isinstance(value, list):
        return '[' + ', '.join(map(_literal, value)) + ']'
    return repr(value) if isinstance(value, int | float | str | bool | None) else repr(str(value))


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
        Where to write; by default ``NAME.out.ipynb`` beside it, or, to resume, the notebook itself.
    resume : bool, default=False
        Whether to go on with a notebook that was written here: its parameters are taken, and tasks
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
        raise RecordError(f'there is no folder {folder} to run in; nothing was run')
    try:
        nbformat = _nbformat()
        import nbclient  # noqa: F401
    except ImportError:
        raise missing('nbclient') from None
    found = nbformat.from_dict(plain)
    inject(found, parameters)
    chosen = range(len(found.cells)) if choose is None else choose(found)
    for number in chosen:
        cell = found.cells[number]
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
    found.metadata['papermill'] = {
        'default_parameters': {},
        'environment_variables': {},
        'exception': None,
        'input_path': before.get('input_path', path) if in_place else path,
        'output_path': output,
        'parameters': dict(parameters),
        'start_time': _now(),
        'end_time': None,
        'duration': None,
        'version': _version(),
    }
    if resume:
        _retry(plain, say)
    ran = Ran(output, notebook=found, chosen=chosen)
    _write(output, found)  # whether it can be written is known before hours are spent
    try:
        if chosen:
            asyncio.run(
                _execute(
                    ran,
                    os.path.abspath(found.metadata['papermill']['input_path']),
                    folder,
                    timeout,
                    kernel,
                )
            )
    except asyncio.CancelledError:
        if not ran.interrupted:
            raise
        ran.error = f'interrupted between cells. {_GOES_ON}'
    about = found.metadata['papermill']
    about['end_time'] = _now()
    about['duration'] = _between(about['start_time'], about['end_time'])
    for use in uses(found):
        ran.spawns.setdefault(use.folder, True)
    ran.queues = list(ran.spawns)
    found.metadata[RUN] = {'queues': ran.queues}
    _write(output, found)
    return ran


def _version() -> str:
    from .._version import __version__

    return f'desipipe {__version__}'


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat()


def _between(start: str, end: str) -> float:
    return (
        datetime.datetime.fromisoformat(end) - datetime.datetime.fromisoformat(start)
    ).total_seconds()


def _write(path: str, notebook: Any) -> None:
    import nbformat

    write(path, (nbformat.writes(notebook) + '\n').encode('utf-8', 'surrogatepass'))


@contextlib.asynccontextmanager
async def _kernel(client: Any, said: IO[bytes], environ: Mapping[str, str]) -> AsyncIterator[None]:
    """Start a kernel that the client is connected to, and end it.

    Its ports are chosen before it binds them. Where another process was faster, it ends at once,
    and is started again with others.
    """
    async with contextlib.AsyncExitStack() as stack:
        for left in reversed(range(_KERNEL_STARTS_MAX)):
            begin = said.seek(0, os.SEEK_END)
            try:
                await stack.enter_async_context(client.async_setup_kernel(stderr=said, env=environ))
                break
            except RuntimeError:  # it ended before it answered
                said.seek(begin)
                if not left or b'Address already in use' not in said.read():
                    raise
                client.km = None
        yield


async def _execute(
    ran: Ran, source: str, folder: str, timeout: float | None, kernel: str | None
) -> None:
    # The kernel knows by `source` which notebook's tasks it adds, as in JupyterLab.
    import nbclient
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = ran.notebook
    options = {'kernel_name': kernel} if kernel else {}
    limit = None if timeout is None else max(1, round(timeout))
    resources = {'metadata': {'path': folder}}
    client = nbclient.NotebookClient(notebook, timeout=limit, resources=resources, **options)
    # What the kernel itself says on the way up and down is of use only where it does not come up.
    said = tempfile.TemporaryFile()
    try:
        async with _kernel(client, said, {**os.environ, 'JPY_SESSION_NAME': source}):
            reply = await client.async_wait_for_reply(await _asked(client.kc.kernel_info()))
            if reply is not None:
                notebook.metadata['language_info'] = reply['content']['language_info']
            _until_told(ran)
            python = (notebook.metadata.get('language_info') or {}).get('name') in (None, 'python')
            for number in ran.chosen:
                cell = notebook.cells[number]
                about = cell.metadata['papermill']
                about.update(status='running', start_time=_now())
                try:
                    await client.async_execute_cell(cell, number)
                    about.update(status='completed', exception=False)
                except (
                    CellExecutionError,
                    CellTimeoutError,
                    DeadKernelError,
                    asyncio.CancelledError,
                ) as exc:
                    if isinstance(exc, asyncio.CancelledError) and not ran.interrupted:
                        raise
                    about.update(status='failed', exception=True)
                    notebook.metadata['papermill']['exception'] = True
                    ran.error = _words(exc, number, cell, timeout)
                    if ran.interrupted or isinstance(exc, CellTimeoutError):
                        # A kernel that is busy hears of its end only when it is interrupted; else
                        # it is killed, seconds later.
                        with contextlib.suppress(RuntimeError, OSError):
                            await _asked(client.km.interrupt_kernel())
                    if ran.interrupted:
                        ran.error = f'interrupted in cell {number + 1:d}. {_GOES_ON}'
                about['end_time'] = _now()
                about['duration'] = _between(about['start_time'], about['end_time'])
                if python and cell.cell_type == 'code' and not ran.interrupted:
                    await _note_queues(client, ran)
                if ran.error:
                    _mark(notebook, number, ran.error)
                    return
                _write(ran.output, notebook)
    except NoSuchKernel as exc:
        raise RecordError(
            f'there is no kernel {exc.name!r} here: nothing was run. List them with: jupyter '
            'kernelspec list; choose one with --kernel'
        ) from None
    except RuntimeError as exc:  # what is raised when it ends before it answers
        said.seek(0)
        words = said.read().decode(errors='replace').strip()[-500:]
        raise RecordError(
            f'the kernel did not come up ({exc}): no cell was run. It said: {words or "nothing"}'
        ) from None
    finally:
        said.close()


def _until_told(ran: Ran) -> None:
    """Ctrl-C, and SIGTERM, end the cell that runs, and the notebook says so; nbclient's own
    handlers would leave it as it is.
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


async def _note_queues(client: Any, ran: Ran) -> None:
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
    said = ''.join(
        output.get('text', '') for output in cell.outputs if output.get('name') == 'stdout'
    ).strip()
    try:
        found = json.loads(said)
    except ValueError:
        return
    ran.spawns.update({str(folder): bool(spawn) for folder, spawn in found.items()})
    ran.notebook.metadata[RUN] = {'queues': list(ran.spawns)}


def _words(exc: BaseException, number: int, cell: Any, timeout: float | None) -> str:
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
    said = f'{getattr(exc, "ename", name)}: {getattr(exc, "evalue", exc)}'
    plain = re.sub(r'\x1b\[[0-9;]*m', '', str(exc))
    task = _TASK.search(plain)
    first = said.splitlines()[0][:300]
    told = f'; of task {task[1]} ({task[2]})' if task and task[1] not in first else ''
    return f'{where} failed: {first}{told}'


def _mark(notebook: Any, number: int, words: str) -> None:
    """Mark what failed, at the top and above the cell, as papermill does."""
    import nbformat

    anchor = 'papermill-error-cell'
    top = (
        f'<span style="color:#d55e00">**{_escaped(words)}** See <a '
        f'href="#{anchor}">below</a>.</span>'
    )
    here = f'<span id="{anchor}" style="color:#d55e00">**{_escaped(words)}**</span>'
    for at, text, place in ((number, here, 'here'), (0, top, 'top')):
        cell = nbformat.v4.new_markdown_cell(
            text, metadata={'tags': [ERROR]}, id=f'{ERROR}-{place}'
        )
        if notebook.nbformat_minor < 5:
            del cell['id']
        notebook.cells.insert(at, cell)


def _escaped(text: str) -> str:
    from html import escape

    return (
        escape(' '.join(text.split()))
        .replace('*', '&#42;')
        .replace('_', '&#95;')
        .replace('`', '&#96;')
    )


def refresh(notebook: Any, bundle: Callable[[CellView], Mime]) -> None:
    """Update the displays of tasks to their present state."""
    from ..queue.queue import Queue
    from ..view.cell import cell_summary

    for cell in notebook.cells:
        for output in cell.get('outputs', ()):
            shown = (output.get('data') or {}).get(MIME)
            if not isinstance(shown, dict):
                continue
            try:
                queue = Queue(shown['folder'], create=False)
                title, cached = shown.get('title', ''), bool(shown.get('cached'))
                found = cell_summary(queue, shown['rows'], title=title, cached=cached)
            except DesipipeError:
                continue  # it was deleted meanwhile: what was last shown is what there is to say
            if 'ran' in shown:
                found['ran'] = shown['ran']
            if shown.get('published'):
                found['outputs'] = []
            output['data'].update(bundle(found))


def _failed(notebook: Any) -> tuple[int, str] | None:
    """The first cell whose tasks did not all succeed, and what there is to say of it."""
    for number, cell in enumerate(notebook.cells):
        for output in cell.get('outputs', ()):
            shown = (output.get('data') or {}).get(MIME)
            failure = shown.get('failure') if isinstance(shown, dict) else None
            if failure:
                task = f'{failure["name"]}[{failure["index"]}] {failure["tid"][:12]}'
                return (
                    number,
                    f'cell {number + 1:d}: task {task} is {failure["state"]}: {failure["cause"]}',
                )
    return None


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
        _nbformat()
        import jupytext
    except ImportError:
        raise missing('jupytext') from None
    found = jupytext.reads(text, fmt='py:percent')
    found.metadata.setdefault(
        'kernelspec', {'name': 'python3', 'display_name': 'Python 3', 'language': 'python'}
    )
    plain: Dict = _plain(found)
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
    """Run a script: as a notebook if it has cells and jupytext is there, else as Python does.

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
