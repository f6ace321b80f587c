"""Find what the cells of a notebook define and read, from their text alone.

Nothing is run. Cells are added in the order in which they run; what a name means is then the list
of statements that gave it its value, each by the digest of its normalised syntax tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from .modules import Imported, Modules
from .statements import Call, CellText, Kind, Statement, digest
from .task_cell import SETUP, TaskCell

MODULE_PREFIX = 'module '
"""Before the names of modules among what a cell reads: no variable has such a name."""


# --------------------------------------------------------------------------------------------------
# What names mean


class Use(NamedTuple):
    """A definition, as something reads it."""

    digest: str
    kind: Kind
    cell: int
    """The cell that touched it last."""


@dataclass(frozen=True, slots=True)
class Definition:
    """The statements that gave a name its value."""

    kind: Kind
    cell: int
    """The cell that touched it last."""
    statements: tuple[str, ...]
    """Digests of its statements."""
    reads: frozenset[str] = frozenset()
    """Names that it reads when it is used: those of functions and classes."""
    given: Mapping[str, Use] = field(default_factory=dict)
    """All that it was computed from, as it was then."""
    cells: frozenset[int] = frozenset()
    """Cells that have to run so that it has its value."""
    sets_globals: frozenset[str] = frozenset()
    title: str = ''
    """Title of the task cell."""
    before: Definition | None = None
    """Definition of the name before that cell ran first."""

    def use(self) -> Use:
        """Return the definition as something reads it."""
        is_one = len(self.statements) == 1
        content = self.statements[0] if is_one else digest(*self.statements)
        return Use(content, self.kind, self.cell)


class Definitions:
    """The meaning of the names of a notebook, after some of its cells.

    Parameters
    ----------
    modules : Modules, default=None
        Those beside the notebook; by default no module counts but by its name.
    """

    def __init__(self, modules: Modules | None = None) -> None:
        self._by_name: dict[str, Definition] = {}
        self.deleted: dict[str, int] = {}
        """Cells that deleted names, of those that have no definition since."""
        self._modules = modules

    def get(self, name: str) -> Definition | None:
        """Return the definition of a name; None if no cell has one."""
        return self._by_name.get(name)

    def before(self, name: str, task: TaskCell) -> Definition | None:
        """Return the definition of an output of a task cell before that cell ran first."""
        definition = self._by_name.get(name)
        is_own = (
            definition is not None
            and definition.kind is Kind.TASK
            and definition.title == task.title
        )
        return definition.before if definition is not None and is_own else definition

    def add(self, number: int, cell: CellText, version: str = '') -> None:
        """Add a cell that runs next.

        Parameters
        ----------
        number : int
        cell : CellText
        version : str, default=''
            Of a task cell: the digest of all that its outputs depend on.
        """
        if cell.task is None:
            for statement in cell.statements:
                self._add(number, statement)
            return
        own, title = frozenset((number,)), cell.task.title
        for name in cell.task.outputs:
            before = self.before(name, cell.task)
            self.deleted.pop(name, None)
            self._by_name[name] = Definition(
                Kind.TASK, number, (version,), cells=own, title=title, before=before
            )

    def _add(self, number: int, statement: Statement) -> None:
        for name in statement.deletes:
            self._by_name.pop(name, None)
            self.deleted[name] = number
        for name in statement.binds:
            self._set(number, name, statement, None)
        for name in statement.stores:
            definition = self._by_name.get(name)
            if definition is None or definition.statements[-1:] != (statement.digest,):
                self._set(number, name, statement, definition)
        changed, seeded = set(statement.changes), set[str]()
        for call in statement.calls:
            changed |= self._changed(call)
            seeded |= self._seeded(call)
        for name in changed & self._by_name.keys():
            self._set(number, name, statement, self._by_name[name])
        for name in seeded & self._by_name.keys():
            definition = self._by_name[name]
            self._by_name[name] = replace(definition, cells=definition.cells | {number})

    def _changed(self, call: Call) -> set[str]:
        """Return the names that a call may change."""
        called = self._by_name.get(call.root)
        if called is None or called.kind is Kind.IMPORT:
            return set()
        if call.is_method:
            return {call.root}
        variables = {name for name in call.arguments if self._is_variable(name)}
        return variables | called.sets_globals

    def _is_variable(self, name: str) -> bool:
        definition = self._by_name.get(name)
        return definition is not None and definition.kind is Kind.VARIABLE

    def _seeded(self, call: Call) -> set[str]:
        """Return the library whose state a call sets: ``np.random.seed(0)``."""
        called = self._by_name.get(call.root)
        is_library = called is not None and called.kind is Kind.IMPORT
        return {call.root} if is_library and not call.arguments else set()

    def _set(
        self, number: int, name: str, statement: Statement, definition: Definition | None
    ) -> None:
        self.deleted.pop(name, None)
        own = frozenset((number,))
        if statement.kind in (Kind.FUNCTION, Kind.CLASS):
            self._by_name[name] = Definition(
                statement.kind,
                number,
                (statement.digest,),
                statement.reads,
                self.module_uses(statement.modules, number),
                own,
                sets_globals=statement.sets_globals,
            )
            return
        given = self.module_uses(statement.modules, number) | self.closure(statement.reads - {name})
        cells = self.cells(statement.reads - {name})
        if definition is not None:
            given, cells = {**definition.given, **given}, cells | definition.cells
        self._by_name[name] = Definition(
            statement.kind if definition is None else definition.kind,
            number,
            (*(definition.statements if definition is not None else ()), statement.digest),
            definition.reads if definition is not None else frozenset(),
            given,
            cells | own,
        )

    def module_uses(self, modules: Iterable[Imported], number: int) -> dict[str, Use]:
        """Digest the modules beside the notebook that a cell imports, as they are now."""
        if self._modules is None:
            return {}
        digests: dict[str, str] = {}
        for imported in modules:
            digests |= self._modules.digests(imported)
        return {
            f'{MODULE_PREFIX}{name}': Use(content, Kind.MODULE, number)
            for name, content in digests.items()
        }

    def closure(self, names: Iterable[str]) -> dict[str, Use]:
        """Find all that names stand for, through any number of helpers.

        Parameters
        ----------
        names : iterable of str

        Returns
        -------
        uses : dict
            By name.
        """
        uses: dict[str, Use] = {}
        computed: dict[str, Use] = {}
        todo = list(names)
        while todo:
            name = todo.pop()
            definition = self._by_name.get(name)
            if definition is None or name in uses or name == SETUP:
                continue
            uses[name] = definition.use()
            todo += definition.reads
            computed |= definition.given
        return computed | uses

    def closure_of(self, definition: Definition) -> dict[str, Use]:
        """Find all that a definition was computed from, or reads when it is used."""
        return {**definition.given, **self.closure(definition.reads)}

    def cells(self, names: Iterable[str]) -> frozenset[int]:
        """Return the cells that have to run so that names have their values."""
        cells: set[int] = set()
        todo, seen = list(names), set[str]()
        while todo:
            name = todo.pop()
            definition = self._by_name.get(name)
            if definition is not None and name not in seen:
                cells |= definition.cells
                todo += definition.reads
            seen.add(name)
        return frozenset(cells)
