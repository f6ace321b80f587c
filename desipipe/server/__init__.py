"""Jupyter Server extension: REST routes and event streams for panel and displays.

Nothing of Jupyter is imported before a server asks for the extension.
"""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Return the extension points, by which Jupyter Server finds the extension."""
    from .extension import DesipipeExtension

    return [{'module': 'desipipe.server', 'app': DesipipeExtension}]
