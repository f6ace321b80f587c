"""The clustering pipeline of the gallery, on this machine and on a pretend Slurm."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_slurm import FakeSlurm
from gallery import SCRIPT, check_pipeline, run_pipeline

from desipipe.commands.migrate import find_notes

pytest.importorskip('numpy')


def test_pipeline_runs_on_slurm_and_is_known_afterwards(
    queue_dir: Path,
    tmp_path: Path,
    slurm: FakeSlurm,
) -> None:
    folder = tmp_path / 'clustering'
    queue = check_pipeline(folder, run_pipeline(folder, 'nersc'))
    options = [job['options'] for job in slurm.read()['jobs'].values()]
    assert {(one['account'], one['constraint']) for one in options} == {
        ('desi', 'cpu'),
        ('desi_g', 'gpu'),
    }
    printed = ''.join(path.read_text() for path in folder.glob('slurm/slurm-*.out'))
    assert printed.count(' galaxies in ') == 24
    jobs = {task.jobid for task in queue.tasks(name='compute_power')}
    assert not jobs & {task.jobid for task in queue.tasks(name='make_catalog')}

    # Where the workers come from is no part of what is computed.
    submitted = len(slurm.calls('sbatch'))
    check_pipeline(folder, run_pipeline(folder, 'local'))
    assert len(slurm.calls('sbatch')) == submitted


def test_pipeline_is_one_of_desipipe_1_0() -> None:
    assert find_notes(str(SCRIPT)) == []
