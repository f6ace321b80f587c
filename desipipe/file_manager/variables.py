"""Variables of the environment in paths: their values, and replacing them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..environment import BaseEnvironment


def variables(environ: BaseEnvironment | Mapping[str, Any] | str | None) -> dict[str, str]:
    """Variables that paths may need, of an environment.

    Parameters
    ----------
    environ : Environment, str, dict, default=None

    Returns
    -------
    variables : dict
        Without what this process has anyway: that may be secret, and would travel with every task
        that gets a file manager.
    """
    if environ is None:
        return {}
    from ..environment import BaseEnvironment, Environment

    is_environment = isinstance(environ, BaseEnvironment)
    if (
        isinstance(environ, Mapping)
        and not is_environment
        and not environ.keys() & {'name', 'environ', 'data', 'command'}
    ):
        return {str(name): str(value) for name, value in environ.items()}
    return {
        name: value
        for name, value in Environment(environ).to_dict(all=True).items()
        if os.environ.get(name) != value
    }


def path_replace_environ(path: str, environ: Mapping[str, Any] | None = None) -> str:
    """Return a path in which ``${NAME}`` of variables that are set are replaced.

    Parameters
    ----------
    path : str
        Template of a path.
    environ : dict, default=None
        Variables, before those of the process.
    """
    environ = environ or {}

    def value(match: re.Match[str]) -> str:
        text = environ.get(match[1], os.environ.get(match[1]))
        return match[0] if text is None else str(text).replace('{', '{{').replace('}', '}}')

    return re.sub(r'\$\{(\w+)\}', value, path)
