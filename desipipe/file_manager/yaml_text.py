"""YAML of data bases: plain values, with ``1e-5`` and ``None`` as meant."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import ConfigError
from .values import freeze


@functools.cache
def _loader() -> Any:
    """Return a YAML loader of plain values that reads ``1e-5`` and ``None`` as meant."""
    import yaml

    base = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)  # ten times faster where libyaml is

    class Loader(base):  # type: ignore[misc, valid-type]
        def flatten_mapping(self, node: Any) -> None:
            # Keys first: values of options may be lists, which Python takes for no key.
            if any(isinstance(key, yaml.SequenceNode) for key, _ in node.value):
                node.value = [
                    (
                        yaml.SequenceNode('!value', key.value, key.start_mark, key.end_mark)
                        if isinstance(key, yaml.SequenceNode)
                        else key,
                        value,
                    )
                    for key, value in node.value
                ]
            super().flatten_mapping(node)

    def value(loader: Any, node: Any) -> Any:
        try:
            return freeze(
                loader.construct_sequence(node, deep=True)
            )  # bounded, for what aliases make of it is hashed
        except ConfigError as exc:
            raise yaml.constructor.ConstructorError(
                None, None, f'a key {exc}', node.start_mark
            ) from exc

    Loader.add_constructor('!value', value)
    _resolve_more(Loader)
    return Loader


@functools.cache
def _dumper() -> Any:
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    Dumper.add_representer(
        list,
        lambda dumper, data: dumper.represent_sequence(
            'tag:yaml.org,2002:seq', data, flow_style=True
        ),
    )
    _resolve_more(Dumper)  # such texts are put in quotes
    return Dumper


def _resolve_more(kind: Any) -> None:
    """Take ``1e5`` for a number, and ``None`` for nothing, as Python does."""
    kind.add_implicit_resolver(
        'tag:yaml.org,2002:float',
        re.compile(r'^[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?[eE][-+]?[0-9]+$'),
        list('-+0123456789'),
    )
    kind.add_implicit_resolver('tag:yaml.org,2002:null', re.compile(r'^None$'), ['N'])


def yaml_parser(string: str) -> list[Any]:
    """Read the documents of a data base, as :class:`FileManager` does.

    Parameters
    ----------
    string : str
        YAML; ``1e-5`` is a number and ``None`` nothing.

    Returns
    -------
    documents : list
        Plain values: no document makes objects.

    Raises
    ------
    ConfigError
        If it is no YAML.
    """
    return parse_documents(string, 'the text')


def parse_documents(text: str | bytes, where: str) -> list[Any]:
    """Return the documents of YAML, without constructing any object of Python's."""
    import yaml

    try:
        return list(yaml.load_all(text, Loader=_loader()))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f', line {mark.line + 1:d}, column {mark.column + 1:d}' if mark else ''
        raise ConfigError(
            f'{where}{line}: {error.problem}. No entry of this data base is known; correct that '
            'line.'
        ) from error
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # a date that does not exist, bytes that are no UTF-8, a thousand brackets
        raise ConfigError(
            f'{where}: this is not YAML: {error}. No entry of this data base is known.'
        ) from error


def documents_text(documents: Iterable[Any], path: str) -> str:
    """Return the YAML of documents; `path` is where they are to be written."""
    import yaml

    try:
        return yaml.dump_all(
            documents, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=120
        )
    except yaml.YAMLError as exc:
        raise ConfigError(
            f'{path} was not written: options of an entry hold what YAML cannot: {exc}'
        ) from exc


def parser_of(
    parser: Callable[..., Iterable[Any]], kwargs: Mapping[str, Any]
) -> Callable[[str | bytes, str], list[Any]]:
    """Return a parser of the user's in the form of :func:`parse_documents`."""

    def parse(text: str | bytes, where: str) -> list[Any]:
        return list(parser(text.decode() if isinstance(text, bytes) else text, **kwargs))

    return parse
