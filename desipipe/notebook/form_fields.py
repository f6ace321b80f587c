"""Fields of a form: a parameter of an app, its widget and its values."""

from __future__ import annotations

import ast
import enum
import inspect
import itertools
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..queue.future import Future
from .displays.queue import widgets_module

TASKS_MAX = 100_000
"""Tasks that a form adds at most."""


class Invalid(Exception):
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
        self._bounds = next(
            (bounds for item in extra if (bounds := _bounds(item)) is not None), None
        )
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
        """Return the widget for the type of the parameter."""
        if self._choices is not None:
            values = [value for _, value in self._choices]
            return widgets.Dropdown(
                options=self._choices, value=default if default in values else values[0]
            )
        if self._kind is bool:
            return widgets.Checkbox(value=bool(default), indent=False)
        if self._kind in (int, float) and self._bounds is not None:
            return self._slider(widgets, default, self._bounds)
        if self._kind in (int, float) and default is not None:
            # A step is guessed from the default, and no bound: one would forbid valid values.
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

    def _slider(self, widgets: Any, default: Any, bounds: tuple[float, float, float | None]) -> Any:
        low, high, step = bounds
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

    def sweep(self, on: bool) -> None:
        """Show the field for one value, or that for several."""
        if on and not self.values.value:
            self.values.value = self._written()
        self.row.children = [self._label, self.values if on else self._one]

    def _written(self) -> str:
        """The one value, as it is written among several."""
        try:
            value = self.value()
        except Invalid:
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
        Invalid
        """
        if self.given is not None and not self.given.value:
            return None
        value = self.widget.value
        if self._reads_python:
            if not value.strip():
                raise Invalid('Give a value.')
            value = self._read(value)
        return self._checked(value)

    def several(self) -> list[Any]:
        """All values of a sweep; one is one.

        Raises
        ------
        Invalid
        """
        text = self.values.value.strip()
        if not text and self._kind is not str:
            raise Invalid('Give a value, or several.')
        parts = [word.strip() for word in text.split(',')]
        choices = dict(self._choices or ())
        if choices and all(word in choices for word in parts):
            return [choices[word] for word in parts]
        if self._kind is str and not _is_expression(text):
            return parts
        value = self._read(text)
        if isinstance(value, str | bytes | Mapping | Future) or not isinstance(value, Iterable):
            value = [value]
        values = [self._checked(item) for item in itertools.islice(value, TASKS_MAX + 1)]
        if not values:
            raise Invalid(f'{text} is empty.')
        if len(values) > TASKS_MAX:
            raise Invalid(
                f'{text} has more than {TASKS_MAX:,d} values, too many for a form: use .map(...)'
            )
        return values

    def _read(self, text: str) -> Any:
        try:
            ast.parse(text, mode='eval')
            return self._evaluate(text)
        except Exception as exc:  # whatever the expression raises is what is wrong with it
            raise Invalid(f'{text}: {type(exc).__name__}: {exc}') from None

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
            raise Invalid(f'{value!r} is no {self._kind.__name__}')
        if self._bounds is not None and not self._bounds[0] <= value <= self._bounds[1]:
            raise Invalid(f'{value!r} is not between {self._bounds[0]} and {self._bounds[1]}')
        if self._choices is not None and value not in [choice for _, choice in self._choices]:
            raise Invalid(f'{value!r} is none of {", ".join(label for label, _ in self._choices)}')
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
    """Return the type below Annotated and Optional, and what these add.

    It is that of the default, if there is none. The others are: whether None is a value, and what
    Annotated holds.
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
    choices = next((item for item in extra if isinstance(item, list)), None)
    return None if not choices else [(str(value), value) for value in choices]


def _bounds(item: Any) -> tuple[float, float, float | None] | None:
    """Return lowest and highest value, and step.

    They are those of a pair or three numbers, of a range, or of what the package annotated-types
    has.
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
