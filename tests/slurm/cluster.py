"""A real Slurm on this machine: controller, nodes, accounting, in one folder and on the loopback;
all of it ends with the process that started it.

Each node has a name, mounts and process numbers of its own, so that its workers are as far from the
manager as those of another machine: only their leases tell whether they live.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from polling import wait_for

PROGRAMS = ('slurmctld', 'slurmd', 'munged', 'sbatch')
ACCOUNTING = ('slurmdbd', 'mariadbd', 'mariadb-install-db')
WITHOUT_CGROUPS = 'DESIPIPE_TESTS_WITHOUT_CGROUPS'
"""Environment variable: Slurm follows processes by their parents, as many clusters do."""
_PATH = os.pathsep.join([os.environ.get('PATH', os.defpath), '/usr/sbin', '/sbin'])
_PORTS = 40  # of one cluster: controller, accounting, nodes
TIMEOUT = 120.0  # s; only what hangs takes so long


def missing(*programs: str) -> str:
    """Why there can be no Slurm here; empty if there can."""
    if sys.platform != 'linux' or os.geteuid() != 0:
        return 'Slurm of the tests needs Linux and root'
    absent = [
        program
        for program in (*PROGRAMS, 'unshare', *programs)
        if shutil.which(program, path=_PATH) is None
    ]
    return (
        f'not installed: {", ".join(absent)} (`make test` as root installs them)' if absent else ''
    )


def _free_ports() -> int:
    """The first of a row of ports that nobody listens on."""
    for first in range(20000 + os.getpid() % 200 * 50, 60000, 50):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + _PORTS):
                stack.enter_context(socket.socket()).bind(('127.0.0.1', port))
            return first
    raise RuntimeError('no free ports')


def apart(name: str, pid: int, message: str) -> list[str]:
    """Command line of a shell on a machine of its own, in all but the network, which has the
    mounts of another process.
    """
    # What tells machines apart lies where the other process has its own /run; a new /proc hides it.
    message = (
        f'hostname {name}; [ ! -e /run/boot_id ] || mount --bind /run/boot_id '
        f'/proc/sys/kernel/random/boot_id; {message}'
    )
    enter = ['nsenter', f'--mount=/proc/{pid:d}/ns/mnt']
    return [
        *enter,
        'unshare',
        '--uts',
        '--mount',
        '--pid',
        '--fork',
        '--kill-child',
        '--mount-proc',
        '--propagation',
        'slave',
        'sh',
        '-c',
        message,
    ]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Slurm:
    """A cluster.

    Parameters
    ----------
    base : path
        An empty folder for everything; its path must be short, as there are sockets in it.
    nodes : int, default=2
        Number of nodes, ``n1``, …; the last one has the feature 'gpu' and four of them.
    cpus : int, default=8
        Of each node.
    accounting : bool, default=True
        Whether there are slurmdbd and its data base.
    options : str, default=''
        Further lines of slurm.conf.
    hosts : sequence of int, default=()
        For each node a process whose mounts it has; by default those of this machine.
    """

    def __init__(
        self,
        base: Path,
        nodes: int = 2,
        cpus: int = 8,
        accounting: bool = True,
        options: str = '',
        hosts: Sequence[int] = (),
    ) -> None:
        self.base = base
        self.accounting = accounting
        self.nodes = [f'n{i:d}' for i in range(1, nodes + 1)]
        self._hosts = dict(zip(self.nodes, hosts, strict=False))
        self.environ = {'SLURM_CONF': str(base / 'slurm.conf'), 'PATH': _PATH}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._port = _free_ports()
        remote = all(Path('/sys/fs/cgroup', name).is_dir() for name in ('memory', 'freezer'))
        self._cgroup = remote and not os.environ.get(WITHOUT_CGROUPS)
        self._configure(cpus, options)

    @property
    def kills_for_memory(self) -> bool:
        """Whether jobs that take too much memory are killed by the kernel, and said to be."""
        return self._cgroup

    def _configure(self, cpus: int, options: str) -> None:
        base, port, here = self.base, self._port, socket.gethostname()
        for folder in ('log', 'munge', 'state', 'spool', *(f'spool/{node}' for node in self.nodes)):
            (base / folder).mkdir()
        base.chmod(0o755)
        (base / 'munge').chmod(0o755)
        key = base / 'munge' / 'key'
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        (base / 'hosts').write_text(
            Path('/etc/hosts').read_text() + ''.join(f'127.0.0.1 {node}\n' for node in self.nodes)
        )
        lines = [
            'ClusterName=test',
            f'SlurmctldHost={here}(127.0.0.1)',
            f'SlurmctldPort={port:d}',
            'SlurmUser=root',
            'SlurmdUser=root',
            'AuthType=auth/munge',
            'CredType=cred/munge',
            f'AuthInfo=socket={base}/munge/socket',
            'CommunicationParameters=NoCtldInAddrAny,NoInAddrAny',
            f'StateSaveLocation={base}/state',
            f'SlurmdSpoolDir={base}/spool/%n',
            f'SlurmctldPidFile={base}/slurmctld.pid',
            f'SlurmdPidFile={base}/slurmd-%n.pid',
            f'SlurmctldLogFile={base}/log/slurmctld.log',
            f'SlurmdLogFile={base}/log/slurmd-%n.log',
            f'ProctrackType=proctrack/{"cgroup" if self._cgroup else "linuxproc"}',
            f'TaskPlugin=task/{"cgroup" if self._cgroup else "none"}',
            f'JobAcctGatherType=jobacct_gather/{"cgroup" if self._cgroup else "linux"}',
            'JobAcctGatherFrequency=1',
            'MpiDefault=none',
            'ReturnToService=2',
            'SlurmdParameters=config_overrides',
            'SelectType=select/cons_tres',
            'SelectTypeParameters=CR_CPU_Memory',
            'DefMemPerCPU=150',
            'GresTypes=gpu',
            'PreemptType=preempt/partition_prio',
            'PreemptMode=CANCEL',
            'SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0',
            'KillWait=8',
            'SlurmdTimeout=6',
            'SlurmctldTimeout=10',
            'CompleteWait=0',
            'MessageTimeout=5',
            'MaxArraySize=2001',
            'PriorityType=priority/basic',
            options,
        ]
        if self.accounting:
            lines += [
                'AccountingStorageType=accounting_storage/slurmdbd',
                'AccountingStorageHost=127.0.0.1',
                f'AccountingStoragePort={port + 1:d}',
                f'AccountingStoragePass={base}/munge/socket',
                'AccountingStorageEnforce=associations,limits,qos',
                'AccountingStorageTRES=gres/gpu',
            ]
            text = f'AuthType=auth/munge\nAuthInfo=socket={base}/munge/socket\nDbdHost={here}\nDbdAddr=127.0.0.1\nDbdPort={port + 1:d}\nSlurmUser=root\n'
            text += f'LogFile={base}/log/slurmdbd.log\nPidFile={base}/slurmdbd.pid\nStorageType=accounting_storage/mysql\nStorageHost=localhost\n'
            (base / 'slurmdbd.conf').write_text(
                text + 'StorageUser=root\nStorageLoc=slurm_acct_db\n'
            )
            (base / 'slurmdbd.conf').chmod(0o600)
        for i, node in enumerate(self.nodes):
            gpus = 'Feature=cpu,gpu Gres=gpu:4' if i == len(self.nodes) - 1 else 'Feature=cpu'
            lines.append(
                f'NodeName={node} NodeHostname={node} NodeAddr=127.0.0.1 Port={port + 2 + i:d} '
                f'CPUs={cpus:d} RealMemory=4000 {gpus} State=UNKNOWN'
            )
        lines += [
            (
                'PartitionName=regular Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=10 '
                'State=UP PreemptMode=OFF'
            ),
            'PartitionName=debug Nodes=n1 MaxTime=30 State=UP PreemptMode=OFF',
            (
                'PartitionName=scavenge Nodes=ALL MaxTime=60 State=UP PriorityTier=1 '
                'PreemptMode=CANCEL'
            ),
            'PartitionName=urgent Nodes=ALL MaxTime=60 State=UP PriorityTier=9 PreemptMode=OFF',
        ]
        (base / 'slurm.conf').write_text('\n'.join(lines) + '\n')
        (base / 'gres.conf').write_text(f'NodeName={self.nodes[-1]} Name=gpu File=/dev/tty[0-3]\n')
        (base / 'cgroup.conf').write_text(
            'CgroupAutomount=no\nCgroupPlugin=cgroup/v1\nConstrainRAMSpace=yes\nConstrainSwapSpace=yes\nConstrainCores=no\n'
        )

    # Processes

    def _start(self, name: str, argv: Sequence[str], **environ: str) -> None:
        with open(self.base / 'log' / f'{name}.out', 'ab') as log:
            self._processes[name] = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environ, **environ},
                preexec_fn=_die_with_parent,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start everything, and wait until the nodes are there."""
        munge = self.base / 'munge'
        names = {
            'key-file': 'key',
            'socket': 'socket',
            'pid-file': 'pid',
            'log-file': 'log',
            'seed-file': 'seed',
        }
        self._start(
            'munged',
            [
                'munged',
                '-F',
                '--force',
                *(f'--{option}={munge / name}' for option, name in names.items()),
            ],
        )
        wait_for((munge / 'socket').exists, 'munge')
        if self.accounting:
            self._start_accounting()
        self.start_controller()
        for node in self.nodes:
            self.start_node(node)
        wait_for(
            lambda: (
                self.run('sinfo', '-h', '-N', '-p', 'regular', '-t', 'idle', '-o', '%N').split()
                == self.nodes
            ),
            'all nodes are idle',
        )

    def _start_accounting(self) -> None:
        data, sock = self.base / 'mysql', self.base / 'mysql.sock'
        data.mkdir()
        common = ['--no-defaults', '--user=root', f'--datadir={data}']
        how = [
            '--auth-root-authentication-method=socket',
            '--auth-root-socket-user=root',
            '--skip-test-db',
            '--skip-name-resolve',
        ]
        subprocess.run(
            ['mariadb-install-db', *common, *how],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, 'PATH': _PATH},
        )
        small = [
            '--innodb-log-file-size=16M',
            '--innodb-buffer-pool-size=64M',
            '--innodb-flush-log-at-trx-commit=0',
            '--innodb-lock-wait-timeout=900',
        ]
        # slurmdbd makes its data base itself, but not through the client library of MariaDB 11.
        first = self.base / 'first.sql'
        first.write_text('CREATE DATABASE IF NOT EXISTS slurm_acct_db;\n')
        here = [f'--socket={sock}', '--skip-networking', '--skip-log-bin', f'--init-file={first}']
        self._start('mariadbd', ['mariadbd', *common, *here, *small])
        wait_for(sock.exists, 'the data base')
        self.start_accounting()
        wait_for(lambda: self._tried('sacctmgr', '-n', '-i', 'show', 'cluster'), 'accounting')
        for text in (
            'add cluster test',
            'add account desi Description=desi Organization=desi',
            'add account desi_g Description=desi Organization=desi',
            'add qos debug,regular',
            'add user root Account=desi,desi_g DefaultAccount=desi',
            'modify account desi set qos=normal,debug,regular defaultqos=normal',
            'modify account desi_g set qos=normal,debug,regular defaultqos=normal',
        ):
            self._tried('sacctmgr', '-i', '-Q', *text.split())

    def start_accounting(self) -> None:
        """Start slurmdbd."""
        self._start('slurmdbd', ['slurmdbd', '-D'], MYSQL_UNIX_PORT=str(self.base / 'mysql.sock'))

    def start_controller(self) -> None:
        """Start slurmctld, with what it knew."""
        self._start('slurmctld', ['slurmctld', '-D'])
        wait_for(
            lambda: self._tried('scontrol', 'ping') and 'is UP' in self.run('scontrol', 'ping'),
            'the controller',
        )

    def start_node(self, node: str) -> None:
        """Start slurmd of a node, in namespaces of its own."""
        # Memory of its own too: MPI names its segments by job and step, which are the same in each
        # cluster that begins anew.
        text = (
            f'mount -t tmpfs tmpfs /dev/shm; mount --bind {self.base}/hosts /etc/hosts; exec '
            f'slurmd -D -N {node}'
        )
        self._start(node, apart(node, self._hosts.get(node, os.getpid()), text))

    def signal(self, name: str, number: int) -> None:
        """Signal a process: ``'slurmctld'``, ``'slurmdbd'``, or slurmd by the name of its node."""
        os.kill(self._pid(name), number)

    def _pid(self, name: str) -> int:
        pid = self._processes[name].pid
        if name in self.nodes:  # behind unshare, which passes nothing on
            pid = int(Path(f'/proc/{pid:d}/task/{pid:d}/children').read_text().split()[0])
        return pid

    def stop_one(self, name: str) -> None:
        """End a process."""
        self.signal(name, signal.SIGTERM)
        process = self._processes.pop(name)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def stop(self) -> None:
        """End everything."""
        # Killed, as nothing of it is needed any more; what runs on a node goes with its namespace.
        for process in reversed(list(self._processes.values())):
            process.kill()
            process.wait(10)
        self._processes.clear()
        # slurmd leaves its version 1 groups.
        for group in Path('/sys/fs/cgroup').glob('*/slurm_n[0-9]*'):
            for folder, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)

    # Commands

    def run(self, *argv: str) -> str:
        """What a command of Slurm prints; it must succeed."""
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            env={**os.environ, **self.environ},
            timeout=TIMEOUT,
        )
        assert done.returncode == 0, f'{argv}: {done.stderr}'
        return done.stdout

    def _tried(self, *argv: str) -> bool:
        return (
            subprocess.run(
                argv, capture_output=True, env={**os.environ, **self.environ}, timeout=TIMEOUT
            ).returncode
            == 0
        )

    def log(self) -> str:
        """What the controller and the nodes said last."""
        return '\n'.join(
            (self.base / 'log' / f'{name}.log').read_text()[-2000:]
            for name in ('slurmctld', *(f'slurmd-{node}' for node in self.nodes))
        )

    def jobs(self, state: str = 'all') -> dict[str, str]:
        """States of jobs by identity."""
        rows = self.run('squeue', '-h', '--array', '-t', state, '-o', '%i %T').splitlines()
        return dict(row.split() for row in rows)
