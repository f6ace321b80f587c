"""The notebook as a workflow, and apps as its tools, with their parameters."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..model import QueueModel
from ..model_types import AppEntry
from .entities import NOTEBOOK, Entities, app_file

if TYPE_CHECKING:
    from ..documents import Reference


IPYNB = 'application/x-ipynb+json'


class Workflow:
    """Writes the workflow of a crate.

    Parameters
    ----------
    entities : Entities
    python : dict
        Reference to the language.
    """

    def __init__(self, entities: Entities, python: Reference) -> None:
        self._entities = entities
        self._python = python
        self._steps: list[Reference] = []
        self.tools: dict[str, Reference] = {}
        """References to the apps, by their identities."""

    def add(self, title: str, models: Sequence[QueueModel]) -> Reference:
        """Add the workflow, with its tools and steps; return the reference to it."""
        for model in models:
            for app in model.head['apps']:
                if app['id'] not in self.tools:
                    self._add_tool(app)
        workflow = self._entities.file(
            NOTEBOOK,
            ['File', 'SoftwareSourceCode', 'ComputationalWorkflow', 'HowTo'],
            name=title,
            description='The notebook whose cells are the tasks',
            version=hashlib.sha256(self._entities.files[NOTEBOOK]).hexdigest()[:16],
            conformsTo={'@id': 'https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE'},
            programmingLanguage=self._python,
            encodingFormat=IPYNB,
            step=self._steps,
            hasPart=list(self.tools.values()),
            input=[],
            output=[],
        )
        self._entities.root['mainEntity'] = workflow
        return workflow

    def _add_tool(self, app: AppEntry) -> None:
        name = app_file(app)
        parameters = [
            self._parameter(parameter_key(app, item), item) for item in app.get('parameters', ())
        ]
        output = self._parameter(output_key(app), f'result of {app["name"]}')
        self.tools[app['id']] = self._entities.file(
            name,
            ['File', 'SoftwareSourceCode', 'SoftwareApplication'],
            name=app['name'],
            identifier=app['id'],
            softwareVersion=app['id'][:16],
            url={'@id': name},
            description=(
                f'App {app["name"]} of kind {app["kind"]}, and what it uses of the notebook'
            ),
            programmingLanguage=self._python,
            encodingFormat='text/x-python',
            softwareRequirements=', '.join(app.get('packages', ())) or 'none',
            **({'input': parameters} if parameters else {}),
            output=[output],
        )
        step = self._entities.add(
            step_key(app),
            type='HowToStep',
            name=app['name'],
            position=str(len(self._steps)),
            workExample=self.tools[app['id']],
        )
        self._steps.append(step)

    def _parameter(self, key: str, name: str) -> Reference:
        return self._entities.add(
            key,
            type='FormalParameter',
            name=name,
            additionalType='Text',
            conformsTo={'@id': 'https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE'},
        )


def parameter_key(app: AppEntry, name: str) -> str:
    """Return the key of an app's parameter."""
    return f'#parameter-{app["id"][:16]}-{name}'


def output_key(app: AppEntry) -> str:
    """Return the key of an app's output."""
    return f'#output-{app["id"][:16]}'


def step_key(app: AppEntry) -> str:
    """Return the key of the step that an app is."""
    return f'#step-{app["id"]}'
