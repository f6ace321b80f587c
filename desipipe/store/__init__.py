"""Bytes on a shared filesystem: lock, journal, segments, leases.

Nothing here knows what a task is.
"""
