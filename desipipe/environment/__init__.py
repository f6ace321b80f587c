"""Environments: variables that tasks run with, and shell commands that set more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..utils import BaseDict
from .base import BaseEnvironment
from .choice import Environment, get_environ

if TYPE_CHECKING:
    from .bash import bash_env
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
_HOME = {
    'BaseNERSCEnvironment': 'nersc',
    'CosmodesiNERSCEnvironment': 'nersc',
    'bash_env': 'bash',
    'change_environ': 'process',
}

if not TYPE_CHECKING:  # a module's `__getattr__` would hide mistyped names from type checkers

    def __getattr__(name: str) -> object:
        """Import what scripts that only add tasks don't need when it is first asked for."""
        if name not in _HOME:
            raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
        from importlib import import_module

        return getattr(import_module(f'{__name__}.{_HOME[name]}'), name)
