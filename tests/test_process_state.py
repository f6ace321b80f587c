"""State of Python and of libraries: a task finds what its notebook had set, and nothing of
others.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from workers import work

from desipipe import Queue, TaskManager

SPOIL: dict[str, tuple[str, str]] = {
    'warning filters': ('warnings.simplefilter("ignore")', 'len(warnings.filters)'),
    'filters replaced': ('warnings.filters = []', 'len(warnings.filters)'),
    'filters cleared': ('warnings.resetwarnings()', 'len(warnings.filters)'),
    'showwarning': ('warnings.showwarning = print', 'warnings.showwarning is print'),
    'captured warnings': ('logging.captureWarnings(True)', 'logging._warnings_showwarning'),
    'root level': ('logging.root.setLevel(5)', 'logging.root.level'),
    'level': ('logging.getLogger("own.one").setLevel(5)', 'logging.getLogger("own.one").level'),
    'handlers': ('logging.basicConfig()', 'len(logging.root.handlers)'),
    'handler': (
        'logging.getLogger("own").addHandler(logging.NullHandler())',
        'len(logging.getLogger("own").handlers)',
    ),
    'logging disabled': ('logging.disable(50)', 'logging.root.manager.disable'),
    'propagate': (
        'logging.getLogger("own").propagate = False',
        'logging.getLogger("own").propagate',
    ),
    'NumPy errors': ('np.seterr(all="raise")', 'np.geterr()'),
    'NumPy print': ('np.set_printoptions(precision=2)', 'np.get_printoptions()'),
    'decimal precision': ('decimal.getcontext().prec = 5', 'decimal.getcontext().prec'),
    'decimal context': (
        'decimal.setcontext(decimal.Context(prec=4))',
        'decimal.getcontext().prec',
    ),
    'locale': ('locale.setlocale(locale.LC_ALL, "C")', 'locale.setlocale(locale.LC_ALL)'),
    'sys.path': ('sys.path.insert(0, "/nowhere")', '"/nowhere" in sys.path'),
    'sys.path replaced': ('sys.path = ["/nowhere"]', '"/nowhere" in sys.path'),
    'sys.argv': ('sys.argv[:] = ["a"]', 'sys.argv == ["a"]'),
    'sys.meta_path': ('sys.meta_path.append(5)', '5 in sys.meta_path'),
    'recursion': ('sys.setrecursionlimit(77)', 'sys.getrecursionlimit()'),
    'excepthook': ('sys.excepthook = print', 'sys.excepthook is print'),
    'displayhook': ('sys.displayhook = print', 'sys.displayhook is print'),
    'excepthook deleted': ('del sys.excepthook', 'hasattr(sys, "excepthook")'),
    'displayhook odd': (
        'sys.displayhook = np.arange(3)',
        'callable(sys.displayhook)',
    ),
    'filters gone': ('print(1); warnings.filters = None', 'len(warnings.filters)'),
    'meta_path cleared': ('sys.meta_path.clear()', 'len(sys.meta_path)'),
    'no path': ('sys.path = None', 'type(sys.path)'),
    'garbage': ('gc.disable()', 'gc.isenabled()'),
    'thresholds': ('gc.set_threshold(5, 5, 5)', 'gc.get_threshold()'),
    'socket time-out': ('socket.setdefaulttimeout(1)', 'socket.getdefaulttimeout()'),
    'builtins': ('builtins.print = len', 'builtins.print is len'),
    'new builtin': ('builtins.own_name = 5', 'hasattr(builtins, "own_name")'),
    'time zone': (
        'os.environ["TZ"] = "Asia/Tokyo"; time.tzset()',
        'time.localtime(0).tm_hour',
    ),
    'fault handler': ('faulthandler.enable()', 'faulthandler.is_enabled()'),
    'fault timer': ('faulthandler.dump_traceback_later(0.2, exit=True)', 'time.sleep(0.4)'),
    'temporary files': ('tempfile.tempdir = "/nowhere"', 'tempfile.tempdir'),
    'start method': (
        'multiprocessing.set_start_method("spawn")',
        'multiprocessing.set_start_method("fork")',
    ),
    'folder': ('os.chdir("/")', 'os.getcwd()'),
    'mask': ('os.umask(0o077)', 'oct(os.umask(0o022)), os.umask(0o022)'),
    'thread hook': ('threading.excepthook = print', 'threading.excepthook is print'),
    'thread trace': ('threading.settrace(print)', 'threading.gettrace()'),
    'digits': ('sys.set_int_max_str_digits(0)', 'sys.get_int_max_str_digits()'),
}
QUICK = {
    *('warning filters', 'filters replaced', 'filters cleared', 'showwarning', 'root level'),
    *('handlers', 'logging disabled', 'sys.path', 'sys.path replaced', 'recursion'),
    *('excepthook', 'garbage', 'folder', 'mask'),
}  # found after the shortest tasks too
MODULES = """
    builtins decimal faulthandler gc locale logging multiprocessing os socket sys tempfile
    threading time warnings
"""


def run_code(code: str) -> Any:
    """Run a statement, or return the text of an expression."""
    import importlib

    import numpy

    names = {name: importlib.import_module(name) for name in MODULES.split()}
    names['np'] = numpy
    try:
        expression = compile(code, 'code', 'eval')
    except SyntaxError:
        exec(code, names)  # noqa: S102
        return None
    return repr(eval(expression, names))  # noqa: S307


def test_tasks_do_not_find_what_another_has_set(queue: Queue, tm: TaskManager) -> None:
    run = tm.python_app(run_code)
    look = tm.python_app(_look)
    first = {name: look(code, 0) for name, (_, code) in SPOIL.items()}
    after = {}
    for turn in (1, 2):  # the second time the modules are there, and the app is known
        for name, (spoil, code) in SPOIL.items():
            longer = '' if name in QUICK else '; [None for _ in range(50000)]'
            run(f'{spoil}{longer}; {turn}')
            after[name, turn] = look(code, turn)
    work(queue)
    for (name, _), future in after.items():
        assert future.result(timeout=0) == first[name].result(timeout=0), name


def _look(code: str, turn: int) -> Any:
    return run_code(code)


SETS = """
    import decimal, logging, subprocess, sys, warnings
    import matplotlib.pyplot as plt
    import numpy as np
    from desipipe import Queue, TaskManager

    queue = Queue('carried', create=True)
    tm = TaskManager(queue)

    class Own(UserWarning):
        pass

    @tm.python_app
    def plain():
        return look()

    def look():
        import decimal, logging, sys, warnings
        import numpy as np
        import matplotlib
        from matplotlib import MatplotlibDeprecationWarning
        log = logging.getLogger('own.part')
        log.info('heard')
        with warnings.catch_warnings(record=True) as caught:
            warnings.warn('quiet', UserWarning)
            warnings.warn('loud', RuntimeWarning)
            warnings.warn('quiet too', MatplotlibDeprecationWarning)
        return {
            'style': matplotlib.rcParams['axes.facecolor'],
            'cycle': matplotlib.rcParams['axes.prop_cycle'].by_key(),
            'size': matplotlib.rcParams['figure.figsize'],
            'print': str(np.array([1 / 3])),
            'errors': np.geterr(),
            'precision': decimal.getcontext().prec,
            'level': log.getEffectiveLevel(),
            'recursion': sys.getrecursionlimit(),
            'loggers': 'of_a_package' in logging.root.manager.loggerDict,
            'caught': [str(one.message) for one in caught],
        }

    def spoil():
        import decimal, logging, warnings
        import matplotlib, numpy as np
        decimal.getcontext().prec = 3
        np.set_printoptions(precision=7)
        matplotlib.rcdefaults()
        matplotlib.rcParams['figure.figsize'][0] = 77
        logging.root.handlers.clear()
        warnings.resetwarnings()

    def work():
        argv = [sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder, '--slots', '1']
        subprocess.run(argv, check=True)

    before = plain()
    plt.style.use('dark_background')
    plt.rcParams['figure.figsize'] = (3, 3)
    np.set_printoptions(precision=2)
    np.seterr(under='raise')
    decimal.getcontext().prec = 50
    logging.basicConfig(level=logging.INFO, format='%(name)s says %(message)s')
    sys.setrecursionlimit(1234)
    warnings.simplefilter('ignore', UserWarning)
    warnings.simplefilter('ignore', Own)
    from matplotlib import MatplotlibDeprecationWarning
    warnings.simplefilter('ignore', MatplotlibDeprecationWarning)

    @tm.python_app
    def settings(i):
        return look()

    @tm.python_app
    def spoils(i):
        spoil()

    # A package that makes its logger of a class of its own finds none of that name.
    class Logger(logging.Logger):
        pass

    logging.setLoggerClass(Logger)
    logging.getLogger('of_a_package').setLevel(5)
    logging.setLoggerClass(logging.Logger)

    first = settings(0)
    spoils(1)
    second = settings(2)
    assert plain().id == before.id and plain().state == 'PENDING'
    work()
    expected = {**look(), 'loggers': False}
    for future in (first, second, before):
        assert future.result(timeout=0) == expected, (future.result(timeout=0), expected)
    assert expected['caught'] == ['loud'] and expected['print'] == '[0.33]'
    assert first.err(timeout=0) == 'own.part says heard\\n', first.err(timeout=0)

    np.set_printoptions(precision=4)
    assert settings(0).result(timeout=0)['print'] == '[0.33]'  # it is known
    third = settings(3)
    plt.rcdefaults()
    fourth = settings(4)
    work()
    assert third.result(timeout=0) == {**expected, 'print': '[0.3333]'}
    assert fourth.result(timeout=0)['style'] == 'white'
"""


def test_process_state_is_carried_to_tasks(queue_dir: Path, tmp_path: Path) -> None:
    """And it is no part of what a task is: the same call is not computed again."""
    pytest.importorskip('matplotlib')
    script = tmp_path / 'script.py'
    script.write_text(textwrap.dedent(SETS))
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stderr


ODD = """
    import contextlib, json, logging, warnings
    import numpy as np
    from desipipe.settings.carried import carried_settings

    class Own(UserWarning):
        pass

    np.set_printoptions(precision=np.int64(3), formatter={'int': str}, threshold=np.inf)
    np.seterrcall(lambda *args: None)
    np.seterr(all='call')
    warnings.simplefilter('ignore', Own)
    with contextlib.suppress(TypeError):  # of newer versions of Python
        warnings.simplefilter('error', (RuntimeWarning, Own))
    logging.root.addHandler(logging.FileHandler('/dev/null'))
    logging.root.addHandler(logging.StreamHandler(open('/dev/null', 'w')))
    settings = json.loads(carried_settings())
    assert settings['numpy'] == {'print': {'precision': 3, 'threshold': float('inf')}}
    assert 'Own' not in str(settings['warnings']) and 'logging' not in settings
"""


def test_process_state_omits_unserializable_values(tmp_path: Path) -> None:
    script = tmp_path / 'script.py'
    script.write_text(textwrap.dedent(ODD))
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stderr
