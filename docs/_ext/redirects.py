"""Keep the addresses of pages that have moved: each old one leads to the new one."""

from __future__ import annotations

import posixpath
from pathlib import Path

from sphinx.application import Sphinx

MOVED = {
    'user/building': 'howto/install',
    'user/clustering': 'tutorial/clustering',
    'user/command_line': 'reference/command_line',
    'user/configuration': 'reference/configuration',
    'user/files': 'reference/files',
    'user/getting_started': 'howto/scripts',
    'user/identity': 'explanation/identity',
    'user/jupyterlab': 'reference/jupyterlab',
    'user/migrating': 'howto/migrating',
    'user/nersc': 'howto/nersc',
    'user/notebook': 'reference/notebook',
    'user/notebook_widgets': 'reference/magics',
    'user/other_front_ends': 'howto/vscode',
    'user/platforms': 'reference/platforms',
    'user/records': 'reference/records',
    'user/scaling': 'explanation/scaling',
    'user/security': 'explanation/security',
    'user/sharing': 'howto/sharing',
    'user/slurm': 'howto/slurm',
    'user/tasks': 'explanation/tasks',
}
"""Old and new names of pages, without suffix."""

# The script keeps the anchor of a link, which the refresh would drop.
PAGE = """<!doctype html>
<meta charset="utf-8">
<title>This page has moved</title>
<link rel="canonical" href="{to}">
<script>location.replace({to!r} + location.hash)</script>
<meta http-equiv="refresh" content="0; url={to}">
<p>This page has moved to <a href="{to}">{to}</a>.</p>
"""


def write_redirects(app: Sphinx, error: Exception | None) -> None:
    """Write a page at each old address."""
    if error or app.builder.format != 'html':
        return
    for old, new in MOVED.items():
        path = Path(app.outdir, f'{old}.html')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PAGE.format(to=posixpath.relpath(f'{new}.html', posixpath.dirname(old))))


def setup(app: Sphinx) -> dict[str, object]:
    """Register the writer."""
    app.connect('build-finished', write_redirects)
    return {'parallel_read_safe': True}
