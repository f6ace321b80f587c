"""Named tuples that are cheap to define.

To import :mod:`typing` takes longer than to read a small queue, and a class of its ``NamedTuple``
ten times as long as one of the kind here. Commands that end at once would pay for both.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:
    from collections import namedtuple
    from operator import itemgetter

    try:
        from collections import _tuplegetter as _member  # reads a third faster
    except ImportError:

        def _member(index, doc):
            return property(itemgetter(index), doc=doc)

    class _NamedTupleType(type):
        """Type of named tuples: annotations and defaults become members of the tuple."""

        def __new__(meta, name, bases, namespace):
            fields = tuple(namespace.get('__annotations__', ()))
            defaults = {field: namespace[field] for field in fields if field in namespace}
            members = {field: _member(i, None) for i, field in enumerate(fields)}
            special = {'__slots__': (), '__match_args__': fields}
            special |= {'_fields': fields, '_field_defaults': defaults}
            return super().__new__(meta, name, bases, namespace | members | special)

    class NamedTuple(tuple, metaclass=_NamedTupleType):
        """Base of named tuples, for direct subclasses: as :class:`typing.NamedTuple`."""

        def __new__(cls, *values, **named):
            # The first one compiles what makes all others: most commands make none of most kinds.
            kind = namedtuple(cls.__name__, cls._fields, defaults=cls._field_defaults.values())
            cls.__new__ = kind.__new__
            return cls(*values, **named)

        @classmethod
        def _make(cls, values):
            return cls(*values)

        def _replace(self, **named):
            return type(self)(**self._asdict() | named)

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            members = (f'{field}={value!r}' for field, value in self._asdict().items())
            return f'{type(self).__name__}({", ".join(members)})'
