"""Environments: variables that tasks run with, and shell commands that set more."""

from __future__ import annotations

from ..utils import BaseDict
from .base import BaseEnvironment
from .bash import bash_env
from .choice import Environment, get_environ
from .nersc import BaseNERSCEnvironment, CosmodesiNERSCEnvironment
from .process import change_environ

__all__ = [
    'BaseDict',
    'BaseEnvironment',
    'BaseNERSCEnvironment',
    'CosmodesiNERSCEnvironment',
    'Environment',
    'bash_env',
    'change_environ',
    'get_environ',
]
