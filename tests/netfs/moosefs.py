"""MooseFS: one master and one chunk server in the server's box, two hosts that mount it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polling import wait_for

from .hosts import SERVER_IP, Box, Cluster, cluster

EMPTY = '/var/lib/mfs/metadata.mfs.empty'  # a file system without a file, from Debian's package
PROGRAMS = ('mfsmaster', 'mfschunkserver', 'mfsmount', 'mfssetgoal')

__all__ = ['PROGRAMS', 'moosefs']


def _config(file: Path, **options: object) -> Path:
    common = {'WORKING_USER': 'root', 'WORKING_GROUP': 'root', 'LOCK_MEMORY': 0, 'NICE_LEVEL': 0}
    file.write_text(''.join(f'{name} = {value}\n' for name, value in {**common, **options}.items()))
    return file


def _serve(server: Box, base: Path) -> None:
    master, chunks, disk = (base / name for name in ('master', 'chunkserver', 'disk'))
    for folder in (master, chunks, disk):
        folder.mkdir()
    shutil.copy(EMPTY, master / 'metadata.mfs')
    exports, disks = base / 'mfsexports.cfg', base / 'mfshdd.cfg'
    exports.write_text('* / rw,alldirs,admin,maproot=0:0\n')
    disks.write_text(f'{disk}\n')
    listen = {f'{who}_LISTEN_HOST': SERVER_IP for who in ('MATOML', 'MATOCS', 'MATOCL')}
    server.run(
        [
            'mfsmaster',
            '-c',
            _config(base / 'mfsmaster.cfg', DATA_PATH=master, EXPORTS_FILENAME=exports, **listen),
            'start',
        ],
        check=True,
    )
    options = {
        'HDD_CONF_FILENAME': disks,
        'HDD_LEAVE_SPACE_DEFAULT': '64MiB',
        'MASTER_HOST': SERVER_IP,
        'BIND_HOST': SERVER_IP,
        'CSSERV_LISTEN_HOST': SERVER_IP,
    }
    server.run(
        [
            'mfschunkserver',
            '-c',
            _config(base / 'mfschunkserver.cfg', DATA_PATH=chunks, **options),
            'start',
        ],
        check=True,
    )


def _mount(box: Box, path: Path, base: Path) -> None:
    box.run(['mfsmount', path, '-H', SERVER_IP], check=True)
    # The master answers before the chunk server has told it of its disks: until then there is
    # nowhere to write.
    probe = path / f'.{box.name}'
    wait_for(
        lambda: box.run(['sh', '-c', 'echo ready > "$0"', os.fspath(probe)]).returncode == 0,
        f'{box.name} can write',
    )
    box.run(['rm', probe], check=True)
    # By default each file is kept by two chunk servers; there is one, and the first fsync would
    # wait seven seconds for the other.
    if box.run(['mfssetgoal', '-r', '1', path]).returncode:
        # MooseFS 4 has classes of storage instead; the first host makes this one.
        box.run(['mfsscadmin', 'create', '-M', path, '-K', '*', 'one'])
        box.run(['mfssetsclass', '-r', 'one', path], check=True)


@contextmanager
def moosefs() -> Iterator[Cluster]:
    """Two hosts that share a folder through MooseFS.

    Yields
    ------
    cluster : Cluster
        It ends with the context.
    """
    with cluster('moosefs', _serve, _mount) as made:
        yield made
