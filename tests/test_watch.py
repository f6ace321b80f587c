"""Being woken: by what others write, never too late, also where nothing can wake."""

from __future__ import annotations

import gc
import os
import select
import shutil
import sys
import threading
import time
from pathlib import Path

import pytest
from engine import (
    Notes,
    add,
    begin,
    done,
    fresh,
    make_folder,
    note,
    read_line,
    send_line,
    start_script,
)
from polling import wait_for

from desipipe.errors import QueueGoneError
from desipipe.queue.events import PENDING
from desipipe.queue.ledger import Ledger
from desipipe.store import watch
from desipipe.store.journal import Journal
from desipipe.store.journal_file import first_event
from desipipe.store.watch import Watcher

linux = pytest.mark.skipif(not sys.platform.startswith('linux'), reason='inotify is of Linux')

APPENDER = """
import sys
from engine import Notes, note
from desipipe.store.journal import Journal
journal = Journal(sys.argv[1], Notes(), None)
print('ready', flush=True)
for word in sys.stdin:
    journal.write(lambda: [note(word)])
    print('written', flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A queue's folder."""
    return make_folder(tmp_path)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not woken waits longer than the test may take."""
    for name in ('_WOKEN', '_POLL_LOCAL', '_POLL_SHARED'):
        monkeypatch.setattr(watch, name, (1e4, 1e4))


@linux
@pytest.mark.parametrize('shared', [False, True])
def test_watcher_is_woken_by_another_process(folder: str, patient: None, shared: bool) -> None:
    watcher = Watcher(folder, shared)
    with start_script(APPENDER, folder) as process:
        assert read_line(process) == 'ready'
        watcher.drain()
        for _ in range(20):
            send_line(process)
            assert watcher.wait()
            assert read_line(process) == 'written'
            watcher.drain()
            assert not watcher.drain()


@linux
def test_watcher_wakes_for_events_before_wait(folder: str, patient: None) -> None:
    journal = Journal(folder, Notes(), None)
    watcher = Watcher(folder, False)
    for i in range(5):
        journal.write(lambda i=i: [note(i)])  # type: ignore[misc]
        assert watcher.wait()


@linux
def test_watcher_sleeps_while_the_lock_is_held(folder: str, patient: None) -> None:
    """They would take the processor from its holder, for whom others wait."""
    journal = Journal(folder, Notes(), None)
    watcher = Watcher(folder, False)
    with journal.lock:
        journal.write(lambda: [note(1)])
        assert not watcher.drain()
    assert watcher.drain()


@linux
@pytest.mark.parametrize('look', [0, 1, 2])
def test_waiter_for_a_state_misses_nothing(folder: str, patient: None, look: int) -> None:
    """Whatever the moment at which another one writes: before the first look, or just after one
    of them.
    """
    ledger = Ledger(folder, None)
    other = fresh(ledger)
    looks: list[bool] = []

    def ready() -> bool:
        looks.append(ledger.state.total(PENDING) > 0)
        if len(looks) == look:
            add(other, ['a'])
        return looks[-1]

    if look == 0:
        add(other, ['a'])
    assert ledger.wait(ready)
    assert looks == [False] * look + [True]


@linux
@pytest.mark.parametrize('what', ['compacted', 'deleted', 'renamed and deleted'])
def test_watcher_wakes_when_journal_is_replaced(folder: str, patient: None, what: str) -> None:
    ledger = Ledger(folder, None)
    watcher = ledger.watcher()
    if what == 'compacted':
        other = Journal(folder, Notes(), None)
        other.replaced(lambda: [first_event(other.header)])
    elif what == 'deleted':
        os.unlink(os.path.join(folder, 'journal.jsonl'))
    else:
        os.rename(folder, folder + '.deleted')
        shutil.rmtree(folder + '.deleted')
    assert watcher.wait()
    if what == 'compacted':
        assert ledger.follow()
    else:
        with pytest.raises(QueueGoneError):
            ledger.wait(lambda: False)


@linux
def test_thread_is_woken(folder: str, patient: None) -> None:
    ledger = Ledger(folder, None)
    waiting, woken = threading.Event(), []

    def wait() -> None:
        def ready() -> bool:
            waiting.set()
            return ledger.state.total(PENDING) > 0

        woken.append(ledger.wait(ready))

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    waiting.wait()
    add(fresh(ledger), ['a'])
    for thread in threads:
        thread.join()
    assert woken == [True] * 3


@linux
def test_forked_child_takes_no_wake_up_away(folder: str, patient: None) -> None:
    ledger = Ledger(folder, None)
    watcher = ledger.watcher()
    writer = fresh(ledger)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            own = ledger.watcher()
            add(writer, ['a'])
            status = 0 if own.drain() else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert watcher.wait()


@linux
def test_watcher_can_be_polled(folder: str) -> None:
    watcher = Watcher(folder, False)
    poll = select.poll()
    poll.register(watcher, select.POLLIN)
    assert poll.poll(0) == []
    Journal(folder, Notes(), None).write(lambda: [note(1)])
    assert poll.poll(60_000) == [(watcher.fileno(), select.POLLIN)]
    assert watcher.drain() and not watcher.drain()
    assert poll.poll(0) == []
    watcher.close()
    watcher.close()
    assert watcher.fileno() == -1 and not watcher.drain()


@linux
def test_watcher_leaves_nothing_open(folder: str) -> None:
    gc.collect()  # what earlier tests left open is not to be closed meanwhile
    before = len(os.listdir('/proc/self/fd'))
    for _ in range(20):
        Watcher(folder, False)
    assert len(os.listdir('/proc/self/fd')) <= before


@pytest.mark.parametrize('shared', [False, True])
def test_watcher_without_inotify_looks_more_and_more_seldom(
    folder: str, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    monkeypatch.setattr(watch, '_inotify', lambda *args: -1)
    slept: list[float] = []
    monkeypatch.setattr(time, 'sleep', slept.append)
    watcher = Watcher(folder, shared)
    for _ in range(30):
        assert not watcher.wait()
        watcher.seen(False)
    shortest, longest = watch._POLL_SHARED if shared else watch._POLL_LOCAL
    assert slept[0] == shortest and slept[-1] == longest and slept == sorted(slept)
    watcher.seen(True)
    watcher.wait()
    watcher.wait(shortest / 10)
    watcher.wait(-1.0)
    assert slept[-3:] == [shortest, shortest / 10, 0.0]


def test_watcher_without_inotify_misses_nothing(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, '_inotify', lambda *args: -1)
    ledger = Ledger(folder, None)
    with start_script(
        APPENDER.replace('note(word)', '{"e": "state", "paused": True, "t": 0.0}'), folder
    ) as process:
        assert read_line(process) == 'ready'
        send_line(process)
        assert ledger.wait(lambda: ledger.state.paused)


@linux
def test_watcher_polls_without_free_descriptors(folder: str) -> None:
    """With no descriptor left for a watch, for example."""
    with start_script(
        """
import os, resource, sys
from desipipe.store.watch import Watcher
free = os.dup(0)
os.close(free)
resource.setrlimit(resource.RLIMIT_NOFILE, (free, free))
print(Watcher(sys.argv[1], False).fileno(), Watcher(sys.argv[1], False).wait(0.001))
""",
        folder,
    ) as process:
        assert done(process) == '-1 False\n'


def test_timeout_is_kept(folder: str) -> None:
    ledger = Ledger(folder, None)
    asked: list[int] = []
    assert not ledger.wait(lambda: bool(asked.append(1)), timeout=0.0)
    assert asked
    assert ledger.wait(lambda: True, timeout=0.0)
    # Whoever asks for it is looked after more often than the watcher would.
    begin(ledger, 'w')

    def count_looks() -> int:
        asked.clear()
        assert not ledger.wait(lambda: bool(asked.append(1)), timeout=0.1, longest=0.01)
        return len(asked)

    wait_for(lambda: count_looks() > 3)  # On a loaded machine not each time.
