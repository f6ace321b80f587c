"""The catalogue of files: YAML data bases that say which files there are, and choosing among them.

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

Nothing in a data base is ever executed: placeholders are names of options and a format.
"""

from __future__ import annotations

from .catalogue import FileManager
from .entry import BaseFile, BaseFileEntry

__all__ = ['BaseFile', 'BaseFileEntry', 'FileManager']
