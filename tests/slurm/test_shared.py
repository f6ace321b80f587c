"""Nodes that share nothing but a folder over a network, where the queue lies: MooseFS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from netfs.hosts import Cluster, missing
from netfs.moosefs import PROGRAMS, moosefs
from polling import wait_for

from .cluster import TIMEOUT, Slurm, apart
from .conftest import running

pytestmark = [pytest.mark.slurm, pytest.mark.netfs]

Run = Callable[..., Any]


@contextmanager
def sharing() -> Iterator[tuple[Cluster, Slurm]]:
    """Two hosts with a folder, each of them a node of a Slurm without accounting."""
    if reason := missing(*PROGRAMS):
        pytest.skip(f'NO NETWORK FILESYSTEM, so Slurm was not tested on one: {reason}')
    with (
        moosefs() as hosts,
        running(accounting=False, hosts=[host.box.pid for host in hosts.hosts]) as slurm,
    ):
        yield hosts, slurm


def test_pi(tmp_path: Path) -> None:
    """The pipeline of the documentation.

    Its manager dies on one login node, that on another one takes over its jobs.
    """
    with sharing() as (hosts, slurm), ExitStack() as stack:
        (tmp_path / 'config.yaml').write_text('lease: 3\n')
        environ = {**os.environ, **slurm.environ, 'DESIPIPE_CONFIG_DIR': str(tmp_path)}

        def login(name: str, host: Any, *argv: str) -> subprocess.Popen[str]:
            log = stack.enter_context(open(tmp_path / f'{name}.log', 'a'))
            process = subprocess.Popen(
                apart(name, host.box.pid, f'cd {hosts.path} && exec "$0" "$@"') + [sys.executable, *argv],
                env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
            stack.callback(process.kill)
            return process

        def output(*args: Any) -> str:
            process = login(*args)
            out, _ = process.communicate(timeout=TIMEOUT)
            assert process.returncode == 0, (tmp_path / f'{args[0]}.log').read_text()
            return out

        one, two = hosts.hosts
        queue, script = str(hosts.path / 'pi'), str(Path(__file__).with_name('pi.py'))
        spawn = ['-m', 'desipipe', 'spawn', '-q', queue, '--timestep', '0.5']
        output('login1', one, script, queue)
        manager = login('login1', one, *spawn)
        stack.callback(
            lambda: print(
                *(
                    (tmp_path / f'login{i:d}.log').read_text()
                    for i in (1, 2)
                    if (tmp_path / f'login{i:d}.log').exists()
                ),
                slurm.log(),
            )
        )

        def hosts_at_work() -> set[str]:
            summary = json.loads(
                output('login1', one, '-m', 'desipipe', 'status', '-q', queue, '--json')
            )
            return {worker['host'] for worker in summary['workers'] if worker['running']}

        # A job that runs may have no worker yet, and the other node would compute all.
        wait_for(lambda: {'n1', 'n2'} <= hosts_at_work(), 'both nodes work', 60)
        jobs = slurm.jobs()
        manager.send_signal(signal.SIGKILL)
        manager.wait()
        other = login('login2', two, *spawn)
        output('login2', two, '-c', f'open({queue!r} + ".go", "w")')
        printed, nodes, attempts = output('login1', one, script, queue, 'result').splitlines()
        assert printed == 'bash app says pi is ~ 3.14'
        assert nodes.split() == ['n1', 'n2']
        assert attempts == '1'
        assert other.wait(TIMEOUT) == 0, (tmp_path / 'login2.log').read_text()
        later = set(slurm.jobs()) - set(jobs)
        assert len(later) <= 1, later  # for the average; those of the fractions were taken over
