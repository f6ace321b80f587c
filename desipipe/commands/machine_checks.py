"""Checks of this machine: Python, programs, configuration, folders."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .findings import Finding

if TYPE_CHECKING:
    import subprocess

    from ..config import Config

_PACKAGES = ('cloudpickle', 'filelock', 'numpy', 'orjson', 'pyyaml', 'rich')
_SPACE = 100e6  # bytes


def check_python() -> Finding:
    """Check versions of Python and of packages."""
    from importlib import metadata

    from .._version import __version__

    versions, missing = (
        [f'Python {".".join(map(str, sys.version_info[:3]))}', f'desipipe {__version__}'],
        [],
    )
    for package in _PACKAGES:
        try:
            versions.append(f'{package} {metadata.version(package)}')
        except metadata.PackageNotFoundError:
            missing.append(package)
    if missing:
        return Finding(
            'python',
            False,
            f'{", ".join(versions)}; missing: {", ".join(missing)}',
            f'{sys.executable} -m pip install {" ".join(missing)}',
        )
    return Finding('python', True, ', '.join(versions))


def read_config() -> Config:
    """Read the configuration, with all that a queue needs of it."""
    from ..config import Config

    config = Config()
    config.queue_dir_of(config.user)  # it may hold a variable that is not set
    return config


def check_programs() -> Iterator[Finding]:
    """Check for mpiexec, and for Slurm and its programs."""
    import shutil

    mpiexec = shutil.which('mpiexec')
    yield Finding('MPI', None, mpiexec or 'No mpiexec here; tasks of several MPI processes need it')
    if shutil.which('sbatch') is None:
        yield Finding('Slurm', None, 'No sbatch here; the provider slurm needs it')
    else:
        yield from _check_slurm()


def _check_slurm() -> Iterator[Finding]:
    import shutil

    from ..provider.slurm_choices import choices

    programs = ('squeue', 'scancel', 'scontrol', 'srun')
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        yield Finding('Slurm', False, f'There is sbatch, but no {", ".join(missing)}', 'echo $PATH')
    names = {what: choices(what) for what in ('partition', 'constraint', 'account', 'qos')}
    if not names['partition']:
        here = bool(os.environ.get('SLURM_CONF')) or os.path.exists('/etc/slurm/slurm.conf')
        yield Finding(
            'Slurm',
            False if here else None,
            'Slurm is not responding; jobs stay pending until it does',
            'scontrol ping',
        )
        return
    text = '; '.join(
        f'{what}: {", ".join(values)}' if values else f'{what}: not known'
        for what, values in names.items()
    )
    yield Finding('Slurm', True, f'It answers. {text}')
    if shutil.which('sacct') is None or not names['account']:
        yield Finding(
            'Slurm accounts',
            None,
            'It keeps none, or does not show them: why a job ended is then known for some minutes '
            'only',
        )


def check_node_sees(folder: str) -> Iterator[Finding]:
    """Run a job of one second, and check that its node sees and writes the folder."""
    import secrets
    import shutil
    import subprocess

    if shutil.which('srun') is None:
        yield Finding('node', False, 'No srun here: nothing was tried', 'desipipe doctor')
        return
    path = os.path.join(folder, f'doctor-{secrets.token_hex(4)}.tmp')
    token = secrets.token_hex(8)
    with open(path, 'w') as file:
        file.write(token)
        file.flush()
        os.fsync(file.fileno())
    try:
        done = _run_on_node(path, token)
        with open(path) as file:
            seen = file.read().split() == [token, token]
    except subprocess.TimeoutExpired:
        yield Finding('node', None, 'No node was free within a minute: nothing is known', 'sinfo')
        return
    finally:
        os.unlink(path)
    errors = ' '.join(done.stderr.split())
    if done.returncode == 0 and seen:
        host = done.stdout.removeprefix(token).strip()
        yield Finding('node', True, f'{host} sees {folder}, and what it writes there is seen here')
    elif 'Unable to allocate' in errors or 'immediate' in errors:
        yield Finding('node', None, f'No node was given: {errors}', 'sinfo')
    else:
        yield Finding(
            'node',
            False,
            f'A node does not see {folder}: {errors or "what it wrote is not here"}',
            'export DESIPIPE_QUEUE_DIR=FOLDER',
        )


def _run_on_node(path: str, token: str) -> subprocess.CompletedProcess[str]:
    from ..provider.slurm_commands import run

    script = 'cat "$1" && hostname && echo "$2" >> "$1"'
    options = ['-N1', '-n1', '-t1', '--immediate=60', '--chdir=/']
    return run(['srun', *options, 'sh', '-c', script, 'sh', path, f' {token}'], 90.0)


def is_used(folder: str, config: Config) -> bool:
    """Return True unless the queue may only be looked at."""
    from ..security.trust import TrustedUsers, look_at

    return TrustedUsers(config)(look_at(folder).uid)


def check_folder(base: str, config: Config, tries: bool) -> Iterator[Finding]:
    """Check the filesystem of a folder of queues: permissions, space, locks."""
    from ..store.probe import mount_of

    folder = base
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    if folder != base:
        yield Finding('folder', None, f'{base} is not there yet; it is made with the first queue')
    mount = mount_of(folder)
    scope = 'shared between machines' if mount.shared else 'of this machine only'
    yield Finding(
        'filesystem', True, f'{folder} is on {mount.fstype}, {scope}, mounted at {mount.point}'
    )
    if not os.access(folder, os.W_OK | os.X_OK):
        fix = 'export DESIPIPE_QUEUE_DIR=FOLDER' if tries else ''
        yield Finding(
            'permissions',
            False if tries else None,
            f'You cannot write to {folder}: queues can be looked at, not made there',
            fix,
        )
        return
    yield _check_space(folder)
    if tries:
        yield _check_locks(folder, config)
    else:
        yield Finding(
            'locks',
            None,
            f'Not tried in {folder}: nothing is written beside queues that you only look at',
        )


def _check_space(folder: str) -> Finding:
    from ..utils import format_bytes

    space = os.statvfs(folder)
    free = space.f_bavail * space.f_frsize
    files = f', {space.f_favail:,d} more files' if space.f_files else ''
    text = f'{format_bytes(free)} free{files} (quotas not counted)'
    if free < _SPACE or (space.f_files and space.f_favail < 1000):
        return Finding('space', False, text, "desipipe compact -q '*'")
    return Finding('space', True, text)


def _check_locks(folder: str, config: Config) -> Finding:
    from ..errors import LockingError
    from ..store.probe import probe

    try:
        probed = probe(folder, config.lock)
    except LockingError as exc:
        return Finding('locks', False, str(exc), 'export DESIPIPE_QUEUE_DIR=FOLDER')
    text = f'Kind {probed.lock!r} works in {folder}'
    if probed.lock != 'soft':
        text += f'; the next in line has the lock after {probed.wake * 1000:.2g} ms'
    return Finding('locks', True, text)
