"""Load a check and its values, run the check, and write what came of it; for each line on
standard input.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

from desipipe.serialize import class_registry, describe, dumps, loads
from desipipe.serialize.memory import Memory
from desipipe.utils.lending import Overlay


def main() -> None:
    """Serve until standard input ends."""
    names = Overlay(globals())
    for line in sys.stdin:
        sent, answer = map(Path, json.loads(line))
        class_registry.start_task()
        try:
            check, values = loads(sent.read_bytes())
            names.remove()
            names.put(Memory(check).names)
            digest = describe(check).digest  # first: what it is before a call
            answer.write_bytes(b''.join(dumps((check(), values, digest)).parts))
        except Exception:
            print(json.dumps(traceback.format_exc()[-1200:]), flush=True)
        else:
            print('done', flush=True)


if __name__ == '__main__':
    main()
