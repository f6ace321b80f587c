"""Definitions of a walk: the functions, classes and modules that it met."""

from __future__ import annotations

from .class_encoder import ClassEncoder
from .context import Context
from .function_encoder import FunctionEncoder
from .reflection import Reflection
from .uses import Uses

__all__ = ['Definitions']


class Definitions:
    """Encoders of code, which know each other downwards, and the parts that they fill.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        self.parts = context.parts
        self.uses = Uses(context)
        self.reflection = Reflection(context, self.uses)
        self.functions = FunctionEncoder(context, self.uses, self.reflection)
        self.classes = ClassEncoder(context, self.functions, self.reflection)
