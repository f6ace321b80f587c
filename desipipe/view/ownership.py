"""Tell whose queue it is, who may use it, and whose tasks are held."""

from __future__ import annotations

import os

from ..queue.attempt_reader import AttemptReader
from ..security.trust import held_text, look_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from .schema import HeldView, OwnershipView


def ownership(ledger: AttemptReader) -> OwnershipView:
    """Return whose queue it is, and whether this user may use it."""
    holding = look_at(ledger.folder)
    return {
        'owner': holding.owner,
        'own': holding.uid == os.geteuid(),
        'group': str(ledger.journal.header.get('group', '')),
        'untrusted': untrusted_owner(ledger),
    }


def untrusted_owner(ledger: AttemptReader) -> str:
    """Return the name of the untrusted owner who makes the queue unusable; else ''."""
    if ledger.use_error() is None:
        return ''
    holdings = [look_at(ledger.folder), look_at(ledger.journal.path)]
    return next(
        (holding.owner for holding in holdings if not ledger.trusts(holding.uid)), holdings[0].owner
    )


def held_tasks(ledger: AttemptReader, rows: Container[int] | None = None) -> list[HeldView]:
    """Return whose pending tasks do not run as this user in a group's queue.

    Parameters
    ----------
    ledger : AttemptReader
    rows : container of int, default=None
        Only these tasks count.
    """
    if ledger.use_error() is not None:
        return []
    return [
        {'user': user, 'count': n, 'text': held_text(user, n)}
        for user, n in ledger.held(rows).items()
    ]
