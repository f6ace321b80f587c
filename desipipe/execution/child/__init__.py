"""Duties of a slot in its own process; :mod:`desipipe.execution.slot` starts it."""
