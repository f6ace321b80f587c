"""Measure what the panel costs, in a browser."""
