"""The verb that begins a project: new."""

from __future__ import annotations

import argparse
import json
import os
import shlex

from .common import Verbs
from .face import hint


def register(verbs: Verbs) -> None:
    """Declare the verb."""
    _declare_new(verbs)


def _declare_new(verbs: Verbs) -> None:
    parser = verbs.add(
        'new',
        new,
        'begin a project: notebook, data base of files, settings',
        'It makes a folder of that name with a notebook that runs as it is, files.yaml, and '
        'config.yaml with the settings that one may change. Files that are there are kept.',
        'desipipe new mocks',
    )
    parser.add_argument('name', metavar='NAME', help='name of the project and of its folder')


def new(args: argparse.Namespace) -> None:
    """Run ``desipipe new``."""
    from ..queue.names import check_name
    from .new_project import CONFIG, FILES, notebook

    folder, name = os.path.split(args.name.rstrip('/'))
    check_name(name)
    folder = os.path.join(folder, name)
    os.makedirs(folder, exist_ok=True)
    texts = {
        f'{name}.ipynb': json.dumps(notebook(name), indent=1) + '\n',
        'files.yaml': FILES,
        'config.yaml': CONFIG,
    }
    for file_name, text in texts.items():
        path = os.path.join(folder, file_name)
        try:
            with open(path, 'x') as file:
                file.write(text)
        except FileExistsError:
            print(f'{path} is there, and was kept')
        else:
            print(path)
    path = shlex.quote(os.path.join(folder, f'{name}.ipynb'))
    hint(f'Open it: jupyter lab {path}\nOr run it: desipipe run {path}')
