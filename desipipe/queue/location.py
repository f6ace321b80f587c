"""Queues and tasks, by what people type.

Imported by every face before anything is done: what is heavy is imported where it is needed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

from ..utils import is_pattern, quote, working_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..config import Config
    from ..errors import UnknownQueueError
    from .queue import Queue

_INDEXED = r'(.+)\[(\d+)\]'


def find_folder(name: str, config: Config) -> str:
    """The folder of the queue that someone typed.

    Raises
    ------
    UnknownQueueError
        There is none.
    """
    from .names import ORIGINAL_SUFFIX, SUFFIX, of_user, queue_exists, queue_folder

    stem = name.rstrip('/')
    here = os.path.isdir(stem) if stem.endswith(SUFFIX) else os.path.isfile(stem)
    if stem.endswith((SUFFIX, ORIGINAL_SUFFIX)) and here:
        name = (
            os.path.join('.', stem) if not os.path.isabs(stem) else stem
        )  # as a shell completes it
    theirs = of_user(name, config)
    folder = theirs if theirs and queue_exists(theirs) else queue_folder(name, config=config)
    if not queue_exists(folder):
        raise _error_of_unknown(stem, folder)
    return folder


def _error_of_unknown(stem: str, folder: str) -> UnknownQueueError:
    """Return the error for an unknown name, with one of this folder if it fits."""
    from ..errors import UnknownQueueError
    from ..store.journal_file import FILE_NAME
    from .names import ORIGINAL_SUFFIX, SUFFIX, original_file, unknown_queue

    stem = stem.removesuffix(SUFFIX).removesuffix(ORIGINAL_SUFFIX)
    for path in (f'./{stem}', f'./queues/{stem}'):
        near = os.path.abspath(path + SUFFIX)
        if os.path.isfile(os.path.join(near, FILE_NAME)):
            parent, name = os.path.split(folder.removesuffix(SUFFIX))
            return UnknownQueueError(
                f'There is no queue {name!r} in {parent}: did you mean {path}?'
            )
        if original_file(near):
            return unknown_queue(near)
    return unknown_queue(folder)


def find_one(name: str, config: Config) -> str:
    """Return the folder of the one queue of a name, or of a pattern.

    Raises
    ------
    UnknownQueueError
        If there is none, or several fit the pattern.
    """
    from ..errors import UnknownQueueError

    folders = find_folders([name], config)
    if len(folders) > 1:
        raise UnknownQueueError(
            f'{len(folders):d} queues fit {name!r}, where one is meant. List them with: desipipe '
            f'queues {name!r}'
        )
    return folders[0]


def find_folders(names: Sequence[str], config: Config) -> list[str]:
    """The folders of the queues that someone typed, each once.

    Parameters
    ----------
    names : sequence of str
        Names, paths and patterns.
    config : Config

    Raises
    ------
    UnknownQueueError
        A name is unknown, or nothing fits a pattern.
    """
    from ..errors import UnknownQueueError
    from .names import find_queues

    folders: dict[str, None] = {}
    for name in names:
        matching = (
            find_queues(name, config=config) if is_pattern(name) else [find_folder(name, config)]
        )
        if not matching:
            raise UnknownQueueError(
                f'No queue fits {name!r}. Nothing was done. List queues with: desipipe queues'
            )
        folders.update(dict.fromkeys(matching))
    return list(folders)


def short(folder: str, config: Config | None = None) -> str:
    """Return the shortest `-q` argument for the queue in ``folder``."""
    from ..config import Config
    from .names import SUFFIX

    config = config or Config()
    stem = folder.removesuffix(SUFFIX)
    parent, name = os.path.split(stem)
    if parent == config.queue_dir:
        return name
    if os.path.dirname(parent) == config.base_queue_dir:
        return f'{os.path.basename(parent)}/{name}'
    here = working_folder()
    path = os.path.relpath(stem, here) if here else '..'
    return stem if path.startswith('..') else f'./{path}'


def type_queue(folder: str, config: Config | None = None) -> str:
    """``-q QUEUE`` as one types it."""
    return f'-q {quote(short(folder, config))}'


# Tasks


def find_task(queue: Queue, text: str) -> str:
    """Return the identity of the task that a user typed.

    That is its beginning, ``app[index]``, or the app's name if it has one task only.

    Of several tasks with the same ``app[index]`` (an older and a newer version of the code) the
    newest that is not superseded is meant.

    Raises
    ------
    UnknownTaskError
        None, or several.
    """
    from ..errors import UnknownTaskError

    ledger = queue.ledger
    indexed = re.fullmatch(_INDEXED, text)
    if indexed is None:
        try:
            return ledger.state.ids[ledger.find(text)].hex()
        except UnknownTaskError:
            rows = queue.select(name=text) or queue.select(name=text, superseded=True)
            if not rows:
                _refuse_queue(queue, text)
                raise
            if len(rows) > 1:
                raise UnknownTaskError(
                    f'{len(rows):d} tasks are named {text!r}: say which, such as {f"{text}[0]"!r}. '
                    f'List them with: {listing(queue, text)}'
                ) from None
    else:
        check_names(queue, [indexed[1]])
        named: dict[str, Any] = {'name': indexed[1], 'index': int(indexed[2])}
        rows = queue.select(**named) or queue.select(**named, superseded=True)
        if not rows:
            raise UnknownTaskError(
                f'There is no task {text}. List them with: {listing(queue, indexed[1])}'
            )
    return ledger.state.ids[rows[-1]].hex()


def _refuse_queue(queue: Queue, text: str) -> None:
    """Raise if what was typed as a task is the name of a queue beside this one."""
    from ..errors import UnknownTaskError
    from .names import SUFFIX

    folder = os.path.join(os.path.dirname(queue.folder), text + SUFFIX)
    if os.path.isdir(folder):
        raise UnknownTaskError(
            f'{text!r} is a queue, and no task of queue {queue.name}. Nothing was done. Write '
            f'before the tasks: {type_queue(folder, queue.config)}'
        )


def find_tasks(queue: Queue, texts: Iterable[str] | None) -> list[str] | None:
    """:func:`find_task` of each; ``None`` remains ``None``."""
    return None if texts is None else [find_task(queue, text) for text in texts]


def listing(queue: Queue, name: str) -> str:
    """The command that lists the tasks of an app."""
    return f'desipipe tasks {type_queue(queue.folder, queue.config)} --name {name}'


def check_names(queue: Queue, names: Iterable[str] | None) -> None:
    """Complain about names that no task has: they are mistyped.

    Raises
    ------
    UnknownTaskError
        With the close ones.
    """
    from ..errors import UnknownTaskError, close_names

    if names:
        queue.ledger.follow()
        existing = {group.name for group in queue.ledger.state.groups}
        for name in names:
            if name not in existing:
                near = close_names(name, existing)
                raise UnknownTaskError(
                    f'No task of this queue is named {name!r}: {near}'
                    f'{"" if near.endswith("?") else "."} Nothing was done. List tasks with: '
                    f'desipipe tasks {type_queue(queue.folder, queue.config)}'
                )
