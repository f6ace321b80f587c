"""Providers: where workers come from."""

from __future__ import annotations

from .base import BaseProvider, Job, Provider, get_provider
from .local import LocalProvider

__all__ = ['BaseProvider', 'Job', 'LocalProvider', 'Provider', 'get_provider']
