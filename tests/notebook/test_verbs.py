"""``%desipipe VERB …`` in a real kernel: what appears under the cell, what it returns, what
stops 'Run All', what Tab offers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from front import PIPELINE, Front, Ran
from kernels import work

from desipipe import Queue

pytestmark = pytest.mark.kernel


def folder(front: Front) -> str:
    """Of its queue ``mine``."""
    return front.get('queue.folder')[1:-1]


@pytest.fixture(scope='module')
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """With a queue ``mine`` whose tasks ended; tests only look at it."""
    pytest.importorskip('ipykernel')
    kernel = Front(tmp_path_factory.mktemp('kernel'))
    try:
        kernel(PIPELINE)
        work(folder(kernel))
        yield kernel
    finally:
        kernel.end()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Front]:
    """With a queue ``mine`` on which nobody worked yet."""
    pytest.importorskip('ipykernel')
    kernel = Front(tmp_path)
    try:
        kernel(PIPELINE)
        yield kernel
    finally:
        kernel.end()


def test_queue_of_the_notebook_is_meant(kernel: Front) -> None:
    ran = kernel('%desipipe status')
    assert '3 succeeded, ◌ 1 waiting (1 blocked), ✕ 1 failed' in ran.plain
    assert 'ValueError: x must not be negative' in ran.plain
    assert (
        '%desipipe retry -q mine --state FAILED KILLED UNKNOWN --spawn' in ran.plain
    )  # as one types it here
    assert '\x1b[' in ran.out  # front ends show colours
    assert ran.value == ''


def test_tables_are_text(kernel: Front) -> None:
    ran = kernel('%desipipe tasks --name square')
    assert not ran.displays
    rows = [row.split()[1:3] for row in ran.plain.splitlines() if re.match('[0-9a-f]{12} ', row)]
    assert rows == [['square', str(i)] for i in range(4)]
    assert max(map(len, ran.plain.splitlines())) <= 100


def test_json_is_objects(kernel: Front) -> None:
    kernel('found = %desipipe tasks --state FAILED --json')
    assert (
        kernel('[task["cause"] for task in found]').value
        == "['ValueError: x must not be negative']"
    )
    assert "'name': 'mine'" in kernel('%desipipe status --json').value
    ran = kernel('%desipipe tasks --property arguments --name total --json')
    assert 'values' in ran.value and ran.out == ''
    assert kernel('last = %desipipe watch --json').plain.startswith('1 (and 1 that need them) of 5')
    assert kernel('last["condition"]').value == "'failed'"


@pytest.mark.parametrize('task', ['squares[2]', 'squares[-1]', 'square[2]', '{squares[2].id}'])
def test_task_by_variable(kernel: Front, task: str) -> None:
    assert kernel(f'%desipipe logs {task}').out == 'square of 2\n'


def test_logs_magic_leaves_output_as_written(fresh: Front) -> None:
    fresh(
        "@tm.python_app\ndef say():\n    print('type desipipe status µ')\n    return 1\nsaid = "
        'say()'
    )
    work(folder(fresh))
    assert fresh('%desipipe logs said').out == 'type desipipe status µ\n'


def test_futures_in_options(kernel: Front) -> None:
    kernel('found = %desipipe tasks --tid squares worst --json')
    assert (
        kernel('[task["state"] for task in found]').value
        == "['SUCCEEDED', 'SUCCEEDED', 'SUCCEEDED', 'FAILED']"
    )
    ran = kernel('%desipipe explain squares', ok=False)
    assert 'squares holds 3 futures: take one of them, such as squares[0]' in ran.error[1]
    ran = kernel('%desipipe logs squares[7]', ok=False)
    assert 'There is no squares[7]' in ran.error[1]


def test_queue_by_variable_or_by_future(kernel: Front) -> None:
    kernel('other = Queue("other"); elsewhere = TaskManager(other).python_app(square.func)(5)')
    try:
        kernel('tasks = %desipipe tasks -q other --json')
        assert kernel('len(tasks)').value == '1'
        ran = kernel(
            '%desipipe explain elsewhere'
        )  # of the other queue, which is not the notebook's
        assert 'worker' in ran.plain or 'pending' in ran.plain.lower()
        kernel(
            'magics = get_ipython().magics_manager.registry["PipelineMagics"]; used, '
            'magics.task_manager = magics.task_manager, None'
        )
        ran = kernel('%desipipe tasks', ok=False)
        assert ran.error[1] == (
            'Which queue? This notebook has none yet. Choose one with: %desipipe use QUEUE, or '
            'name it: %desipipe tasks -q QUEUE'
        )
        assert kernel('%desipipe logs whole', ok=True).plain.startswith('It cannot run')
        ran = kernel('%desipipe tasks --tid elsewhere whole', ok=False)
        assert 'tasks of 2 queues' in ran.error[1]
    finally:
        kernel('magics.task_manager = used')


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('statsu', r"There is no verb 'statsu': did you mean .*status"),
        ('tasks --sate FAILED', r'There is no option --sate: did you mean --state'),
        ('tasks --state FALED', r"there is no state 'FALED': did you mean FAILED"),
        ('tasks --name sqare', r"No task of this queue is named 'sqare': did you mean square"),
        ('tasks -q mien', r"There is no queue 'mien' .*did you mean mine\?.*%desipipe queues"),
        ('logs', r'required: TASK. See: %desipipe logs --help'),
        ('cancel', r'Nothing was cancelled: name tasks'),
    ],
)
def test_errors_are_one_line(kernel: Front, line: str, message: str) -> None:
    ran = kernel(f'%desipipe {line}', ok=False)  # 'error': Run All stops
    name, text, shown = ran.error
    assert name == 'CommandError'
    assert re.search(message, text)
    assert shown == [f'desipipe: {text}']  # no traceback
    assert ran.out == ''


def test_help(kernel: Front) -> None:
    ran = kernel('%desipipe tasks --help')
    assert ran.plain.startswith('usage: %desipipe tasks')
    assert '%desipipe tasks -q my_queue --state FAILED' in ran.plain
    for line in ('', '--help'):
        ran = kernel(f'%desipipe {line}')
        assert all(
            f'\n    {verb} ' in ran.plain
            for verb in ('status', 'watch', 'use', 'monitor', 'doctor')
        )
    assert kernel('%desipipe --version').out.startswith('desipipe ')


def test_help_of_the_magic_lists_all_verbs(kernel: Front) -> None:
    shown_text = kernel.get("get_ipython().object_inspect_text('%desipipe')")
    verbs = [line.removeprefix('%desipipe ') for line in kernel.tab('%desipipe ')]
    assert len(verbs) > 20
    for verb in verbs:
        assert (
            verb.startswith('-') or f'`{verb}`' in shown_text or f'desipipe {verb} ' in shown_text
        ), verb
    assert kernel('%desipipe use --help').plain.startswith('usage: %desipipe use')


def test_doctor_and_queues(kernel: Front) -> None:
    assert 'mine' in kernel('%desipipe doctor').plain  # of the notebook's queue too
    kernel('found = %desipipe queues --json')
    assert kernel("'mine' in [item['queue'] for item in found]").value == 'True'


def test_debug_shows_where(kernel: Front) -> None:
    ran = kernel('%desipipe tasks -q mien --debug', ok=False)
    assert ran.error[0] == 'UnknownQueueError' and len(ran.error[2]) > 1


def test_noninteractive_is_plain(kernel: Front) -> None:
    kernel('import os; os.environ["DESIPIPE_NONINTERACTIVE"] = "1"')
    try:
        assert '\x1b' not in kernel('%desipipe status').out + kernel('%desipipe tasks').out
        ran = kernel('%desipipe watch')
        assert len(ran.displays) == 1 and '\x1b' not in ran.displays[0]['text/plain']
    finally:
        kernel('del os.environ["DESIPIPE_NONINTERACTIVE"]')


# Verbs that change


def test_pause_retry_add(fresh: Front) -> None:
    assert fresh('%desipipe pause').out == 'mine: paused\n'
    assert fresh('queue.paused').value == 'True'
    assert fresh('%desipipe resume').plain.splitlines() == [
        'mine: active',
        'No worker is running. Start one with: %desipipe spawn -q mine --spawn',
    ]
    assert fresh('%desipipe cancel --tid worst').out == 'mine: 1 task cancelled\n'
    assert fresh('%desipipe retry').out.startswith('mine: 1 task to run again\n')
    ran = fresh('%desipipe add --after squares -- echo hello')
    assert 'echo[0]' in ran.out and 'WAITING' in ran.out
    assert fresh('%desipipe add --name again --json -- echo hello').value.startswith("{'tid'")


def test_delete_asks(fresh: Front) -> None:
    ran = fresh('%desipipe delete', answer='no')
    assert (
        ran.prompts == ['Delete 1 queue: mine (5 tasks)\nwith all results? [y/N] ']
        and 'Nothing was deleted' in ran.out
    )
    ran = fresh('%desipipe delete')  # a front end that can't ask
    assert 'Nothing was deleted' in ran.out and '--force' in ran.out
    assert fresh('len(queue)').value == '5'
    assert fresh('%desipipe delete', answer='y').out.endswith('mine: deleted\n')
    assert fresh('import os; os.path.exists(queue.folder)').value == 'False'


def test_work_is_interrupted_without_harm(fresh: Front) -> None:
    fresh(
        "import time\n@tm.python_app\ndef slow(flag):\n    open(flag, 'w').close()\n    "
        "time.sleep(600)\nslept = slow('began')"
    )
    flag = fresh.folder / 'began'
    queue = Queue(folder(fresh), create=False)

    def slow_alone(ran: Ran) -> bool:
        return flag.exists() and queue.counts['SUCCEEDED'] == 3

    ran = fresh('%desipipe work --slots 2', ok=False, during=slow_alone)
    assert ran.error[1].startswith('work was interrupted, and has ended')
    assert fresh('slept.state, len(queue.processes())').value == "('KILLED', 0)"
    assert fresh('[future.result() for future in squares]').value == '[0, 1, 4]'
    assert (
        fresh('import signal; signal.getsignal(signal.SIGINT) is signal.default_int_handler').value
        == 'True'
    )


def test_watch_in_place_and_interrupted(fresh: Front) -> None:
    fresh(
        'import time, os\n@tm.python_app\ndef until(flag):\n    while not os.path.exists(flag):\n  '
        "      time.sleep(0.05)\nheld = until('go')"
    )
    assert '%desipipe watch' in fresh('%desipipe spawn --spawn --max-workers 2').out

    def shown(ran: Ran) -> bool:
        text = re.sub(r'\x1b\[[0-9;]*m', '', ran.displays[-1]['text/plain']) if ran.displays else ''
        # What runs then is `held`.
        return all(part in text for part in ('3 succeeded', '1 failed', '1 running'))

    ran = fresh('%desipipe watch', ok=False, during=shown)
    assert len(ran.displays) == 1  # one, in its place
    assert ran.error[1] == 'watch was interrupted here; what runs elsewhere goes on.'
    assert fresh('held.state').value == "'RUNNING'"
    (fresh.folder / 'go').touch()
    ran = fresh('%desipipe watch')
    assert '1 failed' in re.sub(r'\x1b\[[0-9;]*m', '', ran.displays[0]['text/plain'])
    assert ran.plain.startswith('1 (and 1 that need them) of 6 tasks did not succeed')
    assert '%desipipe tasks -q mine --state FAILED' in ran.plain


def test_logs_are_followed_and_interrupted(fresh: Front) -> None:
    fresh(
        "import time\n@tm.python_app\ndef talk():\n    print('hello', flush=True)\n    "
        'time.sleep(600)\ntalked = talk()'
    )
    fresh('%desipipe spawn --spawn --max-workers 2')
    ran = fresh('%desipipe logs talked -f', ok=False, during=lambda ran: 'hello' in ran.out)
    assert 'interrupted here' in ran.error[1]
    assert fresh('talked.state').value == "'RUNNING'"
    assert 'ended' in fresh('%desipipe kill').out
    assert fresh('talked.state').value == "'KILLED'"


# Completion


@pytest.mark.parametrize(
    ('code', 'collected'),
    [
        ('%desipipe sta', {'%desipipe status'}),
        ('%desipipe mon', {'%desipipe monitor'}),
        ('found = %desipipe tasks --st', {'found = %desipipe tasks --state'}),
        ('%desipipe tasks --state FAILED K', {'%desipipe tasks --state FAILED KILLED'}),
        ('%desipipe tasks --property arg', {'%desipipe tasks --property arguments'}),
        ('%desipipe tasks -q mi', {'%desipipe tasks -q mine'}),
        ('%desipipe tasks -q que', {'%desipipe tasks -q queue'}),
        ('%desipipe tasks --name to', {'%desipipe tasks --name total'}),
        ('%desipipe logs tot', {'%desipipe logs total'}),
        ('%desipipe logs square[', {f'%desipipe logs square[{i}]' for i in range(4)}),
        ('%desipipe logs square[2', {'%desipipe logs square[2]'}),
        ('%desipipe logs wors', {'%desipipe logs worst'}),
        ('%desipipe demo --keep fol', {'%desipipe demo --keep folder/'}),
        ('%desipipe spawn --mode stop', {'%desipipe spawn --mode stop_at_error'}),
        ('%desipipe use my_queue --wor', {'%desipipe use my_queue --workers'}),
        (
            '%desipipe use my_queue --mpi',
            {'%desipipe use my_queue --mpiprocs-per-worker', '%desipipe use my_queue --mpiexec'},
        ),
        ('%desipipe use my_queue --provider lo', {'%desipipe use my_queue --provider local'}),
        ('%desipipe use my_queue --base-dir fol', {'%desipipe use my_queue --base-dir folder/'}),
        ('%desipipe use mi', {'%desipipe use mine'}),
        ('%%desipipe power --dry', {'%%desipipe power --dry-run'}),
        (
            '%%desipipe power --re|\nx = 1',
            {'%%desipipe power --retries', '%%desipipe power --retry-on'},
        ),
        ('%%desipipe power --state SUC', {'%%desipipe power --state SUCCEEDED'}),
        ('%%desipipe power --retry-on Timeout', {'%%desipipe power --retry-on TimeoutError'}),
        ('%%desipipe power --tm t', {'%%desipipe power --tm tm'}),
        ('%%desipipe power --for x=squa', {'%%desipipe power --for x=squares'}),
    ],
)
def test_completion(kernel: Front, code: str, collected: set[str]) -> None:
    (kernel.folder / 'folder').mkdir(exist_ok=True)
    assert set(kernel.tab(code)) == collected


def test_completion_offers_all_verbs_and_options(kernel: Front) -> None:
    assert {'%desipipe status', '%desipipe use', '%desipipe doctor'} <= set(
        kernel.tab('%desipipe ')
    )
    options = (
        '--for --zip --out --bash --name --skip --state --timeout --retries --retry-on --priority '
        '--tm --wait --dry-run'
    )
    assert set(kernel.tab('%%desipipe power --')) == {
        f'%%desipipe power {option}' for option in options.split()
    }
    assert {
        f'%desipipe use q {option}'
        for option in (
            '--workers',
            '--provider',
            '--scheduler',
            '--environ',
            '--base-dir',
            '--no-spawn',
        )
    } <= set(kernel.tab('%desipipe use q --'))


def test_completion_leaves_the_rest_alone(kernel: Front) -> None:
    assert 'squares' in kernel.tab('squa')
    assert '%%desipipe power\nsquares' in kernel.tab('%%desipipe power\nsqua')
    assert '%desipipe tasks -q nothing --name square' not in kernel.tab(
        '%desipipe tasks -q nothing --name squ'
    )


def test_completion_of_the_terminal(kernel: Front) -> None:
    # The same matcher, through the interface that a terminal's front end uses.
    assert (
        kernel("get_ipython().complete('F', '%desipipe tasks --state F', 25)[1]").value
        == "['FAILED']"
    )
