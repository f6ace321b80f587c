"""The documentation names what exists, and leaves out nothing that users type."""

from __future__ import annotations

import argparse
import ast
import pydoc
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from doc_blocks import ROOT, Block, blocks, pages

from desipipe import Provider
from desipipe.cells.options import cell_parser
from desipipe.commands.common import Verbs
from desipipe.commands.parser import build_parser
from desipipe.config.keys import KEYS
from desipipe.execution.worker import MODES
from desipipe.queue.state import STATES

FORBIDDEN = re.compile(
    r'\b(nobody|somebody|someone|it is said|in vain|any more|can not)\b', re.IGNORECASE
)
VERBS = Verbs.of(build_parser())
SPAN = re.compile(r'(?<!`)(`{1,2})(?!`)([^`]+?)\1(?!`)')
COMMAND = re.compile(r'^(?:[!$] *)?(?:if |sudo |python -m |srun -n \d+ )*(%{0,2})desipipe +(.*)$')


def parsers(prefix: str) -> dict[str, argparse.ArgumentParser]:
    """Return the verbs that may follow ``desipipe``, ``%desipipe`` or ``%%desipipe``."""
    if prefix != '%':
        return dict(VERBS)
    parser = pytest.importorskip('desipipe.notebook.verb_parser').verb_parser()
    return dict(Verbs.of(parser))


def options(parser: argparse.ArgumentParser) -> set[str]:
    option_names = {option for action in parser._actions for option in action.option_strings}
    if parser.prog.endswith(' use'):  # takes those of providers, too
        option_names |= {f'--{name.replace("_", "-")}' for name in Provider('nersc').defaults}
    return option_names


def text_of(page: Path) -> str:
    return (ROOT / page).read_text()


def snippets(page: Path) -> Iterator[str]:
    """Yield the lines of the blocks of a page, and what stands between backquotes in its text."""
    text = text_of(page)
    for block in blocks(text, page.suffix):
        yield from block.text.replace('\\\n', ' ').splitlines()
    fenced = r'```.*?```' if page.suffix == '.md' else r'(?!)'
    for match in SPAN.finditer(re.sub(fenced, '', text, flags=re.DOTALL)):
        yield ' '.join(match[2].split())


def mistakes(line: str) -> Iterator[str]:
    """Yield what a line with commands names that does not exist."""
    for part in re.split(r' && | \|\|? |; |(?:^| )# | {2,}', line):
        if not (match := COMMAND.match(part.strip())):
            continue
        prefix, rest = match.groups()
        try:
            arguments = shlex.split(rest)
        except ValueError:
            arguments = rest.split()
        expected = parsers(prefix)
        if prefix == '%%':
            parser = cell_parser()
        elif arguments and re.fullmatch(r'[a-z_]+', arguments[0]):
            if arguments[0] not in expected:
                yield f'no verb {arguments[0]!r}: {part}'
                continue
            parser = expected[arguments.pop(0)]
        else:
            continue
        arguments = arguments[: arguments.index('--')] if '--' in arguments else arguments
        for word in arguments:
            name = word.partition('=')[0]
            if re.fullmatch(r'-{1,2}[a-z][\w-]*', name) and name not in options(parser):
                yield f'no option {name!r}: {part}'


USER_PAGES = [page for page in pages() if 'developer' not in page.parts]


@pytest.mark.parametrize('page', USER_PAGES, ids=str)
def test_commands_of_the_pages_exist(page: Path) -> None:
    assert [mistake for line in snippets(page) for mistake in mistakes(line)] == []


@pytest.mark.parametrize(
    'line, number',
    [
        ('desipipe status -q a', 0),
        ('desipipe statis -q a', 1),
        ('make x && desipipe tasks --stat FAILED', 1),
        ('desipipe tasks -q a --state FAILED    # desipipe is a name', 0),
        ('%desipipe use a --workers 2', 0),
        ('%desipipe use a --worker 2', 1),
        ('%%desipipe a --for x=range(3) --outs x', 1),
        ('desipipe add -q a -- grep --count x', 0),
    ],
)
def test_mistakes_are_found(line: str, number: int) -> None:
    assert len(list(mistakes(line))) == number


@pytest.mark.parametrize('page', USER_PAGES, ids=str)
def test_states_after_the_option_exist(page: Path) -> None:
    named = re.findall(r'--state[ =]((?:[A-Z]{4,}[ ,]?)+)', text_of(page))
    states = {state for names in named for state in re.findall(r'[A-Z]{4,}', names)}
    assert states - set(STATES) - {'STATE'} == set()


@pytest.mark.parametrize('page', pages(), ids=str)
def test_targets_of_make_exist(page: Path) -> None:
    targets = set(re.findall(r'^([\w-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE))
    lines = [part for line in snippets(page) for part in re.split(r' && | {2,}', line)]
    command = re.compile(r'make ([a-z][\w-]*)(?: [A-Z_]+=.*)?(?: *#.*)?')
    named = {match[1] for line in lines if (match := command.fullmatch(line.strip()))}
    assert named - targets == set()


@pytest.mark.parametrize('page', [page for page in USER_PAGES if page.name != 'README.md'], ids=str)
def test_pages_use_the_words_of_the_field(page: Path) -> None:
    lines = text_of(page).splitlines()
    assert [line for line in lines if FORBIDDEN.search(line) or line.startswith('<<<<<<<')] == []


@pytest.mark.parametrize('page', [page for page in USER_PAGES if page.suffix == '.md'], ids=str)
def test_prose_wraps_at_100(page: Path) -> None:
    """Look for long lines outside of tables and of blocks."""
    text = re.sub(r'```.*?```|<!--.*?-->', '', text_of(page), flags=re.DOTALL)
    long = [line for line in text.splitlines() if len(line) > 100 and not line.startswith('|')]
    assert long == []


def executed_text() -> str:
    collected: list[Block] = []
    for page in USER_PAGES:
        collected += blocks(text_of(page), page.suffix)
    return '\n'.join(block.text for block in collected if block.mark != 'not run')


def undocumented(page: str, names: set[str]) -> set[str]:
    """Return names that a page does not have between backquotes."""
    spans = ' '.join(match[2] for match in SPAN.finditer(text_of(Path('docs', page))))
    return {name for name in names if not re.search(rf'(?<![\w-]){name}(?![\w-])', spans)}


def test_verbs_have_an_example_that_is_run() -> None:
    """Look for each verb in blocks that are run, but for those that need a group, ten seconds, Ctrl-C."""
    text = executed_text()
    missing = {verb for verb in VERBS if not re.search(rf'%?desipipe {verb}\b', text)}
    assert missing == {'demo', 'serve', 'share', 'unshare'}


def test_options_of_cells_are_documented() -> None:
    names = {option for option in options(cell_parser()) if option.startswith('--')}
    assert undocumented('reference/notebook.md', names - {'--help', '--debug'}) == set()


def test_states_are_documented() -> None:
    text = text_of(Path('docs/explanation/states.md'))
    assert {state for state in STATES if f'| {state} |' not in text} == set()


def test_verbs_with_exit_statuses_are_documented() -> None:
    named = {
        verb for verb, parser in VERBS.items() if 'xit status' in ' '.join(str(parser.description))
    }
    assert undocumented('reference/exit_statuses.md', named) == set()
    source = '\n'.join(path.read_text() for path in (ROOT / 'desipipe/cli').glob('*.py'))
    returned = set(re.findall(r'return (\d+)$', source, re.MULTILINE))
    text = text_of(Path('docs/reference/exit_statuses.md'))
    assert {status for status in returned if f'| {status} |' not in text} == set()


def test_environment_variables_are_documented() -> None:
    source = '\n'.join(path.read_text() for path in (ROOT / 'desipipe').rglob('*.py'))
    names = set(re.findall(r'DESIPIPE_[A-Z_]+[A-Z]', source))
    assert undocumented('reference/environment_variables.md', names) == set()


def test_settings_are_documented() -> None:
    assert undocumented('reference/configuration.md', set(KEYS)) == set()
    assert undocumented('reference/slurm.md', set(Provider('slurm').defaults)) == set()


def strings() -> Iterator[str]:
    """Yield the strings of the package, with NUL where values are filled in."""
    for path in (ROOT / 'desipipe').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield ''.join(
                    part.value if isinstance(part, ast.Constant) else '\0' for part in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_messages_of_troubleshooting_exist() -> None:
    """Look for the messages of the first columns, piece by piece, in the strings of the package."""
    text = text_of(Path('docs/help/troubleshooting.md'))
    columns = [line.split('|')[1] for line in text.splitlines() if line.startswith('| ')]
    messages = [match[2] for column in columns for match in SPAN.finditer(column)]
    foreign = re.compile(r'\w+Error|exit status 3')  # what Python, IPython and programs print
    pieces = [
        piece.strip()
        for message in messages
        if not foreign.match(message)
        for piece in message.split('…')
        if len(piece.strip()) > 3
    ]
    assert len(pieces) > 12
    package = '\n'.join(strings()).lower()
    assert [piece for piece in pieces if piece.lower() not in package] == []


def test_modes_are_documented() -> None:
    assert undocumented('reference/command_line.md', set(MODES)) == set()


def test_verbs_with_json_state_their_document() -> None:
    printing = {verb for verb, parser in VERBS.items() if '--json' in parser._option_string_actions}
    rows = re.findall(r'^\| `(\w+)` \|', text_of(Path('docs/reference/json.md')), re.MULTILINE)
    assert set(rows) == printing


def shown_in_the_api() -> set[int]:
    """Return ids of what autodoc shows; it passes over names that a module loads lazily."""
    shown = set()
    text = '\n'.join(path.read_text() for path in (ROOT / 'docs/api').glob('*.rst'))
    for kind, name in re.findall(r'^\.\. auto(\w+):: (\S+)', text, re.MULTILINE):
        if kind != 'module':
            shown.add(id(pydoc.locate(name)))
            continue
        module = import_module(name)
        public = getattr(module, '__all__', None)
        for key, value in vars(module).items():
            is_own = getattr(value, '__module__', '') == name
            if is_own if public is None else key in public:
                shown.add(id(value))
    return shown


@pytest.mark.parametrize(
    'module', ['', '.config', '.environment', '.file_manager', '.io', '.provider', '.queue']
)
def test_public_names_are_in_the_api(module: str) -> None:
    public = import_module(f'desipipe{module}')
    values = {name: getattr(public, name) for name in public.__all__}
    shown = shown_in_the_api()
    missing = {name for name, value in values.items() if callable(value) and id(value) not in shown}
    assert missing == set()
