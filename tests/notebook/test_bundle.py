"""What a cell shows of its tasks: the summary, and its forms, that are read where nothing runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desipipe import Queue, TaskManager
from desipipe.commands.tables import queue_lines
from desipipe.errors import QueueGoneError, UnknownTaskError
from desipipe.queue.events import FAILED, KILLED
from desipipe.queue.ledger import Ledger
from desipipe.record.privacy import Privacy
from desipipe.record.reading.queue import read_queue
from desipipe.view.ansi import COLOURS, ansi_html, plain
from desipipe.view.appearance import APPEARANCES, CONDITION_APPEARANCES
from desipipe.view.bundle import MIME, as_html, as_text, bundle
from desipipe.view.cell import CellReader, cell_summary
from desipipe.view.cell_outputs import OUTPUTS_MAX, OUTPUTS_SIZE
from desipipe.view.failures import kinds_text
from desipipe.view.queue import queue_brief, queue_summary
from desipipe.view.rows import format_rows, parse_rows

sys.path.insert(0, str(Path(__file__).parents[1]))
import engine

KEYS = (
    'version queue folder title rows first time condition total counts claimed blocked superseded '
    'left workers slots rate eta elapsed began ended cached computed '
    'failure causes jobs n_jobs job_groups outputs truncated published gone refused untrusted advice'
).split()


def work(queue: Queue) -> None:
    """Run what is there to the end."""
    subprocess.run(
        [sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder],
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope='module')
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Queue, dict[str, list[int]]]:
    """A queue whose tasks ended, and their rows; nothing may be changed in it."""
    queue = Queue('ran', base_dir=tmp_path_factory.mktemp('ran'))
    tm = TaskManager(queue)

    @tm.python_app
    def good(x, y=0):
        import sys

        print('\x1b[32mgood\x1b[0m <i>', x)
        print('warned', x, file=sys.stderr)
        return x

    @tm.python_app
    def bad(x):
        raise ValueError('size must be <b>positive</b> & finite')

    @tm.python_app
    def quiet(x):
        return x

    futures = {
        'good': [good(x) for x in range(3)],
        'bad': [bad(1), bad(2)],
        'quiet': [quiet(1)],
        'blocked': [quiet(bad(1))],
    }
    work(queue)
    return queue, {
        name: [queue.ledger.row(future.tid) for future in several]
        for name, several in futures.items()
    }


@pytest.fixture
def ledger(tmp_path: Path) -> tuple[Queue, Ledger]:
    """A queue for pretend workers."""
    queue = Queue('q', base_dir=tmp_path)
    return queue, queue.ledger


# Rows


@given(st.lists(st.integers(0, 300)))
def test_rows_are_read_as_they_were_written(rows: list[int]) -> None:
    assert [row for part in parse_rows(format_rows(rows)) for row in part] == rows


def test_rows_are_short() -> None:
    assert format_rows([*range(20), 40]) == '0-19,40'
    assert format_rows([range(5), range(5, 8), 3]) == '0-7,3'
    assert parse_rows(' 0-19, 40 ') == [range(20), range(40, 41)]
    assert parse_rows('') == []
    assert len(format_rows(range(10_000))) < 10


@pytest.mark.parametrize('text', ['x', '1-', '-1', '3-1', '1,,2', '1.5', '٣', '9' * 20])
def test_other_text_is_no_rows(text: str) -> None:
    with pytest.raises(UnknownTaskError, match='0-19,40'):
        parse_rows(text)


# The summary


def test_summary(ran: tuple[Queue, dict[str, list[int]]]) -> None:
    queue, rows = ran
    summary = cell_summary(queue, rows['good'], title='good', cached=True)
    assert sorted(summary) == sorted(KEYS)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert (summary['condition'], summary['total'], summary['left'], summary['blocked']) == (
        'done',
        3,
        0,
        0,
    )
    assert summary['counts'] == {
        'WAITING': 0,
        'PENDING': 0,
        'RUNNING': 0,
        'SUCCEEDED': 3,
        'FAILED': 0,
        'KILLED': 0,
        'UNKNOWN': 0,
    }
    assert summary['began'] < summary['ended'] == summary['computed'] <= summary['time']
    assert 0 < summary['elapsed'] == pytest.approx(summary['ended'] - summary['began'])
    assert 1 <= summary['workers'] <= summary['slots']
    assert (
        summary['failure'],
        summary['causes'],
        summary['advice'],
        summary['truncated'],
        summary['rate'],
        summary['eta'],
    ) == (None, [], [], '', None, None)
    assert summary['first'] == queue.ledger.state.ids[rows['good'][0]].hex()
    assert summary['rows'] == format_rows(rows['good'])
    label, out, err = summary['outputs'][:3]
    assert label['metadata']['desipipe'].pop('duration') >= 0
    assert label['metadata']['desipipe'] == {
        'state': 'SUCCEEDED',
        'tid': summary['first'],
        'label': 'good[0]',
        'arguments': 'x=0',
    }
    assert (out, err) == (
        {'output_type': 'stream', 'name': 'stdout', 'text': '\x1b[32mgood\x1b[0m <i> 0\n'},
        {'output_type': 'stream', 'name': 'stderr', 'text': 'warned 0\n'},
    )
    assert len(summary['outputs']) == 9
    assert cell_summary(queue, summary['rows'], title='good', cached=True, outputs=False) | {
        'time': 0
    } == {**summary, 'outputs': [], 'time': 0}


def test_order_is_that_of_the_cell(ran: tuple[Queue, dict[str, list[int]]]) -> None:
    queue, rows = ran
    summary = cell_summary(queue, [*rows['good'][::-1], rows['good'][1]])
    assert summary['total'] == 3
    assert [output['metadata']['desipipe']['arguments'] for output in summary['outputs'][::3]] == [
        'x=2',
        'x=1',
        'x=0',
    ]


def test_cell_summary_labels_no_single_task(ran: tuple[Queue, dict[str, list[int]]]) -> None:
    queue, rows = ran
    assert [
        output['output_type'] for output in cell_summary(queue, rows['good'][:1])['outputs']
    ] == ['stream', 'stream']
    assert cell_summary(queue, rows['quiet'])['outputs'] == []


def test_cell_summary_leaves_out_published_attempts(
    ran: tuple[Queue, dict[str, list[int]]],
) -> None:
    queue, rows = ran
    first, second, _ = rows['good']
    summary = cell_summary(queue, rows['good'], published=f'{first}:1,{second}:2')
    assert summary['published'] == f'{first}:1,{second}:2'
    assert [output['metadata']['desipipe']['arguments'] for output in summary['outputs'][::3]] == [
        'x=1',  # of which another attempt is shown elsewhere
        'x=2',
    ]


def test_failure(ran: tuple[Queue, dict[str, list[int]]]) -> None:
    queue, rows = ran
    summary = cell_summary(queue, [*rows['quiet'], *rows['bad'], *rows['blocked']])
    assert (summary['condition'], summary['blocked'], summary['left']) == ('failed', 1, 0)
    assert {
        key: summary['failure'][key] for key in ('name', 'index', 'state', 'cause', 'line')
    } == {
        'name': 'bad',
        'index': 0,
        'state': 'FAILED',
        'cause': 'ValueError: size must be <b>positive</b> & finite',
        'line': None,
    }
    assert [(cause['name'], cause['count']) for cause in summary['causes']] == [('bad', 1)]
    assert [command.split()[1] for _, command in summary['advice']] == ['logs', 'retry']
    assert [
        output['ename'] for output in summary['outputs'] if output['output_type'] == 'error'
    ] == [
        'ValueError',
        'ValueError',
    ]
    # What blocks a cell may be no task of its own.
    summary = cell_summary(queue, rows['blocked'])
    assert (summary['condition'], summary['failure'], summary['causes'][0]['name']) == (
        'failed',
        None,
        'bad',
    )
    assert [command.split()[1] for _, command in summary['advice']] == ['logs', 'retry']


def test_line_of_the_cell_is_the_innermost(ledger: tuple[Queue, Ledger]) -> None:
    queue, bare = ledger
    rows = engine.add(bare, range(2))
    engine.begin(bare, 'w')
    trace = (
        '  File "<%%desipipe fraction 1a2b>", line 7, in <cell>\n  File "<%%desipipe fraction '
        '1a2b>", line 4, in size\n  File "numpy.py", line 99, in f\n'
    )
    engine.finish(
        bare, 'w', engine.claim(bare, 'w', 2), FAILED, trace=list(bare.store(trace.encode()))
    )
    summary = cell_summary(queue, rows)
    assert summary['failure']['line'] == 4
    assert '(cell line 4)' in as_text(summary)


def test_failures_of_several_causes_are_counted(ledger: tuple[Queue, Ledger]) -> None:
    queue, bare = ledger
    rows = engine.add(bare, range(12))
    engine.begin(bare, 'w')
    trace = list(bare.store(b'Traceback'))
    for n, kind in ((2, 'KeyError'), (5, 'ValueError'), (3, 'ValueError')):
        claimed = engine.claim(bare, 'w', n)
        engine.finish(bare, 'w', claimed, FAILED, kind=kind, text=f'{kind}: {n:d}', trace=trace)
    engine.finish(bare, 'w', engine.claim(bare, 'w', 1), KILLED, text='too slow')
    summary = cell_summary(queue, rows)
    kinds = [('ValueError', 8), ('KeyError', 2), ('KILLED', 1)]
    assert [(each['kind'], each['count']) for each in summary['failure']['kinds']] == kinds
    line = (
        '⚠ 10 failed, 1 killed (ValueError × 8, KeyError × 2, KILLED × 1), '
        'first fraction[0]: KeyError: 2'
    )
    assert line in as_text(summary) and line in Page(as_html(summary)).text
    # Rows of a sweep are grouped by the same names.
    groups = Counter(
        output['metadata']['desipipe'].get('cause')
        for output in summary['outputs']
        if 'label' in output.get('metadata', {}).get('desipipe', {})
    )
    assert groups == {'ValueError': 8, 'KeyError': 2, None: 1}
    lines = queue_lines(queue_summary(queue), '-q survey')
    assert [
        ('  ⚠ ', APPEARANCES['FAILED'].colour),
        (kinds_text(summary['failure']['kinds']), ''),
    ] in (lines)
    # A retry that fails otherwise counts as what it is now.
    bare.retry(lambda state: rows[:1])
    claimed = engine.claim(bare, 'w', 2)
    engine.finish(bare, 'w', claimed, FAILED, kind='OSError', text='OSError', trace=trace)
    kinds = cell_summary(queue, rows[:2])['failure']['kinds']
    assert sorted((each['kind'], each['count']) for each in kinds) == [
        ('KeyError', 1),
        ('OSError', 1),
    ]
    # Failures of one cause are no list of causes.
    alike = cell_summary(queue, rows[2:7])
    assert '⚠ 5 failed, first fraction[2]: ValueError: 5' in as_text(alike)


def test_workers_are_processes_everywhere(ledger: tuple[Queue, Ledger]) -> None:
    queue, bare = ledger
    rows = engine.add(bare, range(6))
    engine.begin(bare, 'w', slots=4)
    cell = CellReader(queue, rows)
    cell.judge = lambda name: True
    summary = cell.summary()
    brief = queue_brief(queue)
    assert (summary['workers'], summary['slots'], brief['workers']) == (1, 4, 1)
    engine.finish(bare, 'w', engine.claim(bare, 'w', 6))
    summary = cell.summary()
    assert (summary['left'], summary['workers'], summary['slots']) == (0, 1, 4)
    assert ' on 1 worker, 4 slots' in as_text(summary)
    assert ' on 1 worker, 4 slots' in as_html(summary)
    assert len(read_queue(queue, Privacy(queue.folder)).head['workers']) == 1


def test_running_waiting_stopped(ledger: tuple[Queue, Ledger]) -> None:
    queue, bare = ledger
    rows = engine.add(bare, range(10))
    assert cell_summary(queue, rows)['condition'] == 'stopped'
    engine.begin(bare, 'w', slots=4)
    engine.finish(bare, 'w', engine.claim(bare, 'w', 4))
    engine.claim(bare, 'w', 2)
    summary = cell_summary(queue, rows)
    # The pretend worker has no lease: it vanished.
    assert (summary['condition'], summary['left'], summary['workers']) == ('stopped', 6, 0)
    assert summary['rate'] > 0 and summary['eta'] == pytest.approx(6 / summary['rate'])
    cell = CellReader(queue, rows)
    cell.judge = lambda name: True
    summary = cell.summary()
    assert (summary['condition'], summary['workers'], summary['slots']) == ('running', 1, 4)
    assert as_text(summary).startswith('████████▓▓▓▓░░░░░░░░  4/10  ● 2 running')
    bare.pause(True)
    assert cell.summary()['condition'] == 'paused'


def test_elapsed_leaves_out_long_pauses(ledger: tuple[Queue, Ledger]) -> None:
    # The pretend workers' tasks began at 100 s + their row, and took a millisecond.
    queue, bare = ledger
    rows = engine.add(bare, range(300))
    engine.begin(bare, 'w')
    engine.finish(bare, 'w', engine.claim(bare, 'w', 10))
    engine.finish(bare, 'w', engine.claim(bare, 'w', 40))
    bare.cancel(lambda state: range(50, 290))
    engine.finish(bare, 'w', engine.claim(bare, 'w', 10))
    assert cell_summary(queue, rows[:50])['elapsed'] == pytest.approx(49, abs=0.1)
    assert cell_summary(queue, rows[290:])['elapsed'] == pytest.approx(9, abs=0.1)
    assert cell_summary(queue, [*rows[:50], *rows[290:]])['elapsed'] == pytest.approx(58, abs=0.1)


def test_deleted_and_gone(ledger: tuple[Queue, Ledger], tmp_path: Path) -> None:
    queue, bare = ledger
    rows = engine.add(bare, range(5))
    cell = CellReader(queue, rows)
    bare.drop(lambda state: [3, 4])
    assert (cell.summary()['total'], cell.summary()['condition']) == (3, 'stopped')
    queue.compact()
    assert cell.summary()['total'] == 3
    queue.clear()
    with pytest.raises(QueueGoneError, match='cleared'):
        cell.summary()
    with pytest.raises(UnknownTaskError, match='no row 4'):
        cell_summary(queue, rows)
    queue.delete()
    with pytest.raises(QueueGoneError):
        cell_summary(queue, [0])


@pytest.mark.parametrize(('n', 'rows'), [(8, 0), (20, 20)])
def test_outputs_of_many_tasks_are_folded(ledger: tuple[Queue, Ledger], n: int, rows: int) -> None:
    queue, journal = ledger
    engine.add(journal, [f'task {i}' for i in range(n)])
    engine.begin(journal, 'w', n)
    engine.finish(journal, 'w', engine.claim(journal, 'w', n))
    html = as_html(cell_summary(queue, f'0-{n - 1}'))
    assert html.count('<details><summary>') == html.count('</details>') == rows
    summaries = re.findall('<summary>(.*?)</summary>', html)
    for i, row in enumerate(summaries):  # one line, with the last line of the output
        assert '<div' not in row and '✓' in row and f'>err {i} ' in row
    assert html.count('out ') == n


def test_text_of_many_tasks_is_folded(ledger: tuple[Queue, Ledger]) -> None:
    queue, journal = ledger
    engine.add(journal, [f'task {i}' for i in range(60)])
    engine.begin(journal, 'w', 60)
    engine.finish(journal, 'w', engine.claim(journal, 'w', 60))
    few = as_text(cell_summary(queue, '0-7')).splitlines()
    assert 'out 7 1err 7 1' in few
    _, *rows, more, logs = as_text(cell_summary(queue, '0-59')).splitlines()
    assert len(rows) == 40 and all(row.startswith('✓ ') for row in rows)
    assert all(row.endswith(f'  err {i} 1') for i, row in enumerate(rows))
    assert more == '… 20 more tasks'
    html = as_html(cell_summary(queue, '0-59'))
    assert html.index('[39]') < html.index('<summary>… 20 more tasks') < html.index('[40]')
    tid = queue.ledger.state.ids[0].hex()[:12]
    assert re.fullmatch(rf'\[all that .*\[0\] printed: %desipipe logs -q \S+ {tid}\]', logs)


def test_failures_of_many_tasks_are_grouped_by_cause(tmp_path: Path) -> None:
    queue = Queue('causes', base_dir=tmp_path)

    @TaskManager(queue).python_app
    def step(i):
        if i == 3:
            raise KeyError(i)
        if i % 2:
            raise ValueError(f'<b>{i}</b>')
        print('last', i)

    step.map(i=range(10))
    work(queue)
    html = as_html(cell_summary(queue, '0-9'))
    rows = [re.sub('<[^>]*>', '', row) for row in re.findall('<summary>(.*?)</summary>', html)]
    assert rows[0] == '✕ ValueError × 4'
    assert [row[:9] for row in rows[1:5]] == [f'✕ step[{i}]' for i in (1, 5, 7, 9)]
    assert [row[:9] for row in rows[5:]] == [
        f'{"✕" if i == 3 else "✓"} step[{i}]' for i in (3, 0, 2, 4, 6, 8)
    ]
    text = as_text(cell_summary(queue, '0-9')).splitlines()
    start = text.index('✕ ValueError × 4')
    assert [row[:11] for row in text[start + 1 : start + 4]] == [
        f'  ✕ step[{i}]' for i in (1, 5, 7)
    ]
    assert text[start + 4] == '  … 1 more task'
    assert [row[:9] for row in text[start + 5 : -1]] == [row[:9] for row in rows[5:]]
    group = html[: html.index('step[0]')]
    assert group.count('<details>') - group.count('</details>') == 1  # that of step[0] itself


def test_outputs_of_failures_come_first_where_there_is_no_room(tmp_path: Path) -> None:
    queue = Queue('q', base_dir=tmp_path)

    @TaskManager(queue).python_app
    def step(i):
        print(i)
        if i % 10 == 9:
            raise ValueError(i)

    step.map(i=range(30))
    work(queue)
    labels = [
        made
        for output in CellReader(queue, range(30)).summary(most=9)['outputs']
        if (made := output.get('metadata', {}).get('desipipe')) and 'label' in made
    ]
    assert [(made['label'], made.get('cause')) for made in labels] == [
        *((f'step[{i}]', 'ValueError') for i in (9, 19, 29)),
        *((f'step[{i}]', None) for i in (0, 1, 2)),
    ]


def test_outputs_are_bounded(ledger: tuple[Queue, Ledger]) -> None:
    queue, bare = ledger
    rows = engine.add(bare, range(1400))
    engine.begin(bare, 'w')
    engine.finish(bare, 'w', engine.claim(bare, 'w', 1400))
    summary = cell_summary(queue, rows)
    assert len(summary['outputs']) <= 2 * OUTPUTS_MAX
    more = re.search(
        r'what (\d+) more tasks printed is not shown; the first of them: %(desipipe logs [^;]*); '
        'its figures as files: ',
        summary['truncated'],
    )
    assert more and 0 < int(more[1]) < 1400
    run = subprocess.run(
        [sys.executable, '-m', *more[2].split()], check=True, capture_output=True, text=True
    )
    assert re.search(r'out \d+ 1', run.stdout)
    few = cell_summary(queue, rows, limit=100)
    assert sum(len(output.get('text', '')) for output in few['outputs']) < 3000
    assert few['truncated']


def test_large_output_is_cut(tmp_path: Path) -> None:
    queue = Queue('q', base_dir=tmp_path)
    tm = TaskManager(queue)

    @tm.python_app
    def much():
        print('first')
        print('x' * 200_000)
        print('last')

    row = queue.ledger.row(much().tid)
    work(queue)
    summary = cell_summary(queue, [row], limit=10_000)
    (output,) = summary['outputs']
    assert output['text'].startswith('first\n') and output['text'].endswith('last\n')
    assert len(output['text']) < 11_000
    assert 'much[0]' in summary['truncated'] and 'desipipe logs' in summary['truncated']
    assert OUTPUTS_SIZE > 200_000
    assert len(as_text(cell_summary(queue, [row]))) < 25_000


# Its forms


class Page(HTMLParser):
    """Collects text, and looks whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ''
        self.open: list[str] = []
        self.tags: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        """Begin."""
        self.tags.append(tag)
        if tag not in ('img', 'br'):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """End."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text."""
        self.text += data


def test_as_html_escapes_texts_of_users(ran: tuple[Queue, dict[str, list[int]]]) -> None:
    queue, rows = ran
    summary = cell_summary(
        queue, [*rows['good'], *rows['bad'], *rows['blocked']], title='<script>alert(1)</script>'
    )
    html = as_html(summary)
    page = Page(html)
    assert not page.open
    assert not {'script', 'i', 'style', 'link'} & set(page.tags)
    assert 'good <i> 0' in page.text
    assert '<script>alert(1)</script>' in page.text
    assert '<span style="color:#008762">good</span> &lt;i&gt; 0' in html
    assert 'size must be <b>positive</b> & finite' in page.text


def test_forms_say_the_same(ran: tuple[Queue, dict[str, list[int]]]) -> None:
    queue, rows = ran
    summary = cell_summary(queue, [*rows['good'], *rows['bad']], title='mixed')
    data = bundle(summary)
    assert list(data) == ['text/plain', 'text/html', MIME]
    assert data[MIME] == {**summary, 'time': summary['computed']}
    text = Page(data['text/html']).text
    for expected_text in (
        '✕ mixed',
        '3 of 5 tasks succeeded',
        '⚠ 2 failed, first bad[0]: ValueError',
        '→ Log: %desipipe logs',
        'good <i> 2',
        'warned 1',
    ):
        assert expected_text in data['text/plain'].replace('  ', ' '), expected_text
        assert expected_text in text.replace('\u2002', ' '), expected_text
    assert ' · ended 2' in text and 'as of' not in text
    again = cell_summary(queue, [*rows['good'], *rows['bad']], title='mixed')
    assert again['time'] > summary['time'] and bundle(again) == data, (
        'what is over looks the same whenever it is looked at'
    )
    assert '\x1b' not in data['text/plain'] + data['text/html']


@pytest.mark.parametrize('condition', CONDITION_APPEARANCES)
def test_conditions_have_texts(condition: str) -> None:
    counts = {state: 0 for state in APPEARANCES if state not in ('BLOCKED', 'DELETED')}
    counts['PENDING'] = 4
    summary = dict.fromkeys(KEYS) | {
        'queue': 'q',
        'title': 'name',
        'condition': condition,
        'total': 4,
        'counts': counts,
        'blocked': 0,
        'left': 4,
        'workers': 0,
        'elapsed': 0.0,
        'time': 1e9,
        'outputs': [],
        'truncated': '',
        'gone': '',
        'causes': [],
        'jobs': [],
        'job_groups': [],
        'advice': [],
    }
    for shown_text in (as_text(summary), as_html(summary), as_text(summary | {'gone': 'deleted'})):
        assert 'name' in shown_text
    if condition not in ('running', 'done'):
        assert CONDITION_APPEARANCES[condition].symbol in as_text(summary)
    assert as_text(summary | {'gone': 'the queue was deleted'}).endswith('– the queue was deleted')


def test_rich_outputs(ran: tuple[Queue, dict[str, list[int]]]) -> None:
    queue, rows = ran
    display = {'output_type': 'display_data', 'metadata': {}}
    summary = cell_summary(queue, rows['quiet']) | {
        'outputs': [
            {**display, 'data': {'image/png': 'aGVs\nbG8=', 'text/plain': '<Figure>'}},
            {**display, 'data': {'image/svg+xml': '<svg><script>bad()</script></svg>'}},
            {
                **display,
                'data': {'text/html': '<table><tr><td>7</td></tr></table>', 'text/plain': '7'},
            },
            {**display, 'data': {'text/latex': '$a<b$'}},
            {**display, 'data': {'application/x-thing': {'a': 1}}},
            {
                'output_type': 'error',
                'ename': 'E',
                'evalue': '<v>',
                'traceback': ['\x1b[31mE\x1b[0m: <v>'],
            },
        ]
    }
    html = as_html(summary)
    assert 'src="data:image/png;base64,aGVsbG8="' in html
    assert 'data:image/svg+xml;base64,' in html and 'bad()' not in html
    assert '<table><tr><td>7</td></tr></table>' in html
    assert '$a&lt;b$' in html and 'application/x-thing' in html
    assert '<span style="color:#c25500">E</span>: &lt;v&gt;' in html
    assert not Page(html).open
    assert as_text(summary).splitlines()[1:6] == [
        '<Figure>',
        '<image/svg+xml>',
        '7',
        '<text/latex>',
        '<application/x-thing>',
    ]


@pytest.mark.parametrize(
    ('text', 'html'),
    [
        ('a<b', 'a&lt;b'),
        ('\x1b[1mbold\x1b[22m not', '<span style="font-weight:bold">bold</span> not'),
        ('\x1b[38;5;196mx\x1b[39my', '<span style="color:#ff0000">x</span>y'),
        ('\x1b[38;2;1;2;3mx\x1b[m', '<span style="color:#010203">x</span>'),
        (
            '\x1b[31;4mx\x1b[0;32my',
            (
                '<span style="color:#c25500;text-decoration:underline">x</span><span '
                'style="color:#008762">y</span>'
            ),
        ),
        ('\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\', 'link'),
        ('\x1b]0;title\x07x\x1b[2K\x1b[?25ly', 'xy'),
        (' 10%\r 20%\r100%\nnext\r\nlast', '100%\nnext\nlast'),
        ('\x1b[38;5mx\x1b[', 'x'),
        ('\x1b[38;2;999;0;0m<', '<span style="color:#ff0000">&lt;</span>'),
    ],
)
def test_colours_of_terminals(text: str, html: str) -> None:
    assert ansi_html(text) == html
    assert plain(text) == re.sub('<[^>]*>', '', html).replace('&lt;', '<')


def contrast(colour: str, background: str) -> float:
    """Return the contrast of two colours, as WCAG defines it."""

    def luminance(text: str) -> float:
        parts = [int(text[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        ]
        return sum(w * part for w, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    darker, lighter = sorted((luminance(colour), luminance(background)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize('background', ['#ffffff', '#111111'])
def test_colours_of_symbols_can_be_seen(background: str) -> None:
    for look in (*APPEARANCES.values(), *CONDITION_APPEARANCES.values()):
        assert contrast(look.colour, background) >= 3


def test_colours_of_terminals_can_be_read() -> None:
    for colour in COLOURS:
        assert contrast(colour, '#ffffff') >= 4.5
        assert contrast(colour, '#111111') >= 4.1


@given(st.text(st.sampled_from('\x1b[]m;0138\r\n\\\x07<a"'), max_size=30))
def test_page_is_not_broken_by_texts_of_tasks(text: str) -> None:
    page = Page(f'<pre>{ansi_html(text)}</pre>')
    assert not page.open
    assert set(page.tags) <= {'pre', 'span'}
    assert '\x1b' not in plain(text)


def test_exported_notebook_shows_the_truth(
    ran: tuple[Queue, dict[str, list[int]]], tmp_path: Path
) -> None:
    pytest.importorskip('nbconvert')
    queue, rows = ran
    cell = CellReader(queue, [*rows['good'], *rows['bad'], *rows['quiet']])
    summary = cell.summary('power')
    running = {**summary, 'left': 1, 'condition': 'running', 'outputs': []}
    book = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(
                'x',
                outputs=[
                    nbformat.v4.new_output('display_data', bundle(expected_text))
                    for expected_text in (running, summary)
                ],
            )
        ]
    )
    nbformat.validate(book)
    path = tmp_path / 'book.ipynb'
    nbformat.write(book, path)
    env = {**os.environ, 'JUPYTER_CONFIG_DIR': str(tmp_path), 'IPYTHONDIR': str(tmp_path)}
    subprocess.run(
        [sys.executable, '-m', 'jupyter', 'nbconvert', '--to', 'html', str(path)],
        check=True,
        capture_output=True,
        env=env,
        timeout=120,
    )
    html = (tmp_path / 'book.html').read_text()
    text = re.sub('<[^>]*>', '', html)
    assert 'power&ensp;' + '█' * 14 + '✕' * 6 + '&ensp;4/6' in text.replace('\u2002', '&ensp;')
    assert (
        '⚠ 2 failed, first bad[0]: ValueError: size must be &lt;b&gt;positive&lt;/b&gt; &amp; finite'
        in text
    )
    assert 'good &lt;i&gt; 1' in text
    assert '✕ power&ensp;' + '█' * 14 + '✕' * 6 + '&ensp;4 of 6 tasks succeeded' in text.replace(
        '\u2002', '&ensp;'
    )
