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
from desipipe.errors import (
    ConfigError,
    MissingDependencyError,
    UnknownNameError,
    UntrustedFileError,
)
from desipipe.io import file_types, temporaries


@pytest.mark.parametrize(
    ('name', 'data'),
    [
        ('a.txt', 'π is 3.14\n'),
        ('a.json', {'a': [1, 2.5, None, 'π']}),
        ('b.json', {'a': [None, float('nan'), float('-inf')], 'null': 'π', 'b': []}),
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
    np.testing.assert_equal(
        io.load(tmp_path / 'without_suffix', filetype=name.lower()[2:].replace('txt', 'text')), data
    )


@pytest.mark.parametrize('name', io.__all__)
def test_names_have_the_documented_module(name: str) -> None:
    # Tasks call them, and identities of tasks hold them: wherever they are defined, that stays.
    assert getattr(io, name).__module__ == 'desipipe.io'


def test_unknown_file_type(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownNameError,
        match=(
            r"no file type is known for the suffix '\.npx'; nothing was read or written.*did you "
            r'mean npz, npy'
        ),
    ):
        io.save(tmp_path / 'a.npx', 1)
    with pytest.raises(
        UnknownNameError, match="the file type 'jsn' is not known.*did you mean json"
    ):
        io.load(tmp_path / 'a.json', filetype='jsn')
    assert os.listdir(tmp_path) == []


def test_words_for_what_can_not_be_read_or_written(tmp_path: Path) -> None:
    for name in ('a.txt', 'a.json', 'a.npy', 'a.npz', 'a.pkl'):
        (tmp_path / name).write_bytes(b'\xff')
        with pytest.raises(Exception) as caught:  # each library has its own
            io.load(tmp_path / name)
        assert caught.value.__notes__ == [
            (
                f'{tmp_path / name} was to be read, as a file of the type '
                f'{io.get_filetype("", name).name!r}.'
            )
        ]
    with pytest.raises(FileNotFoundError) as missing:
        io.load(tmp_path / 'none.npy')
    assert not hasattr(missing.value, '__notes__')  # it says so itself
    for name, data, text in (
        ('b.txt', 3, 'text'),
        ('b.txt', b'x', 'text'),
        ('b.npz', [1], 'a dictionary of arrays, not list'),
    ):
        with pytest.raises(TypeError, match=text):
            io.save(tmp_path / name, data)
    io.save(tmp_path / 'a.json', {'a': np.array([np.nan, 1]), 'b': np.float32(2), 'c': None})
    np.testing.assert_equal(io.load(tmp_path / 'a.json'), {'a': [np.nan, 1.0], 'b': 2.0, 'c': None})


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
    assert caught.value.__notes__ == [
        f'{path} was not written; what was there before, if anything, is unchanged.'
    ]
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
        'with io.atomic_write(sys.argv[1]) as file:\n    file.write(b"n" * 100_000)\n    '
        'file.flush()\n    print("half", flush=True)\n    sys.stdin.read()'
    )
    with subprocess.Popen(
        [sys.executable, '-c', script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == 'half\n'
        assert path.read_text() == 'old'
        writer.kill()
    assert writer.returncode == -signal.SIGKILL
    assert path.read_text() == 'old'


def test_killed_writer_leaves_nothing(tmp_path: Path) -> None:
    """Not even a temporary file, where the filesystem has files without names."""
    script = (
        'import os, sys\nfrom desipipe import io\n'
        'with io.atomic_write(sys.argv[1]) as file:\n    file.write(b"n" * 100_000)\n    '
        'file.flush()\n    print("half", flush=True)\n    sys.stdin.read()'
    )
    path = tmp_path / 'a.txt'
    with subprocess.Popen(
        [sys.executable, '-c', script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == 'half\n'
        seen = os.listdir(tmp_path)
        writer.kill()
    assert os.listdir(tmp_path) == seen
    if hasattr(os, 'O_TMPFILE'):
        try:
            os.close(os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY))
        except OSError:
            return
        assert seen == []


@pytest.mark.parametrize('nameless', [True, False])
def test_save_removes_leftovers_of_killed_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nameless: bool
) -> None:
    """By the next process that writes beside it, and not while its writer lives."""
    script = (
        'import os, sys\nfrom desipipe import io\n'
        + ('' if nameless else 'del os.O_TMPFILE\n')
        + (
            'def slow(path):\n    open(path, "w").write("half")\n    print("half", flush=True)\n   '
            ' sys.stdin.read()\n'
        )
        + (
            'io.save(sys.argv[1], slow)\n'
            if nameless
            else 'with io.atomic_write(sys.argv[1]) as file:\n    slow(os.devnull)\n'
        )
    )
    writers = [
        subprocess.Popen(
            [sys.executable, '-c', script, str(tmp_path / 'a.dat')],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == 'half\n'
        left = set(os.listdir(tmp_path))
        assert len(left) == 2
        writers[0].kill()
        writers[0].wait()
        monkeypatch.setattr(temporaries, '_swept', set())
        io.save(tmp_path / 'b.txt', 'x')
        still = set(os.listdir(tmp_path)) - {'b.txt'}
        assert len(still) == 1
        assert f'-{writers[1].pid}-' in still.pop()
        writers[1].communicate('')  # it goes on, and ends as if nothing had been
        assert writers[1].returncode == 0
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert sorted(os.listdir(tmp_path)) == ['a.dat', 'b.txt']


def test_save_removes_old_leftovers_of_other_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody here can see whether its writer lives."""
    monkeypatch.setattr(temporaries, '_swept', set())
    names = [f'.desipipe-{digit * 8}-1-1-00000000.tmp' for digit in '012']
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / 'a.fits').write_text('half')
    (tmp_path / '.desipipe-1-notes.tmp').write_text('not ours')
    for path in (
        tmp_path / names[0],
        tmp_path / names[0] / 'a.fits',
        tmp_path / names[1],
        tmp_path / '.desipipe-1-notes.tmp',
    ):  # in the second one, someone writes
        os.utime(path, (0, 0))
    io.save(tmp_path / 'b.txt', 'x')
    assert sorted(os.listdir(tmp_path)) == ['.desipipe-1-notes.tmp', *names[1:], 'b.txt']


def test_save_replaces_files_alone(tmp_path: Path) -> None:
    """Not pipes, devices, folders, in whose place a file would be."""
    os.mkfifo(tmp_path / 'pipe.txt')
    (tmp_path / 'folder.txt').mkdir()
    for name in ('pipe.txt', 'folder.txt'):
        for data in ('x', lambda path: Path(path).write_text('x')):
            with pytest.raises(
                OSError, match='no regular file' if name == 'pipe.txt' else 'Is a directory'
            ) as caught:
                io.save(tmp_path / name, data)
            assert 'what was there before, if anything, is unchanged' in caught.value.__notes__[0]
    assert stat.S_ISFIFO((tmp_path / 'pipe.txt').stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ['folder.txt', 'pipe.txt']


def test_save_without_nameless_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on network filesystems."""
    monkeypatch.delattr(os, 'O_TMPFILE')
    io.save(tmp_path / 'a.txt', 'one')
    io.save(tmp_path / 'a.txt', 'two')
    with pytest.raises(TypeError):
        io.save(tmp_path / 'b.json', object())
    assert (os.listdir(tmp_path), io.load(tmp_path / 'a.txt')) == (['a.txt'], 'two')


def test_shared_folders_stay_shared(tmp_path: Path) -> None:
    folder = tmp_path / 'shared'
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, -1, 12345)
    folder.chmod(0o770)
    old = os.umask(0o077)
    try:
        io.save(folder / 'new' / 'deep' / 'a.txt', 'x')
        io.save(folder / 'b.dat', lambda path: Path(path).write_text('x'))
        io.save(tmp_path / 'mine.txt', 'x')
    finally:
        os.umask(old)
    group = folder.stat().st_gid
    for path, mode in (
        (folder / 'new', 0o770),
        (folder / 'new' / 'deep', 0o770),
        (folder / 'new' / 'deep' / 'a.txt', 0o660),
        (folder / 'b.dat', 0o660),
    ):
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_gid) == (mode, group), path
    assert stat.S_IMODE((tmp_path / 'mine.txt').stat().st_mode) == 0o600
    (folder / 'b.dat').chmod(0o644)
    io.save(folder / 'b.dat', lambda path: Path(path).write_text('y'))
    assert stat.S_IMODE((folder / 'b.dat').stat().st_mode) == 0o644


def test_pickles_are_ones_own(tmp_path: Path) -> None:
    path = tmp_path / 'a.pkl'
    io.save(path, {'a': {1, 2}})
    assert io.load(path) == {'a': {1, 2}}
    path.chmod(0o666)
    with pytest.raises(
        UntrustedFileError,
        match='may be written to by everyone: loading a pickle runs whatever code is in it',
    ):
        io.load(path)
    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
        with pytest.raises(UntrustedFileError, match='belongs to user 12345'):
            io.load(path)


class Own:
    def __init__(self, text: str = '') -> None:
        self.text = text

    def write(self, path: str, end: str = '') -> None:
        Path(path).write_text(self.text + end)
        Path(path).with_suffix('.log').write_text('log')

    @classmethod
    def read(cls, path: str) -> Own:
        return cls(Path(path).read_text())


def test_generic_files(tmp_path: Path) -> None:
    path = tmp_path / 'new' / 'a.own'
    io.save(path, Own('x'), end='y')
    assert io.load(path, Own).text == 'xy'
    assert sorted(os.listdir(path.parent)) == ['a.log', 'a.own']  # and what was written beside it
    io.save(path, Own('z').write, filetype='generic')
    assert io.load(path, lambda path: Path(path).read_text()) == 'z'
    io.save(tmp_path / 'a.npy', lambda path: np.save(path, np.ones(2)))
    np.testing.assert_equal(io.load(tmp_path / 'a.npy', np.load), np.ones(2))

    def fails(path: str) -> None:
        Path(path).write_text('half')
        raise RuntimeError('no')

    with pytest.raises(RuntimeError):
        io.save(path, fails)
    with pytest.raises(FileNotFoundError, match='wrote other, but was asked to write a.own'):
        io.save(path, lambda path: Path(path).with_name('other').write_text(''))
    with pytest.raises(ConfigError, match='a generic file is saved by a function of its path'):
        io.save(path, 3, filetype='generic')
    assert (path.read_text(), sorted(os.listdir(path.parent))) == ('z', ['a.log', 'a.own'])


def test_fits(tmp_path: Path) -> None:
    pytest.importorskip('astropy')
    path = tmp_path / 'a.fits'
    io.save(path, {'ra': np.arange(3.0), 'name': np.array(['a', 'b', 'c'])})
    table = io.load(path)
    assert (list(table['ra']), list(table['name'])) == ([0.0, 1.0, 2.0], ['a', 'b', 'c'])
    io.save(path, table)
    assert list(io.load(path, hdu=1)['ra']) == [0.0, 1.0, 2.0]
    io.save(path, np.ones((2, 3)))
    np.testing.assert_array_equal(io.load(path), np.ones((2, 3)))
    assert os.listdir(tmp_path) == ['a.fits']


def test_hdf5(tmp_path: Path) -> None:
    pytest.importorskip('h5py')
    path = tmp_path / 'a.h5'
    with pytest.raises(TypeError, match='An HDF5 file holds a dictionary'):
        io.save(path, [1])
    data = {
        'k': np.arange(5),
        'deep': {'er': np.ones((2, 2)), 'name': 'π', 'n': 3},
        'words': np.array(['a', 'bc']),
    }
    io.save(path, data, compression='gzip')
    loaded = io.load(path)
    np.testing.assert_equal(loaded['k'], data['k'])
    assert (loaded['deep']['name'], loaded['deep']['n'], list(loaded['words'])) == (
        'π',
        3,
        ['a', 'bc'],
    )
    np.testing.assert_equal(io.load(path, 'deep/er'), np.ones((2, 2)))


def test_missing_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'h5py', None)
    monkeypatch.setitem(sys.modules, 'astropy.io.fits', None)
    for name, package in (('a.h5', 'h5py'), ('a.fits', 'astropy')):
        text = (
            f'need {package}, which is not installed here; nothing was read or written. Type: pip '
            f'install {package}'
        )
        with pytest.raises(MissingDependencyError, match=text):
            io.save(tmp_path / name, {})
    assert os.listdir(tmp_path) == []


def test_own_types_by_subclass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_types, '_registry', dict(file_types._registry))

    class Rows(io.BaseFile):
        name = 'rows'
        suffixes = ('.rows',)

        def load(self) -> list[list[float]]:
            return np.loadtxt(self.path, ndmin=2).tolist()  # type: ignore[no-any-return]

        def save(self, rows: list[list[float]]) -> None:
            np.savetxt(self.path, rows)

    io.save(tmp_path / 'a.rows', [[1, 2], [3, 4]])
    assert io.load(tmp_path / 'a.rows') == [[1, 2], [3, 4]]
    assert io.load(tmp_path / 'a.rows', filetype='rows') == [[1, 2], [3, 4]]
    assert isinstance(io.get_filetype('rows', tmp_path / 'b'), Rows)
    assert 'rows' in io.filetypes()
    assert os.listdir(tmp_path) == ['a.rows']


def test_own_types_by_entry_point(tmp_path: Path) -> None:
    package = tmp_path / 'site'
    (package / 'plugin-1.0.dist-info').mkdir(parents=True)
    (package / 'plugin-1.0.dist-info' / 'METADATA').write_text(
        'Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n'
    )
    (package / 'plugin-1.0.dist-info' / 'entry_points.txt').write_text(
        '[desipipe.filetypes]\nupper = plugin_files:Upper\n'
    )
    (package / 'plugin_files.py').write_text(
        'from desipipe.io import StreamFile\n'
        'class Upper(StreamFile):\n'
        "    name = 'upper'\n    suffixes = ('.upper',)\n"
        '    def read(self, file):\n        return file.read().decode().upper()\n'
        '    def write(self, file, data):\n        file.write(data.encode())\n'
    )
    code = (
        "from desipipe import io\nassert 'upper' in io.filetypes()\nio.save('a.upper', "
        "'abc')\nassert io.load('a.upper', filetype='upper') == 'ABC'\n"
    )
    subprocess.run(
        [sys.executable, '-c', code],
        check=True,
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(package)},
    )
