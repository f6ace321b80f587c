"""Pipelines where there is no /proc and no inotify, as on macOS; see ``without_linux.py``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from polling import TIMEOUT_S

HERE = Path(__file__).parent
IMPORTS = """
import importlib, pkgutil, sys
import desipipe

assert sys.platform == 'darwin'
# These import libraries of the notebook, which look for the frameworks of macOS.
theirs = ('desipipe.notebook.', 'desipipe.server.')
for module in pkgutil.walk_packages(desipipe.__path__, 'desipipe.'):
    if not module.name.endswith('.__main__') and not module.name.startswith(theirs):
        importlib.import_module(module.name)
"""
PIPELINE = """
import os, sys
from desipipe import Queue, TaskManager

assert not os.path.exists('/proc/self') or 'hidden' not in sys.argv
queue = Queue('other', base_dir='.', spawn=True)
tm = TaskManager(queue=queue, scheduler=dict(max_workers=2))

def helper(x): return x + 1

@tm.python_app
def square(x):
    import subprocess
    print('squares', x)
    subprocess.run(['echo', 'of a child'])
    return helper(x) ** 2

@tm.python_app
def total(parts): return sum(parts)

@tm.python_app
def fail(): raise ValueError('on purpose')

@tm.bash_app
def echo(x): return f'echo says {x}'

parts = [square(i) for i in range(6)]
said = echo(total(parts))
failed = fail()
assert said.out(timeout=TIMEOUT).strip() == 'says 91', said.out()
assert sorted(parts[2].out(timeout=TIMEOUT).split('\\n')) == ['', 'of a child', 'squares 2']
assert isinstance(failed.exception(timeout=TIMEOUT), ValueError)
queue.delete(kill=True)
print('done')
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> tuple[list[str], dict[str, str]]:
    """Return what begins a command, and the environment, in which this is another system."""
    (tmp_path / 'site').mkdir()
    shutil.copy(HERE / 'without_linux.py', tmp_path / 'site' / 'sitecustomize.py')
    path = os.pathsep.join([str(tmp_path / 'site'), str(HERE.parent)])
    environ = os.environ | {'PYTHONPATH': path}
    hide = 'mount -t tmpfs none /proc && mount -t tmpfs none /sys && exec "$@"'
    enter = ['unshare', '--mount', 'sh', '-c', hide, 'hide']
    can = (
        os.geteuid() == 0
        and shutil.which('unshare')
        and not subprocess.run([*enter, 'true'], capture_output=True).returncode
    )
    return (enter if can else []), environ


def test_modules_can_be_imported(elsewhere: tuple[list[str], dict[str, str]]) -> None:
    enter, environ = elsewhere
    argv = [*enter, sys.executable, '-c', IMPORTS]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr


def test_local_workers(elsewhere: tuple[list[str], dict[str, str]], tmp_path: Path) -> None:
    enter, environ = elsewhere
    script = tmp_path / 'pipeline.py'
    script.write_text(PIPELINE.replace('TIMEOUT', str(TIMEOUT_S)))
    argv = [*enter, sys.executable, str(script), *(['hidden'] if enter else [])]
    done = subprocess.run(
        argv, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=2 * TIMEOUT_S
    )
    assert (done.returncode, done.stdout) == (0, 'done\n'), done.stderr
