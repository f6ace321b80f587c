"""Fields with several values for each option, and choosing among these."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import EllipsisType
from typing import Any, Self

from ..errors import ConfigError, UnknownOptionError, close_names
from .fields import Fields, mapping_of
from .options import Pool, as_names, make_pool, narrowed_pool, product, values_of, values_text
from .values import freeze, unusable


class OptionFields(Fields):
    """Fields that stand for all combinations of the values of options."""

    def update(self, **kwargs: Any) -> None:
        """Set fields; see `Fields.update`.

        A placeholder without an option is an error of the file that is asked for.
        """
        before = dict(self.__dict__)
        super().update(**kwargs)
        try:
            self._template(self.path)
        except ConfigError:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _updated_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        options: dict[str, Pool] = self.options
        texts: dict[str, Pool] = self.foptions
        if 'options' in given:
            options, texts = read_options(self._label(given), given['options'], options, texts)
        if 'foptions' in given:
            texts = read_texts(self._label(given), given['foptions'], options, texts)
        return {'options': options, 'foptions': texts}

    def __len__(self) -> int:
        return math.prod(len(values_of(pool)) for pool in self.options.values())

    def __bool__(self) -> bool:
        return all(len(values_of(pool)) for pool in self.options.values())

    def _has_texts(self) -> bool:
        """Return True if other texts than their values stand for options in the path."""
        return any(self.foptions[name] is not pool for name, pool in self.options.items())

    def _pairs(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yield each combination of values, and the texts that stand for it."""
        names = tuple(self.options)
        combinations = product([values_of(self.options[name]) for name in names])
        if not self._has_texts():
            for values in combinations:
                options = dict(zip(names, values, strict=True))
                yield options, options.copy()
            return
        texts = product([values_of(self.foptions[name]) for name in names])
        for values, shown_as in zip(combinations, texts, strict=True):
            yield dict(zip(names, values, strict=True)), dict(zip(names, shown_as, strict=True))

    def _narrowed(self, ignore: bool | str | Iterable[str], options: Mapping[str, Any]) -> Self:
        """Return a copy with fewer values for some options; see `BaseFileEntry.select`."""
        passed = () if isinstance(ignore, bool) else as_names(ignore) or ()
        new = self.copy()
        new.options, new.foptions = dict(self.options), dict(self.foptions)
        for name, wanted in options.items():
            if name in passed or (ignore and name not in self.options):
                continue
            if name not in self.options:
                raise UnknownOptionError(
                    f'{self._label()}: there is no option {name!r}: '
                    f'{close_names(name, self.options)}'
                )
            new.options[name], new.foptions[name] = narrowed_pool(
                self.options[name], self.foptions[name], wanted
            )
        return new

    def _split(self, names: Sequence[str]) -> Iterator[Self]:
        """Yield copies with one value for each of these options."""
        pools, texts = (
            [values_of(pools[name]) for name in names] for pools in (self.options, self.foptions)
        )
        for values, shown_as in zip(product(pools), product(texts), strict=True):
            new = self.copy()
            new.options = {
                **self.options,
                **{
                    name: [value] if value is not Ellipsis else value
                    for name, value in zip(names, values, strict=True)
                },
            }
            new.foptions = {
                **self.foptions,
                **{
                    name: [word] if word is not Ellipsis else word
                    for name, word in zip(names, shown_as, strict=True)
                },
            }
            yield new

    def __repr__(self) -> str:
        members = {
            name: value
            for name, value in self.to_dict().items()
            if name not in ('options', 'foptions') and value not in ('', None)
        }
        lines = [f'{name}: {value}' for name, value in members.items()]
        if self.options:
            lines += [
                'options:',
                *(
                    f'  {name}: {values_text(pool, self.foptions[name])}'
                    for name, pool in self.options.items()
                ),
            ]
        lines.append(f'files: {len(self):,d}')
        return f'{type(self).__name__}(\n' + ''.join(f'  {line}\n' for line in lines) + ')'


def read_options(
    label: str, given: Any, old: Mapping[str, Pool], old_texts: Mapping[str, Pool]
) -> tuple[dict[str, Pool], dict[str, Pool]]:
    """Return options and their texts.

    Parameters
    ----------
    label : str
        The entry, in errors.
    given : dict
        Name of option: its values, as written.
    old, old_texts : dict
        Options of before, and their texts, which pools that stay keep.

    Returns
    -------
    options, texts : dict

    Raises
    ------
    ConfigError
        If it is no mapping, or a value can't be used.
    """
    options: dict[str, Pool] = {}
    texts: dict[str, Pool] = {}
    for name, values in mapping_of(label, 'options', given).items():
        pool = old.get(name)
        if pool is not None and values is pool:
            options[name], texts[name] = pool, old_texts[name]
            continue
        try:
            options[name], text = make_pool(values)
        except ConfigError as exc:
            raise unusable(f'{label}: option {name!r}', exc) from exc
        texts[name] = options[name] if text is None else text
    return options, texts


def read_texts(
    label: str, given: Any, options: Mapping[str, Pool], old: Mapping[str, Pool]
) -> dict[str, Pool]:
    """Return the texts that stand for the values of options in paths.

    Parameters
    ----------
    label : str
        The entry, in errors.
    given : dict
        Name of option: the texts; names without an option are passed over.
    options : dict
    old : dict
        Texts of options that are not given.

    Returns
    -------
    texts : dict

    Raises
    ------
    ConfigError
        If it is no mapping, or they are not as many as the values.
    """
    texts = dict(old)
    for name, values in mapping_of(label, 'foptions', given).items():
        if name not in options:
            continue
        pool = options[name]
        try:
            text = (
                [freeze(value) for value in values]
                if isinstance(values, list)
                else make_pool(values)[0]
            )
        except ConfigError as exc:
            raise unusable(f'{label}: foptions of {name!r}', exc) from exc
        number = len(values_of(pool))
        if (
            isinstance(text, EllipsisType) != isinstance(pool, EllipsisType)
            or len(values_of(text)) != number
        ):
            raise ConfigError(
                f'{label}: foptions of {name!r} must be {number:d}, one for each value of the '
                'option'
            )
        texts[name] = pool if text == pool and not isinstance(text, range) else text
    return texts
