"""The extension as Jupyter Server loads it: configuration, start and shutdown."""

from __future__ import annotations

from jupyter_server.extension.application import ExtensionApp
from traitlets import Float, Int, List, Unicode

from .._version import __version__
from .handlers import handlers
from .heap import return_large_pieces
from .queues import Hub
from .socket import SOCKET, EventsSocket


class DesipipeExtension(ExtensionApp):  # type: ignore[misc]
    """Shows desipipe's queues to JupyterLab, and does to them what is asked for there."""

    name = 'desipipe'
    version = __version__
    description = 'Queues of desipipe: REST and events for JupyterLab'

    folders = List(
        Unicode(),
        help='Folders whose queues are shown, besides those of the configured queue folder and of '
        'the folder that the server shows (root_dir). '
        'Queues elsewhere are refused.',
    ).tag(config=True)
    keep = Float(
        600.0, min=1.0, help='Seconds for which a queue without requests stays in memory.'
    ).tag(config=True)
    most_queues = Int(128, min=1, help='The most queues in memory at once.').tag(config=True)
    most_tasks = Int(
        1_000_000,
        min=1,
        help=(
            'Queues without followers leave the memory when there are more tasks than these in it.'
        ),
    ).tag(config=True)

    def initialize_handlers(self) -> None:
        """Add the routes to the server."""
        return_large_pieces()
        self.hub = Hub(
            self.serverapp.root_dir, self.folders, self.keep, self.most_queues, self.most_tasks
        )
        # The socket first: the last of the others answers for every address below ours.
        self.handlers.extend([(SOCKET, EventsSocket, {'hub': self.hub}), *handlers(self.hub)])

    async def stop_extension(self) -> None:
        """End the streams, and let go of the queues."""
        await self.hub.close()
