"""What a machine can hold of our language: no word of ours where the field has one."""

from __future__ import annotations

import argparse
import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from desipipe.cells.options import cell_parser
from desipipe.commands.common import Verbs
from desipipe.notebook.verb_parser import verb_parser as notebook_parser
from tests import standards

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / 'desipipe'
FORBIDDEN = re.compile(
    r'\b(nobody|somebody|someone|it is said|in vain|any more|can not)\b', re.IGNORECASE
)


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every string of a module that is no docstring."""
    tree = ast.parse(path.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
        ):
            yield node.lineno, node.value


def test_messages_use_the_words_of_the_field() -> None:
    bad = [
        f'{path.relative_to(ROOT)}:{line}: {match.group()!r}'
        for path in sorted(PACKAGE.rglob('*.py'))
        for line, text in messages(path)
        if (match := FORBIDDEN.search(text))
    ]
    assert bad == []


def test_docstrings_begin_with_what_is_done() -> None:
    """Look for first words that only promise a verb or a noun to come (`Whether ...`)."""
    vague = (
        'What',
        'Whether',
        'Who',
        'Whose',
        'Which',
        'When',
        'Where',
        'How',
        'Of',
        'Let',
        'Say',
        'As',
    )
    bad = []
    for path in sorted([*PACKAGE.rglob('*.py'), *(ROOT / 'benchmarks').rglob('*.py')]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                docstring_words = (ast.get_docstring(node) or '').split()
                if docstring_words and docstring_words[0].strip(',.:') in vague:
                    bad.append(
                        f'{path.relative_to(ROOT)}:{getattr(node, "lineno", 1)}: {docstring_words[0]}'
                    )
    assert bad == []


def test_documented_modules_exist() -> None:
    pages = [*sorted((ROOT / 'docs/developer').glob('*.md')), ROOT / 'CONTRIBUTING.md']
    roots = (ROOT, PACKAGE, *(path for path in PACKAGE.iterdir() if path.is_dir()))
    missing = [
        f'{page.name}: {name}'
        for page in pages
        for name in re.findall(r'`([\w/]+\.py)`', page.read_text())
        if not any((root / name).exists() for root in roots)
    ]
    assert missing == []


@pytest.mark.parametrize(('number', 'most'), [(1, 15), (2, 9), (3, 9)])
def test_journey_names_few_files(number: int, most: int) -> None:
    """Count the files that a journey names, which its last line tells too."""
    journey = (ROOT / 'docs/developer/journey.md').read_text().split('\n## ')[number]
    files = set(re.findall(r'`([\w/]+\.(?:py|tsx?))`', journey))
    counts = re.search(r'^(\d+) files, (\d+) shapes: (.*)\.$', journey, flags=re.MULTILINE)
    assert counts is not None
    assert len(files) == int(counts[1]) <= most
    assert len(counts[3].split(', ')) == int(counts[2])


def test_stops_of_the_journey_exist() -> None:
    """Look for each name of a stop in the modules that the stop names."""
    text = (ROOT / 'docs/developer/journey.md').read_text()
    missing = []
    for stop in re.split(r'^\d+\. ', text, flags=re.MULTILINE)[1:]:
        sources = [PACKAGE / name for name in re.findall(r'`([\w/]+\.py)`', stop)]
        sources += [
            ROOT / 'jupyter_ext/src' / name for name in re.findall(r'`([\w/]+\.tsx?)`', stop)
        ]
        code = '\n'.join(path.read_text() for path in sources)
        for name in re.findall(r'`([A-Za-z_]+(?:\.(?!py|ts)[a-z_]+)?)`', stop):
            if not re.search(rf'\b{name.rpartition(".")[2]}\b', code):
                missing.append(name)
    assert sorted(set(missing)) == []


def test_sizes_and_names_keep_their_bounds() -> None:
    """Hold what ``python -m tests.standards`` measures against the lists beside it."""
    assert standards.defects(standards.measure(), standards.read_lists()) == []


def test_standards_see_names_of_tests_that_are_sentences(tmp_path: Path) -> None:
    text = 'def test_what_is_left(): pass\ndef test_item_is_left(): pass\ndef what(): pass\n'
    (tmp_path / 'test_x.py').write_text(text)
    assert standards.prose_tests() == []
    assert [line.split()[2] for line in standards.prose_tests(tmp_path)] == ['test_what_is_left']


def test_standards_see_vague_variables_of_tests(tmp_path: Path) -> None:
    (tmp_path / 'helper.py').write_text('found = [told := 1]\ndef read(words): pass\nseen = found')
    assert standards.vague_variables() == []
    names = [line.split()[2] for line in standards.vague_variables(tmp_path)]
    assert sorted(names) == ["'found'", "'told'", "'words'"]


def test_exceptions_are_few_and_argued() -> None:
    reasons = [
        reason
        for excepted in standards.read_lists()['exceptions'].values()
        for reason in excepted.values()
    ]
    assert all(isinstance(reason, str) and len(reason) > 20 for reason in reasons)
    complex_functions = sum(path.read_text().count('noqa: C901') for path in PACKAGE.rglob('*.py'))
    assert len(reasons) + complex_functions <= standards.EXCEPTIONS_MOST


def test_standards_see_what_exceeds_a_bound(tmp_path: Path) -> None:
    body = '\n'.join(f'    x{number} = {number}' for number in range(41))
    (tmp_path / 'made.py').write_text(
        f'"""Two lines\nof summary."""\n\n\ndef long(said):\n{body}\n\n\nMOST = 3\n"""What there is."""\n'
        'SIZE = 3\n"""How much there is."""\n\n\n'
        'def ask(size):\n    """Ask.\n\n    size : bool\n        Whether it counts.\n    """\n\n\n'
        "if long: raise ValueError('no capital')\n"
        "if long: raise ValueError(f'{long} is short. Try: long', MOST)\n"
        "logger.info('%s is neither', long)\n"
        "error = KeyError('No full stop '.strip()) if long else KeyError('With one.')\n"
    )
    figures = standards.measure(tmp_path)
    assert figures == {
        'functions': {'made.py:long': 42},
        'classes': {},
        'modules': {},
        'names': {'made.py': 3},
        'docstrings': {'made.py': 4},
        'messages': {'made.py': 3},
    }
    lists = {
        'exceptions': {},
        'debts': {'functions': {'made.py:long': 41}, 'names': {'made.py': 3}},
    }
    assert standards.defects(figures, lists) == [
        'functions: made.py:long: 42, 41 before',
        'docstrings: made.py: 4',
        'messages: made.py: 3',
    ]
    lists = {'exceptions': {'functions': {'made.py:gone': 'why'}}, 'debts': figures}
    assert standards.defects(figures, lists) == ['functions: made.py:gone is no exception']


def help_texts(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """Yield name and help of the verbs and options of a parser and of its verbs."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                yield choice.dest, choice.help or ''
        elif action.help != argparse.SUPPRESS:
            name = ' '.join(action.option_strings) or action.dest
            yield f'{parser.prog} {name}', action.help or ''
    for verb in Verbs.of(parser).values():
        yield from help_texts(verb)


def test_help_is_short_and_lower_case() -> None:
    texts = [*help_texts(notebook_parser()), *help_texts(cell_parser())]
    assert len(texts) > 200
    bad = [
        f'{name}: {text!r}'
        for name, text in texts
        if not 0 < len(text) <= 60 or text.endswith('.') or re.match('[A-Z][a-z]', text)
    ]
    assert bad == []


def test_npm_dependencies_are_used() -> None:
    """Look for each in the sources, the scripts and the configuration of the front end."""
    package = json.loads((ROOT / 'package.json').read_text())
    folder = ROOT / 'jupyter_ext'
    sources = [
        path.read_text()
        for name in ('src', 'style', '*.js', '*.mjs')
        for path in (
            [folder / name, *(folder / name).rglob('*')] if '*' not in name else folder.glob(name)
        )
        if path.is_file()
    ]
    code = '\n'.join(sources) + '\n'.join(map(json.dumps, package['stylelint'].values()))
    commands = ' '.join(package['scripts'].values())
    commands += ' '.join(path.read_text() for path in (ROOT / 'tests/lab').glob('*.py'))
    indirect = {
        '@jupyter/builder': 'what the program jupyter-builder runs',
        'eslint-config-prettier': 'what eslint-plugin-prettier takes its rules from',
        'npm-run-all2': 'the program run-p',
        'typescript': 'the program tsc',
    }
    unused = []
    for name in {**package['dependencies'], **package['devDependencies']}:
        # Types are for what is imported or run; Pythons are for tests, by their version.
        wanted = name.removeprefix('@types/')
        imported = re.search(rf"""['"]~?{re.escape(wanted)}(/[^'"]*)?['"]""", code)
        run = re.search(rf'(?<![\w-]){re.escape(wanted)}(?![\w-])', commands)
        if not (imported or run or name in indirect or name.startswith('python-')):
            unused.append(name)
    assert unused == []
