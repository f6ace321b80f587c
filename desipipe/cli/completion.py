"""Shell completion: a few lines for each shell, which ask ``desipipe __complete WORD...`` for what may stand in the place of the last word."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence

from .common import MODES, STATES, Verbs

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
    """Print what may stand in the place of the last word, one a line; nothing, rather than an error.

    Parameters
    ----------
    words : sequence of str
        What was typed after ``desipipe``; the last one may be empty.
    parser : argparse.ArgumentParser
        That of all verbs.
    """
    try:
        found = [word for word in candidates(list(words) or [''], parser) if word.startswith(words[-1] if words else '')]
    except Exception:
        if os.environ.get('DESIPIPE_DEBUG', '') not in ('', '0'):
            raise
        return 1
    sys.stdout.write(''.join(f'{word}\n' for word in found))
    return 0


def candidates(words: list[str], parser: argparse.ArgumentParser) -> Iterable[str]:
    """What may stand in the place of the last of ``words``."""
    verbs = Verbs.of(parser)
    if len(words) == 1:
        return [*verbs, '--help', '--version']
    verb = verbs.get(words[0])
    if verb is None or '--' in words[1:-1]:
        return []
    current = words[-1]
    if current.startswith('-'):
        return [option for action in verb._actions if action.help != argparse.SUPPRESS for option in action.option_strings if option.startswith('--')]
    option = _option(verb, words[1:-1])
    if option is None:
        positional = [action for action in verb._actions if not action.option_strings]
        if positional and positional[0].choices:
            return map(str, positional[0].choices)
        return _queues(current) if positional and positional[0].dest == 'pattern' else []
    if option.dest == 'queue':
        return _queues(current)
    if option.dest == 'state':
        return STATES
    if option.dest == 'mode':
        return MODES
    return map(str, option.choices or ())


def _option(verb: argparse.ArgumentParser, words: list[str]) -> argparse.Action | None:
    """The option that a word after ``words`` would be a value of."""
    for back, word in enumerate(reversed(words)):
        if word.startswith('-'):
            action = verb._option_string_actions.get(word)
            return action if action is not None and (action.nargs == '+' or (action.nargs is None and back == 0)) else None
    return None


def _queues(current: str) -> list[str]:
    from ..config import Config
    from ..queue import SUFFIX, find_queues

    config = Config()
    parent, _ = os.path.split(current)
    found = [os.path.basename(folder).removesuffix(SUFFIX) for folder in find_queues(current + '*', config=config)]
    return [os.path.join(parent, name) for name in found]
