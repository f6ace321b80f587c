"""Read queues of desipipe 1.0: SQLite files with pickles of tasks.

Nothing here writes to such a file, or takes a lock on it. Its pickles are loaded only where the
owner of the file is trusted, since loading them can run code.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from shlex import quote
from typing import Any, NamedTuple, Self

from ..errors import RecordError, UntrustedFileError
from ..utils import username
from .original_pickles import PICKLE_MAX_BYTES

SUFFIX = '.sqlite'
MAGIC = b'SQLite format 3\0'
QUERY_TIME_MAX_S = 600.0
STATES = ('WAITING', 'PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'KILLED', 'UNKNOWN')
_TABLES = {
    'tasks': {'tid', 'task', 'state', 'mid', 'jobid', 't0'},
    'managers': {'mid', 'manager'},
    'metadata': {'key', 'value'},
}
_VIRTUAL = re.compile(r'\s*CREATE\s+VIRTUAL', re.IGNORECASE)
_STEPS = 100_000  # of SQLite's machine between two looks at the clock
_LOOK = 'SELECT count(*) FROM tasks'


def is_original(path: str) -> bool:
    """Return True if a file is an SQLite data base, as the queues of desipipe 1.0 are."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode) and os.pread(fd, len(MAGIC), 0) == MAGIC
    finally:
        os.close(fd)


class Row(NamedTuple):
    """A row of the table of tasks."""

    id: str
    state: str
    mid: str
    job: str
    began: float
    """Seconds since the epoch; 0 if it never began."""


class OriginalQueue:
    """A queue of desipipe 1.0, opened for reading.

    Parameters
    ----------
    path : str
        The file.
    trusts : callable
        Given a user (by id), returns True if what they wrote may be loaded.

    Raises
    ------
    UntrustedFileError
        The file is a link, or its owner is not trusted.
    RecordError
        The file is no queue of desipipe 1.0, or is being written to.
    """

    def __init__(self, path: str, trusts: Callable[[int], bool]) -> None:
        self.path = path
        self._fd = _open_own(path, trusts)
        self._db: sqlite3.Connection | None = None
        self._deadline = 0.0
        try:
            self._before = _signature(self._fd)
            self._check_journals()
            self._db = self._connect()
            self._check_tables()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        # Through the descriptor whose owner was checked: the name may lead to another file by now.
        folder = '/proc/self/fd' if os.path.isdir('/proc/self/fd') else '/dev/fd'
        uri = f'file:{folder}/{self._fd:d}?mode=ro&immutable=1'
        db = sqlite3.connect(uri, uri=True, isolation_level=None)
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, PICKLE_MAX_BYTES)
        db.text_factory = lambda data: str(data, 'utf-8', 'replace')
        db.execute('PRAGMA trusted_schema = OFF')
        db.execute('PRAGMA cell_size_check = ON')
        db.set_progress_handler(lambda: time.monotonic() > self._deadline, _STEPS)
        return db

    def _check_journals(self) -> None:
        for suffix in ('-journal', '-wal'):
            with contextlib.suppress(FileNotFoundError):
                if os.stat(self.path + suffix).st_size:
                    problem = 'is there: the queue is being written to, or its writer was killed'
                    code = f'import sqlite3; sqlite3.connect({self.path!r}).execute({_LOOK!r})'
                    raise RecordError(
                        f'{self.path}{suffix} {problem}. Nothing was imported. End its processes, '
                        f'then let SQLite complete what was begun:\npython3 -c {quote(code)}'
                    )

    def _check_tables(self) -> None:
        for table, columns in _TABLES.items():
            kinds = self._query('SELECT type, sql FROM sqlite_master WHERE name = ?', table)
            columns_of = {str(row[1]) for row in self._query(f'PRAGMA table_info({table})')}
            plain = [kind for kind, sql in kinds if not _VIRTUAL.match(str(sql))] == ['table']
            if not plain or not columns <= columns_of:
                problem = f'is no queue of desipipe 1.0: it has no table of {table}'
                raise RecordError(f'{self.path} {problem}. Nothing was imported.')

    def _rows(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        if self._db is None:
            raise RecordError(f'{self.path} was closed. Nothing was imported.')
        try:
            self._deadline = time.monotonic() + QUERY_TIME_MAX_S
            for row in self._db.execute(query, values):
                yield row
                self._deadline = time.monotonic() + QUERY_TIME_MAX_S
        except sqlite3.Error as exc:
            problem = f'{self.path} cannot be read ({exc}). Nothing was imported'
            command = f'sqlite3 {quote(self.path)} .recover'
            raise RecordError(f'{problem}. See how much is whole:\n{command}') from exc

    def _query(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return list(self._rows(query, *values))

    def check_unchanged(self) -> None:
        """Refuse what was read while another process wrote to the file.

        Raises
        ------
        RecordError
        """
        if _signature(self._fd) != self._before:
            problem = f'{self.path} was written to meanwhile. Nothing was imported'
            advice = 'End the processes of desipipe 1.0, and import it again'
            raise RecordError(f'{problem}. {advice}:\ndesipipe import {quote(self.path)}')

    @property
    def paused(self) -> bool:
        """True if the queue was paused."""
        return self._query("SELECT value FROM metadata WHERE key = 'state'") == [('PAUSED',)]

    def tasks(self) -> Iterator[Row]:
        """Yield the rows of all tasks, in the order in which they were added."""
        query = 'SELECT tid, state, mid, jobid, t0 FROM tasks ORDER BY rowid'
        for tid, state, mid, job, began in self._rows(query):
            name = str(state) if state in STATES else 'UNKNOWN'
            start = float(began) if isinstance(began, int | float) and 0 < began < 1e11 else 0.0
            yield Row(str(tid), name, str(mid), '' if job in (None, '') else str(job), start)

    def pickle_of(self, tid: str) -> bytes:
        """Return the pickle of a task; empty where none is stored, or it is too large."""
        query = 'SELECT task FROM tasks WHERE tid = ? AND length(task) <= ?'
        rows = self._query(query, tid, PICKLE_MAX_BYTES // 2)
        return rows[0][0] if rows and isinstance(rows[0][0], bytes) else b''

    def managers(self) -> Iterator[tuple[str, bytes]]:
        """Yield identity and pickle of the task managers."""
        for mid, data in self._rows('SELECT mid, manager FROM managers ORDER BY rowid'):
            yield str(mid), data if isinstance(data, bytes) else b''

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()
            self._db = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open_own(path: str, trusts: Callable[[int], bool]) -> int:
    """Open a file that is no link and whose owner is trusted."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as exc:
        if os.path.islink(path):
            problem = f'{path} is a link, and may lead to a file of another user'
            command = f'desipipe import {quote(os.path.realpath(path))}'
            problem += f'. Nothing was imported. Name the file itself:\n{command}'
            raise UntrustedFileError(problem) from None
        problem = f'{path} cannot be opened ({exc.strerror})'
        raise RecordError(f'{problem}. Nothing was imported. Check the path.') from exc
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise RecordError(f'{path} is no file. Nothing was imported.')
    if not trusts(status.st_uid):
        os.close(fd)
        owner = username(status.st_uid)
        problem = f'{path} belongs to user {owner}, whom you do not trust'
        why = f'reading its tasks would run code of {owner} as you'
        problem += f'. Nothing was imported: {why}. If you trust them:\ndesipipe trust {owner}'
        raise UntrustedFileError(problem)
    return fd


def _signature(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_size, status.st_mtime_ns
