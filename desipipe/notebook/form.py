"""Forms made of the signature of an app: their button adds a task, or those of all combinations of
several values.

A click is a message to the kernel's main thread, as with :mod:`.panel`. ``ipywidgets`` is imported
when a form is made, and not before.
"""

from __future__ import annotations

import ast
import enum
import html
import inspect
import itertools
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import DesipipeError
from ..queue.place import shell
from ..queue.task import Future
from ..utils import plural
from ..view.bundle import Dict
from .commands import typed
from .displays.queue import TasksDisplay, widgets_module

if TYPE_CHECKING:
    from ..queue.queue import Queue
    from ..task_manager import TaskApp

MOST = 100_000
"""Tasks that a form adds at most."""


class _Invalid(Exception):
    """The text of a field is not a valid value."""


class Field:
    """A parameter of a function, as one fills it in.

    Parameters
    ----------
    parameter : inspect.Parameter
    annotation : object
        Its type, with what :class:`typing.Annotated` says of it: a pair of bounds (and a step), a
        ``range``, or a list of choices.
    evaluate : callable
        Gives the value of an expression of the notebook.
    """

    def __init__(
        self, parameter: inspect.Parameter, annotation: Any, evaluate: Callable[[str], Any]
    ) -> None:
        widgets = widgets_module()
        self.name = parameter.name
        self._evaluate = evaluate
        self._required = parameter.default is parameter.empty
        default = None if self._required else parameter.default
        self._kind, self._optional, extra = _unwrapped(annotation, default)
        self._choices = _choices(self._kind, extra)
        self._bounds = next((found for item in extra if (found := _bounds(item)) is not None), None)
        self.widget = self._made(widgets, default)
        self.given: Any = None
        if self._optional:
            self.given = widgets.Checkbox(
                value=default is not None or self._required,
                description='give it',
                indent=False,
                layout=widgets.Layout(width='auto'),
            )
        example = (
            'range(10)'
            if self._kind is int
            else '0.1, 0.2, 0.5'
            if self._kind is float
            else 'a, b, c'
            if self._kind is str
            else 'expression'
        )
        self.values = widgets.Text(
            placeholder=f'one value, or several: {example}', continuous_update=False
        )
        label = widgets.Label(value=self.name, layout=widgets.Layout(width='10em'))
        self._one = widgets.HBox([self.widget, *([self.given] if self.given is not None else [])])
        self.row = widgets.HBox([label, self._one])
        self._label = label

    def _made(self, widgets: Any, default: Any) -> Any:
        if self._choices is not None:
            values = [value for _, value in self._choices]
            return widgets.Dropdown(
                options=self._choices, value=default if default in values else values[0]
            )
        if self._kind is bool:
            return widgets.Checkbox(value=bool(default), indent=False)
        if self._kind in (int, float) and self._bounds is not None:
            low, high, step = self._bounds
            start = min(max(default if default is not None else low, low), high)
            if self._kind is int:
                return widgets.IntSlider(
                    value=int(start),
                    min=int(low),
                    max=int(high),
                    step=int(step or 1),
                    continuous_update=False,
                )
            return widgets.FloatSlider(
                value=float(start),
                min=float(low),
                max=float(high),
                step=step or (high - low) / 100,
                readout_format='.4g',
                continuous_update=False,
            )
        if self._kind in (int, float) and default is not None:
            # A step is guessed from the default, and no bound: that would forbid values which
            # nobody said were wrong.
            step = 10 ** max(len(str(abs(int(default)))) - 2, 0)
            return (
                widgets.IntText(value=default, step=step)
                if self._kind is int
                else widgets.FloatText(value=default, step=abs(default) / 10 or 0.1)
            )
        if self._kind is str:
            return widgets.Text(value=default or '', continuous_update=False)
        text = '' if self._required or (self._optional and default is None) else repr(default)
        return widgets.Text(
            value=text,
            placeholder=getattr(self._kind, '__name__', None) or 'a Python expression',
            continuous_update=False,
        )

    def sweep(self, on: bool) -> None:
        """Show the field for one value, or that for several."""
        if on and not self.values.value:
            self.values.value = self._written()
        self.row.children = [self._label, self.values if on else self._one]

    def _written(self) -> str:
        """The one value, as it is written among several."""
        try:
            value = self.value()
        except _Invalid:
            return ''
        for label, choice in self._choices or ():
            if value == choice:
                return label
        if isinstance(value, str):
            return value if not _is_expression(value) and ',' not in value else repr([value])
        # An expression is kept as it was typed, such as the name of a variable.
        text = self.widget.value if self._reads_python and value is not None else repr(value)
        return f'[{text}]' if isinstance(value, Iterable) else text

    @property
    def _reads_python(self) -> bool:
        return (
            self._kind is not str and isinstance(self.widget.value, str) and self._choices is None
        )

    def value(self) -> Any:
        """The one value.

        Raises
        ------
        _Invalid
        """
        if self.given is not None and not self.given.value:
            return None
        value = self.widget.value
        if self._reads_python:
            if not value.strip():
                raise _Invalid('give a value')
            value = self._read(value)
        return self._checked(value)

    def several(self) -> list[Any]:
        """All values of a sweep; one is one.

        Raises
        ------
        _Invalid
        """
        text = self.values.value.strip()
        if not text and self._kind is not str:
            raise _Invalid('give a value, or several')
        words = [word.strip() for word in text.split(',')]
        choices = dict(self._choices or ())
        if choices and all(word in choices for word in words):
            return [choices[word] for word in words]
        if self._kind is str and not _is_expression(text):
            return words
        value = self._read(text)
        if isinstance(value, str | bytes | Mapping | Future) or not isinstance(value, Iterable):
            value = [value]
        values = [self._checked(item) for item in itertools.islice(value, MOST + 1)]
        if not values:
            raise _Invalid(f'{text} is empty')
        if len(values) > MOST:
            raise _Invalid(
                f'{text} has more than {MOST:,d} values, too many for a form: use .map(...)'
            )
        return values

    def _read(self, text: str) -> Any:
        try:
            ast.parse(text, mode='eval')
            return self._evaluate(text)
        except Exception as exc:  # whatever the expression raises is what is wrong with it
            raise _Invalid(f'{text}: {type(exc).__name__}: {exc}') from None

    def _checked(self, value: Any) -> Any:
        if isinstance(value, Future) or (value is None and self._optional):
            return value
        if (
            hasattr(value, 'item') and getattr(value, 'ndim', None) == 0
        ):  # NumPy's numbers, of an array that is swept
            value = value.item()
        if self._kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if self._kind in (int, float, bool, str) and type(value) is not self._kind:
            raise _Invalid(f'{value!r} is no {self._kind.__name__}')
        if self._bounds is not None and not self._bounds[0] <= value <= self._bounds[1]:
            raise _Invalid(f'{value!r} is not between {self._bounds[0]} and {self._bounds[1]}')
        if self._choices is not None and value not in [choice for _, choice in self._choices]:
            raise _Invalid(f'{value!r} is none of {", ".join(label for label, _ in self._choices)}')
        return value


def _is_expression(text: str) -> bool:
    """Return True for a text written as Python: a list, a call, a quoted string."""
    try:
        tree = ast.parse(text, mode='eval').body
    except SyntaxError:
        return False
    elements = tree.elts if isinstance(tree, ast.Tuple) else [tree]
    return not all(
        isinstance(element, ast.Name | ast.Attribute | ast.BinOp | ast.UnaryOp)
        or _is_number(element)
        for element in elements
    )


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, str)


def _unwrapped(annotation: Any, default: Any) -> tuple[Any, bool, list[Any]]:
    """The type below Annotated and Optional (that of the default, if there is none), whether
    None is a value, and what Annotated says.
    """
    extra: list[Any] = []
    optional = False
    while True:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            extra += annotation.__metadata__
            annotation = annotation.__origin__
        elif origin in (typing.Union, types.UnionType) and type(None) in typing.get_args(
            annotation
        ):
            optional = True
            rest = [item for item in typing.get_args(annotation) if item is not type(None)]
            annotation = rest[0] if len(rest) == 1 else None
        else:
            break
    if annotation in (inspect.Parameter.empty, None, typing.Any) or isinstance(annotation, str):
        annotation = (
            type(default) if isinstance(default, bool | int | float | str | enum.Enum) else None
        )
    return annotation, optional, extra


def _choices(kind: Any, extra: Sequence[Any]) -> list[tuple[str, Any]] | None:
    """Words and values to choose from."""
    if typing.get_origin(kind) is typing.Literal:
        return [(str(value), value) for value in typing.get_args(kind)]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return [(item.name, item) for item in kind]
    found = next((item for item in extra if isinstance(item, list)), None)
    return None if not found else [(str(value), value) for value in found]


def _bounds(item: Any) -> tuple[float, float, float | None] | None:
    """Lowest and highest value, and step: of a pair or three numbers, of a range, or of what the
    package annotated-types has.
    """
    if isinstance(item, range) and len(item):
        return min(item), max(item), abs(item.step)
    if (
        isinstance(item, tuple)
        and len(item) in (2, 3)
        and all(isinstance(value, int | float) for value in item)
    ):
        return item[0], item[1], item[2] if len(item) == 3 else None
    low, high = getattr(item, 'ge', None), getattr(item, 'le', None)
    return (
        (low, high, None)
        if isinstance(low, int | float) and isinstance(high, int | float)
        else None
    )


class Form:
    """A form whose button adds a task, or with its sweep switched on the tasks of all combinations.

    Parameters
    ----------
    app : TaskApp

    Raises
    ------
    MissingDependencyError
        There is no ``ipywidgets``.
    """

    futures: list[Future]
    """What the button added last."""

    def __init__(self, app: TaskApp) -> None:
        widgets = widgets_module()
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
        self.sweep.observe(self._switched, 'value')
        self.zip.observe(self._counted, 'value')
        for field in self.fields.values():
            field.values.observe(self._counted, 'value')
        self.button.on_click(self._clicked)
        title = widgets.HTML(value=f'<b>{html.escape(app.name)}</b>')
        self.box = widgets.VBox(
            [
                title,
                *(field.row for field in self.fields.values()),
                widgets.HBox([self.button, self.sweep, self.zip]),
                self.message,
                self.shown,
            ]
        )

    def _repr_mimebundle_(self, **_: Any) -> Dict:
        text = f'form of {self.app.name}{self.app.signature}'
        # What is kept of it, for those who see the notebook without a kernel, is words.
        return {
            **self.box._repr_mimebundle_(),
            'text/plain': text,
            'text/html': f'<small>{html.escape(text)}: run this cell again to fill it in.</small>',
        }

    def calls(self) -> list[Dict]:
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
        found = []
        for row in rows:
            named = dict(zip(values, row, strict=True))
            found.append(self.app.bind(tuple(named.pop(name) for name in positional), named))
        return found

    def _values(self) -> tuple[dict[str, list[Any]], int]:
        """The values of each field, and how many tasks that makes."""
        wrong: list[str] = []
        values: dict[str, list[Any]] = {}
        for name, field in self.fields.items():
            try:
                values[name] = field.several() if self.sweep.value else [field.value()]
            except _Invalid as exc:
                wrong.append(f'{name}: {exc}')
        if wrong:
            raise ValueError('\n'.join(wrong))
        if self.sweep.value and self.zip.value:
            lengths = {name: len(items) for name, items in values.items() if len(items) > 1}
            if len(set(lengths.values())) > 1:
                raise ValueError(
                    'values that are paired must be as many for each: '
                    f'{", ".join(f"{name} has {n}" for name, n in lengths.items())}'
                )
            return values, max(lengths.values(), default=1)
        n = math.prod(map(len, values.values()))
        if n > MOST:
            raise ValueError(
                f'these are {n:,d} combinations, too many for a form: use {self.app.name}.map(...)'
            )
        return values, n

    def _switched(self, _: Any) -> None:
        for field in self.fields.values():
            field.sweep(self.sweep.value)
        self.zip.layout.visibility = 'visible' if self.sweep.value else 'hidden'
        self._counted(None)

    def _counted(self, _: Any) -> None:
        """Write on the button how many tasks it adds, and beside a field what is wrong with it."""
        words = 'Add task'
        self.message.value = ''
        if self.sweep.value:
            try:
                words = f'Add {plural(self._values()[1])}'
            except ValueError as exc:
                words = 'Add tasks'
                self._complain(exc)
        self.button.description = words

    def _complain(self, exc: Exception) -> None:
        text = html.escape(typed(str(exc))).replace('\n', '<br>')
        self.message.value = (
            f'<div role="alert" style="color:#d55e00">{text}<br>Nothing was added.</div>'
        )

    def _clicked(self, _: Any) -> None:
        self.message.value = ''
        try:
            calls = self.calls()
            if self.app.skip:
                raise ValueError(f'{self.app.name} is an app with skip=True, which adds nothing')
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

    def put(self, data: Dict, update: bool = True) -> int:
        """Show it in the widget."""
        self.shown = data['text/plain']
        self._widget.value = data['text/html']
        return len(data['text/html'])


def _hints(app: TaskApp) -> dict[str, Any]:
    """Annotations as objects; those that can't be resolved are left as they are written."""
    try:
        return typing.get_type_hints(app.func, include_extras=True)
    except (
        NameError,
        TypeError,
        AttributeError,
        SyntaxError,
    ):  # names that type checkers know, and nobody else: types are those of the defaults
        return {}
