"""Matplotlib backend of cells that run as tasks.

``plt.show()`` displays the open figures, and so does the end of the cell.

Matplotlib imports it by its name, which :mod:`desipipe.display` hands to it in ``MPLBACKEND``.
"""

from __future__ import annotations

from typing import Any

from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

from .. import display

# Matplotlib is typed in parts: so type checkers say the same with and without it
_Manager: Any = FigureManagerBase


class FigureManager(_Manager):  # type: ignore[misc]
    """The manager of one figure: ``figure.show()`` displays it, and leaves it open."""

    def show(self) -> None:
        """Display the figure."""
        if display.captures():
            display.display(self.canvas.figure)


class FigureCanvas(FigureCanvasAgg):  # type: ignore[misc]
    """Figures are drawn in memory."""

    manager_class = FigureManager


def show(*args: Any, **kwargs: Any) -> None:
    """Display the open figures and close them; outside of cells do nothing."""
    if display.captures():
        try:
            for manager in Gcf.get_all_fig_managers():
                display.display(manager.canvas.figure)
        finally:
            Gcf.destroy_all()


def finish() -> None:
    """Display what is open at the end of a cell, and close it."""
    try:
        show()
    finally:
        Gcf.destroy_all()
