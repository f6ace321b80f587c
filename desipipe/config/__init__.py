"""Read the user's configuration, and resolve what is chosen by name."""

from __future__ import annotations

from ..utils import BaseDict
from .configurable import Configurable
from .layers import yaml_parser
from .user_config import Config

__all__ = ['BaseDict', 'Config', 'Configurable', 'yaml_parser']
