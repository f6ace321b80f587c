"""Measure what a keystroke costs the browser in a notebook of task cells.

The same is typed in a JupyterLab without desipipe. Keys come so far apart that the badges are
brought up to date after each. Both pages take turns, as JupyterLab does other things, too.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..harness import Figure, Outcome, at_most, column
from .labs import jupyter_lab, left_out, window

TURNS = 5
APART_MS = 350


def measure(folder: Path, cells: int, keys: int) -> dict[str, float]:
    """Return the seconds of the page's thread that a keystroke takes.

    With desipipe (``with``), without (``bare``), and what desipipe adds (``added``).
    """
    from playwright.sync_api import sync_playwright

    texts = ['def inside(x):\n    return x'] + [
        f'%%desipipe --out v{i:d}\nv{i:d} = inside({i:d})' for i in range(cells)
    ]
    with (
        sync_playwright() as playwright,
        jupyter_lab(folder / 'bare', False) as (_, bare_url),
        jupyter_lab(folder / 'lab', True) as (_, url),
        window(playwright) as (bare_page, _),
        window(playwright) as (page, _),
    ):
        spans: dict[str, list[float]] = {'bare': [], 'with': []}
        pages = {'bare': (bare_page, bare_url), 'with': (page, url)}
        for name, (shown, address) in pages.items():
            work = folder / ('lab' if name == 'with' else name) / 'work'
            _write(work / 'typing.ipynb', texts)
            shown.goto(address.replace('/lab?', '/lab/tree/typing.ipynb?'))
            shown.locator('.jp-Notebook .jp-Cell .cm-content').first.click()
            shown.keyboard.press('Control+End')
        page.locator('.jp-desipipe-Badge').first.wait_for()
        for shown in (bare_page, page):
            shown.wait_for_timeout(10_000)  # until what loading left has been tidied up
        for _ in range(TURNS):
            for name, (shown, _) in pages.items():
                spans[name].append(_keystroke(shown, keys))
    values = {name: statistics.median(times) for name, times in spans.items()}
    return {**values, 'added': values['with'] - values['bare']}


def _write(path: Path, texts: Sequence[str]) -> None:
    cells = [
        {
            'cell_type': 'code',
            'id': f'c{i:d}',
            'source': text,
            'metadata': {},
            'outputs': [],
            'execution_count': None,
        }
        for i, text in enumerate(texts)
    ]
    spec = {'name': 'python3', 'display_name': 'Python 3', 'language': 'python'}
    notebook = {'cells': cells, 'metadata': {'kernelspec': spec}}
    path.write_text(json.dumps({**notebook, 'nbformat': 4, 'nbformat_minor': 5}))


def _keystroke(page: Any, keys: int) -> float:
    """Type digits, and return the seconds that the page's thread took for each."""
    client = page.context.new_cdp_session(page)
    client.send('Performance.enable', {'timeDomain': 'threadTicks'})
    before = _busy(client)
    for _ in range(keys):
        page.keyboard.type('1')
        page.wait_for_timeout(APART_MS)
    taken = _busy(client) - before
    client.detach()
    return taken / keys


def _busy(client: Any) -> float:
    metrics = client.send('Performance.getMetrics')['metrics']
    return float({item['name']: item['value'] for item in metrics}['TaskDuration'])


def figures(rounds: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of typing."""
    note = '' if rounds else left_out()
    return [
        Figure(
            'typing.added',
            'what badges add to a keystroke among 50 task cells',
            column(rounds, 'added', 1e3),
            'ms',
            at_most(5),
            note,
        ),
        Figure(
            'typing.bare',
            'a keystroke in a JupyterLab without desipipe',
            column(rounds, 'bare', 1e3),
            'ms',
            note=note,
        ),
    ]
