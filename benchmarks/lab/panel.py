"""The panel in a headless browser: a queue of 100,000 tasks opened, scrolled and filtered; how soon an event is seen; what five idle queues cost."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..harness import Figure, Outcome, at_least, at_most, column

FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
ROOT = Path(__file__).resolve().parents[2]
# Moves the list by about ten lines a frame, for as long as it is told to; answers with frames per second, and the longest time between two.
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
    """Return seconds until the tasks are seen (``paint``), frames per second (``scroll``, ``filter``), the longest frame in ms (``frame``).

    And seconds until an event is seen (``event``), and shares of a core of server and browser with five idle queues (``server``, ``browser``).
    """
    import psutil
    from playwright.sync_api import sync_playwright

    from desipipe import Queue, TaskManager

    def value(i: int) -> int:
        return i

    queues = folder / 'queues' / getpass.getuser()
    for name in ('large', 'a', 'b', 'c', 'd'):
        queue = Queue(name, base_dir=queues, create=True)
        TaskManager(queue).python_app(value).map(i=range(tasks if name == 'large' else 100))
    large = Queue('large', base_dir=queues, create=False)
    server, url = _start(folder)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=os.environ.get('CHROMIUM') or shutil.which('chromium'), args=FLAGS)
            page = browser.new_page(viewport={'width': 1400, 'height': 900})
            page.set_default_timeout(60e3)
            page.goto(url)
            page.locator('.jp-Launcher').first.wait_for()
            tab = page.locator('.jp-SideBar [data-id="desipipe-panel"]')
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
            paint = time.perf_counter() - begin
            chrome = [process for process in psutil.Process().children(recursive=True) if 'chrom' in process.name()]
            page.wait_for_timeout(10_000)  # what loading left has been tidied up
            serving = [psutil.Process(server.pid)]
            before, served, used = time.monotonic(), _spent(serving), _spent(chrome)
            time.sleep(idle)
            passed = time.monotonic() - before
            server_share, browser_share = (_spent(serving) - served) / passed, (_spent(chrome) - used) / passed
            scroll, frame = page.evaluate(SCROLL, 4)
            filtered = page.evaluate(FILTER, [['v', 'va', 'val', 'value[', 'value[9', 'value[99', 'value[999', 'value[99', ''] * 3, 120])
            events = []
            for _ in range(5):
                words, change = ('no worker', large.resume) if large.paused else ('paused', large.pause)
                went = time.time()
                change()
                events.append(page.evaluate(SEEN, words) / 1e3 - went)
                time.sleep(1.5)
            values = {
                'paint': paint,
                'scroll': scroll,
                'frame': frame,
                'filter': filtered,
                'event': max(events),
                'server': server_share,
                'browser': browser_share,
            }
            browser.close()
            return values
    finally:
        server.terminate()
        server.wait(30)


def _spent(processes: Sequence[Any]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _start(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A JupyterLab with a home of its own, and its address."""
    config, data = folder / 'jupyter' / 'config', folder / 'jupyter' / 'data'
    work, extensions = folder / 'work', data / 'labextensions'
    for place in (config, extensions, work):
        place.mkdir(parents=True)
    (extensions / 'desipipe-lab').symlink_to(ROOT / 'jupyter_ext' / 'labextension')
    token = secrets.token_hex(16)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(('JUPYTER', 'IPYTHON', 'DESIPIPE'))}
    environ |= {'HOME': str(folder), 'JUPYTER_CONFIG_DIR': str(config), 'JUPYTER_DATA_DIR': str(data), 'JUPYTER_RUNTIME_DIR': str(folder / 'runtime')}
    environ |= {'JUPYTER_TOKEN': token, 'DESIPIPE_QUEUE_DIR': str(folder / 'queues'), 'DESIPIPE_CONFIG_DIR': str(folder / 'config')}
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    command = [sys.executable, '-m', 'jupyter', 'lab', '--no-browser', '--allow-root', '--ServerApp.ip=127.0.0.1', f'--ServerApp.port={port}']
    command += [f'--ServerApp.root_dir={work}', '--LabApp.news_url=None', '--LabApp.extension_manager=readonly']
    command += ['--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate']
    server = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f'http://127.0.0.1:{port}/api', timeout=5).close()
            return server, f'http://127.0.0.1:{port}/lab?token={token}'
        except OSError:
            if time.monotonic() > deadline:
                server.kill()
                raise
            time.sleep(0.1)


def figures(rounds: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of the panel."""
    return [
        Figure('lab.paint', 'the panel shows the tasks of a queue of 100,000', column(rounds, 'paint', 1e3), 'ms', at_most(1000)),
        Figure('lab.scroll', 'scrolling through them', column(rounds, 'scroll'), 'frames/s', at_least(50)),
        Figure('lab.filter', 'filtering them', column(rounds, 'filter'), 'frames/s', at_least(50)),
        Figure('lab.event', 'an event in the journal is seen in the panel', column(rounds, 'event', 1e3), 'ms', at_most(1000)),
        Figure('lab.server', 'server with 5 idle queues open', column(rounds, 'server', 100), '% of a core', at_most(1)),
        Figure('lab.browser', 'browser with 5 idle queues open', column(rounds, 'browser', 100), '% of a core', at_most(2)),
    ]
