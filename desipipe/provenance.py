"""Record the versions, the repository and the files that a task ran with."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from .machine import Machine, machine, process_alive, process_start
from .security.secrets import HIDDEN, KeptSecret

__all__ = [
    'Content',
    'Machine',
    'Making',
    'machine',
    'process_alive',
    'process_start',
    'repository',
    'snapshot',
    'versions',
]


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of the installed distributions that top-level packages come from.

    Each is looked up once in the life of a process: a version that is upgraded underneath it is not
    what it has loaded.

    Parameters
    ----------
    packages : iterable of str
        Names as they are imported, such as ``'numpy'`` or ``'yaml'``; of ``'scipy.special'`` the
        part before the dot counts.

    Returns
    -------
    versions : dict
        Sorted by name. What is not an installed distribution (the standard library, files beside
        the notebook) is left out. Of a name space that several distributions share, all are named:
        ``'sphinxcontrib-applehelp 2.0.0, …'``.
    """
    versions = {}
    for package in sorted({package.partition('.')[0] for package in packages} - {''}):
        version = _version(package)
        if version:
            versions[package] = version
    return versions


@functools.cache
def _version(package: str) -> str:
    if package in sys.stdlib_module_names:
        return ''
    from importlib import metadata

    # Most distributions have the name of their package, and asking for one is a hundred times
    # cheaper than looking into all of them.
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        names = sorted(set(_distributions().get(package, ())))
    if len(names) == 1:
        return metadata.version(names[0])
    return ', '.join(f'{name} {metadata.version(name)}' for name in names)


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    from importlib import metadata

    return metadata.packages_distributions()


# --------------------------------------------------------------------------------------------------
# Everything that a process runs with


def snapshot(folder: str = '', environ: Mapping[str, object] | None = None) -> dict[str, str]:
    """Return all that this process's results may depend on besides code and data.

    Distributions are found by their folders' names (one listing for each entry of ``sys.path``), so
    that a look costs a millisecond, and it is taken again only when something new was imported.

    Parameters
    ----------
    folder : str, default=''
        That of the script; of the `git` repository that it is in, commit, branch and changes are
        noted.
    environ : dict, default=None
        The declared environment, as :meth:`~desipipe.environment.BaseEnvironment.to_spec` says it.

    Returns
    -------
    versions : dict
        ``python``, ``platform``; versions of imported packages by the name one imports; and, where
        there are some, under names that no package has: ``git commit``, ``git branch``, ``git
        diff`` (sha256 of what differs from the commit), ``conda environment``, ``virtual
        environment``, ``environment modules``, ``declared environment``.
    """
    return {
        **_versions(len(sys.modules)),
        **(_git(folder) if folder else {}),
        **_declared(environ or {}),
    }


@functools.lru_cache(maxsize=1)
def _versions(imported: int) -> dict[str, str]:
    uname = os.uname()
    versions = {
        'python': '.'.join(map(str, sys.version_info[:3])),
        'platform': f'{uname.sysname}-{uname.release}-{uname.machine}',
    }
    packages = {}
    # `__main__`, and what the user's own files are, have no version; names with underscores are
    # parts of others.
    for name, module in list(sys.modules.items()):
        if '.' in name or name.startswith('_') or name in sys.stdlib_module_names:
            continue
        version = (
            _installed().get(_normal(name))
            or getattr(module, '__version__', None)
            or _foreign(name, module)
        )
        if version and isinstance(version, str):
            packages[name] = version
    versions.update(sorted(packages.items()))
    if os.environ.get('CONDA_DEFAULT_ENV'):
        versions['conda environment'] = os.environ['CONDA_DEFAULT_ENV']
    if sys.prefix != sys.base_prefix:
        versions['virtual environment'] = sys.prefix
    if os.environ.get('LOADEDMODULES'):
        versions['environment modules'] = os.environ['LOADEDMODULES']
    return versions


def _foreign(name: str, module: object) -> str:
    # Installed under another name than one imports, and without a version of its own: looked for in
    # all distributions, which takes long.
    file = getattr(module, '__file__', None) or next(iter(getattr(module, '__path__', ())), '')
    return _version(name) if '/site-packages/' in file or '/dist-packages/' in file else ''


@functools.cache
def _installed() -> dict[str, str]:
    """Versions of all distributions, by normalised name."""
    versions: dict[str, str] = {}
    for entry in dict.fromkeys(sys.path):
        try:
            names = os.listdir(entry or os.curdir)
        except OSError:  # a zip archive, or not there: as when importing
            continue
        for name in names:
            stem, suffix = os.path.splitext(name)
            if suffix in ('.dist-info', '.egg-info') and '-' in stem:
                distribution, version = stem.split('-')[:2]
                versions.setdefault(_normal(distribution), version)
    return versions


def _normal(name: str) -> str:
    return name.lower().replace('-', '_').replace('.', '_')


@functools.cache
def _git(folder: str) -> dict[str, str]:
    return repository(folder)[
        0
    ]  # once in the life of a process: what has been imported does not change with the files


def repository(folder: str) -> tuple[dict[str, str], bytes]:
    """The state, now, of the `git` repository that a folder is in.

    Parameters
    ----------
    folder : str

    Returns
    -------
    state, changes : dict, bytes
        As of :func:`snapshot`, and what differs from the commit, as ``git diff`` writes it: ``git
        diff`` of the state is its sha256. Both are empty if the folder is in none, or `git` can't
        tell within seconds.
    """
    import hashlib
    import subprocess

    # A look, before a process is started for nothing.
    parent = os.path.abspath(folder)
    while not os.path.exists(os.path.join(parent, '.git')):
        if parent == os.path.dirname(parent):
            return {}, b''
        parent = os.path.dirname(parent)

    def ask(*options: str) -> bytes:
        # Nothing that the repository's configuration could have run; and no lock taken, for someone
        # may be at work there.
        argv = ['git', '--no-optional-locks', '-c', 'core.fsmonitor=false', '-C', folder, *options]
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=5.0
        ).stdout

    changes = b''
    try:
        lines = (
            ask('status', '--porcelain=v2', '--branch', '--untracked-files=no')
            .decode(errors='replace')
            .splitlines()
        )
        heads = dict(
            line[len('# branch.') :].split(' ', 1)
            for line in lines
            if line.startswith('# branch.') and ' ' in line[len('# branch.') :]
        )
        repository = {'git commit': heads.get('oid', ''), 'git branch': heads.get('head', '')}
        if any(not line.startswith('#') for line in lines):
            changes = ask(
                'diff',
                '--no-ext-diff',
                '--no-textconv',
                '--binary',
                *([] if repository['git commit'] == '(initial)' else ['HEAD']),
            )
            repository['git diff'] = hashlib.sha256(changes).hexdigest()
    except (OSError, subprocess.SubprocessError):  # no git, not our repository, a huge one
        return {}, b''
    return {name: value for name, value in repository.items() if value}, changes


def _declared(environ: Mapping[str, object]) -> dict[str, str]:
    if (
        not any(environ.get(key) for key in ('data', 'command'))
        and environ.get('name', 'base') == 'base'
    ):
        return {}
    import orjson

    return {
        'declared environment': orjson.dumps(_without_secrets(dict(environ)), default=str).decode()
    }


def _without_secrets(value: Any) -> Any:
    if KeptSecret.of(value) is not None:
        return HIDDEN
    if isinstance(value, Mapping):
        return {key: _without_secrets(item) for key, item in value.items()}
    return [_without_secrets(item) for item in value] if isinstance(value, list | tuple) else value


# --------------------------------------------------------------------------------------------------
# What a task reads and writes


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
        The script's, see :func:`snapshot`.
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
