"""Origins of files: what made them, from what, and if that still holds."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

from ..provenance import Content
from ..store import files
from ..utils import format_bytes
from .file_content import content
from .note_folder import FOLDER, TEXT_MAX, is_file, word
from .origins import Look, fitting_note

_SHOWN = 20  # files that one was made of, for people


@dataclass(frozen=True)
class Input:
    """A file that another one was made of."""

    path: str
    content: Content
    """Its content at that time."""
    same: bool | None
    """True if it still has that content; None if it is gone."""
    stale: bool = False
    """True if a file that it was made of, directly or not, has another content now."""


@dataclass(frozen=True)
class Provenance:
    """Origin of a file: what made it, from what and with what, and if it still holds."""

    path: str
    state: str
    """``'missing'``, ``'stale'`` (a file it was made of, or one further up, holds something else
    now), ``'current'``.
    """
    same: bool | None = None
    """True if it holds what the task wrote; None if it is missing, or its origin is unknown."""
    task: str = ''
    """Identity of the task; empty if nothing is known."""
    attempt: int = 0
    app: str = ''
    """Name of the app."""
    queue: str = ''
    """Folder of the queue."""
    time: float = 0.0
    """Time at which it was saved, seconds since the epoch."""
    user: str = ''
    host: str = ''
    content: Content | None = None
    """Content that the task wrote."""
    code: str = ''
    """Identity of the app version."""
    script: str = ''
    """Name under which the app's source is kept."""
    versions: dict[str, str] = field(default_factory=dict)
    """See :func:`desipipe.provenance.snapshot`."""
    inputs: tuple[Input, ...] = ()
    changed: tuple[str, ...] = ()
    """Files, however far up, that hold something else now than when it, or what it was made of,
    was made of them.
    """

    @property
    def source(self) -> str:
        """The app's source; empty if it is not kept (any more)."""
        folder, name = os.path.split(self.script)
        try:
            return files.read_file(os.path.dirname(folder), f'{FOLDER}/{name}', TEXT_MAX).decode(
                errors='replace'
            )
        except OSError:
            return ''

    def to_dict(self) -> dict[str, Any]:
        """All of it, as plain data."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain['content'] = self.content._asdict() if self.content else None
        plain['inputs'] = [
            {'path': item.path, **item.content._asdict(), 'same': item.same, 'stale': item.stale}
            for item in self.inputs
        ]
        return plain

    def __repr__(self) -> str:
        lines = [self.path]
        if not self.task:
            lines.append(
                'is missing, and no task is known to have made it'
                if self.state == 'missing'
                else 'is there; no task is known to have made it'
            )
            return '\n  '.join(lines)
        lines.append(self._state_text())
        when = time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(self.time))
        lines.append(
            f'made by {self.app}, task {self.task[:12]}, attempt {self.attempt:d}, on {self.host} '
            f'by {self.user}, {when}'
        )
        if self.content:
            lines.append(f'{format_bytes(self.content.size)}, sha256 {self.content.sha256}')
        inputs = sorted(self.inputs, key=lambda item: not _mark(item))  # those to know of first
        lines += [f'of {item.path}{_mark(item)}' for item in inputs[:_SHOWN]]
        lines += [f'… and of {len(inputs) - _SHOWN:,d} more files'] if len(inputs) > _SHOWN else []
        lines.append(f'code {self.script or self.code}')
        if self.versions:
            lines.append(
                'with '
                + ', '.join(
                    f'{name} {value}'
                    for name, value in self.versions.items()
                    if '\n' not in value and len(value) < 80
                )
            )
        lines.append(f'queue {self.queue}')
        return '\n  '.join(lines)

    def _state_text(self) -> str:
        if self.same is False:
            return 'changed: something else than the task wrote is in it now'
        if self.state == 'current' and any(item.same is None for item in self.inputs):
            return 'current: as the task wrote it; not all it was made of is still there'
        return {
            'missing': 'missing: it was made, and is gone',
            'stale': (
                f'stale: {", ".join(self.changed[:3])}{" and others" * (len(self.changed) > 3)}, '
                'which it was made of, directly or not, changed since'
            ),
            'current': 'current: as the task wrote it, and so is all it was made of',
        }[self.state]


def _mark(item: Input) -> str:
    parts = (
        ['changed'] * (item.same is False) + ['gone'] * (item.same is None) + ['stale'] * item.stale
    )
    return f' ({", ".join(parts)})' if parts else ''


def provenance_of(path: str | os.PathLike[str]) -> Provenance:
    """Return the origin of a file, as far as it is noted beside it.

    Parameters
    ----------
    path : str, PathLike

    Returns
    -------
    provenance : Provenance
    """
    path = os.path.realpath(path)
    exists = os.path.exists(path)
    look = Look()
    note, same = fitting_note(path, look.records(path))
    if note is None:
        return Provenance(path, 'current' if exists else 'missing')
    sources = note.inputs
    inputs = tuple(
        Input(
            name,
            old,
            now := look.same(name, old),
            now is not False and bool(look.changed(name, look.above((name, old)))),
        )
        for name, old in sources
    )
    changed = tuple(look.changed(path, sources))
    folder = os.path.dirname(path)
    script = f'{word(note.app)}-{word(note.code[:16])}.py'
    return Provenance(
        path,
        'missing' if not exists else 'stale' if same and changed else 'current',
        same,
        note.task,
        note.attempt,
        note.app,
        note.queue,
        note.time,
        note.user,
        note.host,
        note.content,
        note.code,
        os.path.join(folder, FOLDER, script) if is_file(folder, script) else '',
        _read_versions(folder, f'versions-{word(note.versions)}.txt'),
        inputs,
        changed,
    )


def state_of(path: str, look: Look | None = None) -> str:
    """``'missing'``, ``'stale'`` or ``'current'``, see :class:`Provenance`."""
    path = os.path.realpath(path)
    if not os.path.exists(path):
        return 'missing'
    look = look or Look()
    note, same = fitting_note(path, look.records(path))
    return 'stale' if note is not None and same and look.changed(path, note.inputs) else 'current'


def content_for(path: str, app: str) -> str:
    """Return the digest of a file for the tasks of an app, '' for what these wrote.

    What an app writes is an argument of its tasks as much as what it reads. If it counted, a task
    would be another one as soon as it has run.
    """
    path = os.path.realpath(path)
    note, same = fitting_note(path, Look().records(path))
    if note is not None and same:
        return '' if note.app == app else note.sha256
    now = content(path)
    return '' if now is None else now.sha256


def _read_versions(folder: str, name: str) -> dict[str, str]:
    try:
        text = files.read_file(folder, f'{FOLDER}/{name}', TEXT_MAX).decode(errors='replace')
    except OSError:
        return {}
    return dict(line.split('=', 1) for line in text.split('\n') if '=' in line)
