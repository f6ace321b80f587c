"""Make functions of the text that desipipe 1.0 stored."""

from __future__ import annotations

import ast
import hashlib
import linecache
import re
from collections.abc import Mapping
from types import FunctionType
from typing import Any

from ..errors import RecordError


def rebuild_function(
    name: str, code: str, defaults: Mapping[str, Any] | None = None
) -> FunctionType:
    """Make a function of the text that desipipe 1.0 stored; defaults are names there.

    Parameters
    ----------
    name : str
    code : str
    defaults : dict, default=None
        Default values by the names of the arguments; others are None.

    Returns
    -------
    func : function
        Its text is known to :mod:`linecache`, so that it has the identity of the function in the
        user's script.

    Raises
    ------
    RecordError
        The text is no function.
    """
    values = defaults or {}
    try:
        node = next(node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef))
    except (SyntaxError, ValueError, StopIteration, RecursionError) as exc:
        raise RecordError(f'The code of {name} is no function ({type(exc).__name__})') from exc
    text = _runnable_text(node, code)
    mark = hashlib.blake2b(text.encode('utf-8', 'replace'), digest_size=8).hexdigest()
    path = f'<{name} of desipipe 1.0, {mark}>'
    linecache.cache[path] = (len(text), None, text.splitlines(True), path)
    scope: dict[str, Any] = {'__name__': '__main__', '__builtins__': __builtins__}
    exec(compile(text, path, 'exec', dont_inherit=True), scope)  # noqa: S102 (as its workers did)
    func: FunctionType = scope[node.name]
    positional = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    given = positional[len(positional) - len(node.args.defaults) :] if node.args.defaults else []
    func.__defaults__ = tuple(values.get(argument) for argument in given) or None
    if func.__kwdefaults__:
        func.__kwdefaults__ = {argument: values.get(argument) for argument in func.__kwdefaults__}
    return func


def _runnable_text(node: ast.FunctionDef, code: str) -> str:
    """Return the text of a function without defaults and annotations.

    They are names there.
    """
    arguments = node.args
    for argument in (
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        arguments.vararg,
        arguments.kwarg,
    ):
        if argument is not None:
            argument.annotation = None
    arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]
    given = arguments.kw_defaults
    arguments.kw_defaults = [None if one is None else ast.Constant(None) for one in given]
    first = node.body[0]
    decorators = getattr(first, 'decorator_list', ())
    line = min([first.lineno, *(decorator.lineno for decorator in decorators)])
    body = '\n'.join(code.split('\n')[line - 1 :])
    if line == node.lineno:
        body = f'    {ast.unparse(first)}'
    return f'def {node.name}({ast.unparse(arguments)}):\n{body}\n'


def failing_function(name: str, code: str, why: str) -> FunctionType:
    """Make a function that fails when called; the text is kept in it."""
    text = '\n'.join(f'    # {line}' for line in code.splitlines())
    title = re.sub(r'\W', '_', name) or 'unnamed'
    last = f'    raise RuntimeError({why[:500]!r})'
    return rebuild_function(title, f'def {title}(*args, **kwargs):\n{text}\n{last}')
