"""Text that is cut or wrapped to the width of a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from ..view.text import Line


def cut_middle(text: str, width: int) -> str:
    """Cut a text to ``width`` cells, with `…` for what its middle was."""
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    tail_width = (width - 1) // 2
    tail = ''
    for character in reversed(text):
        if cell_len(character + tail) > tail_width:
            break
        tail = character + tail
    head = ''
    for character in text:
        if cell_len(head + character) > width - 1 - tail_width:
            break
        head += character
    return f'{head}…{tail}'


def wrap(text: str, width: int, lines_max: int = 0) -> list[str]:
    """Wrap a text at ``width`` cells; `…` ends one that is cut."""
    from rich.cells import cell_len, set_cell_size
    from rich.console import Console
    from rich.text import Text

    wrapped = Text(text).wrap(Console(width=width), width)
    lines = [line.plain.rstrip() for line in wrapped]
    if lines_max and len(lines) > lines_max:
        lines = lines[:lines_max]
        last = lines[-1]
        lines[-1] = (last if cell_len(last) < width else set_cell_size(last, width - 1)) + '…'
    return lines


def wrap_lines(lines: Iterable[Line], width: int) -> list[Line]:
    """Break long lines between words, and indent what follows.

    Parameters
    ----------
    lines : iterable of Line
    width : int
        0: any length will do.
    """
    result: list[Line] = []
    for line in lines:
        text = ''.join(piece for piece, _ in line)
        if not width or len(text) <= width or ' ' not in text.strip():
            result.append(line)
            continue
        indent = ' ' * (len(text) - len(text.lstrip()) + 2)
        first, *_ = wrap(text, width)
        result.append(_part(line, 0, len(first)))
        end = len(first)
        for part in wrap(text[end:].strip(), width - len(indent)):
            start = text.find(part, end)
            end = start + len(part)
            result.append([(indent, ''), *_part(line, start, end)])
    return result


def _part(line: Line, start: int, end: int) -> Line:
    """Return the pieces of a line between two offsets of its text."""
    pieces: Line = []
    offset = 0
    for text, style in line:
        part = text[max(start - offset, 0) : max(end - offset, 0)]
        if part:
            pieces.append((part, style))
        offset += len(text)
    return pieces
