"""The reader of what verbs print: people, programs, or a notebook."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar

from ..terminal import VisibleStream, escape_json, visible
from ..utils import plural as plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..view.text import Line


# Writing


class Face:
    """The reader of the output: people at a terminal, or a program behind a pipe.

    A notebook puts one of its own into :data:`FACE`.
    """

    def seen(self) -> bool:
        """Return True if people read the output: then there are tables, bars and colours."""
        return sys.stdout.isatty() and os.environ.get('TERM', '') != 'dumb'

    def console(self) -> Any:
        """A ``rich`` console to print with, where people look."""
        from rich.console import Console

        return Console(file=unfiltered(sys.stdout), highlight=False)

    def live(self) -> AbstractContextManager[Any]:
        """Return a context that redraws in place by ``update(renderable, refresh=True)``."""
        from rich.live import Live

        return Live(console=self.console(), auto_refresh=False, vertical_overflow='ellipsis')

    def ask(self, question: str) -> str | None:
        """The answer of a person; ``None`` if nobody can be asked."""
        return input(visible(question)) if sys.stdin.isatty() else None

    def hint(self, text: str) -> None:
        """Print the next command to type, for people and not into pipes."""
        print(text, file=sys.stderr)

    def json(self, value: Any, line: bool = False) -> None:
        """Hand over a JSON document; ``line``: it is one of several, a line each."""
        print(json_text(value, line), flush=line)


def json_text(value: Any, line: bool = False) -> str:
    """Return a JSON document that is safe for a terminal.

    Parameters
    ----------
    value : object
    line : bool, default=False
        True if it is one line.
    """
    import orjson

    options = orjson.OPT_NON_STR_KEYS | (0 if line else orjson.OPT_INDENT_2)
    return escape_json(orjson.dumps(value, default=repr, option=options).decode())


@contextlib.contextmanager
def visible_streams() -> Iterator[None]:
    """Make all that is printed safe for a terminal.

    What `rich` draws is made of safe text.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (VisibleStream(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def unfiltered(stream: Any) -> Any:
    """Return the stream below a :class:`.VisibleStream`, for text that is safe."""
    return getattr(stream, 'unfiltered', stream)


FACE: ContextVar[Face] = ContextVar('face', default=Face())  # noqa: B039  it has no state
"""The one that the verbs write for."""


def on_terminal() -> bool:
    """Return True if people read the output; otherwise it is plain, for a program."""
    return FACE.get().seen()


def print_json(value: Any) -> None:
    """Write one JSON document."""
    FACE.get().json(value)


def hint(text: str) -> None:
    """Print the next command to type, for people and not into pipes."""
    FACE.get().hint(text)


def styled(lines: Iterable[Line]) -> Any:
    """Return lines as ``rich`` text that is safe for a terminal."""
    from rich.text import Text

    return Text('\n').join(
        Text.assemble(*((visible(text, lines=False), style) for text, style in line))
        for line in lines
    )
