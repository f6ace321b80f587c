"""Tell the user's own modules, carried by value, from installed ones.

The user's own are ``__main__`` (script, notebook) and every module whose file lies neither in the
standard library, nor in ``site-packages`` or ``dist-packages``, nor in a package that is installed
in editable mode, nor in one that the list of files of an installation beside it names (``pip
install --target``), nor in one that desipipe itself needs, wherever that lies: every worker has it.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import io
import json
import os
import sys
from collections.abc import Iterable
from types import FunctionType, ModuleType

MAIN = frozenset(('__main__', '__mp_main__'))
_EXTENSIONS = tuple(importlib.machinery.EXTENSION_SUFFIXES)
# Topmost names of desipipe, and of what it cannot run without.
_NEEDED = frozenset(('cloudpickle', 'filelock', 'numpy', 'orjson', 'rich', 'simpleeval', 'yaml'))
_OURS = _NEEDED | {__name__.partition('.')[0]}


def is_user(name: object) -> bool:
    """Return True if the module ``name`` is the user's own.

    A name that is not imported here can only be that of code that came by value from where it was:
    the user's own.
    """
    if not isinstance(name, str) or name in MAIN:
        return True
    module = sys.modules.get(name)
    if module is None:
        top = name.partition('.')[0]
        return top not in sys.stdlib_module_names and top not in _OURS
    return _is_user_module(
        name,
        getattr(module, '__file__', None),
        getattr(module, '__spec__', None),
        getattr(module, '__path__', None),
    )


def _is_user_module(name: str, file: str | None, spec: object, path: Iterable[str] | None) -> bool:
    top = name.partition('.')[0]
    if top in _OURS:
        return False
    if file is None and path is not None:
        file = next(
            (os.path.join(entry, '__init__.py') for entry in path if isinstance(entry, str)), None
        )  # a namespace package
    if file is None:
        # Built in, frozen, or made by a program: six.moves is its package's, a bare module of a
        # notebook is the user's.
        return getattr(spec, 'loader', None) is None and (
            is_user(name.rpartition('.')[0]) if '.' in name else top not in sys.stdlib_module_names
        )
    return not file.endswith(_EXTENSIONS) and _is_user_file(file, name)


def extension(name: str) -> str:
    """Return the path of a compiled module that the user built; empty for others.

    It can't be carried by value, but it counts by its bytes: building it again from other code is
    another code.
    """
    file = getattr(sys.modules.get(name), '__file__', None) or ''
    return file if file.endswith(_EXTENSIONS) and _is_user_file(file, name) else ''


@functools.cache
def _is_user_file(file: str, name: str) -> bool:
    file = os.path.abspath(file)
    for path in {file, os.path.realpath(file)}:
        if (
            'site-packages' in path.split(os.sep)
            or 'dist-packages' in path.split(os.sep)
            or path.startswith(_installed_roots())
        ):
            return False
        if name.partition('.')[0] in _installed_names(_home(path, name)):
            return False
    return not any(
        _is_of_editable(os.path.realpath(file), name, *editable) for editable in _editables()
    )


def _home(file: str, name: str) -> str:
    """Return the folder from which a module's topmost package was imported."""
    levels = name.count('.') + (1 if os.path.basename(file).startswith('__init__.') else 0)
    home = os.path.dirname(file)
    for _ in range(levels):
        home = os.path.dirname(home)
    return home


@functools.cache
def _installed_names(folder: str) -> frozenset[str]:
    """Return the top-level names installed in a folder or archive of ``sys.path``.

    The lists of files tell them, which ``pip install --target`` leaves beside the modules, and
    which archives of installed packages (zip, egg) hold.
    """
    import importlib.metadata

    egg = folder.endswith(
        '.egg'
    )  # The list beside a source tree names what is being written there.
    names: set[str] = set()
    for distribution in importlib.metadata.distributions(path=[folder]):
        for name in ('top_level.txt',) if egg else ('RECORD',):
            lines = (distribution.read_text(name) or '').splitlines()
            paths = [line.strip().strip('"').partition(',')[0] for line in lines]
            names.update(path.partition('/')[0].partition('.')[0] for path in paths)
    return frozenset(names - {''})


@functools.cache
def _installed_roots() -> tuple[str, ...]:
    import site
    import sysconfig

    paths = sysconfig.get_paths()
    roots = {paths[key] for key in ('stdlib', 'platstdlib', 'purelib', 'platlib')}
    roots.update(site.getsitepackages(), [site.getusersitepackages()])
    return tuple(
        sorted(
            {
                os.path.join(form(root), '')
                for root in roots
                for form in (os.path.abspath, os.path.realpath)
            }
        )
    )


@functools.cache
def _editables() -> tuple[tuple[str, frozenset[str]], ...]:
    """Return the folders of editable installations, with their top-level modules.

    The modules are empty where the installation does not list them.
    """
    import importlib.metadata
    import urllib.parse
    import urllib.request

    roots = []
    for distribution in importlib.metadata.distributions():
        text = distribution.read_text('direct_url.json')
        if text:
            direct = json.loads(text)
            if direct.get('dir_info', {}).get('editable'):
                folder = urllib.request.url2pathname(urllib.parse.urlparse(direct['url']).path)
                roots.append(
                    (
                        os.path.realpath(folder),
                        frozenset((distribution.read_text('top_level.txt') or '').split()),
                    )
                )
    return tuple(roots)


def _is_of_editable(file: str, name: str, folder: str, names: frozenset[str]) -> bool:
    # A repository that is installed in editable mode holds notebooks too, and the files beside
    # these are the user's own. Its packages are those it names itself; where it names none, the
    # packages (not the single files) in its root or its `src`.
    if not file.startswith(os.path.join(folder, '')):
        return False
    if names:
        return name.partition('.')[0] in names
    is_package = os.path.basename(file).startswith('__init__.')
    return (is_package or '.' in name) and _home(file, name) in (
        folder,
        os.path.join(folder, 'src'),
    )


def is_user_spec(name: str, spec: importlib.machinery.ModuleSpec) -> bool:
    """Return True if the module found under ``name`` is the user's own."""
    return _is_user_module(
        name, spec.origin if spec.has_location else None, spec, spec.submodule_search_locations
    )


def shared(value: object) -> tuple[str, str] | None:
    """Return module and name of a random generator shared by the whole process."""
    for module, name in (('random', '_inst'), ('numpy.random.mtrand', '_rand')):
        if value is getattr(sys.modules.get(module), name, sys):
            return module, name
    return None


def singleton(value: object) -> str:
    """Return the name of an installed module's object without content.

    An example is :data:`dataclasses.MISSING`.

    Programs compare these by identity, so that a copy would be another one.
    """
    kind = type(value)
    if getattr(value, '__dict__', None) or is_user(kind.__module__):
        return ''
    namespace = getattr(sys.modules.get(kind.__module__), '__dict__', {})
    return next((name for name, item in namespace.items() if item is value), '')


def is_guarded_open(name: str, value: object) -> bool:
    """Return True for the ``open`` that IPython puts into its namespace.

    It guards the kernel's own streams; for a task it is Python's.
    """
    return name == 'open' and getattr(value, '__wrapped__', None) is io.open


def is_singledispatch(func: FunctionType) -> bool:
    """Return True if a function was made by :func:`functools.singledispatch`.

    Such a function keeps weak references, but is more than these.
    """
    return (
        func.__code__.co_qualname == 'singledispatch.<locals>.wrapper'
        and func.__globals__.get('__name__') == 'functools'
    )


def resolve(module: str | None, qualname: str) -> object:
    """Return what ``module.qualname`` is now; None if there is no such thing."""
    value: object = sys.modules.get(module or '')
    if not isinstance(value, ModuleType):
        return None
    for name in qualname.split('.'):
        try:
            value = getattr(value, name)
        except AttributeError:
            return None
    return value
