"""What queues, futures and apps look like in a kernel, and what clicks do; with real workers."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from front import PIPELINE, Front, Ran
from kernels import MIME, work

pytestmark = pytest.mark.kernel
WIDGET = 'application/vnd.jupyter.widget-view+json'

FORM = """
import enum
from typing import Annotated, Literal, Optional

class Kind(enum.Enum):
    GALAXY = 1
    QUASAR = 2

@tm.python_app
def power(
    seed: int,
    size: int = 64,
    z: Annotated[float, (0.0, 2.0)] = 0.8,
    bias: float = 1.5,
    tracer: Literal['LRG', 'ELG'] = 'ELG',
    kind: Kind = Kind.GALAXY,
    rsd: bool = True,
    name: str = 'mock',
    limit: Optional[int] = None,
    extra=(1, 2),
):
    return [seed, size, z, bias, tracer, kind.name, rsd, name, limit, extra]

form = power.form()
form
"""


BUSY = """
import time
until = time.monotonic() + 60
while 'A cell runs' not in panel.note.value:
    assert time.monotonic() < until
    time.sleep(0.05)
seen = queue.paused
"""


IDLE_SHARE = """
import os, time

def idle_share(seconds):
    before, began = sum(os.times()[:2]), time.monotonic()
    time.sleep(seconds)
    return (sum(os.times()[:2]) - before) / (time.monotonic() - began)
"""


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    """With a queue ``mine`` on which nobody worked yet."""
    pytest.importorskip('ipywidgets')
    front = Front(tmp_path)
    try:
        front(PIPELINE)
        yield front
    finally:
        front.end()


def folder(front: Front) -> str:
    """Of its queue."""
    return front.get('queue.folder')[1:-1]


def model(front: Front, widget: str) -> str:
    """Identity of a widget."""
    return front.get(f'{widget}.model_id')[1:-1]


def click(front: Front, widget: str) -> None:
    """Click on it; what it does is done when the next cell runs."""
    front.click(model(front, widget))


def text(front: Front, widget: str) -> str:
    """Words of an HTML widget."""
    return re.sub('<[^>]*>', ' ', front.get(f'{widget}.value')[1:-1]).strip()


# Queues and futures


def test_queue_shows_itself_and_stays_true(front: Front) -> None:
    ran = front('queue')
    (display,) = ran.displays
    assert ran.value == ''
    assert '0 / 5' in ran.shown and '%desipipe spawn -q mine --spawn' in ran.shown
    assert '0 / 5' in display['text/html'] and '<script' not in display['text/html']
    summary = display[MIME]
    assert (summary['kind'], summary['rows'], summary['total'], summary['condition']) == (
        'queue',
        '0-4',
        5,
        'stopped',
    )
    busy = front.start('import time; open("busy", "w").close(); time.sleep(600)')
    work(
        front.folder / 'queues' / _user() / 'mine.queue'
    )  # the kernel's main thread is busy, and yet:
    front.wait_for(lambda: '✓ 3 succeeded, ◌ 1 waiting (1 blocked), ✕ 1 failed' in ran.shown)
    assert ran.displays[0][MIME]['failure']['cause'] == 'ValueError: x must not be negative'
    front.wait_for((front.folder / 'busy').exists)  # An interrupt before the cell begins is lost.
    front.interrupt()
    front.wait_for(lambda: busy.idle)
    front('square(77)')
    front.wait_for(lambda: '3 / 6' in ran.shown)
    assert ran.displays[0][MIME]['rows'] == '0-5'


def test_queue_summary_has_members_of_cell_summary(front: Front) -> None:
    # A queue's JSON has all members of a cell's, so that what shows the one shows the other.
    front('from desipipe.view.cell import cell_summary')
    members = set(
        json.loads(
            front.get('__import__("json").dumps(cell_summary(queue, "0-4"), default=repr)')[1:-1]
            .replace('\\\\', '\\')
            .replace("\\'", "'")
        )
    )
    assert members == set(front('queue').displays[0][MIME]) - {'kind'}


def test_deleted_queue_says_so(front: Front) -> None:
    ran = front('queue')
    front('%desipipe delete --force')
    front.wait_for(lambda: ran.displays[0]['text/plain'].startswith('– mine: The queue in '))
    assert 'deleted' in ran.shown
    assert MIME not in ran.displays[0]  # nobody to ask
    front.wait_for(
        lambda: (
            front.get(
                '[t.name for t in __import__("threading").enumerate() if t.name == "desipipe-live"]'
            )
            == '[]'
        )
    )


def test_cell_run_again_replaces_its_display(front: Front) -> None:
    first, second = front.execute('queue', cell='one'), front.execute('queue', cell='one')
    other = front.execute('queue', cell='two')
    work(folder(front))
    for cell in (second, other):
        front.wait_for(lambda cell=cell: '3 / 5' in cell.bundles[0]['text/plain'])  # type: ignore[misc]
    front.drain()
    assert '0 / 5' in first.bundles[0]['text/plain']  # which no notebook shows any more


def test_follower_serves_all_displays_of_a_queue(front: Front) -> None:
    cell = front('%%desipipe\nmore = 40 + 2').cell
    ran, one = front('queue'), front('more')
    threads = front.get(
        '[t.name for t in __import__("threading").enumerate() if t.name.startswith("desipipe")]'
    )
    assert [name for name in ast.literal_eval(threads) if name != 'desipipe-sync'] == [
        'desipipe-live'
    ], 'one for all'
    work(folder(front))
    front.wait_for_update(cell, lambda summary: summary['condition'] == 'done')
    front.wait_for(lambda: '4 / 6' in ran.shown and re.fullmatch(r'✓ more.*\n42', one.shown))
    front('queue.clear()')
    front.wait_for(lambda: ran.displays[0][MIME]['condition'] == 'empty')
    front('square(5)')
    front.wait_for(lambda: '0 / 1' in ran.shown)  # in its place is another one


def test_futures_show_state_result_and_failure(front: Front) -> None:
    good, bad, blocked = front('squares[2]'), front('worst'), front('whole')
    assert good.shown.startswith('square[2]  ░') and MIME in good.displays[0]
    work(folder(front))
    front.wait_for(lambda: re.fullmatch(r'✓ square\[2\].*\n4', good.shown))
    front.wait_for(lambda: '1 failed: ValueError: x must not be negative' in bad.shown)
    front.wait_for(lambda: 'blocked by square[3]' in blocked.shown)
    assert '%desipipe retry -q mine --state FAILED KILLED UNKNOWN --spawn' in bad.shown
    assert re.fullmatch(r'✓ .*\n4', front('squares[2]').shown)  # at once
    front('queue.set_task_state(worst.id, "PENDING")')
    front.wait_for(lambda: '0/1' in bad.shown)  # retried: it goes on


def test_result_is_shown_as_it_would_be(front: Front) -> None:
    front(
        'class Rich:\n    def _repr_html_(self):\n        return '
        '"<b>rich</b>"\n\n@tm.python_app\ndef make():\n    return Rich()\n\n'
        '@tm.python_app\ndef large():\n    return bytes(2_000_000)\n\nmade, many = make(), large()'
    )
    work(folder(front))
    assert '<b>rich</b>' in front('made').displays[0]['text/html']
    assert 'its result has 2,0' in front('many').shown and '.result()' in front('many').shown


def test_displays_without_a_viewer_follow_nothing(front: Front) -> None:
    front('import os; os.environ["DESIPIPE_NONINTERACTIVE"] = "1"')
    ran = front('queue')
    assert MIME not in ran.displays[0] and '0 / 5' in ran.shown
    assert len(front('%desipipe monitor').displays) == 1
    assert (
        front.get(
            '[t.name for t in __import__("threading").enumerate() if t.name == "desipipe-live"]'
        )
        == '[]'
    )


def test_captured_displays_are_left_to_who_captured_them(front: Front) -> None:
    ran = front('%%capture caught\nqueue')
    assert not ran.displays
    assert front.get("'0 / 5' in caught.outputs[0].data['text/plain']") == 'True'


def test_unload(front: Front) -> None:
    assert front('squares[0]').displays
    front('%unload_ext desipipe')
    ran = front('squares[0]')
    assert not ran.displays and ran.value.startswith('<Future ')
    ran = front('square.form()', ok=False)
    assert ran.error[0] == 'MissingDependencyError' and '%load_ext desipipe' in ran.error[1]


def test_in_a_terminal(tmp_path: Path, queue_dir: Path) -> None:
    script = tmp_path / 'input.ipy'
    script.write_text(PIPELINE + '\ndisplay(queue)\ndisplay(squares[0])\n')
    done = subprocess.run(
        [sys.executable, '-m', 'IPython', '--no-banner', '--colors=NoColor', str(script)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert '○ 4 pending' in done.stdout and 'square[0]  ░' in done.stdout


# The panel


def test_panel_acts(front: Front) -> None:
    ran = front('panel = %desipipe monitor\npanel')
    view, controls = ran.displays
    assert MIME in view and WIDGET in controls
    assert 'run this cell again' in controls['text/html']  # without a kernel: words
    assert (
        front.get(
            'panel.buttons["retry"].disabled, panel.buttons["cancel"].disabled, '
            'panel.buttons["spawn"].disabled'
        )
        == '(True, False, False)'
    )
    click(front, 'panel.buttons["pause"]')
    assert front.get('queue.paused') == 'True' and text(front, 'panel.note') == 'paused'
    front.wait_for(lambda: 'paused: no task begins' in ran.shown)
    assert front.get('panel.buttons["pause"].description') == "'Resume'"
    click(front, 'panel.buttons["pause"]')
    assert front.get('queue.paused') == 'False'
    click(front, 'panel.buttons["cancel"]')
    assert text(front, 'panel.note') == '5 tasks would be cancelled: click again'
    assert front.get('queue.counts["KILLED"]') == '0'
    click(front, 'panel.buttons["cancel"]')
    assert text(front, 'panel.note') == '5 tasks cancelled'
    assert front.get('queue.counts["KILLED"]') == '5'
    front.wait_for(lambda: front.get('panel.buttons["retry"].disabled') == 'False')
    click(front, 'panel.buttons["retry"]')
    assert text(front, 'panel.note') == '5 tasks to run again'
    click(front, 'panel.buttons["spawn"]')
    assert text(front, 'panel.note').startswith('the manager is process')
    front.wait_for(lambda: '✓ 3 succeeded' in ran.shown)
    click(front, 'panel.buttons["spawn"]')
    front('%desipipe kill')


def test_panel_says_that_clicks_wait(front: Front) -> None:
    front('panel = %desipipe monitor\npanel')
    front.click(model(front, 'panel.buttons["pause"]'))
    assert front.get('queue.paused') == 'True'
    resume = model(front, 'panel.buttons["pause"]')
    busy = front.start(BUSY)
    front.click(resume)
    front.finish(busy)
    assert front.get('seen, queue.paused') == '(True, False)'  # as it says: it waited
    assert 'A cell runs' not in text(front, 'panel.note')


def test_panel_complains_in_words(front: Front) -> None:
    front('panel = %desipipe monitor\npanel')
    front('%desipipe delete --force')
    click(front, 'panel.buttons["pause"]')
    assert 'deleted' in text(front, 'panel.note')
    front.wait_for(
        lambda: front.get('all(button.disabled for button in panel.buttons.values())') == 'True'
    )


# Forms


def test_form_fields_follow_the_signature(front: Front) -> None:
    ran = front(FORM)
    assert WIDGET in _data(ran) and 'form of power(seed: int' in _data(ran)['text/plain']
    kinds = front.get('{name: type(field.widget).__name__ for name, field in form.fields.items()}')
    assert kinds == repr(
        {
            'seed': 'Text',
            'size': 'IntText',
            'z': 'FloatSlider',
            'bias': 'FloatText',
            'tracer': 'Dropdown',
            'kind': 'Dropdown',
            'rsd': 'Checkbox',
            'name': 'Text',
            'limit': 'Text',
            'extra': 'Text',
        }
    )
    assert (
        front.get(
            'form.fields["z"].widget.min, form.fields["z"].widget.max, '
            'form.fields["z"].widget.value'
        )
        == '(0.0, 2.0, 0.8)'
    )


def test_form_adds_a_task_or_says_what_is_wrong(front: Front) -> None:
    front(FORM)
    click(front, 'form.button')
    assert text(front, 'form.message') == '✕  seed: Give a value. Nothing was added.'
    for wrong, expected_text in (
        ('1.5', '1.5 is no int'),
        ('1 +', 'SyntaxError'),
        ('nothing_there', 'NameError'),
        ('1/0', 'ZeroDivisionError'),
    ):
        front.put(model(front, 'form.fields["seed"].widget'), wrong)
        click(front, 'form.button')
        assert expected_text in text(front, 'form.message')
    assert front.get('len(queue), form.futures') == '(5, [])'
    front.put(model(front, 'form.fields["seed"].widget'), '40 + 2')
    front.put(model(front, 'form.fields["z"].widget'), 1.1)
    click(front, 'form.button')
    assert front.get('len(queue), form.message.value') == "(6, '')"
    assert 'power[0]' in text(front, 'form.shown') or '0/1' in text(front, 'form.shown')
    work(folder(front))
    front.wait_for(lambda: '42, 64, 1.1' in text(front, 'form.shown'))
    assert (
        front.get('form.futures[0].result()')
        == "[42, 64, 1.1, 1.5, 'ELG', 'GALAXY', True, 'mock', None, (1, 2)]"
    )
    assert front.get('form.futures == [power(42, z=1.1)]') == 'True'


def test_form_sweeps(front: Front) -> None:
    front(FORM)
    front('form.sweep.value = True')
    assert text(front, 'form.message').startswith('✕  seed: Give a value, or several')
    for name, values in (
        ('seed', 'range(3)'),
        ('tracer', 'LRG, ELG'),
        ('kind', 'QUASAR'),
        ('bias', '1, 2.5'),
        ('extra', '[(1, 2)]'),
        ('limit', '[None, 10]'),
    ):
        front.put(model(front, f'form.fields["{name}"].values'), values)
    assert front.get('form.button.description') == "'Add 24 tasks'"
    click(front, 'form.button')
    assert front.get('len(queue), len(form.futures)') == '(29, 24)'
    assert front.get(
        'form.futures[-1].task.kwargs["kind"].name, form.futures[-1].task.arguments["bias"], '
        'form.futures[-1].task.arguments["extra"]'
    ) == ("('QUASAR', '2.5', '(1, 2)')")
    front.put(model(front, 'form.zip'), True)
    assert 'seed has 3' in text(front, 'form.message')
    click(front, 'form.button')
    assert 'must be as many' in text(front, 'form.message') and front.get('len(queue)') == '29'
    for name, values in (
        ('tracer', '["LRG", "ELG", "LRG"]'),
        ('bias', '__import__("numpy").linspace(1, 2, 3)'),
        ('limit', 'None'),
    ):
        front.put(model(front, f'form.fields["{name}"].values'), values)
    assert front.get('form.button.description') == "'Add 3 tasks'"
    click(front, 'form.button')
    assert front.get(
        '[(t.kwargs["seed"], t.kwargs["tracer"], t.kwargs["bias"]) for t in (f.task for f in '
        'form.futures)]'
    ) == ("[(0, 'LRG', 1.0), (1, 'ELG', 1.5), (2, 'LRG', 2.0)]")
    front.put(model(front, 'form.fields["seed"].values'), 'range(0)')
    assert 'range(0) is empty' in text(front, 'form.message')
    front.put(model(front, 'form.zip'), False)
    for values, expected_text in (
        ('range(60_000)', 'These are 540,000 combinations'),
        ('__import__("itertools").count()', 'more than 100,000 values'),
    ):
        front.put(model(front, 'form.fields["seed"].values'), values)
        assert expected_text in text(front, 'form.message')
    for name, values, expected_text in (
        ('z', '0.5, 2.5', '2.5 is not between 0.0 and 2.0'),
        ('tracer', 'LRG, BGS', 'BGS'),
        ('size', '1.5', '1.5 is no int'),
    ):
        before = front.get(f'form.fields["{name}"].values.value')[1:-1]
        front.put(model(front, f'form.fields["{name}"].values'), values)
        assert expected_text in text(front, 'form.message')
        front.put(model(front, f'form.fields["{name}"].values'), before)


def test_form_takes_futures(front: Front) -> None:
    front('form = total.form()\nform')
    front.put(model(front, 'form.fields["values"].widget'), 'squares')
    click(front, 'form.button')
    assert front.get('len(form.futures[0].task.require_ids)') == '3'


def test_form_without_ipywidgets(front: Front) -> None:
    front('import sys; sys.modules["ipywidgets"] = None')
    ran = front('%desipipe monitor', ok=False)
    assert 'pip install "desipipe[notebook]"' in ran.error[1]
    ran = front('square.form()', ok=False)
    assert ran.error[0] == 'MissingDependencyError'
    assert '0 / 5' in front('queue').shown  # which needs none


def test_idle_display_costs_nothing(front: Front) -> None:
    front('queue')
    # What the display's thread takes while the cell sleeps; the first seconds are not idle yet.
    front(IDLE_SHARE)
    assert front.get('any(idle_share(2.0) < 0.02 for _ in range(20))') == 'True'


def _user() -> str:
    return subprocess.run(['id', '-un'], capture_output=True, text=True, check=True).stdout.strip()


def _data(ran: Ran) -> dict[str, Any]:
    return next(output['data'] for output in ran.cell.outputs if 'data' in output)
