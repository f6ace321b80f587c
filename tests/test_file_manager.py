"""The catalogue of files, and writing them whole or not at all."""

from __future__ import annotations

import os
import pickle
import signal
import stat
import subprocess
import sys
from itertools import product
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from desipipe import FileManager, io
from desipipe.errors import ConfigError, DesipipeError, UnknownNameError, UnknownOptionError
from desipipe.file_manager import BaseFile, BaseFileEntry

DATABASE = """
description: Power spectrum of cut-sky mocks
id: power
filetype: npz
author: Somebody
path: ${OUTDIR}/power_{tracer}_{region}_{i:04d}.npz
options:
  tracer: [LRG, ELG]
  region: [NGC, SGC]
  i: range(100)
---
description: Covariance of the cut-sky power spectrum
id: covariance
path: ${OUTDIR}/covariance_{tracer}_{zmin:.1f}.npy
options: {tracer: [LRG, QSO], zmin: 0.8}
---
---
id: readme
description: What is here
path: ${OUTDIR}/readme.txt
"""


@pytest.fixture
def fm(tmp_path: Path) -> FileManager:
    (tmp_path / 'db.yaml').write_text(DATABASE)
    return FileManager(tmp_path / 'db.yaml', environ={'OUTDIR': str(tmp_path / 'out')})


def test_entries_and_files(fm: FileManager, tmp_path: Path) -> None:
    assert [entry.id for entry in fm] == ['power', 'covariance', 'readme']
    assert [len(entry) for entry in fm] == [400, 2, 1]
    out = tmp_path / 'out'
    expected = [f'{out}/power_{t}_{r}_{i:04d}.npz' for t, r, i in product(['LRG', 'ELG'], ['NGC', 'SGC'], range(100))]
    assert fm.filepaths == [*expected, f'{out}/covariance_LRG_0.8.npy', f'{out}/covariance_QSO_0.8.npy', f'{out}/readme.txt']
    assert [file.filepath for entry in fm for file in entry] == fm.filepaths
    assert '3 entries, 403 files' in repr(fm)
    assert '400 files' in repr(fm.entries[0])


def test_select(fm: FileManager) -> None:
    def ids(**kwargs: object) -> list[str]:
        return [entry.id for entry in fm.select(**kwargs)]  # type: ignore[arg-type]

    assert ids(id='power') == ['power']
    assert ids(tracer='QSO') == ['covariance']
    assert ids(tracer='LRG') == ['power', 'covariance']
    assert ids(keywords='POWER cut-sky') == ['power', 'covariance']
    assert ids(keywords='sky mocks') == ['power']
    assert ids(keywords=['covariance', 'what here']) == ['covariance', 'readme']
    assert ids(keywords='nothing of that') == []
    assert ids(tracer='BGS') == []
    selection = fm.select(id='power', tracer='ELG', i=[98, 3, 1000])
    assert [(file.options['region'], file.options['i']) for file in selection.entries[0]] == [('NGC', 98), ('NGC', 3), ('SGC', 98), ('SGC', 3)]
    assert len(fm.select(i=range(10)).entries[0]) == 40
    assert [len(entry) for entry in fm] == [400, 2, 1]  # what was selected from is as it was


def test_get(fm: FileManager, tmp_path: Path) -> None:
    file = fm.get(id='power', tracer='LRG', region='SGC', i=np.int64(7))
    assert file.filepath == str(tmp_path / 'out/power_LRG_SGC_0007.npz')
    assert file.options == {'tracer': 'LRG', 'region': 'SGC', 'i': 7}
    assert type(file.options['i']) is int
    assert file == fm.get(tracer='LRG', region='SGC', i=7)
    assert len({file, fm.get(tracer='LRG', region='SGC', i=7), fm.get(id='readme')}) == 2


@pytest.mark.parametrize(
    ('asked', 'error', 'words'),
    [
        ({'id': 'powr'}, UnknownNameError, "no file entry has the id 'powr': did you mean power?"),
        ({'id': 'power', 'tracr': 'LRG'}, UnknownOptionError, "no file entry has an option 'tracr': did you mean tracer?"),
        ({'id': 'power', 'zmin': 0.8}, UnknownOptionError, 'known: i, region, tracer'),
        ({'id': 'power', 'tracer': 'LRGG', 'i': 3}, UnknownNameError, "tracer='LRGG': did you mean LRG?"),
        ({'tracer': 'QSO', 'region': 'NGC'}, UnknownNameError, 'Each value is known, but not together'),
        (
            {'id': 'power', 'i': 3},
            UnknownNameError,
            "4 files match id='power', i=3, where one was asked for. Narrow it down by: tracer (LRG, ELG); region (NGC, SGC)",
        ),
        (
            {'tracer': 'LRG'},
            UnknownNameError,
            "201 files match tracer='LRG', where one was asked for. Narrow it down by: id (covariance, power); region (NGC, SGC); i (range(0, 100))",
        ),
        ({}, UnknownNameError, '403 files match nothing'),
    ],
)
def test_get_says_what_to_change(fm: FileManager, asked: dict[str, object], error: type[DesipipeError], words: str) -> None:
    with pytest.raises(error) as caught:
        fm.get(**asked)  # type: ignore[arg-type]
    assert words in str(caught.value)


def test_files_are_paths(fm: FileManager) -> None:
    file = fm.get(id='power', tracer='LRG', region='NGC', i=0)
    assert isinstance(file, os.PathLike)
    assert not file.exists()
    file.save({'k': np.arange(3.0), 'pk': np.ones((2, 3))})
    assert file.exists()
    assert not fm.exists()
    assert fm.select(id='power', tracer='LRG', region='NGC', i=0).exists()
    with open(file, 'rb') as opened:
        assert opened.read(2) == b'PK'
    assert Path(file).name == 'power_LRG_NGC_0000.npz'
    loaded = file.load()
    assert {name: value.tolist() for name, value in loaded.items()} == {'k': [0.0, 1.0, 2.0], 'pk': [[1.0] * 3] * 2}


def test_managers_and_files_travel(fm: FileManager) -> None:
    copy = pickle.loads(pickle.dumps(fm))
    assert copy.filepaths == fm.filepaths
    file = fm.get(id='readme')
    assert pickle.loads(pickle.dumps(file)) == file


def test_variables_come_from_environ_then_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {'path': '${ONE}/${TWO}/{i}.txt', 'options': {'i': [1]}}
    monkeypatch.setenv('ONE', 'process')
    monkeypatch.delenv('TWO', raising=False)
    fm = FileManager(entry, environ={'TWO': '{i}'})  # braces of a variable are no placeholders
    assert fm.filepaths == ['process/{i}/1.txt']
    assert FileManager(entry, environ={'ONE': 'given', 'TWO': 'x'}).filepaths == ['given/x/1.txt']
    with pytest.raises(ConfigError, match=r'needs the variable TWO of the environment.*export TWO='):
        FileManager(entry).filepaths  # noqa: B018


def test_environment_objects_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from desipipe import Environment

    monkeypatch.setenv('SECRET_TOKEN', 'abc')
    fm = FileManager({'path': '${SOMEWHERE}/${ELSE}.txt'}, environ=Environment(data={'SOMEWHERE': '/data'}, command='export ELSE=other'))
    assert fm.filepaths == ['/data/other.txt']
    assert b'SECRET_TOKEN' not in pickle.dumps(fm)  # managers travel with tasks


def test_several_databases(tmp_path: Path) -> None:
    (tmp_path / 'a.yaml').write_text('path: a_{i}.txt\noptions: {i: "range(1, 10, 4)"}')
    fm = FileManager([str(tmp_path / 'a.yaml'), {'path': 'b_{z}.txt', 'options': {'z': [[0.8, 1.1], None, True]}}])
    assert fm.filepaths == ['a_1.txt', 'a_5.txt', 'a_9.txt', 'b_(0.8, 1.1).txt', 'b_None.txt', 'b_True.txt']
    assert fm.select(z=(0.8, 1.1)).filepaths == ['b_(0.8, 1.1).txt']
    assert FileManager().filepaths == []


def test_large_entries_are_not_laid_out() -> None:
    entry = BaseFileEntry('{a:d}_{b:d}_{c:d}', options={'a': range(10**9), 'b': range(10**6), 'c': [1]})
    assert len(entry) == 10**15
    assert entry.select(a=5, b=[6]).filepaths == ['5_6_1']


@pytest.mark.parametrize(
    ('text', 'error', 'words'),
    [
        ('path: [a\nid: b', ConfigError, 'db.yaml, line 2, column 3: '),
        ('path: a\n---\n- 1', ConfigError, 'db.yaml, document 2: an entry is a mapping with the fields path, options'),
        ('just text', ConfigError, 'document 1: an entry is a mapping'),
        ('id: a', ConfigError, 'document 1: the entry has no path'),
        ('path: a\nfiletyp: npy', UnknownOptionError, "the field 'filetyp' is not known: did you mean filetype?"),
        ('path: a\nimport: b', UnknownOptionError, "the field 'import' is not known"),
        ('path: 12', ConfigError, 'path must be text, not 12'),
        ('path: a_{tracr}\noptions: {tracer: 1}', ConfigError, 'no option for the placeholder {tracr} of a_{tracr}: did you mean tracer?'),
        ('path: a_{\noptions: {tracer: 1}', ConfigError, 'can not be read'),
        ('path: a\noptions: [1]', ConfigError, 'options must be a mapping'),
        ('path: a\noptions: {x: {LRG: lrg}}', ConfigError, "option 'x' can be a value, a list of values or range(...)"),
        ('path: a\noptions: {x: [[[1]]]}', ConfigError, "option 'x' can be"),
        ('path: a\noptions: {x: "..."}', ConfigError, "option 'x' can be"),
        ('path: a\noptions: {x: range(a)}', ConfigError, "option 'x' can be"),
        ('path: a\noptions: {x: "range(1, 2, 0)"}', ConfigError, "option 'x', range(1, 2, 0): range() arg 3 must not be zero"),
        ('path: !!python/object/apply:os.system ["touch hacked"]', ConfigError, 'db.yaml, line 1, column 7: could not determine a constructor'),
        ('path: 2026-13-45', ConfigError, 'db.yaml: this is not YAML'),
        ('a: ' + '[' * 5000, ConfigError, 'db.yaml'),
    ],
)
def test_bad_databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, error: type[DesipipeError], words: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path('db.yaml').write_text(text)
    with pytest.raises(error) as caught:
        FileManager('db.yaml')
    assert words in str(caught.value)
    assert os.listdir() == ['db.yaml']


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / 'db.yaml').write_bytes(b'path: \xff')
    with pytest.raises(ConfigError, match='this is not YAML'):
        FileManager(tmp_path / 'db.yaml')
    with pytest.raises(ConfigError, match='none.yaml can not be read: No such file'):
        FileManager(tmp_path / 'none.yaml')


@pytest.mark.parametrize(
    'placeholder',
    [
        '{i.real}',
        '{i.__class__}',
        '{i[0]}',
        '{"a" if i else "b"}',
        '{i!r}',
        '{i:{i}}',
        '{i:>1000000000}',
        '{i:.9999f}',
        '{}',
        '{0}',
        '{__import__("os")}',
        '{i + 1}',
    ],
)
def test_nothing_is_evaluated(placeholder: str) -> None:
    with pytest.raises(ConfigError, match='executes nothing|no option for the placeholder'):
        BaseFileEntry(f'a_{placeholder}', options={'i': [1]})


def test_format_that_does_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"can not be filled with \{'i': 'a'\}"):
        BaseFileEntry('a_{i:d}', options={'i': ['a']}).filepaths  # noqa: B018


VALUES = st.integers(-5, 5) | st.text(max_size=3).filter(lambda text: text != '...')  # kept for "any value"


@given(st.lists(st.lists(VALUES, min_size=1, max_size=4, unique=True), min_size=1, max_size=3), st.data())
def test_selecting_is_filtering(pools: list[list[object]], data: st.DataObject) -> None:
    """Whatever is selected: the files are those of the whole entry whose options are among the wanted values."""
    options = {f'o{number:d}': pool for number, pool in enumerate(pools)}
    fm = FileManager({'path': '/'.join(f'{{{name}}}' for name in options), 'options': options})
    wanted = {name: data.draw(st.lists(st.sampled_from(pool), max_size=3, unique=True)) for name, pool in options.items() if data.draw(st.booleans())}
    files = [file.filepath for entry in fm.select(**wanted) for file in entry]  # type: ignore[arg-type]
    expected = [file.filepath for entry in fm for file in entry if all(file.options[name] in values for name, values in wanted.items())]
    assert sorted(files) == sorted(expected)


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


def test_file_of_ones_own() -> None:
    file = BaseFile('x.dat', filetype='text')
    assert (os.fspath(file), file.id, file.options) == ('x.dat', '', {})
