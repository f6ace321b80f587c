"""Shell completion: a few lines for each shell, which ask ``desipipe __complete WORD...`` for
what may stand in the place of the last word.
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
_MOST = 50  # tasks of an app to offer

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


def complete(words: Sequence[str], parser: argparse.ArgumentParser) -> int:
    """Print what may stand in the place of the last word, one a line; nothing, rather than an
    error.

    Parameters
    ----------
    words : sequence of str
        What was typed after ``desipipe``; the last one may be empty.
    parser : argparse.ArgumentParser
        That of all verbs.
    """
    try:
        found = [
            word
            for word in candidates(list(words) or [''], parser)
            if word.startswith(words[-1] if words else '')
        ]
    except Exception:
        if os.environ.get('DESIPIPE_DEBUG', '') not in ('', '0'):
            raise
        return 1
    # A shell puts a word into its line as it is: one with other characters would run, or act on the
    # terminal.
    sys.stdout.write(''.join(f'{word}\n' for word in found if _WORD.fullmatch(word)))
    return 0


def candidates(
    words: Sequence[str], parser: argparse.ArgumentParser, queue: Queue | None = None
) -> Iterable[str]:
    """Return what can stand in the place of the last of ``words``.

    Parameters
    ----------
    words : sequence of str
        At least one; it may be empty.
    parser : argparse.ArgumentParser
        That of all verbs.
    queue : Queue, default=None
        Whose tasks are meant where no ``-q`` says otherwise.
    """
    verbs = Verbs.of(parser)
    if len(words) == 1:
        return [*verbs, '--help', '--version']
    verb = verbs.get(words[0])
    if verb is None or '--' in words[1:-1]:
        return []
    current = words[-1]
    if current.startswith('-'):
        return [
            option
            for action in verb._actions
            if action.help != argparse.SUPPRESS
            for option in action.option_strings
            if option.startswith('--')
        ]
    return _values(argument(verb, words[1:-1]), words, queue)


def argument(verb: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Action | None:
    """The option, or else the positional argument, that a word after ``words`` would be a value
    of.
    """
    for back, word in enumerate(reversed(words)):
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
    action: argparse.Action | None, words: Sequence[str], queue: Queue | None
) -> Iterable[str]:
    dest = '' if action is None else action.dest
    if action is not None and action.choices:
        return map(str, action.choices)
    if dest in ('queue', 'queues', 'pattern'):
        return queues(words[-1])
    if dest == 'state':
        return STATES
    if dest == 'mode':
        return MODES
    if (
        dest in ('task', 'old', 'new', 'tid', 'after', 'name', 'jobid', 'mid')
        and words[0] != 'add'
        or dest == 'after'
    ):
        found = _chosen(words) or queue
        return [] if found is None else _known(found, dest, words[-1])
    return []


def _chosen(words: Sequence[str]) -> Queue | None:
    """The queue of ``-q``."""
    for option, name in zip(words, words[1:-1], strict=False):
        if option in ('-q', '--queue'):
            from ..config import Config
            from ..queue.location import find_folder
            from ..queue.queue import Queue

            config = Config()
            return Queue(find_folder(name, config), create=False, config=config)
    return None


def _known(queue: Queue, dest: str, current: str) -> list[str]:
    """Names of a queue's apps, its tasks as one types them, its jobs, its task managers."""
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
    found: list[str] = []
    for name in names:
        if current.startswith(f'{name}[') or name.startswith(current):
            rows = queue.select(name=name)
            fitting = (
                text
                for row in rows
                if (text := f'{name}[{state.index[row]:d}]').startswith(current)
            )
            found += (
                [name]
                if len(rows) == 1 and name.startswith(current)
                else dict.fromkeys(itertools.islice(fitting, _MOST))
            )
    return found


def queues(current: str) -> list[str]:
    """Names of the queues that begin with what was typed."""
    from ..config import Config
    from ..queue.queue import SUFFIX, find_queues

    config = Config()
    parent, _ = os.path.split(current)
    found = [
        os.path.basename(folder).removesuffix(SUFFIX)
        for folder in find_queues(current + '*', config=config)
    ]
    return [os.path.join(parent, name) for name in found]
