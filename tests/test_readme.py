"""The README's script, as printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from desipipe import Queue

README = Path(__file__).resolve().parent.parent / 'README.md'


def test_scripts_of_the_readme_run_as_printed(queue_dir: Path, tmp_path: Path) -> None:
    script, slurm = re.findall(r'```python\n(.*?)```', README.read_text(), re.DOTALL)
    (tmp_path / 'pi.py').write_text(f'{script}\n{slurm}print(tm.provider.time)\n')
    done = subprocess.run(
        [sys.executable, 'pi.py'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=250,
    )
    queue = Queue('pi', base_dir=tmp_path / '_tests', create=False)
    queue.kill(manager=True)
    assert queue.wait_stopped(60)
    assert done.returncode == 0, done.stderr
    value, limit = done.stdout.split()
    assert 3.1 < float(value) < 3.2 and limit == '0-1:0:0'
