"""The chaos run for a minute, and its checker, which must find what is wrong in a journal."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from chaos.checker import FAILED, SUCCEEDED, Checker
from chaos.driver import COMMANDS, LEASE_S, SIGNALS, choose
from chaos.processes import KINDS

ROOT = Path(__file__).parents[1]
SEED = 20261122
MINUTES = 1.5  # With what it takes until all has ended two minutes; `make chaos` runs longer.
Event = dict[str, Any]
IDS = {'a': 'a' * 32, 'b': 'b' * 32}


@pytest.mark.slow
@pytest.mark.timeout(900)  # more than all that the run itself waits for
def test_chaos_run_finds_nothing_wrong(tmp_path: Path) -> None:
    arguments = ['--minutes', str(MINUTES), '--seed', str(SEED), '--folder', str(tmp_path)]
    command = [sys.executable, '-m', 'tests.chaos', *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f'seed {SEED}' in done.stdout.splitlines()[0]


def test_seed_repeats_all_choices() -> None:
    """Each step is chosen whatever the machine made of those before it."""
    steps = [choose(SEED, step) for step in range(500)]
    assert steps == [choose(SEED, step) for step in range(500)]
    assert steps != [choose(SEED + 1, step) for step in range(500)]
    assert {choices.kind for choices in steps} == set(KINDS)
    assert {choices.number for choices in steps} == set(SIGNALS)
    assert {choices.clear for choices in steps} == {'', 'add', 'clear'}
    assert all(command in [choices.command for choices in steps] for command in COMMANDS)
    assert max(choices.duration for choices in steps) > LEASE_S


def run(row: int, n: int, worker: str = 'w') -> dict[str, Any]:
    return {'e': 'run', 'w': worker, 'rows': [row], 'n': [n], 't': 0.0}


def end(row: int, n: int, state: int = SUCCEEDED, worker: str = 'w') -> dict[str, Any]:
    result = {'seg': ['s'], 'ref': [0, 0, 5]}
    return {'e': 'end', 'w': worker, 'rows': [row], 'n': [n], 's': state, **result}


def add(row: int, tid: str, requires: list[int]) -> dict[str, Any]:
    event = {'e': 'add', 'first': row, 'g': 0, 'ids': tid, 'len': [1]}
    return {**event, 'req': [[0, requires]]}


HEAD = [
    {'e': 'group', 'g': 0, 'retries': 1},
    add(0, IDS['a'], []),
    add(1, IDS['b'], [0]),
]
GOOD = [run(0, 1), end(0, 1), run(1, 1), end(1, 1)]
WORKER_ENDS = {'e': 'worker', 'do': 'end', 'w': 'w'}


def write_journal(folder: Path, events: list[dict[str, Any]]) -> None:
    """Replace the journal, as compaction does."""
    (folder / 'segments').mkdir(exist_ok=True)
    (folder / 'segments' / 's.bin').write_bytes(pickle.dumps(7))
    text = b''
    for event in events:
        body = json.dumps({**event, 'at': len(text)}, separators=(',', ':')).encode()[:-1]
        text += body + b',"crc":"%08x"}\n' % zlib.crc32(body)
    (folder / 'new').write_bytes(text)
    os.replace(folder / 'new', folder / 'journal.jsonl')


def faults_of(folder: Path, *generations: list[dict[str, Any]]) -> str:
    """Return what the checker finds in journals that replace one another."""
    checker = Checker(folder)
    for events in generations:
        write_journal(folder, events)
        checker.follow()
    checker.check_end({IDS['a']: 7, IDS['b']: 7})
    checker.close()
    return '\n'.join(checker.faults)


def test_checker_passes_a_sound_journal(tmp_path: Path) -> None:
    back = {'e': 'back', 'rows': [0], 'n': [1]}
    fenced = [run(0, 1), back, run(0, 2), end(0, 1, FAILED), end(0, 2)]
    again = [run(0, 1), end(0, 1, FAILED), run(0, 2), end(0, 2)]
    assert not faults_of(tmp_path, [*HEAD, *GOOD], [*HEAD, *GOOD])
    assert not faults_of(tmp_path, [*HEAD, *fenced, run(1, 1), end(1, 1)])
    assert not faults_of(tmp_path, [*HEAD, *again, *GOOD[2:]])


@pytest.mark.parametrize(
    ('events', 'text'),
    [
        ([*HEAD, run(1, 1), end(1, 1), *GOOD[:2]], 'begins before row 0'),
        ([*HEAD, *GOOD, run(0, 2)], 'is claimed as attempt 2'),
        ([*HEAD, run(0, 1), run(0, 2, 'v'), *GOOD[1:]], 'is claimed as attempt 2'),
        ([*HEAD, run(0, 1), end(0, 1, worker='v')], 'ends in state 2'),
        ([*HEAD, *GOOD, add(1, 'c' * 32, [])], 'row 1 is used twice'),
        ([*HEAD, *GOOD, add(2, IDS['a'], [])], 'is row 0'),
        ([*HEAD[:2], *GOOD[:2]], 'is not in the journal'),
        ([*HEAD, run(0, 1), WORKER_ENDS], 'that it ran did not'),
        ([*HEAD, WORKER_ENDS, *GOOD], 'claims after its end'),
        ([*HEAD, *GOOD[:3], end(1, 1, FAILED), run(1, 2), end(1, 2, FAILED)], 'ends in state 4'),
    ],
)
def test_checker_finds_contradictions(tmp_path: Path, events: list[Event], text: str) -> None:
    assert text in faults_of(tmp_path, events)


def test_checker_finds_what_compaction_lost(tmp_path: Path) -> None:
    assert 'compaction lost row 1' in faults_of(tmp_path, [*HEAD, *GOOD], [*HEAD[:2], *GOOD[:2]])
    assert 'had succeeded by attempt 1' in faults_of(tmp_path, [*HEAD, *GOOD], [*HEAD, *GOOD[:3]])


def test_checker_finds_damage_and_wrong_results(tmp_path: Path) -> None:
    write_journal(tmp_path, [*HEAD, *GOOD])
    path = tmp_path / 'journal.jsonl'
    path.write_bytes(path.read_bytes().replace(b'"retries":1', b'"retries":2'))
    checker = Checker(tmp_path)
    checker.follow()
    checker.check_end({IDS['a']: 8, IDS['b']: 7})
    checker.close()
    assert 'a line is damaged' in checker.faults[0]
    assert 'has the result 7, not 8' in checker.faults[1]
