"""Enumerations of texts behave as those of the standard library."""

from __future__ import annotations

import enum

import orjson
import pytest

from desipipe.utils.str_enum import StrEnum


class Level(StrEnum):
    """Ways to end."""

    SOON = 'soon'
    """Within seconds."""
    NOW = 'now'


class StandardLevel(enum.StrEnum):
    """The same as the standard library makes it."""

    SOON = 'soon'
    NOW = 'now'


def test_members_are_their_texts() -> None:
    assert Level.SOON == StandardLevel.SOON == 'soon'
    assert f'{Level.NOW}' == f'{StandardLevel.NOW}' == 'now'
    assert hash(Level.NOW) == hash(StandardLevel.NOW)
    assert orjson.dumps(Level.NOW) == orjson.dumps(StandardLevel.NOW)


def test_members_are_listed_in_order() -> None:
    assert list(Level) == list(StandardLevel)
    assert len(Level) == len(StandardLevel)
    assert 'soon' in Level and 'late' not in Level and '_members' not in Level


def test_text_is_looked_up() -> None:
    assert Level(''.join(['no', 'w'])) is Level.NOW
    for kind in (Level, StandardLevel):
        with pytest.raises(ValueError, match=r"^'late' is not a valid .*Level$"):
            kind('late')
