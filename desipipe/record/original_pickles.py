"""Read pickles of desipipe 1.0, also where their classes are absent."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable
from types import FunctionType
from typing import Any, ClassVar, NamedTuple, Self

from ..errors import RecordError
from .original_functions import rebuild_function

PICKLE_MAX_BYTES = 1 << 30
_PACKAGE = 'desipipe'
_SAFE = {'set', 'frozenset', 'complex', 'bytearray', 'slice', 'range', 'object'}


# Pickles


class Stored:
    """An object of desipipe 1.0: its class, and its attributes as they were stored."""

    origin: ClassVar[str] = ''

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update(item for item in state.items() if isinstance(item[0], str))

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute."""
        return self.__dict__.get(name, default)


class Absent:
    """An object whose class, or function, cannot be imported here."""

    origin: ClassVar[str] = ''

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make an object of whatever arguments."""
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def _take(self, *args: Any, **kwargs: Any) -> Absent:
        return self

    __setstate__ = __call__ = __setitem__ = append = extend = add = update = _take


def _stand_in(base: type, module: str, name: str) -> type:
    return type(
        name.rpartition('.')[2] or name,
        (base,),
        {'origin': f'{module}.{name}', '__module__': module},
    )


class _Reader(pickle.Unpickler):
    """Loads a pickle of desipipe 1.0.

    Parameters
    ----------
    data : bytes
    future : callable
        Given the identity of a task, returns what takes the place of its future.
    foreign : bool
        Import classes that are not of desipipe; if False, nothing is imported or run.
    """

    def __init__(self, data: bytes, future: Callable[[str], object], foreign: bool) -> None:
        super().__init__(io.BytesIO(data))
        self._future = future
        self._foreign = foreign
        self.absent: dict[str, str] = {}
        """Reason that it is absent, by the name of each class that is."""

    def persistent_load(self, pid: Any) -> Any:
        """See :meth:`pickle.Unpickler.persistent_load`."""
        kind, value = pid
        if kind == 'Future':
            return self._future(str(value))
        if kind == 'TaskManager':
            made = _stand_in(Stored, f'{_PACKAGE}.task_manager', 'TaskManager')()
            made.__setstate__(value)
            return made
        if kind == 'Function':
            name, code, defaults = value
            return rebuild_function(str(name), str(code), defaults) if self._foreign else Absent()
        raise pickle.UnpicklingError(f'{kind!r} is no reference of desipipe 1.0.')

    def find_class(self, module: str, name: str) -> Any:
        """See :meth:`pickle.Unpickler.find_class`."""
        if module == _PACKAGE or module.startswith(_PACKAGE + '.'):
            return self._own_class(module, name)
        if module == 'builtins' and name == 'getattr':
            return self._getattr
        if module == 'builtins' and name in _SAFE:
            return super().find_class(module, name)
        why = 'it was not asked for'
        if self._foreign:
            try:
                return super().find_class(module, name)
            except Exception as exc:  # of the module that is imported
                why = f'{type(exc).__name__}: {exc}'
        self.absent[f'{module}.{name}'] = why
        return _stand_in(Absent, module, name)

    def _own_class(self, module: str, name: str) -> type:
        if module == f'{_PACKAGE}.file_manager':
            from .original_files import RESTORED

            if name in RESTORED:
                return RESTORED[name]
        if module.split('.')[1:] in (
            ['task_manager'],
            ['environment'],
            ['scheduler'],
            ['provider'],
        ) and name not in ('Queue', 'Future'):
            return _stand_in(Stored, module, name)
        self.absent[f'{module}.{name}'] = 'objects of desipipe 1.0 are of no use here'
        return _stand_in(Absent, module, name)

    def _getattr(self, owner: Any, name: str) -> Any:
        """Return what the pickles of apps need; the rest only if anything may be imported."""
        if owner is object and name == '__new__':
            return object.__new__
        return getattr(owner, name) if self._foreign else _stand_in(Absent, 'builtins', 'getattr')


class _Search(pickle.Pickler):
    """Collects the names of absent classes in a value."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), protocol=5)
        self.origins: dict[str, None] = {}

    def persistent_id(self, obj: Any) -> Any:
        """See :meth:`pickle.Pickler.persistent_id`."""
        kind = obj if isinstance(obj, type) else type(obj)
        if issubclass(kind, Absent):
            self.origins[kind.origin] = None
            return 0
        if isinstance(obj, FunctionType):
            return 0
        return None


def absent_names(value: object) -> list[str]:
    """Return the names of the classes in a value that cannot be imported here."""
    search = _Search()
    try:
        search.dump(value)
    except Exception as exc:  # of the objects' own methods
        if not search.origins:
            return [f'{type(value).__name__} ({type(exc).__name__}: {exc})']
    return list(search.origins)


class Content(NamedTuple):
    """A task as it was stored."""

    task: Stored
    problem: str
    """Reason that its own objects could not be loaded; empty if they were."""


def read_task(data: bytes, future: Callable[[str], object]) -> Content:
    """Load the pickle of a task; what cannot be imported is an :class:`Absent`.

    Parameters
    ----------
    data : bytes
    future : callable
        Given the identity of a task, returns what takes the place of its future.

    Raises
    ------
    RecordError
        Nothing of it can be read.
    """
    problem = ''
    try:
        task = _Reader(data, future, True).load()
    except Exception as exc:  # of whatever class is in it
        problem = f'{type(exc).__name__}: {exc}'
        task = _read_plain(data, future)
    if not isinstance(task, Stored) or not isinstance(task.get('app'), Stored):
        raise RecordError('The pickle is no task.')
    return Content(task, problem)


def read_needs(data: bytes) -> list[str]:
    """Return the identities of the tasks whose results a task needs.

    Nothing is imported or run.
    """
    needs: list[str] = []
    task = _read_plain(data, needs.append)
    return list(dict.fromkeys([*needs, *required_ids(task)]))


def read_folder(data: bytes) -> str:
    """Return the folder of the script of a task, empty if unknown.

    Nothing is imported or run.
    """
    task = _read_plain(data, lambda tid: None)
    app = task.get('app') if isinstance(task, Stored) else None
    return str(app.get('dirname') or '') if isinstance(app, Stored) else ''


def required_ids(task: Stored) -> list[str]:
    """Return the identities of the tasks that a task needed, in order of arguments."""
    ids = task.get('require_ids') if isinstance(task, Stored) else None
    return [str(tid) for tid in ids] if isinstance(ids, list | tuple) else []


def read_manager(data: bytes) -> Stored | None:
    """Load the pickle of a task manager; None if it cannot be read."""
    try:
        manager = _read_plain(data, lambda tid: None)
    except RecordError:
        return None
    return manager if isinstance(manager, Stored) else None


def _read_plain(data: bytes, future: Callable[[str], object]) -> Any:
    try:
        return _Reader(data, future, False).load()
    except Exception as exc:
        raise RecordError(f'The pickle cannot be read ({type(exc).__name__}: {exc})') from exc


# What is loaded later


class Deferred:
    """A value of an old task that is loaded only where its classes are.

    Parameters
    ----------
    data : bytes
        The pickle of the task.
    part : str
        ``'result'``, or the name of an argument.
    text : str
        Names of what is absent, for people.
    """

    def __init__(self, data: bytes, part: str, text: str) -> None:
        self.data = data
        self.part = part
        self.text = text

    def __reduce__(self) -> tuple[Any, ...]:
        return load_deferred, (self.data, self.part)

    def __desipipe_identity__(self) -> str:
        return f'{self.part} {hashlib.blake2b(self.data, digest_size=16).hexdigest()}'

    def __repr__(self) -> str:
        return f'<{self.text}>'


def load_deferred(data: bytes, part: str) -> object:
    """Load a value of an old task that could not be loaded at the import.

    Raises
    ------
    ImportError
        A class in it is still absent.
    """
    task, problem = read_task(data, lambda tid: _stand_in(Absent, 'the result of task', tid)())
    value = task.get('result') if part == 'result' else task.get('kwargs', {}).get(part)
    missing = absent_names(value)
    if missing or problem:
        reason = problem or ', '.join(missing[:5])
        raise ImportError(f'{part} of a task of desipipe 1.0 needs {reason}, which fails to load.')
    return value


def describe_absent(names: list[str], problem: str) -> str:
    """Return what keeps a value from being loaded, for people."""
    return f'{", ".join(names[:3])}, which cannot be loaded here' if names else problem
