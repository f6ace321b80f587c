"""Execute the code blocks of pages: ``python tests/docs/run_blocks.py PAGE ...``.

Each page has a process, a folder, a configuration and queues of its own. Its Python runs in one
IPython shell from top to bottom, its commands in bash. Prints a JSON object a page.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from doc_blocks import EXECUTED, ROOT, Block, blocks
from IPython.core.interactiveshell import InteractiveShell

import desipipe
import desipipe.notebook.magics  # before the forks: once for all pages

LIMIT_S = 200


class Failure(Exception):
    """A block did not do what the page says."""


class Shell(InteractiveShell):
    """A shell that tells which cell runs, as a notebook does."""

    request: dict[str, Any] = {}

    def get_parent(self) -> dict[str, Any]:
        """Return the request that the cell came with."""
        return self.request

    def run_block(self, block: Block) -> bool:
        """Run a block as a cell; blocks whose first lines are equal are one cell, edited."""
        cell = block.text.partition('\n')[0] if block.text.startswith('%%') else str(block.line)
        self.request = {'metadata': {'cellId': cell}, 'header': {'msg_id': str(block.line)}}
        is_typed = block.mark != 'run first'
        return bool(self.run_cell(block.text, store_history=is_typed, cell_id=cell).success)


def main() -> int:
    """Run the pages that the command line names."""
    failed = False
    for name in sys.argv[1:]:
        result = run_page(Path(name))
        print(json.dumps(result), flush=True)
        failed |= bool(result['failure'])
    return int(failed)


def run_page(page: Path) -> dict[str, Any]:
    """Run a page in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, 'report.json')
        pid = os.fork()
        if not pid:
            _in_child(page, Path(folder), report)
        began = os.times()
        os.waitpid(pid, 0)
        failure = json.loads(report.read_text()) if report.exists() else 'the process died'
        ended = os.times()
        return {
            'page': str(page),
            'failure': failure,
            'wall_s': round(ended.elapsed - began.elapsed, 2),
            'cpu_s': round(sum(ended[2:4]) - sum(began[2:4]), 2),
        }


def _in_child(page: Path, folder: Path, report: Path) -> None:
    failure = ''
    try:
        work = folder / 'work'
        work.mkdir()
        os.chdir(work)
        os.environ.update(
            DESIPIPE_QUEUE_DIR=str(folder / 'queues'),
            DESIPIPE_CONFIG_DIR=str(folder / 'config'),
            DESIPIPE_NONINTERACTIVE='1',
            NO_COLOR='1',
            COLUMNS='120',
            HOME=str(folder / 'home'),
            IPYTHONDIR=str(folder / 'ipython'),
            PATH=f'{Path(sys.executable).parent}:{os.environ["PATH"]}',
        )
        (folder / 'home').mkdir()
        with open(folder / 'printed', 'w') as file:  # what processes print that no block captures
            os.dup2(file.fileno(), 1)
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(LIMIT_S)
        run_blocks(blocks((ROOT / page).read_text(), page.suffix))
    except BaseException as error:
        failure = str(error) if isinstance(error, Failure) else traceback.format_exc()
    finally:
        signal.alarm(0)
        failure = _end_processes(folder) or failure
        report.write_text(json.dumps(failure))
        os._exit(0)


def _too_long(*_: Any) -> None:
    raise Failure(f'the page takes longer than {LIMIT_S} s')


def run_blocks(collected: list[Block]) -> None:
    """Run the blocks of a page, one after the other."""
    shell = Shell.instance()
    shell.history_manager.enabled = False
    shell.run_line_magic('colors', 'nocolor')
    printed = ''
    for block in collected:
        if block.mark == 'not run':
            continue
        if block.mark == 'file':
            path = Path(block.what)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.mark == 'output':
            _compare(block, printed)
        elif block.language in EXECUTED:
            succeeded, printed = run_block(shell, block)
            if succeeded is (block.mark == 'fails'):
                outcome = 'succeeded' if succeeded else 'failed'
                raise Failure(f'line {block.line}: the block {outcome}:\n{printed[-4000:]}')


def run_block(shell: Shell, block: Block) -> tuple[bool, str]:
    """Run a block; return whether it succeeded, and what it printed."""
    if block.language == 'bash':
        command = ['bash', '-euo', 'pipefail', '-c', block.text]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        return done.returncode == 0, done.stdout
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        succeeded = shell.run_block(block)
    return succeeded, printed.getvalue()


def _compare(block: Block, printed: str) -> None:
    for line in block.text.splitlines():
        pattern = '.*'.join(re.escape(part.strip()) for part in line.split('…'))
        if line.strip() and not re.search(pattern, printed):
            raise Failure(f'line {block.line}: {line!r} is not in what was printed:\n{printed}')


def _end_processes(folder: Path) -> str:
    """End the workers of all queues below a folder; return what went wrong."""
    try:
        for path in folder.rglob('*.queue'):
            queue = desipipe.Queue(str(path), create=False)
            if queue.managers() or queue.processes():
                queue.kill(manager=True)
                if not queue.wait_stopped(60):
                    return f'workers of {path.name} do not end'
    except Exception:
        return traceback.format_exc()
    return ''


if __name__ == '__main__':
    sys.exit(main())
