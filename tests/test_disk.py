"""Disks that are full, too small, or read-only: what was being added is not there, what was
there is intact, and work goes on when there is space.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine import (
    add,
    begin,
    claim,
    differences,
    done,
    facts,
    finish,
    fresh,
    knowledge,
    make_folder,
    read_line,
    record,
    send_line,
    start_script,
    states,
    tid,
)

from desipipe import Queue
from desipipe.errors import DiskFullError, PermissionDeniedError, QueueExistsError
from desipipe.queue.compact import compact
from desipipe.queue.ledger import Ledger
from desipipe.store.lease import Lease, read_lease

# Root, and namespaces of one's own or the like, as network filesystems need too.
mounts = [
    pytest.mark.netfs,
    pytest.mark.skipif(os.geteuid() != 0, reason='needs root, to mount filesystems'),
]


def mount(*argv: object) -> None:
    """Mount something, or skip the test."""
    result = subprocess.run(['mount', *map(str, argv)], capture_output=True, text=True)
    if result.returncode:
        pytest.skip(f'mount {" ".join(map(str, argv))}: {result.stderr.strip()}')


@pytest.fixture(params=[pytest.param('tmpfs', marks=mounts), pytest.param('ext4', marks=mounts)])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A filesystem of a megabyte or so."""
    point = tmp_path / 'disk'
    point.mkdir()
    if request.param == 'tmpfs':
        mount('-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', point)
    else:
        image = tmp_path / 'image'
        with image.open('wb') as file:
            file.truncate(2 << 20)
        subprocess.run(
            ['mkfs.ext4', '-q', '-F', '-m', '0', '-O', '^has_journal', str(image)],
            check=True,
            capture_output=True,
        )
        mount('-o', 'loop', image, point)
    try:
        yield point
    finally:
        subprocess.run(['umount', '-l', str(point)], check=True)


def fill(path: Path, leave: int = 0) -> None:
    """Take all space but ``leave`` bytes."""
    with path.open('wb', buffering=0) as file:
        size = 1 << 16
        while size >= 512:
            try:
                if file.write(b'x' * size) < size:
                    size //= 2
            except OSError as exc:
                assert exc.errno == errno.ENOSPC
                size //= 2
        if leave:
            file.truncate(file.tell() // 4096 * 4096 - leave)
        os.fsync(file.fileno())


def free(path: Path) -> None:
    """Give the space back."""
    path.unlink()
    os.sync()


def check_all(ledger: Ledger, before: dict[str, Any]) -> None:
    """That a queue is what it was, for whoever looks, and that all of it can be read."""
    for view in (ledger, fresh(ledger)):
        view.follow()
        assert differences(before, knowledge(view)) == []
    assert facts(fresh(ledger).state) == facts(ledger.state)


@pytest.mark.parametrize('size', [100, 5000, 60_000])
def test_adding_until_it_is_full(disk: Path, size: int) -> None:
    """Payloads and lines of several sizes, so that it is now one, now the other that does not
    fit.
    """
    ledger = Ledger(make_folder(disk), None)
    fill(disk / 'ballast', 300_000)
    name = 0
    with pytest.raises(DiskFullError) as info:
        while name < 100_000:
            before = knowledge(ledger) if size > 100 else {}
            count = len(ledger.state)
            add(ledger, [('x' * size, name), *(('small', name, i) for i in range(20))])
            name += 1
    assert (
        'not in the queue' in str(info.value)
        and 'Free some space' in str(info.value)
        and ledger.folder in str(info.value)
    )
    assert len(ledger.state) == count == 21 * name > 0
    if before:
        check_all(ledger, before)
    reader = fresh(ledger)
    assert reader.state.damage == [] and len(reader.state) == count
    with pytest.raises(DiskFullError):
        add(reader, [('x' * 100_000,)])
    assert len(fresh(ledger).state) == count
    free(disk / 'ballast')
    rows = add(ledger, [('x' * size, name), ('after',)])
    assert rows == [count, count + 1]
    again = fresh(ledger)
    for row in (0, count - 1, *rows):
        loaded: Any = again.load(again.arguments_payload(row))
        assert tid(loaded['name']) == again.state.ids[row]


def test_line_that_does_not_fit(disk: Path) -> None:
    """Decisions that need no payload."""
    ledger = Ledger(make_folder(disk), None)
    add(ledger, ['a'])
    reader = fresh(ledger)
    fill(disk / 'ballast')
    paused = False
    with pytest.raises(DiskFullError):
        for _ in range(10_000):
            ledger.pause(not paused)
            paused = not paused
    for view in (ledger, reader, fresh(ledger)):
        view.follow()
        assert view.state.paused == paused
        assert view.state.damage == [] and view.journal.offset == os.path.getsize(view.journal.path)
    free(disk / 'ballast')
    ledger.pause(not paused)
    reader.follow()
    assert reader.state.paused == (not paused) and facts(reader.state) == facts(fresh(ledger).state)


def test_reports_are_repeated_when_there_is_space(disk: Path) -> None:
    """A worker keeps what it has to say; said again, it counts once.

    Its heart goes on meanwhile.
    """
    ledger = Ledger(make_folder(disk), None, name='w')
    lease = Lease(ledger.folder, 'w', True)
    begin(ledger, 'w', 1000)
    add(ledger, range(300))
    claimed = claim(ledger, 'w', 300)
    fill(disk / 'ballast')
    reader = fresh(ledger)
    with pytest.raises(DiskFullError):
        for pair in claimed[:-1]:
            finish(ledger, 'w', [pair])
    beat = (read_lease(ledger.folder, 'w') or {})['beat']
    lease.beat()
    assert (read_lease(ledger.folder, 'w') or {})['beat'] > beat
    reader.follow()
    output = states(reader.state).count('SUCCEEDED')
    assert output < 299 and states(reader.state).count('RUNNING') == 300 - output
    free(disk / 'ballast')
    finish(ledger, 'w', claimed[output:])
    reader.follow()
    assert (
        set(states(reader.state)) == {'SUCCEEDED'}
        and reader.state.stale == 0
        and reader.state.damage == []
    )
    for row in range(300):
        (attempt,) = reader.attempts(row)
        assert attempt.out is not None and reader.read_text(attempt.out) == f'out {row:d} 1'
    lease.close()


def test_compaction_of_a_full_disk(disk: Path) -> None:
    ledger = record(make_folder(disk))
    ledger.end_worker('w1')
    before = knowledge(ledger)
    fill(disk / 'ballast')
    with pytest.raises(DiskFullError):
        compact(ledger)
    check_all(ledger, before)
    free(disk / 'ballast')
    compact(ledger)
    check_all(ledger, before)


def test_queue_that_does_not_fit_is_not_made(disk: Path, queue_dir: Path) -> None:
    (disk / 'queues').mkdir()
    fill(disk / 'ballast')
    with pytest.raises(DiskFullError, match='Free some space'):
        Queue('q', base_dir=disk / 'queues', create=True)
    assert list((disk / 'queues').iterdir()) == []
    free(disk / 'ballast')
    assert Queue('q', base_dir=disk / 'queues', create=True).counts['PENDING'] == 0


@pytest.mark.parametrize('disk', [pytest.param('tmpfs', marks=mounts)], indirect=True)
def test_segment_without_inodes(disk: Path) -> None:
    """Quota of inodes: the writer's file can't be made."""
    ledger = Ledger(make_folder(disk), None)
    add(ledger, ['a'])
    before = knowledge(ledger)
    mount('-o', 'remount,nr_inodes=9', disk)
    other = fresh(ledger)
    with pytest.raises(DiskFullError):
        for i in range(20):
            (disk / f'file{i:d}').touch()
            add(other, ['b'])
            before = knowledge(other)
            other = fresh(ledger)
            other.drop(lambda state: [state.rows[tid('b')]])
            before = knowledge(other)
    check_all(ledger, before)
    mount('-o', 'remount,nr_inodes=1000', disk)
    add(other, ['c'])


# Read-only


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A queue, and the folder above it by another way, through which nothing can be written."""
    real, point = tmp_path / 'real', tmp_path / 'look'
    for path in (real, point):
        path.mkdir()
    folder = make_folder(real)
    record(folder).close()
    mount('--bind', real, point)
    try:
        mount('-o', 'remount,ro,bind', point)
        yield folder, point
    finally:
        subprocess.run(['umount', '-l', str(point)], check=True)


@pytest.mark.netfs
@pytest.mark.skipif(os.geteuid() != 0, reason='needs root, to mount filesystems')
def test_read_only_folder_can_be_looked_at(read_only: tuple[str, Path], queue_dir: Path) -> None:
    folder, point = read_only
    writer = Ledger(folder, None)
    view = Ledger(str(point / 'q.queue'), None)
    before = knowledge(writer)
    assert differences(before, knowledge(view)) == []
    files = {path: path.stat().st_mtime_ns for path in Path(folder).rglob('*')}
    attempts: dict[str, Callable[[], object]] = {
        'add': lambda: add(fresh(view), ['new']),
        'again': lambda: add(view, ['new']),
        'pause': lambda: view.pause(True),
        'cancel': lambda: view.cancel(lambda state: [5]),
        'exchange': lambda: view.exchange('w1', back=[(5, 1)]),
        'begin': lambda: begin(view, 'w'),
        'compact': lambda: compact(view),
        'lease': lambda: Lease(view.folder, 'w', False),
        'create': lambda: Queue('new', base_dir=point, create=True),
        'clear': lambda: Queue('q', base_dir=point).clear(),
        'delete': lambda: Queue('q', base_dir=point).delete(),
    }
    for what, attempt in attempts.items():
        with pytest.raises(PermissionDeniedError) as info:
            attempt()
        assert str(point) in str(info.value), what
    assert {path: path.stat().st_mtime_ns for path in Path(folder).rglob('*')} == files
    assert add(view, [0, 1]) == [0, 1]  # what is known needs no writing
    queue = Queue('q', base_dir=point)
    assert queue.counts['SUCCEEDED'] == states(view.state).count('SUCCEEDED') and len(
        queue.tasks()
    ) == len(view.state)
    with pytest.raises(QueueExistsError):
        Queue('q', base_dir=point, create=True)
    # What is written elsewhere is seen, and when it may be written to, it is.
    writer.pause(True)
    view.follow()
    assert view.state.paused
    mount('-o', 'remount,rw,bind', point)
    view.pause(False)
    writer.follow()
    assert not writer.state.paused


# Without root

LIMITED = """
import resource, sys
from engine import add
from desipipe.errors import DiskFullError
from desipipe.queue.ledger import Ledger
ledger = Ledger(sys.argv[1], None)
for word in sys.stdin:
    kind, size = word.split()
    if kind == 'limit':
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        print('ok', flush=True)
    else:
        try:
            add(ledger, [(kind, i) for i in range(int(size))])
            print('added', flush=True)
        except DiskFullError as exc:
            print('full', flush=True)
"""


def test_files_that_may_not_grow(tmp_path: Path) -> None:
    """A limit of the system: real writes that go half, of the journal first, which is the larger
    file here.
    """
    ledger = Ledger(make_folder(tmp_path), None)
    add(ledger, ['x' * 10 for _ in range(1)])
    ledger.journal.write(lambda: [{'e': 'note', 'x': 'x' * 100_000}])
    with start_script(LIMITED, ledger.folder) as process:
        for i in range(6):
            size = os.path.getsize(ledger.journal.path)
            send_line(process, f'limit {size + 150 * i + 20:d}')
            assert read_line(process) == 'ok'
            send_line(process, f'a{i:d} 50')
            assert read_line(process) == 'full'
            assert os.path.getsize(ledger.journal.path) == size
            ledger.follow()
            assert len(ledger.state) == 1 and ledger.state.damage == []
        send_line(process, 'limit 1000000')
        assert read_line(process) == 'ok'
        send_line(process, 'b 50')
        assert read_line(process) == 'added'
        # Now a segment.
        send_line(process, 'limit 120000')
        assert read_line(process) == 'ok'
        send_line(process, 'c 5000')
        assert read_line(process) == 'full'
        send_line(process, 'd 5')
        assert read_line(process) == 'added'
        done(process)
    ledger.follow()
    assert len(ledger.state) == 56
    again = fresh(ledger)
    for row in range(1, 56):
        loaded: Any = again.load(again.arguments_payload(row))
        assert tid(tuple(loaded['name'])) == again.state.ids[row]


def test_folder_that_goes_away(tmp_path: Path) -> None:
    """With a view that has everything open."""
    ledger = record(make_folder(tmp_path))
    before = len(ledger.state)
    shutil.rmtree(ledger.folder)
    for what in (
        lambda: add(ledger, ['new']),
        lambda: ledger.pause(True),
        ledger.follow,
        lambda: compact(ledger),
        lambda: begin(ledger, 'x'),
    ):
        with pytest.raises(Exception, match='gone'):
            what()
    ledger.close()
    assert len(ledger.state) == before and not os.path.exists(ledger.folder)
