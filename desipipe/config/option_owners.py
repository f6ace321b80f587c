"""Find whose option or method it is that was used on something else."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..errors import UnknownNameError, UnknownOptionError, close_names

if TYPE_CHECKING:
    from inspect import Signature

Method = TypeVar('Method', bound=Callable[..., Any])


def owners(root: Any, option: str) -> list[str]:
    """Return the names of the built-in classes of a kind that have an option.

    Parameters
    ----------
    root : type
        The base of a kind, such as :class:`.BaseProvider`, or a class of it.
    option : str
    """
    builtin: Mapping[str, str] = root.builtin
    base = next(one for one in root.__mro__ if 'builtin' in vars(one))
    names: list[str] = []
    for name, reference in builtin.items():
        with contextlib.suppress(UnknownNameError):  # what can't be loaded has no options here
            if option in base._load(reference).defaults:
                names.append(name)
    return sorted(names)


def owners_text(root: Any, option: str) -> str:
    """Return whose option it is, and how to choose that; empty if it is no other's."""
    names = owners(root, option)
    if not names:
        return ''
    which = ' and '.join(map(repr, names))
    return (
        f'. {which} {"have" if len(names) > 1 else "has"} it. Nothing was changed. Choose one, '
        f'as in:\n{root.key}=dict({root.key}={names[-1]!r}, {option}=...)'
    )


def refuse(what: str, options: Iterable[str], own: Sequence[str], *kinds: Any) -> None:
    """Refuse options that something does not have, and name where they belong.

    Parameters
    ----------
    what : str
        As in 'A task manager'.
    options : iterable of str
        Those that were given.
    own : sequence of str
        Those that it has.
    *kinds : type
        Bases of the kinds of its parts, such as :class:`.BaseProvider`.

    Raises
    ------
    UnknownOptionError
        For the first one that it does not have.
    """
    for option in options:
        if option in own:
            continue
        for root in kinds:
            if names := owners(root, option):
                chosen = '' if root.default in names else f'{root.key}={names[-1]!r}, '
                raise UnknownOptionError(
                    f'{what} has no option {option!r}: it is one of its {root.kind}. Nothing was '
                    f'changed. Write:\n{root.key}=dict({chosen}{option}=...)'
                )
        near = close_names(option, own, n=len(own))
        raise UnknownOptionError(
            f'{what} has no option {option!r}: {near.rstrip("?")}'
            f'{"?" if near.endswith("?") else "."} Nothing was changed.'
        )


def unknown_argument(signature: Signature, names: Iterable[str]) -> str:
    """Return which argument a function does not take; empty if it takes all.

    Parameters
    ----------
    signature : inspect.Signature
    names : iterable of str
        The keywords of a call.
    """
    parameters = signature.parameters
    unknown = next((name for name in names if name not in parameters), None)
    if unknown is None or any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return ''
    return f'it takes no argument {unknown!r}: {close_names(unknown, parameters)}'


def of_object(made: str) -> Callable[[Method], Method]:
    """Make a method refuse to be used on its class.

    Parameters
    ----------
    made : str
        An assignment that makes an object of the class, for the message.
    """
    variable = made.partition(' ')[0]

    def decorate(method: Method) -> Method:
        owner, name = method.__qualname__.split('.')

        @functools.wraps(method)
        def checked(*args: Any, **kwargs: Any) -> Any:
            if not args or all(base.__name__ != owner for base in type(args[0]).__mro__):
                raise TypeError(
                    f'{owner}.{name} was used on the class, not on an object of it. Nothing was '
                    f'added. Make one, then write {variable}.{name}:\n{made}'
                )
            return method(*args, **kwargs)

        return cast('Method', checked)

    return decorate
