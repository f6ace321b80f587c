r"""Convert what a task wrote to outputs of a notebook.

Displays travel as marks in what it wrote to stdout and stderr.

A mark is one escape sequence that terminals ignore, ``ESC _ desipipe SPACE json ESC \``. Its JSON
is ASCII, one line, and holds no ESC:

==========================================
========================================================================================== ``{"d":
data, "m": metadata, "i": id}``     a display; ``"i"`` only if it can be updated ``{…, "u": true}``
takes the place of the displays of that ``"i"`` ``{"c": true, "w": wait}``                  what was
shown so far goes; with ``wait`` only when more comes ``{"n": k}``                                to
both streams, when the task turned to the other one: what stands before it was written before
==========================================
==========================================================================================

Output is bounded (see ``Capture`` in ``execution/slot_process.py``), and may be read while it is
being written: marks can lack their beginning or their end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, AnyStr, NotRequired, TypedDict, cast

from ..screen import apply_moves


class Output(TypedDict):
    """Output as in nbformat 4; its type tells which members it has."""

    output_type: str
    """``'stream'``, ``'display_data'``, ``'execute_result'`` or ``'error'``."""
    name: NotRequired[str]
    """``'stdout'`` or ``'stderr'``."""
    text: NotRequired[str]
    """Text of a stream; a file may have a list of lines."""
    data: NotRequired[dict[str, Any]]
    """Forms of a display by MIME type; the values belong to whoever made them."""
    metadata: NotRequired[dict[str, Any]]
    execution_count: NotRequired[int | None]
    ename: NotRequired[str]
    """Type of an exception."""
    evalue: NotRequired[str]
    """Message of an exception."""
    traceback: NotRequired[list[str]]
    """Lines of a traceback, with colours."""


_START = '\x1b_desipipe '
_END = '\x1b\\'
# A whole mark, with its JSON as group 1. A larger one is no atomic write: another process may have
# written into it, and then both are lost. One without an end was interrupted: that its JSON has no
# newline bounds what it costs.
_MARK = re.compile(r'\x1b_desipipe (?:([^\x1b\n]*)\x1b\\|[^\x1b]*\x1b\\|[^\x1b\n]*)')
CUT = re.compile(r'(\n\[desipipe: \d+ of \d+ bytes cut here[^\]\n]*\]\n)')
"""The line in the place of what was not kept."""
_REST = re.compile(r'[^\x1b\n]*\x1b\\')  # of a mark whose beginning is lost
_REST_AFTER_CUT = re.compile(r'[^\x1b\n]*\x1b\\|\\')


def mark(message: Mapping[str, Any]) -> bytes:
    """A mark as it is written; what JSON does not know is written as its ``repr``."""
    import json

    return f'{_START}{json.dumps(message, default=repr, separators=(",", ":"))}{_END}'.encode(
        'ascii'
    )


def _tokens(text: str, begins: bool = True) -> Iterator[tuple[str, str]]:
    """Yield the pieces of a stream, in order.

    They are pairs of ``'text'``, ``'cut'`` (that line) or ``'mark'`` (its JSON), and the string.
    Pieces of marks are left out.
    """
    for i, part in enumerate(CUT.split(text)):
        if i % 2:
            yield 'cut', part
            continue
        match = 0
        if (begins or i) and (rest := (_REST_AFTER_CUT if i else _REST).match(part)):
            match = rest.end()
        for mark in _MARK.finditer(part, match):
            if mark.start() > match:
                yield 'text', part[match : mark.start()]
            if mark[1] is not None:
                yield 'mark', mark[1]
            match = mark.end()
        last = part[match:]
        last = last[: len(last) - _begun(last)]
        if last:
            yield 'text', last


def _begun(text: str) -> int:
    """Return how many of the last characters may begin the prefix of a mark."""
    return next(
        (n for n in range(min(len(_START) - 1, len(text)), 0, -1) if text.endswith(_START[:n])), 0
    )


def strip(text: AnyStr) -> AnyStr:
    """Return what a task wrote to a stream, without marks.

    Parameters
    ----------
    text : str or bytes
        As it was captured, or its beginning.

    Returns
    -------
    text : str or bytes
        Without marks and pieces of marks. What was captured later only adds to the end of it.
    """
    if isinstance(text, bytes):
        return strip(text.decode('latin-1')).encode('latin-1')
    return ''.join(content for kind, content in _tokens(text) if kind != 'mark')


class Stripper:
    """Removes marks from a stream that comes in pieces."""

    def __init__(self) -> None:
        self._held = ''
        self._missed = False

    def miss(self) -> None:
        """Some is missing before what comes next."""
        self._held, self._missed = '', True

    def feed(self, data: bytes) -> bytes:
        """Return the text of ``data`` and of what was held back.

        The beginning of a mark is held back.
        """
        text = self._held + data.decode('latin-1')
        if self._missed and not {'\n', '\x1b'} & {*text[:-1]}:  # it may be the rest of a mark
            self._held = text
            return b''
        begins, self._missed = self._missed, False
        position = text.rfind(_START)
        if position < 0 or -1 < text.find('\x1b', position + len(_START)) < len(text) - 1:
            position = len(text) - _begun(text)
        self._held = text[position:]
        return ''.join(
            content for kind, content in _tokens(text[:position], begins) if kind != 'mark'
        ).encode('latin-1')


def split(out: str, err: str, moves: bool = True) -> list[Output]:
    """Split what a task wrote into the outputs that a notebook shows.

    Parameters
    ----------
    out, err : str
        What was captured of its stdout and stderr, or what there is so far.
    moves : bool, default=True
        True to apply what moves a terminal's cursor.

    Returns
    -------
    outputs : list of dict
        As in nbformat 4, in the order in which they were written: ``stream`` and ``display_data``,
        updates and clears applied, and what a progress bar wrote over (see
        :func:`~desipipe.screen.apply_moves`).
    """
    folded = _Folded()
    # Stable: within one turn each stream keeps its order, and what another process wrote to the
    # other stream meanwhile comes after.
    for _, name, kind, content in sorted(
        [*_turns(out, 'stdout'), *_turns(err, 'stderr')], key=lambda item: item[0]
    ):
        if kind == 'mark':
            folded.mark(_message(content))
        else:
            folded.text(name, content)
            folded.lost |= kind == 'cut'
    folded.finish()
    for output in folded.outputs:
        if moves and 'text' in output:
            output['text'] = apply_moves(output['text'])
    # A display without data is a place for what comes later, or something that was closed: there is
    # nothing to see.
    return cast('list[Output]', [output for output in folded.outputs if output.get('data', True)])


def _turns(text: str, name: str) -> list[tuple[float, str, str, str]]:
    """The tokens of a stream, each with the number of the turn that it was written in."""
    marks: list[tuple[float, str, str, str]] = []
    turn: float = 0
    # where what came after a cut begins: its turn is known by the next mark; without one it is the
    # last
    after = -1
    for kind, content in _tokens(text):
        number = _message(content).get('n') if kind == 'mark' else None
        if type(number) is int:
            if after >= 0:
                marks[after:] = [(number - 1, *item[1:]) for item in marks[after:]]
            turn, after = number, -1
        else:
            marks.append((turn, name, kind, content))
        if kind == 'cut':
            turn, after = float('inf'), len(marks)
    return marks


def _message(content: str) -> dict[str, Any]:
    import json

    try:
        message = json.loads(content)
    except (ValueError, RecursionError):
        return {}  # not ours, or written over by another process
    return message if isinstance(message, dict) else {}


class _Folded:
    """Outputs as they come."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, Any]] = []  # until they are finished
        self.lost = False  # some of what was written was not kept
        self._displays: dict[str, list[dict[str, Any]]] = {}
        self._newest: dict[str, dict[str, Any]] = {}  # what displays of a name show
        self._clear = False

    def text(self, name: str, text: str) -> None:
        self._before()
        last = self.outputs[-1] if self.outputs else {}
        if last.get('name') == name:
            last['text'].append(text)
        else:
            self.outputs.append({'output_type': 'stream', 'name': name, 'text': [text]})

    def finish(self) -> None:
        """Join texts, and apply updates: once, as there may be millions."""
        for output in self.outputs:
            if 'text' in output:
                output['text'] = ''.join(output['text'])
        for name, handle in self._displays.items():
            for output in handle:
                output.update(self._newest[name])

    def mark(self, message: dict[str, Any]) -> None:
        data = message.get('d')
        if message.get('c'):
            self._clear = True
            if not message.get('w'):
                self._before()
        elif isinstance(data, dict):
            metadata = message.get('m')
            self._display(
                {'data': data, 'metadata': metadata if isinstance(metadata, dict) else {}},
                str(message.get('i') or ''),
                bool(message.get('u')),
            )

    def _display(self, shown: dict[str, Any], name: str, update: bool) -> None:
        is_known = name in self._displays
        if is_known:
            self._newest[name] = shown
        # An update of what is not there shows nothing; unless what it was to update was not kept.
        if update and (is_known or not self.lost):
            return
        self._before()
        self.outputs.append({'output_type': 'display_data', **shown})
        if name:
            self._displays.setdefault(name, []).append(self.outputs[-1])
            self._newest[name] = shown

    def _before(self) -> None:
        if self._clear:
            self._clear = False
            self.outputs.clear()
            self._displays.clear()
