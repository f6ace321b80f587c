"""Understand command lines as people type them.

Options may stand before the verb and the queue without ``-q``. Where no queue is named one is
chosen, and told.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Sequence

from ..utils import plural
from .common import QueueDefault
from .face import hint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config import Config

QUEUE_OPTIONS = ('-q', '--queue')
"""The options that name queues."""


def find_verb(argv: Sequence[str], verbs: Collection[str]) -> int | None:
    """Return the position of the verb, which options may precede.

    Parameters
    ----------
    argv : sequence of str
        What follows ``desipipe``.
    verbs : collection of str
        Their names, in lower case.
    """
    for i, word in enumerate(argv):
        if word == '--' or (i and not argv[0].startswith('-')):
            return None
        if word.lower() in verbs and not (i and argv[i - 1] in QUEUE_OPTIONS):
            return i
    return None


def put_verb_first(argv: Sequence[str], verbs: Collection[str]) -> list[str]:
    """Return the words of a command line with the verb first, in lower case.

    They remain as they are if no word is a verb.
    """
    i = find_verb(argv, verbs)
    if i is None:
        return list(argv)
    rest = argv[i + 1 :]
    end = rest.index('--') if '--' in rest else len(rest)
    # An option that takes several values must not take those that follow the verb.
    return [argv[i].lower(), *rest[:end], *argv[:i], *rest[end:]]


def take_queue(
    args: argparse.Namespace,
    extra: Sequence[str],
    argv: Sequence[str],
    verb: argparse.ArgumentParser,
) -> list[str]:
    """Fill in a queue that stands without ``-q``, and return the words that are left.

    It is the first word that belongs to no option, if there is one more of these than the verb
    takes, or if it stands before ``--``.

    Parameters
    ----------
    args : argparse.Namespace
        Changed in place.
    extra : sequence of str
        The words that the parser could not place.
    argv : sequence of str
        All words that follow the verb.
    verb : argparse.ArgumentParser
    """
    option = next((action for action in verb._actions if action.dest == 'queue'), None)
    head = extra[: extra.index('--')] if '--' in extra else extra
    if option is None or args.queue or any(word.startswith('-') for word in head):
        return list(extra)
    positional = [action for action in verb._actions if not action.option_strings]
    if '--' in argv:
        return _take_before_dashes(args, extra, argv, option)
    values = [*_values(args, positional), *extra]
    if not positional and (option.nargs or len(values) == 1):
        args.queue = (values or None) if option.nargs else values[0]
        return []
    if extra and all(action.nargs in (None, '?') for action in positional):
        args.queue = [values[0]] if option.nargs else values[0]
        for action, word in zip(positional, values[1:], strict=False):
            setattr(args, action.dest, word)
        return values[1 + len(positional) :]
    return list(extra)


def _take_before_dashes(
    args: argparse.Namespace,
    extra: Sequence[str],
    argv: Sequence[str],
    option: argparse.Action,
) -> list[str]:
    """Fill in a queue that stands before ``--``, and return what is left."""
    command = list(argv[argv.index('--') + 1 :])
    values = [*getattr(args, 'command', []), *extra]
    if values.count('--') > command.count('--'):
        values.remove('--')
    before = values[: len(values) - len(command)]
    if values[len(before) :] != command or len(before) != 1:
        return before
    args.queue = before if option.nargs else before[0]
    args.command = command
    return []


def _values(args: argparse.Namespace, actions: Sequence[argparse.Action]) -> list[str]:
    """Return the words that the parser gave to arguments without an option."""
    values: list[str] = []
    for action in actions:
        value = getattr(args, action.dest)
        values += value if isinstance(value, list) else [] if value is None else [value]
    return values


def choose_queue(args: argparse.Namespace) -> None:
    """Fill in the queue that a verb means where none is named, and tell which.

    Raises
    ------
    UnknownQueueError
        If there is none, if there are several and the verb changes them, or if the verb wants it
        named.
    """
    default = getattr(args, 'queue_default', None)
    if default in (None, QueueDefault.ALL, QueueDefault.NONE) or args.queue:
        return
    from ..config import Config
    from ..errors import UnknownQueueError
    from ..queue.location import short
    from ..queue.names import original_files, queue_folder, unknown_queue

    config = Config()
    folders = _by_time(config)
    if not folders:
        originals = original_files([], config)
        if originals:
            raise unknown_queue(queue_folder(originals[0], config=config))
        raise UnknownQueueError(
            f'There are no queues in {config.queue_dir}, nor in this folder. Nothing was done. '
            'Make one with:\n'
            'desipipe new my_project'
        )
    names = [short(folder, config) for folder in folders]
    if default is QueueDefault.NAMED or (default is QueueDefault.ONLY and len(names) > 1):
        raise UnknownQueueError(
            f'No queue was named. Nothing was done. You have {plural(len(names), "queue")}'
            f'{", first those that changed last" if len(names) > 1 else ""}: '
            f'{", ".join(names[:8])}{", …" if len(names) > 8 else ""}. Name one:\n'
            f'desipipe {args.verb} -q {names[0]}'
        )
    others = len(names) - 1
    why = f'which changed last (others: {others:,d})' if others else 'your only one'
    hint(f'Queue {names[0]}, {why}.')
    args.queue = [folders[0]] if args.several_queues else folders[0]


def _by_time(config: Config) -> list[str]:
    """Return the folders of the user's queues, the one that changed last first."""
    from ..queue.names import own_queues
    from ..store.journal_file import FILE_NAME

    changed: dict[str, float] = {}
    for folder in own_queues(config):
        try:
            changed[folder] = os.lstat(os.path.join(folder, FILE_NAME)).st_mtime
        except FileNotFoundError:
            continue  # deleted meanwhile
    return sorted(changed, key=lambda folder: -changed[folder])
