"""The journal: what is whole counts, what is not is cut or passed over, whatever is done to it."""

from __future__ import annotations

import copy
import errno
import fcntl
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from engine import (
    Notes,
    done,
    facts,
    fresh,
    journal_lines,
    make_folder,
    note,
    read_line,
    record,
    send_line,
    start_script,
)
from hypothesis import given
from polling import wait_for

from desipipe.errors import (
    CorruptJournalError,
    DiskFullError,
    LockLostError,
    PermissionDeniedError,
    QueueGoneError,
    QueueVersionError,
)
from desipipe.queue.state import State
from desipipe.store import journal as journals
from desipipe.store import journal_reader
from desipipe.store.journal import Journal
from desipipe.store.journal_file import FILE_NAME, create, first_event, replace
from desipipe.store.line_format import Event, decode, encode
from desipipe.store.lines import lines


def journal(folder: str, **kwargs: Any) -> tuple[Journal, Notes]:
    """A view of a journal that takes notes, and syncs only when asked."""
    notes = Notes()
    return Journal(folder, notes, kwargs.pop('sync_interval', None), **kwargs), notes


def append(writer: Journal, *values: object) -> None:
    """Append notes as one batch."""
    writer.write(lambda: [note(x) for x in values])


def raw(folder: str, data: bytes) -> None:
    """Append bytes as one who does not have the lock does."""
    with open(os.path.join(folder, FILE_NAME), 'ab') as file:
        file.write(data)


def line_at_end(folder: str, x: object) -> bytes:
    """The line that would be right at the end of the journal."""
    return encode(note(x), os.path.getsize(os.path.join(folder, FILE_NAME)))


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A queue on a local filesystem."""
    return make_folder(tmp_path)


@pytest.fixture
def shared(tmp_path: Path) -> str:
    """A queue that other hosts may write to."""
    return make_folder(tmp_path, 'shared', shared=True)


# Lines

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(JSON, st.integers(0, 2**40))
def test_line_gives_its_event_back(x: object, at: int) -> None:
    line = encode(note(x), at)
    assert line.endswith(b'\n') and line.count(b'\n') == 1
    assert decode(line, at) == {**note(x), 'at': at}
    assert decode(line, at + 1) is None


@given(JSON, st.data())
def test_journal_finds_each_changed_byte(x: object, data: st.DataObject) -> None:
    line = bytearray(encode(note(x), 7))
    where = data.draw(st.integers(0, len(line) - 1))
    line[where] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError):
        decode(bytes(line), 7)


@pytest.mark.parametrize(
    'line', [b'\n', b'}\n', b'{}\n', b',"crc":"00000000"}\n', b'{"e":"note"}\n', b'\0' * 50 + b'\n']
)
def test_check_line_refuses_other_bytes(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode(line, 0)


def test_lines_are_whole() -> None:
    assert list(lines(b'a\nbc\n\nd', 10)) == [(10, b'a\n'), (12, b'bc\n'), (15, b'\n')]
    assert list(lines(b'', 3)) == []


# A recorded run, cut and bent


@pytest.fixture(scope='module')
def recorded(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[bytes, list[tuple[int, bytes]], list[dict[str, Any]]]:
    """The bytes of a real journal, its lines, and what is known after each of them."""
    ledger = record(make_folder(tmp_path_factory.mktemp('recorded')))
    ledger.close()
    journal_events = journal_lines(ledger.journal)
    with open(ledger.journal.path, 'rb') as file:
        data = file.read()
    return data, journal_events, [copy.deepcopy(after) for after in folds(journal_events)]


def folds(report: Iterable[tuple[int, bytes]]) -> Iterator[dict[str, Any]]:
    """What a plain fold knows after each line; it is for the moment."""
    state = State()
    for offset, line in report:
        event = decode(line, offset)
        assert event is not None
        if offset:
            state.apply(event, offset)
        else:
            state.reset(event)
        yield facts(state)


def test_journal_opens_at_each_prefix(recorded: Any, tmp_path: Path) -> None:
    data, lines_before, after = recorded
    folder = make_folder(tmp_path)
    path = os.path.join(folder, FILE_NAME)
    ends = [offset + len(line) for offset, line in lines_before]
    with open(path, 'wb') as file:
        file.write(data[: ends[0]])
    follower = State()
    following = Journal(folder, follower, None)
    with open(path, 'ab', buffering=0) as file:
        for cut in range(ends[0], len(data) + 1):
            if cut > ends[0]:
                file.write(data[cut - 1 : cut])
            whole = sum(end <= cut for end in ends)
            state = State()
            assert Journal(folder, state, None).offset == ends[whole - 1]
            assert facts(state) == after[whole - 1]
            # Who follows while it grows knows the same.
            assert following.follow() == (cut in ends and cut > ends[0])
            assert following.offset == ends[whole - 1]
            if cut in ends:
                assert facts(follower) == after[whole - 1]
    assert following.late == 0 and follower.damage == []


def test_next_writer_cuts_a_torn_tail(recorded: Any, tmp_path: Path) -> None:
    data, lines_before, after = recorded
    folder = make_folder(tmp_path)
    path = os.path.join(folder, FILE_NAME)
    ends = [offset + len(line) for offset, line in lines_before]
    for cut in sorted(
        {
            *range(ends[0], len(data), 23),
            *ends,
            *(end - 1 for end in ends[1:]),
            *(end + 1 for end in ends[:-1]),
        }
    ):
        with open(path, 'wb') as file:
            file.write(data[:cut])
        state = State()
        writer = Journal(folder, state, None)
        whole = sum(end <= cut for end in ends)
        writer.write(lambda: [{'e': 'state', 'paused': True, 't': 1.0}])
        with open(path, 'rb') as file:
            now = file.read()
        assert now[: ends[whole - 1]] == data[: ends[whole - 1]]
        assert now[ends[whole - 1] :] == encode(
            {'e': 'state', 'paused': True, 't': 1.0}, ends[whole - 1]
        )
        again = State()
        assert Journal(folder, again, None).late == 0
        assert facts(again) == facts(state) == {**after[whole - 1], 'paused': True}


@pytest.mark.parametrize('cut', [0, 1, 50, -1])
def test_journal_without_a_whole_first_line_is_refused(
    recorded: Any, tmp_path: Path, cut: int
) -> None:
    _, lines_before, _ = recorded
    folder = make_folder(tmp_path)
    path = os.path.join(folder, FILE_NAME)
    with open(path, 'wb') as file:
        file.write(lines_before[0][1][:cut] if cut else b'')
    with pytest.raises(CorruptJournalError, match='no whole first line') as info:
        journal(folder)
    assert (info.value.path, info.value.offset) == (path, 0)


def test_journal_with_each_byte_bent(recorded: Any, tmp_path: Path) -> None:
    """The line with a changed byte is reported, with file and offset; what the others say is
    what it was without that line.
    """
    data, lines_before, _ = recorded
    folder = make_folder(tmp_path)
    starts = [offset for offset, _ in lines_before]
    without: dict[tuple[int, ...], dict[str, Any]] = {}
    file = os.open(os.path.join(folder, FILE_NAME), os.O_RDWR)
    os.pwrite(file, data, 0)
    newlines = {start - 1 for start in starts[2:]}
    for where in sorted({*range(starts[1], len(data) - 1, 3), *newlines}):
        bent = bytearray(data)
        bent[where] ^= 1 << where // 3 % 8
        hit = sum(start <= where for start in starts) - 1
        lost: tuple[int, ...] = (hit,)
        spans = [(starts[hit], len(lines_before[hit][1]))]
        if where in newlines:  # two lines have become one, and each is whole
            lost = ()
            spans = [(where, 1)]
        elif bent[where] == 10:  # one has become two
            cut = where + 1 - starts[hit]
            spans = [(starts[hit], cut), (where + 1, len(lines_before[hit][1]) - cut)]
        os.pwrite(file, bent[where : where + 1], where)
        state = State()
        assert Journal(folder, state, None).offset == len(data)
        os.pwrite(file, data[where : where + 1], where)
        assert state.damage == spans
        if lost not in without:
            *_, without[lost] = folds(line for i, line in enumerate(lines_before) if i not in lost)
        assert facts(state) == {**without[lost], 'damage': spans}
    os.close(file)
    assert len(without) == len(lines_before)


def test_damaged_first_line_is_refused(recorded: Any, tmp_path: Path) -> None:
    data, lines_before, _ = recorded
    folder = make_folder(tmp_path)
    path = os.path.join(folder, FILE_NAME)
    for where in range(len(lines_before[0][1]) - 1):
        bent = bytearray(data)
        bent[where] ^= 1
        with open(path, 'wb') as file:
            file.write(bent)
        with pytest.raises(CorruptJournalError, match='first line') as info:
            journal(folder)
        assert (info.value.path, info.value.offset) == (path, 0)
    with open(path, 'rb') as file:
        assert file.read() == bent


def test_writer_goes_on_behind_damage(folder: str) -> None:
    writer, _ = journal(folder)
    append(writer, 1)
    middle = writer.offset
    append(writer, 2)
    append(writer, 3)
    with open(writer.path, 'r+b') as file:
        file.seek(middle + 3)
        file.write(b'?')
    other, notes = journal(folder)
    append(other, 4)
    assert notes.values == [1, 3, 4]
    assert [offset for offset, _ in notes.damage] == [middle]
    with pytest.raises(CorruptJournalError, match='--repair') as info:
        other.event_at(middle)
    assert (info.value.path, info.value.offset) == (writer.path, middle)
    assert f'offset {middle:d}' in str(info.value) and writer.path in str(info.value)


def test_late_line_changes_nothing(folder: str) -> None:
    writer, notes = journal(folder)
    append(writer, 1)
    raw(folder, encode(note('late'), writer.offset + 5))
    append(writer, 2)
    assert notes.values == [1, 2] and notes.damage == [] and writer.late == 1
    other, again = journal(folder)
    assert again.values == [1, 2] and again.damage == [] and other.late == 1


# Reading


def test_follow_reads_each_event_once(folder: str) -> None:
    writer, own = journal(folder)
    reader, notes = journal(folder)
    assert not reader.follow()
    append(writer, 1, 2)
    append(writer, 3)
    assert reader.follow()
    assert not reader.follow()
    assert notes.values == own.values == [1, 2, 3]
    assert (
        [offset for offset, _ in notes.seen]
        == [offset for offset, _ in own.seen]
        == [offset for offset, _ in journal_lines(folder)][1:]
    )
    assert not writer.follow()  # what one wrote oneself is no news


def test_writer_follows_through_the_descriptor_it_writes_with(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (writer, notes), (other, _) = journal(folder), journal(folder)
    append(writer, 1)
    append(other, 2)

    def refuse(flags: int) -> int:
        raise AssertionError('The journal was opened anew.')

    monkeypatch.setattr(writer._file, 'open', refuse)
    assert writer.follow()
    assert notes.values == [1, 2]


def test_follow_outlives_a_task_that_takes_its_descriptor(folder: str, tmp_path: Path) -> None:
    (writer, notes), (other, _) = journal(folder), journal(folder)
    append(writer, 1)
    append(other, 2)
    assert writer._appender._kept is not None
    number = writer._appender._kept.fileno()
    with open(tmp_path / 'other', 'wb') as file:
        os.dup2(file.fileno(), number)
        assert writer.follow()
        os.close(number)
        append(other, 3)
        assert writer.follow()
        os.dup2(file.fileno(), number)  # for the writer to close at its end
    assert notes.values == [1, 2, 3]


@pytest.mark.parametrize('is_reused', [False, True])
def test_write_outlives_code_that_takes_its_descriptor(
    folder: str, tmp_path: Path, is_reused: bool
) -> None:
    view, notes = journal(folder)
    append(view, 1)
    kept = view._appender._kept
    assert kept is not None
    fd = kept.fileno()
    os.close(fd)
    other = tmp_path / 'other'
    if is_reused:
        shutil.copy(view.path, other)  # a journal, too, which had other events last
        with open(other, 'r+b') as file:
            file.truncate(os.path.getsize(other) - 5)
        before = other.read_bytes()
        opened = os.open(other, os.O_RDWR | os.O_APPEND)
        os.dup2(opened, fd)
    append(view, 2)
    append(view, 3)
    assert notes.values == journal(folder)[1].values == [1, 2, 3]
    assert len(journal_lines(folder)) == 4
    view.close()
    if is_reused:
        assert other.read_bytes() == before
        os.fstat(fd)  # it was left open
        os.close(fd)


def test_follow_reads_what_is_larger_than_a_chunk(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, _ = journal(folder)
    append(writer, *('x' * n for n in range(0, 400, 7)))
    monkeypatch.setattr(journal_reader, '_CHUNK', 64)
    _, notes = journal(folder)
    assert notes.values == ['x' * n for n in range(0, 400, 7)]


def test_event_at(folder: str) -> None:
    writer, notes = journal(folder)
    append(writer, 'short', 'long' * 100_000, 'end')
    for offset, event in notes.seen:
        assert writer.event_at(offset) == {**event, 'at': offset}
    with pytest.raises(CorruptJournalError):
        writer.event_at(writer.offset)


def test_generation_is_read_from_the_start(folder: str) -> None:
    writer, _ = journal(folder)
    append(writer, 1, 2)
    reader, notes = journal(folder)
    before = reader.header['gen']
    writer.replaced(lambda: [first_event(writer.header), note(10), note(11)])
    with pytest.raises(CorruptJournalError, match='rewritten'):
        reader.event_at(notes.seen[0][0])
    assert reader.follow()
    assert notes.values == [10, 11] and notes.resets == 2
    assert reader.header['gen'] != before and reader.header['id'] == writer.header['id']
    append(reader, 12)
    writer.follow()
    assert writer.offset == reader.offset == os.path.getsize(writer.path)


def test_generation_with_the_same_inode_and_size_is_noticed(folder: str) -> None:
    """A number that was given to the journal's file may come again; here as badly as it can be:
    everything but the bytes is the same.
    """
    writer, _ = journal(folder)
    append(writer, 1)
    reader, notes = journal(folder)
    other = make_folder(os.path.dirname(folder), 'other', name='q')
    remote, _ = journal(other)
    append(remote, 2)
    with open(remote.path, 'rb') as file:
        data = file.read()
    with open(writer.path, 'r+b') as file:
        assert os.fstat(file.fileno()).st_size == len(data)
        file.write(data)
    append(reader, 3)
    assert notes.values == [2, 3]
    assert reader.header['id'] == remote.header['id']


@pytest.mark.parametrize('shared', [False, True])
@pytest.mark.parametrize('remains', ['nothing', 'folder', 'file in its place'])
def test_deleted_queue_is_gone(tmp_path: Path, shared: bool, remains: str) -> None:
    folder = make_folder(tmp_path, shared=shared)
    writer, notes = journal(folder)
    append(writer, 1)
    if remains == 'folder':
        os.unlink(writer.path)
    else:
        shutil.rmtree(folder)
    if remains.startswith('file'):
        Path(folder).touch()
    before = sorted(os.listdir(tmp_path))
    for what in (
        writer.follow,
        lambda: append(writer, 2),
        lambda: writer.event_at(notes.seen[0][0]),
        lambda: writer.replaced(list),
    ):
        with pytest.raises(QueueGoneError, match='gone') as info:
            what()
        assert folder in str(info.value) and 'desipipe queues' in str(info.value)
    writer.sync()
    assert sorted(os.listdir(tmp_path)) == before
    assert not os.path.exists(writer.path)


def test_journal_of_another_version_is_refused(folder: str) -> None:
    path = os.path.join(folder, FILE_NAME)
    with open(path, 'wb') as file:
        file.write(encode({**first_event({}), 'version': 99}, 0))
    with pytest.raises(QueueVersionError, match='format version 99, this desipipe knows 1') as info:
        journal(folder)
    assert 'not touched' in str(info.value)


def test_journal_that_begins_with_another_event_is_refused(folder: str) -> None:
    with open(os.path.join(folder, FILE_NAME), 'wb') as file:
        file.write(encode(note(1), 0))
    with pytest.raises(CorruptJournalError, match='first line'):
        journal(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root, to become someone else')
@pytest.mark.parametrize('shared', [False, True])
def test_journal_names_missing_permissions(tmp_path: Path, shared: bool) -> None:
    folder = make_folder(tmp_path, shared=shared)
    writer, notes = journal(folder)
    append(writer, 1)
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == 0 and path.is_relative_to('/tmp') and path != Path('/tmp'):
            path.chmod(0o755)
    os.chmod(folder, 0o755)
    os.chmod(writer.path, 0o644)
    os.chmod(os.path.join(folder, 'lock'), 0o644)
    os.seteuid(65534)
    try:
        reader, seen = journal(folder)
        assert seen.values == [1]
        with pytest.raises(PermissionDeniedError, match='No permission to write'):
            append(reader, 2)
    finally:
        os.seteuid(0)
    os.chmod(os.path.join(folder, 'lock'), 0o666)
    os.seteuid(65534)
    try:
        with pytest.raises(PermissionDeniedError, match='cannot be written to by you'):
            append(reader, 2)
    finally:
        os.seteuid(0)
    os.chmod(writer.path, 0o600)
    os.seteuid(65534)
    try:
        for what in (lambda: journal(folder), lambda: reader.event_at(seen.seen[0][0])):
            with pytest.raises(PermissionDeniedError, match='cannot be read by you'):
                what()
    finally:
        os.seteuid(0)
    os.chmod(folder, 0o700)
    os.seteuid(65534)
    try:
        with pytest.raises(PermissionDeniedError, match='cannot be read by you'):
            reader.follow()
    finally:
        os.seteuid(0)
    writer.follow()
    assert notes.values == [1]


# Writing


def test_decision_sees_everything_and_may_be_to_write_nothing(folder: str) -> None:
    one, own = journal(folder)
    two, theirs = journal(folder)
    append(one, 1)
    seen: list[list[Any]] = []

    def decide() -> list[Event]:
        seen.append(list(theirs.values))
        return []

    size = os.path.getsize(one.path)
    two.write(decide)
    assert seen == [[1]] and os.path.getsize(one.path) == size

    def refuse() -> list[Event]:
        raise KeyError('no')

    with pytest.raises(KeyError):
        two.write(refuse)
    append(two, 2)  # the lock is free again
    one.follow()
    assert own.values == [1, 2]


def test_write_appends_nothing_without_json(folder: str) -> None:
    writer, notes = journal(folder)
    size = os.path.getsize(writer.path)
    with pytest.raises(TypeError):
        append(writer, 1, object())
    assert os.path.getsize(writer.path) == size
    append(writer, 2)
    assert notes.values == [2]


@contextmanager
def writes(
    path: str, allow: int, number: int | None, meanwhile: Callable[[], object] = lambda: None
) -> Iterator[list[int]]:
    """Let writes to ``path`` go short: ``allow`` bytes in pieces of 100, then, if ``number`` is
    given, that error.
    """
    real = os.write
    left = [allow]

    def fake(fd: int, data: Any) -> int:
        if os.readlink(f'/proc/self/fd/{fd:d}') != path:
            return real(fd, data)
        if left[0] <= 0 and number is not None:
            meanwhile()
            raise OSError(number, os.strerror(number))
        n = real(fd, data[: min(100, left[0])] if left[0] > 0 else data)
        left[0] -= n
        return n

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, 'write', fake)
        yield left


def test_short_writes_are_continued(folder: str) -> None:
    writer, notes = journal(folder)
    with writes(writer.path, 10_000, None):
        append(writer, 'a' * 500, 'b' * 500)
    assert journal(folder)[1].values == notes.values == ['a' * 500, 'b' * 500]


@pytest.mark.parametrize('allow', [0, 1, 100, 300, 1200])
@pytest.mark.parametrize(
    ('number', 'shared'),
    [
        (number, shared)
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
        for shared in (False, True)
        if (number, shared) != (errno.EIO, True)
    ],
)
def test_failed_append_leaves_nothing(
    tmp_path: Path, number: int, allow: int, shared: bool
) -> None:
    folder = make_folder(tmp_path, shared=shared)
    writer, notes = journal(folder)
    append(writer, 'before')
    reader, seen = journal(folder)
    with open(writer.path, 'rb') as file:
        data = file.read()
    with writes(writer.path, allow, number, reader.follow):
        with pytest.raises(OSError) as info:
            append(writer, *('x' * 200 for _ in range(10)))
    assert isinstance(info.value, DiskFullError) == (number != errno.EIO)
    if number != errno.EIO:
        assert (
            'not in the queue' in str(info.value)
            and 'desipipe compact' in str(info.value)
            and writer.path in str(info.value)
        )
    with open(writer.path, 'rb') as file:
        assert file.read() == data
    assert notes.values == ['before']
    # The reader has seen some of what was taken back.
    if allow >= 300:
        assert len(seen.values) > 1
    append(writer, 'after', 'y' * 1000)
    reader.follow()
    assert (
        journal(folder)[1].values == notes.values == seen.values == ['before', 'after', 'y' * 1000]
    )
    assert seen.damage == [] and reader.offset == writer.offset


@pytest.mark.parametrize('allow', [0, 100, 300, 1200])
def test_append_through_a_descriptor_that_lost_its_lock(shared: str, allow: int) -> None:
    """NFS answers it with EIO.

    It is decided again; nothing is taken back, since it may stand where others wrote; what stood in
    its place counts.
    """
    writer, notes = journal(shared)
    append(writer, 'before')
    reader, seen = journal(shared)
    decided: list[int] = []

    def decide() -> list[Event]:
        decided.append(len(notes.values))
        return [note('x' * 200) for _ in range(11 - len(notes.values))]

    with writes(writer.path, allow, errno.EIO, reader.follow):
        with pytest.raises(LockLostError):
            writer.write(decide)
    assert len(decided) == 5
    writer.write(decide)
    reader.follow()
    assert journal(shared)[1].values == notes.values == seen.values == ['before'] + ['x' * 200] * 10
    assert seen.damage == [] and reader.offset == writer.offset == os.path.getsize(writer.path)


def test_failed_append_that_can_not_be_taken_back(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of it are whole events, and half a line, which the next writer cuts."""
    writer, notes = journal(folder)

    def fail(fd: int, length: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with writes(writer.path, 600, errno.ENOSPC), monkeypatch.context() as patch:
        patch.setattr(os, 'ftruncate', fail)
        with pytest.raises(DiskFullError):
            append(writer, *('x' * 200 for _ in range(10)))
    append(writer, 'after')
    assert journal(folder)[1].values == notes.values == ['x' * 200] * 2 + ['after']


def test_failed_fsync_is_told(shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others look from other hosts, what was not flushed does not count."""
    writer, notes = journal(shared)
    append(writer, 1)

    def fail(fd: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', fail)
        with pytest.raises(DiskFullError):
            append(writer, 2)
    append(writer, 3)
    assert journal(shared)[1].values == notes.values == [1, 3]


def test_reader_between_a_torn_tail_and_its_repair(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a line of the dead, continued by what the living wrote over it, is no corruption."""
    writer, _ = journal(folder)
    append(writer, 1)
    reader, notes = journal(folder)
    append(writer, 2)
    raw(folder, line_at_end(folder, 'never')[:20])
    real = os.pread
    todo = [lambda: append(writer, 3, 'x' * 100)]

    def pread(fd: int, n: int, offset: int) -> bytes:
        data = real(fd, n, offset)
        if n == journal_reader._CHUNK and data and todo:
            todo.pop()()
        return data

    monkeypatch.setattr(os, 'pread', pread)
    reader.follow()
    assert not todo
    assert notes.values == [1, 2, 3, 'x' * 100] and notes.damage == []


def test_hole_that_fills_is_no_corruption(shared: str) -> None:
    """On a network filesystem a reader may see the end of a batch before its beginning: zeros
    stand there for a moment.
    """
    writer, _ = journal(shared)
    append(writer, 1)
    reader, notes = journal(shared)
    start = writer.offset
    append(writer, 2, 3)
    with open(writer.path, 'r+b') as file:
        data = os.pread(file.fileno(), 1000, start)
        os.pwrite(file.fileno(), bytes(60), start)
        real = reader._file.open
        opened: list[int] = []

        def fill(flags: int) -> int:
            opened.append(flags)
            if len(opened) == 3:  # after it was looked at once more
                os.pwrite(file.fileno(), data, start)
            return real(flags)

        reader._file.open = fill  # type: ignore[method-assign]
        reader.follow()
    assert notes.values == [1, 2, 3] and notes.damage == []


# The lock is lost


@pytest.mark.parametrize('kind', ['flock', 'poll'])
def test_batch_that_comes_too_late_is_decided_again(tmp_path: Path, kind: str) -> None:
    folder = make_folder(tmp_path, shared=True, lock=kind)
    writer, notes = journal(folder)
    append(writer, 'first')
    decided: list[list[Any]] = []

    def decide() -> list[Event]:
        decided.append(list(notes.values))
        if len(decided) == 1:
            raw(folder, line_at_end(folder, 'other'))  # who took the lock from us
        return [note(f'mine {len(notes.values):d}'), note('mine too')]

    writer.write(decide)
    assert decided == [['first'], ['first', 'other']]
    reader, seen = journal(folder)
    assert seen.values == notes.values == ['first', 'other', 'mine 2', 'mine too']
    assert reader.late == writer.late == 2 and seen.damage == []


def test_batch_for_a_replaced_journal_is_decided_again(shared: str) -> None:
    writer, notes = journal(shared)
    append(writer, 'first')
    header = writer.header
    decided = []

    def decide() -> list[Event]:
        decided.append(list(notes.values))
        if len(decided) == 1:
            replace(shared, [first_event(header), note('compacted')])
        return [note('mine')]

    writer.write(decide)
    assert decided == [['first'], ['compacted']]
    assert journal(shared)[1].values == notes.values == ['compacted', 'mine']


def test_batch_for_a_deleted_queue_recreates_nothing(shared: str) -> None:
    writer, _ = journal(shared)

    def decide() -> list[Event]:
        shutil.rmtree(shared)
        return [note('mine')]

    with pytest.raises(QueueGoneError):
        writer.write(decide)
    assert not os.path.exists(shared)


def test_lock_that_is_lost_each_time_is_an_error(shared: str) -> None:
    writer, notes = journal(shared)
    others = []

    def decide() -> list[Event]:
        others.append(f'other {len(others):d}')
        raw(shared, line_at_end(shared, others[-1]))
        return [note('mine')]

    with pytest.raises(LockLostError, match='lost 5 times.*Nothing was written'):
        writer.write(decide)
    assert journal(shared)[1].values == others
    append(writer, 'later')
    assert notes.values == [*others, 'later']


def test_compaction_keeps_events_appended_meanwhile(shared: str) -> None:
    """Who lost the lock while it rewrote the journal does not put its copy over what others
    appended.
    """
    writer, notes = journal(shared)
    append(writer, 1)
    turns = []

    def events() -> list[Event]:
        turns.append(list(notes.values))
        if len(turns) == 1:
            raw(shared, line_at_end(shared, 'other'))
        return [first_event(writer.header), *(note(x) for x in notes.values)]

    placed: list[int] = []
    writer.replaced(events, lambda: placed.append(len(turns)))
    assert turns == [[1], [1, 'other']] and placed == [2]
    assert journal(shared)[1].values == notes.values == [1, 'other']
    assert sorted(os.listdir(shared)) == ['journal.jsonl', 'live', 'lock', 'segments', 'workers']


@pytest.mark.parametrize('allow', [0, 200])
def test_replacement_that_does_not_fit_leaves_the_old_one(folder: str, allow: int) -> None:
    writer, _ = journal(folder)
    append(writer, 1)
    with open(writer.path, 'rb') as file:
        data = file.read()
    real = os.write
    left = [allow]

    def fake(fd: int, piece: Any) -> int:
        if not os.readlink(f'/proc/self/fd/{fd:d}').endswith('.tmp'):
            return real(fd, piece)
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        n = real(fd, piece[: left[0]])
        left[0] -= n
        return n

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, 'write', fake)
        with pytest.raises(DiskFullError):
            writer.replaced(lambda: [first_event(writer.header), note('x' * 1000)])
    with open(writer.path, 'rb') as file:
        assert file.read() == data
    assert [name for name in os.listdir(folder) if name.endswith('.tmp')] == []
    append(writer, 2)
    assert journal(folder)[1].values == [1, 2]


def test_queue_is_created_once(folder: str) -> None:
    writer, _ = journal(folder)
    append(writer, 1)
    with pytest.raises(FileExistsError):
        create(folder, {})
    assert journal(folder)[1].values == [1]


# On disk


@contextmanager
def synced(fail: list[int] | None = None) -> Iterator[list[str]]:
    """The names of the files that were put on disk, in order; as many fail as ``fail`` holds
    errors.
    """
    real = os.fdatasync
    names: list[str] = []

    def fdatasync(fd: int) -> None:
        if fail:
            raise OSError(fail[0], os.strerror(fail.pop(0)))
        names.append(os.path.basename(os.readlink(f'/proc/self/fd/{fd:d}')))
        real(fd)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, 'fdatasync', fdatasync)
        yield names


def test_write_flushes_payloads_before_events(folder: str) -> None:
    with synced() as names:
        writer, _ = journal(folder, before_sync=lambda: names.append('payload'))
        append(writer, 1)
        assert names == []
        writer.write(lambda: [note(2)], sync=True)
        assert names == ['payload', 'journal.jsonl']
        writer.sync()
        assert names == ['payload', 'journal.jsonl']


def test_sync_serves_all_writers(folder: str) -> None:
    with synced() as names:
        first, second = (journal(folder)[0] for _ in range(2))
        append(first, 1)
        append(second, 2)
        second.sync()
        first.sync()
        assert names == ['journal.jsonl'] and first.dirty_since == float('inf')
        append(first, 3)
        first.sync()
        assert names == ['journal.jsonl'] * 2


def test_sync_of_what_was_taken_back_serves_no_one(folder: str) -> None:
    path = os.path.join(folder, 'journal.jsonl')
    with synced() as names:
        first, second = (journal(folder)[0] for _ in range(2))
        size = os.path.getsize(path)
        append(first, 'longer than what comes next')
        first.sync()
        os.truncate(path, size)
        append(second, 2)
        second.sync()
        assert names == ['journal.jsonl'] * 2


def test_everything_is_on_disk_soon(folder: str) -> None:
    before = set(threading.enumerate())
    with synced() as names:
        writer, _ = journal(folder, sync_interval=0.01)
        append(writer, 1)
        wait_for(lambda: names == ['journal.jsonl'], 'the sync')
        wait_for(lambda: writer._syncer.thread is None, 'the end of the thread')
        append(writer, 2)
        wait_for(lambda: names == ['journal.jsonl'] * 2, 'the second sync')
        wait_for(
            lambda: (
                not [
                    thread
                    for thread in threading.enumerate()
                    if thread.name == 'desipipe-sync' and thread not in before
                ]
            ),
            'the end of the thread',
        )


def test_sync_that_fails_is_tried_again(folder: str, caplog: pytest.LogCaptureFixture) -> None:
    with synced(fail := [errno.EIO]) as names:
        writer, _ = journal(folder, sync_interval=0.01)
        append(writer, 1)
        wait_for(lambda: not fail and writer._syncer.thread is None, 'the failed sync')
        assert names == [] and 'not on disk' in caplog.text
        append(writer, 2)
        wait_for(lambda: names == ['journal.jsonl'], 'the next one')
        fail.append(errno.EDQUOT)
        with pytest.raises(DiskFullError):
            writer.write(lambda: [note(3)], sync=True)
        writer.sync()
        assert names == ['journal.jsonl'] * 2


def test_at_exit_everything_is_on_disk(folder: str) -> None:
    with start_script(
        """
import os, sys
from engine import Notes, note
from desipipe.store.journal import Journal
real = os.fdatasync
def fdatasync(fd):
    real(fd)
    print('synced', flush=True)
os.fdatasync = fdatasync
Journal(sys.argv[1], Notes(), 1000.0).write(lambda: [note(1)])
print('written', flush=True)
""",
        folder,
    ) as process:
        assert read_line(process) == 'written'
        assert done(process) == 'synced\n'


# Processes

WRITER = """
import os, sys
from engine import Notes, note
from desipipe.store.journal import Journal
folder, name, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
journal = Journal(folder, Notes(), 0.2 if name != '3' else None)
print('ready', flush=True)
sys.stdin.readline()
for i in range(n):
    journal.write(lambda: [note([name, i, k, 'x' * (i % 50)]) for k in range(1 + i % 3)])
    if i % 10 == 0:
        print(i, flush=True)
"""


@pytest.mark.parametrize(
    ('kind', 'shared'), [('flock', False), ('flock', True), ('poll', True), ('soft', True)]
)
def test_processes_append_at_once(tmp_path: Path, kind: str, shared: bool) -> None:
    folder = make_folder(tmp_path, lock=kind, shared=shared)
    n = 12 if kind == 'soft' else 100
    reader, notes = journal(folder)
    with (
        start_script(WRITER, folder, 1, n) as one,
        start_script(WRITER, folder, 2, n) as two,
        start_script(WRITER, folder, 3, n) as three,
    ):
        for process in (one, two, three):
            assert read_line(process) == 'ready'
        for process in (one, two, three):
            send_line(process)
        while any(process.poll() is None for process in (one, two, three)):
            reader.follow()
        for process in (one, two, three):
            done(process)
    reader.follow()
    assert notes.damage == [] and reader.late == 0
    for name in '123':
        assert [x[1:3] for x in notes.values if x[0] == name] == [
            [i, k] for i in range(n) for k in range(1 + i % 3)
        ]
    # The events of one batch stand together.
    heads = [x[:2] for x in notes.values if x[2] == 0]
    assert [x[:2] for x in notes.values] == [head for head in heads for _ in range(1 + head[1] % 3)]


def test_writers_that_are_killed(folder: str) -> None:
    reader, notes = journal(folder)
    for turn in range(12):
        with start_script(WRITER, folder, turn, 1_000_000) as process:
            assert read_line(process) == 'ready'
            send_line(process)
            read_line(process)
            wait_for(
                lambda turn=turn: (
                    reader.follow()
                    and len([x for x in notes.values if x[0] == str(turn)]) > 3 * turn
                )
            )  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
            process.wait()
    writer, seen = journal(folder)
    append(writer, ['end', 0, 0])
    reader.follow()
    assert notes.values == seen.values and seen.damage == [] and reader.late == 0
    for turn in range(12):
        own = [x[1] for x in seen.values if x[0] == str(turn) and x[2] == 0]
        assert own == list(range(len(own)))
    assert seen.values[-1][0] == 'end'


def test_forked_child_writes_on_its_own(folder: str) -> None:
    """Also when the parent's thread was about to sync, or its other thread was writing."""
    with synced():
        writer, notes = journal(folder, sync_interval=1000.0)
        append(writer, 'parent')
        assert writer._syncer.thread is not None
        inside, leave = threading.Event(), threading.Event()

        def decide() -> list[Event]:
            inside.set()
            leave.wait()
            return [note('thread')]

        thread = threading.Thread(target=writer.write, args=(decide,))
        thread.start()
        inside.wait()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                append(writer, 'child')
                syncing = writer._syncer.thread
                status = 0 if syncing is not None and syncing.is_alive() else 2
            finally:
                os._exit(status)
        wait_for(lambda: waits_for_flock(pid), 'the child waits for the lock')
        leave.set()
        thread.join()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    append(writer, 'again')
    assert notes.values == ['parent', 'thread', 'child', 'again']
    writer.sync()


def waits_for_flock(pid: int) -> bool:
    """Whether a process waits for a lock; the kernel lists those who wait with an arrow."""
    with open('/proc/locks') as file:
        return any('->' in line and f' {pid:d} ' in line for line in file)


@pytest.mark.parametrize('patience', [60.0, 0.0])
@pytest.mark.parametrize('crowded', [False, True])
def test_writer_folds_without_the_lock_what_came_while_it_waited(
    folder: str, patience: float, crowded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each of many writers would fold the lines of all others while they wait."""
    monkeypatch.setattr(journals, 'CATCH_UP_MAX_S', patience)
    (holder, expected), (waiter, notes) = journal(folder), journal(folder)
    waiter._is_crowded = crowded
    under_lock: list[int] = []
    apply = notes.apply

    def noting(event: Any, offset: int) -> None:
        if waiter.lock.is_held:
            under_lock.append(offset)
        apply(event, offset)

    notes.apply = noting  # type: ignore[method-assign]
    many = [f'{i:d}' * 100 for i in range(200)]
    with holder.lock:
        writer = threading.Thread(target=append, args=(waiter, 'last'), daemon=True)
        writer.start()
        wait_for(lambda: waiter.lock.has_waited, 'the writer waits')
        append(holder, *many)
    writer.join(120)
    holder.follow()
    assert notes.values == expected.values == [*many, 'last']
    assert patience == 0.0 or not under_lock


def test_writer_folds_its_lines_once_though_a_handler_read_them(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, notes = journal(folder)
    release = writer.lock.release

    def release_and_follow() -> None:
        release()
        writer.follow()

    monkeypatch.setattr(writer.lock, 'release', release_and_follow)
    append(writer, 1, 2)
    append(writer, 3)
    assert notes.values == [1, 2, 3] and not writer.follow()
    assert notes.resets == 1


def test_reader_takes_no_lock(folder: str) -> None:
    writer, _ = journal(folder)
    append(writer, 1)
    fd = os.open(os.path.join(folder, 'lock'), os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        raw(folder, line_at_end(folder, 2))
        reader, notes = journal(folder)
        assert notes.values == [1, 2]
        assert not reader.follow()
    finally:
        os.close(fd)


def test_fresh_view_equals_the_writers(tmp_path: Path) -> None:
    ledger = record(make_folder(tmp_path))
    assert facts(ledger.state) == facts(fresh(ledger).state)


class NotesWithHandler(Notes):
    """Looks at the journal itself at one event, as the handler of a signal may."""

    handler: Callable[[], object] | None = None
    at: object = None

    def apply(self, event: Event, offset: int) -> None:
        super().apply(event, offset)
        if self.handler is not None and event['x'] == self.at:
            handler, self.handler = self.handler, None
            handler()


@pytest.mark.parametrize('at', [1, 2, 3])
@pytest.mark.parametrize('writes', [True, False])
def test_journal_is_folded_anew_after_a_handler_looked(folder: str, at: int, writes: bool) -> None:
    notes = NotesWithHandler()
    looker = Journal(folder, notes, None)
    append(looker, 0)
    notes.at, notes.handler = at, looker.follow

    append(looker if writes else journal(folder)[0], 1, 2, 3)
    looker.follow()

    assert notes.handler is None and notes.values == [0, 1, 2, 3]
    append(looker, 4)
    assert notes.values == [0, 1, 2, 3, 4] == journal(folder)[1].values
