"""Streams and displays that the output of a verb goes to in a notebook."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Any

from IPython.core.error import StdinNotImplementedError, UsageError

from ..commands.face import Face, unfiltered
from ..terminal import visible
from .commands import typed

# columns of what is drawn under a cell, unless COLUMNS says otherwise; a notebook's page has some
# more
WIDTH = 100


class CommandError(UsageError):  # type: ignore[misc]
    """A verb failed; the message, shown without a traceback, has the command to type."""

    def _render_traceback_(self) -> list[str]:
        return [visible(f'desipipe: {self}')]


# Where things go


class NotebookFace(Face):
    """Output under a cell, with colours as front ends show them.

    In a terminal's IPython it is as in the terminal; plain, and at the end only, in non-interactive
    runs.
    """

    def __init__(self) -> None:
        self.value: object = None
        self._plain = os.environ.get('DESIPIPE_NONINTERACTIVE', '') not in ('', '0')
        self._terminal = sys.stdout.isatty() and not self._plain  # not so in a kernel

    def seen(self) -> bool:
        """Return True: people read notebooks."""
        return True

    def console(self, file: Any = None) -> Any:
        """Return a console that prints with the colours of front ends."""
        if self._terminal:
            return super().console()
        from rich.console import Console

        # Not rich's own way in notebooks: HTML, which a stream of text has no place for.
        width = int(os.environ.get('COLUMNS') or WIDTH)
        colours: Any = None if self._plain else 'truecolor'
        file = unfiltered(sys.stdout) if file is None else file
        return Console(
            file=file,
            highlight=False,
            force_terminal=not self._plain,
            force_jupyter=False,
            color_system=colours,
            no_color=self._plain,
            width=width,
        )

    def live(self) -> Any:
        """Return a display that is redrawn in place."""
        return super().live() if self._terminal else _Drawn(self)

    def ask(self, question: str) -> str | None:
        """Ask below the cell, where the front end can."""
        try:
            return input(visible(question))
        except (
            StdinNotImplementedError,
            EOFError,
        ):  # a front end that can't ask; a notebook that is executed by a program
            return None

    def hint(self, text: str) -> None:
        """Print the next command as one types it in a notebook."""
        print(text)  # not on the standard error, which front ends paint as if something were wrong

    def json(self, value: Any, line: bool = False) -> None:
        """Keep a JSON document as the value of the magic."""
        import orjson

        # What the document would hold, and not what it was made of: the same names and types as on
        # the command line.
        self.value = orjson.loads(orjson.dumps(value, default=repr, option=orjson.OPT_NON_STR_KEYS))


class _Drawn:
    """One display that is drawn again in its place."""

    def __init__(self, face: NotebookFace) -> None:
        self._face = face
        self._handle: Any = None
        self._last: Any = None

    def __enter__(self) -> _Drawn:
        return self

    def __exit__(self, *_: object) -> None:
        if self._face._plain and self._last is not None:
            self._draw()

    def update(self, renderable: Any, refresh: bool = True) -> None:
        """Draw."""
        self._last = renderable
        if not self._face._plain:
            self._draw()

    def _draw(self) -> None:
        from IPython.display import display

        text = io.StringIO()
        self._face.console(text).print(self._last, soft_wrap=True, end='')
        bundle = {'text/plain': typed(text.getvalue())}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


class _Typed(io.TextIOBase):
    """Text under the cell, in which commands read as they are typed here.

    What writes to it has made its text safe itself, and coloured it.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.buffer = CellBytes(stream)

    def write(self, text: str) -> int:
        self._stream.write(typed(text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return bool(self._stream.isatty())

    def fileno(self) -> int:
        return int(self._stream.fileno())


class CellStream(_Typed):
    """Text under the cell like :class:`_Typed`, made safe for a terminal."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.unfiltered = _Typed(stream)

    def write(self, text: str) -> int:
        """Write text, with commands as one types them in a notebook."""
        super().write(visible(text))
        return len(text)


class CellBytes(io.RawIOBase):
    """A stream of bytes whose text goes to a stream of the cell."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder('utf-8')('replace')

    def write(self, data: Any) -> int:
        """Write what can be decoded so far."""
        self._stream.write(self._decoder.decode(bytes(data)))
        return len(data)

    def flush(self) -> None:
        """Flush the stream of the cell."""
        self._stream.flush()
