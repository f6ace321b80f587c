"""What a worker and its tasks use, as the kernel counts it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from desipipe.store.process_usage import ProcessUsage

pytestmark = pytest.mark.skipif(not os.path.exists('/proc/self/stat'), reason='there is no /proc')

BURN = 'import time\nwhile time.process_time() < 0.3: pass\n'


def test_usage_counts_children_that_have_ended() -> None:
    usage = ProcessUsage()
    began = time.monotonic()
    assert 'cpu' not in usage()
    subprocess.run([sys.executable, '-c', BURN], check=True)
    cpu = usage()['cpu']
    assert cpu * (time.monotonic() - began) > 0.25


def test_cpu_is_not_measured_within_ticks_of_the_kernel() -> None:
    usage = ProcessUsage()
    usage()
    assert 'cpu' not in usage()  # one tick in a millisecond would be ten CPUs
    began = time.monotonic()
    while time.monotonic() < began + 0.25:
        pass
    cpu = usage()['cpu']
    assert usage()['cpu'] == cpu


def test_usage_counts_the_memory_of_children() -> None:
    usage = ProcessUsage()
    alone = usage()['memory']
    command = [sys.executable, '-c', 'print(flush=True), input()']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert usage()['memory'] > alone + 1_000_000
        child.communicate(b'\n')
