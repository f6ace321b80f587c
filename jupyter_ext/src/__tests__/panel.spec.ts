import { Notification } from '@jupyterlab/apputils';
import { NotebookModel } from '@jupyterlab/notebook';
import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';

import { Follower } from '../model';
import { hasRow, placeOf } from '../panel/cells';
import { NotebookQueues, usedAmong, usesOf } from '../panel/notebookqueues';
import { LogModel, shown } from '../panel/log';
import { dismissOthers, news, notify } from '../panel/notify';
import { fold, place, short, TASK } from '../panel/pictures/layout';
import { QueuesModel } from '../panel/queues';
import { TaskModel } from '../panel/task';
import { TasksModel } from '../panel/tasks';
import {
  IGraphView,
  IListedQueue,
  IOutputPiece,
  ISettings,
  ITaskView,
  NO_FILTER
} from '../panel/tokens';
import { Api } from '../request';
import { MIME_TYPE } from '../tokens';
import { example, queueLine as line } from './example';
import { fakeSockets, settle, until } from './server';

/** Answers of the server by path, and what it was asked. */
class Answers {
  asked: string[] = [];
  by: Record<string, (query: URLSearchParams) => object | number> = {};
  stream: ((data: object) => void) | null = null;
  end: (() => void) | null = null;

  readonly api = new Api(
    ServerConnection.makeSettings({
      baseUrl: 'http://localhost/prefix/',
      token: 'secret',
      fetch: async request => {
        const url = new URL((request as Request).url);
        const path = url.pathname.replace('/prefix/desipipe/api/', '');
        this.asked.push(path);
        const answer = this.by[path]?.(url.searchParams) ?? 404;
        if (answer === 0) {
          throw new TypeError('no answer');
        }
        return typeof answer === 'number'
          ? new Response('{"error": "E", "message": "It is so."}', {
              status: answer
            })
          : new Response(JSON.stringify(answer));
      },
      WebSocket: fakeSockets(
        () => this.by.events === undefined,
        stream => {
          this.stream = data => stream.send(data);
          this.end = () => stream.end();
        }
      )
    })
  );

  count(path: string): number {
    return this.asked.filter(name => name === path).length;
  }
}

const TIMING = { gather: 1, backoff: 5, patience: 20, interval: 1, linger: 1 };

const SETTINGS: ISettings = {
  folders: [],
  refresh: 3600,
  background: true,
  notifyFailure: true,
  notifyCompletion: true
};

/** Reads a log that comes in these pieces, and has ended after them. */
function readLog(server: Answers, pieces: Partial<IOutputPiece>[]): LogModel {
  server.by.log = () => ({
    offset: 0,
    part: 'p',
    fresh: false,
    more: false,
    over: false,
    attempt: 1,
    ...(pieces.shift() ?? { text: '', over: true })
  });
  const log = new LogModel(server.api, '/q', 'tid', 'out');
  log.visible = true;
  return log;
}

describe('QueuesModel', () => {
  const answers = () => {
    const it = new Answers();
    it.by.queues = () => [line()];
    return it;
  };

  it('asks nothing while nobody looks and nothing is followed in the background', async () => {
    const server = answers();
    const model = new QueuesModel(new Follower(server.api, TIMING), 1);
    model.configure({ ...SETTINGS, background: false });
    await settle();
    expect(server.asked).toEqual([]);
    model.visible = true;
    await until(() => model.lines !== null, 'there are queues');
    await until(() => server.stream !== null, 'they are followed');
    model.dispose();
  });

  it('asks once in the background, and is told from then on', async () => {
    const server = answers();
    const model = new QueuesModel(new Follower(server.api, TIMING), 1);
    model.configure(SETTINGS);
    await until(() => server.stream !== null, 'they are followed');
    server.stream!(line({ time: 1001, counts: { SUCCEEDED: 3 }, left: 0 }));
    // The stream names the queue as it was asked for.
    server.stream!({
      ...line({ time: 1002, total: 4 }),
      queue: '/q/test.queue'
    });
    await until(() => model.lines?.[0].total === 4, 'it was told');
    expect(model.lines?.[0].queue).toBe('test');
    expect(server.count('queues')).toBe(1);
    model.dispose();
  });

  it('keeps what is known of a queue that is gone, says so, and recovers', async () => {
    const server = answers();
    const model = new QueuesModel(new Follower(server.api, TIMING), 1);
    model.configure(SETTINGS);
    await until(() => server.stream !== null, 'they are followed');
    const queue = '/q/test.queue';
    server.stream!({
      queue,
      folder: queue,
      error: 'FolderError',
      message: 'It is gone.'
    });
    await until(() => model.lines?.[0].error === 'It is gone.', 'it is gone');
    expect(model.lines?.[0].total).toBe(3);
    server.stream!({ ...line({ time: 1003 }), queue });
    await until(() => model.lines?.[0].error === '', 'it is back');
    model.dismiss(queue);
    expect(model.lines).toEqual([]);
    model.dispose();
  });

  it('does not list a queue that was deleted, until it is there again', async () => {
    const server = answers();
    const model = new QueuesModel(new Follower(server.api, TIMING), 1);
    model.configure(SETTINGS);
    await until(() => server.stream !== null, 'they are followed');
    const queue = '/q/test.queue';
    const gone = { queue, error: 'QueueGoneError', message: 'It is gone.' };
    server.by.queues = () => [];
    server.stream!(gone);
    await until(() => model.lines?.length === 0, 'it is not listed');
    server.by.queues = () => [line()];
    server.stream = null;
    model.refresh();
    await until(
      () => model.lines?.length === 1 && server.stream !== null,
      'it is listed, and followed again'
    );
    // One that was cleared is there: the server finds it.
    const asked = server.count('queues');
    server.stream!(gone);
    await until(
      () => server.count('queues') > asked && model.lines?.length === 1,
      'the server is asked, and still lists it'
    );
    model.dispose();
  });

  it('says that the server gives no answer, and finds back', async () => {
    const server = answers();
    const model = new QueuesModel(new Follower(server.api, TIMING), 1);
    model.visible = true;
    model.configure(SETTINGS);
    await until(() => server.stream !== null, 'they are followed');
    const asked = server.count('queues');
    server.by.events = () => 0;
    server.end!();
    await until(() => model.isLost, 'the server is lost');
    delete server.by.events;
    await until(() => !model.isLost, 'it is back');
    await until(() => server.count('queues') > asked, 'it is asked again');
    model.dispose();
  });

  it('says why the server refuses', async () => {
    const server = new Answers();
    server.by.queues = () => 500;
    const model = new QueuesModel(new Follower(server.api, TIMING), 1);
    model.visible = true;
    model.configure(SETTINGS);
    await until(() => model.problem !== null, 'it refused');
    expect(model.problem?.message).toBe('It is so.');
    expect(model.lines).toBe(null);
    model.dispose();
  });
});

describe('TasksModel', () => {
  const model = (total = 1000) => {
    const server = new Answers();
    server.by.tasks = query => {
      const offset = Number(query.get('offset'));
      const limit = Number(query.get('limit'));
      const n = query.get('text') ? 1 : total;
      const tasks = Array.from(
        { length: Math.max(0, Math.min(limit, n - offset)) },
        (_, i) => ({ row: offset + i, tid: `${offset + i}`, name: 'f' })
      );
      return { total: n, offset, tasks };
    };
    return { server, tasks: new TasksModel(server.api, '/q') };
  };

  it('asks for the pages that are looked at, once', async () => {
    const { server, tasks } = model();
    tasks.want(0, 30);
    await until(() => tasks.total === 1000, 'the first page is there');
    tasks.want(250, 310);
    await until(() => tasks.get(310)?.row === 310, 'these are there');
    expect(tasks.get(150)).toBe(undefined);
    await settle();
    expect(server.asked.length).toBe(3);
    tasks.want(260, 300);
    await settle();
    expect(server.asked.length).toBe(3);
  });

  it('asks again for what is looked at when something happened, and shows the old until then', async () => {
    const { server, tasks } = model();
    tasks.want(0, 30);
    await until(() => tasks.total === 1000, 'the first page is there');
    tasks.touch();
    expect(tasks.get(0)?.row).toBe(0);
    await settle();
    expect(server.asked.length).toBe(2);
  });

  it('keeps which tasks are selected, as they are now', async () => {
    const { server, tasks } = model();
    tasks.want(0, 30);
    await until(() => tasks.total === 1000, 'the first page is there');
    const row = (place: number) => tasks.get(place)!;
    const selected = () => [...tasks.selected.keys()];
    tasks.select([row(3)]);
    tasks.select([row(5)]);
    tasks.select([row(5), row(6)]);
    expect(selected()).toEqual(['3', '5', '6']);
    tasks.select([row(5)]);
    expect(selected()).toEqual(['3', '6']);
    const { tasks: answer } = server.by;
    server.by.tasks = query => {
      const page = answer(query) as { tasks: { state: string }[] };
      page.tasks.forEach(task => (task.state = 'FAILED'));
      return page;
    };
    tasks.touch();
    await until(() => tasks.selected.get('3')?.state === 'FAILED', 'it is new');
    tasks.clearSelection();
    expect(selected()).toEqual([]);
  });

  it('shows nothing of one filter under another', async () => {
    const { tasks } = model();
    tasks.want(0, 30);
    await until(() => tasks.total === 1000, 'the first page is there');
    tasks.filter = { ...NO_FILTER, text: 'f[1]' };
    expect(tasks.isOld).toBe(true);
    await until(() => !tasks.isOld, 'the answer is there');
    expect(tasks.total).toBe(1);
    expect(tasks.get(5)).toBe(undefined);
  });

  it('says why the server refuses, and tries again', async () => {
    const { server, tasks } = model();
    const answer = server.by.tasks;
    server.by.tasks = () => 410;
    tasks.want(0, 30);
    await until(() => tasks.problem !== null, 'it refused');
    server.by.tasks = answer;
    tasks.touch();
    await until(() => tasks.total === 1000, 'it answered');
    expect(tasks.problem).toBe(null);
  });
});

describe('TaskModel', () => {
  it('asks nothing while nobody looks; says what is wrong, and when it no longer is', async () => {
    const server = new Answers();
    let answer: object | number = { tid: 'abc', state: 'RUNNING', attempt: 1 };
    server.by.task = () => answer;
    server.by.log = () => 404;
    const follower = new Follower(server.api, TIMING);
    const model = new TaskModel(follower, '/q/test.queue', 'abc', 1);
    let changes = 0;
    model.changed.connect(() => (changes += 1));
    model.refresh();
    await settle();
    expect(server.asked).toEqual([]);
    model.visible = true;
    await until(() => changes === 1, 'it was told');
    model.refresh();
    await settle();
    expect([model.task, changes]).toEqual([answer, 1]); // it is as it was
    const known = answer;
    answer = 410;
    model.refresh();
    await until(() => changes === 2, 'it is refused');
    expect([model.task, model.problem?.message]).toEqual([known, 'It is so.']);
    answer = known;
    model.refresh();
    await until(() => changes === 3, 'it is told again');
    expect(model.problem).toBe(null);
    model.dispose();
    const asked = server.count('task');
    model.visible = true;
    model.refresh();
    await settle();
    expect(server.count('task')).toBe(asked);
  });

  it('asks nothing of a queue that was deleted until it is back', async () => {
    const server = new Answers();
    server.by.task = () => ({ tid: 'abc', state: 'RUNNING', attempt: 1 });
    server.by.log = () => 404;
    const follower = new Follower(server.api, TIMING);
    const model = new TaskModel(follower, '/q/test.queue', 'abc', 1);
    model.visible = true;
    await until(() => model.task !== null && !!server.stream, 'it is told');
    await settle();
    const asked = server.asked.length;
    const error = { error: 'QueueGoneError', message: 'It is gone.' };
    server.stream!({ queue: '/q/test.queue', ...error });
    await until(() => model.problem !== null, 'it is told of');
    expect(model.problem?.message).toBe('It is gone.');
    model.refresh();
    model.visible = false;
    model.visible = true;
    await settle();
    expect(server.asked.length).toBe(asked);
    server.stream!(line({ folder: '/q/test.queue', queue: '/q/test.queue' }));
    await until(() => model.problem === null, 'it is back');
    expect(server.asked.length).toBeGreaterThan(asked);
    model.dispose();
  });
});

describe('queues of a notebook', () => {
  it('says which are not shown, once the stream has told why', async () => {
    const server = new Answers();
    const follower = new Follower(server.api, TIMING);
    const model = new NotebookModel();
    const folders = ['/q/listed.queue', '/far/a.queue', '/q/deleted.queue'];
    model.fromJSON({
      cells: folders.map(folder => ({
        cell_type: 'code',
        source: 'f(1)',
        metadata: {},
        execution_count: 1,
        outputs: [
          {
            output_type: 'display_data',
            data: { [MIME_TYPE]: { ...example(), folder } },
            metadata: {}
          }
        ]
      })),
      metadata: {},
      nbformat: 4,
      nbformat_minor: 5
    } as never);
    const notebooks = {
      currentWidget: { content: { model } },
      currentChanged: new Signal({})
    } as never;
    const queues = new NotebookQueues(notebooks, follower);
    const lines = [line({ folder: folders[0] })];
    let changes = 0;
    queues.changed.connect(() => (changes += 1));
    expect(queues.refusals(lines)).toEqual([]);
    expect(follower.folders).toEqual([folders[1], folders[2]]);
    await until(() => !!server.stream, 'they are followed');
    const message = '/far/a.queue is outside.';
    const refusal = { error: 'PermissionDeniedError', message };
    server.stream!({ queue: folders[1], ...refusal });
    server.stream!({
      queue: folders[2],
      error: 'UnknownQueueError',
      message: ''
    });
    await until(() => changes === 1, 'it is told');
    expect(queues.refusals(lines)).toEqual([message]);
    expect(follower.folders).toEqual([folders[2]]);
    expect(queues.refusals([...lines, line({ folder: folders[2] })])).toEqual([
      message
    ]);
    expect(follower.folders).toEqual([]);
    model.dispose();
  });

  it('are those whose tasks its cells show, and those it names', () => {
    const model = new NotebookModel();
    const display = { ...example(), folder: '/q/shown.queue' };
    model.fromJSON({
      cells: [
        ['%load_ext desipipe\n%desipipe use named', []],
        ["# %desipipe use not\n%desipipe use 'a b'", []],
        ['f(1)', [{ [MIME_TYPE]: display }]]
      ].map(([source, shown], i) => ({
        cell_type: 'code',
        id: `c${i}`,
        source,
        metadata: {},
        execution_count: null,
        outputs: (shown as object[]).map(data => ({
          output_type: 'display_data',
          data,
          metadata: {}
        }))
      })),
      metadata: {},
      nbformat: 4,
      nbformat_minor: 5
    } as never);
    const names = ['named', 'shown', 'not', 'a b', 'other'];
    const lines = names.map(queue => ({ queue, folder: `/q/${queue}.queue` }));
    expect([...usedAmong(usesOf(model.cells), lines)]).toEqual([
      '/q/named.queue',
      '/q/shown.queue',
      '/q/a b.queue'
    ]);
    model.dispose();
  });
});

describe('LogModel', () => {
  it('shows text as text', () => {
    expect(shown('<b>\x1b[1;31mred\x1b[0m</b>\x1b]8;;x\x07 link')).toBe(
      '<b>red</b> link'
    );
    expect(shown('10%\r50%\r99%\r')).toBe('99%');
    expect(shown('a\x00b\x07')).toBe('a␀b␇');
    expect(shown('\u202eevil')).toBe('\ufffdevil');
    expect(shown('x'.repeat(1e6)).length).toBeLessThan(6000);
  });

  it('puts pieces together, and begins anew with another attempt', async () => {
    const server = new Answers();
    const pieces: Partial<IOutputPiece>[] = [
      { text: 'one\ntw', more: true },
      { text: 'o\nthree\n' },
      { text: 'again\n', fresh: true, over: true }
    ];
    const log = readLog(server, pieces);
    await until(() => log.lines.length === 3, 'the first are there');
    expect(log.lines).toEqual(['one', 'two', 'three']);
    expect(log.times).toEqual([null, null, null]);
    await until(() => log.isOver, 'it is over');
    expect(log.lines).toEqual(['again']);
    expect(log.times).not.toContain(null);
    await settle();
    expect(server.asked.length).toBe(3);
    log.dispose();
  });

  it('knows when lines came, also when the text is read anew', async () => {
    const server = new Answers();
    const pieces: Partial<IOutputPiece>[] = [
      { text: 'one\n' },
      { text: 'two\n' },
      { text: 'one\ntwo\nthree\n', fresh: true, over: true }
    ];
    const log = readLog(server, pieces);
    await until(() => log.lines.length === 2, 'the second line');
    const [first, second] = log.times;
    expect(first).toBeNull();
    expect(second).not.toBeNull();
    await until(() => log.isOver, 'it is over');
    expect(log.times.slice(0, 2)).toEqual([first, second]);
    expect(log.times[2]).toBeGreaterThanOrEqual(second!);
    log.dispose();
  });

  it('keeps the last lines of very many', async () => {
    const server = new Answers();
    server.by.log = () => ({
      offset: 1,
      part: 'p',
      fresh: false,
      more: false,
      over: true,
      attempt: 1,
      text: Array.from({ length: 12_000 }, (_, i) => `${i}`).join('\n') + '\n'
    });
    const log = new LogModel(server.api, '/q', 'tid', 'out');
    log.visible = true;
    await until(() => log.isOver, 'it is over');
    expect(log.lines.length).toBe(5000);
    expect(log.dropped).toBe(7000);
    expect(log.lines[0]).toBe('7000');
    log.dispose();
  });
});

describe('news', () => {
  it('tells of the first failure and of the end, and not of what is old', () => {
    const running = line();
    const failing = line({
      counts: { RUNNING: 1, FAILED: 1, PENDING: 1 },
      left: 2
    });
    const done = line({ condition: 'done', counts: { SUCCEEDED: 3 }, left: 0 });
    const failed = line({
      condition: 'failed',
      counts: { SUCCEEDED: 2, FAILED: 1 },
      left: 0
    });
    expect(news({ before: null, now: failed })).toBe(null);
    expect(news({ before: running, now: failing })).toBe('failure');
    expect(news({ before: failing, now: { ...failing, time: 1001 } })).toBe(
      null
    );
    expect(news({ before: running, now: done })).toBe('done');
    expect(news({ before: failing, now: failed })).toBe('failed');
    expect(news({ before: failed, now: failed })).toBe(null);
    // Other code was run, whose tasks had all ended before: nothing happened.
    expect(
      news({ before: failed, now: { ...done, total: 99, superseded: 1 } })
    ).toBe(null);
    // Retried, and done before anybody could see that something was left.
    expect(news({ before: failed, now: done })).toBe('done');
    expect(
      news({
        before: done,
        now: { ...done, total: 5, counts: { SUCCEEDED: 5 } }
      })
    ).toBe('done');
    expect(news({ before: running, now: { ...running, error: 'gone' } })).toBe(
      null
    );
  });

  it('is one notification a queue, which goes when nothing is failed any more', () => {
    const messages = () =>
      Notification.manager.notifications.map(({ message }) => message);
    const tell = (before: Partial<IListedQueue>, now: Partial<IListedQueue>) =>
      notify(
        { before: line(before), now: line(now) },
        SETTINGS,
        () => undefined,
        nullTranslator.load('desipipe')
      );
    const failed = {
      condition: 'failed' as const,
      counts: { SUCCEEDED: 2, FAILED: 1 },
      left: 0
    };
    tell({}, failed);
    tell({ folder: '/q/other.queue' }, { ...failed, folder: '/q/other.queue' });
    tell(failed, { ...failed, total: 4, counts: { SUCCEEDED: 3, FAILED: 1 } });
    expect(messages().sort()).toEqual([
      'test finished: 2 succeeded, 1 failed.',
      'test finished: 3 succeeded, 1 failed.'
    ]);
    // The failed task is superseded, and nothing runs.
    const corrected = { counts: { SUCCEEDED: 3 }, left: 0, superseded: 1 };
    tell(failed, { ...corrected, condition: 'done' });
    expect(messages()).toEqual(['test finished: 2 succeeded, 1 failed.']);
    // The other queue runs again: that it had finished is old.
    const other = { ...failed, folder: '/q/other.queue' };
    const again = {
      ...other,
      condition: 'running' as const,
      left: 2,
      total: 5
    };
    tell(other, again);
    expect(messages()).toEqual([]);
    // That a task failed stays true while others run, until its queue is deleted.
    tell({}, { counts: { RUNNING: 2, FAILED: 1 }, left: 2 });
    tell({ left: 2 }, { counts: { RUNNING: 1, FAILED: 1 }, left: 1 });
    expect(messages()).toEqual(['test: 1 task did not succeed.']);
    dismissOthers([line()]);
    expect(messages().length).toBe(1);
    dismissOthers([line(again)]);
    expect(messages()).toEqual([]);
  });
});

describe('cells', () => {
  const task = {
    row: 7,
    tid: 'abc',
    code: 'def f(x):\n    return x\n'
  } as ITaskView;
  const cell = (rows: string, folder = '/q', first = 'other') => ({
    source: '%%desipipe f',
    outputs: [
      {
        output_type: 'display_data',
        data: { [MIME_TYPE]: { ...example(), rows, folder, first } as never },
        metadata: {}
      }
    ]
  });

  it('knows rows', () => {
    expect(hasRow('0-3,7,9-12', 7)).toBe(true);
    expect(hasRow('0-3,7,9-12', 10)).toBe(true);
    expect(hasRow('0-3,7,9-12', 8)).toBe(false);
    expect(hasRow('', 0)).toBe(false);
  });

  it('finds the cell that shows a task, else the one that has its code', () => {
    const other = cell('0-3');
    const made = { source: '@app\ndef f(x):\n\n  return x\nf(1)', outputs: [] };
    expect(placeOf([other, cell('5-9')], '/q', task)).toBe(1);
    expect(placeOf([other, cell('5-9', '/another')], '/q', task)).toBe(-1);
    // Its queue was cleared since.
    expect(placeOf([cell('7-9', '/q', 'old')], '/q', task)).toBe(-1);
    expect(placeOf([cell('7-9', '/q', 'abc')], '/q', task)).toBe(0);
    expect(placeOf([other, made], '/q', task)).toBe(1);
  });
});

describe('graph', () => {
  const graph = (n: number): IGraphView => ({
    grouped: false,
    total: n + 1,
    nodes: [
      ...Array.from({ length: n }, (_, i) => ({
        id: `f${i}`,
        tid: `f${i}`,
        name: 'f',
        index: i,
        state: (i % 2 ? 'FAILED' : 'SUCCEEDED') as 'FAILED' | 'SUCCEEDED',
        blocked: false
      })),
      {
        id: 'g',
        tid: 'g',
        name: 'g',
        index: 0,
        state: 'WAITING' as const,
        blocked: true
      }
    ],
    edges: Array.from({ length: n }, (_, i) => ({
      source: `f${i}`,
      target: 'g',
      count: 1
    }))
  });

  it('shows few tasks one by one, requirements to the left, the first on top', () => {
    const picture = place(graph(5), []);
    expect(picture.nodes.length).toBe(6);
    expect(picture.ways.length).toBe(5);
    const at = new Map(
      picture.nodes.map(({ node, x, y }) => [node.id, { x, y }])
    );
    expect(at.get('f0')!.x).toBeLessThan(at.get('g')!.x);
    expect(at.get('f0')!.y).toBeLessThan(at.get('f4')!.y);
  });

  it('lets apps stand for many tasks, and unfolds them', () => {
    const picture = place(graph(200), []);
    expect(picture.nodes.map(({ node }) => node.id).sort()).toEqual(['f', 'g']);
    const app = picture.nodes.find(({ node }) => node.id === 'f')!.node;
    expect(app.total).toBe(200);
    expect(app.counts).toEqual({ SUCCEEDED: 100, FAILED: 100 });
    expect(picture.ways.map(({ count }) => count)).toEqual([200]);
    expect(place(graph(200), ['f']).nodes.length).toBe(201);
  });

  it('adds what is folded to what the server counted', () => {
    const mixed = graph(3);
    mixed.nodes.push({
      id: 'f',
      name: 'f',
      total: 10,
      counts: { PENDING: 10 },
      blocked: 0
    });
    const folded = fold(mixed, name => name === 'f');
    const app = folded.nodes.find(node => node.id === 'f')!;
    expect([folded.nodes.length, app.total]).toEqual([2, 13]);
  });

  it('never writes more of a name than there is space for', () => {
    const name = 'spectrum[17]';
    for (let letters = 2; letters < 20; letters++) {
      const found = short(name, (letters - 0.5) * TASK.letter);
      expect(found.length).toBe(Math.min(letters, name.length));
      expect(found.slice(-1)).toBe(']');
    }
    expect(short(name, 5 * TASK.letter)).toBe('…m[17]');
    expect(short(name, -10)).toBe('…]');
  });

  it('draws no tangle', () => {
    const n = 60;
    const crowd = graph(n);
    for (let i = 0; i < n; i++) {
      crowd.nodes.push({
        id: `h${i}`,
        tid: `h${i}`,
        name: 'h',
        index: i,
        state: 'WAITING',
        blocked: false
      });
      for (let j = 0; j < n; j++) {
        crowd.edges.push({ source: `f${j}`, target: `h${i}`, count: 1 });
      }
    }
    const picture = place(crowd, ['f', 'h']);
    expect(picture.crowded).toBe(true);
    expect(picture.nodes.length).toBe(3);
  });
});
