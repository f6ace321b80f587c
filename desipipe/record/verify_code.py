"""Checks of the code in a record: apps, modules, cells, what cells show."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..serialize import code_identity, part_digest
from ..serialize.plain import digest as value_digest
from ..serialize.plain import short
from ..utils import plural
from ..view.rows import parse_rows
from .cell_section import entry_section
from .checks import NAMED, NOTE, NOTHING, UNCHECKED, Check, Differences
from .composition import described
from .digests import ADDED
from .files import Record
from .model import Node, QueueModel
from .model_types import AppEntry, CellEntry
from .modules import changed_functions
from .pieces import piece_of
from .sources import Match, app_trees, compared, source_of
from .summary_section import summary_section
from .verify_container import original_of

if TYPE_CHECKING:
    from .documents import NotebookCell


# Code


def check_code(record: Record, node: Node | None) -> Iterator[Check]:
    """Check that code, its digest and the identity of apps agree."""
    differing, reasons, apps, parts = Differences(), Counter[str](), 0, 0
    for model in record.models:
        for app in model.head['apps']:
            if 'root' not in app or 'unchecked' in app:
                reasons[
                    f'{app["name"]}: {app.get("unchecked", "its parts were not recorded")}'
                ] += 1
                continue
            apps += 1
            parts += _check_app(app, node, differing, reasons)
    if apps or differing.n:
        source = f'; {plural(parts, "function")}: the source is the code that ran' if parts else ''
        yield differing.check(
            'code',
            f'{plural(apps, "version")} of apps: identities computed anew{source}',
            'code that differs',
        )
    elif not reasons:
        yield Check('code', NOTHING, 'the record holds no code')
    for reason, _ in reasons.most_common(NAMED):
        yield Check('code', UNCHECKED, reason)


def _check_app(
    app: AppEntry, node: Node | None, differing: Differences, reasons: Counter[str]
) -> int:
    """Check an app; return the number of its functions whose source is what ran."""
    parts = 0
    if code_identity(app['kind'], piece_of(app['root']), app['parts']).hex() != app['id']:
        differing.add(f'{app["name"]}: its parts do not give its identity')
    texts = app_trees(app, node)
    untold = set(app.get('untold', ()))
    for label, piece_words in app['pieces'].items():
        pieces = [piece_of(word) for word in piece_words]
        if part_digest(pieces) != app['parts'].get(label):
            differing.add(f'{app["name"]}, {label}: its pieces do not give its digest')
        elif label in untold:
            reasons[
                f'{app["name"]}, {label}: its text was not found when it was recorded, only '
                'its digest is known'
            ] += 1
        elif texts is None:
            reasons[f'{app["name"]}: the text of its cell cannot be compared here'] += 1
        elif pieces[0].hex() in texts:
            parts += 1
        else:
            differing.add(f'{app["name"]}, {label}: the recorded source is not the code that ran')
    for label, text in _notes(app):
        digest = value_digest(short(b'=' + text.encode())).hex()
        if app['parts'].get(label) not in (None, digest):
            differing.add(
                f'{app["name"]}, {label}: the value in the recorded source is not the one that '
                'was used'
            )
    return parts


def check_modules(record: Record) -> Iterator[Check]:
    """Hold modules that were recorded against the functions of theirs that ran."""
    differing, n = Differences(), 0
    for model in record.models:
        texts = {}
        for entry in model.head.get('modules', ()):
            data = record.payload(entry['sha256'])
            if data is not None:
                texts[entry['path']] = data.decode('utf-8', 'replace')
        n += len(texts)
        for app in model.head['apps'] if texts else ():
            for name in changed_functions(app, texts):
                differing.add(f'{name} is another one in its module than {app["name"]} ran')
    if n:
        yield differing.check(
            'modules',
            f'{plural(n, "module")}: the functions of theirs that tasks used are those that ran',
            'modules that are not what ran',
        )


def _notes(app: AppEntry) -> Iterator[tuple[str, str]]:
    for line in app['source'].splitlines():
        match = re.fullmatch(r'# ((?:global|variable|module) [^:]+): (.*)', line)
        if match and not re.search(r'[{]', match[2]):
            yield match[1], match[2]


# Cells


def check_cells(record: Record, node: Node | None) -> Iterator[Check]:
    """Check that the text of cells is that of the tasks which they made."""
    cells = original_of(record)
    digests = record.document['notebook']['cells']
    differing, unknown, same = Differences(), Differences(), 0
    _check_texts(cells, digests, differing)
    for entry in record.document['cells']:
        model = record.models[entry['queue']]
        same += _check_entry(entry, cells, model, node, differing, unknown)
    if same or differing.n:
        yield differing.check(
            'cells',
            f'{plural(same, "cell")}: the text is the code that its tasks ran',
            'cells that are not what ran',
        )
    elif not unknown.n:
        text = (
            'no cell of the notebook has tasks in the record'
            if digests
            else 'the record is one of queues alone, without a notebook'
        )
        yield Check('cells', NOTHING, text)
    if unknown.n:
        yield unknown.check('cells', '', 'cells', UNCHECKED)
    of_none = sum(model.head['total'] for model in record.models) - _claimed(record)
    if of_none and digests:
        text = (
            f'{plural(of_none)} of the record belong to no cell of this notebook: they were needed '
            'by those that do, or added elsewhere'
        )
        yield Check('cells', NOTE, text)


def _check_texts(
    cells: Sequence[NotebookCell], digests: Sequence[str], differing: Differences
) -> None:
    """Compare the texts of cells with the digests that were recorded of them."""
    if len(cells) != len(digests):
        differing.add(f'{len(digests):d} cells were recorded, {len(cells):d} are there')
    for number, (cell, digest) in enumerate(zip(cells, digests, strict=False), 1):
        if hashlib.sha256(source_of(cell).encode('utf-8', 'surrogatepass')).hexdigest() != digest:
            differing.add(f'cell {number:d} was changed after it was recorded')


def _check_entry(
    entry: CellEntry,
    cells: Sequence[NotebookCell],
    model: QueueModel,
    node: Node | None,
    differing: Differences,
    unknown: Differences,
) -> int:
    """Compare a cell with its tasks; return the number of apps that are the same."""
    same = 0
    cell = f'cell {entry["cell"] + 1:d} ({entry["title"] or "no title"})'
    if 'gone' in entry:
        differing.add(f'{cell}: {entry["gone"]}')
    for match, name in compared(cells[entry['cell']], model, entry, node):
        if match == Match.SAME:
            same += 1
        elif match == Match.CHANGED:
            differing.add(
                f'{cell} was changed after its tasks ran: its text is not the code that {name} ran'
            )
        elif match == Match.OTHER:
            differing.add(
                f'{cell} shows tasks of another cell or notebook: nothing in it is the code of '
                f'{name}'
            )
        else:
            unknown.add(f'{cell}: the code that {name} ran cannot be compared with it')
    return same


def _claimed(record: Record) -> int:
    claimed = {
        (entry['queue'], index)
        for entry in record.document['cells']
        for part in parse_rows(entry['tasks'])
        for index in part
    }
    return len(claimed)


def check_shown(record: Record) -> Iterator[Check]:
    """Check tables and pictures: make them anew from the data, and compare."""
    from .._version import __version__

    if record.document['made'].get('desipipe') != __version__:
        yield Check(
            'tables',
            UNCHECKED,
            f'they were made by desipipe {record.document["made"].get("desipipe")}, this is '
            f'{__version__}',
        )
        return
    wanted = [entry_section(entry, record.models) for entry in record.document['cells']]
    wanted.append(summary_section(record.document, record.models, described(record.models)))
    tables_shown = [
        cell
        for cell in record.notebook['cells']
        if ADDED in (cell.get('metadata', {}).get('tags') or ())
    ]
    differing = Differences()
    if len(wanted) != len(tables_shown):
        differing.add(f'{len(wanted):d} tables were recorded, {len(tables_shown):d} are there')
    for number, (text, cell) in enumerate(zip(wanted, tables_shown, strict=False), 1):
        if source_of(cell) != text:
            differing.add(f'table {number:d} does not say what the data say')
    yield differing.check(
        'tables', 'tables and pictures say what the data say', 'tables and pictures that differ'
    )
