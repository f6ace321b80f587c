"""The OpenAPI description and the handlers say the same: what fits the description is answered
as it says, what does not is refused as it says.
"""

from __future__ import annotations

import asyncio
from typing import Any

import engine
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, reject, settings
from pages import Ask
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from desipipe import Queue
from desipipe.server.cell_routes import TEXTS
from desipipe.server.openapi import describe
from desipipe.server.routes import EVENTS, ORDERS, QUERIES

# What is drawn depends on what else is imported (Hypothesis takes constants from there): of what
# does not fit enough are drawn that each route meets some that its shape, and not only its folder,
# refuses.
EXAMPLES = {
    mode: settings(
        max_examples=most,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for mode, most in ((GenerationMode.POSITIVE, 6), (GenerationMode.NEGATIVE, 12))
}
# They would start processes, or take away what the others look at: asked of queues that are not
# there.
GRAVE = ('actions/spawn', 'actions/delete')
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
ORDERED = [route.path for route in (*TEXTS, *ORDERS)]
PATHS = [route.path for route in (*QUERIES, *TEXTS, *ORDERS)]


@pytest.fixture
def schema() -> Any:
    """The description, as schemathesis reads it."""
    return schemathesis.openapi.from_dict(describe('/', '1'))


def fill(queue: Queue) -> str:
    """Something of everything; returns a task's identity."""
    ledger = queue.ledger
    engine.add(ledger, range(6))
    engine.add(ledger, ['sum'], {'sum': [0, 1]}, app='average')
    engine.begin(ledger, 'w1', 2)
    engine.finish(ledger, 'w1', engine.claim(ledger, 'w1', 2))
    engine.fail(ledger, 'w1', engine.claim(ledger, 'w1', 1))
    engine.claim(ledger, 'w1', 1)
    return ledger.state.ids[0].hex()


@pytest.mark.parametrize('mode', [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
async def test_answers_are_as_described(
    http_server: Any,
    jp_serverapp: Any,
    jp_auth_header: dict[str, str],
    jp_base_url: str,
    schema: Any,
    queue: Queue,
    mode: GenerationMode,
) -> None:
    tid = fill(queue)
    root = f'http://localhost:{jp_serverapp.port}{jp_base_url}desipipe/api'
    seen: dict[str, set[int]] = {path: set() for path in PATHS}

    def fuzz(path: str) -> None:
        operation = schema[f'/{path}']['POST' if path in ORDERED else 'GET']

        @EXAMPLES[mode]
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Any) -> None:
            if mode is GenerationMode.POSITIVE:
                expected = case.body if path in ORDERED else case.query
                if path not in ('queues', 'cells', 'plan', *GRAVE):
                    expected['queue'] = queue.folder
                if 'tid' in expected:
                    expected['tid'] = tid
                expected.pop('first', None)
                if 'rows' in expected:
                    expected['rows'] = '0-3'
                if 'folder' in expected:
                    expected['folder'] = ['.']
            try:
                response = case.call(base_url=root, headers=jp_auth_header)
            except requests.ConnectionError:
                reject()  # an address of more than 64 kB: the server hangs up
            # An address has no types: `folder=false` is a folder of that name.
            case.validate_response(
                response, checks=[*CHECKS, negative_data_rejection] if path in ORDERED else CHECKS
            )
            seen[path].add(response.status_code)

        check()

    for path in PATHS:
        await asyncio.to_thread(fuzz, path)
    if mode is GenerationMode.POSITIVE:
        assert {path for path, codes in seen.items() if 200 not in codes} == set(GRAVE)
    else:
        assert all(codes & {400, 404} for codes in seen.values()), seen


async def test_description(ask: Ask, jp_base_url: str) -> None:
    status, answer = await ask('openapi.json')
    assert status == 200
    assert answer['servers'] == [{'url': f'{jp_base_url}desipipe/api'}]
    assert set(answer['paths']) == {
        f'/{route.path}' for route in (*QUERIES, *TEXTS, *ORDERS, EVENTS)
    }
    schemathesis.openapi.from_dict(answer).validate()
