"""Who made a file, of what: as tasks of real workers note it, beside the files and in the
journal.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from desipipe import FileManager, Queue, TaskManager, provenance, work
from desipipe.errors import UnknownOptionError
from desipipe.file_manager import (
    BaseFile,
    BaseFileEntry,
    file_content,
    file_provenance,
    note_lists,
    origins,
)
from desipipe.file_manager.history import file_summaries
from desipipe.provenance import software
from desipipe.view.task_detail import task_detail


@pytest.fixture
def fm(tmp_path: Path) -> FileManager:
    """Three files that are there, and three to be made of them."""
    data = tmp_path / 'data'
    made = FileManager(
        [
            {'id': 'raw', 'path': f'{data}/raw_{{i}}.txt', 'options': {'i': range(3)}},
            {'id': 'out', 'path': f'{data}/out_{{i}}.json', 'options': {'i': range(3)}},
        ]
    )
    for file in made['raw']:
        file.save(f'raw {file.options["i"]}')
    return made


@pytest.fixture
def tm(queue_dir: Path) -> TaskManager:
    return TaskManager(Queue('q'), scheduler=dict(max_workers=2))


def upper_app(tm: TaskManager, **options: Any) -> Any:
    @tm.python_app(**options)
    def upper(raw: BaseFile, out: BaseFile) -> BaseFile:
        out.save({'text': raw.load().upper()})
        return out

    return upper


def run(fm: FileManager, tm: TaskManager, **options: Any) -> list[Any]:
    upper = upper_app(tm, **options)
    futures = [upper(fm.get('raw', i=i), fm.get('out', i=i)) for i in range(3)]
    work(tm.queue)
    return futures


def test_file_knows_its_task(fm: FileManager, tm: TaskManager) -> None:
    assert fm['out'].status() == {'missing': 3, 'stale': 0, 'current': 0}
    futures = run(fm, tm)
    file = futures[1].result()
    assert file.load() == {'text': 'RAW 1'}
    assert fm.status() == {'missing': 0, 'stale': 0, 'current': 6}
    made = fm.provenance(file)
    assert (made.state, made.same, made.task, made.attempt, made.app) == (
        'current',
        True,
        futures[1].id,
        1,
        'upper',
    )
    assert made.queue == tm.queue.folder
    assert [(item.path, item.same) for item in made.inputs] == [(fm.get('raw', i=1).filepath, True)]
    assert 'raw.load().upper()' in made.source
    assert made.versions['python'] == '.'.join(map(str, sys.version_info[:3]))
    assert made.versions['orjson']
    assert made.code == futures[1].task.app._event['app']
    assert f'made by upper, task {futures[1].id[:12]}, attempt 1' in repr(made)
    assert (
        json.loads(json.dumps(made.to_dict()))['inputs'][0]['sha256']
        == made.inputs[0].content.sha256
    )
    folder = Path(file.filepath).parent / '.desipipe'
    assert (folder / 'upper.py').read_text() == made.source
    assert f'python={made.versions["python"]}\n' in (folder / 'upper.versions').read_text()
    # However many files: one list of this host and user, one script, one list of versions, and two
    # links.
    assert len(list(folder.iterdir())) == 5
    task = futures[1].task
    assert [(item['do'], item['path']) for item in task.files] == [
        ('read', fm.get('raw', i=1).filepath),
        ('write', file.filepath),
    ]
    detail = task_detail(tm.queue.ledger, tm.queue.ledger.row(futures[1].tid))
    assert (detail['files'], detail['n_files'], detail['environment']['python']) == (
        task.files,
        2,
        made.versions['python'],
    )
    # Of what no task made nothing is known.
    raw = fm.provenance(fm.get('raw', i=1))
    assert (raw.task, raw.state, raw.same, raw.inputs) == ('', 'current', None, ())
    assert 'no task is known' in repr(raw)
    assert fm.provenance('/nowhere/at.all').state == 'missing'


def test_stale_is_by_content(fm: FileManager, tm: TaskManager) -> None:
    run(fm, tm)
    raw, out = fm.get('raw', i=1), fm.get('out', i=1)
    # Written again, with the same in it: an hour later by its time.
    raw.save('raw 1')
    os.utime(raw, (time.time() + 3600,) * 2)
    assert out.status() == 'current'
    raw.save('other')
    assert out.status() == 'stale'
    assert fm['out'].status() == {'missing': 0, 'stale': 1, 'current': 2}
    assert fm['out'].status().paths['stale'] == [out.filepath]
    assert '(changed)' in repr(fm.provenance(out))
    os.unlink(raw)
    made = out.provenance()
    assert (made.state, made.inputs[0].same) == ('current', None)
    assert '(gone)' in repr(made)
    # What someone else wrote is not what the task made.
    other = fm.get('out', i=2)
    other.save({'text': 'mine'})
    assert (other.provenance().same, other.status()) == (False, 'current')
    os.unlink(other)
    assert (other.provenance().state, other.provenance().task != '') == ('missing', True)


class Chain:
    """Files made of each other: raw → middle → end, and raw → weights; all by tasks."""

    def __init__(self, folder: Path, tm: TaskManager) -> None:
        self.folder = folder
        self.tm = tm
        self.fm = FileManager(
            {
                'path': f'{folder}/{{x}}/{{x}}.txt',
                'options': {'x': ['raw', 'middle', 'end', 'weights']},
            }
        )
        self.fm.get(x='raw').save('raw')

        @tm.python_app
        def make(of: list[BaseFile], out: BaseFile, message: str) -> None:
            out.save(' '.join([file.load() for file in of] + [message]))

        self._make = make

    def make(self, out: str, *of: str, message: str = '') -> None:
        """Have a file made by a task."""
        future = self._make([self.fm.get(x=x) for x in of], self.fm.get(x=out), message)
        work(self.tm.queue)
        future.result(timeout=0)

    def states(self) -> dict[str, str]:
        """State of each file, which both faces must agree on."""
        beside = {file.options['x']: file.status() for file in self.fm.data[0] if file.exists()}
        counts = self.fm.status()
        assert {
            state: sum(value == state for value in beside.values())
            for state in ('stale', 'current')
        } == {name: counts[name] for name in ('stale', 'current')}
        queue = {
            os.path.basename(file['path'])[:-4]: file
            for file in file_summaries(self.tm.queue.ledger)
        }
        for name, state in beside.items():
            if name in queue and queue[name]['state'] != 'input':
                assert queue[name]['state'] == state, name
                made = self.fm.provenance(self.fm.get(x=name))
                assert list(made.changed) == queue[name]['changed'], name
                assert [(item.path, item.same, item.stale) for item in made.inputs] == [
                    (i['path'], i['same'], i['stale']) for i in queue[name]['inputs']
                ]
        return beside


@pytest.fixture
def chain(tmp_path: Path, tm: TaskManager) -> Chain:
    made = Chain(tmp_path, tm)
    made.make('middle', 'raw')
    made.make('end', 'middle')
    return made


def test_file_made_of_stale_file_is_stale(chain: Chain) -> None:
    assert chain.states() == {'raw': 'current', 'middle': 'current', 'end': 'current'}
    raw = chain.fm.get(x='raw')
    raw.save('other')
    assert chain.states() == {'raw': 'current', 'middle': 'stale', 'end': 'stale'}
    made = chain.fm.provenance(chain.fm.get(x='end'))
    assert (made.state, made.changed, [(item.same, item.stale) for item in made.inputs]) == (
        'stale',
        (raw.filepath,),
        [(True, True)],
    )
    assert f'stale: {raw.filepath}, which it was made of, directly or not, changed since' in repr(
        made
    )
    assert 'middle.txt (stale)' in repr(made)
    shown = command(chain.fm.get(x='end').filepath).stdout
    assert 'middle.txt (stale)\n' in shown and 'raw.txt (changed)\n' in shown
    # As it was: nothing has to be made again.
    raw.save('raw')
    assert set(chain.states().values()) == {'current'}
    # Also where what was between is gone.
    raw.save('other')
    os.unlink(chain.fm.get(x='middle'))
    assert chain.states() == {'raw': 'current', 'end': 'stale'}
    # Made again, one after the other.
    chain.make('middle', 'raw', message='again')
    assert chain.states() == {'raw': 'current', 'middle': 'current', 'end': 'stale'}
    chain.make('end', 'middle', message='again')
    assert set(chain.states().values()) == {'current'}


def test_made_again_with_the_same_in_it(chain: Chain) -> None:
    """What was made of it need not be made again."""
    chain.make('weights', 'middle')
    chain.fm.get(x='raw').save('raw ')  # of which `middle` will be the same but for what follows
    chain.fm.get(x='middle').save('')
    chain.make('middle', 'raw', message='x')
    assert chain.states() == {
        'raw': 'current',
        'middle': 'current',
        'end': 'stale',
        'weights': 'stale',
    }
    chain.fm.get(x='raw').save('raw')

    @chain.tm.python_app
    def same(of: BaseFile, out: BaseFile) -> None:
        out.save(of.load() + ' ')  # what `make` wrote the first time

    same(chain.fm.get(x='raw'), chain.fm.get(x='middle'))
    work(chain.tm.queue)
    assert set(chain.states().values()) == {'current'}


def test_file_changed_by_way_of_another(chain: Chain) -> None:
    """Weights made of a catalogue, then put into it: what is made of it afterwards is not out of
    date, the weights are.
    """
    chain.make('weights', 'middle')
    chain.make('middle', 'middle', 'weights')
    assert chain.states() == {
        'raw': 'current',
        'middle': 'current',
        'end': 'stale',
        'weights': 'stale',
    }
    chain.make('end', 'middle', message='again')
    assert chain.states() == {
        'raw': 'current',
        'middle': 'current',
        'end': 'current',
        'weights': 'stale',
    }
    # What is made of it and of the weights is: these are of another one.
    chain.make('end', 'middle', 'weights')
    assert chain.states()['end'] == 'stale'


def test_long_chains_and_many_files_are_looked_at_once(tmp_path: Path) -> None:
    """Each file once, however many were made of it, and of those."""
    expected = {}
    for i in range(2001):
        (tmp_path / f'{i}').write_text(f'{i}')
        expected[i] = file_content.content(f'{tmp_path}/{i}')
    asked: list[str] = []

    class Counting(origins.Look):
        def made_of(self, path: str, content: provenance.Content) -> list[note_lists.Source]:
            asked.append(path)
            i = int(os.path.basename(path))
            return [
                (f'{tmp_path}/{j}', expected[j]) for j in (i - 1, i - 2) if j >= 0 and expected[j]
            ]  # type: ignore[misc]

    look = Counting()
    for i in range(2000, 1900, -1):
        assert look.changed(f'{tmp_path}/{i}', look.made_of(f'{tmp_path}/{i}', expected[i])) == []  # type: ignore[arg-type]
    assert len(asked) <= 2001 + 100
    (tmp_path / '0').write_text('other')
    look = Counting()
    assert look.changed(f'{tmp_path}/2000', look.made_of(f'{tmp_path}/2000', expected[2000])) == [
        f'{tmp_path}/0'
    ]  # type: ignore[arg-type]


def test_journal_knows_too(fm: FileManager, tm: TaskManager) -> None:
    futures = run(fm, tm)
    for path in (Path(fm.get('out', i=0).filepath).parent / '.desipipe').iterdir():
        path.unlink()
    fm.get('raw', i=1).save('changed')
    fm.get('out', i=2).save({})
    by_path = {os.path.basename(file['path']): file for file in file_summaries(tm.queue.ledger)}
    states = {name: file['state'] for name, file in by_path.items()}
    assert states == {
        'out_0.json': 'current',
        'out_1.json': 'stale',
        'out_2.json': 'changed',
        'raw_0.txt': 'input',
        'raw_1.txt': 'input',
        'raw_2.txt': 'input',
    }
    assert by_path['out_0.json']['maker']['tid'] == futures[0].id
    assert by_path['out_0.json']['maker']['versions']['python']
    assert [reader['tid'] for reader in by_path['raw_0.txt']['readers']] == [futures[0].id]
    tm.queue.compact()
    again = {os.path.basename(file['path']): file for file in file_summaries(Queue('q').ledger)}
    for file in (*by_path.values(), *again.values()):
        if file['maker']:
            file['maker']['time'] = round(file['maker']['time'], 3)
    assert again == by_path
    assert len(file_summaries(tm.queue.ledger, fm.get('out', i=0).filepath)) == 1
    assert len(file_summaries(tm.queue.ledger, os.path.dirname(fm.get('out', i=0).filepath))) == 6


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-m', 'desipipe', 'files', '-q', 'q', *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_command(fm: FileManager, tm: TaskManager) -> None:
    run(fm, tm)

    assert '\tcurrent\t' in command().stdout
    path = fm.get('out', i=1).filepath
    one = command(path).stdout
    assert one.startswith(f'{path}\n  current')
    assert 'made by upper[1]' in one
    assert [file['state'] for file in json.loads(command('--json').stdout)] == ['current'] * 3 + [
        'input'
    ] * 3
    assert json.loads(command('--json', '--state', 'stale').stdout) == []
    wrong = command(path.replace('out_1', 'out_7'))
    assert (wrong.returncode, wrong.stdout) == (2, '')
    assert 'did you mean' in wrong.stderr


def test_content_of_inputs_counts_if_asked_for(fm: FileManager, tm: TaskManager) -> None:
    first = [future.id for future in run(fm, tm, inputs='content')]
    # As before, though what it writes is there now.
    assert [future.id for future in run(fm, tm, inputs='content')] == first
    fm.get('raw', i=1).save('other')
    again = run(fm, tm, inputs='content')
    assert [future.id == tid for future, tid in zip(again, first, strict=True)] == [
        True,
        False,
        True,
    ]
    assert again[1].result().load() == {'text': 'OTHER'}
    assert fm['out'].status() == {'missing': 0, 'stale': 0, 'current': 3}
    shown_text = tm.queue.explain(again[1].id)
    assert 'argument raw: ' in shown_text and 'holding #' in shown_text
    # Written by hand into what it made: it is made again.
    fm.get('out', i=0).save({'text': 'mine'})
    assert [
        future.id == tid for future, tid in zip(run(fm, tm, inputs='content'), first, strict=True)
    ] == [False, False, True]
    assert fm.get('out', i=0).load() == {'text': 'RAW 0'}
    # Whole catalogues count, too; by path alone nothing changes.
    upper = upper_app(tm, inputs='content')
    ids = {
        upper.task(fm, fm['raw']).id,
        upper.task(fm, fm['raw']).id,
        upper.task([fm], (fm['raw'],)).id,
    }
    assert len(ids) == 2
    fm.get('raw', i=2).save('third')
    assert upper.task(fm, fm['raw']).id not in ids
    by_path = upper_app(tm)
    same = by_path.task(fm, fm['raw']).id
    fm.get('raw', i=2).save('fourth')
    assert by_path.task(fm, fm['raw']).id == same
    with pytest.raises(UnknownOptionError, match="inputs is 'contents'. Give 'path'"):
        upper_app(tm, inputs='contents')


def test_words_about_files_are_no_part_of_a_task(fm: FileManager, tm: TaskManager) -> None:
    upper = upper_app(tm)
    raw, out = fm.get('raw', i=1), fm.get('out', i=1)
    tid = upper.task(raw, out).id
    assert upper.task(raw.clone(description='other words', author='me'), out).id == tid
    assert upper.task(FileManager(fm).get('raw', i=1), out).id == tid
    assert upper.task(fm.get('raw', i=2), out).id != tid
    assert upper.task(raw.clone(path=raw.path + 'x'), out).id != tid
    entry, same, other = (
        entry_of(step) for step in (1, 1, 2)
    )  # as from two versions of a notebook
    assert upper.task(entry, out).id == upper.task(same, out).id != upper.task(other, out).id


def entry_of(step: int) -> BaseFileEntry:
    class StepEntry(BaseFileEntry):
        name = 'step_entry'
        width = step

        def _get_file(
            self, options: dict[str, Any], foptions: dict[str, Any] | None = None
        ) -> BaseFile:
            return super()._get_file(options, foptions={'i': options['i'] * self.width})

    return StepEntry('a_{i}', options={'i': [1]})


def test_many_files_of_one_task(tmp_path: Path, tm: TaskManager) -> None:
    """More than fits a packet; each output of what was read before it."""
    fm = FileManager(
        [
            {'id': 'in', 'path': f'{tmp_path}/in_{{i:04d}}.txt', 'options': {'i': range(150)}},
            {'id': 'out', 'path': f'{tmp_path}/out_{{i:04d}}.txt', 'options': {'i': range(150)}},
        ]
    )
    for file in fm['in']:
        file.save('x')

    @tm.python_app
    def copy(fm: FileManager) -> None:
        for i in range(150):
            fm.get('out', i=i).save(fm.get('in', i=i).load())

    copy(fm)
    work(tm.queue)
    assert len(fm.provenance(fm.get('out', i=0)).inputs) == 1
    assert len(fm.provenance(fm.get('out', i=99)).inputs) == 100
    by_path = {os.path.basename(file['path']): file for file in file_summaries(tm.queue.ledger)}
    assert len(by_path) == 300
    assert [len(by_path[f'out_{i:04d}.txt']['inputs']) for i in (0, 99)] == [1, 100]
    fm.get('in', i=120).save('changed')
    assert fm.status() == {'missing': 0, 'stale': 30, 'current': 270}
    assert sum(file['state'] == 'stale' for file in file_summaries(tm.queue.ledger)) == 30
    assert len(os.listdir(tmp_path / '.desipipe')) == 5
    assert os.path.getsize(next((tmp_path / '.desipipe').glob('*.jsonl'))) < 150 * 1200


def test_killed_task_left_word_of_what_it_saved(tmp_path: Path, tm: TaskManager) -> None:
    fm = FileManager({'id': 'out', 'path': f'{tmp_path}/out_{{i}}.txt', 'options': {'i': range(2)}})

    @tm.python_app
    def doomed(out: Any) -> None:
        import os

        out.get(i=0).save('whole')
        os.kill(os.getpid(), signal.SIGKILL)

    future = doomed(fm['out'])
    work(tm.queue)
    assert future.state == 'KILLED'
    made = fm.provenance(fm.get(i=0))
    assert (made.task, made.same) == (future.id, True)


def test_notes_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: what is new is read when it is needed, and nothing of it to save
    the digest of a small file.
    """

    def save(i: int) -> BaseFile:
        monkeypatch.setattr(
            provenance,
            'making',
            provenance.Making('q', f'{i:032x}', 1, 'app', 'c' * 32, lambda: 'source'),
        )
        file = BaseFile(f'{tmp_path}/{i}.txt')
        BaseFile(f'{tmp_path}/raw.txt').load()
        file.save('x' * 10_000)
        monkeypatch.setattr(provenance, 'making', None)
        return file

    seen: list[str] = []
    more = note_lists.NoteList.more

    def counted(self: note_lists.NoteList, path: str) -> Any:
        for note in more(self, path):
            seen.append(note.file)
            yield note

    monkeypatch.setattr(note_lists.NoteList, 'more', counted)
    BaseFile(f'{tmp_path}/raw.txt').save('raw')
    files = [save(i) for i in range(50)]
    assert seen == []
    assert {file.provenance().task for file in files} == {f'{i:032x}' for i in range(50)}
    assert len(seen) == 50
    assert [save(50).provenance().app, files[3].status()] == ['app', 'current']
    assert len(seen) == 51
    # Another folder in its place: nothing of the old one is known any more.
    (tmp_path / '.desipipe').rename(tmp_path / 'old')
    assert files[3].provenance().task == ''
    save(51)
    assert (files[3].provenance().task, BaseFile(f'{tmp_path}/51.txt').provenance().app) == (
        '',
        'app',
    )
    assert [item.path for item in BaseFile(f'{tmp_path}/51.txt').provenance().inputs] == [
        f'{tmp_path}/raw.txt'
    ]


def test_cut_line_hides_no_other(fm: FileManager, tm: TaskManager) -> None:
    run(fm, tm)
    (lines,) = (Path(fm.get('out', i=0).filepath).parent / '.desipipe').glob('*.jsonl')
    text = lines.read_bytes()
    lines.write_bytes(text[: len(text) - 40])  # a crash in the middle of the last one
    fm.get('raw', i=0).save('new')
    upper = upper_app(tm, inputs='content')
    future = upper(fm.get('raw', i=0), fm.get('out', i=0))
    work(tm.queue)
    assert fm.provenance(fm.get('out', i=0)).task == future.id
    assert sum(fm.provenance(file).task != '' for file in fm['out']) == 2


@pytest.mark.parametrize(
    'line',
    [
        b'[]',
        b'{}',
        b'\xff',
        b'{"file": "out_0.json", "in": 3}',
        b'{"file": 1, "task": [], "attempt": 1, "in": []}',
    ],
)
def test_notes_of_others_do_no_harm(fm: FileManager, tm: TaskManager, line: bytes) -> None:
    folder = Path(fm.get('out', i=0).filepath).parent / '.desipipe'
    folder.mkdir()
    os.mkfifo(folder.parent / 'pipe')
    forged = {
        'file': 'raw_0.txt',
        'size': 5,
        'mtime': 0,
        'sha256': '',
        'time': 1.0,
        'task': 'x',
        'attempt': 1,
        'app': '../../x',
        'code': '/etc',
        'queue': '',
    }
    forged |= {
        'versions': '../../../etc/passwd',
        'user': '',
        'host': '',
        'in': [[str(folder.parent / 'pipe'), 0, 0, '']],
    }
    (folder / 'other.jsonl').write_bytes(
        line
        + b'\n'
        + json.dumps({**forged, 'mtime': os.stat(fm.get('raw', i=0)).st_mtime_ns}).encode()
        + b'\n'
    )
    futures = run(fm, tm)
    assert fm.provenance(fm.get('out', i=0)).task == futures[0].id
    made = fm.provenance(fm.get('raw', i=0))
    assert (made.task, made.script, made.versions, made.inputs[0].same) == ('x', '', {}, None)
    assert 'made by ../../x' in repr(made)


def test_folder_that_takes_no_notes_costs_no_task(
    tmp_path: Path, fm: FileManager, tm: TaskManager
) -> None:
    (tmp_path / 'data' / '.desipipe').write_text('a file where the folder should be')
    futures = run(fm, tm)
    assert futures[0].result().load() == {'text': 'RAW 0'}
    assert 'it is not noted beside it who made it' in futures[0].err()
    assert fm.provenance(fm.get('out', i=0)).task == ''
    assert file_summaries(tm.queue.ledger)[0]['maker']['tid'] == futures[0].id


def test_names_of_all_kinds(tmp_path: Path, tm: TaskManager) -> None:
    names = ['ü β', 'new\nline', 'q\'u"o', '{brace}', '-rf', 'a' * 250]
    entry = BaseFileEntry(f'{tmp_path}/{{name}}.txt', options={'name': [*names, 'no utf-8 \udcff']})

    @tm.python_app
    def write(file: BaseFile) -> object:
        file.save('x')
        return file.load()

    futures = [write(file) for file in entry]
    work(tm.queue)
    assert [future.result(timeout=0) for future in futures] == ['x'] * 7
    assert [future.err() for future in futures[:-1]] == [''] * 6
    assert (
        'it is not noted that this task has read or written it, for its name is not UTF-8'
        in futures[-1].err()
    )
    assert [entry.get(name=name).provenance().task for name in names] == [
        future.id for future in futures[:-1]
    ]
    assert {os.path.basename(file['path']) for file in file_summaries(tm.queue.ledger)} == {
        f'{name}.txt' for name in names
    }


def test_mirror_is_read_under_its_files_name(tmp_path: Path, tm: TaskManager) -> None:
    (tmp_path / 'mirror').mkdir()
    fm = FileManager(
        {
            'id': 'a',
            'path': f'{tmp_path}/data/{{x}}.txt',
            'options': {'x': ['in', 'out']},
            'ro': [f'{tmp_path}/data', f'{tmp_path}/mirror'],
        }
    )
    fm.get(x='in').save('x')
    (tmp_path / 'mirror/in.txt').write_text('x')

    @tm.python_app
    def copy(one: BaseFile, other: BaseFile) -> None:
        other.save(one.load())

    copy(fm.get(x='in'), fm.get(x='out'))
    work(tm.queue)
    assert [item.path for item in fm.provenance(fm.get(x='out')).inputs] == [
        f'{tmp_path}/data/in.txt'
    ]


def test_versions_are_looked_at_once_a_worker(
    fm: FileManager, tm: TaskManager, tmp_path: Path
) -> None:
    """Everything the worker runs with, in one event, however many tasks and slots there are."""
    repository = tmp_path / 'repository'
    repository.mkdir()
    (repository / 'script.py').write_text('x = 1\n')
    git = ['git', '-C', str(repository), '-c', 'user.name=a', '-c', 'user.email=a@b.c']
    for arguments in (['init', '-q', '-b', 'trunk'], ['add', '.'], ['commit', '-q', '-m', 'first']):
        subprocess.run([*git, *arguments], check=True)
    (repository / 'script.py').write_text('x = 2\n')
    code = (
        'import sys\nfrom desipipe import *\n'
        "queue = Queue('q')\ntm = TaskManager(queue, environ={'data': {'MARKER': 'x'}}, "
        'scheduler=dict(max_workers=2))\n'
        '@tm.python_app\ndef f(i):\n    import numpy\n    return i\n'
        '@tm.python_app\ndef g(i):\n    return i\n'
        'f.map(i=range(200)); g.map(i=range(200))\nwork(queue, slots=2)\n'
    )
    environ = {
        **os.environ,
        'LOADEDMODULES': 'PrgEnv-gnu/8.5:cray-mpich/8.1',
        'CONDA_DEFAULT_ENV': 'desi',
    }
    subprocess.run(
        [sys.executable, '-c', code], check=True, cwd=repository, env=environ, timeout=120
    )
    state = tm.queue.ledger.state
    tm.queue.ledger.follow()
    snapshots = [versions for (_, app), versions in state.versions.items() if app == '']
    assert len(snapshots) == 1
    (snapshot_read,) = snapshots
    assert snapshot_read['git branch'] == 'trunk'
    assert len(snapshot_read['git commit']) == 40
    assert len(snapshot_read['git diff']) == 64
    assert snapshot_read['numpy'] and snapshot_read['python'] and snapshot_read['platform']
    assert snapshot_read['environment modules'] == 'PrgEnv-gnu/8.5:cray-mpich/8.1'
    assert snapshot_read['conda environment'] == 'desi'
    assert json.loads(snapshot_read['declared environment'])['data'] == {'MARKER': 'x'}
    with open(tm.queue.ledger.journal.path) as journal:
        assert sum('"app":""' in line for line in journal) <= 2  # one an app


def test_versions_of_the_last_task_are_known(tmp_path: Path, tm: TaskManager) -> None:
    """A worker that has nothing left to do hears what its slots still have to say."""

    @tm.python_app
    def first(out: BaseFile) -> None:
        out.save('x')

    @tm.python_app
    def last(out: BaseFile, after: object) -> None:
        import h5py  # noqa: F401

        out.save('x')

    pytest.importorskip('h5py')
    out = BaseFileEntry(f'{tmp_path}/{{i}}.txt', options={'i': range(2)})
    last(out.get(i=1), first(out.get(i=0)))
    work(tm.queue)
    assert [
        item['maker']['versions'].get('h5py')
        for item in file_summaries(tm.queue.ledger, out.get(i=1).filepath)
    ] == [software.versions(['h5py'])['h5py']]


def test_snapshot_of_modules_without_a_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'module_of_ours.py').write_text("__version__ = '7.1'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, 'module_of_ours', sys)  # afterwards it is gone again
    del sys.modules['module_of_ours']
    __import__('module_of_ours')
    versions_read = software.snapshot()
    assert versions_read['module_of_ours'] == '7.1'
    assert versions_read['yaml'] == yaml.__version__  # of a distribution with another name
    assert not any(name.startswith('git') for name in software.snapshot(str(tmp_path)))
    monkeypatch.setenv('PATH', '/nowhere')
    (tmp_path / '.git').mkdir()
    assert not any(name.startswith('git') for name in software.snapshot(str(tmp_path)))


def test_writers_of_one_host_do_not_mix_lines(tmp_path: Path) -> None:
    code = (
        'import sys\nfrom desipipe import provenance\nfrom desipipe.file_manager import BaseFile\n'
        "provenance.making = provenance.Making('q', 't' + sys.argv[2], 1, 'app', 'c' * 32, lambda: "
        "'source')\n"
        'for i in range(50):\n    BaseFile(f"{sys.argv[1]}/{sys.argv[2]}_{i}.txt").save("x")\n'
    )
    writers = [
        subprocess.Popen([sys.executable, '-c', code, str(tmp_path), str(n)]) for n in range(4)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    (lines,) = (tmp_path / '.desipipe').glob('*.jsonl')
    document = [json.loads(line) for line in lines.read_text().splitlines() if line]
    assert len(document) == 200
    assert {line['file'] for line in document} == {
        f'{n}_{i}.txt' for n in range(4) for i in range(50)
    }


def test_pickles_of_the_former_module_load() -> None:
    origin = file_provenance.Provenance('a', 'missing')
    former = pickle.dumps(origin, 0).replace(b'.file_provenance', b'.made')
    assert b'.made' in former and pickle.loads(former) == origin
