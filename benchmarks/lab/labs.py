"""JupyterLab and Chromium to measure: each with a home of its own, and what each takes of
processor and memory.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FRONT_END = Path(__file__).resolve().parents[2] / 'jupyter_ext' / 'labextension'
FLAGS = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
]


def chromium() -> str | None:
    """Return where the browser is: the one that `CHROMIUM` names, or Debian's."""
    return (
        os.environ.get('CHROMIUM') or shutil.which('chromium') or shutil.which('chromium-browser')
    )


def left_out() -> str:
    """Return why nothing can be measured here, and what to do about it; nothing when it can."""
    if absent := [
        name
        for name in ('jupyterlab', 'playwright', 'psutil')
        if importlib.util.find_spec(name) is None
    ]:
        return f'no {" and no ".join(absent)}: pip install {" ".join(absent)}'
    if chromium() is None:
        return 'no Chromium: apt-get install chromium, or name one in CHROMIUM'
    if not (FRONT_END / 'static').is_dir():
        return 'the front end is not built, for which Node 20 is needed: make labextension'
    return ''


@contextmanager
def jupyter_lab(folder: Path, desipipe: bool) -> Iterator[tuple[Any, str]]:
    """Run a JupyterLab with or without desipipe; its process (of `psutil`) and its address.

    Its queues are those below ``folder / 'queues'``.
    """
    import psutil

    config, data, work = folder / 'jupyter' / 'config', folder / 'jupyter' / 'data', folder / 'work'
    for place in (config / 'jupyter_server_config.d', data / 'labextensions', work):
        place.mkdir(parents=True)
    if desipipe:
        shutil.copytree(
            FRONT_END, data / 'labextensions' / 'desipipe-lab'
        )  # not a link: it may be built again meanwhile
    words = {'ServerApp': {'jpserver_extensions': {'desipipe.server': desipipe}}}
    (config / 'jupyter_server_config.d' / 'desipipe.json').write_text(json.dumps(words))
    # An environment may have the front end installed.
    (config / 'labconfig').mkdir()
    (config / 'labconfig' / 'page_config.json').write_text(
        json.dumps({'disabledExtensions': {} if desipipe else {'desipipe-lab': True}})
    )
    token = secrets.token_hex(16)
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(('JUPYTER', 'IPYTHON', 'DESIPIPE_QUEUE', 'DESIPIPE_CONFIG'))
    }
    environ |= {
        'HOME': str(folder),
        'JUPYTER_CONFIG_DIR': str(config),
        'JUPYTER_DATA_DIR': str(data),
        'JUPYTER_RUNTIME_DIR': str(folder / 'runtime'),
    }
    environ |= {
        'JUPYTER_TOKEN': token,
        'DESIPIPE_QUEUE_DIR': str(folder / 'queues'),
        'DESIPIPE_CONFIG_DIR': str(folder / 'config'),
    }
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        '-m',
        'jupyter',
        'lab',
        '--no-browser',
        '--allow-root',
        '--ServerApp.ip=127.0.0.1',
        f'--ServerApp.port={port}',
    ]
    command += [
        '--ServerApp.port_retries=0',
        f'--ServerApp.root_dir={work}',
        '--LabApp.news_url=None',
        '--LabApp.extension_manager=readonly',
    ]
    command += ['--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate']
    with open(folder / 'log', 'wb') as log:
        server = subprocess.Popen(command, env=environ, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f'http://127.0.0.1:{port}/api', timeout=5).close()
                break
            except OSError as exc:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(
                        'JupyterLab gave no answer '
                        f'({exc}):\n{(folder / "log").read_text(errors="replace")}'
                    ) from exc
                time.sleep(0.1)
        yield psutil.Process(server.pid), f'http://127.0.0.1:{port}/lab?token={token}'
    finally:
        server.terminate()
        server.wait(30)


@contextmanager
def window(playwright: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Run a browser with one page; the page, and a list that is filled with the browser's
    processes when the page is there.
    """
    import psutil

    def browsers() -> dict[int, Any]:
        return {
            process.pid: process
            for process in psutil.Process().children(recursive=True)
            if 'chrom' in process.name()
        }

    before = browsers()
    browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
    try:
        page = browser.new_page(viewport={'width': 1400, 'height': 900})
        page.set_default_timeout(60e3)
        page.goto('about:blank')
        yield page, [process for pid, process in browsers().items() if pid not in before]
    finally:
        browser.close()


def spent(processes: Sequence[Any]) -> float:
    """Return the seconds of processor time that they took so far."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)
