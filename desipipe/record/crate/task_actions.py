"""Tasks as actions: what they took, gave, used and ran with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...queue.events import STATES
from ..model import QueueModel
from ..model_types import AppEntry, AttemptEntry, FileEntry, TaskEntry
from ..prov import time_of
from ..task_text import argument_texts, last_attempt, result_text
from .entities import Entities, safe_name
from .workflow import output_key, parameter_key

if TYPE_CHECKING:
    from ..documents import Entity, Reference


_STATUS = {
    'SUCCEEDED': 'CompletedActionStatus',
    'FAILED': 'FailedActionStatus',
    'KILLED': 'FailedActionStatus',
    'UNKNOWN': 'FailedActionStatus',
    'RUNNING': 'ActiveActionStatus',
}


class TaskActions:
    """Writes the tasks of one queue.

    Parameters
    ----------
    entities : Entities
    number : int
        Number of the queue.
    model : QueueModel
    user : dict
        Reference to who ran them.
    tools : mapping
        References to apps, by their identities.
    """

    def __init__(
        self,
        entities: Entities,
        number: int,
        model: QueueModel,
        user: Reference,
        tools: Mapping[str, Reference],
    ) -> None:
        self._entities = entities
        self._number = number
        self._head = model.head
        self._user = user
        self._tools = tools
        self._results: dict[int, Reference] = {}
        """References to results, by the rows of their tasks."""

    def add(self, task: TaskEntry) -> Reference:
        """Add a task, after those that it needs; return the reference to it."""
        group = self._head['groups'][task['group']]
        app = self._head['apps'][group['app']]
        key = f'#task-{task["id"]}'
        objects = self._arguments(key, task, app)
        objects += [self._results[row] for row in task.get('needs', ()) if self._results.get(row)]
        result = self._result(key, task, app)
        self._results[task['row']] = result
        results = [result] if result else []
        for file in task.get('files', ()):
            (results if file['do'] == 'write' else objects).append(self._file(file))
        last = last_attempt(task)
        about = self._times(key, last)
        status = _STATUS.get(task['state'], 'PotentialActionStatus')
        if status == 'FailedActionStatus':
            cause = last.get('cause', {}).get('text') or 'no reason is known'
            about['error'] = f'{task["state"]}: {cause}'
        assert task['state'] in STATES
        if task.get('versions') is not None:
            about['environment'] = self._versions(task['versions'])
        attempts = len([item for item in task.get('attempts', ()) if 'worker' in item])
        return self._entities.add(
            key,
            type='CreateAction',
            name=f'{group["name"]}[{task["index"]}]',
            description=(
                f'task {task["id"]}, {task["state"]}{", superseded" * ("superseded" in task)}, '
                f'{attempts} attempts{self._worker(last)}'
            ),
            agent=self._user,
            instrument=self._tools[app['id']],
            object=objects,
            result=results,
            actionStatus={'@id': f'http://schema.org/{status}'},
            **about,
        )

    def _arguments(self, key: str, task: TaskEntry, app: AppEntry) -> list[Reference]:
        return [
            self._entities.add(
                f'{key}-{name}',
                type='PropertyValue',
                name=name,
                value=text,
                exampleOfWork={'@id': parameter_key(app, name)},
            )
            for name, text in argument_texts(task).items()
            if name in app.get('parameters', ())
        ]

    def _result(self, key: str, task: TaskEntry, app: AppEntry) -> Reference:
        """Add the result; an empty reference if there is none."""
        if 'sha256' not in task.get('result', {}):
            return {}
        return self._entities.add(
            f'{key}-result',
            type='PropertyValue',
            name=f'result of {app["name"]}',
            value=result_text(task),
            identifier=f'urn:sha256:{task["result"]["sha256"]}',
            exampleOfWork={'@id': output_key(app)},
        )

    def _file(self, file: FileEntry) -> Reference:
        return self._entities.add(
            f'#file-{file["sha256"][:32]}',
            type='CreativeWork',
            name=file['path'],
            identifier=f'urn:sha256:{file["sha256"]}',
            size=str(file['size']),
        )

    def _times(self, key: str, attempt: AttemptEntry) -> Entity:
        """Return when an attempt ran, and add what it used."""
        about: Entity = {}
        usage = []
        if 'began' in attempt:
            about |= {
                'startTime': time_of(attempt['began']),
                'endTime': time_of(attempt['began'] + attempt['seconds']),
            }
            usage.append(self._usage(key, 'time', 'seconds', attempt['seconds'], 'SEC'))
        if 'memory' in attempt:
            # 'AD' is the byte of UN/CEFACT's list of units, which the specification asks for.
            usage.append(self._usage(key, 'memory', 'memory', attempt['memory'], 'AD'))
        if usage:
            about['resourceUsage'] = usage
        return about

    def _usage(self, key: str, name: str, unit: str, value: object, code: str) -> Reference:
        return self._entities.add(
            f'{key}-{name}',
            type='PropertyValue',
            name=name,
            propertyID=f'urn:desipipe:{unit}',
            value=str(value),
            unitCode=code,
        )

    def _versions(self, versions: int) -> list[Reference]:
        return [
            self._entities.add(
                f'#version-{self._number:d}-{versions:d}-{safe_name(name)}',
                type='PropertyValue',
                name=name,
                value=str(value),
            )
            for name, value in self._head['versions'][versions].items()
        ]

    def _worker(self, attempt: AttemptEntry) -> str:
        if 'worker' not in attempt:
            return ''
        worker = self._head['workers'][attempt['worker']]
        return (
            f' on host {worker.get("host", "?")}, by worker {worker["name"]}, job '
            f'{worker.get("job") or "none"}'
        )
