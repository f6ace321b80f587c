"""Graph and timeline: true, and small whatever the queue's size."""

from __future__ import annotations

from pathlib import Path

import engine
import pytest

from desipipe.queue.ends import End
from desipipe.queue.events import FAILED, KILLED, SUCCEEDED
from desipipe.queue.ledger import Ledger
from desipipe.view.graph import graph
from desipipe.view.timeline import BINS, INTERVALS, LANES, Timeline


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An empty queue."""
    return Ledger(engine.make_folder(tmp_path), None)


def test_small_graph_has_every_task(ledger: Ledger) -> None:
    engine.add(ledger, range(3))
    engine.add(ledger, ['sum', 'mean'], {'sum': [0, 1], 'mean': ['sum', 2]}, app='average')
    engine.begin(ledger, 'w1')
    engine.fail(ledger, 'w1', engine.claim(ledger, 'w1'))
    view = graph(ledger)
    assert not view['grouped'] and view['total'] == 5
    assert [
        (node['name'], node['index'], node['state'], node['blocked']) for node in view['nodes']
    ] == [
        ('fraction', 0, 'FAILED', False),
        ('fraction', 1, 'PENDING', False),
        ('fraction', 2, 'PENDING', False),
        ('average', 0, 'WAITING', True),
        ('average', 1, 'WAITING', True),
    ]
    number = {node['id']: row for row, node in enumerate(view['nodes'])}
    assert {
        (number[edge['source']], number[edge['target']], edge['count']) for edge in view['edges']
    } == {(0, 3, 1), (1, 3, 1), (3, 4, 1), (2, 4, 1)}
    ledger.drop(lambda state: [4])
    assert len(graph(ledger)['nodes']) == 4 and len(graph(ledger)['edges']) == 2


def test_large_graph_is_grouped_and_unfolds(ledger: Ledger) -> None:
    engine.add(ledger, range(500))
    engine.add(
        ledger,
        [('sum', i) for i in range(5)],
        {('sum', i): list(range(100 * i, 100 * i + 100)) for i in range(5)},
        app='average',
    )
    engine.begin(ledger, 'w1')
    engine.fail(ledger, 'w1', engine.claim(ledger, 'w1'))
    view = graph(ledger)
    assert view['grouped'] and view['total'] == 505
    apps = {node['name']: node for node in view['nodes']}
    assert (
        apps['fraction']['total'] == 500
        and apps['fraction']['counts']['FAILED'] == 1
        and apps['fraction']['counts']['PENDING'] == 499
    )
    assert apps['average']['counts']['WAITING'] == 5 and apps['average']['blocked'] == 1
    assert view['edges'] == [{'source': 'fraction', 'target': 'average', 'count': 500}]
    view = graph(ledger, names=['average'])
    single = [node for node in view['nodes'] if 'tid' in node]
    assert [node['index'] for node in single] == [0, 1, 2, 3, 4] and [
        node['blocked'] for node in single
    ] == [True, False, False, False, False]
    assert [node['name'] for node in view['nodes'] if 'tid' not in node] == ['fraction']
    assert sorted(edge['count'] for edge in view['edges']) == [100] * 5
    view = graph(
        ledger, names=['fraction'], limit=50
    )  # as many as there may be; the rest stays together
    assert sum('tid' in node for node in view['nodes']) == 50
    assert next(node for node in view['nodes'] if node['id'] == 'fraction')['total'] == 450
    assert sum(edge['count'] for edge in view['edges']) == 500


def test_empty(ledger: Ledger) -> None:
    assert graph(ledger) == {'grouped': False, 'total': 0, 'nodes': [], 'edges': []}
    assert Timeline(ledger).view() == {
        'whole': [],
        'began': None,
        'ended': None,
        'total': 0,
        'superseded': 0,
        'aggregated': False,
        'lanes': [],
        'hidden': 0,
    }


def run(
    ledger: Ledger, worker: str, times: list[tuple[float, float]], state: int = SUCCEEDED
) -> None:
    """Attempts of a worker that began and lasted so long."""
    claimed: list[tuple[int, int]] = []
    while len(claimed) < len(times):  # a worker gets its share only
        more = engine.claim(ledger, worker, len(times) - len(claimed))
        assert more
        claimed += more
    ledger.exchange(
        worker,
        [
            End(row, attempt, state, began, round(taken * 1e6))
            for (row, attempt), (began, taken) in zip(claimed, times, strict=True)
        ],
    )


def test_timeline_of_two_workers(ledger: Ledger) -> None:
    engine.add(ledger, range(8))
    engine.begin(ledger, 'w1', 2)
    engine.begin(ledger, 'w2', 1)
    run(ledger, 'w1', [(100.0, 10.0), (100.0, 4.0)])
    run(ledger, 'w1', [(104.0, 5.0)], FAILED)
    run(ledger, 'w2', [(101.0, 2.0), (103.0, 2.0)])
    timeline = Timeline(ledger)
    view = timeline.view()
    assert (view['began'], view['ended'], view['total'], view['aggregated']) == (
        100.0,
        110.0,
        5,
        False,
    )
    one, two = view['lanes']
    assert (one['worker'], one['job'], one['slots'], one['height'], two['height']) == (
        'w1',
        'job-w1',
        2,
        2,
        1,
    )
    assert [
        (item['start'], item['end'], item['state'], item['level'], item['index'])
        for item in one['intervals']
    ] == [
        (100.0, 110.0, 'SUCCEEDED', 0, 0),
        (100.0, 104.0, 'SUCCEEDED', 1, 1),
        (104.0, 109.0, 'FAILED', 1, 2),
    ]
    # What comes later is added; what runs has no end; what someone cancels was no attempt.
    run(ledger, 'w2', [(105.0, 1.0)])
    claimed = engine.claim(ledger, 'w2', 1)
    ledger.cancel(lambda state: [7])
    view = timeline.view()
    assert view['total'] == 7
    assert [(item['state'], item['end']) for item in view['lanes'][1]['intervals']][-2:] == [
        ('SUCCEEDED', 106.0),
        ('RUNNING', None),
    ]
    assert view == {**Timeline(ledger).view(), 'ended': view['ended'], 'whole': view['whole']}
    engine.finish(ledger, 'w2', claimed, KILLED)
    assert timeline.view()['total'] == 7
    part = timeline.view(begin=104.5, end=104.9)
    assert [item['index'] for lane in part['lanes'] for item in lane['intervals']] == [0, 2, 4]
    assert part['whole'] == timeline.view()['whole']
    assert (part['began'], part['ended'], part['whole'][0]) == (104.5, 104.9, 100.0)


def test_timeline_follows_compaction_and_clearing(ledger: Ledger) -> None:
    from desipipe.queue import Queue

    queue = Queue(ledger.folder.removesuffix('.queue'))
    engine.add(ledger, range(6))
    engine.begin(ledger, 'w1', 2)
    run(ledger, 'w1', [(100.0, 1.0), (101.0, 1.0)])
    timeline = Timeline(ledger)
    before = timeline.view()
    queue.compact()
    assert timeline.view() == before
    run(ledger, 'w1', [(102.0, 1.0)])
    assert timeline.view()['total'] == 3
    queue.clear(kill=False)
    assert timeline.view()['total'] == 0


def test_large_timeline_is_counted(ledger: Ledger) -> None:
    n = INTERVALS + 1000
    engine.add(ledger, range(n))
    engine.begin(ledger, 'w1', 2)
    engine.begin(ledger, 'w2', 2)
    for i in range(0, n, 1000):
        run(
            ledger,
            f'w{i // 1000 % 2 + 1}',
            [(100.0 + i + j, 1.0) for j in range(1000)],
            FAILED if i == 2000 else SUCCEEDED,
        )
    view = Timeline(ledger).view()
    assert view['aggregated'] and view['total'] == n and len(view['lanes']) == 2
    intervals = [item for lane in view['lanes'] for item in lane['intervals']]
    assert len(intervals) <= 2 * BINS
    assert sum(item['count'] for item in intervals) == n
    assert sum(item['counts']['FAILED'] for item in intervals) == 1000
    assert sum(item['busy'] * (item['end'] - item['start']) for item in intervals) == pytest.approx(
        n, rel=1e-3
    )
    view = Timeline(ledger).view(begin=150.5, end=160.5)  # closer, each is seen
    assert not view['aggregated'] and view['total'] == 11


def test_many_workers(ledger: Ledger) -> None:
    n = LANES + 10
    engine.add(ledger, range(n))
    for i in range(n):
        engine.begin(ledger, f'w{i}')
        run(ledger, f'w{i}', [(100.0, 1.0)])
    view = Timeline(ledger).view()
    assert len(view['lanes']) == LANES and view['hidden'] == 10


def test_damaged_line_costs_its_own_attempts(ledger: Ledger) -> None:
    engine.add(ledger, range(3))
    engine.begin(ledger, 'w1')
    for i in range(3):
        run(ledger, 'w1', [(100.0 + i, 1.0)])
    position = next(
        offset
        for offset, line in engine.journal_lines(ledger.journal)
        if line.startswith(b'{"e":"end')
    )
    with open(ledger.journal.path, 'r+b') as file:
        file.seek(position + 20)
        file.write(b'X')
    view = Timeline(engine.fresh(ledger)).view()
    assert (
        sum(item['state'] == 'SUCCEEDED' for lane in view['lanes'] for item in lane['intervals'])
        == 2
    )
