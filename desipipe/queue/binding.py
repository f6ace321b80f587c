"""Bind arguments to the parameters of a function, and call it with them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..config.option_owners import unknown_argument


class Binder:
    """Binds the arguments of calls to the parameters of a function.

    Parameters
    ----------
    func : callable
    """

    def __init__(self, func: Callable[..., Any]) -> None:
        self.signature = inspect.signature(func)
        self._plain: tuple[tuple[str, ...], dict[str, Any], int] | None = None
        self._names: frozenset[str] = frozenset()
        kinds = {parameter.kind for parameter in self.signature.parameters.values()}
        if kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}:
            names = tuple(self.signature.parameters)
            self._names = frozenset(names)
            empty = inspect.Parameter.empty
            defaults = {
                name: parameter.default
                for name, parameter in self.signature.parameters.items()
                if parameter.default is not empty
            }
            positional = sum(
                parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
                for parameter in self.signature.parameters.values()
            )
            self._plain = (names, defaults, positional)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Return all arguments by name; see :meth:`.App.bind`.

        Parameters
        ----------
        args : tuple
        kwargs : dict
        name : str
            Name of the app, for messages.
        """
        signature = self.signature
        if self._plain is not None:
            # The common case, at a tenth of the cost of Signature.bind; what does not fit gets its
            # words from there.
            names, defaults, positional = self._plain
            if not args and not defaults and kwargs.keys() == self._names:
                return dict(kwargs)
            first = dict(zip(names, args, strict=False))
            if not kwargs and len(first) == len(args) == len(names) <= positional:
                return first
            if len(args) <= positional and not (args and kwargs and first.keys() & kwargs.keys()):
                merged = {**defaults, **first, **kwargs}
                if merged.keys() == self._names:
                    return merged
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as exc:
            problem = unknown_argument(signature, kwargs) or exc
            message = f'{problem}; nothing was added. Its signature is {name}{signature}'
            raise TypeError(f'{name}(): {message}') from None
        bound.apply_defaults()
        arguments: dict[str, Any] = {}
        for parameter, value in bound.arguments.items():
            kind = signature.parameters[parameter].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                if value:
                    arguments['*' + parameter] = value
            elif kind is inspect.Parameter.VAR_KEYWORD:
                # f(1, a=2) of `def f(a, /, **more)`: two things of one name
                apart = {key: item for key, item in value.items() if key in signature.parameters}
                arguments.update({key: item for key, item in value.items() if key not in apart})
                if apart:
                    arguments['**' + parameter] = apart
            else:
                arguments[parameter] = value
        return arguments

    def bind_all(
        self, calls: Sequence[tuple[tuple[Any, ...], dict[str, Any]]], name: str
    ) -> list[dict[str, Any]]:
        """Bind many calls with equal names and numbers of arguments; see :meth:`bind`."""
        args, kwargs = calls[0]
        self.bind(args, kwargs, name)
        if self._plain is None:
            return [self.bind(args, kwargs, name) for args, kwargs in calls]
        names, defaults, _ = self._plain
        if args:
            return [
                {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
                for args, kwargs in calls
            ]
        return (
            [{**defaults, **kwargs} for _, kwargs in calls]
            if defaults
            else [kwargs for _, kwargs in calls]
        )


def caller(func: Callable[..., Any]) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function that calls ``func`` with the arguments of :meth:`.App.bind`."""
    try:
        parameters = inspect.signature(func).parameters
    except ValueError:  # a builtin that does not tell
        return lambda arguments: func(**arguments)
    if not {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL} & {
        parameter.kind for parameter in parameters.values()
    }:
        return lambda arguments: func(**arguments)

    def call(arguments: Mapping[str, Any]) -> Any:
        keywords = dict(arguments)
        args: list[Any] = []
        for name, parameter in parameters.items():
            if parameter.kind in (
                inspect.Parameter.POSITIONAL_ONLY,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
            ):
                args.append(keywords.pop(name))
            elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                args += keywords.pop('*' + name, ())
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                keywords.update(keywords.pop('**' + name, {}))
        return func(*args, **keywords)

    return call
