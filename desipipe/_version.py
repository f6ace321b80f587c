"""The version of desipipe, written in this file only."""

__version__ = '0.1.0'
