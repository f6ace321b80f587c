"""Files by type, written whole or not at all."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from desipipe import io
from desipipe.errors import UnknownNameError


@pytest.mark.parametrize(
    ('name', 'data'),
    [
        ('a.txt', 'π is 3.14\n'),
        ('a.json', {'a': [1, 2.5, None, 'π']}),
        ('a.yaml', {'b': 'π', 'a': [1, None]}),
        ('a.npy', np.arange(6, dtype='>i2').reshape(2, 3)),
        ('a.npz', {'x': np.arange(3), 'file': np.array(['a', 'bc'])}),
        ('A.NPY', np.array(3.0)),
    ],
)
def test_load_gives_what_was_saved(tmp_path: Path, name: str, data: object) -> None:
    path = tmp_path / 'new' / 'folder' / name
    io.save(path, data)
    loaded = io.load(path)
    if isinstance(data, dict) and name.endswith('npz'):
        assert set(loaded) == set(data)
    np.testing.assert_equal(loaded, data)
    assert os.listdir(path.parent) == [name]
    io.save(tmp_path / 'without_suffix', data, filetype=name.lower()[2:].replace('txt', 'text'))
    np.testing.assert_equal(io.load(tmp_path / 'without_suffix', filetype=name.lower()[2:].replace('txt', 'text')), data)


def test_unknown_file_type(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"no file type is known for the suffix '\.npx'; nothing was read or written.*did you mean npz, npy"):
        io.save(tmp_path / 'a.npx', 1)
    with pytest.raises(UnknownNameError, match="the file type 'jsn' is not known.*did you mean json"):
        io.load(tmp_path / 'a.json', filetype='jsn')
    assert os.listdir(tmp_path) == []


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / 'a.npy', np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match='allow_pickle'):
        io.load(tmp_path / 'a.npy')
    with pytest.raises(ValueError, match='Object arrays'):
        io.save(tmp_path / 'b.npy', np.array([{}], dtype=object))
    with pytest.raises(ValueError, match='Object arrays'):
        io.save(tmp_path / 'b.npz', {'x': np.array([{}], dtype=object)})
    assert os.listdir(tmp_path) == ['a.npy']


def test_failed_write_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / 'a.json'
    io.save(path, [1])
    with pytest.raises(TypeError) as caught:
        io.save(path, [object()])
    assert caught.value.__notes__ == [f'{path} was not written; what was there before, if anything, is unchanged.']
    assert io.load(path) == [1]
    assert os.listdir(tmp_path) == ['a.json']
    with pytest.raises(OSError) as other:
        io.save(path / 'b.json', [1])  # a file where a folder should be
    assert str(path) in str(other.value)


def test_permissions_and_links_are_kept(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'
    old = os.umask(0o027)
    try:
        io.save(path, 'one')
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    (tmp_path / 'link.txt').symlink_to('a.txt')
    io.save(tmp_path / 'link.txt', 'two')
    assert (tmp_path / 'link.txt').is_symlink()
    assert path.read_text() == 'two'
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


def test_killed_writer_leaves_no_half_file(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'
    path.write_text('old')
    script = (
        'import os, sys\nfrom desipipe import io\n'
        'with io.atomic_write(sys.argv[1]) as file:\n    file.write(b"n" * 100_000)\n    file.flush()\n    print("half", flush=True)\n    sys.stdin.read()'
    )
    with subprocess.Popen([sys.executable, '-c', script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == 'half\n'
        assert path.read_text() == 'old'
        writer.kill()
    assert writer.returncode == -signal.SIGKILL
    assert path.read_text() == 'old'
