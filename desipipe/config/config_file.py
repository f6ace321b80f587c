"""The file that keeps a user's configuration."""

from __future__ import annotations

import os

from ..errors import ConfigError, MissingDependencyError
from ..utils import mkdir
from .keys import absolute, checked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _yaml(filename: str) -> Any:
    # PyYAML takes longer to import than all of desipipe: most users have no file and must not pay
    # for it.
    try:
        import yaml
    except ImportError as exc:
        raise MissingDependencyError(
            f'PyYAML is needed for {filename}: python -m pip install pyyaml'
        ) from exc
    return yaml


def read_config(filename: str) -> dict[str, Any]:
    """Read the values of a file, which are checked; empty if there is none."""
    try:
        with open(filename, encoding='utf-8') as file:
            text = file.read()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(
            f'{filename}: the configuration cannot be read: {exc}. Correct it, or set '
            '$DESIPIPE_CONFIG_DIR to another folder.'
        ) from exc
    yaml = _yaml(filename)
    try:
        # Safe: a configuration holds values, it does not make objects.
        values = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ConfigError(
            f'{filename}: the configuration is not valid YAML: {exc}. Correct it there.'
        ) from exc
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(
            f"{filename}: the configuration must be lines 'key: value', not {values!r}"
        )
    # A key without value is one that was left to be filled in.
    return {
        str(key): checked(str(key), absolute(str(key), value), filename)
        for key, value in values.items()
        if value is not None
    }


def write_config(filename: str, values: dict[str, Any]) -> None:
    """Replace the file as a whole; an error leaves the old one intact."""
    yaml = _yaml(filename)
    mkdir(os.path.dirname(filename), mode=0o700)
    temporary = f'{filename}.{os.getpid():d}.tmp'
    try:
        # It may hold secrets of environments.
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, 'w', encoding='utf-8') as file:
            yaml.safe_dump(values, file, sort_keys=False, allow_unicode=True)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, filename)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
