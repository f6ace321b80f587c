"""Folders whose queues a server shows, and the names by which pages ask for them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..config import Config
from ..errors import InvalidQueueNameError, PermissionDeniedError
from ..queue.names import SUFFIX, find_queues, queue_folder

IN_JUPYTER = (
    'add its parent folder to c.DesipipeExtension.folders in jupyter_server_config.py, and start '
    'the server again'
)
"""Advice for a Jupyter server."""


class ShownFolders:
    """The folders whose queues a server shows.

    Parameters
    ----------
    root_dir : str
        The folder that the server shows.
    folders : sequence of str, default=()
        More folders whose queues may be asked for.
    how_to_show : str
        Advice for showing queues of another folder, after "To show it,".
    """

    def __init__(
        self, root_dir: str, folders: Sequence[str] = (), how_to_show: str = IN_JUPYTER
    ) -> None:
        self.root = os.path.abspath(os.path.expanduser(root_dir))
        self.extra = [os.path.join(self.root, os.path.expanduser(folder)) for folder in folders]
        self.how_to_show = how_to_show

    def folder(self, name: str) -> str:
        """The folder of the queue that a page names, whether it exists or not.

        Parameters
        ----------
        name : str
            ``'name'``, ``'user/name'``, or a path from the root.

        Raises
        ------
        InvalidQueueNameError, PermissionDeniedError
            It is no name of a queue; it lies outside of the folders that this server shows.
        """
        if '\0' in name or name.startswith(('.', '~')):
            raise InvalidQueueNameError(
                f'{name!r} is no name of a queue here: use its name, user/name, or its path from '
                'the root (/…). Nothing was done.'
            )
        config = Config()
        folder = queue_folder(name, config=config)
        self._confine(folder, config)
        return folder

    def _confine(self, folder: str, config: Config) -> None:
        # Links are followed first: what counts is where the files are.
        real = os.path.realpath(folder)
        for root in (config.base_queue_dir, config.queue_dir, self.root, *self.extra):
            if _inside(real, os.path.realpath(root)):
                return
        raise PermissionDeniedError(
            f'{folder} is outside of the folders whose queues this server shows. Nothing was done. '
            f'To show it, {self.how_to_show}.'
        )

    def shown(self, folder: str) -> str | None:
        """Return a folder's path from the server's root; None if it is outside of it."""
        real, root = os.path.realpath(folder), os.path.realpath(self.root)
        return os.path.relpath(real, root) if folder and _inside(real, root) else None

    def places(self, asked: Sequence[str] = ()) -> list[str]:
        """Return folders to search for queues: the user's, the configured, and the asked."""
        config = Config()
        places = [config.queue_dir, self.root, *self.extra]
        for text in asked:
            if '\0' in text or text.startswith('~'):
                raise InvalidQueueNameError(
                    f'{text!r} is no folder: use a path from the root (/…), or one below the '
                    'folder that the server shows'
                )
            path = os.path.normpath(os.path.join(self.root, text))
            self._confine(path, config)
            places.append(path)
        return list(dict.fromkeys(places))

    def find(self, asked: Sequence[str] = ()) -> list[str]:
        """The folders of all queues in :meth:`places`."""
        return list(
            dict.fromkeys(
                folder for base in self.places(asked) for folder in find_queues('*', base)
            )
        )


def _inside(path: str, root: str) -> bool:
    return os.path.commonpath([path, root]) == root


def short(folder: str, config: Config) -> str:
    """The shortest name by which a page can ask for the queue in ``folder``."""
    stem = folder.removesuffix(SUFFIX)
    parent, name = os.path.split(stem)
    if parent == config.queue_dir:
        return name
    return (
        f'{os.path.basename(parent)}/{name}'
        if os.path.dirname(parent) == config.base_queue_dir
        else stem
    )
