"""Run a script as ``python script.py`` does, and report the queues it used.

``python -m desipipe.record.script REPORT SCRIPT``.
"""

from __future__ import annotations

import json
import os
import runpy
import sys


def queues() -> dict[str, bool]:
    """Return the folders of open queues, and whether a manager is started for each."""
    import gc

    if 'desipipe.queue.queue' not in sys.modules:
        return {}
    spawns = {}
    for item in gc.get_objects():
        if (
            type(item).__module__ == 'desipipe.queue.queue'
            and type(item).__name__ == 'Queue'
            and 'folder' in vars(item)
        ):
            spawns[str(item.folder)] = bool(item.spawn)
    return spawns


def main() -> None:
    """Run the script; its exceptions, and its exit status, are this process's."""
    report, script = sys.argv[1:3]
    sys.argv = [script, *sys.argv[3:]]
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    kept = None
    try:
        kept = runpy.run_path(script, run_name='__main__')
    finally:
        with open(report, 'w') as file:
            json.dump(queues(), file)
        del kept


if __name__ == '__main__':
    main()
