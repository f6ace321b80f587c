"""Values, futures and imports that a cell takes from the notebook."""

from __future__ import annotations
import __future__

import ast
import builtins
import importlib
import io
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from ..errors import CellError, close_names
from ..queue.future import Future
from ..queue.future_list import FutureList
from ..serialize.plain import ATOMS
from .function_makers import DEFINE, SHOW
from .names import Names
from .shared_variables import find_reach
from .syntax import CODE_TYPES


class Import(NamedTuple):
    """Something that a cell imports."""

    module: str
    name: str
    """Name in the module; empty for the module itself."""

    def value(self) -> Any:
        """Return its value here."""
        module = importlib.import_module(self.module)
        if not self.name:
            return module
        return (
            getattr(module, self.name)
            if hasattr(module, self.name)
            else importlib.import_module(f'{self.module}.{self.name}')
        )


def take_futures(tree: ast.Module) -> int:
    """Take ``from __future__ import`` out, which no function may hold.

    Return what it means for the compiler.
    """
    statements = [
        node
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == '__future__'
    ]
    tree.body = [node for node in tree.body if node not in statements]
    flags = 0
    for node in statements:
        for alias in node.names:
            feature = getattr(__future__, alias.name, None)
            if feature is None:
                raise CellError(
                    f'Line {node.lineno:d} of the cell: there is no future feature {alias.name!r}. '
                    'Nothing was added.'
                )
            flags |= feature.compiler_flag
    return flags


def imported_names(tree: ast.Module) -> dict[str, Import]:
    """Return what the statements of a cell import, by the names that it gets."""
    imports: dict[str, Import] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                module = alias.name if alias.asname else alias.name.split('.')[0]
                imports[alias.asname or module] = Import(module, '')
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                imports[alias.asname or alias.name] = Import(node.module, alias.name)
    return imports


def resolve_inputs(
    names: Names, namespace: Mapping[str, Any], imported: Mapping[str, Import], passed: set[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of the inputs, and what goes along with the code.

    That are functions, classes and modules, followed from there by what they use.
    """
    from .. import display

    inputs: dict[str, Any] = {}
    used: dict[str, Any] = {'__name__': '__main__', SHOW: display.show, DEFINE: display.define}
    if names.deleted:
        name, line = next(iter(names.deleted.items()))
        raise CellError(
            f'Line {line:d} of the cell reads {name!r}, which it has deleted. Nothing was added.'
        )
    for name, line in names.inputs.items():
        if name in passed or name.startswith('__'):
            continue
        if name in namespace:
            value = namespace[name]
            _check_kernel_only(name, value, line)
            home = getattr(value, '__module__', None) or ''
            if name == 'open' and getattr(value, '__wrapped__', None) is io.open:
                continue  # that of IPython, which guards the kernel's own streams
            if name == 'display' and home.startswith('IPython.'):
                used[name] = display.display
            elif isinstance(value, CODE_TYPES) and name not in names.bound:
                used[name] = value
            else:
                inputs[name] = value
        elif name in imported and name in names.required:
            used[name] = imported[name].value()
        elif name == 'display' and name not in names.bound:
            used[name] = display.display  # IPython has its own among the builtins
        elif hasattr(builtins, name):
            if name in names.bound:
                inputs[name] = getattr(builtins, name)  # `sum = sum(values)`
        elif name in names.required:
            raise _missing(name, line, namespace)
    return inputs, used


def _check_kernel_only(name: str, value: Any, line: int) -> None:
    """Refuse what only a kernel has."""
    if name == 'get_ipython':
        raise CellError(
            f'Line {line:d} of the cell asks for get_ipython(). Nothing was added: a worker has no '
            'IPython shell.'
        )
    homes = (getattr(value, '__module__', None) or '', type(value).__module__)
    if name in ('exit', 'quit') and any(home.startswith('IPython.') for home in homes):
        raise CellError(
            f'Line {line:d} of the cell would end the kernel, of which a worker has none. Nothing '
            'was added. Write: raise SystemExit'
        )


def _missing(name: str, line: int, namespace: Mapping[str, Any]) -> CellError:
    near = close_names(name, _own_names(namespace), 3)
    error = CellError(
        f'Line {line:d} of the cell reads {name!r}, which does not exist. Nothing was added. '
        f'Assign it in a cell above, and run that, or sweep it with --for {name}=... ({near}).'
    )
    error.missing = name
    return error


def _own_names(namespace: Mapping[str, Any]) -> list[str]:
    """Return the names that cells have bound, without those that IPython gives to all."""
    histories = {id(namespace.get('_ih')), id(namespace.get('_oh'))}  # `In` and `Out`
    return [
        name
        for name, value in namespace.items()
        if not name.startswith('_')
        and id(value) not in histories
        and not hasattr(builtins, name)  # such as `open`, of which a kernel has its own
        and not type(value).__module__.startswith(('IPython.', 'ipykernel.'))
    ]


def share_variables(
    inputs: dict[str, Any],
    used: dict[str, Any],
    names: Names,
    namespace: Mapping[str, Any],
    swept: Sequence[str],
    imports: Mapping[str, Import],
) -> None:
    """Share the notebook's variables with its functions that the cell uses, or refuse."""
    reach = find_reach(used.values(), namespace)
    same = {
        name
        for name, item in imports.items()
        if isinstance(namespace.get(name), ModuleType) and namespace[name] is item.value()
    }
    for name in sorted((names.bound - same) | set(swept)):
        if name in reach.read and name not in reach.bound:
            func = reach.read[name]
            what = 'sweeps' if name in swept else 'assigns'
            raise CellError(
                f'{func}() reads {name!r} of the notebook, which this cell {what}: where the cell '
                'runs, the function has a variable of its own, '
                f'and would not see it. Nothing was added. Pass it, as in {func}({name}), define '
                f'{func} in this cell, or take another name.'
            )
    for name in sorted(reach.bound):
        if name in inputs or name in names.bound:
            func = reach.bound[name]
            raise CellError(
                f'{func}() assigns {name!r} of the notebook, which this cell uses too: where the '
                'cell runs, the function has a variable of its own. '
                f'Nothing was added. Let {func} return it, or define {func} in this cell.'
            )
    for name in [name for name in inputs if name in reach.read]:
        # One object, in the cell and in the function: what one changes, the other sees.
        if type(inputs[name]) not in ATOMS and not _holds_futures(inputs[name]):
            used[name] = inputs.pop(name)


def _holds_futures(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_futures, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_holds_futures, value))
    if isinstance(value, FutureList):
        return True
    return isinstance(value, Future)
