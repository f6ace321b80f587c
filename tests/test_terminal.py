"""What carriage returns and other movements of a terminal's cursor leave of a text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desipipe import terminal
from desipipe.outputs.notebook import split
from desipipe.screen import apply_moves
from desipipe.terminal import visible


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('plain\n', 'plain\n'),
        ('  0%\r 50%\r100%\n', '100%\n'),
        ('long\rX', 'Xong'),
        ('long\r\x1b[KX', 'X'),
        ('line\r\nnext\r\n', 'line\nnext\n'),
        ('12%\r', '12%'),
        ('1/10\b\b\b\b2/10', '2/10'),
        ('\x1b[31mred\x1b[0m\r\x1b[32mgreen\x1b[0m!\n', '\x1b[32mgreen\x1b[0m!\n'),
        ('first: 0%\nsecond: 0%\r\x1b[Afirst: 9%\n\rsecond: 9%', 'first: 9%\nsecond: 9%'),
        ('\x1b[5Ctext\x1b[9999Dab', 'ab   text'),
        ('a\x1b[Ab\x1b[999999999999Bc', None),
        ('|\b/\b-\b', '-'),
        ('\x1b[31m\bm', '\x1b[31mm\x1b[0m'),
        (
            'x\r\x1b[31ma\x1b[39m\x1b[32mb\x1b[91mc',
            '\x1b[31ma\x1b[0m\x1b[32mb\x1b[0m\x1b[91mc\x1b[0m',
        ),
        ('x\r\x1b[1;38;5;9ma\x1b[22mb', '\x1b[1m\x1b[38;5;9ma\x1b[0m\x1b[38;5;9mb\x1b[0m'),
        ('abc\rde\rf\r', 'fec'),
        ('abc\x1b[3D\x1b[1Kx\x1b[2Ky', ' y'),
        ('\n' * 1000 + 'a\rb', '\n' * 1000 + 'b'),
    ],
)
def test_settled(text: str, expected: str | None) -> None:
    settled = apply_moves(text)
    assert expected is None or settled == expected
    assert '\r' not in settled and '\b' not in settled


def test_bar_that_is_followed_is_one_line() -> None:
    bar = [f'\r{n:3d}%|{"#" * (n // 10):10}|' for n in range(0, 101, 5)]
    for written in range(1, len(bar) + 1):
        output = split('', ''.join(bar[:written]))
        assert [item['text'] for item in output] == [bar[written - 1][1:]]


@given(st.text(alphabet='ab\n\r\b\x1b[0123;mABK', max_size=200))
def test_settled_text_stays_so(text: str) -> None:
    settled = apply_moves(text)
    assert apply_moves(settled) == settled


@pytest.mark.parametrize('before', ['', 'w' * 20_000 + '\r'], ids=['empty', 'wide'])
@pytest.mark.parametrize(
    'piece',
    [
        'a\b', 'ab\b\b', 'x\r', 'xy\rz', 'a\r\n', '\b\n', '\x1b[31mx\b', 'x\x1b[A', 'x\x1b[B', 'x\x1b[9999B',
        'x\x1b[9999C', '\n\x1b[9999Gx', '\x1b[Bx\x1b[9999G', 'x\x1b[9999G\x1b[1K', 'x\x1b[9999G\x1b[2K', 'x\x1b[K\x1b[D',
        'x\x1b]8;;', '\x1b[38;2;1;2;3mx\x1b[1;2;3;4;5;6;7;9m\r',
    ],
)  # fmt: skip
def test_time_and_length_are_bounded_by_the_text(piece: str, before: str) -> None:
    seconds = []
    for size in (20_000, 160_000):
        text = f'{before}{piece * (size // len(piece))}\r'
        begin = time.process_time()
        settled = apply_moves(text)
        seconds.append(time.process_time() - begin)
        assert len(settled) < 40 * len(text) + 1_000_000
    # Eight times the text, and at least twice eight for what is quadratic.
    assert seconds[1] < 24 * seconds[0] + 1


@pytest.mark.parametrize('piece', ['\0', '\u202e', '\u0301', '\ufe0f', '\x1b[31m', '\r', 'a\0'])
def test_long_runs_are_made_visible_as_short_ones(piece: str) -> None:
    for colours in (False, True):
        head = visible(piece * 10, colours=colours)
        assert visible(piece * 1000, colours=colours).startswith(head)


def test_plain_characters_are_safe() -> None:
    """No character that is let through unseen is one that the full pattern finds."""
    plain = [c for c in map(chr, range(0x110000)) if terminal._plain().fullmatch(c)]
    assert {'a', 'é', '✓', '│', '…'} <= set(plain)
    assert not terminal._unsafe(False).search(''.join(plain))
    text = ''.join(plain) + '\t\n'
    assert visible(text, lines=True) == text != visible(text, lines=False)
