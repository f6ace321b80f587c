"""What all tests share: folders of their own, and promises about what may be skipped."""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from fake_slurm import FakeSlurm
from managers import Managers
from workers import WORK

from desipipe import Queue, TaskManager

if importlib.util.find_spec('nbformat'):
    from desipipe.record.notebook_format import import_nbformat

    import_nbformat()  # a plain import builds parsers for seconds, in each process of the run

# Started in the background of a script the suite ignores Ctrl-C, and so would what tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]

# `ci` finds the same examples in every run, so that a red run can be repeated; `dev` looks further
# each time.
hypothesis.settings.register_profile(
    'ci', derandomize=True, max_examples=100, deadline=None, print_blob=True
)
hypothesis.settings.register_profile('dev', max_examples=50, deadline=None, print_blob=True)
hypothesis.settings.load_profile(
    os.environ.get('HYPOTHESIS_PROFILE', 'ci' if os.environ.get('CI') else 'dev')
)

# Where `make test` installed everything, it sets this: a test of these marks that skips itself has
# then lost what it needs, and says so by failing.
PROMISED = {'netfs', 'nfs', 'slurm', 'gridengine', 'kernel', 'mpi', 'browser'}
COMPLETE = bool(os.environ.get('DESIPIPE_TESTS_COMPLETE'))


# Where several tests run at once, those of one group run one after the other: there is one browser,
# one Slurm, one set of hosts. What the kernel kills for want of memory it counts for the whole
# machine: who looks at that count shares a group with who makes it grow. The groups that take
# longest come first, as they begin in this order.
GROUPS = {
    'lab': 'browser',
    'netfs': 'netfs',
    'slurm': 'slurm',
    'gridengine': 'gridengine',
    'test_out_of_memory.py': 'slurm',
    'test_worker.py': 'slurm',
}


@functools.cache
def group_of(path: Path) -> str | None:
    """Return the group of a module's tests; those that share a fixture need it set up once."""
    folder, *names = path.parts
    if folder != 'tests':
        return None
    shares = "fixture(scope='module'" in (ROOT / path).read_text()
    return GROUPS.get(names[0], str(path) if shares else None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker of pytest-xdist a group, or a single test, at a time.

    Not by its own ``--dist loadgroup``: with pytest 9.2 pytest-xdist 3.8 runs as if no test was of
    any group, and says nothing (https://github.com/pytest-dev/pytest-xdist/issues/1386).
    """
    from xdist.scheduler import LoadScopeScheduling

    assert hasattr(LoadScopeScheduling, '_split_scope')  # else all would run, and no group be kept

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(Path(nodeid.partition('::')[0])) or nodeid

    config.option.loadscopereorder = False  # `place_in_run` says what begins first
    return Scheduling(config, log)


def place_in_run(item: pytest.Item) -> int:
    """Return where a test begins in a run on several processes: what takes long comes first.

    What is left for the end are single short tests, so that all processes are busy until then.
    """
    group = group_of(item.path.relative_to(ROOT)) if item.path.is_relative_to(ROOT) else None
    order = list(dict.fromkeys(GROUPS.values()))
    if group in order:
        return order.index(group)
    is_slow = item.get_closest_marker('slow') is not None
    return len(order) + (0 if is_slow else 1 if group else 2)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order tests for a run on several processes; others keep the order of their files."""
    if hasattr(config, 'workerinput'):
        items.sort(key=place_in_run)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a promised test into a failure."""
    report = yield
    if (
        COMPLETE
        and report.skipped
        and not hasattr(report, 'wasxfail')
        and PROMISED.intersection(mark.name for mark in item.iter_markers())
    ):
        report.outcome = 'failed'
        report.longrepr = (
            f'{item.nodeid} was skipped, but this run promised (DESIPIPE_TESTS_COMPLETE) all it '
            f'needs: {reason(report)}'
        )
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself as a whole: its marks are not known then, but its
    text is.
    """
    report = yield
    if (
        COMPLETE
        and report.skipped
        and any(f'mark.{name}' in collector.path.read_text() for name in PROMISED)
    ):
        report.outcome = 'failed'
        report.longrepr = (
            f'{report.nodeid} was skipped as a whole, but this run promised '
            f'(DESIPIPE_TESTS_COMPLETE) all it needs: {reason(report)}'
        )
    return report


def reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why it was skipped, in its own words."""
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)


@pytest.fixture(scope='session', autouse=True)
def _not_at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test sees or touches the queues and the configuration of the person who runs the tests.

    Tasks are added by no script: a process of pytest-xdist runs none, and pytest itself is one.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(sys.modules['__main__'], '__file__', raising=False)
        patch.setenv('DESIPIPE_QUEUE_DIR', str(tmp_path_factory.mktemp('queues')))
        patch.setenv('DESIPIPE_CONFIG_DIR', str(tmp_path_factory.mktemp('config')))
        yield


@pytest.fixture
def queue_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fresh folder for queues, also for the processes that the test starts; the configuration's is
    fresh too.

    Returns
    -------
    queue_dir : Path
        What ``DESIPIPE_QUEUE_DIR`` names.
    """
    folder, config = tmp_path / 'queues', tmp_path / 'config'
    folder.mkdir()
    config.mkdir()
    monkeypatch.setenv('DESIPIPE_QUEUE_DIR', str(folder))
    monkeypatch.setenv('DESIPIPE_CONFIG_DIR', str(config))
    return folder


@pytest.fixture
def queue(queue_dir: Path) -> Queue:
    """Create an empty queue."""
    return Queue('test', create=True)


@pytest.fixture
def tm(queue: Queue) -> TaskManager:
    """Create a task manager with default settings."""
    return TaskManager(queue)


@pytest.fixture
def start(queue: Queue) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start workers as ``start(*options, **kwargs of Popen)``; kill those that run at the end."""
    processes: list[subprocess.Popen[bytes]] = []

    def start_worker(*options: str, **kwargs: Any) -> subprocess.Popen[bytes]:
        processes.append(subprocess.Popen([*WORK, queue.folder, *options], **kwargs))
        return processes[-1]

    yield start_worker
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def spawn() -> Iterator[Managers]:
    """Start managers as ``spawn(queue, *options, **kwargs of Popen)``; all end with the test."""
    with Managers() as managers:
        yield managers


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """Root logger without handlers; level, handlers and hook are put back."""
    root = logging.getLogger()
    level, handlers, hook = root.level, list(root.handlers), sys.excepthook
    root.handlers[:] = []
    yield root
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook = hook


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlurm]:
    """Install a pretend Slurm; what runs in it ends with the test."""
    slurm = FakeSlurm(tmp_path / 'slurm')
    slurm.install(monkeypatch)
    yield slurm
    slurm.end_all()
