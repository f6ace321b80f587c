"""Verbs for those who are new here: demo, completion."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from typing import TYPE_CHECKING

from .common import Verbs
from .face import FACE, hint, on_terminal

if TYPE_CHECKING:
    from ..queue.queue import Queue

_PATIENCE = 30.0  # s for the first worker of a slow machine to come
_SHELLS = ('bash', 'zsh', 'fish')


def register(verbs: Verbs) -> None:
    """Declare these verbs."""
    for declare in (_declare_completion, _declare_demo):
        declare(verbs)


def _declare_completion(verbs: Verbs) -> None:
    parser = verbs.add(
        'completion',
        completion,
        'print the completion script of a shell',
        (
            'It completes verbs, options, states and names of queues. Put the line of your '
            'shell into its start file.'
        ),
        'eval "$(desipipe completion bash)"    ~/.bashrc',
        'eval "$(desipipe completion zsh)"     ~/.zshrc, after compinit',
        'desipipe completion fish | source    ~/.config/fish/config.fish',
    )
    parser.add_argument('shell', choices=_SHELLS, help='bash, zsh or fish')


def completion(args: argparse.Namespace) -> None:
    """``desipipe completion``."""
    from .completion import SCRIPTS

    print(SCRIPTS[args.shell], end='')


def _declare_demo(verbs: Verbs) -> None:
    parser = verbs.add(
        'demo',
        demo,
        'run a small pipeline on this machine, for ten seconds',
        'With --keep, script and queue stay for you to play with; otherwise nothing is left '
        'behind.',
        'desipipe demo',
        'desipipe demo --keep ./demo',
    )
    parser.add_argument('--keep', metavar='DIR', help='keep the script and its queue here')


def demo(args: argparse.Namespace) -> int:
    """``desipipe demo``."""
    import shutil
    import tempfile

    from ..config import Config
    from ..queue.queue import Queue
    from .demo_pipeline import QUEUE, SCRIPT

    folder = os.path.abspath(args.keep) if args.keep else tempfile.mkdtemp(prefix='desipipe-demo-')
    try:
        os.makedirs(folder, exist_ok=True)
        script = os.path.join(folder, 'pi.py')
        if not os.path.exists(
            script
        ):  # one that was kept may have been edited: that is what it was kept for
            with open(script, 'w') as file:
                file.write(SCRIPT)
        _show_script(script)
        queue = Queue(QUEUE, base_dir=folder, config=Config())
        try:
            return _run(queue, script, args.keep)
        finally:
            if not args.keep:
                queue.delete()
    finally:
        if not args.keep:
            shutil.rmtree(folder)


def _show_script(script: str) -> None:
    with open(script) as file:
        text = file.read()
    print(f'This is {script}:\n')
    if on_terminal():
        from rich.syntax import Syntax

        FACE.get().console().print(
            Syntax(text, 'python', theme='ansi_dark', background_color='default')
        )
    else:
        print(text)
    sys.stdout.flush()


def _run(queue: Queue, script: str, keep: str | None) -> int:
    import subprocess

    from .following import follow

    began = time.monotonic()
    env = {**os.environ, 'PYTHONUNBUFFERED': '1'}
    process = subprocess.Popen(
        [sys.executable, script],
        cwd=os.path.dirname(script),
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # From the first task on, or to the end of a script that has none to add: a second run finds
        # all of them known.
        while not len(queue) and process.poll() is None:
            queue.ledger.wait(lambda: bool(len(queue)), 0.2)
        status = follow(queue, patience=_PATIENCE) if len(queue) else 1
        if status == 2:
            process.terminate()
        out, err = process.communicate()
    except BaseException:
        process.kill()
        process.communicate()
        raise
    if process.returncode:
        hint(err.strip() or f'the script ended with exit status {process.returncode:d}')
        return status or 1
    print(f'\n{out.strip()}   ({time.monotonic() - began:.1f} s in all)\n')
    _next_steps(keep)
    return status


def _next_steps(keep: str | None) -> None:
    print('Next:')
    if keep is None:
        print(
            '  desipipe demo --keep ./demo           the same, and keep script and queue to play '
            'with'
        )
        print('  desipipe --help                       all there is')
        return
    folder = shlex.quote(
        os.path.join(keep if os.path.isabs(keep) or keep.startswith('.') else f'./{keep}', 'demo')
    )
    for command, text in (
        (
            f'(cd {shlex.quote(keep)} && python pi.py)',
            (
                'again: all is known, nothing is computed. Edit average() first, and only it and '
                'echo() are'
            ),
        ),
        (f'desipipe status -q {folder}', 'how far is it?'),
        (f'desipipe tasks -q {folder}', 'all tasks'),
        (f"desipipe logs -q {folder} 'fraction[3]'", 'what one printed'),
        (f"desipipe explain -q {folder} 'average[0]'", 'why it is as it is'),
        (f'desipipe time -q {folder}', 'how long they took'),
        (f'desipipe delete -q {folder}', 'clean up'),
    ):
        print(f'  {command:<50s}  {text}')
