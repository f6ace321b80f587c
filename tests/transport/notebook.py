"""Execute each construct of a table as a cell, have a worker process run its check, and print
what differs, as JSON.
"""

from __future__ import annotations

import json
import linecache
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from desipipe.serialize import describe, dumps, loads

HERE = Path(__file__).parent


class Worker:
    """A process that loads payloads and answers with payloads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, HERE / 'worker.py'],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {'PYTHONPATH': str(HERE.parent.parent)},
        )

    def run(self, name: str, value: Any) -> tuple[Any, list[Any], bytes]:
        """Send a check and its values; return what they are in the worker."""
        stem = self.folder / name.replace(' ', '-')
        sent, answer = stem.with_suffix('.sent'), stem.with_suffix('.answer')
        sent.write_bytes(b''.join(dumps(value).parts))
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps([str(sent), str(answer)]), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if line != 'done\n':
            raise RuntimeError(f'in the worker: {json.loads(line)}')
        return loads(answer.read_bytes())  # type: ignore[no-any-return]


def differences(worker: Worker, name: str, text: str, namespace: dict[str, Any]) -> list[str]:
    """Return what is other in the worker than here, or after the way back."""
    file = f'cell {name}'
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    namespace.pop('values', None)
    exec(compile(text, file, 'exec', dont_inherit=True), namespace)  # noqa: S102
    check, values = namespace['check'], namespace.get('values', [])
    digest = describe(check).digest
    remote, back, digest_there = worker.run(name, (check, values))
    here = check()
    differing = [] if repr(remote) == repr(here) else [f'worker: {remote!r}, here: {here!r}']
    if digest_there != digest:
        differing.append('it has another identity in the worker')
    for sent, got in zip(values, back, strict=True):
        if isinstance(sent, type):
            if got is not sent:
                differing.append(f'the class {sent} came back as another one')
        elif type(got) is not type(sent):
            differing.append(f'{sent!r} came back as one of another class, {type(got)}')
        elif '__eq__' in dir(type(sent)) and type(sent).__eq__ is not object.__eq__ and got != sent:
            differing.append(f'{sent!r} came back as {got!r}')
    return differing


def main() -> None:
    """Run the table that is in a JSON file."""
    table = json.loads(Path(sys.argv[1]).read_text())
    worker = Worker(Path(sys.argv[2]))
    collected = {}
    for name, text in table.items():
        try:
            collected[name] = differences(worker, name, text, globals())
        except Exception:
            collected[name] = [traceback.format_exc()[-1500:]]
            if worker.process.poll() is not None:
                worker = Worker(Path(sys.argv[2]))
    print(json.dumps(collected))


if __name__ == '__main__':
    main()
