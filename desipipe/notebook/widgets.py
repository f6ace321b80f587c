"""What queues, futures and apps look like in a notebook: displays that are kept up to date, a panel with buttons, forms.

*Which buttons act when.* A click on a widget is a message to the kernel's main thread: it waits while a cell runs. Neither of the ways around it holds.
ipykernel's subshells could take it, but it sends the messages of a comm to the shell that made the comm, which is the main one; on the control channel no front
end sends them. So what must act at once does not depend on a widget: the display of a queue has the MIME type of this project's front end, whose buttons go
through the server, also while the kernel is busy, and after it has died. Below that display, :class:`Panel` adds widgets for every front end (VS Code, plain
Jupyter), which say so while their clicks have to wait. A display without the front end is HTML, and text, with the commands to type.

``ipywidgets`` is imported when a panel or a form is made, and not before.
"""

from __future__ import annotations

import ast
import atexit
import contextvars
import enum
import html
import inspect
import itertools
import logging
import math
import os
import threading
import time
import types
import typing
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..cell_summary import cell_summary, format_rows
from ..cli.view import queue_lines
from ..errors import DesipipeError, MissingDependencyError, QueueGoneError, UnknownQueueError
from ..event import PENDING, RUNNING, SUCCEEDED, WAITING
from ..find import type_queue
from ..queue import Queue, open_queue
from ..store.lease import LEASE, Observer
from ..summary import queue_summary
from ..task import Future
from ..utils import plural
from ..words import advice, bar_pieces
from .bundle import MIME, as_html, as_text, bundle, line_html
from .commands import typed

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..ledger import Ledger
    from ..task_manager import TaskApp

logger = logging.getLogger('desipipe')

__all__ = ['Form', 'Panel', 'form', 'monitor', 'show_future', 'show_queue']

Dict = dict[str, Any]
Made = tuple[Dict, bool]
"""A bundle of MIME types, and whether it is the last one."""

PAUSE = 0.2  # s between two updates of a display; what is seen is at most so old
LONGEST = 5.0  # s between two looks while nothing is written: at workers that may have vanished, at the time that is left
MOST = 100_000
"""Tasks that a form adds at most."""
_MOST = 8  # displays of one queue that are kept up to date; older ones stay as they were
_BUSY = 1.0  # s that a cell runs before the buttons say that they wait
_VALUE = 1_000_000  # bytes of a result that is loaded to be shown
_BAD = ('FAILED', 'KILLED', 'UNKNOWN')
_LEFT = ('WAITING', 'PENDING', 'RUNNING')


def _widgets() -> Any:
    try:
        import ipywidgets
    except ImportError as exc:
        raise MissingDependencyError(f'panels and forms need ipywidgets ({exc}). Install it with: pip install "desipipe[notebook]"') from None
    return ipywidgets


def _plain() -> bool:
    return os.environ.get('DESIPIPE_NONINTERACTIVE', '') not in ('', '0')


# Displays


class _Queue:
    """The display of a queue."""

    def __init__(self, queue: Queue) -> None:
        self._observer = Observer(queue.folder, float(queue.ledger.journal.header.get('lease', LEASE)))
        self._where = type_queue(queue.folder, queue.config)
        self._rows: tuple[tuple[int, int], str, str] = ((-1, -1), '', '')

    def __call__(self, queue: Queue) -> Made:
        try:
            summary = queue_summary(queue, self._observer)
        except QueueGoneError:
            text = f'– {queue.name} was deleted'
            # Nothing live any more: the front end has nobody to ask.
            return {'text/plain': text, 'text/html': f'<div>{html.escape(text)}</div>'}, True
        lines = queue_lines(summary, self._where)
        bar = bar_pieces(summary) if summary['total'] else []
        page = ''.join(f'<div>{line_html([(typed(text), style) for text, style in line], bar)}</div>' for line in lines)
        return {
            'text/plain': typed('\n'.join(''.join(text for text, _ in line) for line in lines)),
            'text/html': f'<div class="desipipe-queue">{page}</div>',
            MIME: self._json(queue, summary),
        }, False

    def _json(self, queue: Queue, summary: Dict) -> Dict:
        """As of a cell whose tasks are all of the queue's, so that it is shown, and its buttons act, in the same way; ``kind`` tells them apart."""
        state = queue.ledger.state
        key = (len(state.status), summary['total'])
        if self._rows[0] != key:
            rows = list(state.each())
            self._rows = key, format_rows(rows), state.ids[rows[0]].hex() if rows else ''
        _, rows_text, first = self._rows
        failure = {**summary['failures'][0], 'line': None} if summary['failures'] else None
        same = ('folder', 'time', 'condition', 'total', 'counts', 'blocked', 'left', 'rate', 'eta', 'causes')
        return {
            'version': 1,
            'kind': 'queue',
            'queue': summary['name'],
            'title': summary['name'],
            'rows': rows_text,
            'first': first,
            **{key: summary[key] for key in same},
            'workers': sum(worker['slots'] for worker in summary['workers']),
            **dict.fromkeys(('began', 'ended', 'elapsed', 'computed')),
            'cached': False,
            'failure': failure,
            'advice': [list(pair) for pair in advice(summary, self._where)],
            'outputs': [],
            'truncated': '',
            'gone': '',
        }


class _Tasks:
    """The display of tasks: of one future with its value, of what a form has added."""

    def __init__(self, futures: Sequence[Future], title: str, shell: Any = None) -> None:
        self._futures = futures
        self._title = title
        self._shell = shell

    def __call__(self, queue: Queue) -> Made:
        ledger = queue.ledger
        try:
            ledger.follow()
            rows = [ledger.row(future.tid) for future in self._futures]
            summary = cell_summary(queue, rows, title=self._title, outputs=False)
        except DesipipeError as exc:  # deleted, cleared, dropped: what was there is said to be gone
            text = f'– {self._title}: {exc}'
            return {'text/plain': text, 'text/html': f'<div>{html.escape(text)}</div>'}, True
        if summary['left']:
            return bundle(summary), False
        if self._shell is not None and ledger.state.status[rows[0]] == SUCCEEDED:
            summary['outputs'] = [_value(self._futures[0], ledger, self._shell)]
        # Not for the live renderer: what it would ask the server for has no value in it. This is the last one, until somebody retries.
        return {'text/plain': typed(as_text(summary)), 'text/html': typed(as_html(summary))}, all(ledger.state.status[row] == SUCCEEDED for row in rows)


def _value(future: Future, ledger: Ledger, shell: Any) -> Dict:
    """A result as an output: as it looks as the last line of a cell."""
    ref = ledger.state.result(ledger.row(future.tid))
    if ref is not None and ref.length > _VALUE:
        return {'output_type': 'stream', 'name': 'stdout', 'text': f'its result has {ref.length:,d} bytes: load it with .result()\n'}
    try:
        data, metadata = shell.display_formatter.format(future.result(timeout=0))
    except Exception as exc:  # whatever loading it, or its own repr, raises: the words are what there is to show
        return {'output_type': 'stream', 'name': 'stderr', 'text': f'its result can not be shown here: {type(exc).__name__}: {exc}\n'}
    return {'output_type': 'display_data', 'data': data, 'metadata': metadata}


class _View(NamedTuple):
    queue: Queue
    """The notebook's; asked only for the last words."""
    make: Callable[[Queue], Made]
    put: Callable[[Dict], None]


class _Follower:
    """Keeps the displays of one queue up to date, from a thread that lives as long as there are some, and has a view of the queue of its own."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._guard = threading.RLock()  # held while a display is updated: after `remove` there is none
        self._views: dict[str, _View] = {}
        self._shown: dict[str, str] = {}
        self._thread: threading.Thread | None = None

    def add(self, key: str, view: _View, shown: str) -> None:
        """Follow a display; another one of the same key is replaced."""
        with self._guard:
            self._drop(key)
            self._views[key] = view
            self._shown[key] = shown
            for old in list(self._views)[:-_MOST]:
                self._drop(old)
            if self._thread is None:
                # A context of its own: with that of the cell that happens to run, ipykernel would take all updates for that cell's.
                self._thread = threading.Thread(target=contextvars.Context().run, args=(self._run,), name='desipipe-displays', daemon=True)
                self._thread.start()

    def remove(self, key: str) -> None:
        """Leave a display as it is."""
        with self._guard:
            self._drop(key)

    def end(self) -> None:
        """Leave all of them as they are."""
        with self._guard:
            self._views.clear()

    def _drop(self, key: str) -> None:
        self._views.pop(key, None)
        self._shown.pop(key, None)

    def _run(self) -> None:
        while True:
            try:
                self._follow()
            except (QueueGoneError, UnknownQueueError):
                self._update(None)  # which is the last time
            except OSError as exc:
                logger.debug('%s does not answer, and will be asked again: %s', self._folder, exc)
                time.sleep(LONGEST)
            except Exception:
                logger.exception('the displays of %s are not kept up to date any more', self._folder)
                self.end()
            with self._guard:
                if not self._views:
                    self._thread = None
                    return

    def _follow(self) -> None:
        queue = open_queue(self._folder)
        journal = queue.ledger.journal
        while self._views:
            queue.ledger.follow()
            seen = journal.header.get('gen'), journal.offset
            self._update(queue)
            time.sleep(PAUSE)  # whoever writes, writes more
            queue.ledger.wait(lambda seen=seen: not self._views or (journal.header.get('gen'), journal.offset) != seen, LONGEST)  # type: ignore[misc]

    def _update(self, queue: Queue | None) -> None:
        for key, view in list(self._views.items()):
            data, last = view.make(queue or view.queue)
            with self._guard:
                if self._views.get(key) is not view:
                    continue
                if self._shown[key] != data['text/plain']:
                    self._shown[key] = data['text/plain']
                    view.put(data)
                if last or queue is None:
                    self._drop(key)


_followers: dict[str, _Follower] = {}


def _follower(folder: str) -> _Follower:
    return _followers.setdefault(folder, _Follower(folder))


@atexit.register
def _end() -> None:
    # Daemon threads are stopped wherever they are when the interpreter ends: none must be amid a message then.
    for follower in list(_followers.values()):
        follower.end()


os.register_at_fork(after_in_child=_followers.clear)


def _show(shell: InteractiveShell, queue: Queue, make: Callable[[Queue], Made], place: str) -> str:
    """Display something of a queue, and keep it up to date where a display can be.

    Returns
    -------
    key : str
        By which its queue's follower knows it.
    """
    from IPython.core.displaypub import CapturingDisplayPublisher

    data, last = make(queue)
    if _plain():
        data.pop(MIME, None)
    display_id = f'desipipe-{uuid.uuid4().hex}'
    # Kept, and not looked up later: a cell with %%capture puts another one there, which would swallow our updates.
    publisher = shell.display_pub
    publisher.publish(data=data, metadata={}, transient={'display_id': display_id})
    if last or _plain() or not hasattr(shell, 'kernel') or isinstance(publisher, CapturingDisplayPublisher):  # a terminal would print it again and again
        return ''
    # A cell that is run again has another display in the place of the first.
    cell = (shell.get_parent().get('metadata') or {}).get('cellId')
    key = f'{place} in {cell}' if cell else display_id

    def put(data: Dict) -> None:
        publisher.publish(data=data, metadata={}, transient={'display_id': display_id}, update=True)

    _follower(queue.folder).add(key, _View(queue, make, put), data['text/plain'])
    return key


def show_queue(queue: Queue, shell: InteractiveShell) -> None:
    """Display a queue as it is, and as it will be.

    Parameters
    ----------
    queue : Queue
    shell : InteractiveShell
    """
    _show(shell, queue, _Queue(queue), f'queue {queue.folder}')


def show_future(future: Future, shell: InteractiveShell) -> None:
    """Display a future: its state, then its result, or what went wrong.

    Parameters
    ----------
    future : Future
    shell : InteractiveShell
    """
    ledger = future._ledger
    ledger.follow()
    if future.tid not in ledger.state.rows:  # within `with queue.batch()`
        print(repr(future))
        return
    queue = Queue(ledger.folder, create=False)
    task = future.task
    _show(shell, queue, _Tasks([future], f'{task.name}[{task.index:d}]', shell), f'future {future.id}')


# The panel


def monitor(queue: Queue) -> Panel:
    """A panel that follows a queue, with buttons.

    Parameters
    ----------
    queue : Queue

    Returns
    -------
    panel : Panel
        Shown where it is the last line of a cell.

    Raises
    ------
    MissingDependencyError
        There is no ``ipywidgets``.
    """
    _widgets()
    return Panel(queue)


class Panel:
    """The display of a queue, and widgets below it: pause, resume, retry, cancel, start workers.

    Parameters
    ----------
    queue : Queue
    """

    def __init__(self, queue: Queue) -> None:
        widgets = _widgets()
        self.queue = queue
        self._make = _Queue(queue)
        self._asked = False
        self._busy_since: float | None = None
        self._key = ''
        self.buttons = {
            name: widgets.Button(description=description, icon=icon, tooltip=tooltip, layout=widgets.Layout(width='auto'))
            for name, description, icon, tooltip in (
                ('pause', 'Pause', 'pause', 'Let no task begin any more; those that run go on'),
                ('retry', 'Retry', 'repeat', 'Let what did not succeed run again'),
                ('cancel', 'Cancel', 'times', 'Let what is left not begin, and stop what runs'),
                ('spawn', 'Start workers', 'play', 'Start a manager in the background, which starts workers'),
            )
        }
        for name, button in self.buttons.items():
            button.on_click(lambda _, name=name: self._clicked(name))
        self.note = widgets.HTML()
        self.controls = widgets.HBox([*self.buttons.values(), self.note], layout=widgets.Layout(flex_flow='row wrap', align_items='center'))
        self._say('')

    def _ipython_display_(self) -> None:
        from IPython.core.getipython import get_ipython
        from IPython.display import display

        shell = get_ipython()
        self.close()
        self._key = _show(shell, self.queue, self._made, f'panel {self.queue.folder}')
        if _plain() or getattr(shell, 'kernel', None) is None:
            return
        # What is kept of the buttons, for those who see the notebook without a kernel, is words.
        data = {**self.controls._repr_mimebundle_(), 'text/plain': '', 'text/html': '<small>Buttons to pause, retry, cancel: run this cell again.</small>'}
        display(data, raw=True)
        shell.events.register('pre_run_cell', self._began)
        shell.events.register('post_run_cell', self._ended)

    def close(self) -> None:
        """Follow the queue no more; the display stays as it is."""
        if not self._key:
            return
        from IPython.core.getipython import get_ipython

        _follower(self.queue.folder).remove(self._key)
        self._key = ''
        events = get_ipython().events
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

    def _made(self, queue: Queue) -> Made:
        data, last = self._make(queue)
        if MIME in data:
            self._enable(data[MIME], queue.ledger.state.paused)
        else:
            for button in self.buttons.values():
                button.disabled = True
        return data, last

    def _enable(self, summary: Dict, paused: bool) -> None:
        # Only what changes is sent to the front end.
        counts = summary['counts']
        pause, cancel = self.buttons['pause'], self.buttons['cancel']
        pause.description, pause.icon = ('Resume', 'play') if paused else ('Pause', 'pause')
        pause.tooltip = 'Let tasks begin again' if paused else 'Let no task begin any more; those that run go on'
        bad = sum(counts[state] for state in _BAD)
        left = sum(counts[state] for state in _LEFT)
        self.buttons['retry'].disabled = not bad
        cancel.disabled = not left
        if not self._asked:
            cancel.description = 'Cancel'
        self.buttons['spawn'].disabled = summary['condition'] not in ('stopped', 'paused')

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
            from ..manager import begin

            return f'the manager is process {begin(queue)[0]:d}'
        if not asked:  # it can be taken back with a retry, but what ran is lost
            queue.ledger.follow()
            self._asked = True
            n = queue.ledger.state.total(PENDING, RUNNING, WAITING)
            self.buttons['cancel'].description = f'Yes, cancel {plural(n)}'
            return f'{plural(n)} would be cancelled: click again'
        n = len(queue.cancel(state=_LEFT))
        self.buttons['cancel'].description = 'Cancel'
        return f'{plural(n)} cancelled'

    def _say(self, text: str, bad: bool = False) -> None:
        self.note.value = f'<small{" style=color:#d55e00" if bad else ""}>{html.escape(text)}</small>'


# Forms


class _Invalid(Exception):
    """What is in a field is no value."""


class Field:
    """A parameter of a function, as one fills it in.

    Parameters
    ----------
    parameter : inspect.Parameter
    annotation : object
        Its type, with what :class:`typing.Annotated` says of it: a pair of bounds (and a step), a ``range``, or a list of choices.
    evaluate : callable
        Gives the value of an expression of the notebook.
    """

    def __init__(self, parameter: inspect.Parameter, annotation: Any, evaluate: Callable[[str], Any]) -> None:
        widgets = _widgets()
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
            self.given = widgets.Checkbox(value=default is not None or self._required, description='give it', indent=False, layout=widgets.Layout(width='auto'))
        example = 'range(10)' if self._kind is int else '0.1, 0.2, 0.5' if self._kind is float else 'a, b, c' if self._kind is str else 'expression'
        self.values = widgets.Text(placeholder=f'one value, or several: {example}', continuous_update=False)
        label = widgets.Label(value=self.name, layout=widgets.Layout(width='10em'))
        self._one = widgets.HBox([self.widget, *([self.given] if self.given is not None else [])])
        self.row = widgets.HBox([label, self._one])
        self._label = label

    def _made(self, widgets: Any, default: Any) -> Any:
        if self._choices is not None:
            values = [value for _, value in self._choices]
            return widgets.Dropdown(options=self._choices, value=default if default in values else values[0])
        if self._kind is bool:
            return widgets.Checkbox(value=bool(default), indent=False)
        if self._kind in (int, float) and self._bounds is not None:
            low, high, step = self._bounds
            start = min(max(default if default is not None else low, low), high)
            if self._kind is int:
                return widgets.IntSlider(value=int(start), min=int(low), max=int(high), step=int(step or 1), continuous_update=False)
            return widgets.FloatSlider(
                value=float(start), min=float(low), max=float(high), step=step or (high - low) / 100, readout_format='.4g', continuous_update=False
            )
        if self._kind in (int, float) and default is not None:
            # A step is guessed from the default, and no bound: that would forbid values which nobody said were wrong.
            step = 10 ** max(len(str(abs(int(default)))) - 2, 0)
            return widgets.IntText(value=default, step=step) if self._kind is int else widgets.FloatText(value=default, step=abs(default) / 10 or 0.1)
        if self._kind is str:
            return widgets.Text(value=default or '', continuous_update=False)
        text = '' if self._required or (self._optional and default is None) else repr(default)
        return widgets.Text(value=text, placeholder=getattr(self._kind, '__name__', None) or 'a Python expression', continuous_update=False)

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
        return self._kind is not str and isinstance(self.widget.value, str) and self._choices is None

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
            raise _Invalid(f'{text} has more than {MOST:,d} values, too many for a form: use .map(...)')
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
        if hasattr(value, 'item') and getattr(value, 'ndim', None) == 0:  # NumPy's numbers, of an array that is swept
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
    """Whether a text for strings is written as Python: a list, a call, quoted words."""
    try:
        tree = ast.parse(text, mode='eval').body
    except SyntaxError:
        return False
    elements = tree.elts if isinstance(tree, ast.Tuple) else [tree]
    return not all(isinstance(element, ast.Name | ast.Attribute | ast.BinOp | ast.UnaryOp) or _is_number(element) for element in elements)


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, str)


def _unwrapped(annotation: Any, default: Any) -> tuple[Any, bool, list[Any]]:
    """The type below Annotated and Optional (that of the default, if there is none), whether None is a value, and what Annotated says."""
    extra: list[Any] = []
    optional = False
    while True:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            extra += annotation.__metadata__
            annotation = annotation.__origin__
        elif origin in (typing.Union, types.UnionType) and type(None) in typing.get_args(annotation):
            optional = True
            rest = [item for item in typing.get_args(annotation) if item is not type(None)]
            annotation = rest[0] if len(rest) == 1 else None
        else:
            break
    if annotation in (inspect.Parameter.empty, None, typing.Any) or isinstance(annotation, str):
        annotation = type(default) if isinstance(default, bool | int | float | str | enum.Enum) else None
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
    """Lowest and highest value, and step: of a pair or three numbers, of a range, or of what the package annotated-types has."""
    if isinstance(item, range) and len(item):
        return min(item), max(item), abs(item.step)
    if isinstance(item, tuple) and len(item) in (2, 3) and all(isinstance(value, int | float) for value in item):
        return item[0], item[1], item[2] if len(item) == 3 else None
    low, high = getattr(item, 'ge', None), getattr(item, 'le', None)
    return (low, high, None) if isinstance(low, int | float) and isinstance(high, int | float) else None


def form(app: TaskApp) -> Form:
    """A form made of the signature of an app.

    Parameters
    ----------
    app : TaskApp

    Returns
    -------
    form : Form
        Shown where it is the last line of a cell.

    Raises
    ------
    MissingDependencyError
        There is no ``ipywidgets``.
    """
    from IPython.core.getipython import get_ipython

    _widgets()
    return Form(app, get_ipython())


class Form:
    """A form whose button adds a task, or with its sweep switched on the tasks of all combinations.

    Parameters
    ----------
    app : TaskApp
    shell : InteractiveShell
        In whose names the expressions are read.
    """

    futures: list[Future]
    """What the button added last."""

    def __init__(self, app: TaskApp, shell: InteractiveShell) -> None:
        widgets = _widgets()
        self.app = app
        self.futures = []
        self._shell = shell
        self._key = ''
        hints = _hints(app)
        parameters = [p for p in app.signature.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        self.fields = {p.name: Field(p, hints.get(p.name, p.annotation), shell.ev) for p in parameters if not (p.name == 'mpicomm' and p.default is None)}
        self.sweep = widgets.ToggleButton(value=False, description='sweep', tooltip='Several values for each argument: a task for each combination')
        self.zip = widgets.Checkbox(value=False, description='pair them', indent=False, layout=widgets.Layout(width='auto', visibility='hidden'))
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
            [title, *(field.row for field in self.fields.values()), widgets.HBox([self.button, self.sweep, self.zip]), self.message, self.shown]
        )

    def _repr_mimebundle_(self, **_: Any) -> Dict:
        text = f'form of {self.app.name}{self.app.signature}'
        # What is kept of it, for those who see the notebook without a kernel, is words.
        return {**self.box._repr_mimebundle_(), 'text/plain': text, 'text/html': f'<small>{html.escape(text)}: run this cell again to fill it in.</small>'}

    def calls(self) -> list[Dict]:
        """The arguments of the tasks that the button would add.

        Raises
        ------
        ValueError
            What is wrong with which field.
        """
        values, n = self._values()
        if self.sweep.value and self.zip.value:
            rows: Iterable[tuple[Any, ...]] = zip(*(items if len(items) > 1 else items * n for items in values.values()), strict=True)
        else:
            rows = itertools.product(*values.values())
        positional = [name for name, p in self.app.signature.parameters.items() if p.kind is p.POSITIONAL_ONLY]
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
                raise ValueError(f'values that are paired must be as many for each: {", ".join(f"{name} has {n}" for name, n in lengths.items())}')
            return values, max(lengths.values(), default=1)
        n = math.prod(map(len, values.values()))
        if n > MOST:
            raise ValueError(f'these are {n:,d} combinations, too many for a form: use {self.app.name}.map(...)')
        return values, n

    def _switched(self, _: Any) -> None:
        for field in self.fields.values():
            field.sweep(self.sweep.value)
        self.zip.layout.visibility = 'visible' if self.sweep.value else 'hidden'
        self._counted(None)

    def _counted(self, _: Any) -> None:
        """Say on the button how many tasks it adds; what is wrong is said where something was typed."""
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
        self.message.value = f'<div role="alert" style="color:#d55e00">{text}<br>Nothing was added.</div>'

    def _clicked(self, _: Any) -> None:
        self.message.value = ''
        try:
            calls = self.calls()
            if self.app.skip:
                raise ValueError(f'{self.app.name} is an app with skip=True, which adds nothing')
            futures = self.app.add(calls, sync=len(calls) > 1)
        except (ValueError, TypeError, OSError, DesipipeError) as exc:
            self._complain(exc)
            return
        self.futures = futures
        self._follow()

    def _follow(self) -> None:
        queue = self.app.queue
        if any(future.tid not in queue.ledger.state.rows for future in self.futures):
            return  # within `with queue.batch()`
        make = _Tasks(self.futures, self.app.name, self._shell if len(self.futures) == 1 else None)
        follower = _follower(queue.folder)
        follower.remove(self._key)
        data, last = make(queue)
        self._put(data)
        if not last:
            self._key = f'form {id(self):x}'
            follower.add(self._key, _View(queue, make, self._put), data['text/plain'])

    def _put(self, data: Dict) -> None:
        self.shown.value = data['text/html']


def _hints(app: TaskApp) -> dict[str, Any]:
    """Annotations as objects; those that can't be resolved are left as they are written."""
    try:
        return typing.get_type_hints(app.func, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError):  # names that type checkers know, and nobody else: types are those of the defaults
        return {}
