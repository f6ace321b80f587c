"""Reading and writing files by type. A file is written whole or not at all.

A file type is a class, known by its `name` as soon as it is defined::

    class PowerFile(BaseFile):
        name = 'power'
        suffixes = ('.pk',)

        def load(self):
            return np.loadtxt(self.path)

        def save(self, power):
            np.savetxt(self.path, power)

`save` is given a path of a temporary folder; what it wrote there takes its place when all of it is
on disk. A package makes its types known by entry points::

    [project.entry-points.'desipipe.filetypes']
    power = 'my_package.files:PowerFile'
"""

from __future__ import annotations

from .access import get_filetype, load, save
from .array_types import FitsFile, HDF5File, NpyFile, NpzFile
from .atomic import atomic_folder, atomic_write
from .file_types import BaseFile, StreamFile, filetypes
from .plain_types import GenericFile, JSONFile, PickleFile, TextFile, YAMLFile

__all__ = [
    'BaseFile',
    'FitsFile',
    'GenericFile',
    'HDF5File',
    'JSONFile',
    'NpyFile',
    'NpzFile',
    'PickleFile',
    'StreamFile',
    'TextFile',
    'YAMLFile',
    'atomic_folder',
    'atomic_write',
    'filetypes',
    'get_filetype',
    'load',
    'save',
]

# Of all public modules, tasks call the functions of this one; so they are in identities of tasks,
# and in pickles, with this module as that of each name, wherever it is defined.
for _name in __all__:
    globals()[_name].__module__ = __name__
