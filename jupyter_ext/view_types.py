"""Write ``src/generated/view.ts``: the interfaces of what kernel and server send.

They are made of ``desipipe/view/schema.py``, the symbols of ``desipipe/view/appearance.py``, the
bound from which outputs are folded of ``desipipe/view/folded_outputs.py``.
``python jupyter_ext/view_types.py`` writes the file; with ``--check`` it fails if that is stale.
"""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from desipipe.view import schema
from desipipe.view.appearance import APPEARANCES, BADGE_SYMBOLS, CONDITION_APPEARANCES
from desipipe.view.folded_outputs import ROWS_MAX, UNFOLDED_MAX
from desipipe.view.structs import bases, constraints, is_struct, own_members, summary

PATH = Path(__file__).parent / 'src' / 'generated' / 'view.ts'
HEAD = """/**
 * What kernel and server send. Made of desipipe/view by jupyter_ext/view_types.py: change it there.
 * Times are seconds since the epoch, durations seconds, sizes bytes, unless a member says so.
 */

/** One of two structs; members of the other one are undefined. */
export type Either<A, B> =
  | (A & { [K in Exclude<keyof B, keyof A>]?: undefined })
  | (B & { [K in Exclude<keyof A, keyof B>]?: undefined });
"""
_PLAIN = {str: 'string', bool: 'boolean', int: 'number', float: 'number', NoneType: 'null'}


def typescript(annotation: Any) -> str:
    """Return an annotation as TypeScript has it."""
    annotation, _ = constraints(annotation)
    if is_struct(annotation):
        return f'I{annotation.__name__}'
    if annotation is Any:
        return 'unknown'
    if isinstance(annotation, type) and annotation in _PLAIN:
        return _PLAIN[annotation]
    for name in _ALIASES:
        if annotation == getattr(schema, name):
            return name
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ' | '.join(f"'{value}'" for value in arguments)
    if origin is list:
        return _array(typescript(arguments[0]))
    if origin is dict:
        return _record(typescript(arguments[0]), typescript(arguments[1]))
    if origin in (Union, UnionType):
        return _union(arguments)
    raise TypeError(f'{annotation!r} is not known in TypeScript')


def _array(item: str) -> str:
    return f'({item})[]' if ' ' in item and '<' not in item else f'{item}[]'


def _record(key: str, value: str) -> str:
    record = f'Record<{key}, {value}>'
    return record if key == 'string' else f'Partial<{record}>'


def _union(parts: tuple[Any, ...]) -> str:
    if len(parts) == 2 and all(map(is_struct, parts)):
        return f'Either<{", ".join(map(typescript, parts))}>'
    if all(get_origin(part) is list for part in parts):
        return f'{_union(tuple(get_args(part)[0] for part in parts))}[]'
    return ' | '.join(map(typescript, parts))


def _aliases() -> dict[str, str]:
    """Return the named types of the schema that are no structs, with their texts."""
    body = ast.parse(inspect.getsource(schema)).body
    return {
        node.targets[0].id: text.value.value
        for node, text in zip(body, body[1:], strict=False)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and node.targets[0].id != 'Count'
    }


_ALIASES: dict[str, str] = {}


def write() -> str:
    """Return the text of the file."""
    parts = [HEAD]
    _ALIASES.clear()
    for name, text in _aliases().items():
        kind = typescript(getattr(schema, name))
        parts.append(f'/** {" ".join(text.split())} */\nexport type {name} = {kind};\n')
        _ALIASES[name] = text
    parts += [_interface(item) for item in vars(schema).values() if is_struct(item)]
    conditions = {name: look.symbol for name, look in CONDITION_APPEARANCES.items()}
    states = {name: look.symbol for name, look in APPEARANCES.items()}
    parts += [
        _constant('SYMBOLS', 'ShownState', states, 'Symbols of states, which have no colour'),
        _constant('CONDITION_SYMBOLS', 'Condition', conditions, 'The same of conditions'),
        _constant('BADGE_SYMBOLS', 'BadgeState', BADGE_SYMBOLS, 'The same of task cells'),
        '/** Tasks whose outputs are shown one below the other; those of more are folded. */\n'
        f'export const UNFOLDED_MAX = {UNFOLDED_MAX:d};\n',
        '/** Tasks of those that are shown a row each; the others are below one row. */\n'
        f'export const ROWS_MAX = {ROWS_MAX:d};\n',
    ]
    return '\n'.join(parts)


def _interface(struct: type) -> str:
    above = ', '.join(f'I{base.__name__}' for base in bases(struct))
    lines = [
        f'/** {summary(struct).replace("``", "`")} */',
        f'export interface I{struct.__name__}{f" extends {above}" if above else ""} {{',
    ]
    for member in own_members(struct):
        if member.documentation:
            lines.append(f'  /** {member.documentation} */')
        lines.append(f'  {member.name}{"" if member.required else "?"}: {typescript(member.type)};')
    return '\n'.join([*lines, '}', ''])


def _constant(name: str, key: str, values: dict[str, str], text: str) -> str:
    lines = [f"  '{key}': '{symbol}'," for key, symbol in values.items()]
    head = f'export const {name}: Readonly<Record<{key}, string>> = {{'
    return '\n'.join([f'/** {text}. */', head, *lines, '};', ''])


def main() -> None:
    """Write the file, or check it."""
    text = write()
    if '--check' not in sys.argv[1:]:
        PATH.parent.mkdir(parents=True, exist_ok=True)
        PATH.write_text(text)
    elif not PATH.exists() or PATH.read_text() != text:
        sys.exit(f'{PATH} is stale. Write it again with:\npython jupyter_ext/view_types.py')


if __name__ == '__main__':
    main()
