"""Run one measurement in a process of its own: ``python -m benchmarks.child MODULE PARAMS FOLDER
ANSWER``.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any


def main(module: str, params: str, folder: str, answer: str) -> None:
    """Call the module's ``measure`` and write what it returns, or why it did not, as JSON.

    Parameters
    ----------
    module : str
        Module below ``benchmarks``.
    params : str
        Arguments of ``measure``, as a JSON object.
    folder : str
        Empty folder that the measurement may fill.
    answer : str
        File to write.
    """
    words: dict[str, Any]
    try:
        words = {
            'values': importlib.import_module(f'benchmarks.{module}').measure(
                Path(folder), **json.loads(params)
            )
        }
    except ModuleNotFoundError as exc:
        words = {
            'error': str(exc),
            'missing': not str(exc.name).startswith(('benchmarks', 'desipipe')),
        }
    except Exception:
        words = {'error': traceback.format_exc(limit=-6)}
    Path(answer).write_text(json.dumps(words))


if __name__ == '__main__':
    main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(
        0
        # the answer is written: a system whose threads or exit hooks hang must not cost the time
        # limit
    )
