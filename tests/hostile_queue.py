"""Make queues in which each text acts on a terminal and on a page, unless it is made safe."""

from __future__ import annotations

import hashlib
import json
import struct
import time
from typing import Any

from desipipe import Queue
from desipipe.store.line_format import Event

TERMINAL = (
    '\x1b]0;title\x07\x1b]52;c;Y2xpcGJvYXJk\x07\x1b]8;;http://evil.example\x1b\\link\x1b[8mhidden\x1b[2J\x1bc\x1bP+q\x1b\\'
    '\x9b31m\x9d0;c1\x9c\u202eesrever\u2066\u200b\u200d\ufeff\u2028\xad\U000e0041\b\b\x7f'
)
"""Titles, the clipboard, links, concealed text, cleared screens, bidi overrides, characters
without width.
"""
MARKUP = '[bold red]markup[/bold red][link=http://evil.example]x[/link]:smile:'
PAGE = (
    '<img src=x onerror="evil()"><script>evil()</script></pre></td>`````` |x| '
    '$\\href{javascript:evil()}{x}$ ![i](javascript:evil())'
)
HOSTILE = f'{TERMINAL}{MARKUP}{PAGE}\rover'


def make_hostile_queue(
    name: str,
    text: str = HOSTILE,
    outputs: tuple[bytes, bytes] | None = None,
    base_dir: str | None = None,
) -> Queue:
    """Make a queue with finished, failed, running and waiting tasks, each of whose texts holds one.

    Parameters
    ----------
    name : str
    text : str, default=HOSTILE
    outputs : tuple of bytes, default=None
        What each task wrote to its two streams; by default the text.
    base_dir : str, default=None
    """
    queue = Queue(name, base_dir=base_dir)
    queue.pause()
    ledger, now = queue.ledger, time.time()
    out, err = outputs or (f'out {text}\n'.encode(), f'err {text}\n'.encode())

    def stored(data: bytes) -> list[Any]:
        return list(ledger.store(data))

    def end(row: int, state: int, **extra: Any) -> Event:
        ref = stored(b'no pickle')
        columns = {
            'rows': [row],
            'n': [1],
            'b': [0],
            'd': [10**6],
            's': state,
            'seg': [ref[0]],
            'ref': [0, *ref[1:]],
        }
        return {
            'e': 'end',
            'w': 'w1',
            't': now,
            't0': now - 1,
            **columns,
            'x': {'0': {'out': stored(out), 'err': stored(err), **extra}},
        }

    arguments = json.dumps({f'argument {text}': f'value {text}'}).encode()
    payload = struct.pack('<I', len(arguments)) + arguments + b'no pickle'
    refs = [stored(payload) for _ in range(7)]
    ids = ''.join(hashlib.sha256(bytes([row])).hexdigest()[:32] for row in range(7))
    trace = stored(f'Traceback {text}\n  File "{text}", line 3, in {text}\n'.encode())
    cause = {
        'kind': f'Kind{text}',
        'kinds': [f'K{text}'],
        'text': f'cause {text}',
        'errno': 1,
        'trace': trace,
    }
    files = stored(
        json.dumps(
            {'do': 'write', 'path': f'/data/{text}', 'size': 1, 'mtime': 1, 'sha256': '0' * 64}
        ).encode()
    )
    environ = {'name': 'base', 'data': {'NAME': text}, 'command': [f'echo {text}']}
    events: list[Event] = [
        {'e': 'mgr', 'mid': 'm1', 'environ': environ, 'scheduler': {'name': f's{text}'}, 'provider': {'name': f'p{text}', 'x': text}},
        {
            'e': 'app', 'app': 'ab' * 16, 'name': f'app {text}', 'kind': 'python', 'code': stored(b'no pickle'), 'packages': [text],
            'source': stored(f'def f(x):\n    return {text!r} # {text}\n'.encode()), 'parts': stored(json.dumps({f'part {text}': 'a'}).encode()),
        },
        {'e': 'group', 'g': 0, 'app': 'ab' * 16, 'mid': 'm1', 'name': f'name {text}', 'kind': 'cell', 'cwd': f'/cwd{text}', 'path': [text]},
        {'e': 'code', 'place': f'/place{text}', 'app': 'ab' * 16, 'cell': text},
        {'e': 'add', 'first': 0, 'g': 0, 'i': 0, 'ids': ids, 'seg': refs[0][0], 'off': [ref[1] for ref in refs],
         'len': [ref[2] for ref in refs], 't': now, 'req': [[6, [1]]]},
        {'e': 'worker', 'do': 'begin', 'w': 'w1', 'mid': None, 'host': f'host {text}', 'pid': 1, 'slots': 3, 'job': f'job {text}',
         'python': text, 't': now},
        {'e': 'manager', 'do': 'begin', 'w': 'm', 'host': f'manager host {text}', 'pid': 1, 't': now},
        {'e': 'manager', 'do': 'say', 'w': 'm', 'text': f'says {text}', 'mid': 'm1', 't': now},
        {'e': 'job', 'mid': 'm1', 'jobs': [[f'batch {text}', 1, 'pending', f'reason {text}', f'node {text}', None]], 't': now},
        {'e': 'versions', 'w': 'w1', 'app': 'ab' * 16, 'versions': {f'package {text}': f'1{text}'}},
        {'e': 'versions', 'w': 'w1', 'app': '', 'versions': {f'package {text}': f'1{text}', 'declared environment': text}},
        {'e': 'run', 'w': 'w1', 'rows': [0, 1, 2, 3, 4], 'n': [1] * 5, 't': now},
        end(0, 3, files=files),
        end(1, 4, cause=cause),
        end(2, 5, cause={'kind': 'cancelled', 'text': f'cancelled {text}'}),
        end(3, 6, cause={'kind': f'lost {text}', 'text': f'lost {text}'}),
    ]  # fmt: skip
    ledger.journal.write(lambda: events, True)
    ledger.writer.flush()
    ledger.follow()
    return queue
