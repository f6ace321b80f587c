"""Providers: real worker processes, how they end, what reaches them, and that nothing of them is
left.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from desipipe.environment import Environment
from desipipe.errors import ConfigError, UnknownOptionError
from desipipe.provenance import process_alive, process_start
from desipipe.provider import BaseProvider, Job, LocalProvider, Provider, get_provider

PLAIN = Environment('base')


class Gate:
    """Two named pipes: what a process says, and when it may go on."""

    def __init__(self, folder: Path) -> None:
        self.said, self.go = folder / 'said', folder / 'go'
        os.mkfifo(self.said)
        os.mkfifo(self.go)

    def hear(self) -> str:
        """Wait until the process says something."""
        return self.said.read_text()

    def open(self) -> None:
        """Let it go on."""
        self.go.write_text('go')

    def argv(self, code: str = '', last: str = '') -> list[str]:
        """Command line of a process that runs code, says what is in `words`, waits, and runs the
        last code.
        """
        lines = [
            'import json, os, signal, sys',
            "words = 'ready'",
            code,
            f'open({str(self.said)!r}, "w").write(words)',
            f'open({str(self.go)!r}).read()',
            last,
        ]
        return [sys.executable, '-c', '\n'.join(lines)]


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., tuple[LocalProvider, Job]]]:
    """Launch a job; whatever is left of it at the end of the test is killed."""
    launched: list[tuple[LocalProvider, Job]] = []

    def launch(
        argv: list[str],
        slots: int = 1,
        environ: Any = PLAIN,
        log: str | None = None,
        cwd: str | None = None,
    ) -> tuple[LocalProvider, Job]:
        provider = LocalProvider()
        (job,) = provider.launch(
            argv, slots, environ, log or str(tmp_path / 'log'), cwd or str(tmp_path)
        )
        launched.append((provider, job))
        return provider, job

    yield launch
    for provider, job in launched:
        provider.cancel(job, force=True)


def wait(provider: LocalProvider, job: Job) -> Job:
    """Wait for the end of a job as its parent may, without reaping it, then ask the provider."""
    process = provider._jobs[job.jobid][1]
    if process.returncode is None:  # `cancel` may have seen it already
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    (ended,) = provider.poll()
    return ended


def pid_of(provider: LocalProvider, job: Job) -> int:
    return provider._jobs[job.jobid][1].pid


# --- a job's life


def test_life(tmp_path: Path, gate: Gate, launch: Any) -> None:
    code = (
        'words = json.dumps([sys.argv[1:], os.getpid(), os.getsid(0), os.getpgrp(), os.getcwd(), '
        'sys.stdin.read()])'
    )
    # A worker must not eat what is typed for the launcher.
    (tmp_path / 'typed').write_text('typed')
    before = os.dup(0)
    with open(tmp_path / 'typed') as typed:
        os.dup2(typed.fileno(), 0)
    try:
        provider, job = launch(
            gate.argv(code, 'print("out"); print("err", file=sys.stderr)'), slots=3
        )
    finally:
        os.dup2(before, 0)
        os.close(before)
    assert job.jobid.startswith('local:')
    assert job == Job(job.jobid, 3, 'running', node=os.uname().nodename)
    argv, pid, session, group, cwd, stdin = json.loads(gate.hear())
    assert argv == ['--slots', '3', '--jobid', job.jobid]
    assert pid == session == group == pid_of(provider, job)
    assert (cwd, stdin) == (str(tmp_path), '')
    assert provider.poll() == provider.poll() == [job]
    gate.open()
    ended = wait(provider, job)
    assert ended == Job(job.jobid, 3, 'ended', 'exit status 0', 0, os.uname().nodename)
    assert provider.describe_end(ended) == 'exit status 0'
    assert job.state == 'running'  # what was handed out stays what it was
    assert provider.poll() == []  # reported once
    assert not os.path.exists(f'/proc/{pid}')  # no zombie
    provider.cancel(ended)
    provider.cancel(ended, force=True)
    assert sorted((tmp_path / 'log').read_text().split()) == ['err', 'out']


def test_local_provider_runs_several_jobs(tmp_path: Path) -> None:
    provider = LocalProvider()
    jobs = [
        provider.launch(['sh', '-c', f'exit {n}'], 1, PLAIN, str(tmp_path / 'log'), '/')[0]
        for n in range(3)
    ]
    assert len({job.jobid for job in jobs}) == 3
    ended: list[Job] = []
    for job in reversed(jobs):
        if job.jobid in provider._jobs:
            os.waitid(os.P_PID, pid_of(provider, job), os.WEXITED | os.WNOWAIT)
        states = provider.poll()
        assert [state.jobid for state in states] == [
            job.jobid for job in jobs if job.jobid in {state.jobid for state in states}
        ]
        ended += [state for state in states if state.state == 'ended']
    assert {state.jobid: state.exitcode for state in ended} == {
        job.jobid: n for n, job in enumerate(jobs)
    }
    assert provider.poll() == []


def test_log_is_appended_to(tmp_path: Path, launch: Any) -> None:
    (tmp_path / 'log').write_text('before\n')
    for word in ('one', 'two'):
        wait(*launch(['echo', word]))
    assert [line.split()[0] for line in (tmp_path / 'log').read_text().splitlines()] == [
        'before',
        'one',
        'two',
    ]


@pytest.mark.parametrize(
    ('code', 'exitcode', 'message'),
    [
        ('sys.exit(3)', 3, 'exit status 3'),
        ('os.kill(os.getpid(), 11)', -11, 'killed by signal 11 (SIGSEGV)'),
    ],
)
def test_ends(launch: Any, gate: Gate, code: str, exitcode: int, message: str) -> None:
    provider, job = launch(gate.argv(last=code))
    gate.hear()
    gate.open()
    ended = wait(provider, job)
    assert (ended.exitcode, ended.reason, provider.describe_end(ended)) == (
        exitcode,
        message,
        message,
    )


def test_words_for_ends() -> None:
    provider = LocalProvider()
    assert (
        provider.describe_end(Job('a', 1, 'ended', exitcode=-9)) == 'killed by signal 9 (SIGKILL)'
    )
    assert provider.describe_end(Job('a', 1, 'ended', exitcode=-40)) == 'killed by signal 40'
    assert provider.describe_end(Job('a', 1, 'ended', 'PREEMPTED')) == 'PREEMPTED'
    assert provider.describe_end(Job('a', 1, 'ended')) == 'ended, for an unknown reason'


def test_cancel_asks(launch: Any, gate: Gate) -> None:
    """The worker itself is asked, and its slots not: it decides what becomes of them."""
    code = (
        'pid = os.fork()\n'
        'if pid == 0:\n'
        '    signal.pause()\n'  # would be ended by a signal to the group
        'signal.signal(signal.SIGTERM, lambda *_: (os.kill(pid, 9), '
        'sys.exit(os.WTERMSIG(os.waitpid(pid, 0)[1]))))'
    )
    provider, job = launch(gate.argv(code))
    gate.hear()
    provider.cancel(job)
    ended = wait(provider, job)
    assert ended.exitcode == signal.SIGKILL  # what the slot died of: not of SIGTERM


def forks(gate: Gate) -> str:
    """Code that leaves a child which ignores SIGTERM, and says its number."""
    return (
        'pid = os.fork()\nif pid == 0:\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    '
        'signal.pause()\nwords = str(pid)'
    )


def ended_soon(pid: int, start: int | None) -> bool:
    """Wait, with a limit, for the end of a process that is not ours."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    import select

    ended = bool(select.select([fd], [], [], 60)[0])
    os.close(fd)
    return ended and not process_alive(pid, start)


def test_force_kills_all(launch: Any, gate: Gate) -> None:
    provider, job = launch(
        gate.argv(f'signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{forks(gate)}')
    )
    child = int(gate.hear())
    start = process_start(child)
    assert start is not None
    provider.cancel(job)  # both ignore it
    provider.cancel(job, force=True)
    provider.cancel(job, force=True)
    ended = wait(provider, job)
    assert ended.reason == 'killed by signal 9 (SIGKILL)'
    assert ended_soon(child, start)


@pytest.mark.parametrize('last', ['os._exit(1)', 'os.kill(os.getpid(), 9)'])
def test_dead_worker_leaves_no_slots(launch: Any, gate: Gate, last: str) -> None:
    """What a worker that crashed had running is started again elsewhere: it must not go on here."""
    provider, job = launch(gate.argv(forks(gate), last))
    child = int(gate.hear())
    start = process_start(child)
    gate.open()
    wait(provider, job)
    assert ended_soon(child, start)


def test_worker_that_ends_well_may_leave_something(tmp_path: Path, launch: Any, gate: Gate) -> None:
    os.mkfifo(tmp_path / 'later')
    later = os.open(tmp_path / 'later', os.O_RDWR)
    output = (
        f'os.read(os.open({str(tmp_path / "later")!r}, os.O_RDONLY), 1); open({str(gate.said)!r}, '
        '"w").write("alive"); os._exit(0)'
    )
    provider, job = launch(
        gate.argv(f'pid = os.fork()\nif pid == 0:\n    {output}\nwords = str(pid)', 'os._exit(0)')
    )
    child = int(gate.hear())
    start = process_start(child)
    gate.open()
    wait(provider, job)
    answer = os.open(gate.said, os.O_RDONLY | os.O_NONBLOCK)
    os.write(later, b'x')
    assert ended_soon(child, start)
    assert os.read(answer, 10) == b'alive'  # it went on until it was told to end
    os.close(answer)
    os.close(later)


def test_cancel_of_a_zombie_sweeps_too(launch: Any, gate: Gate) -> None:
    provider, job = launch(gate.argv(forks(gate), 'os._exit(1)'))
    child = int(gate.hear())
    start = process_start(child)
    gate.open()
    os.waitid(os.P_PID, pid_of(provider, job), os.WEXITED | os.WNOWAIT)
    provider.cancel(job)
    assert ended_soon(child, start)
    assert [ended.exitcode for ended in provider.poll()] == [1]


def test_reaped_by_somebody_else(launch: Any) -> None:
    """A library may wait for any child of the process: the job has ended all the same, and no
    process that is not ours is signalled.
    """
    provider, job = launch(['false'])
    os.waitpid(pid_of(provider, job), 0)
    assert [ended.state for ended in provider.poll()] == ['ended']
    assert provider.poll() == []


def test_survives_the_terminal(tmp_path: Path, gate: Gate) -> None:
    """The terminal from which the launcher was started hangs up: the launcher dies of it, the
    worker does not notice.
    """
    worker_argv = gate.argv(
        'words = str(os.getpid())', f'open({str(gate.said)!r}, "w").write("alive")'
    )
    code = (
        'import signal, sys\n'
        'signal.signal(signal.SIGHUP, signal.SIG_DFL)\n'  # nohup has it ignored
        'from desipipe.environment import Environment\n'
        'from desipipe.provider import LocalProvider\n'
        f'LocalProvider().launch({worker_argv!r}, 1, Environment("base"), '
        f'{str(tmp_path / "log")!r}, "/")\n'
        'signal.pause()\n'
    )
    launcher, terminal = pty.fork()
    if launcher == 0:
        try:
            os.execv(sys.executable, [sys.executable, '-c', code])
        finally:
            os._exit(1)
    worker = int(gate.hear())
    assert process_alive(worker)
    os.close(terminal)
    _, status = os.waitpid(launcher, 0)
    assert os.WTERMSIG(status) == signal.SIGHUP
    assert process_alive(worker)
    gate.open()
    assert gate.hear() == 'alive'
    assert ended_soon(worker, None)


# --- the environment of workers


def test_environment(launch: Any, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('FROM_OUTSIDE', '1')
    monkeypatch.setenv('GONE', '1')
    environ = Environment({'A': 'it\'s "$FROM_OUTSIDE"\n$(echo run)', 'GONE': None})
    launch(
        gate.argv(
            'words = json.dumps([os.environ.get(name) for name in ("FROM_OUTSIDE", "A", "GONE")])'
        ),
        environ=environ,
    )
    assert json.loads(gate.hear()) == ['1', 'it\'s "1"\nrun', None]
    gate.open()


def test_environment_with_commands(
    tmp_path: Path, launch: Any, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('FROM_OUTSIDE', '1')
    (tmp_path / 'set up.sh').write_text('export SOURCED="$1 of $FROM_OUTSIDE"\necho chatter\n')
    environ = Environment({'A': '$SOURCED!'}, command=f"source '{tmp_path}/set up.sh' argument")
    code = (
        'words = json.dumps([os.environ["SOURCED"], os.environ["A"], os.getpid(), os.getsid(0), '
        'sys.argv[1:]])'
    )
    provider, job = launch(gate.argv(code), slots=2, environ=environ)
    sourced, a, pid, session, argv = json.loads(gate.hear())
    assert (sourced, a) == ('argument of 1', 'argument of 1!')
    assert pid == session == pid_of(provider, job)  # no shell in between
    assert argv == ['--slots', '2', '--jobid', job.jobid]
    assert (tmp_path / 'log').read_text() == 'chatter\n'
    provider.cancel(job)
    assert wait(provider, job).reason == 'killed by signal 15 (SIGTERM)'


def test_command_that_fails_starts_nothing(tmp_path: Path, launch: Any) -> None:
    provider, job = launch(
        ['touch', str(tmp_path / 'started')], environ=Environment(command='(exit 7)', strict=True)
    )
    assert wait(provider, job).reason == 'exit status 7'
    output = (tmp_path / 'log').read_text()
    assert output == (
        "desipipe: nothing was started, because this command of the environment 'base' failed: "
        '(exit 7); exit status 7\n'
    )
    assert not (tmp_path / 'started').exists()


def test_command_that_fails_is_passed_over(tmp_path: Path, launch: Any) -> None:
    argv = ['bash', '-c', 'touch "$0"', str(tmp_path / 'started')]
    provider, job = launch(argv, environ=Environment(command='(exit 7)'))
    assert wait(provider, job).exitcode == 0
    output = (tmp_path / 'log').read_text()
    assert output == (
        "desipipe: this command of the environment 'base' failed, and was passed over: (exit "
        '7); exit status 7\n'
    )
    assert (tmp_path / 'started').exists()


def test_launch_from_a_missing_folder(tmp_path: Path) -> None:
    provider = LocalProvider()
    with pytest.raises(ConfigError) as info:
        provider.launch(['true'], 1, PLAIN, str(tmp_path / 'log'), str(tmp_path / 'gone'))
    assert str(info.value).startswith(
        'No worker was started, because the folder where it should start is not there: '
        f'{tmp_path}/gone'
    )
    with pytest.raises(FileNotFoundError, match='/gone'):
        provider.launch(['true'], 1, PLAIN, str(tmp_path / 'gone' / 'log'), '/')
    with pytest.raises(FileNotFoundError, match='no-such-program-here'):
        provider.launch(['no-such-program-here'], 1, PLAIN, str(tmp_path / 'log'), '/')
    with pytest.raises(
        ConfigError, match='the number of slots must be a whole number, at least 1, not 0'
    ):
        provider.launch(['true'], 0, PLAIN, str(tmp_path / 'log'), '/')
    assert provider.poll() == []
    assert not (tmp_path / 'gone').exists()


# --- MPI


@pytest.mark.parametrize(
    ('template', 'argv'),
    [
        ('mpiexec -n {mpiprocs:d} {cmd}', ['mpiexec', '-n', '4', 'python', '-m', 'a b']),
        ('mpiexec', ['mpiexec', '-n', '4', 'python', '-m', 'a b']),
        (
            '"/opt/my mpi/mpirun" --oversubscribe',
            ['/opt/my mpi/mpirun', '--oversubscribe', '-n', '4', 'python', '-m', 'a b'],
        ),
        ('srun --ntasks={mpiprocs:d}', ['srun', '--ntasks=4', 'python', '-m', 'a b']),
        ('srun {cmd}', ['srun', 'python', '-m', 'a b']),
        (
            "ssh node 'mpiexec -n {mpiprocs:02d} {cmd} <&-'",
            ['ssh', 'node', "mpiexec -n 04 python -m 'a b' <&-"],
        ),
    ],
)
def test_mpi_command(template: str, argv: list[str]) -> None:
    provider = LocalProvider(mpiprocs_per_worker=4, mpiexec=template)
    assert provider.mpi_command(['python', '-m', 'a b']) == argv
    assert LocalProvider(mpiexec=template).mpi_command(['python', '-m', 'a b']) == [
        'python',
        '-m',
        'a b',
    ]


def test_mpi_command_runs(tmp_path: Path) -> None:
    """With a stand-in for the launcher: every process gets the command, word for word."""
    mpiexec = tmp_path / 'mpi exec'
    mpiexec.write_text(
        '#!/bin/sh\n[ "$1" = -n ] || exit 9\nn=$2; shift 2\nwhile [ $n -gt 0 ]; do "$@"; n=$((n - '
        '1)); done\n'
    )
    mpiexec.chmod(0o755)
    provider = LocalProvider(mpiprocs_per_worker=3, mpiexec=f"'{mpiexec}'")
    argv = provider.mpi_command(
        [sys.executable, '-c', 'import sys; print(sys.argv[1:])', "it's", '$(exit)', '']
    )
    assert (
        subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        == "[\"it's\", '$(exit)', '']\n" * 3
    )


@pytest.mark.parametrize(
    'template',
    [
        '',
        '  ',
        'mpiexec -n {nodes:d} {cmd}',
        'mpiexec {}',
        'mpiexec {0}',
        'mpiexec {mpiprocs',
        'mpiexec "',
        'mpiexec {mpiprocs:s}',
        'x {cmd.y}',
    ],
)
def test_bad_template(template: str) -> None:
    with pytest.raises(ConfigError) as info:
        LocalProvider(mpiexec=template)
    text = 'but must be a program, or a template in which {mpiprocs} and {cmd} stand for what they say.'
    assert str(info.value) == f"mpiexec of the provider 'local' is {template!r}, {text}"


# --- choosing one


class Mine(BaseProvider):
    """An own one, with more to say in its template."""

    name = 'mine-of-this-test'
    defaults: ClassVar[Mapping[str, Any]] = {
        **BaseProvider.defaults,
        'mpiexec': 'srun -N {nodes:d} {cmd}',
        'nodes': 2,
    }
    placeholders = (*BaseProvider.placeholders, 'nodes')
    nodes: int

    def mpi_values(self) -> dict[str, Any]:
        return {**super().mpi_values(), 'nodes': self.nodes}

    def launch(self, *args: Any) -> list[Job]:
        return []

    def poll(self) -> list[Job]:
        return []

    def cancel(self, job: Job, force: bool = False) -> None:
        """Nothing ever runs."""


def test_factory(queue_dir: Path) -> None:
    spec = {
        'name': 'local',
        'mpiprocs_per_worker': 1,
        'mpiexec': 'mpiexec -np {mpiprocs:d} {cmd}',
        'stop_after': None,
    }
    assert (
        Provider()
        == Provider('local')
        == Provider({'name': 'local'})
        == Provider({'provider': 'local'})
        == LocalProvider()
    )
    assert Provider().to_spec() == spec
    assert (
        Provider({'mpiprocs_per_worker': 2})
        == Provider({**spec, 'mpiprocs_per_worker': 2})
        == LocalProvider(mpiprocs_per_worker=2)
    )
    provider = LocalProvider()
    assert Provider(provider) is provider
    assert Provider(provider, mpiprocs_per_worker=3) == LocalProvider(mpiprocs_per_worker=3)
    assert get_provider is Provider
    Path(os.environ['DESIPIPE_CONFIG_DIR'], 'config.yaml').write_text(
        'provider: {name: mine-of-this-test, nodes: 3}'
    )
    assert Provider() == Mine(nodes=3)
    assert Provider({'mpiprocs_per_worker': 2}).mpi_command(['a']) == ['srun', '-N', '3', 'a']
    assert Provider('local') == LocalProvider()


def test_errors() -> None:
    with pytest.raises(
        KeyError,
        match=(
            r"There is no provider 'locl'; did you mean local\? Valid names: "
            r".*local.*'desipipe.providers'"
        ),
    ):
        Provider('locl')
    with pytest.raises(UnknownOptionError) as info:
        Provider('local', mpiproc_per_worker=2)
    assert str(info.value) == (
        "The provider 'local' has no option 'mpiproc_per_worker'; did you mean "
        'mpiprocs_per_worker? Valid options: mpiexec, mpiprocs_per_worker, stop_after'
    )
    for value in (0, 'two', 0.5):
        with pytest.raises(ConfigError) as bad:
            Provider(mpiprocs_per_worker=value)
        assert str(bad.value) == (
            "mpiprocs_per_worker of the provider 'local' must be a whole number, at least 1, "
            f'not {value!r}'
        )
    with pytest.raises(ConfigError, match="mpiexec of the provider 'local' must be text"):
        Provider(mpiexec=['mpiexec'])
    with pytest.raises(ConfigError, match='The provider must be a name'):
        Provider(4)  # type: ignore[arg-type]

    class Empty(BaseProvider):
        def launch(self, *args: Any) -> Any:
            return []

    with pytest.raises(TypeError, match='abstract: it has no poll, cancel'):
        Empty()
