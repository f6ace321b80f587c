"""Payloads as a record has them: sizes, digests, bytes where they are kept."""

from __future__ import annotations

import hashlib

from ...errors import (
    CorruptJournalError,
    NotSerializableError,
    PayloadError,
    UntrustedQueueError,
)
from ...queue.events import Ref
from ...queue.ledger import Ledger
from ..model_types import PayloadEntry

# What someone's own classes may raise while they are loaded, or looked at.
LOADING_ERRORS = (
    ImportError,
    AttributeError,
    TypeError,
    ValueError,
    LookupError,
    NameError,
    ArithmeticError,
    RuntimeError,
    OSError,
    AssertionError,
)


class Payloads:
    """Payloads of one queue.

    Parameters
    ----------
    ledger : Ledger
    keeps : bool
        True to keep their bytes.
    """

    def __init__(self, ledger: Ledger, keeps: bool) -> None:
        self._ledger = ledger
        self.keeps = keeps
        self.kept: dict[str, bytes] = {}
        """Bytes by their sha256."""

    def describe(self, ref: Ref) -> PayloadEntry:
        """Return size and digest of a payload, and keep its bytes if they are asked for."""
        try:
            data = self._ledger.read(ref)
        except PayloadError:
            return {'size': ref.length, 'lost': True}
        digest = hashlib.sha256(data).hexdigest()
        if self.keeps:
            self.kept.setdefault(digest, bytes(data))
        return {'size': ref.length, 'sha256': digest}

    def keep(self, data: bytes) -> None:
        """Keep bytes that are no payload of the queue, if bytes are kept."""
        if self.keeps:
            self.kept.setdefault(hashlib.sha256(data).hexdigest(), data)


def loading_problem(exc: BaseException) -> str:
    """Return why code or a value could not be loaded, for people."""
    if isinstance(exc, UntrustedQueueError):
        return 'it belongs to another user who is not trusted'
    if isinstance(exc, NotSerializableError | CorruptJournalError | PayloadError):
        return str(exc).partition('. ')[0]
    return f'{type(exc).__name__}: {exc}'[:300]
