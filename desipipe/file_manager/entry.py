"""Kinds of files: a path with placeholders, and the options that fill them."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import EllipsisType
from typing import Any, ClassVar, Self

from ..errors import (
    ConfigError,
    MissingFileError,
    UnknownNameError,
    UnknownOptionError,
    close_names,
)
from . import file_provenance
from .fields import Fields, mapping_of
from .file import BaseFile
from .folders import moved
from .options import (
    Pool,
    as_names,
    choose,
    chosen_names,
    iter_options,
    make_pool,
    product,
    values_of,
    values_text,
)
from .origins import Look
from .placeholders import Part
from .values import freeze, shown, unusable

_BLOCK = 256  # paths to be made at once, at least if there are as many
_BLOCK_FILES = 4096
_registry: dict[str, type[BaseFileEntry]] = {}


class Existence(dict[bool, list[str]]):
    """Paths by whether they exist; true if all do."""

    def __bool__(self) -> bool:
        return not self[False]

    def text(self) -> str:
        """For people."""
        return '\n'.join(
            line
            for exists, paths in self.items()
            for line in (f'exists = {exists}', '=' * len(f'exists = {exists}'), *paths)
        )


class Status(dict[str, int]):
    """The numbers of missing, stale and current files; `paths` tells which."""

    def __init__(self, paths: Mapping[str, list[str]]) -> None:
        self.paths = dict(paths)
        super().__init__({state: len(names) for state, names in paths.items()})


class BaseFileEntry(Fields):
    """Files that differ by the values of options, the last option varying fastest.

    An own kind of entry is a subclass with a `name`, by which data bases call it (``fileentry:
    name``); most change `_get_file` only::

        class MyEntry(BaseFileEntry):
            name = 'my_entry'

            def _get_file(self, options, foptions=None):
                foptions = {**(foptions or options), 'region': options['region'].lower()}
                return super()._get_file(options, foptions=foptions)

    Parameters
    ----------
    path : str
        With ``{option}``, ``{option:format}``, or an expression of options; and ``${NAME}`` for
        variables of the environment.
    ro : list, optional
        Part of the path, and what stands in its place where files are only read.
    filetype, id, author, description, link : str, optional
        See the attributes.
    options : dict, optional
        Name of option: its value, a list of values, ``range(...)``, ``...`` (any value), or a
        dictionary: value, and the text for it in the path. A list in a list is one value.
    foptions : dict, optional
        Name of option: what stands for its values in the path, in their order.

    Raises
    ------
    ConfigError
        If the path, or the value of an option, can't be used.
    UnknownOptionError
        For a field that there is not.
    """

    name: ClassVar[str] = 'base'
    _registry: ClassVar[dict[str, type[BaseFileEntry]]] = _registry
    _file_cls: ClassVar[type[BaseFile]] = BaseFile

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if 'name' in cls.__dict__:
            _registry[cls.name] = cls

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
            old, old_texts = options, texts
            options, texts = {}, {}
            for name, values in mapping_of(self._label(given), 'options', given['options']).items():
                pool = old.get(name)
                if pool is not None and values is pool:
                    options[name], texts[name] = pool, old_texts[name]
                    continue
                try:
                    options[name], text = make_pool(values)
                except ConfigError as exc:
                    raise unusable(f'{self._label(given)}: option {name!r}', exc) from exc
                texts[name] = options[name] if text is None else text
        if 'foptions' in given:
            texts = dict(texts)
            for name, values in mapping_of(
                self._label(given), 'foptions', given['foptions']
            ).items():
                if name not in options:
                    continue
                try:
                    text = (
                        [freeze(value) for value in values]
                        if isinstance(values, list)
                        else make_pool(values)[0]
                    )
                except ConfigError as exc:
                    raise unusable(f'{self._label(given)}: foptions of {name!r}', exc) from exc
                number = len(values_of(options[name]))
                if (
                    isinstance(text, EllipsisType) != isinstance(options[name], EllipsisType)
                    or len(values_of(text)) != number
                ):
                    raise ConfigError(
                        f'{self._label(given)}: foptions of {name!r} must be {number:d}, one for '
                        'each value of the option'
                    )
                texts[name] = (
                    options[name] if text == options[name] and not isinstance(text, range) else text
                )
        return {'options': options, 'foptions': texts}

    # Files

    def _get_file(
        self, options: dict[str, Any], foptions: dict[str, Any] | None = None
    ) -> BaseFile:
        """The file of one value for each option; for subclasses to change.

        Parameters
        ----------
        options : dict
        foptions : dict, default=None
            What stands for the options in the path.

        Returns
        -------
        file : BaseFile
        """
        file = self._file_cls.__new__(self._file_cls)
        state = file.__dict__
        state.update(self.__dict__)
        state['options'] = options
        state['foptions'] = dict(options) if foptions is None else foptions
        return file

    def __iter__(self) -> Iterator[BaseFile]:
        names = tuple(self.options)
        pools = [values_of(self.options[name]) for name in names]
        if any(self.foptions[name] is not self.options[name] for name in names):
            texts = [values_of(self.foptions[name]) for name in names]
            for values, shown_as in zip(product(pools), product(texts), strict=True):
                yield self._get_file(
                    dict(zip(names, values, strict=True)),
                    foptions=dict(zip(names, shown_as, strict=True)),
                )
        elif type(self)._get_file is not BaseFileEntry._get_file:
            for values in product(pools):
                options = dict(zip(names, values, strict=True))
                yield self._get_file(options, foptions=options.copy())
        else:  # the common case, at half the cost of the method
            cls, common = self._file_cls, dict(self.__dict__)
            new = cls.__new__
            for values in product(pools):
                file = new(cls)
                file.__dict__ = state = common.copy()
                state['options'] = state['foptions'] = dict(zip(names, values))  # noqa: B905 (`strict` would cost a fifth of it all)
                yield file

    def __len__(self) -> int:
        return math.prod(len(values_of(pool)) for pool in self.options.values())

    def __bool__(self) -> bool:
        return all(len(values_of(pool)) for pool in self.options.values())

    def paths(self) -> Iterator[str]:
        """Paths of all files, one after the other.

        Yields
        ------
        path : str
        """
        if (
            type(self)._get_file is not BaseFileEntry._get_file
            or self._file_cls is not BaseFile
            or self.root
            or '*' in self.path
        ):
            yield from (file.filepath for file in self)
            return
        missing = sorted(self._template(self.path).names - set(self.options))
        if missing:
            raise self._unknown_placeholder(self.path, missing[0], self.options)
        # Many at once: each value is put into words once for a block of combinations, and joining
        # is left to C.
        names = list(self.options)
        texts = [values_of(self.foptions[name]) for name in names]
        first, size = len(names), 1
        while first and size < _BLOCK:
            first -= 1
            size *= len(texts[first])
        parts = self._template(self.path).parts
        caches: list[dict[int, str]] = [{} for _ in parts]
        for outside in product(texts[:first]):
            outer = dict(zip(names[:first], outside, strict=True))
            places = product([range(len(pool)) for pool in texts[first:]])
            while block := list(itertools.islice(places, _BLOCK_FILES)):
                inner = dict(zip(names[first:], zip(*block, strict=True), strict=True))
                try:
                    columns = [
                        self._column(part, cache, outer, inner, len(block))
                        for part, cache in zip(parts, caches, strict=True)
                    ]
                except ConfigError as exc:
                    raise unusable(f'{self._label()}: the path {self.path}', exc) from exc
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
            return itertools.repeat(part.fill(outer, self.environ), number)
        pools = [values_of(self.foptions[name]) for name in own]
        if len(own) == 1:
            (name,), (pool,) = own, pools
            if len(part.names) > 1 or len(pool) > 16 * _BLOCK_FILES:
                cache.clear()  # it depends on the outer options, too; or it would be many
            for index in set(inner[name]).difference(cache):
                cache[index] = part.fill({**outer, name: pool[index]}, self.environ)
            return map(cache.__getitem__, inner[name])
        several = zip(*(inner[name] for name in own), strict=True)
        options = (
            {
                **outer,
                **{name: pool[index] for name, pool, index in zip(own, pools, places, strict=True)},
            }
            for places in several
        )
        return [part.fill(values, self.environ) for values in options]

    @property
    def filepaths(self) -> list[str]:
        """Paths of all files."""
        return list(self.paths())

    def exists(self, return_type: str = 'dict') -> Any:
        """Return which files exist.

        Parameters
        ----------
        return_type : str, default='dict'
            ``'dict'``: ``{True: paths, False: paths}``, itself true if all files are there;
            ``'str'``: the same for people.

        Returns
        -------
        exists : Existence, str
        """
        return existence([self], return_type)

    def status(self) -> Status:
        """Count files that are missing, stale or current.

        A file is stale if one that it was made from, or one further up, has changed since.

        See :meth:`FileManager.provenance` for one of them. Each file that went into them is looked
        at once: its size and time, and its content if only the time differs.

        Returns
        -------
        status : Status
            ``{'missing': n, 'stale': n, 'current': n}``; its `paths` are the same with lists of
            paths.
        """
        return status([self])

    def symlink(self, raise_error: bool = True) -> None:
        """Make the symbolic links of all files; see :meth:`BaseFile.symlink`."""
        for file in self:
            file.symlink(raise_error=raise_error)

    # Choosing

    def select(
        self,
        ignore: bool | str | Iterable[str] = False,
        check_exists: bool = False,
        raise_error: bool = True,
        **options: Any,
    ) -> Any:
        """Return this kind of file with fewer values for some options, or with no file.

        Parameters
        ----------
        ignore : bool, str, list, default=False
            ``True``: options that the entry does not have are passed over. Names: the same, and
            these options are passed over, too.
        check_exists : bool, default=False
            True if all files must exist.
        raise_error : bool, default=True
            If ``False``, ``None`` is returned where there would be an error.
        **options
            Option: a value, or a list (or range) of values.

        Returns
        -------
        entry : BaseFileEntry, None

        Raises
        ------
        UnknownOptionError
            If the entry has no such option.
        MissingFileError
            If files are to be checked, and one is not there.
        """
        try:
            chosen = self._select(ignore, options)
            if check_exists:
                check_files([chosen])
            return chosen
        except (UnknownOptionError, MissingFileError):
            if raise_error:
                raise
            return None

    def _select(self, ignore: bool | str | Iterable[str], options: Mapping[str, Any]) -> Self:
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
            pool, texts = self.options[name], self.foptions[name]
            if isinstance(pool, EllipsisType):
                if wanted is Ellipsis:
                    continue
                values = (
                    list(map(freeze, wanted))
                    if isinstance(wanted, list | range)
                    else [freeze(wanted)]
                )
                new.options[name] = new.foptions[name] = values
                continue
            places = choose(wanted, pool)
            new.options[name] = [pool[index] for index in places]
            new.foptions[name] = (
                new.options[name] if texts is pool else [texts[index] for index in places]
            )
        return new

    def get(
        self,
        ignore: bool | str | Iterable[str] = False,
        check_exists: bool = False,
        raise_error: bool = True,
        **options: Any,
    ) -> Any:
        """The one file for values of options; parameters as of `select`.

        Returns
        -------
        file : BaseFile, None

        Raises
        ------
        UnknownNameError
            If there is none, or more than one; the message says what comes close, or what to add.
        UnknownOptionError, MissingFileError
            As of `select`.
        """
        new = self.select(ignore, check_exists, raise_error, **options)
        if new is None:
            return None
        if len(new) == 1:
            return next(iter(new))
        if raise_error:
            raise not_one([self], [new] if new else [], options, options)
        return None

    def iter_options(
        self,
        include: str | Iterable[str] | None = None,
        exclude: str | Iterable[str] | None = None,
        return_foptions: bool = False,
    ) -> list[Any]:
        """All combinations of the values of options, the last one fastest.

        Parameters
        ----------
        include, exclude : str, list, default=None
            Names of options to go through, or to leave out.
        return_foptions : bool, default=False
            True to return pairs: options, and what stands for them in the path.

        Returns
        -------
        options : list of dict
        """
        combinations = iter_options(self.options, include, exclude)
        return (
            list(zip(combinations, iter_options(self.foptions, include, exclude), strict=True))
            if return_foptions
            else list(combinations)
        )

    def iter(
        self, include: str | Iterable[str] | None = None, exclude: str | Iterable[str] | None = None
    ) -> list[Any]:
        """List the files.

        Parameters
        ----------
        include, exclude : str, list, default=None
            Names of options to go through, or to leave out.

        Returns
        -------
        files : list of BaseFile
            Those of the other options only, where some are left out: a path that needs the rest is
            asked for by ``file.clone(options=...)``.
        """
        names = chosen_names(self.options, include, exclude)
        if len(names) == len(self.options):
            return list(self)
        pairs = self.iter_options(include, exclude, return_foptions=True)
        return [self._get_file(options, foptions=foptions) for options, foptions in pairs]

    def _split(self, names: Sequence[str]) -> Iterator[Self]:
        """Entries with one value for each of these options."""
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

    def chgdir(
        self, newdir: str | os.PathLike[str], olddir: str | os.PathLike[str] | None = None
    ) -> None:
        """Change the folder in `path`.

        Parameters
        ----------
        newdir : str, PathLike
            The new one.
        olddir : str, PathLike, default=None
            What it takes the place of; by default the folder down to where the first option is.
        """
        self.update(path=moved(self.path, newdir, olddir))

    def __desipipe_identity__(self) -> str:
        return self._identity()

    def __desipipe_content__(self, app: str) -> str:
        digests = (file_provenance.content_for(path, app) for path in self.paths())
        return '\n'.join(f'{index:d} {digest}' for index, digest in enumerate(digests) if digest)

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

    def _repr_html_(self) -> str:
        from .view import files_table

        return files_table(self)


_registry[BaseFileEntry.name] = BaseFileEntry


def get_file_entry(
    file_entry: BaseFileEntry | str | Mapping[str, Any] | None = None, **kwargs: Any
) -> BaseFileEntry:
    """A file entry, of whatever people write.

    Parameters
    ----------
    file_entry : BaseFileEntry, str, dict, default=None
        An entry, which is returned; the name of a class of entries; or fields, with ``fileentry``
        for the class if it is not the base.
    **kwargs
        Fields.

    Returns
    -------
    entry : BaseFileEntry

    Raises
    ------
    UnknownNameError
        If there is no class of that name.
    UnknownOptionError, ConfigError
        As of :class:`BaseFileEntry`.
    """
    if isinstance(file_entry, BaseFileEntry):
        return file_entry
    if isinstance(file_entry, Mapping):
        kwargs = {**file_entry, **kwargs}
        file_entry = kwargs.pop('fileentry', None)
    name: Any = BaseFileEntry.name if file_entry is None else file_entry
    if not isinstance(name, str) or name not in _registry:
        raise UnknownNameError(
            f'There is no kind of file entry {shown(name)} (define a subclass of BaseFileEntry of '
            'that name before the data base is read): '
            f'{close_names(name if isinstance(name, str) else "", _registry)}'
        )
    return _registry[name](**kwargs)


# --------------------------------------------------------------------------------------------------
# Several entries


def existence(entries: Iterable[BaseFileEntry], return_type: str = 'dict') -> Any:
    """See :meth:`BaseFileEntry.exists`."""
    if return_type not in ('dict', 'str'):
        raise ConfigError(f"There is no return_type {return_type!r}: use 'dict' or 'str'.")
    result = Existence({True: [], False: []})
    existing, missing, stat = result[True].append, result[False].append, os.stat
    for entry in entries:
        for path in entry.paths():
            try:
                regular = stat(path).st_mode & 0o170000 == 0o100000
            except (OSError, ValueError):  # not there, or not to be looked at
                regular = False
            (existing if regular else missing)(path)
    return result if return_type == 'dict' else result.text()


def status(entries: Iterable[BaseFileEntry]) -> Status:
    """See :meth:`BaseFileEntry.status`."""
    by_state: dict[str, list[str]] = {'missing': [], 'stale': [], 'current': []}
    look = Look()
    for entry in entries:
        for path in entry.paths():
            by_state[file_provenance.state_of(path, look)].append(path)
    return Status(by_state)


def check_files(entries: Iterable[BaseFileEntry]) -> None:
    """Raise :class:`~desipipe.errors.MissingFileError` if a file is not there."""
    missing = existence(entries)[False]
    if missing:
        more = f', and {len(missing) - 1:,d} others do not' if len(missing) > 1 else ''
        raise MissingFileError(
            f'The file {missing[0]} does not exist{more}. Have it made, or see which are there '
            'with: .exists()'
        )


def not_one(
    entries: Sequence[BaseFileEntry],
    selected: Sequence[BaseFileEntry],
    asked: Mapping[str, Any],
    options: Mapping[str, Any],
) -> UnknownNameError:
    """Return the message for a choice of one file that matches none or several.

    Parameters
    ----------
    entries : list of BaseFileEntry
        Those that fit but for the options.
    selected : list of BaseFileEntry
        What matches.
    asked : dict
        All that was asked for.
    options : dict
        The options among it.
    """
    label = (
        ', '.join(f'{name}={value!r}' for name, value in asked.items() if value is not None)
        or 'nothing'
    )
    count = sum(map(len, selected))
    if count:
        ids = sorted({entry.id for entry in selected})
        free = [f'id ({", ".join(ids)})'] if len(ids) > 1 else []
        for name in dict.fromkeys(name for entry in selected for name in entry.options):
            pools = [
                entry.options[name]
                for entry in selected
                if len(values_of(entry.options.get(name, ()))) > 1
            ]
            free += [f'{name} ({values_text(pools[0])})'] if pools else []
        return UnknownNameError(
            f'{count:,d} files match {label}, where one was asked for. Narrow it down by: '
            f'{"; ".join(free) or "fewer entries that are alike"}'
        )
    near = []
    for name, value in options.items():
        pools = [
            pool
            for entry in entries
            if not isinstance(pool := entry.options.get(name, ...), EllipsisType)
        ]
        if pools and not any(choose(value, pool) for pool in pools):
            near.append(
                f'{name}={value!r}: '
                f'{close_names(str(value), [str(one) for pool in pools for one in pool[:1000]])}'
            )
    return UnknownNameError(
        f'No file matches {label}. '
        f'{"; ".join(near) or "Each value is known, but not together: leave some out."}'
    )
