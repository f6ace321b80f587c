"""A `desipipe serve` of a test: a process of its own, and requests to it."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

PAGE = Path(__file__).resolve().parents[2] / 'desipipe' / 'server' / 'page' / 'index.html'
TIMEOUT = 60


def need_page() -> None:
    """Skip the test where the page is not built."""
    pytest.importorskip('jupyter_server', reason='jupyter_server is not installed')
    if not PAGE.exists():
        pytest.skip('the page is not built; try: make labextension')


class Serving:
    """A server that runs.

    Parameters
    ----------
    cwd : Path
        Folder in which it is started.
    *options : str
        Of the command line.
    env : dict, default=None
        More environment variables.
    """

    def __init__(self, cwd: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.folder = cwd
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'desipipe', 'serve', *options],
            cwd=cwd,
            env=os.environ | (env or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.url = self.process.stdout.readline().strip()
        """The address that it printed."""
        parts = urlsplit(self.url)
        self.port = parts.port
        self.base = parts.path
        self.token = parts.query.removeprefix('token=')

    def ask(
        self, path: str = '', method: str = 'GET', body: str | None = None, **headers: str
    ) -> http.client.HTTPResponse:
        """Ask for what stands below its folder; names of headers have `_` for `-`."""
        return self.ask_root(self.base + path, method, body, **headers)

    def ask_root(
        self, path: str, method: str = 'GET', body: str | None = None, **headers: str
    ) -> http.client.HTTPResponse:
        """Ask for an address."""
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=TIMEOUT)
        named = {name.replace('_', '-'): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        response.text = response.read().decode()  # type: ignore[attr-defined]
        return response

    def log_in(self) -> dict[str, str]:
        """Return the cookies that a browser has once it opened the printed address."""
        cookies = cookies_of(self.ask(f'?token={self.token}'))
        header = '; '.join(f'{name}={cookie.coded_value}' for name, cookie in cookies.items())
        cookies |= cookies_of(self.ask(Cookie=header))
        return {name: cookie.coded_value for name, cookie in cookies.items()}

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """End it; its exit status, and what it printed for people."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, err


def cookies_of(response: http.client.HTTPResponse) -> dict[str, Any]:
    """The cookies that an answer sets."""
    cookies: SimpleCookie = SimpleCookie()
    for value in response.headers.get_all('Set-Cookie') or ():
        cookies.load(value)
    return dict(cookies)


def cookie_header(cookies: dict[str, str]) -> str:
    """What a browser sends."""
    return '; '.join(f'{name}={value}' for name, value in cookies.items())
