"""Find the place in the user's notebook or script where tasks are added.

By it, code that runs again is recognised.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

from ..utils import random_hex

_TOKEN = random_hex(8)  # of this process; a fork goes on with it
_BINDING = re.compile(
    r'^(?:(?:async[ \t]+)?(?:def|class|for)[ \t]+(\w+)|([\w, \t]+?)[ \t]*(?::[^=\n]+)?=(?!=))', re.M
)
_INJECTED = '# Parameters'  # begins the cell that papermill's conventions put in
_COMMANDS = ('desipipe', 'desipipe.exe')


class Place(NamedTuple):
    """The place in a notebook or script where tasks are added."""

    file: str
    """Path of the notebook or script; a name that no other process has where there is no file."""
    cell: str = ''
    """Identity of the notebook's cell, where the front end tells it."""
    run: str = ''
    """Number of this execution of the cell, or of the script."""
    alone: bool = False
    """True where a new definition takes the place of an old one although cells have no
    identities: in a terminal.
    """


class _Cells:
    """Names bound by each cell that ran in this process, by the cell's identity."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}

    def note(self, info: Any) -> None:
        """Keep which names a cell binds that is about to run: an event of IPython."""
        self.keep(getattr(info, 'cell_id', None), info.raw_cell)

    def keep(self, cell: str | None, text: str | None) -> None:
        """Keep which names the text of a cell binds."""
        if cell:
            bindings_found = _BINDING.findall(text or '')
            self._names[cell] = frozenset(
                name.strip()
                for one, several in bindings_found
                for name in (one or several).split(',')
            )

    def binding(self, name: str) -> int:
        """Count the cells that bind a name."""
        return sum(name in names for names in self._names.values())


cells = _Cells()
"""Cells of this process."""


def shell() -> Any:
    """Return IPython's shell, ``None`` in plain Python."""
    module = sys.modules.get(
        'IPython'
    )  # not imported here: a plain Python process has none, and needs none
    return None if module is None else module.get_ipython()


def follow_cells(here: Any = None) -> None:
    """Note from now on which names the cells of a shell bind, with the running one.

    The default is this process's shell, if it has one.
    """
    here = here or shell()
    if here is None or cells.note in here.events.callbacks['pre_run_cell']:
        return
    here.events.register('pre_run_cell', cells.note)
    history = getattr(here.history_manager, 'input_hist_raw', None) or ['']
    cells.keep(_parent(here)[0], str(history[-1]))


def _parent(here: Any) -> tuple[str, str]:
    """Return the identities of the running cell and of its request, if known."""
    parent = here.get_parent() if hasattr(here, 'get_parent') else {}
    return str((parent.get('metadata') or {}).get('cellId') or ''), str(
        (parent.get('header') or {}).get('msg_id') or ''
    )


def current_place() -> Place | None:
    """Return where this process adds tasks now; None where changes can't be detected."""
    here = shell()
    if here is not None:
        return _notebook_place(here)
    return _script_place()


def _notebook_place(here: Any) -> Place:
    follow_cells(here)
    cell, run = _parent(here)
    terminal = getattr(
        sys.modules.get('IPython.terminal.interactiveshell'), 'TerminalInteractiveShell', ()
    )
    path = here.user_ns.get('__vsc_ipynb_file__') or os.environ.get('JPY_SESSION_NAME') or ''
    if not path:
        script = _script_place() if not hasattr(here, 'get_parent') else None
        path = script.file if script is not None else f'session {_TOKEN}'
    else:
        path = os.path.realpath(path)
    return Place(path, cell, f'{_TOKEN} {run or here.execution_count}', isinstance(here, terminal))


_known_script: tuple[str, Place | None] = ('', None)


def _script_place() -> Place | None:
    global _known_script
    file = getattr(sys.modules.get('__main__'), '__file__', None)
    if not file:
        return None
    if _known_script[0] != file:
        path = os.path.realpath(file)
        own = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
        ours = os.path.basename(path) in _COMMANDS or path.startswith(own + os.sep)
        _known_script = file, None if ours else Place(path, run=_TOKEN)
    return _known_script[1]


# Statements


def bindings(labels: Iterable[str]) -> dict[str, str]:
    """Return digests of the statements that give global variables their values.

    Only statements that are found count.

    Parameters
    ----------
    labels : iterable of str
        Of parts of an identity: ``'global NAME'``, ``'module MODULE.NAME'``.
    """
    digests = {}
    for label in labels:
        kind, _, name = label.partition(' ')
        if kind == 'global' and name.isidentifier():
            texts = _main_texts()
        elif kind == 'module' and name.rpartition('.')[2].isidentifier():
            module, _, name = name.rpartition('.')
            texts = [_read(getattr(sys.modules.get(module), '__file__', None))]
        else:
            continue
        statements = _binding_statements(name, texts)
        if statements:
            digests[label] = blake2b(
                '\n'.join(statements).encode('utf-8', 'surrogatepass'), digest_size=4
            ).hexdigest()
    return digests


def _main_texts() -> list[str]:
    """Return the text of the script, or those of the cells that ran, the newest first."""
    here = shell()
    history = getattr(getattr(here, 'history_manager', None), 'input_hist_raw', None)
    if history:
        return [str(text) for text in reversed(history)]
    return [_read(getattr(sys.modules.get('__main__'), '__file__', None))]


def _read(file: object) -> str:
    try:
        with open(str(file), encoding='utf-8') as stream:
            return stream.read()
    except (OSError, ValueError):
        return ''


def _binding_statements(name: str, texts: list[str]) -> list[str]:
    """Return the statements that bind a name, and those that bind what they read.

    There are none if the value was given from outside.
    """
    result: dict[str, None] = {}
    todo, looked = [name], set[str]()
    while todo:
        name = todo.pop()
        if name in looked:
            continue
        looked.add(name)
        for text in texts:
            statements = _bound_names(text).get(name)
            if statements and text.startswith(_INJECTED):
                return []
            if statements:
                for statement, read in statements:
                    result[statement] = None
                    todo += read
                break
    return list(result)


@lru_cache(256)
def _bound_names(text: str) -> dict[str, list[tuple[str, list[str]]]]:
    """Return by name the top-level statements of a text that bind it.

    Each is its syntax tree as text, and the names that it reads.
    """
    lines = [
        '' if line.lstrip().startswith(('%', '!', '?')) else line for line in text.splitlines()
    ]
    try:
        tree = ast.parse('\n'.join(lines))
    except (SyntaxError, ValueError):
        return {}
    by_name: dict[str, list[tuple[str, list[str]]]] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            stored = {node.name}
        else:
            stored = {
                item.id
                for item in ast.walk(node)
                if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store)
            }
        if stored:
            read = [
                item.id
                for item in ast.walk(node)
                if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Load)
            ]
            statement = ast.dump(node)
            for name in stored:
                by_name.setdefault(name, []).append((statement, read))
    return by_name


def is_gone(file: str, cell: str) -> bool:
    """Return True if the notebook, as it is on disk, has no such cell."""
    try:
        with open(file, encoding='utf-8') as stream:
            notebook = json.load(stream)
        ids = {item.get('id') for item in notebook['cells']}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False  # no notebook, or not readable from here: then nothing is known of its cells
    return cell not in ids
