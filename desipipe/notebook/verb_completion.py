"""Completion of `%desipipe` and `%%desipipe` lines."""

from __future__ import annotations

import argparse
import builtins
import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..cells.option_types import STATES
from ..cells.options import cell_parser
from ..commands.common import Verbs
from ..commands.completion import argument, candidates, queues
from ..errors import DesipipeError
from ..queue.future import Future
from ..queue.future_list import FutureList
from ..queue.queue import Queue
from .commands import PROG
from .verb_parser import verb_parser

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

FUTURE_VERBS = ('task', 'old', 'new', 'tid', 'after')  # arguments of verbs that name tasks
_FILES = {
    'DIR',
    'FILE',
    'PATH',
    'NOTEBOOK',
    'SCRIPT',
    'RECORD',
}  # words of what they are called in the help
VARIABLE = re.compile(r'([^\W\d]\w*)((?:\[-?\d+\])*)')
_LINE = re.compile(r'\s*(?:[^%=]*=\s*)?%desipipe\s+(.*)')
_CELL = re.compile(r'%%desipipe\s+(.*)')


# Completion


def matches(context: CompletionContext, shell: InteractiveShell) -> SimpleMatcherResult:
    """Return the completions at the cursor, if it is in a line of desipipe.

    It is called by a matcher of IPython's completer.

    Parameters
    ----------
    context : CompletionContext
    shell : InteractiveShell

    Returns
    -------
    fitting : SimpleMatcherResult
    """
    from IPython.core.completer import SimpleCompletion

    text = context.text_until_cursor
    line, cell = _LINE.fullmatch(text), _CELL.fullmatch(text) if not context.cursor_line else None
    if line is None and cell is None:
        return {'completions': []}
    arguments = (line or cell)[1].split()  # type: ignore[index]
    if not arguments or text[-1].isspace():
        arguments.append('')
    current = arguments[-1]
    try:
        fitting = [
            word
            for word in dict.fromkeys(_offered(arguments, shell, cell is not None))
            if word.startswith(current)
        ]
    except (
        DesipipeError,
        OSError,
    ):  # a queue that is not there: nothing to offer, and no place to say so
        fitting = []
    # IPython cuts words at brackets and such; what stands before the cut is not its to replace.
    fragment = context.token if current.endswith(context.token) else current
    cut = len(current) - len(fragment)
    kinds = [('param' if word.startswith('-') else 'value', word[cut:]) for word in fitting]
    return {
        'completions': [SimpleCompletion(text=word, type=kind) for kind, word in kinds],
        'matched_fragment': fragment,
        'suppress': True,
        'ordered': True,
    }


def _offered(arguments: list[str], shell: InteractiveShell, cell: bool) -> Iterable[str]:
    queue = _current(shell)
    if cell:
        return _cell_words(arguments, shell.user_ns, queue)
    if arguments[0] == 'use' and len(arguments) > 1:
        return _use_words(arguments[1:], shell.user_ns)
    return _verb_words(arguments, shell.user_ns, queue)


def _current(shell: InteractiveShell) -> Queue | None:
    """The notebook's queue, which the magic's object holds."""
    magic = shell.magics_manager.magics['line'].get(PROG[1:])
    queue = getattr(getattr(magic, '__self__', None), 'queue', None)
    return queue if isinstance(queue, Queue) else None


def _verb_words(
    arguments: list[str], variables: Mapping[str, object], queue: Queue | None
) -> Iterator[str]:
    parser = verb_parser()
    verb = Verbs.of(parser).get(arguments[0])
    action = (
        argument(verb, arguments[1:-1])
        if verb is not None and len(arguments) > 1 and not arguments[-1].startswith('-')
        else None
    )
    if action is not None and action.dest in FUTURE_VERBS:
        yield from _of(variables, _is_future)
    if action is not None and action.dest == 'queue':
        yield from _of(variables, lambda value: isinstance(value, Queue))
    if action is not None and _FILES & set(
        re.findall(r'\w+', str(action.metavar or action.dest).upper())
    ):
        yield from _files(arguments[-1])
    for option, name in zip(arguments, arguments[1:-1], strict=False):
        held = variables.get(name) if option in ('-q', '--queue') else None
        if isinstance(held, Queue):
            arguments, queue = [arguments[0], *arguments[arguments.index(name) + 1 :]], held
    yield from candidates(arguments, parser, queue)


def _cell_words(
    arguments: list[str], variables: Mapping[str, object], queue: Queue | None
) -> Iterable[str]:
    parser, current = cell_parser(), arguments[-1]
    if current.startswith('-'):
        return _options(parser)
    action = argument(parser, arguments[:-1])
    dest = '' if action is None else action.dest
    if dest == 'sweeps':
        name, equals, value = current.partition('=')
        return (
            [f'{name}={word}' for word in _of(variables, _is_iterable) if word.startswith(value)]
            if equals
            else []
        )
    if dest == 'state':
        return STATES
    if dest == 'retry_on':
        exceptions = (
            name
            for name, value in vars(builtins).items()
            if isinstance(value, type) and issubclass(value, Exception)
        )
        return ('FAILED', 'KILLED', 'UNKNOWN', *exceptions)
    if dest == 'tm':
        from ..task_manager import TaskManager

        return _of(variables, lambda value: isinstance(value, TaskManager))
    if dest in ('name', 'title') and queue is not None:
        queue.ledger.follow()
        return [group.name for group in queue.ledger.state.groups]
    return _of(variables, lambda value: True) if dest == 'out' else []


def _use_words(arguments: list[str], variables: Mapping[str, object]) -> Iterable[str]:
    from ..config import Config
    from ..environment import BaseEnvironment
    from ..provider import BaseProvider
    from ..scheduler import BaseScheduler

    parser, current = Verbs.of(verb_parser())['use'], arguments[-1]
    kinds: dict[str, Any] = {
        'provider': BaseProvider,
        'scheduler': BaseScheduler,
        'environ': BaseEnvironment,
    }
    if current.startswith('-'):
        name = (
            arguments[arguments.index('--provider') + 1] if '--provider' in arguments[:-2] else None
        )
        provider = BaseProvider.find(name) if name else type(BaseProvider.make(None, Config()))
        return [*_options(parser), *(f'--{key.replace("_", "-")}' for key in provider.defaults)]
    action = argument(parser, arguments[:-1])
    dest = '' if action is None else action.dest
    if dest in kinds:
        return _names(kinds[dest])
    if dest == 'base_dir':
        return [path for path in _files(current) if path.endswith('/')]
    return queues(current) if dest == 'name' else []


def _names(kind: Any) -> list[str]:
    from importlib.metadata import entry_points

    return sorted(
        {
            *kind.builtin,
            *kind._subclasses(),
            *(point.name for point in entry_points(group=f'desipipe.{kind.kind}s')),
        }
    )


def _options(parser: argparse.ArgumentParser) -> list[str]:
    return [
        option
        for action in parser._actions
        if action.help != argparse.SUPPRESS
        for option in action.option_strings
        if option.startswith('--')
    ]


def _of(variables: Mapping[str, object], fits: Callable[[object], bool]) -> list[str]:
    return [
        name for name, value in list(variables.items()) if not name.startswith('_') and fits(value)
    ]


def _is_future(value: object) -> bool:
    return isinstance(value, Future) or (
        isinstance(value, list | tuple | FutureList)
        and bool(value)
        and all(isinstance(item, Future) for item in value)
    )


def _is_iterable(value: object) -> bool:
    return hasattr(value, '__iter__') and not isinstance(value, str | bytes | type)


def _files(current: str) -> list[str]:
    """Return files and folders that begin with what was typed.

    Of hidden ones only what was asked for.
    """
    paths = glob.glob(glob.escape(os.path.expanduser(current)) + '*')
    home = os.path.expanduser('~') if current.startswith('~') else None
    shown = ['~' + path[len(home) :] if home else path for path in paths]
    return sorted(
        word + '/' if os.path.isdir(path) else word for word, path in zip(shown, paths, strict=True)
    )
