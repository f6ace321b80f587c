"""Shell completion.

A few lines for each shell ask ``desipipe __complete WORD...`` for what may stand in the place of
the last word.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..cells.option_types import MODES, STATES
from .common import Verbs

if TYPE_CHECKING:
    from ..queue.queue import Queue

_WORD = re.compile(r'[\w.,:=@%+/~\[\]-]+')  # which means nothing else to a shell
_TASKS_MAX = 50  # tasks of an app to offer

SCRIPTS = {
    'bash': """\
_desipipe() {
    local IFS=$'\\n'
    COMPREPLY=($(desipipe __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace
}
complete -o default -F _desipipe desipipe
""",
    'zsh': """\
_desipipe() {
    local -a found
    found=(${(f)"$(desipipe __complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( $#found )); then compadd -Q -- $found; else _files; fi
}
compdef _desipipe desipipe
""",
    'fish': """\
function __desipipe
    set -l words (commandline -opc) (commandline -ct)
    desipipe __complete $words[2..-1] 2>/dev/null
end
complete -c desipipe -a '(__desipipe)'
""",
}


def complete(arguments: Sequence[str], parser: argparse.ArgumentParser) -> int:
    """Print what may stand in the place of the last word, one a line.

    An error prints nothing.

    Parameters
    ----------
    arguments : sequence of str
        What was typed after ``desipipe``; the last one may be empty.
    parser : argparse.ArgumentParser
        That of all verbs.
    """
    try:
        choices = [
            word
            for word in candidates(list(arguments) or [''], parser)
            if word.startswith(arguments[-1] if arguments else '')
        ]
    except Exception:
        if os.environ.get('DESIPIPE_DEBUG', '') not in ('', '0'):
            raise
        return 1
    # A shell puts a word into its line as it is: one with other characters would run, or act on the
    # terminal.
    sys.stdout.write(''.join(f'{word}\n' for word in choices if _WORD.fullmatch(word)))
    return 0


def candidates(
    arguments: Sequence[str], parser: argparse.ArgumentParser, queue: Queue | None = None
) -> Iterable[str]:
    """Return what can stand in the place of the last of ``arguments``.

    Parameters
    ----------
    arguments : sequence of str
        At least one; it may be empty.
    parser : argparse.ArgumentParser
        That of all verbs.
    queue : Queue, default=None
        Queue whose tasks are meant where no ``-q`` says otherwise.
    """
    verbs = Verbs.of(parser)
    if len(arguments) == 1:
        return [*verbs, '--help', '--version']
    verb = verbs.get(arguments[0])
    if verb is None or '--' in arguments[1:-1]:
        return []
    current = arguments[-1]
    if current.startswith('-'):
        return [
            option
            for action in verb._actions
            if action.help != argparse.SUPPRESS
            for option in action.option_strings
            if option.startswith('--')
        ]
    return _values(argument(verb, arguments[1:-1]), arguments, queue)


def argument(verb: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Action | None:
    """Return the argument that a word after ``arguments`` would be a value of.

    It is an option, or else the positional argument.
    """
    for back, word in enumerate(reversed(arguments)):
        if word.startswith('-'):
            action = verb._option_string_actions.get(word)
            if action is not None and (
                action.nargs in ('+', '*') or (action.nargs in (None, '?') and back == 0)
            ):
                return action
            break
    positional = [action for action in verb._actions if not action.option_strings]
    return positional[0] if positional else None


def _values(
    action: argparse.Action | None, arguments: Sequence[str], queue: Queue | None
) -> Iterable[str]:
    dest = '' if action is None else action.dest
    if action is not None and action.choices:
        return map(str, action.choices)
    if dest in ('queue', 'queues', 'pattern'):
        return queues(arguments[-1])
    if dest == 'state':
        return STATES
    if dest == 'mode':
        return MODES
    if (
        dest in ('task', 'old', 'new', 'tid', 'after', 'name', 'jobid', 'mid')
        and arguments[0] != 'add'
        or dest == 'after'
    ):
        named_queue = _chosen(arguments) or queue
        return [] if named_queue is None else _known(named_queue, dest, arguments[-1])
    return []


def _chosen(arguments: Sequence[str]) -> Queue | None:
    """The queue of ``-q``."""
    for option, name in zip(arguments, arguments[1:-1], strict=False):
        if option in ('-q', '--queue'):
            from ..config import Config
            from ..queue.location import find_folder
            from ..queue.queue import Queue

            config = Config()
            return Queue(find_folder(name, config), create=False, config=config)
    return None


def _known(queue: Queue, dest: str, current: str) -> list[str]:
    """Return names of a queue's apps, tasks, jobs or task managers."""
    queue.ledger.follow()
    state = queue.ledger.state
    if dest == 'mid':
        return list(state.managers)
    if dest == 'jobid':
        return [worker.job for worker in list(state.workers.values())]
    names = list(dict.fromkeys(group.name for group in state.groups))
    if dest == 'name':
        return names
    # Of many tasks the first will do to show how one types them.
    matches: list[str] = []
    for name in names:
        if current.startswith(f'{name}[') or name.startswith(current):
            rows = queue.select(name=name)
            fitting = (
                text
                for row in rows
                if (text := f'{name}[{state.index[row]:d}]').startswith(current)
            )
            matches += (
                [name]
                if len(rows) == 1 and name.startswith(current)
                else dict.fromkeys(itertools.islice(fitting, _TASKS_MAX))
            )
    return matches


def queues(current: str) -> list[str]:
    """Names of the queues that begin with what was typed."""
    from ..config import Config
    from ..queue.names import SUFFIX, find_queues

    config = Config()
    parent, _ = os.path.split(current)
    folders = [
        os.path.basename(folder).removesuffix(SUFFIX)
        for folder in find_queues(current + '*', config=config)
    ]
    return [os.path.join(parent, name) for name in folders]
