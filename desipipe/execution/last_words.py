"""Read the last words of a worker that died before it took a task."""

from __future__ import annotations

import glob
import os
import re
from typing import TYPE_CHECKING

from ..environment.shell_lines import FAILED_COMMAND
from ..store.files import read_file

if TYPE_CHECKING:
    from ..provider import BaseProvider

_LINES_OF_A_START = 10  # that one start of a worker writes into its log, at most
_TAIL = 2000  # bytes
_FIELD = re.compile(r'%(\d*)([%A-Za-z])')


def last_words(folder: str, log_name: str, provider: BaseProvider, jobid: str) -> str:
    """Return the last line that a worker wrote, and commands that failed before it.

    Parameters
    ----------
    folder : str
        The queue's.
    log_name : str
        The file in it that workers write to, where no other is chosen.
    provider : BaseProvider
        Its ``error`` or ``output`` is where a job writes to, if it has one.
    jobid : str
        The job.
    """
    path = job_log(provider, jobid)
    where = path or os.path.join(folder, log_name)
    try:
        data = _end(path) if path else read_file(folder, log_name, _TAIL, tail=True)
    except OSError:
        return 'none'
    text = data.decode(errors='replace').strip()
    if not text:
        return f'none (see {where})'
    *before, last = text.splitlines()
    failed = [line for line in before[-_LINES_OF_A_START:] if FAILED_COMMAND in line]
    return '; '.join(dict.fromkeys([*failed, last]))


def _end(path: str) -> bytes:
    with open(path, 'rb') as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
        return file.read(_TAIL)


def job_log(provider: BaseProvider, jobid: str) -> str:
    """Return the file that a job writes to; empty for the queue's own log.

    Of the fields of Slurm's names of files, those that only the job knows may be anything: the
    newest file that fits is the one.
    """
    template = getattr(provider, 'error', None) or getattr(provider, 'output', None)
    if not template or template == os.devnull:
        return ''
    job, _, element = jobid.partition('_')
    values = {'%': '%', 'A': job, 'a': element, 'j': '' if element else job}

    def value(field: re.Match[str]) -> str:
        text = values.get(field[2], '')
        return glob.escape(text.zfill(int(field[1] or 0))) if text else '*'

    parts = [glob.escape(part) for part in _FIELD.split(template)[::3]]
    fields = [value(field) for field in _FIELD.finditer(template)]
    pattern = ''.join(part + field for part, field in zip(parts, [*fields, ''], strict=True))
    fitting = [path for path in glob.glob(os.path.abspath(pattern)) if os.path.isfile(path)]
    return max(fitting, key=os.path.getmtime, default='')
