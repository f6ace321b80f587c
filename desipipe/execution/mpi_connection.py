"""Connect MPI processes to their worker: by Unix socket, or by authenticated TCP."""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
import signal
import socket
import struct
import tempfile
import threading
import time

from ..store.file_names import check_name
from ..store.files import open_file, read_file, remove

_LENGTH = struct.Struct('<I')
_PACKET_BYTES_MAX = 1 << 20  # bytes of a packet
RANK_OUTPUT = 16 * 1024  # bytes of each stream that a rank keeps
_PATIENCE = 5.0  # s for the other side to prove who it is
_LINGER = 1.0  # s for a rank to end by itself when its worker has gone
_ADDRESS_MAX = 1 << 12  # bytes
_WORDS = (b'desipipe worker ', b'desipipe rank ')


class Channel:
    """Whole packets over a stream, as a ``SOCK_SEQPACKET`` socket has them.

    Parameters
    ----------
    sock : socket.socket
        Connected.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1
        )  # a node that lost its power says no goodbye

    def send(self, data: bytes) -> None:
        """Send one packet."""
        self._sock.sendall(_LENGTH.pack(len(data)) + data)

    def recv(self, size: int) -> bytes:
        """The next packet; empty at the end.

        Raises
        ------
        BlockingIOError
            None is there as a whole, and the channel does not block.
        """
        while True:
            if len(self._buffer) >= _LENGTH.size:
                length = _LENGTH.unpack_from(self._buffer)[0]
                if length > _PACKET_BYTES_MAX:
                    return b''
                end = _LENGTH.size + length
                if len(self._buffer) >= end:
                    data = bytes(self._buffer[_LENGTH.size : end])
                    del self._buffer[:end]
                    return data
            more = self._sock.recv(1 << 16)
            if not more:
                return b''
            self._buffer += more

    def fileno(self) -> int:
        """To select on."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """Set the blocking mode, like a socket."""
        self._sock.setblocking(flag)

    def settimeout(self, seconds: float | None) -> None:
        """Set the timeout, like a socket."""
        self._sock.settimeout(seconds)

    def shutdown(self, how: int) -> None:
        """Shut the connection down, like a socket."""
        self._sock.shutdown(how)

    def close(self) -> None:
        """Close the connection, like a socket."""
        self._sock.close()


Connection = socket.socket | Channel


class Listener:
    """The socket that ranks connect to.

    Parameters
    ----------
    folder : str
        The queue's folder, which all nodes see and nobody else may look into.
    name : str
        Of the slot.
    remote : bool
        True if ranks may come from other machines.
    most : int
        Number that may come at once.
    """

    def __init__(self, folder: str, name: str, remote: bool, most: int) -> None:
        self._token = b''
        self._made = ''
        if remote:
            self.sock = socket.create_server(('', 0), backlog=most)
            self._token = secrets.token_bytes(32)
            # In a file and not on the command line, which everybody on the machine can read.
            self._folder, self._name = folder, f'workers/{check_name(name)}.address'
            self.path = os.path.join(folder, self._name)
            content = json.dumps(
                {
                    'host': socket.gethostname(),
                    'port': self.sock.getsockname()[1],
                    'token': self._token.hex(),
                }
            )
            fd = open_file(folder, self._name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(fd, 'w') as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            self.address = '@' + self.path
        else:
            # Short, because a Unix socket's path may have 107 characters at most.
            self._made = _short_folder()
            self.path = self.address = os.path.join(self._made, 's')
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.sock.bind(self.address)
            self.sock.listen(most)
        self.sock.setblocking(False)

    def accept(self) -> Connection | None:
        """Return the next connection, or None if none came or it failed to authenticate."""
        try:
            sock = self.sock.accept()[0]
        except BlockingIOError:
            return None
        if not self._token:
            sock.setblocking(False)
            return sock
        channel = Channel(sock)
        sock.settimeout(_PATIENCE)
        try:
            theirs, own = channel.recv(64), secrets.token_bytes(16)
            channel.send(own + _proof(self._token, _WORDS[0] + theirs))
            good = hmac.compare_digest(channel.recv(64), _proof(self._token, _WORDS[1] + own))
        except OSError:
            good = False
        if not good:
            channel.close()
            return None
        channel.setblocking(False)
        return channel

    def close(self) -> None:
        """Close, and take the address away."""
        self.sock.close()
        with contextlib.suppress(
            OSError
        ):  # the folder of temporary files was cleaned, or the queue deleted
            if self._made:
                os.unlink(self.path)
                os.rmdir(self._made)
            else:
                remove(self._folder, self._name)


def _short_folder() -> str:
    """Make a private folder with a short path, even after TMPDIR has vanished."""
    for parent in (None, '/tmp', '/var/tmp', '/dev/shm'):
        with contextlib.suppress(OSError):
            return tempfile.mkdtemp(prefix='desipipe-', dir=parent)
    return tempfile.mkdtemp(prefix='desipipe-')


def connect(address: str) -> Connection:
    """Connect to the worker; the other side of :meth:`Listener.accept`.

    Parameters
    ----------
    address : str
        Of the listener.

    Raises
    ------
    ConnectionError
        It is not the one that wrote the address.
    """
    if not address.startswith('@'):
        local = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        local.connect(address)
        return local
    folder, name = os.path.split(address[1:])
    where = json.loads(
        read_file(os.path.dirname(folder), f'{os.path.basename(folder)}/{name}', _ADDRESS_MAX)
    )
    token, own = bytes.fromhex(where['token']), secrets.token_bytes(16)
    sock = socket.create_connection((where['host'], where['port']), timeout=60.0)
    channel = Channel(sock)
    channel.send(own)
    answer = channel.recv(64)
    # What comes is unpickled: not from whoever happens to have got the port.
    if not hmac.compare_digest(answer[16:], _proof(token, _WORDS[0] + own)):
        raise ConnectionError(
            f'The process on port {where["port"]:d} of {where["host"]} is not the worker.'
        )
    channel.send(_proof(token, _WORDS[1] + answer[:16]))
    sock.settimeout(None)
    return channel


def send_ready(connection: Connection, data: bytes, errors: int) -> None:
    """Send a rank's first packet, and the file of errors that outlives the rank.

    Parameters
    ----------
    connection : socket.socket or Channel
        To the worker. One to another node carries no file.
    data : bytes
    errors : int
        Descriptor of the file; -1: none.
    """
    if errors >= 0 and isinstance(connection, socket.socket):
        socket.send_fds(connection, [data], [errors])
    else:
        connection.send(data)


def receive(connection: Connection, size: int) -> tuple[bytes, int]:
    """Receive a packet of a rank.

    Returns
    -------
    data : bytes
        Empty at the end.
    errors : int
        Descriptor that came with it, see :func:`send_ready`; -1: none.

    Raises
    ------
    BlockingIOError
        None is there as a whole, and the connection does not block.
    """
    if not isinstance(connection, socket.socket):
        return connection.recv(size), -1
    data, descriptors, _, _ = socket.recv_fds(connection, size, 1)
    return data, descriptors[0] if descriptors else -1


def taken(fd: int) -> bytes:
    """Return the head and the tail of what is in a file, and empty it."""
    size = os.lseek(fd, 0, os.SEEK_END)
    data = os.pread(fd, RANK_OUTPUT // 2, 0)
    if size > len(data):
        rest = min(size - len(data), RANK_OUTPUT // 2)
        cut = size - len(data) - rest
        data += (b'\n[desipipe: %d bytes cut here]\n' % cut if cut else b'') + os.pread(
            fd, rest, size - rest
        )
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    return data


def _proof(token: bytes, text: bytes) -> bytes:
    return hmac.digest(token, text, 'sha256')


def die_with(connection: Connection) -> None:
    """Have this process killed when the other side of a connection goes.

    That holds whatever it is doing: waiting for other ranks that have died, say.
    """
    import select

    poll = select.poll()
    poll.register(connection.fileno(), select.POLLRDHUP)

    def watch() -> None:
        poll.poll()
        time.sleep(_LINGER)  # who waits for the worker only, ends by itself
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
