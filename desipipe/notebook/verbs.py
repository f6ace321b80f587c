"""The line magic's verbs: the command line, in this process, for ``%desipipe VERB …``; and what
completes them.

The parsers and handlers are those of :mod:`desipipe.cli`. What differs is where things go: text
under the cell, JSON as Python objects, complaints as errors that stop 'Run All', questions to the
person in front of the notebook; and what may be left out: ``-q`` is the notebook's queue.
"""

from __future__ import annotations

import argparse
import builtins
import codecs
import contextlib
import glob
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from IPython.core.error import StdinNotImplementedError, UsageError

from ..cells.option_types import STATES, positive
from ..cells.options import cell_parser
from ..commands.common import FACE, Face, Parser, Verbs, add_queue, open_one, unfiltered
from ..commands.completion import argument, candidates, queues
from ..commands.parser import build_parser, parse
from ..errors import DesipipeError
from ..queue.future_list import FutureList
from ..queue.place import current_place
from ..queue.queue import Queue
from ..queue.task import Future
from ..terminal import visible
from .commands import PROG, typed

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ['CommandError', 'matches', 'overview', 'run']

# columns of what is drawn under a cell, unless COLUMNS says otherwise; a notebook's page has some
# more
WIDTH = 100
_FUTURES = ('task', 'old', 'new', 'tid', 'after')  # arguments of verbs that name tasks
_FILES = {
    'DIR',
    'FILE',
    'PATH',
    'NOTEBOOK',
    'SCRIPT',
    'RECORD',
}  # words of what they are called in the help
_APART = (
    'spawn',
    'work',
    'run',
    # what is a process of its own: managers and workers, and other notebooks with an event loop of
    # theirs
)
_VARIABLE = re.compile(r'([^\W\d]\w*)((?:\[-?\d+\])*)')
_LINE = re.compile(r'\s*(?:[^%=]*=\s*)?%desipipe\s+(.*)')
_CELL = re.compile(r'%%desipipe\s+(.*)')
_DESCRIPTION = 'Pipelines from notebooks: the verbs of the command line, here.'
_EPILOG = """-q QUEUE may be left out: the queue of this notebook is meant. It may also be the name
of a variable that holds a queue, and TASK that of a variable that holds a future. With --json the
result is a Python object.
A cell becomes a task with %%desipipe, see: %%desipipe?

Example:
  %desipipe use my_queue --workers 4   the queue of this notebook
  %desipipe status                     how far is it?
  %desipipe watch                      the same, live, until nothing is left
  failed = %desipipe tasks --state FAILED --json
  %desipipe retry --help               options of a verb, with an example
"""


class CommandError(UsageError):  # type: ignore[misc]
    """A verb failed; the message, shown without a traceback, has the command to type."""

    def _render_traceback_(self) -> list[str]:
        return [visible(f'desipipe: {self}')]


def run(argv: Sequence[str], shell: InteractiveShell, queue: Queue | None) -> object:
    """Do what ``%desipipe`` is told.

    Parameters
    ----------
    argv : sequence of str
        Verb and options, as the words of a command line; none: help is shown.
    shell : InteractiveShell
        Whose variables may be named.
    queue : Queue or None
        That of the notebook, for verbs without ``-q``.

    Returns
    -------
    value : object
        With ``--json`` what the document holds, as lists, dictionaries and so on; of
        :command:`watch`, which has many, the last one. The panel of
        :command:`monitor`. Otherwise ``None``.

    Raises
    ------
    CommandError
        It could not be done, or was mistyped, or interrupted.
    """
    argv = list(argv)
    face = _Notebook()
    token = FACE.set(face)
    try:
        with contextlib.redirect_stdout(_Stream(sys.stdout)):
            return _run(argv, shell, queue, face)
    except (CommandError, KeyboardInterrupt) as exc:
        if isinstance(exc, CommandError):
            raise
        raise CommandError(f'{argv[0]} was interrupted here; what runs elsewhere goes on') from None
    except Exception as exc:
        if '--debug' in argv or os.environ.get('DESIPIPE_DEBUG', '') not in ('', '0'):
            raise
        raise CommandError(typed(_words(exc))) from None
    finally:
        FACE.reset(token)


def _run(argv: list[str], shell: InteractiveShell, queue: Queue | None, face: _Notebook) -> object:
    if not argv:
        print(overview(), end='')
        return None
    args = _parse(argv)
    if args is None:  # it was help that was asked for, and given
        return None
    if args.version:
        from .._version import __version__

        print(f'desipipe {__version__}')
        return None
    _resolve(args, shell.user_ns, queue)
    if args.verb in _APART and not getattr(args, 'spawn', False):
        _apart([*argv, f'--queue={args.queue}'] if getattr(args, 'queue', None) else argv)
        return None
    if args.verb == 'plan' and args.notebook is None:
        args.notebook = _notebook_file()
    if args.verb == 'monitor':
        from .panel import Panel

        return Panel(queue if queue is not None and queue.folder == args.queue else open_one(args))
    args.handler(args)
    return face.value


def _notebook_file() -> str:
    """Return the path of the notebook that this kernel runs, as the front end tells it."""
    place = current_place()
    if place is None or not os.path.isfile(place.file):
        raise CommandError(
            f'The file of this notebook is not known here. Nothing was looked at. Name it: {PROG} '
            'plan NOTEBOOK'
        )
    return place.file


def overview() -> str:
    """Return what ``%desipipe`` alone prints: all verbs.

    Returns
    -------
    text : str
    """
    return typed(_parser().format_help())


def _words(exc: Exception) -> str:
    if isinstance(exc, DesipipeError):
        return str(exc)
    if isinstance(exc, OSError):
        return f'{exc}. With --debug: where it happened'
    return (
        f'{type(exc).__name__}: {exc}\nThis should not happen; please report it with what you '
        'typed, and what it prints with --debug'
    )


# Words


@cache
def _parser() -> Parser:
    parser = build_parser(PROG, _register)
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    for action in Verbs.of(parser)['plan']._actions:
        if action.dest == 'notebook':
            action.nargs, action.required = '?', False  # see `_notebook_file`
    for verb in Verbs.of(parser).values():
        for action in verb._actions:
            if action.dest == 'queue':
                action.required = False  # see `_resolve`
    return parser


def _register(verbs: Verbs) -> None:
    """Declare the verbs that only a notebook has."""
    parser = verbs.add(
        'monitor',
        _elsewhere,
        'a panel that follows a queue, with buttons',
        'It is what a queue looks like as the last line of a cell, too.',
        '%desipipe monitor',
    )
    add_queue(parser)
    # The magic itself does it, as it changes what the magic knows; here it is declared, so that it
    # is listed, helped with and completed.
    parser = verbs.add(
        'use',
        _elsewhere,
        'choose the queue and the workers of this notebook',
        (
            'Cells of this notebook add their tasks to this queue. Further options are '
            'those of the provider.'
        ),
        '%desipipe use my_queue --workers 4',
        '%desipipe use my_queue --provider slurm --time 00:30:00 --nodes-per-worker 1',
    )
    parser.add_argument(
        'name', nargs='?', metavar='QUEUE', help='name of the queue, created if there is none'
    )
    parser.add_argument('--workers', type=positive, metavar='N', help='maximum of concurrent tasks')
    parser.add_argument('--provider', metavar='NAME', help='provider that starts the workers')
    parser.add_argument(
        '--scheduler', metavar='NAME', help='scheduler that decides how many workers there are'
    )
    parser.add_argument('--environ', metavar='NAME', help='environment of the workers')
    parser.add_argument('--base-dir', metavar='DIR', help='folder that holds the queue')
    parser.add_argument(
        '--no-spawn', action='store_true', help='start no manager with the first task'
    )


def _parse(argv: Sequence[str]) -> argparse.Namespace | None:
    err = io.StringIO()
    try:
        with contextlib.redirect_stderr(err):
            return parse(argv, _parser())
    except SystemExit as exc:  # which would end the kernel
        if not exc.code:
            return None
        raise CommandError(err.getvalue().strip().removeprefix(f'{PROG}: ')) from None


def _elsewhere(args: argparse.Namespace) -> None:
    raise CommandError(f'{args.verb} is for notebooks: make it known with %load_ext desipipe')


def _resolve(
    args: argparse.Namespace, variables: Mapping[str, object], queue: Queue | None
) -> None:
    """Put identities in the place of variables that hold futures, and folders in that of
    variables that hold queues; fill in the notebook's queue.
    """
    futures: list[Future] = []
    for dest in _FUTURES:
        given = getattr(args, dest, None)
        if not given:
            continue
        several = isinstance(given, list)
        ids = []
        for word in given if several else [given]:
            held = _held(word, variables)
            if held and len(held) > 1 and not several:
                raise CommandError(
                    f'{word} holds {len(held):d} futures: say which, such as {word}[0]'
                )
            futures += held
            ids += [future.id for future in held] or [word]
        setattr(args, dest, ids if several else ids[0])
    if not hasattr(args, 'queue'):
        return
    if args.queue:
        args.queue = (
            [_folder(word, variables) for word in args.queue]
            if isinstance(args.queue, list)
            else _folder(args.queue, variables)
        )
        return
    if hasattr(args, 'pattern'):
        return  # it lists them
    folders = {future._ledger.folder for future in futures} or (
        {queue.folder} if queue is not None else set()
    )
    if len(folders) > 1:
        raise CommandError(
            f'these are tasks of {len(folders):d} queues: take those of one at a time'
        )
    verb = Verbs.of(_parser())[args.verb]
    action = next(action for action in verb._actions if action.dest == 'queue')
    if folders:
        args.queue = [*folders] if action.nargs else folders.pop()
    elif args.verb not in ('status', 'doctor'):  # which look at more than one queue
        raise CommandError(
            'which queue? This notebook has none yet: say %desipipe use QUEUE first, or %desipipe '
            f'{args.verb} -q QUEUE'
        )


def _held(word: str, variables: Mapping[str, object]) -> list[Future]:
    """The futures that the variable (or an item of it) holds; none if it is no such variable."""
    match = _VARIABLE.fullmatch(word)
    if match is None:
        return []
    value = variables.get(match[1])
    for index in re.findall(r'-?\d+', match[2]):
        if not isinstance(value, list | tuple | FutureList):
            return []  # power[3] of an app `power`: the task of that index
        try:
            value = value[int(index)]
        except IndexError:
            raise CommandError(
                f'there is no {word}: {match[1]} holds {len(value):d} futures'
            ) from None
    if isinstance(value, Future):
        return [value]
    if isinstance(value, list | tuple | FutureList) and all(
        isinstance(item, Future) for item in value
    ):
        return list(value)
    return []


def _folder(word: str, variables: Mapping[str, object]) -> str:
    value = variables.get(word)
    return value.folder if isinstance(value, Queue) else word


# Where things go


class _Notebook(Face):
    """Under a cell, with colours as front ends show them; in a terminal's IPython as in the
    terminal; plain, and at the end only, where nobody looks.
    """

    def __init__(self) -> None:
        self.value: object = None
        self._plain = os.environ.get('DESIPIPE_NONINTERACTIVE', '') not in ('', '0')
        self._terminal = sys.stdout.isatty() and not self._plain  # not so in a kernel

    def seen(self) -> bool:
        return True

    def console(self, file: Any = None) -> Any:
        if self._terminal:
            return super().console()
        from rich.console import Console

        # Not rich's own way in notebooks: HTML, which a stream of text has no place for.
        width = int(os.environ.get('COLUMNS') or WIDTH)
        colours: Any = None if self._plain else 'truecolor'
        file = unfiltered(sys.stdout) if file is None else file
        return Console(
            file=file,
            highlight=False,
            force_terminal=not self._plain,
            force_jupyter=False,
            color_system=colours,
            no_color=self._plain,
            width=width,
        )

    def live(self) -> Any:
        return super().live() if self._terminal else _Drawn(self)

    def ask(self, question: str) -> str | None:
        try:
            return input(visible(question))
        except (
            StdinNotImplementedError,
            EOFError,
        ):  # a front end that can't ask; a notebook that is executed by a program
            return None

    def hint(self, text: str) -> None:
        print(text)  # not on the standard error, which front ends paint as if something were wrong

    def json(self, value: Any, line: bool = False) -> None:
        import orjson

        # What the document would hold, and not what it was made of: the same names and types as on
        # the command line.
        self.value = orjson.loads(orjson.dumps(value, default=repr, option=orjson.OPT_NON_STR_KEYS))


class _Drawn:
    """One display that is drawn again in its place."""

    def __init__(self, face: _Notebook) -> None:
        self._face = face
        self._handle: Any = None
        self._last: Any = None

    def __enter__(self) -> _Drawn:
        return self

    def __exit__(self, *_: object) -> None:
        if self._face._plain and self._last is not None:
            self._draw()

    def update(self, renderable: Any, refresh: bool = True) -> None:
        """Draw."""
        self._last = renderable
        if not self._face._plain:
            self._draw()

    def _draw(self) -> None:
        from IPython.display import display

        text = io.StringIO()
        self._face.console(text).print(self._last, soft_wrap=True, end='')
        bundle = {'text/plain': typed(text.getvalue())}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


class _Typed(io.TextIOBase):
    """Text under the cell, in which commands read as they are typed here.

    What writes to it has made its text safe itself, and coloured it.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.buffer = _Bytes(stream)

    def write(self, text: str) -> int:
        self._stream.write(typed(text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return bool(self._stream.isatty())

    def fileno(self) -> int:
        return int(self._stream.fileno())


class _Stream(_Typed):
    """Text under the cell like :class:`_Typed`, made safe for a terminal."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.unfiltered = _Typed(stream)

    def write(self, text: str) -> int:
        super().write(visible(text))
        return len(text)


class _Bytes(io.RawIOBase):
    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder('utf-8')('replace')

    def write(self, data: Any) -> int:
        self._stream.write(self._decoder.decode(bytes(data)))
        return len(data)

    def flush(self) -> None:
        self._stream.flush()


def _apart(argv: list[str]) -> None:
    """Run a verb in a process of its own, and show what it says until it ends.

    Workers fork, handle signals and count on being alone; a kernel has threads, an event loop, and
    handlers of its own.
    """
    import signal
    import subprocess

    # In this process's group, so that it ends with the kernel. With an interrupt it may have got
    # the signal already; to get it twice does no harm.
    process = subprocess.Popen(
        [sys.executable, '-m', 'desipipe', *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {'COLUMNS': str(WIDTH)},
    )
    assert process.stdout is not None
    out = _Bytes(sys.stdout)
    interrupted = False
    try:
        while True:
            try:
                data = os.read(process.stdout.fileno(), 65536)
                if not data:
                    break
                out.write(data)
            except KeyboardInterrupt:
                # It lets go of its tasks in an orderly way, and says so; that is what is waited
                # for.
                interrupted = True
                process.send_signal(signal.SIGINT)
        status = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        process.stdout.close()
    if interrupted:
        raise CommandError(
            f'{argv[0]} was interrupted, and has ended; tasks that it was running are KILLED, and '
            'run again with: %desipipe retry'
        )
    if status:
        raise CommandError(f'{argv[0]} ended with exit status {status:d}; what it said is above')


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
    found : SimpleMatcherResult
    """
    from IPython.core.completer import SimpleCompletion

    text = context.text_until_cursor
    line, cell = _LINE.fullmatch(text), _CELL.fullmatch(text) if not context.cursor_line else None
    if line is None and cell is None:
        return {'completions': []}
    words = (line or cell)[1].split()  # type: ignore[index]
    if not words or text[-1].isspace():
        words.append('')
    current = words[-1]
    try:
        found = [
            word
            for word in dict.fromkeys(_offered(words, shell, cell is not None))
            if word.startswith(current)
        ]
    except (
        DesipipeError,
        OSError,
    ):  # a queue that is not there: nothing to offer, and no place to say so
        found = []
    # IPython cuts words at brackets and such; what stands before the cut is not its to replace.
    fragment = context.token if current.endswith(context.token) else current
    cut = len(current) - len(fragment)
    kinds = [('param' if word.startswith('-') else 'value', word[cut:]) for word in found]
    return {
        'completions': [SimpleCompletion(text=word, type=kind) for kind, word in kinds],
        'matched_fragment': fragment,
        'suppress': True,
        'ordered': True,
    }


def _offered(words: list[str], shell: InteractiveShell, cell: bool) -> Iterable[str]:
    queue = _current(shell)
    if cell:
        return _cell_words(words, shell.user_ns, queue)
    if words[0] == 'use' and len(words) > 1:
        return _use_words(words[1:], shell.user_ns)
    return _verb_words(words, shell.user_ns, queue)


def _current(shell: InteractiveShell) -> Queue | None:
    """The notebook's queue, which the magic's object holds."""
    magic = shell.magics_manager.magics['line'].get(PROG[1:])
    queue = getattr(getattr(magic, '__self__', None), 'queue', None)
    return queue if isinstance(queue, Queue) else None


def _verb_words(
    words: list[str], variables: Mapping[str, object], queue: Queue | None
) -> Iterator[str]:
    parser = _parser()
    verb = Verbs.of(parser).get(words[0])
    action = (
        argument(verb, words[1:-1])
        if verb is not None and len(words) > 1 and not words[-1].startswith('-')
        else None
    )
    if action is not None and action.dest in _FUTURES:
        yield from _of(variables, _is_future)
    if action is not None and action.dest == 'queue':
        yield from _of(variables, lambda value: isinstance(value, Queue))
    if action is not None and _FILES & set(
        re.findall(r'\w+', str(action.metavar or action.dest).upper())
    ):
        yield from _files(words[-1])
    for option, name in zip(words, words[1:-1], strict=False):
        held = variables.get(name) if option in ('-q', '--queue') else None
        if isinstance(held, Queue):
            words, queue = [words[0], *words[words.index(name) + 1 :]], held
    yield from candidates(words, parser, queue)


def _cell_words(
    words: list[str], variables: Mapping[str, object], queue: Queue | None
) -> Iterable[str]:
    parser, current = cell_parser(), words[-1]
    if current.startswith('-'):
        return _options(parser)
    action = argument(parser, words[:-1])
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


def _use_words(words: list[str], variables: Mapping[str, object]) -> Iterable[str]:
    from ..config import Config
    from ..environment import BaseEnvironment
    from ..provider import BaseProvider
    from ..scheduler import BaseScheduler

    parser, current = Verbs.of(_parser())['use'], words[-1]
    kinds: dict[str, Any] = {
        'provider': BaseProvider,
        'scheduler': BaseScheduler,
        'environ': BaseEnvironment,
    }
    if current.startswith('-'):
        name = words[words.index('--provider') + 1] if '--provider' in words[:-2] else None
        provider = BaseProvider.find(name) if name else type(BaseProvider.make(None, Config()))
        return [*_options(parser), *(f'--{key.replace("_", "-")}' for key in provider.defaults)]
    action = argument(parser, words[:-1])
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
    """Files and folders that begin with what was typed; of hidden ones only what was asked for."""
    found = glob.glob(glob.escape(os.path.expanduser(current)) + '*')
    home = os.path.expanduser('~') if current.startswith('~') else None
    shown = ['~' + path[len(home) :] if home else path for path in found]
    return sorted(
        word + '/' if os.path.isdir(path) else word for word, path in zip(shown, found, strict=True)
    )
