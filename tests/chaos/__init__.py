"""Chaos run: load on local workers, seeded signals to its processes, and an independent checker."""
