"""Failures of beginners' tasks: the message names what is missing, and what to do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from desipipe import Future, Queue, TaskManager
from desipipe.cli import main

HERE = re.escape(sys.executable)
NODE = re.escape(os.uname().nodename)


def missing_module() -> None:
    import no_such_package.part  # type: ignore[import-not-found]  # noqa: F401


def other_version() -> None:
    from numpy import not_there  # type: ignore[attr-defined]  # noqa: F401


def relative_path() -> None:
    open('data/catalogue.fits')


def relative_output() -> None:
    open('out/power.npy', 'wb')


def deleted_folder() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
    import no_such_package  # noqa: F401


def unmounted_home() -> None:
    open('/no_such_home/me/catalogue.fits')


def missing_file() -> None:
    open('/etc/no_such_catalogue.fits')


def missing_program() -> None:
    import subprocess

    subprocess.run(['no-such-program'], check=True)


def undefined_name() -> object:
    return catalogue  # type: ignore[name-defined]  # noqa: F821


def keyboard() -> str:
    return input('number of mocks? ')


def exits() -> None:
    sys.exit(0)


def too_large() -> object:
    raise MemoryError('Unable to allocate 72.8 TiB')


def refused() -> None:
    raise PermissionError(13, 'Permission denied', '/etc/shadow')


def full_disk() -> None:
    with open('/dev/full', 'w') as file:
        file.write('x')


def offline() -> None:
    raise ConnectionRefusedError(111, 'Connection refused')


def not_python() -> None:
    compile('1 +', '<string>', 'eval')


def wrong_value() -> None:
    raise ValueError('the box has no side')


def unpicklable() -> object:
    import threading

    return threading.Lock()


def a_generator() -> object:
    return (i for i in range(3))


PYTHON: dict[Callable[[], Any], str] = {
    missing_module: rf'The task ran with {HERE}, which has no no_such_package\..*retry:\n'
    rf'{HERE} -m pip install no_such_package',
    other_version: rf'The task ran with {HERE}: the package may have another version',
    relative_path: r'The task ran in /.*, to which the path is relative. Write whole paths',
    relative_output: r'The task ran in /.*, to which the path is relative. Write whole paths',
    deleted_folder: rf'The task ran with {HERE}, which has no no_such_package\. Install it',
    unmounted_home: rf'On {NODE}, which ran the task, its path ends at /. Is it mounted there\?',
    missing_file: rf'Its folder is there on {NODE}; the file is not.',
    missing_program: rf'No such program is on PATH of the worker on {NODE}: /',
    undefined_name: 'The name was not defined where the task was added. Run the cell that defines',
    keyboard: r'Tasks have no keyboard: pass as an argument what input\(\) would ask for.',
    exits: r'sys.exit\(\) ends a task as failed, whatever the status. To end it well, return.',
    too_large: rf'Run fewer tasks at once on {NODE} \(max_workers\), or ask for more memory.',
    refused: rf'The task ran as user \w+ on {NODE}.',
    full_disk: 'is full on .* Results that are in the queue are intact. Free space, then retry.',
    offline: rf'The task ran on {NODE}: nodes of a cluster may have no network.',
    not_python: r'failed: SyntaxError: invalid syntax \(<string>, line 1\)\n',
    wrong_value: 'the box has no side',
    unpicklable: 'return what you need of it .* its result cannot be kept',
    a_generator: 'turn it into a list first',
}
SHELL = {
    'no-such-program --all': 'exit status 127: the command was not found on this node',
    '/etc': 'exit status 126: the command is there and cannot be executed',
    'cat no_such_file': '(?s)exit status 1.*No such file or directory',
}


@pytest.fixture(scope='module')
def futures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future]:
    """The tasks of all mistakes, run by one worker."""
    queue = Queue('mistakes', base_dir=tmp_path_factory.mktemp('queues'), create=True)
    tm = TaskManager(queue)
    futures = {function.__name__: tm.python_app(function)() for function in PYTHON}

    @tm.bash_app
    def shell(line: str) -> str:
        return line

    futures.update((line, shell(line)) for line in SHELL)
    work = [sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder]
    subprocess.run(work, stdin=subprocess.DEVNULL, check=True, capture_output=True)
    return futures


@pytest.mark.parametrize(
    ('name', 'message'),
    [*((function.__name__, text) for function, text in PYTHON.items()), *SHELL.items()],
    ids=lambda item: item.partition(' ')[0] if re.fullmatch(r'[\w ./-]+', item) else '',
)
def test_failure_says_what_to_do(futures: dict[str, Future], name: str, message: str) -> None:
    error = futures[name].exception(0)
    assert error is not None
    printed = ''.join(traceback.format_exception(error))
    assert re.search(message, printed), printed
    assert 'Correct the code, and run its cell or script again.' in printed
    assert f'run the task again: desipipe retry -q {futures[name]._ledger.folder}' in printed
    assert printed.count('Traceback') <= 3


def test_status_shows_the_note_on_one_line(
    futures: dict[str, Future], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = futures['keyboard']._ledger.folder
    main(['tasks', '-q', folder, '--name', 'keyboard', 'exits', '--columns', 'why'])
    assert capsys.readouterr().out.splitlines()[1:] == [
        'EOFError: EOF when reading a line. Tasks have no keyboard: pass as an argument what '
        'input() would ask for.',
        'SystemExit: 0. sys.exit() ends a task as failed, whatever the status. To end it well, '
        'return.',
    ]


def test_killed_task_is_run_again_as_it_is(tmp_path: Path) -> None:
    queue = Queue('killed', base_dir=tmp_path, create=True)

    @TaskManager(queue).python_app
    def killed() -> None:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    future = killed()
    main(['work', '-q', queue.folder])
    text = str(future.exception(0))
    assert 'killed by signal 9' in text and '\nRun it again: desipipe retry' in text
    assert 'Correct the code' not in text
