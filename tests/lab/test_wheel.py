"""What users install has the JupyterLab side in it, built."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = (
    pytest.mark.browser
)  # not for the browser itself: it needs the built front end, as the other tests of this mark do

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = 'share/jupyter/labextensions/desipipe-lab'


def test_wheel_has_the_front_end(tmp_path: Path) -> None:
    if not (ROOT / 'jupyter_ext' / 'labextension' / 'package.json').exists():
        pytest.skip('the front end is not built; try: make labextension')
    subprocess.run(
        [sys.executable, '-m', 'hatchling', 'build', '-t', 'wheel', '-d', str(tmp_path)],
        cwd=ROOT,
        check=True,
    )
    (path,) = tmp_path.glob('*.whl')
    with zipfile.ZipFile(path) as wheel:
        data = {
            name.partition('.data/data/')[2]: name
            for name in wheel.namelist()
            if '.data/data/' in name
        }
        package = json.loads(wheel.read(data[f'{INSTALLED}/package.json']))
        page = [name for name in wheel.namelist() if name.startswith('desipipe/server/page/')]
        texts = [wheel.read(name) for name in [*data.values(), *page]]
    # The entry that JupyterLab loads is one of the files.
    assert f'{INSTALLED}/{package["jupyterlab"]["_build"]["load"]}' in data
    assert f'{INSTALLED}/install.json' in data
    assert {'desipipe/server/page/index.html', 'desipipe/server/page/page.js'} <= set(page)
    assert not [
        name for name in [*data, *page] if name.endswith(('.map', 'build_log.json', '.ts'))
    ]  # no development build
    assert not [text for text in texts if os.fsencode(f'{ROOT}/') in text]
    assert sum(map(len, texts)) < 2_500_000
