"""The full screen of `desipipe watch --ui`: all queues, and the application."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.widgets import DataTable, Footer, Static

from ..errors import DesipipeError
from ..queue.location import short
from .screen_parts import Working, fill_table, plain
from .task_screens import TasksScreen

if TYPE_CHECKING:
    from textual.binding import BindingType

    from ..config import Config


_COLUMNS = ('queue', 'condition', 'succeeded', 'of')


class QueuesScreen(Working):
    """All queues."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding('enter', 'open', 'Open', priority=True),
        Binding('r', 'reread', 'Refresh'),
        Binding('q', 'app.quit', 'Quit'),
    ]

    def __init__(self, folders: Callable[[], list[str]], config: Config) -> None:
        super().__init__()
        self._find = folders
        self._config = config
        self._folders: list[str] = []

    def compose(self) -> ComposeResult:
        """Show the queues and the keys."""
        yield Static(plain('Queues', 'bold'), id='filter')
        yield DataTable(cursor_type='row', id='queues')
        yield Footer()

    def on_screen_resume(self) -> None:
        """Look again when one comes back."""
        self.action_reread()

    def action_reread(self) -> None:
        """Look for queues again."""
        self.work(self._read)

    def _read(self) -> None:
        from ..queue.queue import Queue
        from ..view.appearance import CONDITION_WORDS
        from ..view.queue import queue_brief

        lines = []
        for folder in self._find():
            name = short(folder, self._config)
            try:
                brief = queue_brief(Queue(folder, create=False))
            except (DesipipeError, OSError) as exc:
                lines.append((folder, (plain(name), plain(str(exc)), Text(), Text())))
            else:
                done = f'{brief["counts"]["SUCCEEDED"]:,d}'
                cells = (plain(name), plain(CONDITION_WORDS[brief['condition']]), plain(done))
                lines.append((folder, (*cells, plain(f'{brief["total"]:,d}'))))
        self.show(self._fill, lines)

    def _fill(self, lines: list[tuple[str, tuple[Text, ...]]]) -> None:
        table = self.query_one(DataTable)
        at = table.cursor_row
        fill_table(table, _COLUMNS, [cells for _, cells in lines])
        self._folders = [folder for folder, _ in lines]
        table.move_cursor(row=min(at, max(0, len(lines) - 1)))
        table.focus()

    def action_open(self) -> None:
        """Follow the queue under the cursor."""
        at = self.query_one(DataTable).cursor_row
        if at < len(self._folders):
            self.app.push_screen(TasksScreen(self._folders[at], self._config))


class WatchApp(App[None]):  # type: ignore[misc]
    """Queues on a full screen.

    Parameters
    ----------
    folders : callable
        Finder of the folders of all queues.
    config : Config
    folder : str, default=None
        Folder of the queue that is open first.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #summary { height: auto; max-height: 8; padding: 0 1; }
    #filter, #head { height: auto; padding: 0 1; }
    #output { height: 1fr; padding: 0 1; border-top: solid $primary; }
    DataTable { height: 1fr; }
    Question { align: center middle; }
    #question { width: 60; height: auto; padding: 1 2; background: $panel; }
    """

    def __init__(
        self, folders: Callable[[], list[str]], config: Config, folder: str | None = None
    ) -> None:
        super().__init__()
        self._first = QueuesScreen(folders, config)
        self._folder = folder
        self._config = config

    def on_mount(self) -> None:
        """Show the queues, and the one that was named."""
        self.push_screen(self._first)
        if self._folder is not None:
            self.push_screen(TasksScreen(self._folder, self._config))
