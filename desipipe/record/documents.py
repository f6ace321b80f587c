"""Documents of others' formats that records read and write.

They are notebooks (nbformat 4), the metadata of crates (JSON-LD) and PROV-JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

if TYPE_CHECKING:
    from ..outputs.notebook import Output

# Notebooks


class NotebookCell(TypedDict):
    """A cell of a notebook."""

    cell_type: str
    """``'code'``, ``'markdown'`` or ``'raw'``."""
    source: str
    """Text of the cell; a file may have a list of lines."""
    metadata: dict[str, Any]
    """Tags, and what extensions keep by their own keys."""
    id: NotRequired[str]
    """Identity in the notebook, since nbformat 4.5."""
    outputs: NotRequired[list[Output]]
    """Outputs of a code cell."""
    execution_count: NotRequired[int | None]
    """Number of the execution of a code cell."""
    attachments: NotRequired[dict[str, Any]]
    """Files of a text cell: forms by MIME type, by name."""


class Notebook(TypedDict):
    """A notebook of nbformat 4."""

    cells: list[NotebookCell]
    metadata: dict[str, Any]
    """Kernel and language, and what extensions keep by their own keys."""
    nbformat: int
    """Always 4."""
    nbformat_minor: NotRequired[int]


# Crates

Entity = dict[str, Any]
"""An entity of a crate, or some of its properties: JSON-LD, by the terms of schema.org."""

Reference = dict[str, str]
"""A reference to an entity, ``{'@id': key}``; empty if there is none."""

CrateMetadata = TypedDict(
    'CrateMetadata', {'@context': str | list[str | dict[str, str]], '@graph': list[Entity]}
)
"""The metadata of a crate: JSON-LD, flattened."""

# PROV

ProvAttributes = dict[str, str | int | float | dict[str, str]]
"""Attributes of an element or a relation of PROV-JSON, by qualified name."""

ProvElements = dict[str, ProvAttributes]
"""Elements or relations of one kind, by identifier."""

ProvDocument = Mapping[str, Mapping[str, str | ProvAttributes]]
"""A document of PROV-JSON: namespaces by prefix, and elements and relations by kind."""
