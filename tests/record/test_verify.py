"""What verify finds: every flipped byte, every kind of change, also by someone who makes the
digests anew.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from pipelines import Cli, worked

from desipipe import Queue
from desipipe.cells.recorded import cell_node
from desipipe.errors import RecordError
from desipipe.record.checks import DIFFERS, exit_status, verdict
from desipipe.record.digests import KEY, notebook_bytes
from desipipe.record.files import read_record
from desipipe.record.pieces import seal
from desipipe.record.verify import verify
from desipipe.record.verify_outside import check_files as verify_files

Change = Callable[[Path, Callable[[dict[str, Any]], None]], None]


def by_name(collected: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Checks by their names."""
    checks: dict[str, list[dict[str, Any]]] = {}
    for check in collected['checks']:
        checks.setdefault(check['check'], []).append(check)
    return checks


def differing(differences: dict[str, Any]) -> dict[str, str]:
    """What differs: words and details of a check, by its name."""
    return {
        check['check']: ' '.join([check['words'], *check['details']])
        for check in differences['checks']
        if check['status'] == DIFFERS
    }


def test_record_of_a_queue_whose_code_is_damaged(script: Cli, tmp_path: Path) -> None:
    """Tell it; what else the queue holds is recorded, and can be checked."""
    folder = tmp_path / 'pi.queue'
    shutil.copytree(script.folder / 'pi.queue', folder)
    journal = folder / 'journal.jsonl'
    journal.write_bytes(journal.read_bytes().replace(b'"e":"app"', b'"E":"app"', 1))
    cli = Cli(tmp_path)

    cli('record', '-q', './pi', '-o', 'pi.record.ipynb')
    report = cli.verify('pi.record.ipynb', status=3)

    assert not differing(report)
    assert 'its line of the journal is damaged' in str(by_name(report)['code'])


def test_good_record(script: Cli) -> None:
    report = script.verify('pi.record.ipynb', '--queue', './pi', status=3)
    assert not report['ok'] and report['unchecked'] == 1
    checks = by_name(report)
    assert {
        'bytes',
        'tasks',
        'identities',
        'graph',
        'states',
        'code',
        'tables',
        'files',
        'queue',
        'run',
        'inputs',
    } <= checks.keys()
    # The one with a path that was left out can't be checked, and that is said.
    assert re.match('9 computed anew', checks['identities'][0]['words'])
    assert 'absolute path' in checks['identities'][1]['words']
    assert re.match('4 versions of apps.* 5 functions', checks['code'][0]['words'])
    assert checks['run'][0]['status'] == checks['inputs'][0]['status'] == 'cannot be checked'
    shown_text = script('verify', 'pi.record.ipynb', status=3).stdout
    assert 'what was checked does not differ, the rest is not known' in shown_text
    assert 'nothing differs' not in shown_text
    assert 'say which it is with --queue' in shown_text


def test_exit_status_of_what_cannot_be_checked(script: Cli) -> None:
    # One argument holds a path, which was left out: its task can't be checked, and that is no
    # success.
    assert script('verify', 'pi.record.ipynb', status=3).stdout.count('cannot be checked') == 1
    script('verify', 'pi.record.ipynb', '--strict', '--queue', './pi', status=1)
    script('record', '-q', './pi', '-o', 'whole.ipynb', '--include', 'paths')
    shown_text = script('verify', 'whole.ipynb').stdout
    assert shown_text.splitlines()[-1].endswith('nothing differs')
    # The queue was not asked for: that is a gap only where it is asked to be strict.
    report = script.verify('whole.ipynb', '--strict', status=1)
    assert report['unchecked'] == 1 and not report['ok']
    assert script.verify('whole.ipynb', '--strict', '--queue', './pi')['ok']


def test_verify_finds_an_empty_record_not_fine(script: Cli) -> None:
    Queue(str(script.folder / 'empty'), create=True)
    script('record', '-q', './empty', '-o', 'empty.ipynb')
    done = script('verify', 'empty.ipynb', status=3)
    assert 'nothing of a run was checked' in done.stdout
    ticked = [line.split()[1] for line in done.stdout.splitlines() if line.startswith('✓')]
    assert ticked == ['bytes', 'tables'], done.stdout


def test_verify_ticks_no_unknown_member(script: Cli, change: Change) -> None:
    def forget(record: dict[str, Any]) -> None:
        for app in record['metadata'][KEY]['queues'][0]['apps']:
            app['unchecked'] = 'its code is lost'

    path = script.folder / 'pi.record.ipynb'
    change(path, forget)
    done = script('verify', path.name, status=None)
    code = [line for line in done.stdout.splitlines() if line[2:].startswith('code ')]
    assert len(code) == 4
    assert all(line.startswith('?') for line in code), code


def test_verify_names_changed_cells(script: Cli) -> None:
    notebook = {
        'id': 'a',
        'cell_type': 'code',
        'source': '1',
        'metadata': {},
        'execution_count': 1,
        'outputs': [],
    }
    cells = [
        notebook,
        {
            'id': 'b',
            'cell_type': 'markdown',
            'source': 'x',
            'metadata': {},
            'attachments': {'a': {'text/plain': 'b'}},
        },
    ]
    (script.folder / 'a.ipynb').write_text(
        json.dumps({'cells': cells, 'metadata': {}, 'nbformat': 4, 'nbformat_minor': 5})
    )
    script('record', 'a.ipynb', '-q', './pi', '-o', 'r.ipynb')
    path = script.folder / 'r.ipynb'
    record = json.loads(path.read_bytes())
    document = record['metadata'][KEY]
    queue = document['queues'][0]
    changes: dict[str, Callable[[dict[str, Any]], None]] = {
        'the text of cell 1': lambda report: report['cells'][0].update(source='2'),
        'the outputs of cell 1': lambda report: report['cells'][0]['outputs'].append(
            {'output_type': 'stream', 'name': 'stdout', 'text': 'x'}
        ),
        'the attachments of cell 2': lambda report: report['cells'][1]['attachments']['a'].update(
            {'text/plain': 'c'}
        ),
        "'made' of the record": lambda report: report['metadata'][KEY]['made'].update(python='2.7'),
        "'left_out' of the record": lambda report: report['metadata'][KEY]['left_out'].clear(),
        "'workers' 0 of the queue pi": lambda listed: listed['metadata'][KEY]['queues'][0][
            'workers'
        ][0].update(host='elsewhere'),
        "'managers' 0 of the queue pi": lambda listed: listed['metadata'][KEY]['queues'][0][
            'managers'
        ][0].update(scheduler={'max_workers': 99}),
        "'folder' of the queue pi": lambda listed: listed['metadata'][KEY]['queues'][0].update(
            folder='elsewhere'
        ),
        "'groups' 1 of the queue pi": lambda listed: listed['metadata'][KEY]['queues'][0]['groups'][
            1
        ].update(timeout=1.0),
        "'versions' 0 of the queue pi": lambda versions_read: versions_read['metadata'][KEY][
            'queues'
        ][0]['versions'][0].update(numpy='0.1'),
        'the metadata of cell 1': lambda report: report['cells'][0]['metadata'].update(
            papermill={'duration': 1.0}
        ),
        "'kernelspec' of the metadata": lambda report: report['metadata'].update(
            kernelspec={'name': 'other'}
        ),
        "'apps' 0 of the queue pi": lambda listed: listed['metadata'][KEY]['queues'][0]['apps'][
            0
        ].update(packages=['evil']),
    }
    assert queue['workers'] and queue['versions']
    for label, do in changes.items():
        changed = json.loads(path.read_bytes())
        do(changed)
        (script.folder / 'changed.ipynb').write_text(json.dumps(changed))
        report = verify(read_record(str(script.folder / 'changed.ipynb')), cell_node)
        named = next(check for check in report if check.name == 'bytes')
        assert named.details[0] == label
        assert exit_status(report) == 1


def test_payloads_are_held_against_their_digests(script: Cli, change: Change) -> None:
    def spoil(record: dict[str, Any]) -> None:
        payloads = record['metadata'][KEY]['queues'][0]['payloads']
        digest = next(iter(payloads))
        payloads[digest] = payloads[digest][:-1] + ('0' if payloads[digest][-1] != '0' else '1')

    path = script.folder / 'pi.record.ipynb'
    change(path, spoil)
    assert 'are damaged' in differing(script.verify(path.name, status=1))['payloads']


def test_record_has_the_same_bytes_again(script: Cli) -> None:
    for seed in ('1', '2'):
        script(
            'record',
            '-q',
            './pi',
            '-o',
            f'{seed}.ipynb',
            '--crate',
            f'{seed}.zip',
            '--prov',
            f'{seed}.json',
            '--with-results',
            env={'PYTHONHASHSEED': seed},
        )
    for suffix in ('ipynb', 'zip', 'json'):
        assert (script.folder / f'1.{suffix}').read_bytes() == (
            script.folder / f'2.{suffix}'
        ).read_bytes()


def test_record_is_the_same_after_compaction(script: Cli) -> None:
    queue = Queue(str(script.folder / 'pi'), create=False)
    queue.retry(name='broken')
    worked(script.folder / 'pi.queue')
    script('record', '-q', './pi', '-o', 'before.ipynb')
    script('compact', '-q', './pi')
    script('record', '-q', './pi', '-o', 'after.ipynb')
    before, after = (
        json.loads((script.folder / f'{name}.ipynb').read_bytes())['metadata'][KEY]['queues'][0]
        for name in ('before', 'after')
    )
    # Compaction counts microseconds from another moment: the last of them may be another one.
    for own, compacted in zip(before.pop('tasks'), after.pop('tasks'), strict=True):
        tasks = [orjson.loads(line) for line in (own, compacted)]
        times = [
            [attempt.pop('began', 0.0) for attempt in task.get('attempts', ())] for task in tasks
        ]
        assert times[0] == pytest.approx(times[1], abs=3e-6, rel=0)
        assert tasks[0].pop('crc') and tasks[1].pop('crc')
        assert tasks[0] == tasks[1]
    assert before.pop('as_of') == pytest.approx(after.pop('as_of'), abs=3e-6, rel=0)
    assert before == after
    report = script.verify('before.ipynb', '--queue', './pi', status=3)
    assert not differing(report), report


def is_refused_by_verify(path: Path) -> bool:
    try:
        return not verdict(verify(read_record(str(path)), cell_node))
    except RecordError:
        return True


def test_verify_finds_each_flipped_byte(script: Cli) -> None:
    script('record', '-q', './pi', '-o', 'small.ipynb', '--crate', 'crate', '--crate', 'crate.zip')
    draw = random.Random(7)
    for name in ('small.ipynb', 'crate.zip'):
        path = script.folder / name
        assert not is_refused_by_verify(path)
        data = path.read_bytes()
        for _ in range(60):
            position, value = draw.randrange(len(data)), draw.randrange(1, 256)
            path.write_bytes(
                data[:position] + bytes([data[position] ^ value]) + data[position + 1 :]
            )
            assert is_refused_by_verify(path), (
                f'{name}: byte {position} of {len(data)}, {data[position]} ^ {value}'
            )
        path.write_bytes(data)


def test_verify_covers_the_files_of_a_crate(script: Cli) -> None:
    script('record', '-q', './pi', '-o', 'small.ipynb', '--crate', 'crate')
    crate = script.folder / 'crate'
    assert not is_refused_by_verify(crate)
    files = [path for path in crate.rglob('*') if path.is_file()]
    assert len(files) >= 10
    draw = random.Random(11)
    for path in files:
        data = path.read_bytes()
        for position in {0, len(data) - 1, *(draw.randrange(len(data)) for _ in range(3))}:
            path.write_bytes(
                data[:position]
                + bytes([data[position] ^ draw.randrange(1, 256)])
                + data[position + 1 :]
            )
            assert is_refused_by_verify(crate), (path.name, position)
        path.unlink()
        assert is_refused_by_verify(crate), path.name
        path.write_bytes(data)
    (crate / 'more.txt').write_text('more')
    assert 'more.txt is not on the list' in differing(script.verify('crate', status=1))['crate']


def task_of(record: dict[str, Any], position: int) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(record['metadata'][KEY]['queues'][0]['tasks'][position])
    document.pop('crc')
    return document


def put(record: dict[str, Any], position: int, task: dict[str, Any]) -> None:
    record['metadata'][KEY]['queues'][0]['tasks'][position] = seal(task)


def change_task(position: int, **members: Any) -> Callable[[dict[str, Any]], None]:
    return lambda record: put(record, position, {**task_of(record, position), **members})


def app_of(record: dict[str, Any], name: str) -> dict[str, Any]:
    return next(app for app in record['metadata'][KEY]['queues'][0]['apps'] if app['name'] == name)


def change_source(record: dict[str, Any]) -> None:
    app = app_of(record, 'fraction')
    app['source'] = app['source'].replace('x**2 + y**2', 'x**2 + y**3')


def change_helper(record: dict[str, Any]) -> None:
    app = app_of(record, 'fraction')
    app['source'] = app['source'].replace('scale * x', 'scale * x * x')


def change_value(record: dict[str, Any]) -> None:
    app = app_of(record, 'fraction')
    assert '# global scale: 2.0' in app['source']
    app['source'] = app['source'].replace('# global scale: 2.0', '# global scale: 3.0')


def change_result(record: dict[str, Any]) -> None:
    task = task_of(record, 0)
    task['result'] = {**task['result'], 'value': '=3.0'}
    put(record, 0, task)


def change_table(record: dict[str, Any]) -> None:
    cell = record['cells'][-1]
    cell['source'] = cell['source'].replace('1 failed', '0 failed')


def drop_task(record: dict[str, Any]) -> None:
    del record['metadata'][KEY]['queues'][0]['tasks'][2]


def hide_failure(record: dict[str, Any]) -> None:
    task = task_of(record, 8)
    assert task['state'] == 'FAILED'
    put(record, 8, {**task, 'state': 'SUCCEEDED'})


@pytest.mark.parametrize(
    ('do', 'check', 'message'),
    [
        (
            change_task(0, args={'seed': '=1', 'size': '=1000'}),
            'identities',
            'do not give its identity',
        ),
        (change_task(0, id='00' * 16), 'identities', 'do not give its identity'),
        (
            change_task(6, needs=[0, 1, 2, 3, 4, 5, 99]),
            'graph',
            'row 99, which is not in the record',
        ),
        (change_task(7, needs=[9]), 'graph', 'came after it'),
        (change_source, 'code', 'the recorded source is not the code that ran'),
        (change_helper, 'code', 'function helper: the recorded source is not the code that ran'),
        (change_value, 'code', 'global scale: the value in the recorded source'),
        (change_table, 'tables', 'does not say what the data say'),
        (drop_task, 'tasks', 'was truncated'),
        (hide_failure, 'states', 'no attempt did'),
        (
            lambda record: app_of(record, 'average').update(kind='bash'),
            'code',
            'its parts do not give its identity',
        ),
        (
            lambda record: app_of(record, 'average')['parts'].update(
                {'function average': '00' * 16}
            ),
            'code',
            'pieces do not give its digest',
        ),
        (lambda record: record['metadata'][KEY]['totals'].update(tasks=3), 'states', 'totals'),
        (
            lambda record: record['metadata'][KEY]['queues'][0].update(busy=1e6),
            'states',
            'time that its tasks took',
        ),
    ],
)
def test_changes_with_new_digests_are_named(
    script: Cli, change: Change, do: Callable[[dict[str, Any]], None], check: str, message: str
) -> None:
    path = script.folder / 'pi.record.ipynb'
    change(path, do)
    differences = differing(script.verify(path.name, status=1))
    assert 'bytes' not in differences  # its digests are right
    assert re.search(message, differences[check]), differences


def test_changes_of_a_repository_that_are_not_those(script: Cli, change: Change) -> None:
    path = script.folder / 'pi.record.ipynb'
    change(
        path,
        lambda record: record['metadata'][KEY]['made'].update(
            {'git diff': '00' * 32, 'git changes': '+ something'}
        ),
    )
    assert (
        'changes of the repository' in differing(script.verify(path.name, status=1))['environment']
    )


def test_requirement_that_was_taken_away_is_found(script: Cli, change: Change) -> None:
    # The identities of futures are part of plain arguments: what is not said to be needed is.
    path = script.folder / 'pi.record.ipynb'
    change(path, change_task(7, needs=[]))
    assert 'is not said to need it' in differing(script.verify(path.name, status=1))['graph']


def test_laid_out_anew(script: Cli) -> None:
    path = script.folder / 'pi.record.ipynb'
    path.write_text(json.dumps(json.loads(path.read_bytes())))
    assert differing(script.verify(path.name, status=1)) == {
        'bytes': (
            'the bytes of the file were changed since it was written; not what they say: another '
            'program laid it out anew, or saved its view of it'
        )
    }


@pytest.mark.parametrize('part', [0.1, 0.5, 0.999])
def test_truncated(script: Cli, part: float) -> None:
    path = script.folder / 'pi.record.ipynb'
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    assert re.search(
        'truncated at .* at line|truncated at .*line', script('verify', path.name, status=2).stderr
    )


def test_result_that_was_replaced_in_the_queue(script: Cli) -> None:
    queue = Queue(str(script.folder / 'pi'), create=False)
    ref = queue.ledger.state.result(queue.select(name='average', index=0)[0])
    assert ref is not None
    with open(script.folder / 'pi.queue' / 'segments' / f'{ref.segment}.bin', 'r+b') as file:
        file.seek(ref.offset + ref.length - 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    differences = differing(script.verify('pi.record.ipynb', '--queue', './pi', status=1))
    assert re.search(
        r'average\[0\] .*its result in the queue is not the one that was recorded: it was replaced',
        differences['queue'],
    )


def test_results_by_hand_are_named(script: Cli) -> None:
    queue = Queue(str(script.folder / 'pi'), create=False)
    bad = queue.tasks(name='broken', one=True)
    queue.set_task_state(bad.id, 'SUCCEEDED')
    differences = differing(script.verify('pi.record.ipynb', '--queue', './pi', status=1))
    assert 'is SUCCEEDED in the queue, FAILED in the record' in differences['queue']
    script('record', '-q', './pi', '-o', 'new.ipynb')
    checks = by_name(script.verify('new.ipynb', status=3))
    assert re.search(
        r'broken\[0\] .*: its state was set by a person to SUCCEEDED',
        checks['by hand'][0]['details'][0],
    )


def test_verify_finds_a_cleared_queue(script: Cli) -> None:
    queue = Queue(str(script.folder / 'pi'), create=False)
    queue.clear()
    differences = differing(script.verify('pi.record.ipynb', '--queue', './pi', status=1))
    assert 'was cleared since' in differences['queue']


FILES = """
import os
from desipipe import FileManager, Queue, TaskManager
from desipipe.file_manager import BaseFileEntry

queue = Queue('files', base_dir='.')
tm = TaskManager(queue)
fm = FileManager(BaseFileEntry(os.path.abspath('data/{i}.txt'), id='data', filetype='text', options={'i': range(3)}))

@tm.python_app
def write(file, i):
    file.save(f'value {i}')
    return i

for i in range(3):
    write(fm.get(i=i), i)
"""


def test_files(script: Cli) -> None:
    (script.folder / 'files.py').write_text(FILES)
    subprocess.run([sys.executable, 'files.py'], cwd=script.folder, check=True, timeout=60)
    worked(script.folder / 'files.queue')
    script('record', '-q', './files', '-o', 'f.ipynb')
    assert (
        'say where they are with --root' in by_name(script.verify('f.ipynb'))['files'][0]['words']
    )
    assert (
        by_name(script.verify('f.ipynb', '--root', '.'))['files'][0]['words']
        == '3 files as tasks read or wrote them'
    )
    assert str(script.folder) not in (script.folder / 'f.ipynb').read_text()
    (script.folder / 'data/1.txt').write_text('value 2')
    assert (
        'data/1.txt holds something else'
        in differing(script.verify('f.ipynb', '--root', '.', status=1))['files']
    )
    (script.folder / 'data/1.txt').unlink()
    assert 'No such file' in ' '.join(
        by_name(script.verify('f.ipynb', '--root', '.', status=3))['files'][1]['details']
    )


def test_computed_again(script: Cli, change: Change) -> None:
    by_check = by_name(
        script.verify('pi.record.ipynb', '--queue', './pi', '--rerun', '3', '--seed', '1', status=3)
    )
    assert re.match('3 tasks computed again', by_check['rerun'][0]['words'])
    # From the record alone, if its author is trusted.
    assert (
        'no queue of yours' in script('verify', 'pi.record.ipynb', '--rerun', '1', status=2).stderr
    )
    path = script.folder / 'pi.record.ipynb'
    change(path, lambda record: [change_result_of(record, position) for position in range(7)])
    by_check = by_name(script.verify(path.name, '--rerun', '8', '--trust', status=1))
    assert by_check['rerun'][0]['status'] == DIFFERS
    # The bytes that were recorded give the value that comes out: only what was said of them is
    # wrong.
    assert len(by_check['rerun'][0]['details']) >= 1 or by_check['tables'][0]['status'] == DIFFERS


def change_result_of(record: dict[str, Any], position: int) -> None:
    task = task_of(record, position)
    if task['state'] == 'SUCCEEDED':
        task['result'] = {
            **task['result'],
            'value': '=3.0',
            'sha256': task_of(record, 7)['result']['sha256'],
        }
        put(record, position, task)


def test_imported(script: Cli) -> None:
    assert 'would run as you' in script('import', 'pi.record.ipynb', '-q', './new', status=2).stderr
    script('import', 'pi.record.ipynb', '-q', './new', '--with-results', '--trust')
    queue = Queue(str(script.folder / 'new'), create=False)
    old = Queue(str(script.folder / 'pi'), create=False)
    assert queue.counts['SUCCEEDED'] == old.counts['SUCCEEDED']
    assert [task.id for task in queue] == [task.id for task in old]
    assert (
        queue.tasks(name='average', index=0, one=True).result
        == old.tasks(name='average', index=0, one=True).result
    )
    # The script goes on with it: nothing that is done is computed again.
    text = (script.folder / 'pipe.py').read_text().replace("'pi'", "'new'")
    (script.folder / 'again.py').write_text(text)
    subprocess.run([sys.executable, 'again.py'], cwd=script.folder, check=True, timeout=60)
    assert len(Queue(str(script.folder / 'new'), create=False)) == len(old)
    worked(script.folder / 'new.queue')
    counts = Queue(str(script.folder / 'new'), create=False).counts
    assert counts == old.counts


def test_imported_without_results(script: Cli) -> None:
    script('import', 'pi.record.ipynb', '-q', './new', '--trust')
    queue = Queue(str(script.folder / 'new'), create=False)
    assert queue.counts['SUCCEEDED'] == 0
    worked(script.folder / 'new.queue')
    old = Queue(str(script.folder / 'pi'), create=False)
    assert queue.counts == old.counts
    assert (
        queue.tasks(name='average', index=0, one=True).result
        == old.tasks(name='average', index=0, one=True).result
    )


def test_import_of_what_can_not_be(script: Cli) -> None:
    script('record', '-q', './pi', '-o', 'bare.ipynb')
    assert (
        'desipipe record NOTEBOOK --with-results'
        in script('import', 'bare.ipynb', '--trust', status=2).stderr
    )
    shutil.copy(script.folder / 'pi.record.ipynb', script.folder / 'spoilt.ipynb')
    record = json.loads((script.folder / 'spoilt.ipynb').read_bytes())
    payloads = record['metadata'][KEY]['queues'][0]['payloads']
    for digest in payloads:
        payloads[digest] = payloads[digest][:-1] + ('0' if payloads[digest][-1] != '0' else '1')
    (script.folder / 'spoilt.ipynb').write_bytes(notebook_bytes(record))
    assert (
        'missing, or damaged. Nothing was made'
        in script('import', 'spoilt.ipynb', '-q', './x', '--trust', status=2).stderr
    )
    assert not (script.folder / 'x.queue').exists()


# Bad input


def rename(record: dict[str, Any]) -> None:
    record['metadata'][KEY]['queues'][0]['name'] = '../outside'


def test_queue_is_made_nowhere_else(script: Cli, change: Change) -> None:
    path = script.folder / 'pi.record.ipynb'
    change(path, rename)
    assert (
        "'../outside' cannot be the name of a queue"
        in script('import', path.name, '--trust', status=2).stderr
    )
    assert not list(script.folder.parent.glob('outside*'))


def claim_many(record: dict[str, Any]) -> None:
    document = record['metadata'][KEY]
    document['notebook']['cells'] = ['00']
    document['cells'] = [
        {'cell': 0, 'queue': 0, 'tasks': '0-999999999999', 'title': '', 'how': 'display'}
    ]


def test_numbers_that_someone_made_up(script: Cli, change: Change) -> None:
    path = script.folder / 'pi.record.ipynb'
    change(path, claim_many)
    assert (
        'is said to have tasks that are not there' in script('verify', path.name, status=2).stderr
    )


def star(record: dict[str, Any]) -> None:
    app = app_of(record, 'average')
    app.update(kind='cell', cell='%%desipipe average\nfrom evil import *\nx = f()')


def test_verify_imports_nothing_of_a_record(script: Cli, change: Change) -> None:
    (script.folder / 'evil.py').write_text("open('ran.txt', 'w').close()\n")
    path = script.folder / 'pi.record.ipynb'
    change(path, star)
    script('verify', path.name, status=1)
    assert not (script.folder / 'ran.txt').exists()


@pytest.mark.parametrize(
    ('module', 'arguments'),
    [
        ('rocrate', ['record', '-q', './pi', '-o', 'x.ipynb', '--crate', 'x.zip']),
        ('nbclient', ['run', 'a.ipynb']),
    ],
)
def test_packages_that_are_missing(script: Cli, module: str, arguments: list[str]) -> None:
    (script.folder / 'a.ipynb').write_text(
        '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    )
    code = (
        f'import sys; sys.modules[{module!r}] = None; from desipipe.cli import main; '
        f'sys.exit(main({arguments!r}))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=script.folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert 'pip install "desipipe[record]"' in done.stderr
    assert not (script.folder / 'x.zip').exists()


def crate_with(path: Path, name: str, data: bytes = b'x', mode: int = 0o100644) -> None:
    with zipfile.ZipFile(path, 'a') as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        archive.writestr(member, data)


@pytest.mark.parametrize(
    'name', ['../out.txt', '/etc/out.txt', 'a/../../out.txt', 'a\\..\\out.txt', 'c:/out.txt', './x']
)
def test_crates_that_lead_out(script: Cli, name: str) -> None:
    script('record', '-q', './pi', '-o', 'r.ipynb', '--crate', 'crate.zip')
    crate_with(script.folder / 'crate.zip', name)
    assert 'leads out of the crate' in script('verify', 'crate.zip', status=2).stderr
    assert not list(script.folder.parent.glob('out.txt'))


def test_links_in_crates(script: Cli) -> None:
    script('record', '-q', './pi', '-o', 'r.ipynb', '--crate', 'crate.zip', '--crate', 'crate')
    script('record', '-q', './pi', '-o', 'r.ipynb', '--crate', 'crate.zip')
    crate_with(script.folder / 'crate.zip', 'link', b'/etc/passwd', 0o120777)
    assert "the link 'link'" in script('verify', 'crate.zip', status=2).stderr
    for target in ('/etc/passwd', '/etc', '.'):
        (script.folder / 'crate' / 'link').symlink_to(target)
        assert "holds 'link', which is a link" in script('verify', 'crate', status=2).stderr
        (script.folder / 'crate' / 'link').unlink()


def test_huge_and_recursive_archives(script: Cli) -> None:
    bomb = script.folder / 'bomb.zip'
    with zipfile.ZipFile(bomb, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('zeros', bytes(50_000_000))
    assert 'more than can be right' in script('verify', 'bomb.zip', status=2).stderr
    script('record', '-q', './pi', '-o', 'r.ipynb', '--crate', 'crate.zip')
    nested = (script.folder / 'crate.zip').read_bytes()
    crate_with(script.folder / 'crate.zip', 'crate.zip', nested)
    # An archive in an archive is a file like any other.
    assert (
        'crate.zip is not on the list of its files'
        in differing(script.verify('crate.zip', status=1))['crate']
    )


@pytest.mark.parametrize('kept', [False, True])
def test_large_file_in_a_crate_takes_little_memory(script: Cli, kept: bool) -> None:
    script('record', '-q', './pi', '-o', 'r.ipynb', '--crate', 'crate.zip')
    path = script.folder / 'crate.zip'
    noise = os.urandom(500_000)  # so that the archive is as large as one that could be right
    with (
        zipfile.ZipFile(path, 'a', zipfile.ZIP_DEFLATED) as archive,
        archive.open('ro-crate-metadata.json' if kept else 'large', 'w') as file,
    ):
        file.write(noise)
        for _ in range(100):
            file.write(bytes(1_000_000))
    tracemalloc.start()
    try:
        if kept:
            with pytest.raises(RecordError, match='was not unpacked'):
                read_record(str(path))
        else:
            assert read_record(str(path)).files['large'].size == 100_500_000
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize('where', ['record', 'crate', 'root'])
def test_pipes_are_not_waited_for(script: Cli, where: str) -> None:
    os.mkfifo(script.folder / 'pipe')
    if where == 'record':
        assert 'is a pipe' in script('verify', 'pipe', status=2).stderr
        return
    script('record', '-q', './pi', '-o', 'r.ipynb', '--crate', 'crate')
    if where == 'crate':
        os.mkfifo(script.folder / 'crate' / 'pipe')
        assert "holds 'pipe'" in script('verify', 'crate', status=2).stderr
    else:
        record = read_record(str(script.folder / 'r.ipynb'))
        files = [{'do': 'write', 'path': 'pipe', 'sha256': '0' * 64, 'size': 0}]
        (model,) = record.models
        task = {**next(model.tasks()), 'files': files}
        assert any(
            'is a pipe' in str(check)
            for check in verify_files(record, [[task]], str(script.folder))
        )


def test_notebook_that_is_all_lists_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / 'x.ipynb'
    path.write_bytes(b'{"cells": [' + b'[],' * 6_000_000 + b'[]]}')
    tracemalloc.start()
    try:
        with pytest.raises(RecordError, match='many times'):
            read_record(str(path))
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()


@pytest.mark.filterwarnings('ignore:Duplicate name')
@pytest.mark.parametrize('name', ['pipeline.record.ipynb', 'desipipe-digests.json'])
def test_small_archive_of_much_json_is_not_parsed(
    script: Cli, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    script('record', '-q', './pi', '-o', 'r.ipynb', '--crate', 'crate.zip')
    path = script.folder / 'crate.zip'
    monkeypatch.setattr('desipipe.record.notebook_files._PARSED_FREE', 1 << 20)
    read_record(str(path))
    for text in (b'0,', b'[],       ', b'"",', b'{"a":1},        '):
        with zipfile.ZipFile(path, 'a', zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, b'{"cells": [' + text * (1_000_000 // len(text)) + b'0]}')
        tracemalloc.start()
        try:
            with pytest.raises(RecordError, match=r'many times its .* on the disk'):
                read_record(str(path))
            assert tracemalloc.get_traced_memory()[1] < 30e6
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (b'', 'truncated'),
        (b'not json', 'it is something else'),
        (b'import json', 'it is something else'),
        (b'[1, 2]', 'no list of cells'),
        (b'{"cells": [], "metadata": {}, "nbformat": 3}', 'format 3'),
        (b'{"cells": [{}], "metadata": {}, "nbformat": 4}', 'cell 1 has no source'),
        (b'{"cells": [], "metadata": {}, "nbformat": 4}', 'is a notebook, but no record'),
        (
            b'{"cells": [], "metadata": {"desipipe_record": {"version": 99}}, "nbformat": 4}',
            'a record of version 99',
        ),
        (
            b'{"cells": [], "metadata": {"desipipe_record": {"version": 1}}, "nbformat": 4}',
            'but not whole',
        ),
        (
            (
                b'{"cells": [], "metadata": {"desipipe_record": {"version": 1, "queues": 3}}, '
                b'"nbformat": 4}'
            ),
            'but not whole',
        ),
        (b'PK\x03\x04rubbish', 'no zip archive, or damaged'),
        (b'PK\x05\x06' + bytes(18), 'holds no pipeline.record.ipynb'),
    ],
)
def test_read_record_refuses_other_files(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / 'x.ipynb'
    path.write_bytes(data)
    with pytest.raises(RecordError, match=message):
        read_record(str(path))


def test_read_record_names_missing_files(tmp_path: Path) -> None:
    (tmp_path / 'pipeline.ipynb').write_text('{}')
    with pytest.raises(RecordError, match=r'There is no file .*Did you mean pipeline.ipynb'):
        read_record(str(tmp_path / 'pipelin.ipynb'))
    (tmp_path / 'a link').symlink_to('/etc')  # as there are in many folders
    with pytest.raises(RecordError, match=r'holds no pipeline.record.ipynb'):
        read_record(str(tmp_path))


@pytest.mark.parametrize(
    'arguments', [['record', '-q', './pi', '-o', 'new.ipynb'], ['verify', 'pi.record.ipynb']]
)
def test_root_that_is_not_there(script: Cli, arguments: list[str]) -> None:
    assert 'There is no folder nowhere' in script(*arguments, '--root', 'nowhere', status=2).stderr
    assert not (script.folder / 'new.ipynb').exists()
