"""Compute a task's identity from its code and arguments, equal in every process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import repeat
from operator import is_
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .payload import Payload
from .plain import DIGEST_SIZE, deep, digest, pack, plain_text, short
from .refusals import named, refuse

if TYPE_CHECKING:
    from .walk.walker import Walker

__all__ = [
    'Anatomy',
    'Code',
    'anatomy',
    'code_identity',
    'current',
    'definitions',
    'describe',
    'encode',
    'part_digest',
    'task_identities',
    'task_identity',
]

_T = TypeVar('_T')
_KINDS = ('python', 'bash', 'cell')
SMALL = 1 << 60


class Code(NamedTuple):
    """A function as stored: what identifies it, what people read, what others run."""

    digest: bytes
    """Identity, 16 bytes."""
    parts: dict[str, str]
    """Parts of the identity, the function first: readable name → digest, hexadecimal. Two versions
    of a function differ exactly if their parts do.
    """
    source: str
    """Source of the function, then of what it uses."""
    payload: Payload
    """The function."""
    packages: tuple[str, ...]
    """Installed packages that it refers to, by the name one imports."""
    memory: Any = None
    """Memory that :func:`current` compares with the present."""


def encode(value: object, name: str = 'value') -> bytes:
    """Return canonical bytes of a value: equal only for equal values of equal types.

    Parameters
    ----------
    value : object
        Futures in it count by the identity of their task.
    name : str, default='value'
        Name for errors: that of an argument, or other text.

    Returns
    -------
    data : bytes
        At most 65 bytes.

    Raises
    ------
    NotSerializableError
        If something in it has no stable content.
    """
    if type(value) is int and -SMALL < value < SMALL:
        return b'=%d' % value  # the most common of all
    data = plain_text(value)
    if data:
        return short(b'=' + data.encode())
    return _walk(lambda: _encode(value, name), [named(name)], value)


def _encode(value: object, name: str) -> bytes:
    from .walk.walker import Walker

    return Walker(named(name)).encode(value)


def _walk(walk: Callable[[], _T], trail: list[str], value: object) -> _T:
    try:
        try:
            return walk()
        except RecursionError:
            return deep(walk)
    except RecursionError as exc:
        raise refuse(trail, value, exc) from None


def task_identity(app: bytes, arguments: Iterable[tuple[str, bytes]]) -> bytes:
    """The identity of a call.

    Parameters
    ----------
    app : bytes
        Identity of the function, see :class:`Code`.
    arguments : iterable of (str, bytes)
        Names, and values as :func:`encode` gives them, in any order.

    Returns
    -------
    tid : bytes
        16 bytes.
    """
    pieces = [app]
    for name, data in sorted(arguments):
        encoded = name.encode('utf-8', 'surrogatepass')
        pieces.append(b'%d:%b%d:%b' % (len(encoded), encoded, len(data), data))
    return blake2b(b''.join(pieces), digest_size=DIGEST_SIZE, person=b'desipipe task').digest()


def task_identities(app: bytes, arguments: Mapping[str, Sequence[bytes]], n: int) -> list[bytes]:
    """Return the identities of many calls.

    Parameters
    ----------
    app : bytes
        As for :func:`task_identity`.
    arguments : mapping
        By name, the values of all calls as :func:`encode` gives them.
    n : int
        Number of calls.
    """
    columns: list[Iterable[bytes]] = [repeat(app, n)]
    for name in sorted(arguments):
        encoded = name.encode('utf-8', 'surrogatepass')
        head = b'%d:%b' % (len(encoded), encoded)
        column = arguments[name]
        if column and all(map(is_, column, repeat(column[0]))):
            columns.append(repeat(b'%b%d:%b' % (head, len(column[0]), column[0]), n))
        else:
            columns.append([b'%b%d:%b' % (head, len(data), data) for data in column])
    contents = map(b''.join, zip(*columns, strict=True))
    return [
        blake2b(content, digest_size=DIGEST_SIZE, person=b'desipipe task').digest()
        for content in contents
    ]


def describe(func: Callable[..., Any], kind: str = 'python') -> Code:
    """Identity, source and bytes of a task's function.

    What it uses of the user's own code (notebook, script, modules that are not installed), by the
    names it reads, is part of all three. Its own decorators, and the defaults of its arguments, are
    not part of the identity: the decorators make it a task, and the defaults are arguments of each
    call. Where the text of a function can't be found, or is no longer what was compiled, the
    bytecode takes its place; that changes with the version of Python. What is found by a name that
    is made at run time (``globals()[name]``, ``importlib.import_module(name)``) is not seen.

    Parameters
    ----------
    func : callable
    kind : str, default='python'
        ``'python'``, ``'bash'`` or ``'cell'``.

    Returns
    -------
    code : Code

    Raises
    ------
    NotSerializableError
        If it uses something that can't be carried to another process, or has no stable identity;
        the variable is named.
    """
    if kind not in _KINDS:
        raise ValueError(f'There is no app of kind {kind!r}: known are {", ".join(_KINDS)}')
    return _walk(lambda: _describe(func, kind), ['the function'], func)


def _describe(func: Callable[..., Any], kind: str) -> Code:
    from .payload import REFERENCES, pack_payload
    from .pickling import pickled
    from .walk.walker import Walker

    walker = Walker(references=False)
    root, parts = _walked(walker, func)
    code = walker.code
    # Futures among the defaults of its arguments are never used: those of each call take their
    # place.
    data, buffers, tids = pickled(func, [], references=True, statics=code.uses.statics)
    notes = [f'# {label}: {note}' for label, note in sorted(code.parts.notes.items())]
    return Code(
        digest=_code_identity(kind, root, code.parts.total()),
        parts=parts,
        source='\n\n\n'.join([*code.parts.texts, *(['\n'.join(notes)] if notes else [])]) + '\n',
        payload=pack_payload(data, buffers, REFERENCES if tids else 0),
        packages=tuple(sorted(walker.packages)),
        memory=walker,
    )


def _walked(walker: Walker, func: Callable[..., Any]) -> tuple[bytes, dict[str, str]]:
    root = walker.describe(func)
    parts = dict(walker.code.parts.digests)
    if type(func) is not FunctionType or not parts:
        # An object that is called, or a function that is installed: no part says all of it.
        parts[f'task {getattr(func, "__qualname__", type(func).__qualname__)}'] = digest(root).hex()
    return root, parts


def _code_identity(kind: str, root: bytes, total: bytes) -> bytes:
    return blake2b(
        b'\0'.join([kind.encode(), root, total]), digest_size=DIGEST_SIZE, person=b'desipipe code'
    ).digest()


def definitions(code: Code) -> dict[str, str]:
    """Return digests of a description's functions and classes, without what they read.

    Parameters
    ----------
    code : Code
        What :func:`describe` gave in this process.

    Returns
    -------
    definitions : dict
        8 hexadecimal digits each, by the name of the part. They differ where the text of a function
        or class does, comments and formatting aside.
    """
    pieces: dict[str, list[bytes]] = {}
    if code.memory is not None:
        pieces = code.memory.code.functions.pieces or {}
    digests = {}
    for label, part in code.parts.items():
        if part in pieces:
            digests[label] = digest(pieces[part][0]).hex()[:8]
        elif label.startswith('class ') or label.endswith(' (imported)') or len(code.parts) == 1:
            digests[label] = part[:8]
    return digests


class Anatomy(NamedTuple):
    """The parts of a function's identity, from which it can be computed again."""

    digest: bytes
    """Digest, as in :class:`Code`."""
    root: bytes
    """Reference to the function itself."""
    parts: dict[str, str]
    """Parts, as in :class:`Code`."""
    pieces: dict[str, list[bytes]]
    """Pieces of the digests of functions among the parts. The first piece is that of the syntax
    tree.
    """


def anatomy(func: Callable[..., Any], kind: str = 'python') -> Anatomy:
    """Return the parts of a function's identity; parameters as for :func:`describe`."""

    def look() -> Anatomy:
        from .walk.walker import Walker

        walker = Walker(references=False)
        root, parts = _walked(walker, func)
        pieces = walker.code.functions.pieces or {}
        kept = {label: pieces[part] for label, part in parts.items() if part in pieces}
        return Anatomy(_code_identity(kind, root, walker.code.parts.total()), root, parts, kept)

    return _walk(look, ['the function'], func)


def code_identity(kind: str, root: bytes, parts: dict[str, str]) -> bytes:
    """Return a function's identity from its parts, as :func:`anatomy` returns them.

    Nothing else is read.

    Parameters
    ----------
    kind : str
    root : bytes
    parts : dict

    Returns
    -------
    digest : bytes
    """
    named_parts = sorted(
        label for label in parts if not label.startswith('task ')
    )  # see `_walked`: those say the root
    return _code_identity(
        kind,
        root,
        digest(
            ''.join(f'{label}\0{parts[label]}\0' for label in named_parts).encode(
                'utf-8', 'surrogatepass'
            )
        ),
    )


def part_digest(pieces: Iterable[bytes]) -> str:
    """The digest of a part that is a function, by its pieces, hexadecimal."""
    return digest(pack(b'function', *pieces)).hex()


def current(code: Code) -> bool:
    """Return True if describing the function again would give the same identity.

    Microseconds for a function that uses little; what it uses of large arrays or the user's objects
    is looked through again.

    Parameters
    ----------
    code : Code
        What :func:`describe` gave in this process.

    Returns
    -------
    current : bool
        False also where there is no telling.
    """
    return code.memory is not None and code.memory.unchanged()
