"""Intended differences from desipipe 1.0.

The migration page and `doctor --migrate` list them.
"""

from __future__ import annotations

from typing import NamedTuple

PAGE = 'docs/howto/migrating.md'


class Difference(NamedTuple):
    """A difference between desipipe 1.0 and this one."""

    key: str
    """Anchor on the page."""
    what: str
    original: str
    now: str
    why: str
    change: str
    """The line to change."""

    @property
    def row(self) -> str:
        """The row of the table of the page."""
        first = f'<a id="{self.key}"></a>{self.what}'
        return f'| {first} | {self.original} | {self.now} | {self.why} | {self.change} |'

    @property
    def link(self) -> str:
        """The place on the page."""
        return f'{PAGE}#{self.key}'


HEAD = '| what | the original | this version | why | change |'
DIFFERENCES = (
    Difference(
        'queue-files',
        'files and names of queues',
        '`NAME.sqlite`; names may begin with `.` and `-`',
        'folders `NAME.queue`; `queue.filename` is the journal in it; names begin with a letter, '
        'a digit or `_`',
        'SQLite loses data on shared filesystems',
        '`desipipe import NAME.sqlite`, see below',
    ),
    Difference(
        'identities',
        'identities and lists of tasks',
        '36 characters; `queue.tasks()` as they were written last',
        '32 hexadecimal digits; `queue.tasks()` as they were added',
        'one call has one identity, in every process and release',
        'none, unless you store them',
    ),
    Difference(
        'results',
        '`future.result(timeout=)`, `err`, `out`',
        'return `None` after the time-out; `result` of a failed task is `None`',
        'raise `TimeoutError`; `result` raises, with the traceback',
        '`None` may be a result, and failures were overlooked',
        '`except Exception`, or `future.exception()`',
    ),
    Difference(
        'bash-folder',
        'bash apps',
        'run where `spawn` was started',
        'run in the folder of the call',
        'a task does the same whoever starts its worker',
        'give whole paths where you relied on it',
    ),
    Difference(
        'environments',
        'variables of environments, and of paths',
        'values end at the first blank, `None` is a text; `${NAME}` in paths, `change_environ` and '
        '`to_dict(all=True)` know those of `environ=` alone',
        'values with blanks are one value, `None` unsets; those of the process count, too',
        'paths and options have blanks, and programs need `PATH`',
        'none',
    ),
    Difference(
        'hung',
        'what hung, failed or was lost within desipipe',
        '`exit()` in a task, a required task that failed, globals and classes of the script, '
        'several queues for `spawn`, `retry` of tasks that succeeded, `work(provider=)`, one '
        'dictionary of options used twice, …',
        'ends, or works; the task of `exit()` is FAILED',
        'nothing waits for ever',
        'none',
    ),
    Difference(
        'exists',
        '`fm.exists()` as a condition',
        'always true',
        'true if all files are there',
        'the condition says what it reads as',
        '`fm.exists()[True]`',
    ),
    Difference(
        'variable-arguments',
        'names in `task.kwargs` for `*args`, `**kwargs`',
        "`'args'`, `'kw'`",
        "`'*args'`, and each name of the rest",
        'they cannot be mistaken for names of the function',
        'read `task.arguments`',
    ),
    Difference(
        'printed',
        'what is printed and kept beside the results',
        'local workers log to the terminal of `spawn`, and tasks at level INFO there; `.desipipe` '
        'holds one script and one list of versions',
        'they log to the folder of the queue (`desipipe logs`), and tasks to their output as the '
        'script has set it up; `.desipipe` also says which task made each file; `repr`, tables and '
        'messages read differently',
        'what programs print is theirs alone',
        'none, unless you parse them',
    ),
    Difference(
        'spelling',
        'names and states that nothing has, and no name after `-q`, in commands, `queue.counts` '
        'and `set_task_state`; values of options and file types in other spellings',
        'nothing is found, exit status 0',
        'a misspelled name is told, with those that come close, exit status 2; `(0.4, 0.6)` finds '
        '`[0.4, 0.6]`, and `TEXT` `text`',
        'a typo looked like an empty queue',
        'none',
    ),
)
"""All of them, at most ten."""

BY_KEY = {difference.key: difference for difference in DIFFERENCES}


def table() -> str:
    """Return the table of the page."""
    return '\n'.join(
        [HEAD, '|---|---|---|---|---|', *(difference.row for difference in DIFFERENCES)]
    )
