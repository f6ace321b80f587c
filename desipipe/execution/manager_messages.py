"""Messages of the manager to people, which stand in the journal."""

from __future__ import annotations

import enum
import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

from ..queue.ledger import Ledger
from ..queue.transactions.processes import manager_say_event
from ..security.trust import held_text
from ..utils import username

logger = logging.getLogger('desipipe')


class Topic(enum.Enum):
    """The matter of a message: a newer one takes the place of the older."""

    TROUBLE = enum.auto()
    """The batch system does not answer."""
    HOPELESS = enum.auto()
    """A job that never begins."""
    CANCELLED = enum.auto()
    """A job that was cancelled before it began."""
    DIED = enum.auto()
    """A worker that ended without having taken a task."""
    REFUSED = enum.auto()
    """A worker that can't be started."""
    UNTRUSTED = enum.auto()
    """Tasks of users who are not trusted."""


class Message(NamedTuple):
    """A message of the manager to people."""

    text: str
    mid: str = ''
    """The task manager it is about; empty: all."""
    final: bool = False
    """True if its tasks wait until a person does something about it."""


class Messages:
    """The messages that hold now.

    Parameters
    ----------
    ledger : Ledger
    manager : str
        Name of the manager.
    """

    def __init__(self, ledger: Ledger, manager: str) -> None:
        self._ledger = ledger
        self._manager = manager
        self._messages: dict[tuple[Topic, str], Message] = {}
        self._published: dict[str, str] = {}  # by task manager

    def say(
        self, topic: Topic, subject: str, text: str, mid: str = '', final: bool = False
    ) -> None:
        """Tell people something.

        Parameters
        ----------
        topic : Topic
        subject : str
            The task manager, or the user, that it is about.
        text : str
        mid : str, default=''
            The task manager that shows it; by default all do.
        final : bool, default=False
            True if its tasks wait until a person does something about it.
        """
        message, key = Message(text, mid, final), (topic, subject)
        if self._messages.get(key) == message:
            return
        logger.error('%s', text)
        self._messages.pop(key, None)
        self._messages[key] = message
        self._publish()

    def retract(self, topic: Topic, subject: str) -> bool:
        """Retract a message that no longer holds; return True if there was one."""
        was_said = self._messages.pop((topic, subject), None) is not None
        if was_said:
            self._publish()
        return was_said

    def tell_untrusted(self) -> None:
        """Tell whose tasks of a group's queue stay pending."""
        held = self._ledger.held()
        users = [user for topic, user in self._messages if topic is Topic.UNTRUSTED]
        for user in users:
            if user not in held:
                self.retract(Topic.UNTRUSTED, user)
        for user, n in held.items():
            self.say(Topic.UNTRUSTED, user, held_text(user, n, username()))

    def _publish(self) -> None:
        """Write what each task manager shows, and last what is shown of the queue."""
        messages = list(self._messages.values())
        of_each = {mid: _foremost(messages, mid) for mid in {message.mid for message in messages}}
        changed = [
            of_each.get(mid, Message('', mid))
            for mid in sorted(of_each.keys() | self._published.keys())
            if of_each.get(mid, Message('')).text != self._published.get(mid, '')
        ]
        shown = _foremost(messages)
        if changed and changed[-1] != shown:
            changed = [*(message for message in changed if message != shown), shown]
        if changed:
            self._published = {mid: message.text for mid, message in of_each.items()}
            now = time.time()
            events = [
                manager_say_event(self._manager, text, mid, final, now)
                for text, mid, final in changed
            ]
            self._ledger.journal.write(lambda: events)


def _foremost(messages: Sequence[Message], mid: str | None = None) -> Message:
    """Return what needs a person, else the newest, of one task manager or of all."""
    own = [message for message in messages if mid in (None, message.mid)]
    last = own[-1] if own else Message('', mid or '')
    return next((message for message in reversed(own) if message.final), last)
