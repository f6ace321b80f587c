"""Entities of a crate, and the names of its files."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..documents import Reference
    from ..model_types import AppEntry


NOTEBOOK = 'notebook.ipynb'
CHANGES = 'repository.diff'


class Entities:
    """Adds entities to a crate; each is referred to by its key.

    Parameters
    ----------
    crate : ROCrate
    kind : type
        Class of contextual entities.
    files : mapping
        Bytes of the crate's files, by their names.
    """

    def __init__(self, crate: Any, kind: Any, files: Mapping[str, bytes]) -> None:
        self._crate = crate
        self._kind = kind
        self.files = files

    @property
    def root(self) -> Any:
        """The entity that stands for the crate as a whole."""
        return self._crate.root_dataset

    def add(self, key: str, /, **properties: Any) -> Reference:
        """Add a contextual entity; return the reference to it."""
        kind = properties.pop('type')
        self._crate.add(self._kind(self._crate, key, properties={'@type': kind, **properties}))
        return {'@id': key}

    def file(self, path: str, kind: str | list[str] = 'File', /, **properties: Any) -> Reference:
        """Add a file of the crate; return the reference to it."""
        data = self.files[path]
        about = {
            '@type': kind,
            'contentSize': str(len(data)),
            'sha256': hashlib.sha256(data).hexdigest(),
            **properties,
        }
        self._crate.add_file(io.BytesIO(data), dest_path=path, properties=about)
        return {'@id': path}


def app_file(app: AppEntry) -> str:
    """Return the name of the file with the source of an app."""
    ending = 'sh.py' if app['kind'] == 'bash' else 'py'
    return f'apps/{safe_name(app["name"])}-{app["id"][:12]}.{ending}'


def safe_name(text: str) -> str:
    """Return a text as a part of a file's name."""
    return re.sub(r'[^A-Za-z0-9_.-]', '_', text)[:80].lstrip('.') or '_'
