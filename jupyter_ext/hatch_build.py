"""Build desipipe for pip: wheels hold the built front end, so that installing one needs no Node.

An editable install leaves it out, so that it needs no Node either: `make labextension` builds it
there.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from shutil import which
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FRONT_END = 'jupyter_ext/labextension'
PAGE = 'desipipe/server/page'
INSTALLED = 'share/jupyter/labextensions/desipipe-lab'
SOURCES = [
    'jupyter_ext/src',
    'jupyter_ext/style',
    'jupyter_ext/schema',
    'jupyter_ext/page.html',
    'package.json',
]


class FrontEndHook(BuildHookInterface[Any]):
    """Build the front end where it is missing or out of date, and put it into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it gathers the files.

        Parameters
        ----------
        version : str
            ``'standard'``, or ``'editable'``.
        build_data : dict
            What hatchling is to take in; changed here.
        """
        if version == 'editable' or os.environ.get('SKIP_JUPYTER_BUILDER'):
            return
        from hatch_jupyter_builder.utils import is_stale, npm_builder

        root = Path(self.root)
        development = any(
            (root / FRONT_END).glob('static/*.map')
        )  # `jlpm build` and `jlpm watch` leave these
        stale = any(
            is_stale(root / target, root / source)
            for target in (FRONT_END, PAGE)
            for source in SOURCES
        )
        if development or stale:
            if not (which('node') and which('jlpm')):
                raise RuntimeError(
                    'The JupyterLab side of desipipe is not built yet, and building it needs Node '
                    '20 or later, so nothing was installed. Install Node, or a wheel of desipipe '
                    '(built already), or leave that side out: SKIP_JUPYTER_BUILDER=1 pip install .'
                )
            os.environ.setdefault('YARN_NPM_REGISTRY_SERVER', registry())
            npm_builder(
                self.target_name, version, path=self.root, build_cmd='build:prod', npm='jlpm'
            )
        build_data['artifacts'].append(f'/{PAGE}')
        if self.target_name == 'wheel':
            build_data['shared_data'] |= {
                FRONT_END: INSTALLED,
                'jupyter_ext/install.json': f'{INSTALLED}/install.json',
            }
        else:
            build_data['artifacts'].append(f'/{FRONT_END}')


def registry() -> str:
    """The registry that npm is configured to use; jlpm does not know npm's configuration."""
    return subprocess.run(
        ['npm', 'config', 'get', 'registry'], capture_output=True, text=True, check=True
    ).stdout.strip()
