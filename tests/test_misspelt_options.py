"""Options that something does not have: the message names what is meant, and where it belongs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from desipipe import Queue, TaskManager
from desipipe.errors import PermissionDeniedError, UnknownOptionError


@pytest.fixture(scope='module')
def queue(tmp_path_factory: pytest.TempPathFactory) -> Queue:
    return Queue('options', base_dir=tmp_path_factory.mktemp('queues'), create=True)


def square(x: int) -> int:
    return x * x


CASES: dict[str, tuple[Callable[[Queue], Any], str]] = {
    'of the scheduler': (
        lambda queue: TaskManager(queue, max_workers=4),  # type: ignore[arg-type]
        "A task manager has no option 'max_workers': it is one of its scheduler. Nothing was "
        'changed. Write:\nscheduler=dict(max_workers=...)',
    ),
    'of a provider': (
        lambda queue: TaskManager(queue, time='01:00:00'),  # type: ignore[arg-type]
        "A task manager has no option 'time': it is one of its provider. Nothing was changed. "
        "Write:\nprovider=dict(provider='slurm', time=...)",
    ),
    'of the default provider': (
        lambda queue: TaskManager(queue, mpiprocs_per_worker=2),  # type: ignore[arg-type]
        'Write:\nprovider=dict(mpiprocs_per_worker=...)',
    ),
    'misspelt': (
        lambda queue: TaskManager(queue, envrion='base'),  # type: ignore[arg-type]
        "A task manager has no option 'envrion': did you mean environ?",
    ),
    'of a clone': (
        lambda queue: TaskManager(queue).clone(max_workers=4),
        'Write:\nscheduler=dict(max_workers=...)',
    ),
    'of another provider': (
        lambda queue: TaskManager(queue, provider={'time': '01:00:00'}),
        "'nersc' and 'slurm' have it. Nothing was changed. Choose one, as in:\n"
        "provider=dict(provider='slurm', time=...)",
    ),
    'of a queue': (
        lambda queue: Queue('options', basedir='.'),  # type: ignore[arg-type]
        "A queue has no option 'basedir': did you mean base_dir?",
    ),
    'of an app': (
        lambda queue: TaskManager(queue).python_app(time_out=3)(square),
        "An app has no option 'time_out': did you mean timeout? Nothing was changed.",
    ),
}


@pytest.mark.parametrize(('call', 'message'), CASES.values(), ids=CASES)
def test_message_says_where_an_option_belongs(
    queue: Queue, call: Callable[[Queue], Any], message: str
) -> None:
    with pytest.raises(UnknownOptionError) as caught:
        call(queue)
    assert message in str(caught.value)
    assert len(queue) == 0


def test_arguments_of_calls_are_suggested(queue: Queue) -> None:
    app = TaskManager(queue).python_app(lambda seed: seed)
    with pytest.raises(TypeError, match="it takes no argument 'sed': did you mean seed?"):
        app(sed=3)
    assert len(queue) == 0


@pytest.mark.parametrize('below', ['', 'deeper'])
def test_file_in_place_of_the_base_folder_is_named(tmp_path: Path, below: str) -> None:
    (tmp_path / 'file').touch()
    base = tmp_path / 'file' / below
    with pytest.raises(PermissionDeniedError) as caught:
        Queue('mocks', base_dir=base)
    assert f'{base} cannot be made or used as a folder' in str(caught.value)
    assert 'Nothing was created. Choose another folder with base_dir=' in str(caught.value)


def test_states_are_suggested(queue: Queue) -> None:
    with pytest.raises(ValueError, match="There is no task state 'FAILD': did you mean FAILED?"):
        queue.tasks(state='FAILD')


def test_lines_of_magics_say_what_is_meant(tmp_path: Path) -> None:
    pytest.importorskip('IPython')
    from desipipe.cells.options import parse_use
    from desipipe.errors import CellError
    from desipipe.notebook.verb_output import CommandError
    from desipipe.notebook.verb_parser import parse_verb

    with pytest.raises(CellError, match='Did you mean --workers 2?'):
        parse_use(['m', 'workers=2'])
    with pytest.raises(CommandError, match='\n%%desipipe --out y$'):
        parse_verb(['--out', 'y'])
    with pytest.raises(CommandError, match="There is no verb 'power'.*\n%%desipipe power --wait$"):
        parse_verb(['power', '--wait'])
