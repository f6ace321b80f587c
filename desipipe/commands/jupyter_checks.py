"""Checks of Jupyter, the Python of kernels, and quotas; a line for reports."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

from .findings import Finding

_EXTENSION = 'desipipe'
_QUOTA_S = 10.0
_REPORTED = ('jupyterlab', 'jupyter_server', 'ipykernel', 'numpy', 'cloudpickle', 'filelock')


def check_jupyter() -> Iterator[Finding]:
    """Check that Jupyter has the extensions, and which Python its kernels run."""
    if version_of('jupyter_server') is None:
        text = 'No Jupyter server in this environment: the panel needs it where JupyterLab runs'
        yield Finding(
            'Jupyter', None, text, f"{sys.executable} -m pip install 'desipipe[notebook]'"
        )
        return
    missing = [
        what
        for what, path in (
            ('server', os.path.join('etc', 'jupyter', 'jupyter_server_config.d', 'desipipe.json')),
            ('lab', os.path.join('share', 'jupyter', 'labextensions', _EXTENSION, 'package.json')),
        )
        if not os.path.exists(os.path.join(sys.prefix, path))
    ]
    if missing:
        text = (
            f'The {" and the ".join(missing)} extension is not in {sys.prefix}: there is no panel'
        )
        fix = f"{sys.executable} -m pip install --force-reinstall --no-deps 'desipipe[notebook]'"
        yield Finding('Jupyter', None, text, fix)
    else:
        yield Finding('Jupyter', True, f'The server and the lab extension are in {sys.prefix}')
    yield from _check_kernels()


def _check_kernels() -> Iterator[Finding]:
    """Compare the Python of kernels with that of workers which this command starts."""
    from jupyter_core.paths import jupyter_path

    for folder in jupyter_path('kernels'):
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            path = os.path.join(folder, name, 'kernel.json')
            try:
                with open(path) as file:
                    program = json.load(file)['argv'][0]
            except (OSError, ValueError, KeyError, IndexError, TypeError) as exc:
                yield Finding('kernels', None, f'{path} cannot be read: {exc}')
                continue
            # An environment's Python links to that of others: its folder tells them apart.
            here = os.path.dirname(sys.executable)
            if os.path.isabs(program) and os.path.dirname(program) != here:
                text = (
                    f'Kernel {name} runs {program}, and so do workers that its notebooks start; '
                    f'those of this command run {sys.executable}'
                )
                yield Finding('kernels', None, text)


def check_quota() -> Iterator[Finding]:
    """Ask for the user's quotas, where the machine has a program that knows them."""
    import shutil
    import subprocess

    program = shutil.which('quota')
    if program is None:
        yield Finding('quota', None, 'No program `quota` here: only free space is known')
        return
    try:
        done = subprocess.run(
            [program, '-w'], capture_output=True, text=True, timeout=_QUOTA_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        yield Finding('quota', None, f'{program} gave no answer: {exc}')
        return
    lines = [line for line in done.stdout.splitlines() if '/' in line]
    full = [line.split()[0] for line in lines if '*' in line]  # how it marks what is exceeded
    if full:
        yield Finding(
            'quota', False, f'Your quota is used up on {", ".join(full)}', f'{program} -s'
        )
    else:
        text = f'{len(lines):d} filesystems have one, none is used up' if lines else 'You have none'
        yield Finding('quota', True, text)


def version_of(package: str) -> str | None:
    """Return the version of a package; None if it is not installed."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def report_line(folder: str) -> str:
    """Return versions and filesystem on one line, without users and paths.

    Parameters
    ----------
    folder : str
        Of the user's queues.
    """
    import platform

    from .._version import __version__
    from ..store.probe import mount_of

    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    packages = [f'{name} {version}' for name in _REPORTED if (version := version_of(name))]
    return ', '.join(
        [
            f'desipipe {__version__}',
            f'Python {platform.python_version()}',
            f'{platform.system()} {platform.release()} {platform.machine()}',
            f'queues on {mount_of(folder).fstype}',
            *packages,
        ]
    )
