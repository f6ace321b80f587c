"""The catalogue of files, and writing them whole or not at all."""

from __future__ import annotations

import ast
import json
import os
import pickle
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import desipipe
from desipipe import FileManager
from desipipe.errors import (
    ConfigError,
    DesipipeError,
    MissingFileError,
    UnknownNameError,
    UnknownOptionError,
)
from desipipe.file_manager import BaseFile, BaseFileEntry, FileEntryCollection

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
    assert [entry.id for entry in fm.data] == ['power', 'covariance', 'readme']
    assert [len(entry) for entry in fm.data] == [400, 2, 1]
    out = tmp_path / 'out'
    expected = [
        f'{out}/power_{t}_{r}_{i:04d}.npz'
        for t, r, i in product(['LRG', 'ELG'], ['NGC', 'SGC'], range(100))
    ]
    assert fm.filepaths == [
        *expected,
        f'{out}/covariance_LRG_0.8.npy',
        f'{out}/covariance_QSO_0.8.npy',
        f'{out}/readme.txt',
    ]
    assert [file.filepath for entry in fm.data for file in entry] == fm.filepaths
    assert '3 entries, 403 files' in repr(fm)
    assert 'files: 400' in repr(fm.data[0])


def test_select(fm: FileManager) -> None:
    def ids(**kwargs: object) -> list[str]:
        return [entry.id for entry in fm.select(**kwargs).data]  # type: ignore[arg-type]

    assert ids(id='power') == ['power']
    assert ids(tracer='QSO') == ['covariance']
    assert ids(tracer='LRG') == ['power', 'covariance']
    assert ids(keywords='POWER mocks') == ['power']
    assert ids(keywords='sky mocks') == ['power']
    assert ids(keywords=['covariance', 'what here']) == ['covariance', 'readme']
    assert ids(keywords='nothing of that') == []
    assert ids(tracer='BGS') == []
    selection = fm.select(id='power', tracer='ELG', i=[98, 3, 1000])
    assert [(file.options['region'], file.options['i']) for file in selection] == [
        ('NGC', 98),
        ('NGC', 3),
        ('SGC', 98),
        ('SGC', 3),
    ]
    assert len(fm.select(i=range(10)).data[0]) == 40
    assert [len(entry) for entry in fm.data] == [400, 2, 1]  # what was selected from is as it was


def test_get(fm: FileManager, tmp_path: Path) -> None:
    file = fm.get(id='power', tracer='LRG', region='SGC', i=np.int64(7))
    assert file.filepath == str(tmp_path / 'out/power_LRG_SGC_0007.npz')
    assert file.options == {'tracer': 'LRG', 'region': 'SGC', 'i': 7}
    assert type(file.options['i']) is int
    assert file == fm.get(tracer='LRG', region='SGC', i=7)
    assert len({file, fm.get(tracer='LRG', region='SGC', i=7), fm.get(id='readme')}) == 2


@pytest.mark.parametrize(
    ('asked', 'error', 'message'),
    [
        ({'id': 'powr'}, UnknownNameError, "No file entry has the id 'powr': did you mean power?"),
        (
            {'id': 'power', 'tracr': 'LRG'},
            UnknownOptionError,
            "No file entry has an option 'tracr': did you mean tracer?",
        ),
        ({'id': 'power', 'zmin': 0.8}, UnknownOptionError, 'known: i, region, tracer'),
        (
            {'id': 'power', 'tracer': 'LRGG', 'i': 3},
            UnknownNameError,
            "tracer='LRGG': did you mean LRG?",
        ),
        (
            {'tracer': 'QSO', 'region': 'NGC'},
            UnknownNameError,
            'Each value is known, but not together',
        ),
        (
            {'id': 'power', 'i': 3},
            UnknownNameError,
            (
                "4 files match id='power', i=3, where one was asked for. Narrow it down by: tracer "
                '(LRG, ELG); region (NGC, SGC)'
            ),
        ),
        (
            {'tracer': 'LRG'},
            UnknownNameError,
            (
                "201 files match tracer='LRG', where one was asked for. Narrow it down by: id "
                '(covariance, power); region (NGC, SGC); i (range(0, 100))'
            ),
        ),
        ({}, UnknownNameError, '403 files match nothing'),
    ],
)
def test_get_says_what_to_change(
    fm: FileManager, asked: dict[str, object], error: type[DesipipeError], message: str
) -> None:
    with pytest.raises(error) as caught:
        fm.get(**asked)  # type: ignore[arg-type]
    assert message in str(caught.value)


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
    assert {name: value.tolist() for name, value in loaded.items()} == {
        'k': [0.0, 1.0, 2.0],
        'pk': [[1.0] * 3] * 2,
    }


def test_managers_and_files_travel(fm: FileManager) -> None:
    copy = pickle.loads(pickle.dumps(fm))
    assert copy.filepaths == fm.filepaths
    file = fm.get(id='readme')
    assert pickle.loads(pickle.dumps(file)) == file


def test_variables_come_from_environ_then_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {'path': '${ONE}/${TWO}/{i}.txt', 'options': {'i': [1]}}
    monkeypatch.setenv('ONE', 'process')
    monkeypatch.delenv('TWO', raising=False)
    fm = FileManager(entry, environ={'TWO': '{i}'})  # braces of a variable are no placeholders
    assert fm.filepaths == ['process/{i}/1.txt']
    assert FileManager(entry, environ={'ONE': 'given', 'TWO': 'x'}).filepaths == ['given/x/1.txt']
    with pytest.raises(
        ConfigError, match=r'needs the variable TWO of the environment.*export TWO='
    ):
        FileManager(entry).filepaths  # noqa: B018


def test_environment_objects_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from desipipe import Environment

    monkeypatch.setenv('SECRET_TOKEN', 'abc')
    fm = FileManager(
        {'path': '${SOMEWHERE}/${ELSE}.txt'},
        environ=Environment(data={'SOMEWHERE': '/data'}, command='export ELSE=other'),
    )
    assert fm.filepaths == ['/data/other.txt']
    assert b'SECRET_TOKEN' not in pickle.dumps(fm)  # managers travel with tasks


def test_lists_as_keys_are_tuples(tmp_path: Path) -> None:
    (tmp_path / 'db.yaml').write_text(
        "path: 'a{cut}'\noptions:\n  cut: {None: '', [theta, 0.05]: _thetacut, [[1, 2], 3]: _deep}"
    )
    fm = FileManager(tmp_path / 'db.yaml')
    assert fm.data[0].options == {'cut': [None, ('theta', 0.05), ((1, 2), 3)]}
    assert fm.get(cut=('theta', 0.05)).filepath == 'a_thetacut'
    fm.save(tmp_path / 'again.yaml')
    assert FileManager(tmp_path / 'again.yaml') == fm


def test_data_bases_in_other_words(tmp_path: Path) -> None:
    def parser(text: str, suffix: str = '') -> list[dict[str, object]]:
        return [{'id': line, 'path': f'{line}{suffix}'} for line in text.split()]

    (tmp_path / 'db.txt').write_text('a b')
    made = FileEntryCollection(tmp_path / 'db.txt', string='c', parser=parser, suffix='.npy')
    assert made.filepaths == ['a.npy', 'b.npy', 'c.npy']
    assert FileManager(made).get('b').filepath == 'b.npy'
    assert pickle.loads(pickle.dumps(made)) == made
    assert FileEntryCollection(string='path: a', environ={'X': '1'}).filepaths == ['a']


def test_manager_reads_several_databases(tmp_path: Path) -> None:
    (tmp_path / 'a.yaml').write_text('path: a_{i}.txt\noptions: {i: "range(1, 10, 4)"}')
    fm = FileManager(
        [
            str(tmp_path / 'a.yaml'),
            {'path': 'b_{z}.txt', 'options': {'z': [[0.8, 1.1], None, True]}},
        ]
    )
    assert fm.filepaths == [
        'a_1.txt',
        'a_5.txt',
        'a_9.txt',
        'b_[0.8, 1.1].txt',
        'b_None.txt',
        'b_True.txt',
    ]
    assert fm.select(z=(0.8, 1.1)).filepaths == ['b_[0.8, 1.1].txt']
    assert FileManager().filepaths == []


def test_large_entries_are_not_laid_out() -> None:
    entry = BaseFileEntry(
        '{a:d}_{b:d}_{c:d}', options={'a': range(10**9), 'b': range(10**6), 'c': [1]}
    )
    assert len(entry) == 10**15
    assert entry.select(a=5, b=[6]).filepaths == ['5_6_1']


@pytest.mark.parametrize(
    ('text', 'error', 'message'),
    [
        ('path: [a\nid: b', ConfigError, 'db.yaml, line 2, column 3: '),
        (
            'path: a\n---\n- 1',
            ConfigError,
            'db.yaml, document 2: an entry is a mapping with the fields path, ro',
        ),
        ('just text', ConfigError, 'document 1: an entry is a mapping'),
        (
            'path: a\nfiletyp: npy',
            UnknownOptionError,
            "the field 'filetyp' is not known: did you mean filetype?",
        ),
        (
            'path: a\nid: power\n---\nimport: powr',
            UnknownNameError,
            "db.yaml, document 2: There is no entry 'powr' to import: did you mean power?",
        ),
        (
            'id: a\nimport: b\n---\nid: b\nimport: a',
            ConfigError,
            'document 1: Entries import each other: b → a → b',
        ),
        (
            'path: a\nfileentry: basic',
            UnknownNameError,
            (
                '(define a subclass of BaseFileEntry of that name before the data base is read): '
                'did you mean base?'
            ),
        ),
        ('path: a\nro: [a]', ConfigError, 'ro must be two texts'),
        (
            'path: a_{x}\noptions: {x: [1, 2]}\nfoptions: {x: [a]}',
            ConfigError,
            "foptions of 'x' must be 2, one for each value",
        ),
        ('path: [12]', ConfigError, 'path must be text, not [12]'),
        ('path: a_{\noptions: {tracer: 1}', ConfigError, 'cannot be read'),
        ('path: a\noptions: [1]', ConfigError, 'options must be a mapping'),
        (
            'path: a\noptions: {x: [{a: {b: {c: {d: {e: 1}}}}}]}',
            ConfigError,
            "option 'x' cannot be used. It holds a value with dictionaries more than 4 deep",
        ),
        (
            'path: a\noptions: {x: [[[[[[1]]]]]]}',
            ConfigError,
            "option 'x' cannot be used. It holds a value with lists more than 4 deep",
        ),
        (
            'path: a\noptions: {x: [&a [1, 2], &b [*a, *a]'
            + ''.join(
                f', &c{i} [*c{i - 1}, *c{i - 1}]' if i else ', &c0 [*b, *b]' for i in range(40)
            )
            + ']}',
            ConfigError,
            'deep',
        ),
        (
            'path: a\noptions: {x: range(a)}',
            ConfigError,
            "option 'x' cannot be used. It is 'range(a)': range takes one to three whole numbers.",
        ),
        (
            'path: a\noptions: {x: "range(1, 2, 0)"}',
            ConfigError,
            "option 'x' cannot be used. It is range(1, 2, 0): range() arg 3 must not be zero.",
        ),
        (
            'path: !!python/object/apply:os.system ["touch hacked"]',
            ConfigError,
            'db.yaml, line 1, column 7: could not determine a constructor',
        ),
        ('path: 2026-13-45', ConfigError, 'db.yaml: this is not YAML'),
        ('a: ' + '[' * 5000, ConfigError, 'db.yaml'),
    ],
)
def test_bad_databases(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    error: type[DesipipeError],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path('db.yaml').write_text(text)
    with pytest.raises(error) as caught:
        FileManager('db.yaml')
    assert message in str(caught.value)
    assert os.listdir() == ['db.yaml']


BOMB = '[&a0 [1, 2]' + ''.join(f', &a{i} [*a{i - 1}, *a{i - 1}]' for i in range(1, 60)) + ']'


@pytest.mark.parametrize(
    'text',
    [
        f'path: {BOMB}',
        f'{BOMB}',
        f'path: a\noptions: {{x: {{? {BOMB} : x}}}}',
        f'path: a\noptions: {BOMB}',
        f'path: a\noptions: {{x: {BOMB}}}',
        f'path: "{{x}}"\noptions: {{x: {{1: {BOMB}}}}}',
        f'path: "{{x}}"\noptions: {{x: [{{1: {BOMB}}}]}}',
        f'path: "{{x}}"\noptions: {{x: [1]}}\nfoptions: {{x: [{BOMB}]}}',
        f'path: a\nro: {BOMB}',
        f'path: a\nid: {BOMB}',
        f'path: a\n---\nimport: {BOMB}',
        f'path: a\nfileentry: {BOMB}',
        f'path: a\nfoo: {BOMB}',
        'path: a\noptions: &a {x: *a}',
        'path: a\noptions: {x: &a [*a]}',
    ],
)
def test_aliases_fill_no_memory(tmp_path: Path, text: str) -> None:
    (tmp_path / 'db.yaml').write_text(text)
    with pytest.raises((ConfigError, UnknownNameError, UnknownOptionError)) as caught:
        FileManager(tmp_path / 'db.yaml')
    assert len(str(caught.value)) < 20_000


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / 'db.yaml').write_bytes(b'path: \xff')
    with pytest.raises(ConfigError, match='this is not YAML'):
        FileManager(tmp_path / 'db.yaml')
    with pytest.raises(ConfigError, match='none.yaml cannot be read: No such file'):
        FileManager(tmp_path / 'none.yaml')


@pytest.mark.parametrize(
    ('path', 'options', 'expected'),
    [
        ('{"LRG_test" if tracer == "LRG" else tracer}', {'tracer': 'LRG'}, 'LRG_test'),
        ('{"LRG_test" if tracer == "LRG" else tracer}', {'tracer': 'ELG'}, 'ELG'),
        ('{tracer.lower()}_{tracer.replace("_", "-"):>5}', {'tracer': 'A_B'}, 'a_b_  A-B'),
        ('{zrange[0]:.2f}-{zrange[1]:.1f}', {'zrange': (0.4, 0.6)}, '0.40-0.6'),
        ('{zrange[::-1][0]}{zrange[-1]!r:>5}', {'zrange': (0.4, 0.6)}, '0.6  0.6'),
        (
            '{i + 1:03d}_{i * 2 - 1}_{i // 2}_{i % 2}_{-i}_{i**2}_{1 / i:.1f}',
            {'i': 4},
            '005_7_2_0_-4_16_0.2',
        ),
        ('{"a" if 0 < i <= 4 and not (i in [1, 2] or i is None) else "b"}', {'i': 4}, 'a'),
        (
            '{"" if cut is None else "_{}cut" if cut == () else cut[0] + "cut"}',
            {'cut': ('rp', 2.5)},
            'rpcut',
        ),
        ('{"ab"[i]}{["x", "y"][i]}{"z" * 3}', {'i': 1}, 'byzzz'),
        ('{i:{width}d}|{i:>{width}}', {'i': 7, 'width': 3}, '  7|  7'),
        ('{{{i}}}', {'i': 1}, '{1}'),
        ('{"b" if x != "a:}" else "a"}', {'x': 'a:}'}, 'a'),
    ],
)
def test_expressions(path: str, options: dict[str, object], expected: str) -> None:
    entry = BaseFileEntry(path, options={name: [value] for name, value in options.items()})
    assert entry.filepaths == [expected]
    assert [file.filepath for file in entry] == [expected]


@pytest.mark.parametrize(
    'placeholder',
    [
        '{i.real}',
        '{i.__class__}',
        '{().__class__.__bases__[0].__subclasses__()}',
        '{"".join.__self__}',
        '{i!z}',
        '{i:>1000000000}',
        '{i:>{10**9}}',
        '{i:.9999f}',
        '{}',
        '{__import__("os")}',
        '{__import__("os").system("touch hacked")}',
        '{open("hacked", "w")}',
        '{print(i)}',
        '{lambda: 1}',
        '{(lambda: 1)()}',
        '{[x for x in (1, 2)]}',
        '{(x := 1)}',
        '{f"{i}"}',
        '{"{0.__class__}".format(i)}',
        '{"a".format_map}',
        '{9**9**9**9}',
        '{i**1000000}',
        '{"a" * 10**9}',
        '{10**9 * [1]}',
        '{("a" * 4000).replace("a", "a" * 4000).replace("a", "a" * 4000)}',
        '{"a".ljust(10**9)}',
        '{"%1000000000d" % i}',
        '{[["a" * 4000] * 4000] * 4000}',
        '{1 << 10**9}',
        '{' + '-' * 3000 + '1}',
        '{' + '(' * 500 + '1' + ')' * 500 + '}',
        '{i' + '[0]' * 1000 + '}',
        '{i\n}\0',
        '{1 / 0}',
        '{"a" + i}',
        '{i[3]}',
        '{await i}',
        '{yield}',
        '{*i}',
        '{i}' + "'" * 3 + '{i}' + '"' * 3,
    ],
)
def test_templates_evaluate_nothing_else(
    placeholder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        BaseFileEntry(f'a_{placeholder}', options={'i': [1]}).filepaths  # noqa: B018
    assert os.listdir() == []


def test_sources_evaluate_nothing() -> None:
    """No `eval`, no `exec`, no loader of YAML that makes objects, where files are looked up,
    read and written.
    """
    package = Path(desipipe.__file__).parent
    for room in ('file_manager', 'io', 'provenance', 'environment'):
        paths = [*package.glob(f'{room}.py'), *package.glob(f'{room}/**/*.py')]
        assert paths, room
        for path in paths:
            _check_nothing_evaluates(path)


def _check_nothing_evaluates(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            assert getattr(node.func, 'id', '') not in ('eval', 'exec'), path
        assert getattr(node, 'attr', '') not in (
            'unsafe_load',
            'full_load',
            'UnsafeLoader',
            'FullLoader',
        ), path


def test_placeholders_are_checked_when_read() -> None:
    with pytest.raises(
        ConfigError,
        match=(
            r'cannot be used\. The placeholder \{i\.__class__\} is not evaluated: it reads the '
            r'attribute \.__class__\. Allowed are options'
        ),
    ):
        BaseFileEntry('a_{i.__class__}', options={'i': [1]})
    with pytest.raises(ConfigError, match='calls open'):
        BaseFileEntry('a_{open("x")}', options={'i': [1]})


def test_format_that_does_not_fit() -> None:
    with pytest.raises(
        ConfigError, match=r"\{i:d\} cannot be filled with \{'i': 'a'\}: .*\. Change"
    ):
        BaseFileEntry('a_{i:d}', options={'i': ['a']}).filepaths  # noqa: B018
    with pytest.raises(
        ConfigError, match=r'It takes any value of the option i: choose one with select\(i=...\)\.'
    ):
        BaseFileEntry('a_{i}', options={'i': ...}).filepaths  # noqa: B018


VALUES = st.integers(-5, 5) | st.text(max_size=3).filter(
    lambda text: text != '...' and '*' not in text
)  # kept for "any value", and for patterns


@given(
    st.lists(st.lists(VALUES, min_size=1, max_size=4, unique=True), min_size=1, max_size=3),
    st.data(),
)
def test_selecting_is_filtering(pools: list[list[object]], data: st.DataObject) -> None:
    """Whatever is selected: the files are those of the whole entry whose options are among the
    wanted values.
    """
    options = {f'o{number:d}': pool for number, pool in enumerate(pools)}
    fm = FileManager({'path': '/'.join(f'{{{name}}}' for name in options), 'options': options})
    wanted = {
        name: data.draw(st.lists(st.sampled_from(pool), max_size=3, unique=True))
        for name, pool in options.items()
        if data.draw(st.booleans())
    }
    files = [file.filepath for entry in fm.select(**wanted).data for file in entry]  # type: ignore[arg-type]
    expected = [
        file.filepath
        for entry in fm.data
        for file in entry
        if all(file.options[name] in values for name, values in wanted.items())
    ]
    assert sorted(files) == sorted(expected)


def test_file_of_ones_own(tmp_path: Path) -> None:
    file = BaseFile(
        f'{tmp_path}/data_{{boxsize:.0f}}_{{i:d}}.txt',
        description='A mock',
        author='You',
        options={'boxsize': 1000.0, 'i': 1},
    )
    assert os.fspath(file) == str(file) == file.filepath == f'{tmp_path}/data_1000_1.txt'
    assert (file.name, file.stem, file.suffix, file.parent.filepath) == (
        'data_1000_1.txt',
        'data_1000_1',
        '.txt',
        str(tmp_path),
    )
    assert (file.name.filepath, file.stem.filepath, file.extname()) == (
        'data_1000_1.txt',
        f'{tmp_path}/data_1000_1',
        '.txt',
    )
    assert (file.parent / 'other' / 'x{1}.txt').filepath == f'{tmp_path}/other/x{{1}}.txt'
    assert Path(file.parent) == tmp_path
    new = file.clone(description='created', options={**file.options, 'csize': 1000})
    assert (new.options, new.description, file.description) == (
        {'boxsize': 1000.0, 'i': 1, 'csize': 1000},
        'created',
        'A mock',
    )
    assert {file: 1}[file.clone()] == 1
    assert file == file.clone() != new
    assert (
        BaseFile(dict(path='test.fits')).filepath == BaseFile('test.fits').filepath == 'test.fits'
    )
    with pytest.raises(UnknownOptionError, match="the field 'pth' is not known: did you mean path"):
        file.clone(pth='x')


def test_files_with_a_mirror_for_reading(tmp_path: Path) -> None:
    file = BaseFile(
        f'{tmp_path}/data/a_{{i}}.txt',
        options={'i': 1},
        ro=[f'{tmp_path}/data', f'{tmp_path}/mirror'],
    )
    file.save('written')
    assert file.filepathro == f'{tmp_path}/mirror/a_1.txt'
    with pytest.raises(FileNotFoundError):
        file.load()
    (tmp_path / 'mirror').mkdir()
    (tmp_path / 'mirror/a_1.txt').write_text('mirrored')
    assert file.load() == 'mirrored'
    fm = FileManager({'path': f'{tmp_path}/data/a_{{i}}.txt', 'options': {'i': [1]}})
    fm.update(ro=(f'{tmp_path}/data', f'{tmp_path}/mirror'))
    assert fm.get().load() == 'mirrored'
    assert fm.exists()


def test_symlinks(tmp_path: Path) -> None:
    entry = BaseFileEntry(
        f'{tmp_path}/a_{{i}}.txt', options={'i': range(2)}, link=f'{tmp_path}/links/b_{{i}}.txt'
    )
    with pytest.raises(MissingFileError, match='a_0.txt does not exist: no link was made'):
        entry.symlink()
    entry.symlink(raise_error=False)
    for file in entry:
        file.save('x')
    entry.symlink()
    entry.symlink()  # again: one that is there is replaced
    assert (tmp_path / 'links/b_1.txt').resolve() == tmp_path / 'a_1.txt'
    assert entry.get(i=0).sympath == f'{tmp_path}/links/b_0.txt'
    (tmp_path / 'links/b_1.txt').unlink()
    (tmp_path / 'links/b_1.txt').write_text('mine')
    with pytest.raises(FileExistsError):
        entry.symlink()
    assert (tmp_path / 'links/b_1.txt').read_text() == 'mine'
    assert sorted(os.listdir(tmp_path / 'links')) == ['b_0.txt', 'b_1.txt']
    with pytest.raises(ConfigError, match='no link is given'):
        BaseFile('a').symlink()


# --------------------------------------------------------------------------------------------------
# What the original's users do

LOGNORMAL = """
description: Some lognormal catalogs
id: catalog
filetype: catalog
path: ${DIR}/_catalogs/{field}_{tracer}_{imock:d}.fits
link: ${DIR}/_links/{field}_{tracer}_{imock:d}.fits
options:
  field: ['data', 'randoms']
  tracer: ['LRG', 'ELG']
  imock: range(0, 3, 1)
---
description: Power spectra of lognormal catalogs.
id: catalog_power
filetype: power
path: ${DIR}/_pk/power_{tracer}_{zrange[0]:.2f}_{zrange[1]:.2f}_{imock:d}{shuffled}.fits
options:
  tracer: ['LRG', 'ELG']
  imock: range(0, 3, 1)
  zrange: [[1., 1.2], [1.2, 1.4]]
  shuffled: {false: '', true: _shuffled}
---
import: catalog_power
id: catalog_correlation
filetype: correlation
path: ${DIR}/_xi/xi_{tracer}_{zrange[0]:.2f}_{imock:d}{shuffled}_{cut}_{version}.npy
options:
  imock: ...
  cut: [None, [theta, 5e-2]]
  version: v1
foptions:
  cut: ['', thetacut0.05]
"""


@pytest.fixture
def lognormal(tmp_path: Path) -> FileManager:
    (tmp_path / 'lognormal.yaml').write_text(LOGNORMAL)
    return FileManager(database=tmp_path / 'lognormal.yaml', environ=dict(DIR='.'))


def test_options_of_all_kinds(lognormal: FileManager) -> None:
    catalog, power, correlation = lognormal.data
    assert [len(entry) for entry in lognormal.data] == [12, 24, 16]
    assert catalog.options == {
        'field': ['data', 'randoms'],
        'tracer': ['LRG', 'ELG'],
        'imock': range(3),
    }
    assert power.options['zrange'] == [(1.0, 1.2), (1.2, 1.4)]
    assert (
        power.get(tracer='LRG', imock=2, zrange=(1.2, 1.4), shuffled=True).filepath
        == './_pk/power_LRG_1.20_1.40_2_shuffled.fits'
    )
    assert (
        power.get(tracer='LRG', imock=2, zrange=[1.2, 1.4], shuffled=False).filepath
        == './_pk/power_LRG_1.20_1.40_2.fits'
    )
    assert correlation.options == {
        **power.options,
        'imock': ...,
        'cut': [None, ('theta', 0.05)],
        'version': ['v1'],
    }
    assert (correlation.filetype, correlation.description) == (
        'correlation',
        'Power spectra of lognormal catalogs.',
    )
    assert (
        correlation.get(
            tracer='ELG', imock=2345, zrange=(1.0, 1.2), cut=('theta', 0.05), shuffled=False
        ).filepath
        == './_xi/xi_ELG_1.00_2345_thetacut0.05_v1.npy'
    )
    file = correlation.get(tracer='ELG', imock=7, zrange=(1.0, 1.2), cut=None, shuffled=True)
    assert file.filepath == './_xi/xi_ELG_1.00_7_shuffled__v1.npy'
    assert file.options == {
        'tracer': 'ELG',
        'imock': 7,
        'zrange': (1.0, 1.2),
        'shuffled': True,
        'cut': None,
        'version': 'v1',
    }
    parts = correlation.select(imock=[1, 2], cut=[None, ('theta', 0.05)]).iter(include='imock')
    assert [(type(part), part.options) for part in parts] == [
        (BaseFile, {'imock': 1}),
        (BaseFile, {'imock': 2}),
    ]


def test_selecting_as_in_the_original(lognormal: FileManager) -> None:
    fm = lognormal
    assert len(fm.select(keywords='power', zrange=[1.0, 1.2])) == 2
    assert len(fm.select(keywords='power', filetype='power', zrange=[1.0, 1.2]).filepaths) == 12
    assert len(fm.select(zrange=[1.0, 1.2])) == 2
    assert len(fm.select(zrange=[(1.0, 1.2), (1.2, 1.4)]).data[0]) == 24
    assert len(fm.select(zrange=[1.0, 1.2], ignore=True)) == 3
    assert len(fm.select(field='data', ignore=['field'])) == 3
    assert len(fm.select(id=['CATALOG', 'catalog_power'])) == 2
    assert len(fm.select(filetype=['catalog', 'correlation'])) == 2
    assert not fm.select(tracer='QSO')
    assert not fm.select(nothing=1)
    assert (
        fm.select('catalog', imock='2').filepaths[0] == './_catalogs/data_LRG_2.fits'
    )  # as from a command line
    assert fm.get('catalog', tracer='LRG', field='data', imock=5, raise_error=False) is None
    assert fm.get('catalog', tracer='LRG', raise_error=False) is None
    assert (
        fm.get('catalog', tracer='LRG', field='data', imock=1, check_exists=True, raise_error=False)
        is None
    )
    with pytest.raises(MissingFileError, match='data_LRG_1.fits does not exist'):
        fm.get('catalog', tracer='LRG', field='data', imock=1, check_exists=True)
    with pytest.raises(
        MissingFileError, match='data_LRG_0.fits does not exist, and 11 others do not'
    ):
        fm.data[0].select(check_exists=True)
    assert fm.data[0].select(check_exists=True, raise_error=False) is None
    assert fm.data[0].select(zrange=1, raise_error=False) is None
    assert len(fm.data[0].select(zrange=1, ignore=True)) == 12


@pytest.mark.parametrize(
    ('asked', 'error', 'message'),
    [
        (
            {'id': 'catlog'},
            UnknownNameError,
            "No file entry has the id 'catlog': did you mean catalog",
        ),
        (
            {'filetype': 'powr'},
            UnknownNameError,
            "No file entry has the filetype 'powr': did you mean power?",
        ),
        (
            {'trcer': 'LRG'},
            UnknownOptionError,
            "No file entry has an option 'trcer': did you mean tracer?",
        ),
        ({'tracer': 'LRGG'}, UnknownNameError, "tracer='LRGG': did you mean LRG?"),
        (
            {'keywords': 'lognorml catalogs'},
            UnknownNameError,
            (
                "the keywords 'lognorml catalogs' in its description. 'lognorml': did you mean "
                'lognormal?'
            ),
        ),
        (
            {'keywords': ['some spectra', 'power some']},
            UnknownNameError,
            'Each of these words is known, but not all of one entry.',
        ),
        (
            {'id': 3},
            UnknownNameError,
            'No file entry has the id 3: known: catalog, catalog_correlation, catalog_power',
        ),
        (
            {'id': 'catalog', 'filetype': 'power'},
            UnknownNameError,
            "No file entry has id, filetype and keywords together: id='catalog', filetype='power'",
        ),
    ],
)
def test_selection_of_nothing_says_why(
    lognormal: FileManager, asked: dict[str, object], error: type[DesipipeError], message: str
) -> None:
    assert len(lognormal.select(**asked)) == 0  # type: ignore[arg-type]
    for choose in (
        lambda: lognormal.select(empty_error=True, **asked),
        lambda: lognormal.get(**asked),
    ):  # type: ignore[arg-type]
        with pytest.raises(error) as caught:
            choose()
        assert message in str(caught.value)
    with pytest.raises(UnknownNameError, match='There are no file entries'):
        FileManager().get('a')


def test_iterating_one_entry_gives_files(lognormal: FileManager) -> None:
    one = lognormal.select(id='catalog')

    assert [type(item) for item in one] == [BaseFile] * 12
    assert [str(file) for file in one] == one.filepaths
    assert (str(one[3]), str(one[-1])) == (one.filepaths[3], one.filepaths[-1])
    assert list(map(str, one[[0, 2]])) == one.filepaths[:3:2]
    assert list(map(str, one[:2])) == one.filepaths[:2]


def test_iterating_several_entries_gives_managers_of_common_options(lognormal: FileManager) -> None:
    both = lognormal.select(filetype=['catalog', 'power'])

    assert [(type(part), part.options) for part in both] == [
        (FileManager, {'tracer': [tracer], 'imock': [imock]})
        for tracer in ('LRG', 'ELG')
        for imock in range(3)
    ]
    assert len(both) == 2


def test_placeholder_without_option_is_an_error_of_its_files() -> None:
    fm = FileManager(
        [
            {'id': 'a', 'path': 'a_{tracr}', 'options': {'tracer': 1}},
            {'id': 3, 'path': 'b', 'description': 5},
        ]
    )

    assert (fm.get(id='3').filepath, fm.data[1].description) == ('b', '5')
    with pytest.raises(
        ConfigError, match='no option for the placeholder {tracr} of a_{tracr}: did you mean tracer'
    ):
        _ = fm.filepaths


def test_save_attrs_writes_beside_the_file(tmp_path: Path) -> None:
    file = BaseFile(f'{tmp_path}/out/a.txt')

    def save_attrs(folder: str) -> None:
        (Path(folder) / '.script').mkdir()
        (Path(folder) / '.script' / 'a.py').write_text('code')

    file.save_attrs = save_attrs
    file.save('x')

    assert (tmp_path / 'out' / '.script' / 'a.py').read_text() == 'code'
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['.script', 'a.txt']


def test_databases_are_those_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('DESIPIPE_CONFIG_DIR', str(tmp_path))
    assert FileManager.databases() == []
    (tmp_path / 'config.yaml').write_text(f'file:\n  filename: [{tmp_path}/*.yaml]\n')
    (tmp_path / 'power_y1.yaml').write_text('')

    assert FileManager.databases(keywords='y1 POWER') == [f'{tmp_path}/power_y1.yaml']
    assert FileManager.databases(keywords=['y2', 'config']) == [f'{tmp_path}/config.yaml']


def test_going_through(lognormal: FileManager) -> None:
    fm = lognormal
    one = fm.select(id='catalog')
    assert [file.filepath for file in one.iter()] == one.filepaths
    parts = one.iter(exclude=['field'])
    assert [type(part) for part in parts] == [FileManager] * 6
    assert [part.options['field'] for part in parts] == [['data', 'randoms']] * 6
    assert parts[0].get(field='randoms').filepath == './_catalogs/randoms_LRG_0.fits'
    assert [part.filepaths for part in one.iter(include='field')] == [
        one.data[0].select(field=field).filepaths for field in ('data', 'randoms')
    ]
    assert [
        str(file) for file in one.iter(include=['field', 'tracer', 'imock'], get=True)
    ] == one.filepaths
    assert all(isinstance(part, FileManager) for part in one.iter(get=False))
    # Several entries: what they have in common, with all of them in each part.
    both = fm.select(filetype=['catalog', 'power'])
    parts = both.iter(intersection=True)
    assert [(part.options['tracer'], part.options['imock']) for part in parts] == [
        ([t], [i]) for t in ('LRG', 'ELG') for i in range(3)
    ]
    assert [len(part) for part in parts] == [2] * 6
    assert len(both.iter(exclude='zrange')) == 12 + 12
    assert both.iter_options(intersection=True) == [
        {'tracer': t, 'imock': i} for t in ('LRG', 'ELG') for i in range(3)
    ]
    assert both.iter_options(include=['tracer']) == [{'tracer': 'LRG'}, {'tracer': 'ELG'}]
    assert len(both.iter_options()) == 12 + 24
    assert one.data[0].iter_options(include=['imock']) == [{'imock': i} for i in range(3)]
    assert fm.data[1].iter_options(include='shuffled', return_foptions=True) == [
        ({'shuffled': False}, {'shuffled': ''}),
        ({'shuffled': True}, {'shuffled': '_shuffled'}),
    ]
    assert [file.options for file in one.data[0].iter(include='tracer')] == [
        {'tracer': 'LRG'},
        {'tracer': 'ELG'},
    ]
    assert one.data[0].iter()[0] == one.iter()[0]
    # What is part of another one is said once.
    two = FileManager(
        [
            {'path': 'a_{x}', 'options': {'x': [1, 2]}},
            {'path': 'b_{x}_{y}', 'options': {'x': [2, 3], 'y': [0]}},
        ]
    )
    assert two.iter_options() == [{'x': 1}, {'x': 2, 'y': 0}, {'x': 3, 'y': 0}]
    assert FileManager().iter() == []


class LowerEntry(BaseFileEntry):
    name = 'lower_entry'

    def _get_file(
        self, options: dict[str, object], foptions: dict[str, object] | None = None
    ) -> BaseFile:
        foptions = dict(foptions or options)
        foptions['option'] = str(foptions['option']).lower() + '_custom'
        return super()._get_file(options, foptions=foptions)


def test_saved_and_loaded_are_equal(lognormal: FileManager, tmp_path: Path) -> None:
    fm = lognormal
    fm.append(dict(description='added file', id='added', filetype='catalog', path='test.fits'))
    fm.append(
        LowerEntry(
            dict(
                description='added file',
                id='added_2',
                path='test_{option}.fits',
                options={'option': ['MY']},
            )
        )
    )
    fm.append(
        dict(
            fileentry='lower_entry',
            id='added_3',
            path='test_{option}.fits',
            options={'option': ['MY_2']},
            ro=['a', 'b'],
            author='π: "x"',
        )
    )
    fm.append(
        BaseFileEntry(
            path='{a}{b}',
            options={
                'a': ['None', '1e5', '1', '...', 'range(2)', True, None, -0.0, 1e-30],
                'b': {(1, ('a', 2.0)): 'x', None: ''},
            },
        )
    )
    n = len(fm)
    fm.append(fm.data[0])
    assert len(fm) == n
    fm.save(tmp_path / 'new' / 'saved.yaml')
    again = FileManager(tmp_path / 'new' / 'saved.yaml', environ={'DIR': '.'})
    assert again == fm
    lists = str.maketrans('()', '[]')  # YAML has no tuples
    assert [repr(entry.options).translate(lists) for entry in again.data] == [
        repr(entry.options).translate(lists) for entry in fm.data
    ]
    assert again.get(id='added_2').filepath == 'test_my_custom.fits'
    assert again.select(id=['added_2', 'added_3']).filepaths == [
        'test_my_custom.fits',
        'test_my_2_custom.fits',
    ]
    fm.save(tmp_path / 'replaced.yaml', replace_environ=True)
    assert FileManager(tmp_path / 'replaced.yaml').data[0].path.startswith('./_catalogs/')
    mirrored = FileManager(
        {'path': '${DIR}/a.txt', 'ro': ['${DIR}', '${OTHER}'], 'link': '${DIR}/b'},
        environ={'DIR': '/data', 'OTHER': '/mirror'},
    )
    mirrored.save(tmp_path / 'replaced.yaml', replace_environ=True)
    (made,) = FileManager(tmp_path / 'replaced.yaml')
    assert (made.filepath, made.filepathro, made.sympath) == (
        '/data/a.txt',
        '/mirror/a.txt',
        '/data/b',
    )
    with pytest.raises(
        ConfigError, match='was not written: options of an entry hold what YAML cannot'
    ):
        FileManager(BaseFileEntry('{a}', options={'a': [object()]})).save(tmp_path / 'not.yaml')
    assert not (tmp_path / 'not.yaml').exists()


def test_lists_of_entries(lognormal: FileManager) -> None:
    fm = lognormal
    assert fm['catalog'] is fm.data[0] is fm.data[-3]
    first, rest = fm.clone(data=fm.data[:1]), fm.clone(data=fm.data[1:])
    assert [entry.id for entry in rest.data] == ['catalog_power', 'catalog_correlation']
    assert first + rest + first == fm
    assert sum([first, rest]) == fm
    other = first.clone(environ={'DIR': '/elsewhere'})
    assert [path[:12] for path in (first + other).filepaths[::12]] == [
        './_catalogs/',
        '/elsewhere/_',
    ]
    part = fm.select('catalog')
    part.chgdir('/new')
    first.chgdir('/new', olddir='.')
    assert fm.data[0].path.startswith('${DIR}')
    copy = fm.clone()
    del copy[0]
    del copy['catalog_correlation']
    assert [entry.id for entry in copy.data] == ['catalog_power']
    copy.update(environ={'DIR': '/data'}, data=[*copy.data, {'path': '${DIR}/x'}])
    assert copy.filepaths[-1] == '/data/x'
    assert len(fm) == 3
    assert fm.data[0].filepaths[0].startswith('./')
    with pytest.raises(
        UnknownNameError, match="no file entries have the id 'catalg': did you mean catalog"
    ):
        fm['catalg']
    with pytest.raises(UnknownOptionError, match="no 'envron' to update: did you mean environ"):
        fm.clone(envron={})


@pytest.mark.parametrize('value', [[0.4, 0.6], [1, [2, 'x']], ['a']])
def test_lists_stay_lists(value: list[Any]) -> None:
    fm = FileManager({'id': 'z', 'path': '{z}_{z[0]}.txt', 'options': {'z': [value, [9]]}})
    (file,) = fm.select(z=[value])
    assert type(file.options['z']) is not tuple and file.options['z'] == value
    assert repr(file.options['z']) == repr(value) and json.dumps(file.options['z'])
    assert file.filepath == f'{value}_{value[0]}.txt'
    assert pickle.loads(pickle.dumps(fm)).filepaths == fm.filepaths
    assert len({file.options['z'], *fm.options['z']}) == 2
    assert fm.get(z=tuple(value)).filepath == file.filepath


def test_options_of_the_manager_are_lists() -> None:
    fm = FileManager({'id': 'z', 'path': '{i}_{t}', 'options': {'i': range(3), 't': ['a']}})
    assert repr(fm.options) == "{'i': [0, 1, 2], 't': ['a']}"
    assert fm.index('z', None, None, True)[0] == [0]


@pytest.mark.parametrize('ignore', [True, 't', ['t'], ['t', 'u'], ('i',)])
def test_ignored_options_leave_other_entries(ignore: Any) -> None:
    # As in the original: with names, options that an entry does not have are passed over as well.
    fm = FileManager(
        [
            {'id': 'a', 'path': 'a{i}{t}', 'options': {'i': [0, 1], 't': ['x', 'y']}},
            {'id': 'b', 'path': 'b'},
        ]
    )
    assert [entry.id for entry in fm.select(i=0, t='x', ignore=ignore).data] == ['a', 'b']


def test_own_entries_have_own_fields(tmp_path: Path) -> None:
    class Numbered(BaseFileEntry):
        name = 'numbered_entry'
        _defaults: ClassVar[dict[str, Any]] = {
            **BaseFileEntry._defaults,
            'extra': 3,
            'more': None,
            'words': [],
        }

        def _get_file(self, options: Any, foptions: Any = None) -> Any:
            file = super()._get_file(options, foptions=foptions)
            file.path = file.path.replace('@', str(self.extra))
            return file

    fm = FileManager(
        {
            'fileentry': 'numbered_entry',
            'path': 'x@_{t}',
            'options': {'t': [1, 2]},
            'extra': '7',
            'words': ('a', 'b'),
        }
    )
    fm.append({'fileentry': 'numbered_entry', 'id': 'b', 'path': 'y@'})
    assert fm.filepaths == ['x7_1', 'x7_2', 'y3']
    assert (fm.data[0].words, fm.data[0].more) == (['a', 'b'], None)
    fm.save(tmp_path / 'db.yaml')
    assert FileManager(tmp_path / 'db.yaml').filepaths == fm.filepaths
    with pytest.raises(ValueError, match="the field 'extr' is not known: did you mean extra"):
        fm.append({'fileentry': 'numbered_entry', 'path': 'y', 'extr': 1})


def test_database_that_is_not_there(tmp_path: Path) -> None:
    for kind in (FileNotFoundError, ValueError, ConfigError):
        with pytest.raises(kind, match='No such file'):
            FileManager(tmp_path / 'none.yaml')


def test_existence_is_printed_as_a_dictionary(tmp_path: Path) -> None:
    made = FileManager({'path': str(tmp_path / 'a')}).exists()
    assert str(made) == repr(dict(made)) and not made


def test_other_folders(lognormal: FileManager) -> None:
    fm = lognormal.select(filetype=['catalog', 'power'])
    new = fm.clone()
    new.chgdir('/other')
    assert [entry.path[:17] for entry in new.data] == ['/other/${DIR}/_ca', '/other/${DIR}/_pk']
    part = FileManager([{'path': '/a/b/c_{n}.txt'}, {'path': '/a/b/d/{n}.txt'}])
    part.chgdir('/new')  # as the original: what is common is taken for a path in a folder
    assert [entry.path for entry in part.data] == ['/new/b/c_{n}.txt', '/new/b/d/{n}.txt']
    one = FileManager({'path': '/a/{n}/b_{m}.txt'})
    one.chgdir('/new')
    assert one.data[0].path == '/new/{n}/b_{m}.txt'
    assert fm.data[0].path.startswith('${DIR}')
    entry = fm.data[0].clone()
    entry.chgdir('/other')
    assert entry.path == '/other/{field}_{tracer}_{imock:d}.fits'
    entry.chgdir('/third', olddir='/other')
    assert entry.path == '/third/{field}_{tracer}_{imock:d}.fits'


def test_clones_of_entries_keep_texts(lognormal: FileManager) -> None:
    entry = lognormal['catalog_power']
    new = entry.clone(options={**entry.options, 'imock': ...})
    assert new.get(tracer='LRG', imock=9, zrange=(1.0, 1.2), shuffled=True).filepath.endswith(
        '_9_shuffled.fits'
    )
    new = entry.clone(
        path='{shuffled}', options={'shuffled': [True, False]}, foptions={'shuffled': ['yes', 'no']}
    )
    assert new.filepaths == ['yes', 'no']
    with pytest.raises(ConfigError, match='cannot be read'):
        new.update(path='{shuffled')
    assert new.filepaths == ['yes', 'no']
    file = entry.get(tracer='LRG', imock=1, zrange=(1.0, 1.2), shuffled=True)
    assert (
        file.clone(options={**file.options, 'imock': 2}).filepath
        == './_pk/power_LRG_1.00_1.20_2_shuffled.fits'
    )


def test_exists(tmp_path: Path) -> None:
    fm = FileManager({'path': f'{tmp_path}/a_{{i}}.txt', 'options': {'i': range(3)}})
    fm.get(i=1).save('x')
    assert fm.exists() == {
        True: [f'{tmp_path}/a_1.txt'],
        False: [f'{tmp_path}/a_0.txt', f'{tmp_path}/a_2.txt'],
    }
    assert not fm.exists()
    assert fm.select(i=1).exists()
    assert fm.exists(return_type='str').startswith(
        'exists = True\n=============\n' + f'{tmp_path}/a_1.txt\n'
    )
    with pytest.raises(ConfigError, match='return_type'):
        fm.exists(return_type='list')


def test_patterns_in_paths(tmp_path: Path) -> None:
    file = BaseFile(f'{tmp_path}/a_*.txt')
    (tmp_path / 'a_1.txt').write_text('x')
    assert file.load() == 'x'
    assert FileManager({'path': f'{tmp_path}/a_*.txt'}).filepaths == [f'{tmp_path}/a_1.txt']
    (tmp_path / 'a_2.txt').write_text('x')
    with pytest.raises(ConfigError, match='2 files match'):
        file.load()


def test_root_is_not_left(tmp_path: Path) -> None:
    root = tmp_path / 'root'
    root.mkdir()
    (tmp_path / 'secret.txt').write_text('secret')
    (root / 'out').symlink_to(tmp_path)
    fm = FileManager(
        {
            'path': '{x}.txt',
            'options': {'x': ['a', '../secret', '/etc/passwd', 'out/secret', 'b/../c']},
        },
        root=root,
    )
    assert fm.get(x='a').filepath == f'{root}/a.txt'
    assert fm.get(x='b/../c').filepath == f'{root}/c.txt'
    for x in ('../secret', '/etc/passwd', 'out/secret'):
        file = fm.get(x=x)
        for act in (
            file.load,
            lambda file=file: file.save('x'),
            file.exists,
            lambda x=x: fm.select(x=x).filepaths,
        ):
            with pytest.raises(ConfigError, match='which it must not; nothing was read or written'):
                act()
    assert (tmp_path / 'secret.txt').read_text() == 'secret'


def test_file_manager_is_shown_in_notebooks(lognormal: FileManager) -> None:
    shown = lognormal._repr_html_()
    assert '<td style="text-align: left">catalog_power</td>' in shown
    assert 'oninput' not in shown
    many = FileManager([{'id': f'<b>{i}', 'path': f'{i}'} for i in range(30)])._repr_html_()
    assert 'oninput' in many
    assert '<b>' not in many
    large = BaseFileEntry('{i}', options={'i': range(10**9)})._repr_html_()
    assert 'the first 500 of 1,000,000,000' in large
    assert '... (any value)' in repr(lognormal.data[2])
    assert 'True → ' in repr(lognormal.data[1])


def test_large_entries_are_quick() -> None:
    """Choosing looks at no combination, and lists long as well as ranges are looked up."""
    values = [f'v{i}' for i in range(100_000)]
    entry = BaseFileEntry('{a}_{b}', options={'a': range(10**9), 'b': values})
    assert entry.get(a=10**9 - 1, b='v99999').filepath == '999999999_v99999'
    assert entry.get(a=5.0, b='v7').filepath == '5_v7'
    assert len(entry.select(a=0.5)) == 0
    assert len(entry.select(b=values[::2])) == 50_000 * 10**9
    assert next(entry.paths()) == '0_v0'
    values.append('later')
    assert entry.options['b'] is not values


@given(st.lists(st.lists(VALUES, min_size=1, max_size=4), min_size=1, max_size=4))
def test_paths_of_blocks_are_those_of_files(pools: list[list[object]]) -> None:
    options = {f'o{number:d}': pool for number, pool in enumerate(pools)}
    path = '/'.join(f'{{{name}}}_{{o0!r}}' for name in options)
    entry = BaseFileEntry(path, options=options)
    assert entry.filepaths == [file.filepath for file in entry]
    big = entry.clone(path='{n}' + path, options={**entry.options, 'n': range(1500)})
    if len(entry) <= 4:
        assert big.filepaths == [file.filepath for file in big]


@pytest.mark.parametrize('environ', ['dict', 'Environment', 'command', 'name'])
def test_environments(environ: str) -> None:
    from desipipe import Environment

    command = Environment(command='export A=x')
    given: object = {
        'dict': {'A': 'x'},
        'Environment': Environment({'A': 'x'}),
        'command': command,
        'name': {'data': {'A': 'x'}},
    }[environ]
    assert FileManager({'path': '${A}/b'}, environ=given).filepaths == ['x/b']  # type: ignore[arg-type]


def test_combinations_of_several_entries_keep_their_order() -> None:
    fm = FileManager()
    for name, options in (
        ('a', {'i': range(2)}),
        ('b', {'j': [5]}),
        ('c', {'i': [1], 'j': [5, 6]}),
        ('d', {'i': [1]}),
        ('e', {}),
    ):
        fm.append({'id': name, 'path': name, 'options': options})
    assert fm.iter_options() == [{'i': 0}, {'i': 1, 'j': 5}, {'i': 1, 'j': 6}]
    assert fm.iter_options(include='i') == [{'i': 0}, {'i': 1}]


def test_dictionaries_are_values(tmp_path: Path) -> None:
    limits = {0: [0.02, 0.2], 2: [0.02, 0.15]}
    fm = FileManager(
        [
            {
                'id': 'fit',
                'path': 'fit_{i}_{lim[2][1]}.npy',
                'options': {'i': [1, 2], 'lim': [limits, {2: [0.0, 0.1]}]},
            }
        ]
    )

    assert fm.get(i=1, lim=limits).filepath == 'fit_1_0.15.npy'
    assert fm.get(i=1, lim={2: (0.02, 0.15), 0: (0.02, 0.2)}).options == {'i': 1, 'lim': limits}
    assert len(fm.select(lim=[limits, {0: [1]}]).data[0]) == 2 and not len(fm.select(lim={0: [1]}))
    assert [options['lim'] for options in fm.iter_options(include='lim')] == [
        limits,
        {2: [0.0, 0.1]},
    ]
    path = tmp_path / 'fits.yaml'
    fm.save(path)
    again = FileManager(path)
    assert again.filepaths == fm.filepaths and again.get(i=2, lim=limits).options['lim'] == limits
    file = pickle.loads(pickle.dumps(fm.get(i=1, lim=limits)))
    assert file == fm.get(i=1, lim=limits) and hash(file.options['lim']) == hash(
        again.data[0].options['lim'][0]
    )
    with pytest.raises(ConfigError, match='dictionaries more than'):
        FileManager([{'path': 'a', 'options': {'x': [{0: {0: {0: {0: {0: 1}}}}}]}}])
    with pytest.raises(ConfigError, match=r'but \{1, 2\} is none of these\.'):
        FileManager([{'path': 'a', 'options': {'x': [{0: {1, 2}}]}}])
