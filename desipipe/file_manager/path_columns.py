"""Paths of many combinations of options, made by columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import ConfigError
from .options import product
from .placeholders import Part
from .template import Template
from .values import unusable

_BLOCK = 256  # paths to be made at once, at least if there are as many
_BLOCK_FILES = 4096


class PathColumns:
    """Paths of a template for all combinations of values, the last option fastest.

    Each value is put into words once for a block of combinations, and joining is left to C.

    Parameters
    ----------
    template : Template
    texts : dict
        Name of option: its values in paths. All options of the template are among them.
    environ : dict
        Variables for ``${NAME}``, before those of the process.
    label : str
        The subject of errors, which the path follows.
    """

    def __init__(
        self,
        template: Template,
        texts: Mapping[str, Sequence[Any]],
        environ: Mapping[str, str],
        label: str,
    ) -> None:
        self._template = template
        self._texts = texts
        self._environ = environ
        self._label = label

    def __iter__(self) -> Iterator[str]:
        names, pools = list(self._texts), list(self._texts.values())
        first, size = len(names), 1
        while first and size < _BLOCK:
            first -= 1
            size *= len(pools[first])
        caches: list[dict[int, str]] = [{} for _ in self._template.parts]
        for outside in product(pools[:first]):
            outer = dict(zip(names[:first], outside, strict=True))
            places = product([range(len(pool)) for pool in pools[first:]])
            while block := list(itertools.islice(places, _BLOCK_FILES)):
                inner = dict(zip(names[first:], zip(*block, strict=True), strict=True))
                try:
                    columns = [
                        self._column(part, cache, outer, inner, len(block))
                        for part, cache in zip(self._template.parts, caches, strict=True)
                    ]
                except ConfigError as exc:
                    raise unusable(f'{self._label} {self._template.text}', exc) from exc
                yield from map(''.join, zip(*columns, strict=True))

    def _column(
        self,
        part: Part,
        cache: dict[int, str],
        outer: dict[str, Any],
        inner: dict[str, tuple[int, ...]],
        number: int,
    ) -> Iterable[str]:
        """Fill a part of the path for a block of combinations.

        It takes values of the outer options, and positions of those of the inner ones.
        """
        own = [name for name in part.names if name in inner]
        if not own:
            return itertools.repeat(part.fill(outer, self._environ), number)
        pools = [self._texts[name] for name in own]
        if len(own) == 1:
            (name,), (pool,) = own, pools
            if len(part.names) > 1 or len(pool) > 16 * _BLOCK_FILES:
                cache.clear()  # it depends on the outer options, too; or it would be many
            for index in set(inner[name]).difference(cache):
                cache[index] = part.fill({**outer, name: pool[index]}, self._environ)
            return map(cache.__getitem__, inner[name])
        several = zip(*(inner[name] for name in own), strict=True)
        options = (
            {
                **outer,
                **{name: pool[index] for name, pool, index in zip(own, pools, places, strict=True)},
            }
            for places in several
        )
        return [part.fill(values, self._environ) for values in options]
