"""Forms made of the signature of an app.

Their button adds a task, or those of all combinations of several values.

A click is a message to the kernel's main thread, as with :mod:`.panel`. ``ipywidgets`` is imported
when a form is made, and not before.
"""

from __future__ import annotations

import html
import itertools
import math
import typing
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import DesipipeError
from ..queue.future import Future
from ..queue.place import shell
from ..utils import plural
from .commands import typed
from .displays.queue import TasksDisplay, widgets_module
from .form_fields import TASKS_MAX, Field, Invalid

if TYPE_CHECKING:
    from ..queue.queue import Queue
    from ..task_manager import TaskApp
    from ..view.schema import Mime


class Form:
    """A form whose button adds a task, or with its sweep those of all combinations.

    Parameters
    ----------
    app : TaskApp

    Raises
    ------
    MissingDependencyError
        There is no ``ipywidgets``.
    """

    futures: list[Future]
    """Futures of the tasks that the button added last."""

    def __init__(self, app: TaskApp) -> None:
        self.app = app
        self.futures = []
        self._display: _Added | None = None
        hints = _hints(app)
        parameters = [
            p
            for p in app.signature.parameters.values()
            if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        self.fields = {
            p.name: Field(p, hints.get(p.name, p.annotation), shell().ev)
            for p in parameters
            if not (p.name == 'mpicomm' and p.default is None)
        }
        self._lay_out(widgets_module())
        self.sweep.observe(self._switched, 'value')
        self.zip.observe(self._counted, 'value')
        for field in self.fields.values():
            field.values.observe(self._counted, 'value')
        self.button.on_click(self._clicked)

    def _lay_out(self, widgets: Any) -> None:
        self.sweep = widgets.ToggleButton(
            value=False,
            description='sweep',
            tooltip='Several values for each argument: a task for each combination',
        )
        self.zip = widgets.Checkbox(
            value=False,
            description='pair them',
            indent=False,
            layout=widgets.Layout(width='auto', visibility='hidden'),
        )
        self.button = widgets.Button(description='Add task', button_style='primary')
        self.message = widgets.HTML()
        self.shown = widgets.HTML()
        self.box = widgets.VBox(
            [
                widgets.HTML(value=f'<b>{html.escape(self.app.name)}</b>'),
                *(field.row for field in self.fields.values()),
                widgets.HBox([self.button, self.sweep, self.zip]),
                self.message,
                self.shown,
            ]
        )

    def _repr_mimebundle_(self, **_: Any) -> Mime:
        text = f'form of {self.app.name}{self.app.signature}'
        # What is kept of it, for those who see the notebook without a kernel, is words.
        return {
            **self.box._repr_mimebundle_(),
            'text/plain': text,
            'text/html': f'<small>{html.escape(text)}: run this cell again to fill it in.</small>',
        }

    def calls(self) -> list[dict[str, Any]]:
        """The arguments of the tasks that the button would add.

        Raises
        ------
        ValueError
            What is wrong with which field.
        """
        values, n = self._values()
        if self.sweep.value and self.zip.value:
            rows: Iterable[tuple[Any, ...]] = zip(
                *(items if len(items) > 1 else items * n for items in values.values()), strict=True
            )
        else:
            rows = itertools.product(*values.values())
        positional = [
            name for name, p in self.app.signature.parameters.items() if p.kind is p.POSITIONAL_ONLY
        ]
        calls = []
        for row in rows:
            named = dict(zip(values, row, strict=True))
            calls.append(self.app.bind(tuple(named.pop(name) for name in positional), named))
        return calls

    def _values(self) -> tuple[dict[str, list[Any]], int]:
        """The values of each field, and how many tasks that makes."""
        wrong: list[str] = []
        values: dict[str, list[Any]] = {}
        for name, field in self.fields.items():
            try:
                values[name] = field.several() if self.sweep.value else [field.value()]
            except Invalid as exc:
                wrong.append(f'{name}: {exc}')
        if wrong:
            raise ValueError('\n'.join(wrong))
        if self.sweep.value and self.zip.value:
            lengths = {name: len(items) for name, items in values.items() if len(items) > 1}
            if len(set(lengths.values())) > 1:
                raise ValueError(
                    'Values that are paired must be as many for each: '
                    f'{", ".join(f"{name} has {n}" for name, n in lengths.items())}'
                )
            return values, max(lengths.values(), default=1)
        n = math.prod(map(len, values.values()))
        if n > TASKS_MAX:
            raise ValueError(
                f'These are {n:,d} combinations, too many for a form: use {self.app.name}.map(...)'
            )
        return values, n

    def _switched(self, _: Any) -> None:
        for field in self.fields.values():
            field.sweep(self.sweep.value)
        self.zip.layout.visibility = 'visible' if self.sweep.value else 'hidden'
        self._counted(None)

    def _counted(self, _: Any) -> None:
        """Write on the button how many tasks it adds, and errors beside their fields."""
        label = 'Add task'
        self.message.value = ''
        if self.sweep.value:
            try:
                label = f'Add {plural(self._values()[1])}'
            except ValueError as exc:
                label = 'Add tasks'
                self._complain(exc)
        self.button.description = label

    def _complain(self, exc: Exception) -> None:
        text = html.escape(typed(str(exc))).replace('\n', '<br>')
        symbol = '<span style="color:#d55e00">✕</span>'
        self.message.value = f'<div role="alert">{symbol} {text}<br>Nothing was added.</div>'

    def _clicked(self, _: Any) -> None:
        self.message.value = ''
        try:
            calls = self.calls()
            if self.app.skip:
                raise ValueError(f'{self.app.name} is an app with skip=True, which adds nothing.')
            futures = list(self.app.add(calls, sync=len(calls) > 1))
        except (ValueError, TypeError, OSError, DesipipeError) as exc:
            self._complain(exc)
            return
        self.futures = futures
        self._follow()

    def _follow(self) -> None:
        queue = self.app.queue
        if any(future.tid not in queue.ledger.state.rows for future in self.futures):
            return  # within `with queue.batch()`
        if self._display is not None:
            self._display.drop()
        self._display = _Added(self.futures, self.app.name, queue, self.shown)
        self._display.show()


class _Added(TasksDisplay):
    """The state of the tasks that the button added, in a widget of the form."""

    def __init__(self, futures: Sequence[Future], title: str, queue: Queue, widget: Any) -> None:
        super().__init__(queue, futures, title)
        self._widget = widget
        # Wherever it was clicked, and whatever runs there again.
        self.live, self.place = True, (self.id,)

    def put(self, data: Mime, update: bool = True) -> int:
        """Show it in the widget."""
        self.shown = data['text/plain']
        self._widget.value = data['text/html']
        return len(data['text/html'])


def _hints(app: TaskApp) -> dict[str, Any]:
    """Return annotations as objects; what can't be resolved stays as it is written."""
    try:
        return typing.get_type_hints(app.func, include_extras=True)
    except (
        NameError,
        TypeError,
        AttributeError,
        SyntaxError,
    ):  # names that type checkers know, and nobody else: types are those of the defaults
        return {}
