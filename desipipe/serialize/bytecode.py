"""Bytecode: what it does, as a digest, and the names that it reads."""

from __future__ import annotations

import dis
import functools
import sys
from collections.abc import Iterator
from types import CodeType
from typing import Any, NamedTuple

from .plain import digest, pack, plain_text

__all__ = ['Import', 'Reads', 'nested_codes', 'fingerprint', 'reads']


@functools.lru_cache(maxsize=4096)
def fingerprint(code: CodeType) -> bytes:
    """Return the digest of what a code object does: its bytecode, names and constants.

    Where it was written does not count.

    It depends on the version of Python: it identifies code only where no source is found.
    """
    constants = [
        fingerprint(item) if isinstance(item, CodeType) else _constant(item)
        for item in code.co_consts
    ]
    names = [
        repr(names).encode()
        for names in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    ]
    numbers = repr(
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    ).encode()
    return digest(
        pack(
            b'code',
            code.co_name.encode(),
            numbers,
            code.co_code,
            code.co_exceptiontable,
            *names,
            pack(b'', *constants),
        )
    )


def _constant(value: Any) -> bytes:
    text = plain_text(value)
    if text:
        return text.encode()
    if isinstance(value, tuple):
        return pack(b'tuple', *map(_constant, value))
    if isinstance(value, frozenset):
        return pack(b'frozenset', *sorted(map(_constant, value)))
    return f'{type(value).__name__}:{value!r}'.encode()  # complex, Ellipsis, slices


def nested_codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of functions and classes inside of code, at any depth."""
    for item in code.co_consts:
        if isinstance(item, CodeType):
            yield item
            yield from nested_codes(item)


class Import(NamedTuple):
    """An import statement inside of a function."""

    level: int
    name: str
    names: tuple[str, ...]


class Reads(NamedTuple):
    """Names that a function, with functions and classes inside it, reads from outside."""

    names: dict[
        str, frozenset[tuple[str, ...]]
    ]  # global name: the attributes that are read of it; () where it is used as it is
    cells: dict[str, frozenset[tuple[str, ...]]]  # variable of an enclosing function: the same
    imports: frozenset[Import]
    words: tuple[str, ...]  # all names that stand in its bytecode, those of attributes among them
    values: frozenset[
        tuple[str, ...]
    ]  # a name, and attributes of it, where that is used otherwise than by a call


_GLOBAL = ('LOAD_GLOBAL', 'LOAD_NAME', 'LOAD_FROM_DICT_OR_GLOBALS')
_CELL = ('LOAD_DEREF', 'LOAD_CLASSDEREF', 'LOAD_FROM_DICT_OR_DEREF')
_ATTRIBUTE = ('LOAD_ATTR', 'LOAD_METHOD')


@functools.lru_cache(maxsize=4096)
def reads(code: CodeType) -> Reads:
    """Return the names that a code object reads from outside.

    Comprehensions, nested functions and class bodies are included.

    Parameters
    ----------
    code : code

    Returns
    -------
    reads : Reads
    """
    reader = _Reader()
    reader.read(code, set(code.co_freevars))
    return Reads(
        {name: frozenset(reader.names[name]) for name in sorted(reader.names)},
        {name: frozenset(reader.cells.get(name, {()})) for name in sorted(code.co_freevars)},
        frozenset(reader.imports),
        tuple(sorted({word for item in (code, *nested_codes(code)) for word in item.co_names})),
        frozenset(reader.values),
    )


_Chains = dict[str, set[tuple[str, ...]]]
_METHODS_APART = sys.version_info < (
    3,
    12,
)  # a method that is called is loaded by an instruction of its own


class _Reader:
    """Collects what instructions read; the members are those of :class:`Reads`."""

    def __init__(self) -> None:
        self.names: _Chains = {}
        self.cells: _Chains = {}
        self.imports: set[Import] = set()
        self.values: set[tuple[str, ...]] = set()

    def read(self, code: CodeType, free: set[str]) -> None:
        """Read the instructions of code, and of the code in it."""
        instructions = list(dis.get_instructions(code))
        stored: set[str] = set()  # names that are those of a class body from there on
        for i, instruction in enumerate(instructions):
            name = instruction.argval
            if instruction.opname == 'STORE_NAME':
                stored.add(name)
            if instruction.opname in _GLOBAL and name not in stored:
                chain = _attributes(instructions, i)
                self.names.setdefault(name, set()).add(chain)
                if not _is_called(instructions, i, len(chain)):
                    self.values.add((name, *chain))
            elif instruction.opname in _CELL and name in free:
                self.cells.setdefault(name, set()).add(_attributes(instructions, i))
            elif instruction.opname == 'IMPORT_NAME':
                # Its two operands, the level and the names after `from`, are pushed right before.
                level, after = instructions[i - 2].argval, instructions[i - 1].argval
                self.imports.add(Import(level, name, after or ()))
        for item in code.co_consts:
            if isinstance(item, CodeType):
                self.read(item, free & set(item.co_freevars))


def _attributes(instructions: list[dis.Instruction], i: int) -> tuple[str, ...]:
    """Return the attributes that are read of what an instruction loads."""
    chain = []
    for following in instructions[i + 1 :]:
        if following.opname not in _ATTRIBUTE:
            break
        chain.append(following.argval)
    return tuple(chain)


def _is_called(instructions: list[dis.Instruction], i: int, length: int) -> bool:
    """Return True where a loaded name, or an attribute of it, is called next."""
    first, last, *following = instructions[i], *instructions[i + length : i + length + 2]
    if last.opname == 'LOAD_METHOD' or (following and following[0].opname == 'PUSH_NULL'):
        return True
    if last.opname == 'LOAD_ATTR' and not _METHODS_APART and (last.arg or 0) & 1:
        return True
    return first.opname == 'LOAD_GLOBAL' and bool((first.arg or 0) & 1)
