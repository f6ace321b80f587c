"""Combinations of the options of several entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .options import Pool, chosen_names, iter_options


def all_combinations(
    several: Sequence[Mapping[str, Pool]],
    include: str | Iterable[str] | None,
    exclude: str | Iterable[str] | None,
) -> list[dict[str, Any]]:
    """Return the combinations of each entry's options, no part of another one twice.

    What is known of the larger set of options is known of each smaller one, and takes its place.
    """
    kinds = {tuple(sorted(chosen_names(options, include, exclude))) for options in several}
    parts = {names: [other for other in kinds if set(other) < set(names)] for names in kinds}
    places: dict[tuple[str, ...], dict[tuple[Any, ...], int]] = {names: {} for names in kinds}
    covered: dict[tuple[str, ...], set[tuple[Any, ...]]] = {names: set() for names in kinds}
    merged: list[dict[str, Any] | None] = []
    for pools in several:
        names = tuple(sorted(chosen_names(pools, include, exclude)))
        for options in iter_options(pools, include, exclude):
            key = tuple(options[name] for name in names)
            if key in covered[names] or key in places[names]:
                continue
            taken = []
            for part in parts[names]:
                smaller = tuple(options[name] for name in part)
                covered[part].add(smaller)
                if smaller in places[part]:
                    taken.append(places[part].pop(smaller))
            for index in taken:
                merged[index] = None
            index = places[names][key] = min(taken, default=len(merged))
            merged[index : index + 1] = [options]
    return [options for options in merged if options is not None]
