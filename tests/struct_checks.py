"""Hold values against the structs of `desipipe.view.schema`."""

from __future__ import annotations

from typing import Any

import orjson
from jsonschema import Draft202012Validator

from desipipe.server.schemas import request_schema


def check_struct(value: Any, struct: type) -> None:
    """Fail unless a value, as JSON, has the members of a struct and no others, all the way down."""
    document = orjson.loads(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))
    Draft202012Validator(request_schema(struct)).validate(document)
