"""A pretend Slurm, for what no real one says when it is asked to: its commands answer as knobs tell
them, and note each call.

State lies in ``$FAKE_SLURM``. A knob is a file in its folder ``knobs``; its text is a list of
answers, one a line, of which each call takes one, the last for ever; an answer of several words and
a count, ``3*empty``, counts three times. Jobs are processes of this machine.

``sbatch``
    ``refuse TEXT``; ``lose`` (takes the job, and says that the socket timed out); ``vanish`` (does
    not take it, and says so too); ``garble``; ``hang SECONDS``; ``fail`` (takes the job, says its
    number, exits with 1)
``squeue``, ``sacct``
    ``empty`` (nothing at all); ``none`` (no job, with titles); ``fail TEXT``; ``fail_right TEXT``
    (everything, and exit status 1); ``cut`` (half of it); ``double``; ``untitled`` (no titles);
    ``garbage``; ``merged`` (arrays in one row); ``other`` (all names are another's); ``some``;
    ``hang SECONDS``; ``stale`` (as at the call before)
``scancel``
    ``fail TEXT``; ``ignore``
``fate``
    state of jobs that are cancelled while they run
``hold``
    jobs wait
``reason``
    why
``next``
    number of the next job
``end``
    ``SLURM_JOB_END_TIME``: seconds from now
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Job = dict[str, Any]
OPTIONS = {
    'SBATCH_ACCOUNT': 'account', 'SBATCH_ARRAY_INX': 'array', 'SBATCH_CLUSTERS': 'clusters', 'SBATCH_CONSTRAINT': 'constraint', 'SBATCH_JOB_NAME': 'job-name',
    'SBATCH_OPEN_MODE': 'open-mode', 'SBATCH_OUTPUT': 'output', 'SBATCH_PARTITION': 'partition', 'SBATCH_QOS': 'qos', 'SBATCH_TIMELIMIT': 'time',
    'SBATCH_WAIT': 'wait', 'SLURM_CLUSTERS': 'clusters',
}  # fmt: skip
TITLES = 'JOBID|STATE|REASON|NODELIST|END_TIME|NAME'
LIVE = ('PENDING', 'RUNNING')


class FakeSlurm:
    """The cluster, as a command and as a test see it.

    Parameters
    ----------
    folder : path
        Where its state lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / 'knobs').mkdir(parents=True, exist_ok=True)

    # For tests

    def install(self, monkeypatch: Any) -> None:
        """Put its commands first on the path."""
        binaries = self.folder / 'bin'
        binaries.mkdir(exist_ok=True)
        for name in ('sbatch', 'squeue', 'sacct', 'scancel', 'scontrol', 'sinfo', 'sacctmgr'):
            (binaries / name).write_text(
                f'#!/bin/sh\nexec {sys.executable} -S {__file__} {name} "$@"\n'
            )
            (binaries / name).chmod(0o755)
        monkeypatch.setenv('PATH', f'{binaries}{os.pathsep}{os.environ["PATH"]}')
        monkeypatch.setenv('FAKE_SLURM', str(self.folder))

    def set(self, knob: str, *answers: str) -> None:
        """Say what a command answers; nothing: as it should."""
        with self._knobs():  # A command that takes an answer writes the rest back.
            self._write_knob(knob, answers)

    @contextlib.contextmanager
    def _knobs(self) -> Iterator[None]:
        """Hold the lock of the knobs."""
        with open(self.folder / 'knobs.lock', 'w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write_knob(self, knob: str, answers: Sequence[str]) -> None:
        path = self.folder / 'knobs' / knob
        temporary = path.with_suffix(f'.{os.getpid()}.tmp')
        temporary.write_text('\n'.join(answers))
        os.replace(temporary, path)

    def jobs(self, *states: str) -> dict[str, str]:
        """States of the jobs, by identity."""
        with open(self.folder / 'lock', 'w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._state = self.read()
            self._note_ends()
        return {
            jobid: job['state']
            for jobid, job in self._state['jobs'].items()
            if not states or job['state'] in states
        }

    def calls(self, *names: str) -> list[tuple[float, list[str]]]:
        """When commands were called, and their words."""
        path = self.folder / 'calls'
        lines = (
            [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        )
        return [
            (when, arguments) for when, arguments in lines if not names or arguments[0] in names
        ]

    def most(self) -> int:
        """The most slots of jobs that there were at once."""
        return int(self.read()['most'])

    def end_all(self) -> None:
        """End what runs, at the end of a test."""
        with self as state:
            for jobid, job in state['jobs'].items():
                if job['state'] in LIVE:
                    self._kill(jobid, job, signal.SIGKILL)

    # State

    def read(self) -> dict[str, Any]:
        """Read the state, without what happened since a command looked."""
        path = self.folder / 'state.json'
        state: dict[str, Any] = (
            json.loads(path.read_text()) if path.exists() else {'jobs': {}, 'next': 101, 'most': 0}
        )
        return state

    def __enter__(self) -> dict[str, Any]:
        self._lock = open(self.folder / 'lock', 'w')
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._state = self.read()
        self._refresh()
        return self._state

    def __exit__(self, *args: object) -> None:
        live = sum(job['slots'] for job in self._state['jobs'].values() if job['state'] in LIVE)
        self._state['most'] = max(live, self._state['most'])
        temporary = self.folder / 'state.tmp'
        temporary.write_text(json.dumps(self._state))
        os.replace(temporary, self.folder / 'state.json')
        self._lock.close()

    def _knob(self, name: str) -> str:
        with self._knobs():
            path = self.folder / 'knobs' / name
            lines = path.read_text().splitlines() if path.exists() else []
            if not lines:
                return ''
            match = re.fullmatch(r'(\d+)\*(.*)', lines[0])
            answer, left = (match[2], int(match[1]) - 1) if match else (lines[0], 0)
            rest = (
                lines[1:] or ([] if match and not left else [lines[0]])
                if not left
                else [f'{left:d}*{answer}', *lines[1:]]
            )
            if rest != lines:
                self._write_knob(name, rest)
            return answer

    def _refresh(self) -> None:
        self._note_ends()
        if not self._knob('hold'):
            for jobid, job in self._state['jobs'].items():
                if job['state'] == 'PENDING':
                    self._begin(jobid, job)

    def _note_ends(self) -> None:
        for jobid, job in self._state['jobs'].items():
            done = self.folder / f'exit-{jobid}'
            if job['state'] == 'RUNNING' and done.exists() and (text := done.read_text().strip()):
                job.update(state='FAILED' if int(text) else 'COMPLETED', exit=int(text))

    def _begin(self, jobid: str, job: Job) -> None:
        base, _, element = jobid.partition('_')
        end = self._knob('end')
        environ = {
            **os.environ,
            'SLURM_JOB_ID': base,
            'SLURM_CPUS_ON_NODE': '2',
            **({'SLURM_ARRAY_JOB_ID': base, 'SLURM_ARRAY_TASK_ID': element} if element else {}),
            **({'SLURM_JOB_END_TIME': str(int(time.time()) + int(end))} if end else {}),
        }
        paths = [self._path(job, jobid, job[name]) for name in ('output', 'error') if job[name]]
        with open(paths[0], 'ab') as log, open(paths[-1], 'ab') as errors:
            process = subprocess.Popen(
                ['bash', '-c', 'bash "$1"; echo $? > "$2"', 'bash', job['script'], str(self.folder / f'exit-{jobid}')],
                stdin=subprocess.DEVNULL, stdout=log, stderr=errors, env=environ, cwd=job['cwd'], start_new_session=True,
            )  # fmt: skip
        job.update(state='RUNNING', pid=process.pid)

    @staticmethod
    def _path(job: Job, jobid: str, pattern: str) -> str:
        """Return the file of a pattern: ``%j``, ``%A``, ``%a``, ``%%``."""
        base, _, element = jobid.partition('_')
        values = {'j': base, 'A': base, 'a': element, '%': '%'}
        name = re.sub('%(.)', lambda match: values[match[1]], pattern)
        return os.path.join(job['cwd'], name)

    def _kill(self, jobid: str, job: Job, number: int) -> None:
        if job['state'] == 'RUNNING':
            # Without groups: each of its processes, those that were started last first.
            for pid in [*reversed(descendants(job['pid'])), job['pid']]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        job['state'] = self._knob('fate') or 'CANCELLED'

    # Commands

    def run(self, name: str, argv: list[str]) -> int:
        """Do what a command does; its exit status."""
        with open(self.folder / 'calls', 'a') as calls:
            calls.write(json.dumps([time.time(), [name, *argv]]) + '\n')
        command = getattr(self, f'_{name}', None)
        return 0 if command is None else int(command(argv))

    def _sbatch(self, arguments: list[str]) -> int:
        if '--test-only' in arguments:
            return 0
        answer, _, rest = self._knob('sbatch').partition(' ')
        if answer == 'hang':
            time.sleep(float(rest))
        if answer in ('refuse', 'vanish'):
            text = (
                rest
                if answer == 'refuse'
                else 'Batch job submission failed: Socket timed out on send/recv operation'
            )
            return say(f'sbatch: error: {text}')
        options = read_options(arguments)
        with self as state:
            number = int(self._knob('next') or state['next'])
            state['next'] = number + 1
            first, _, last = options.get('array', '').partition('-')
            ids = (
                [f'{number}_{i}' for i in range(int(first), int(last or first) + 1)]
                if first
                else [str(number)]
            )
            for jobid in ids:
                state['jobs'][jobid] = {
                    'state': 'PENDING',
                    'name': options.get('job-name', ''),
                    'slots': int(options['job-name'].split('.')[1])
                    if options.get('job-name', '').count('.') > 1
                    else 1,
                    'script': os.path.abspath(arguments[-1]),
                    'output': options.get('output', os.devnull),
                    'error': options.get('error', ''),
                    'cwd': options.get('chdir', '/'),
                    'cluster': options.get('clusters', ''),
                    'options': options,
                }
        if answer == 'lose':
            return say(
                'sbatch: error: Batch job submission failed: Socket timed out on send/recv '
                'operation'
            )
        cluster = f';{options["clusters"]}' if 'clusters' in options else ''
        print('welcome to the cluster!' if answer == 'garble' else f'{number}{cluster}')
        return 1 if answer == 'fail' else 0

    def _shown(self, arguments: list[str]) -> dict[str, Job]:
        cluster = arguments[arguments.index('-M') + 1] if '-M' in arguments else ''
        with self as state:
            return {jobid: job for jobid, job in state['jobs'].items() if job['cluster'] == cluster}

    def _squeue(self, arguments: list[str]) -> int:
        reason = self._knob('reason') or 'Priority'
        lines = []
        for jobid, job in self._shown(arguments).items():
            why, node = (reason, '') if job['state'] == 'PENDING' else ('None', 'n1')
            lines.append(f'{jobid}|{job["state"]}|{why}|{node}|N/A|{job["name"]}')
        titles = (
            [f'CLUSTER: {arguments[arguments.index("-M") + 1]}'] if '-M' in arguments else []
        ) + [TITLES]
        return self._answer('squeue', titles, lines)

    def _sacct(self, arguments: list[str]) -> int:
        jobs = self._shown(arguments)
        names = [
            name
            for word in arguments
            if word.startswith('--name=')
            for name in word.removeprefix('--name=').split(',')
        ]
        asked = (
            arguments[arguments.index('-j') + 1].split(',')
            if '-j' in arguments
            else [jobid for jobid, job in jobs.items() if job['name'] in names]
        )
        lines = [
            f'{jobid}|{jobs[jobid]["state"]}|{jobs[jobid].get("exit", 0)}:0|Unknown|{jobs[jobid]["name"]}'
            for jobid in asked
            if jobid in jobs
        ]
        return self._answer('sacct', [], lines)

    def _answer(self, knob: str, titles: list[str], lines: list[str]) -> int:
        answer, _, rest = self._knob(knob).partition(' ')
        stale = self.folder / f'stale-{knob}'
        before = stale.read_text().splitlines() if stale.exists() else []
        stale.write_text('\n'.join(lines))
        if answer == 'hang':
            time.sleep(float(rest))
        if answer == 'empty':
            return 0
        if answer == 'fail':
            return say(
                rest
                or 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)'
            )
        if answer == 'untitled':
            titles = []
        if answer == 'none':
            lines = []
        elif answer == 'some':
            lines = lines[1::2]
        elif answer == 'stale':
            lines = before
        elif answer == 'double':
            lines = [line for line in lines for _ in range(2)]
        elif answer == 'merged':
            lines = list(
                dict.fromkeys(
                    re.sub(
                        r'^(\d+)_\d+',
                        lambda match: f'{match[1]}_[{elements(lines, match[1])}%2]',
                        line,
                    )
                    for line in lines
                )
            )
        elif answer == 'other':
            lines = [line.rpartition('|')[0] + '|another' for line in lines]
        elif answer == 'garbage':
            lines = [
                '\udcff\udcfe|||',
                'a|b',
                '12|',
                '99999_[0-99999999999]|RUNNING|||N/A|x',
                *(line.replace('|', '\t') for line in lines),
            ]
        text = '\n'.join([*titles, *lines, ''])
        sys.stdout.buffer.write(
            (text[: len(text) // 2] if answer == 'cut' else text).encode(errors='surrogateescape')
        )
        sys.stdout.flush()
        return say(rest or 'one of the clusters does not answer') if answer == 'fail_right' else 0

    def _scancel(self, arguments: list[str]) -> int:
        answer, _, rest = self._knob('scancel').partition(' ')
        if answer == 'fail':
            return say(rest or 'scancel: error: Socket timed out on send/recv operation')
        names = {word.removeprefix('--name=') for word in arguments if word.startswith('--name=')}
        cluster = arguments[arguments.index('-M') + 1] if '-M' in arguments else ''
        with self as state:
            for jobid, job in state['jobs'].items():
                named = (
                    job['name'] in names
                    if names
                    else jobid in arguments or jobid.partition('_')[0] in arguments
                )
                if (
                    answer != 'ignore'
                    and named
                    and job['cluster'] == cluster
                    and job['state'] in LIVE
                ):
                    self._kill(jobid, job, signal.SIGTERM)
        return 0

    def _scontrol(self, arguments: list[str]) -> int:
        with self as state:
            job = state['jobs'].get(arguments[-1])
        if job is None:
            return say('slurm_load_jobs error: Invalid job id specified')
        print(
            f'JobId={arguments[-1]} JobState={job["state"]} Reason=None EndTime=Unknown ExitCode=0:0 '
            'Restarts=0'
        )
        return 0


def descendants(pid: int) -> list[int]:
    """List the processes that a process has started, and those that they have."""
    try:
        children = [
            int(word) for word in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return children + [other for child in children for other in descendants(child)]


def say(text: str) -> int:
    """Complain."""
    print(text, file=sys.stderr)
    return 1


def elements(lines: list[str], base: str) -> str:
    """Name the elements of an array as Slurm does."""
    numbers = [int(match[1]) for line in lines if (match := re.match(rf'{base}_(\d+)\|', line))]
    return (
        f'{min(numbers)}-{max(numbers)}'
        if numbers == list(range(numbers[0], numbers[-1] + 1))
        else ','.join(map(str, numbers))
    )


def read_options(arguments: list[str]) -> dict[str, str]:
    """Read the options of sbatch: those of the script, then those of the environment, then those
    of the command line.
    """
    lines = [
        line.removeprefix('#SBATCH ')
        for line in Path(arguments[-1]).read_text().splitlines()
        if line.startswith('#SBATCH ')
    ]
    options = {}
    for word in [word for line in lines for word in shlex.split(line)]:
        name, _, value = word.lstrip('-').partition('=')
        options[name] = value
    options.update(
        {option: os.environ[name] for name, option in OPTIONS.items() if name in os.environ}
    )
    for word in arguments[:-1]:
        name, _, value = word.lstrip('-').partition('=')
        options[name] = value
    return options


if __name__ == '__main__':
    sys.exit(FakeSlurm(Path(os.environ['FAKE_SLURM'])).run(sys.argv[1], sys.argv[2:]))
