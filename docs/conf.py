"""Sphinx configuration; `make docs` builds with it, and takes a warning for an error."""

import sys
from pathlib import Path

from pygments.lexers import PythonLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'docs' / '_ext')]

from desipipe._version import __version__  # noqa: E402

project = 'desipipe'
author = 'desipipe developers'
copyright = '2026, desipipe developers'
version = release = __version__

extensions = [
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'myst_parser',
    'notebooks',
    'redirects',
    'structs',
    'verbs',
]
exclude_patterns = ['_build']
myst_heading_anchors = 3
html_theme = 'furo'
html_title = f'desipipe {version}'
html_static_path = ['_static']
html_css_files = ['print.css']

# Types are said in words in the docstrings, where they have units and meaning.
autodoc_typehints = 'none'
autodoc_member_order = 'bysource'
autodoc_default_options = {'members': True, 'show-inheritance': True}
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True


def setup(app: Sphinx) -> None:
    """Colour cells with magics as Python."""
    app.add_lexer('ipython', PythonLexer)
