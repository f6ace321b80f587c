"""Duties of a worker, a module each; ``composition`` composes them."""
