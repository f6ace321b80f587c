"""Catalogue of files: YAML data bases that list files, and selections from them.

A data base holds one YAML document for each kind of file::

    description: Power spectrum of the cut-sky mocks
    id: power
    filetype: npz
    path: ${OUTDIR}/power_{tracer}_{region}_{i:04d}.npz
    options:
      tracer: [LRG, ELG]
      region: [NGC, SGC]
      i: range(100)
    ---
    id: covariance
    path: ${OUTDIR}/covariance_{tracer}.npy
    options: {tracer: [LRG, ELG]}

Nothing in a data base is ever executed: see :mod:`desipipe.file_manager.template` for what a
placeholder may be.
"""

from __future__ import annotations

import sys

from ..environment import get_environ
from ..io import get_filetype
from ..utils import BaseClass
from . import file_provenance
from .catalogue import FileEntryCollection, FileManager, path_replace_environ, yaml_parser
from .entry import BaseFileEntry, get_file_entry
from .fields import Fields as BaseMutableClass
from .file import BaseFile
from .file_provenance import Provenance
from .options import common_options, in_options, iter_options

JointMetaClass = type(BaseFile)
sys.modules[f'{__name__}.made'] = file_provenance  # its name in pickles of provenances before

__all__ = [
    'BaseClass',
    'BaseFile',
    'BaseFileEntry',
    'BaseMutableClass',
    'FileEntryCollection',
    'FileManager',
    'JointMetaClass',
    'Provenance',
    'common_options',
    'get_environ',
    'get_file_entry',
    'get_filetype',
    'in_options',
    'iter_options',
    'path_replace_environ',
    'yaml_parser',
]
