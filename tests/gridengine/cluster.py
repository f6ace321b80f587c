"""A real Grid Engine on this machine: qmaster and one execution daemon, in one folder and on the
loopback; all of it ends with the process that started it.

Both run in a process namespace, so that the manager sees of workers what it sees of those of
another machine: their leases.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from polling import wait_for

from desipipe.provider.gridengine_states import Row, parse_qstat

LIBRARY = Path('/usr/lib/gridengine')
SHARE = Path('/usr/share/gridengine')
TIMEOUT = 120.0  # s; only what hangs takes so long
QUEUE = 'regular'


def missing() -> str:
    """Why there can be no Grid Engine here; empty if there can."""
    if sys.platform != 'linux' or os.geteuid() != 0:
        return 'Grid Engine of the tests needs Linux and root'
    programs = [LIBRARY / name for name in ('sge_qmaster', 'sge_execd', 'spoolinit')]
    absent = [path.name for path in programs if not path.exists()]
    absent += [name for name in ('qsub', 'qstat', 'unshare') if shutil.which(name) is None]
    return f'not installed: {", ".join(absent)} (`make test` as root does it)' if absent else ''


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(('127.0.0.1', 0))
        second.bind(('127.0.0.1', 0))
        return first.getsockname()[1], second.getsockname()[1]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _changed(text: str, **values: str) -> str:
    """Lines of ``name value`` with other values; names that are not there are added."""
    lines = {line.split()[0]: line for line in text.splitlines() if line and line[0].isalpha()}
    return ''.join(
        f'{line}\n' for line in ({**lines, **{k: f'{k} {v}' for k, v in values.items()}}).values()
    )


class GridEngine:
    """A cluster of this machine, with one queue of eight slots.

    Parameters
    ----------
    base : path
        An empty folder for everything.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        self.host = socket.gethostname()
        qmaster, execd = _free_ports()
        self.environ = {
            'SGE_ROOT': str(base),
            'SGE_CELL': 'default',
            'SGE_QMASTER_PORT': str(qmaster),
            'SGE_EXECD_PORT': str(execd),
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def _configure(self) -> None:
        base, common = self.base, self.base / 'default' / 'common'
        for folder in (common, base / 'db', base / 'execd', base / 'qmaster' / 'job_scripts'):
            folder.mkdir(parents=True)
        base.chmod(0o755)
        for name in ('bin', 'lib', 'util', 'utilbin'):
            (base / name).symlink_to(f'/var/lib/gridengine/{name}')
        bootstrap = {
            'admin_user': 'none',
            'default_domain': 'none',
            'ignore_fqdn': 'false',
            'spooling_method': 'berkeleydb',
            'spooling_lib': 'libspoolb',
            'spooling_params': base / 'db',
            'binary_path': LIBRARY,
            'qmaster_spool_dir': base / 'qmaster',
            'security_mode': 'none',
            'listener_threads': 2,
            'worker_threads': 2,
            'scheduler_threads': 1,
        }
        (common / 'bootstrap').write_text(''.join(f'{k} {v}\n' for k, v in bootstrap.items()))
        (common / 'act_qmaster').write_text(f'{self.host}\n')
        # The loopback is called so here, and Grid Engine goes by names.
        (common / 'host_aliases').write_text(f'{self.host} localhost\n')
        configuration = _changed(
            (SHARE / 'default-configuration').read_text(),
            execd_spool_dir=str(base / 'execd'),
            mailer='/bin/true',
            min_uid='0',
            min_gid='0',
            load_report_time='00:00:02',
            reporting_params=(
                'accounting=true reporting=false flush_time=00:00:01 '
                'accounting_flush_time=00:00:00 joblog=false sharelog=00:00:00'
            ),
        )
        (base / 'configuration').write_text(configuration)
        resources = SHARE / 'util' / 'resources'
        self.run(str(LIBRARY / 'spoolinit'), 'berkeleydb', 'libspoolb', str(base / 'db'), 'init')
        for text in (
            ('configuration', str(base / 'configuration')),
            ('complexes', str(resources / 'centry')),
            ('usersets', str(resources / 'usersets')),
            ('managers', 'root'),
            ('adminhosts', self.host),
            ('submithosts', self.host),
        ):
            self.run(str(LIBRARY / 'spooldefaults'), *text)

    def start(self) -> None:
        """Start everything, and wait until jobs can run."""
        self._configure()
        self.start_qmaster()
        self.run('qconf', '-as', self.host)
        self._start('sge_execd')
        self._set(
            '-Msconf',
            _changed(
                self.run('qconf', '-ssconf'),
                schedule_interval='0:0:1',
                flush_submit_sec='1',
                flush_finish_sec='1',
            ),
        )
        queue = _changed(
            self.run('qconf', '-sq'),
            qname=QUEUE,
            hostlist=self.host,
            slots='8',
            load_thresholds='NONE',
            notify='00:00:08',
            pe_list='NONE',
        )
        self._set('-Aq', queue)
        wait_for(
            lambda: f'{QUEUE}@' in self.run('qstat', '-f') and 'lx-' in self.run('qhost'),
            'the queue',
        )

    def _set(self, option: str, text: str) -> None:
        path = self.base / 'setting'
        path.write_text(text)
        self.run('qconf', option, str(path))

    def start_qmaster(self) -> None:
        """Start qmaster, with what it knew."""
        self._start('sge_qmaster')
        wait_for(lambda: self._tried('qconf', '-sh'), 'qmaster')

    def _start(self, name: str) -> None:
        inner = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
        with open(self.base / f'{name}.out', 'ab') as log:
            self._processes[name] = subprocess.Popen(
                [*inner, str(LIBRARY / name)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environ, 'SGE_ND': '1'},
                preexec_fn=_die_with_parent,
                start_new_session=True,
            )

    def stop_one(self, name: str) -> None:
        """Kill a daemon, and for ``'sge_execd'`` all that it runs."""
        process = self._processes.pop(name)
        process.kill()
        process.wait(TIMEOUT)

    def stop(self) -> None:
        """End everything."""
        for name in list(self._processes):
            self.stop_one(name)

    # Commands

    def run(self, *argv: str) -> str:
        """Run a command of Grid Engine, which must succeed, and return what it prints."""
        done = self._done(argv)
        assert done.returncode == 0, f'{argv}: {done.stdout} {done.stderr}'
        return done.stdout

    def _tried(self, *argv: str) -> bool:
        return self._done(argv).returncode == 0

    def _done(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, **self.environ}
        return subprocess.run(argv, capture_output=True, text=True, env=environ, timeout=TIMEOUT)

    def jobs(self) -> dict[str, Row]:
        """The jobs that wait or run."""
        rows = parse_qstat(self.run('qstat', '-xml', '-g', 'd', '-u', '*'))
        assert rows is not None
        return rows

    def clear(self) -> None:
        """Delete all jobs, and wait until they are gone."""
        self._tried('qdel', '-f', '-u', '*')
        deadline = time.monotonic() + TIMEOUT
        while self.jobs():
            assert time.monotonic() < deadline, self.jobs()
            self._tried('qdel', '-f', '-u', '*')
            time.sleep(0.1)

    def log(self) -> str:
        """Return what the daemons said last."""
        paths = [self.base / 'qmaster' / 'messages', *self.base.glob('execd/*/messages')]
        return '\n'.join(path.read_text()[-2000:] for path in paths if path.exists())
