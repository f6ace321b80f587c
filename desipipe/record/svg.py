"""Pictures as SVG: the graph of the tasks, and who ran what when.

Drawn from the model alone, the same bytes for the same model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import TypedDict

from ..queue.events import STATES
from ..view.appearance import APPEARANCES
from .model import QueueModel

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


class GraphNode(TypedDict):
    """A task, or all tasks of an app."""

    id: str
    name: str
    counts: dict[str, int]
    """Numbers of tasks by state."""
    total: int


class GraphEdge(TypedDict):
    """Requirements of one node by another."""

    source: str
    """The node that is required."""
    target: str
    count: int


class Graph(TypedDict):
    """The graph of which task requires which."""

    grouped: bool
    """True if nodes are apps."""
    nodes: list[GraphNode]
    edges: list[GraphEdge]


def graph_of(models: Sequence[QueueModel], limit: int = NODES) -> Graph:
    """Build the graph of which task requires which, for all queues of a record.

    Parameters
    ----------
    models : sequence of QueueModel
    limit : int, default=60
        The most tasks that are shown one by one; more are grouped by app.

    Returns
    -------
    graph : Graph
    """
    grouped = sum(model.n_current for model in models) > limit
    nodes: dict[str, GraphNode] = {}
    edges: Counter[tuple[str, str]] = Counter()
    for number, model in enumerate(models):
        names: dict[int, str] = {}
        for task in model.current_tasks():
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


def _depths(graph: Graph) -> dict[str, int]:
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


class _Layout:
    """Places of nodes: a column a level, each node beside what it needs."""

    width = 170.0  # of a node
    gap = 60.0

    def __init__(self, graph: Graph) -> None:
        depth = _depths(graph)
        self._columns: list[list[str]] = [
            [node['id'] for node in graph['nodes'] if depth[node['id']] == level]
            for level in sorted(set(depth.values()))
        ]
        self._sort(graph)
        self._high = max((len(column) for column in self._columns), default=1)
        self.row = 40.0 if self._high <= 20 else 26.0

    def _sort(self, graph: Graph) -> None:
        """Sort each column by the middle of what its nodes need: fewer lines cross."""
        before: dict[str, list[str]] = {}
        for edge in graph['edges']:
            before.setdefault(edge['target'], []).append(edge['source'])
        rank: dict[str, float] = {}
        for column in self._columns:
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

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the picture."""
        width = len(self._columns) * (self.width + self.gap) + 20
        return max(320.0, width), self._high * self.row + 40

    def places(self) -> dict[str, tuple[float, float]]:
        """Return the left ends of the nodes, at half their height."""
        places: dict[str, tuple[float, float]] = {}
        for i, column in enumerate(self._columns):
            lower = (self._high - len(column)) * self.row / 2
            for j, key in enumerate(column):
                x, y = 20 + i * (self.width + self.gap), 20 + (j + 0.5) * self.row + lower
                places[key] = x, y
        return places


def draw_graph(graph: Graph) -> str:
    """Draw the graph as SVG, from left to right.

    Parameters
    ----------
    graph : Graph
        Of :func:`graph_of`.

    Returns
    -------
    svg : str
    """
    layout = _Layout(graph)
    places = layout.places()
    body = []
    for edge in graph['edges']:
        if edge['source'] != edge['target']:
            x, y = places[edge['source']]
            body += _edge_elements((x + layout.width, y), places[edge['target']], edge['count'])
    for node in graph['nodes']:
        body += _node_elements(node, places[node['id']], layout)
    return svg_document(*layout.size, 'Tasks, and what they need', body)


def _edge_elements(start: tuple[float, float], end: tuple[float, float], count: int) -> list[str]:
    (x0, y0), (x1, y1) = start, end
    bend = max(30.0, (x1 - x0) / 2)
    elements = [
        f'<path d="M{x0:.1f} {y0:.1f} C{x0 + bend:.1f} {y0:.1f} {x1 - bend:.1f} {y1:.1f} '
        f'{x1:.1f} {y1:.1f}" fill="none" stroke="{LINE}"'
        f' stroke-width="{min(4.0, 1 + count / 2000):.1f}"/>'
    ]
    if count > 1:
        elements.append(text_element((x0 + x1) / 2, (y0 + y1) / 2 - 4, f'{count:,d}', 10, 'middle'))
    return elements


def _node_elements(node: GraphNode, left: tuple[float, float], layout: _Layout) -> list[str]:
    x, y = left
    look = APPEARANCES[main_state(node['counts'])]
    tall = min(30.0, layout.row - 6)
    count = f' ×{node["total"]:,d}' if node['total'] > 1 else ''
    label = f'{look.symbol} {shortened(node["name"], 20 - len(count))}{count}'
    elements = [
        f'<g><title>{escape(_node_title(node))}</title>',
        f'<rect x="{x:.1f}" y="{y - tall / 2:.1f}" width="{layout.width:.0f}" '
        f'height="{tall:.0f}" rx="4"'
        f' fill="{look.colour}" fill-opacity="0.14" stroke="{look.colour}"/>',
        text_element(x + 8, y + 4, label, 12, colour=look.colour),
    ]
    if node['total'] > 1:
        elements += _bar(node['counts'], node['total'], x, y + tall / 2 - 3, layout.width)
    return [*elements, '</g>']


def shortened(name: str, most: int) -> str:
    """Return the beginning of a name that is too long."""
    return name if len(name) <= most else name[: most - 1] + '…'


def _node_title(node: GraphNode) -> str:
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
