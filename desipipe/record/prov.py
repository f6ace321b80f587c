"""The record as PROV-JSON.

Tasks are activities, code, arguments' sources, results and files entities, workers agents.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .digests import plain_bytes
from .model import QueueModel
from .model_types import AttemptEntry, RecordDocument, TaskEntry
from .task_text import argument_texts, last_attempt, result_text

if TYPE_CHECKING:
    from .documents import ProvAttributes, ProvDocument, ProvElements


_PREFIX = {
    'dp': 'https://desipipe.readthedocs.io/prov#',
    'sha256': 'urn:sha256:',
    'task': 'urn:desipipe:task:',
    'app': 'urn:desipipe:app:',
    'file': 'urn:desipipe:file:',
}
_RELATIONS = (
    'used',
    'wasGeneratedBy',
    'wasAssociatedWith',
    'wasInformedBy',
    'wasDerivedFrom',
)


def time_of(seconds: float) -> str:
    """Return a time as XML Schema writes it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec='milliseconds')


def prov_bytes(document: RecordDocument, models: Sequence[QueueModel]) -> bytes:
    """Return the PROV-JSON document of a record.

    Parameters
    ----------
    document : dict
        The record's head.
    models : sequence of QueueModel

    Returns
    -------
    data : bytes
    """
    prov = _Document(document['made']['desipipe'])
    for number, model in enumerate(models):
        prov.add_queue(number, model)
    return plain_bytes(prov.to_dict())


class _Document:
    """A PROV-JSON document that is being written."""

    def __init__(self, version: str) -> None:
        self._entities: ProvElements = {}
        self._activities: ProvElements = {}
        self._agents: ProvElements = {
            'dp:desipipe': {
                'prov:type': {'$': 'prov:SoftwareAgent', 'type': 'prov:QUALIFIED_NAME'},
                'dp:version': version,
            }
        }
        self._relations: dict[str, ProvElements] = {name: {} for name in _RELATIONS}

    def to_dict(self) -> ProvDocument:
        """Convert to plain data."""
        return {
            'prefix': _PREFIX,
            'entity': self._entities,
            'activity': self._activities,
            'agent': self._agents,
            **{name: members for name, members in self._relations.items() if members},
        }

    def _relate(self, kind: str, **members: str) -> None:
        entries = self._relations[kind]
        entries[f'_:{kind}{len(entries) + 1:d}'] = {
            f'prov:{key}': value for key, value in members.items()
        }

    def add_queue(self, number: int, model: QueueModel) -> None:
        """Add the apps, workers and tasks of a queue."""
        for app in model.head['apps']:
            self._entities[f'app:{app["id"]}'] = {
                'prov:type': {'$': 'prov:Plan', 'type': 'prov:QUALIFIED_NAME'},
                'prov:label': app['name'],
                'dp:kind': app['kind'],
                'prov:value': app['source'],
            }
        for index, worker in enumerate(model.head['workers']):
            self._agents[f'dp:worker-{number:d}-{index:d}'] = {
                'prov:type': {'$': 'prov:SoftwareAgent', 'type': 'prov:QUALIFIED_NAME'},
                'prov:label': worker['name'],
                'dp:host': worker.get('host', ''),
                'dp:job': worker.get('job', ''),
            }
        rows: dict[int, _Activity] = {}
        for task in model.tasks():
            rows[task['row']] = activity = self._add_task(number, model, task)
            for row in task.get('needs', ()):
                if row in rows:
                    self._add_need(activity, rows[row])
            self._add_files(activity, task)

    def _add_task(self, number: int, model: QueueModel, task: TaskEntry) -> _Activity:
        """Add a task with what ran it and its result."""
        group = model.head['groups'][task['group']]
        app = model.head['apps'][group['app']]
        key, last = f'task:{task["id"]}', last_attempt(task)
        self._activities[key] = {
            'prov:label': f'{group["name"]}[{task["index"]}]',
            'dp:state': task['state'],
            'dp:attempts': len(task.get('attempts', ())),
            **({'dp:superseded': True} if 'superseded' in task else {}),
            **{f'dp:argument-{name}': text for name, text in argument_texts(task).items()},
            **_attempt_facts(last),
        }
        self._relate('used', activity=key, entity=f'app:{app["id"]}')
        if 'worker' in last:
            agent = f'dp:worker-{number:d}-{last["worker"]:d}'
            plan = f'app:{app["id"]}'
            self._relate('wasAssociatedWith', activity=key, agent=agent, plan=plan)
        if 'sha256' not in task.get('result', {}):
            return _Activity(key, '')
        # By task: equal values of two tasks are two entities.
        result = f'task:{task["id"]}-result'
        self._entities[result] = {
            'dp:sha256': task['result']['sha256'],
            'dp:size': task['result']['size'],
            'prov:label': result_text(task),
        }
        self._relate('wasGeneratedBy', entity=result, activity=key)
        return _Activity(key, result)

    def _add_need(self, activity: _Activity, other: _Activity) -> None:
        self._relate('wasInformedBy', informed=activity.key, informant=other.key)
        if other.result:
            self._relate('used', activity=activity.key, entity=other.result)
            if activity.result:
                self._relate(
                    'wasDerivedFrom', generatedEntity=activity.result, usedEntity=other.result
                )

    def _add_files(self, activity: _Activity, task: TaskEntry) -> None:
        for file in task.get('files', ()):
            name = f'file:{file["sha256"]}'
            about: ProvAttributes = {
                'prov:label': file['path'],
                'dp:sha256': file['sha256'],
                'dp:size': file['size'],
            }
            self._entities.setdefault(name, about)
            if file['do'] == 'write':
                self._relate('wasGeneratedBy', entity=name, activity=activity.key)
            else:
                self._relate('used', activity=activity.key, entity=name)


class _Activity(NamedTuple):
    """Names of a task and of its result, which may be empty."""

    key: str
    result: str


def _attempt_facts(attempt: AttemptEntry) -> ProvAttributes:
    facts: ProvAttributes = {}
    if 'began' in attempt:
        facts['prov:startTime'] = time_of(attempt['began'])
        facts['prov:endTime'] = time_of(attempt['began'] + attempt['seconds'])
    if 'memory' in attempt:
        facts['dp:memory'] = attempt['memory']  # bytes
    if attempt.get('cause', {}).get('text'):
        facts['dp:cause'] = attempt['cause']['text']
    return facts
