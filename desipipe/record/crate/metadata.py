"""The metadata of a crate: the document that describes its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...errors import MissingDependencyError
from ..digests import RECORD, plain_bytes
from ..model import QueueModel
from ..model_types import RecordDocument
from ..prov import time_of
from ..task_text import counts_text, superseded_text
from .entities import CHANGES, Entities
from .run_actions import Agents, RunActions
from .workflow import IPYNB, Workflow

if TYPE_CHECKING:
    from ..documents import CrateMetadata, Reference


PROFILES = {
    'https://w3id.org/ro/wfrun/process/0.5': 'Process Run Crate',
    'https://w3id.org/ro/wfrun/workflow/0.5': 'Workflow Run Crate',
    'https://w3id.org/ro/wfrun/provenance/0.5': 'Provenance Run Crate',
    'https://w3id.org/workflowhub/workflow-ro-crate/1.0': 'Workflow RO-Crate',
}
_TERMS = 'https://w3id.org/ro/terms/workflow-run/context'


def metadata_bytes(
    document: RecordDocument, models: Sequence[QueueModel], files: Mapping[str, bytes]
) -> bytes:
    """Return the metadata of a crate.

    Parameters
    ----------
    document : dict
        The record's head.
    models : sequence of QueueModel
    files : mapping
        Bytes of the crate's other files, by their names.

    Raises
    ------
    MissingDependencyError
        ``rocrate`` is not installed.
    """
    try:
        from rocrate.model.contextentity import ContextEntity
        from rocrate.rocrate import ROCrate
    except ImportError:
        raise MissingDependencyError(
            'The package rocrate is not installed here. No crate was written. Type: pip install '
            '"desipipe[record]"'
        ) from None

    crate = ROCrate(version='1.1')
    as_of = max((model.head['as_of'] for model in models), default=0.0)
    totals = document['totals']
    crate.name = f'Record of {document["notebook"]["name"]}'
    crate.description = (
        f'{totals["tasks"]:,d} tasks run by desipipe: {counts_text(totals["counts"])}'
        f'{superseded_text(totals.get("superseded", 0))}'
    )
    crate.datePublished = time_of(as_of)
    crate.license = 'Not stated: ask the author of the notebook'
    entities = Entities(crate, ContextEntity, files)
    _add_profiles(entities)
    python = _add_python(entities)
    agents = _add_agents(entities, document, models)
    _add_documents(entities)
    _add_surroundings(entities, document)
    workflow = Workflow(entities, python)
    notebook = workflow.add(document['notebook']['name'], models)
    run = RunActions(entities, agents, workflow.tools)
    for number, model in enumerate(models):
        run.add(number, model)
    run.finish(document, crate.description, notebook, as_of)
    return _with_terms(crate.metadata.generate())


def _with_terms(generated: CrateMetadata) -> bytes:
    """Return the document with the terms of runs, which the package doesn't know."""
    context = generated['@context']
    generated['@context'] = [*([context] if isinstance(context, str) else context), _TERMS]
    return plain_bytes(generated)


def _add_profiles(entities: Entities) -> None:
    entities.root['conformsTo'] = [
        entities.add(url, type='CreativeWork', name=name, version=url.rpartition('/')[2])
        for url, name in PROFILES.items()
    ]


def _add_python(entities: Entities) -> Reference:
    return entities.add(
        'https://www.python.org/',
        type='ComputerLanguage',
        name='Python',
        identifier={'@id': 'https://www.python.org/'},
        url={'@id': 'https://www.python.org/'},
    )


def _add_agents(
    entities: Entities, document: RecordDocument, models: Sequence[QueueModel]
) -> Agents:
    engine = entities.add(
        '#desipipe',
        type='SoftwareApplication',
        name='desipipe',
        softwareVersion=document['made']['desipipe'],
        url='https://github.com/cosmodesi/desipipe',
        description='Tasks in a durable queue on a shared filesystem, run by workers anywhere',
    )
    users = ', '.join(sorted({model.head['user'] for model in models} - {''}))
    user = entities.add('#user', type='Person', name=users or 'the user who ran it (name left out)')
    return Agents(user, engine)


def _add_documents(entities: Entities) -> None:
    """Add the forms of the record that a crate holds."""
    entities.file(
        RECORD,
        name='The record',
        description=(
            'The notebook with tables of its tasks; its metadata hold all that is known of them'
        ),
        encodingFormat=IPYNB,
    )
    entities.file(
        'prov.json',
        name='The record as PROV-JSON',
        encodingFormat='application/json',
        conformsTo={'@id': 'https://www.w3.org/Submission/prov-json/'},
    )
    entities.file('graph.svg', name='The graph of the tasks', encodingFormat='image/svg+xml')
    entities.file('timeline.svg', name='Who ran what when', encodingFormat='image/svg+xml')


def _add_surroundings(entities: Entities, document: RecordDocument) -> None:
    """Add the changes of the repository, and the versions that tasks ran with."""
    if CHANGES in entities.files:
        commit = document['made'].get('git commit', '')
        entities.file(
            CHANGES,
            name=f'What differed from commit {commit} of the repository',
            encodingFormat='text/x-diff',
        )
    for name in entities.files:
        if name.startswith('environment/'):
            entities.file(name, name='Versions that tasks ran with', encodingFormat='text/plain')
