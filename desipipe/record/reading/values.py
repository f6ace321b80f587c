"""Arguments and results, as they count for identities and as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import DesipipeError, PayloadError, UntrustedQueueError
from ...queue.events import Group
from ...queue.ledger import Ledger
from ...serialize import encode, task_identity, text
from ..model_types import ArgumentsEntry, PayloadEntry
from ..pieces import TEXT, word_of
from ..privacy import Privacy
from .payloads import LOADING_ERRORS, Payloads, loading_problem

WORDS_MAX = 4096
"""Results whose words are kept, as many tasks have the same."""


class Values:
    """Reads arguments and results of one queue's tasks."""

    def __init__(self, ledger: Ledger, privacy: Privacy, payloads: Payloads) -> None:
        self._ledger = ledger
        self._privacy = privacy
        self._payloads = payloads
        self._shared: dict[str, dict[str, bytes]] = {}
        self._words: dict[tuple[type, Any], str] = {}

    def arguments(self, row: int, group: Group) -> ArgumentsEntry:
        """Return a task's arguments as members of its entry.

        ``args`` has them as they count for the identity, ``text`` as people read them, only where
        that says more.
        """
        try:
            texts = self._ledger.arguments(row)
        except PayloadError:
            return {'args': {}, 'unchecked': 'its arguments are lost'}
        try:
            pieces = self._pieces(row, group)
        except (DesipipeError, *LOADING_ERRORS) as exc:
            return {
                'args': dict.fromkeys(texts),
                'text': {name: self._privacy.text(word) for name, word in texts.items()},
                'unchecked': self._privacy.text(loading_problem(exc)),
            }
        members = self._members(pieces, texts)
        if unchecked := self._gap(row, group, pieces, members['args']):
            members['unchecked'] = unchecked
        if self._payloads.keeps:
            own = self._ledger.arguments_payload(row)
            members['payload'] = self._payloads.describe(own)['sha256']
            if group.shared:
                ref = self._ledger.shared_payload(row)
                assert ref is not None
                members['shared'] = self._payloads.describe(ref)['sha256']
        return members

    def _pieces(self, row: int, group: Group) -> dict[str, bytes]:
        """Return the pieces of a task's identity that its arguments are."""
        common: dict[str, bytes] = {}
        if group.shared:
            if group.shared not in self._shared:
                ref = self._ledger.shared_payload(row)
                loaded: Any = self._ledger.load(ref) if ref else {}
                self._shared[group.shared] = {
                    name: encode(value, name) for name, value in loaded.items()
                }
            common = self._shared[group.shared]
        own: Any = self._ledger.load(self._ledger.arguments_payload(row))
        return {**common, **{name: encode(value, name) for name, value in own.items()}}

    def _members(self, pieces: Mapping[str, bytes], texts: Mapping[str, str]) -> ArgumentsEntry:
        args: dict[str, str | None] = {}
        shown: dict[str, str] = {}
        for name, piece in pieces.items():
            word = word_of(piece)
            private = self._privacy.text(word)
            args[name] = word if private == word else None
            seen = self._privacy.text(texts.get(name, ''))
            if word[1:] != seen:
                shown[name] = seen
        return {'args': args, 'text': shown} if shown else {'args': args}

    def _gap(
        self, row: int, group: Group, pieces: Mapping[str, bytes], args: Mapping[str, str | None]
    ) -> str:
        """Return why recorded arguments do not give the identity; empty if they do."""
        if None in args.values():
            return 'an argument is, or holds, an absolute path, which was left out'
        identity = task_identity(bytes.fromhex(group.app), pieces.items())
        if identity == self._ledger.state.ids[row]:
            return ''
        return (
            'its arguments alone do not give its identity here: what is in files counts '
            '(inputs=content), or a class or a package of theirs differs'
        )

    def result(self, row: int) -> PayloadEntry | None:
        """Return a task's result as a member of its entry; None if it has none."""
        ref = self._ledger.state.result(row)
        if ref is None:
            return None
        result = self._payloads.describe(ref)
        if 'lost' in result:
            return result
        try:
            value: Any = self._ledger.load(ref)
            word = self._result_word(value)
        except UntrustedQueueError:
            self._privacy.notes[
                'values of results: they belong to another user who is not trusted'
            ] = None
            return result
        except (DesipipeError, *LOADING_ERRORS) as exc:
            return {**result, 'value': None, 'text': self._privacy.text(loading_problem(exc))}
        private = self._privacy.text(word)
        result['value'] = word if private == word else None
        seen = self._privacy.text(text(value, TEXT))
        if word[1:] != seen:
            result['text'] = seen
        return result

    def _result_word(self, value: Any) -> str:
        kind = type(value)
        key = (kind, value) if kind in (int, bool, str) else None
        word = self._words.get(key) if key else None
        if word is None:
            word = word_of(encode(value, 'result'))
            if key and len(self._words) < WORDS_MAX:
                self._words[key] = word
        return word
