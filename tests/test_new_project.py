"""The project that `desipipe new` begins: its notebook runs as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from desipipe import FileManager
from desipipe.cli import main
from desipipe.config.keys import KEYS


def test_notebook_of_a_new_project_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('ipykernel')
    monkeypatch.chdir(tmp_path)
    assert main(['new', 'mocks']) == 0
    output = capsys.readouterr()
    assert output.out.split() == ['mocks/mocks.ipynb', 'mocks/files.yaml', 'mocks/config.yaml']
    assert 'desipipe run mocks/mocks.ipynb' in output.err
    command = [sys.executable, '-m', 'desipipe', 'run', 'mocks/mocks.ipynb']
    ran = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    summary = json.loads((tmp_path / 'mocks/data/summary.json').read_text())
    assert summary['points'] == 4000 and abs(summary['mean']) < 0.1
    files = FileManager('mocks/files.yaml', environ={'DATA': 'mocks/data'})
    assert len(files.select('catalog').exists()[True]) == 4


def test_configuration_of_a_new_project_names_keys_that_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main(['new', 'mocks'])
    text = (tmp_path / 'mocks/config.yaml').read_text()
    assert yaml.safe_load(text) == {}
    lines = [line.removeprefix('# ') for line in text.splitlines() if line.startswith('# ')]
    settings = yaml.safe_load('\n'.join(line for line in lines if line.split(':')[0] in KEYS))
    assert len(settings) == 5


def test_files_that_are_there_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'mocks').mkdir()
    (tmp_path / 'mocks/files.yaml').write_text('mine')
    assert main(['new', 'mocks']) == 0
    assert 'mocks/files.yaml is there, and was kept' in capsys.readouterr().out
    assert (tmp_path / 'mocks/files.yaml').read_text() == 'mine'
    assert main(['new', 'a b']) == 2
    assert 'cannot be the name of a queue' in capsys.readouterr().err
