import type { CodeCellModel } from '@jupyterlab/cells';
import { NotebookModel } from '@jupyterlab/notebook';
import { nullTranslator } from '@jupyterlab/translation';
import { KernelMessage, ServerConnection } from '@jupyterlab/services';
import { Signal } from '@lumino/signaling';

import { fill } from '../cells/badges';
import { linesOf } from '../cells/graph';
import { CellStates } from '../cells/model';
import { IWindowSession, OtherWindows } from '../cells/otherwindows';
import { stamped } from '../cells/stamp';
import { planLines, totalLine } from '../cells/plan';
import { markHeadings, markOf } from '../cells/toc';
import { BadgeState, ICellStateView, IPlanView } from '../cells/tokens';
import { Follower } from '../model';
import { Api, RequestError } from '../request';
import { MIME_TYPE } from '../tokens';
import { example } from './example';
import { FakeServer } from './server';

const trans = nullTranslator.load('desipipe');

/** A server that answers with these states, and what it was asked. */
function server(answer: () => ICellStateView[]): {
  follower: Follower;
  asked: { cells: { source: string; outputs?: unknown[] }[] }[];
} {
  const asked: { cells: { source: string }[] }[] = [];
  const settings = ServerConnection.makeSettings({
    baseUrl: 'http://localhost/',
    fetch: async request => {
      asked.push(await (request as Request).json());
      return new Response(JSON.stringify({ cells: answer(), shown: [] }));
    }
  });
  return { follower: new Follower(new Api(settings)), asked };
}

function notebook(...sources: string[]): NotebookModel {
  const model = new NotebookModel();
  model.fromJSON({
    cells: sources.map((source, i) => ({
      cell_type: 'code',
      id: `c${i}`,
      source,
      metadata: {},
      outputs: [],
      execution_count: null
    })),
    metadata: {},
    nbformat: 4,
    nbformat_minor: 5
  });
  return model;
}

const state = (changes: Partial<ICellStateView> = {}): ICellStateView => ({
  cell: 2,
  title: 'frac',
  state: 'current',
  reason: '',
  needs: {},
  ...changes
});

beforeEach(() => {
  // Of yjs, about models that are made without a document.
  jest.spyOn(console, 'warn').mockImplementation(() => undefined);
});

/** Wait until something holds. */
async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !holds(); i++) {
    await new Promise(resolve => setTimeout(resolve, 5));
  }
  expect(holds()).toBe(true);
}

describe('states of cells', () => {
  it('are asked for when the text rests, and not while nothing changes', async () => {
    const { follower, asked } = server(() => [state({ state: 'never run' })]);
    const model = notebook('x = 1', '%%desipipe --out frac\nfrac = x');
    const states = new CellStates(model, follower, 5);
    await until(() => states.get(model.cells.get(1))?.state === 'never run');
    expect(states.get(model.cells.get(0))).toBeNull();
    expect(asked).toEqual([
      {
        cells: [
          { cell_type: 'code', id: 'c0', source: 'x = 1' },
          {
            cell_type: 'code',
            id: 'c1',
            source: '%%desipipe --out frac\nfrac = x'
          }
        ]
      }
    ]);
    // Something else changes, such as an output that is no display of tasks.
    (model.cells.get(0) as CodeCellModel).outputs.add({
      output_type: 'stream',
      name: 'stdout',
      text: 'words'
    });
    await new Promise(resolve => setTimeout(resolve, 50));
    expect(asked.length).toBe(1);
    for (const letter of 'abc') {
      model.cells.get(0).sharedModel.setSource(`x = ${letter}`);
    }
    await until(() => asked.length === 2);
    expect(asked[1].cells[0].source).toBe('x = c');
    states.dispose();
  });

  it('follow the tasks of cells that are current', async () => {
    const { follower, asked } = server(() => [state()]);
    const model = notebook('x = 1', '%%desipipe --out frac\nfrac = x');
    const shown = example({ ran: { text: 'ab', reads: { x: 'cd' } } });
    (model.cells.get(1) as CodeCellModel).outputs.add({
      output_type: 'display_data',
      data: { [MIME_TYPE]: shown as never },
      metadata: {}
    });
    const states = new CellStates(model, follower, 5);
    const cell = model.cells.get(1);
    await until(() => states.get(cell)?.state === 'running');
    const { folder, rows, first, title, ran } = shown;
    expect(asked[0].cells[1].outputs).toEqual([
      { data: { [MIME_TYPE]: { folder, rows, first, title, ran } } }
    ]);
    const over = { ...shown, left: 0, blocked: 0, time: shown.time + 1 };
    follower.note({ ...over, counts: { SUCCEEDED: 20 } });
    expect(states.get(cell)?.state).toBe('current');
    follower.note({ ...over, counts: { SUCCEEDED: 19, FAILED: 1 } });
    expect(states.get(cell)?.state).toBe('failed');
    follower.note({ ...over, gone: 'its queue was deleted' });
    expect(states.get(cell)?.state).toBe('unknown');
    // What the kernel saw of values counts; what it saw of text, the server knows better.
    const { outputs } = cell as CodeCellModel;
    const say = (by?: 'value') => {
      const badge = { state: 'stale', reason: 'why', ...(by && { by }) };
      const data = { [MIME_TYPE]: { ...shown, badge } as never };
      outputs.set(0, { output_type: 'display_data', data, metadata: {} });
      return states.get(cell);
    };
    expect(say('value')).toEqual(state({ state: 'stale', reason: 'why' }));
    expect(say()?.state).toBe('unknown');
    states.dispose();
  });

  it('ask about tasks that no display on the screen asks about', async () => {
    const shown = example({ ran: { text: 'ab', reads: { x: 'cd' } } });
    const counts = { SUCCEEDED: 20 };
    const over = { ...shown, left: 0, condition: 'done', counts } as const;
    const asked: string[] = [];
    let answer: object = { ...shown, time: shown.time + 1 };
    const settings = ServerConnection.makeSettings({
      baseUrl: 'http://localhost/',
      fetch: async request => {
        const { pathname, searchParams } = new URL((request as Request).url);
        if (pathname.endsWith('/events')) {
          return new Promise<Response>(() => undefined);
        }
        if (pathname.endsWith('/cell')) {
          asked.push(
            `${searchParams.get('rows')} ${searchParams.get('outputs')}`
          );
          return new Response(JSON.stringify(answer));
        }
        const cells = [state({ cell: 1 })];
        return new Response(JSON.stringify({ cells, shown: [] }));
      }
    });
    const follower = new Follower(new Api(settings));
    const model = notebook('%%desipipe --out frac\nfrac = 1');
    const cell = model.cells.get(0) as CodeCellModel;
    const data = { [MIME_TYPE]: shown as never };
    cell.outputs.add({ output_type: 'display_data', data, metadata: {} });
    const states = new CellStates(model, follower, 5);
    await until(() => asked.length === 1);
    expect(asked).toEqual([`${shown.rows} false`]);
    expect(states.get(cell)?.state).toBe('running');
    expect(follower.folders).toEqual([shown.folder]);
    // Another question, as the text has changed.
    answer = { ...over, time: shown.time + 2 };
    cell.sharedModel.setSource('%%desipipe --out frac\nfrac = 2');
    await until(() => states.get(cell)?.state === 'current');
    expect(states.nodes[0].done).toBe(20);
    expect(follower.folders).toEqual([shown.folder]); // which may lose them
    for (const [condition, badge] of [
      ['paused', 'paused'],
      ['stopped', 'no worker'],
      ['running', 'running']
    ] as const) {
      follower.note({ ...shown, condition, time: shown.time + 3 });
      expect(states.get(cell)?.state).toBe(badge);
    }
    follower.note({ ...over, time: shown.time + 3, total: 0, superseded: 20 });
    expect(states.get(cell)?.state).toBe('stale');
    // Its queue was deleted.
    const message = 'The queue in /q is gone. Nothing was recreated.';
    follower.noteError(shown, new RequestError(message, 404, 'Other'));
    expect(states.get(cell)?.state).toBe('stale');
    follower.noteError(shown, new RequestError(message, 404, 'QueueGoneError'));
    expect(states.get(cell)).toMatchObject({
      state: 'unknown',
      reason: 'The queue in /q is gone.'
    });
    states.dispose();
  });

  it('learn that tasks which succeeded are lost, and ask nothing before', async () => {
    const server = new FakeServer();
    const follower = new Follower(server.api);
    const shown = example({
      ran: { text: 'ab', reads: {} },
      counts: { SUCCEEDED: 20 },
      left: 0,
      condition: 'done',
      failure: null
    });
    server.cells = { cells: [1, 2].map(cell => state({ cell })), shown: [] };
    const model = notebook('%%desipipe\nx = 1', '%%desipipe\ny = 1');
    [shown, { ...shown, folder: '/other' }].forEach((one, i) => {
      const data = { [MIME_TYPE]: one as never };
      const { outputs } = model.cells.get(i) as CodeCellModel;
      outputs.add({ output_type: 'display_data', data, metadata: {} });
    });
    const states = new CellStates(model, follower, 5);
    const badges = () => states.all.map(({ state }) => state);
    await until(() => badges().length === 2 && !!server.stream);
    const tell = (n: number) => {
      const counts = { SUCCEEDED: n };
      server.stream.send({ queue: shown.folder, superseded: 0, counts });
    };
    tell(90);
    tell(91);
    await new Promise(resolve => setTimeout(resolve, 50));
    expect(badges()).toEqual(['current', 'current']);
    expect(server.count('cell?')).toBe(0);
    // Two of its tasks were deleted, of 91.
    const time = shown.time + 1;
    server.cell = { ...shown, total: 18, counts: { SUCCEEDED: 18 }, time };
    tell(89);
    await until(() => badges()[0] === 'unknown');
    expect(states.all[0].reason).toBe('2 tasks of it were deleted');
    expect(server.count('cell?')).toBe(1);
    // The queue of the other cell was deleted.
    const message = 'The queue in /other is gone. Nothing was recreated.';
    server.stream.send({ queue: '/other', error: 'QueueGoneError', message });
    await until(() => badges()[1] === 'unknown');
    expect(states.all[1].reason).toBe('The queue in /other is gone.');
    expect(server.count('cell?')).toBe(1);
    expect(follower.folders).toEqual([shown.folder]);
    states.dispose();
    expect(follower.folders).toEqual([]);
  });

  it('follow tasks that another window runs', async () => {
    const { follower, asked } = server(() => [
      state({ state: asked.length > 1 ? 'current' : 'never run' })
    ]);
    const model = notebook('x = 1', '%%desipipe --out frac\nfrac = x');
    const iopubMessage = new Signal<object, KernelMessage.IMessage>({});
    const session = {
      iopubMessage,
      session: { kernel: { clientId: 'here' } }
    } as unknown as IWindowSession;
    const cell = model.cells.get(1);
    const find = (id: string) => (id === cell.id ? cell : undefined);
    const others = new OtherWindows(session, find, follower);
    const path = () => undefined;
    const states = new CellStates(model, follower, 5, path, others);
    const shown = example({ ran: { text: 'ab', reads: { x: 'cd' } } });
    const tell = (type: string, from: string, data: object) =>
      iopubMessage.emit({
        header: { msg_type: type },
        parent_header: { session: from },
        content: {
          data: { [MIME_TYPE]: data },
          transient: { display_id: 'd', cell_id: cell.id }
        }
      } as unknown as KernelMessage.IMessage);
    await until(() => states.get(cell)?.state === 'never run');
    tell('display_data', 'there', shown);
    await until(() => states.get(cell)?.state === 'running');
    expect(asked[1].cells[1].outputs).toMatchObject([
      { data: { [MIME_TYPE]: { rows: shown.rows, ran: shown.ran } } }
    ]);
    // A thread of the kernel updates it, with the parent of whichever cell ran last.
    const over = { left: 0, blocked: 0, counts: { SUCCEEDED: 20 } };
    tell('update_display_data', 'here', {
      ...shown,
      ...over,
      time: Date.now()
    });
    expect(states.get(cell)?.state).toBe('current');
    expect(states.nodes[0].done).toBe(20);
    expect(asked.length).toBe(2);
    // This window runs it after that: what it shows itself counts.
    tell('display_data', 'here', shown);
    await until(() => asked.length === 3);
    expect(asked[2].cells[1].outputs).toBeUndefined();
    states.dispose();
    expect(others.isDisposed).toBe(true);
  });

  it('are those of the journal where a cell has no output of its last run', async () => {
    const tasks = example({ ran: { text: 'ab', reads: { x: 'cd' } } });
    const failed = { ...tasks.counts, PENDING: 0, RUNNING: 0, FAILED: 1 };
    const { version, folder, rows, first, title, ran } = tasks;
    const asked: string[] = [];
    const settings = ServerConnection.makeSettings({
      baseUrl: 'http://localhost/',
      fetch: async request => {
        const { pathname } = new URL((request as Request).url);
        asked.push(pathname.slice(pathname.lastIndexOf('/') + 1));
        if (pathname.endsWith('/cell')) {
          const answer = { ...tasks, left: 0, counts: failed };
          return new Response(JSON.stringify(answer));
        }
        const display = { version, folder, rows, first, title, ran };
        const cells = [state({ cell: 1 })];
        const shown = [{ cell: 1, display }];
        return new Response(JSON.stringify({ cells, shown }));
      }
    });
    const model = notebook('%%desipipe --out frac\nfrac = x');
    const cell = model.cells.get(0) as CodeCellModel;
    const states = new CellStates(model, new Follower(new Api(settings)), 5);
    const seen: string[] = [];
    states.changed.connect(() => seen.push(states.get(cell)?.state ?? ''));
    await until(() => states.get(cell)?.state === 'failed');
    expect(seen[0]).toBe('unknown'); // until the server tells of its tasks
    expect(states.missing(cell)).toMatchObject({ rows, ran });
    expect(states.nodes[0].total).toBe(tasks.total);
    // Asked again, it is the same run.
    cell.sharedModel.setSource('%%desipipe --out frac\nfrac = x + 0');
    await until(() => asked.filter(path => path === 'cells').length === 2);
    expect(states.get(cell)?.state).toBe('failed');
    expect(asked.filter(path => path === 'cell').length).toBe(1);
    // The cell runs here: its own output counts.
    const data = { [MIME_TYPE]: { ...tasks, rows: '7' } as never };
    cell.outputs.add({ output_type: 'display_data', data, metadata: {} });
    expect(states.missing(cell)).toBeNull();
    expect(states.get(cell)?.state).toBe('running');
    states.dispose();
  });

  it('are unknown where the server does not answer, until it does', async () => {
    let fails = false;
    const { follower } = server(() => {
      if (fails) {
        throw new Error('down');
      }
      return [state({ cell: 1, state: 'edited' })];
    });
    const model = notebook('%%desipipe\nx = 1');
    const states = new CellStates(model, follower, 5);
    const cell = model.cells.get(0);
    await until(() => states.get(cell)?.state === 'edited');
    fails = true;
    cell.sharedModel.setSource('%%desipipe\nx = 2');
    await until(() => states.get(cell)?.state === 'unknown');
    fails = false;
    cell.sharedModel.setSource('%%desipipe\nx = 3');
    await until(() => states.get(cell)?.state === 'edited');
    expect(states.all.length).toBe(1);
    states.dispose();
  });

  it('of notebooks without task cells are asked of nobody', async () => {
    const { follower, asked } = server(() => []);
    const states = new CellStates(notebook('x = 1'), follower, 1);
    await new Promise(resolve => setTimeout(resolve, 50));
    expect(asked).toEqual([]);
    states.dispose();
  });
});

describe('badges', () => {
  it('say the state in words, and why', () => {
    const node = document.createElement('div');
    const reason = 'helper `inside` changed in cell 3';
    fill(node, state({ state: 'stale', reason }), trans);
    expect(node.textContent).toBe(`↻stale: ${reason}`);
    const [symbol, said] = Array.from(node.children);
    expect(symbol.getAttribute('aria-hidden')).toBe('true');
    fill(node, state({ state: 'stale', reason }), trans);
    expect(node.children[1]).toBe(said); // untouched
    fill(node, state({ state: 'never run' }), trans);
    expect(node.textContent).toBe('○never run');
    expect(node.dataset.badge).toBe('never run');
  });
});

describe('saved displays', () => {
  const html = '<div class="desipipe-cell"><div>20 tasks</div></div>';
  const data = {
    [MIME_TYPE]: { rows: '0' },
    'text/html': html,
    'text/plain': '20 tasks\nmore'
  };

  it('say the state, and say it no more', () => {
    const stale = state({
      state: 'stale',
      reason: 'helper `a<b` changed in cell 3'
    });
    const found = stamped(data, stale)!;
    expect(found['text/html']).toBe(
      '<div class="desipipe-cell"><div class="desipipe-badge"><b>↻ stale: helper `a&lt;b` changed in cell 3</b></div><div>20 tasks</div></div>'
    );
    expect(found['text/plain']).toBe(
      '↻ stale: helper `a<b` changed in cell 3\n20 tasks\nmore'
    );
    expect(stamped(found, stale)).toBeNull();
    const edited = stamped(found, state({ state: 'edited', reason: '' }))!;
    expect(edited['text/plain']).toBe('✎ edited\n20 tasks\nmore');
    expect(stamped(edited, null)).toEqual(data);
    expect(stamped(data, null)).toBeNull();
  });
});

describe('graph', () => {
  it('gives each line a lane of its own while others are under way', () => {
    const cells: Partial<ICellStateView>[] = [
      { cell: 1, needs: {} },
      { cell: 3, needs: { a: 1, b: 1 } },
      { cell: 4, needs: { a: 1, gone: 9 } },
      { cell: 6, needs: { c: 3, d: 4 } }
    ];
    const nodes = cells.map(one => ({
      state: state(one),
      done: null,
      total: 0,
      elapsed: null
    }));
    expect(linesOf(nodes)).toEqual([
      { from: 0, to: 1, lane: 0, names: 'a, b' },
      { from: 0, to: 2, lane: 1, names: 'a' },
      { from: 1, to: 3, lane: 0, names: 'c' },
      { from: 2, to: 3, lane: 1, names: 'd' }
    ]);
  });
});

describe('marks of headings', () => {
  it('say what is not current in a section', () => {
    expect(markOf(['current', 'stale', 'failed', 'stale'])).toBe('✕↻');
    const headings = [1, 2, 1].map((level, i) => ({ level, text: `${i}` }));
    const emit = jest.fn();
    const model = { headings, stateChanged: { emit } };
    const marks = (states: (BadgeState | null)[]) => {
      markHeadings(model as never, states, one => 2 * Number(one.text));
      return headings.map(one => (one as { dataset?: object }).dataset);
    };
    const mark = (text: string) => ({ 'data-desipipe-mark': text });
    expect(marks([null, 'edited', null, 'stale', null, 'current'])).toEqual([
      mark('✎↻'),
      mark('↻'),
      undefined
    ]);
  });
});

describe('plan', () => {
  it('says what it takes', () => {
    const each = { seconds: 36, runs: 3, nodes: 0.5, charge_factor: 2 };
    const plan: IPlanView = {
      cells: [
        {
          ...state({ cell: 1 }),
          tasks: 0,
          each: null,
          seconds: null,
          node_hours: null,
          charge: null
        },
        {
          ...state({ state: 'stale', reason: 'why' }),
          tasks: 200,
          each,
          seconds: 7200,
          node_hours: 1,
          charge: 2
        },
        {
          ...state({ cell: 3, state: 'edited', title: '' }),
          tasks: null,
          each: null,
          seconds: null,
          node_hours: null,
          charge: null
        },
        {
          ...state({ cell: 4, state: 'failed' }),
          tasks: 0,
          each: null,
          seconds: null,
          node_hours: null,
          charge: null
        }
      ],
      to_run: [1, 2, 3],
      total: {
        cells: 3,
        tasks: null,
        seconds: null,
        node_hours: null,
        charge: null
      }
    };
    expect(planLines(plan, trans)).toEqual([
      '↻ cell 2 frac  stale: why (at most 200 tasks, 36.0 s each in 3 earlier runs, 1 node-hour, charged as 2)',
      '✎ cell 3  edited (tasks not known before it runs, no earlier run)',
      '✕ cell 4 frac  failed (adds no task: correct it, or retry its tasks)'
    ]);
    expect(totalLine(plan, trans)).toBe(
      '3 cells not current, at most 200 tasks in 1 cell, 2 h 0 min of task time in 1 cell, 1 node-hour, charged as 2.'
    );
  });
});
