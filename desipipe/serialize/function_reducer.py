"""Reduce functions of the user, with the code that they bring along."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from types import CellType, FunctionType, ModuleType
from typing import Any

from . import bytecode, class_makers, classes, makers, modules, source, static_modules
from .annotations import annotations_of, hinted_names
from .carried import Carried
from .used_modules import UsedModules

__all__ = ['FunctionReducer']

# Special attributes of a function that are set once it is made.
_FUNCTION_WORDS = (
    '__name__',
    '__qualname__',
    '__kwdefaults__',
    '__defaults__',
    '__module__',
    '__doc__',
)
# Globals that statements need which import what is near.
_NAMESPACE_WORDS = ('__package__', '__name__', '__path__', '__file__')


class FunctionReducer:
    """Reduces the functions of one payload.

    Parameters
    ----------
    by_value : frozenset of str
        Installed modules that are carried by value.
    statics : mapping
        Modules that functions import when they run, where the caller has read them already.
    used : UsedModules
        Takes what functions read of modules.
    """

    def __init__(
        self,
        by_value: frozenset[str],
        statics: Mapping[str, static_modules.Static],
        used: UsedModules,
    ) -> None:
        self.texts: dict[str, dict[int, str]] = {}
        """Statements that the functions are from, by file and first line."""
        self.modules: dict[str, Carried] = {}
        """Modules that the functions import when they run, by name."""
        self._by_value = by_value
        self._statics = statics
        self._used = used
        # globals of functions, by the id of what they are here
        self._namespaces: dict[int, dict[str, Any]] = {}
        # variables of enclosing functions whose content is carried with a function
        self._cells: set[int] = set()
        # functions are written without what they use, which may be objects of their class
        self._is_bare = False
        self._bare: list[tuple[FunctionType, tuple[Any, ...]]] = []

    def reduce(self, func: FunctionType) -> Any:
        """Reduce a function."""
        if modules.is_singledispatch(func):
            made = func.__dict__['__wrapped__'], dict(func.__dict__['registry'])
            return makers.make_dispatch, (), made, None, None, makers.fill_dispatch
        if classes.is_found(func, self._by_value):
            return NotImplemented
        state = tuple(self._state(func))
        args = func.__code__, self._namespace(func.__globals__), func.__closure__
        if self._is_bare:
            self._bare.append((func, state))
            return makers.make_function, args
        return makers.make_function, args, state, None, None, makers.fill_function

    def reduce_methods(self, methods: classes.Methods) -> Any:
        """Reduce the methods of a class; their states follow (:meth:`reduce_states`)."""
        self._is_bare = True
        return class_makers.set_methods, tuple(methods)

    def reduce_states(self, _: classes.FunctionStates) -> Any:
        """Reduce the states of the functions that were written without."""
        self._is_bare = False
        bare, self._bare = self._bare, []
        return makers.fill_functions, (bare,)

    def reduce_cell(self, cell: CellType) -> Any:
        """Reduce a variable of an enclosing function."""
        if id(cell) in self._cells:
            return makers.make_cell, ()
        self._cells.add(id(cell))
        try:
            content = cell.cell_contents
        except ValueError:
            return makers.make_cell, ()
        return makers.make_cell, (), content, None, None, makers.fill_cell

    def _state(self, func: FunctionType) -> makers.FunctionState:
        namespace, reads = func.__globals__, bytecode.reads(func.__code__)
        names = self._globals(namespace, reads)
        variables, cells = self._variables(func, reads)
        if modules.is_user(namespace.get('__name__')):
            self._bring(func, reads)
        packages = [
            value
            for value in (*names.values(), *variables)
            if isinstance(value, ModuleType) and getattr(value, '__package__', None)
        ]
        attributes = {name: getattr(func, name) for name in _FUNCTION_WORDS}
        attributes['__annotations__'] = hints = annotations_of(func)
        names.update(hinted_names(hints, namespace))
        return makers.FunctionState(
            names=names,
            cells=cells,
            attributes=attributes,
            own=dict(func.__dict__),
            submodules=[
                item for package in packages for item in _submodules(package.__name__, reads.words)
            ],
        )

    def _namespace(self, namespace: dict[str, Any]) -> dict[str, Any]:
        """Return the globals that functions share which share them here."""
        shared = self._namespaces.get(id(namespace))
        if shared is None:
            shared = self._namespaces[id(namespace)] = {
                name: namespace[name] for name in _NAMESPACE_WORDS if name in namespace
            }
        return shared

    def _globals(self, namespace: dict[str, Any], reads: bytecode.Reads) -> dict[str, Any]:
        """Return the globals that a function reads."""
        names: dict[str, Any] = {}
        for name, chains in reads.names.items():
            if (
                name in namespace
                and name != '__builtins__'
                and not modules.is_guarded_open(name, namespace[name])
            ):
                names[name] = namespace[name]
                self._used.use(namespace[name], chains)
        return names

    def _variables(
        self, func: FunctionType, reads: bytecode.Reads
    ) -> tuple[list[Any], list[tuple[CellType, Any]]]:
        """Return what variables of enclosing functions hold, and those not carried yet."""
        variables = []
        cells = []
        for cell, chains in zip(func.__closure__ or (), reads.cells.values(), strict=True):
            is_first = id(cell) not in self._cells
            self._cells.add(id(cell))
            try:
                variables.append(cell.cell_contents)
            except ValueError:
                continue  # not set yet
            if is_first:
                cells.append((cell, variables[-1]))
            self._used.use(variables[-1], chains)
        return variables, cells

    def _bring(self, func: FunctionType, reads: bytecode.Reads) -> None:
        """Have the text of a function carried, and the modules that it imports."""
        code, namespace = func.__code__, func.__globals__
        text = source.find(code, namespace)
        if text is not None:
            self.texts.setdefault(code.co_filename, {}).update(text.excerpt())
        if reads.imports:
            package = static_modules.package_of(namespace)
            for module in static_modules.closure(reads.imports, package)[0].values():
                module = self._statics.get(module.name, module)
                self.modules[module.name] = (module.file, module.text, module.is_package)


def _submodules(name: str, names: Iterable[str]) -> Iterator[ModuleType]:
    """Return the imported submodules that reading attributes of these names can mean."""
    for word in names:
        inner = f'{name}.{word}'
        module = sys.modules.get(inner)
        if module is not None:
            yield module
            yield from _submodules(inner, names)
