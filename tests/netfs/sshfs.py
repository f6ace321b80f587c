"""sshfs: a file system whose locks lie, for it grants an exclusive lock to a process on each
host.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polling import wait_for

from .hosts import SERVER_IP, Box, Cluster, cluster

PROGRAMS = ('sshfs', 'sshd', 'ssh-keygen')
_PORT = 2222  # the box has a network of its own, where every port is free

__all__ = ['PROGRAMS', 'sshfs']


def _serve(server: Box, base: Path) -> None:
    keys, export = base / 'ssh', base / 'export'
    keys.mkdir(mode=0o700)
    export.mkdir()
    for name in ('host', 'user'):
        server.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', keys / name], check=True)
    options = {
        'ListenAddress': SERVER_IP,
        'Port': _PORT,
        'PidFile': 'none',
        'AuthorizedKeysFile': keys / 'user.pub',
        'StrictModes': 'no',
        'PermitRootLogin': 'prohibit-password',
        'UsePAM': 'no',
        'Subsystem': 'sftp internal-sftp',
    }
    argv = [
        '/usr/sbin/sshd',
        '-f',
        '/dev/null',
        '-h',
        str(keys / 'host'),
        '-E',
        str(base / 'sshd.log'),
    ]
    server.run(['mkdir', '/run/sshd'], check=True)
    server.run(argv + [f'-o{name}={value}' for name, value in options.items()], check=True)


def _mount(box: Box, path: Path, base: Path) -> None:
    options = {
        'IdentityFile': base / 'ssh' / 'user',
        'StrictHostKeyChecking': 'no',
        'UserKnownHostsFile': '/dev/null',
        'LogLevel': 'ERROR',
    }
    argv = ['sshfs', '-p', str(_PORT), f'root@{SERVER_IP}:{base / "export"}', str(path)]
    argv += [f'-o{name}={value}' for name, value in options.items()]
    wait_for(lambda: box.run(argv).returncode == 0, f'{box.name} has mounted')


@contextmanager
def sshfs() -> Iterator[Cluster]:
    """Two hosts that share a folder through sshfs.

    Yields
    ------
    cluster : Cluster
        It ends with the context.
    """
    with cluster('sshfs', _serve, _mount) as made:
        yield made
