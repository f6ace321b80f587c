"""Every code block of the README and of the documentation runs as printed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doc_blocks import EXECUTED, ROOT, SHOWN, Block, blocks, pages

RUNNER = Path(__file__).with_name('run_blocks.py')


def page_blocks(page: Path) -> list[Block]:
    return blocks((ROOT / page).read_text(), page.suffix)


def is_executed(block: Block) -> bool:
    return block.language in EXECUTED and block.mark != 'not run'


EXECUTED_PAGES = [str(page) for page in pages() if any(map(is_executed, page_blocks(page)))]


class Results:
    """Results of pages, as a process that runs them one after the other prints them."""

    def __init__(self, pages: list[str]) -> None:
        self._runner = subprocess.Popen(
            [sys.executable, RUNNER, *pages], stdout=subprocess.PIPE, text=True
        )
        self._known: dict[str, dict[str, Any]] = {}

    def wait(self, page: str) -> dict[str, Any]:
        """Return the result of a page as soon as it is there."""
        assert self._runner.stdout is not None
        while page not in self._known:
            line = self._runner.stdout.readline()
            assert line, f'the process that runs the pages ended before {page}'
            result = json.loads(line)
            self._known[result['page']] = result
        return self._known[page]

    def close(self) -> None:
        """End the process."""
        self._runner.kill()
        self._runner.communicate()


@pytest.fixture(scope='module')
def results(request: pytest.FixtureRequest) -> Iterator[Results]:
    """Run the selected pages: one process for the imports, a fork for each page."""
    pytest.importorskip('IPython')
    names = (item.callspec.params.get('page') for item in request.session.items if is_run(item))
    running = Results(list(dict.fromkeys(str(name) for name in names)))
    yield running
    running.close()


def is_run(item: pytest.Item) -> bool:
    return getattr(item, 'originalname', '') == test_blocks_run.__name__


@pytest.mark.slow
@pytest.mark.parametrize('page', EXECUTED_PAGES)
def test_blocks_run(page: str, results: Results) -> None:
    failure = results.wait(page)['failure']
    assert not failure, f'{page}: {failure}'


@pytest.mark.parametrize('page', pages(), ids=str)
def test_blocks_say_what_they_are(page: Path) -> None:
    """Look for a language, and for a reason where a block is not run."""
    bad = [
        block.line
        for block in page_blocks(page)
        if block.language not in (*EXECUTED, *SHOWN)
        or (block.mark in ('not run', 'file') and len(block.what) < 3)
    ]
    assert bad == [], f'{page}: blocks without language or reason, at these lines'


MARKDOWN = """
<!-- run first
a = 1
-->
- In a list:

  ```python
  b = 2

  c = 3
  ```

<!-- not run: needs Slurm -->
```bash
sbatch job.sh
```
```{image} x.png
```
<!-- output -->
```text
d
```
"""
REST = """
.. run first
   a = 1

.. code-block:: python
    :caption: no code

    b = 2

    c = 3

.. not run: needs Slurm

.. code-block:: bash

   sbatch job.sh

.. output

.. code-block:: text

   d
"""


@pytest.mark.parametrize('text, suffix', [(MARKDOWN, '.md'), (REST, '.rst')])
def test_blocks_are_found(text: str, suffix: str) -> None:
    assert [block[1:] for block in blocks(text, suffix)] == [
        ('python', 'a = 1\n', 'run first', ''),
        ('python', 'b = 2\n\nc = 3\n', '', ''),
        ('bash', 'sbatch job.sh\n', 'not run', 'needs Slurm'),
        ('text', 'd\n', 'output', ''),
    ]
