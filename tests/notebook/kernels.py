"""Real kernels, seen as a front end sees them: what their cells show, and how that changes."""

from __future__ import annotations

import os
import queue as queues
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MIME = 'application/vnd.desipipe.v1+json'
TIMEOUT = 120.0  # s; only what hangs gets there
STARTS_MAX = 3  # of a kernel that ends before it answers

Output = dict[str, Any]


class Cell:
    """One run of a cell, with its outputs as a notebook would keep them."""

    def __init__(self, code: str, msg_id: str) -> None:
        self.code = code
        self.msg_id = msg_id
        self.outputs: list[Output] = []
        self.idle = False
        self.status = ''
        self.clear = False

    @property
    def text(self) -> str:
        """What it printed to stdout."""
        return ''.join(output['text'] for output in self.outputs if output.get('name') == 'stdout')

    @property
    def err(self) -> str:
        """What it printed to stderr."""
        return ''.join(output['text'] for output in self.outputs if output.get('name') == 'stderr')

    @property
    def errors(self) -> list[Output]:
        """What it raised."""
        return [output for output in self.outputs if output['output_type'] == 'error']

    @property
    def bundles(self) -> list[dict[str, Any]]:
        """The displays of tasks, by MIME type."""
        return [output['data'] for output in self.outputs if MIME in output.get('data', {})]

    @property
    def summary(self) -> dict[str, Any]:
        """What the only display of tasks says."""
        (bundle,) = self.bundles
        summary: dict[str, Any] = bundle[MIME]
        return summary

    def add(self, output: Output) -> None:
        """Put an output at the end, as front ends do: text to the text before it."""
        if self.clear:
            self.outputs, self.clear = [], False
        last = self.outputs[-1] if self.outputs else {}
        if output['output_type'] == 'stream' and last.get('name') == output['name']:
            last['text'] += output['text']
        else:
            self.outputs.append(output)


class Kernel:
    """A kernel, and a front end that applies what it says to the cells that ran.

    Parameters
    ----------
    folder : path
        The kernel's working directory; queues, configuration and IPython's own files are in it.
    **env
        Environment variables.
    """

    def __init__(self, folder: Path, **env: str) -> None:
        from jupyter_client.manager import KernelManager

        self.folder = folder
        self.env = {
            **{
                name: value
                for name, value in os.environ.items()
                if name not in ('COLUMNS', 'DESIPIPE_DEBUG', 'DESIPIPE_NONINTERACTIVE')
            },
            'DESIPIPE_QUEUE_DIR': str(folder / 'queues'),
            'DESIPIPE_CONFIG_DIR': str(folder / 'config'),
            'IPYTHONDIR': str(folder / 'ipython'),
            'TERM': 'xterm',
            **env,
        }
        self.queue = ''
        """For tests to note the name of the queue that they use."""
        self.cells: list[Cell] = []
        self.updates: list[tuple[dict[str, Any], str, str]] = []
        """What a display was updated to, its id, and the cell that ran at that moment by its
        message's id.
        """
        for left in reversed(range(STARTS_MAX)):
            self.manager = KernelManager(kernel_name='python3')
            self.manager.start_kernel(cwd=str(folder), env=self.env)
            self.client = self.manager.client()
            self.client.start_channels()
            try:
                self.client.wait_for_ready(timeout=TIMEOUT)
                break
            except (
                RuntimeError
            ):  # another process has bound one of the ports that were chosen for it
                self.client.stop_channels()
                self.manager.shutdown_kernel(now=True)
                if not left:
                    raise

    def start(self, code: str, cell: str = '') -> Cell:
        """Run a cell; don't wait for its end.

        Parameters
        ----------
        code : str
        cell : str, default=''
            The cell's id: what JupyterLab sends with it.
        """
        content = {
            'code': code,
            'silent': False,
            'store_history': True,
            'user_expressions': {},
            'allow_stdin': False,
            'stop_on_error': False,  # which old kernels apply to the next cell, too
        }
        message = self.client.session.msg(
            'execute_request', content, metadata={'cellId': cell} if cell else {}
        )
        self.client.shell_channel.send(message)
        self.cells.append(Cell(code, message['header']['msg_id']))
        return self.cells[-1]

    def execute(self, code: str, cell: str = '', ok: bool = True) -> Cell:
        """Run a cell to its end.

        Parameters
        ----------
        code : str
        cell : str, default=''
        ok : bool, default=True
            Whether it must succeed.

        Returns
        -------
        cell : Cell
            Its outputs go on to be updated whenever something is waited for.
        """
        ran = self.start(code, cell)
        self.finish(ran, ok)
        return ran

    __call__ = execute

    def finish(self, cell: Cell, ok: bool = True) -> None:
        """Wait for the end of a cell."""
        self.wait_for(lambda: cell.idle, f'the end of {cell.code!r}')
        while not cell.status:
            message = self.client.get_shell_msg(timeout=TIMEOUT)
            for other in self.cells:
                if message['parent_header'].get('msg_id') == other.msg_id:
                    other.status = message['content']['status']
        assert (cell.status == 'ok') == ok, cell.outputs

    def wait_for(
        self, ready: Callable[[], Any], what: str = 'it', timeout: float = TIMEOUT
    ) -> None:
        """Take what the kernel says until ``ready()``."""
        deadline = time.monotonic() + timeout
        while not ready():
            assert time.monotonic() < deadline, (
                f'{what} did not happen; the cells: '
                f'{[(cell.code, cell.outputs) for cell in self.cells]}'
            )
            self.take(0.05)

    def wait_for_update(self, cell: Cell, ready: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Wait until the display of tasks under a cell says something.

        Parameters
        ----------
        cell : Cell
        ready : callable
            Given the summary, whether that is it.

        Returns
        -------
        summary : dict
        """
        self.wait_for(lambda: cell.bundles and ready(cell.summary), f'the update of {cell.code!r}')
        return cell.summary

    def take(self, timeout: float) -> bool:
        """Apply one message, if one comes in time; whether one did."""
        try:
            message = self.client.get_iopub_msg(timeout=timeout)
        except queues.Empty:
            return False
        kind, content = message['msg_type'], message['content']
        parent = message['parent_header'].get('msg_id')
        if kind == 'update_display_data':
            name = content['transient']['display_id']
            self.updates.append((content['data'], name, parent))
            for output in [
                output for cell in self.cells for output in cell.outputs if output.get('id') == name
            ]:
                output.update(data=content['data'], metadata=content['metadata'])
            return True
        for cell in self.cells:
            if cell.msg_id != parent:
                continue
            if kind == 'status':
                cell.idle |= content['execution_state'] == 'idle'
            elif kind == 'stream':
                cell.add({'output_type': 'stream', **content})
            elif kind in ('display_data', 'execute_result'):
                cell.add(
                    {
                        'output_type': kind,
                        'data': content['data'],
                        'metadata': content['metadata'],
                        'id': content.get('transient', {}).get('display_id'),
                    }
                )
            elif kind == 'error':
                cell.add({'output_type': 'error', **content})
            elif kind == 'clear_output':
                cell.clear = content['wait']
                if not content['wait']:
                    cell.outputs = []
        return True

    def drain(self) -> None:
        """Apply what the kernel has said so far: all that it published before it answers now."""
        self.execute('pass')

    def forget(self) -> None:
        """Begin a new page: what ran before is not looked at any more."""
        self.cells, self.updates = [], []

    def interrupt(self) -> None:
        """As the button does."""
        self.manager.interrupt_kernel()

    def notebook(self) -> Any:
        """The cells that ran, as a notebook."""
        import nbformat

        cells = []
        for cell in self.cells:
            made = nbformat.v4.new_code_cell(cell.code, id=f'c{len(cells):d}')
            made['outputs'] = [
                nbformat.from_dict({key: value for key, value in output.items() if key != 'id'})
                for output in cell.outputs
            ]
            cells.append(made)
        return nbformat.v4.new_notebook(cells=cells)

    def end(self) -> None:
        """Shut it down."""
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)


def work(folder: str | os.PathLike[str], *options: str) -> None:
    """Do what there is to do in a queue, with real workers."""
    subprocess.run(
        [sys.executable, '-m', 'desipipe', 'work', '-q', os.fspath(folder), *options],
        check=True,
        timeout=TIMEOUT,
        capture_output=True,
    )
