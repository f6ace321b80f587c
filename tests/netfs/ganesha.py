"""nfs-ganesha: a user-space NFSv4.2 server, in the server's box."""

from __future__ import annotations

from pathlib import Path

from .hosts import SERVER_IP, Box, wait_until

PROGRAMS = ('ganesha.nfsd', 'mount.nfs4')
LEASE = 10  # seconds after which the server gives the locks of a silent client away; the least that clients cope with well

__all__ = ['LEASE', 'PROGRAMS', 'serve']

_CONFIG = """
NFS_CORE_PARAM {{ Bind_addr = {ip}; NFS_Port = 2049; Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false; }}
NFSv4 {{ Graceless = true; Lease_Lifetime = {lease:d}; Grace_Period = {grace:d}; Minor_Versions = 1, 2; RecoveryBackend = fs; }}
LOG {{ Default_Log_Level = EVENT; }}
EXPORT {{
    Export_Id = 1; Path = {export}; Pseudo = /export; Access_Type = RW; Squash = No_Root_Squash; SecType = sys;
    Attr_Expiration_Time = 0; Protocols = 4; Transports = TCP; FSAL {{ Name = VFS; }}
}}
"""


def serve(server: Box, base: Path) -> None:
    """Start the server; the export is ``/export``.

    Parameters
    ----------
    server : Box
        Where it runs.
    base : Path
        Where its files go: ``export/`` is the shared folder as the server sees it.
    """
    export, config, log = base / 'export', base / 'ganesha.conf', base / 'ganesha.log'
    export.mkdir()
    config.write_text(_CONFIG.format(ip=SERVER_IP, lease=LEASE, grace=LEASE + 2, export=export))
    # The state that it keeps between restarts must not go to, or come from, the machine's own server.
    server.run(['mkdir', '/run/ganesha'], check=True)
    server.run(['mount', '-t', 'tmpfs', 'tmpfs', '/var/lib/nfs'], check=True)
    server.run(['mkdir', '/var/lib/nfs/ganesha'], check=True)
    server.run(['ganesha.nfsd', '-f', config, '-L', log, '-p', base / 'ganesha.pid'], check=True)
    listening = f'import socket; socket.create_connection(({SERVER_IP!r}, 2049), 1)'
    wait_until(f'nfs-ganesha listens (its log is {log})', lambda: server.run(['python3', '-c', listening]).returncode == 0)
