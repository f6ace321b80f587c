"""The notebook: cells that become tasks, and what is shown of them."""

from __future__ import annotations

from typing import Any

__all__ = ['load_ipython_extension', 'unload_ipython_extension']


def load_ipython_extension(shell: Any) -> None:
    """Register ``%desipipe`` and ``%%desipipe``, for ``%load_ext desipipe``.

    Parameters
    ----------
    shell : IPython.core.interactiveshell.InteractiveShell
    """
    from .hooks import install
    from .magics import PipelineMagics

    install(shell)
    if not isinstance(shell.magics_manager.registry.get('PipelineMagics'), PipelineMagics):
        shell.register_magics(PipelineMagics)


def unload_ipython_extension(shell: Any) -> None:
    """Remove the magics, for ``%unload_ext desipipe``. Tasks and displays go on.

    Parameters
    ----------
    shell : IPython.core.interactiveshell.InteractiveShell
    """
    from .hooks import remove

    remove(shell)
    magics = shell.magics_manager.registry.pop('PipelineMagics', None)
    if magics is not None:
        magics.forget()
        for kind in ('line', 'cell'):
            shell.magics_manager.magics[kind].pop('desipipe', None)
