"""A real JupyterLab and a real browser: fixtures `lab`, `browser`, `page`, and what one does with
them.

A test of this folder is marked `browser`. It asks for `page` (a fresh browser window that knows
`lab`), writes a notebook with `lab.write`, opens it with `page.open_notebook`, runs cells with
`page.run_cell`, and waits with Playwright's `expect`, which looks again until it holds.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from polling import wait_for

from .gated import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
FRONT_END = ROOT / 'jupyter_ext' / 'labextension'
FLAGS = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder needs a browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


def chromium() -> str | None:
    """The browser: the one that `CHROMIUM` names, or Debian's, without windows where it is.

    The headless shell has the same engine without the menus and pages of the browser's own, which
    take a quarter of the processor time of each page that is opened.
    """
    names = ('chromium-headless-shell', 'chromium', 'chromium-browser')
    return os.environ.get('CHROMIUM') or next(filter(None, map(shutil.which, names)), None)


@dataclass
class Lab:
    """A server that runs; see the fixture :func:`lab`."""

    url: str
    """Its base URL, with a slash at the end."""
    token: str
    workdir: Path
    """The folder that it shows, and in which its kernels run."""
    home: Path
    """Home of its kernels; `queues` in it is their `DESIPIPE_QUEUE_DIR`."""
    env: dict[str, str]
    """Environment of the server and its kernels; for processes of the test that work on the same
    queues.
    """
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    app: str = 'lab'
    """`lab` or `notebook`."""

    @property
    def queues(self) -> Path:
        """Folder of the queues of the kernels."""
        return self.home / 'queues'

    @property
    def log(self) -> str:
        """What the server printed so far."""
        return (self.home / 'server.log').read_text(errors='replace')

    def address(self, path: str = '') -> str:
        """Where a notebook (or, without one, an empty Lab) is, with the token, and without what
        was open there before.
        """
        position = (
            f'notebooks/{path}' if self.app == 'notebook' else f'lab/tree/{path}' if path else 'lab'
        )
        return f'{self.url}{position}?token={self.token}&reset'

    def start(self) -> None:
        """Start the server (again, where it was before), and wait until it answers."""
        with open(self.home / 'server.log', 'ab') as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.env,
                cwd=self.workdir,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_for_answer(self.process, lambda: self.request('api'))
        except RuntimeError as exc:
            self.stop()
            raise RuntimeError(f'{exc}\n{self.log}') from exc

    def stop(self) -> None:
        """End the server and its kernels."""
        assert self.process is not None
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is not None:
                return
            os.killpg(
                self.process.pid, number
            ) if number == signal.SIGKILL else self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)

    def request(self, path: str, data: Any = None, method: str | None = None) -> Any:
        """Ask the server, as its owner: the parsed JSON of the answer.

        Parameters
        ----------
        path : str
            After the base URL: `desipipe/api/queues`.
        data : object, default=None
            Body, as JSON; with it the method is POST.
        method : str, default=None
            Another method.

        Raises
        ------
        urllib.error.HTTPError
            The server refuses.
        """
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(
            self.url + path, body, {'Authorization': f'token {self.token}'}, method=method
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return json.loads(response.read() or 'null')

    def write(self, name: str, *cells: Any, metadata: dict[str, Any] | None = None) -> str:
        """Write a notebook.

        Parameters
        ----------
        name : str
            File name in `workdir`, with `.ipynb`.
        *cells : str or NotebookNode
            Code of a cell, or a cell.
        metadata : dict, default=None
            Of the notebook, in addition.

        Returns
        -------
        name : str
        """
        import nbformat

        nodes = [
            nbformat.v4.new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells
        ]
        spec = {'name': 'python3', 'display_name': 'Python 3', 'language': 'python'}
        notebook = nbformat.v4.new_notebook(
            cells=nodes, metadata={'kernelspec': spec, **(metadata or {})}
        )
        path = self.workdir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        return name


def need_lab() -> None:
    """Skip the test where there is no JupyterLab, or nothing to show in it."""
    pytest.importorskip('jupyterlab', reason='JupyterLab is not installed; try: make test')
    if not (FRONT_END / 'package.json').exists():
        pytest.skip('the front end is not built; try: make labextension')


def install_front_end(data: Path, config: Path) -> None:
    """Put the front end into fresh folders of Jupyter's data and configuration."""
    # Whatever the environment has of the front end: that of this checkout is tested.
    (data / 'labextensions').mkdir(parents=True)
    (data / 'labextensions' / 'desipipe-lab').symlink_to(FRONT_END)
    # Without the question whether one wants news, which lies over a corner of the page, and without
    # asking on each page whether JupyterLab's own sources were built, which runs yarn.
    announcements = '@jupyterlab/apputils-extension:announcements'
    page = {'disabledExtensions': {announcements: True}, 'buildCheck': False}
    (config / 'labconfig').mkdir(parents=True)
    (config / 'labconfig' / 'page_config.json').write_text(json.dumps(page))


def clean_environment() -> dict[str, str]:
    """Return the environment without what says where Jupyter and desipipe have their files."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(('JUPYTER', 'IPYTHON', 'DESIPIPE'))
    }


def wait_for_answer(process: subprocess.Popen[bytes], ask: Callable[[], object]) -> None:
    """Ask a server that was just started until it answers.

    Raises
    ------
    RuntimeError
        It gave no answer, or has ended.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            ask()
            return
        except (OSError, ValueError) as exc:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f'The server gave no answer ({exc}).') from exc
            time.sleep(0.05)


def start_lab(
    home: Path,
    *options: str,
    base_url: str = '/',
    app: str = 'lab',
    env: dict[str, str] | None = None,
) -> Lab:
    """Start a server with fresh folders on a free port of the loopback interface, and wait until it
    answers.

    Parameters
    ----------
    home : Path
        A fresh folder.
    *options : str
        More options for the command line.
    base_url : str, default='/'
        Prefix, as behind a proxy.
    app : str, default='lab'
        `notebook` for Notebook 7.
    env : dict, default=None
        More environment variables.

    Returns
    -------
    lab : Lab
        To be ended by its ``stop``.
    """
    workdir = home / 'work'
    config = home / 'jupyter' / 'config'
    for folder in (workdir, home / 'queues', home / 'config'):
        folder.mkdir(parents=True, exist_ok=True)
    install_front_end(home / 'jupyter' / 'data', config)
    token = secrets.token_hex(16)
    environ = clean_environment() | {
        'HOME': str(home),
        'IPYTHONDIR': str(home / 'ipython'),
        'JUPYTER_CONFIG_DIR': str(config),
        'JUPYTER_DATA_DIR': str(home / 'jupyter' / 'data'),
        'JUPYTER_RUNTIME_DIR': str(home / 'jupyter' / 'runtime'),
        'JUPYTER_TOKEN': token,  # not on the command line, where `ps` shows it
        'DESIPIPE_QUEUE_DIR': str(home / 'queues'),
        'DESIPIPE_CONFIG_DIR': str(home / 'config'),
        **(env or {}),
    }
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        '-m',
        'jupyter',
        app,
        '--no-browser',
        '--allow-root',
        '--ServerApp.ip=127.0.0.1',
        f'--ServerApp.port={port}',
    ]
    command += [
        '--ServerApp.port_retries=0',
        f'--ServerApp.root_dir={workdir}',
        f'--ServerApp.base_url={base_url}',
    ]
    command += [
        '--LabApp.news_url=None',
        '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate',
        '--LabApp.extension_manager=readonly',
        *options,
    ]
    lab = Lab(
        f'http://127.0.0.1:{port}{base_url.rstrip("/")}/',
        token,
        workdir,
        home,
        environ,
        command,
        app=app,
    )
    lab.start()
    return lab


@pytest.fixture(scope='package')
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One JupyterLab for all tests: its own home, configuration, kernels and queues."""
    need_lab()
    lab = start_lab(tmp_path_factory.mktemp('lab'))
    try:
        yield lab
    finally:
        lab.stop()


@pytest.fixture
def new_lab(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    """A function that starts another server, with the arguments of :func:`start_lab` but the
    folder: for tests that end it, or want other options.
    """
    need_lab()
    labs: list[Lab] = []

    def start(*options: str, **more: Any) -> Lab:
        labs.append(start_lab(tmp_path / f'lab{len(labs)}', *options, **more))
        return labs[-1]

    yield start
    for lab in labs:
        lab.stop()


@pytest.fixture(scope='package')
def browser() -> Iterator[Any]:
    """A headless Chromium (Playwright's `Browser`).

    It is gone after the last test of this folder: as long as Playwright is there an event loop runs
    in this thread, and tests of the server could not run theirs.
    """
    sync_api = pytest.importorskip(
        'playwright.sync_api', reason='playwright is not installed; try: make test'
    )
    executable = chromium()
    if executable is None:
        pytest.skip('there is no Chromium; on Debian: apt-get install chromium')
    sync_api.expect.set_options(timeout=PATIENCE * 1e3)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, headless=True, args=FLAGS)
        yield browser
        browser.close()


class LabPage:
    """A browser's page with JupyterLab in it; what it has not itself, Playwright's `Page` has."""

    def __init__(self, lab: Lab, page: Any) -> None:
        self.lab = lab
        self.page = page
        self.errors: list[str] = []
        page.set_default_timeout(PATIENCE * 1e3)
        # JupyterLab's own notice that the server is away lies over the page until it is dismissed.
        away = page.get_by_role('dialog', name=re.compile('^Server (Connection Error|unavailable)'))
        page.add_locator_handler(
            away, lambda notice: notice.get_by_role('button').last.click(), no_wait_after=True
        )
        page.on('pageerror', lambda error: self.errors.append(str(error)))
        page.on(
            'console',
            lambda message: self.errors.append(message.text) if message.type == 'error' else None,
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self.page, name)

    def open_notebook(self, name: str) -> None:
        """Open a notebook of `lab.workdir`, and wait until its cells are there and its kernel is
        idle.
        """
        self.page.goto(self.lab.address(name))
        self.page.locator('.jp-Notebook .jp-Cell').first.wait_for()
        # The page shows an idle kernel before there is one, and a server that is told to end while
        # a kernel begins hangs: so ask.
        wait_for(lambda: self._kernel_state(name) == 'idle', f'the kernel of {name}')
        self.page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for()

    def _kernel_state(self, name: str) -> str | None:
        states = [
            session['kernel']['execution_state']
            for session in self.lab.request('api/sessions')
            if session['path'] == name
        ]
        return states[0] if states else None

    def cell(self, index: int) -> Any:
        """The locator of a cell of the notebook that is shown."""
        return self.page.locator('.jp-Notebook .jp-Cell').nth(index)

    def output(self, index: int) -> Any:
        """The locator of a cell's outputs."""
        return self.cell(index).locator('.jp-Cell-outputWrapper')

    def display(self, index: int) -> Any:
        """The locator of desipipe's display under a cell."""
        return self.cell(index).locator('.jp-desipipe-Cell')

    def run_cell(self, index: int, wait: bool = True) -> None:
        """Run a cell, as a person does.

        Parameters
        ----------
        index : int
        wait : bool, default=True
            Whether to wait for its end; else until it has begun.
        """
        from playwright.sync_api import expect

        cell = self.cell(index)
        cell.locator('.cm-content').first.click()
        # A key that is pressed right after the click can be lost.
        expect(cell.locator('.cm-editor').first).to_have_class(re.compile('cm-focused'))
        expect(cell).to_have_class(re.compile('jp-mod-active'))
        prompt = cell.locator('.jp-InputPrompt').first
        before = prompt.inner_text()
        self.page.keyboard.press('Control+Enter')
        expect(prompt).not_to_have_text(before)
        if wait:
            expect(prompt).to_have_text(re.compile(r'\[\d+\]:'), timeout=PATIENCE * 1e3)

    def come_back(self, front: str) -> None:
        """Open JupyterLab again where it was, with the tab in front whose name in its layout has
        ``front`` in it: once the layout is written down.
        """

        def written() -> bool:
            layout = self.lab.request('lab/api/workspaces/default')['data'].get(
                'layout-restorer:data', {}
            )
            dock = (layout.get('main') or {}).get('dock') or {'widgets': []}
            return bool(dock['widgets']) and front in dock['widgets'][dock['currentIndex']]

        wait_for(written, f'JupyterLab to write down that {front} is in front')
        self.page.goto(f'{self.lab.url}lab?token={self.lab.token}')

    def save(self) -> None:
        """Save the notebook, and wait until it is."""
        from playwright.sync_api import expect

        self.page.keyboard.press('Control+s')
        expect(self.page.locator('.lm-TabBar-tab.lm-mod-current.jp-mod-dirty')).to_have_count(
            0, timeout=PATIENCE * 1e3
        )


@pytest.fixture
def new_page(lab: Lab, browser: Any) -> Iterator[Any]:
    """A function that opens a fresh window (another person's browser, so to say):
    `new_page(lab=..., **context options)`.
    """
    contexts = []

    def open_page(lab: Lab = lab, **options: Any) -> LabPage:
        context = browser.new_context(**{'viewport': {'width': 1400, 'height': 900}, **options})
        contexts.append(context)
        return LabPage(lab, context.new_page())

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_page: Any) -> LabPage:
    """A fresh browser window."""
    return new_page()
