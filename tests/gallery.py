"""Run the clustering pipeline of the gallery, and check what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from polling import TIMEOUT_S

from desipipe import Queue

SCRIPT = Path(__file__).resolve().parent.parent / 'nb' / 'clustering.py'
TASKS = 28


def run_pipeline(folder: Path, provider: str) -> str:
    """Run the script in a folder until nothing is left to do; return what it printed.

    Parameters
    ----------
    folder : Path
    provider : str
        Name of the provider of its workers.
    """
    environ = {**os.environ, 'OUTDIR': str(folder), 'PROVIDER': provider}
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        cwd=folder.parent,
        env=environ,
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_pipeline(folder: Path, printed: str) -> Queue:
    """Check what the script printed, its queue and its files; return the queue."""
    import numpy as np

    queue = Queue('clustering', base_dir=folder, create=False)
    assert queue.counts(state='SUCCEEDED') == len(queue) == TASKS
    assert 'all files exist: True' in printed
    for tracer in ('LRG', 'ELG'):
        paths = sorted(folder.glob(f'spectra/power_{tracer}_*.npy'))
        spectra = np.array([np.load(path)[:, 1] for path in paths])
        covariance = np.loadtxt(folder / f'covariance_{tracer}.txt')
        np.testing.assert_allclose(covariance, np.cov(spectra, rowvar=False), rtol=1e-6)
        assert f'{tracer}: covariance of 5 bins, trace {covariance.trace():.4e}'[:-6] in printed
    return queue
