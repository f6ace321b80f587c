"""Draw the timeline of a record as SVG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import NamedTuple, NotRequired, TypedDict

from ..view.appearance import APPEARANCES
from ..view.text import span
from .model import QueueModel
from .svg import LINE, main_state, shortened, svg_document, text_element

INTERVALS = 1500
"""The most attempts that a timeline shows one by one; more are counted."""
LANES = 40
"""The most rows of a timeline."""
BINS = 240

_WIDTH = 900
_LEFT = 190.0  # where the lanes begin


# The timeline


class TimelineItem(TypedDict):
    """An attempt, or a time in which several ran."""

    start: float
    end: float
    state: str
    label: str
    level: NotRequired[int]
    """Place of an attempt among those that ran at the same time."""
    busy: NotRequired[float]
    """Share of the most that ran at once, of a time."""


class LaneItems(TypedDict):
    """Items of a lane."""

    items: list[TimelineItem]
    height: int
    """Number of its levels."""


class TimelineLane(LaneItems):
    """A worker."""

    name: str
    host: str
    slots: int


class Timeline(TypedDict):
    """The timeline of which worker ran which task."""

    began: float | None
    """``None`` if nothing ran."""
    ended: float | None
    lanes: list[TimelineLane]
    aggregated: bool
    """True if items are times."""
    hidden: int
    """Number of lanes that are left out."""


def timeline_of(models: Sequence[QueueModel], limit: int = INTERVALS) -> Timeline:
    """Build the timeline of which slot ran which task.

    Parameters
    ----------
    models : sequence of QueueModel
    limit : int, default=1500
        The most attempts that are shown one by one.

    Returns
    -------
    timeline : Timeline
    """
    lanes: dict[tuple[int, int], list[tuple[float, float, str, str]]] = {}
    n = 0
    for number, model in enumerate(models):
        for task in model.current_tasks():
            for attempt in task.get('attempts', ()):
                if 'worker' in attempt:
                    label = f'{model.head["groups"][task["group"]]["name"]}[{task["index"]}]'
                    end = attempt['began'] + attempt['seconds']
                    lanes.setdefault((number, attempt['worker']), []).append(
                        (attempt['began'], end, attempt['state'], label)
                    )
                    n += 1
    if not lanes:
        return {'began': None, 'ended': None, 'lanes': [], 'aggregated': False, 'hidden': 0}
    began = min(item[0] for lane in lanes.values() for item in lane)
    ended = max(item[1] for lane in lanes.values() for item in lane)
    aggregated = n > limit
    rows: list[TimelineLane] = []
    for (number, worker), items in sorted(
        lanes.items(), key=lambda pair: (min(pair[1])[0], pair[0])
    )[:LANES]:
        about = models[number].head['workers'][worker]
        lane = _binned(items, began, max(ended, began + 1e-6)) if aggregated else _levels(items)
        rows.append(
            {
                'name': about['name'],
                'host': about.get('host', ''),
                'slots': about.get('slots', 1),
                **lane,
            }
        )
    return {
        'began': began,
        'ended': ended,
        'lanes': rows,
        'aggregated': aggregated,
        'hidden': max(0, len(lanes) - LANES),
    }


def _levels(items: list[tuple[float, float, str, str]]) -> LaneItems:
    free: list[float] = []
    shown: list[TimelineItem] = []
    for start, end, state, label in sorted(items):
        level = next((level for level, when in enumerate(free) if when <= start + 1e-5), len(free))
        free[level : level + 1] = [end]
        shown.append({'start': start, 'end': end, 'state': state, 'label': label, 'level': level})
    return {'items': shown, 'height': len(free)}


def _binned(items: list[tuple[float, float, str, str]], began: float, ended: float) -> LaneItems:
    width = (ended - began) / BINS
    busy = [0.0] * BINS
    counts: list[Counter[str]] = [Counter() for _ in range(BINS)]
    for start, end, state, _ in items:
        first, last = (min(BINS - 1, int((when - began) / width)) for when in (start, end))
        counts[last][state] += 1
        for k in range(first, last + 1):
            busy[k] += (
                max(0.0, min(end, began + (k + 1) * width) - max(start, began + k * width)) / width
            )
    most = max(busy)
    shown: list[TimelineItem] = [
        {
            'start': began + k * width,
            'end': began + (k + 1) * width,
            'state': main_state(counts[k]),
            'busy': busy[k] / most if most else 0.0,
            'label': f'{sum(counts[k].values())} tasks',
        }
        for k in range(BINS)
        if busy[k] or counts[k]
    ]
    return {'items': shown, 'height': 1}


def draw_timeline(timeline: Timeline) -> str:
    """Draw the timeline as SVG, a lane a worker.

    Parameters
    ----------
    timeline : Timeline
        Of :func:`timeline_of`.

    Returns
    -------
    svg : str
    """
    if timeline['began'] is None or timeline['ended'] is None:
        return svg_document(320, 40, 'Nothing ran', [text_element(10, 25, 'nothing ran')])
    total = max(timeline['ended'] - timeline['began'], 1e-6)
    axis = _Axis(timeline['began'], (_WIDTH - _LEFT - 20) / total)
    body, y = [], 14.0
    for lane in timeline['lanes']:
        bar = 14.0 if lane['height'] <= 4 else max(4.0, 56.0 / lane['height'])
        tall = max(20.0, lane['height'] * bar)
        body += _lane_elements(lane, y, tall)
        for item in lane['items']:
            if timeline['aggregated']:
                high = tall * max(0.08, item['busy'])
                body.append(_item_element(item, axis, y + tall - high, high))
            else:
                top, high = y + item['level'] * bar, bar - 1.5
                body.append(_item_element(item, axis, top, high))
                if item['state'] != 'SUCCEEDED':
                    body.append(_symbol_element(item, axis, top + high - 1))
        y += tall + 6
    body.append(text_element(_LEFT, y + 12, '0', 10))
    body.append(text_element(_WIDTH - 20, y + 12, span(total), 10, 'end'))
    if timeline['hidden']:
        text = f'{timeline["hidden"]:,d} more workers are not shown'
        body.append(text_element(_LEFT + 60, y + 12, text, 10))
    return svg_document(_WIDTH, y + 20, 'Who ran what when', body)


class _Axis(NamedTuple):
    """Times as places in the picture."""

    began: float
    scale: float
    """Pixels a second."""

    def extent(self, item: TimelineItem) -> tuple[float, float]:
        """Return where an item begins, and how wide it is."""
        width = max(0.8, (item['end'] - item['start']) * self.scale)
        return _LEFT + (item['start'] - self.began) * self.scale, width


def _lane_elements(lane: TimelineLane, y: float, tall: float) -> list[str]:
    label = shortened(lane['host'] or lane['name'], 26)
    return [
        text_element(_LEFT - 8, y + tall / 2 + 4, label, 11, 'end'),
        f'<line x1="{_LEFT:.0f}" y1="{y + tall + 2:.1f}" x2="{_WIDTH - 20}" '
        f'y2="{y + tall + 2:.1f}" stroke="{LINE}" stroke-opacity="0.4"/>',
    ]


def _item_element(item: TimelineItem, axis: _Axis, top: float, high: float) -> str:
    x, wide = axis.extent(item)
    look = APPEARANCES[item['state']]
    title = f'{look.symbol} {item["label"]} {item["state"]}, {span(item["end"] - item["start"])}'
    return (
        f'<rect x="{x:.2f}" y="{top:.1f}" width="{wide:.2f}" height="{high:.1f}"'
        f' fill="{look.colour}" fill-opacity="0.75"><title>{escape(title)}</title></rect>'
    )


def _symbol_element(item: TimelineItem, axis: _Axis, y: float) -> str:
    x, wide = axis.extent(item)
    look = APPEARANCES[item['state']]
    return text_element(x + wide / 2, y, look.symbol, 11, 'middle', 'bold', look.colour)
