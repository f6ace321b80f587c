"""Parts of the screens of `watch --ui`: safe text, jobs beside them, questions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen, Screen
from textual.widgets import DataTable, Footer, Static
from textual.worker import get_current_worker

from ..errors import DesipipeError
from ..terminal import visible

if TYPE_CHECKING:
    from textual.binding import BindingType
    from textual.notifications import SeverityLevel

ORDERS = 'orders'
"""Group of jobs that change a queue: none takes the place of another."""


def plain(text: str, style: str = '') -> Text:
    """Return text that is safe for a terminal, and in which nothing is markup."""
    return Text(visible(text, lines=False), style)


def fill_table(
    table: DataTable[Text], labels: Sequence[str], rows: Sequence[Sequence[Text]]
) -> None:
    """Show other rows in a table, in columns that hold them."""
    # Left to itself a table measures rows when nothing else is to do, and forgets those that were
    # replaced until then: columns stayed as narrow as their labels.
    table.clear(columns=True)
    for i, label in enumerate(labels):
        width = max((row[i].cell_len for row in rows), default=0)
        table.add_column(label, width=max(len(label), width))
    for row in rows:
        table.add_row(*row)


class Working(Screen[None]):  # type: ignore[misc]
    """A screen that reads beside the one who looks, and tells what could not be read."""

    def work(self, job: Callable[[], None], group: str = 'read') -> None:
        """Run a job in a thread; of each group but orders the last one draws."""

        def run() -> None:
            try:
                job()
            except (DesipipeError, OSError) as exc:
                self.tell(str(exc), 'error')

        self.run_worker(run, thread=True, exclusive=group != ORDERS, group=group)

    def show(self, update: Callable[..., None], *values: Any) -> None:
        """Have the screen drawn by its own thread, unless it is gone."""

        def draw() -> None:
            if self.is_attached:
                update(*values)

        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(draw)

    def tell(self, text: str, severity: SeverityLevel = 'information') -> None:
        """Show a notice."""
        self.show(lambda: self.app.notify(visible(text), severity=severity, markup=False))


class Question(ModalScreen[bool]):  # type: ignore[misc]
    """A question that is answered by y or n."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding('y', 'answer(True)', 'Yes'),
        Binding('n,escape', 'answer(False)', 'No'),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self.question = question

    def compose(self) -> ComposeResult:
        """Show the question above its keys."""
        yield Static(plain(f'{self.question}  (y/n)'), id='question')
        yield Footer()

    def action_answer(self, yes: bool) -> None:
        """Answer it."""
        self.dismiss(yes)
