"""The queue against a plain model: whatever is done to it, by whomever, in whatever order, it is
in the state that the model says.
"""

from __future__ import annotations

import itertools
import pickle
import shutil
import tempfile
from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
from engine import (
    add,
    begin,
    claim,
    consistent,
    differences,
    facts,
    finish,
    fresh,
    group,
    knowledge,
    make_folder,
    tid,
)
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from desipipe.queue.compact import compact
from desipipe.queue.events import STATES, state_code
from desipipe.queue.ledger import Ledger
from desipipe.queue.repair import repair
from desipipe.queue.transactions.tasks import code_event
from desipipe.queue.versions import Version

ENDED = ('SUCCEEDED', 'FAILED', 'KILLED', 'UNKNOWN')
APPS = {
    'plain': {},
    'flaky': {'retries': 1},
    'picky': {'retries': 2, 'retry_on': ('ValueError',)},
    'urgent': {'priority': 1},
}


class Model:
    """One task, as people think of it."""

    def __init__(self, name: int, app: str, requires: list[Model]) -> None:
        self.name = name
        self.app = app  # whose options it has
        self.code = app
        self.requires = requires
        self.state = ''
        self.attempt = 0
        self.burned = 0
        self.worker = ''
        self.result: object = None
        self.row = -1
        self.kept = False
        self.rerun = False  # it succeeded, and was asked to run again
        self.wait()

    @property
    def priority(self) -> int:
        """Larger goes first."""
        return int(APPS[self.app].get('priority', 0))

    def wait(self) -> None:
        """It is to run, when all that it needs is there."""
        self.state = (
            'PENDING' if all(other.state == 'SUCCEEDED' for other in self.requires) else 'WAITING'
        )

    def retry(self) -> None:
        """Run again, whoever asks; a result stays until there is another."""
        self.burned = 0
        self.rerun = self.state == 'SUCCEEDED'
        self.state = 'PENDING'

    def end(self, state: str, result: object, kinds: list[str], free: bool) -> None:
        """Its attempt ended."""
        self.result = result
        self.rerun = False
        options = APPS[self.app]
        wanted = options.get('retry_on')
        if state != 'SUCCEEDED' and free:
            self.wait()
        elif (
            state != 'SUCCEEDED'
            and self.burned < options.get('retries', 0)
            and (not wanted or state in wanted or set(kinds) & set(wanted))
        ):
            self.burned += 1
            self.wait()
        else:
            self.state = state


class Dead:
    """An observer that knows."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def due(self, names: Sequence[str], now: float, n_leases: int) -> Sequence[str]:
        """Look at all of them."""
        return names

    def dead(self, name: str, now: float) -> bool:
        """Whether it is among the dead."""
        return name in self.names

    def forget(self, name: str) -> None:
        """Nothing to forget."""


class QueueMachine(RuleBasedStateMachine):
    """Three people with a view each, and workers that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.parent = tempfile.mkdtemp()
        self.folder = make_folder(self.parent)
        self.views = [Ledger(self.folder, None) for _ in range(3)]
        self.tasks: dict[int, Model] = {}
        self.all: list[Model] = []
        self.paused = False
        self.names = itertools.count()
        self.gone: set[str] = set()  # apps whose code was replaced
        self.workers: dict[str, tuple[Ledger, int]] = {}
        self.alive: list[str] = []
        self.reports: list[tuple[str, Model, int]] = []
        self.stale = 0

    def teardown(self) -> None:
        """Take the folder away."""
        for view in [*self.views, *(view for view, _ in self.workers.values())]:
            view.close()
        shutil.rmtree(self.parent)

    # Words

    def pick(self, data: st.DataObject, *states: str, most: int = 3) -> list[Model]:
        """Some tasks, in these states if any are given."""
        matching = [task for task in self.tasks.values() if not states or task.state in states]
        return (
            data.draw(st.lists(st.sampled_from(matching), max_size=most, unique=True))
            if matching
            else []
        )

    def view(self, data: st.DataObject) -> Ledger:
        """Somebody's view."""
        return data.draw(st.sampled_from(self.views))

    def settle(self) -> None:
        """What has not begun waits for what it needs."""
        for task in self.all:
            if task.state in ('WAITING', 'PENDING'):
                task.wait()

    def superseded(self, task: Model) -> bool:
        """Its code was replaced, or that of something that it needs."""
        return not task.kept and (
            task.code in self.gone
            or any(other.state != 'DROPPED' and self.superseded(other) for other in task.requires)
        )

    def forget_kept(self) -> None:
        """What would count anyway is no longer kept."""
        for task in self.all:
            if task.kept:
                task.kept = False
                task.kept = task.state != 'DROPPED' and self.superseded(task)

    # What can be done

    @initialize(slots=st.lists(st.integers(1, 3), min_size=1, max_size=3))
    def workers_begin(self, slots: list[int]) -> None:
        """Some workers are there."""
        for n in slots:
            self.worker_begins(n)

    @precondition(lambda self: len(self.alive) < 3)
    @rule(slots=st.integers(1, 3))
    def worker_begins(self, slots: int) -> None:
        """A worker begins."""
        name = f'w{len(self.workers):d}'
        ledger = Ledger(self.folder, None, name=name)
        begin(ledger, name, slots)
        self.workers[name] = (ledger, slots)
        self.alive.append(name)

    @rule(data=st.data(), n=st.integers(1, 4), app=st.sampled_from(sorted(APPS)))
    def adds(self, data: st.DataObject, n: int, app: str) -> None:
        """Tasks are added, some of which are known already, some of which need others."""
        expected = [task.name for task in self.pick(data, most=2)]
        names = [next(self.names) for _ in range(n)]
        requires: dict[object, list[int]] = {}
        for i, name in enumerate(names):
            candidates = [*self.tasks, *names[:i]]
            chosen = (
                data.draw(st.lists(st.sampled_from(candidates), max_size=3, unique=True))
                if candidates
                else []
            )
            if chosen:
                requires[name] = chosen
        # Also what was deleted comes again.
        gone = [
            task for task in self.all if task.state == 'DROPPED' and task.name not in self.tasks
        ]
        again = [data.draw(st.sampled_from(gone)).name] if gone and data.draw(st.booleans()) else []
        order = data.draw(st.permutations([*again, *expected]))
        needed = [
            self.tasks[other]
            for other in (*expected, *(other for some in requires.values() for other in some))
            if other in self.tasks
        ]
        rows = add(self.view(data), [*order, *names], requires, app, **APPS[app])
        self.need(needed)
        for name, row in zip([*order, *names], rows, strict=True):
            if name in self.tasks and self.tasks[name].state not in ('RUNNING', 'SUCCEEDED'):
                self.tasks[
                    name
                ].app = app  # what is not done is done with the options it was added with last
            if name not in self.tasks:
                task = self.tasks[name] = Model(
                    name, app, [self.tasks[other] for other in requires.get(name, ())]
                )
                task.row = row
                self.all.append(task)
                self.rejoin(task)
            assert self.tasks[name].row == row
        self.forget_kept()

    def rejoin(self, task: Model) -> None:
        """Let those that needed a deleted task need the one that was added in its place."""
        for other in self.tasks.values():
            needs = [one.name == task.name and one.state == 'DROPPED' for one in other.requires]
            other.requires = [
                task if gone else one for one, gone in zip(other.requires, needs, strict=True)
            ]

    def need(self, tasks: list[Model]) -> None:
        """Code counts again whose tasks are added again, or needed by new ones."""
        stack, restored = [task for task in tasks if self.superseded(task)], set()
        while stack:
            task = stack.pop()
            restored.add(task.code)
            stack += [
                other
                for other in task.requires
                if other.state != 'DROPPED' and self.superseded(other)
            ]
        self.gone -= restored

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), want=st.integers(1, 5))
    def claims(self, data: st.DataObject, want: int) -> None:
        """A worker claims."""
        name = data.draw(st.sampled_from(self.alive))
        ledger, slots = self.workers[name]
        claimed = claim(ledger, name, want)
        pending = [
            task
            for task in self.tasks.values()
            if task.state == 'PENDING' and not self.superseded(task)
        ]
        total = sum(self.workers[other][1] for other in self.alive)
        share = (
            want if len(self.alive) == 1 else min(want, max(1, -(-len(pending) * slots // total)))
        )
        expected = 0 if self.paused else min(share, len(pending))
        by_row = {task.row: task for task in pending}
        # Which of those that are equally urgent is not promised to the last place, only that each
        # goes once; see below for how many.
        assert len({row for row, _ in claimed}) == len(claimed)
        taken = [by_row.pop(row) for row, _ in claimed]
        assert len(claimed) <= expected and bool(claimed) == bool(expected)
        if taken and by_row:
            assert (
                min(task.priority for task in taken)
                >= max(task.priority for task in by_row.values())
                or len(claimed) < expected
            )
        for task, (_, attempt) in zip(taken, claimed, strict=True):
            task.state, task.attempt, task.worker = 'RUNNING', task.attempt + 1, name
            assert attempt == task.attempt
            self.reports.append((name, task, attempt))

    @precondition(lambda self: self.reports)
    @rule(
        data=st.data(),
        state=st.sampled_from(['SUCCEEDED', 'SUCCEEDED', 'SUCCEEDED', 'FAILED', 'KILLED']),
        kind=st.sampled_from(['ValueError', 'KeyError']),
        free=st.booleans(),
        keep=st.booleans(),
    )
    def reports_ends(
        self, data: st.DataObject, state: str, kind: str, free: bool, keep: bool
    ) -> None:
        """A worker reports, in time or late; sometimes it says it again later."""
        name = data.draw(st.sampled_from([report[0] for report in self.reports]))
        own = [report for report in self.reports if report[0] == name]
        chosen = data.draw(st.lists(st.sampled_from(own), min_size=1, max_size=3, unique=True))
        ledger, _ = self.workers[name]
        extra: dict[str, Any] = {'kinds': [kind], **({'free': True} if free else {})}
        finish(
            ledger,
            name,
            [(task.row, attempt) for _, task, attempt in chosen],
            state_code(state),
            **extra,
        )
        for _, task, attempt in chosen:
            if task.state == 'RUNNING' and task.attempt == attempt:
                task.end(state, (task.row, attempt, name), [kind], free)
            else:
                self.stale += 1
        if not keep:
            self.reports = [report for report in self.reports if report not in chosen]
        self.settle()

    @precondition(lambda self: self.reports)
    @rule(data=st.data())
    def gives_back(self, data: st.DataObject) -> None:
        """A worker gives back what it says that it has not begun."""
        name, task, attempt = data.draw(st.sampled_from(self.reports))
        self.workers[name][0].exchange(name, back=[(task.row, attempt)])
        if task.state == 'RUNNING' and task.attempt == attempt:
            task.wait()

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def vanishes(self, data: st.DataObject) -> None:
        """A worker is judged dead; its reports may still come."""
        name = data.draw(st.sampled_from(self.alive))
        view = self.view(data)
        view.follow()
        assert view.end_lost_workers(Dead({name})) == [name]  # type: ignore[arg-type]
        self.alive.remove(name)
        for task in self.tasks.values():
            if task.state == 'RUNNING' and task.worker == name:
                task.end('UNKNOWN', task.result, [], False)
        self.settle()

    @rule(data=st.data())
    def cancels(self, data: st.DataObject) -> None:
        """Tasks are cancelled."""
        chosen = self.pick(data)
        self.view(data).cancel(lambda state: [task.row for task in chosen])
        for task in chosen:
            if task.state not in ENDED:
                task.state = 'SUCCEEDED' if task.rerun else 'KILLED'
                task.rerun = False
        self.settle()

    @rule(data=st.data())
    def retries(self, data: st.DataObject) -> None:
        """Tasks are to run again."""
        chosen = self.pick(data, *ENDED)
        self.view(data).retry(lambda state: [task.row for task in chosen])
        chosen = [task for task in chosen if not self.superseded(task)]
        for task in chosen:
            task.retry()
        self.settle()

    @rule(data=st.data(), old=st.sampled_from(sorted(APPS)), new=st.sampled_from(sorted(APPS)))
    def replaces_code(self, data: st.DataObject, old: str, new: str) -> None:
        """The code of an app takes the place of another one's, or comes back."""
        ledger = self.view(data)
        over = [group(old).app] if old != new else []
        event = code_event('notebook', Version(group(new).app), over)
        ledger.journal.write(lambda: [code_event('notebook', Version(group(old).app)), event])
        # Between the two events the old code counts again, and with it what was kept until then.
        self.gone.discard(old)
        self.forget_kept()
        self.gone.discard(new)
        self.gone.update({old} - {new})
        self.forget_kept()

    @rule(data=st.data())
    def retries_by_name(self, data: st.DataObject) -> None:
        """Tasks are to run again, superseded or not, with what they still need."""
        chosen = self.pick(data, *ENDED)
        self.view(data).retry(lambda state: [task.row for task in chosen], keep=True)
        kept = []
        stack = [task for task in chosen if self.superseded(task)]
        while stack:
            task = stack.pop()
            kept.append(task)
            stack += [
                other
                for other in task.requires
                if other.state not in ('DROPPED', 'SUCCEEDED')
                and other not in kept
                and self.superseded(other)
            ]
        for task in kept:
            task.kept = True
        self.forget_kept()
        for task in chosen:
            task.retry()
        self.settle()

    @rule(data=st.data(), state=st.sampled_from(['SUCCEEDED', 'FAILED']))
    def sets(self, data: st.DataObject, state: str) -> None:
        """A state is set by hand."""
        for task in self.pick(data, most=1):
            self.view(data).change(lambda _, task=task: [task.row], state_code(state))  # type: ignore[misc]
            task.state = state
        self.settle()

    @rule(data=st.data())
    def accepts(self, data: st.DataObject) -> None:
        """A result is taken for another task's."""
        for old in self.pick(data, 'SUCCEEDED', most=1):
            for new in self.pick(data, most=1):
                if new is not old:
                    self.view(data).accept(old.row, new.row)
                    new.state, new.result = 'SUCCEEDED', old.result
        self.settle()

    @rule(data=st.data())
    def drops(self, data: st.DataObject) -> None:
        """Tasks are deleted."""
        for task in self.pick(data, most=1):
            self.view(data).drop(lambda state, task=task: [task.row])  # type: ignore[misc]
            task.state = 'DROPPED'
            del self.tasks[task.name]
        self.settle()
        self.forget_kept()

    @rule(data=st.data(), paused=st.booleans())
    def pauses(self, data: st.DataObject, paused: bool) -> None:
        """The queue is paused, or goes on."""
        self.view(data).pause(paused)
        self.paused = paused

    @rule(data=st.data())
    def compacts(self, data: st.DataObject) -> None:
        """The journal is rewritten: nothing that was known is forgotten."""
        view = self.view(data)
        view.follow()
        before = knowledge(view)
        compact(view)
        assert differences(before, knowledge(view)) == []
        assert differences(before, knowledge(fresh(view))) == []

    @rule(data=st.data())
    def repairs(self, data: st.DataObject) -> None:
        """There is nothing to repair."""
        assert repair(self.view(data)) == 0

    @rule(data=st.data())
    def opens_again(self, data: st.DataObject) -> None:
        """A process ends, and another one begins."""
        i = data.draw(st.integers(0, len(self.views) - 1))
        self.views[i].close()
        self.views[i] = Ledger(self.folder, None)

    # What holds

    @invariant()
    def is_as_the_model_says(self) -> None:
        """For everyone who looks."""
        for view in self.views:
            view.follow()
            state = view.state
            assert state.paused == self.paused and state.damage == []
            assert set(state.alive) == set(self.alive)
            assert {state.ids[row]: row for row in state.each()} == {
                tid(task.name): task.row for task in self.tasks.values()
            }
            for task in self.tasks.values():
                row = task.row
                assert (
                    STATES[state.status[row]],
                    state.attempt[row],
                    state.burned.get(row, 0),
                ) == (task.state, task.attempt, task.burned)
                assert list(state.requires.get(row, ())) == [other.row for other in task.requires]
                worker = state.running.get(row)
                assert (worker is not None and worker.name) == (
                    task.state == 'RUNNING' and task.worker
                )
            blocked = state.blocked()
            for task in self.tasks.values():
                causes = {
                    other.row
                    for other in _above(task)
                    if other.state in ('FAILED', 'KILLED', 'UNKNOWN', 'DROPPED')
                }
                assert (task.row in state.superseded) == self.superseded(task)
                assert (task.row in blocked) == (
                    task.state == 'WAITING' and bool(causes) and not self.superseded(task)
                )
                assert task.row not in blocked or blocked[task.row] in causes
        for task in self.tasks.values():
            ref = state.result(task.row)
            assert (None if ref is None else pickle.loads(view.read(ref))) == task.result

    @invariant()
    def is_the_same_from_the_start(self) -> None:
        """Who reads all of the journal now knows what those know who followed it."""
        again = fresh(self.views[0]).state
        consistent(again)
        for view in self.views:
            assert facts(view.state) == facts(again)


def _above(task: Model) -> set[Model]:
    """What it needs that has no result, and what that waits for."""
    above: set[Model] = set()
    stack = [task]
    while stack:
        for other in stack.pop().requires:
            if other not in above and other.state != 'SUCCEEDED':
                above.add(other)
                if other.state == 'WAITING':
                    stack.append(other)
    return above


# Not shrunk: that takes longer than a test may, and forty steps can be read.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
QueueMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, phases=PHASES
)
TestQueue = QueueMachine.TestCase
