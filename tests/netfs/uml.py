"""User-mode-Linux guests: kernels of their own, which have the NFS server and client that
namespaces can't give.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from .hosts import HERE, SERVER_IP, Box, Cluster, Host, bridge, scratch, until

PROGRAMS = ('linux.uml', 'modprobe', 'mount.nfs4', 'exportfs', 'rpc.mountd', 'rpc.nfsd')
# seconds after which the server gives the locks of a silent client away; the least that it takes
LEASE = 10
MEMORY = '256M'
_AGENT = HERE / 'guest_agent.py'
_PORT = 9000

__all__ = ['LEASE', 'PROGRAMS', 'GuestHost', 'nfs']


class _Stand(subprocess.Popen[Any]):
    """The process that stands for a program in a guest (see ``guest_agent.py``); signals go to
    the program.
    """

    orders: IO[bytes]

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            self.orders.write(json.dumps({'signal': int(sig)}).encode() + b'\n')

    def __del__(self, *args: Any) -> None:
        self.orders.close()
        super().__del__(*args)


class GuestHost(Host):
    """A guest that shares a folder by NFS, or has mounted the one that is shared.

    Parameters
    ----------
    number : int
        Its number, from which its addresses follow: 0 is the server.
    name : str
        Its host name.
    switch : Box
        Where its network is.
    path : Path
        The shared folder.
    base : Path
        Where its files go.
    options : str
        Mount options.
    """

    def __init__(
        self, number: int, name: str, switch: Box, path: Path, base: Path, options: str
    ) -> None:
        super().__init__(name, switch, f'port{number:d}', path)
        self._control = f'10.78.0.{10 + number:d}'
        devices = {self._port: 'bridge', f'control{number:d}': 'control'}
        for device, master in devices.items():
            switch.net('ip', 'tuntap', 'add', device, 'mode', 'tap')
            switch.net('ip', 'link', 'set', device, 'master', master, 'up')
        guest = {
            'ROLE': 'client' if number else 'server',
            'NAME': name,
            'DATA': f'10.77.0.{10 + number:d}' if number else SERVER_IP,
            'CONTROL': self._control,
            'SERVER': SERVER_IP,
            'OPTIONS': options,
            'LEASE': LEASE,
            'PATH': path,
            'PYTHON': sys.executable,
            'AGENT': _AGENT,
        }
        kernel = (
            f'mem={MEMORY} umid={name} uml_dir={base}/ rootfstype=hostfs root=/dev/root '
            f'rootflags=/ rw init={HERE / "guest_init.sh"} quiet'
        )
        console = 'con=null con0=null,fd:1'
        # Without `gro` a guest cuts packets that the other kernel has merged: all that is longer
        # than a few kB waits for a retransmission.
        network = [
            f'vec{i:d}:transport=tap,ifname={device},depth=128,gro=1'
            for i, device in enumerate(devices)
        ]
        self._kernel = switch.popen(
            [
                'linux.uml',
                *kernel.split(),
                *console.split(),
                *network,
                *(f'GUEST_{key}={value}' for key, value in guest.items()),
            ],
            env={**os.environ, 'TMPDIR': '/dev/shm'},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
        )

    def wait(self) -> None:
        """Wait until it shares the folder, or has mounted it, and takes programs.

        Raises
        ------
        EOFError
            It did not come up; the message holds its console.
        """
        for word in ('shared', 'ready'):
            until(self._kernel, word)

    def popen(self, argv: Sequence[str | os.PathLike[str]], **kw: Any) -> subprocess.Popen[Any]:
        # /tmp is this machine's, through hostfs, where sockets do not work: temporary files go to
        # the guest's memory.
        env = {**(kw.pop('env', None) or os.environ), 'TMPDIR': '/run/tmp'}
        request = {
            'argv': [os.fspath(arg) for arg in argv],
            'cwd': os.fspath(kw.pop('cwd', None) or os.getcwd()),
            'env': env,
        }
        kw.setdefault('stdin', subprocess.DEVNULL)
        read, write = os.pipe()
        orders = os.fdopen(write, 'wb', buffering=0)
        enter = [
            'nsenter',
            f'--target={self._server.pid:d}',
            '--net',
            '--',
            sys.executable,
            '-I',
            '-S',
            str(_AGENT),
        ]
        try:
            process = _Stand(
                [*enter, 'run', self._control, str(_PORT), str(read)], pass_fds=(read,), **kw
            )
        finally:
            os.close(read)
        process.args, process.orders = list(argv), orders
        orders.write(json.dumps(request).encode() + b'\n')
        return process


@contextmanager
def nfs(options: str = 'vers=4.2') -> Iterator[Cluster]:
    """Two guests that share a folder through NFS, served by a third.

    Parameters
    ----------
    options : str, default='vers=4.2'
        Mount options.

    Yields
    ------
    cluster : Cluster
        It ends with the context.
    """
    with ExitStack() as stack:
        base = stack.enter_context(scratch())
        switch = Box('nfs-switch')
        stack.callback(switch.close)
        bridge(switch, 'bridge', None)
        bridge(switch, 'control', '10.78.0.1')
        path = base / 'shared'
        path.mkdir()
        (base / 'local').mkdir()
        guests: list[GuestHost] = []
        for number, name in enumerate(('server', 'a', 'b')):
            guests.append(GuestHost(number, f'nfs-{name}', switch, path, base, options))
            if not number:
                guests[0].wait()
        for guest in guests[1:]:
            guest.wait()
        yield Cluster('nfs', (guests[1], guests[2]), path, base / 'local')
