"""Apps as a record has them: source, code, pieces of their identities."""

from __future__ import annotations

import linecache
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson

from ...errors import DesipipeError, PayloadError
from ...queue.events import Ref
from ...queue.ledger import Ledger
from ...serialize import Anatomy, anatomy
from ...serialize import source as source_code
from ..model import Node
from ..model_types import AppEntry
from ..pieces import word_of
from ..privacy import Privacy
from ..sources import app_trees
from .payloads import LOADING_ERRORS, Payloads, loading_problem

if TYPE_CHECKING:
    from ...queue.task_events import AppEvent


class Apps:
    """Reads the apps of one queue."""

    def __init__(
        self, ledger: Ledger, privacy: Privacy, payloads: Payloads, node: Node | None
    ) -> None:
        self._ledger = ledger
        self._privacy = privacy
        self._payloads = payloads
        self._node = node

    def describe(self, app: str, versions: Iterable[int]) -> AppEntry:
        """Describe an app.

        Parameters
        ----------
        app : str
            Its identity.
        versions : iterable of int
            Numbers of the versions that its tasks ran with.

        Returns
        -------
        entry : dict
            ``unchecked`` says why its identity can't be computed anew, where that is so.
        """
        event = self._ledger.state.apps.get(app)
        if event is None:
            return {
                'id': app,
                'name': '?',
                'kind': 'python',
                'packages': [],
                'versions': sorted(versions),
                'source': '',
                'parts': {},
                'unchecked': 'its line of the journal is damaged',
            }
        entry: AppEntry = {
            'id': app,
            'name': event['name'],
            'kind': event['kind'],
            'packages': list(event['packages']),
            'versions': sorted(versions),
            'source': '',
            'parts': {},
        }
        try:
            self._add_texts(entry, event)
        except PayloadError as exc:
            entry['unchecked'] = self._privacy.text(str(exc))
            return entry
        try:
            parts = self._taken_apart(entry, event)
        except (DesipipeError, *LOADING_ERRORS) as exc:
            entry['unchecked'] = self._privacy.text(loading_problem(exc))
            return entry
        if parts.digest.hex() != app:
            entry['unchecked'] = _difference(entry, parts)
        else:
            self._add_pieces(entry, parts)
        return entry

    def _add_texts(self, entry: AppEntry, event: AppEvent) -> None:
        """Add source, digests of parts, and stored code."""
        entry['source'] = source = self._ledger.read_text(event['source'])
        entry['parts'] = orjson.loads(self._ledger.read_text(event['parts']))
        entry['code'] = self._payloads.describe(Ref(*event['code']))
        if self._privacy.text(source) != source:
            self._privacy.notes[
                f'(kept: the source of {event["name"]} names absolute paths; code is recorded as '
                'it ran)'
            ] = None

    def _taken_apart(self, entry: AppEntry, event: AppEvent) -> Anatomy:
        """Load the code, and return what its identity is made of."""
        func: Any = self._ledger.load(Ref(*event['code']))
        code = getattr(func, '__code__', None)
        parameters = (
            list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]) if code else []
        )
        if event['kind'] == 'cell' and self._node is not None and code is not None:
            entry['cell'] = ''.join(linecache.getlines(code.co_filename))
            source_code.register(code, self._node(entry['cell'], parameters), entry['cell'])
        parts = anatomy(func, event['kind'])
        entry['parameters'] = parameters
        return parts

    def _add_pieces(self, entry: AppEntry, parts: Anatomy) -> None:
        """Add the pieces, and the labels of parts whose text is not in the source."""
        entry['root'] = word_of(parts.root)
        entry['pieces'] = {
            label: [word_of(piece) for piece in pieces] for label, pieces in parts.pieces.items()
        }
        stored = app_trees(entry, self._node)
        untold = [
            label
            for label, pieces in parts.pieces.items()
            if stored is None or pieces[0].hex() not in stored
        ]
        if untold:
            entry['untold'] = untold


def _difference(entry: AppEntry, parts: Anatomy) -> str:
    """Describe why stored code has another identity in this process."""
    differing = sorted(
        name
        for name in parts.parts.keys() | entry['parts'].keys()
        if parts.parts.get(name) != entry['parts'].get(name)
    )
    labels = ', '.join(differing)[:200] or 'what it is called'
    return f'its stored code does not give its identity in this process ({labels} differs here)'
