"""List what differs on purpose from desipipe 1.0, for the migration page and `doctor --migrate`."""

from __future__ import annotations

from typing import NamedTuple

PAGE = 'docs/user/migrating.md'


class Difference(NamedTuple):
    """A difference between desipipe 1.0 and this one."""

    key: str
    """Anchor on the page."""
    what: str
    original: str
    now: str
    change: str
    """The line to change."""

    @property
    def row(self) -> str:
        """The row of the table of the page."""
        first = f'<a id="{self.key}"></a>{self.what}'
        return f'| {first} | {self.original} | {self.now} | {self.change} |'

    @property
    def link(self) -> str:
        """The place on the page."""
        return f'{PAGE}#{self.key}'


HEAD = '| what | the original | this version | change |'
DIFFERENCES = (
    Difference(
        'queue-files',
        'files and names of queues',
        '`NAME.sqlite`; names may begin with `.` and `-`',
        'folders `NAME.queue`; `queue.filename` is the journal in it; names begin with a letter, a '
        'digit or `_`',
        '`desipipe import NAME.sqlite`, see below',
    ),
    Difference(
        'identities',
        'identities and order of tasks',
        '36 characters; `queue.tasks()` as they were written last',
        '32 hexadecimal digits; `queue.tasks()` as they were added',
        'none, unless you store them',
    ),
    Difference(
        'results',
        '`future.result(timeout=)`, `err`, `out`',
        'return `None` after the time-out; `result` of a failed task is `None`',
        'raise `TimeoutError`; `result` raises, with the traceback',
        '`except Exception`, or `future.exception()`',
    ),
    Difference(
        'bash-folder',
        'bash apps',
        'run where `spawn` was started',
        'run in the folder of the call',
        'give whole paths where you relied on it',
    ),
    Difference(
        'blanks',
        'values of environments with blanks',
        'end at the first blank',
        'are one value',
        'none',
    ),
    Difference(
        'exit',
        '`exit()` in a task',
        'the task stays RUNNING',
        'the task is FAILED',
        'none',
    ),
    Difference(
        'retry',
        '`retry` without `--state`',
        'tasks that are KILLED',
        'tasks that are FAILED, KILLED or UNKNOWN',
        '`--state KILLED`',
    ),
    Difference(
        'exists',
        '`fm.exists()` as a condition',
        'always true',
        'true if all files are there',
        '`fm.exists()[True]`',
    ),
    Difference(
        'path-variables',
        '`${NAME}` in paths',
        'only of `environ=`',
        'also of the process',
        'none',
    ),
    Difference(
        'variable-arguments',
        'names in `task.kwargs` for `*args`, `**kwargs`',
        "`'args'`, `'kw'`",
        "`'*args'`, and each name of the rest",
        'read `task.arguments`',
    ),
)
"""All of them, at most ten."""

BY_KEY = {difference.key: difference for difference in DIFFERENCES}


def table() -> str:
    """Return the table of the page."""
    return '\n'.join([HEAD, '|---|---|---|---|', *(difference.row for difference in DIFFERENCES)])
