"""The code of tasks in a slot: loaded once, or again for each task."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ... import provenance
from ...queue.binding import caller
from ...queue.events import Group, Ref
from ...serialize import carried, class_registry, stand_ins
from ...serialize.confined import is_confined
from ...utils.lending import Overlay
from ..protocol import GroupSettings
from .payloads import SlotPayloads
from .restorer import Restorer

if TYPE_CHECKING:
    from ...serialize.memory import Memory


class TaskGroup:
    """The settings of a group that the slot knows."""

    __slots__ = (
        'code',
        'environ',
        'folder',
        'group',
        'loaded',
        'look',
        'making',
        'packages',
        'shared',
        'source',
    )

    def __init__(self, settings: GroupSettings) -> None:
        group = self.group = Group(*settings.group)
        self.code = Ref(*settings.code)
        self.shared = None if settings.shared is None else Ref(*settings.shared)
        self.source = Ref(*settings.source)
        self.environ = settings.environ
        self.look = settings.look
        # Of the notebook (which finds modules where it runs), else of the script: its folder comes
        # first, before those of PYTHONPATH.
        self.folder = group.cwd if group.cwd in group.path else (group.path or (group.cwd,))[0]
        self.packages = settings.packages
        self.loaded: LoadedCode | None = None
        self.making: provenance.Making | None = None  # of the last task


class LoadedCode:
    """The code of an app's version, loaded.

    It is loaded again for each task, where one could see what another left in it.
    """

    __slots__ = ('call', 'is_alone', 'is_confined', 'memory', 'modules', 'version')
    call: Callable[..., Any]
    memory: Memory

    def __init__(self, func: Callable[..., Any]) -> None:
        self.load(func)

    def load(self, func: Callable[..., Any]) -> None:
        """Take a function that was just loaded."""
        from ...serialize.memory import Memory

        self.memory = Memory(func)
        self.modules = carried.current_modules()
        self.version = carried.current_version()
        self.call = caller(func)
        self.is_alone = not self.modules and self.memory.is_of_functions
        """True if it brings neither modules nor classes.

        Then tasks with plain arguments find nothing of each other.
        """
        self.is_confined = not self.modules and is_confined(func)

    def use(self) -> bool:
        """Return True if it can be called as it is.

        Nothing that it carries or imports has changed.
        """
        carried.install({}, self.modules)
        is_same = not self.modules or self.version == carried.current_version()
        return is_same and self.memory.use()


class CodeLoader:
    """Loader of code, which makes the process what the code's tasks expect.

    Parameters
    ----------
    payloads : SlotPayloads
    restorer : Restorer
    """

    def __init__(self, payloads: SlotPayloads, restorer: Restorer) -> None:
        self._payloads = payloads
        self._restorer = restorer
        self._codes: dict[Ref, LoadedCode] = {}
        self._main: Memory | None = None  # whose functions and classes `__main__` has now
        self._names: Overlay | None = None
        self.prepared: LoadedCode | None = None
        """Code for which the process is what the next task of the packet expects."""

    def ready(self, task_group: TaskGroup) -> LoadedCode:
        """Return the code of a group; the process is what its next task expects."""
        code = task_group.loaded
        if (
            code is None
            or self.prepared is not code
            or carried.has_modules()
            or class_registry.has_classes()
            or not code.memory.use()
        ):
            code = self.prepare(task_group)
            self.prepared = code if code.is_alone else None
        return code

    def prepare(self, task_group: TaskGroup) -> LoadedCode:
        """Load the code of a group, and make the process what its tasks expect."""
        group = task_group.group
        stand_ins.withdraw()
        class_registry.start_task()
        carried.start_task()
        code = task_group.loaded
        if code is None:
            for entry in group.path:
                if entry not in sys.path:
                    sys.path.append(entry)
            self._restorer.settings.keep('lists')
            code = task_group.loaded = self._codes.get(task_group.code)
            if code is None:
                code = task_group.loaded = LoadedCode(self._payloads.load(task_group.code))
                self._codes[task_group.code] = code
        if code.use():
            code.memory.keep_classes()
        else:
            # A random generator, a counter: the task begins with what was there when it was added,
            # whatever others did in this process.
            code.memory.forget()
            code.load(self._payloads.load(task_group.code))
            code.memory.use()
        if self._main is not code.memory:
            self._be_main(code.memory)
        self._restorer.settings.prepare(group.settings)
        return code

    def _be_main(self, memory: Memory) -> None:
        """Provide the ``__main__`` of where the task was added.

        :mod:`multiprocessing` and :mod:`pickle` look for it by name.
        """
        if self._names is not None:
            self._names.remove()
        self._main, self._names = memory, Overlay(vars(sys.modules['__main__']))
        self._names.put(memory.names)
