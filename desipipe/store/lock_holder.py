"""Processes that hold a queue's lock, as far as this machine can tell."""

from __future__ import annotations

import os

from ..machine import stat_fields
from ..utils import printable
from ..utils.named_tuple import NamedTuple


class Holder(NamedTuple):
    """A process that holds the lock of a queue."""

    pid: int
    host: str
    command: str
    stopped: bool

    def describe(self) -> str:
        """Name it, and say what to type."""
        command = f' ({self.command})' if self.command else ''
        if self.stopped:
            return (
                f'process {self.pid:d} on {self.host}{command}, which is stopped. Let it go '
                f'on:\nkill -CONT {self.pid:d}'
            )
        return (
            f'process {self.pid:d} on {self.host}{command}. If it hangs, end it there:\nkill '
            f'{self.pid:d}'
        )


def flock_holder(path: str) -> Holder | None:
    """Find the process of this machine that holds the ``flock`` of a file."""
    try:
        inode = os.lstat(path).st_ino
        with open('/proc/locks') as file:
            for line in file:
                fields = line.split()
                if (
                    fields[1] == 'FLOCK'
                    and fields[5].endswith(f':{inode:d}')
                    and int(fields[4]) > 0
                ):
                    return process_holder(int(fields[4]), os.uname().nodename)
    except OSError:  # the file is gone, or this is not Linux
        return None
    return None


def process_holder(pid: int, host: str) -> Holder:
    """Describe a process that holds a lock; more of it on this machine."""
    command, stopped = '', False
    if host == os.uname().nodename:
        try:
            with open(f'/proc/{pid:d}/cmdline', 'rb') as file:
                command = printable(
                    file.read(200).replace(b'\0', b' ').decode(errors='replace').strip()
                )
            fields = stat_fields(pid)
            stopped = fields is not None and fields[0] in (b'T', b't')
        except OSError:  # it has ended
            pass
    return Holder(pid, host, command, stopped)
