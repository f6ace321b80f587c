"""Command line of the chaos run."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from .driver import Chaos

FAULTS_PRINTED = 30


def main() -> int:
    """Run the chaos, print what is wrong, and return the exit status."""
    parser = argparse.ArgumentParser(prog='python -m tests.chaos', description=__doc__)
    parser.add_argument('--minutes', type=float, default=20, help='how long signals are sent')
    parser.add_argument('--seed', type=int, help='repeat the choices of an earlier run')
    parser.add_argument('--folder', type=Path, help='keep the queues and logs in this empty folder')
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    print(f'seed {seed}', flush=True)
    with tempfile.TemporaryDirectory(prefix='chaos-') as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        faults = Chaos(folder, seed).run(options.minutes * 60)
    for fault in faults[:FAULTS_PRINTED]:
        print(f'WRONG: {fault}')
    print(f'{len(faults)} faults with seed {seed}', flush=True)
    return 1 if faults else 0


sys.exit(main())
