"""Combinations of the options of several entries, and the files of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .entry import BaseFileEntry
from .options import chosen_names, common_options, iter_options

Group = list[BaseFileEntry]


def all_combinations(
    entries: Sequence[BaseFileEntry],
    include: str | Iterable[str] | None,
    exclude: str | Iterable[str] | None,
) -> list[dict[str, Any]]:
    """Return the combinations of each entry's options, no part of another one twice.

    What is known of the larger set of options is known of each smaller one, and takes its place.
    """
    several = [entry.options for entry in entries]
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


def common_combinations(
    entries: Sequence[BaseFileEntry],
    include: str | Iterable[str] | None,
    exclude: str | Iterable[str] | None,
) -> list[dict[str, Any]]:
    """Return the combinations of the options that all entries have."""
    common = common_options([entry.options for entry in entries])
    return list(iter_options(common, include, exclude))


def common_groups(
    entries: Sequence[BaseFileEntry],
    include: str | Iterable[str] | None,
    exclude: str | Iterable[str] | None,
) -> Iterator[Group]:
    """Yield the entries with the values of each combination that all have."""
    for options in common_combinations(entries, include, exclude):
        # A value that is a tuple is one value here, not several.
        wanted = {name: value if value is Ellipsis else [value] for name, value in options.items()}
        group = [selected for entry in entries if (selected := entry._narrowed(False, wanted))]
        if group:
            yield group


def single_groups(
    entries: Sequence[BaseFileEntry],
    include: str | Iterable[str] | None,
    exclude: str | Iterable[str] | None,
) -> Iterator[Group]:
    """Yield each entry by itself, with the values of each combination that it has."""
    for entry in entries:
        for part in entry._split(chosen_names(entry.options, include, exclude)):
            yield [part]


def is_one_file(group: Group) -> bool:
    """Return True if the entries of a group are one, with one value for each option."""
    return len(group) == 1 and all(
        pool is not ... and len(pool) == 1 for pool in group[0].options.values()
    )
