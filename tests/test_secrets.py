"""Secrets of environments reach tasks, and nothing that others may read; what is made is
private.
"""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_slurm import FakeSlurm

from desipipe import Config, Environment, Queue, TaskManager, spawn
from desipipe.environment import BaseEnvironment
from desipipe.errors import ConfigError
from desipipe.execution.capture import Stream
from desipipe.security.secrets import (
    KeptSecret,
    assigns_secret,
    holds_secret,
    is_secret_name,
    known_values,
    process_values,
)
from desipipe.view.task_detail import task_detail

VALUE = 'hunter2-"$x`y\'z'
WRITTEN = "'hunter2-\"$x`y'\\''z'"  # as a shell writes it
DECLARED = 'zebra-crossing-9'
DATA = {
    'A': 'plain',
    'API_TOKEN': WRITTEN,
    'URL': 'https://$A/',
    'DB': 'pg://u:swordfish7@host/',
    'N': None,
}
PASSWORD = 'opensesame'
SECRETS = (b'hunter2', DECLARED.encode(), b'swordfish7', PASSWORD.encode())


@pytest.fixture
def environ(queue_dir: Path, monkeypatch: pytest.MonkeyPatch) -> BaseEnvironment:
    """An environment with secrets of every kind."""
    monkeypatch.setenv('MINE', DECLARED)
    # Where the environment has commands, they say which Python there is.
    monkeypatch.setenv('PATH', f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}')
    return Environment(
        'base', data=DATA, command=[f'export DB_PASSWORD={PASSWORD}', 'true'], secret='MINE'
    )


def leaks(data: object) -> list[bytes]:
    data = data if isinstance(data, bytes) else repr(data).encode()
    return [secret for secret in SECRETS if secret in data]


@pytest.mark.parametrize(
    'name',
    [
        'API_KEY',
        'GITHUB_TOKEN',
        'PGPASSWORD',
        'MY_SECRET',
        'MYSQL_PWD',
        'AWS_SECRET_ACCESS_KEY',
        'apikey',
        'CREDENTIALS',
        'passwd',
        'mySecret',
        'my_token',
        'db_Password',
        'accessKeyId',
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    'name', ['PATH', 'PWD', 'KEYBOARD', 'OMP_NUM_THREADS', 'DESICFS', 'COMPASS', 'PATTERN', 'HOME']
)
def test_names_of_other_variables(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ('command', 'secret'),
    [
        ('export API_TOKEN=abc', True), ('PASSWORD="x" run', True), ('login --password hunter2', True), ('curl https://u:p@h/', True),
        ('export API_TOKEN=$(cat ~/.token)', False), ('export TOKEN="$OTHER"', False), ('module load python', False), ('run --key-file x', True),
    ],
)  # fmt: skip
def test_commands_with_secrets(command: str, secret: bool) -> None:
    assert assigns_secret(command) is secret
    assert not holds_secret('https://host:80/path')


def test_specification_holds_no_secret(environ: BaseEnvironment) -> None:
    spec = environ.to_spec()
    for shown in (
        spec,
        environ,
        environ.to_script(),
        environ.to_launch_script(),
        pickle.dumps(environ),
    ):
        assert not leaks(shown), shown
    assert (
        spec['data']['A'] == 'plain'
        and spec['data']['URL'] == 'https://$A/'
        and spec['command'][1] == 'true'
    )
    assert environ.to_spec() == spec == Environment(spec).to_spec()


def test_secrets_are_read_by_another_process(
    environ: BaseEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = environ.to_spec()
    monkeypatch.delenv('MINE')
    for other in (Environment(spec), pickle.loads(pickle.dumps(Environment(spec)))):
        variables = other.to_dict(all=True)
        assert [variables.get(name) for name in ('A', 'API_TOKEN', 'MINE', 'DB_PASSWORD')] == [
            'plain',
            VALUE,
            DECLARED,
            PASSWORD,
        ]
        assert variables['URL'] == 'https://plain/' and variables['DB'] == DATA['DB']


def test_plain_variable_that_repeats_a_secret_is_one(queue_dir: Path) -> None:
    environ = Environment(
        'base',
        data={'API_TOKEN': 'hunter2', 'HEADER': 'Bearer hunter2'},
        command='log in as hunter2',
    )
    assert not leaks(environ.to_spec()) and not leaks(environ.to_launch_script())


def test_digests_say_nothing_without_the_users_key(
    queue_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = Environment('base', data={'API_TOKEN': 'hunter2'})
    first = environ.to_spec()
    monkeypatch.setenv('DESIPIPE_CONFIG_DIR', str(tmp_path / 'other'))
    assert environ.to_spec() != first


def test_secret_without_value_is_told(queue_dir: Path) -> None:
    with pytest.raises(
        ConfigError, match='NOWHERE of the environment .* has no value. Nothing was added'
    ):
        TaskManager(Queue('q'), environ=Environment('base', secret=['NOWHERE'])).to_spec()


def test_secret_that_cannot_be_read_is_told_or_inherited(
    environ: BaseEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Environment(environ.to_spec())
    kept = other.data['API_TOKEN']
    assert isinstance(kept, KeptSecret)
    os.unlink(kept.path)
    with pytest.warns(
        UserWarning, match=r'API_TOKEN .* cannot be read here, and API_TOKEN is not set'
    ):
        assert 'API_TOKEN' not in other.to_dict(all=True)
    monkeypatch.setenv('API_TOKEN', 'mine')
    assert other.to_dict(all=True)['API_TOKEN'] == 'mine'


@pytest.mark.parametrize('digest', ['../../etc/passwd', '', 'x' * 32, 7])
def test_names_of_files_are_digests(digest: object) -> None:
    assert KeptSecret.of({'secret': digest}) is None


def test_messages_hold_no_secret(queue_dir: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Environment('base', data={'API_TOKEN': 'hunter2\0'})
    assert not leaks(str(caught.value))
    environ = Environment(
        'base', data={'API_TOKEN': 'hunter2'}, command='echo hunter2; false', strict=True
    )
    with pytest.raises(ConfigError) as caught:
        environ.to_dict(all=True)
    assert not leaks(str(caught.value))


def test_secrets_in_output_are_found_across_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('API_TOKEN', 'hunter2-long')
    monkeypatch.setenv('DESIPIPE_SECRETS', 'API_TOKEN')
    process_values.cache_clear()
    try:
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        stream = Stream(read_end, b'<mark>', 1000)
        for piece in (b'a hun', b'ter2-lo', b'ng b hunt', b'<mark>', b'hunter2-long'):
            os.write(write_end, piece)
            stream.drain()
        assert (stream.take(), stream.remains()) == (b'a *** b hunt', b'***')
        os.close(read_end)
        os.close(write_end)
    finally:
        process_values.cache_clear()


def test_short_values_and_files_are_left_in_text(tmp_path: Path) -> None:
    environ = {
        'A_TOKEN': 'true',
        'SSH_KEY': str(tmp_path),
        'KEY_COLUMN': 'targetid',
        'TOKEN_MODE': 'conservatively',
        'B_TOKEN': 'not-a-word-17',
        'C': 'not-a-word-18',
        'MINE': 'declared',
        'DESIPIPE_SECRETS': ' MINE',
    }
    assert known_values(environ) == ['not-a-word-17', 'declared']


def command_lines(ended: threading.Event) -> Iterator[bytes]:
    """Yield the command lines of all processes until an event is set."""
    while not ended.is_set():
        for name in os.listdir('/proc'):
            if name.isdigit():
                try:
                    yield Path('/proc', name, 'cmdline').read_bytes()
                except OSError:
                    continue  # it has ended
        ended.wait(0.05)


def run_with_secrets(
    environ: BaseEnvironment, tmp_path: Path, provider: Any = 'local'
) -> tuple[Queue, list[bytes]]:
    """Run tasks that print and raise their secrets; return the queue, and what command lines
    showed of them.
    """
    queue = Queue('q')
    tm = TaskManager(queue, environ=environ, provider=provider, scheduler={'max_workers': 1})

    @tm.python_app
    def use(path: str, bad: bool) -> int:
        from desipipe.file_manager import BaseFile

        BaseFile(path=path, filetype='text').save('x')
        values = [os.environ[name] for name in ('API_TOKEN', 'MINE', 'DB_PASSWORD')]
        print('values', *values, flush=True)
        if bad:
            raise ValueError(' '.join(values))
        return len(''.join(values))

    futures = [use(str(tmp_path / 'data.txt'), bad) for bad in (False, True)]
    seen: list[bytes] = []
    ended = threading.Event()
    thread = threading.Thread(
        target=lambda: seen.extend(line for line in command_lines(ended) if leaks(line))
    )
    thread.start()
    try:
        spawn(queue, timestep=0.2)
    finally:
        ended.set()
        thread.join()
    assert futures[0].result() == len(VALUE + DECLARED + PASSWORD)
    assert (
        futures[0].out() == 'values *** *** ***\n' and 'ValueError: *** *** ***' in futures[1].err()
    )
    return queue, seen


@pytest.mark.parametrize('provider', ['local', 'slurm'])
def test_tasks_have_secrets_and_nothing_else_does(
    environ: BaseEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    monkeypatch.chdir(tmp_path)
    cluster = FakeSlurm(tmp_path / 'cluster')
    if provider == 'slurm':
        cluster.install(monkeypatch)
    try:
        options = {'time': '10'} if provider == 'slurm' else {}
        queue, seen = run_with_secrets(environ, tmp_path, {'provider': provider, **options})
    finally:
        cluster.end_all()
    assert not seen
    kept = Path(Config().config_dir, 'secrets')
    for path in tmp_path.rglob('*'):
        if path.is_file() and not {kept, tmp_path / 'cluster'} & {*path.parents}:
            assert not leaks(path.read_bytes()), path
    for row in range(2):
        assert not leaks(task_detail(queue.ledger, row))
    for text in (
        ['doctor', '-q', 'q'],
        ['tasks', '-q', 'q', '--json'],
        ['record', '-q', 'q', '-o', 'r.ipynb', '--include', 'environ'],
    ):
        ran = subprocess.run(
            [sys.executable, '-m', 'desipipe', *text],
            capture_output=True,
            timeout=300,
            check=False,
        )
        assert not leaks(ran.stdout + ran.stderr), text
    assert not leaks((tmp_path / 'r.ipynb').read_bytes())


@pytest.mark.parametrize('umask', [0o022, 0o000])
def test_files_of_queues_are_private(tmp_path: Path, umask: int) -> None:
    script = (
        'from desipipe import Environment, Queue, TaskManager, spawn, Config\n'
        'queue = Queue("q")\n'
        'tm = TaskManager(queue, environ=Environment("base", data={"API_TOKEN": "hunter2"}, '
        'command="true"), scheduler={"max_workers": 1})\n'
        '@tm.python_app\n'
        'def use(path):\n'
        '    from desipipe.file_manager import BaseFile\n'
        '    BaseFile(path=path, filetype="text").save("x")\n'
        'if __name__ == "__main__":\n'
        '    use("data/x.txt")\n'
        '    spawn(queue)\n'
        '    Config().save()\n'
    )
    (tmp_path / 'script.py').write_text(script)
    (tmp_path / 'data').mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith('DESIPIPE_')}
    env |= {
        'HOME': str(tmp_path),
        'PATH': f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}',
    }
    subprocess.run(
        [sys.executable, 'script.py'],
        cwd=tmp_path,
        env=env,
        umask=umask,
        check=True,
        timeout=300,
        capture_output=True,
    )
    for path in [tmp_path / '.desipipe', *(tmp_path / '.desipipe').rglob('*')]:
        assert not stat.S_IMODE(path.lstat().st_mode) & 0o077, path
    for path in (tmp_path / 'data' / '.desipipe').rglob('*'):
        assert path.is_symlink() or not stat.S_IMODE(path.stat().st_mode) & 0o002, path
    assert (tmp_path / 'data' / '.desipipe').stat().st_mode & 0o002 == 0
