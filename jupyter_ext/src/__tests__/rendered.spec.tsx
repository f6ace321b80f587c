/**
 * Every member of a view is rendered: another value of it changes what is shown of one of the samples, at least. Members that are left out stand in
 * tests/views/unrendered.json, each with the reason. tests/test_views_rendered.py holds the terminal, text and HTML to the same.
 */
import { nullTranslator } from '@jupyterlab/translation';
import { readFileSync } from 'fs';
import { resolve } from 'path';
import React, { act } from 'react';

import { Status, stateWords } from '../components/status';
import { AppTable } from '../panel/components/apps';
import { QueueList } from '../panel/components/queuelist';
import { QueueView } from '../panel/components/queueview';
import { TaskLine } from '../panel/components/tasklist';
import { TaskView } from '../panel/components/taskview';
import { GraphView } from '../panel/pictures/graphview';
import type { IPalette } from '../panel/pictures/palette';
import { TimelineView } from '../panel/pictures/timelineview';
import { TasksModel } from '../panel/tasks';
import {
  IAppView,
  IGraphView,
  IListedQueue,
  IQueueView,
  ITaskRow,
  ITaskView,
  ITimelineView,
  NO_FILTER
} from '../panel/tokens';
import type { Api } from '../request';
import { ICellView, STATES } from '../tokens';
import { host, root } from './host';

const VIEWS = resolve(__dirname, '../../../tests/views');
const read = (name: string) =>
  JSON.parse(readFileSync(resolve(VIEWS, name), 'utf-8'));
const samples: Record<string, object[]> = read('samples.json');
const unrendered: Record<string, Record<string, string>> = read(
  'unrendered.json'
)['lab'];
const trans = nullTranslator.load('desipipe');
const nothing = () => undefined;
const log = {
  lines: [],
  times: [],
  dropped: 0,
  isOver: true,
  attempt: 0
} as never;
const silent = { look: () => new Promise(() => 0) } as unknown as Api;

const colours: IPalette = {
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

/** jsdom lays nothing out. */
class NoResizes {
  observe = nothing;
  unobserve = nothing;
  disconnect = nothing;
}

/** What is shown of an open queue. */
function queueView(
  line: IListedQueue,
  summary: IQueueView | null
): JSX.Element {
  return (
    <QueueView
      line={line}
      summary={summary}
      problem=""
      filter={NO_FILTER}
      workers={true}
      tasks={new TasksModel(silent, '')}
      words={() => ''}
      onCommand={nothing}
      onFilter={nothing}
      onWorkers={nothing}
      onEndWorker={nothing}
      onTask={nothing}
      onTasks={nothing}
      trans={trans}
    />
  );
}

const FACES: Record<string, (view: never) => JSX.Element> = {
  CellView: (summary: ICellView) => (
    <Status
      summary={summary}
      received={performance.now()}
      ticking={false}
      stale={false}
      acting={null}
      problem=""
      open={true}
      onAct={nothing}
      onToggle={nothing}
      onTrust={nothing}
      trans={trans}
    />
  ),
  QueueView: (summary: IQueueView) =>
    queueView({ ...summary, workers: 0, error: '' } as IListedQueue, summary),
  QueueLine: (line: IListedQueue) => (
    <>
      {[null, line.folder].map(open => (
        <QueueList
          key={`${open}`}
          lines={[line]}
          problem=""
          lost={false}
          heard={0}
          open={open}
          onToggle={nothing}
          onDismiss={nothing}
          onCommand={nothing}
          onSettings={nothing}
          onMenu={nothing}
          trans={trans}
        >
          {() => queueView(line, null)}
        </QueueList>
      ))}
    </>
  ),
  TaskRow: (task: ITaskRow) => (
    <TaskLine
      id="line"
      place={0}
      total={1}
      top={0}
      task={task}
      active={false}
      selected={false}
      onClick={nothing}
      words={stateWords(trans)}
      trans={trans}
    />
  ),
  AppView: (app: IAppView) => (
    <AppTable apps={[app]} onApp={nothing} trans={trans} />
  ),
  GraphView: (graph: IGraphView) => (
    <GraphView
      graph={graph}
      queue="test"
      colours={colours}
      unfolded={[]}
      onUnfold={nothing}
      onTask={nothing}
      onSave={nothing}
      trans={trans}
    />
  ),
  TimelineView: (timeline: ITimelineView) => (
    <TimelineView
      timeline={timeline}
      queue="test"
      whole={[1700000000, 1700000100]}
      now={1700000090}
      colours={colours}
      onPart={nothing}
      onTask={nothing}
      onSave={nothing}
      trans={trans}
    />
  ),
  TaskView: (task: ITaskView) => (
    <TaskView
      task={task}
      queue="test"
      problem=""
      out={log}
      err={log}
      highlight={async () => undefined}
      onTask={nothing}
      onRetry={nothing}
      onCancel={nothing}
      onCell={nothing}
      onQueue={nothing}
      trans={trans}
    />
  )
};

/** Other valid values of what is a name in a list. */
const OTHERS: Record<string, string[]> = {
  state: ['KILLED', 'withdrawn', 'PAUSED'],
  condition: ['paused']
};

type Container = Record<string, unknown>;

interface ILeaf {
  path: string;
  find: (view: Container) => [Container, string];
}

function others(key: string, value: unknown): unknown[] {
  switch (typeof value) {
    case 'boolean':
      return [!value];
    case 'number':
      return [value + 100_000, 0];
    case 'string':
      return [...(OTHERS[key] ?? []), `zq${value}`];
    default:
      return value === null ? [100_000] : Array.isArray(value) ? [[]] : [{}];
  }
}

function leaves(value: unknown, path = ''): ILeaf[] {
  if (Array.isArray(value)) {
    return value.flatMap((item, i) =>
      leaves(item, `${path}[]`).map(({ path, find }) => ({
        path,
        find: (view: Container) => find(view[i] as Container)
      }))
    );
  }
  if (value === null || typeof value !== 'object') {
    return [];
  }
  return Object.entries(value).flatMap(([name, item]) => {
    const here = path ? `${path}.${name}` : name;
    const below = leaves(item, here).map(({ path, find }) => ({
      path,
      find: (view: Container) => find(view[name] as Container)
    }));
    const own: ILeaf = { path: here, find: view => [view, name] };
    return [own, ...below];
  });
}

/** What is shown of a view; of one that can't be shown, the error. */
function shown(face: (view: never) => JSX.Element, view: object): string {
  try {
    act(() =>
      root.render(<div key={Math.random()}>{face(view as never)}</div>)
    );
    return host.innerHTML;
  } catch (error) {
    return `${error}`;
  }
}

function missing(
  name: string,
  views = samples[name]
): { left: string[]; rendered: string[] } {
  const seen = new Map<string, boolean>();
  for (const sample of views) {
    const before = shown(FACES[name], sample);
    expect(before).toMatch(/^</); // else it can't be shown
    for (const { path, find } of leaves(sample)) {
      const [container, key] = find(sample as Container);
      const changed = others(key, container[key]).some(value => {
        if (seen.get(path)) {
          return true;
        }
        const copy = structuredClone(sample) as Container;
        const [target] = find(copy);
        target[key] = value;
        return shown(FACES[name], copy) !== before;
      });
      seen.set(path, changed || !!seen.get(path));
    }
  }
  const paths = [...seen.keys()];
  return {
    left: paths.filter(path => !seen.get(path)),
    rendered: paths.filter(path => seen.get(path))
  };
}

describe('members of views', () => {
  beforeEach(() => {
    jest.spyOn(console, 'error').mockImplementation(nothing);
    Object.assign(globalThis, { ResizeObserver: NoResizes });
  });

  it.each(Object.keys(FACES))('of %s are rendered', name => {
    const excepted = Object.keys(unrendered[name]);
    const { left, rendered } = missing(name);
    const isBelow = (path: string) =>
      excepted.some(
        one =>
          path === one ||
          path.startsWith(`${one}.`) ||
          path.startsWith(`${one}[`)
      );
    expect(left.filter(path => !isBelow(path))).toEqual([]);
    expect(excepted.filter(path => rendered.includes(path))).toEqual([]);
  });

  it.each(Object.keys(FACES))('that %s gains are missed at first', name => {
    const views = samples[name].map(view => ({ ...view, made_up: 7 }));
    expect(missing(name, views).left).toContain('made_up');
  });
});
