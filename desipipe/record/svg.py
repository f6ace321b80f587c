"""Pictures as SVG: the graph of the tasks, and who ran what when.

Drawn from the model alone, the same bytes for the same model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ..queue.events import STATES
from ..view.appearance import APPEARANCES
from .model import QueueModel

Dict = dict[str, Any]

NODES = 60
"""The most tasks that a graph shows one by one; more are grouped by app."""
_FONT = 'font-family="system-ui,-apple-system,Segoe UI,Roboto,sans-serif"'
# Legible on light and on dark pages alike, where an image can't know which it is on.
_INK, LINE = '#7f7f7f', '#a6a6a6'


def svg_document(width: float, height: float, title: str, body: Sequence[str]) -> str:
    """Return a whole SVG document."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" {_FONT}>'
    )
    return '\n'.join([head, f'<title>{escape(title)}</title>', *body, '</svg>', ''])


def text_element(
    x: float,
    y: float,
    content: str,
    size: int = 12,
    anchor: str = 'start',
    weight: str = '',
    colour: str = _INK,
) -> str:
    """Return a text of a picture."""
    style = f' font-weight="{weight}"' if weight else ''
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{colour}"{style}>{escape(content)}</text>'
    )


# The graph


def graph_of(models: Sequence[QueueModel], limit: int = NODES) -> Dict:
    """Build the graph of which task requires which, for all queues of a record.

    Parameters
    ----------
    models : sequence of QueueModel
    limit : int, default=60
        The most tasks that are shown one by one; more are grouped by app.

    Returns
    -------
    graph : dict
        ``grouped``, ``nodes`` (``id``, ``name``, ``counts`` by state, ``total``), ``edges``
        (``source``, ``target``, ``count``).
    """
    total = sum(model.head['total'] for model in models)
    grouped = total > limit
    nodes: dict[str, Dict] = {}
    edges: Counter[tuple[str, str]] = Counter()
    for number, model in enumerate(models):
        names: dict[int, str] = {}
        for task in model.tasks():
            group = model.head['groups'][task['group']]
            key = f'{number}:{group["name"]}' if grouped else task['id']
            names[task['row']] = key
            label = group['name'] if grouped else f'{group["name"]}[{task["index"]}]'
            node = nodes.setdefault(
                key,
                {
                    'id': key,
                    'name': label,
                    'counts': dict.fromkeys([*STATES, 'BLOCKED'], 0),
                    'total': 0,
                },
            )
            node['total'] += 1
            node['counts']['BLOCKED' if 'blocked' in task else task['state']] += 1
            for other in task.get('needs', ()):
                if other in names:
                    edges[names[other], key] += 1
    return {
        'grouped': grouped,
        'nodes': list(nodes.values()),
        'edges': [{'source': a, 'target': b, 'count': n} for (a, b), n in edges.items()],
    }


def _depths(graph: Dict) -> dict[str, int]:
    # Longest way from a task that needs none. Apps may need each other in a circle: as many rounds
    # as there are nodes, at most, and then it stays as it is.
    depth = {node['id']: 0 for node in graph['nodes']}
    for _ in range(len(depth)):
        moved = False
        for edge in graph['edges']:
            if edge['source'] != edge['target'] and depth[edge['target']] <= depth[
                edge['source']
            ] < len(depth):
                depth[edge['target']] = depth[edge['source']] + 1
                moved = True
        if not moved:
            break
    return depth


def draw_graph(graph: Dict) -> str:
    """The graph as SVG, from left to right.

    Parameters
    ----------
    graph : dict
        Of :func:`graph_of`.

    Returns
    -------
    svg : str
    """
    depth = _depths(graph)
    levels = sorted(set(depth.values()))
    columns: list[list[str]] = [
        [node['id'] for node in graph['nodes'] if depth[node['id']] == level] for level in levels
    ]
    before: dict[str, list[str]] = {}
    for edge in graph['edges']:
        before.setdefault(edge['target'], []).append(edge['source'])
    rank: dict[str, float] = {}
    for column in columns:
        # Each beside the middle of what it needs: fewer lines cross.
        middle = {
            key: (
                sum(rank.get(other, 0) for other in before[key]) / len(before[key])
                if before.get(key)
                else float(i)
            )
            for i, key in enumerate(column)
        }
        column.sort(key=lambda key: middle[key])
        rank.update({key: float(i) for i, key in enumerate(column)})
    high = max((len(column) for column in columns), default=1)
    wide, row = 170.0, 40.0 if high <= 20 else 26.0
    width, height = max(320.0, len(columns) * (wide + 60) + 20), high * row + 40
    where: dict[str, tuple[float, float]] = {}
    for i, column in enumerate(columns):
        for j, key in enumerate(column):
            where[key] = 20 + i * (wide + 60), 20 + (j + 0.5) * row + (high - len(column)) * row / 2
    body = []
    for edge in graph['edges']:
        if edge['source'] == edge['target']:
            continue
        (x0, y0), (x1, y1) = where[edge['source']], where[edge['target']]
        x0 += wide
        bend = max(30.0, (x1 - x0) / 2)
        body.append(
            f'<path d="M{x0:.1f} {y0:.1f} C{x0 + bend:.1f} {y0:.1f} {x1 - bend:.1f} {y1:.1f} '
            f'{x1:.1f} {y1:.1f}" fill="none" stroke="{LINE}"'
            f' stroke-width="{min(4.0, 1 + edge["count"] / 2000):.1f}"/>'
        )
        if edge['count'] > 1:
            body.append(
                text_element((x0 + x1) / 2, (y0 + y1) / 2 - 4, f'{edge["count"]:,d}', 10, 'middle')
            )
    for node in graph['nodes']:
        x, y = where[node['id']]
        state = main_state(node['counts'])
        look = APPEARANCES[state]
        tall = min(30.0, row - 6)
        body.append(f'<g><title>{escape(_told(node))}</title>')
        body.append(
            f'<rect x="{x:.1f}" y="{y - tall / 2:.1f}" width="{wide:.0f}" height="{tall:.0f}" '
            'rx="4"'
            f' fill="{look.colour}" fill-opacity="0.14" stroke="{look.colour}"/>'
        )
        count = f' ×{node["total"]:,d}' if node['total'] > 1 else ''
        body.append(
            text_element(
                x + 8,
                y + 4,
                f'{look.symbol} {shortened(node["name"], 20 - len(count))}{count}',
                12,
                colour=look.colour,
            )
        )
        if node['total'] > 1:
            body += _bar(node['counts'], node['total'], x, y + tall / 2 - 3, wide)
        body.append('</g>')
    return svg_document(width, height, 'Tasks, and what they need', body)


def shortened(name: str, most: int) -> str:
    """Return the beginning of a name that is too long."""
    return name if len(name) <= most else name[: most - 1] + '…'


def _told(node: Dict) -> str:
    return f'{node["name"]}: ' + ', '.join(
        f'{n:,d} {state}' for state, n in node['counts'].items() if n
    )


def main_state(counts: Mapping[str, int]) -> str:
    """Return the state that stands for several tasks."""
    for state in ('FAILED', 'KILLED', 'UNKNOWN', 'BLOCKED', 'RUNNING', 'PENDING', 'WAITING'):
        if counts.get(state):
            return state
    return 'SUCCEEDED'


def _bar(counts: Mapping[str, int], total: int, x: float, y: float, width: float) -> list[str]:
    parts = []
    for state, n in counts.items():
        if n:
            part = width * n / total
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(part, 1):.1f}" height="3" '
                f'fill="{APPEARANCES[state].colour}"/>'
            )
            x += part
    return parts
