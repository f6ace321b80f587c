"""The files of the page that `desipipe serve` shows, as they were built."""

from __future__ import annotations

import mimetypes
import os
from pathlib import Path

from ..errors import MissingDependencyError

FOLDER = Path(__file__).with_name('page')
INDEX = 'index.html'
"""The page itself."""


class PageFiles:
    """The built files, read once, so that no request reaches the disk.

    Parameters
    ----------
    folder : path, default=FOLDER
        Folder of the build.

    Raises
    ------
    MissingDependencyError
        The page was not built.
    """

    def __init__(self, folder: str | os.PathLike[str] = FOLDER) -> None:
        folder = Path(folder)
        if not (folder / INDEX).is_file():
            raise MissingDependencyError(
                'This installation of desipipe has no page to show: it was made without its '
                'JupyterLab side. Nothing was started. Install a wheel of desipipe, or build the '
                'page in its source folder (needs Node): make labextension'
            )
        self._files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file; None if there is none of this name."""
        return self._files.get(name)

    @staticmethod
    def content_type(name: str) -> str:
        """Return the media type of a file."""
        kind = {'.js': 'text/javascript', '.css': 'text/css', '.html': 'text/html'}
        suffix = os.path.splitext(name)[1]
        guessed = kind.get(suffix) or mimetypes.guess_type(name)[0] or 'application/octet-stream'
        return f'{guessed}; charset=utf-8' if guessed.startswith('text/') else guessed
