"""The table of a file manager, in a real browser."""

from __future__ import annotations

from typing import Any

from desipipe import FileManager


def test_long_tables_are_filtered(browser: Any) -> None:
    from playwright.sync_api import expect

    tracers = ('LRG', 'ELG', '<img src=x onerror="document.title=1">')
    fm = FileManager(
        [{'id': f'power_{i}', 'description': tracers[i % 3], 'path': f'{i}.npy'} for i in range(30)]
    )
    page = browser.new_page()
    page.set_content(f'<title>t</title>{fm._repr_html_()}')
    shown = page.locator('tbody tr:visible')
    expect(shown).to_have_count(30)
    for arguments, number in (('elg power', 10), ('power_29', 1), ('', 30)):
        page.get_by_label('filter').fill(arguments)
        expect(shown).to_have_count(number)
    assert page.title() == 't'
    page.close()
