"""Columns of many tasks: what they hold is what a list, a dictionary and a deque would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desipipe.queue import columns
from desipipe.queue.columns import ID, Identities, RowIndex, RowQueue


def test_identities_are_a_sequence() -> None:
    ids = [os.urandom(ID) for _ in range(5)]
    column = Identities()
    column.append(ids[0])
    column.extend(b''.join(ids[1:]))
    column.extend_lost(2)
    assert list(column) == [*ids, b'', b''] == [column[i] for i in range(7)]
    assert column[-3] == ids[4] and column[1:3] == ids[1:3] and len(column) == 7
    column[5] = ids[0]
    assert column[5] == ids[0] and column.index(ids[0]) == 0
    with pytest.raises(IndexError):
        column[7]
    with pytest.raises(ValueError, match='[Ii]dentit'):
        column.extend(b'short')
    assert len(column) == 7


@settings(max_examples=25)
@given(st.data())
def test_index_is_a_dictionary(data: Any) -> None:
    ids, expected = Identities(), dict[bytes, int]()
    # Few different beginnings: identities that begin alike are told apart.
    heads = [bytes([i] * 8) for i in range(1, 4)] + [b'\xff' * 8]
    tid = st.builds(bytes.__add__, st.sampled_from(heads), st.binary(min_size=8, max_size=8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, 'PACKED_FROM', data.draw(st.sampled_from((1, 4, 1000))))
        index = RowIndex(ids)
        for _ in range(data.draw(st.integers(1, 12))):
            new = data.draw(
                st.lists(
                    st.one_of(tid, st.sampled_from(list(expected) or [b'\1' * ID])),
                    min_size=1,
                    max_size=6,
                    unique=True,
                )
            )
            first = len(ids)
            ids.extend(b''.join(new))
            if data.draw(st.booleans()):
                index.update_range(b''.join(new), first)
            else:
                for row, name in enumerate(new, first):
                    index[name] = row
            expected.update(zip(new, range(first, first + len(new)), strict=True))
            for name in data.draw(
                st.lists(st.sampled_from(sorted(expected)), max_size=3, unique=True)
            ):
                assert index.pop(name) == expected.pop(name)
            assert index == expected and len(index) == len(expected)
            assert all(name in index for name in expected)
            for name in (*new, b'', b'\1' * 8, heads[0] + bytes(8)):
                assert index.get(name) == expected.get(name)
                assert (name in index) == (name in expected)
    with pytest.raises(KeyError):
        del index[b'\2' * ID]


def test_index_takes_identities_of_one_beginning() -> None:
    # Compared one by one, this would take minutes.
    ids = [row.to_bytes(ID, 'big') for row in range(1, 200_001)]
    column = Identities()
    index = RowIndex(column)
    for first in range(0, len(ids), 4000):
        column.extend(b''.join(ids[first : first + 4000]))
        index.update_range(b''.join(ids[first : first + 4000]), first)
    assert len(index) == len(ids) and all(
        index.get(ids[row]) == row for row in range(0, len(ids), 500)
    )


@given(st.data())
def test_queue_is_a_deque(data: Any) -> None:
    queue, expected = RowQueue(), deque[int]()
    for _ in range(data.draw(st.integers(1, 20))):
        row = data.draw(st.integers(0, 12))
        do = data.draw(st.sampled_from(('append', 'appendleft', 'extend', 'drop_until', 'without')))
        if do == 'append':
            queue.append(row)
            expected.append(row)
        elif do == 'appendleft':
            queue.appendleft(row)
            expected.appendleft(row)
        elif do == 'extend':
            queue.extend(range(row, row + 3))
            expected.extend(range(row, row + 3))
        elif do == 'drop_until':
            queue.drop_until(
                lambda start, stop, least=row: max(start, least) if least < stop else -1
            )
            while expected and expected[0] < row:
                expected.popleft()
        else:
            queue = queue.without({row, row + 2})
            expected = deque(other for other in expected if other not in (row, row + 2))
        assert list(queue) == list(expected) and bool(queue) == bool(expected)
        assert queue == RowQueue(expected)


def test_memory_of_the_process_that_adds(tmp_path: Path) -> None:
    code = """
import sys
from desipipe import Queue, TaskManager
def noop(i):
    return i
def memory():
    return next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('RssAnon'))
app = TaskManager(Queue('bag', base_dir=sys.argv[1], create=True)).python_app(noop)
app.map(i=range(1000, 1000 + 70_000))  # loads what is needed for many
before = memory()
futures = app.map(i=range(10**6, 10**6 + 200_000))
print((memory() - before) * 1024 / len(futures))
"""
    run = [sys.executable, '-c', code, str(tmp_path)]
    env = os.environ | {'HOME': str(tmp_path)}
    used = subprocess.run(run, check=True, capture_output=True, text=True, env=env, timeout=300)
    assert float(used.stdout) < 300
