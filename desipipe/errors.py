"""The errors users see, as one typed tree.

Every message says what happened, what it means for the user's data, and what to type next.
This module imports nothing of desipipe but `terminal`, so that every layer can raise from it.
"""

from __future__ import annotations

from collections.abc import Iterable

from .terminal import visible

TYPE_CHECKING = False  # not of `typing`, as in `desipipe/__init__.py`

__all__ = [
    'AppChangedError',
    'CellError',
    'ConfigError',
    'CorruptJournalError',
    'DesipipeError',
    'DiskFullError',
    'FutureAttributeError',
    'FutureValueError',
    'InvalidQueueNameError',
    'LaunchError',
    'LockLostError',
    'LockingError',
    'ManagerRunningError',
    'MissingDatabaseError',
    'MissingDependencyError',
    'MissingFileError',
    'NotSerializableError',
    'PayloadError',
    'PermissionDeniedError',
    'PortInUseError',
    'QueueError',
    'QueueExistsError',
    'QueueGoneError',
    'QueueVersionError',
    'RecordError',
    'ResultError',
    'SweepError',
    'TaskCancelledError',
    'TaskError',
    'TaskFailedError',
    'TaskKilledError',
    'TaskLostError',
    'TaskSupersededError',
    'UnknownNameError',
    'UnknownOptionError',
    'UnknownPropertyError',
    'UnknownQueueError',
    'UnknownTaskError',
    'UnsafeFileError',
    'UntrustedFileError',
    'UntrustedQueueError',
]


def close_names(name: str, names: Iterable[str], n: int = 5) -> str:
    """Words that help after a mistyped name.

    Parameters
    ----------
    name : str
        What was typed.
    names : iterable of str
        What would have been valid.
    n : int, default=5
        The most names to show.

    Returns
    -------
    words : str
        ``'did you mean a, b?'``, else ``'known: a, b, c'``, else ``'there is none yet'``.
    """
    import difflib  # a millisecond that each worker would pay for

    names = sorted(set(names))
    close = difflib.get_close_matches(name, names, n=n, cutoff=0.6)
    if close:
        return 'did you mean {}?'.format(', '.join(close))
    if names:
        more = '' if len(names) <= n else f' and {len(names) - n:d} more'
        return 'known: {}{}'.format(', '.join(names[:n]), more)
    return 'there is none yet'


class DesipipeError(Exception):
    """Base of every error that desipipe raises on purpose.

    A message may hold text of a queue, such as names and tracebacks: it is safe for a terminal.
    """

    def __str__(self) -> str:
        return visible(str(self.args[0])) if self.args else ''


class ConfigError(DesipipeError, ValueError):
    """The configuration file, or an environment variable, can't be used."""


class UnknownOptionError(DesipipeError, TypeError, ValueError):
    """An option that its provider, scheduler, environment or app does not have.

    The message lists the valid ones.
    """


class LaunchError(DesipipeError):
    """The batch system did not accept a job. The tasks wait.

    The message holds the batch system's own text.

    Parameters
    ----------
    message : str
        What was refused, and what to type next.
    later : bool, default=False
        True if it may accept the same later.
    """

    def __init__(self, message: str, later: bool = False) -> None:
        super().__init__(message)
        self.later = later


class UnknownNameError(DesipipeError, ValueError, KeyError):
    """An unknown name of a provider, a scheduler, an environment or a file type.

    The message lists the valid ones.
    """


class UnknownPropertyError(UnknownNameError, AttributeError):
    """A task has no such property; the valid ones are listed."""


class MissingDependencyError(DesipipeError, ImportError):
    """An optional package is needed; the message holds the command that installs it."""


class PortInUseError(DesipipeError, OSError):
    """The port of a server is taken by another process."""


class MissingFileError(DesipipeError, FileNotFoundError):
    """A file of the catalogue that is asked for is not there."""


class MissingDatabaseError(ConfigError, MissingFileError):
    """The file of a data base of files is not there."""


class UntrustedFileError(DesipipeError, PermissionError):
    """A file of another user that would run code when it is loaded; it was not."""


class NotSerializableError(DesipipeError, TypeError):
    """A value without a stable identity, or that can't go to another process."""


class FutureValueError(DesipipeError, TypeError):
    """A future was used as if it were the value of its task."""


class FutureAttributeError(FutureValueError, AttributeError):
    """A future was asked for an attribute that the value of its task may have."""


class SweepError(DesipipeError, ValueError, TypeError):
    """A sweep whose values are no range, or are ambiguous; nothing was added."""


class CellError(DesipipeError):
    """A cell of a notebook can't become a task as it is."""

    missing = ''
    """The name that the notebook does not have, if that is it."""


class RecordError(DesipipeError, ValueError):
    """A notebook, record or crate that can't be read or made; nothing was written."""


class QueueError(DesipipeError):
    """Base of what concerns one queue."""


class UnknownQueueError(QueueError, FileNotFoundError, ValueError):
    """There is no queue of that name; close names are listed."""


class QueueExistsError(QueueError, FileExistsError, ValueError):
    """A queue of that name is there already."""


class InvalidQueueNameError(QueueError, ValueError):
    """A name that is empty, has forbidden characters, or would leave the base folder."""


class QueueVersionError(QueueError):
    """A queue in a format that this version of desipipe does not know."""


class QueueGoneError(QueueError):
    """The queue was deleted, or cleared, while it was in use. Nothing was recreated."""


class LockingError(QueueError, OSError):
    """The filesystem does not give working locks; the queue was not created there."""


class LockLostError(QueueError):
    """The lock was lost while held (a network cut); what was being written is void."""


class CorruptJournalError(QueueError):
    """A line of the journal does not pass its check.

    Parameters
    ----------
    message : str
        What happened and what to type next.
    path : str
        The journal.
    offset : int
        Byte offset of the first bad line.
    """

    def __init__(self, message: str, path: str = '', offset: int = 0) -> None:
        super().__init__(message)
        self.path = path
        self.offset = offset


class PayloadError(QueueError):
    """Bytes that the journal refers to can't be read back."""


class ResultError(PayloadError):
    """A result in the queue that can't be loaded in this process; see the cause."""


class DiskFullError(QueueError, OSError):
    """No space or quota is left; what was being added is not in the queue.

    What was there before is intact.
    """


class PermissionDeniedError(QueueError, PermissionError):
    """The folder or a file of the queue can't be read or written by this user."""


class UntrustedQueueError(QueueError, PermissionError):
    """The queue belongs to another user whom this user does not trust.

    Its payloads are code, and were not loaded.
    """


class UnsafeFileError(QueueError, OSError):
    """A file of a queue is a link, a pipe, a device, or leads outside of its folder.

    It was not opened.
    """

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ''


class ManagerRunningError(QueueError):
    """Another manager serves this queue already; the message says where."""


class UnknownTaskError(QueueError, KeyError):
    """No task of that id is in the queue."""


class AppChangedError(QueueError, ValueError):
    """Two tasks are not two versions of one call."""


class TaskError(DesipipeError):
    """Base of what ``Future.result`` raises for a task that has no result.

    Parameters
    ----------
    message : str
        Cause in words, remote traceback, log and the command to retry.
    tid : str
        The task's id.
    cause : str
        The cause in a few words.
    """

    def __init__(self, message: str, tid: str = '', cause: str = '') -> None:
        super().__init__(message)
        self.tid = tid
        self.cause = cause

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return type(self), (str(self.args[0]), self.tid, self.cause)


class TaskFailedError(TaskError):
    """The task's code raised, or its command returned a non-zero exit status."""


class TaskKilledError(TaskError):
    """The task was ended from outside: a signal, its timeout, out of memory, walltime."""


class TaskLostError(TaskError):
    """The worker that ran the task vanished."""


class TaskSupersededError(TaskError):
    """Other code took the place of the task's before it began."""


if TYPE_CHECKING:
    from concurrent.futures import CancelledError

    class TaskCancelledError(TaskError, CancelledError):
        """The task was cancelled."""

else:

    def __getattr__(name: str) -> object:
        """Make `TaskCancelledError` when it is first used.

        The module of its base takes longer to import than all else here.
        """
        if name != 'TaskCancelledError':
            text = f'module {__name__!r} has no attribute {name!r}'  # as Python says it
            raise AttributeError(text)
        from concurrent.futures import CancelledError

        members = {'__module__': __name__, '__doc__': 'The task was cancelled.'}
        # Two threads at once get the same class.
        return globals().setdefault(name, type(name, (TaskError, CancelledError), members))


def __dir__() -> list[str]:
    """List the errors, also the one not made yet."""
    return sorted({*globals(), *__all__})
