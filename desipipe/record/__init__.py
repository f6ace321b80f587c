"""Records of a pipeline's queue and notebook: to read, verify, and continue from."""

from __future__ import annotations
