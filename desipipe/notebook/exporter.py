"""The record as a format of ``jupyter nbconvert --to desipipe_record``.

Imported only by nbconvert.
"""

from __future__ import annotations

import os
from typing import Any

from nbconvert.exporters import Exporter
from traitlets import Bool, List, Unicode, default

from ..cells.recorded import cell_node
from ..record.digests import notebook_bytes
from ..record.notebook import make_record
from ..record.privacy import Privacy


class RecordExporter(Exporter):  # type: ignore[misc]
    """Makes the record of a notebook and its queues; see :doc:`/user/records`."""

    export_from_notebook = 'Record of desipipe'
    output_mimetype = 'application/x-ipynb+json'
    queues: Any = List(
        Unicode(), help='Queues that the notebook uses, beside those that its cells name.'
    ).tag(config=True)
    include: Any = List(Unicode(), help='What is left out otherwise: environ, users, paths.').tag(
        config=True
    )
    with_results: Any = Bool(
        False, help='Keep the bytes of code, arguments, results and outputs.'
    ).tag(config=True)

    @default('file_extension')  # type: ignore[untyped-decorator]
    def _file_extension_default(self) -> str:
        return '.record.ipynb'

    def from_notebook_node(self, nb: Any, resources: Any = None, **kwargs: Any) -> tuple[str, Any]:
        """See :class:`nbconvert.exporters.Exporter`."""
        from ..config import Config
        from ..queue.location import find_folders
        from ..queue.queue import Queue

        about = dict(resources or {})
        where = about.get('metadata', {})
        folder = os.path.abspath(where.get('path') or os.getcwd())
        config = Config()
        queues = (
            [
                Queue(name, create=False, config=config)
                for name in find_folders(list(self.queues), config)
            ]
            if self.queues
            else []
        )
        plain = _plain(nb)
        record, _ = make_record(
            plain,
            f'{where.get("name", "notebook")}.ipynb',
            queues,
            Privacy(folder, self.include),
            cell_node,
            self.with_results,
        )
        _, about = super().from_notebook_node(nb, about, **kwargs)
        about['output_extension'] = self.file_extension
        return notebook_bytes(record).decode(), about


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
