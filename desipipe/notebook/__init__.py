"""The notebook: cells that become tasks, and what is shown of them."""

from __future__ import annotations

from typing import Any

__all__ = ['load_ipython_extension', 'unload_ipython_extension']


def load_ipython_extension(shell: Any) -> None:
    """What ``%load_ext desipipe`` does: ``%desipipe`` and ``%%desipipe`` are known from here on.

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
    """What ``%unload_ext desipipe`` does. Tasks and displays go on.

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
