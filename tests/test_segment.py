"""Segments: what was written is read back where it lies, and what is not there says so."""

from __future__ import annotations

import errno
import os
import pickle
import resource
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import psutil
import pytest
from engine import make_folder
from hypothesis import given

from desipipe.errors import DiskFullError, PayloadError, QueueGoneError
from desipipe.serialize import dumps, loads
from desipipe.store import writing
from desipipe.store.file_names import segment_path
from desipipe.store.segment import MAP_FROM, SegmentReader
from desipipe.store.segment_writer import ALIGNMENT, SegmentWriter
from desipipe.store.writing import write_all


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return make_folder(tmp_path)


@given(
    payloads=st.lists(
        st.tuples(st.lists(st.binary(max_size=300), max_size=4), st.booleans()), max_size=20
    ),
    order=st.randoms(use_true_random=False),
)
def test_segment_reader_returns_written_payloads(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[tuple[list[bytes], bool]], order: Any
) -> None:
    folder = make_folder(tmp_path_factory.mktemp('segment'))
    writer, reader = SegmentWriter(folder, 'w'), SegmentReader(folder)
    written = []
    for parts, aligned in payloads:
        offset = writer.append(parts, aligned)
        assert not aligned or offset % ALIGNMENT == 0
        written.append((offset, b''.join(parts)))
        if order.random() < 0.3:
            assert bytes(reader.read('w', offset, len(written[-1][1]))) == written[-1][1]
    spans = sorted((offset, offset + len(data)) for offset, data in written)
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))
    order.shuffle(written)
    for offset, data in written:
        assert bytes(reader.read('w', offset, len(data))) == data
    reader.close()
    writer.close()


def test_segment_reader_follows_growth(folder: str) -> None:
    """Reading ahead never gives bytes from before they were written."""
    writer, reader = SegmentWriter(folder, 'w'), SegmentReader(folder)
    for i in range(200):
        data = bytes([i]) * (50 + i)
        offset = writer.append([data])
        assert reader.read('w', offset, len(data)) == data


def test_large_payloads_are_views_of_the_file(folder: str) -> None:
    writer, reader = SegmentWriter(folder, 'w'), SegmentReader(folder)
    writer.append([b'x' * 17])
    array = np.arange(MAP_FROM // 4, dtype='f8')
    payload = dumps(array)
    offset = writer.append(payload.parts, payload.aligned)
    view = reader.read('w', offset, payload.nbytes)
    assert isinstance(view, memoryview) and not view.readonly
    back = loads(view)
    assert np.array_equal(back, array)
    assert back.ctypes.data % ALIGNMENT == 0 and back.flags.writeable
    # It is the file itself, not a copy; and stays readable when the reader and the file's name are
    # gone.
    with open(segment_path(folder, 'w'), 'r+b') as file:
        file.seek(offset + payload.nbytes - 8)
        file.write(np.float64(-1).tobytes())
    assert back[-1] == -1
    reader.close()
    os.unlink(segment_path(folder, 'w'))
    assert back[0] == 0 and back[1] == 1


@pytest.mark.parametrize('length', [1, 5000, MAP_FROM, 3 * MAP_FROM + 1])
def test_segment_payload_arrays_are_writable(folder: str, length: int) -> None:
    writer, reader = SegmentWriter(folder, 'w'), SegmentReader(folder)
    array = np.arange(length, dtype='u1')
    payload = dumps([array, array + 1, array[::-1]])
    offset = writer.append(payload.parts, payload.aligned)
    first = loads(reader.read('w', offset, payload.nbytes))
    for part in first:
        part += 1
        part.sort()
    again = loads(reader.read('w', offset, payload.nbytes))
    other = loads(SegmentReader(folder).read('w', offset, payload.nbytes))
    for loaded in (again, other):
        assert np.array_equal(loaded, [array, array + 1, array[::-1]])


def test_more_than_the_memory_is_mapped(folder: str) -> None:
    """Of a large value little may be read: the kernel must not ask for memory for all of it."""
    pages = {line.split()[0]: int(line.split()[1]) for line in open('/proc/meminfo')}
    length = (2 * (pages['MemTotal:'] + pages['SwapTotal:'])) << 10
    SegmentWriter(folder, 'w').append([b'x'])
    os.truncate(segment_path(folder, 'w'), length)
    view = SegmentReader(folder).read('w', 0, length)
    assert isinstance(view, memoryview) and view[0] == ord('x') and view[-1] == 0
    view[-1] = 1
    assert view[-1] == 1


def test_values_are_read_when_no_descriptor_is_left(folder: str) -> None:
    SegmentWriter(folder, 'w').append([b'x' * 2 * MAP_FROM])
    reader = SegmentReader(folder)
    reader.read('w', 0, 1)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        views = [reader.read('w', i, MAP_FROM) for i in range(3)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert all(bytes(view) == b'x' * MAP_FROM for view in views)


def test_view_that_begins_anywhere(folder: str) -> None:
    writer, reader = SegmentWriter(folder, 'w'), SegmentReader(folder)
    data = os.urandom(MAP_FROM + 5)
    for skip in (0, 1, 4095, 4097):
        writer.append([b'x' * skip])
        offset = writer.append([data])
        assert reader.read('w', offset, len(data)) == data


@pytest.mark.parametrize('length', [10, MAP_FROM])
def test_file_that_ends_too_early(folder: str, length: int) -> None:
    writer, reader = SegmentWriter(folder, 'w'), SegmentReader(folder)
    writer.append([b'x' * 5])
    with pytest.raises(PayloadError, match='ends before') as info:
        reader.read('w', 0, length)
    for word in (
        segment_path(folder, 'w'),
        f'{length:d} bytes at 0',
        'this value is lost, the others are intact',
        'desipipe doctor',
    ):
        assert word in str(info.value)
    assert reader.read('w', 0, 5) == b'xxxxx'


@pytest.mark.parametrize('length', [10, MAP_FROM])
def test_file_that_grew_is_looked_at_again(folder: str, length: int) -> None:
    """Through an old descriptor a network filesystem may show a file's old size: here an old
    file of the same name.
    """
    writer, reader = SegmentWriter(folder, 'w'), SegmentReader(folder)
    writer.append([b'x'])
    assert reader.read('w', 0, 1) == b'x'
    path = segment_path(folder, 'w')
    with open(path + '.new', 'wb') as file:
        file.write(b'x' * 2 * length)
    os.rename(path + '.new', path)
    assert reader.read('w', 3, length) == b'x' * length


@pytest.mark.parametrize(
    'name', ['../outside', '/etc/passwd', '.hidden', '..', 'a/b', '../../q.queue/segments/w']
)
def test_name_can_not_leave_the_folder(folder: str, name: str) -> None:
    SegmentWriter(folder, 'w').append([b'x' * 100])
    Path(folder, 'outside.bin').write_bytes(b'secret')
    for look in (
        lambda: SegmentReader(folder).read(name, 0, 6),
        lambda: SegmentReader(folder).owner(name),
    ):
        with pytest.raises(PayloadError, match='outside of the queue') as info:
            look()
        assert 'not read' in str(info.value) and 'desipipe doctor' in str(info.value)


def test_file_that_is_gone(folder: str) -> None:
    with pytest.raises(PayloadError, match='cannot be opened') as info:
        SegmentReader(folder).read('none', 0, 1)
    assert segment_path(folder, 'none') in str(info.value) and 'desipipe doctor' in str(info.value)


def test_owner(folder: str) -> None:
    SegmentWriter(folder, 'w').append([b'x'])
    assert SegmentReader(folder).owner('w') == os.geteuid()
    if os.geteuid() == 0:
        os.chown(segment_path(folder, 'w'), 12345, -1)
        assert SegmentReader(folder).owner('w') == 12345


def test_segments_keep_few_files_open(folder: str) -> None:
    for i in range(20):
        SegmentWriter(folder, f'w{i:d}').append([bytes([i])])
    reader = SegmentReader(folder, keep=3)

    def n_open() -> int:
        return sum(file.path.startswith(folder) for file in psutil.Process().open_files())

    before = n_open()
    for _ in range(2):
        for i in range(20):
            assert reader.read(f'w{i:d}', 0, 1) == bytes([i])
    assert n_open() == before + 3
    reader.close()
    assert n_open() == before


def test_segment_has_no_file_before_the_first_payload(folder: str) -> None:
    writer = SegmentWriter(folder, 'w')
    writer.flush()
    writer.close()
    assert os.listdir(os.path.join(folder, 'segments')) == []


def test_name_that_is_taken_is_not_written_to(folder: str) -> None:
    one, two = SegmentWriter(folder, 'w'), SegmentWriter(folder, 'w')
    one.append([b'one'])
    two.append([b'two'])
    assert one.name != two.name
    reader = SegmentReader(folder)
    assert reader.read(one.name, 0, 3) == b'one' and reader.read(two.name, 0, 3) == b'two'


def test_folder_that_is_gone(folder: str) -> None:
    os.rename(folder, folder + '.deleted')
    with pytest.raises(QueueGoneError, match='Nothing was added or recreated'):
        SegmentWriter(folder, 'w').append([b'x'])
    assert not os.path.exists(folder)


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
@pytest.mark.parametrize('allow', [0, 1, 250])
def test_payload_that_does_not_fit(
    folder: str, number: int, allow: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there stays, the file gives back the space, and no byte that a reader may have
    read changes.
    """
    writer, reader = SegmentWriter(folder, 'w'), SegmentReader(folder)
    offset = writer.append([b'before'])
    name = writer.name
    real = os.pwrite
    left = [allow]

    def write(fd: int, data: Any, where: int) -> int:
        if left[0] <= 0:
            raise OSError(number, os.strerror(number))
        n = real(fd, data[: min(100, left[0])], where)
        left[0] -= n
        return n

    with monkeypatch.context() as patch:
        patch.setattr(os, 'pwrite', write)
        with pytest.raises(OSError) as info:
            writer.append([b'a' * 200, b'b' * 200])
    assert isinstance(info.value, DiskFullError) == (number != errno.EIO)
    assert os.path.getsize(segment_path(folder, name)) == len(b'before')
    after = writer.append([b'after'])
    assert (writer.name, after) != (name, offset)
    assert (
        reader.read(name, offset, 6) == b'before' and reader.read(writer.name, after, 5) == b'after'
    )


def test_flush_that_failed_is_not_forgotten(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = SegmentWriter(folder, 'w')
    writer.append([b'x'])
    calls = []

    def fdatasync(fd: int) -> None:
        calls.append(fd)
        if len(calls) == 1:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, 'fdatasync', fdatasync)
    with pytest.raises(DiskFullError):
        writer.flush()
    writer.flush()
    writer.flush()
    assert len(calls) == 2


def test_more_than_one_call_can_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, 'CALL_MAX', 10)
    path = tmp_path / 'file'
    array = np.arange(30, dtype='i4').reshape(5, 6)
    with open(path, 'wb', buffering=0) as file:
        assert write_all(file.fileno(), b'') == 0
        assert write_all(file.fileno(), b'x' * 25) == 25
        assert write_all(file.fileno(), memoryview(array)) == array.nbytes
        assert write_all(file.fileno(), b'y' * 33, 5) == 33
    assert path.read_bytes() == b'x' * 5 + b'y' * 33 + array.tobytes()[13:]


def test_array_of_many_parts_is_aligned_where_it_lies(folder: str) -> None:
    writer, reader = SegmentWriter(folder, 'w'), SegmentReader(folder)
    values = {'a': np.arange(1000.0), 'b': [np.ones(777, dtype='f4'), 'text']}
    for skip in (1, 63, 64, 65):
        writer.append([b'x' * skip])
        payload = dumps(values)
        assert payload.aligned and payload.nbytes == sum(
            memoryview(part).nbytes for part in payload.parts
        )
        offset = writer.append(payload.parts, payload.aligned)
        back = loads(reader.read(writer.name, offset, payload.nbytes))
        assert pickle.dumps(back) == pickle.dumps(values)
