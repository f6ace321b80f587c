"""The record as PROV-JSON.

Tasks are activities, code, arguments' sources, results and files entities, workers agents.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from .digests import plain_bytes
from .model import QueueModel
from .task_text import argument_texts, last_attempt, result_text

Dict = dict[str, Any]

_PREFIX = {
    'dp': 'https://desipipe.readthedocs.io/prov#',
    'sha256': 'urn:sha256:',
    'task': 'urn:desipipe:task:',
    'app': 'urn:desipipe:app:',
    'file': 'urn:desipipe:file:',
}


def time_of(seconds: float) -> str:
    """A time as XML Schema writes it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec='milliseconds')


def prov_bytes(document: Mapping[str, Any], models: Sequence[QueueModel]) -> bytes:
    """The PROV-JSON document of a record.

    Parameters
    ----------
    document : dict
        The record's head.
    models : sequence of QueueModel

    Returns
    -------
    data : bytes
    """
    entities: Dict = {}
    activities: Dict = {}
    agents: Dict = {
        'dp:desipipe': {
            'prov:type': {'$': 'prov:SoftwareAgent', 'type': 'prov:QUALIFIED_NAME'},
            'dp:version': document['made']['desipipe'],
        }
    }
    relations: dict[str, Dict] = {
        name: {}
        for name in (
            'used',
            'wasGeneratedBy',
            'wasAssociatedWith',
            'wasInformedBy',
            'wasDerivedFrom',
        )
    }

    def relate(kind: str, **members: str) -> None:
        entries = relations[kind]
        entries[f'_:{kind}{len(entries) + 1:d}'] = {
            f'prov:{key}': value for key, value in members.items()
        }

    for number, model in enumerate(models):
        head = model.head
        for app in head['apps']:
            entities[f'app:{app["id"]}'] = {
                'prov:type': {'$': 'prov:Plan', 'type': 'prov:QUALIFIED_NAME'},
                'prov:label': app['name'],
                'dp:kind': app['kind'],
                'prov:value': app['source'],
            }
        for index, worker in enumerate(head['workers']):
            agents[f'dp:worker-{number:d}-{index:d}'] = {
                'prov:type': {'$': 'prov:SoftwareAgent', 'type': 'prov:QUALIFIED_NAME'},
                'prov:label': worker['name'],
                'dp:host': worker.get('host', ''),
                'dp:job': worker.get('job', ''),
            }
        rows: dict[int, tuple[str, str]] = {}
        for task in model.tasks():
            _task(number, model, task, rows, entities, activities, relate)
    result: Dict = {'prefix': _PREFIX, 'entity': entities, 'activity': activities, 'agent': agents}
    return plain_bytes({**result, **{name: values for name, values in relations.items() if values}})


def _task(
    number: int,
    model: QueueModel,
    task: Dict,
    rows: dict[int, tuple[str, str]],
    entities: Dict,
    activities: Dict,
    relate: Any,
) -> None:
    group = model.head['groups'][task['group']]
    app = model.head['apps'][group['app']]
    key = f'task:{task["id"]}'
    last = last_attempt(task)
    about: Dict = {
        'prov:label': f'{group["name"]}[{task["index"]}]',
        'dp:state': task['state'],
        'dp:attempts': len(task.get('attempts', ())),
    }
    about |= {f'dp:argument-{name}': text for name, text in argument_texts(task).items()}
    if 'began' in last:
        about['prov:startTime'] = time_of(last['began'])
        about['prov:endTime'] = time_of(last['began'] + last['seconds'])
    if 'memory' in last:
        about['dp:memory'] = last['memory']  # bytes
    if last.get('cause', {}).get('text'):
        about['dp:cause'] = last['cause']['text']
    activities[key] = about
    relate('used', activity=key, entity=f'app:{app["id"]}')
    if 'worker' in last:
        relate(
            'wasAssociatedWith',
            activity=key,
            agent=f'dp:worker-{number:d}-{last["worker"]:d}',
            plan=f'app:{app["id"]}',
        )
    result = ''
    if 'sha256' in task.get('result', {}):
        # By task: equal values of two tasks are two entities.
        result = f'task:{task["id"]}-result'
        entities[result] = {
            'dp:sha256': task['result']['sha256'],
            'dp:size': task['result']['size'],
            'prov:label': result_text(task),
        }
        relate('wasGeneratedBy', entity=result, activity=key)
    for row in task.get('needs', ()):
        other = rows.get(row)
        if other is not None:
            relate('wasInformedBy', informed=key, informant=other[0])
            if other[1]:
                relate('used', activity=key, entity=other[1])
                if result:
                    relate('wasDerivedFrom', generatedEntity=result, usedEntity=other[1])
    for file in task.get('files', ()):
        name = f'file:{file["sha256"]}'
        entities.setdefault(
            name, {'prov:label': file['path'], 'dp:sha256': file['sha256'], 'dp:size': file['size']}
        )
        if file['do'] == 'write':
            relate('wasGeneratedBy', entity=name, activity=key)
        else:
            relate('used', activity=key, entity=name)
    rows[task['row']] = (key, result)
