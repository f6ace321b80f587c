"""Messages between worker and slot."""

from __future__ import annotations

import pickle

import pytest

from desipipe.execution import protocol
from desipipe.execution.protocol import (
    DisplayStored,
    GroupSettings,
    Message,
    Packet,
    PipesRenewed,
    Ready,
    ResultsWritten,
    StoredPacket,
    TaskDone,
    TaskWaits,
    VersionsFollow,
    VersionsFound,
    decode,
    encode,
)
from desipipe.queue.events import FAILED, SUCCEEDED, Group

CAUSE = {'kind': 'ValueError', 'text': 'no', 'kinds': ['ValueError'], 'errno': 1}
MESSAGES: list[Message] = [
    GroupSettings(
        3, tuple(Group('a', 'm', 'n', 'python')), ('s', 0, 9), None, [], ('s', 9, 1), {}, True
    ),
    Packet(
        3, 7, [1, 2], [1, 4], 's', [0, 5], [5, 5], [b'x' * 16] * 2, {1: [(b'y' * 16, None)]}, 0.5
    ),
    StoredPacket(('s', 0, 200_000)),
    Ready(0, 4, 1),
    ResultsWritten(),
    TaskDone(1, 4, SUCCEEDED, 1.5, 20, b'result', None, None, False),
    TaskDone(1, 4, FAILED, 1.5, 20, None, CAUSE, b'trace', (b'out', b'err'), ('s', 0, 1), 17),
    DisplayStored(('s', 0, 1)),
    PipesRenewed(),
    TaskWaits(1, 4, (b'y' * 16,)),
    VersionsFollow(),
    VersionsFound('a', {'numpy': '2.0'}, {}),
]


def test_kinds_are_all_listed() -> None:
    assert {type(message) for message in MESSAGES} == {*protocol._KINDS}


@pytest.mark.parametrize('message', MESSAGES, ids=lambda message: type(message).__name__)
def test_message_survives_encoding(message: Message) -> None:
    decoded, results = decode(encode(message, 5))
    assert (type(decoded), decoded, results) == (type(message), message, 5)


@pytest.mark.parametrize('message', MESSAGES, ids=lambda message: type(message).__name__)
def test_encoding_names_no_class(message: Message) -> None:
    """Decode without classes: to find them would cost more than to send a small task."""

    class Plain(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> object:
            raise AssertionError(f'{module}.{name}')

    import io

    assert Plain(io.BytesIO(encode(message))).load()[2:] == tuple(message)
