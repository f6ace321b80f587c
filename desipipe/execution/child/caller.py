"""Call the function of a task, with its arguments, where it expects to be called."""

from __future__ import annotations

import functools
import os
from typing import Any

from ...errors import DesipipeError
from ...queue.events import TEXT
from ...queue.faults import patiently
from ...serialize import loads, stand_ins
from ...serialize.payload import is_plain_pickle
from ...utils import working_folder
from ..protocol import Packet
from ..shell_process import call
from .code import CodeLoader, TaskGroup
from .displays import LargeDisplays
from .payloads import SlotPayloads
from .ranks import Ranks
from .restorer import Restorer


class TaskCaller:
    """Caller of the functions of tasks.

    Parameters
    ----------
    payloads : SlotPayloads
    loader : CodeLoader
    restorer : Restorer
    displays : LargeDisplays
    ranks : Ranks
    """

    def __init__(
        self,
        payloads: SlotPayloads,
        loader: CodeLoader,
        restorer: Restorer,
        displays: LargeDisplays,
        ranks: Ranks,
    ) -> None:
        self._payloads = payloads
        self._loader = loader
        self._restorer = restorer
        self._displays = displays
        self._ranks = ranks

    def call(self, task_group: TaskGroup, packet: Packet, i: int) -> Any:
        """Call the function of the task at position ``i`` of a packet; return its value."""
        group = task_group.group
        if group.cwd and group.cwd != working_folder():
            _enter(group.cwd)
        code = self._loader.ready(task_group)
        function = functools.partial(self._restorer.settings.run, code.call)
        arguments = self._arguments(task_group, packet, i)
        if self._loader.prepared is None:
            stand_ins.provide_for_task(code.memory.module_names)
        if 'mpicomm' in arguments and arguments['mpicomm'] is None:
            arguments['mpicomm'] = self._ranks.communicator()
        if group.kind == 'cell' and self._ranks.is_first:
            from ...display import captured  # only here: other tasks need none of it

            with captured(self._restorer.flush_c, self._displays.keep):
                return function(arguments)
        if group.kind == 'cell':
            from ...display import named

            with named():
                return function(arguments)
        value = function(arguments)
        return call(value) if group.kind == 'bash' else value

    def _arguments(self, task_group: TaskGroup, packet: Packet, i: int) -> Any:
        requires = packet.requires.get(packet.rows[i], ())
        data = self._payloads.read_trusted(packet.segment, packet.offsets[i], packet.lengths[i])
        resolve = self._payloads.resolver(requires) if requires else None
        content = data[TEXT.size + TEXT.unpack_from(data)[0] :]
        if (
            resolve is not None
            or task_group.shared is not None
            or not isinstance(content, bytes)
            or not is_plain_pickle(content)
        ):
            self._loader.prepared = None  # what is loaded may bring classes and modules
        arguments: Any = loads(content, resolve)
        if task_group.shared is not None:
            # Loaded again for each task: what one of them changes must not be seen by the next.
            arguments = {**self._payloads.load(task_group.shared, resolve), **arguments}
        return arguments


def _enter(folder: str) -> None:
    try:
        patiently(lambda: os.chdir(folder))
    except OSError as exc:
        raise DesipipeError(
            f'The folder the task was added from, {folder}, cannot be entered on this machine '
            f'({exc.strerror}).'
        ) from None
