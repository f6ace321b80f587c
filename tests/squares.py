"""A queue of squares, of which one fails until a file is there."""

from __future__ import annotations

from pathlib import Path

from desipipe import Queue, TaskManager, work


def compute_squares(gate: Path, count: int, failing: int, text: str = 'computing') -> Queue:
    """Return the queue ``squares``, computed but for one; a retry of that succeeds.

    Parameters
    ----------
    gate : Path
        File without which the square of ``failing`` is not computed; made at the end.
    count : int
        Number of squares.
    failing : int
    text : str, default='computing'
        What each task prints, before its number.
    """
    queue = Queue('squares', create=True)
    tm = TaskManager(queue, scheduler=dict(max_workers=1))

    @tm.python_app
    def square(x):
        print(f'{text} {x}')
        if x == failing and not gate.exists():
            raise ValueError('no gate')
        return x**2

    for x in range(count):
        square(x)
    work(queue)
    gate.touch()
    return queue
