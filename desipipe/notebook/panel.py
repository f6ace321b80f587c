"""The panel of a queue: its display, and widgets below it.

*Which buttons act when.* A click on a widget is a message to the kernel's main thread: it waits
while a cell runs. Neither of the ways around it holds. ipykernel's subshells could take it, but it
sends the messages of a comm to the shell that made the comm, which is the main one; on the control
channel no front end sends them. So what must act at once does not depend on a widget: the display
of a queue has the MIME type of this project's front end, whose buttons go through the server, also
while the kernel is busy, and after it has died. Below that display, :class:`Panel` adds widgets for
every front end (VS Code, plain Jupyter), which say so while their clicks have to wait. A display
without the front end is HTML, and text, with the commands to type.

``ipywidgets`` is imported when a panel is made, and not before.
"""

from __future__ import annotations

import html
import threading
import time
from typing import TYPE_CHECKING, Any

from ..errors import DesipipeError
from ..queue.events import PENDING, RUNNING, WAITING
from ..queue.place import shell
from ..queue.queue import Queue
from ..store.lease import Observer
from ..utils import plural
from ..view.appearance import BAD_STATES, LEFT_STATES
from ..view.bundle import MIME
from .commands import typed
from .displays.queue import Made, QueueDisplay, widgets_module
from .publishing import noninteractive

if TYPE_CHECKING:
    from ..view.schema import CellView

_BUSY = 1.0  # s that a cell runs before the buttons say that they wait


class Panel:
    """The display of a queue, with buttons to pause, resume, retry, cancel and start.

    Parameters
    ----------
    queue : Queue

    Raises
    ------
    MissingDependencyError
        There is no ``ipywidgets``.
    """

    def __init__(self, queue: Queue) -> None:
        widgets = widgets_module()
        self.queue = queue
        self._asked = False
        self._busy_since: float | None = None
        self._display: _Above | None = None
        self.buttons = {
            name: widgets.Button(
                description=description,
                icon=icon,
                tooltip=tooltip,
                layout=widgets.Layout(width='auto'),
            )
            for name, description, icon, tooltip in (
                ('pause', 'Pause', 'pause', 'Pause the queue: no task begins, running ones go on'),
                ('retry', 'Retry', 'repeat', 'Let what did not succeed run again'),
                ('cancel', 'Cancel', 'times', 'Let what is left not begin, and stop what runs'),
                (
                    'spawn',
                    'Start workers',
                    'play',
                    'Start a manager in the background, which starts workers',
                ),
            )
        }
        for name, button in self.buttons.items():
            button.on_click(lambda _, name=name: self._clicked(name))
        self.note = widgets.HTML()
        self.controls = widgets.HBox(
            [*self.buttons.values(), self.note],
            layout=widgets.Layout(flex_flow='row wrap', align_items='center'),
        )
        self._say('')

    def _ipython_display_(self) -> None:
        from IPython.display import display

        self.close()
        self._display = _Above(self.queue, self)
        self._display.show()
        if noninteractive() or self._display.publisher is None:
            return
        # What is kept of the buttons, for those who see the notebook without a kernel, is words.
        data = {
            **self.controls._repr_mimebundle_(),
            'text/plain': '',
            'text/html': '<small>Buttons to pause, retry, cancel: run this cell again.</small>',
        }
        display(data, raw=True)
        events = shell().events
        events.register('pre_run_cell', self._began)
        events.register('post_run_cell', self._ended)

    def close(self) -> None:
        """Follow the queue no more; the display stays as it is."""
        if self._display is None:
            return
        self._display.drop()
        self._display = None
        events = shell().events
        for name, func in (('pre_run_cell', self._began), ('post_run_cell', self._ended)):
            if func in events.callbacks[name]:
                events.unregister(name, func)

    def _began(self, _: Any) -> None:
        self._busy_since = time.monotonic()
        threading.Timer(_BUSY, self._waits, [self._busy_since]).start()

    def _waits(self, since: float) -> None:
        if self._busy_since == since:
            self._say('A cell runs: a click here waits until it has ended.')

    def _ended(self, _: Any) -> None:
        self._busy_since = None
        if self.note.value.endswith('has ended.</small>'):
            self._say('')

    def enable(self, summary: CellView, paused: bool) -> None:
        """Enable the buttons that fit the queue's state."""
        # Only what changes is sent to the front end.
        counts = summary['counts']
        pause, cancel = self.buttons['pause'], self.buttons['cancel']
        pause.description, pause.icon = ('Resume', 'play') if paused else ('Pause', 'pause')
        pause.tooltip = (
            'Let tasks begin again'
            if paused
            else 'Pause the queue: no task begins, running ones go on'
        )
        bad = sum(counts[state] for state in BAD_STATES)
        left = sum(counts[state] for state in LEFT_STATES)
        self.buttons['retry'].disabled = not bad
        cancel.disabled = not left
        if not self._asked:
            cancel.description = 'Cancel'
        self.buttons['spawn'].disabled = summary['condition'] not in ('stopped', 'paused')
        if untrusted := summary['untrusted']:
            self._refuse(untrusted)

    def _refuse(self, owner: str) -> None:
        for button in self.buttons.values():
            button.disabled = True
            button.tooltip = f'This queue belongs to user {owner}, whom you do not trust'
        self._say(
            f'This queue belongs to user {owner}, whom you do not trust. To use it, type in a '
            f'terminal: desipipe trust {owner}'
        )

    def _clicked(self, name: str) -> None:
        try:
            self._say(self._done(name))
        except (DesipipeError, OSError) as exc:
            self._say(typed(str(exc)), bad=True)

    def _done(self, name: str) -> str:
        """Do what a button says, and say what was done."""
        queue = self.queue
        asked, self._asked = self._asked, False
        if name == 'pause':
            (queue.resume if queue.paused else queue.pause)()
            return 'paused' if queue.paused else 'active'
        if name == 'retry':
            return f'{plural(len(queue.retry()))} to run again'
        if name == 'spawn':
            from ..execution.spawning import begin

            return f'the manager is process {begin(queue)[0]:d}'
        if not asked:  # it can be taken back with a retry, but what ran is lost
            queue.ledger.follow()
            self._asked = True
            n = queue.ledger.state.total(PENDING, RUNNING, WAITING)
            self.buttons['cancel'].description = f'Yes, cancel {plural(n)}'
            return f'{plural(n)} would be cancelled: click again'
        n = len(queue.cancel(state=LEFT_STATES))
        self.buttons['cancel'].description = 'Cancel'
        return f'{plural(n)} cancelled'

    def _say(self, text: str, bad: bool = False) -> None:
        symbol = '<span style="color:#d55e00">✕</span> ' if bad else ''
        self.note.value = f'<small>{symbol}{html.escape(text)}</small>'


class _Above(QueueDisplay):
    """The display above the buttons, which are kept as it is."""

    def __init__(self, queue: Queue, panel: Panel) -> None:
        super().__init__(queue)
        self._panel = panel

    def make(self, queue: Queue, observer: Observer | None = None) -> Made:
        """Build it from the queue."""
        data, last = super().make(queue, observer)
        self._panel.enable(data[MIME], queue.ledger.state.paused)
        return data, last

    def gone(self, last_text: str, update: bool = True) -> None:
        """Build it from the queue; there is nothing to click on."""
        super().gone(last_text, update)
        for button in self._panel.buttons.values():
            button.disabled = True
