"""Read a queue into the model of its record.

Each module describes one thing that is recorded; :mod:`.queue` puts them together.
"""
