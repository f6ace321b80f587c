"""Give IPython and lower layers their displays and forms, imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..utils.lending import faces

if TYPE_CHECKING:
    from ..queue.future import Future
    from ..queue.queue import Queue
    from ..task_manager import TaskApp

_SHOWN = (('desipipe.queue.queue', 'Queue'), ('desipipe.queue.future', 'Future'))


def install(shell: Any) -> None:
    """Make queues and futures display themselves, and apps make forms.

    Parameters
    ----------
    shell : InteractiveShell
    """

    def queue(queue: Queue) -> None:
        from .displays.queue import QueueDisplay

        QueueDisplay(queue).show()

    def future(future: Future) -> None:
        from .displays.queue import show_future

        show_future(future)

    def form(app: TaskApp) -> Any:
        from .form import Form

        return Form(app)

    # Not `_ipython_display_` of the classes: they are below the notebook, and know nothing of it.
    formatter = shell.display_formatter.ipython_display_formatter
    for (module, name), show in zip(_SHOWN, (queue, future), strict=True):
        formatter.for_type_by_name(module, name, show)
    faces['form'] = form


def remove(shell: Any) -> None:
    """Take back :func:`install`."""
    formatter = shell.display_formatter.ipython_display_formatter
    for module, name in _SHOWN:
        formatter.pop(f'{module}.{name}', None)
    faces.pop('form', None)
