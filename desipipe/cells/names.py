"""Find the names that a cell takes from the notebook, and those it gives back.

The compiler has read the cell already: its bytecode says, in order and with every branch, loop and
handler, which names are read and bound. Following that (a data-flow analysis as compilers do it for
"may be used uninitialised") leaves nothing of the language out.
"""

from __future__ import annotations

import dis
import functools
from collections.abc import Iterator
from types import CodeType
from typing import NamedTuple

_LOADS = frozenset(('LOAD_NAME', 'LOAD_GLOBAL', 'LOAD_FROM_DICT_OR_GLOBALS'))
_STORES = frozenset(('STORE_NAME', 'STORE_GLOBAL'))
_DELETES = frozenset(('DELETE_NAME', 'DELETE_GLOBAL'))
_JUMPS = frozenset(dis.hasjrel) | frozenset(dis.hasjabs)
# After these, what follows in the text is reached by jumps only.
_ENDS = frozenset(
    (
        'JUMP_FORWARD',
        'JUMP_BACKWARD',
        'JUMP_BACKWARD_NO_INTERRUPT',
        'RETURN_VALUE',
        'RETURN_CONST',
        'RAISE_VARARGS',
        'RERAISE',
    )
)
# Between a function's code and the name that it is bound to.
_MAKERS = frozenset(('MAKE_FUNCTION', 'SET_FUNCTION_ATTRIBUTE'))


class Names(NamedTuple):
    """The names of a cell."""

    inputs: dict[str, int]
    """Names it reads that may come from outside, with the line of the first reading, in that
    order.
    """
    required: dict[str, int]
    """Those of them that nothing in the cell can have bound before."""
    deleted: dict[str, int]
    """Names it reads after it has deleted them."""
    bound: frozenset[str]
    """Everything that it may bind."""
    sure: frozenset[str]
    """Names that are bound at its end, whatever way led there."""


class _Point(NamedTuple):
    """The names known before an instruction."""

    sure: frozenset[str]  # bound, whatever way led here
    maybe: frozenset[str]  # bound, if some way was taken
    gone: frozenset[str]  # deleted, whatever way led here

    def merged(self, other: _Point) -> _Point:
        return _Point(self.sure & other.sure, self.maybe | other.maybe, self.gone & other.gone)


_NOWHERE = _Point(frozenset(), frozenset(), frozenset())


def find_names(code: CodeType) -> Names:
    """Find the names that a cell reads and binds.

    Parameters
    ----------
    code : code
        Of the cell, compiled as a module.

    Returns
    -------
    names : Names
        Functions and classes of the cell read their names when they are first used, not where they
        are defined.
    """
    instructions = [
        instruction
        for instruction in dis.get_instructions(code)
        if instruction.opname != 'EXTENDED_ARG'
    ]
    points = _flow(code, instructions)
    finder = _Finder()
    for i, (instruction, point) in enumerate(zip(instructions, points, strict=True)):
        if point is None:
            continue
        finder.at(instruction)
        if instruction.opname in _LOADS:
            finder.read(instruction.argval, point)
        elif instruction.opname in _DELETES and instruction.argval not in point.sure:
            finder.read(instruction.argval, point)
        elif isinstance(instruction.argval, CodeType):
            finder.defined(instruction.argval, point, _target(instructions, i))
    ends = [
        point
        for instruction, point in zip(instructions, points, strict=True)
        if point and instruction.opname in ('RETURN_VALUE', 'RETURN_CONST')
    ]
    last = functools.reduce(_Point.merged, ends) if ends else _NOWHERE
    finder.rest(last)
    bound = finder.bound.union(
        instruction.argval for instruction in instructions if instruction.opname in _STORES
    )
    return finder.names(frozenset(bound), last.sure)


def rebound(code: CodeType) -> list[str]:
    """Names that the body of a class reads before it binds them itself.

    Parameters
    ----------
    code : code
        Of the statement, compiled as a module.
    """
    bound_names: dict[str, None] = {}
    for body in filter(_is_class, _codes(code)):
        read: set[str] = set()
        bound: set[str] = set()
        for instruction in dis.get_instructions(body):
            if instruction.opname in _STORES:
                bound_names.update(dict.fromkeys(read & {instruction.argval}))
                bound.add(instruction.argval)
            elif instruction.opname in _LOADS and instruction.argval not in bound:
                read.add(instruction.argval)
    return list(bound_names)


def _flow(code: CodeType, instructions: list[dis.Instruction]) -> list[_Point | None]:
    """Compute the names known before each instruction; ``None``: unreachable."""
    places = {instruction.offset: i for i, instruction in enumerate(instructions)}
    offsets = [instruction.offset for instruction in instructions]

    def place(offset: int) -> int:
        # A jump may lead to the EXTENDED_ARG in front of an instruction.
        while offset not in places:
            offset += 2
        return places[offset]

    handlers: list[list[int]] = [[] for _ in instructions]
    for entry in getattr(dis.Bytecode(code), 'exception_entries', ()):
        target = place(entry.target)
        for i, offset in enumerate(offsets):
            if entry.start <= offset < entry.end:
                handlers[i].append(target)
    points: list[_Point | None] = [None] * len(instructions)
    todo = [(0, _NOWHERE)]
    while todo:
        i, point = todo.pop()
        names = points[i]
        if names is not None:
            point = names.merged(point)
            if point == names:
                continue
        points[i] = point
        instruction = instructions[i]
        todo += [(target, point) for target in handlers[i]]
        if instruction.opname in _STORES:
            name = frozenset((instruction.argval,))
            point = _Point(point.sure | name, point.maybe | name, point.gone - name)
        elif instruction.opname in _DELETES:
            name = frozenset((instruction.argval,))
            point = _Point(point.sure - name, point.maybe - name, point.gone | name)
        if instruction.opcode in _JUMPS and not _is_suppressed(instructions, i):
            todo.append((place(instruction.argval), point))
        if instruction.opname not in _ENDS:
            todo.append((i + 1, point))
    return points


def _is_suppressed(instructions: list[dis.Instruction], i: int) -> bool:
    # Where `with` goes on after an exception: few context managers swallow any, and with that way
    # taken for real nothing that is bound inside would count.
    return any(before.opname == 'WITH_EXCEPT_START' for before in instructions[max(i - 2, 0) : i])


def _target(instructions: list[dis.Instruction], i: int) -> str:
    """Return the name under which the code at ``i`` will be known.

    Empty for what is used on the spot.
    """
    code: CodeType = instructions[i].argval
    if not code.co_name.startswith('<'):
        return code.co_name  # def and class bind their own name, whatever decorators do in between
    if code.co_name == '<lambda>':
        for following in instructions[i + 1 :]:
            if following.opname not in _MAKERS:
                return following.argval if following.opname in _STORES else ''
    return ''


class _Reading(NamedTuple):
    """The properties that all ways to a reading of a name have in common."""

    line: int
    sure: bool
    unbound: bool  # nothing in the cell can have bound it
    gone: bool  # and it was deleted

    def merged(self, other: _Reading) -> _Reading:
        return _Reading(
            self.line,
            self.sure and other.sure,
            self.unbound and other.unbound,
            self.gone and other.gone,
        )


class _Finder:
    """Collects what is read."""

    def __init__(self) -> None:
        self.bound: set[str] = set()
        # By name and place in the text: compilers write some statements more than once (`finally`,
        # and since Python 3.12 what follows a handler).
        self._readings: dict[tuple[str, object, object], _Reading] = {}
        self._outer: object = None
        self._line = 1
        self._later: dict[str, list[CodeType]] = {}  # what is read when a name is used

    def at(self, instruction: dis.Instruction) -> None:
        """Go to an instruction of the cell itself."""
        self._outer = instruction.positions
        self._line = _line(instruction, self._line)

    def read(self, name: str, point: _Point, line: int = 0, inner: object = None) -> None:
        """Note that a name is read at a point.

        By the instruction itself, or at a place in the text of what it calls.
        """
        unbound = name not in point.maybe
        reading = _Reading(
            line or self._line, name in point.sure, unbound, unbound and name in point.gone
        )
        key = name, self._outer, inner
        earlier = self._readings.get(key)
        self._readings[key] = reading if earlier is None else earlier.merged(reading)
        for code in self._later.pop(name, ()):
            self._enter(code, point)

    def names(self, bound: frozenset[str], sure: frozenset[str]) -> Names:
        """Return the names found, in the order of the readings."""
        inputs: dict[str, int] = {}
        required: dict[str, int] = {}
        deleted: dict[str, int] = {}
        for (name, _, _), reading in self._readings.items():
            if reading.gone:
                deleted.setdefault(name, reading.line)
            elif not reading.sure:
                inputs.setdefault(name, reading.line)
                # What a function binds by `global` may be there as soon as the function has run.
                if reading.unbound and name not in self.bound:
                    required.setdefault(name, reading.line)
        return Names(inputs, required, deleted, bound, sure)

    def defined(self, code: CodeType, point: _Point, name: str) -> None:
        """A function or class is made at a point, and bound to a name, or used there."""
        if _is_class(code):
            self._body(code, point)  # runs now; its methods later
            self._later.setdefault(name, []).extend(_codes(code))
        elif name:
            self._later.setdefault(name, []).append(code)
        else:
            self._enter(code, point)

    def rest(self, point: _Point) -> None:
        """Add what was defined and not used: whoever gets it reads it at the end."""
        self._outer = None
        while self._later:
            _, codes = self._later.popitem()
            for code in codes:
                self._enter(code, point)

    def _enter(self, code: CodeType, point: _Point) -> None:
        """Note that a function runs at a point, with the functions inside of it."""
        self._body(code, point)
        for item in _codes(code):
            self._enter(item, point)

    def _body(self, code: CodeType, point: _Point) -> None:
        bound_names: set[str] = set()
        line = code.co_firstlineno
        for instruction in dis.get_instructions(code):
            line = _line(instruction, line)
            if instruction.opname == 'STORE_NAME':
                bound_names.add(instruction.argval)  # of a class body
            elif instruction.opname == 'STORE_GLOBAL':
                self.bound.add(instruction.argval)
                bound_names.add(instruction.argval)
            elif instruction.opname in _LOADS and instruction.argval not in bound_names:
                self.read(instruction.argval, point, line, instruction.positions)


def _line(instruction: dis.Instruction, before: int) -> int:
    return (instruction.positions and instruction.positions.lineno) or before


def _is_class(code: CodeType) -> bool:
    return not code.co_flags & 0x2  # CO_NEWLOCALS: functions have it


def _codes(code: CodeType) -> Iterator[CodeType]:
    return (item for item in code.co_consts if isinstance(item, CodeType))
