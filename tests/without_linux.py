"""Play a machine that is not Linux: what macOS has not is taken away before anything is imported.

A folder with this file as ``sitecustomize.py`` stands first on ``PYTHONPATH`` of the processes. It is
no macOS: the file systems, the kernel and the libraries are those of this machine.
"""

import ctypes
import fcntl
import os
import select
import signal
import sys
import types
from typing import Any

sys.platform = 'darwin'
MISSING: dict[Any, str] = {
    os: """sched_getaffinity sched_setaffinity memfd_create pidfd_open eventfd splice copy_file_range
        posix_fallocate posix_fadvise getxattr setxattr listxattr O_TMPFILE O_PATH O_DIRECT setresuid
        getresuid setresgid getresgid fdatasync preadv pwritev pipe2 waitid P_PID P_ALL getrandom""",
    signal: 'SIGPWR SIGSTKFLT SIGPOLL SIGRTMIN SIGRTMAX SIGCLD sigtimedwait sigwaitinfo',
    select: 'epoll',
    fcntl: 'F_GETPIPE_SZ F_SETPIPE_SZ F_OFD_SETLK F_OFD_GETLK F_OFD_SETLKW F_ADD_SEALS F_NOTIFY',
}
for module, names in MISSING.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)

# Modules of the standard library that it has in their place.
os.environ['_PYTHON_SYSCONFIGDATA_NAME'] = (
    f'_sysconfigdata_{sys.abiflags}_linux_{sys.implementation._multiarch}'
)
proxies = types.ModuleType('_scproxy')
proxies.__dict__.update(_get_proxy_settings=dict, _get_proxies=dict)
sys.modules['_scproxy'] = proxies

system = os.uname()
os.uname = lambda: os.uname_result(('Darwin', system.nodename, '25.0', 'Darwin', 'arm64'))


class Library(ctypes.CDLL):
    """A library of C in which the calls of Linux are not found."""

    def __getattr__(self, name: str) -> Any:
        if name in ('inotify_init1', 'inotify_add_watch', 'prctl', 'setns', 'unshare', 'mallopt'):
            raise AttributeError(f'dlsym: symbol not found: {name}')
        return super().__getattr__(name)


ctypes.CDLL = Library  # type: ignore[misc]
