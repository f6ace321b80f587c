"""Identities of tasks, and the bytes that carry code, arguments and results.

The modules here are pure: equal input gives equal output, except that the text of code is read from
the files it was written in.
"""

from __future__ import annotations

from .identity import (
    Anatomy,
    Code,
    anatomy,
    code_identity,
    current,
    definitions,
    describe,
    encode,
    part_digest,
    task_identities,
    task_identity,
)
from .payload import Payload, dumps, dumps_arguments, loads, refuse_text_of_futures
from .plain import TaskReference, TaskReferences
from .value_text import text

__all__ = [
    'Anatomy',
    'Code',
    'Payload',
    'TaskReference',
    'TaskReferences',
    'anatomy',
    'code_identity',
    'current',
    'definitions',
    'describe',
    'dumps',
    'dumps_arguments',
    'encode',
    'loads',
    'refuse_text_of_futures',
    'part_digest',
    'task_identities',
    'task_identity',
    'text',
]
