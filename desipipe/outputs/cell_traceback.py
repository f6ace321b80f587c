"""Show source lines of cells in tasks' tracebacks, with the failing line marked.

Workers have no cells: what they write names a file that is in no folder. The text of the code is
kept in the queue.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ['failing_line', 'mark_failing_lines', 'raised_part']

_FRAME = re.compile(
    r'^(?P<indent>[ |]*)File "(?P<file>[^"\n]*)", line (?P<line>\d+)(?:, in (?P<scope>.*))?$'
)
_TASK_CELL = re.compile(r'<%%desipipe (?P<name>.*) [0-9a-f]+>')
_NOTEBOOK_CELL = re.compile(r'.*[/\\]ipykernel_\d+[/\\]\d+\.py|<ipython-input-.*>')
_DEFINITION = re.compile(r'(async\s+def|def|class)\b|@')
_START = re.compile(r'^(?:Traceback|  \+ Exception Group Traceback) \(most recent call', re.M)
_MEMBERS = re.compile(r'^ *\+-\+-', re.M)  # of an exception group
_AROUND = 2  # lines that are shown before the failing one, and after it


class _Frame(NamedTuple):
    """A frame of a traceback, and where its line is in the code."""

    indent: str
    words: str
    """Text that stands in the place of the file."""
    number: int
    """Number of the failing line in its cell, from 1."""
    place: int
    """Index of the same line in the code, from 0; -1 if that is unknown."""


def mark_failing_lines(trace: str, code: str) -> str:
    """Return a traceback whose frames in cells show the lines around the failing one.

    Parameters
    ----------
    trace : str
        The traceback as the worker wrote it.
    code : str
        The code of the task: its cell or function, then the functions that it uses.
    """
    lines, source = trace.split('\n'), code.split('\n')
    marked: list[str] = []
    i = 0
    while i < len(lines):
        frame = _frame(lines, i, source)
        if frame is None or frame.place < 0:
            marked.append(lines[i])
            i += 1
            continue
        marked.append(f'{frame.indent}{frame.words}')
        marked += [frame.indent + line for line in _context(frame, source)]
        i = _end(lines, i, frame.indent)
    return '\n'.join(marked)


def raised_part(trace: str) -> str:
    """Return the part of a traceback that tells where its exception was raised.

    That is neither its causes, which stand above, nor the members of an exception group.
    """
    starts = [match.start() for match in _START.finditer(trace)]
    return _MEMBERS.split(trace[starts[-1] if starts else 0 :], maxsplit=1)[0]


def failing_line(trace: str, code: str) -> int | None:
    """Return the line of ``code``, from 1, where a task failed; None if unknown.

    It is the innermost one of the task's own cell or function, else of one that it uses.
    """
    source = code.split('\n')
    places = _places(raised_part(trace), source) or _places(trace, source)
    own = [line for line in places if line < _own_end(source)]
    return next((line + 1 for line in reversed(own or places)), None)


def _places(trace: str, source: list[str]) -> list[int]:
    lines = trace.split('\n')
    frames = (_frame(lines, i, source) for i in range(len(lines)))
    return [frame.place for frame in frames if frame is not None and frame.place >= 0]


def _frame(lines: list[str], i: int, source: list[str]) -> _Frame | None:
    match = _FRAME.match(lines[i])
    if match is None:
        return None
    number, scope = int(match['line']), match['scope'] or ''
    cell = _TASK_CELL.fullmatch(match['file'])
    where = f', in {scope}' if scope else ''
    if cell is not None:
        line = number - 1 if number <= len(source) else -1
        return _Frame(
            match['indent'],
            f'Cell %%desipipe {cell["name"]}, line {number:d}{where}',
            number,
            line,
        )
    if _NOTEBOOK_CELL.fullmatch(match['file']):
        text = lines[i + 1].strip(' |') if i + 1 < len(lines) else ''
        line = _find(source, scope, text)
        return _Frame(match['indent'], f'Notebook cell, line {number:d}{where}', number, line)
    return None


def _find(source: list[str], scope: str, text: str) -> int:
    """Return the index of the only line with this text in a function; else -1."""
    begin = (
        re.compile(rf'\s*(async\s+)?def\s+{re.escape(scope.rpartition(".")[2])}\b')
        if scope
        else None
    )
    start = next((i for i, line in enumerate(source) if begin.match(line)), -1) if begin else 0
    if start < 0 or not text:
        return -1
    margin = len(source[start]) - len(source[start].lstrip())
    places = []
    for i in range(start, len(source)):
        line = source[i]
        if i > start and begin and line.strip() and len(line) - len(line.lstrip()) <= margin:
            break
        if line.strip() == text:
            places.append(i)
    return places[0] if len(places) == 1 else -1


def _own_end(source: list[str]) -> int:
    """Return where the functions used by a cell begin: after two empty lines."""
    for i in range(len(source) - 2):
        if not source[i] and not source[i + 1] and _DEFINITION.match(source[i + 2]):
            return i
    return len(source)


def _context(frame: _Frame, source: list[str]) -> list[str]:
    first = max(0, frame.place - _AROUND)
    frames = []
    for i in range(first, min(len(source), frame.place + _AROUND + 1)):
        if i > frame.place and not source[i].strip():
            break  # what follows may be another function
        number = frame.number + i - frame.place
        if number < 1:
            continue
        arrow = '-' * max(1, 5 - len(str(number)))
        mark = f'{arrow}> {number:d}' if i == frame.place else f'{number:7d}'
        frames.append(f'{mark} {source[i]}'.rstrip())
    return frames


def _end(lines: list[str], i: int, indent: str) -> int:
    """Return the line after a frame: behind its text and the marks below it."""
    i += 1
    while i < len(lines) and lines[i].startswith(indent + '  ') and not _FRAME.match(lines[i]):
        i += 1
    return i
