"""What carriage returns and other movements of a terminal's cursor leave of a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desipipe.outputs.notebook import split
from desipipe.terminal import settle


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
    ],
)
def test_settled(text: str, expected: str | None) -> None:
    found = settle(text)
    assert expected is None or found == expected
    assert '\r' not in found and '\b' not in found


def test_a_bar_that_is_followed_is_one_line() -> None:
    bar = [f'\r{n:3d}%|{"#" * (n // 10):10}|' for n in range(0, 101, 5)]
    for written in range(1, len(bar) + 1):
        output = split('', ''.join(bar[:written]))
        assert [item['text'] for item in output] == [bar[written - 1][1:]]


@given(st.text(alphabet='ab\n\r\b\x1b[0123;mABK', max_size=200))
def test_settled_text_stays_so(text: str) -> None:
    found = settle(text)
    assert settle(found) == found
