"""The panel in a headless browser: a queue of 100,000 tasks opened, scrolled and filtered; how soon
an event is seen; what five idle queues cost.

JupyterLab asks its server something every few seconds by itself, and that costs more than desipipe
does. So what idle queues cost is the difference between two servers, and two browsers, that run
side by side: one pair with desipipe and its panel open, one without. What else the machine does
meanwhile happens to both.
"""

from __future__ import annotations

import getpass
import gzip
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from ..harness import Figure, Outcome, at_least, at_most, column
from .labs import FRONT_END, jupyter_lab, left_out, spent, window

SECONDS = 4  # of scrolling
# Moves the list by about ten lines a frame, for as long as it is told to; answers with frames per
# second, and the longest time between two.
SCROLL = """
seconds => new Promise(resolve => {
  const node = document.querySelector('.jp-desipipe-tasks');
  const begin = performance.now();
  let frames = 0, last = begin, worst = 0;
  const step = () => {
    const now = performance.now();
    worst = Math.max(worst, now - last);
    last = now;
    frames += 1;
    node.scrollTop += 240;
    if (now - begin < 1000 * seconds) {
      requestAnimationFrame(step);
    } else {
      resolve([1000 * frames / (now - begin), worst]);
    }
  };
  requestAnimationFrame(step);
})
"""
# Frames per second while each key changes the filter.
FILTER = """
async ([texts, pause]) => {
  const input = document.querySelector('.jp-desipipe-filter input');
  const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
  let frames = 0, going = true;
  const step = () => { frames += 1; if (going) requestAnimationFrame(step); };
  const begin = performance.now();
  requestAnimationFrame(step);
  for (const text of texts) {
    set.call(input, text);
    input.dispatchEvent(new Event('input', {bubbles: true}));
    await new Promise(resolve => setTimeout(resolve, pause));
  }
  going = false;
  return 1000 * frames / (performance.now() - begin);
}
"""
# When (ms since the epoch) the text of the open queue holds some words.
SEEN = """
words => new Promise(resolve => {
  const node = document.querySelector('#desipipe-panel');
  const look = () => { if (node.innerText.includes(words)) { observer.disconnect(); resolve(Date.now()); } };
  const observer = new MutationObserver(look);
  observer.observe(node, {subtree: true, childList: true, characterData: true});
  look();
})
"""


def measure(folder: Path, tasks: int, idle: int) -> dict[str, float]:
    """Return what the panel costs.

    Seconds until the tasks are seen (``paint``) and until an event is (``event``); frames per
    second (``scroll``, ``filter``), the longest frame in ms (``frame``), seconds of processor time
    a frame (``cost``); bytes of the front end, compressed, that come with the page (``bundle``);
    bytes of the server (``memory``, ``memory_bare``); shares of a core that five idle queues add to
    server and browser (``server``, ``browser``), and what JupyterLab takes without them
    (``server_bare``, ``browser_bare``).
    """
    from playwright.sync_api import sync_playwright

    from desipipe import Queue, TaskManager

    def value(i: int) -> int:
        return i

    queues = folder / 'lab' / 'queues' / getpass.getuser()
    for name in ('large', 'a', 'b', 'c', 'd'):
        queue = Queue(name, base_dir=queues, create=True)
        TaskManager(queue).python_app(value).map(i=range(tasks if name == 'large' else 100))
    large = Queue('large', base_dir=queues, create=False)
    values: dict[str, float] = {}
    with (
        sync_playwright() as playwright,
        jupyter_lab(folder / 'bare', False) as (bare_server, bare_url),
        jupyter_lab(folder / 'lab', True) as (server, url),
        window(playwright) as (bare_page, bare_browser),
        window(playwright) as (page, browser),
    ):
        bare_page.goto(bare_url)
        bare_page.locator('.jp-Launcher').first.wait_for()
        files: set[str] = set()
        page.on(
            'response',
            lambda response: files.add(
                urlsplit(response.url).path.rpartition('/extensions/desipipe-lab/static/')[2]
            ),
        )
        page.goto(url)
        page.locator('.jp-Launcher').first.wait_for()
        tab = page.locator('.jp-SideBar [data-id="desipipe-panel"]')
        tab.wait_for()
        values['bundle'] = sum(
            len(gzip.compress((FRONT_END / 'static' / name).read_bytes()))
            for name in files
            if '/' not in name and name
        )
        tab.click()
        page.get_by_role('button', name='large', exact=True).click()
        page.locator('.jp-desipipe-task[data-tid]').first.wait_for()
        tab.click()
        page.wait_for_timeout(3000)  # until JupyterLab has written down that it is hidden
        page.reload()
        page.locator('.jp-Launcher').first.wait_for()
        page.locator('.jp-desipipe-StatusItem button').wait_for()
        begin = time.perf_counter()
        tab.click()
        page.locator('.jp-desipipe-task[data-tid]').first.wait_for()
        values['paint'] = time.perf_counter() - begin
        page.wait_for_timeout(15_000)  # what loading left has been tidied up
        parts = {
            'server': [server],
            'browser': browser,
            'server_bare': [bare_server],
            'browser_bare': bare_browser,
        }
        begin, before = (
            time.monotonic(),
            {name: spent(processes) for name, processes in parts.items()},
        )
        page.wait_for_timeout(1000 * idle)
        passed = time.monotonic() - begin
        shares = {
            name: (spent(processes) - before[name]) / passed for name, processes in parts.items()
        }
        values |= {
            **shares,
            'server': shares['server'] - shares['server_bare'],
            'browser': shares['browser'] - shares['browser_bare'],
        }
        values |= {'memory': server.memory_info().rss, 'memory_bare': bare_server.memory_info().rss}
        bare_page.close()
        before_scroll = spent(browser)
        values['scroll'], values['frame'] = page.evaluate(SCROLL, SECONDS)
        values['cost'] = (spent(browser) - before_scroll) / (values['scroll'] * SECONDS)
        values['filter'] = page.evaluate(
            FILTER,
            [
                ['v', 'va', 'val', 'value[', 'value[9', 'value[99', 'value[999', 'value[99', '']
                * 3,
                120,
            ],
        )
        events = []
        for _ in range(5):
            words, change = ('no worker', large.resume) if large.paused else ('paused', large.pause)
            went = time.time()
            change()
            events.append(page.evaluate(SEEN, words) / 1e3 - went)
            page.wait_for_timeout(1500)
        values['event'] = max(events)
    return values


def figures(rounds: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of the panel."""
    note = '' if rounds else left_out()
    return [
        Figure(
            'lab.paint',
            'the panel shows the tasks of a queue of 100,000',
            column(rounds, 'paint', 1e3),
            'ms',
            at_most(1000),
            note,
        ),
        Figure(
            'lab.scroll',
            'scrolling through them',
            column(rounds, 'scroll'),
            'frames/s',
            at_least(50),
            note,
        ),
        Figure(
            'lab.filter', 'filtering them', column(rounds, 'filter'), 'frames/s', at_least(50), note
        ),
        Figure(
            'lab.event',
            'an event in the journal is seen in the panel',
            column(rounds, 'event', 1e3),
            'ms',
            at_most(1000),
            note,
        ),
        Figure(
            'lab.server',
            'what 5 idle queues add to the server',
            column(rounds, 'server', 100),
            '% of a core',
            at_most(1),
            note,
        ),
        Figure(
            'lab.browser',
            'what 5 idle queues add to the browser',
            column(rounds, 'browser', 100),
            '% of a core',
            at_most(2),
            note,
        ),
        Figure(
            'lab.memory',
            "memory of JupyterLab's server with them",
            column(rounds, 'memory', 1e-6),
            'MB',
            at_most(150),
            note,
        ),
        Figure(
            'lab.bundle',
            "what comes with JupyterLab's page, compressed",
            column(rounds, 'bundle', 1e-3),
            'kB',
            at_most(300),
            note,
        ),
        Figure(
            'lab.frame',
            'the longest frame while scrolling',
            column(rounds, 'frame'),
            'ms',
            note=note,
        ),
        Figure(
            'lab.cost',
            'processor time of a frame, all processes of the browser',
            column(rounds, 'cost', 1e3),
            'ms',
            note=note,
        ),
        Figure(
            'lab.server_bare',
            'an idle server of JupyterLab without desipipe',
            column(rounds, 'server_bare', 100),
            '% of a core',
            note=note,
        ),
        Figure(
            'lab.browser_bare',
            'an idle browser with JupyterLab without desipipe',
            column(rounds, 'browser_bare', 100),
            '% of a core',
            note=note,
        ),
        Figure(
            'lab.memory_bare',
            'memory of such a server',
            column(rounds, 'memory_bare', 1e-6),
            'MB',
            note=note,
        ),
    ]
