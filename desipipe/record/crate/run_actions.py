"""The run as an action, and what desipipe did for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from ..model import QueueModel
from ..model_types import RecordDocument, TaskEntry
from ..prov import time_of
from .entities import Entities
from .task_actions import TaskActions
from .workflow import step_key

if TYPE_CHECKING:
    from ..documents import Reference


class Agents(NamedTuple):
    """References to who and what ran the tasks."""

    user: Reference
    engine: Reference


class RunActions:
    """Writes the actions of a run: tasks, their orchestration, the run itself."""

    def __init__(self, entities: Entities, agents: Agents, tools: Mapping[str, Reference]) -> None:
        self._entities = entities
        self._agents = agents
        self._tools = tools
        self._tasks: list[Reference] = []
        self._controls: list[Reference] = []
        self._began, self._ended = float('inf'), 0.0
        self._bad = 0

    def add(self, number: int, model: QueueModel) -> None:
        """Add the tasks of a queue, and the orchestration of each app."""
        actions = TaskActions(self._entities, number, model, self._agents.user, self._tools)
        by_app: dict[int, list[Reference]] = {}
        for task in model.tasks():
            action = actions.add(task)
            by_app.setdefault(model.head['groups'][task['group']]['app'], []).append(action)
            self._tasks.append(action)
            self._count(task)
        for app, tasks in by_app.items():
            about = model.head['apps'][app]
            control = self._entities.add(
                f'#control-{number:d}-{about["id"]}',
                type='ControlAction',
                name=f'orchestrate {about["name"]}',
                instrument={'@id': step_key(about)},
                object=tasks,
            )
            self._controls.append(control)

    def _count(self, task: TaskEntry) -> None:
        if 'superseded' in task:
            return
        self._bad += task['state'] != 'SUCCEEDED'
        for attempt in task.get('attempts', ()):
            if 'began' in attempt:
                self._began = min(self._began, attempt['began'])
                self._ended = max(self._ended, attempt['began'] + attempt['seconds'])

    def finish(
        self, document: RecordDocument, description: str, workflow: Reference, as_of: float
    ) -> None:
        """Add the run, after all queues.

        Parameters
        ----------
        document : dict
            The record's head.
        description : str
        workflow : dict
            Reference to the workflow.
        as_of : float
            Time of the last event, in seconds since the epoch.
        """
        times = (
            {'startTime': time_of(self._began), 'endTime': time_of(self._ended)}
            if self._ended
            else {'endTime': time_of(as_of)}
        )
        status = 'FailedActionStatus' if self._bad else 'CompletedActionStatus'
        total = document['totals']['tasks']
        error = f'{self._bad:,d} of {total:,d} tasks did not succeed'
        run = self._entities.add(
            '#run',
            type='CreateAction',
            name=f'run of {document["notebook"]["name"]}',
            description=description,
            instrument=workflow,
            agent=self._agents.user,
            object=[],
            result=[],
            actionStatus={'@id': f'http://schema.org/{status}'},
            **({'error': error} if self._bad else {}),
            **times,
        )
        organize = self._entities.add(
            '#organize',
            type='OrganizeAction',
            name='run of desipipe',
            instrument=self._agents.engine,
            agent=self._agents.user,
            object=self._controls,
            result=run,
            **times,
        )
        # In the order of the profile: the run first.
        self._entities.root['mentions'] = [run, organize, *self._tasks]
