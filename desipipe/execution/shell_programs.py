"""Find the values that stand in programs of other languages within commands.

``awk "… {x} …"``, ``python -c``, ``sed`` and ``bc`` read their argument, or their input, as a
program. The shell's quotes keep a value together, and mean nothing to them. Such a value may be a
number or a name, or, within a string of that program, what neither ends the string nor is expanded
in it. Values of other kinds have to be arguments.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from .shell_languages import CLEAR_NAMES, OPENED, WRAPPERS, Input, Language, language_of
from .shell_limits import Limit
from .shell_origins import ANY, Origins
from .shell_words import ASSIGNMENT, ESCAPED, Command, Use, Word, unquoted

__all__ = ['find_limits', 'first_refused']

_REPLACED = re.compile(r'-I(.*)|-i(.*)|--replace(?:=(.*))?')


_Around = tuple[str, str]
_UNKNOWN: _Around = '', ''


def find_limits(
    text: str, uses: Sequence[Use], commands: Iterable[Command]
) -> dict[str, list[Limit]]:
    """Return limits of values by name; those of the empty name hold for all values.

    Parameters
    ----------
    text : str
        The commands.
    uses : sequence of Use
        In the order of the text.
    commands : iterable of Command
    """
    all_commands = list(commands)
    origins = Origins(text, uses, all_commands)
    limits: dict[str, list[Limit]] = {}
    for command in all_commands:
        for language, use, around in _program_parts(text, uses, command, origins):
            for name in origins.values_of(use):
                limits.setdefault(name, []).append(Limit(language, *around))
    return limits


def _program_parts(
    text: str, uses: Sequence[Use], command: Command, origins: Origins
) -> Iterator[tuple[Language, Use, _Around]]:
    """Yield the uses that stand in programs, with what is before them there."""
    arguments = [word for word in command.words if not word.role]
    for index, word in enumerate(arguments):
        language = language_of(origins.program_of(unquoted(word.text)))
        if language is None or not (language.name in CLEAR_NAMES or _begins(arguments[:index])):
            continue
        call = _parse_call(language, arguments[index + 1 :])
        for part in call.code:
            for use in uses[part.first : part.last]:
                yield language, use, _around(text, part, use, command.level)
        for part in call.opened:
            yield from ((OPENED, use, _UNKNOWN) for use in uses[part.first : part.last])
        if call.reads_files or (call.reads_input and not call.code):
            processes = [part for part in command.words if part.role == '(']
            yield from (
                (language, use, _UNKNOWN)
                for part in processes
                for use in uses[part.first : part.last]
            )
        if call.reads_input:
            yield from ((language, use, around) for use, around in _input_of(text, uses, command))
        elif _is_put_in(arguments[:index], call):
            yield from ((language, use, _UNKNOWN) for use, _ in _input_of(text, uses, command))


def _begins(before: Sequence[Word]) -> bool:
    """Return True if a command begins behind these words."""
    names = [unquoted(word.text) for word in before]
    return all(map(ASSIGNMENT.match, names)) or any(
        os.path.basename(name) in WRAPPERS for name in names
    )


def _is_put_in(before: Sequence[Word], call: _Call) -> bool:
    """Return True where `xargs` puts its input into the code."""
    names = [unquoted(word.text) for word in before]
    if 'xargs' not in map(os.path.basename, names):
        return False
    marks = [
        match[1] or after
        for name, after in zip(names, [*names[1:], ''], strict=True)
        if (match := _REPLACED.fullmatch(name))
    ]
    return call.is_open or any(mark in unquoted(word.text) for mark in marks for word in call.code)


def _around(text: str, word: Word, use: Use, level: int) -> tuple[str, str]:
    """Return the program before and after a use."""
    if use.level != level:
        return (
            '',
            '',
        )  # of what another command prints into a program it is not known where that lands
    after = text[use.at : word.end]
    after = after[after.find('}') + 1 :] if use.is_value else ''
    if word.role == '<<':
        return ESCAPED.sub(r'\1', text[word.start : use.at]), ESCAPED.sub(r'\1', after)
    before = unquoted(text[word.start : use.at])
    return before, unquoted(text[word.start : use.at] + after)[len(before) :]


class _Call(NamedTuple):
    """Parts of a call of an interpreter."""

    code: list[Word]
    reads_input: bool
    """More of its program comes from its input."""
    reads_files: bool
    """An option names a file of code."""
    is_open: bool
    """The code is still to come."""
    opened: list[Word]
    """The arguments that are opened, where that may run a command."""


def _parse_call(language: Language, arguments: Sequence[Word]) -> _Call:
    code: list[Word] = []
    operands: list[Word] = []
    has_program = reads_files = loops = False
    pending = ''
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        plain = unquoted(word.text)
        if pending:
            code += [word] if pending == 'code' else []
            pending = ''
        elif len(plain) > 1 and plain[0] == '-' and plain != '--':
            if match := re.match(language.code, plain):
                has_program = True
                loops |= any(letter in match[0] for letter in 'np')
                pending = 'code' if match.end() == len(plain) and not plain.endswith('=') else ''
                code += [] if pending else [word]
            elif re.match(language.modules, plain):
                code.append(word)
            elif re.fullmatch(language.files, plain):
                has_program = reads_files = True
                pending = 'file'
            elif re.fullmatch(language.takes, plain):
                pending = 'other'
        elif plain != '--':
            operands.append(word)
            if language.operands == slice(0, 0):
                has_program |= plain != '-'
                operands += rest  # the arguments of a file of code, or of the code, are its own
                break
    if not has_program or language.is_shell:
        code += operands[language.operands]
    is_open = pending == 'code' or not (code or has_program)
    inputs = language.stdin is Input.ALWAYS or (
        language.stdin is Input.WITHOUT_FILE and not has_program and not code
    )
    loops |= any('<>' in word.text for word in code)
    return _Call(code, inputs, reads_files, is_open, operands if language.opens and loops else [])


def _input_of(text: str, uses: Sequence[Use], command: Command) -> Iterator[tuple[Use, _Around]]:
    for word in [*command.heredocs, *(word for word in command.words if word.role == '<<<')]:
        for use in uses[word.first : word.last]:
            yield use, _around(text, word, use, command.level)
    source = command.source
    if source is None:
        return
    yield from _input_of(text, uses, source)
    if source.is_compound:
        yield from ((use, _UNKNOWN) for use in uses[source.first : source.end])
    for word in source.words:
        for use in uses[word.first : word.last]:
            yield use, _around(text, word, use, source.level)


def first_refused(limits: Mapping[str, Sequence[Limit]], name: str, text: str) -> Limit | None:
    """Return the limit that a value does not keep, if there is one."""
    return next(
        (limit for limit in (*limits.get(name, ()), *limits.get(ANY, ())) if not limit.holds(text)),
        None,
    )
