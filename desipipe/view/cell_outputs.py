"""Gather what the tasks of a cell printed and drew, as far as it has room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from ..errors import DesipipeError, PayloadError
from ..outputs.thumbnails import thumbnail
from ..queue.events import ENDED, FAILED, UNKNOWN
from ..queue.ledger import Ledger
from ..queue.output import kept_number, outputs, untrusted_writer
from ..utils import format_bytes, plural
from .cell_rows import Moment
from .folded_outputs import UNFOLDED_MAX, error_class, mark_shared_causes
from .task_summary import shown_arguments, state_name, task_name
from .text import one_line

if TYPE_CHECKING:
    from .schema import DisplayOutput, OutputView

OUTPUTS_SIZE = 1_000_000
"""Bytes of outputs that a summary holds at most, if nothing else is asked for."""
IMAGES_MAX = 8
"""Too large displays that it shows as small images: each takes up to a second."""
OUTPUTS_MAX = 1000
"""Outputs that it holds at most."""
SAVED = 'displays'
"""Folder that advice names for displays to be saved in."""
TEXT_MAX = 2000
"""Characters of the text of a display that is shown small."""
SMALL_MIN = 16_000
"""Bytes that an image may have in any case which is shown small."""


class CellOutputs:
    """The outputs of the tasks of a cell, and what was read of them so far.

    Parameters
    ----------
    ledger : Ledger
    rows : sequence of int
    where : str
        ``-q QUEUE`` as one types it.
    """

    def __init__(self, ledger: Ledger, rows: Sequence[int], where: str) -> None:
        self.ledger = ledger
        self.rows = rows
        self._where = where
        self.begin()

    def begin(self) -> None:
        """Forget what was read: compaction puts the lines of the journal elsewhere."""
        self.printed: dict[int, int] = {}
        """Rows that printed or drew, with the attempts."""
        self.took: dict[int, float] = {}
        """Seconds that those took."""
        self._shown: dict[int, tuple[tuple[int, str], list[OutputView]]] = {}
        self._swept: dict[int, str] = {}

    def all_published(self) -> str:
        """Return the rows that printed or drew, with the attempts, as a summary has them."""
        return ','.join(f'{row:d}:{attempt:d}' for row, attempt in self.printed.items())

    def gather(
        self, now: Moment, limit: int, most: int, published: str = ''
    ) -> tuple[list[OutputView], str]:
        """Return what the tasks printed and drew, and what was left out of it, in words.

        Those of the attempts in ``published`` stand elsewhere, and are left out.
        """
        slots = set(now.running)
        gathered = _Gathered(limit, most)
        rows = self._rows_with_outputs(now, slots, published)
        if len(rows) > UNFOLDED_MAX:
            # Where there is no room for all, failures and their number count most.
            rows.sort(key=lambda row: not FAILED <= self.ledger.state.status[row] <= UNKNOWN)
        for i, row in enumerate(rows):
            if gathered.is_full:
                gathered.omitted += self._rest_words([row for row in rows[i:] if row not in slots])
                break
            items = self._task_outputs(row, row in slots)
            if not items:
                continue
            if len(self.rows) > 1:
                gathered.add_label(self._label(row), error_class(items))
            if len(items) > gathered.room:
                logs = self._logs(row)
                gathered.omitted.append(
                    f'{self._name(row)} has more outputs: {logs}; its figures as files: {logs} '
                    f'--save {SAVED}'
                )
            for output in items[: gathered.room]:
                if gathered.add(row, output):
                    gathered.omitted.append(
                        f'a large output of {self._name(row)} is not shown whole; all it printed: '
                        f'{self._logs(row)}'
                    )
        if gathered.small:
            gathered.omitted.insert(0, self._small_words(gathered.small))
        mark_shared_causes(gathered.labels)
        return gathered.outputs, '; '.join(dict.fromkeys(gathered.omitted))

    def _rows_with_outputs(self, now: Moment, slots: set[int], published: str) -> list[int]:
        state, printed = self.ledger.state, self.printed
        if not slots and not printed:
            return []
        rows = [
            row
            for row, code in zip(self.rows, now.every, strict=True)
            if row in slots
            or (row in printed and code in ENDED and printed[row] == state.attempt[row])
        ]
        if not published:
            return rows
        elsewhere = set(published.split(','))
        return [row for row in rows if f'{row:d}:{state.attempt[row]:d}' not in elsewhere]

    def _rest_words(self, rows: list[int]) -> list[str]:
        if not rows:
            return []
        logs = self._logs(rows[0])
        return [
            f'what {plural(len(rows), "more task")} printed is not shown; the first of them: '
            f'{logs}; its figures as files: {logs} --save {SAVED}'
        ]

    def _small_words(self, rows: list[int]) -> str:
        n = len(set(rows))
        whose = self._name(rows[0]) if n == 1 else plural(n, 'task')
        return (
            f'displays of {whose} are shown small; to open '
            f'{"" if n == 1 else "those of the first "}whole: '
            f'{self._logs(rows[0])} --save {SAVED}'
        )

    def _logs(self, row: int) -> str:
        return f'%desipipe logs {self._where} {self.ledger.state.ids[row].hex()[:12]}'

    def _task_outputs(self, row: int, runs: bool) -> list[OutputView]:
        if runs:
            return self._read_outputs(row)
        version = self.ledger.state.attempt[row], untrusted_writer(self.ledger, row)
        kept = self._shown.get(row)
        if kept is None or kept[0] != version:
            kept = self._shown[row] = version, self._read_outputs(row)
        return kept[1]

    def _read_outputs(self, row: int) -> list[OutputView]:
        try:
            return cast('list[OutputView]', outputs(self.ledger, row))
        except DesipipeError as exc:
            return [{'output_type': 'stream', 'name': 'stderr', 'text': f'desipipe: {exc}\n'}]

    def _name(self, row: int) -> str:
        return f'{task_name(self.ledger, row)}[{self.ledger.state.index[row]:d}]'

    def _label(self, row: int) -> DisplayOutput:
        # Whose outputs follow: its place in the sweep, and those of its arguments that differ from
        # task to task.
        from html import escape

        arguments = self._swept.get(row)
        if arguments is None:
            arguments = self._swept[row] = self._sweep(row)
        name, tid = self._name(row), self.ledger.state.ids[row].hex()
        return {
            'output_type': 'display_data',
            'data': {
                'text/plain': f'{name}  {arguments}'.rstrip(),
                'text/html': (
                    f'<div style="margin-top:.4em;opacity:.7"><b>{escape(name)}</b> '
                    f'<code>{escape(arguments)}</code></div>'
                ),
            },
            'metadata': {
                'desipipe': {
                    'tid': tid,
                    'label': name,
                    'arguments': arguments,
                    'state': state_name(self.ledger.state.status_shown(row)),
                    'duration': self.took.get(row),
                }
            },
        }

    def _sweep(self, row: int) -> str:
        try:
            own, first, last = (
                shown_arguments(self.ledger, other) for other in (row, self.rows[0], self.rows[-1])
            )
        except (PayloadError, IndexError):
            # the arguments are lost, or those of a task beside it that was deleted; its name is
            # left
            return ''
        return ', '.join(
            f'{key}={one_line(text, 40)}'
            for key, text in own.items()
            if not text == first.get(key) == last.get(key)
        )


def _size(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(len(key) + _size(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    return 8


class _Gathered:
    """Outputs as far as there is room for them."""

    def __init__(self, limit: int, most: int) -> None:
        self.outputs: list[OutputView] = []
        self.labels: list[tuple[DisplayOutput, str]] = []
        """Those of them that are labels, with the class of the error of each task."""
        self.omitted: list[str] = []
        """Descriptions of what was left out."""
        self.small: list[int] = []
        """Rows of displays that are shown small."""
        self._limit = limit
        self._size = 0
        self.room = most
        """Outputs that may be added."""

    @property
    def is_full(self) -> bool:
        """Return True where not even small forms may be added."""
        return self.room <= 0 or self._size >= 2 * self._limit

    def add_label(self, label: DisplayOutput, cause: str) -> None:
        """Add the label of a task, with the class of its error."""
        self.outputs.append(label)
        self.labels.append((label, cause))

    def add(self, row: int, output: OutputView) -> bool:
        """Add an output, cut to the room; return True if that must be told."""
        shrink = len(self.small) < IMAGES_MAX
        cut, size = _bounded(output, self._limit - self._size, shrink)
        self.outputs.append(cut)
        self._size += size
        self.room -= 1
        if cut['output_type'] == 'display_data' and (cut is not output or kept_number(cut) >= 0):
            self.small.append(row)
            return False
        return cut is not output


def _bounded(output: OutputView, room: int, shrink: bool) -> tuple[OutputView, int]:
    """Return an output as far as there is room for it, and its size.

    ``shrink`` allows a smaller image.
    """
    size = _size(output)
    if size <= room:
        return output, size
    if output['output_type'] == 'stream':
        text, half = output['text'], max(room - 100, 2000) // 2
        cut = f'[… {len(text) - 2 * half:,d} characters are not shown …]'
        return {**output, 'text': f'{text[:half]}\n{cut}\n{text[-half:]}'}, 2 * half + 100
    if output['output_type'] == 'error':
        note = f'[an output of {size:,d} bytes is not shown here: traceback]\n'
        return {'output_type': 'stream', 'name': 'stderr', 'text': note}, 100
    return _small(output, size, room, shrink)


def _small(output: DisplayOutput, size: int, room: int, shrink: bool) -> tuple[DisplayOutput, int]:
    forms = one_line(', '.join(output['data']), TEXT_MAX)
    note = f'[a display of {format_bytes(size)} is not shown here: {forms}]'
    text = str(output['data'].get('text/plain', ''))[:TEXT_MAX]
    small = {
        **(thumbnail(output['data'], max(room // 4, SMALL_MIN)) if shrink else {}),
        'text/plain': f'{text}\n{note}'.lstrip(),
    }
    metadata = {key: value for key, value in output['metadata'].items() if '/' not in key}
    return {**output, 'data': small, 'metadata': metadata}, _size(small)
