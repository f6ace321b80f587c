"""The forms of a record: what is left out of them, the crate and the public validator, PROV,
pictures, and their size.
"""

from __future__ import annotations

import base64
import json
import os
import random
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson
import pytest
from pipelines import Cli

from desipipe import Queue
from desipipe.errors import UnknownOptionError
from desipipe.record import sources
from desipipe.record.cell_section import cell_section
from desipipe.record.digests import KEY
from desipipe.record.markdown import plain
from desipipe.record.model import QueueModel
from desipipe.record.notebook_files import RECORD_BYTES_MAX as MOST
from desipipe.record.pieces import piece_of, seal, sealed, word_of
from desipipe.record.privacy import Privacy
from desipipe.record.svg import NODES, draw_graph, graph_of
from desipipe.record.timeline_svg import INTERVALS, draw_timeline, timeline_of
from desipipe.utils import username
from desipipe.view import bundle


def test_names_of_both_sides() -> None:
    assert sources.MIME == bundle.MIME


def test_record_omits_private_values(script: Cli) -> None:
    done = script(
        'record',
        '-q',
        './pi',
        '-o',
        'r.ipynb',
        '--crate',
        'crate.zip',
        '--crate',
        'crate',
        '--prov',
        'p.json',
    )
    written = [
        script.folder / 'r.ipynb',
        script.folder / 'p.json',
        *(path for path in (script.folder / 'crate').rglob('*') if path.is_file()),
    ]
    for path in written:
        text = path.read_text()
        assert 'hunter2-token' not in text and 'plain-mode' not in text, path
        assert str(script.folder) not in text, path
        if 'apps' not in str(path):
            # Only the source and the notebook say it, as the user wrote it.
            assert '/secret/place' not in text, path
    record = json.loads((script.folder / 'r.ipynb').read_bytes())
    left = ' '.join(record['metadata'][KEY]['left_out'])
    assert 'values of environment variables' in left
    assert 'absolute paths' in left
    assert 'names of users' in left
    assert 'PIPE_TOKEN' in json.dumps(record)
    assert '--include environ' in done.stderr
    script('record', '-q', './pi', '-o', 'all.ipynb', '--include', 'environ', 'paths', 'users')
    text = (script.folder / 'all.ipynb').read_text()
    assert 'plain-mode' in text and 'hunter2-token' not in text  # a secret is nowhere
    assert '/secret/place/of/alice/data.txt' in text
    assert f'"user": "{username()}"' in text
    report = script.verify('all.ipynb', '--queue', './pi')
    assert '10 computed anew' in str(report)  # with the paths, all of them can be checked
    assert (
        'did you mean paths'
        in script('record', '-q', './pi', '-o', 'no.ipynb', '--include', 'path', status=2).stderr
    )
    assert not (script.folder / 'no.ipynb').exists()


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('/home/me/study/data/a.txt', 'data/a.txt'),
        ("open('/home/me/study/a.txt')", "open('a.txt')"),
        ('in /home/me/study.', 'in …/study.'),
        ('in /home/me/study:', 'in .:'),
        ('/home/me/studyroom/a.txt', '…/a.txt'),
        (
            '/etc/secret/key and 1/2 and </div> and https://a.b/c/d',
            '…/key and 1/2 and </div> and https://a.b/c/d',
        ),
        ('a/b/c ./d/e ~/x/y', 'a/b/c ./d/e ~/x/y'),
        ('/single', '/single'),
        ('file:///etc/secret/key', 'file://…/key'),
        (
            '\x1b[36mFile \x1b[39m\x1b[32m/etc/secret/key.py:3\x1b[39m',
            '\x1b[36mFile \x1b[39m\x1b[32m…/key.py:3\x1b[39m',
        ),
        ('\x1b[32m/home/me/study/a.py', '\x1b[32ma.py'),
        ('x.replace(/-/g, "")', 'x.replace(/-/g, "")'),
    ],
)
def test_paths_in_text(text: str, expected: str) -> None:
    privacy = Privacy('/home/me/study')
    assert privacy.scrub(text) == expected
    assert privacy.scrub(privacy.scrub(text)) == privacy.scrub(text)
    assert Privacy('/home/me/study', ['paths']).scrub('/etc/secret/key') == '/etc/secret/key'


# As it stands in images: what reads like a path.
ENCODED = base64.b64encode(
    random.Random(3).randbytes(300)
    + b'\xfb\xfb/\x01\x02\xfb' * 40
    + random.Random(4).randbytes(300)
).decode()
JPEG = '/9j/4AAQ' + ENCODED[:-8] + 'AA=='
PATH = '/secret/place/of/alice.txt'


def outputs_with_data() -> list[tuple[dict[str, Any], str]]:
    """Outputs as libraries write them, each with the base64 in it."""
    html = f'<img alt="{PATH}" src="data:image/jpeg;base64,{JPEG}"><p>{PATH}</p>'
    lines = '\n'.join(ENCODED[i : i + 76] for i in range(0, len(ENCODED), 76))
    svg = f'<svg><!-- {PATH} --><image xlink:href="data:image/png;base64,\n{lines}"/></svg>'
    script = (
        f'<script>load({{"file": "{PATH}", "array": {{"type": "bytes", "data": "{ENCODED}"}}}}, '
        'x.replace(/a/b/g, ""))</script>'
    )
    figure = {
        'data': [{'y': {'dtype': 'f8', 'bdata': '/AB/CD/E'}, 'text': PATH}],
        'layout': {'images': [{'source': f'data:image/png;base64,{ENCODED}'}]},
    }
    return [
        ({'image/png': ENCODED, 'text/plain': PATH}, ENCODED),
        ({'image/jpeg': JPEG}, JPEG),
        ({'application/pdf': ENCODED}, ENCODED),
        ({'audio/x-wav': ENCODED}, ENCODED),
        ({'application/x-own': JPEG}, JPEG),
        ({'text/html': html}, JPEG),
        ({'text/html': script}, ENCODED),
        ({'text/markdown': f'![x](data:image/png;base64,{ENCODED}) {PATH}'}, ENCODED),
        ({'image/svg+xml': svg}, lines),
        ({'application/vnd.plotly.v1+json': figure}, ENCODED),
        ({'application/vnd.plotly.v1+json': figure}, '"/AB/CD/E"'),
        ({'text/plain': f'b64: {JPEG} of {PATH}'}, JPEG),
        (
            {'application/javascript': f'var a = "{ENCODED}"; b = c.match(/x/y/); // {PATH}'},
            'c.match(/x/y/)',
        ),
    ]


def test_data_in_outputs_is_kept_and_text_is_scrubbed(script: Cli) -> None:
    shown = outputs_with_data()
    outputs = [{'output_type': 'display_data', 'data': data, 'metadata': {}} for data, _ in shown]
    outputs.append({'output_type': 'stream', 'name': 'stdout', 'text': f'{ENCODED} {PATH}'})
    state = {
        'w': {
            'state': {'value': PATH},
            'buffers': [{'data': '/AB/CD/E', 'encoding': 'base64', 'path': ['value']}],
        }
    }
    widgets = {
        'application/vnd.jupyter.widget-state+json': {
            'version_major': 2,
            'version_minor': 0,
            'state': state,
        }
    }
    cells: list[dict[str, Any]] = [
        {
            'id': 'a',
            'cell_type': 'markdown',
            'source': '![](attachment:a.png)',
            'metadata': {},
            'attachments': {'a.png': {'image/png': JPEG}},
        },
        {
            'id': 'b',
            'cell_type': 'code',
            'source': '1',
            'metadata': {},
            'execution_count': 1,
            'outputs': outputs,
        },
    ]
    notebook = {
        'cells': cells,
        'metadata': {'widgets': widgets},
        'nbformat': 4,
        'nbformat_minor': 5,
    }
    (script.folder / 'a.ipynb').write_text(json.dumps(notebook))
    script('record', 'a.ipynb', '-q', './pi', '-o', 'r.ipynb')
    record = json.loads((script.folder / 'r.ipynb').read_bytes())
    assert record['cells'][0]['attachments'] == cells[0]['attachments']
    written = [output['data'] for output in record['cells'][1]['outputs'][:-1]]
    for (_, encoded), data in zip(shown, written, strict=True):
        text = (
            encoded
            if any(isinstance(value, str) and encoded in value for value in data.values())
            else json.dumps(data)
        )
        assert encoded in text, data
        assert '/secret' not in json.dumps(data)
    for image in [written[0]['image/png'], written[1]['image/jpeg']]:
        base64.b64decode(image, validate=True)
    assert record['cells'][1]['outputs'][-1]['text'] == f'{ENCODED} …/alice.txt'
    kept = record['metadata']['widgets']['application/vnd.jupyter.widget-state+json']['state']['w']
    assert kept['buffers'] == state['w']['buffers'] and kept['state'] == {'value': '…/alice.txt'}


def test_base64_in_text_is_not_taken_for_paths() -> None:
    privacy = Privacy('/home/me/study')
    draw = random.Random(5)
    for size in (60, 200, 5000):
        text = base64.b64encode(draw.randbytes(size)).decode()
        assert privacy.scrub(f'"/{text[1:]}"') == f'"/{text[1:]}"'
    for path in (
        '/home/averylongusername/extremelylongprojectname+variant/outputs',
        '/Users/JohnSmith/VeryLongCamelCaseProject/AnotherLongName',
    ):
        assert privacy.scrub(path).startswith('…/')


def test_unknown_kinds() -> None:
    with pytest.raises(UnknownOptionError, match='did you mean environ'):
        Privacy('.', ['enviro'])


def test_public_validator_accepts_the_crate(script: Cli) -> None:
    script('record', '-q', './pi', '-o', 'r.ipynb', '--crate', 'crate', '--include', 'paths')
    script('record', '-q', './pi', '-o', 'r.ipynb', '--crate', 'crate.zip', '--include', 'paths')
    # As a folder it is the same: what is true of one is true of the other.
    folder = script.folder / 'crate'
    with zipfile.ZipFile(script.folder / 'crate.zip') as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob('*')
            if path.is_file()
        }
    # The validator is one that finds something: a crate whose workflow has lost its type is
    # refused.
    path = folder / 'ro-crate-metadata.json'
    text = path.read_text()
    assert '"ComputationalWorkflow"' in text
    path.write_text(text.replace('"ComputationalWorkflow"', '"Thing"'))
    command = [sys.executable, str(Path(__file__).with_name('validate.py')), 'crate.zip', 'crate']
    done = subprocess.run(command, cwd=script.folder, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    good, spoilt = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    assert good['issues'] == []
    assert good['checks'] > 50
    assert spoilt['issues']


def test_crate_describes_record(script: Cli) -> None:
    script('record', '-q', './pi', '-o', 'r.ipynb', '--crate', 'crate')
    crate = script.folder / 'crate'
    assert (crate / 'pipeline.record.ipynb').read_bytes() == (
        script.folder / 'r.ipynb'
    ).read_bytes()
    graph = {
        entity['@id']: entity
        for entity in json.loads((crate / 'ro-crate-metadata.json').read_text())['@graph']
    }
    queue = Queue(str(script.folder / 'pi'), create=False)
    actions = {
        key: entity
        for key, entity in graph.items()
        if key.startswith('#task-') and entity['@type'] == 'CreateAction'
    }
    assert set(actions) == {f'#task-{task.id}' for task in queue}
    bad = queue.tasks(name='broken', one=True)
    assert actions[f'#task-{bad.id}']['actionStatus'] == {
        '@id': 'http://schema.org/FailedActionStatus'
    }
    assert 'ValueError: no' in actions[f'#task-{bad.id}']['error']
    good = queue.tasks(name='average', index=0, one=True)
    action = actions[f'#task-{good.id}']
    assert action['startTime'] < action['endTime'] or good.dtime < 0.001
    assert {item['@id'] for item in action['object']} >= {
        f'#task-{task.id}-result' for task in queue.tasks(name='fraction')
    }
    output = queue.tasks(name='echo', one=True)
    memory = next(
        attempt.memory
        for attempt in queue.ledger.attempts(queue.ledger.row(bytes.fromhex(output.id)))
    )
    used = {
        graph[item['@id']]['name']: graph[item['@id']]['value']
        for item in actions[f'#task-{output.id}']['resourceUsage']
    }
    assert float(used['time']) == pytest.approx(output.dtime)
    assert used.get('memory', '0') == str(memory)
    if os.path.exists('/proc/self/clear_refs'):
        assert memory > 1 << 20
        assert '| most memory |' in (script.folder / 'r.ipynb').read_text()
    tool = graph[action['instrument']['@id']]
    assert (crate / tool['@id']).read_text() == good.app.code
    # Everything that is pointed to is there, and every file is told of.
    for entity in graph.values():
        for value in entity.values():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict) and item['@id'].startswith('#'):
                    assert item['@id'] in graph
    files = {str(path.relative_to(crate)) for path in crate.rglob('*') if path.is_file()}
    assert files - set(graph) == {'desipipe-digests.json'}


def test_changes_of_the_repository(script: Cli) -> None:
    def git(*arguments: str) -> None:
        settings = ['-c', 'user.name=n', '-c', 'user.email=e', '-c', 'init.defaultBranch=main']
        subprocess.run(
            ['git', *settings, *arguments], cwd=script.folder, check=True, capture_output=True
        )

    def made() -> dict[str, Any]:
        script('record', '-q', './pi', '-o', 'r.ipynb', '--crate', 'crate', '--include', 'paths')
        document: dict[str, Any] = json.loads((script.folder / 'r.ipynb').read_bytes())['metadata'][
            KEY
        ]['made']
        return document

    git('init')
    git('add', 'pipe.py')
    git('commit', '-m', 'all')
    assert 'git commit' in made() and 'git diff' not in made()
    path = script.folder / 'pipe.py'
    path.write_text(path.read_text().replace('scale = 2.0', 'scale = 2.5'))
    described = made()
    assert '-scale = 2.0\n+scale = 2.5' in described['git changes']
    assert (script.folder / 'crate' / 'repository.diff').read_text() == described['git changes']
    assert (
        '+scale = 2.5'
        in json.loads((script.folder / 'r.ipynb').read_bytes())['cells'][-1]['source']
    )
    assert script.verify('r.ipynb')['ok']
    # A process that goes on for long, as JupyterLab's server, does not remember what was.
    git('commit', '-am', 'more')
    assert 'git diff' not in made()
    path.write_text(path.read_text() + '# ' + 'x' * 2_000_000)
    assert 'git changes' not in made()
    assert 'more than' in script('record', '-q', './pi', '-o', 'r.ipynb').stderr


def test_crates_do_not_go_over_other_things(script: Cli) -> None:
    (script.folder / 'mine').mkdir()
    (script.folder / 'mine' / 'thesis.txt').write_text('years of work')
    assert (
        'No crate was written'
        in script('record', '-q', './pi', '-o', 'r.ipynb', '--crate', 'mine', status=2).stderr
    )
    assert os.listdir(script.folder / 'mine') == ['thesis.txt']
    for _ in range(2):
        script('record', '-q', './pi', '-o', 'r.ipynb', '--crate', 'crate', '--include', 'paths')
    assert script.verify('crate')['ok']


def test_records_do_not_go_over_other_notebooks(script: Cli) -> None:
    path = script.folder / 'mine.ipynb'
    path.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    assert (
        'mine.ipynb is there, and was not written by this command'
        in script('record', '-q', './pi', '-o', 'mine.ipynb', status=2).stderr
    )
    assert KEY not in path.read_text()


def test_prov(script: Cli) -> None:
    script('record', '-q', './pi', '-o', 'r.ipynb', '--prov', 'p.json')
    document = json.loads((script.folder / 'p.json').read_text())
    queue = Queue(str(script.folder / 'pi'), create=False)
    assert set(document['activity']) == {f'task:{task.id}' for task in queue}
    names = {
        'activity': document['activity'],
        'entity': document['entity'],
        'agent': document['agent'],
    }
    kinds = {
        'activity': 'activity',
        'informed': 'activity',
        'informant': 'activity',
        'entity': 'entity',
        'usedEntity': 'entity',
        'generatedEntity': 'entity',
        'plan': 'entity',
        'agent': 'agent',
    }
    for relation in (
        'used',
        'wasGeneratedBy',
        'wasAssociatedWith',
        'wasInformedBy',
        'wasDerivedFrom',
    ):
        assert document[relation]
        for text in document[relation].values():
            for key, value in text.items():
                assert value in names[kinds[key.removeprefix('prov:')]]
                assert value.split(':')[0] in document['prefix']


# Pictures and tables


def model_of(n: int, width: int = 1) -> QueueModel:
    """A made-up model: ``n`` tasks, each of which needs the one before."""
    head: dict[str, Any] = {
        'name': 'made <up> | & "so"',
        'total': n,
        'counts': {'SUCCEEDED': n},
        'groups': [{'app': 0, 'manager': 0, 'name': 'f<>'}],
        'apps': [
            {
                'id': '00' * 16,
                'name': 'f<>',
                'kind': 'python',
                'source': 'x = "```"',
                'parts': {},
                'versions': [],
            }
        ],
        'workers': [{'name': f'w{i}', 'host': 'h&h', 'slots': 2} for i in range(width)],
        'managers': [],
        'versions': [],
    }
    lines = []
    for row in range(n):
        task: dict[str, Any] = {
            'id': f'{row:032x}',
            'row': row,
            'group': 0,
            'index': row,
            'state': 'SUCCEEDED',
            'added': 0.0,
            'args': {'x': f'={row}'},
        }
        if row:
            task['needs'] = [row - 1]
        task['attempts'] = [
            {
                'n': 1,
                'state': 'SUCCEEDED',
                'worker': row % width,
                'began': float(row),
                'seconds': 1.5,
            }
        ]
        task['result'] = {'size': 4, 'sha256': '00' * 32, 'value': f'={row}'}
        lines.append(seal(task))
    return QueueModel(head, lines)


@pytest.mark.parametrize('n', [0, 1, NODES, NODES + 1, INTERVALS + 1])
def test_pictures_are_bounded_and_well_formed(n: int) -> None:
    model = model_of(n, 3)
    for text in (draw_graph(graph_of([model])), draw_timeline(timeline_of([model]))):
        root = ElementTree.fromstring(text)
        assert root.tag.endswith('svg')
        assert len(text) < 600_000
        assert not re.search(r'nan|inf|None', text)
    assert timeline_of([model])['aggregated'] == (n > INTERVALS)


def test_graphs_with_circles_end() -> None:
    graph = {
        'grouped': True,
        'nodes': [
            {'id': name, 'name': name, 'counts': {'SUCCEEDED': 2}, 'total': 2} for name in 'ab'
        ],
        'edges': [
            {'source': 'a', 'target': 'b', 'count': 1},
            {'source': 'b', 'target': 'a', 'count': 1},
        ],
    }
    ElementTree.fromstring(draw_graph(graph))


def test_tables_are_escaped() -> None:
    model = model_of(30)
    text = cell_section(model, range(30), 'a | <b> *c* $d$', ['note <script>'])
    assert '<script>' not in text
    assert '<b>' not in text
    rows = [line for line in text.splitlines() if line.startswith('|')]
    assert len({line.count('|') for line in rows[:22]}) == 1
    assert '10 more tasks' in text
    assert '````python' in text  # a fence longer than those in the source
    assert (
        plain('[a](b) `c` \\ <d> & | ~~e~~ #')
        == '&#91;a&#93;(b) &#96;c&#96; &#92; &lt;d&gt; &amp; &#124; &#126;&#126;e&#126;&#126; &#35;'
    )


def test_words_of_pieces() -> None:
    for piece in (b'=1', b"='a b'", b'#' + bytes(16), bytes(range(64)), b'=\xff'):
        assert piece_of(word_of(piece)) == piece
    with pytest.raises(ValueError):
        piece_of('1')


def test_lines_know_that_they_were_changed() -> None:
    line = seal({'id': 'é', 'x': 1.5})
    assert sealed(line)
    assert orjson.loads(line)['x'] == 1.5
    data = line.encode()
    for position in range(len(data)):
        spoilt = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        assert not sealed(spoilt.decode(errors='replace')), position
    assert MOST > 1 << 30


def test_size_of_a_record(script: Cli) -> None:
    # Three kilobytes a task at most, with everything that is not of tasks.
    text = (
        "from desipipe import Queue, TaskManager\nqueue = Queue('many', base_dir='.')\ntm = "
        'TaskManager(queue)\n'
        '@tm.python_app\ndef f(x, y="constant"):\n    return x * 1.5\nf.map(x=range(400))\n'
    )
    (script.folder / 'many.py').write_text(text)
    subprocess.run([sys.executable, 'many.py'], cwd=script.folder, check=True, timeout=60)
    subprocess.run(
        [sys.executable, '-m', 'desipipe', 'work', '-q', './many', '--slots', '2'],
        cwd=script.folder,
        check=True,
        timeout=60,
    )
    script('record', '-q', './many', '-o', 'many.ipynb')
    assert (script.folder / 'many.ipynb').stat().st_size < 3000 * 400 / 2
    assert script.verify('many.ipynb')['ok']
