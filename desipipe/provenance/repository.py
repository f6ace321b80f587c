"""State of the `git` repository that a folder is in."""

from __future__ import annotations

import hashlib
import os
import subprocess

__all__ = ['repository']

_STATUS = ('status', '--porcelain=v2', '--branch', '--untracked-files=no')
_DIFF = ('diff', '--no-ext-diff', '--no-textconv', '--binary')


def repository(folder: str) -> tuple[dict[str, str], bytes]:
    """Return the present state of the `git` repository that a folder is in.

    Parameters
    ----------
    folder : str

    Returns
    -------
    state, changes : dict, bytes
        As of :func:`.software.snapshot`, and what differs from the commit, as ``git
        diff`` writes it: ``git diff`` of the state is its sha256. Both are empty if the folder is
        in none, or `git` can't tell within seconds.
    """
    if not _is_in_repository(folder):
        return {}, b''
    changes = b''
    try:
        lines = _ask(folder, *_STATUS).decode(errors='replace').splitlines()
        heads = dict(
            line[len('# branch.') :].split(' ', 1)
            for line in lines
            if line.startswith('# branch.') and ' ' in line[len('# branch.') :]
        )
        repository = {'git commit': heads.get('oid', ''), 'git branch': heads.get('head', '')}
        if any(not line.startswith('#') for line in lines):
            commit = [] if repository['git commit'] == '(initial)' else ['HEAD']
            changes = _ask(folder, *_DIFF, *commit)
            repository['git diff'] = hashlib.sha256(changes).hexdigest()
    except (OSError, subprocess.SubprocessError):  # no git, not our repository, a huge one
        return {}, b''
    return {name: value for name, value in repository.items() if value}, changes


def _is_in_repository(folder: str) -> bool:
    # A look, before a process is started for nothing.
    parent = os.path.abspath(folder)
    while not os.path.exists(os.path.join(parent, '.git')):
        if parent == os.path.dirname(parent):
            return False
        parent = os.path.dirname(parent)
    return True


def _ask(folder: str, *options: str) -> bytes:
    # Nothing that the repository's configuration could have run; and no lock taken, for someone
    # may be at work there.
    argv = ['git', '--no-optional-locks', '-c', 'core.fsmonitor=false', '-C', folder, *options]
    return subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=5.0
    ).stdout
