"""Files that a running task reads and writes, and what is saved beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..machine import machine, process_alive, process_start

__all__ = ['Content', 'Making', 'machine', 'process_alive', 'process_start']


class Content(NamedTuple):
    """The content of a file."""

    size: int
    """Bytes."""
    mtime: int
    """Last change, nanoseconds since the epoch: with ``size`` a quick check."""
    sha256: str
    """Digest, hexadecimal."""


SAVED = ('code', 'versions')
"""Kinds of provenance that are saved beside files where an app names none."""
SAVED_NOTHING = ('nothing',)
"""Value of an app whose ``save_attrs`` are empty."""
SAVED_WITH_FILES = frozenset({*SAVED, *SAVED_NOTHING, 'cwd'})
"""Those of an app's ``save_attrs`` that are saved beside files."""


class SavedAttrs(NamedTuple):
    """The attributes that an app saves beside the files that its tasks save."""

    attrs: tuple[str, ...] = SAVED
    """Members of :data:`SAVED_WITH_FILES`."""
    folder: str = ''
    """Folder; by default beside each file."""
    cwd: str = ''
    """Folder of the call, for ``'cwd'``."""


class Making:
    """Running attempt of a task: what makes files meanwhile, and from what.

    Parameters
    ----------
    queue : str
        Folder.
    tid : str
        Identity.
    attempt : int
    name : str
        The app's.
    app : str
        Identity of the app version, hexadecimal.
    source : callable
        Gives the source of the app.
    folder : str, default=''
        The script's, see :func:`.software.snapshot`.
    environ : dict, default=None
        The declared environment.
    saved : SavedAttrs, default=None
        What to save beside files.
    """

    __slots__ = (
        'app',
        'attempt',
        'before',
        'environ',
        'folder',
        'name',
        'queue',
        'read',
        'saved',
        'source',
        'tid',
        'written',
    )

    def __init__(
        self,
        queue: str,
        tid: str,
        attempt: int,
        name: str,
        app: str,
        source: Callable[[], str],
        folder: str = '',
        environ: Mapping[str, object] | None = None,
        saved: SavedAttrs | None = None,
    ) -> None:
        self.saved = saved or SavedAttrs()
        self.queue = queue
        self.tid = tid
        self.attempt = attempt
        self.name = name
        self.app = app
        self.source = source
        self.folder = folder
        self.environ = environ
        self.read: dict[str, Content] = {}
        """Files that were loaded, by absolute path, as they were."""
        self.written: dict[str, Content] = {}
        """Files that were saved."""
        self.before: dict[str, int] = {}
        """Number that had been loaded when each of these was saved; not told of one: it is not
        known.
        """

    @property
    def is_unused(self) -> bool:
        """Return True if no file was read or written."""
        return not (self.read or self.written or self.before)

    def join(self, report: bytes) -> dict[str, Content]:
        """Add what another process of the same task read and wrote; return what it read.

        What one wrote and another one read is an output of the task, and no input. Of what several
        wrote, the last one is there.
        """
        import orjson

        read: dict[str, Content] = {}
        for line in map(orjson.loads, report.splitlines()):
            path, content = line['path'], Content(line['size'], line['mtime'], line['sha256'])
            if line['do'] == 'read':
                read[path] = content
            elif path not in self.written or self.written[path].mtime < content.mtime:
                self.written[path] = content
        self.read.update(read)
        for path, content in self.written.items():
            if path in self.read and self.read[path].sha256 == content.sha256:
                del self.read[path]
        return read

    def report(self) -> bytes:
        """Report what was read and written, a JSON line a file, in that order.

        ``of`` of those that were written is how many of those were read first.
        """
        if not self.read and not self.written:
            return b''
        import orjson

        lines: list[dict[str, object]] = [
            {'do': 'read', 'path': path, **content._asdict()} for path, content in self.read.items()
        ]
        for path, content in self.written.items():
            lines.append(
                {
                    'do': 'write',
                    'path': path,
                    **content._asdict(),
                    **({'of': self.before[path]} if path in self.before else {}),
                }
            )
        return b''.join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)


making: Making | None = None
"""Attempt that this process runs, for all of its threads; set by what runs the task."""
