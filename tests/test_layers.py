"""Lower layers know nothing of upper ones: every import of the package, wherever it stands, is held against the table."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / 'desipipe'

# From the bottom up, the table of docs/developer/architecture.md. A name with a slash is a package: all of its modules are of that layer.
LAYERS = {
    'words': 'errors utils logs faults terminal thumbnails lending not_a_value',
    'where': 'config secret environment provenance process_parts carried_settings process_state limits place trust',
    'bytes': 'store/ files lines lock journal segment lease watch probe recover',
    'pure': 'serialize event versions state outputs safe_outputs sweep function_source',
    'resources': 'provider/ scheduler backoff',
    'model': 'uses authors ledger live app task waiting gathering explain compact group_queues jobs queue find call_here selection',
    'files': 'io file_manager/',
    'processes': 'shell_contexts shell library_displays display figures ranks slot_state slot_memory output_copy '
    'output_pipes slot process queue_faults worker manager',
    'script': 'task_manager',
    'words out': 'summary cell_summary words listing printed saved_displays graph',
    'records': 'record/',
    'faces': 'demo cli notebook/ server/',
}
# Not in the table: the version is a word, `python -m desipipe` is a face, and the package itself only points at what is public.
RANK = {name.rstrip('/'): rank for rank, names in enumerate(LAYERS.values()) for name in names.split()}
RANK |= {'_version': 0, '__main__': len(LAYERS), '': len(LAYERS) + 1}
# State is a fold over events and nothing else: a clock, a random number or a file would make two readers disagree.
PURE = {'event', 'versions', 'state'}
IMPURE = {'datetime', 'glob', 'io', 'random', 'secrets', 'shutil', 'socket', 'subprocess', 'tempfile', 'threading', 'time', 'uuid'}


def modules(package: Path) -> dict[str, Path]:
    """Dotted name below the package (the package itself: the empty name) of every module."""
    found = {}
    for path in sorted(package.rglob('*.py')):
        parts = path.relative_to(package).with_suffix('').parts
        found['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[tuple[int, str]]:
    """Line and dotted name of what a module imports: absolute names, those of this package begin with its name and a dot."""
    top = PACKAGE.name
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                parts = [top, *name.split('.')] if name else [top]
                if path.name != '__init__.py':
                    parts.pop()
                base = '.'.join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
            for alias in node.names:
                full = f'{base}.{alias.name}'
                # `from package import module` is an import of the module; `from package.module import name` one of the module it is in.
                yield node.lineno, full if full.removeprefix(f'{top}.') in known else base
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, 'id', '')
            if called in ('import_module', '__import__'):
                yield node.lineno, node.args[0].value


def check(package: Path) -> list[str]:
    """What is wrong with the imports of a package, in words, one line a defect."""
    top, known, wrong = PACKAGE.name, modules(package), []
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        part = name.split('.')[0]
        where = path.relative_to(package.parent)
        if part not in RANK:
            wrong.append(f'{where}: {part!r} is in no layer; put it into the table of docs/developer/architecture.md and of this test')
            continue
        graph[name] = set()
        for line, target in imports(name, path, known):
            inside = target.removeprefix(f'{top}.') if target != top else ''
            if target != top and not target.startswith(f'{top}.'):
                if part in PURE and target.split('.')[0] in IMPURE:
                    wrong.append(f'{where}:{line}: {part!r} must know no clock and no I/O, but imports {target}')
                continue
            if name == '':
                continue  # its imports are for type checkers and by first use
            if inside not in known:
                wrong.append(f'{where}:{line}: there is no module {target}')
                continue
            graph[name].add(inside)
            below = inside.split('.')[0]
            if RANK.get(below, -1) > RANK[part]:
                wrong.append(f'{where}:{line}: {part!r} must not import {target}, which is of a layer above it')
    wrong = list(dict.fromkeys(wrong))  # one line that imports several names is one defect
    return wrong + [f'import cycle: {" → ".join([*cycle, cycle[0]])}' for cycle in cycles(graph)]


def cycles(graph: dict[str, set[str]]) -> Iterator[list[str]]:
    """Every module that reaches itself, with a shortest way; each cycle once."""
    seen: set[frozenset[str]] = set()
    for start in graph:
        ways = {start: [start]}
        todo = [start]
        for name in todo:
            for target in sorted(graph.get(name, ())):
                # A package's `__init__` that gathers names of its modules is no cycle, unless they import it back.
                if target == start:
                    if frozenset(ways[name]) not in seen:
                        seen.add(frozenset(ways[name]))
                        yield ways[name]
                elif target not in ways:
                    ways[target] = [*ways[name], target]
                    todo.append(target)


def test_layers() -> None:
    wrong = check(PACKAGE)
    assert not wrong, '\n'.join(wrong)


def test_table_is_the_documented_one() -> None:
    text = (ROOT / 'docs/developer/architecture.md').read_text()
    rows = re.findall(r'^\| ([a-z ]+) \| ((?:`[a-z_/]+` ?)+) \|', text, flags=re.M)
    assert [(layer, re.findall('[a-z_]+', names)) for layer, names in rows] == [(layer, re.findall('[a-z_]+', names)) for layer, names in LAYERS.items()]


@pytest.mark.parametrize(
    ('files', 'defect'),
    [
        ({'errors.py': 'import desipipe.queue', 'queue.py': ''}, 'errors.py:1: .errors. must not import desipipe.queue'),
        ({'errors.py': 'from .queue import Queue', 'queue.py': ''}, 'must not import desipipe.queue'),
        ({'errors.py': 'from . import queue', 'queue.py': ''}, 'must not import desipipe.queue'),
        ({'errors.py': 'from desipipe import queue', 'queue.py': ''}, 'must not import desipipe.queue'),
        ({'errors.py': 'from desipipe import Queue', 'queue.py': ''}, 'must not import desipipe, which'),
        ({'errors.py': 'def late():\n    from .queue import Queue', 'queue.py': ''}, 'errors.py:2'),
        ({'errors.py': 'if TYPE_CHECKING:\n    from .queue import Queue', 'queue.py': ''}, 'errors.py:2'),
        ({'errors.py': 'importlib.import_module("desipipe.queue")', 'queue.py': ''}, 'must not import desipipe.queue'),
        ({'store/lock.py': 'from ..queue import Queue', 'queue.py': ''}, 'store/lock.py:1'),
        ({'store/__init__.py': 'from ..queue import Queue', 'queue.py': ''}, 'store/__init__.py:1'),
        ({'store/lock.py': 'from . import journal', 'store/journal.py': 'def late():\n    from .lock import Lock'}, 'cycle: store.(lock|journal)'),
        ({'store/lock.py': 'from . import Lock', 'store/__init__.py': 'from .lock import Lock'}, 'cycle: store'),
        ({'helpers.py': ''}, "'helpers' is in no layer"),
        ({'state.py': 'from .store.lack import Lock'}, 'no module desipipe.store.lack'),
        ({'state.py': 'import time'}, 'no clock'),
    ],
)
def test_defects_are_found(tmp_path: Path, files: dict[str, str], defect: str) -> None:
    package = tmp_path / 'desipipe'
    for name, text in {'__init__.py': '', 'store/__init__.py': '', **files}.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    wrong = check(package)
    assert len(wrong) == 1, wrong
    assert re.search(defect, wrong[0])


def test_good_package_passes(tmp_path: Path) -> None:
    package = tmp_path / 'desipipe'
    (package / 'store').mkdir(parents=True)
    (package / '__init__.py').write_text('from .queue import Queue')
    (package / 'errors.py').write_text('import os')
    (package / 'store' / '__init__.py').write_text('from .lock import Lock')
    (package / 'store' / 'lock.py').write_text('from .. import errors\nfrom ..errors import A')
    (package / 'queue.py').write_text('from .store.lock import Lock\nfrom .store import Lock\nfrom desipipe import errors')
    assert check(package) == []
