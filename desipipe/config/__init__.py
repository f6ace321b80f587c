"""Read the user's configuration, and resolve what is chosen by name."""

from __future__ import annotations

from ..layers import yaml_parser
from ..utils import BaseDict
from .checked_numbers import number, whole_number
from .configurable import Configurable, inherit_options
from .user_config import Config, config_dir

__all__ = [
    'BaseDict',
    'Config',
    'Configurable',
    'config_dir',
    'inherit_options',
    'number',
    'whole_number',
    'yaml_parser',
]
