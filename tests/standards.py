"""Sizes, names, docstrings and messages that STYLE.md bounds, measured in every module of the package.

``python -m tests.standards`` prints the figures and fails where one grew; ``--shrink`` takes the
present figures into ``standards.toml`` where they are lower. That file has two lists: exceptions
that stay, each with its reason, and debts of before, which may only shrink.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator, Set
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIST = Path(__file__).with_suffix('.toml')

FUNCTION_LINES = 40  # from `def` to the last line, without the docstring
CLASS_LINES = 300
MODULE_LINES = 350
DOCSTRING_LINE = 80
EXCEPTIONS_MOST = 15

# Words of a dialect: a variable says what it holds (the list is STYLE.md's).
VARIABLES = {'found', 'words', 'known', 'place', 'mine', 'its', 'there', 'said', 'told'}
CONSTANTS = re.compile('_?(MOST|LIMIT|LOOKS)')
FUNCTIONS = re.compile('_?(heed|obey|settle|bury|judge|stillborn|victim)')
FIRST_WORDS = re.compile(
    r'(What|Whether|Who|Of|Let|Say|As)\b'
)  # they only promise a noun or a verb
QUESTIONS = re.compile(r'(When|Where|How|Why|Which|Whose)\b')  # an attribute is what it holds
PARAMETER = re.compile(
    r'^[\w*, ]+ : .*\n +(Whether|When|Where|How|Why|Which|Whose|Who)\b', re.MULTILINE
)
LOGGED = ('info', 'warning', 'error', 'exception')
NO_SENTENCES = ('AttributeError', 'ArgumentTypeError')
TESTS = re.compile(
    'test_(what|it|an?|the|one|there|who|whose|which|where|how|whether|why|no|nothing|nobody|never|'
    'only|without|every|each|another|same|few|two|several|both|all|any|also)(_|$)'
)
MODULES = {*('live', 'shows', 'reach', 'made', 'find', 'look', 'words', 'printed', 'bits', 'tour')}

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def functions(path: Path, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the functions that are too long, with their lines."""
    for name, node in _definitions(tree):
        if not isinstance(node, ast.ClassDef):
            lines = _lines(node) - (_lines(node.body[0]) if ast.get_docstring(node) else 0)
            if lines > FUNCTION_LINES:
                yield name, lines


def classes(path: Path, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the classes that are too long, with their lines."""
    for name, node in _definitions(tree):
        if isinstance(node, ast.ClassDef) and _lines(node) > CLASS_LINES:
            yield name, _lines(node)


def modules(path: Path, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the module's lines if they are too many."""
    lines = len(path.read_text().splitlines())
    if lines > MODULE_LINES:
        yield '', lines


def names(path: Path, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield how many names of the module say nothing of what they hold."""
    count = int(path.stem in MODULES) + len(list(_vague_variables(tree)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            count += bool(CONSTANTS.fullmatch(node.id))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            count += bool(FUNCTIONS.fullmatch(node.name))
    if count:
        yield '', count


def _vague_variables(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and name of each variable that does not say what it holds."""
    members = {  # attributes are read beside the name of their object
        statement.target
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.AnnAssign)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node not in members:
            if node.id in VARIABLES:
                yield node.lineno, node.id
        elif isinstance(node, ast.arg) and node.arg in VARIABLES:
            yield node.lineno, node.arg


def docstrings(path: Path, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield how many docstrings have no first sentence of their own, or promise one only.

    Attributes and parameters are described by noun phrases, booleans by what True means.
    """
    texts = list(_attribute_docstrings(tree))
    count = sum(bool(FIRST_WORDS.match(text) or QUESTIONS.match(text)) for text in texts)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, Definition)):
            text = ast.get_docstring(node)
            if text is not None:
                first, *rest = text.split('\n')
                good = first.endswith('.') and len(first) <= DOCSTRING_LINE
                good = good and not FIRST_WORDS.match(first)
                count += not good or bool(rest and rest[0].strip())
                count += len(PARAMETER.findall(text))
    if count:
        yield '', count


def _attribute_docstrings(tree: ast.Module) -> Iterator[str]:
    """Yield the texts that stand below attributes and constants."""
    for node in ast.walk(tree):
        body = getattr(node, 'body', None)
        for above, below in pairwise(body if isinstance(body, list) else []):
            if isinstance(above, (ast.Assign, ast.AnnAssign)) and isinstance(below, ast.Expr):
                value = below.value
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value.value.strip()


def messages(path: Path, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield how many messages of errors and logs have no capital letter or no full stop."""
    count = 0
    raised = {node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)}
    for node in ast.walk(tree):
        if call := _message_call(node, raised):
            pieces = _pieces(call.args[0])
            if pieces:
                # A command to type ends a message without a full stop, and so may a value.
                text = re.sub('%[sdrg]', '\0', '\0'.join(pieces))
                last = re.split('[.?!] ', text)[-1]
                ends = text.endswith(('.', '?', '!', ':', ')', '\0')) or bool(
                    re.search(':\\s', last)
                )
                count += pieces[0][:1].islower() or not ends
    if count:
        yield '', count


def _message_call(node: ast.AST, raised: Set[ast.expr | None]) -> ast.Call | None:
    """Return the call of an exception whose text is ours, and a whole sentence.

    What is raised is one by its capital letter, what is returned or kept by the end of its name.
    Functions that make exceptions take pieces of sentences, argparse puts the argument in front,
    and an AttributeError has Python's text. What is logged is a message, too.
    """
    if not isinstance(node, ast.Call) or not node.args:
        return None
    owner, _, name = ast.unparse(node.func).rpartition('.')
    if owner == 'logger' and name in LOGGED:
        return node
    is_exception = name[:1].isupper() and (node in raised or name.endswith('Error'))
    return node if is_exception and name not in NO_SENTENCES else None


def _pieces(node: ast.expr) -> list[str]:
    """Return the pieces of a text between its values; empty where a text is a value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return [
            piece.value if isinstance(piece, ast.Constant) and isinstance(piece.value, str) else ''
            for piece in node.values
        ]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _pieces(node.left), _pieces(node.right)
        return [*(left or ['']), *(right or [''])] if left or right else []
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _pieces(node.func.value) if node.func.attr in ('strip', 'format') else []
    return []


MEASURES = {
    'functions': functions,
    'classes': classes,
    'modules': modules,
    'names': names,
    'docstrings': docstrings,
    'messages': messages,
}
COUNTED = ('names', 'docstrings', 'messages')  # many in one module
Figures = dict[str, dict[str, int]]
Lists = dict[str, dict[str, dict[str, Any]]]  # exceptions and debts, by measure and name


def _definitions(tree: ast.Module) -> Iterator[tuple[str, Definition]]:
    """Yield every function and class with its dotted name."""
    todo: list[tuple[str, ast.AST]] = [('', tree)]
    for prefix, parent in todo:
        for node in ast.iter_child_nodes(parent):
            name = prefix
            if isinstance(node, Definition):
                name = f'{prefix}.{node.name}' if prefix else node.name
                yield name, node
            todo.append((name, node))


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def measure(package: Path = ROOT / 'desipipe') -> Figures:
    """Return what exceeds a bound, by measure: ``module.py:name`` and its figure."""
    figures: Figures = {name: {} for name in MEASURES}
    for path in sorted(package.rglob('*.py')):
        tree = ast.parse(path.read_text())
        module = path.relative_to(package).as_posix()
        for name, offenders in MEASURES.items():
            for inside, figure in offenders(path, tree):
                figures[name][f'{module}:{inside}' if inside else module] = figure
    return figures


def defects(figures: Figures, lists: Lists) -> list[str]:
    """Return what grew beyond the lists, and what in them is past."""
    wrong = []
    for measured, offenders in figures.items():
        excepted, debts = lists['exceptions'].get(measured, {}), lists['debts'].get(measured, {})
        for name, figure in offenders.items():
            if name not in excepted and figure > debts.get(name, 0):
                was = f', {debts[name]} before' if name in debts else ''
                wrong.append(f'{measured}: {name}: {figure}{was}')
        wrong += [f'{measured}: {name} is no exception' for name in {*excepted} - {*offenders}]
        wrong += [
            f'{measured}: {name}: {debt} before; lower the debt with --shrink'
            for name, debt in debts.items()
            if offenders.get(name, 0) < debt
        ]
    return wrong


def prose_tests(folder: Path = ROOT / 'tests') -> list[str]:
    """Return the tests whose names begin as a sentence, not with the unit that they test."""
    return [
        f'tests: {path.relative_to(folder).as_posix()}: {name} is to be test_<unit>_<behaviour>'
        for path in sorted(folder.rglob('test_*.py'))
        for name, _ in _definitions(ast.parse(path.read_text()))
        if TESTS.match(name)
    ]


def vague_variables(folder: Path = ROOT / 'tests') -> list[str]:
    """Return the variables of tests whose names do not say what they hold."""
    return [
        f'tests: {path.relative_to(folder).as_posix()}:{line}: {name!r} does not say what it holds'
        for path in sorted(folder.rglob('*.py'))
        for line, name in _vague_variables(ast.parse(path.read_text()))
    ]


def read_lists() -> Lists:
    """Return the exceptions and the debts."""
    lists: Lists = tomllib.loads(LIST.read_text())
    return lists


def shrink(figures: Figures, lists: Lists) -> None:
    """Write the debts anew, none higher than it was."""
    text = LIST.read_text().partition('\n[debts')[0]
    for measured, debts in lists['debts'].items():
        text += f'\n[debts.{measured}]\n'
        for name in sorted({*debts} & {*figures[measured]}):
            text += f'{json.dumps(name)} = {min(debts[name], figures[measured][name])}\n'
    LIST.write_text(text)


def main() -> int:
    """Print the figures and what is wrong with them."""
    parser = argparse.ArgumentParser(prog='python -m tests.standards', description=__doc__)
    parser.add_argument('--shrink', action='store_true', help='lower the debts to the figures')
    figures, lists = measure(), read_lists()
    if parser.parse_args().shrink:
        shrink(figures, lists)
    for name, offenders in figures.items():
        amount = sum(offenders.values()) if name in COUNTED else len(offenders)
        print(f'{name:12} {amount}')
    wrong = [*defects(figures, lists), *prose_tests(), *vague_variables()]
    for line in wrong:
        print(line, file=sys.stderr)
    return bool(wrong)


if __name__ == '__main__':
    sys.exit(main())
