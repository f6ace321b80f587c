"""Find what a worker that died at once wrote last, wherever its job writes to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from desipipe import Provider
from desipipe.environment.shell_lines import FAILED_COMMAND
from desipipe.execution.last_words import job_log, last_words

LOG = 'workers-0123.log'


@pytest.mark.parametrize(
    ('options', 'file', 'jobid'),
    [
        ({}, f'queue/{LOG}', '12'),
        ({'output': 'out/slurm-%j.out'}, 'out/slurm-12.out', '12'),
        ({'output': 'out/slurm-%j.out', 'error': 'out/slurm-%j.err'}, 'out/slurm-12.err', '12'),
        ({'error': Path('err/%x-%8j.txt')}, 'err/desipipe-q.1-00000012.txt', '12'),
        ({'output': 'o/%A_%a.out'}, 'o/12_3.out', '12_3'),
        ({'output': 'o/%j.out'}, 'o/14.out', '12_3'),
        ({'output': "o/100%% [a] %j's.out"}, "o/100% [a] 12's.out", '12'),
        ({'output': os.devnull}, f'queue/{LOG}', '12'),
    ],
)
def test_last_words(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    file: str,
    jobid: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    provider = Provider('slurm', **options)
    queue = tmp_path / 'queue'
    queue.mkdir()
    (queue / LOG).write_text('of another worker\n')
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'{FAILED_COMMAND} no_such\nmore\npython: command not found\n\n')
    message = last_words(str(queue), LOG, provider, jobid)
    assert message == f'{FAILED_COMMAND} no_such; python: command not found'
    path.write_text('')
    assert last_words(str(queue), LOG, provider, jobid) == f'none (see {path})'
    path.unlink()
    (queue / LOG).unlink(missing_ok=True)
    assert last_words(str(queue), LOG, provider, jobid) == 'none'


def test_other_jobs_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / '112.out').write_text('another')
    assert job_log(Provider('slurm', output='%j.out'), '12') == ''
    assert job_log(Provider('local'), 'local:12') == ''
