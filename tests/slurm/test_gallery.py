"""The clustering pipeline of the gallery, over real Slurm: processors and GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest
from gallery import check_pipeline, run_pipeline

from .cluster import Slurm

pytestmark = pytest.mark.slurm


def test_pipeline_runs_on_nodes_of_its_own(queue_dir: Path, tmp_path: Path, slurm: Slurm) -> None:
    pytest.importorskip('numpy')
    folder = tmp_path / 'clustering'
    queue = check_pipeline(folder, run_pipeline(folder, 'slurm'))
    used = {task.jobid.partition('_')[0] for task in queue.tasks()}
    # A job whose tasks the others took leaves its file too.
    started = {job.partition('_')[0] for job in slurm.jobs()}
    names = {path.name for path in folder.glob('slurm/*.out')}
    assert {f'slurm-{job}.out' for job in used} <= names
    assert names <= {f'slurm-{job}.out' for job in started}
    printed = ''.join(path.read_text() for path in folder.glob('slurm/*.out'))
    assert printed.count(' galaxies in ') == 24
    last = slurm.run('sinfo', '-h', '-N', '-o', '%N %f')
    gpu_nodes = {line.split()[0] for line in last.splitlines() if 'gpu' in line}
    hosts = {task.attempts[-1].host for task in queue.tasks(name='compute_power')}
    assert hosts == gpu_nodes
