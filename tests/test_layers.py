"""Lower layers know nothing of upper ones: every import of the package, wherever it stands, is
held against the table.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / 'desipipe'

# The tables of docs/developer/architecture.md, from the bottom up: whoever imports stands after
# what it imports. What is beside one another in a layer is apart, but for the base, whose order is
# that of its row. A name with a slash is a package.
LAYERS = {
    'base': 'terminal screen errors logs utils/',
    'process': 'settings/ outputs/ machine config/ serialize/',
    'files': 'display security/ scheduler store/ io/',
    'user': 'environment/ provenance/',
    'resources': 'provider/',
    'queue': 'queue/',
    'readers': 'file_manager/ view/',
    'work': 'execution/ record/',
    'pipelines': 'task_manager/ cells/',
    'server': 'server/',
    'commands': 'commands/',
    'faces': 'cli/ notebook/',
}
INSIDE = {
    'utils': 'named_tuple str_enum quantities lending copying',
    'outputs': (
        'cell_traceback library_displays notebook thumbnails safe display_forms cell_output '
        'cell_threads ipython_functions'
    ),
    'settings': 'parts carried process',
    'config': 'keys checked_numbers config_file layers user_config option_owners configurable',
    'security': 'secrets trust',
    'environment': ('shell_words checks bash secrecy shell_lines base nersc choice process'),
    'provenance': 'repository software',
    'store': 'file_names unsafe_files folders files shared_files lines probe watch forks thread_guard lock_holder soft_lock line_format writing segment_writer segment header placement journal_file kept_file lock line_fold journal_reader followed_journal syncing appender journal pacing process_usage lease recover',
    'serialize': (
        'annotations class_registry function_source makers plain refusals confined encoder '
        'library_reducers syntax_trees bytecode source arrays hints modules static_modules '
        'carried class_content memory tables objects stand_ins walk walk.path walk.checks '
        'walk.installed walk.parts walk.context walk.uses walk.reflection '
        'walk.function_encoder walk.class_encoder walk.definitions walk.values walk.walker '
        'class_keys class_makers classes array_reducer kind_reducers used_modules '
        'function_reducer pickler culprit pickling payload identity value_text outline'
    ),
    'provider': (
        'job batch_jobs batch_commands script_file gridengine_states gridengine_jobs '
        'slurm_options slurm_refusals original slurm_time slurm_states slurm_fates '
        'slurm_commands slurm_choices slurm_cancelling slurm_checks base batch slurm_watch '
        'slurm_resources slurm_script slurm_submissions slurm_tracking slurm_call slurm_submitter '
        'slurm_withdrawal slurm_job_end local slurm nersc gridengine'
    ),
    'queue': (
        'events task_events attempt_events process_events event_types packing claim_types call_here event_checks ends '
        'faults names '
        'original_names lending not_a_value place selection sweep versions columns '
        'workers processes task_index task_columns requirement_fold range_fold attempt_fold task_fold state transactions '
        'transactions.tasks transactions.processes transactions.attempts '
        'transactions.decisions author_claims authors uses adding queue_reader payload_reader '
        'attempt_reader read_only payload_writer decider worker_ends single_addition '
        'ledger app_options binding app repair carried_events clearing gathered_ends compacted_tasks compact jobs '
        'live_output output waiting '
        'sharing arguments stored_app task_errors stored_task future_follower future call '
        'arrivals task conditions explain result_runs gathering '
        'future_list detached_manager run_here overview removal task_addition acceptance '
        'folder ending queue queue_functions location'
    ),
    'io': 'temporaries permissions atomic file_types plain_types array_types access',
    'file_manager': (
        'note_folder file_content note_lists note_writing origins file_provenance values options '
        'expression placeholders template path_columns folders fields option_fields choice_errors '
        'file file_states history view entry variables yaml_text documents entry_list '
        'combinations choice named_databases catalogue'
    ),
    'execution': (
        'backoff last_words figures limits mpi_connection output_copy output_pipe queue_faults '
        'failure_notes protocol slot_environment slot_memory sent_tasks shell_contexts '
        'shell_words shell_origins shell_languages shell_limits shell_programs shell_options '
        'shell_refusals shell_values shell_cursor shell_command_log shell_expansions '
        'shell_heredocs shell_reader shell_process shell_template failure child child.link '
        'child.payloads child.restorer child.output child.displays child.waits child.peak_memory '
        'child.ranks child.code child.caller child.computing child.slot slot '
        'capture slot_exit followed_output slot_process forked_slot mpi_slot mpi_launcher '
        'mpi_together duties duties.modes duties.durations duties.signals duties.pace '
        'duties.choice duties.heartbeat duties.notes duties.rank_files '
        'duties.time_limit duties.launcher duties.pool duties.held duties.stopping duties.report duties.parts '
        'duties.job_end duties.nested duties.packets duties.slot_ends '
        'duties.claiming duties.exchange duties.orders duties.task_limits '
        'duties.idle duties.composition worker manager_messages pool pools cancelling '
        'worker_review job_follower scaling manager_end takeover manager spawning'
    ),
    'task_manager': 'state_names settings queued_app apps manager',
    'view': (
        'schema structs appearance text rows journal_events task_summary task_detail failures '
        'pace durations processes ownership queue graph timeline output saved_displays '
        'task_search task_context result_preview tasks ansi folded_outputs '
        'output_forms cell_lines bundle cell_rows cell_outputs cell_runs cell_failure cell'
    ),
    'record': (
        'documents embedded_data model_types modules original_files script original_functions '
        'original_pickles original_queue privacy pieces model sources reading reading.payloads '
        'reading.values reading.shared reading.apps reading.tasks reading.queue '
        'original_arguments digests notebook_files archives files import_notes '
        'original_managers original_tasks original_ends imported_tasks original_importer '
        'original_import svg timeline_svg markdown task_text cell_section summary_section '
        'importer selection record_cells composition notebook prov crate crate.entities '
        'crate.workflow crate.task_actions crate.run_actions crate.metadata crate.files '
        'parameters notebook_format papermill shown_tasks execution run checks verify_container '
        'verify_tasks verify_code verify_outside verify rerun'
    ),
    'cells': (
        'names option_types shared_variables syntax assignments function_makers cell_inputs '
        'function options recorded modules task_cell statements definitions changes states '
        'estimate plan file cell_runs'
    ),
    'commands': (
        'face common habits hints demo_pipeline differences change sharing addition completion '
        'logs script_source script_names migrate processes kill listing_options wrapping listings tables findings '
        'machine_checks jupyter_checks journal_checks process_checks queue_checks doctor files '
        'show queue_list queue_follower queue_access screen_parts task_screens watch_screens '
        'following serving '
        'tasks times notebooks records imports new_project new first_steps parser'
    ),
    'notebook': (
        'commands displays exporter publishing liveness follower displays.cell dry_run '
        'history displays.queue form_fields form panel hooks verb_output verb_parser '
        'verb_completion verbs magic_messages future_hints magics'
    ),
    'server': (
        'requests schemas selected pages shown_folders followed queues looks orders routes '
        'cell_routes openapi parsing handlers socket heap extension '
        'page_files page_access page_server'
    ),
}
# Not in the tables: the version is a word, `python -m desipipe` is a face, and the package itself
# only points at what is public.
ROOMS = ' '.join(LAYERS.values()).replace('/', '').split()
FLOOR = {
    name: floor
    for floor, names in enumerate(LAYERS.values())
    for name in names.replace('/', '').split()
}
RANK = {name: rank for rank, name in enumerate(['_version', *ROOMS, '__main__', ''])}
RANK_INSIDE = {
    f'{package}.{name}': rank
    for package, names in INSIDE.items()
    for rank, name in enumerate(names.split())
}
# State is a fold over events and nothing else: a clock, a random number or a file would make two
# readers disagree.
PURE = {
    'queue.events',
    'queue.event_checks',
    'queue.ends',
    'queue.packing',
    'queue.versions',
    'queue.columns',
    'queue.workers',
    'queue.task_index',
    'queue.range_fold',
    'queue.processes',
    'queue.task_columns',
    'queue.requirement_fold',
    'queue.attempt_fold',
    'queue.task_fold',
    'queue.state',
    'queue.transactions.tasks',
    'queue.transactions.processes',
    'queue.transactions.attempts',
    'queue.transactions.decisions',
}
IMPURE = {
    'datetime',
    'glob',
    'io',
    'random',
    'secrets',
    'shutil',
    'socket',
    'subprocess',
    'tempfile',
    'threading',
    'time',
    'uuid',
}


def modules(package: Path) -> dict[str, Path]:
    """Dotted name below the package (the package itself: the empty name) of every module."""
    by_name = {}
    for path in sorted(package.rglob('*.py')):
        parts = path.relative_to(package).with_suffix('').parts
        by_name['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return by_name


def imports(name: str, path: Path, paths: dict[str, Path]) -> Iterator[tuple[int, str]]:
    """Line and dotted name of what a module imports: absolute names, those of this package begin
    with its name and a dot.
    """
    top = PACKAGE.name
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                parts = [top, *name.split('.')] if name else [top]
                if path.name != '__init__.py':
                    parts.pop()
                base = '.'.join(
                    [*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])]
                )
            for alias in node.names:
                full = f'{base}.{alias.name}'
                # `from package import module` is an import of the module; `from package.module
                # import name` one of the module it is in.
                yield node.lineno, full if full.removeprefix(f'{top}.') in paths else base
        elif (
            isinstance(node, ast.Call)
            and node.args
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, str)
        ):
            called = (
                node.func.attr
                if isinstance(node.func, ast.Attribute)
                else getattr(node.func, 'id', '')
            )
            if called in ('import_module', '__import__'):
                yield node.lineno, node.args[0].value


def check(package: Path) -> list[str]:
    """Return what is wrong with the imports of a package, in words, one line a defect."""
    paths, wrong = modules(package), []
    graph: dict[str, set[str]] = {}
    for name, path in paths.items():
        where = path.relative_to(package.parent)
        if not _is_listed(name):
            wrong.append(
                f'{where}: {name!r} is in no layer; put it into the tables of '
                'docs/developer/architecture.md and of this test'
            )
            continue
        graph[name] = set()
        for line, target in imports(name, path, paths):
            defect = _defect(name, target, paths)
            if defect:
                wrong.append(f'{where}:{line}: {defect}')
            elif name and target.startswith(f'{PACKAGE.name}.'):
                graph[name].add(target.removeprefix(f'{PACKAGE.name}.'))
    wrong = list(dict.fromkeys(wrong))  # one line that imports several names is one defect
    return wrong + [f'import cycle: {" → ".join([*cycle, cycle[0]])}' for cycle in cycles(graph)]


def _is_listed(name: str) -> bool:
    room, _, module = name.partition('.')
    return room in RANK and (not module or name in RANK_INSIDE)


def _defect(name: str, target: str, paths: dict[str, Path]) -> str:
    """Return what is wrong with the import of a target by a module; empty: nothing."""
    top = PACKAGE.name
    if target != top and not target.startswith(f'{top}.'):
        if name in PURE and target.split('.')[0] in IMPURE:
            return f'{name!r} must know no clock and no I/O, but imports {target}'
        return ''
    if name == '':
        return ''  # its imports are for type checkers and by first use
    inside = target.removeprefix(top).removeprefix('.')
    if inside not in paths:
        return f'there is no module {target}'
    own, other = name.split('.')[0], inside.split('.')[0]
    if own != other and FLOOR.get(own) and FLOOR[own] == FLOOR.get(other):
        return f'{own!r} must not import {target}, which is beside it in its layer'
    if RANK.get(other, -1) > RANK[own]:
        return f'{own!r} must not import {target}, which is of a layer above it'
    if own == other and name in RANK_INSIDE and RANK_INSIDE.get(inside, -1) > RANK_INSIDE[name]:
        return f'{name!r} must not import {target}, which stands after it in its package'
    return ''


def cycles(graph: dict[str, set[str]]) -> Iterator[list[str]]:
    """Every module that reaches itself, with a shortest way; each cycle once."""
    seen: set[frozenset[str]] = set()
    for start in graph:
        ways = {start: [start]}
        todo = [start]
        for name in todo:
            for target in sorted(graph.get(name, ())):
                # A package's `__init__` that gathers names of its modules is no cycle, unless they
                # import it back.
                if target == start:
                    if frozenset(ways[name]) not in seen:
                        seen.add(frozenset(ways[name]))
                        yield ways[name]
                elif target not in ways:
                    ways[target] = [*ways[name], target]
                    todo.append(target)


def test_layers() -> None:
    wrong = check(PACKAGE)
    assert not wrong, '\n'.join(wrong)


def test_tables_are_the_documented_ones() -> None:
    text = (ROOT / 'docs/developer/architecture.md').read_text()
    layers = re.findall(r'^\| ([a-z]+) \| ((?:`[a-z_]+/?` ?)+) \|', text, flags=re.M)
    assert [(layer, re.findall('[a-z_]+/?', names)) for layer, names in layers] == [
        (layer, names.split()) for layer, names in LAYERS.items()
    ]
    inside = re.findall(r'^\| `([a-z_]+)/` \| ((?:`[a-z_.]+` ?)+) \|', text, flags=re.M)
    assert [(package, re.findall('[a-z_.]+', names)) for package, names in inside] == [
        (package, names.split()) for package, names in INSIDE.items()
    ]


def test_tables_name_what_exists() -> None:
    paths = modules(PACKAGE)
    assert {*RANK, *RANK_INSIDE} <= {*paths}
    assert len(ROOMS) <= 30 and len(LAYERS) <= 12


@pytest.mark.parametrize(
    ('files', 'defect'),
    [
        (
            {'errors.py': 'import desipipe.config', 'config.py': ''},
            'errors.py:1: .errors. must not import desipipe.config',
        ),
        (
            {'errors.py': 'from .config import Config', 'config.py': ''},
            'must not import desipipe.config',
        ),
        ({'errors.py': 'from . import config', 'config.py': ''}, 'must not import desipipe.config'),
        (
            {'errors.py': 'from desipipe import config', 'config.py': ''},
            'must not import desipipe.config',
        ),
        (
            {'errors.py': 'from desipipe import Config', 'config.py': ''},
            'must not import desipipe, which',
        ),
        (
            {'errors.py': 'def late():\n    from .config import Config', 'config.py': ''},
            'errors.py:2',
        ),
        (
            {'errors.py': 'if TYPE_CHECKING:\n    from .config import Config', 'config.py': ''},
            'errors.py:2',
        ),
        (
            {'errors.py': 'importlib.import_module("desipipe.config")', 'config.py': ''},
            'must not import desipipe.config',
        ),
        (
            {'terminal.py': 'from .errors import A', 'errors.py': ''},
            'must not import desipipe.errors',
        ),
        ({'store/lock.py': 'from ..queue import load', 'queue.py': ''}, 'store/lock.py:1'),
        ({'store/__init__.py': 'from ..queue import A', 'queue.py': ''}, 'store/__init__.py:1'),
        (
            {'store/lock.py': 'from .journal import Journal', 'store/journal.py': ''},
            'stands after it in its package',
        ),
        (
            {'store/lock.py': 'from . import Lock', 'store/__init__.py': 'from .lock import Lock'},
            'cycle: store',
        ),
        (
            {'store/lock.py': 'from ..io import load', 'io.py': ''},
            'must not import desipipe.io, which is beside it in its layer',
        ),
        (
            {'store/lock.py': 'from .. import scheduler', 'scheduler.py': ''},
            'must not import desipipe.scheduler, which is beside it in its layer',
        ),
        ({'helpers.py': ''}, "'helpers' is in no layer"),
        ({'store/helpers.py': ''}, "'store.helpers' is in no layer"),
        ({'io.py': 'from .store.lack import Lock'}, 'no module desipipe.store.lack'),
        ({'queue/__init__.py': '', 'queue/state.py': 'import time'}, 'no clock'),
    ],
)
def test_defects_are_found(tmp_path: Path, files: dict[str, str], defect: str) -> None:
    package = tmp_path / 'desipipe'
    for name, text in {'__init__.py': '', 'store/__init__.py': '', **files}.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    wrong = check(package)
    assert len(wrong) == 1, wrong
    assert re.search(defect, wrong[0])


def test_good_package_passes(tmp_path: Path) -> None:
    package = tmp_path / 'desipipe'
    (package / 'store').mkdir(parents=True)
    (package / '__init__.py').write_text('from .queue import Queue')
    (package / 'errors.py').write_text('import os')
    (package / 'store' / '__init__.py').write_text('from .lock import Lock')
    (package / 'store' / 'lock.py').write_text('from .. import errors\nfrom ..errors import A')
    (package / 'queue.py').write_text(
        'from .store.lock import Lock\nfrom .store import Lock\nfrom desipipe import errors'
    )
    assert check(package) == []
