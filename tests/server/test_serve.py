"""`desipipe serve`: a real process, and who may ask it for what."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import TIMEOUT, Serving, cookie_header, cookies_of, need_page

from desipipe import Queue
from desipipe.errors import MissingDependencyError

PAUSE = 'desipipe/api/actions/pause'


@pytest.fixture
def serve(queue_dir: Path, tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    """Start servers, which are ended after the test."""
    need_page()
    servers: list[Serving] = []

    def start(*options: str, **more: Any) -> Serving:
        servers.append(Serving(tmp_path, *(options or ('--port', '0')), **more))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.end()


@pytest.fixture(scope='module')
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One server for all tests that do not end it."""
    need_page()
    folder = tmp_path_factory.mktemp('serve')
    server = Serving(folder, '--port', '0', env={'DESIPIPE_QUEUE_DIR': str(folder)})
    yield server
    server.end()


def test_token_is_exchanged_for_a_cookie(server: Serving) -> None:
    answer = server.ask(f'?token={server.token}')
    assert answer.status == 302
    assert answer.headers['Location'] == server.base
    (cookie,) = cookies_of(answer).values()
    assert cookie['httponly'] and cookie['samesite'] == 'Lax'
    assert cookie['path'] == server.base != '/'  # not sent to other ports of this host
    assert not cookie['expires']
    page = server.ask(Cookie=f'desipipe={cookie.coded_value}')
    assert page.status == 200 and '<script defer src="page.js">' in page.text
    script = server.ask('page.js', Cookie=f'desipipe={cookie.coded_value}')
    assert script.status == 200 and script.headers['Content-Type'].startswith('text/javascript')


@pytest.mark.parametrize('path', ['', 'page.js', 'desipipe/api/queues', 'desipipe/api/socket'])
def test_page_tells_nothing_without_the_token(server: Serving, path: str) -> None:
    other = ('A' if server.token[0] != 'A' else 'B') + server.token[1:]
    for headers in (
        {},
        {'Authorization': f'token {other}'},
        {'Authorization': f'token {server.token[:-1]}'},
        {'Authorization': 'token é'},
        {'Cookie': 'desipipe=2|1:0|10:1|8:desipipe|4:e30=|00'},
    ):
        answer = server.ask(path, **headers)
        assert answer.status == 403, headers
        assert 'desipipe=' not in (answer.headers['Set-Cookie'] or '').replace('desipipe=""', '')
    assert server.ask(f'{path}?token={other}').status == 403


def test_server_takes_no_cookie_of_another(serve: Callable[..., Serving]) -> None:
    first, second = serve(), serve()
    assert first.base != second.base and first.token != second.token
    cookies = first.log_in()
    assert first.ask(Cookie=cookie_header(cookies)).status == 200
    assert second.ask(Cookie=cookie_header(cookies)).status == 403


def test_serve_has_no_routes_of_jupyter(server: Serving) -> None:
    cookies = cookie_header(server.log_in())
    for path in ('/', '/api/contents', '/desipipe/api/queues', '/lab'):
        assert server.ask_root(f'{path}?token={server.token}', Cookie=cookies).status == 404
    for path in ('api/kernels', 'api/terminals', '../extension.py', '%2e%2e/extension.py'):
        assert server.ask(path, Cookie=cookies).status == 404


@pytest.mark.parametrize(
    'host', ['evil.example', 'evil.example:8899', '10.0.0.1', 'localhost.evil']
)
def test_names_of_other_hosts_are_refused(server: Serving, host: str) -> None:
    cookies = cookie_header(server.log_in())
    for path in ('', 'page.js', 'desipipe/api/queues', 'desipipe/api/socket'):
        assert server.ask(path, Host=host, Cookie=cookies).status == 403
    assert server.ask(f'?token={server.token}', Host=host).status == 403
    # Through `ssh -L` the port is another one.
    assert server.ask(Host='localhost:1234', Cookie=cookies).status == 200


def test_other_pages_can_not_write(server: Serving) -> None:
    queue = Queue('mine', base_dir=server.folder, create=True)
    cookies = server.log_in()
    body = json.dumps({'queue': queue.folder})
    own = {'Cookie': cookie_header(cookies), 'X_XSRFToken': cookies['_xsrf'].strip('"')}
    # A form of another page: the browser sends the cookie, if it does, and nothing else.
    assert server.ask(PAUSE, 'POST', body, Cookie=own['Cookie']).status == 403
    for origin in ('http://evil.example', f'http://127.0.0.1:{server.port + 1}', 'null'):
        assert server.ask(PAUSE, 'POST', body, Origin=origin, **own).status == 404
        assert server.ask('desipipe/api/queues', Origin=origin, **own).status == 404
    assert queue.state == 'ACTIVE'
    assert server.ask(PAUSE, 'POST', body, X_XSRFToken=own['X_XSRFToken']).status == 403
    same = f'http://127.0.0.1:{server.port}'
    assert server.ask(PAUSE, 'POST', body, Origin=same, **own).status == 200
    assert queue.state == 'PAUSED'


def test_other_pages_can_not_follow(server: Serving) -> None:
    headers = {
        'Upgrade': 'websocket',
        'Connection': 'Upgrade',
        'Sec_WebSocket_Version': '13',
        'Sec_WebSocket_Key': 'dGhlIHNhbXBsZSBub25jZQ==',
        'Cookie': cookie_header(server.log_in()),
    }
    path = 'desipipe/api/socket'
    origin = f'http://127.0.0.1:{server.port + 1}'
    assert server.ask(path, Origin=origin, **headers).status == 403


def test_answers_load_nothing_from_elsewhere(server: Serving) -> None:
    for path in ('', 'desipipe/api/queues'):
        headers = server.ask(path, Cookie=cookie_header(server.log_in())).headers
        policy = headers['Content-Security-Policy']
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert 'http' not in policy and '*' not in policy
        assert headers['Cache-Control'] == 'no-store'
        assert 'Access-Control-Allow-Origin' not in headers


def test_serve_listens_on_loopback_only(server: Serving) -> None:
    with socket.create_connection(('127.0.0.1', server.port), TIMEOUT):
        pass
    # Another address of this machine.
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(('127.0.0.2', server.port), TIMEOUT)


def test_token_is_on_no_command_line(server: Serving) -> None:
    for name in ('cmdline', 'environ'):
        assert server.token.encode() not in Path(f'/proc/{server.process.pid}/{name}').read_bytes()


def test_ctrl_c_ends_it(serve: Callable[..., Serving]) -> None:
    server = serve()
    status, err = server.end()
    assert status == 0
    assert f'ssh -N -L {server.port}:127.0.0.1:{server.port} ' in err
    assert err.endswith('Ended. Workers go on.\n')
    assert server.token not in err


def test_busy_port_gives_the_next(serve: Callable[..., Serving]) -> None:
    first = serve('.')  # a folder, and no port
    second = serve('.')
    assert 8899 <= first.port < second.port


def run_serve(cwd: Path, *options: str, code: str = '') -> subprocess.CompletedProcess[str]:
    """Run a server that is not to start."""
    script = f'import sys\n{code}\nfrom desipipe.cli import main\nsys.exit(main())'
    return subprocess.run(
        [sys.executable, '-c', script, 'serve', *options],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def test_busy_port_that_was_asked_for_is_an_error(server: Serving, tmp_path: Path) -> None:
    done = run_serve(tmp_path, '--port', str(server.port))
    assert done.returncode == 2 and done.stdout == ''
    assert done.stderr == (
        f'desipipe: Port {server.port} is in use, or needs root. Nothing was started. For any free '
        'port, type: desipipe serve --port 0\n'
    )


def test_serve_names_missing_packages_and_folders(queue_dir: Path, tmp_path: Path) -> None:
    done = run_serve(tmp_path, code='sys.modules["jupyter_server"] = None')
    assert done.returncode == 2
    assert 'Type: pip install "desipipe[serve]"\n' in done.stderr
    done = run_serve(tmp_path, 'nowhere')
    assert done.returncode == 2 and "no folder 'nowhere'" in done.stderr
    done = run_serve(tmp_path, '--port', '70000')
    assert done.returncode == 2 and "'70000' is no port" in done.stderr


def test_serve_names_the_missing_page(tmp_path: Path) -> None:
    from desipipe.server.page_files import PageFiles

    with pytest.raises(MissingDependencyError, match='make labextension'):
        PageFiles(tmp_path)


async def test_serve_does_not_block_kernels() -> None:
    from desipipe.cli import main

    assert main(['serve']) == 2  # a loop runs, as in a kernel


def test_serve_shows_queues_of_named_folders(
    serve: Callable[..., Serving], tmp_path_factory: pytest.TempPathFactory
) -> None:
    shown, hidden = (tmp_path_factory.mktemp(name) for name in ('shown', 'hidden'))
    for folder in (shown, hidden):
        Queue('there', base_dir=folder, create=True)
    server = serve(str(shown), '--port', '0')
    cookie = cookie_header(server.log_in())
    listed = json.loads(server.ask('desipipe/api/queues', Cookie=cookie).text)
    assert [line['folder'] for line in listed] == [str(shown / 'there.queue')]
    answer = server.ask(f'desipipe/api/queue?queue={hidden}/there', Cookie=cookie)
    assert answer.status == 403
    assert 'start it with the parent folder: desipipe serve FOLDER' in answer.text
