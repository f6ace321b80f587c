"""The publisher of this process, and whether it can update displays."""

from __future__ import annotations

import os
import sys
from typing import Any

from ..queue.place import shell

# Where we are


def noninteractive() -> bool:
    """Return True in non-interactive runs (documentation builds, CI)."""
    return os.environ.get('DESIPIPE_NONINTERACTIVE', '') not in ('', '0')


def shell_publisher() -> tuple[Any, bool]:
    """Return the shell's publisher, and whether its displays can be updated.

    ``None`` in a terminal and in plain Python.
    """
    here = shell()
    terminal = getattr(
        sys.modules.get('IPython.terminal.interactiveshell'), 'TerminalInteractiveShell', ()
    )
    if here is None or isinstance(here, terminal):
        return None, False
    # While a cell captures what it displays, the shell has another publisher, which keeps
    # everything.
    capturing = getattr(sys.modules.get('IPython.core.displaypub'), 'CapturingDisplayPublisher', ())
    return here.display_pub, not isinstance(here.display_pub, capturing)


def nothing_waits(publisher: Any) -> bool:
    """Return True if what is displayed now can be sent at once.

    ipykernel has each display wait until what was printed before is sent, which another thread
    does: twice, for two streams, also when nothing was printed. That took a third of the time of a
    cell. Whatever is not as expected (another kernel, a later version, a hook that wants to see
    what is displayed) takes the usual way.
    """
    usual = getattr(sys.modules.get('ipykernel.zmqshell'), 'ZMQDisplayPublisher', None)
    if (
        type(publisher) is not usual
        or getattr(publisher, '_hooks', None) != []
        or getattr(publisher, 'store_display_history', False)
    ):
        return False
    return not any(getattr(stream, '_flush_pending', True) for stream in (sys.stdout, sys.stderr))


def current_cell() -> tuple[str, str]:
    """Return which cell of the notebook runs, if known, and which run it is."""
    here = shell()
    parent = here.get_parent() if hasattr(here, 'get_parent') else {}
    return str((parent.get('metadata') or {}).get('cellId') or ''), str(
        (parent.get('header') or {}).get('msg_id', '')
    )
