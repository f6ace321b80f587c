"""Declare options and open queues for all verbs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence

from ..cells.option_types import STATES, state, whole
from ..queue.location import find_folders, find_one, short, type_queue
from ..utils import plural as plural
from ..utils.str_enum import StrEnum
from .face import hint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, TypeVar

    from ..queue.queue import Queue

    T = TypeVar('T')

Handler = Callable[[argparse.Namespace], int | None]

_EXAMPLES = 'Example:\n'
_COLUMNS = 80  # of what is no terminal


class QueueDefault(StrEnum):
    """The queue that a verb means where none is named."""

    NAMED = 'none: it must be named'
    ONLY = 'your only queue'
    LATEST = 'the one that changed last'
    ALL = 'all of yours'
    NONE = 'none'


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line, and say where there is help."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.color = False  # Python 3.14: what is printed has no control characters

    def error(self, message: str) -> NoReturn:
        """Complain, and exit with status 2."""
        message = message[:1].upper() + message[1:].rstrip('.')
        end = '' if message.endswith('?') else '.'
        self.exit(2, f'{self.prog}: {message}{end} See: {self.prog} --help\n')

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Refuse what is no choice of an option, with those that are close."""
        if action.choices is None:
            return
        for one in value if isinstance(value, list) else [value]:  # a list: of what commas divide
            if one not in action.choices:
                from ..errors import close_names

                near = close_names(str(one), map(str, action.choices), n=30)
                raise argparse.ArgumentError(action, f'there is no {one!r}: {near}')

    def refuse(self, arguments: Sequence[str]) -> NoReturn:
        """Complain about arguments that the verb does not take."""
        from ..errors import close_names

        word = next((word for word in arguments if word.startswith('-')), arguments[0])
        if word.startswith('-'):
            shown = [action for action in self._actions if action.help != argparse.SUPPRESS]
            names = [name for action in shown for name in action.option_strings]
            options = [name for name in names if name.startswith('--')]
            self.error(
                f'there is no option {word}: {close_names(word.partition("=")[0], options, n=20)}'
            )
        self.error(f'unexpected argument {word!r}. Nothing was done')


class RawHelpFormatter(argparse.RawDescriptionHelpFormatter):
    """A formatter that finds the terminal's width without `shutil`."""

    def __init__(self, prog: str, **options: Any) -> None:
        # Each declaration of an option makes a formatter. Without a width `argparse` imports
        # `shutil` for it, and with that more than `status` needs in all.
        options.setdefault('width', _columns() - 2)
        super().__init__(prog, **options)


class _HelpFormatter(RawHelpFormatter):
    """A formatter that wraps what a verb does, and leaves its examples as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith(_EXAMPLES):
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


def _columns() -> int:
    """Return the width of the terminal, as :func:`shutil.get_terminal_size` tells it."""
    try:
        columns = int(os.environ['COLUMNS'])
    except (KeyError, ValueError):
        columns = 0
    if columns > 0:
        return columns
    try:
        return os.get_terminal_size().columns or _COLUMNS
    except OSError:  # no terminal
        return _COLUMNS


class Verbs:
    """The verbs of a parser.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    """

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._sub = parser.add_subparsers(title='verbs', metavar='VERB', dest='verb')

    @staticmethod
    def of(parser: argparse.ArgumentParser) -> dict[str, Parser]:
        """The verbs' own parsers, by name."""
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                return dict(action.choices)
        return {}

    @staticmethod
    def summaries(parser: argparse.ArgumentParser) -> dict[str, str]:
        """Return the verbs with their lines in the list of verbs."""
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                return {verb.dest: verb.help or '' for verb in action._choices_actions}
        return {}

    def add(
        self, name: str, handler: Handler, summary: str, description: str, *examples: str
    ) -> argparse.ArgumentParser:
        """Declare a verb.

        Parameters
        ----------
        name : str
        handler : callable
            Called with the parsed arguments; returns the exit status, or ``None``.
        summary : str
            A line for the list of verbs, of at most 60 characters.
        description : str
            What follows the line in its own help.
        *examples : str
            Command lines, each with what it does after two blanks.
        """
        epilog = _EXAMPLES + '\n'.join('  ' + example for example in examples)
        parser = self._sub.add_parser(
            name,
            help=summary,
            description=f'{summary[0].upper()}{summary[1:]}. {description}'.strip(),
            epilog=epilog,
            formatter_class=_HelpFormatter,
            allow_abbrev=True,
        )
        parser.add_argument('--debug', action='store_true', help='show where an error happened')
        parser.set_defaults(handler=handler)
        return parser


def add_queue(
    parser: argparse.ArgumentParser,
    several: bool = False,
    default: QueueDefault = QueueDefault.ONLY,
) -> None:
    """Declare ``-q``.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    several : bool, default=False
        True if several queues may be named.
    default : QueueDefault, default=QueueDefault.ONLY
        The queue that is meant where none is named.
    """
    kinds = 'names, paths or quoted patterns' if several else 'name, user/name or path'
    more = '' if default is QueueDefault.NAMED else f' (default: {default})'
    parser.add_argument(
        '-q',
        '--queue',
        nargs='+' if several else None,
        metavar='QUEUE',
        help=kinds + more,
    )
    parser.set_defaults(queue_default=default, several_queues=several)


def add_json(parser: argparse.ArgumentParser, help_text: str = 'print one JSON document') -> None:
    """Declare ``--json``."""
    parser.add_argument('--json', action='store_true', help=help_text)


def describe(parser: argparse.ArgumentParser, text: str) -> None:
    """Add a sentence to what the help of a verb says above its options."""
    parser.description = f'{parser.description} {text}'


def add_states(parser: argparse.ArgumentParser, text: str) -> None:
    """Declare ``--state``."""
    parser.add_argument('--state', nargs='*', type=state, metavar='STATE', help=text)
    describe(parser, f'States: {", ".join(STATES)}.')


def add_conditions(parser: argparse.ArgumentParser, *names: str) -> None:
    """Declare the conditions on tasks: name, tid, mid, jobid, index."""
    help_texts = {
        'name': 'tasks of apps with this name',
        'tid': 'task by the start of its identity, or app[index]',
        'mid': 'tasks of this task manager (start of its identity)',
        'jobid': 'tasks that this job runs or ran last',
        'index': 'tasks with this index of their call',
    }
    for name in names:
        kind: Any = whole if name == 'index' else str
        parser.add_argument(
            f'--{name}', nargs='*', type=kind, metavar=name.upper(), help=help_texts[name]
        )


def add_spawn(parser: argparse.ArgumentParser) -> None:
    """Declare ``--spawn``."""
    parser.add_argument(
        '--spawn', action='store_true', help='start a manager in the background, if none is running'
    )


# Queues


def queue_name(queue: Queue) -> str:
    """Return what one types after ``-q`` for an open queue."""
    return short(queue.folder, queue.config)


def open_one(args: argparse.Namespace, spawn: bool = False, use: bool = False) -> Queue:
    """Open the queue of ``-q``; see :func:`open_all`."""
    from ..config import Config
    from ..queue.queue import Queue

    config = Config()
    folder = find_one(args.queue, config)
    queue = Queue(folder, create=False, spawn=spawn, config=config)
    if use:
        queue.ledger.check_use()
    return queue


def open_all(args: argparse.Namespace, spawn: bool = False, use: bool = False) -> Iterator[Queue]:
    """Open the queues of ``-q``.

    All names are looked at before the first one is opened, and one that can't be read keeps no
    other from its turn.

    Parameters
    ----------
    args : argparse.Namespace
    spawn : bool, default=False
        True if workers are started for what is added.
    use : bool, default=False
        True if the queues are to be used: before the first one is, all are found to be of users
        who are trusted, and before anything else is said.

    Raises
    ------
    UntrustedQueueError
        Of all queues that may not be used.
    """
    from ..config import Config
    from ..queue.queue import Queue

    config = Config()
    opened: dict[str, Queue] = {}

    def open_queue(folder: str) -> Queue:
        if folder not in opened:
            opened[folder] = Queue(folder, create=False, spawn=spawn, config=config)
        return opened[folder]

    folders = find_folders(args.queue, config)
    if use:
        _check_all(folders, open_queue)
    yield from each_of(folders, open_queue)


def _check_all(folders: Sequence[str], open_queue: Callable[[str], Queue]) -> None:
    from ..errors import DesipipeError, UntrustedQueueError

    refused = {}
    for folder in folders:
        try:
            open_queue(folder).ledger.check_use()
        except UntrustedQueueError as exc:
            refused[str(exc).rpartition('\n')[2]] = exc  # one of each user
        except (DesipipeError, OSError):
            continue  # said when it has its turn
    if refused:
        raise UntrustedQueueError('\n'.join(map(str, refused.values())))


def each_of(folders: Sequence[str], read: Callable[[str], T]) -> Iterator[T]:
    """Yield what is read of each queue.

    What went wrong with some is raised when all others had their turn.

    Raises
    ------
    DesipipeError
        Of the only queue, or of all that could not be read.
    """
    from ..errors import DesipipeError, QueueError

    failed: dict[str, Exception] = {}
    for folder in folders:
        try:
            value = read(folder)
        except (DesipipeError, OSError) as exc:
            if len(folders) == 1:
                raise
            failed[folder] = exc
        else:
            yield value
    if failed:
        texts = '\n'.join(f'{folder}: {exc}' for folder, exc in failed.items())
        raise QueueError(
            f'{plural(len(failed), "queue")} of {len(folders):d} could not be read; the others '
            f'were.\n{texts}'
        )


def hint_nobody(queue: Queue) -> None:
    """Print how to start a manager if tasks are pending and no process is running."""
    from ..view.queue import queue_summary

    summary = queue_summary(queue)
    if summary['condition'] == 'stopped':
        hint(
            'No worker is running. Start one with: desipipe spawn '
            f'{type_queue(queue.folder, queue.config)} --spawn'
        )
