"""The Jupyter Server extension: what the panel and the displays under cells ask, as REST and one
stream of events per page.

Nothing of Jupyter is imported before a server asks for the extension.
"""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Return the extension points, by which Jupyter Server finds the extension."""
    from .extension import DesipipeExtension

    return [{'module': 'desipipe.server', 'app': DesipipeExtension}]
