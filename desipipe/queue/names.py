"""Names of queues, and the folders that they stand for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from ..config import Config
from ..errors import (
    ConfigError,
    InvalidQueueNameError,
    PermissionDeniedError,
    UnknownQueueError,
    close_names,
)
from ..store.journal_file import FILE_NAME
from ..utils import quote, sentence
from .faults import patiently

SUFFIX = '.queue'
ORIGINAL_SUFFIX = '.sqlite'  # of the queues of desipipe 1.0
_NAME = r'[A-Za-z0-9_][A-Za-z0-9_.+=@-]{0,127}'
_OWN_PATTERNS = ('*', './*', './queues/*')
OPEN_PATIENCE_S = 5.0  # for faults of the filesystem that pass, when a queue is opened


def check_name(name: str) -> str:
    """Return the name, if a queue may have it.

    Raises
    ------
    InvalidQueueNameError
    """
    if not re.fullmatch(_NAME, name) or name.endswith(SUFFIX):
        raise InvalidQueueNameError(
            f'{name!r} cannot be the name of a queue: use letters, digits and any of _ . + = @ -, '
            'beginning with a letter, a digit or _ '
            f'(no {SUFFIX!r} at the end, 128 characters at most). Nothing was created.'
        )
    return name


def queue_folder(
    name: str, base_dir: str | os.PathLike[str] | None = None, config: Config | None = None
) -> str:
    """Return the folder of the queue ``name``, which may not exist.

    Parameters
    ----------
    name : str
        ``'name'`` or ``'folder/name'`` in the user's queue folder, ``'user/name'`` in that of
        another, if there is such a queue, or a path (``'./name'``, ``'/scratch/name'``). What
        `str(queue)`, its `filename` and listings say is understood too.
    base_dir : path, default=None
        The folder that holds the queue, or the folders that ``name`` names.
    config : Config, default=None

    Raises
    ------
    InvalidQueueNameError
    """
    name = os.fspath(name)
    stem = name.rstrip('/').removesuffix(os.sep + FILE_NAME).removesuffix(ORIGINAL_SUFFIX)
    stem = stem.removesuffix(SUFFIX) if os.sep in stem else stem
    if base_dir is not None and not os.path.isabs(stem):
        folder, _, last = stem.rpartition('/')
        base = os.path.abspath(os.path.expanduser(os.fspath(base_dir)))
        return os.path.join(base, *_subfolders(name, folder), check_name(last) + SUFFIX)
    config = config or Config()
    if name.startswith(('./', '../', '/', '~')):
        check_name(os.path.basename(stem))  # as typed: './..' is no name
        folder, last = os.path.split(os.path.abspath(os.path.expanduser(stem)))
        return os.path.join(folder, check_name(last) + SUFFIX)
    if '/' in stem:
        folder, _, last = stem.rpartition('/')
        own = os.path.join(config.queue_dir, *_subfolders(name, folder), check_name(last) + SUFFIX)
        theirs = of_user(name, config)
        return theirs if theirs and queue_exists(theirs) and not queue_exists(own) else own
    return os.path.join(config.queue_dir, check_name(stem) + SUFFIX)


def of_user(name: str, config: Config) -> str:
    """Return the folder of the queue ``user/name``.

    Empty for other names and for unknown users.
    """
    user, _, last = name.rstrip('/').removesuffix(SUFFIX).partition('/')
    if not last or not re.fullmatch(_NAME, user) or not re.fullmatch(_NAME, last):
        return ''
    try:
        return os.path.join(config.queue_dir_of(user), check_name(last) + SUFFIX)
    except ConfigError:  # nobody of that name has a home here
        return ''


def _subfolders(name: str, folder: str) -> list[str]:
    parts = [part for part in folder.split('/') if part not in ('', '.')]
    if not all(re.fullmatch(_NAME, part) for part in parts):
        raise InvalidQueueNameError(
            f'{name!r} is no queue: use name, folder/name, user/name, or a path that begins with '
            './ or /. '
            'In names, use letters, digits and any of _ . + = @ -. Nothing was created.'
        )
    return parts


def find_queues(
    pattern: str = '*', base_dir: str | os.PathLike[str] | None = None, config: Config | None = None
) -> list[str]:
    """Return the folders of the queues whose names match a glob pattern.

    Parameters
    ----------
    pattern : str, default='*'
        As the names of :func:`queue_folder`, with ``*``, ``?``, ``[…]``.
    """
    stem = pattern.rstrip('/').removesuffix(SUFFIX)
    folders = _matching(stem, SUFFIX, base_dir, config or Config())
    return [one for one in folders if os.path.isfile(os.path.join(one, FILE_NAME))]


def own_queues(config: Config) -> list[str]:
    """Return the folders of the user's queues, and of those of the present folder.

    That is of the queues in it and in its folder ``queues``, where projects keep theirs.
    """
    matching = (find_queues(pattern, config=config) for pattern in _OWN_PATTERNS)
    return list(dict.fromkeys(folder for folders in matching for folder in folders))


def _matching(
    pattern: str, suffix: str, base_dir: str | os.PathLike[str] | None, config: Config
) -> list[str]:
    """Return the paths that fit a pattern of names, sorted."""
    import glob

    bases = [config.queue_dir] if base_dir is None else [base_dir]
    if base_dir is None and '/' in pattern:  # a folder of the user's, another user, or a path
        is_path = pattern.startswith(('./', '../', '/', '~'))
        bases = [''] if is_path else [*bases, config['base_queue_dir']]
    paths = (os.path.abspath(os.path.expanduser(os.path.join(base, pattern))) for base in bases)
    return sorted({path for one in paths for path in glob.glob(one + suffix)})


def original_file(folder: str) -> str:
    """Return the path of the queue of desipipe 1.0 beside ``folder``.

    Empty if there is none.
    """
    path = folder.removesuffix(SUFFIX) + ORIGINAL_SUFFIX
    return path if os.path.isfile(path) else ''


def original_files(patterns: Iterable[str], config: Config) -> list[str]:
    """Return the paths of queues of desipipe 1.0 that were not taken over.

    Parameters
    ----------
    patterns : iterable of str
        Names and patterns, as of :func:`find_queues`; none of them means where
        :func:`own_queues` looks.
    config : Config
    """
    paths: dict[str, None] = {}
    for pattern in list(patterns) or _OWN_PATTERNS:
        stem = pattern.rstrip('/').removesuffix(SUFFIX).removesuffix(ORIGINAL_SUFFIX)
        fitting = _matching(stem, ORIGINAL_SUFFIX, None, config)
        paths.update(dict.fromkeys(path for path in fitting if os.path.isfile(path)))
    return sorted(path for path in paths if not os.path.isdir(_successor(path)))


def _successor(path: str) -> str:
    """Return the folder of the queue that takes the place of one of desipipe 1.0."""
    return path.removesuffix(ORIGINAL_SUFFIX) + SUFFIX


def import_command(path: str) -> str:
    """Return what one types to take over a queue of desipipe 1.0."""
    return f'desipipe import {quote(path)}'


def queue_exists(folder: str) -> bool:
    """Return True if a folder holds a queue.

    A fault of the filesystem that passes is no answer.
    """
    return patiently(lambda: _exists(folder), OPEN_PATIENCE_S)


def _exists(folder: str) -> bool:
    try:
        os.stat(os.path.join(folder, FILE_NAME))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError as exc:
        raise PermissionDeniedError(
            f'You have no permission to look into {folder} ({exc.strerror}). Nothing was changed. '
            'Ask its owner, or choose another queue.'
        ) from None
    return True


def unknown_queue(folder: str) -> UnknownQueueError:
    """Return the error for a queue that does not exist, with the names that do."""
    import glob

    parent, last = os.path.split(folder)
    names = [
        os.path.basename(path).removesuffix(SUFFIX)
        for path in glob.glob(os.path.join(glob.escape(parent), '*' + SUFFIX))
    ]
    name = last.removesuffix(SUFFIX)
    old = original_file(folder)
    if old:
        problem = f'{old} is a queue of desipipe 1.0. Nothing was changed'
        advice = 'Take its tasks and results over into a queue of this version'
        return UnknownQueueError(f'{problem}. {advice}:\n{import_command(old)}')
    return UnknownQueueError(
        f'There is no queue {name!r} in {parent}: {sentence(close_names(name, names))} List queues '
        'with: desipipe queues'
    )
