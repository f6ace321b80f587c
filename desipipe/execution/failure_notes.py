"""Notes on exceptions of tasks: where the task ran, and what to do."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from collections.abc import Callable

from ..utils import working_folder

_EXIT_TEXTS = {
    126: 'the command is there and cannot be executed',
    127: 'the command was not found on this node',
}
_SPACE = (errno.ENOSPC, errno.EDQUOT)


def add_note(exc: BaseException) -> str:
    """Add to an exception what its message leaves out, such as folder and interpreter.

    The note travels with it.

    Returns
    -------
    text : str
        The note; empty if there is none.
    """
    text = next(
        (note for kind, make in _NOTES if isinstance(exc, kind) and (note := make(exc))), ''
    )
    if text:
        exc.add_note(text)
    return text


def exit_text(status: int) -> str:
    """Return what an exit status of a shell means, to append to it; mostly nothing."""
    return f': {_EXIT_TEXTS[status]}' if status in _EXIT_TEXTS else ''


def _node() -> str:
    return os.uname().nodename


def _of_module(exc: ModuleNotFoundError) -> str:
    package = (exc.name or '').partition('.')[0]
    if not package:
        return ''
    folder = working_folder()  # that of the notebook or script, whose own modules stand there
    searched = f' Nor is it in {folder}, where the task ran.' if folder in sys.path else ''
    return (
        f'The task ran with {sys.executable}, which has no {package}.{searched} Install it, or add '
        'the folder of your own module to PYTHONPATH of the environment, then retry:\n'
        f'{shlex.quote(sys.executable)} -m pip install {package}'
    )


def _of_import(exc: ImportError) -> str:
    return f'The task ran with {sys.executable}: the package may have another version there.'


def _of_file(exc: FileNotFoundError) -> str:
    if not isinstance(exc.filename, str):
        return ''
    if _is_program(exc):
        return (
            f'No such program is on PATH of the worker on {_node()}: {os.environ.get("PATH", "")}'
        )
    if not os.path.isabs(exc.filename):
        folder = working_folder() or 'a folder that was deleted'
        return (
            f'The task ran in {folder}, to which the path is relative. Write whole paths, or pass '
            'them as arguments, and run the cell again.'
        )
    parent = os.path.dirname(exc.filename)
    while parent != os.path.dirname(parent) and not os.path.isdir(parent):
        parent = os.path.dirname(parent)
    if parent == os.path.dirname(exc.filename):
        return f'Its folder is there on {_node()}; the file is not.'
    return f'On {_node()}, which ran the task, its path ends at {parent}. Is it mounted there?'


def _is_program(exc: BaseException) -> bool:
    """Return True if it was a command that could not be started."""
    frames = exc.__traceback__
    last = ''
    while frames is not None:
        last = os.path.basename(frames.tb_frame.f_code.co_filename)
        frames = frames.tb_next
    return last == 'subprocess.py'


def _of_permission(exc: PermissionError) -> str:
    import getpass

    return f'The task ran as user {getpass.getuser()} on {_node()}.'


def _of_disk(exc: OSError) -> str:
    if exc.errno not in _SPACE:
        return ''
    return (
        f'The disk or your quota is full on {_node()}. Results that are in the queue are intact. '
        'Free space, then retry.'
    )


def _of_input(exc: EOFError) -> str:
    if 'reading a line' not in str(exc):
        return ''
    return 'Tasks have no keyboard: pass as an argument what input() would ask for.'


def _of_name(exc: NameError) -> str:
    if isinstance(exc, UnboundLocalError):
        return ''
    return (
        'The name was not defined where the task was added. Run the cell that defines or imports '
        'it, then run this one again.'
    )


def _of_memory(exc: MemoryError) -> str:
    return f'Run fewer tasks at once on {_node()} (max_workers), or ask for more memory.'


def _of_exit(exc: SystemExit) -> str:
    return 'sys.exit() ends a task as failed, whatever the status. To end it well, return.'


def _of_network(exc: OSError) -> str:
    return f'The task ran on {_node()}: nodes of a cluster may have no network.'


_NOTES: tuple[tuple[type[BaseException], Callable[..., str]], ...] = (
    (ModuleNotFoundError, _of_module),
    (ImportError, _of_import),
    (FileNotFoundError, _of_file),
    (PermissionError, _of_permission),
    (ConnectionError, _of_network),
    (OSError, _of_disk),
    (EOFError, _of_input),
    (NameError, _of_name),
    (MemoryError, _of_memory),
    (SystemExit, _of_exit),
)
