"""The record as a Workflow Run RO-Crate, of its Provenance profile.

The notebook is the workflow, apps are its tools, tasks are actions.
"""

from __future__ import annotations

import copy
import hashlib
import io
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import MissingDependencyError, RecordError
from ..queue.events import STATES
from .archives import zip_bytes
from .digests import ADDED, DIGESTS, KEY, METADATA, RECORD, digests_bytes, plain_bytes
from .model import QueueModel
from .notebook import DIFF
from .notebook_files import write
from .prov import prov_bytes, time_of
from .svg import draw_graph, graph_of
from .task_text import argument_texts, counts_text, last_attempt, result_text
from .timeline_svg import draw_timeline, timeline_of

Dict = dict[str, Any]

PROFILES = (
    'https://w3id.org/ro/wfrun/process/0.5',
    'https://w3id.org/ro/wfrun/workflow/0.5',
    'https://w3id.org/ro/wfrun/provenance/0.5',
    'https://w3id.org/workflowhub/workflow-ro-crate/1.0',
)
NOTEBOOK = 'notebook.ipynb'
_STATUS = {
    'SUCCEEDED': 'CompletedActionStatus',
    'FAILED': 'FailedActionStatus',
    'KILLED': 'FailedActionStatus',
    'UNKNOWN': 'FailedActionStatus',
}
_TERMS = 'https://w3id.org/ro/terms/workflow-run/context'


def write_crate(path: str, record: Dict, models: Sequence[QueueModel], data: bytes) -> None:
    """Write a crate.

    Parameters
    ----------
    path : str
        A new folder, or a file that ends in ``.zip``.
    record : dict
        The record, as a notebook.
    models : sequence of QueueModel
    data : bytes
        The record's file.

    Raises
    ------
    RecordError
        The folder is there, and not empty.
    MissingDependencyError
        ``rocrate`` is not installed.
    """
    files = crate_files(record, models, data)
    if path.endswith('.zip'):
        write(path, zip_bytes(files))
        return
    if (
        os.path.isdir(path)
        and os.listdir(path)
        and not os.path.exists(os.path.join(path, METADATA))
    ):
        raise RecordError(
            f'{path} is a folder with other things in it. No crate was written. Name a new folder, '
            'or a file that ends in .zip.'
        )
    if os.path.exists(path) and not os.path.isdir(path):
        raise RecordError(
            f'{path} is a file, and no folder. No crate was written. Name a new folder, or a file '
            'that ends in .zip.'
        )
    if os.path.isdir(path):
        _remove_old(path, files)
    for name, content in files.items():
        write(os.path.join(path, name), content)


def _remove_old(path: str, files: Mapping[str, bytes]) -> None:
    # Of the crate that was there: what is on its own list, and not written again.
    import orjson

    try:
        with open(os.path.join(path, DIGESTS), 'rb') as file:
            names = orjson.loads(file.read())['files']
    except (OSError, ValueError, KeyError, TypeError):
        raise RecordError(
            f'{path} holds a crate that was not written here. Nothing was written. Name a new '
            'folder, or a file that ends in .zip.'
        ) from None
    for name in names:
        full = os.path.realpath(os.path.join(path, name))
        if (
            name not in files
            and full.startswith(os.path.realpath(path) + os.sep)
            and os.path.isfile(full)
        ):
            os.unlink(full)


def crate_files(record: Dict, models: Sequence[QueueModel], data: bytes) -> dict[str, bytes]:
    """All files of a crate, by name; always the same for the same record."""
    document = record['metadata'][KEY]
    files = {
        RECORD: data,
        NOTEBOOK: plain_bytes(_original(record)),
        'prov.json': prov_bytes(document, models),
        'graph.svg': draw_graph(graph_of(models)).encode(),
        'timeline.svg': draw_timeline(timeline_of(models)).encode(),
    }
    if DIFF in document['made']:
        files['repository.diff'] = document['made'][DIFF].encode()
    for model in models:
        for app in model.head['apps']:
            files[app_file(app)] = (app['source'] or '\n').encode('utf-8', 'backslashreplace')
        for number, versions in enumerate(model.head['versions']):
            files[f'environment/{_word(model.head["name"])}-{number:d}.txt'] = ''.join(
                f'{name}={value}\n' for name, value in versions.items()
            ).encode()
    files[METADATA] = _metadata(document, models, files)
    files[DIGESTS] = digests_bytes(files)
    return files


def _original(record: Dict) -> Dict:
    notebook = {key: value for key, value in record.items() if key not in ('cells', 'metadata')}
    notebook['metadata'] = {key: value for key, value in record['metadata'].items() if key != KEY}
    notebook['cells'] = [
        copy.copy(cell)
        for cell in record['cells']
        if ADDED not in (cell.get('metadata', {}).get('tags') or ())
    ]
    return notebook


def app_file(app: Mapping[str, Any]) -> str:
    """Return where a crate keeps the source of an app."""
    return (
        f'apps/{_word(app["name"])}-{app["id"][:12]}.{"sh.py" if app["kind"] == "bash" else "py"}'
    )


def _word(text: str) -> str:
    return re.sub(r'[^A-Za-z0-9_.-]', '_', text)[:80].lstrip('.') or '_'


def _metadata(document: Dict, models: Sequence[QueueModel], files: Mapping[str, bytes]) -> bytes:
    try:
        from rocrate.model.contextentity import ContextEntity
        from rocrate.rocrate import ROCrate
    except ImportError:
        raise MissingDependencyError(
            'The package rocrate is not installed here. No crate was written. Type: pip install '
            '"desipipe[record]"'
        ) from None

    crate = ROCrate(version='1.1')
    writer = _Crate(crate, ContextEntity, document, models, files)
    writer.write()
    generated: Dict = crate.metadata.generate()
    generated['@context'] = (
        [generated['@context'], _TERMS]
        if isinstance(generated['@context'], str)
        else [*generated['@context'], _TERMS]
    )
    return plain_bytes(generated)


class _Crate:
    """Writes a record's entities into a crate."""

    def __init__(
        self,
        crate: Any,
        entity: Any,
        document: Dict,
        models: Sequence[QueueModel],
        files: Mapping[str, bytes],
    ) -> None:
        self.crate = crate
        self.entity = entity
        self.document = document
        self.models = models
        self.files = files
        self.as_of = max((model.head['as_of'] for model in models), default=0.0)

    def add(self, key: str, /, **properties: Any) -> Dict:
        """Add a contextual entity; returns the reference to it."""
        kind = properties.pop('type')
        self.crate.add(self.entity(self.crate, key, properties={'@type': kind, **properties}))
        return {'@id': key}

    def file(self, path: str, kind: str | list[str] = 'File', /, **properties: Any) -> Dict:
        """Add a file of the crate; returns the reference to it."""
        data = self.files[path]
        about = {
            '@type': kind,
            'contentSize': str(len(data)),
            'sha256': hashlib.sha256(data).hexdigest(),
            **properties,
        }
        self.crate.add_file(io.BytesIO(data), dest_path=path, properties=about)
        return {'@id': path}

    def write(self) -> None:
        crate, document = self.crate, self.document
        title = document['notebook']['name']
        crate.name = f'Record of {title}'
        totals = document['totals']
        crate.description = (
            f'{totals["tasks"]:,d} tasks run by desipipe: {counts_text(totals["counts"])}'
        )
        crate.datePublished = time_of(self.as_of)
        crate.license = 'Not stated: ask the author of the notebook'
        profiles = [
            self.add(url, type='CreativeWork', name=name, version=url.rpartition('/')[2])
            for url, name in zip(
                PROFILES,
                (
                    'Process Run Crate',
                    'Workflow Run Crate',
                    'Provenance Run Crate',
                    'Workflow RO-Crate',
                ),
                strict=True,
            )
        ]
        crate.root_dataset['conformsTo'] = profiles
        self.python = self.add(
            'https://www.python.org/',
            type='ComputerLanguage',
            name='Python',
            identifier={'@id': 'https://www.python.org/'},
            url={'@id': 'https://www.python.org/'},
        )
        engine = self.add(
            '#desipipe',
            type='SoftwareApplication',
            name='desipipe',
            softwareVersion=document['made']['desipipe'],
            url='https://github.com/cosmodesi/desipipe',
            description='Tasks in a durable queue on a shared filesystem, run by workers anywhere',
        )
        users = ', '.join(sorted({model.head['user'] for model in self.models} - {''}))
        self.user = self.add(
            '#user', type='Person', name=users or 'the user who ran it (name left out)'
        )
        self.file(
            RECORD,
            name='The record',
            description=(
                'The notebook with tables of its tasks; its metadata hold all that is known of them'
            ),
            encodingFormat=_IPYNB,
        )
        self.file(
            'prov.json',
            name='The record as PROV-JSON',
            encodingFormat='application/json',
            conformsTo={'@id': 'https://www.w3.org/Submission/prov-json/'},
        )
        self.file('graph.svg', name='The graph of the tasks', encodingFormat='image/svg+xml')
        self.file('timeline.svg', name='Who ran what when', encodingFormat='image/svg+xml')
        if 'repository.diff' in self.files:
            commit = document['made'].get('git commit', '')
            self.file(
                'repository.diff',
                name=f'What differed from commit {commit} of the repository',
                encodingFormat='text/x-diff',
            )
        for name in self.files:
            if name.startswith('environment/'):
                self.file(name, name='Versions that tasks ran with', encodingFormat='text/plain')
        workflow = self._workflow(title)
        self._run(workflow, engine)

    def _workflow(self, title: str) -> Dict:
        tools: dict[str, Dict] = {}
        steps: list[Dict] = []
        inputs: dict[str, Dict] = {}
        for model in self.models:
            for app in model.head['apps']:
                if app['id'] in tools:
                    continue
                name = app_file(app)
                parameters = [self._parameter(app, item) for item in app.get('parameters', ())]
                inputs.update({item['@id']: item for item in parameters})
                tools[app['id']] = self.file(
                    name,
                    ['File', 'SoftwareSourceCode', 'SoftwareApplication'],
                    name=app['name'],
                    identifier=app['id'],
                    softwareVersion=app['id'][:16],
                    url={'@id': name},
                    description=(
                        f'App {app["name"]} of kind {app["kind"]}, and what it uses of the notebook'
                    ),
                    programmingLanguage=self.python,
                    encodingFormat='text/x-python',
                    softwareRequirements=', '.join(app.get('packages', ())) or 'none',
                    **({'input': parameters} if parameters else {}),
                    output=[self._output(app)],
                )
                steps.append(
                    self.add(
                        f'#step-{app["id"]}',
                        type='HowToStep',
                        name=app['name'],
                        position=str(len(steps)),
                        workExample=tools[app['id']],
                    )
                )
        self.tools = tools
        workflow = self.file(
            NOTEBOOK,
            ['File', 'SoftwareSourceCode', 'ComputationalWorkflow', 'HowTo'],
            name=title,
            description='The notebook whose cells are the tasks',
            version=hashlib.sha256(self.files[NOTEBOOK]).hexdigest()[:16],
            conformsTo={'@id': 'https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE'},
            programmingLanguage=self.python,
            encodingFormat=_IPYNB,
            step=steps,
            hasPart=list(tools.values()),
            input=[],
            output=[],
        )
        self.crate.root_dataset['mainEntity'] = workflow
        return workflow

    def _parameter(self, app: Mapping[str, Any], name: str) -> Dict:
        key = f'#parameter-{app["id"][:16]}-{name}'
        return self.add(
            key,
            type='FormalParameter',
            name=name,
            additionalType='Text',
            conformsTo={'@id': 'https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE'},
        )

    def _output(self, app: Mapping[str, Any]) -> Dict:
        key = f'#output-{app["id"][:16]}'
        return self.add(
            key,
            type='FormalParameter',
            name=f'result of {app["name"]}',
            additionalType='Text',
            conformsTo={'@id': 'https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE'},
        )

    def _run(self, workflow: Dict, engine: Dict) -> None:
        controls: list[Dict] = []
        actions: list[Dict] = []
        began, ended = float('inf'), 0.0
        bad = 0
        for number, model in enumerate(self.models):
            by_app: dict[int, list[Dict]] = {}
            rows: dict[int, Dict] = {}
            for task in model.tasks():
                action, result = self._task(number, model, task, rows)
                rows[task['row']] = result
                by_app.setdefault(model.head['groups'][task['group']]['app'], []).append(action)
                actions.append(action)
                bad += task['state'] != 'SUCCEEDED'
                for attempt in task.get('attempts', ()):
                    if 'began' in attempt:
                        began, ended = (
                            min(began, attempt['began']),
                            max(ended, attempt['began'] + attempt['seconds']),
                        )
            for app, tasks in by_app.items():
                about = model.head['apps'][app]
                controls.append(
                    self.add(
                        f'#control-{number:d}-{about["id"]}',
                        type='ControlAction',
                        name=f'orchestrate {about["name"]}',
                        instrument={'@id': f'#step-{about["id"]}'},
                        object=tasks,
                    )
                )
        times = (
            {'startTime': time_of(began), 'endTime': time_of(ended)}
            if ended
            else {'endTime': time_of(self.as_of)}
        )
        totals = self.document['totals']
        run = self.add(
            '#run',
            type='CreateAction',
            name=f'run of {self.document["notebook"]["name"]}',
            description=self.crate.description,
            instrument=workflow,
            agent=self.user,
            object=[],
            result=[],
            actionStatus={
                '@id': f'http://schema.org/{"FailedActionStatus" if bad else "CompletedActionStatus"}'  # noqa: E501
            },
            **({'error': f'{bad:,d} of {totals["tasks"]:,d} tasks did not succeed'} if bad else {}),
            **times,
        )
        organize = self.add(
            '#organize',
            type='OrganizeAction',
            name='run of desipipe',
            instrument=engine,
            agent=self.user,
            object=controls,
            result=run,
            **times,
        )
        # In the order of the profile: the run first.
        self.crate.root_dataset['mentions'] = [run, organize, *actions]

    def _usage(self, key: str, name: str, unit: str, value: object, code: str) -> Dict:
        return self.add(
            f'{key}-{name}',
            type='PropertyValue',
            name=name,
            propertyID=f'urn:desipipe:{unit}',
            value=str(value),
            unitCode=code,
        )

    def _task(
        self, number: int, model: QueueModel, task: Dict, rows: Mapping[int, Dict]
    ) -> tuple[Dict, Dict]:
        group = model.head['groups'][task['group']]
        app = model.head['apps'][group['app']]
        key = f'#task-{task["id"]}'
        last = last_attempt(task)
        objects = []
        for name, text in argument_texts(task).items():
            if name in app.get('parameters', ()):
                objects.append(
                    self.add(
                        f'{key}-{name}',
                        type='PropertyValue',
                        name=name,
                        value=text,
                        exampleOfWork={'@id': f'#parameter-{app["id"][:16]}-{name}'},
                    )
                )
        objects += [rows[row] for row in task.get('needs', ()) if rows.get(row)]
        result: Dict = {}
        if 'sha256' in task.get('result', {}):
            result = self.add(
                f'{key}-result',
                type='PropertyValue',
                name=f'result of {app["name"]}',
                value=result_text(task),
                identifier=f'urn:sha256:{task["result"]["sha256"]}',
                exampleOfWork={'@id': f'#output-{app["id"][:16]}'},
            )
        results = [result] if result else []
        for file in task.get('files', ()):
            item = self.add(
                f'#file-{file["sha256"][:32]}',
                type='CreativeWork',
                name=file['path'],
                identifier=f'urn:sha256:{file["sha256"]}',
                size=str(file['size']),
            )
            (results if file['do'] == 'write' else objects).append(item)
        about: Dict = {}
        usage = []
        if 'began' in last:
            about |= {
                'startTime': time_of(last['began']),
                'endTime': time_of(last['began'] + last['seconds']),
            }
            usage.append(self._usage(key, 'time', 'seconds', last['seconds'], 'SEC'))
        if 'memory' in last:
            # 'AD' is the byte of UN/CEFACT's list of units, which the specification asks for.
            usage.append(self._usage(key, 'memory', 'memory', last['memory'], 'AD'))
        if usage:
            about['resourceUsage'] = usage
        status = _STATUS.get(
            task['state'],
            'ActiveActionStatus' if task['state'] == 'RUNNING' else 'PotentialActionStatus',
        )
        if status == 'FailedActionStatus':
            about['error'] = (
                f'{task["state"]}: {last.get("cause", {}).get("text") or "no reason is known"}'
            )
        assert task['state'] in STATES
        versions = task.get('versions')
        if versions is not None:
            about['environment'] = [
                self.add(
                    f'#version-{number:d}-{versions:d}-{_word(name)}',
                    type='PropertyValue',
                    name=name,
                    value=str(value),
                )
                for name, value in model.head['versions'][versions].items()
            ]
        worker = model.head['workers'][last['worker']] if 'worker' in last else {}
        where = (
            (
                f' on host {worker.get("host", "?")}, by worker {worker["name"]}, job '
                f'{worker.get("job") or "none"}'
            )
            if worker
            else ''
        )
        attempts = len([item for item in task.get('attempts', ()) if 'worker' in item])
        action = self.add(
            key,
            type='CreateAction',
            name=f'{group["name"]}[{task["index"]}]',
            description=f'task {task["id"]}, {task["state"]}, {attempts} attempts{where}',
            agent=self.user,
            instrument=self.tools[app['id']],
            object=objects,
            result=results,
            actionStatus={'@id': f'http://schema.org/{status}'},
            **about,
        )
        return action, result


_IPYNB = 'application/x-ipynb+json'
