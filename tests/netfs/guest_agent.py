"""Run programs in a guest as if they were children of the caller.

``guest_agent.py serve ADDRESS PORT`` in the guest runs one program for each connection.
``guest_agent.py run ADDRESS PORT FD`` outside stands for that program: it passes on standard input,
output and error, and ends as the program ended. The descriptor gives it the program to run, as one
JSON line, and then the signals to send. When the connection ends, the program is killed.

Every message is one JSON line: to the guest the request, then ``{"signal": n}`` and ``{"in":
base64}`` (empty: the end); from it ``{"out": base64}``, ``{"err": base64}``, ``{"exit": n}``.
Standard library only, as it runs with ``-I -S``.
"""

from __future__ import annotations

import base64
import json
import os
import selectors
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from typing import IO, Any


class _Program(socketserver.StreamRequestHandler):
    """One connection: one program."""

    def handle(self) -> None:
        request = json.loads(self.rfile.readline())
        try:
            process = subprocess.Popen(
                request['argv'],
                cwd=request['cwd'],
                env=request['env'],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as exc:
            self._send(err=base64.b64encode(f'{exc}\n'.encode()).decode())
            self._send(exit=127)
            return
        pidfd = os.pidfd_open(process.pid)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(pidfd, selectors.EVENT_READ, 'exit')
                for stream, name in ((process.stdout, 'out'), (process.stderr, 'err')):
                    assert stream is not None
                    os.set_blocking(stream.fileno(), False)
                    selector.register(stream, selectors.EVENT_READ, name)
                # Lines of the connection are read by a thread: a buffered reader may hold a line
                # that a selector does not see.
                threading.Thread(target=self._follow, args=(process,), daemon=True).start()
                while process.returncode is None:
                    for key, _ in selector.select():
                        if key.data == 'exit':
                            process.wait()
                        elif self._pump(key.fd, key.data):
                            selector.unregister(key.fileobj)
                for key in list(selector.get_map().values()):
                    # What it wrote before it ended is in the pipe; a child of it that holds the
                    # pipe open is not waited for.
                    if key.data != 'exit':
                        self._pump(key.fd, key.data)
            self._send(exit=process.returncode)
        finally:
            os.close(pidfd)
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                stream.close()

    def _pump(self, fd: int, name: str) -> bool:
        """Pass on what is in the pipe now; returns whether it has ended."""
        while True:
            try:
                data = os.read(fd, 1 << 16)
            except BlockingIOError:
                return False
            if not data:
                return True
            self._send(**{name: base64.b64encode(data).decode()})

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        try:
            for line in self.rfile:
                message = json.loads(line)
                if 'signal' in message:
                    process.send_signal(message['signal'])
                elif message['in']:
                    _write(process.stdin, base64.b64decode(message['in']))
                else:
                    process.stdin.close()
        except ConnectionError:
            print('the connection broke', file=sys.stderr)
        # The end of the connection, and `handle` closes it after the program: then its process
        # group is gone, or left to itself.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)

    def _send(self, **message: Any) -> None:
        self.wfile.write(json.dumps(message).encode() + b'\n')


def _write(stream: IO[bytes], data: bytes) -> None:
    try:
        while data:
            data = data[stream.write(data) :]
    except BrokenPipeError:
        print('a program does not read its input', file=sys.stderr)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


def serve(address: str, port: int) -> None:
    """Run programs for whoever connects.

    Parameters
    ----------
    address : str
        Where to listen.
    port : int
        Where to listen.
    """
    with _Server((address, port), _Program) as server:
        print('ready', flush=True)
        server.serve_forever()


def run(address: str, port: int, control: int) -> int:
    """Stand for a program in the guest.

    Parameters
    ----------
    address : str
        Where the guest listens.
    port : int
        Where the guest listens.
    control : int
        Descriptor of the pipe that gives the request and signals.

    Returns
    -------
    status : int
        Exit status of the program; a program that a signal ended ends this process by the same
        signal.
    """
    connection = socket.create_connection((address, port), 30)
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    lock = threading.Lock()

    def orders() -> None:
        with os.fdopen(control, 'rb') as lines:
            connection.sendall(lines.readline())
            threading.Thread(target=feed, daemon=True).start()
            for line in lines:
                with lock:
                    connection.sendall(line)
        # Who started this process has ended without waiting for it: so does the program.
        os._exit(1)

    def feed() -> None:
        data = b'-'
        while data:
            data = os.read(0, 1 << 16)
            with lock:
                connection.sendall(
                    json.dumps({'in': base64.b64encode(data).decode()}).encode() + b'\n'
                )

    threading.Thread(target=orders, daemon=True).start()
    for line in connection.makefile('rb'):
        message = json.loads(line)
        if 'exit' in message:
            status: int = message['exit']
            if status < 0:
                signal.signal(-status, signal.SIG_DFL) if -status not in (
                    signal.SIGKILL,
                    signal.SIGSTOP,
                ) else None
                os.kill(os.getpid(), -status)
            return status
        for name, fd in (('out', 1), ('err', 2)):
            data = base64.b64decode(message.get(name, ''))
            while data:
                data = data[os.write(fd, data) :]
    print('the guest ended while it ran this program', file=sys.stderr)
    return 255


if __name__ == '__main__':
    if sys.argv[1] == 'serve':
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        status = run(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
        os._exit(status)
