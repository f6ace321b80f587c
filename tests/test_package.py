"""The package as a whole: cheap to import, everything public documented and there, nothing of
one machine in it.
"""

from __future__ import annotations

import ast
import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from pathlib import Path

import jinja2
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version
from test_original_api import NAMES

import desipipe

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ('notebook', 'serve', 'ui', 'files', 'record', 'mpi')
PACKAGE = ROOT / 'desipipe'
# Beyond the names of desipipe 1.0: what its users may rely on from now on. A name that is not here,
# and not of 1.0, is internal and does not belong into `__all__`.
ADDED_NAMES = {
    'config': 'Configurable yaml_parser',
    'environment.nersc': 'BaseNERSCEnvironment CosmodesiNERSCEnvironment',
    'execution.manager': 'Manager',
    'execution.spawning': 'spawn',
    'execution.worker': 'MODES Worker work',
    'file_manager': 'Provenance',
    'file_manager.template': 'Template template',
    'io': (
        'FitsFile HDF5File JSONFile NpyFile NpzFile PickleFile StreamFile YAMLFile atomic_folder '
        'atomic_write filetypes load save'
    ),
    'logs': 'LoggingContext exception_handler setup_logging',
    'provider': 'BatchJobs Fate GridEngineProvider Job',
    'provider.nersc': 'NERSCProvider',
    'provider.slurm': 'SlurmProvider',
    'queue.arrivals': 'DoneAndNotDone as_completed wait',
    'queue.call': 'Call',
    'queue.future': 'Future',
    'queue.queue': 'Queue',
    'queue.queue_functions': 'get_queue kill retry',
    'task_manager': 'TaskApp deserialize_function serialize_function',
    'task_manager.queued_app': 'QueuedApp',
    'task_manager.settings': 'TaskSettings',
    'task_manager.state_names': 'QueueState TaskState VarType queue_states task_states var_types',
}
SUBMODULES = {module.name for module in pkgutil.iter_modules([str(PACKAGE)])}


def loaded_by(code: str) -> set[str]:
    """Modules that a fresh interpreter has after a line of code and did not have before."""
    script = f'import sys\nbefore = set(sys.modules)\n{code}\nprint(*(set(sys.modules) - before))'
    # Without PYTHON* variables, which may preload modules; -P: the current folder must not stand in
    # for the installed package.
    env = {name: value for name, value in os.environ.items() if not name.startswith('PYTHON')} | {
        'PYTHONPATH': str(ROOT)
    }
    done = subprocess.run(
        [sys.executable, '-P', '-c', script], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_import_is_cheap() -> None:
    loaded = loaded_by('import desipipe')
    assert {name for name in loaded if name.split('.')[0] == 'desipipe'} == {'desipipe'}
    heavy = {
        'numpy',
        'IPython',
        'ipywidgets',
        'cloudpickle',
        'orjson',
        'yaml',
        'rich',
        'filelock',
        'asyncio',
        'inspect',
        'typing',
        'subprocess',
        'logging',
        'argparse',
        're',
    }
    assert not loaded & heavy
    assert loaded_by('import desipipe; desipipe.errors') >= {
        'desipipe.errors'
    }  # the line above can fail: first use does import


@pytest.mark.parametrize('name', ['Queue', 'TaskManager', 'FileManager', 'spawn', 'work'])
def test_first_use_loads_nothing_of_the_faces(name: str) -> None:
    loaded = loaded_by(f'from desipipe import {name}')
    assert 'desipipe' in loaded
    assert not {module.split('.')[0] for module in loaded} & {
        'numpy',
        'IPython',
        'ipywidgets',
        'jupyter_server',
        'rich',
        'mpi4py',
    }


@pytest.mark.parametrize('name', desipipe.__all__)
def test_public_names_resolve(name: str) -> None:
    value = getattr(desipipe, name)
    assert value is getattr(desipipe, name)
    assert value.__doc__
    assert name in dir(desipipe)
    # A function named as a submodule would be replaced by it as soon as somebody imports that.
    assert name == 'errors' or name not in SUBMODULES


def test_public_names_survive_every_import() -> None:
    names = [name for name in desipipe.__all__ if name != 'errors']
    code = ''.join(f'import desipipe.{name}\n' for name in sorted(SUBMODULES - {'__main__'}))
    code += (
        f'import desipipe, types\nassert not [n for n in {names} if isinstance(getattr(desipipe, '
        'n), types.ModuleType)]'
    )
    assert loaded_by(code) >= {f'desipipe.{name}' for name in SUBMODULES - {'__main__'}}


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'desipipe' has no attribute 'Quue'"):
        desipipe.Quue  # noqa: B018
    with pytest.raises(ImportError, match='cannot import name'):
        from desipipe import Quue  # noqa: F401


def test_exports_of_errors_are_complete() -> None:
    from desipipe import errors

    defined = {
        name
        for name, value in ((name, getattr(errors, name)) for name in dir(errors))
        if getattr(value, '__module__', '') == errors.__name__
    }
    assert defined - {'__dir__', '__getattr__', 'close_names'} == set(errors.__all__)


def documented_modules() -> set[str]:
    """Return the modules that `docs/api` shows whole, without the package's name."""
    text = '\n'.join(path.read_text() for path in (ROOT / 'docs/api').glob('*.rst'))
    return set(re.findall(r'^\.\. automodule:: desipipe\.(\S+)', text, flags=re.MULTILINE))


@pytest.mark.parametrize('name', sorted(documented_modules() - {'errors'}))
def test_public_modules_list_nothing_internal(name: str) -> None:
    public = import_module(f'desipipe.{name}').__all__
    expected = {*NAMES.get(name, '').split(), *ADDED_NAMES.get(name, '').split()}
    assert set(public) == expected and len(public) == len(expected)


def undocumented(tree: ast.Module) -> list[str]:
    """Public definitions of a module without docstring; members of classes too."""
    missing = [] if ast.get_docstring(tree) else ['the module itself']

    def visit(nodes: list[ast.stmt], prefix: str) -> None:
        for node in nodes:
            if isinstance(node, ast.If | ast.Try):
                visit([*node.body, *node.orelse], prefix)
            if not isinstance(
                node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            ) or node.name.startswith('_'):
                continue
            marks = {ast.unparse(mark).rpartition('.')[2] for mark in node.decorator_list}
            if not ast.get_docstring(node) and not marks & {
                'overload',
                'setter',
                'deleter',
                'override',
            }:
                missing.append(f'{prefix}{node.name} (line {node.lineno})')
            if isinstance(node, ast.ClassDef):
                visit(node.body, f'{prefix}{node.name}.')

    visit(tree.body, '')
    return missing


@pytest.mark.parametrize(
    'path', sorted(PACKAGE.rglob('*.py')), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_everything_public_is_documented(path: Path) -> None:
    assert undocumented(ast.parse(path.read_text())) == []


def test_undocumented_is_found() -> None:
    code = """"M."
def f(): ...
def _g(): ...
class A:
    "A."
    def f(self): ...
    def _g(self): ...
    @typing.overload
    def h(self): ...
"""
    assert undocumented(ast.parse(code)) == ['f (line 2)', 'A.f (line 6)']
    assert undocumented(ast.parse('')) == ['the module itself']


def test_version_is_the_same_everywhere() -> None:
    changelog = (ROOT / 'CHANGELOG.md').read_text()
    assert json.loads((ROOT / 'package.json').read_text())['version'] == desipipe.__version__
    assert f'\n## {desipipe.__version__} ' in changelog
    assert 'version' in tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['dynamic']


def test_wheel(tmp_path: Path) -> None:
    """Users install it with pip: all of the package, its types and licence, no test, no
    front-end source, no build step.
    """
    command = [sys.executable, '-m', 'hatchling', 'build', '-t', 'wheel', '-d', str(tmp_path)]
    subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, 'SKIP_JUPYTER_BUILDER': '1'},
        capture_output=True,
        check=True,
    )
    (wheel,) = tmp_path.glob('*.whl')
    assert wheel.name == f'desipipe-{desipipe.__version__}-py3-none-any.whl'
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {str(path.relative_to(ROOT)) for path in PACKAGE.rglob('*.py')} <= names
    assert 'desipipe/py.typed' in names
    assert any(name.endswith('licenses/LICENSE') for name in names)
    assert {name.split('/')[0] for name in names} == {
        'desipipe',
        *(f'desipipe-{desipipe.__version__}.{part}' for part in ('dist-info', 'data')),
    }
    # The server's side is enabled by the installation alone; the browser's side is tested in
    # tests/lab.
    assert {name.partition('.data/data/')[2] for name in names if '.data/' in name} == {
        'etc/jupyter/jupyter_server_config.d/desipipe.json'
    }


def test_conda_recipe_says_what_pyproject_says() -> None:
    """Render the recipe as conda does, and compare versions, requirements and the command.

    It is not built: on PyPI there is no conda, and conda-build only up to 2.1.5 of 2017, all of
    them withdrawn (November 2026).
    """
    text = (ROOT / 'release' / 'conda' / 'meta.yaml').read_text()
    recipe = yaml.safe_load(jinja2.Template(text).render(PYTHON='python'))
    file = tomllib.loads((ROOT / 'pyproject.toml').read_text())
    project = file['project']
    python = f'python{project["requires-python"]}'
    assert recipe['package'] == {'name': project['name'], 'version': desipipe.__version__}
    always = [
        text for text in project['dependencies'] if ';' not in text
    ]  # a recipe has no markers
    for section, needed in {
        'run': {python, *always},
        'host': {python, 'pip', *file['build-system']['requires']},
    }.items():
        assert {text.replace(' ', '') for text in recipe['requirements'][section]} == needed
    commands = [f'{name} = {target}' for name, target in project['scripts'].items()]
    assert recipe['build']['entry_points'] == commands
    assert recipe['about']['license'] == project['license']


def test_files_committed_do_not_name_this_checkout() -> None:
    if not (ROOT / '.git').exists() or len(ROOT.parts) < 3:
        pytest.skip('not a checkout, or one whose path is too short to be told from other words')
    # `-c safe.directory`: the checkout may belong to another user than the one who runs the tests
    # (containers).
    listed = subprocess.run(
        ['git', '-c', f'safe.directory={ROOT}', 'ls-files', '-z'],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    files = [ROOT / os.fsdecode(name) for name in listed.split(b'\0') if name]
    assert Path(__file__) in files
    assert [
        str(path)
        for path in files
        if path.is_file() and os.fsencode(f'{ROOT}/') in path.read_bytes()
    ] == []


def test_oldest_versions_that_are_tested_are_the_ones_allowed() -> None:
    """Compare the lower bounds in pyproject.toml with what `make matrix` pins."""
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    extras = project['optional-dependencies']
    optional = [text for name in EXTRAS for text in extras[name]]
    allowed: dict[str, str] = {}
    for text in [*project['dependencies'], *optional]:
        requirement = Requirement(text)
        if requirement.marker is not None:  # of newer Pythons than the one of `lowest`
            assert not requirement.marker.evaluate({'python_version': '3.11'}), text
            continue
        (bound,) = [one.version for one in requirement.specifier if one.operator == '>=']
        assert allowed.setdefault(requirement.name, bound) == bound, f'two bounds: {text}'
    lines = (ROOT / 'tests' / 'matrix' / 'lowest.txt').read_text().splitlines()
    pinned = dict(line.split('==') for line in lines if not line.startswith('#'))
    assert {name: Version(text) for name, text in pinned.items()} == {
        name: Version(text) for name, text in allowed.items()
    }
