"""The built pages need no other host, can be searched, and old addresses lead to new pages."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from doc_blocks import ROOT

LOADED = {'img': 'src', 'script': 'src', 'link': 'href', 'iframe': 'src', 'source': 'src'}
KEPT = ('canonical', 'next', 'prev', 'search', 'index', 'license')


class Resources(HTMLParser):
    """Collects what a browser loads with a page, and where its links go."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag in LOADED and attributes.get('rel') not in KEPT:
            self.loaded.append(attributes.get(LOADED[tag]) or '')


@pytest.fixture(scope='module')
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the pages without the API, whose imports take most of the time."""
    pytest.importorskip('sphinx')
    pytest.importorskip('furo')
    pytest.importorskip('myst_parser')
    target = tmp_path_factory.mktemp('html')
    settings = ['-D', 'exclude_patterns=_build,api,developer/c*', '-D', 'suppress_warnings=*']
    subprocess.run(
        [sys.executable, '-m', 'sphinx', '-q', '-b', 'html', *settings, ROOT / 'docs', target],
        check=True,
        capture_output=True,
        timeout=250,
    )
    return target


@pytest.mark.slow
def test_pages_load_nothing_from_another_host(html: Path) -> None:
    pages = [page for page in html.rglob('*.html') if '_modules' not in page.parts]
    assert len(pages) > 50
    foreign = {
        f'{page.relative_to(html)}: {url}'
        for page in pages
        for url in Resources(page).loaded
        if re.match(r'(\w+:)?//', url)
    }
    assert foreign == set()
    styles = '\n'.join(path.read_text() for path in html.rglob('*.css'))
    assert not re.findall(r'@import[^;]*//|url\(["\']?(?:https?:)?//', styles)


@pytest.mark.slow
def test_pages_can_be_searched(html: Path) -> None:
    text = (html / 'searchindex.js').read_text()
    index = json.loads(text[text.index('{') : text.rindex('}') + 1])
    titles = {name for title in index['alltitles'].items() for name in [title[0]]}
    assert {'Run a parameter grid', 'Exit statuses', 'Durability'} <= titles
    assert {'checkpoint', 'joblib', 'quota'} <= set(index['terms'])


@pytest.mark.slow
def test_pages_have_a_dark_theme_and_fit_narrow_screens(html: Path) -> None:
    page = Resources(html / 'index.html')
    assert ('viewport', 'width') in {
        (attributes.get('name'), (attributes.get('content') or '')[:5])
        for tag, attributes in page.tags
        if tag == 'meta'
    }
    assert (
        'prefers-color-scheme: dark'
        in '\n'.join(path.read_text() for path in html.rglob('*.css'))
        + (html / 'index.html').read_text()
    )
    assert any('theme-toggle' in (attributes.get('class') or '') for _, attributes in page.tags)


@pytest.mark.slow
def test_notebooks_are_shown_with_their_pictures(html: Path) -> None:
    page = (html / 'notebooks/power_spectrum.html').read_text()
    notebook = json.loads((ROOT / 'nb/02_power_spectrum.ipynb').read_text())
    outputs = [output for cell in notebook['cells'] for output in cell.get('outputs', [])]
    pictures = [output for output in outputs if 'image/png' in output.get('data', {})]
    assert pictures and page.count('src="data:image/png;base64,') >= len(pictures)
    assert {path.name for path in (ROOT / 'nb').glob('*.ipynb')} == {
        name
        for shown in (ROOT / 'docs/notebooks').glob('*.md')
        for name in re.findall(r'{notebook} nb/(\S+)', shown.read_text())
    }


@pytest.mark.slow
def test_old_addresses_lead_to_pages(html: Path) -> None:
    sys.path.insert(0, str(ROOT / 'docs/_ext'))
    try:
        from redirects import MOVED
    finally:
        sys.path.pop(0)
    for old, new in MOVED.items():
        assert (html / f'{new}.html').exists(), new
        assert f'/{Path(new).name}.html' in (html / f'{old}.html').read_text()


@pytest.mark.slow
def test_cheat_sheet_prints_on_one_page(html: Path, tmp_path: Path) -> None:
    names = ('chromium-headless-shell', 'chromium', 'google-chrome')
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        pytest.skip('needs Chromium, which prints the page')
    options = [
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        f'--user-data-dir={tmp_path / "user"}',
    ]
    printed = tmp_path / 'sheet.pdf'
    page = html / 'reference/cheat_sheet.html'
    subprocess.run(
        [browser, *options, f'--print-to-pdf={printed}', page.as_uri()],
        check=True,
        capture_output=True,
        timeout=120,
    )
    pdf = printed.read_bytes()
    assert re.findall(rb'/Count (\d+)', pdf) == [b'1']
    assert b'/MediaBox [0 0 594.95' in pdf


def test_pages_are_in_the_table_of_contents() -> None:
    """Look for pages that no reader would find."""
    index = (ROOT / 'docs/index.md').read_text()
    folders = ('tutorial', 'howto', 'reference', 'explanation', 'help', 'notebooks')
    pages = {
        f'{folder}/{path.stem}'
        for folder in folders
        for path in (ROOT / 'docs' / folder).glob('*.*')
    }
    assert {page for page in pages if f'\n{page}\n' not in index} == set()
