"""Notebooks by the package nbformat, which is optional."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from ..errors import MissingDependencyError
from .notebook_files import write

if TYPE_CHECKING:
    from nbformat import NotebookNode


def import_nbformat() -> Any:
    """Import :mod:`nbformat`; fast, where this process is the command's own."""
    # jsonschema, which it needs, builds a parser for all of RFC 3987 when it is imported, if there
    # is a package for that: two seconds, for a check (of IRIs) that no notebook's schema asks for.
    # Without the package it goes without the check; other people's processes keep it.
    grammar = 'rfc3987_syntax'
    ours = not sys.modules.keys() & {'jsonschema', 'ipykernel', grammar}
    if ours:
        sys.modules[grammar] = None  # type: ignore[assignment]
    try:
        return importlib.import_module('nbformat')
    finally:
        if ours:
            del sys.modules[grammar]


def missing(package: str) -> MissingDependencyError:
    """Return the error for an optional package that is not there."""
    return MissingDependencyError(
        f'{package} is not installed here, nothing was done. Type: pip install "desipipe[record]"'
    )


def write_notebook(path: str, notebook: NotebookNode) -> None:
    """Write a notebook in one step."""
    import nbformat

    write(path, (nbformat.writes(notebook) + '\n').encode('utf-8', 'surrogatepass'))
