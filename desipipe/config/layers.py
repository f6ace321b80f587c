"""Hold a dictionary whose values come from several places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..utils import BaseDict
from ..utils.lending import from_above

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self


class Layers(BaseDict):
    """Dictionary of which a subclass says where values are.

    It defines ``__getitem__``, ``__setitem__``, ``__delitem__``, ``__iter__`` and ``__len__``;
    values that are found need not be listed.
    """

    @property
    def data(self) -> dict[str, Any]:  # type: ignore[override]
        """All keys and values, as a dictionary of its own."""
        return dict(self)

    def __contains__(self, key: object) -> bool:
        return any(key == one for one in self)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, listed or not; ``default`` if there is none."""
        try:
            return self[key]
        except KeyError:
            return default

    def __or__(self, other: Mapping[str, Any]) -> Self:  # type: ignore[override]
        return self.clone(other) if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        return {**other, **self} if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other: Mapping[str, Any]) -> Self:  # type: ignore[override]
        self.update(other)
        return self

    @classmethod
    def fromkeys(cls, names: Iterable[str], value: Any = None) -> Self:  # type: ignore[override]
        """Make one in which further keys have one value."""
        new = cls()
        new.update(dict.fromkeys(names, value))
        return new


def yaml_parser(string: str) -> list[Any]:
    """Read the documents of a text in YAML.

    See :func:`desipipe.file_manager.yaml_parser`.
    """
    documents: list[Any] = from_above('yaml_parser')(string)
    return documents
