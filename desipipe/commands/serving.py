"""The verb that shows queues in a browser without JupyterLab: serve."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from .common import Verbs
from .face import hint

if TYPE_CHECKING:
    from ..server.page_server import PageServer


def register(verbs: Verbs) -> None:
    """Declare the verb."""
    parser = verbs.add(
        'serve',
        serve,
        'show the panel of JupyterLab as a page of its own',
        'Prints an address, with a token, for a browser on this machine; no other user can use it. '
        'It listens on 127.0.0.1 only: for a browser elsewhere it prints the line for ssh, too. '
        'Ctrl-C ends it; workers go on. It needs: pip install "desipipe[serve]".',
        'desipipe serve',
        'desipipe serve ~/shared/queues --port 8900',
    )
    parser.add_argument(
        'folders',
        nargs='*',
        metavar='FOLDER',
        help='folder with queues to show, besides yours and this one',
    )
    parser.add_argument(
        '--port',
        type=_port,
        metavar='N',
        help='port (default: first free from 8899; 0: any free)',
    )


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f'{text!r} is no port: ports are numbers from 0 to 65535')
    return int(text)


def serve(args: argparse.Namespace) -> int:
    """Run ``desipipe serve``."""
    import asyncio

    _need_own_process()
    server = _page_server()(os.getcwd(), _existing(args.folders), args.port)
    asyncio.run(server.serve(ready=lambda: _tell(server)))
    hint('Ended. Workers go on.')
    return 0


def _tell(server: PageServer) -> None:
    """Print where the page is, and how to reach it from elsewhere."""
    import socket

    from ..utils import username

    port = server.port
    print(f'Queues are shown, to you alone, at:\n  {server.url}', flush=True)
    hint(
        'For a browser on another machine, type this there first, and leave it open:\n'
        f'  ssh -N -L {port}:127.0.0.1:{port} {username()}@{socket.gethostname()}\n'
        'Ctrl-C ends this; workers go on.'
    )


def _need_own_process() -> None:
    """Refuse where a loop runs already: in a notebook."""
    import asyncio

    from ..errors import DesipipeError

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise DesipipeError(
        'It needs a process of its own. Nothing was started. Type in a terminal: desipipe serve'
    )


def _page_server() -> type[PageServer]:
    from ..errors import MissingDependencyError

    try:
        import jupyter_server  # noqa: F401
    except ImportError as exc:
        raise MissingDependencyError(
            'The package jupyter_server is not installed here. Nothing was started. Type: '
            'pip install "desipipe[serve]"'
        ) from exc
    from ..record.notebook_format import import_nbformat

    import_nbformat()  # with jsonschema, which takes seconds to import in any other way
    from ..server.page_server import PageServer

    return PageServer


def _existing(folders: list[str]) -> list[str]:
    from ..errors import MissingFileError

    for folder in folders:
        if not os.path.isdir(folder):
            raise MissingFileError(f'There is no folder {folder!r}. Nothing was started.')
    return [os.path.abspath(folder) for folder in folders]
