"""Put arguments of calls in the order of the function's parameters."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Mapping
from typing import Any

from ..errors import DesipipeError
from .app import App


def filled(app: App, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a task that is made of an app, defaults included."""
    if any(name.startswith('*') for name in kwargs):
        return dict(kwargs)
    bound = app.bind((), kwargs)
    return {name: bound[name] for name in app.signature.parameters if name in bound} | bound


def in_order(app: App, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a stored task in the order of its function.

    They are kept by name. The code is read, not run; of what is no function, they are left as
    they are.
    """
    if not isinstance(arguments, dict) or len(arguments) < 2:
        return arguments
    try:
        tree = ast.parse(textwrap.dedent(app.code))
    except (SyntaxError, ValueError, DesipipeError):
        return arguments
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    function = next((node for node in functions if node.name == app.name), None)
    if function is None:
        return arguments
    parameters = function.args
    every = [*parameters.posonlyargs, *parameters.args, *parameters.kwonlyargs]
    ordered = {one.arg: arguments[one.arg] for one in every if one.arg in arguments}
    return ordered | arguments
