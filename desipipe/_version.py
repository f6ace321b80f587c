"""The version of desipipe, written in this file only."""

__version__ = '2.0.0'
