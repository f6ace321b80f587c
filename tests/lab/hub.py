"""A real JupyterHub on the loopback interface: its proxy, and a server for each user."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polling import wait_for

from .conftest import ROOT, Lab, clean_environment, install_front_end, wait_for_answer
from .gated import PATIENCE

PROXY = ROOT / 'node_modules' / '.bin' / 'configurable-http-proxy'
PREFIX = '/hubs'  # The hub is rarely at the root of its host.

CONFIG = """
import os
c = get_config()
c.JupyterHub.bind_url = os.environ['HUB_URL']
c.JupyterHub.hub_bind_url = os.environ['HUB_INNER_URL']
c.JupyterHub.db_url = 'sqlite:///' + os.path.abspath('hub.sqlite')
c.JupyterHub.cookie_secret_file = os.path.abspath('cookie_secret')
c.ConfigurableHTTPProxy.command = [os.environ['HUB_PROXY']]
c.ConfigurableHTTPProxy.api_url = os.environ['HUB_PROXY_URL']
c.ConfigurableHTTPProxy.pid_file = os.path.abspath('proxy.pid')
c.JupyterHub.authenticator_class = 'dummy'
c.Authenticator.allowed_users = set(os.environ['HUB_USERS'].split())
# The users of the tests have no accounts on this machine, only folders.
c.JupyterHub.spawner_class = 'simple'
c.SimpleLocalProcessSpawner.home_dir_template = os.path.abspath('homes') + '/{username}'
# A loaded machine needs longer than the 30 s and 60 s of the defaults.
c.Spawner.http_timeout = c.Spawner.start_timeout = 120
c.Spawner.args = ['--allow-root', '--LabApp.news_url=None']
c.Spawner.environment = {
    'JUPYTER_PATH': os.environ['HUB_JUPYTER_PATH'],
    'JUPYTER_CONFIG_PATH': os.environ['HUB_CONFIG_PATH'],
    'DESIPIPE_QUEUE_DIR': lambda spawner: f'{os.getcwd()}/homes/{spawner.user.name}/queues',
}
c.JupyterHub.services = [{'name': 'tests', 'api_token': os.environ['HUB_TOKEN']}]
c.JupyterHub.load_roles = [
    {'name': 'tests', 'services': ['tests'], 'scopes': ['admin:servers', 'access:servers']},
]
"""


@dataclass
class Hub:
    """A JupyterHub that runs; see :func:`start_hub`."""

    url: str
    """Its base URL, with a slash at the end."""
    token: str
    """The API token of the tests: starts, stops and uses the servers of all users."""
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        """What the hub, its proxy and the servers printed last."""
        return (self.folder / 'hub.log').read_text(errors='replace')[-3000:]

    def request(self, path: str, method: str = 'GET') -> Any:
        """Ask the hub's API; return the parsed JSON of the answer."""
        request = urllib.request.Request(
            f'{self.url}hub/api/{path}',
            method=method,
            headers={'Authorization': f'token {self.token}'},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return json.loads(response.read() or 'null')

    def server_state(self, user: str) -> str:
        """Return 'ready', 'pending', or 'stopped'."""
        server = self.request(f'users/{user}')['servers'].get('')
        if server is None:
            return 'stopped'
        return 'ready' if server['ready'] else 'pending'

    def start_server(self, user: str) -> None:
        """Start a user's server, and wait until it answers."""
        self.request(f'users/{user}/server', 'POST')
        wait_for(lambda: self.server_state(user) == 'ready', lambda: f'the server\n{self.log}')

    def stop_server(self, user: str) -> None:
        """Stop a user's server, and wait until it is gone."""
        self.request(f'users/{user}/server', 'DELETE')
        wait_for(lambda: self.server_state(user) == 'stopped', 'the end of the server')

    def lab(self, user: str) -> Lab:
        """Return the server of a user, as the fixtures of this folder know servers."""
        home = self.folder / 'homes' / user
        home.mkdir(parents=True, exist_ok=True)
        environ = {**os.environ, 'HOME': str(home)}
        return Lab(f'{self.url}user/{user}/', self.token, home, home, environ, [])

    def stop(self) -> None:
        """End the hub, its proxy and its servers."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                self.process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def start_hub(folder: Path, *users: str) -> Hub:
    """Start a hub for users in a fresh folder, on free ports, and wait until it answers."""
    outer, inner, proxy = _free_ports(3)
    url, token = f'http://127.0.0.1:{outer}{PREFIX}/', secrets.token_hex(16)
    (folder / 'config.py').write_text(CONFIG)
    data, config = folder / 'share' / 'jupyter', folder / 'etc' / 'jupyter'
    install_front_end(data, config)
    environ = clean_environment() | {
        'HUB_URL': url,
        'HUB_INNER_URL': f'http://127.0.0.1:{inner}',
        'HUB_PROXY': str(PROXY),
        'HUB_PROXY_URL': f'http://127.0.0.1:{proxy}',
        'HUB_TOKEN': token,
        'HUB_USERS': ' '.join(users),
        'HUB_JUPYTER_PATH': str(data),
        'HUB_CONFIG_PATH': str(config),
    }
    with open(folder / 'hub.log', 'wb') as log:
        process = subprocess.Popen(
            [sys.executable, '-m', 'jupyterhub', '-f', str(folder / 'config.py')],
            env=environ,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    hub = Hub(url, token, folder, process)
    try:
        wait_for_answer(process, lambda: hub.request(''))
    except RuntimeError as exc:
        hub.stop()
        raise RuntimeError(f'{exc}\n{hub.log}') from exc
    return hub


def _free_ports(n: int) -> list[int]:
    probes = [socket.socket() for _ in range(n)]
    for probe in probes:
        probe.bind(('127.0.0.1', 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
