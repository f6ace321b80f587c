"""Read requests, and check them against the schemas of their routes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from .. import errors
from .openapi import schema_of
from .routes import Route
from .schemas import JsonSchema

Asked = dict[str, Any]
"""Request of a page before it is checked."""

BODY = 2 << 20  # bytes of a request: a thousand names of a thousand characters, and some more


class BadRequest(errors.DesipipeError):
    """The request has an invalid parameter."""


def check(route: Route, asked: Asked) -> None:
    """Hold a request against its schema.

    Raises
    ------
    BadRequest
    """
    unknown = next((name for name in asked if name not in route.members), None)
    if unknown is not None:
        raise BadRequest(
            f'{unknown[:100]!r} is not known here; there are: {", ".join(route.members)}. Nothing '
            'was done.'
        )
    # Not all that is wrong, of which there may be millions: this is the server's loop. Lengths are
    # compared before what is in a list is looked at.
    wrong = best_match(
        itertools.islice(Draft202012Validator(schema_of(route)).iter_errors(asked), 1)
    )
    if wrong is not None:
        where = '.'.join(map(str, wrong.path))
        message = (
            wrong.message
            if len(wrong.message) < 500
            else f'{wrong.message[:250]} … {wrong.message[-200:]}'
        )
        raise BadRequest(
            f'{where}: {message}. Nothing was done' if where else f'{message}. Nothing was done'
        )


def query(given: Mapping[str, list[bytes]], members: Mapping[str, JsonSchema]) -> Asked:
    """The parameters of an address.

    What nobody knows is passed over: front ends add a number that keeps caches out.

    Raises
    ------
    BadRequest
        Text that is no UTF-8, a number that is none, several values where one is expected.
    """
    asked: Asked = {}
    for name, values in given.items():
        schema = members.get(name)
        if schema is None:
            continue
        several = schema['type'] == 'array'
        if len(values) > 1 and not several:
            raise BadRequest(f'{name}: {len(values):d} values, one is expected. Nothing was done.')
        parsed = [_value(name, value, schema['items'] if several else schema) for value in values]
        asked[name] = parsed if several else parsed[0]
    return asked


def _value(name: str, value: bytes, schema: JsonSchema) -> Any:
    try:
        text = value.decode('utf-8')
        if schema['type'] == 'integer':
            return int(text) if len(text) < 20 and text.removeprefix('-').isdecimal() else text
        if schema['type'] == 'boolean':
            return {'true': True, 'false': False}.get(text, text)
        if schema['type'] == 'number':
            number = float(text)
            if not math.isfinite(number):
                raise ValueError
            return number
        return text
    except UnicodeDecodeError:
        raise BadRequest(f'{name}: no UTF-8. Nothing was done.') from None
    except ValueError:
        raise BadRequest(f'{name}: {text[:100]!r} is no number. Nothing was done.') from None


def body(data: bytes) -> Asked:
    """The JSON object of a request.

    Raises
    ------
    BadRequest
    """
    if len(data) > BODY:
        raise BadRequest(
            f'The request has {len(data):,d} bytes, {BODY:,d} are the most. Nothing was done.'
        )
    try:
        asked = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise BadRequest(f'The request is no JSON ({exc}). Nothing was done.') from None
    if not isinstance(asked, dict):
        raise BadRequest('The request is no JSON object. Nothing was done.')
    return asked
