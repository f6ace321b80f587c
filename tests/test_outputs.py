"""What tasks wrote becomes outputs of a notebook: marks are found, applied, and never seen,
wherever output was cut.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desipipe.execution.capture import Capture
from desipipe.outputs.notebook import CUT, Stripper, mark, split, strip

LINE = '\n[desipipe: 5 of 9 bytes cut here; output_limit in config.yaml sets how much is kept]\n'
# What a cell does, one word each; each piece of text and each display that can't be updated has a
# number of its own.
ACTS = st.lists(
    st.sampled_from(
        [
            'out',
            'out',
            'err',
            'display',
            'named a',
            'named b',
            'update a',
            'update b',
            'clear',
            'clear later',
        ]
    ),
    max_size=25,
)


def make_text(number: int) -> str:
    # No character of them stands in any mark: a piece of a mark that is shown is found.
    return chr(0x4E00 + number) * (1 + number % 4) + '\n' * (number % 3 == 0)


def perform(acts: list[str]) -> tuple[str, str, list[dict[str, Any]]]:
    """What a cell writes to its two streams, and what should be seen of it."""
    streams, turns, last = {'out': '', 'err': ''}, 0, 'out'
    seen: list[dict[str, Any]] = []
    names: dict[str, list[dict[str, Any]]] = {}
    later = False

    def turn(stream: str) -> None:
        nonlocal turns, last
        if stream != last:
            turns, last = turns + 1, stream
            for name in streams:
                streams[name] += mark({'n': turns}).decode()

    def clear() -> None:
        nonlocal later
        seen.clear()
        names.clear()
        later = False

    for number, act in enumerate(acts):
        kind, _, name = act.partition(' ')
        turn('err' if kind == 'err' else 'out')
        if kind in ('out', 'err'):
            if later:
                clear()
            streams[kind] += make_text(number)
            if seen and seen[-1].get('name') == f'std{kind}':
                seen[-1]['text'] += make_text(number)
            else:
                seen.append(
                    {'output_type': 'stream', 'name': f'std{kind}', 'text': make_text(number)}
                )
        elif kind == 'clear':
            streams['out'] += mark({'c': True, 'w': bool(name)}).decode()
            later = True
            if not name:
                clear()
        else:
            data = {
                'text/plain': make_text(number),
                'text/html': '\x1b' + make_text(number) + LINE + '\x1b\\',
            }
            message: dict[str, Any] = {'d': data, 'm': {'text/html': {'isolated': True}}}
            message |= ({'i': name} if name else {}) | ({'u': True} if kind == 'update' else {})
            streams['out'] += mark(message).decode()
            for other in names.get(name, []):
                other.update(data=data)
            if kind != 'update':
                if later:
                    clear()
                seen.append({'output_type': 'display_data', 'data': data, 'metadata': message['m']})
                if name:
                    names.setdefault(name, []).append(seen[-1])
    return streams['out'], streams['err'], seen


def numbers(outputs: list[dict[str, Any]], acts: list[str]) -> list[int]:
    """What is seen, in order; what may be updated is no part of it, as it is elsewhere than it
    was written.
    """
    collected = []
    for output in outputs:
        text = output['text'] if output['output_type'] == 'stream' else output['data']['text/plain']
        collected += [ord(c) - 0x4E00 for c in CUT.sub('', text) if c not in '\n\ufffd']
    return [number for number in collected if acts[number] in ('out', 'err', 'display')]


def clean(outputs: list[dict[str, Any]]) -> None:
    """No piece of a mark is seen."""
    for output in outputs:
        if output['output_type'] == 'stream':
            assert re.fullmatch('[\u4e00-\u4f00\n\ufffd]*', CUT.sub('', output['text'])), output


def captured(text: str, limit: int) -> str:
    capture = Capture(limit)
    for position in range(0, len(text.encode()), 7):
        capture.write(text.encode()[position : position + 7])
    return capture.value().decode(errors='replace')


@given(ACTS)
def test_split_returns_outputs_in_order(acts: list[str]) -> None:
    out, err, seen = perform(acts)
    assert split(out, err) == seen
    for text in (out, err):
        assert strip(text) == ''.join(
            re.findall('[\u4e00-\u4f00\n]', re.sub('\x1b_.*?\x1b\\\\', '', text))
        )
        assert strip(text.encode()).decode() == strip(text)


@given(ACTS, st.integers(0, 600), st.integers(0, 600))
def test_cut_in_the_middle(acts: list[str], out_limit: int, err_limit: int) -> None:
    out, err, _ = perform([act for act in acts if not act.startswith('clear')])
    acts = [act for act in acts if not act.startswith('clear')]
    kept = captured(out, out_limit), captured(err, err_limit)
    outputs = split(*kept)
    clean(outputs)
    kept_numbers = numbers(outputs, acts)
    assert kept_numbers == sorted(kept_numbers)
    for text, whole in zip(kept, (strip(out), strip(err)), strict=True):
        head, *rest = CUT.sub('\0', strip(text)).replace('\ufffd', '').split('\0')
        assert whole.startswith(head)
        assert not rest or whole.endswith(rest[0])
        assert bool(CUT.search(text)) == bool(rest)


@given(ACTS, st.data())
def test_so_far(acts: list[str], data: st.DataObject) -> None:
    """A task that runs: both streams as far as they were copied; or from somewhere on, if it
    wrote too much.
    """
    out, err, _ = perform(acts)
    so_far = out[: data.draw(st.integers(0, len(out)))], err[: data.draw(st.integers(0, len(err)))]
    outputs = split(*so_far)
    clean(outputs)
    kept_numbers = numbers(outputs, acts)
    assert kept_numbers == sorted(kept_numbers)
    assert all(
        strip(whole).startswith(strip(part)) for whole, part in zip((out, err), so_far, strict=True)
    )
    position = data.draw(st.integers(0, len(out)))
    clean(split(LINE + out[position:], err))
    assert strip(out).endswith(strip(LINE + out[position:]).removeprefix(LINE))


@pytest.mark.parametrize(
    'acts',
    [
        [
            'out',
            'display',
            'err',
            'named a',
            'out',
            'update a',
            'err',
            'out',
            'clear later',
            'display',
            'err',
        ]
    ],
)
def test_cut_at_every_byte(acts: list[str]) -> None:
    out, err, _ = perform(acts)
    for limit in range(2 * len(out.encode())):
        clean(split(captured(out, limit), captured(err, limit // 9)))
    for position in range(len(out)):
        clean(split(out[:position], err))
        clean(split(LINE + out[position:], err))


@given(ACTS, st.lists(st.integers(1, 40), max_size=200))
def test_stripped_as_it_comes(acts: list[str], sizes: list[int]) -> None:
    out, _, _ = perform(acts)
    data, stripper, stripped = out.encode(), Stripper(), b''
    for size in sizes:
        stripped += stripper.feed(data[:size])
        data = data[size:]
    assert stripped + stripper.feed(data) == strip(out.encode())


def test_stripped_after_something_was_missed() -> None:
    stripper = Stripper()
    assert stripper.feed(b'one\n' + mark({'d': {}})[:9]) == b'one\n'
    stripper.miss()
    assert stripper.feed(b'"text/plain": "a"') == b''
    assert stripper.feed(b'}}\x1b') == b''
    assert stripper.feed(b'\\two') == b'two'


@given(
    st.lists(
        st.sampled_from(
            [
                '\x1b',
                '\x1b_desipipe ',
                '\x1b\\',
                '{"n":',
                '{"n": 3}',
                '{"d": 3}',
                '{"d": {}, "i": [1]}',
                '[' * 9000,
                ' ',
                '\\',
                '\n',
                LINE,
                'word',
            ]
        )
    )
)
def test_split_removes_false_marks(pieces: list[str]) -> None:
    text = ''.join(pieces)
    for outputs in (split(text, ''), split('', text), split(text, text)):
        assert all('\x1b_desipipe ' not in output.get('text', '') for output in outputs)
    assert '\x1b_desipipe ' not in strip(text)


def test_other_escape_sequences_stay() -> None:
    text = (
        '\x1b[31mred\x1b[0m \x1b]8;;https://example.org\x1b\\a link\x1b]8;;\x1b\\ \x1b_other\x1b\\ '
        '\\ C:\\desipipe\n'
    )
    assert strip(text) == text
    assert split(text, '') == [{'output_type': 'stream', 'name': 'stdout', 'text': text}]
    out = text + mark({'d': {'text/plain': '1'}}).decode() + text
    assert [output.get('text') for output in split(out, '')] == [text, None, text]


def test_written_over_by_another_process() -> None:
    """A mark that is larger than a pipe takes at once may have something of a child process in
    it: both are lost, and nothing else.
    """
    out = 'before\n' + mark({'d': {'text/plain': 'x' * 9000}}).decode()
    out = out[:5000] + 'a child\n' + out[5000:] + 'after\n'
    assert split(out, '') == [
        {'output_type': 'stream', 'name': 'stdout', 'text': 'before\nafter\n'}
    ]


def test_update_of_what_was_not_kept_is_shown() -> None:
    update = mark({'d': {'text/plain': 'new'}, 'i': 'a', 'u': True}).decode()
    assert split(update, '') == []
    assert [output['output_type'] for output in split(LINE + update, '')] == [
        'stream',
        'display_data',
    ]
