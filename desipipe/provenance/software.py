"""Software that a process runs with: packages, repository, environment."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from ..security.secrets import HIDDEN, KeptSecret

__all__ = ['snapshot', 'versions']


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
    from .repository import repository

    # Once in the life of a process: what has been imported does not change with the files.
    return repository(folder)[0]


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
