"""Enumerations of texts that are cheap to define.

A class of :mod:`enum` costs a command that ends at once as much as ten small modules. Members are
texts here, and no more: what is only compared and written needs nothing else.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from enum import StrEnum as StrEnum
else:

    class _StrEnumType(type):
        """Type of enumerations: texts of the class's body become its members."""

        def __new__(meta, name, bases, namespace):
            members = {
                text: text
                for member, text in namespace.items()
                if isinstance(text, str) and not member.startswith('_')
            }
            return super().__new__(meta, name, bases, {**namespace, '_members': members})

        def __call__(cls, text):
            """Return the member that has this text."""
            try:
                return cls._members[text]
            except KeyError:
                raise ValueError(f'{text!r} is not a valid {cls.__qualname__}') from None

        def __iter__(cls):
            return iter(cls._members)

        def __contains__(cls, text):
            return text in cls._members

        def __len__(cls):
            return len(cls._members)

    class StrEnum(metaclass=_StrEnumType):
        """Base of enumerations, for direct subclasses: as :class:`enum.StrEnum`."""
