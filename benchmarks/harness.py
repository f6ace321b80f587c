"""Parts that measurements share: a child process with a time limit, figures with their targets,
words about the machine.

Each measurement runs in an interpreter of its own, so that one system's threads, imports and
leftovers cannot slow the next one; what it leaves running is ended before the next one starts.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

__all__ = [
    'ROOT',
    'Figure',
    'Outcome',
    'Target',
    'at_least',
    'at_most',
    'below',
    'column',
    'machine',
    'processor_time',
    'ratios',
    'run_child',
    'versions',
]

ROOT = Path(__file__).resolve().parent.parent
MARK = (
    'DESIPIPE_BENCHMARK'  # an environment variable that every descendant of a measurement inherits
)


@dataclasses.dataclass(frozen=True)
class Target:
    """A bound that a figure has to reach.

    Parameters
    ----------
    kind : {'at most', 'at least', 'below'}
        How the figure is compared.
    value : float
        With what, in the figure's own unit.
    """

    kind: Literal['at most', 'at least', 'below']
    value: float

    def met(self, value: float) -> bool:
        """Return whether ``value`` reaches the target."""
        if self.kind == 'at least':
            return value >= self.value
        return value <= self.value if self.kind == 'at most' else value < self.value


def at_most(value: float) -> Target:
    """Return the target ``<= value``."""
    return Target('at most', value)


def at_least(value: float) -> Target:
    """Return the target ``>= value``."""
    return Target('at least', value)


def below(value: float) -> Target:
    """Return the target ``< value``."""
    return Target('below', value)


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number of the report: the median of its rounds.

    Parameters
    ----------
    name : str
        Stable name, for the JSON file: ``'bag.vs.joblib'``.
    text : str
        What it is, in words.
    samples : sequence of float
        One number a round; empty when it could not be measured.
    unit : str
        Unit of the samples: ``'x'`` is a ratio.
    target : Target, optional
        What it has to reach; None when it is there for information.
    note : str
        Why it is missing, or what to know when reading it.
    """

    name: str
    text: str
    samples: Sequence[float]
    unit: str
    target: Target | None = None
    note: str = ''

    @property
    def value(self) -> float | None:
        """Median of the rounds, None when nothing was measured."""
        return statistics.median(self.samples) if self.samples else None

    @property
    def passed(self) -> bool | None:
        """Return True if the target is met; None without a target."""
        if self.target is None:
            return None
        return self.value is not None and self.target.met(self.value)

    def to_dict(self) -> dict[str, Any]:
        """Return the figure as plain words and numbers."""
        return {
            'name': self.name,
            'text': self.text,
            'value': self.value,
            'unit': self.unit,
            'samples': list(self.samples),
            'target': dataclasses.asdict(self.target) if self.target else None,
            'passed': self.passed,
            'note': self.note,
        }


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Results of one child process.

    Parameters
    ----------
    values : dict
        Its numbers; empty when it failed.
    error : str
        Why it failed; empty when it did not.
    missing : bool
        It failed because a package is not installed.
    """

    values: dict[str, float]
    error: str = ''
    missing: bool = False


def column(outcomes: Iterable[Outcome], key: str, scale: float = 1.0) -> list[float]:
    """Return the number ``key`` of every outcome that has it, times ``scale``."""
    return [outcome.values[key] * scale for outcome in outcomes if key in outcome.values]


def ratios(outcomes: Iterable[Outcome], key: str, other: str) -> list[float]:
    """Return ``key / other`` round by round: what slowed a whole round cancels."""
    return [
        outcome.values[key] / outcome.values[other]
        for outcome in outcomes
        if key in outcome.values and other in outcome.values
    ]


def processor_time() -> float:
    """Return the seconds of processor time that this measurement has taken so far, in all its
    processes.

    Processes are found by :data:`MARK`; of those that have ended only waited-for children count.
    """
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.process_time() + own.ru_utime + own.ru_stime
    mark = f'{MARK}={os.environ.get(MARK, "")}'.encode()
    for entry in Path('/proc').iterdir() if MARK in os.environ else ():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark in (entry / 'environ').read_bytes():
                    threads = (entry / 'task').iterdir()
                    seconds += (
                        sum(
                            int((thread / 'schedstat').read_text().split()[0]) for thread in threads
                        )
                        * 1e-9
                    )
            except OSError:
                continue  # it ended in between, or is not ours to look at
    return seconds


def _end_leftovers(token: str) -> None:
    """End what a measurement left running, also what made a session of its own (detached
    managers, daemons).
    """
    proc = Path('/proc')
    mark = f'{MARK}={token}'.encode()
    for entry in proc.iterdir() if proc.is_dir() else ():
        if entry.name.isdigit():
            try:
                if mark in (entry / 'environ').read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
            except (OSError, ProcessLookupError):
                continue  # it ended in between, or is not ours to look at


def run_child(
    module: str, params: Mapping[str, Any], limit: float, folder: Path | None = None
) -> Outcome:
    """Call ``measure(folder, **params)`` of a module in an interpreter of its own.

    Parameters
    ----------
    module : str
        Module below ``benchmarks`` that has the function ``measure``.
    params : mapping
        Its arguments; they travel as JSON.
    limit : float
        Seconds after which the child and everything it started are ended.
    folder : Path, optional
        Where the folder of the measurement is made (and removed); defaults to the system's
        temporary folder.

    Returns
    -------
    outcome : Outcome
        Numbers, or why there are none.
    """
    token = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(
        prefix='desipipe-bench-', dir=folder, ignore_cleanup_errors=True
    ) as name:
        scratch, answer, log = Path(name, 'scratch'), Path(name, 'answer.json'), Path(name, 'log')
        scratch.mkdir()
        env = dict(os.environ, **{MARK: token, 'TMPDIR': str(scratch)})
        env['PYTHONPATH'] = os.pathsep.join(filter(None, [str(ROOT), env.get('PYTHONPATH', '')]))
        # Systems that start workers by command name must find those of this interpreter.
        env['PATH'] = os.pathsep.join(
            [str(Path(sys.executable).parent), env.get('PATH', os.defpath)]
        )
        with open(log, 'wb') as out:
            child = subprocess.Popen(
                [
                    sys.executable,
                    '-m',
                    'benchmarks.child',
                    module,
                    json.dumps(params),
                    str(scratch),
                    str(answer),
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=scratch,
                start_new_session=True,
            )
            try:
                child.wait(limit)
                error = ''
            except subprocess.TimeoutExpired:
                error = f'not done after {limit:.0f} s'
            finally:
                # Its whole session first: a system may have overwritten the environment of its
                # processes with a title.
                try:
                    os.killpg(child.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # nothing was left
                _end_leftovers(token)
                child.wait()
        found: dict[str, Any] = {
            'error': error or f'ended with status {child.returncode} and no answer'
        }
        if not error and answer.exists():
            found = json.loads(answer.read_bytes())
        if error := found.get('error', ''):
            # What was printed first, why it failed last: the last line is what the table shows.
            error = '\n'.join([*log.read_text(errors='replace').strip().splitlines()[-20:], error])
        return Outcome(found.get('values', {}), error, found.get('missing', False))


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return the version of each installed distribution of ``names``, and of Python."""
    found = {'python': platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = 'not installed'
    return found


def machine(folder: Path) -> dict[str, Any]:
    """Return what a reader needs to judge the figures: processors, memory, kernel, filesystem,
    load.
    """
    words: dict[str, Any] = {
        'system': platform.platform(),
        'processors': len(os.sched_getaffinity(0))
        if hasattr(os, 'sched_getaffinity')
        else os.cpu_count(),
        'load': list(os.getloadavg()),
        'time': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
    }
    cpuinfo, meminfo, mounts = (
        Path('/proc/cpuinfo'),
        Path('/proc/meminfo'),
        Path('/proc/self/mounts'),
    )
    if cpuinfo.exists():
        words['processor'] = next(
            (
                line.partition(':')[2].strip()
                for line in cpuinfo.read_text().splitlines()
                if line.startswith('model name')
            ),
            '',
        )
    if meminfo.exists():
        words['memory'] = int(meminfo.read_text().split()[1]) * 1024
    if mounts.exists():
        rows = [line.split() for line in mounts.read_text().splitlines()]
        at = [(len(row[1]), row[2]) for row in rows if folder.resolve().is_relative_to(row[1])]
        words['filesystem'] = max(at)[1] if at else ''
    return words
