"""Hosts made of Linux namespaces: own network, mounts, host name and processes on one machine.

A `Box` is a set of namespaces; a `Host` is where a test runs programs and sees the shared folder.
The server of a filesystem and its two hosts each live in a box, wired by a bridge in the server's
box, so that nothing of it is in the machine's own network or mount table, and nothing is left
behind.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polling import wait_for

HERE = Path(__file__).resolve().parent
SERVER_IP = '10.77.0.1'
_PREFIX = 'desipipe-netfs-'
# Debian keeps servers and network tools where an ordinary user's PATH does not look.
_PATH = os.pathsep.join([os.environ.get('PATH', os.defpath), '/usr/sbin', '/sbin'])

__all__ = [
    'SERVER_IP',
    'Box',
    'Cluster',
    'Host',
    'NamespaceHost',
    'bridge',
    'cluster',
    'finish',
    'go',
    'line',
    'missing',
    'scratch',
    'until',
]


def missing(*programs: str) -> str:
    """Why hosts can't be made here.

    Parameters
    ----------
    *programs : str
        Names, or absolute paths, of the programs that the filesystem needs.

    Returns
    -------
    reason : str
        Empty if everything needed is there.
    """
    if sys.platform != 'linux':
        return 'network namespaces need Linux'
    if os.geteuid() != 0:
        return 'namespaces and mounts need root'
    absent = [
        program
        for program in ('unshare', 'nsenter', 'ip', 'mount') + programs
        if shutil.which(program, path=_PATH) is None
    ]
    return (
        'not installed: {} (tests/netfs/README.md names the packages)'.format(', '.join(absent))
        if absent
        else ''
    )


@contextmanager
def scratch() -> Iterator[Path]:
    """A fresh folder, removed at the end; folders that killed runs left behind are removed first.

    The owner of a folder holds a lock on a file beside it, which ends with its process: a folder
    whose lock is free has no owner.

    Yields
    ------
    base : Path
        The folder.
    """
    parent = Path(tempfile.gettempdir()).resolve()
    for stale in parent.glob(_PREFIX + '*.lock'):
        with stale.open('a') as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(stale.with_suffix(''), ignore_errors=True)
            stale.unlink(missing_ok=True)
    fd, name = tempfile.mkstemp(prefix=_PREFIX, suffix='.lock', dir=parent)
    with os.fdopen(fd) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        base = Path(name).with_suffix('')
        base.mkdir(mode=0o700)
        try:
            yield base
        finally:
            shutil.rmtree(base)
            os.unlink(name)


def _inner(pid: int) -> int | None:
    """The first child of a process, if it has one (``nsenter`` and ``unshare`` fork to enter a
    PID namespace).
    """
    try:
        children = Path(f'/proc/{pid:d}/task/{pid:d}/children').read_text().split()
    except FileNotFoundError:
        return None
    return int(children[0]) if children else None


class _Entered(subprocess.Popen[Any]):
    """A program run through ``nsenter``: signals go to the program, not to ``nsenter``, which
    does not pass them on.
    """

    def send_signal(self, sig: int) -> None:
        wait_for(
            lambda: self.poll() is not None or _inner(self.pid) is not None,
            'nsenter starts the program',
        )
        inner = _inner(self.pid)
        if self.poll() is not None or inner is None:
            return
        os.kill(inner, sig)
        # nsenter stops itself when its child stops. Continued before it got that far, it would stop
        # for good.
        if sig == signal.SIGSTOP:
            wait_for(
                lambda: (
                    Path(f'/proc/{self.pid:d}/stat').read_text().rpartition(')')[2].split()[0]
                    == 'T'
                ),
                'nsenter stops',
            )
        elif sig == signal.SIGCONT:
            os.kill(self.pid, sig)


class Box:
    """A set of namespaces (network, mounts, host name, processes) with its own boot id, ``/run``
    and ``/dev/shm``.

    Parameters
    ----------
    name : str
        Its host name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        namespaces = [
            '--net',
            '--mount',
            '--uts',
            '--pid',
            '--fork',
            '--kill-child',
            '--mount-proc',
        ]
        # The box lives as long as the pipe to its PID 1: when this process dies, whatever the
        # cause, so does the box.
        self._unshare = subprocess.Popen(
            ['unshare', *namespaces, 'sh', str(HERE / 'box_init.sh'), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_environ(),
        )
        assert self._unshare.stdout is not None
        if self._unshare.stdout.readline() != 'ready\n':
            self.close()
            raise RuntimeError(
                f'the namespaces of {name} could not be made; what `unshare` and box_init.sh '
                'printed above says why'
            )
        inner = _inner(self._unshare.pid)
        assert inner is not None
        self.pid = inner
        self._started: list[_Entered] = []

    def popen(self, argv: Sequence[str | os.PathLike[str]], **kw: Any) -> subprocess.Popen[Any]:
        """Start a program in the box.

        Parameters
        ----------
        argv : sequence of str or path
            Program and arguments.
        **kw
            As of `subprocess.Popen`.

        Returns
        -------
        process : subprocess.Popen
            Its signals and exit status are those of the program.
        """
        # nsenter changes to the root folder of the mounts it enters; `env -C` is the program that
        # changes back, and execs.
        cwd = kw.pop('cwd', None) or os.getcwd()
        kw.setdefault('stdin', subprocess.DEVNULL)
        kw['env'] = _environ(kw.get('env'))
        enter = [
            'nsenter',
            f'--target={self.pid:d}',
            '--net',
            '--mount',
            '--uts',
            '--pid',
            '--',
            'env',
            '-C',
            os.fspath(cwd),
            '--',
        ]
        process = _Entered([*enter, *(os.fspath(arg) for arg in argv)], **kw)
        process.args = list(argv)
        self._started = [other for other in self._started if other.returncode is None] + [process]
        return process

    def run(
        self,
        argv: Sequence[str | os.PathLike[str]],
        timeout: float = 60.0,
        check: bool = False,
        **kw: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the box to its end. Parameters and results as of `Host.run`."""
        return _complete(
            self.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw),
            timeout,
            check,
        )

    def net(self, *argv: str) -> None:
        """Run a command of the machine (its files, its process ids) in the network of the box.

        Parameters
        ----------
        *argv : str
            Program and arguments.

        Raises
        ------
        subprocess.CalledProcessError
            It failed.
        """
        subprocess.run(
            ['nsenter', f'--target={self.pid:d}', '--net', '--', *argv], check=True, env=_environ()
        )

    def close(self) -> None:
        """End the box with all that runs in it."""
        for stream in (self._unshare.stdin, self._unshare.stdout):
            assert stream is not None
            stream.close()
        # PID 1 ends as its input did, and the kernel makes its parent wait until every process of
        # the namespace was killed and waited for: those that came through nsenter by nsenter, which
        # can't while it is stopped.
        for process in self._started:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGCONT)
        try:
            self._unshare.wait(10)
        except subprocess.TimeoutExpired:
            self._unshare.kill()
            self._unshare.wait(30)


def _environ(env: Mapping[str, str] | None = None) -> dict[str, str]:
    return {
        **(os.environ if env is None else env),
        'PATH': _PATH if env is None else env.get('PATH', _PATH),
    }


def _complete(
    process: subprocess.Popen[Any], timeout: float, check: bool
) -> subprocess.CompletedProcess[str]:
    try:
        out, err = process.communicate(timeout=timeout)
    except BaseException as exc:
        process.kill()
        if isinstance(exc, subprocess.TimeoutExpired):
            out, err = process.communicate(timeout=10)
            raise subprocess.TimeoutExpired(process.args, timeout, out, err) from None
        raise
    result = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check and result.returncode:
        raise RuntimeError(
            f'exit status {result.returncode:d} of {process.args!r}:\n{out or ""}{err or ""}'
        )
    return result


class Host(ABC):
    """A machine that shares a folder with another one.

    Parameters
    ----------
    name : str
        Its host name.
    server : Box
        Where the server and the bridge are.
    port : str
        The device on the bridge by which the host reaches the server.
    path : Path
        The shared folder, the same path on every host.
    """

    def __init__(self, name: str, server: Box, port: str, path: Path) -> None:
        self.name, self.path = name, path
        self._server, self._port = server, port

    @abstractmethod
    def popen(self, argv: Sequence[str | os.PathLike[str]], **kw: Any) -> subprocess.Popen[Any]:
        """Start a program on this host.

        Parameters
        ----------
        argv : sequence of str or path
            Program and arguments.
        **kw
            As of `subprocess.Popen`: ``cwd``, ``env``, ``stdin`` (nothing by default), ``stdout``,
            ``stderr``, ``text`` and the like.

        Returns
        -------
        process : subprocess.Popen
            Its signals and exit status are those of the program.
        """

    def talk(self, argv: Sequence[str | os.PathLike[str]], **kw: Any) -> subprocess.Popen[str]:
        """Start a program with pipes for its input and its output (errors included), as text; see
        `until`, `go`, `finish`.

        Parameters
        ----------
        argv : sequence of str or path
            Program and arguments.
        **kw
            As of `popen`.

        Returns
        -------
        process : subprocess.Popen
            The program.
        """
        return self.popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **kw,
        )

    def cut(self) -> None:
        """Cut the host off from the server of the shared folder, as by pulling the cable out of
        the switch: nobody is told.
        """
        # A port of a bridge that is down: nothing comes in or out. A device taken down would have
        # the kernel answer programs with an error at once, and user-mode Linux would never send on
        # it again; one that belongs to no bridge would still be heard by the server.
        self._server.net('ip', 'link', 'set', self._port, 'master', 'no-bridge')

    def heal(self) -> None:
        """Undo `cut`."""
        self._server.net('ip', 'link', 'set', self._port, 'master', 'bridge')

    def run(
        self,
        argv: Sequence[str | os.PathLike[str]],
        timeout: float = 60.0,
        check: bool = False,
        **kw: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on this host to its end.

        Parameters
        ----------
        argv : sequence of str or path
            Program and arguments.
        timeout : float, default=60
            After how many seconds it is killed.
        check : bool, default=False
            Whether a non-zero exit status is an error.
        **kw
            As of `popen`.

        Returns
        -------
        result : subprocess.CompletedProcess
            With ``stdout`` and ``stderr`` as text.

        Raises
        ------
        subprocess.TimeoutExpired
            It took longer.
        RuntimeError
            With ``check``: it failed; the message holds what it printed.
        """
        return _complete(
            self.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw),
            timeout,
            check,
        )

    def python(self, code: str, *args: object, **kw: Any) -> str:
        """Run Python source with this interpreter and its packages.

        Parameters
        ----------
        code : str
            The source.
        *args : object
            Its ``sys.argv[1:]``.
        **kw
            As of `run`.

        Returns
        -------
        out : str
            What it printed, stripped.

        Raises
        ------
        RuntimeError
            It failed; the message holds what it printed.
        """
        return str(
            self.run([sys.executable, '-c', code, *map(str, args)], check=True, **kw).stdout
        ).strip()


class NamespaceHost(Host):
    """A host made of a box, wired to the server's box.

    Parameters
    ----------
    box : Box
        Its namespaces.
    server : Box
        Where the bridge is.
    port : str
        Its network device on the bridge.
    path : Path
        The shared folder.
    """

    def __init__(self, box: Box, server: Box, port: str, path: Path) -> None:
        super().__init__(box.name, server, port, path)
        self.box = box

    def popen(self, argv: Sequence[str | os.PathLike[str]], **kw: Any) -> subprocess.Popen[Any]:
        return self.box.popen(argv, **kw)


@dataclass(frozen=True)
class Cluster:
    """A shared folder and two hosts that see it.

    Attributes
    ----------
    kind : str
        The filesystem.
    hosts : tuple of Host
        The two hosts.
    path : Path
        The shared folder, the same path on both.
    scratch : Path
        A folder of this machine that both see too, not through the network.
    """

    kind: str
    hosts: tuple[Host, Host]
    path: Path
    scratch: Path

    def heal(self) -> None:
        """Heal every host."""
        for host in self.hosts:
            host.heal()


def bridge(box: Box, name: str, address: str | None) -> None:
    """Make a switch.

    Parameters
    ----------
    box : Box
        Where.
    name : str
        Its name.
    address : str or None
        The address of the box on it, if any.
    """
    # A hardware address of its own: else it takes that of a port, and changes it, unknown to the
    # hosts, when ports come and go.
    hardware = ':'.join(f'{byte:02x}' for byte in (2, *name.encode()[:5].ljust(5)))
    box.net('ip', 'link', 'add', name, 'address', hardware, 'type', 'bridge')
    box.net('ip', 'link', 'add', f'no-{name}', 'type', 'bridge')
    if address is not None:
        box.net('ip', 'addr', 'add', f'{address}/24', 'dev', name)
    box.net('ip', 'link', 'set', name, 'up')


@contextmanager
def cluster(
    kind: str, serve: Callable[[Box, Path], None], mount: Callable[[Box, Path, Path], None]
) -> Iterator[Cluster]:
    """A server and two hosts, made of boxes.

    Parameters
    ----------
    kind : str
        The filesystem, also the stem of the host names.
    serve : callable
        ``serve(server, base)`` starts the server in its box, with its files under ``base``.
    mount : callable
        ``mount(box, path, base)`` mounts the shared folder at ``path`` in the box of a host.

    Yields
    ------
    cluster : Cluster
        It ends with the context.
    """
    with ExitStack() as stack:
        base = stack.enter_context(scratch())
        boxes: list[Box] = []
        for name in ('server', 'a', 'b'):
            boxes.append(Box(f'{kind}-{name}'))
            stack.callback(boxes[-1].close)
        server = boxes[0]
        bridge(server, 'bridge', SERVER_IP)
        path = base / 'shared'
        path.mkdir()
        (base / 'local').mkdir()
        hosts: list[Host] = []
        for i, box in enumerate(boxes[1:], start=1):
            server.net(
                'ip',
                'link',
                'add',
                f'port{i:d}',
                'type',
                'veth',
                'peer',
                'name',
                'eth0',
                'netns',
                str(box.pid),
            )
            server.net('ip', 'link', 'set', f'port{i:d}', 'master', 'bridge', 'up')
            for command in (f'addr add 10.77.0.{10 + i:d}/24 dev eth0', 'link set eth0 up'):
                box.net('ip', *command.split())
            hosts.append(NamespaceHost(box, server, f'port{i:d}', path))
        serve(server, base)
        for box in boxes[1:]:
            mount(box, path, base)
        yield Cluster(kind, (hosts[0], hosts[1]), path, base / 'local')


def line(process: subprocess.Popen[str]) -> str:
    """Read the next line that a program prints.

    Parameters
    ----------
    process : subprocess.Popen
        The program, with its output in a pipe.

    Returns
    -------
    text : str
        The line, without its end.

    Raises
    ------
    EOFError
        The program has ended.
    RuntimeError
        It has raised; the message holds the trace.
    """
    assert process.stdout is not None
    text = process.stdout.readline()
    if not text:
        raise EOFError(f'{process.args!r} ended')
    if text.startswith('Traceback'):
        raise RuntimeError(f'{process.args!r} raised:\n{text}{process.stdout.read()}')
    return text.strip()


def until(process: subprocess.Popen[str], word: str) -> None:
    """Read what a program prints, up to a line that is a certain word.

    Parameters
    ----------
    process : subprocess.Popen
        The program, with its output in a pipe.
    word : str
        The line, without its end.

    Raises
    ------
    EOFError, RuntimeError
        The program has ended, or raised; the message holds what it had printed.
    """
    seen: list[str] = []
    try:
        while (text := line(process)) != word:
            seen.append(text)
    except EOFError as exc:
        raise EOFError(f'{exc} before it said {word!r}; it said: {seen}') from None


def go(process: subprocess.Popen[str]) -> None:
    """Give a program an empty line.

    Parameters
    ----------
    process : subprocess.Popen
        The program, with its input in a pipe.
    """
    assert process.stdin is not None
    process.stdin.write('\n')
    process.stdin.flush()


def finish(process: subprocess.Popen[str], timeout: float = 240.0) -> str:
    """Wait until a program has ended, with success.

    Parameters
    ----------
    process : subprocess.Popen
        The program.
    timeout : float, default=240
        The longest wait, in seconds.

    Returns
    -------
    out : str
        What it printed and nobody had read.
    """
    result = _complete(process, timeout, check=True)
    return str(result.stdout)
