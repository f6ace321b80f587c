/** Superseded tasks: dimmed where they are shown, folded where they are many, and in no count. */
import { nullTranslator } from '@jupyterlab/translation';
import React, { act } from 'react';

import { Related } from '../panel/components/tasksections';
import { news } from '../panel/notify';
import { TimelineView } from '../panel/pictures/timelineview';
import type { IPalette } from '../panel/pictures/palette';
import type { ITimelineView } from '../panel/tokens';
import { STATES, SYMBOLS } from '../tokens';
import { queueLine, task } from './example';
import { host, root } from './host';

const trans = nullTranslator.load('desipipe');
const nothing = () => undefined;
const render = (element: JSX.Element) => act(() => root.render(element));

const COLOURS: IPalette = {
  background: 'white',
  raised: 'silver',
  text: 'black',
  quiet: 'gray',
  line: 'gray',
  font: 'sans-serif',
  states: Object.fromEntries(
    [...STATES, 'BLOCKED', 'SUPERSEDED'].map(state => [state, state])
  ) as IPalette['states']
};

const LANE = { worker: 'w1', host: 'n1', job: '7', slots: 2, height: 1 };

function timeline(changes: Partial<ITimelineView>): ITimelineView {
  return {
    began: 0,
    ended: 100,
    total: 1,
    superseded: 1,
    whole: [0, 100],
    aggregated: false,
    hidden: 0,
    lanes: [],
    ...changes
  };
}

describe('superseded attempts in the timeline', () => {
  const show = (view: ITimelineView) =>
    render(
      <TimelineView
        timeline={view}
        queue="test"
        whole={[0, 100]}
        now={100}
        colours={COLOURS}
        onPart={nothing}
        onTask={nothing}
        onSave={nothing}
        trans={trans}
      />
    );
  const bars = (selector: string) =>
    [...host.querySelectorAll(selector)].map(node => [
      node.getAttribute('fill'),
      node.getAttribute('fill-opacity')
    ]);

  beforeEach(() => {
    Object.assign(globalThis, {
      ResizeObserver: class {
        observe = nothing;
        disconnect = nothing;
      }
    });
  });

  it('are dimmed, without a colour of their app, and not counted', () => {
    const one = { index: 0, end: 50, level: 0, state: 'FAILED' } as const;
    show(
      timeline({
        lanes: [
          {
            ...LANE,
            intervals: [
              { ...one, tid: 'a', name: 'old', start: 0, superseded: true },
              { ...one, tid: 'b', name: 'new', start: 50, superseded: false }
            ]
          }
        ]
      })
    );
    const [legend, states] = [
      ...host.querySelectorAll('.jp-desipipe-legend')
    ].map(node => node.textContent);
    expect(legend).toBe(' new');
    expect(states).toBe('✕ failed↷ superseded');
    expect(host.textContent).toContain('1 attempt · ↷ 1 superseded');
    expect(bars('[data-task="a"] rect')).toEqual([['SUPERSEDED', '0.3']]);
    // What counts has the colour of its app, hatched because it failed.
    expect(bars('[data-task="b"] rect').length).toBe(2);
    expect(host.querySelector('[data-task="a"] title')!.textContent).toBe(
      'old[0] · superseded · 50.0 s'
    );
  });

  it('leave apps the colours that they had where only a part is shown', () => {
    const one = { index: 0, level: 0, state: 'SUCCEEDED', end: 50 } as const;
    const of = (...names: string[]) =>
      timeline({
        superseded: 0,
        lanes: [
          {
            ...LANE,
            intervals: names.map(name => ({
              ...one,
              name,
              tid: name,
              start: 0,
              superseded: false
            }))
          }
        ]
      });
    show(of('a', 'b', 'c'));
    const [[before]] = bars('[data-task="c"] rect');
    show(of('c'));
    expect(bars('[data-task="c"] rect')[0][0]).toBe(before);
    expect(host.querySelectorAll('.jp-desipipe-swatch').length).toBe(1);
  });

  it('stand dimmed above those that count where they are counted', () => {
    const counts = Object.fromEntries(
      STATES.map(state => [state, 0])
    ) as Record<(typeof STATES)[number], number>;
    show(
      timeline({
        aggregated: true,
        lanes: [
          {
            ...LANE,
            intervals: [
              {
                start: 0,
                end: 50,
                count: 2,
                counts: { ...counts, SUCCEEDED: 2 },
                busy: 1,
                busy_superseded: 0.5
              },
              {
                start: 50,
                end: 60,
                count: 0,
                counts,
                busy: 0,
                busy_superseded: 1
              }
            ]
          }
        ]
      })
    );
    const heights = [...host.querySelectorAll('g > title')]
      .filter(title => title.textContent!.includes('parallel'))
      .map(title => [
        title.textContent,
        ...[...title.parentElement!.querySelectorAll('rect')].map(node =>
          [node.getAttribute('fill'), node.getAttribute('height')].join(' ')
        )
      ]);
    expect(heights).toEqual([
      [
        '1 task in parallel · 2 succeeded · 0.5 superseded in parallel',
        'SUPERSEDED 8.5',
        'SUCCEEDED 17'
      ],
      ['1 superseded in parallel', 'SUPERSEDED 17', 'RUNNING 0']
    ]);
  });
});

describe('superseded dependants', () => {
  it('are folded, and not counted', () => {
    const one = (tid: string, superseded: boolean) => ({
      tid,
      name: tid,
      index: 0,
      state: 'SUCCEEDED' as const,
      blocked: '',
      superseded
    });
    render(
      <Related
        title="Used by"
        tasks={[one('new', false), one('old', true)]}
        n={1}
        superseded={3}
        task={task()}
        queue="test"
        onTask={nothing}
        onQueue={nothing}
        trans={trans}
      />
    );
    expect(host.querySelector('h3')!.textContent).toBe('Used by 1');
    expect(host.querySelector('section > ul')!.textContent).toBe('✓ new[0]');
    const folded = host.querySelector('details')!;
    expect(folded.open).toBe(false);
    expect(folded.textContent).toBe(
      `${SYMBOLS.SUPERSEDED} 3 superseded↷ old[0]and 2 more`
    );
  });
});

describe('news of superseded tasks', () => {
  it('is none of failures that count again because code went back', () => {
    const before = queueLine({ counts: { RUNNING: 1 }, superseded: 2 });
    const failed = { RUNNING: 1, FAILED: 2 };
    const now = queueLine({ counts: failed, superseded: 0, left: 1 });
    expect(news({ before, now })).toBe(null);
    expect(news({ before: { ...before, superseded: 0 }, now })).toBe('failure');
  });
});
