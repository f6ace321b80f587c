"""A front end that types, asks for completions, answers questions and clicks on widgets, on top
of that of ``kernels.py``.
"""

from __future__ import annotations

import queue as queues
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from kernels import TIMEOUT, Cell, Kernel

PIPELINE = """
from desipipe import Future, Queue, TaskManager

%load_ext desipipe
%desipipe use mine --no-spawn
queue = Queue('mine')
tm = TaskManager(queue)

@tm.python_app
def square(x):
    print('square of', x)
    if x < 0:
        raise ValueError('x must not be negative')
    return x * x

@tm.python_app
def total(values):
    return sum(values)

squares = [square(x) for x in range(3)]
worst = square(-1)
whole = total([*squares, worst])
"""
"""A queue ``mine`` of five tasks, on which nobody works; one will fail, one needs it."""


def colourless(text: str) -> str:
    """Text without colours."""
    return re.sub(r'\x1b\[[0-9;]*m', '', text)


class Ran(NamedTuple):
    """What a cell did."""

    cell: Cell
    prompts: list[str]

    @property
    def out(self) -> str:
        """What it printed."""
        return self.cell.text

    @property
    def plain(self) -> str:
        """What it printed, without colours."""
        return colourless(self.cell.text)

    @property
    def displays(self) -> list[dict[str, Any]]:
        """What it displays, by MIME type; as it is now, if messages were taken since."""
        return [
            output['data']
            for output in self.cell.outputs
            if output['output_type'] == 'display_data'
        ]

    @property
    def shown(self) -> str:
        """Text of the first display, without colours."""
        return colourless(self.displays[0]['text/plain']) if self.displays else ''

    @property
    def value(self) -> str:
        """Text of ``Out[]``."""
        return ''.join(
            output['data']['text/plain']
            for output in self.cell.outputs
            if output['output_type'] == 'execute_result'
        )

    @property
    def error(self) -> tuple[str, str, list[str]]:
        """Name, words and what is shown of what it raised."""
        (error_output,) = self.cell.errors
        return error_output['ename'], error_output['evalue'], error_output['traceback']


class Front(Kernel):
    """A kernel and who sits in front of it."""

    def __call__(
        self,
        code: str,
        answer: str | None = None,
        ok: bool = True,
        during: Callable[[Ran], Any] | None = None,
    ) -> Ran:  # type: ignore[override]
        """Run a cell to its end.

        Parameters
        ----------
        code : str
        answer : str, default=None
            To a question; none: this front end can't be asked.
        ok : bool, default=True
            Whether it must succeed.
        during : callable, default=None
            Looks at what came so far; when it says so, the kernel is interrupted.
        """
        content = {
            'code': code,
            'silent': False,
            'store_history': True,
            'user_expressions': {},
            'allow_stdin': answer is not None,
            'stop_on_error': False,  # which old kernels apply to the next cell, too
        }
        message = self.client.session.msg('execute_request', content)
        self.client.shell_channel.send(message)
        self.cells.append(Cell(code, message['header']['msg_id']))
        ran = Ran(self.cells[-1], [])

        def over() -> bool:
            nonlocal during
            if during is not None and during(ran):
                self.interrupt()
                during = None
            if answer is not None and not ran.prompts:
                try:
                    ran.prompts.append(self.client.get_stdin_msg(timeout=0.05)['content']['prompt'])
                    self.client.input(answer)
                except queues.Empty:
                    return ran.cell.idle
            return ran.cell.idle

        self.wait_for(over, f'the end of {code!r}')
        self.finish(ran.cell, ok)
        assert ran.cell.err == ''
        return ran

    def get(self, expression: str) -> str:
        """The ``repr`` of a value of the kernel."""
        return self(f'print(repr(({expression})), end="")').out

    def tab(self, code: str) -> list[str]:
        """What each choice would make of the text before the cursor, which is at ``|``, or at
        the end.
        """
        position = code.find('|') if '|' in code else len(code)
        code = code.replace('|', '', 1)
        sent = self.client.complete(code, position)
        while True:
            message = self.client.get_shell_msg(timeout=TIMEOUT)
            if message['parent_header'].get('msg_id') == sent:
                content = message['content']
                return [code[: content['cursor_start']] + match for match in content['matches']]

    def click(self, model: str) -> None:
        """Click on a widget."""
        self._say(model, {'method': 'custom', 'content': {'event': 'click'}})

    def put(self, model: str, value: object) -> None:
        """Type a value into a widget."""
        self._say(model, {'method': 'update', 'state': {'value': value}, 'buffer_paths': []})

    def _say(self, model: str, data: dict[str, Any]) -> None:
        self.client.shell_channel.send(
            self.client.session.msg('comm_msg', {'comm_id': model, 'data': data})
        )
