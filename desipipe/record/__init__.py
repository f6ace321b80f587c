"""Records: what a queue and a notebook say of a pipeline, kept so that it can be read anywhere,
checked, and gone on with.
"""

from __future__ import annotations
